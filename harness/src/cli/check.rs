//! `stormglass check`: judges histories that somebody else recorded.

use std::fmt::{self, Write as _};
use std::io::BufRead as _;
use std::num::IntErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use checkers::checker::linearizable::{Linearizable, Linearization, Settings};
use checkers::checker::{CHECKERS, Checker, Limits, Model};
use checkers::history::format::Format;
use checkers::history::jepsen_edn::{self, Keys};
use checkers::history::jsonl::ReadLimits;
use checkers::history::{
    EventIndex, History, NilReads, Op, OpKind, OperationId, Outcome, Reason, Ret, Value,
};
use checkers::{Anomaly, Facts, Guarantee, Verdict};
use clap::ValueEnum;
use cpu_time::ProcessTime;
use serde::Serialize;
use tabled::builder::Builder;
use tabled::settings::Style;

use super::output::{Output, USAGE, check_other, check_writable, on_interruption, replace};
use super::{Context, input};
use crate::campaign::Ending;
use crate::config;
use crate::json;
use crate::report::{escape, run};

const EXIT_CODES: &str = "\
Exit codes, the first that applies:
  130  interrupted; what had been judged is told
  1    a history that was named broke a guarantee, or one of the table of --expect had another verdict
       than expected
  2    a file or a flag was wrong; what could be read was judged
  3    nothing was judged; or of the files that were named, nothing was valid, or of one of them a guarantee
       that was named (linearizable, where none was) could not be judged
  0    otherwise";

#[derive(Clone, clap::Args)]
#[command(after_help = EXIT_CODES)]
pub(super) struct Arguments {
    /// Files with a history each; `-` is the standard input.
    #[arg(value_name = "FILE", required_unless_present = "expect")]
    files: Vec<PathBuf>,
    /// The format of the files.
    #[arg(long, value_name = "FORMAT", default_value = "auto", value_parser = parse_format)]
    from: From,
    /// What each key is taken for, by every guarantee: auto, register (or cas-register), append-string
    /// (or append-string-kv), set, counter, fifo-queue, mutex, multi-register. What is taken for something
    /// else than a guarantee is about is not judged by it; those of transactions, bank, long-fork and
    /// unique-ids go by the operations, which say it themselves. Without it, auto; and where porcupine-kv is
    /// asked nothing but get, put and append, append-string for linearizable.
    #[arg(long, value_parser = parse_model)]
    model: Option<Model>,
    /// What each key holds in the beginning, for every guarantee: nil, empty, a whole number, or a text,
    /// which for jepsen-edn is a keyword where it begins as `:a`. Counters begin with a number; sets,
    /// queues, locks and transactions with nil: from anything else, they are not judged. Without it,
    /// nil; for porcupine-kv, empty.
    #[arg(long, value_name = "VALUE", value_parser = parse_value, allow_negative_numbers = true)]
    initial: Option<Value>,
    /// What a read that returned nil says, for every guarantee; without it, `unknown` for jepsen-edn (as
    /// Knossos takes it), and `absent` for the others. What a queue gives is no read. Reads by
    /// transactions count where these are judged as linearizable; for the guarantees of transactions, for
    /// bank and for long-fork, nil is what nobody wrote, as it is to Jepsen's own checkers.
    #[arg(long, value_enum)]
    nil_reads: Option<NilReadsFlag>,
    /// How the keys of jepsen-edn are told apart. What `stormglass export` wrote says it itself.
    #[arg(long, value_enum, default_value_t)]
    keys: KeysFlag,
    /// Which guarantees the history is held against; `all` for every checker there is.
    #[arg(long, value_name = "NAME", default_value = "linearizable", value_parser = parse_guarantee)]
    guarantee: Vec<Which>,
    /// A table of histories and their verdicts: tab-separated, with the columns file, format,
    /// model, initial and expected, in any order and beside others, named by its first line. Each is
    /// checked, and has to have that verdict; one that shows nothing, which is vacuous here, may be
    /// `valid` there. Files that are named besides count as they do without a table.
    #[arg(long, value_name = "TSV")]
    expect: Option<PathBuf>,
    /// How many states a search may visit in one history.
    #[arg(long, value_name = "N", default_value_t = Limits::default().states_max, value_parser = clap::value_parser!(u64).range(1..))]
    states_max: u64,
    /// How many bytes the search of one key may use to remember what it has visited; several keys
    /// are searched at a time.
    #[arg(long, value_name = "BYTES", default_value_t = Limits::default().search_bytes_max, value_parser = clap::value_parser!(u64).range(1..))]
    search_bytes_max: u64,
    /// How far a read may be behind in time, such as `500ms`: judges bounded-staleness.
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, allow_hyphen_values = true)]
    staleness_max: Option<Duration>,
    /// How many acknowledged writes a read may miss: judges bounded-staleness.
    #[arg(long, value_name = "N")]
    versions_behind_max: Option<u64>,
    /// Also tell how stale reads were, what was lost and when recovery was over, and what each
    /// replica held at the end.
    #[arg(long)]
    facts: bool,
    /// Write the orders that prove valid verdicts to a file: a line of JSON for each key, with its
    /// operations in the order in which they took effect; what ended `info` may have done so after its
    /// `completed`. Not to the standard output, which has the verdicts.
    #[arg(long, value_name = "FILE")]
    linearization: Option<PathBuf>,
}

/// The format of a file, or none for whatever it looks like.
#[derive(Clone, Copy)]
struct From(Option<Format>);

/// A guarantee, or none for all.
#[derive(Clone, Copy)]
struct Which(Option<Guarantee>);

#[derive(Clone, Copy, ValueEnum)]
enum NilReadsFlag {
    /// The key was absent.
    Absent,
    /// Nothing.
    Unknown,
}

#[derive(Clone, Copy, Default, ValueEnum)]
enum KeysFlag {
    /// As the file says; one object, or a `:key` for each operation, unless that is in doubt.
    #[default]
    Auto,
    /// There is one object, or each operation has a `:key`.
    Single,
    /// Each value is a pair of a key and a value.
    Independent,
}

fn parse_format(text: &str) -> Result<From, String> {
    if text == "auto" {
        return Ok(From(None));
    }
    let known = Format::ALL.into_iter().find(|format| format.name() == text);
    known.map(|format| From(Some(format))).ok_or_else(|| {
        let names: Vec<&str> = Format::ALL.iter().map(|format| format.name()).collect();
        format!("the formats are auto, {}", names.join(", "))
    })
}

fn parse_model(text: &str) -> Result<Model, String> {
    let known = Model::ALL.iter().find(|(name, _)| *name == text);
    known.map(|(_, model)| *model).ok_or_else(|| {
        let names: Vec<&str> = Model::ALL.iter().map(|(name, _)| *name).collect();
        format!("the models are {}", names.join(", "))
    })
}

fn parse_value(text: &str) -> Result<Value, String> {
    Ok(match text {
        "nil" => Value::Nil,
        "empty" => Value::Text("".into()),
        text => match text.parse() {
            Ok(number) => Value::Int(number),
            Err(error) => {
                let error: std::num::ParseIntError = error;
                if !matches!(error.kind(), IntErrorKind::InvalidDigit | IntErrorKind::Empty) {
                    return Err("whole numbers have 64 bits here".to_owned());
                }
                Value::Text(text.into())
            }
        },
    })
}

fn parse_guarantee(text: &str) -> Result<Which, String> {
    if text == "all" {
        return Ok(Which(None));
    }
    let known = CHECKERS.iter().map(|entry| entry.guarantee).find(|known| known.name() == text);
    known.map(|guarantee| Which(Some(guarantee))).ok_or_else(|| {
        let names: Vec<&str> = CHECKERS.iter().map(|entry| entry.guarantee.name()).collect();
        format!("the guarantees are all, {}", names.join(", "))
    })
}

/// One history to be checked.
struct Task {
    path: PathBuf,
    from: From,
    limits: Limits,
    /// None where the format says it.
    model: Option<Model>,
    initial: Option<Value>,
    nil_reads: Option<NilReads>,
    expected: Option<String>,
}

impl Task {
    /// How its history is read and judged, which the format says where nothing else does.
    fn settings(&self, history: History, format: Format, is_ours: bool) -> (History, Settings) {
        // Porcupine's model of it: texts that are empty in the beginning, and appended to.
        let is_kv = format == Format::PorcupineKv;
        let is_asked_all = || {
            history.operations().all(|operation| {
                matches!(operation.op.kind(), OpKind::Read | OpKind::Write | OpKind::Append)
            })
        };
        let model = match self.model {
            Some(model) => model,
            None if is_kv && is_asked_all() => Model::AppendString,
            None => Model::Auto,
        };
        let is_empty = is_kv && matches!(model, Model::AppendString | Model::Register);
        let is_edn = !is_ours && matches!(format, Format::JepsenEdn | Format::PorcupineKv);
        let initial = match &self.initial {
            None if is_empty => Value::Text("".into()),
            None => Value::Nil,
            Some(Value::Text(text)) if is_edn && !text.starts_with(':') => {
                jepsen_edn::value_of_text(text)
            }
            Some(value) => value.clone(),
        };
        let nil_reads = self.nil_reads.unwrap_or(match format {
            Format::JepsenEdn if !is_ours => NilReads::Unknown,
            _ => NilReads::Absent,
        });
        // What only the format says is Porcupine's way to check, and no reason to leave registers out.
        let history = history
            .taken_for(self.model.unwrap_or(Model::Auto))
            .that_begins_as(&initial)
            .with_nil_reads(nil_reads);
        (history, Settings { limits: self.limits, model, ..Settings::default() })
    }
}

/// What became of one file.
#[derive(Serialize)]
struct Checked {
    file: String,
    format: &'static str,
    operations: usize,
    /// How many events have a time before that of the event before. The order of the file counts: they
    /// are told with the latest time before them.
    #[serde(skip_serializing_if = "config::is_usual")]
    times_moved: u32,
    /// The expected verdict, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    expected: Option<String>,
    /// What reading took, what judging took for all guarantees together, and what it took on top to
    /// explain the violations.
    reading_cpu_seconds: f64,
    cpu_seconds: f64,
    explaining_cpu_seconds: f64,
    verdicts: Vec<Judged>,
    /// What the history says beyond verdicts, where that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    facts: Option<Facts>,
}

#[derive(Serialize)]
struct Judged {
    guarantee: Guarantee,
    /// What judging it took.
    cpu_seconds: f64,
    #[serde(flatten)]
    verdict: Verdict,
    /// Whether the verdict is `unknown` because there is nothing to judge.
    vacuous: bool,
    /// For each anomaly, where the operations of its witness are in the file.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    lines: Vec<Vec<Lines>>,
}

/// The lines of an operation.
#[derive(Serialize)]
struct Lines {
    operation: OperationId,
    invoked: u64,
    completed: Option<u64>,
}

impl Lines {
    /// Those of the witnesses of a verdict.
    fn of(history: &History, verdict: &Verdict) -> Vec<Vec<Lines>> {
        // Our own format has a line for each event, after a header.
        let line =
            |event: EventIndex| history.line(event).map_or(u64::from(event.0) + 2, u64::from);
        let of_one = |id: &OperationId| {
            let operation = history.operation(*id);
            let completed = operation.completed.map(line);
            Lines { operation: *id, invoked: line(operation.invoked), completed }
        };
        let of_anomaly =
            |anomaly: &Anomaly| anomaly.witness.operations.iter().map(of_one).collect();
        verdict.anomalies().iter().map(of_anomaly).collect()
    }
}

impl fmt::Display for Lines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.completed {
            Some(completed) => write!(f, "{}-{completed}", self.invoked),
            None => write!(f, "{}", self.invoked),
        }
    }
}

/// The order of one key's operations, as it is written.
#[derive(Serialize)]
struct Order {
    file: String,
    key: String,
    order: Vec<Step>,
}

/// One operation of an order.
#[derive(Serialize)]
struct Step {
    /// The numbers of the events of its invocation and completion.
    invoked: u32,
    completed: Option<u32>,
    process: u32,
    /// Who holds a lock: processes of one session go on with what it has.
    session: u32,
    op: Op,
    /// What it was answered; none if nothing.
    value: Option<Value>,
    /// `ok`, `fail` or `info`.
    outcome: &'static str,
}

impl Order {
    fn of(history: &History, path: &Path, of_key: &Linearization) -> Order {
        let step = |id: &OperationId| {
            let operation = history.operation(*id);
            let (outcome, value) = match operation.outcome {
                Some(Outcome::Ok(Ret::Value(value))) => ("ok", Some(*value)),
                Some(Outcome::Ok(Ret::Done)) => ("ok", None),
                Some(Outcome::Fail(Reason::Mismatch { actual })) => ("fail", *actual),
                Some(Outcome::Fail(_)) => ("fail", None),
                Some(Outcome::Info(_)) | None => ("info", None),
            };
            Step {
                invoked: operation.invoked.0,
                completed: operation.completed.map(|event| event.0),
                process: operation.process.0,
                session: operation.session.0,
                op: history.op(*id),
                value: value.map(|value| history.value(value).clone()),
                outcome,
            }
        };
        Order {
            file: path.display().to_string(),
            key: history.key(of_key.key).as_str().to_owned(),
            order: of_key.operations.iter().map(step).collect(),
        }
    }
}

/// What became of all files so far.
#[derive(Default, Serialize)]
struct Content {
    files: Vec<Checked>,
    errors: Vec<String>,
    /// The orders that prove valid verdicts, as lines.
    #[serde(skip)]
    orders: Vec<u8>,
}

fn lock(content: &Mutex<Content>) -> MutexGuard<'_, Content> {
    content.lock().expect("nothing panics that holds it")
}

impl Arguments {
    pub(super) fn execute(&self, context: &Context) -> anyhow::Result<u8> {
        let tasks = self.tasks()?;
        self.check_nil_reads()?;
        if let Some(path) = &self.linearization {
            if path == Path::new("-") {
                bail!("--linearization names a file; the standard output has the verdicts");
            }
            let inputs = tasks.iter().map(|task| &*task.path).chain(self.expect.as_deref());
            check_other(path, inputs)?;
            check_writable(path)?;
        }
        let content = Arc::new(Mutex::new(Content::default()));
        self.tell_when_interrupted(tasks.len(), &content, context.output)?;
        for task in tasks {
            let mut orders = Vec::new();
            let judged = self.check(task, &mut orders);
            let mut content = lock(&content);
            match judged {
                Ok(one) => {
                    content.files.push(one);
                    content.orders.append(&mut orders);
                }
                Err(error) => {
                    let error = format!("{error:#}");
                    context.output.note(&format!("error: {}", escape::terminal(&error)));
                    content.errors.push(error);
                }
            }
        }
        let content = lock(&content);
        if let Some(table) =
            self.expect.as_ref().filter(|_| content.files.is_empty() && content.errors.is_empty())
        {
            let table = escape::terminal(&table.display().to_string());
            context.output.note(&format!("nothing was judged: {table} names no file"));
        }
        self.tell(&content, context.output)?;
        Ok(self.exit_code(&content.files, &content.errors))
    }

    /// When somebody presses Ctrl-C, what was judged by then is told, and the program ends.
    fn tell_when_interrupted(
        &self,
        files: usize,
        content: &Arc<Mutex<Content>>,
        output: Output,
    ) -> anyhow::Result<()> {
        let (arguments, content) = (self.clone(), content.clone());
        on_interruption(move || {
            // It is not given back: whoever judges has nothing more to say.
            let content = lock(&content);
            let left = files - content.files.len() - content.errors.len();
            if let Err(error) = arguments.tell(&content, output) {
                output.note(&format!("error: {}", escape::terminal(&format!("{error:#}"))));
            }
            output.note(&format!("interrupted: {left} of {files} files were not judged"));
            std::process::exit(Ending::Interrupted.code().into());
        })
    }

    /// Writes what was judged.
    fn tell(&self, content: &Content, output: Output) -> anyhow::Result<()> {
        // Where nothing was judged, what an earlier command wrote is worth more than nothing.
        if let Some(path) = self.linearization.as_ref().filter(|_| !content.files.is_empty()) {
            replace(path, &content.orders)?;
        }
        output.result("check", content, || self.human(&content.files, content.errors.len()))
    }

    /// Fails where reads of nil are to say nothing to a guarantee that rests on what they say.
    fn check_nil_reads(&self) -> anyhow::Result<()> {
        let rests_on_them = |guarantee: &Guarantee| {
            matches!(
                guarantee,
                Guarantee::Bank
                    | Guarantee::LongFork
                    | Guarantee::ReadCommitted
                    | Guarantee::SnapshotIsolation
                    | Guarantee::Serializable
                    | Guarantee::StrictSerializable
            )
        };
        let named = self.guarantee.iter().filter_map(|Which(which)| *which).find(rests_on_them);
        match (self.nil_reads, named) {
            (Some(NilReadsFlag::Unknown), Some(guarantee)) => bail!(
                "--nil-reads unknown cannot be had with --guarantee {guarantee}, to which nil is what \
                 nobody wrote"
            ),
            _ => Ok(()),
        }
    }

    fn exit_code(&self, checked: &[Checked], errors: &[String]) -> u8 {
        let named: Vec<&Judged> = checked
            .iter()
            .filter(|one| one.expected.is_none())
            .flat_map(|one| &one.verdicts)
            .collect();
        let any = |is: fn(&Verdict) -> bool| named.iter().any(|judged| is(&judged.verdict));
        if any(Verdict::is_invalid) || !checked.iter().all(Checked::is_as_expected) {
            1
        } else if !errors.is_empty() {
            USAGE
        } else if checked.is_empty()
            || !named.is_empty() && (!any(Verdict::is_valid) || self.misses_what_was_named(&named))
        {
            3
        } else {
            0
        }
    }

    /// Whether a guarantee that was asked for by name could not be judged.
    fn misses_what_was_named(&self, judged: &[&Judged]) -> bool {
        judged.iter().any(|one| {
            self.is_named(one.guarantee) && matches!(one.verdict, Verdict::Unknown { .. })
        })
    }

    /// Whether a guarantee was asked for by name, or by a bound of its own, and not as one of all.
    fn is_named(&self, guarantee: Guarantee) -> bool {
        self.is_bounded(guarantee)
            || self.guarantee.iter().any(|Which(which)| *which == Some(guarantee))
    }

    fn is_bounded(&self, guarantee: Guarantee) -> bool {
        guarantee == Guarantee::BoundedStaleness && self.limits().bounds_staleness()
    }

    fn human(&self, checked: &[Checked], unread: usize) -> String {
        let mut text = if checked.is_empty() { String::new() } else { table(checked) };
        for one in checked.iter().filter(|one| one.expected.is_none() || !one.is_as_expected()) {
            let (shown, vacuous): (Vec<&Judged>, Vec<&Judged>) = one
                .verdicts
                .iter()
                .partition(|judged| self.is_named(judged.guarantee) || !judged.vacuous);
            for judged in shown {
                tell(&mut text, &one.file, judged);
            }
            if !vacuous.is_empty() {
                let names: Vec<&str> = vacuous.iter().map(|one| one.guarantee.name()).collect();
                let file = escape::line(&one.file);
                let _ = writeln!(text, "\n{file}: has nothing to judge of {}", names.join(", "));
            }
        }
        for one in checked.iter().filter(|one| one.times_moved > 0) {
            let (file, times) = (escape::line(&one.file), one.times_moved);
            let events = if times == 1 { "event has" } else { "events have" };
            let _ = writeln!(
                text,
                "\n{file}: {times} {events} a time before that of the event before; the order of the \
                 file counts, and such an event is told with the latest time before it"
            );
        }
        for one in checked {
            if let Some(facts) = &one.facts {
                let _ = write!(text, "\n{}:\n{}", escape::line(&one.file), run::facts(facts));
            }
        }
        let _ = writeln!(text, "\n{}", totals(checked, unread));
        text
    }

    fn tasks(&self) -> anyhow::Result<Vec<Task>> {
        let limits = self.limits();
        let nil_reads = self.nil_reads.map(|flag| match flag {
            NilReadsFlag::Absent => NilReads::Absent,
            NilReadsFlag::Unknown => NilReads::Unknown,
        });
        let mut tasks: Vec<Task> = self
            .files
            .iter()
            .map(|path| Task {
                path: path.clone(),
                from: self.from,
                limits,
                model: self.model,
                initial: self.initial.clone(),
                nil_reads,
                expected: None,
            })
            .collect();
        if let Some(table) = &self.expect {
            if self.files.is_empty() && (self.model.is_some() || self.initial.is_some()) {
                bail!(
                    "--model and --initial are for the files that are named; {} says both for each \
                     of its files",
                    table.display()
                );
            }
            let text = std::fs::read_to_string(table)
                .with_context(|| format!("cannot read {}", table.display()))?;
            let mut columns = None;
            for (number, line) in (1..).zip(text.lines()) {
                let place = || format!("{}: line {number}", table.display());
                if line.trim().is_empty() {
                    continue;
                }
                let Some(columns) = &columns else {
                    columns = Some(Columns::named(line).with_context(place)?);
                    continue;
                };
                let task = columns.task(table, line, limits, nil_reads).with_context(place)?;
                tasks.push(task);
            }
        }
        Ok(tasks)
    }

    /// Judges one history, and adds its orders to those of the others where they are asked for.
    fn check(&self, task: Task, orders: &mut Vec<u8>) -> anyhow::Result<Checked> {
        let start = ProcessTime::now();
        let (history, format, is_ours) = self.read(&task.path, task.from)?;
        let reading = start.elapsed();
        let (history, settings) = task.settings(history, format, is_ours);
        if self.staleness_max.is_some() && !history.has_times() {
            bail!("{}: has no times, which --staleness-max needs", task.path.display());
        }
        let (mut judging, mut explaining) = (Duration::ZERO, Duration::ZERO);
        let mut verdicts = Vec::new();
        for entry in CHECKERS {
            if !self.is_wanted(entry.guarantee) {
                continue;
            }
            let start = ProcessTime::now();
            let mut verdict = match entry.guarantee {
                Guarantee::Linearizable => {
                    let bare = Settings { explain: false, ..settings.clone() };
                    Linearizable::with(bare).check(&history)
                }
                _ => (entry.build)(&settings.limits).check(&history),
            };
            let took = start.elapsed();
            judging += took;
            if entry.guarantee == Guarantee::Linearizable && verdict.is_invalid() {
                // What it takes to explain is no part of judging.
                let start = ProcessTime::now();
                verdict = Linearizable::with(settings.clone()).check(&history);
                explaining += start.elapsed();
            }
            let lines = Lines::of(&history, &verdict);
            let (guarantee, cpu_seconds) = (entry.guarantee, took.as_secs_f64());
            let vacuous = word(&verdict) == "vacuous";
            verdicts.push(Judged { guarantee, cpu_seconds, verdict, vacuous, lines });
        }
        if self.linearization.is_some() {
            let linearizable = Linearizable::with(Settings { explain: false, ..settings });
            // Without an order there is a verdict that says so.
            for of_key in linearizable.linearizations(&history).unwrap_or_default() {
                let line = Order::of(&history, &task.path, &of_key);
                orders.extend(json::line(&line)?);
            }
        }
        Ok(Checked {
            file: task.path.display().to_string(),
            format: format.name(),
            operations: history.operation_count(),
            times_moved: history.times_moved(),
            expected: task.expected,
            reading_cpu_seconds: reading.as_secs_f64(),
            cpu_seconds: judging.as_secs_f64(),
            explaining_cpu_seconds: explaining.as_secs_f64(),
            facts: self.facts.then(|| Facts::of(&history)),
            verdicts,
        })
    }

    fn limits(&self) -> Limits {
        Limits {
            states_max: self.states_max,
            search_bytes_max: self.search_bytes_max,
            staleness_max: self.staleness_max,
            versions_behind_max: self.versions_behind_max,
        }
    }

    fn is_wanted(&self, guarantee: Guarantee) -> bool {
        self.is_bounded(guarantee)
            || self.guarantee.iter().any(|Which(which)| which.is_none_or(|one| one == guarantee))
    }

    /// The history of a file, its format, and whether `stormglass export` wrote it as EDN.
    fn read(&self, path: &Path, from: From) -> anyhow::Result<(History, Format, bool)> {
        let name = path.display();
        let mut reader = input::open(path)?;
        let start = reader.fill_buf().with_context(|| format!("cannot read {name}"))?;
        let is_ours = jepsen_edn::is_ours(start);
        let format = match from.0 {
            Some(format) => format,
            None => Format::detect(start).ok_or_else(|| {
                anyhow!(
                    "{name}: line 1: looks like no format that is known; \
                     say which it is with --from"
                )
            })?,
        };
        let keys = match self.keys {
            KeysFlag::Auto if is_ours => Keys::Independent,
            KeysFlag::Auto => Keys::Auto,
            KeysFlag::Single => Keys::Single,
            KeysFlag::Independent if format == Format::JepsenEdn => Keys::Independent,
            KeysFlag::Independent => {
                bail!("{name}: --keys independent is for jepsen-edn, this is {}", format.name())
            }
        };
        let history = format
            .read(reader, &ReadLimits::default(), keys)
            .map_err(|error| anyhow!("{name}: {error}"))?;
        Ok((history, format, is_ours))
    }
}

/// The columns of a table of expected verdicts, as its first line names them.
struct Columns<'a>(Vec<&'a str>);

impl<'a> Columns<'a> {
    const KNOWN: [&'static str; 5] = ["file", "format", "model", "initial", "expected"];

    fn named(line: &'a str) -> anyhow::Result<Columns<'a>> {
        let names: Vec<&str> = line.split('\t').map(str::trim).collect();
        for name in Columns::KNOWN {
            match names.iter().filter(|column| **column == name).count() {
                1 => {}
                0 => bail!(
                    "no column is named `{name}`: the names {} belong here, with a tab between two",
                    Columns::KNOWN.join(", ")
                ),
                _ => bail!("more than one column is named `{name}`"),
            }
        }
        Ok(Columns(names))
    }

    /// What a line below asks for.
    fn task(
        &self,
        table: &Path,
        line: &str,
        limits: Limits,
        nil_reads: Option<NilReads>,
    ) -> anyhow::Result<Task> {
        let cells: Vec<&str> = line.split('\t').collect();
        if cells.len() != self.0.len() {
            bail!("{} columns where {} belong", cells.len(), self.0.join(", "));
        }
        let cell = |name| {
            let named = self.0.iter().zip(&cells).find(|(column, _)| **column == name);
            *named.expect("each is there").1
        };
        let expected = cell("expected");
        if !["valid", "invalid", "unknown"].contains(&expected) {
            bail!("`{expected}` where valid, invalid or unknown belongs");
        }
        let said = |what: String| anyhow!(what);
        Ok(Task {
            path: table.parent().unwrap_or(Path::new("")).join(cell("file")),
            from: parse_format(cell("format")).map_err(said)?,
            limits,
            model: Some(parse_model(cell("model")).map_err(said)?),
            initial: Some(parse_value(cell("initial")).map_err(said)?),
            nil_reads,
            expected: Some(expected.to_owned()),
        })
    }
}

impl Checked {
    fn is_as_expected(&self) -> bool {
        let Some(expected) = self.expected.as_deref() else { return true };
        // The tables of other checkers know no such verdict: what shows nothing is valid to them.
        let is_vacuous = |word| word == "vacuous" && expected == "valid";
        let words = self.verdicts.iter().map(|judged| word(&judged.verdict));
        words.into_iter().all(|word| word == expected || is_vacuous(word))
    }
}

fn word(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Valid(_) => "valid",
        // Nothing in it shows what any key held.
        Verdict::Unknown { coverage, .. } if coverage.operations == 0 && coverage.keys == 0 => {
            "vacuous"
        }
        Verdict::Unknown { .. } => "unknown",
        Verdict::Invalid { .. } => "invalid",
    }
}

/// The verdicts as a table, and what a reader needs to know of them.
fn table(checked: &[Checked]) -> String {
    let with_expected = checked.iter().any(|one| one.expected.is_some());
    let mut table = Builder::new();
    let mut header = vec!["file", "operations", "keys", "guarantee", "verdict"];
    if with_expected {
        header.push("expected");
    }
    header.extend(["CPU", "how"]);
    table.push_record(header);
    for one in checked {
        for judged in &one.verdicts {
            let coverage = judged.verdict.coverage();
            let mut row = vec![
                escape::line(&one.file),
                coverage.operations.to_string(),
                coverage.keys.to_string(),
                judged.guarantee.to_string(),
                word(&judged.verdict).to_owned(),
            ];
            if with_expected {
                let expected = one.expected.clone().unwrap_or_default();
                row.push(if one.is_as_expected() { expected } else { format!("{expected} ✗") });
            }
            row.push(format!("{:.3} ms", judged.cpu_seconds * 1e3));
            row.push(coverage.method.clone());
            table.push_record(row);
        }
    }
    table.build().with(Style::rounded()).to_string() + "\n"
}

/// What a reader needs to know of a verdict that is not `valid`.
fn tell(text: &mut String, file: &str, judged: &Judged) {
    let file = escape::line(file);
    match &judged.verdict {
        Verdict::Valid(_) => {}
        Verdict::Unknown { reason, .. } => {
            let reason = escape::line(reason);
            let word = word(&judged.verdict);
            let _ = writeln!(text, "\n{file}: {} {word}: {reason}", judged.guarantee);
        }
        Verdict::Invalid { anomalies, .. } => {
            let _ = match anomalies.len() {
                1 => writeln!(text, "\n{file}: one anomaly:"),
                many => writeln!(
                    text,
                    "\n{file}: {many} anomalies, the first (`--format json` shows all):"
                ),
            };
            text.push_str(&run::explanation(&anomalies[0]));
            let lines: Vec<String> = judged.lines[0].iter().map(Lines::to_string).collect();
            if !lines.is_empty() {
                let _ = writeln!(text, "  (lines {} of the file)", lines.join(", "));
            }
        }
    }
}

fn totals(checked: &[Checked], unread: usize) -> String {
    let count = |is: fn(&Verdict) -> bool| {
        checked.iter().flat_map(|one| &one.verdicts).filter(|judged| is(&judged.verdict)).count()
    };
    // The sum of nothing would be a negative zero.
    let sum = |of: fn(&Checked) -> f64| checked.iter().fold(0.0, |sum, one| sum + of(one)) * 1e3;
    let mut text = match checked.len() {
        1 => "1 file".to_owned(),
        many => format!("{many} files"),
    };
    let verdicts: usize = checked.iter().map(|one| one.verdicts.len()).sum();
    if verdicts != checked.len() {
        let _ = write!(text, ", {verdicts} verdicts");
    }
    let _ = write!(
        text,
        ": {} valid, {} invalid, {} unknown",
        count(Verdict::is_valid),
        count(Verdict::is_invalid),
        count(|verdict| word(verdict) == "unknown"),
    );
    match count(|verdict| word(verdict) == "vacuous") {
        0 => {}
        vacuous => {
            let _ = write!(text, ", {vacuous} vacuous");
        }
    }
    let (reading, judging) = (sum(|one| one.reading_cpu_seconds), sum(|one| one.cpu_seconds));
    let _ = write!(text, "; reading took {reading:.3} CPU ms, judging {judging:.3} CPU ms");
    if count(Verdict::is_invalid) > 0 {
        let explaining = sum(|one| one.explaining_cpu_seconds);
        let _ = write!(text, ", explaining {explaining:.3} CPU ms");
    }
    if checked.iter().any(|one| one.expected.is_some()) {
        let off = checked.iter().filter(|one| !one.is_as_expected()).count();
        let _ = match (off, unread) {
            (0, 0) => write!(text, "; every verdict is as expected"),
            (0, _) => write!(text, "; every verdict of what could be read is as expected"),
            (off, _) => write!(text, "; {off} are not as expected"),
        };
    }
    text
}
