//! What is wrong with an object, in words that can be checked by hand against the operations shown.

use super::proof::Proof;
use super::sums::{self, Bounds};
use crate::brief::value_in_short;
use crate::checker::Checker;
use crate::checker::findings::but_who_failed;
use crate::checker::linearizable::search::Call;
use crate::checker::linearizable::shrink;
use crate::checker::words::sum_shown;
use crate::history::{History, Op, Operation, OperationId, Time, Value};
use crate::model::SequentialSpec;
use crate::model::append_string::{AppendOp, AppendRet, AppendString};
use crate::model::counter::Counter;
use crate::model::mutex::{Mutex, MutexOp, MutexRet};
use crate::model::set::{Set, SetOp, SetRet};
use crate::verdict::{Anomaly, Contrast, Legal};

/// Sentences, and operations that they name and that are shown besides those of the proof; none where there is
/// nothing better to say than that there is no order.
#[derive(Default)]
pub(super) struct Words {
    pub(super) sentences: Vec<String>,
    pub(super) names: Vec<OperationId>,
    /// What was shown against what could have been.
    pub(super) contrast: Option<Contrast>,
}

impl Words {
    fn of(sentence: String) -> Words {
        Words { sentences: vec![sentence], ..Words::default() }
    }
}

impl<'a, S: SequentialSpec> Proof<'a, S> {
    fn operation(&self, id: OperationId) -> Operation<'a> {
        self.history.operation(id)
    }

    fn key(&self) -> &'a str {
        self.history.key(self.object.key).as_str()
    }

    /// The call of the proof that was answered last, which shows what is wrong.
    fn last(&self) -> (OperationId, &'a Call<S>) {
        let last = *shrink::last(&self.part.calls);
        let of_last = self.part.calls.iter().find(|(id, _)| *id == last);
        (last, &of_last.expect("it is one of them").1)
    }
}

/// Whether one call was over before another one began.
fn precedes<S: SequentialSpec>(one: &Call<S>, other: &Call<S>) -> bool {
    one.ret.is_some() && one.completed < other.invoked
}

/// What a checker that knows these objects better says of the proof, if that takes hardly anything else.
pub(super) fn of_checker<S: SequentialSpec>(
    proof: &Proof<'_, S>,
    checker: &dyn Checker,
) -> Option<Words> {
    let verdict = checker.check(proof.history);
    let is_shown = |id: &&OperationId| proof.part.calls.iter().any(|(shown, _)| shown == *id);
    let others = |found: &&Anomaly| {
        let operations = &found.witness.operations;
        operations.len() - operations.iter().filter(is_shown).count()
    };
    let of_key = verdict
        .anomalies()
        .iter()
        .filter(|found| found.key.as_ref().is_some_and(|key| key.as_str() == proof.key()));
    let best = of_key.min_by_key(others).filter(|best| others(best) <= 1)?;
    let sentence = best.explanation.last()?.clone();
    let names = best.witness.operations.clone();
    Some(Words { sentences: vec![sentence], names, contrast: best.contrast.clone() })
}

/// A sum that is less or more than anything that was added comes to.
pub(super) fn of_sum(proof: &Proof<'_, Counter>) -> Option<Words> {
    let (id, read) = proof.last();
    let sum = sums::shown(read)?;
    let start = proof.part.start.0;
    let others = || proof.part.calls.iter().map(|(_, call)| call);
    let counted = others().filter(|call| call.invoked <= read.completed);
    let bounds =
        Bounds::of(counted.filter_map(|call| Some((sums::added(call)?, precedes(call, read)))));
    let process = proof.operation(id).process;
    let from = match proof.part.shown_by {
        Some(shown_by) => {
            let before = proof.operation(shown_by);
            format!("to the {start} that process {} read, ", before.process)
        }
        None if start != 0 => format!("to the {start} of the beginning, "),
        None => String::new(),
    };
    let key = proof.key();
    let (counted, came_to) = if sum > start + bounds.most {
        let most = match bounds.most {
            0 => "nothing".to_owned(),
            most => format!("at most {most}"),
        };
        let words =
            format!("{most} can have been added by the time process {process} had read {key}");
        (words, format!("{} at most", start + bounds.most))
    } else if sum < start + bounds.least {
        let words = match bounds.least {
            0 => format!(
                "nothing can have counted down by the time process {process} had read {key}"
            ),
            least => format!(
                "at least {least} had been added before process {process} began to read {key}"
            ),
        };
        (words, format!("{} at least", start + bounds.least))
    } else {
        return None;
    };
    let came_to = if from.is_empty() { String::new() } else { format!(", which makes {came_to}") };
    let shown = proof.operation(id).value_read().map(|shown| proof.history.value(shown));
    let shown = shown.map_or_else(|| sum.to_string(), |shown| sum_shown(shown, sum));
    Some(Words::of(format!("{from}{counted}{came_to}; it read {shown}")))
}

/// Who had begun to add an element by the time a read was over, and failed.
fn failed_to_add(history: &History, read: OperationId, element: &Value) -> Option<OperationId> {
    let read = history.operation(read);
    let failed = |add: &Operation<'_>| match add.op {
        Op::Add { key, value } => {
            key == *read.op.key()
                && add.has_failed()
                && history.value(value) == element
                && read.completed.is_none_or(|end| add.invoked < end)
        }
        _ => false,
    };
    history.operations().find(failed).map(|add| add.id)
}

/// Elements that are shown, or not, as nobody added or removed them.
pub(super) fn of_elements(proof: &Proof<'_, Set<Value>>) -> Option<Words> {
    let calls = &proof.part.calls;
    if proof.part.shown_by.is_some() || calls.iter().any(|(_, call)| is_removal(call)) {
        return None;
    }
    let (id, read) = proof.last();
    let process = |id: OperationId| proof.operation(id).process;
    let elements = |call: &Call<Set<Value>>| match &call.ret {
        Some(SetRet::Elements(elements)) => Some(elements.clone()),
        _ => None,
    };
    let shown = elements(read)?;
    let by_itself = of_one_read(proof, &shown);
    if by_itself.is_some() {
        return by_itself;
    }
    let others = || calls.iter().filter(|(other, _)| *other != id);
    let is_missing = |value: &Value| !shown.contains(value);
    for (other, call) in others().filter(|(_, call)| precedes(call, read)) {
        let missing = match added(call) {
            Some(value) => Some(value.clone()).filter(is_missing),
            None => elements(call)?.into_iter().find(is_missing),
        };
        let Some(missing) = missing else { continue };
        let did = if call.op == SetOp::Read { "read" } else { "added" };
        let words = format!(
            "process {} had {did} {} before process {} began to read, and nobody removed it \
             before that read ended, which does not show it",
            process(*other),
            value_in_short(&missing),
            process(id),
        );
        let contrast = Contrast::new(id, Legal::With(missing)).due_to(*other);
        return Some(Words { contrast: Some(contrast), ..Words::of(words) });
    }
    let adds = || calls.iter().filter_map(|(id, call)| Some((*id, call, added(call)?)));
    for (first, one, missing) in adds().filter(|(.., value)| is_missing(value)) {
        let is_later = |(_, other, value): &(_, &Call<Set<Value>>, &Value)| {
            precedes(one, other) && shown.contains(value)
        };
        if let Some((second, _, value)) = adds().find(is_later) {
            let [missing, value] = [missing, value].map(value_in_short);
            return Some(Words::of(format!(
                "process {} had added {missing} before process {} began to add {value}, and nobody \
                 removed it before process {} had read; who reads {value} reads {missing} as well",
                process(first),
                process(second),
                process(id),
            )));
        }
    }
    others().find_map(|(other, call)| {
        let of_other = elements(call)?;
        let mine = shown.iter().find(|value| !of_other.contains(value))?;
        let missing = of_other.iter().find(|value| is_missing(value))?;
        let [mine, missing] = [mine, missing].map(value_in_short);
        Some(Words::of(format!(
            "process {} read {missing} without {mine}, and process {} read {mine} without {missing}: one \
             of the two was there first, and nobody removed it before both had read",
            process(*other),
            process(id),
        )))
    })
}

/// What is wrong in what one read shows, whatever others saw.
fn of_one_read(proof: &Proof<'_, Set<Value>>, shown: &[Value]) -> Option<Words> {
    let id = proof.last().0;
    let process = proof.operation(id).process;
    if let Some(twice) = shown.windows(2).find(|pair| pair[0] == pair[1]) {
        let twice = value_in_short(&twice[0]);
        return Some(Words::of(format!("process {process} was shown {twice} twice")));
    }
    let ([_], [one]) = (&proof.part.calls[..], shown) else { return None };
    let failed = failed_to_add(proof.history, id, one);
    let words = format!(
        "process {process} was shown {}, which nobody had begun to add by then{}",
        value_in_short(one),
        but_who_failed(proof.history, failed),
    );
    Some(Words { names: failed.into_iter().collect(), ..Words::of(words) })
}

fn added(call: &Call<Set<Value>>) -> Option<&Value> {
    if let SetOp::Add(value) = &call.op { Some(value) } else { None }
}

fn is_removal(call: &Call<Set<Value>>) -> bool {
    matches!(call.op, SetOp::Remove(_))
}

/// Texts that do not go on from what was shown before, or miss what was appended.
pub(super) fn of_text(proof: &Proof<'_, AppendString>) -> Option<Words> {
    let is_put = |call: &Call<AppendString>| matches!(call.op, AppendOp::Put(_));
    if proof.part.calls.iter().any(|(_, call)| is_put(call)) {
        return None;
    }
    let (id, read) = proof.last();
    let AppendRet::Text(text) = read.ret.as_ref()? else { return None };
    let process = |id: OperationId| proof.operation(id).process;
    let last = process(id);
    // What was put there and is not shown had gone again.
    let nor = if proof.object.calls.iter().any(is_put) {
        ", nor does it show what was put in its place"
    } else {
        ""
    };
    let start = &proof.part.start.0;
    let Some(rest) = text.strip_prefix(&**start) else {
        let before = match proof.part.shown_by {
            Some(shown_by) => format!("process {} had read before", process(shown_by)),
            None => "was there in the beginning".to_owned(),
        };
        return Some(Words::of(format!(
            "process {last} read a text that does not begin with what {before}{nor}: {}",
            where_they_part(text, start),
        )));
    };
    let others = || proof.part.calls.iter().filter(|(other, _)| *other != id);
    for (other, call) in others().filter(|(_, call)| precedes(call, read)) {
        let AppendOp::Append(appended) = &call.op else { continue };
        if !rest.contains(&**appended) {
            let after = match proof.part.shown_by {
                Some(shown_by) => format!(" after what process {} had read", process(shown_by)),
                None => String::new(),
            };
            return Some(Words::of(format!(
                "process {} had appended {} before process {last} began to read, which does not show \
                 it{after}{nor}",
                process(*other),
                value_in_short(&Value::Text(appended.as_str().into())),
            )));
        }
    }
    let in_another_order = in_another_order(proof, rest, nor);
    if in_another_order.is_some() {
        return in_another_order;
    }
    others().find_map(|(other, call)| {
        let AppendRet::Text(of_other) = call.ret.as_ref()? else { return None };
        let is_shorter = of_other.starts_with(&**text) && precedes(call, read);
        if text.starts_with(&**of_other) || of_other.starts_with(&**text) && !is_shorter {
            return None;
        }
        Some(Words::of(format!(
            "neither of the texts that processes {} and {last} read can come of the other one{nor}: {}",
            process(*other),
            where_they_part(text, of_other),
        )))
    })
}

/// Two texts that were appended one after the other and are shown the other way round, wherever they may be in `rest`.
fn in_another_order(proof: &Proof<'_, AppendString>, rest: &str, nor: &str) -> Option<Words> {
    let (id, _) = proof.last();
    let process = |id: OperationId| proof.operation(id).process;
    let appends = || {
        proof.part.calls.iter().filter_map(|(id, call)| match &call.op {
            AppendOp::Append(text) => Some((*id, call, text.as_str())),
            _ => None,
        })
    };
    appends().find_map(|(first, one, text)| {
        let place = rest.find(text)?;
        let is_in_front = |(_, other, of_other): &(OperationId, &Call<AppendString>, &str)| {
            precedes(one, other) && rest.rfind(of_other).is_some_and(|last| last < place)
        };
        let (second, _, of_second) = appends().find(is_in_front)?;
        let [before, after] =
            [text, of_second].map(|text| value_in_short(&Value::Text(text.into())));
        let end = rest.rfind(of_second).map(|last| last + of_second.len());
        let beginning = if end > Some(place) { " beginning" } else { "" };
        Some(Words::of(format!(
            "process {} had appended {before} before process {} began to append {after}, and process {} \
             read {after}{beginning} in front of it{nor}",
            process(first),
            process(second),
            process(id),
        )))
    })
}

/// Where a text no longer is what an earlier one was.
fn where_they_part(text: &str, before: &str) -> String {
    if before.starts_with(text) {
        return "it ends earlier".to_owned();
    }
    let same = text.chars().zip(before.chars()).take_while(|(one, other)| one == other).count();
    format!("they differ from character {} on", same + 1)
}

/// Who held a lock while somebody else did, gave back what it did not hold, or got an old token.
pub(super) fn of_lock(proof: &Proof<'_, Mutex>) -> Option<Words> {
    let key = proof.key();
    let process = |id: OperationId| proof.operation(id).process;
    if let [(id, Call { op: MutexOp::Release(_), .. })] = proof.part.calls[..] {
        return Some(Words::of(format!(
            "process {} gave {key} back without holding it",
            process(id)
        )));
    }
    let taken = proof
        .part
        .calls
        .iter()
        .filter(|(_, call)| matches!(call.op, MutexOp::Acquire(_)) && call.ret.is_some());
    let taken: Vec<&(OperationId, Call<Mutex>)> = taken.collect();
    let pairs = || taken.iter().flat_map(|one| taken.iter().map(move |other| (*one, *other)));
    for ((first, one), (second, other)) in pairs().filter(|(one, other)| precedes(&one.1, &other.1))
    {
        if let (Some(MutexRet::Token(earlier)), Some(MutexRet::Token(later))) = (one.ret, other.ret)
            && later <= earlier
        {
            return Some(Words::of(format!(
                "process {} had been given token {earlier} before process {} asked for {key}; it was \
                 given {later}, and tokens grow",
                process(*first),
                process(*second),
            )));
        }
    }
    pairs().filter(|(one, other)| one.0 < other.0).find_map(|(one, other)| {
        let (first, second) = (Hold::of(proof, one), Hold::of(proof, other));
        let is_over = |hold: &Hold, at: u32| hold.until.is_some_and(|(end, ..)| end <= at);
        let both = first.from.max(second.from);
        if is_over(&first, both) || is_over(&second, both) {
            return None;
        }
        let words = format!(
            "process {} held {key} from {} at the latest{}, and process {} held it from {} at the \
             latest{}: nobody gave it back in between",
            process(one.0),
            first.since,
            first.end_in_words(),
            process(other.0),
            second.since,
            second.end_in_words(),
        );
        let names = [&first, &second].into_iter().filter_map(|hold| hold.until);
        let names = names.map(|(.., id)| id).collect();
        Some(Words { names, ..Words::of(words) })
    })
}

/// When somebody certainly held a lock.
struct Hold {
    /// Since it was told that it did.
    from: u32,
    since: Time,
    /// Until it may have given it back: when it began to, and which operation that is.
    until: Option<(u32, Time, OperationId)>,
}

impl Hold {
    fn of(proof: &Proof<'_, Mutex>, (id, taken): &(OperationId, Call<Mutex>)) -> Hold {
        let acquired = proof.operation(*id);
        // Nobody else can give it back. What was over before it was taken did not.
        let gives_back = |operation: &Operation<'_>| {
            matches!(operation.op, Op::Release { .. })
                && *operation.op.key() == proof.object.key
                && operation.session == acquired.session
                && !operation.has_failed()
                && !operation.precedes(&acquired)
        };
        let first = proof.history.operations().find(gives_back);
        let until = first.map(|release| (release.invoked.0, release.invoked_at, release.id));
        let since = acquired.completed_at.unwrap_or(acquired.invoked_at);
        Hold { from: taken.completed, since, until }
    }

    fn end_in_words(&self) -> String {
        match self.until {
            Some((_, at, _)) => format!(" until it began to give it back at {at}"),
            None => " and never gave it back".to_owned(),
        }
    }
}
