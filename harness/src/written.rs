//! What is written in a campaign file, where, and what belongs there: whoever gets it wrong is told the setting, its line,
//! and what would have done.

use toml::Spanned;
use toml::de::{DeTable, DeValue, Error};

use crate::nemesis::EXAMPLES;

/// The settings that say nothing where they are empty, and that nobody writes without something in mind.
const NEVER_EMPTY: [&str; 3] = ["load.mix", "faults.after", "faults.fault.message"];

/// The longest value that is repeated in a message, in characters.
const SHOWN_MAX: usize = 60;

/// A campaign file as it is written.
pub(crate) struct Written<'a> {
    text: &'a str,
    root: Spanned<DeTable<'a>>,
}

/// What belongs into a place.
#[derive(Clone, Copy)]
enum Form {
    Text,
    Number,
    Flag,
    /// Two numbers.
    Range,
    List,
    Table,
    /// A table for each, under a head of its own.
    Tables,
    /// A name by itself, or a table.
    TextOrTable,
}

/// Of each setting: what it is, in words, and how it is written.
const SETTINGS: &[(&str, Form, &str, &str)] = &[
    ("name", Form::Text, "a text", "name = \"my-plan\""),
    ("system", Form::Text, "a text", "system = \"raft\""),
    ("workload", Form::Text, "a text", "workload = \"register\""),
    ("nemeses", Form::List, "a list of names", "nemeses = [\"partition\", \"crash\"]"),
    ("engine", Form::Text, "a text", "engine = \"event\""),
    ("nodes", Form::List, "a list of sizes", "nodes = [3, 5]"),
    ("clients", Form::Range, "a range", "clients = [5, 10]"),
    ("keys", Form::Range, "a range", "keys = [3, 8]"),
    ("replica-reads-percent", Form::Number, "a number", "replica-reads-percent = 30"),
    ("safety", Form::Text, "a time", "safety = \"15s\""),
    ("liveness", Form::Text, "a time", "liveness = \"4s\""),
    ("canary-runs", Form::Number, "a number", "canary-runs = 100"),
    ("allowed-losses", Form::List, "a list of guarantees", "allowed-losses = [\"durable\"]"),
    ("states-max", Form::Number, "a number", "states-max = 5000000"),
    ("search-bytes-max", Form::Number, "a number", "search-bytes-max = 2147483648"),
    ("staleness-max", Form::Text, "a time", "staleness-max = \"500ms\""),
    ("versions-behind-max", Form::Number, "a number", "versions-behind-max = 3"),
    ("regions", Form::List, "a list of rows", "regions = [[1, 30], [30, 1]]"),
    ("message-cost", Form::Text, "a time", "message-cost = \"1ms\""),
    ("swarm", Form::Flag, "true or false", "swarm = true"),
    ("settings", Form::Table, "a table", "settings = { reads = \"lease\" }"),
    ("load", Form::Table, "a table", "load = { pace = \"open\", rate = [50, 500] }"),
    ("load.pace", Form::Text, "a text", "pace = \"open\""),
    ("load.rate", Form::Range, "a range", "rate = [50, 500]"),
    ("load.mix", Form::Table, "a table", "mix = { read = 80, write = 20 }"),
    ("load.skew", Form::Text, "a text", "skew = \"zipf\""),
    ("load.operations-a-key-set", Form::Range, "a range", "operations-a-key-set = [20, 80]"),
    ("load.value-bytes", Form::Range, "a range", "value-bytes = [16, 4096]"),
    ("faults", Form::Tables, "a table for each", "[[plan.faults]]"),
    ("faults.at", Form::Text, "a time", "at = \"4s\""),
    ("faults.lasts", Form::Text, "a time", "lasts = \"5s\""),
    (
        "faults.after",
        Form::Table,
        "a table",
        "after = { of = \"append\", from = \"leader\", nth = 3 }",
    ),
    ("faults.after.nth", Form::Number, "a number", "nth = 3"),
    ("faults.after.of", Form::Text, "a text", "of = \"append\""),
    ("faults.after.from", Form::TextOrTable, "a name", "from = \"leader\""),
    ("faults.after.to", Form::TextOrTable, "a name", "to = { node = 2 }"),
    ("faults.fault", Form::Table, "a table", "fault = { kind = \"crash\", target = \"leader\" }"),
    ("faults.fault.kind", Form::Text, "a text", "kind = \"crash\""),
    ("faults.fault.target", Form::TextOrTable, "a name", "target = { node = 2 }"),
    ("faults.fault.shape", Form::Table, "a table", "shape = { shape = \"halves\" }"),
    (
        "faults.fault.shape.target",
        Form::TextOrTable,
        "a name",
        "shape = { shape = \"isolate\", target = \"leader\" }",
    ),
    ("faults.fault.chance", Form::TextOrTable, "a share", "chance = \"1/3\""),
    ("faults.fault.longest", Form::TextOrTable, "a time", "longest = \"100ms\""),
    ("faults.fault.latest", Form::TextOrTable, "a time", "latest = \"100ms\""),
    ("faults.fault.every", Form::TextOrTable, "a time", "every = \"200ms\""),
    ("faults.fault.cost", Form::TextOrTable, "a time", "cost = \"5ms\""),
    ("faults.fault.down", Form::TextOrTable, "a time", "down = \"500ms\""),
    ("faults.fault.apart", Form::TextOrTable, "a time", "apart = \"1s\""),
    ("faults.fault.bytes_a_second", Form::Number, "a number", "bytes_a_second = 20000"),
    ("faults.fault.queue_bytes", Form::Number, "a number", "queue_bytes = 10000"),
    ("faults.fault.by_ms", Form::Number, "a number", "by_ms = -500"),
    ("faults.fault.rate", Form::Table, "a table", "rate = { counts = 11, of = 10 }"),
    ("faults.fault.rate.counts", Form::Number, "a number", "rate = { counts = 11, of = 10 }"),
    ("faults.fault.rate.of", Form::Number, "a number", "rate = { counts = 11, of = 10 }"),
    ("faults.fault.message", Form::Table, "a table", "message = { of = \"append\", nth = 2 }"),
    ("faults.fault.message.nth", Form::Number, "a number", "nth = 2"),
    ("faults.fault.message.of", Form::Text, "a text", "of = \"append\""),
    ("faults.fault.change", Form::TextOrTable, "a change", "change = \"add\""),
    ("faults.fault.defect", Form::TextOrTable, "a defect", "defect = { bit-flip = { bits = 8 } }"),
];

impl<'a> Written<'a> {
    /// A file that is TOML at all.
    ///
    /// # Errors
    /// Where it is none.
    pub(crate) fn read(text: &'a str) -> Result<Written<'a>, Error> {
        DeTable::parse(text).map(|root| Written { text, root })
    }

    /// The first value that is not of the form that its place asks for: its line, and what is wrong.
    pub(crate) fn misplaced(&self) -> Option<(usize, String)> {
        let plans = self.root.get_ref().get("plan")?;
        let DeValue::Array(plans) = plans.get_ref() else {
            let words = "each plan has a head of its own with two brackets: `[[plan]]`";
            return Some((self.line_at(plans.span().start), self.says("plan", plans, words)));
        };
        plans.iter().find_map(|plan| match plan.get_ref() {
            DeValue::Table(table) => self.misplaced_in(table, ""),
            _ => {
                let words = "a plan is a table of its own: `[[plan]]`";
                Some((self.line_at(plan.span().start), self.says("plan", plan, words)))
            }
        })
    }

    fn misplaced_in(&self, table: &DeTable<'_>, path: &str) -> Option<(usize, String)> {
        table.iter().find_map(|(key, value)| {
            let path = joined(path, key.get_ref());
            let (_, form, what, example) = setting(&path)?;
            let line = || self.line_at(key.span().start);
            if !form.takes(value.get_ref()) {
                let example = example_for(table, &path).unwrap_or(example);
                let words = format!("{what} belongs here, such as `{example}`");
                return Some((line(), self.says(key.get_ref(), value, &words)));
            }
            match value.get_ref() {
                DeValue::Table(inner)
                    if inner.is_empty() && NEVER_EMPTY.contains(&path.as_str()) =>
                {
                    let words = format!(
                        "there is nothing in it, and so it says nothing; such as `{example}`"
                    );
                    Some((line(), self.says(key.get_ref(), value, &words)))
                }
                DeValue::Table(inner) => self.misplaced_in(inner, &path),
                DeValue::Array(inner) => {
                    let mut tables = inner.iter().filter_map(|one| one.get_ref().as_table());
                    tables.find_map(|table| self.misplaced_in(table, &path))
                }
                _ => None,
            }
        })
    }

    /// What is wrong with a value, after the value.
    fn says(&self, key: &str, value: &Spanned<DeValue<'_>>, words: &str) -> String {
        let written = self.text.get(value.span()).unwrap_or_default();
        let line = written.lines().next().unwrap_or_default();
        let is_head = matches!(value.get_ref(), DeValue::Table(_)) && !line.starts_with('{');
        if is_head {
            return format!("`{key}`: {words}");
        }
        let cut = line.chars().count() > SHOWN_MAX || written.contains('\n');
        let shown: String = line.chars().take(SHOWN_MAX).collect();
        format!("`{key} = {shown}{}`: {words}", if cut { "…" } else { "" })
    }

    /// The line of a setting of the plan with this number, or of what it stands in. One in a table has the name of that before
    /// it, as in `load.rate`, and one of several its number, from 1 on: `faults[2].at`.
    pub(crate) fn line(&self, plan: usize, setting: &str) -> usize {
        let heads = self.text.lines().enumerate();
        let mut heads = heads.filter(|(_, line)| line.trim_start().starts_with("[[plan]]"));
        let head = heads.nth(plan).map_or(1, |(index, _)| index + 1);
        let plans = self.root.get_ref().get("plan").and_then(|plans| plans.get_ref().as_array());
        let Some(mut value) = plans.and_then(|plans| plans.get(plan)) else { return head };
        let mut line = head;
        for part in setting.split('.') {
            let (name, number) = numbered(part);
            let Some(table) = value.get_ref().as_table() else { break };
            let Some((key, found)) = table.iter().find(|(key, _)| key.get_ref() == name) else {
                break;
            };
            (line, value) = (self.line_at(key.span().start), found);
            let one = number.and_then(|number| value.get_ref().as_array()?.get(number - 1));
            if let Some(one) = one {
                (line, value) = (self.line_at(one.span().start), one);
            }
        }
        line
    }

    /// An error of the parser in our words: where, which setting, and what would have done where that is known.
    pub(crate) fn explained(&self, error: &Error) -> (usize, String) {
        let message = in_our_words(error.message());
        let Some(span) = error.span() else { return (1, message) };
        let line = self.line_at(span.start);
        let plans = self.root.get_ref().get("plan").and_then(|plans| plans.get_ref().as_array());
        let mut all = plans.into_iter().flat_map(|plans| plans.iter());
        let found = all.find_map(|plan| deepest(plan.get_ref().as_table()?, "", span.start));
        let (path, fault) = found.unwrap_or_default();
        if path.is_empty() && quoted(error.message(), UNKNOWN_FIELD).is_some() {
            return (line, format!("{message}, and all settings stand below the head of one"));
        }
        let missing = quoted(error.message(), MISSING_FIELD);
        let missing = missing.map(|(name, _)| joined(&path, name)).unwrap_or_default();
        let of_fault = fault.filter(|_| path.starts_with("faults.fault"));
        let of_setting = || {
            let above = path.rsplit_once('.').map_or("", |(above, _)| above);
            [&missing, &path, above].into_iter().find_map(setting)
        };
        let example = of_fault.or_else(|| of_setting().map(|(.., example)| example));
        let hint = example.map_or_else(String::new, |example| format!("; such as `{example}`"));
        let place = if path.is_empty() { String::new() } else { format!("`{path}`: ") };
        (line, format!("{place}{message}{hint}"))
    }

    fn line_at(&self, offset: usize) -> usize {
        let before = &self.text.as_bytes()[..offset.min(self.text.len())];
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        // What is missing at the end is told of the last line.
        line.min(self.text.lines().count().max(1))
    }
}

impl Form {
    fn takes(self, value: &DeValue<'_>) -> bool {
        match self {
            Form::Text => value.is_str(),
            Form::Number => value.is_integer(),
            Form::Flag => value.is_bool(),
            Form::Table => value.is_table(),
            Form::TextOrTable => value.is_str() || value.is_table(),
            Form::List => value.is_array(),
            Form::Range => {
                let numbers = value.as_array();
                numbers.is_some_and(|numbers| {
                    numbers.len() == 2 && numbers.iter().all(|one| one.get_ref().is_integer())
                })
            }
            Form::Tables => {
                let tables = value.as_array();
                tables.is_some_and(|tables| tables.iter().all(|one| one.get_ref().is_table()))
            }
        }
    }
}

/// What the parser says of a setting that there is not, before the setting.
const UNKNOWN_FIELD: &str = "unknown field `";
/// What it says of one that has to be there, and is not.
const MISSING_FIELD: &str = "missing field `";
/// What it says of a value that is none of those that there are.
const UNKNOWN_VARIANT: &str = "unknown variant `";

/// What is wrong with a file that is no TOML: the line, and what is wrong there.
pub(crate) fn unreadable(text: &str, error: &Error) -> (usize, String) {
    let span = error.span().unwrap_or_default();
    let before = &text.as_bytes()[..span.start.min(text.len())];
    let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
    let message = match (error.message(), text.get(span)) {
        ("duplicate key", Some(key)) => {
            format!("`{key}` is there twice in one table; leave out this one, or the one before")
        }
        (message, _) => message.replace('\n', " "),
    };
    // What is missing at the end is told of the last line.
    (line.min(text.lines().count()), message)
}

/// What the parser of files says of a value, in our words.
pub(crate) fn in_our_words(message: &str) -> String {
    let message = message.trim().replace('\n', " ");
    if let Some((name, rest)) = quoted(&message, UNKNOWN_FIELD) {
        return format!("`{name}` is no setting here; {}", there_are(rest));
    }
    if let Some((name, rest)) = quoted(&message, UNKNOWN_VARIANT) {
        return format!("there is no `{name}`; {}", there_are(rest));
    }
    if let Some((name, _)) = quoted(&message, MISSING_FIELD) {
        return format!("`{name}` is missing");
    }
    let found = message.strip_prefix("invalid type: ").or(message.strip_prefix("invalid value: "));
    match found.and_then(|found| found.rsplit_once(", expected ")) {
        Some((found, wanted)) => {
            let wanted = kind_in_words(wanted);
            match found.split_once(' ').filter(|_| found != "unit variant") {
                Some((_, value)) => format!("`{}` where {wanted} belongs", value.trim_matches('`')),
                None => format!("{wanted} belongs here"),
            }
        }
        None => message,
    }
}

/// The word in quotes that a text goes on with after its beginning, and what follows it.
fn quoted<'a>(text: &'a str, beginning: &str) -> Option<(&'a str, &'a str)> {
    text.trim_start().strip_prefix(beginning)?.split_once('`')
}

/// Which ones there are, of what the parser says that it expected.
fn there_are(expected: &str) -> String {
    let known: Vec<&str> = expected.split('`').skip(1).step_by(2).collect();
    if known.is_empty() {
        "there are none".to_owned()
    } else {
        format!("there are {}", known.join(", "))
    }
}

/// What the parser calls a kind of values, in our words.
fn kind_in_words(kind: &str) -> String {
    let whole = |most: &str| format!("a whole number from 0 to {most}");
    match kind {
        "u8" => whole(&u8::MAX.to_string()),
        "u16" => whole(&u16::MAX.to_string()),
        "u32" => whole(&u32::MAX.to_string()),
        // A file has no greater numbers.
        "u64" | "usize" => whole(&i64::MAX.to_string()),
        "i32" | "i64" => "a whole number".to_owned(),
        "a boolean" => "true or false".to_owned(),
        "string only" | "a string" | "variant identifier" => "a text".to_owned(),
        "a sequence" => "a list".to_owned(),
        "a map" | "struct variant" => "a table".to_owned(),
        kind => kind.to_owned(),
    }
}

fn setting(path: &str) -> Option<(&'static str, Form, &'static str, &'static str)> {
    SETTINGS.iter().find(|(known, ..)| *known == path).copied()
}

fn joined(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// A name and the number in brackets behind it, if there is one.
fn numbered(part: &str) -> (&str, Option<usize>) {
    let split = part.strip_suffix(']').and_then(|part| part.split_once('['));
    match split.and_then(|(name, number)| Some((name, number.parse().ok()?))) {
        Some((name, number)) if number > 0 => (name, Some(number)),
        _ => (part, None),
    }
}

/// How a fault is written whose kind is known, where a value is a part of it.
fn example_for(fault: &DeTable<'_>, path: &str) -> Option<&'static str> {
    let kind = fault.get("kind").filter(|_| path.starts_with("faults.fault."))?;
    let kind = kind.get_ref().as_str()?;
    EXAMPLES.iter().find(|example| example.kind == kind).map(|example| example.written)
}

/// The setting in which something stands, and how the fault is written that it is a part of, if it is.
fn deepest(
    table: &DeTable<'_>,
    path: &str,
    offset: usize,
) -> Option<(String, Option<&'static str>)> {
    table.iter().find_map(|(key, value)| {
        let path = joined(path, key.get_ref());
        if !key.span().contains(&offset) && !value.span().contains(&offset) {
            // A table under a head of its own spans no more than the head.
            let is_headed = value.get_ref().is_table() || value.get_ref().is_array();
            if !is_headed {
                return None;
            }
        }
        let inner = match value.get_ref() {
            DeValue::Table(inner) => {
                let example = example_for(inner, &format!("{path}."));
                let found = deepest(inner, &path, offset);
                found.map(|(path, known)| (path, known.or(example)))
            }
            DeValue::Array(inner) => inner
                .iter()
                .filter_map(|one| one.get_ref().as_table())
                .find_map(|table| deepest(table, &path, offset)),
            _ => None,
        };
        let is_here = key.span().contains(&offset) || value.span().contains(&offset);
        let here = || {
            let example = value.get_ref().as_table();
            let example = example.and_then(|table| example_for(table, &format!("{path}.")));
            (path.clone(), example)
        };
        inner.or_else(|| is_here.then(here))
    })
}
