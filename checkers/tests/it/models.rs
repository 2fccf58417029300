//! The sequential specifications: what each object does, and what it tells a search.

use std::collections::{BTreeSet, VecDeque};
use std::fmt::Debug;

use stormglass_checkers::model::SequentialSpec;
use stormglass_checkers::model::append_string::{AppendOp, AppendRet, AppendString};
use stormglass_checkers::model::cas_register::{CasOp, CasRegister, CasRet};
use stormglass_checkers::model::counter::{Counter, CounterOp, CounterRet};
use stormglass_checkers::model::fifo_queue::{FifoQueue, QueueOp, QueueRet};
use stormglass_checkers::model::multi_register::{MultiRegister, Step};
use stormglass_checkers::model::mutex::{Mutex, MutexOp, MutexRet};
use stormglass_checkers::model::register::{Register, RegisterOp, RegisterRet};
use stormglass_checkers::model::set::{Set, SetOp, SetRet};

/// What is there after an operation that returned this; none where it cannot.
fn after<S: SequentialSpec>(state: &S, op: &S::Op, ret: &S::Ret) -> Option<S> {
    let mut state = state.clone();
    state.is_valid_step(op, ret).then_some(state)
}

/// The only one of some; none where there is none, or another one.
fn only<S: Eq>(states: impl IntoIterator<Item = S>) -> Option<S> {
    let mut states = states.into_iter();
    let one = states.next()?;
    states.all(|other| other == one).then_some(one)
}

/// Holds what a model says of operations and answers against what becomes of some of its states,
/// which are to be so many that they stand for all: `is_pure`, `shows` and `makes` are true, and
/// are said wherever they are.
#[track_caller]
fn holds<S>(states: &[S], ops: &[S::Op], rets: &[S::Ret])
where
    S: SequentialSpec + Debug,
    S::Op: Debug,
    S::Ret: Debug,
{
    for op in ops {
        let invoked = |state: &S| {
            let mut state = state.clone();
            state.invoke(op);
            state
        };
        let changed = states.iter().map(|state| (state, invoked(state)));
        let made = changed.filter(|(state, after)| *state != after).map(|(_, after)| after);
        assert_eq!(S::makes(op), only(made), "{op:?}");
        for ret in rets {
            let steps = || states.iter().filter_map(|state| Some((state, after(state, op, ret)?)));
            if steps().next().is_none() {
                continue;
            }
            let is_pure = steps().all(|(state, after)| *state == after);
            assert_eq!(S::is_pure(op, ret), is_pure, "{op:?} that returned {ret:?}");
            let shown =
                if steps().count() == 1 { steps().next().map(|(state, _)| state) } else { None };
            assert_eq!(S::shows(op, ret).as_ref(), shown, "{op:?} that returned {ret:?}");
            for (state, _) in steps() {
                let may_return = state.may_return(op, ret, &[]);
                assert!(may_return, "{op:?} that returned {ret:?} at {state:?}");
            }
        }
    }
}

#[test]
fn registers_say_what_they_show_and_make() {
    let states = [1, 2, 3].map(Register);
    let ops = [RegisterOp::Read, RegisterOp::Write(1), RegisterOp::Write(2)];
    let rets = [RegisterRet::Done, RegisterRet::Value(1), RegisterRet::Value(2)];
    holds(&states, &ops, &rets);
    let states = [1, 2, 3].map(CasRegister);
    let ops = [CasOp::Read, CasOp::Write(1), CasOp::Cas(1, 2), CasOp::Cas(2, 1)];
    let rets = [
        CasRet::Done,
        CasRet::Value(1),
        CasRet::Value(2),
        CasRet::Mismatch(None),
        CasRet::Mismatch(Some(2)),
        CasRet::Mismatch(Some(3)),
    ];
    holds(&states, &ops, &rets);
    assert_eq!(
        after(&CasRegister(1), &CasOp::Cas(2, 3), &CasRet::Mismatch(None)),
        Some(CasRegister(1))
    );
    assert_eq!(after(&CasRegister(2), &CasOp::Cas(2, 3), &CasRet::Mismatch(None)), None);
}

#[test]
fn a_counter_says_what_it_shows() {
    let states = [0, 1, 2, 5].map(Counter);
    let ops = [CounterOp::Read, CounterOp::Add(0), CounterOp::Add(1), CounterOp::Add(-2)];
    let rets = [CounterRet::Done, CounterRet::Sum(0), CounterRet::Sum(2)];
    holds(&states, &ops, &rets);
    assert_eq!(Counter(7).heap_bytes(), 0);
}

#[test]
fn a_queue_shows_when_it_is_empty() {
    let states: Vec<FifoQueue<u64>> = [&[][..], &[1], &[1, 2], &[2], &[2, 1]]
        .map(|items| FifoQueue(items.to_vec().into()))
        .into();
    let ops = [QueueOp::Enqueue(1), QueueOp::Enqueue(2), QueueOp::Dequeue];
    let rets = [QueueRet::Done, QueueRet::Taken(None), QueueRet::Taken(Some(1))];
    holds(&states, &ops, &rets);
    let mut queue = FifoQueue(VecDeque::with_capacity(4));
    queue.0.push_back(7_u64);
    assert_eq!(queue.heap_bytes(), queue.0.capacity() * 8);
}

#[test]
fn a_set_shows_its_elements() {
    let set = |elements: &[u64]| Set(elements.iter().copied().collect::<BTreeSet<u64>>());
    let states = [&[][..], &[1], &[1, 2], &[2], &[3]].map(set);
    let ops = [SetOp::Read, SetOp::Add(1), SetOp::Add(2), SetOp::Remove(1)];
    let rets = [
        SetRet::Done,
        SetRet::Elements(vec![]),
        SetRet::Elements(vec![1, 2]),
        SetRet::Elements(vec![2, 1]),
    ];
    holds(&states, &ops, &rets);
    assert_eq!(set(&[1, 2, 3]).heap_bytes(), 11 * 8 + 32);
    assert_eq!(set(&[]).heap_bytes(), 0);
}

#[test]
fn a_lock_is_held_by_one_and_refused_to_others() {
    let lock = |holder, token| Mutex { holder, token };
    let states = [
        lock(None, None),
        lock(None, Some(1)),
        lock(Some(1), None),
        lock(Some(1), Some(1)),
        lock(Some(2), None),
        lock(Some(2), Some(1)),
    ];
    let ops = [MutexOp::Acquire(1), MutexOp::Acquire(2), MutexOp::Release(1), MutexOp::Release(2)];
    holds(&states, &ops, &[MutexRet::Done, MutexRet::Refused]);
    let (free, held) = (lock(None, Some(1)), lock(Some(1), Some(1)));
    assert_eq!(after(&free, &MutexOp::Acquire(1), &MutexRet::Done), Some(held));
    assert_eq!(after(&held, &MutexOp::Release(1), &MutexRet::Done), Some(free));
    for op in [MutexOp::Acquire(1), MutexOp::Acquire(2), MutexOp::Release(2)] {
        assert_eq!(after(&held, &op, &MutexRet::Refused), Some(held), "{op:?}");
        assert_eq!(after(&held, &op, &MutexRet::Done), None, "{op:?}");
    }
    assert_eq!(after(&free, &MutexOp::Release(1), &MutexRet::Refused), Some(free));
}

#[test]
fn fencing_tokens_of_a_lock_grow() {
    let free = |token| Mutex { holder: None, token };
    let taken = |token, given| after(&free(token), &MutexOp::Acquire(1), &MutexRet::Token(given));
    let held = |token| Mutex { holder: Some(1), token: Some(token) };
    assert_eq!(taken(None, 5), Some(held(5)));
    assert_eq!(taken(Some(5), 6), Some(held(6)));
    assert_eq!(taken(Some(5), 5), None);
    assert_eq!(taken(Some(5), 4), None);
    assert_eq!(after(&held(5), &MutexOp::Acquire(2), &MutexRet::Token(6)), None);
    assert_eq!(after(&held(5), &MutexOp::Release(1), &MutexRet::Token(6)), None);
    assert!(!Mutex::is_pure(&MutexOp::Acquire(1), &MutexRet::Token(1)));
}

#[test]
fn registers_that_hold_the_default_are_as_if_never_written() {
    type Registers = MultiRegister<u32, u64>;
    let registers = |held: &[(u32, u64)]| MultiRegister(held.iter().copied().collect());
    let states: [Registers; 5] =
        [&[][..], &[(1, 1)], &[(1, 1), (2, 1)], &[(2, 1)], &[(2, 2)]].map(registers);
    let ops = [
        vec![],
        vec![Step::Read(1)],
        vec![Step::Write(1, 1)],
        vec![Step::Write(1, 0)],
        vec![Step::Read(2), Step::Write(2, 2)],
    ];
    holds(&states, &ops, &[vec![], vec![0], vec![1]]);
    let mut written = registers(&[(1, 1), (2, 1)]);
    assert_eq!(written.invoke(&vec![Step::Write(1, 0), Step::Read(1), Step::Read(2)]), [0, 1]);
    assert_eq!(written, registers(&[(2, 1)]));
    let three: Registers = registers(&[(1, 1), (2, 1), (3, 1)]);
    assert_eq!(three.heap_bytes(), 3 * size_of::<(u32, u64)>());
}

#[test]
fn a_text_says_what_it_shows_and_makes() {
    let text = |text: &str| AppendString(text.to_owned());
    let shown = |text: &str| AppendRet::Text(text.to_owned());
    let ops = [AppendOp::Get, AppendOp::Put("b".to_owned()), AppendOp::Append("c".to_owned())];
    holds(&[text(""), text("a")], &ops, &[AppendRet::Done, shown(""), shown("a")]);
    let mut one = text("a");
    ops.iter().for_each(|op| drop(one.invoke(op)));
    assert_eq!(one, text("bc"));
    assert_eq!((text("abc").heap_bytes(), text("").heap_bytes()), (3, 0));
}

/// Holds what a model says that it may still return against all that it can become, with up to three
/// others, each of them done once or not at all; returns how often it said no, and how often it could
/// have.
fn looks_ahead<S: SequentialSpec + Debug>(
    states: &[S],
    (op, rets): (&S::Op, &[S::Ret]),
    others: &[S::Op],
) -> (usize, usize)
where
    S::Op: Debug,
    S::Ret: Debug,
{
    fn becomes<S: SequentialSpec>(state: &S, op: &S::Op, ret: &S::Ret, left: &[S::Op]) -> bool {
        state.clone().is_valid_step(op, ret)
            || (0..left.len()).any(|next| {
                let (mut state, mut left) = (state.clone(), left.to_vec());
                state.invoke(&left.remove(next));
                becomes(&state, op, ret, &left)
            })
    }
    let (mut said, mut could) = (0, 0);
    for number in 0..(others.len() + 1).pow(3) {
        let place = |at: u32| number / (others.len() + 1).pow(at) % (others.len() + 1);
        let left: Vec<S::Op> = (0..3).filter_map(|at| others.get(place(at)).cloned()).collect();
        for state in states {
            for ret in rets {
                let may_return = state.may_return(op, ret, &left.iter().collect::<Vec<_>>());
                let becomes = becomes(state, op, ret, &left);
                assert!(may_return || !becomes, "{state:?} may return {ret:?} after {left:?}");
                said += usize::from(!may_return);
                could += usize::from(!becomes);
            }
        }
    }
    (said, could)
}

#[test]
fn a_counter_says_what_it_can_still_come_to() {
    let states = [0, 3, -4].map(Counter);
    let rets: Vec<CounterRet> = (-9..=9).map(CounterRet::Sum).collect();
    let others = [0, 2, 4, -4, -6].map(CounterOp::Add);
    let (said, could) = looks_ahead(&states, (&CounterOp::Read, &rets), &others);
    assert!(said > could * 9 / 10, "{said} of {could}");
    // Sums of numbers that lie between the bounds, and have their divisor, may still be none of theirs.
    assert!(said < could);
    assert!(Counter(1).may_return(&CounterOp::Add(1), &CounterRet::Done, &[]));
}

#[test]
fn a_set_says_what_it_can_still_hold() {
    let set = |elements: &[u8]| Set(elements.iter().copied().collect::<BTreeSet<u8>>());
    let states = [&[][..], &[1], &[1, 2], &[3]].map(set);
    let rets: Vec<SetRet<u8>> = [&[][..], &[1], &[2], &[1, 2], &[1, 2, 3], &[3]]
        .map(|shown| SetRet::Elements(shown.to_vec()))
        .to_vec();
    let others = [SetOp::Add(1), SetOp::Add(2), SetOp::Remove(1), SetOp::Remove(3), SetOp::Read];
    let (said, could) = looks_ahead(&states, (&SetOp::Read, &rets), &others);
    // Each element by itself: that is all there is to it.
    assert_eq!(said, could);
    assert!(set(&[1]).may_return(&SetOp::Add(1), &SetRet::Done, &[]));
}

#[test]
fn a_text_says_what_it_can_still_become() {
    let texts = ["", "a", "ab", "b", "ba", "aab", "abb", "bab"].map(str::to_owned);
    let states = texts.clone().map(AppendString);
    let rets = texts.map(AppendRet::Text);
    let append = |text: &str| AppendOp::Append(text.to_owned());
    let put = |text: &str| AppendOp::Put(text.to_owned());
    let others = [append("a"), append("ab"), append("b"), append(""), put("a"), put("bb")];
    let (said, could) = looks_ahead(&states, (&AppendOp::Get, &rets), &others);
    assert!(said > could * 9 / 10 && said < could, "{said} of {could}");
    let text = AppendString("a".to_owned());
    assert!(text.may_return(&append("a"), &AppendRet::Done, &[]));
}
