//! Monotonic reads, monotonic writes, and writes follow reads (Terry et al., "Session Guarantees for
//! Weakly Consistent Replicated Data", 1994). [Read-your-writes](super::ReadYourWrites) is the
//! fourth.
//!
//! All three rest on which values are [certainly older](super::order) than others. Where values are
//! written once, nobody is accused wrongly; what the order of events and of compare-and-sets leaves
//! open is not judged.
//!
//! A reader is accused of nothing: that it sees a session's writes out of their order is held
//! against the store, which promises each guarantee together with monotonic reads.

use rustc_hash::FxHashMap;

use super::Checker;
use super::findings::Findings;
use super::order::{Order, seen};
use crate::history::{
    EventIndex, History, KeyId, Operation, OperationId, Phase, SessionId, ValueId,
};
use crate::verdict::{Guarantee, Verdict};

/// How all three are judged.
const METHOD: &str = "order by real time and compare-and-set";

/// How many of a session's last values of a key a read is compared with.
const REMEMBERED: usize = 4;

/// A session's reads never go back to an older state.
#[derive(Clone, Copy, Debug)]
pub struct MonotonicReads;

/// A session's writes are seen in their order.
#[derive(Clone, Copy, Debug)]
pub struct MonotonicWrites;

/// Whoever sees what a session wrote also sees what the session had read before.
#[derive(Clone, Copy, Debug)]
pub struct WritesFollowReads;

impl Checker for MonotonicReads {
    fn check(&self, history: &History) -> Verdict {
        let order = Order::new(history);
        let mut last: FxHashMap<(SessionId, KeyId), Vec<OperationId>> = FxHashMap::default();
        let mut found =
            Findings::new(history, Guarantee::MonotonicReads, METHOD, history.key_count());
        for read in before_the_end(history) {
            let Some(value) = seen(&read) else { continue };
            let key = *read.op.key();
            let before = last.entry((read.session, key)).or_default();
            for earlier in before.iter().rev().map(|id| history.operation(*id)) {
                let (Some(known), Some(by)) = (seen(&earlier), earlier.completed) else { continue };
                // Nothing keeps two processes of a session from acting at the same time.
                if !earlier.precedes(&read) {
                    continue;
                }
                found.coverage.operations += 1;
                if order.is_older_than_seen(value, key, known, by) {
                    let conclusion = format!(
                        "session {} had read {} before it read {}, which is older",
                        read.session,
                        history.value(known),
                        history.value(value),
                    );
                    let proof =
                        proof(&order, &[(key, known), (key, value)], &[earlier.id, read.id]);
                    found.add(Guarantee::MonotonicReads.name(), &proof, conclusion);
                    break;
                }
            }
            if before.len() == REMEMBERED {
                before.remove(0);
            }
            before.push(read.id);
        }
        found.into_verdict("no session read a key twice")
    }
}

impl Checker for MonotonicWrites {
    fn check(&self, history: &History) -> Verdict {
        let what =
            |operation: &Operation<'_>| operation.is_ok() && operation.value_written().is_some();
        follow(history, Guarantee::MonotonicWrites, &what, &|order, value, write| {
            order.is_older(value, write)
        })
    }
}

impl Checker for WritesFollowReads {
    fn check(&self, history: &History) -> Verdict {
        let what = |operation: &Operation<'_>| seen(operation).is_some();
        follow(history, Guarantee::WritesFollowReads, &what, &|order, value, read| {
            let (Some(known), Some(by)) = (seen(read), read.completed) else { return false };
            order.is_older_than_seen(value, *read.op.key(), known, by)
        })
    }
}

/// Finds readers that saw what a session wrote, and after that, on another key, something older
/// than what the session had written or read there before.
fn follow(
    history: &History,
    guarantee: Guarantee,
    what: &dyn Fn(&Operation<'_>) -> bool,
    is_older: &dyn Fn(&Order<'_>, ValueId, &Operation<'_>) -> bool,
) -> Verdict {
    let order = Order::new(history);
    let mut found = Findings::new(history, guarantee, METHOD, history.key_count());
    // What each session did on each key that whoever follows it has to see, by completion.
    let mut done: FxHashMap<(SessionId, KeyId), Vec<(EventIndex, OperationId)>> =
        FxHashMap::default();
    for operation in before_the_end(history).filter(|operation| what(operation)) {
        let Some(end) = operation.completed else { continue };
        done.entry((operation.session, *operation.op.key())).or_default().push((end, operation.id));
    }
    for of_key in done.values_mut() {
        of_key.sort_unstable();
    }
    // The latest write of each other session that a session has seen: when it was invoked, and the
    // read that saw it.
    let mut reached: FxHashMap<SessionId, Vec<Reached>> = FxHashMap::default();
    for read in before_the_end(history) {
        let Some(value) = seen(&read) else { continue };
        let key = *read.op.key();
        let of_reader = reached.entry(read.session).or_default();
        for known in of_reader.iter() {
            let by = history.operation(known.by);
            let Some(of_writer) = done.get(&(known.writer, key)) else { continue };
            let before = of_writer.partition_point(|(end, _)| *end < known.invoked);
            let Some((_, earlier)) = before.checked_sub(1).map(|place| of_writer[place]) else {
                continue;
            };
            if !by.precedes(&read) {
                continue;
            }
            found.coverage.operations += 1;
            let earlier = history.operation(earlier);
            if is_older(&order, value, &earlier) {
                let conclusion = format!(
                    "session {} had `{}` behind it before it began `{}`, which session {} saw; after \
                     that, session {} read {} = {}, which is older",
                    known.writer,
                    history.op(earlier.id),
                    history.op(known.write),
                    read.session,
                    read.session,
                    history.key(key),
                    history.value(value),
                );
                let shown = seen(&earlier).or(earlier.value_written());
                let values: Vec<(KeyId, ValueId)> =
                    shown.map(|shown| (key, shown)).into_iter().chain([(key, value)]).collect();
                let operations = [earlier.id, known.write, known.by, read.id];
                found.add(guarantee.name(), &proof(&order, &values, &operations), conclusion);
                break;
            }
        }
        let mut writers = order.writers(key, value);
        if let (Some(write), None) = (writers.next(), writers.next())
            && write.session != read.session
            // `nil` may also be what the key held from the start.
            && value != ValueId::NIL
        {
            let now = Reached {
                writer: write.session,
                invoked: write.invoked,
                write: write.id,
                by: read.id,
            };
            match of_reader.iter_mut().find(|known| known.writer == now.writer) {
                Some(known) if known.invoked < now.invoked => *known = now,
                Some(_) => {}
                None => of_reader.push(now),
            }
        }
    }
    found.into_verdict("no session read twice after it had seen what another one wrote")
}

/// How far a reader has seen what another session wrote.
struct Reached {
    writer: SessionId,
    invoked: EventIndex,
    write: OperationId,
    by: OperationId,
}

/// The operations before the final reads.
fn before_the_end(history: &History) -> impl Iterator<Item = Operation<'_>> {
    let end = history.phase_began(Phase::Final).map(|(event, _)| event);
    history.operations().take_while(move |operation| end.is_none_or(|end| operation.invoked < end))
}

/// Who wrote the values that a proof is about, and the operations that show it, the last of them
/// last.
fn proof(
    order: &Order<'_>,
    values: &[(KeyId, ValueId)],
    shown_by: &[OperationId],
) -> Vec<OperationId> {
    let writers =
        values.iter().flat_map(|(key, value)| order.writers(*key, *value).map(|writer| writer.id));
    writers.chain(shown_by.iter().copied()).collect()
}
