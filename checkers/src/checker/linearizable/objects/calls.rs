//! Each model as an object of a history: what it begins as, its operations, and which of them can
//! be crossed out of an order.

use std::collections::BTreeSet;

use rustc_hash::FxHashMap;

use super::bonds::{Bond, Bonds};
use super::proof::Proof;
use super::words::{self, Words};
use super::{Smaller, pieces, queue, set, sums};
use crate::brief::value_in_short;
use crate::checker::linearizable::search::Call;
use crate::checker::{self, keys::Model};
use crate::history::{NilReads, Op, Operation, Value};
use crate::model::SequentialSpec;
use crate::model::append_string::{AppendOp, AppendRet, AppendString};
use crate::model::counter::{Counter, CounterOp, CounterRet};
use crate::model::fifo_queue::{FifoQueue, QueueOp, QueueRet};
use crate::model::multi_register::{MultiRegister, Step};
use crate::model::mutex::{Mutex, MutexOp, MutexRet};
use crate::model::set::{Set, SetOp, SetRet};

/// A model that histories are judged by.
pub(super) trait Object:
    SequentialSpec<Op: Send + Sync, Ret: Send + Sync> + Send + Sync
{
    /// Its name.
    const MODEL: Model;

    /// What it is in the beginning; none if it cannot hold that.
    fn start(initial: &Value) -> Option<Self>;

    /// The operation as the model sees it; none if it says nothing.
    fn call(given: &Given<'_>) -> Result<Option<Asked<Self>>, Strange>;

    /// Which calls can be crossed out of an order that begins with this.
    fn bonds(&self, calls: &[Call<Self>]) -> Bonds;

    /// What the model's own method is called, where it has one.
    const METHOD: &str = "order";

    /// The order of the calls, as places among them, where the model has a method of its own that
    /// applies to these.
    fn order(&self, calls: &[Call<Self>]) -> Option<Result<Vec<usize>, NoOrder>> {
        let _ = calls;
        None
    }

    /// Smaller objects, known by the places of calls, of which every one has an order where the whole has
    /// one: cheap to judge, and what has none proves it with little.
    fn projections(&self, calls: &[Call<Self>]) -> impl Iterator<Item = Smaller<usize, Self>> {
        let _ = calls;
        std::iter::empty()
    }

    /// What is wrong with the calls of a proof, in words that say more than that they have no order.
    fn words(proof: &Proof<'_, Self>) -> Option<Words> {
        let _ = proof;
        None
    }

    /// The calls that an order has to have if there is one: the others, all of them unanswered, can
    /// be left out, also where only a part of the calls is judged.
    fn needed(&self, calls: &[Call<Self>]) -> Vec<usize> {
        let answered = (0..calls.len()).filter(|place| calls[*place].ret.is_some());
        self.bonds(calls).stay_with(answered)
    }

    /// The calls that an order of exactly these can use: all but some that are unanswered.
    fn usable(calls: &[Call<Self>]) -> Vec<usize> {
        (0..calls.len()).collect()
    }
}

/// No order explains the calls.
pub(super) struct NoOrder;

/// What was asked, and the answer where there is one.
type Asked<S> = (<S as SequentialSpec>::Op, Option<<S as SequentialSpec>::Ret>);

/// An operation that a model does not know: what is wrong with it.
pub(super) enum Strange {
    /// What was asked: the object is none of this model.
    Asked(String),
    /// What was answered: no such object answers so.
    Answered(String),
}

/// An operation of a history.
pub(super) struct Given<'a> {
    pub(super) operation: Operation<'a>,
    pub(super) op: Op,
    pub(super) value: Option<&'a Value>,
    pub(super) nil_reads: NilReads,
}

impl Given<'_> {
    /// The operation with its answer; none for a read without one.
    fn asks<Q, R>(
        &self,
        op: Q,
        ret: impl FnOnce() -> Result<R, String>,
    ) -> Result<Option<(Q, Option<R>)>, Strange> {
        let is_ok = self.operation.is_ok();
        let ret = if is_ok { Some(ret().map_err(Strange::Answered)?) } else { None };
        if ret.is_none() && !self.op.kind().writes() {
            return Ok(None);
        }
        Ok(Some((op, ret)))
    }
}

impl Object for AppendString {
    const MODEL: Model = Model::AppendString;

    fn start(initial: &Value) -> Option<AppendString> {
        text(initial).ok().map(AppendString)
    }

    fn call(given: &Given<'_>) -> Result<Option<Asked<AppendString>>, Strange> {
        let asked = match &given.op {
            Op::Write { value, .. } => AppendOp::Put(text(value).map_err(Strange::Asked)?),
            Op::Append { value, .. } => AppendOp::Append(text(value).map_err(Strange::Asked)?),
            _ => AppendOp::Get,
        };
        given
            .asks(asked, || {
                given.value.map_or(Ok(AppendRet::Done), |value| text(value).map(AppendRet::Text))
            })
            .map_err(|strange| match (strange, given.value) {
                // Values are put at the end of lists as well.
                (Strange::Answered(_), Some(Value::List(_))) => {
                    let words = "it holds lists, which are judged in transactions only";
                    Strange::Asked(words.to_owned())
                }
                (strange, _) => strange,
            })
    }

    /// Where a read does not show a text, that text was gone: a put came after it, and without it the
    /// read would show the same.
    fn bonds(&self, calls: &[Call<AppendString>]) -> Bonds {
        /// How many characters may be compared to find out.
        const COMPARED_MAX: usize = 200_000_000;
        let texts: BTreeSet<&str> = calls
            .iter()
            .filter_map(|call| match &call.op {
                AppendOp::Put(text) | AppendOp::Append(text) => Some(&**text),
                AppendOp::Get => None,
            })
            .collect();
        let shown = |call: &Call<AppendString>| match &call.ret {
            Some(AppendRet::Text(text)) => text.len(),
            _ => 0,
        };
        let characters: usize = calls.iter().map(shown).sum();
        let is_too_much = characters.saturating_mul(texts.len()) > COMPARED_MAX;
        Bonds::new(calls.iter().map(|call| match (&call.op, &call.ret) {
            (AppendOp::Get, Some(AppendRet::Text(shown))) if !is_too_much => {
                let within = texts.iter().filter(|text| shown.contains(**text));
                Bond::of(Vec::new(), within.copied().collect())
            }
            (AppendOp::Get, _) => Bond::free(),
            (AppendOp::Append(text), _) if text.is_empty() => Bond::free(),
            (AppendOp::Append(text) | AppendOp::Put(text), _) if !is_too_much => {
                Bond::of(vec![&**text], Vec::new())
            }
            _ => Bond::fixed(),
        }))
    }

    /// Where nothing is put in its place, a text begins with whatever somebody had read before, and has all that was
    /// appended since, in the order in which it was.
    fn projections(
        &self,
        calls: &[Call<AppendString>],
    ) -> impl Iterator<Item = Smaller<usize, AppendString>> {
        let is_put = |call: &Call<AppendString>| matches!(call.op, AppendOp::Put(_));
        let is_put = calls.iter().any(is_put);
        let broken =
            (!is_put).then(|| gone_back(self, calls).or_else(|| pieces::misplaced(self, calls)));
        broken.flatten().into_iter()
    }

    fn words(proof: &Proof<'_, AppendString>) -> Option<Words> {
        words::of_text(proof)
    }
}

/// The first read, in the order in which they began, that does not begin with the longest text that
/// somebody had read before: alone, after that one.
fn gone_back(
    start: &AppendString,
    calls: &[Call<AppendString>],
) -> Option<Smaller<usize, AppendString>> {
    let shown = |place: usize| match &calls[place].ret {
        Some(AppendRet::Text(text)) => Some(text),
        _ => None,
    };
    let mut reads: Vec<usize> = (0..calls.len()).filter(|place| shown(*place).is_some()).collect();
    let mut by_end = reads.clone();
    reads.sort_by_key(|place| calls[*place].invoked);
    by_end.sort_by_key(|place| calls[*place].completed);
    let mut by_end = by_end.into_iter().peekable();
    let (mut longest, mut longest_by) = (&start.0, None);
    for read in reads {
        let is_over = |place: &usize| calls[*place].completed < calls[read].invoked;
        while let Some(over) = by_end.next_if(is_over) {
            let text = shown(over).filter(|text| text.len() > longest.len());
            (longest, longest_by) = text.map_or((longest, longest_by), |text| (text, Some(over)));
        }
        if shown(read).is_some_and(|text| !text.starts_with(&**longest)) {
            let calls = vec![(read, calls[read].clone())];
            let start = AppendString(longest.clone());
            return Some(Smaller { start, shown_by: longest_by, calls });
        }
    }
    None
}

fn text(value: &Value) -> Result<String, String> {
    match value {
        Value::Text(text) => Ok(text.to_string()),
        // A key that is absent holds no text.
        Value::Nil => Ok(String::new()),
        other => Err(format!("{} is no text", value_in_short(other))),
    }
}

impl Object for Set<Value> {
    const MODEL: Model = Model::Set;

    fn start(initial: &Value) -> Option<Set<Value>> {
        (*initial == Value::Nil).then(Set::default)
    }

    fn call(given: &Given<'_>) -> Result<Option<Asked<Set<Value>>>, Strange> {
        let asked = match &given.op {
            Op::Add { value, .. } => SetOp::Add(value.clone()),
            Op::Remove { value, .. } => SetOp::Remove(value.clone()),
            _ => SetOp::Read,
        };
        given.asks(asked, || match given.value {
            None => Ok(SetRet::Done),
            Some(Value::Nil) => Ok(SetRet::Elements(Vec::new())),
            Some(Value::List(values)) => {
                let mut elements = values.to_vec();
                elements.sort();
                Ok(SetRet::Elements(elements))
            }
            Some(other) => Err(format!("{} is no list of elements", value_in_short(other))),
        })
    }

    /// To reads that do not show an element, it might never have been there, unless it was in the
    /// beginning.
    fn bonds(&self, calls: &[Call<Set<Value>>]) -> Bonds {
        Bonds::new(calls.iter().map(|call| match (&call.op, &call.ret) {
            (SetOp::Add(value) | SetOp::Remove(value), _) if self.0.contains(value) => {
                Bond::fixed()
            }
            (SetOp::Add(value) | SetOp::Remove(value), _) => Bond::together(value),
            (SetOp::Read, Some(SetRet::Elements(elements))) => {
                Bond::of(Vec::new(), elements.iter().collect())
            }
            (SetOp::Read, _) => Bond::free(),
        }))
    }

    fn order(&self, calls: &[Call<Set<Value>>]) -> Option<Result<Vec<usize>, NoOrder>> {
        if self.0.is_empty() { set::order(calls) } else { None }
    }

    fn projections(
        &self,
        calls: &[Call<Set<Value>>],
    ) -> impl Iterator<Item = Smaller<usize, Set<Value>>> {
        set::projections(calls)
    }

    fn words(proof: &Proof<'_, Set<Value>>) -> Option<Words> {
        words::of_elements(proof).or_else(|| words::of_checker(proof, &checker::Set))
    }
}

impl Object for Counter {
    const MODEL: Model = Model::Counter;
    const METHOD: &str = "bounds";

    fn start(initial: &Value) -> Option<Counter> {
        sum(initial).ok().map(Counter)
    }

    fn call(given: &Given<'_>) -> Result<Option<Asked<Counter>>, Strange> {
        let asked = match &given.op {
            Op::Increment { by: Value::Int(by), .. } => CounterOp::Add(*by),
            Op::Increment { by, .. } => {
                return Err(Strange::Asked(format!("{} is no whole number", value_in_short(by))));
            }
            _ => CounterOp::Read,
        };
        given.asks(asked, || {
            given.value.map_or(Ok(CounterRet::Done), |value| sum(value).map(CounterRet::Sum))
        })
    }

    /// Each later read depends on whatever counts.
    fn bonds(&self, calls: &[Call<Counter>]) -> Bonds {
        Bonds::new(calls.iter().map(|call| match call.op {
            CounterOp::Read | CounterOp::Add(0) => Bond::<()>::free(),
            CounterOp::Add(_) => Bond::fixed(),
        }))
    }

    /// Whether a read shows what nothing can have come to. That there is an order, only a search can say.
    fn order(&self, calls: &[Call<Counter>]) -> Option<Result<Vec<usize>, NoOrder>> {
        sums::impossible(self.0, calls).map(|_| Err(NoOrder))
    }

    fn projections(
        &self,
        calls: &[Call<Counter>],
    ) -> impl Iterator<Item = Smaller<usize, Counter>> {
        sums::impossible(self.0, calls).into_iter()
    }

    fn words(proof: &Proof<'_, Counter>) -> Option<Words> {
        words::of_sum(proof)
    }
}

fn sum(value: &Value) -> Result<i128, String> {
    value.as_sum().ok_or_else(|| format!("{} is no whole number", value_in_short(value)))
}

impl Object for FifoQueue<Value> {
    const MODEL: Model = Model::FifoQueue;

    fn start(initial: &Value) -> Option<FifoQueue<Value>> {
        (*initial == Value::Nil).then(FifoQueue::default)
    }

    fn call(given: &Given<'_>) -> Result<Option<Asked<FifoQueue<Value>>>, Strange> {
        let asked = match &given.op {
            Op::Enqueue { value: Value::Nil, .. } => {
                let words = "taking nil out cannot be told from finding nothing".to_owned();
                return Err(Strange::Asked(words));
            }
            Op::Enqueue { value, .. } => QueueOp::Enqueue(value.clone()),
            _ => QueueOp::Dequeue,
        };
        given.asks(asked, || {
            Ok(match given.value {
                None => QueueRet::Done,
                Some(Value::Nil) => QueueRet::Taken(None),
                Some(value) => QueueRet::Taken(Some(value.clone())),
            })
        })
    }

    /// Without a value, the others come in the same order.
    fn bonds(&self, calls: &[Call<FifoQueue<Value>>]) -> Bonds {
        Bonds::new(calls.iter().map(|call| match (&call.op, &call.ret) {
            (QueueOp::Enqueue(value), _)
            | (QueueOp::Dequeue, Some(QueueRet::Taken(Some(value)))) => Bond::together(value),
            (QueueOp::Dequeue, Some(_)) => Bond::free(),
            // It may have taken anything.
            (QueueOp::Dequeue, None) => Bond::fixed(),
        }))
    }

    fn order(&self, calls: &[Call<FifoQueue<Value>>]) -> Option<Result<Vec<usize>, NoOrder>> {
        queue::order(calls)
    }

    /// Where each value comes once, its order says all.
    fn projections(
        &self,
        calls: &[Call<FifoQueue<Value>>],
    ) -> impl Iterator<Item = Smaller<usize, FifoQueue<Value>>> {
        let is_searched = self.0.is_empty() && queue::order(calls).is_none();
        is_searched.then(|| queue::overdrawn(calls)).flatten().into_iter()
    }

    fn words(proof: &Proof<'_, FifoQueue<Value>>) -> Option<Words> {
        words::of_checker(proof, &checker::Queue)
    }

    /// An unanswered dequeue can only have taken what nobody else took: of each value, as many as were
    /// put in more often than taken out. They are all the same, but that those which began earlier can
    /// take effect earlier; and they are in that order.
    ///
    /// Of a part of the calls this has to be asked anew. Where 1 was put in, a dequeue found nothing
    /// and a later one took the 1, another one without an answer took nothing; but without the one that
    /// took the 1, it may have.
    fn usable(calls: &[Call<FifoQueue<Value>>]) -> Vec<usize> {
        let is_lost = |call: &Call<Self>| call.op == QueueOp::Dequeue && call.ret.is_none();
        let mut in_queue: FxHashMap<&Value, isize> = FxHashMap::default();
        for call in calls {
            match (&call.op, &call.ret) {
                (QueueOp::Enqueue(value), _) => *in_queue.entry(value).or_default() += 1,
                (QueueOp::Dequeue, Some(QueueRet::Taken(Some(value)))) => {
                    *in_queue.entry(value).or_default() -= 1;
                }
                (QueueOp::Dequeue, _) => {}
            }
        }
        let mut left: isize = in_queue.into_values().map(|count| count.max(0)).sum();
        let mut is_usable = |call: &Call<Self>| {
            left -= isize::from(is_lost(call));
            !is_lost(call) || left >= 0
        };
        (0..calls.len()).filter(|place| is_usable(&calls[*place])).collect()
    }
}

impl Object for Mutex {
    const MODEL: Model = Model::Mutex;

    fn start(initial: &Value) -> Option<Mutex> {
        (*initial == Value::Nil).then(Mutex::default)
    }

    fn call(given: &Given<'_>) -> Result<Option<Asked<Mutex>>, Strange> {
        // A client that loses its process is still who holds the lock.
        let client = given.operation.session.0;
        let asked = match &given.op {
            Op::Acquire { .. } => MutexOp::Acquire(client),
            _ => MutexOp::Release(client),
        };
        given.asks(asked, || match given.value {
            None => Ok(MutexRet::Done),
            Some(Value::Int(token)) => Ok(MutexRet::Token(*token)),
            Some(other) => Err(format!("{} is no fencing token", value_in_short(other))),
        })
    }

    /// While a client holds the lock, nothing else happens: it can go from its acquisition to its
    /// release. Where it makes one call after the other and all are answered, these are its first
    /// two calls, the next two, and so on. From the first call on that has no answer, or begins before the
    /// one before it is over, all of its calls are together: nobody knows which of them hold the lock.
    fn bonds(&self, calls: &[Call<Mutex>]) -> Bonds {
        /// The calls of one client so far.
        #[derive(Default)]
        struct Calls {
            count: usize,
            end: u32,
            /// The pair with which all that follow are together.
            whole: Option<usize>,
        }
        let mut clients: FxHashMap<u32, Calls> = FxHashMap::default();
        Bonds::new(calls.iter().map(|call| {
            let (MutexOp::Acquire(client) | MutexOp::Release(client)) = call.op;
            let so_far = clients.entry(client).or_default();
            let overlaps = call.invoked < so_far.end;
            if so_far.whole.is_none() && (overlaps || call.ret.is_none()) {
                so_far.whole = Some((so_far.count - usize::from(overlaps)) / 2);
            }
            let pair = so_far.whole.unwrap_or(so_far.count / 2);
            so_far.end = call.completed;
            so_far.count += 1;
            Bond::together((client, pair))
        }))
    }

    fn words(proof: &Proof<'_, Mutex>) -> Option<Words> {
        words::of_lock(proof)
    }
}

impl Object for MultiRegister<Value, Value> {
    const MODEL: Model = Model::MultiRegister;

    fn start(initial: &Value) -> Option<MultiRegister<Value, Value>> {
        (*initial == Value::Nil).then(MultiRegister::default)
    }

    fn call(given: &Given<'_>) -> Result<Option<Asked<MultiRegister<Value, Value>>>, Strange> {
        let Op::Txn { body, .. } = &given.op else { return Ok(None) };
        let asked = steps(body).map_err(Strange::Asked)?;
        let plain = || asked.iter().map(|(step, _)| step.clone()).collect();
        if !given.operation.is_ok() {
            return Ok(Some((plain(), None)));
        }
        let answered = steps(given.value.unwrap_or(&Value::Nil)).map_err(Strange::Answered)?;
        let fits = answered.len() == asked.len()
            && answered.iter().zip(&asked).all(|((one, _), (other, _))| one == other);
        if !fits {
            let words = "the answer has other steps than the transaction".to_owned();
            return Err(Strange::Answered(words));
        }
        let is_known =
            |(_, read): &Answered| given.nil_reads == NilReads::Absent || *read != Some(Value::Nil);
        let (steps, read): (Vec<_>, Vec<_>) = answered.into_iter().filter(is_known).unzip();
        Ok(Some((steps, Some(read.into_iter().flatten().collect()))))
    }

    /// Where nobody read what a transaction wrote, somebody else had written over it.
    fn bonds(&self, calls: &[Call<MultiRegister<Value, Value>>]) -> Bonds {
        Bonds::new(calls.iter().map(|call| {
            let mut read = call.ret.iter().flatten();
            let (mut makes, mut uses) = (Vec::new(), Vec::new());
            for step in &call.op {
                match step {
                    Step::Write(key, value) => makes.push((key, value)),
                    Step::Read(key) => uses.extend(read.next().map(|value| (key, value))),
                }
            }
            Bond::of(makes, uses)
        }))
    }
}

/// A step of a transaction, and what it read where it reads.
type Answered = (Step<Value, Value>, Option<Value>);

/// The steps of a transaction of reads and writes.
fn steps(body: &Value) -> Result<Vec<Answered>, String> {
    let Value::List(steps) = body else {
        return Err(format!("{} is no list of steps", value_in_short(body)));
    };
    let step = |step: &Value| {
        if let Value::List(parts) = step
            && let [Value::Text(name), key, value] = &parts[..]
        {
            match &**name {
                "r" | "read" => return Ok((Step::Read(key.clone()), Some(value.clone()))),
                "w" | "write" => return Ok((Step::Write(key.clone(), value.clone()), None)),
                _ => {}
            }
        }
        Err(format!(
            "{} is no step [\"r\" key nil] or [\"w\" key value]; transactions that append are judged by \
             --guarantee strict-serializable, serializable, snapshot-isolation or read-committed, those that \
             transfer by --guarantee bank",
            value_in_short(step)
        ))
    };
    steps.iter().map(step).collect()
}
