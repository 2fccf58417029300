//! Operations and values in few words, as sentences and pictures have them.

use crate::history::{Key, Op, Value};

/// How many elements of a list are shown at its beginning and at its end.
const ELEMENTS: usize = 3;

/// How many characters of a long text are shown at its beginning and at its end.
const CHARACTERS: usize = 16;
/// How many a text may have that is shown whole.
const TEXT_MAX: usize = 80;

/// How many elements a list may have that is shown whole.
pub(crate) const WHOLE_MAX: usize = 2 * ELEMENTS + 1;

/// An operation in few words: long lists by their beginning and their end, and of a transaction its [steps].
pub fn op_in_short(op: &Op, key: Option<&Key>) -> String {
    match op {
        Op::Txn { body, .. } => format!("txn {}", steps(body, key)),
        op => op.clone().map(|key| key, |value| value_in_short(&value)).to_string(),
    }
}

/// The steps of a transaction: those on a key, or all of them where none is.
pub fn steps(body: &Value, key: Option<&Key>) -> String {
    let Value::List(steps) = body else { return value_in_short(body) };
    let is_on = |step: &&Value| match step {
        Value::List(parts) => {
            let on = parts.get(1).map(words_of);
            on.is_some_and(|on| key.is_some_and(|key| key.as_str() == on))
        }
        _ => false,
    };
    let chosen: Vec<&Value> = steps.iter().filter(is_on).collect();
    let (chosen, rest) = match chosen.len() {
        0 => (steps.iter().collect(), ""),
        some if some < steps.len() => (chosen, ", …"),
        _ => (chosen, ""),
    };
    let step = |step: &&Value| match step {
        Value::List(parts) => parts.iter().map(words_of).collect::<Vec<_>>().join(" "),
        other => value_in_short(other),
    };
    chosen.iter().map(step).collect::<Vec<_>>().join(", ") + rest
}

/// A name or a value within a step.
fn words_of(part: &Value) -> String {
    match part {
        Value::Text(text) if !is_long(text) => text.to_string(),
        other => value_in_short(other),
    }
}

fn is_long(text: &str) -> bool {
    text.chars().nth(TEXT_MAX).is_some()
}

/// A value; of a long text or list its beginning and its end.
pub fn value_in_short(value: &Value) -> String {
    let values = match value {
        Value::Text(text) if is_long(text) => {
            let places = || text.char_indices().map(|(place, _)| place);
            let first = &text[..places().nth(CHARACTERS).expect("it is longer")];
            let last = &text[places().nth_back(CHARACTERS - 1).expect("it is longer")..];
            return format!(
                "\"{}…{}\" of {} bytes",
                first.escape_debug(),
                last.escape_debug(),
                text.len()
            );
        }
        Value::List(values) => values,
        value => return value.to_string(),
    };
    let show = |values: &[Value]| values.iter().map(value_in_short).collect::<Vec<_>>().join(" ");
    if values.len() <= WHOLE_MAX {
        return format!("[{}]", show(values));
    }
    let (first, last) = (&values[..ELEMENTS], &values[values.len() - ELEMENTS..]);
    format!("[{} … {}] of {}", show(first), show(last), values.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_shown_by_its_beginning_and_its_end() {
        let text = |count: usize| Value::Text(format!("{}\"ü", "ä".repeat(count - 2)).into());
        assert_eq!(value_in_short(&text(80)), format!("\"{}\\\"ü\"", "ä".repeat(78)));
        let (first, last) = ("ä".repeat(16), "ä".repeat(14));
        assert_eq!(value_in_short(&text(81)), format!("\"{first}…{last}\\\"ü\" of 161 bytes"));
    }

    #[test]
    fn a_long_list_is_shown_by_its_beginning_and_its_end() {
        let list = |count: i64| Value::List((1..=count).map(Value::Int).collect());
        assert_eq!(value_in_short(&list(7)), "[1 2 3 4 5 6 7]");
        assert_eq!(value_in_short(&list(30)), "[1 2 3 … 28 29 30] of 30");
    }

    fn step(parts: &[&str]) -> Value {
        Value::List(parts.iter().map(|part| Value::Text((*part).into())).collect())
    }

    #[test]
    fn of_a_transaction_the_steps_on_a_key_are_shown_and_that_there_are_others() {
        let body = |steps: &[Value]| Value::List(steps.to_vec().into());
        let both = body(&[step(&["r", "x"]), step(&["append", "y", "1"]), Value::Int(7)]);
        assert_eq!(steps(&both, Some(&Key::from("x"))), "r x, …");
        // Where none is on the key, or there is no key, all of them are.
        assert_eq!(steps(&both, Some(&Key::from("z"))), "r x, append y 1, 7");
        assert_eq!(steps(&both, None), "r x, append y 1, 7");
        let one = body(&[step(&["r", "x"]), step(&["append", "x", "1"])]);
        assert_eq!(steps(&one, Some(&Key::from("x"))), "r x, append x 1");
        assert_eq!(steps(&Value::Int(3), None), "3");
    }

    #[test]
    fn a_long_text_is_cut_within_a_step_too() {
        let long = "a".repeat(81);
        let (first, last) = ("a".repeat(16), "a".repeat(16));
        let body = Value::List(vec![step(&["w", "x", &long])].into());
        let expected = format!("w x \"{first}…{last}\" of 81 bytes");
        assert_eq!(steps(&body, Some(&Key::from("x"))), expected);
    }
}
