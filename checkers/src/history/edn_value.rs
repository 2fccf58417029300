//! The values of EDN as values of ours: what is equal to Clojure is one value, what is not is two.
//!
//! `nil`, whole numbers of 64 bits (`1N` is `1`), texts, vectors and lists are what they are. All the
//! rest is a text that no text of a file is read as: it begins with one `:` or one `#`, as in `:a`,
//! `#true`, `#1.5`, `#'symbol`, `#\c`, `#{1 2}`, `#:{1 2}` for a map, `#inst "2026"`; and within texts
//! each `:` and each `#` is doubled. (All of them, not the first alone: what is appended to a text has to
//! be read as the end of the whole.)

use std::borrow::Cow;
use std::collections::BTreeMap;

use clojure_reader::edn::Edn;

use super::Value;

/// How the texts of a file are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Texts {
    /// As they are: whatever is no text was made one before it was written.
    AsTheyAre,
    /// With each `:` and `#` doubled.
    Doubled,
}

/// The value that some EDN is.
///
/// # Errors
/// Says what is no EDN, though the library takes it.
pub(super) fn value_of(value: &Edn<'_>, texts: Texts) -> Result<Value, String> {
    let of_form = |form: String| Value::Text(form.into());
    Ok(match value {
        Edn::Nil => Value::Nil,
        Edn::Int(number) => Value::Int(*number),
        Edn::BigInt(number) => match i64::try_from(number) {
            Ok(number) => Value::Int(number),
            Err(_) => of_form(format!("#{number}N")),
        },
        Edn::Rational((over, under)) => ratio(*over, *under),
        // There is one zero, whatever its sign.
        Edn::Double(number) => of_form(format!("#{:?}", number.0 + 0.0)),
        Edn::BigDec(number) => of_form(format!("#{}M", number.normalized())),
        Edn::Str(text) if texts == Texts::AsTheyAre => Value::Text((&**text).into()),
        Edn::Str(text) => Value::Text((&*doubled(text)).into()),
        Edn::Key(name) if name.starts_with(':') => {
            return Err(format!("`:{name}` is no keyword of EDN; write its namespace out"));
        }
        Edn::Key(name) => of_form(format!(":{name}")),
        Edn::Symbol(name) => of_form(format!("#'{name}")),
        Edn::Bool(truth) => of_form(format!("#{truth}")),
        Edn::Char(letter) => of_form(format!("#\\{letter}")),
        Edn::Vector(items) | Edn::List(items) => Value::List(all(items, texts)?.into()),
        Edn::Set(items) => of_form(format!("#{{{}}}", joined(all(items, texts)?))),
        Edn::Map(items) => of_form(format!("#:{{{}}}", joined(pairs(items, texts)?))),
        Edn::Tagged(tag, value) if tag.starts_with(char::is_alphabetic) => {
            of_form(format!("#{tag} {}", value_of(value, texts)?))
        }
        other => return Err(format!("`{other}` is no value of EDN; a tag begins with a letter")),
    })
}

/// What a collection shows that is read: its elements, or pairs of a key and a value. A set, or the
/// balances of a bank, have these elements, however they are written down.
///
/// # Errors
/// As [`value_of`].
pub(super) fn elements_of(value: &Edn<'_>, texts: Texts) -> Result<Value, String> {
    match value {
        Edn::Set(items) => Ok(Value::List(all(items, texts)?.into())),
        Edn::Map(items) => Ok(Value::List(pairs(items, texts)?.into())),
        // Such as `#ordered/set (1 2)`.
        Edn::Tagged(_, value) => elements_of(value, texts),
        other => value_of(other, texts),
    }
}

/// A text with each `:` and `#` doubled.
pub(super) fn doubled(text: &str) -> Cow<'_, str> {
    if text.contains([':', '#']) {
        Cow::Owned(text.replace(':', "::").replace('#', "##"))
    } else {
        Cow::Borrowed(text)
    }
}

fn all<'a, 'e: 'a>(
    items: impl IntoIterator<Item = &'a Edn<'e>>,
    texts: Texts,
) -> Result<Vec<Value>, String> {
    items.into_iter().map(|item| value_of(item, texts)).collect()
}

/// A map, as lists of a key and its value.
fn pairs(items: &BTreeMap<Edn<'_>, Edn<'_>>, texts: Texts) -> Result<Vec<Value>, String> {
    let pair = |(key, value): (&Edn<'_>, &Edn<'_>)| {
        Ok(Value::List([value_of(key, texts)?, value_of(value, texts)?].into()))
    };
    items.iter().map(pair).collect()
}

/// Values of which the order says nothing.
fn joined(mut values: Vec<Value>) -> String {
    values.sort();
    values.dedup();
    values.iter().map(Value::to_string).collect::<Vec<_>>().join(" ")
}

fn ratio(over: i64, under: i64) -> Value {
    let (mut common, mut rest) = (i128::from(over).abs(), i128::from(under));
    while rest != 0 {
        (common, rest) = (rest, common % rest);
    }
    let (over, under) = (i128::from(over) / common.max(1), i128::from(under) / common.max(1));
    match i64::try_from(over) {
        Ok(whole) if under == 1 => Value::Int(whole),
        _ => Value::Text(format!("#{over}/{under}").into()),
    }
}
