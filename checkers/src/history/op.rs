//! What clients ask and what they learn: operations, outcomes, and the numbers that name them.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A moment of a run: virtual nanoseconds since it began.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Time(u64);

impl Time {
    /// The moment at which every run begins.
    pub const ZERO: Time = Time(0);

    /// Makes the moment `nanos` nanoseconds into the run.
    pub const fn from_nanos(nanos: u64) -> Time {
        Time(nanos)
    }

    /// Makes the moment `millis` milliseconds into the run.
    pub const fn from_millis(millis: u64) -> Time {
        Time(millis * 1_000_000)
    }

    /// What marks a line in the place of a moment: no run lasts so many nanoseconds, 292 years.
    const LINE: u64 = 1 << 63;

    /// Makes what stands in the place of the moment of an event in a file without times: its line.
    /// Lines are ordered as moments are, and later than any.
    pub(super) const fn of_line(line: u64) -> Time {
        Time(Time::LINE | line)
    }

    /// Whether it is a line of a file, and no moment.
    pub(crate) const fn is_line(self) -> bool {
        self.0 & Time::LINE != 0
    }

    /// Nanoseconds since the run began.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Time since the run began.
    pub const fn since_start(self) -> Duration {
        Duration::from_nanos(self.0)
    }

    /// Time from `earlier` to this moment; zero where `earlier` is the later one.
    pub const fn since(self, earlier: Time) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl std::ops::Add<Duration> for Time {
    type Output = Time;

    fn add(self, rhs: Duration) -> Time {
        Time(self.0.saturating_add(u64::try_from(rhs.as_nanos()).unwrap_or(u64::MAX)))
    }
}

/// Seconds with three decimals, as every report shows a moment: `1.204 s`. What these cannot show
/// is in smaller units: `37 ns`, as of a history whose times only count. A line is `line 12`.
impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (millis, micros) = (self.0 / 1_000_000, self.0 / 1_000);
        match self.0 {
            Time::LINE.. => write!(f, "line {}", self.0 ^ Time::LINE),
            1..1_000 => write!(f, "{} ns", self.0),
            1_000..1_000_000 => write!(f, "{micros}.{:03} µs", self.0 % 1_000),
            _ => write!(f, "{}.{:03} s", millis / 1000, millis % 1000),
        }
    }
}

macro_rules! number {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        #[serde(transparent)]
        pub struct $name(pub u32);

        impl $name {
            /// The number as an index into a table.
            pub const fn index(self) -> usize {
                self.0 as usize
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0)
            }
        }
    };
}

number!(
    /// A logical single-threaded client in a history. After an `info` outcome it never acts again.
    ProcessId
);
number!(
    /// A client session: the processes that one client went through, one after another. Session
    /// guarantees are judged over it.
    SessionId
);
number!(
    /// A member of the cluster.
    NodeId
);
number!(
    /// The position of an event in its history, without gaps.
    EventIndex
);
number!(
    /// The position of an operation in its history, in the order of invocation.
    OperationId
);
number!(
    /// A fault of a run, in the order of its schedule.
    FaultId
);
number!(
    /// An interned key of one history.
    KeyId
);
number!(
    /// An interned value of one history.
    ValueId
);

impl ValueId {
    /// The value `nil`, which has this number in every history.
    pub const NIL: ValueId = ValueId(0);
}

/// The name of one object of the store.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Key(Arc<str>);

impl Key {
    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<T: Into<Arc<str>>> From<T> for Key {
    fn from(text: T) -> Key {
        Key(text.into())
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a key can hold. In JSON: `null`, a whole number, a string, or an array of values.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(
    untagged,
    expecting = "a value is null, a whole number of 64 bits, a text, or an array of values"
)]
pub enum Value {
    /// The key is absent. A read that finds nothing *succeeds* with this value; it is never a failure, and
    /// no wildcard unless the history is [read so](super::NilReads::Unknown), so that a store which forgets
    /// everything cannot pass.
    #[default]
    Nil,
    /// A whole number.
    Int(i64),
    /// A text.
    Text(Arc<str>),
    /// Several values in an order.
    List(Arc<[Value]>),
}

impl Value {
    /// What it is as the sum of a counter: one that nobody touched is `nil`. None if it is no number.
    pub(crate) fn as_sum(&self) -> Option<i128> {
        match self {
            Value::Int(sum) => Some(i128::from(*sum)),
            Value::Nil => Some(0),
            Value::Text(_) | Value::List(_) => None,
        }
    }

    /// Whether it is what a counter, a text, a set or a list holds to which nothing was added.
    pub(crate) fn is_blank(&self) -> bool {
        match self {
            Value::Nil => false,
            Value::Int(number) => *number == 0,
            Value::Text(text) => text.is_empty(),
            Value::List(values) => values.is_empty(),
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Nil => f.write_str("nil"),
            Value::Int(number) => write!(f, "{number}"),
            Value::Text(text) => write!(f, "{text:?}"),
            Value::List(values) => {
                f.write_str("[")?;
                for (index, value) in values.iter().enumerate() {
                    if index > 0 {
                        f.write_str(" ")?;
                    }
                    write!(f, "{value}")?;
                }
                f.write_str("]")
            }
        }
    }
}

/// How much a read asks for.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum ReadLevel {
    /// The strongest read that the mode offers.
    #[default]
    Strong,
    /// Whatever the addressed node holds itself, at once. Final reads are of this level.
    Replica,
}

/// What a client asks, over keys and values (`Op`) or over their numbers in one history
/// (`Op<KeyId, ValueId>`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Op<K = Key, V = Value> {
    /// Returns what the key holds.
    Read {
        /// The key that is read.
        key: K,
        /// How much is asked for.
        #[serde(default)]
        level: ReadLevel,
    },
    /// Makes the key hold `value`, whatever it held.
    Write {
        /// The key that is written.
        key: K,
        /// What it holds afterwards.
        value: V,
    },
    /// Makes the key hold `to` if it holds `from`; otherwise fails with [`Reason::Mismatch`].
    Cas {
        /// The key that is changed.
        key: K,
        /// What it must hold.
        from: V,
        /// What it holds afterwards.
        to: V,
    },
    /// Makes the key hold `nil`; succeeds also where it does already.
    Delete {
        /// The key that is emptied.
        key: K,
    },
    /// Puts an element into the set that the key holds. A read of a set returns its elements.
    Add {
        /// The set.
        key: K,
        /// The element.
        value: V,
    },
    /// Takes an element out of the set that the key holds; succeeds also where it is not in it.
    Remove {
        /// The set.
        key: K,
        /// The element.
        value: V,
    },
    /// Adds a whole number to the counter that the key holds.
    Increment {
        /// The counter.
        key: K,
        /// How much; negative counts down.
        by: V,
    },
    /// Puts a value at the end of the list that the key holds; of a text, where both are texts.
    Append {
        /// The list.
        key: K,
        /// The value.
        value: V,
    },
    /// Puts a value at the end of the queue that the key holds.
    Enqueue {
        /// The queue.
        key: K,
        /// The value.
        value: V,
    },
    /// Takes the value at the head of the queue and returns it; `nil` where it is empty.
    Dequeue {
        /// The queue.
        key: K,
    },
    /// Takes the lock. Returns its fencing token, a number that grows, or nothing.
    Acquire {
        /// The lock.
        key: K,
    },
    /// Gives the lock back.
    Release {
        /// The lock.
        key: K,
    },
    /// Returns a value that was never returned before.
    Generate {
        /// The generator.
        key: K,
    },
    /// Puts a message at the end of the log that the key holds. Returns its offset, a whole number.
    Send {
        /// The log.
        key: K,
        /// The message.
        value: V,
    },
    /// Returns what the log has from an offset on: a list of `[offset, message]`.
    Poll {
        /// The log.
        key: K,
        /// The first offset that is asked for.
        from: V,
    },
    /// Says that everything in the log up to an offset has been dealt with.
    Commit {
        /// The log.
        key: K,
        /// The offset.
        offset: V,
    },
    /// Returns up to where everything in the log has been dealt with; `nil` where nobody has said so.
    Committed {
        /// The log.
        key: K,
    },
    /// Returns the value that is given, and does nothing.
    Echo {
        /// What the answer is taken for.
        key: K,
        /// The value.
        value: V,
    },
    /// Several steps that take effect at once. `body` is a list of steps, each `[name, key, value]`
    /// with a name of `r`, `w`, `append` or `inc`; it returns the same list with what every `r`
    /// read in the place of its `nil`. (The shape of Jepsen's and Elle's transactions.)
    Txn {
        /// The store that the keys of the steps belong to.
        key: K,
        /// The steps.
        body: V,
    },
}

impl<K, V> Op<K, V> {
    /// The key that the operation is about.
    pub fn key(&self) -> &K {
        match self {
            Op::Read { key, .. }
            | Op::Write { key, .. }
            | Op::Cas { key, .. }
            | Op::Delete { key }
            | Op::Add { key, .. }
            | Op::Remove { key, .. }
            | Op::Increment { key, .. }
            | Op::Append { key, .. }
            | Op::Enqueue { key, .. }
            | Op::Dequeue { key }
            | Op::Acquire { key }
            | Op::Release { key }
            | Op::Generate { key }
            | Op::Send { key, .. }
            | Op::Poll { key, .. }
            | Op::Commit { key, .. }
            | Op::Committed { key }
            | Op::Echo { key, .. }
            | Op::Txn { key, .. } => key,
        }
    }

    /// What kind of operation it is.
    pub fn kind(&self) -> OpKind {
        match self {
            Op::Read { .. } => OpKind::Read,
            Op::Write { .. } => OpKind::Write,
            Op::Cas { .. } => OpKind::Cas,
            Op::Delete { .. } => OpKind::Delete,
            Op::Add { .. } => OpKind::Add,
            Op::Remove { .. } => OpKind::Remove,
            Op::Increment { .. } => OpKind::Increment,
            Op::Append { .. } => OpKind::Append,
            Op::Enqueue { .. } => OpKind::Enqueue,
            Op::Dequeue { .. } => OpKind::Dequeue,
            Op::Acquire { .. } => OpKind::Acquire,
            Op::Release { .. } => OpKind::Release,
            Op::Generate { .. } => OpKind::Generate,
            Op::Send { .. } => OpKind::Send,
            Op::Poll { .. } => OpKind::Poll,
            Op::Commit { .. } => OpKind::Commit,
            Op::Committed { .. } => OpKind::Committed,
            Op::Echo { .. } => OpKind::Echo,
            Op::Txn { .. } => OpKind::Txn,
        }
    }

    /// The same operation over other keys and values.
    pub fn map<K2, V2>(
        self,
        key_of: impl FnOnce(K) -> K2,
        mut value_of: impl FnMut(V) -> V2,
    ) -> Op<K2, V2> {
        match self {
            Op::Read { key, level } => Op::Read { key: key_of(key), level },
            Op::Write { key, value } => Op::Write { key: key_of(key), value: value_of(value) },
            Op::Cas { key, from, to } => {
                let from = value_of(from);
                Op::Cas { key: key_of(key), from, to: value_of(to) }
            }
            Op::Delete { key } => Op::Delete { key: key_of(key) },
            Op::Add { key, value } => Op::Add { key: key_of(key), value: value_of(value) },
            Op::Remove { key, value } => Op::Remove { key: key_of(key), value: value_of(value) },
            Op::Increment { key, by } => Op::Increment { key: key_of(key), by: value_of(by) },
            Op::Append { key, value } => Op::Append { key: key_of(key), value: value_of(value) },
            Op::Enqueue { key, value } => Op::Enqueue { key: key_of(key), value: value_of(value) },
            Op::Dequeue { key } => Op::Dequeue { key: key_of(key) },
            Op::Acquire { key } => Op::Acquire { key: key_of(key) },
            Op::Release { key } => Op::Release { key: key_of(key) },
            Op::Generate { key } => Op::Generate { key: key_of(key) },
            Op::Send { key, value } => Op::Send { key: key_of(key), value: value_of(value) },
            Op::Poll { key, from } => Op::Poll { key: key_of(key), from: value_of(from) },
            Op::Commit { key, offset } => Op::Commit { key: key_of(key), offset: value_of(offset) },
            Op::Committed { key } => Op::Committed { key: key_of(key) },
            Op::Echo { key, value } => Op::Echo { key: key_of(key), value: value_of(value) },
            Op::Txn { key, body } => Op::Txn { key: key_of(key), body: value_of(body) },
        }
    }
}

impl<K: fmt::Display, V: fmt::Display> fmt::Display for Op<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Op::Read { key, level: ReadLevel::Strong } => write!(f, "read {key}"),
            Op::Read { key, level: ReadLevel::Replica } => write!(f, "read-replica {key}"),
            Op::Write { key, value } => write!(f, "write {key} {value}"),
            Op::Cas { key, from, to } => write!(f, "cas {key} {from} {to}"),
            Op::Delete { key } => write!(f, "delete {key}"),
            Op::Add { key, value } => write!(f, "add {key} {value}"),
            Op::Remove { key, value } => write!(f, "remove {key} {value}"),
            Op::Increment { key, by } => write!(f, "increment {key} {by}"),
            Op::Append { key, value } => write!(f, "append {key} {value}"),
            Op::Enqueue { key, value } => write!(f, "enqueue {key} {value}"),
            Op::Dequeue { key } => write!(f, "dequeue {key}"),
            Op::Acquire { key } => write!(f, "acquire {key}"),
            Op::Release { key } => write!(f, "release {key}"),
            Op::Generate { key } => write!(f, "generate {key}"),
            Op::Send { key, value } => write!(f, "send {key} {value}"),
            Op::Poll { key, from } => write!(f, "poll {key} {from}"),
            Op::Commit { key, offset } => write!(f, "commit {key} {offset}"),
            Op::Committed { key } => write!(f, "committed {key}"),
            Op::Echo { key, value } => write!(f, "echo {key} {value}"),
            Op::Txn { key, body } => write!(f, "txn {key} {body}"),
        }
    }
}

/// The kinds of operations there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OpKind {
    /// See [`Op::Read`].
    Read,
    /// See [`Op::Write`].
    Write,
    /// See [`Op::Cas`].
    Cas,
    /// See [`Op::Delete`].
    Delete,
    /// See [`Op::Add`].
    Add,
    /// See [`Op::Remove`].
    Remove,
    /// See [`Op::Increment`].
    Increment,
    /// See [`Op::Append`].
    Append,
    /// See [`Op::Enqueue`].
    Enqueue,
    /// See [`Op::Dequeue`].
    Dequeue,
    /// See [`Op::Acquire`].
    Acquire,
    /// See [`Op::Release`].
    Release,
    /// See [`Op::Generate`].
    Generate,
    /// See [`Op::Send`].
    Send,
    /// See [`Op::Poll`].
    Poll,
    /// See [`Op::Commit`].
    Commit,
    /// See [`Op::Committed`].
    Committed,
    /// See [`Op::Echo`].
    Echo,
    /// See [`Op::Txn`].
    Txn,
}

impl OpKind {
    /// Every kind, in the order of reports.
    pub const ALL: [OpKind; 19] = [
        OpKind::Read,
        OpKind::Write,
        OpKind::Cas,
        OpKind::Delete,
        OpKind::Add,
        OpKind::Remove,
        OpKind::Increment,
        OpKind::Append,
        OpKind::Enqueue,
        OpKind::Dequeue,
        OpKind::Acquire,
        OpKind::Release,
        OpKind::Generate,
        OpKind::Send,
        OpKind::Poll,
        OpKind::Commit,
        OpKind::Committed,
        OpKind::Echo,
        OpKind::Txn,
    ];

    /// What can be asked of a register.
    pub const REGISTER: [OpKind; 4] = [OpKind::Read, OpKind::Write, OpKind::Cas, OpKind::Delete];

    /// The name in files, flags and tables.
    pub const fn name(self) -> &'static str {
        match self {
            OpKind::Read => "read",
            OpKind::Write => "write",
            OpKind::Cas => "cas",
            OpKind::Delete => "delete",
            OpKind::Add => "add",
            OpKind::Remove => "remove",
            OpKind::Increment => "increment",
            OpKind::Append => "append",
            OpKind::Enqueue => "enqueue",
            OpKind::Dequeue => "dequeue",
            OpKind::Acquire => "acquire",
            OpKind::Release => "release",
            OpKind::Generate => "generate",
            OpKind::Send => "send",
            OpKind::Poll => "poll",
            OpKind::Commit => "commit",
            OpKind::Committed => "committed",
            OpKind::Echo => "echo",
            OpKind::Txn => "txn",
        }
    }

    /// Whether an operation of this kind that took effect returns a value; nothing where it may or may not.
    pub fn returns(self) -> Option<bool> {
        match self {
            OpKind::Read
            | OpKind::Dequeue
            | OpKind::Generate
            | OpKind::Send
            | OpKind::Poll
            | OpKind::Committed
            | OpKind::Echo
            | OpKind::Txn => Some(true),
            OpKind::Acquire => None,
            OpKind::Write
            | OpKind::Cas
            | OpKind::Delete
            | OpKind::Add
            | OpKind::Remove
            | OpKind::Increment
            | OpKind::Append
            | OpKind::Enqueue
            | OpKind::Release
            | OpKind::Commit => Some(false),
        }
    }

    /// Whether it depends on what is stored whether an operation of this kind can be done, so that it may be
    /// [declined](Reason::Declined).
    pub fn has_condition(self) -> bool {
        match self {
            OpKind::Cas
            | OpKind::Remove
            | OpKind::Increment
            | OpKind::Enqueue
            | OpKind::Dequeue
            | OpKind::Acquire
            | OpKind::Release
            | OpKind::Commit
            | OpKind::Txn => true,
            OpKind::Read
            | OpKind::Write
            | OpKind::Delete
            | OpKind::Add
            | OpKind::Append
            | OpKind::Generate
            | OpKind::Send
            | OpKind::Poll
            | OpKind::Committed
            | OpKind::Echo => false,
        }
    }

    /// Whether an operation of this kind can change what a key holds.
    pub fn writes(self) -> bool {
        match self {
            OpKind::Read | OpKind::Generate | OpKind::Poll | OpKind::Committed | OpKind::Echo => {
                false
            }
            OpKind::Write
            | OpKind::Cas
            | OpKind::Delete
            | OpKind::Add
            | OpKind::Remove
            | OpKind::Increment
            | OpKind::Append
            | OpKind::Enqueue
            | OpKind::Dequeue
            | OpKind::Acquire
            | OpKind::Release
            | OpKind::Send
            | OpKind::Commit
            | OpKind::Txn => true,
        }
    }
}

impl fmt::Display for OpKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What an operation that took effect returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ret<V = Value> {
    /// It was done; there is nothing to return. (All but the following.)
    Done,
    /// What the key held (read), what was taken (dequeue), what was made (generate), the offset
    /// (send), what a log has (poll), up to where it is dealt with (committed), what was given (echo), what each step returned (txn), the fencing token (acquire, where there is one).
    Value(V),
}

/// What the client knows about an operation once it has ended.
///
/// There is no `Result` here, and no `?`: an error is not knowledge that nothing happened.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome<V = Value> {
    /// It took effect exactly once, between invocation and completion.
    Ok(Ret<V>),
    /// It did not take effect and never will. A client says so only where it can prove it.
    Fail(Reason<V>),
    /// It may have taken effect, may yet at any later moment, or may never.
    Info(Reason<V>),
}

/// Why an operation did not end `ok`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Reason<V = Value> {
    /// A compare-and-set found another value than `from`. Only with `fail`: it changed nothing, but
    /// it *saw* that the key did not hold `from`, so checkers treat it as an observation.
    Mismatch {
        /// What the key held instead, where the store says so.
        #[serde(
            default = "missing",
            skip_serializing_if = "Option::is_none",
            deserialize_with = "present",
            bound(deserialize = "V: Deserialize<'de>")
        )]
        actual: Option<V>,
    },
    /// The store looked at what it holds, and that does not allow the operation: an account holds too little, a lock is
    /// somebody else's. In the system's own words. Only with `fail`, and only where a system that works as it should
    /// gives such answers: whoever got one was served, so that one who cannot serve (no leader, no quorum) must not say
    /// so. A compare-and-set has [`Reason::Mismatch`] for it.
    Declined(Arc<str>),
    /// No answer before the client's deadline.
    Timeout,
    /// The node is not the leader and did nothing.
    NotLeader,
    /// The node could not serve the operation.
    Unavailable,
    /// The connection was refused before the operation was sent.
    Refused,
    /// The system does not offer this operation.
    Unsupported,
    /// What the session had seen is lost, and the session is over: its client begins another one.
    SessionLost,
    /// Anything else, in the system's own words. Whoever is told so was not served.
    Other(Arc<str>),
}

/// Reads a field that is there: `null` is then the value `nil`, not a field that is missing.
fn present<'de, D, V>(deserializer: D) -> Result<Option<V>, D::Error>
where
    D: serde::Deserializer<'de>,
    V: Deserialize<'de>,
{
    V::deserialize(deserializer).map(Some)
}

/// What a field is that is not there.
fn missing<V>() -> Option<V> {
    None
}

impl<V> Reason<V> {
    /// Whether it is an answer by what is stored, which only one gives who serves.
    pub fn is_answer(&self) -> bool {
        matches!(self, Reason::Mismatch { .. } | Reason::Declined(_))
    }

    /// The same reason over other values.
    pub fn map<V2>(&self, value_of: impl FnOnce(&V) -> V2) -> Reason<V2> {
        match self {
            Reason::Mismatch { actual } => {
                Reason::Mismatch { actual: actual.as_ref().map(value_of) }
            }
            Reason::Declined(words) => Reason::Declined(words.clone()),
            Reason::Timeout => Reason::Timeout,
            Reason::NotLeader => Reason::NotLeader,
            Reason::Unavailable => Reason::Unavailable,
            Reason::Refused => Reason::Refused,
            Reason::Unsupported => Reason::Unsupported,
            Reason::SessionLost => Reason::SessionLost,
            Reason::Other(words) => Reason::Other(words.clone()),
        }
    }
}

impl<V: fmt::Display> fmt::Display for Reason<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Mismatch { actual: Some(value) } => write!(f, "mismatch: holds {value}"),
            Reason::Mismatch { actual: None } => f.write_str("mismatch"),
            Reason::Declined(words) => write!(f, "declined: {words}"),
            Reason::Timeout => f.write_str("timeout"),
            Reason::NotLeader => f.write_str("not-leader"),
            Reason::Unavailable => f.write_str("unavailable"),
            Reason::Refused => f.write_str("refused"),
            Reason::Unsupported => f.write_str("unsupported"),
            Reason::SessionLost => f.write_str("session-lost"),
            Reason::Other(words) => write!(f, "{words}"),
        }
    }
}
