//! How far the search has to go: each case has an order, or none, that is found within a budget
//! which trying everything would exceed by far.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use stormglass_checkers::checker::linearizable::{Budget, Call, Found, Shortage, order, search};
use stormglass_checkers::model::SequentialSpec;
use stormglass_checkers::model::append_string::{AppendOp, AppendRet, AppendString};
use stormglass_checkers::model::cas_register::{CasOp, CasRegister, CasRet};
use stormglass_checkers::model::counter::{Counter, CounterOp, CounterRet};
use stormglass_checkers::model::fifo_queue::{FifoQueue, QueueOp, QueueRet};
use stormglass_checkers::model::multi_register::{self, MultiRegister};
use stormglass_checkers::model::mutex::{Mutex, MutexOp, MutexRet};
use stormglass_checkers::model::set::{Set, SetOp, SetRet};

use crate::oracle::{Step, has_an_order};

type Register = CasRegister<u32>;

fn call<S: SequentialSpec>(op: S::Op, ret: S::Ret, invoked: u32, completed: u32) -> Call<S> {
    Call { op, ret: Some(ret), invoked, completed }
}

fn unanswered<S: SequentialSpec>(op: S::Op, invoked: u32) -> Call<S> {
    Call { op, ret: None, invoked, completed: 0 }
}

fn write(value: u32, invoked: u32, completed: u32) -> Call<Register> {
    call(CasOp::Write(value), CasRet::Done, invoked, completed)
}

fn read(value: u32, invoked: u32, completed: u32) -> Call<Register> {
    call(CasOp::Read, CasRet::Value(value), invoked, completed)
}

fn within<S: SequentialSpec>(states: u64, start: &S, calls: &[Call<S>]) -> Found {
    search(start, calls, &mut Budget::of_states(states))
}

/// Replays an order: every operation with an answer once, none before one that was over, and each
/// with its answer.
fn replay<S: SequentialSpec>(start: &S, calls: &[Call<S>], order: &[usize]) {
    let mut state = start.clone();
    let mut latest_begin = 0;
    let mut times = vec![0; calls.len()];
    for place in order {
        let call = &calls[*place];
        times[*place] += 1;
        assert!(call.end().is_none_or(|end| end >= latest_begin), "operation {place} was over");
        latest_begin = latest_begin.max(call.begin());
        state = call
            .after(&state)
            .unwrap_or_else(|| panic!("operation {place} cannot have its answer"));
    }
    for (call, times) in calls.iter().zip(times) {
        assert!(times == 1 || times == 0 && call.ret.is_none());
    }
}

#[test]
fn a_value_that_must_still_be_read_is_left_last() {
    // Of 24 writes at the same time the last to take effect is the one that is read.
    for last in 1..=24 {
        let mut calls: Vec<_> = (1..=24).map(|value| write(value, value, 100 + value)).collect();
        calls.push(read(last, 200, 201));
        assert_eq!(within(100, &CasRegister(0), &calls), Found::Order);
        // The order ends with it: nobody can read another one after that.
        calls.push(read(last, 202, 203));
        assert_eq!(within(100, &CasRegister(0), &calls), Found::Order);
    }
}

#[test]
fn a_value_is_left_where_it_is_written_again_in_time() {
    let writes = |again| {
        let mut calls: Vec<_> = (1..=9).map(|value| write(value, value, 100 + value)).collect();
        calls.extend([write(7, again, again + 50), read(7, 210, 300)]);
        calls
    };
    // Once more before the read, or while it is open: 7 need not be the last of the nine.
    for again in [150, 205, 290] {
        let mut calls = writes(again);
        calls.push(read(9, 125, 126));
        calls.sort_by_key(|call| call.invoked);
        assert_eq!(within(200, &CasRegister(0), &calls), Found::Order, "again at {again}");
    }
    let mut calls = writes(301);
    calls.insert(9, read(9, 125, 126));
    assert!(matches!(within(2_000, &CasRegister(0), &calls), Found::NoOrder { .. }));
    // A write without an answer may do it too, if it began in time.
    for (again, expected) in [(130, true), (220, true), (301, false)] {
        let mut calls = writes(301);
        calls.retain(|call| call.invoked != 301);
        calls.extend([read(9, 125, 126), unanswered(CasOp::Write(7), again)]);
        calls.sort_by_key(|call| call.invoked);
        let found = within(2_000, &CasRegister(0), &calls);
        assert_eq!(found == Found::Order, expected, "again at {again}: {found:?}");
    }
}

#[test]
fn unanswered_operations_are_tried_in_one_order() {
    // Ten additions without an answer: 1,024 sums, and 3,628,800 orders.
    let additions = (0..10).map(|bit| unanswered(CounterOp::Add(1 << bit), bit));
    let mut calls: Vec<Call<Counter>> = additions.collect();
    calls.push(call(CounterOp::Read, CounterRet::Sum(1024), 20, 21));
    let found = within(40_000, &Counter(0), &calls);
    assert_eq!(found, Found::NoOrder { stuck: 10 });
    calls[10] = call(CounterOp::Read, CounterRet::Sum(1023), 20, 21);
    let found = order(&Counter(0), &calls, &mut Budget::of_states(40_000));
    replay(&Counter(0), &calls, &found.unwrap());
}

#[test]
fn where_less_was_used_up_nothing_is_tried_again() {
    // Each of 8 elements was added by somebody who was answered, and by somebody else who may have.
    // It is there or not, by either: 3^8 ways. That both added it is a fourth one, which comes to
    // the same as one of the three.
    let mut calls: Vec<Call<Set<u32>>> = Vec::new();
    for element in 0..8 {
        calls.push(unanswered(SetOp::Add(element), element));
        calls.push(call(SetOp::Add(element), SetRet::Done, 50 + element, 100 + element));
    }
    calls.push(call(SetOp::Read, SetRet::Elements(vec![99]), 200, 201));
    calls.sort_by_key(|call| call.invoked);
    let found = within(20_000, &Set::default(), &calls);
    assert_eq!(found, Found::NoOrder { stuck: 16 });
}

/// Two writes at the same time, and a read of the second, again and again.
fn pairs(count: u32, begin: u32) -> Vec<Call<Register>> {
    let pair = |pair: u32| {
        let (at, value) = (begin + pair * 10, pair % 5 * 2 + 1);
        let first = write(value, at, at + 2);
        [first, write(value + 1, at + 1, at + 3), read(value + 1, at + 4, at + 5)]
    };
    (0..count).flat_map(pair).collect()
}

#[test]
fn memory_is_bounded_where_there_are_cuts() {
    let limit = || Budget { states: 10_000_000, bytes: 600_000 };
    // Because of the write without an answer, the state is known nowhere for certain.
    let mut calls = pairs(40_000, 10);
    calls.insert(0, unanswered(CasOp::Write(1), 0));
    assert_eq!(search(&CasRegister(0), &calls, &mut limit()), Found::Order);
    let found = order(&CasRegister(0), &calls, &mut limit());
    replay(&CasRegister(0), &calls, &found.unwrap());
    // A value that nobody wrote is found where it is, far behind many cuts.
    calls[90_000] = read(77, calls[90_000].invoked, calls[90_000].completed);
    let found = search(&CasRegister(0), &calls, &mut limit());
    assert_eq!(found, Found::NoOrder { stuck: 90_000 });
    // One operation that is open all the time leaves no cut.
    let mut calls = pairs(40_000, 10);
    calls.insert(0, unanswered(CasOp::Write(1), 0));
    calls.insert(1, write(55, 1, 1_000_000));
    let found = search(&CasRegister(0), &calls, &mut limit());
    assert!(matches!(found, Found::Exhausted { of: Shortage::Bytes, .. }), "{found:?}");
}

#[test]
fn what_follows_a_known_state_is_searched_by_itself() {
    // The memory is bounded for each part, and there are parts because the reads are alone.
    let limit = || Budget { states: 10_000_000, bytes: 3_000_000 };
    let mut calls = pairs(40_000, 0);
    let found = order(&CasRegister(0), &calls, &mut limit());
    replay(&CasRegister(0), &calls, &found.unwrap());
    calls[90_002] = read(77, calls[90_002].invoked, calls[90_002].completed);
    let found = search(&CasRegister(0), &calls, &mut limit());
    assert_eq!(found, Found::NoOrder { stuck: 90_002 });
}

impl<S: SequentialSpec> Step<S> for Call<S> {
    fn begin(&self) -> usize {
        self.invoked as usize
    }

    fn end(&self) -> Option<usize> {
        self.ret.as_ref().map(|_| self.completed as usize)
    }

    fn after(&self, state: &S) -> Option<S> {
        let mut after = state.clone();
        let is_possible = match &self.ret {
            Some(ret) => after.is_valid_step(&self.op, ret),
            None => {
                after.invoke(&self.op);
                true
            }
        };
        is_possible.then_some(after)
    }
}

/// Judges random histories of a model, with times that coincide, as the oracle does. `draw` makes an
/// operation and an answer that it may have.
fn agrees<S: SequentialSpec + Default + std::fmt::Debug>(
    mut draw: impl FnMut(&mut ChaCha8Rng) -> (S::Op, S::Ret),
) where
    S::Op: std::fmt::Debug,
    S::Ret: std::fmt::Debug,
{
    let mut with_order = 0;
    for seed in 0..4_000 {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let count = random.random_range(2..=7);
        let last = random.random_range(3..20);
        let mut calls: Vec<Call<S>> = (0..count)
            .map(|_| {
                let (op, ret) = draw(&mut random);
                let invoked = random.random_range(0..last);
                let completed = random.random_range(invoked..=last);
                let ret = (random.random_range(0..4) > 0).then_some(ret);
                Call { op, ret, invoked, completed }
            })
            .collect();
        calls.sort_by_key(|call| call.invoked);
        let found = order(&S::default(), &calls, &mut Budget::of_states(1_000_000));
        assert_eq!(found.is_ok(), has_an_order(&calls, &S::default()), "{calls:?}");
        if let Ok(order) = found {
            replay(&S::default(), &calls, &order);
            with_order += 1;
        }
    }
    assert!((200..3_900).contains(&with_order), "{with_order} have an order: too one-sided");
}

#[test]
fn every_model_is_judged_as_the_oracle_does() {
    agrees::<Counter>(|random| match random.random_range(0..3) {
        0 => (CounterOp::Read, CounterRet::Sum(random.random_range(-1..4))),
        _ => (CounterOp::Add(random.random_range(-1..3)), CounterRet::Done),
    });
    agrees::<Set<u8>>(|random| match random.random_range(0..4) {
        0 => (SetOp::Add(random.random_range(0..2)), SetRet::Done),
        1 => (SetOp::Remove(random.random_range(0..2)), SetRet::Done),
        _ => {
            let elements = (0..2).filter(|_| random.random()).collect();
            (SetOp::Read, SetRet::Elements(elements))
        }
    });
    agrees::<FifoQueue<u8>>(|random| match random.random_range(0..5) {
        0..3 => (QueueOp::Enqueue(random.random_range(0..3)), QueueRet::Done),
        3 => (QueueOp::Dequeue, QueueRet::Taken(Some(random.random_range(0..3)))),
        _ => (QueueOp::Dequeue, QueueRet::Taken(None)),
    });
    agrees::<Mutex>(|random| {
        let client = random.random_range(0..2);
        match random.random_range(0..5) {
            0 | 1 => (MutexOp::Acquire(client), MutexRet::Done),
            2 => (MutexOp::Acquire(client), MutexRet::Token(random.random_range(1..4))),
            3 => (MutexOp::Release(client), MutexRet::Done),
            _ => (MutexOp::Acquire(client), MutexRet::Refused),
        }
    });
    agrees::<MultiRegister<u8, u8>>(|random| {
        let mut read = Vec::new();
        let mut steps = Vec::new();
        for _ in 0..random.random_range(1..3) {
            let (key, value) = (random.random_range(0..2), random.random_range(0..3));
            if random.random() {
                steps.push(multi_register::Step::Read(key));
                read.push(value);
            } else {
                steps.push(multi_register::Step::Write(key, value));
            }
        }
        (steps, read)
    });
    agrees::<AppendString>(|random| {
        let text = ["", "a", "b", "ab"][random.random_range(0..4)].to_owned();
        match random.random_range(0..3) {
            0 => (AppendOp::Append(text), AppendRet::Done),
            _ => (AppendOp::Get, AppendRet::Text(text)),
        }
    });
}
