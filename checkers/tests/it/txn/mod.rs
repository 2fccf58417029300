//! Checkers of transactions: case by case, and against slow and obvious ones.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use stormglass_checkers::checker::{CHECKERS, Checker, Limits};
use stormglass_checkers::history::{
    HistoryBuilder, Invocation, Op, Outcome, ProcessId, Reason, Ret, SessionId, Time, Value,
};
use stormglass_checkers::{History, Verdict};

use crate::collections::reason;
use crate::notation::history;

mod bank;
mod list_append;
mod long_fork;
mod simulate;

/// What a verdict says, in short: `valid`, `unknown`, or the names of the anomalies.
pub(crate) fn said(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Valid(_) => "valid".to_owned(),
        Verdict::Unknown { .. } => "unknown".to_owned(),
        Verdict::Invalid { anomalies, .. } => {
            let names: Vec<&str> = anomalies.iter().map(|found| found.name.as_str()).collect();
            names.join(" ")
        }
    }
}

#[track_caller]
fn check(checker: &dyn Checker, text: &str, expected: &str) {
    let verdict = checker.check(&history(text));
    assert_eq!(said(&verdict), expected, "{verdict:#?}");
}

/// The sentences of the first anomaly, a line each.
fn sentences(checker: &dyn Checker, text: &str) -> String {
    checker.check(&history(text)).anomalies()[0].explanation.join("\n")
}

/// A history that is made transaction by transaction.
struct Recorder {
    builder: HistoryBuilder,
    now: u64,
    /// Which store the keys belong to.
    store: usize,
}

impl Recorder {
    fn new() -> Recorder {
        Recorder { builder: HistoryBuilder::new(), now: 0, store: 0 }
    }

    fn tick(&mut self) -> Time {
        self.now += 1;
        Time::from_millis(self.now)
    }

    /// Process and session have the same number.
    fn invoke(&mut self, process: u32, steps: &[Step]) {
        let at = self.tick();
        let op = Op::Txn { key: format!("db{}", self.store).into(), body: body(steps, false) };
        let (process, session) = (ProcessId(process), SessionId(process));
        let invocation = Invocation { process, session, node: None, op };
        self.builder.invoke(at, &invocation).unwrap();
    }

    fn complete(&mut self, process: u32, outcome: &Outcome) {
        let at = self.tick();
        let id = self.builder.open_operation(ProcessId(process)).unwrap();
        self.builder.complete(at, id, outcome).unwrap();
    }

    fn ok(&mut self, process: u32, steps: &[Step]) {
        self.complete(process, &Outcome::Ok(Ret::Value(body(steps, true))));
    }

    fn fail(&mut self, process: u32) {
        self.complete(process, &Outcome::Fail(Reason::Other("aborted".into())));
    }

    fn info(&mut self, process: u32) {
        self.complete(process, &Outcome::Info(Reason::Timeout));
    }

    fn finish(self) -> History {
        self.builder.finish()
    }
}

/// A step of a made-up transaction: its name, its key, and what is asked or was read.
#[derive(Clone, Debug, PartialEq)]
struct Step {
    name: &'static str,
    key: usize,
    value: Value,
}

fn step(name: &'static str, key: usize, value: Value) -> Step {
    Step { name, key, value }
}

/// Steps as a value, with or without what was read.
fn body(steps: &[Step], answered: bool) -> Value {
    let one = |step: &Step| {
        let shown = if step.name == "r" && !answered { Value::Nil } else { step.value.clone() };
        let key = Value::Text(["x", "y", "z", "u", "v"][step.key].into());
        Value::List([Value::Text(step.name.into()), key, shown].into())
    };
    Value::List(steps.iter().map(one).collect())
}

#[test]
fn a_transaction_that_nobody_understands_is_not_judged() {
    let odd = [
        "7",
        "nil",
        "[7]",
        "[[r,x]]",
        "[[r,x,nil,nil]]",
        "[[rename,x,nil]]",
        "[[7,x,nil]]",
        "[[r,nil,nil]]",
        "[[r,[x],nil]]",
    ];
    for body in odd {
        let text = format!("0 invoke txn db {body}\n0 ok {body}");
        let why = reason(&stormglass_checkers::checker::Bank::default(), &text);
        assert!(why.starts_with("the transaction of operation 0 cannot be read: "), "{why}");
    }
}

/// Some value, mostly one of those that steps are made of.
fn odd(random: &mut ChaCha8Rng, depth: u32) -> Value {
    match random.random_range(0..if depth > 0 { 12 } else { 8 }) {
        0 => Value::Nil,
        1 | 2 => Value::Int(random.random_range(-1..3)),
        3 => Value::Int(if random.random_bool(0.5) { i64::MIN } else { i64::MAX }),
        number @ 4..=7 => Value::Text(["r", "w", "append", "x"][number - 4].into()),
        _ => Value::List((0..random.random_range(0..4)).map(|_| odd(random, depth - 1)).collect()),
    }
}

#[test]
fn no_body_and_no_answer_makes_a_checker_panic() {
    let mut random = ChaCha8Rng::seed_from_u64(5);
    let (mut unknown, mut invalid) = (0, 0);
    for _ in 0..3_000 {
        let mut builder = HistoryBuilder::new();
        for process in 0..3 {
            let names = ["r", "w", "append", "inc"];
            let count = random.random_range(0..3);
            let mut steps: Vec<Value> = (0..count)
                .map(|_| {
                    let name = Value::Text(names[random.random_range(0..4)].into());
                    let key = Value::Int(random.random_range(0..2));
                    let value = if random.random_bool(0.5) {
                        Value::Int([0, 1, 2, i64::MIN, i64::MAX][random.random_range(0..5)])
                    } else {
                        odd(&mut random, 2)
                    };
                    Value::List([name, key, value].into())
                })
                .collect();
            if random.random_bool(0.1) {
                steps.push(odd(&mut random, 3));
            }
            let asked = Value::List(steps.clone().into());
            for step in &mut steps {
                if random.random_bool(0.1) {
                    *step = odd(&mut random, 3);
                }
            }
            let answer = Value::List(steps.into());
            let op = Op::Txn { key: "db".into(), body: asked };
            let (process, session) = (ProcessId(process), SessionId(process));
            let invocation = Invocation { process, session, node: None, op };
            let id = builder.invoke(Time::from_millis(1), &invocation).unwrap();
            builder.complete(Time::from_millis(1), id, &Outcome::Ok(Ret::Value(answer))).unwrap();
        }
        let history = builder.finish();
        for entry in CHECKERS {
            match (entry.build)(&Limits::default()).check(&history) {
                Verdict::Unknown { .. } => unknown += 1,
                Verdict::Invalid { .. } => invalid += 1,
                Verdict::Valid(_) => {}
            }
        }
    }
    assert!(unknown > 1_000 && invalid > 1_000, "{unknown} unknown, {invalid} invalid");
}
