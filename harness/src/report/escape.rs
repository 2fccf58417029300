//! Keys, values and reasons come from the system under test: nothing in them may move a cursor,
//! turn text around, or become markup.

use std::fmt::Write as _;

/// The text with every character written out that a terminal would obey instead of show.
///
/// That is all control characters but the newline, and those that change the direction of text.
pub fn terminal(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c == '\n' || !is_commanding(c) {
            out.push(c);
        } else {
            let _ = write!(out, "{}", c.escape_unicode());
        }
    }
    out
}

/// The text on one line of a terminal.
pub fn line(text: &str) -> String {
    terminal(&text.replace('\n', "\\n"))
}

/// The text in Markdown as GitHub reads it, in a table or outside.
pub fn markdown(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in line(text).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            // A character reference is never markup, a mention or the border of a table.
            '|' | '`' | '*' | '_' | '[' | ']' | '(' | ')' | '#' | '@' | '~' | '\\' | '!' | '$' => {
                let _ = write!(out, "&#{};", u32::from(c));
            }
            _ => out.push(c),
        }
    }
    out
}

fn is_commanding(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}')
        || c == '\u{feff}'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_cannot_move_the_cursor_or_turn_text_around() {
        assert_eq!(terminal("a\u{1b}[2Jb\u{9b}c\r\u{202e}d"), {
            "a\\u{1b}[2Jb\\u{9b}c\\u{d}\\u{202e}d"
        });
        assert_eq!(terminal("two\nlines"), "two\nlines");
        assert_eq!(line("two\nlines"), "two\\nlines");
    }

    #[test]
    fn a_value_cannot_become_markup() {
        assert_eq!(
            markdown("<img src=x> | `x` @all [a](b)"),
            "&lt;img src=x&gt; &#124; &#96;x&#96; &#64;all &#91;a&#93;&#40;b&#41;"
        );
    }
}
