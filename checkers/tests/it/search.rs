//! How far the search has to go: each case has an order, or none, that is found within a budget
//! which trying everything would exceed by far.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use stormglass_checkers::checker::linearizable::{
    Budget, Call, Found, Shortage, order, order_by_gaps, search,
};
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
    let mut calls: Vec<Call<Unforeseen<Counter>>> = additions.collect();
    calls.push(call(CounterOp::Read, CounterRet::Sum(1024), 20, 21));
    let start = Unforeseen(Counter(0));
    let found = within(40_000, &start, &calls);
    assert_eq!(found, Found::NoOrder { stuck: 10 });
    calls[10] = call(CounterOp::Read, CounterRet::Sum(1023), 20, 21);
    let found = order(&start, &calls, &mut Budget::of_states(40_000));
    replay(&start, &calls, &found.unwrap());
}

#[test]
fn where_less_was_used_up_nothing_is_tried_again() {
    // Each of 8 elements was added by somebody who was answered, and by somebody else who may have.
    // It is there or not, by either: 3^8 ways. That both added it is a fourth one, which comes to
    // the same as one of the three.
    let mut calls: Vec<Call<Unforeseen<Set<u32>>>> = Vec::new();
    for element in 0..8 {
        calls.push(unanswered(SetOp::Add(element), element));
        calls.push(call(SetOp::Add(element), SetRet::Done, 50 + element, 100 + element));
    }
    calls.push(call(SetOp::Read, SetRet::Elements(vec![99]), 200, 201));
    calls.sort_by_key(|call| call.invoked);
    let found = within(20_000, &Unforeseen(Set::default()), &calls);
    assert_eq!(found, Found::NoOrder { stuck: 16 });
}

#[test]
fn where_other_operations_were_used_up_all_is_tried_again() {
    // A sum of 3 comes of 1 and 2, or of 3 alone: then 5 can still come of it, by 2. And 9 comes of
    // it by 1 and 5, or of 6 by 3, whichever of them is tried first.
    for numbers in [[1, 2, 3, 5], [3, 1, 2, 5], [5, 3, 2, 1], [2, 3, 5, 1], [5, 2, 1, 3]] {
        let mut calls: Vec<Call<Counter>> = numbers
            .into_iter()
            .zip(0..)
            .map(|(by, at)| unanswered(CounterOp::Add(by), at))
            .collect();
        let sums = |sums: &[i128]| {
            let reads = sums.iter().zip(0..).map(|(sum, place)| {
                call(CounterOp::Read, CounterRet::Sum(*sum), 10 + 2 * place, 11 + 2 * place)
            });
            reads.collect::<Vec<_>>()
        };
        for (shown, expected) in [
            (&[3, 5][..], true),
            (&[3, 6], true),
            (&[3, 4, 6, 11], true),
            (&[3, 8, 11], true),
            (&[5, 8, 11], true),
            (&[3, 4, 9, 11], true),
            (&[3, 5, 6, 7], false),
            (&[6, 9, 11], true),
            (&[6, 8, 11], true),
            (&[6, 10], false),
        ] {
            calls.truncate(4);
            calls.extend(sums(shown));
            let found = within(10_000, &Counter(0), &calls);
            assert_eq!(has_an_order(&calls, &Counter(0)), expected, "{numbers:?}: {shown:?}");
            assert_eq!(found == Found::Order, expected, "{numbers:?}: {shown:?}");
        }
    }
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
    let mut left = limit();
    let found = search(&CasRegister(0), &calls, &mut left);
    assert!(matches!(found, Found::Exhausted { of: Shortage::Bytes, .. }), "{found:?}");
    // Nor is it gone through again to look for one: that would be twice as many.
    assert!(limit().states - left.states < 10_000);
}

#[test]
fn what_follows_a_known_state_is_searched_by_itself() {
    // The memory is bounded for each part, and there are parts because the reads are alone.
    let limit = || Budget { states: 10_000_000, bytes: 3_000_000 };
    let mut calls = pairs(40_000, 0);
    let mut left = limit();
    let found = order(&CasRegister(0), &calls, &mut left);
    replay(&CasRegister(0), &calls, &found.unwrap());
    // Nothing was gone through twice because the memory had run out.
    assert_eq!(limit().states - left.states, 2 * 40_000);
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

/// A counter with up to eight operations, of which half have no answer: of those, some take effect, at any time after
/// they were called. Now and then a read shows a little too much or too little.
fn counted(random: &mut ChaCha8Rng) -> Vec<Call<Counter>> {
    let amounts: &[i64] =
        [&[1, -1][..], &[1, 2, 4, 8], &[-3, 2, 5, 7, -11]][random.random_range(0..3)];
    let count = random.random_range(3..=8);
    // When each takes effect, and from when to when it is open around that.
    let mut calls: Vec<(i32, Call<Counter>)> = Vec::new();
    for _ in 0..count {
        let at = random.random_range(0..30);
        let (before, after) = (random.random_range(0..8), random.random_range(0..8));
        let op = match random.random_range(0..5) {
            0 | 1 => CounterOp::Read,
            _ => CounterOp::Add(amounts[random.random_range(0..amounts.len())]),
        };
        let is_lost = op != CounterOp::Read && random.random_range(0..4) > 0;
        let ret = (!is_lost).then_some(CounterRet::Done);
        let at_latest = if is_lost && random.random_range(0..3) == 0 { i32::MAX } else { at };
        let (invoked, completed) = ((at - before).max(0) as u32, (at + after) as u32);
        calls.push((at_latest, Call { op, ret, invoked, completed }));
    }
    calls.sort_by_key(|(at, _)| *at);
    let mut sum = 0;
    for (at, call) in &mut calls {
        match call.op {
            CounterOp::Add(amount) if *at < i32::MAX => sum += i128::from(amount),
            CounterOp::Add(_) => {}
            CounterOp::Read => {
                let off =
                    if random.random_range(0..4) == 0 { random.random_range(-2..=2) } else { 0 };
                call.ret = Some(CounterRet::Sum(sum + off));
            }
        }
    }
    let mut calls: Vec<Call<Counter>> = calls.into_iter().map(|(_, call)| call).collect();
    calls.sort_by_key(|call| call.invoked);
    calls
}

#[test]
fn which_unanswered_additions_count_may_be_left_open() {
    let (mut with_order, mut with_gaps) = (0, 0);
    for seed in 0..6_000 {
        let calls = counted(&mut ChaCha8Rng::seed_from_u64(seed));
        let found = order_by_gaps(&Counter(0), &calls, &mut Budget::of_states(100_000));
        let found = found.expect("so few can all be tried");
        let expected = has_an_order(&calls, &Counter(0));
        assert_eq!(found.is_ok(), expected, "seed {seed}: {calls:?}");
        if let Ok(order) = found {
            replay(&Counter(0), &calls, &order);
            with_order += 1;
            with_gaps += usize::from(order.iter().any(|place| calls[*place].ret.is_none()));
        }
    }
    assert!((2_000..5_500).contains(&with_order), "{with_order} have an order: too one-sided");
    assert!(with_gaps > 1_000, "only {with_gaps} need what has no answer");
}

/// A set with so many operations on so many elements, each open for a while around when it takes effect; some have no answer,
/// and of those some take effect.
fn collected(
    random: &mut ChaCha8Rng,
    (count, elements): (usize, u32),
    open: u32,
) -> Vec<Call<Set<u32>>> {
    let mut calls: Vec<(u32, Call<Set<u32>>)> = Vec::new();
    for _ in 0..count {
        let at = random.random_range(0..4 * count as u32);
        let (before, after) = (random.random_range(0..=open), random.random_range(0..=open));
        let element = random.random_range(0..elements);
        let op = match random.random_range(0..6) {
            0 => SetOp::Read,
            1..4 => SetOp::Add(element),
            _ => SetOp::Remove(element),
        };
        let is_lost = op != SetOp::Read && random.random_range(0..2) > 0;
        let ret = (!is_lost).then_some(SetRet::Done);
        let at_latest = if is_lost && random.random() { u32::MAX } else { at };
        let (invoked, completed) = (at.saturating_sub(before), at + after);
        calls.push((at_latest, Call { op, ret, invoked, completed }));
    }
    calls.sort_by_key(|(at, _)| *at);
    let mut set = Set::default();
    for (at, call) in &mut calls {
        let answer = set.clone().invoke(&call.op);
        if call.op == SetOp::Read {
            call.ret = Some(answer);
        } else if *at < u32::MAX {
            set.invoke(&call.op);
        }
    }
    let mut calls: Vec<Call<Set<u32>>> = calls.into_iter().map(|(_, call)| call).collect();
    calls.sort_by_key(|call| call.invoked);
    calls
}

/// Lets the last read show an element more, or less.
fn with_another_answer(calls: &mut [Call<Set<u32>>], element: u32) {
    let shown = calls.iter_mut().rev().find_map(|call| match &mut call.ret {
        Some(SetRet::Elements(shown)) => Some(shown),
        _ => None,
    });
    let Some(shown) = shown else { return };
    match shown.binary_search(&element) {
        Ok(place) => drop(shown.remove(place)),
        Err(place) => shown.insert(place, element),
    }
}

#[test]
fn sets_are_judged_as_the_oracle_does_whatever_is_open_and_has_no_answer() {
    let (mut with_order, mut by_unanswered) = (0, 0);
    for seed in 0..6_000 {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let elements = random.random_range(1..4);
        let size = (random.random_range(3..=8), elements);
        let mut calls = collected(&mut random, size, 12);
        if random.random() {
            with_another_answer(&mut calls, random.random_range(0..elements));
        }
        let found = order(&Set::default(), &calls, &mut Budget::of_states(10_000));
        let expected = has_an_order(&calls, &Set::default());
        assert_eq!(found.is_ok(), expected, "seed {seed}: {calls:?}");
        if let Ok(order) = found {
            replay(&Set::default(), &calls, &order);
            with_order += 1;
            by_unanswered += usize::from(order.iter().any(|place| calls[*place].ret.is_none()));
        }
    }
    assert!((3_000..5_700).contains(&with_order), "{with_order} have an order: too one-sided");
    assert!(by_unanswered > 600, "only {by_unanswered} need what has no answer");
}

#[test]
fn an_addition_with_the_answer_of_a_read_has_no_order_though_its_element_shows() {
    let added = |ret| {
        let read = call(SetOp::Read, SetRet::Elements(vec![1]), 1, 5);
        within(100, &Set::default(), &[call::<Set<u32>>(SetOp::Add(1), ret, 0, 9), read])
    };
    assert_eq!(added(SetRet::Done), Found::Order);
    assert!(matches!(added(SetRet::Elements(vec![1])), Found::NoOrder { .. }));
}

#[test]
fn which_of_many_elements_are_in_is_not_tried_one_by_one() {
    let mut without = 0;
    for seed in 0..20 {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        // Some twenty open at a time, and hundreds that may take effect at any time.
        let mut calls = collected(&mut random, (600, 80), 40);
        assert_eq!(within(40_000, &Set::default(), &calls), Found::Order, "seed {seed}");
        with_another_answer(&mut calls, 80);
        let found = within(40_000, &Set::default(), &calls);
        without += usize::from(matches!(found, Found::NoOrder { .. }));
    }
    assert_eq!(without, 20);
}

#[test]
fn each_of_many_reads_may_show_more_of_what_has_no_answer() {
    // Between any two of the twelve reads another addition took effect: with fewer gaps there is no order.
    let mut calls: Vec<Call<Counter>> =
        (0..12).map(|bit| unanswered(CounterOp::Add(1 << bit), bit)).collect();
    calls.extend((0..12).map(|bit| {
        let at = 20 + 2 * bit;
        call(CounterOp::Read, CounterRet::Sum((2 << bit) - 1), at, at + 1)
    }));
    let found = order_by_gaps(&Counter(0), &calls, &mut Budget::of_states(10_000));
    replay(&Counter(0), &calls, &found.expect("so few can all be tried").unwrap());
}

#[test]
fn every_read_that_is_open_is_tried_after_a_gap() {
    // As many as one word has bits: one shows 2, another one 3, and without both additions neither comes of the other.
    let reads = (0..64).map(|place| {
        let sum = if place < 62 { 0 } else { i128::from(place) - 60 };
        call(CounterOp::Read, CounterRet::Sum(sum), 10 + place, 100 + place)
    });
    let additions = [2, 3].into_iter().zip(0..);
    let mut calls: Vec<Call<Counter>> =
        additions.map(|(by, at)| unanswered(CounterOp::Add(by), at)).collect();
    calls.extend(reads);
    let found = order_by_gaps(&Counter(0), &calls, &mut Budget::of_states(10_000));
    assert!(matches!(found, Some(Err(Found::NoOrder { .. }))), "{found:?}");
    // With 5 in place of 3 both were there, one after the other.
    calls.pop();
    calls.push(call(CounterOp::Read, CounterRet::Sum(5), 73, 163));
    let found = order_by_gaps(&Counter(0), &calls, &mut Budget::of_states(10_000));
    replay(&Counter(0), &calls, &found.expect("so few can all be tried").unwrap());
}

#[test]
fn of_what_is_no_sum_no_gaps_are_known() {
    let calls = [write(1, 0, 1), unanswered(CasOp::Write(2), 2), read(2, 3, 4)];
    let found = order_by_gaps(&CasRegister(0), &calls, &mut Budget::of_states(1_000));
    assert_eq!(found, None);
    assert_eq!(within(1_000, &CasRegister(0), &calls), Found::Order);
}

#[test]
fn what_many_unanswered_additions_come_to_is_found() {
    // 60 of them, of which any may have taken effect: 2^60 ways.
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let amounts: Vec<i64> = (0..60).map(|_| random.random_range(-1_000_000..1_000_000)).collect();
    let mut calls: Vec<Call<Counter>> =
        amounts.iter().zip(0..).map(|(by, at)| unanswered(CounterOp::Add(*by), at)).collect();
    let mut sum = 0;
    for (took_effect, at) in [(&[3, 17, 30, 41, 55][..], 100), (&[], 110), (&[8, 9], 120)] {
        sum += took_effect.iter().map(|place: &usize| i128::from(amounts[*place])).sum::<i128>();
        // Two reads, and an addition that is open meanwhile, which only the second shows.
        calls.push(call(CounterOp::Read, CounterRet::Sum(sum), at, at + 2));
        calls.push(call(CounterOp::Add(77), CounterRet::Done, at + 1, at + 4));
        sum += 77;
        calls.push(call(CounterOp::Read, CounterRet::Sum(sum), at + 3, at + 5));
    }
    assert_eq!(within(100_000, &Counter(0), &calls), Found::Order);
    let found = order(&Counter(0), &calls, &mut Budget::of_states(100_000));
    replay(&Counter(0), &calls, &found.unwrap());
}

#[test]
fn what_no_unanswered_additions_come_to_is_known_of_many() {
    // Each counts more than all before it together: there is one way to come to any sum.
    let additions: Vec<Call<Counter>> =
        (0..30).map(|bit| unanswered(CounterOp::Add(3 << bit), bit)).collect();
    let check = |sums: &[i128], expected: bool| {
        let mut calls = additions.clone();
        calls.extend(sums.iter().zip(0..).map(|(sum, place)| {
            call(CounterOp::Read, CounterRet::Sum(*sum), 100 + 2 * place, 101 + 2 * place)
        }));
        let found = within(200_000, &Counter(0), &calls);
        let is_decided = matches!(found, Found::Order | Found::NoOrder { .. });
        assert!(is_decided && (found == Found::Order) == expected, "{sums:?}: {found:?}");
    };
    let all = |bits: &[u32]| bits.iter().map(|bit| 3_i128 << bit).sum::<i128>();
    let some = all(&[1, 5, 8, 13, 21, 26]);
    check(&[some], true);
    check(&[some, some + all(&[2, 6, 22])], true);
    // What the first read shows was not there for the second one once more.
    check(&[some, some + all(&[2, 6, 21])], false);
    check(&[some, some + all(&[2, 6, 22]), some + all(&[2, 6, 22, 28])], true);
    check(&[some, some + all(&[2, 6, 22]), some + all(&[2, 6, 22]) + all(&[22, 28])], false);
}

#[test]
fn an_order_has_as_few_gaps_as_can_be() {
    // With the addition of 5 before the first read, it takes two that were not answered.
    let mut calls: Vec<Call<Counter>> = [1, -4, 5]
        .into_iter()
        .zip(0..)
        .map(|(by, at)| unanswered(CounterOp::Add(by), at))
        .collect();
    calls.push(call(CounterOp::Add(5), CounterRet::Done, 10, 100));
    calls.push(call(CounterOp::Read, CounterRet::Sum(1), 20, 30));
    calls.push(call(CounterOp::Read, CounterRet::Sum(6), 40, 50));
    let found = order_by_gaps(&Counter(0), &calls, &mut Budget::of_states(1_000));
    assert_eq!(found, Some(Ok(vec![0, 4, 3, 5])));
    // What is tried before that is taken from the same budget.
    let mut budget = Budget::of_states(1_000);
    assert_eq!(search(&Counter(0), &calls, &mut budget), Found::Order);
    assert!((900..1_000).contains(&budget.states), "{} are left", budget.states);
}

#[test]
fn what_is_not_found_among_too_many_sums_is_not_known_not_to_be_there() {
    // Of 60 additions 30 took effect: more ways than can be listed, and one of them is right.
    let mut random = ChaCha8Rng::seed_from_u64(2);
    let amounts: Vec<i64> = (0..60).map(|_| random.random_range(1..1_000_000_000_000)).collect();
    let mut calls: Vec<Call<Counter>> =
        amounts.iter().zip(0..).map(|(by, at)| unanswered(CounterOp::Add(*by), at)).collect();
    let sum = amounts.iter().step_by(2).copied().map(i128::from).sum();
    calls.push(call(CounterOp::Read, CounterRet::Sum(sum), 100, 101));
    let found = order_by_gaps(&Counter(0), &calls, &mut Budget::of_states(10_000));
    assert_eq!(found, None);
    let found = within(10_000, &Counter(0), &calls);
    assert!(matches!(found, Found::Exhausted { .. }), "{found:?}");
}

#[test]
fn what_no_number_of_the_rest_comes_to_is_known_of_any_number() {
    // The one odd number was there for the first read. Of 60 even ones, too many to try, no odd one is made.
    let mut random = ChaCha8Rng::seed_from_u64(3);
    let mut calls: Vec<Call<Counter>> = vec![
        unanswered(CounterOp::Add(7), 0),
        unanswered(CounterOp::Add(2), 1),
        call(CounterOp::Read, CounterRet::Sum(9), 2, 3),
    ];
    calls.extend((10..70).map(|at| {
        unanswered(CounterOp::Add(2 * random.random_range(1_000_000..1_000_000_000)), at)
    }));
    let CounterOp::Add(last) = calls[62].op else { panic!("it adds") };
    for (shown, expected) in [(9 + last, true), (8 + last, false)] {
        calls.truncate(63);
        calls.push(call(CounterOp::Read, CounterRet::Sum(shown.into()), 100, 101));
        let found = order_by_gaps(&Counter(0), &calls, &mut Budget::of_states(10_000));
        let found = found.expect("it is plain");
        assert_eq!(found.is_ok(), expected, "{shown}");
    }
}

#[test]
fn where_more_ways_fill_a_gap_than_are_tried_another_one_may_be_right() {
    // 45 comes of 40 and 5, or of fifteen 3s, each with thousands of what comes to nothing. Only after the
    // 3s 40 can be added.
    let amounts = (1..=9).flat_map(|number| [1_000 * number, -1_000 * number]);
    let amounts = amounts.chain([40, 5]).chain([3; 15]);
    let mut calls: Vec<Call<Counter>> =
        amounts.zip(0..).map(|(by, at)| unanswered(CounterOp::Add(by), at)).collect();
    calls.push(call(CounterOp::Read, CounterRet::Sum(45), 100, 101));
    calls.push(call(CounterOp::Read, CounterRet::Sum(85), 102, 103));
    let found = order_by_gaps(&Counter(0), &calls, &mut Budget::of_states(10_000));
    assert_eq!(found, None);
}

/// An atomic register under some clients, with times that coincide now and then, and long stretches
/// in which one client is alone. Most values come again.
fn atomic(seed: u64, count: usize) -> Vec<Call<Register>> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut calls: Vec<Call<Register>> = Vec::new();
    // What each client is at, and whether that has taken effect.
    let mut at: [Option<(usize, bool)>; 3] = [None; 3];
    let (mut held, mut now) = (0, 0);
    while calls.len() < count || at.iter().any(Option::is_some) {
        // Each client is alone for a while, and then all of them are there.
        let alone = (calls.len() / 50) % 4;
        let client = if alone == 3 { random.random_range(0..3) } else { alone };
        let others_are_done =
            alone == 3 || at.iter().enumerate().all(|(one, at)| one == client || at.is_none());
        let client = match at.iter().position(Option::is_some) {
            Some(open) if !others_are_done => open,
            _ => client,
        };
        now += random.random_range(0..3);
        at[client] = match at[client] {
            None if calls.len() >= count => None,
            None => {
                let op = match random.random_range(0..3) {
                    0 => CasOp::Write(random.random_range(0..5)),
                    _ => CasOp::Read,
                };
                calls.push(Call { op, ret: None, invoked: now, completed: 0 });
                Some((calls.len() - 1, false))
            }
            Some((place, false)) => {
                calls[place].ret = Some(match calls[place].op {
                    CasOp::Write(value) => {
                        held = value;
                        CasRet::Done
                    }
                    _ => CasRet::Value(held),
                });
                Some((place, true))
            }
            Some((place, true)) => {
                calls[place].completed = now;
                None
            }
        };
    }
    calls
}

#[test]
fn wherever_a_long_history_is_cut_its_order_is_found() {
    for seed in 0..6 {
        let mut calls = atomic(seed, 40_000);
        assert_eq!(within(100_000, &CasRegister(0), &calls), Found::Order, "seed {seed}");
        // What began before everything else may be told at last.
        for call in &mut calls {
            (call.invoked, call.completed) = (call.invoked + 2, call.completed + 2);
        }
        calls.push(read(0, 0, 1));
        assert_eq!(within(100_000, &CasRegister(0), &calls), Found::Order, "seed {seed}");
    }
}

#[test]
fn where_an_operation_is_open_nothing_is_cut() {
    // All others are one after the other. The 77 is written last of all, whenever that began.
    for begin in [0, 16_380, 16_384, 16_388] {
        let mut calls: Vec<Call<Register>> = (0..8_195)
            .flat_map(|pair| {
                let (at, value) = (pair * 20, pair % 4);
                [write(value, at, at + 5), read(value, at + 10, at + 15)]
            })
            .collect();
        calls.push(write(77, begin * 10 + 3, 170_000));
        calls.push(read(77, 170_001, 170_002));
        calls.sort_by_key(|call| call.invoked);
        assert_eq!(within(100_000, &CasRegister(0), &calls), Found::Order, "from {begin}");
    }
}

#[test]
fn what_begins_with_the_answer_of_another_one_is_not_cut_off_it() {
    // As many as make a part, and one more that may have taken effect before the last of them.
    let mut calls: Vec<Call<Register>> =
        (0..1 << 14).map(|place| write(place % 5, place * 10, place * 10 + 5)).collect();
    let last = calls[calls.len() - 1].clone();
    let CasOp::Write(value) = last.op else { panic!("all of them are writes") };
    calls.push(write(9, last.completed, last.completed + 1));
    for shown in [9, value] {
        calls.push(read(shown, last.completed + 2, last.completed + 3));
        assert_eq!(within(100_000, &CasRegister(0), &calls), Found::Order, "{shown}");
        calls.pop();
    }
}

#[test]
#[should_panic(expected = "call Some(1) is answered before it begins")]
fn an_answer_before_its_call_is_a_mistake_of_the_caller() {
    within(10, &CasRegister(0), &[read(0, 0, 1), read(0, 3, 2)]);
}

#[test]
fn texts_that_can_no_longer_be_read_are_not_gone_on_with() {
    // Of ten texts put at the end at the same time, only one order shows what was read.
    let letters = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"];
    let appends = letters.iter().zip(0..).map(|(text, at)| {
        call(AppendOp::Append((*text).to_owned()), AppendRet::Done, at, 100 + at)
    });
    let mut calls: Vec<Call<AppendString>> = appends.collect();
    for text in ["jihgfedcba", "dahbgciefj"] {
        calls.push(call(AppendOp::Get, AppendRet::Text(text.to_owned()), 200, 201));
        assert_eq!(within(100, &AppendString::default(), &calls), Found::Order);
        calls.pop();
    }
}

#[test]
fn a_long_text_is_put_together_in_parts_though_it_is_read_but_once() {
    // Three at a time: of six orders of each three, one goes on to what is read at last.
    const COUNT: u32 = 4_500;
    let piece = |number: u32| format!("<{number}>");
    let appends = (0..COUNT).map(|number| {
        let at = number / 3 * 10;
        call(AppendOp::Append(piece(number)), AppendRet::Done, at + number % 3, at + 5 + number % 3)
    });
    let mut calls: Vec<Call<AppendString>> = appends.collect();
    let text: String =
        (0..COUNT / 3).flat_map(|of| [2, 0, 1].map(|one| piece(3 * of + one))).collect();
    calls.push(call(AppendOp::Get, AppendRet::Text(text), 10 * COUNT, 10 * COUNT + 1));
    // All texts together take more, those of a part less.
    let mut budget = Budget { states: 100_000, bytes: 160_000_000 };
    let found = order(&AppendString::default(), &calls, &mut budget);
    replay(&AppendString::default(), &calls, &found.unwrap());
    // Where something may be put in its place, nothing is said of what begins otherwise.
    let put = call(AppendOp::Put("<2>".to_owned()), AppendRet::Done, 5_000, 5_001);
    calls.truncate(1_500);
    let text: String = ["<2>".to_owned()].into_iter().chain((1_500..1_800).map(piece)).collect();
    calls.push(put);
    calls.extend((1_500..1_800).map(|number| {
        call(AppendOp::Append(piece(number)), AppendRet::Done, 10 * number, 10 * number + 1)
    }));
    calls.push(call(AppendOp::Get, AppendRet::Text(text), 20_000, 20_001));
    assert_eq!(within(100_000, &AppendString::default(), &calls), Found::Order);
}

/// The fewest bytes with which a search does not run out of them.
fn bytes_needed<S: SequentialSpec>(start: &S, calls: &[Call<S>]) -> u64 {
    let (mut low, mut high) = (0, 1 << 30);
    while low < high {
        let bytes = u64::midpoint(low, high);
        let found = search(start, calls, &mut Budget { states: u64::MAX, bytes });
        if matches!(found, Found::Exhausted { of: Shortage::Bytes, .. }) {
            low = bytes + 1;
        } else {
            high = bytes;
        }
    }
    low
}

#[test]
fn a_search_gives_up_at_the_same_byte_everywhere() {
    // What has to be remembered is counted, never measured. A change of these numbers is a change of
    // what is remembered, or of how much of it is counted.
    let start = Unforeseen(Counter(0));
    let mut counted: Vec<Call<Unforeseen<Counter>>> = (0..6)
        .map(|bit| call(CounterOp::Add(1 << bit), CounterRet::Done, bit, 100 + bit))
        .collect();
    counted.push(call(CounterOp::Read, CounterRet::Sum(99), 200, 201));
    let answered = bytes_needed(&start, &counted);
    let mut texts: Vec<Call<Unforeseen<AppendString>>> = (0..4)
        .map(|text| {
            let text = ["aaaaaaaa", "b", "c", "d"][text as usize].to_owned();
            call(AppendOp::Append(text), AppendRet::Done, 0, 100)
        })
        .collect();
    texts.push(call(AppendOp::Get, AppendRet::Text("dcbaaaaaaaa".to_owned()), 200, 201));
    let texts = bytes_needed(&Unforeseen(AppendString::default()), &texts);
    let mut unknown: Vec<Call<Unforeseen<Counter>>> =
        (0..7).map(|bit| unanswered(CounterOp::Add(1 << bit), bit)).collect();
    unknown.push(call(CounterOp::Read, CounterRet::Sum(200), 200, 201));
    let unanswered = bytes_needed(&start, &unknown);
    assert_eq!((answered, texts, unanswered), (17_044, 16_978, 66_660), "on a machine of 64 bits");
}

/// An object that does not say what it can still return: a search has to try.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Unforeseen<S>(S);

impl<S: SequentialSpec> SequentialSpec for Unforeseen<S> {
    type Op = S::Op;
    type Ret = S::Ret;

    fn invoke(&mut self, op: &S::Op) -> S::Ret {
        self.0.invoke(op)
    }

    fn is_pure(op: &S::Op, ret: &S::Ret) -> bool {
        S::is_pure(op, ret)
    }

    fn shows(op: &S::Op, ret: &S::Ret) -> Option<Unforeseen<S>> {
        S::shows(op, ret).map(Unforeseen)
    }

    fn heap_bytes(&self) -> usize {
        self.0.heap_bytes()
    }
}

#[test]
fn what_can_no_longer_be_shown_is_not_looked_for() {
    // Forty acknowledged additions, all open at one time: 2^40 ways, and then a read of less than what is
    // there for certain; of an odd number, of which all are even.
    let additions = |of: fn(u32) -> i64| -> Vec<Call<Counter>> {
        (0..40).map(|place| call(CounterOp::Add(of(place)), CounterRet::Done, place, 100)).collect()
    };
    let signed: fn(u32) -> i64 = |place| if place % 2 == 0 { 2 << place } else { -6 << place };
    for (of, sum) in [((|place| 1 << place) as fn(u32) -> i64, 3), (signed, 7)] {
        let mut calls = additions(of);
        calls.push(call(CounterOp::Read, CounterRet::Sum(sum), 101, 102));
        assert!(matches!(within(100, &Counter(0), &calls), Found::NoOrder { .. }), "{sum}");
    }
    // Two reads that are open all the time: to what the first to return shows, by way of the other.
    let mut calls: Vec<Call<Set<u32>>> = (0..40)
        .map(|element| call(SetOp::Add(element), SetRet::Done, element, 100 + element))
        .collect();
    let read = |elements: Vec<u32>, end| call(SetOp::Read, SetRet::Elements(elements), 50, end);
    calls.push(read((5..40).collect(), 90));
    calls.push(read((20..30).collect(), 91));
    assert_eq!(within(200, &Set::default(), &calls), Found::Order);
    // Thirty texts of one letter, and a read that ends with another one.
    let append = |count: u32| AppendOp::Append("a".repeat(count as usize));
    let mut calls: Vec<Call<AppendString>> =
        (0..30).map(|count| unanswered(append(count + 1), count)).collect();
    calls.push(call(AppendOp::Get, AppendRet::Text("a".repeat(200)), 50, 51));
    assert_eq!(within(1_000, &AppendString::default(), &calls), Found::Order);
    calls.push(call(AppendOp::Get, AppendRet::Text("a".repeat(200) + "b"), 52, 53));
    assert!(matches!(within(1_000, &AppendString::default(), &calls), Found::NoOrder { .. }));
}
