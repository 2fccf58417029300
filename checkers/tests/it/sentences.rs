//! What is said of a violation of a small register is held against its operations, by whoever reads no more than that.
//! Each operation is of a process of its own, whose number is its place.

use stormglass_checkers::Anomaly;
use stormglass_checkers::history::{Op, Outcome, Ret, Value};

use crate::oracle::{Small, Step, brought, is_effective, is_unknown};

/// Whatever is said of a violation is true.
pub(crate) fn check(smalls: &[Small], anomaly: &Anomaly) {
    let said = Said { smalls, anomaly };
    match anomaly.name.as_str() {
        "stale-read" => said.check_stale_read(),
        "lost-update" => said.check_lost_update(),
        "not-linearizable" => said.check_furthest(),
        _ => {}
    }
}

struct Said<'a> {
    smalls: &'a [Small],
    anomaly: &'a Anomaly,
}

impl<'a> Said<'a> {
    /// The operation of which the number comes after some words.
    fn process(&self, sentence: &str, after: &str) -> &'a Small {
        &self.smalls[numbers(sentence, after).next().unwrap()]
    }

    fn sentence(&self, with: &str) -> Option<&'a String> {
        self.anomaly.explanation.iter().find(|words| words.contains(with))
    }

    /// What is shown, in the order of the calls.
    fn shown(&self) -> Vec<&'a Small> {
        let mut by_call: Vec<&Small> = self.smalls.iter().collect();
        by_call.sort_by_key(|small| small.from);
        self.anomaly.witness.operations.iter().map(|id| by_call[id.index()]).collect()
    }

    /// The newer value was acknowledged or seen before, and whoever wrote the older one was over by then, or wrote the
    /// only one there was.
    fn check_stale_read(&self) {
        let Said { smalls, anomaly } = self;
        let claim = self.sentence(", before that, and ").unwrap();
        let read = self.process(claim, "process ");
        let newer = match claim.contains("acknowledged to process ") {
            true => self.process(claim, "acknowledged to process "),
            false => self.process(claim, "but process "),
        };
        assert!(newer.to < read.from, "{claim}: {smalls:#?}");
        let value = claim.split(" = ").nth(1).unwrap().split(" after ").next().unwrap();
        let makes_it = |small: &&Small| {
            is_effective(small)
                && brought(small).is_some_and(|brought| brought.to_string() == value)
        };
        let all: Vec<&Small> = smalls.iter().filter(makes_it).collect();
        let makers: Vec<&Small> =
            all.iter().copied().filter(|small| small.from < read.to).collect();
        if let Some(why) = self.sentence("is the older one: ") {
            let is_single = makers.len() + usize::from(value == "nil") == 1;
            assert!(is_single, "{why}: {smalls:#?}");
            if why.ends_with(" replaced it") {
                let by = self.process(why, ", and process ");
                let replaces = matches!(&by.op, Op::Cas { from, to, .. } if from.to_string() == value && from != to);
                let is_done = matches!(by.outcome, Outcome::Ok(_));
                assert!(replaces && is_done && by.to < read.from, "{why}: {smalls:#?}");
                return;
            }
            // What is told of the newer value is of the time at which it was there only once.
            let after = self.process(why, ", before process ");
            assert!(after.from < read.to, "{why}: {smalls:#?}");
            return;
        }
        let are_over = makers.iter().all(|small| !is_unknown(small) && small.to < newer.from);
        assert!(are_over, "{claim}: {:?}: {smalls:?}", anomaly.witness);
        assert_eq!(
            claim.ends_with(" again by then"),
            all.len() > makers.len(),
            "{claim}: {smalls:#?}"
        );
        let shown = self.shown();
        let is_shown = |small: &Small| shown.iter().any(|shown| shown.from == small.from);
        let last = makers.iter().max_by_key(|small| small.to);
        assert!(
            last.is_none_or(|last| is_shown(last)),
            "{claim}: who wrote it is not shown: {smalls:#?}"
        );
        let counted = self
            .sentence("operations that may have made x hold ")
            .map(|words| numbers(words, "all ").next());
        let all_are_shown = makers.iter().all(|small| is_shown(small));
        assert_eq!(counted, (!all_are_shown).then_some(Some(makers.len())), "{smalls:#?}");
    }

    /// Both put something else in the place of what was there once.
    fn check_lost_update(&self) {
        let claim = self.anomaly.explanation.last().unwrap();
        let (first, second) = (self.process(claim, "processes "), self.process(claim, " and "));
        let from = |small: &Small| match &small.op {
            Op::Cas { from, to, .. } if from != to && small.outcome == Outcome::Ok(Ret::Done) => {
                from.clone()
            }
            other => panic!("{claim}: {other:?} replaced nothing: {:#?}", self.smalls),
        };
        assert_eq!(from(first), from(second), "{claim}: {:#?}", self.smalls);
    }

    /// No order of what is shown explains more answers, and what is said not to fit is all that may come next.
    fn check_furthest(&self) {
        let words = &self.anomaly.explanation;
        // What is not shown may be more than these words tell.
        if words.iter().any(|words| words.contains("who is not shown")) {
            return;
        }
        let placed: Vec<usize> = match self.sentence("no order goes further than this one: ") {
            Some(order) => {
                let (_, order) = order.split_once(": ").unwrap();
                order.split("; ").flat_map(|one| numbers(one, "process ").next()).collect()
            }
            None => Vec::new(),
        };
        let Some(misfits) = self.sentence("fits: ").or(self.sentence("does not fit: ")) else {
            panic!("nothing is said not to fit: {words:#?}")
        };
        let (_, misfits) = misfits.split_once("fit").unwrap();
        let mut misfits: Vec<usize> =
            misfits.split("; ").flat_map(|one| numbers(one, "process ").next()).collect();
        let shown = self.shown();
        let place =
            |small: &Small| self.smalls.iter().position(|other| other.from == small.from).unwrap();
        let is_answered = |place: &&usize| !is_unknown(&self.smalls[**place]);
        let most = most_answers(&shown, &Value::Nil);
        assert_eq!(
            placed.iter().filter(is_answered).count(),
            most,
            "{words:#?}: {:#?}",
            self.smalls
        );
        let left: Vec<&Small> =
            shown.into_iter().filter(|small| !placed.contains(&place(small))).collect();
        let next = left.iter().filter(|small| small.end().is_some() && may_come_next(&left, small));
        let mut next: Vec<usize> = next.map(|small| place(small)).collect();
        next.sort_unstable();
        misfits.sort_unstable();
        assert_eq!(misfits, next, "{words:#?}: {:#?}", self.smalls);
    }
}

/// The numbers that come after some words.
fn numbers(sentence: &str, after: &str) -> impl Iterator<Item = usize> {
    let rest = sentence.split(after).skip(1);
    rest.map(|rest| rest.split(|c: char| !c.is_ascii_digit()).next().unwrap().parse().unwrap())
}

fn may_come_next(left: &[&Small], small: &Small) -> bool {
    left.iter().all(|other| other.end().is_none_or(|end| end >= small.begin()))
}

/// How many answers an order of these operations explains, or of some of them, at most.
fn most_answers(left: &[&Small], held: &Value) -> usize {
    let after = |place: usize| {
        let small = left[place];
        let after = small.after(held).filter(|_| may_come_next(left, small))?;
        let mut rest = left.to_vec();
        rest.remove(place);
        Some(usize::from(small.end().is_some()) + most_answers(&rest, &after))
    };
    (0..left.len()).filter_map(after).max().unwrap_or(0)
}
