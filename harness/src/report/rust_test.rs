//! A case as a test in Rust.

use std::fmt::Write as _;

use super::escape;
use crate::corpus::Case;
use crate::json;
use crate::shrink::Failure;
use crate::story::Sentence;

/// The text of a file of tests with one test, which fails for as long as the case does.
///
/// # Errors
/// As JSON cannot be written.
pub fn write(case: &Case, story: &[Sentence]) -> serde_json::Result<String> {
    let Case { plan, seed, failure: Failure { guarantee, anomaly }, .. } = case;
    let json = ascii(json::pretty(case)?.trim_end());
    let hashes = "#".repeat(hashes_around(&json));
    let name = identifier(&format!("{}_{seed}_{anomaly}", plan.name));
    let mut out = String::new();
    let head = format!("Plan {}, seed {seed}: {anomaly} of {guarantee}.", plan.name);
    let _ = writeln!(out, "/// {}", escape::line(&head));
    for (number, Sentence { at, words }) in (1..).zip(story) {
        let blank = if number == 1 { "///\n" } else { "" };
        let _ = writeln!(out, "{blank}/// {number}. {at}: {}", escape::line(words));
    }
    let _ = write!(
        out,
        "#[test]\n\
         fn {name}() {{\n    \
             // The table of systems; that of your own crate, where the system is yours.\n    \
             let systems = stormglass::system::SYSTEMS;\n    \
             let case = stormglass::corpus::Case::parse(CASE).expect(\"it is a case\");\n    \
             case.assert_holds(systems);\n\
         }}\n\n\
         const CASE: &str = r{hashes}\"{json}\"{hashes};\n"
    );
    Ok(out)
}

/// The same JSON in letters that no compiler objects to: others are in strings only, and are escaped there.
fn ascii(json: &str) -> String {
    let mut units = [0; 2];
    let mut out = String::new();
    for c in json.chars() {
        if c.is_ascii() {
            out.push(c);
        } else {
            for unit in c.encode_utf16(&mut units) {
                let _ = write!(out, "\\u{unit:04x}");
            }
        }
    }
    out
}

/// As many `#` as keep a raw string from ending within a text.
fn hashes_around(text: &str) -> usize {
    let after_quotes = text.split('"').skip(1);
    let longest = after_quotes.map(|rest| rest.bytes().take_while(|byte| *byte == b'#').count());
    longest.max().map_or(0, |longest| longest + 1)
}

/// The name of a function.
fn identifier(text: &str) -> String {
    let letters =
        text.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' });
    let name: String = letters.collect();
    if name.starts_with(|c: char| c.is_ascii_digit()) { format!("case_{name}") } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_ends_the_string_that_it_is_in() {
        assert_eq!(hashes_around("plain"), 0);
        assert_eq!(hashes_around(r#"a "quoted" word"#), 1);
        assert_eq!(hashes_around(r###"ends "##, it says"###), 3);
    }

    #[test]
    fn letters_that_change_how_a_text_reads_are_escaped() {
        let json = serde_json::to_string("a\u{202e}b\u{1f600}").expect("a text is JSON");
        assert_eq!(ascii(&json), r#""a\u202eb\ud83d\ude00""#);
        let read: String = serde_json::from_str(&ascii(&json)).expect("it is JSON still");
        assert_eq!(read, "a\u{202e}b\u{1f600}");
    }

    #[test]
    fn any_name_becomes_that_of_a_function() {
        assert_eq!(identifier("raft-lease_7_stale-read"), "raft_lease_7_stale_read");
        assert_eq!(identifier("3-nodes"), "case_3_nodes");
    }
}
