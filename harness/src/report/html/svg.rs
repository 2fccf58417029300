//! Pictures as text. All that can come from a system under test passes through [`text`].

use std::fmt::Write as _;

use super::super::escape;

/// A picture that is being drawn.
#[derive(Debug, Default)]
pub(super) struct Svg(String);

impl Svg {
    /// An element without content. `attributes` is made of names and numbers of our own.
    pub(super) fn add(&mut self, element: &str, attributes: &str) {
        let _ = writeln!(self.0, "<{element} {attributes}/>");
    }

    /// A rectangle.
    pub(super) fn rect(&mut self, class: &str, (x, y): (f64, f64), (width, height): (f64, f64)) {
        let width = width.max(0.0);
        self.add(
            "rect",
            &format!(
                "class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\""
            ),
        );
    }

    /// A line.
    pub(super) fn line(&mut self, class: &str, from: (f64, f64), to: (f64, f64)) {
        let ((x1, y1), (x2, y2)) = (from, to);
        self.add(
            "line",
            &format!(
                "class=\"{class}\" x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\""
            ),
        );
    }

    /// Words. Whatever they are, they are shown and not obeyed.
    pub(super) fn words(&mut self, class: &str, (x, y): (f64, f64), words: &str) {
        let words = text(words);
        let _ =
            writeln!(self.0, "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\">{words}</text>");
    }

    /// Puts what follows into a group that a pointer is told something of.
    pub(super) fn open_with_title(&mut self, class: &str, title: &str) {
        let title = text(title);
        let _ = writeln!(self.0, "<g class=\"{class}\"><title>{title}</title>");
    }

    /// Ends a group.
    pub(super) fn close(&mut self) {
        self.0.push_str("</g>\n");
    }

    /// The whole picture, with what somebody is told who does not see it.
    pub(super) fn finish(self, (width, height): (f64, f64), class: &str, label: &str) -> String {
        let label = text(label);
        format!(
            "<svg class=\"{class}\" viewBox=\"0 0 {width:.0} {height:.0}\" role=\"img\" \
             aria-label=\"{label}\">\n{}</svg>",
            self.0
        )
    }
}

/// A text that is shown as it is in the content of an element and in an attribute.
pub(super) fn text(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in escape::line(text).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            _ => out.push(c),
        }
    }
    out
}

/// A text of at most so many characters; what is too much of it is left out at its end.
pub(super) fn short(text: &str, longest: usize) -> String {
    match text.char_indices().nth(longest.saturating_sub(1)) {
        Some((end, last)) if end + last.len_utf8() < text.len() => format!("{}…", &text[..end]),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_cannot_become_markup_or_leave_an_attribute() {
        assert_eq!(
            text("</script><img src=x onerror='alert(1)' a=\"&\">\u{202e}"),
            "&lt;/script&gt;&lt;img src=x onerror=&#39;alert(1)&#39; a=&quot;&amp;&quot;&gt;\\u{202e}"
        );
    }

    #[test]
    fn a_text_is_cut_where_it_is_too_long_and_nowhere_else() {
        assert_eq!(short("abc", 3), "abc");
        assert_eq!(short("abcd", 3), "ab…");
        assert_eq!(short("äöüß", 4), "äöüß");
        assert_eq!(short("äöüßx", 4), "äöü…");
        assert_eq!(short("", 4), "");
    }
}
