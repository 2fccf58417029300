//! How far an order of the operations of a proof gets: what is said where there is nothing better.

use rustc_hash::FxHashSet;

use super::search::Call;
use crate::checker::words::did;
use crate::history::{History, OperationId};
use crate::model::SequentialSpec;

/// More calls than this are not put in order: nobody would follow it by hand, either.
const CALLS_MAX: usize = 12;

/// What a call of a proof is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// An operation that is shown, as it was.
    Shown(OperationId),
    /// A compare-and-set that is shown; who brought what it replaced is not.
    OfUnknown(OperationId),
    /// Some write that is not shown.
    Hidden,
}

impl Source {
    fn words(self, history: &History) -> String {
        let told = |id| did(history, &history.operation(id));
        match self {
            Source::Shown(id) => told(id),
            Source::OfUnknown(id) => {
                format!("{}, which somebody had brought who is not shown", told(id))
            }
            Source::Hidden => "somebody who is not shown wrote something else".to_owned(),
        }
    }
}

/// An order that explains as many answers as any other, and what comes next but does not fit. Where it begins with
/// what somebody was shown, that is told.
pub(super) fn sentences<S: SequentialSpec>(
    history: &History,
    (start, shown_by): (&S, Option<OperationId>),
    calls: &[(Source, Call<S>)],
) -> Vec<String> {
    if calls.len() > CALLS_MAX {
        return Vec::new();
    }
    let mut walk = Walk { calls, met: FxHashSet::default(), path: Vec::new(), best: Vec::new() };
    walk.go_on(0, start);
    let best = walk.best;
    let placed = best.iter().fold(0, |placed, place| placed | 1 << place);
    let stuck = (0..calls.len()).filter(|place| {
        placed & 1 << place == 0 && calls[*place].1.ret.is_some() && is_next(calls, placed, *place)
    });
    let tell = |place: usize| calls[place].0.words(history);
    let stuck: Vec<String> = stuck.map(tell).collect();
    let order: Vec<String> = best.into_iter().map(tell).collect();
    let since = shown_by.map(|id| did(history, &history.operation(id)));
    let misfit = match &stuck[..] {
        [] => return Vec::new(),
        [one] => format!("this does not fit: {one}"),
        many => format!("none of these fits: {}", many.join("; ")),
    };
    match (since, &order[..]) {
        (None, []) => vec![format!("already at the start, {misfit}")],
        (Some(since), []) => vec![format!("after {since}, {misfit}")],
        (since, _) => {
            let since = since.map_or_else(String::new, |since| format!("after {since}, "));
            let order = order.join("; ");
            vec![
                format!("{since}no order goes further than this one: {order}"),
                format!("after it, {misfit}"),
            ]
        }
    }
}

/// Whether a call may come next: whatever was over before it began has its place.
fn is_next<K, S: SequentialSpec>(calls: &[(K, Call<S>)], placed: u32, place: usize) -> bool {
    let call = &calls[place].1;
    let is_before = |other: &Call<S>| other.ret.is_some() && other.completed < call.invoked;
    let waits =
        |(at, (_, other)): (usize, &(K, Call<S>))| placed & 1 << at == 0 && is_before(other);
    !calls.iter().enumerate().any(waits)
}

/// A walk over all orders, each set of calls in each state once.
struct Walk<'a, S: SequentialSpec> {
    calls: &'a [(Source, Call<S>)],
    met: FxHashSet<(u32, S)>,
    path: Vec<usize>,
    best: Vec<usize>,
}

impl<S: SequentialSpec> Walk<'_, S> {
    /// The answers that an order explains; of two that explain as many, the shorter order is better.
    fn worth(&self, path: &[usize]) -> (usize, usize) {
        let answered = path.iter().filter(|place| self.calls[**place].1.ret.is_some()).count();
        (answered, self.calls.len() - path.len())
    }

    fn go_on(&mut self, placed: u32, state: &S) {
        if !self.met.insert((placed, state.clone())) {
            return;
        }
        if self.worth(&self.path) > self.worth(&self.best) {
            self.best = self.path.clone();
        }
        for place in 0..self.calls.len() {
            if placed & 1 << place != 0 || !is_next(self.calls, placed, place) {
                continue;
            }
            let Call { op, ret, .. } = &self.calls[place].1;
            let mut next = state.clone();
            let fits = match ret {
                Some(ret) => next.is_valid_step(op, ret),
                None => {
                    next.invoke(op);
                    true
                }
            };
            if fits {
                self.path.push(place);
                self.go_on(placed | 1 << place, &next);
                self.path.pop();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{
        HistoryBuilder, Invocation, Op, Outcome, ProcessId, Ret, SessionId, Time, Value,
    };
    use crate::model::register::{Register, RegisterOp, RegisterRet};

    /// What is said of writes and reads of a register that begins as 0, one after the other, each by a process of its
    /// own: `Some` value was read, or a write of it acknowledged; of `None` nothing is known.
    fn told(asked: &[(Op, Option<i64>)]) -> Vec<String> {
        let mut builder = HistoryBuilder::new();
        let mut calls = Vec::new();
        for (number, (op, answer)) in (0_u32..).zip(asked) {
            let (process, at) = (ProcessId(number), Time::from_millis(u64::from(number)));
            let invocation =
                Invocation { process, session: SessionId(number), node: None, op: op.clone() };
            let id = builder.invoke(at, &invocation).unwrap();
            let (op, ret) = match op {
                Op::Write { value: Value::Int(value), .. } => {
                    (RegisterOp::Write(*value), Ret::Done)
                }
                _ => (RegisterOp::Read, Ret::Value(answer.map_or(Value::Nil, Value::Int))),
            };
            let returned = match &ret {
                Ret::Value(_) => answer.map(RegisterRet::Value),
                _ => answer.map(|_| RegisterRet::Done),
            };
            if answer.is_some() {
                builder.complete(at, id, &Outcome::Ok(ret)).unwrap();
            }
            let completed = number * 2 + 1;
            calls.push((
                Source::Shown(id),
                Call { op, ret: returned, invoked: number * 2, completed },
            ));
        }
        sentences(&builder.finish(), (&Register(0), None), &calls)
    }

    fn write(value: i64) -> Op {
        Op::Write { key: "x".into(), value: Value::Int(value) }
    }

    fn read() -> Op {
        Op::Read { key: "x".into(), level: Default::default() }
    }

    #[test]
    fn as_much_is_put_in_order_as_anybody_would_follow() {
        let some = |count: usize| {
            let mut asked = vec![(write(1), Some(1)); count - 1];
            asked.push((read(), Some(2)));
            asked
        };
        let words = told(&some(CALLS_MAX));
        assert_eq!(words[1], "after it, this does not fit: process 11 read x = 2");
        assert!(told(&some(CALLS_MAX + 1)).is_empty());
    }

    #[test]
    fn what_was_over_before_another_began_comes_before_it() {
        let words = told(&[(write(1), Some(1)), (write(2), Some(2)), (read(), Some(1))]);
        let order =
            "no order goes further than this one: process 0 wrote x = 1; process 1 wrote x = 2";
        assert_eq!(words, [order, "after it, this does not fit: process 2 read x = 1"]);
    }

    #[test]
    fn what_explains_no_answer_is_in_no_order() {
        let words = told(&[(write(3), None), (write(1), Some(1)), (read(), Some(2))]);
        let order = "no order goes further than this one: process 1 wrote x = 1";
        assert_eq!(words, [order, "after it, this does not fit: process 2 read x = 2"]);
    }
}
