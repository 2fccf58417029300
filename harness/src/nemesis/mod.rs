//! Nemeses: they plan the faults of a run, as data. Only the simulation applies them.
//!
//! Adding a nemesis is one file here and one line in [`NEMESES`].

use std::fmt;
use std::time::Duration;

use checkers::history::{FaultId, NodeId, Time};
use serde::{Deserialize, Serialize};

use crate::config;
use crate::engine::Engine;
use crate::seed::{Ratio, Stream};

mod bandwidth;
mod client_cut;
mod clock;
mod crash;
mod delay;
mod delay_spike;
mod disk;
mod duplicate;
mod examples;
mod flap;
mod kill;
mod leader_with_minority;
mod limits;
mod loss;
pub(crate) mod membership;
mod partition;
mod pause;
mod reorder;
mod restart;
mod rolling_restart;
mod schedule;
mod script;
mod slow;
mod traffic;
mod wipe;

pub use examples::{EXAMPLES, Example, TARGETS_AND_SHAPES};
pub(crate) use schedule::take_times;
pub use schedule::{Schedule, plan};
pub use script::{End, Kind, Nth, Scripted};

/// Plans faults of one family.
pub trait Nemesis: Sync {
    /// Draws the next fault and how long it lasts.
    fn draw(&self, stream: &mut Stream, scope: &Scope) -> (Fault, Duration);

    /// How many nodes a cluster must have for its faults to make a difference.
    fn fewest_nodes(&self) -> u32 {
        1
    }
}

/// What a nemesis may reckon with.
#[derive(Clone, Copy, Debug)]
pub struct Scope {
    /// How many nodes there are.
    pub nodes: u32,
    /// How long the system takes to fail over, at most: faults scale with it.
    pub failover: Duration,
}

/// One thing done to the world. Closed, so that every engine answers for every fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Fault {
    /// Messages between some nodes are lost while it lasts.
    Partition {
        /// Which links are cut.
        shape: Shape,
    },
    /// Messages between some nodes take longer while it lasts, each by a time of its own, so that
    /// they overtake each other.
    Delay {
        /// Which links are slow: those that a partition of this shape would cut.
        shape: Shape,
        /// By how much longer, at most.
        #[serde(deserialize_with = "script::time")]
        longest: Duration,
    },
    /// Some messages on some links take longer while it lasts, and the others overtake them; all have arrived
    /// when it is over.
    Reorder {
        /// Which links: those that a partition of this shape would cut.
        shape: Shape,
        /// How many of the messages.
        chance: Ratio,
        /// By how much longer, at most.
        #[serde(deserialize_with = "script::time")]
        longest: Duration,
    },
    /// Messages on some links wait until it ends, and then arrive together.
    DelaySpike {
        /// Which links: those that a partition of this shape would cut.
        shape: Shape,
    },
    /// Some messages on some links are lost while it lasts.
    Loss {
        /// Which links: those that a partition of this shape would cut.
        shape: Shape,
        /// How many of the messages.
        chance: Ratio,
    },
    /// Some messages on some links arrive again while it lasts, and few of them more than once; no copy
    /// arrives when it is over.
    Duplicate {
        /// Which links: those that a partition of this shape would cut.
        shape: Shape,
        /// How many of the messages.
        chance: Ratio,
        /// How much later than it should be a copy arrives, at most.
        #[serde(deserialize_with = "script::time")]
        latest: Duration,
    },
    /// Links are cut for a while, whole for as long, and so on while it lasts.
    Flap {
        /// Which links: those that a partition of this shape would cut.
        shape: Shape,
        /// How long they are cut, and then whole.
        #[serde(deserialize_with = "script::time")]
        every: Duration,
    },
    /// Links carry only so much while it lasts; what exceeds that waits, until it is over at the longest, and
    /// what finds no room to wait is lost.
    Bandwidth {
        /// Which links: those that a partition of this shape would cut.
        shape: Shape,
        /// How many bytes each link carries in a second.
        bytes_a_second: u32,
        /// How many may wait for it, unless one message alone is longer.
        queue_bytes: u32,
    },
    /// One message is lost, if it is sent while it lasts.
    Drop {
        /// Which.
        message: Nth,
    },
    /// Power loss: what was not synced is gone, whole or in part, and peers see silence. The nodes
    /// are down while it lasts, and start again after it.
    Crash {
        /// Which nodes.
        target: Target,
    },
    /// Power loss with an immediate new start.
    Restart {
        /// Which nodes.
        target: Target,
    },
    /// Wall clocks show another time while it lasts. Monotonic clocks do not jump.
    ClockJump {
        /// Whose.
        target: Target,
        /// By how many milliseconds they are ahead; less than 0 where they are behind.
        by_ms: i64,
    },
    /// Monotonic and wall clocks run faster or slower while it lasts, and so do the timers that go by
    /// them. Then the wall clocks are set right.
    ClockDrift {
        /// Whose.
        target: Target,
        /// How fast they run.
        rate: Rate,
    },
    /// Wall clocks jump to another time and back while it lasts.
    ClockStrobe {
        /// Whose.
        target: Target,
        /// By how many milliseconds they jump.
        by_ms: i64,
        /// How long they stay there, and then at the right time, in turn.
        #[serde(deserialize_with = "script::time")]
        every: Duration,
    },
    /// Loss of power and disk. The nodes are down while it lasts, and start again after it with an empty
    /// disk, told that the cluster exists already. Where a node that lost its disk earlier is not whole
    /// again, nobody is hit.
    Wipe {
        /// Which nodes.
        target: Target,
    },
    /// An operator changes who takes part, by what the system has for it. Where the change cannot be, it
    /// is another one: nobody goes where too few would be left, and nobody comes where all are in.
    Membership {
        /// How.
        change: Change,
    },
    /// Processes stand still while it lasts: they take in no message, and no timer of theirs ends. Messages
    /// wait for them as in the buffer of a socket, and are lost where that is full. Then they go on as
    /// if nothing had been, but their clocks have gone on without them.
    Pause {
        /// Whose.
        target: Target,
    },
    /// Processes end without loss of power: memory is gone, and what was written stays, synced or not. Peers
    /// see silence. The nodes are down while it lasts, and start again after it.
    Kill {
        /// Which nodes.
        target: Target,
    },
    /// Everything takes longer while it lasts. Messages wait, and are lost, as under [`Fault::Pause`].
    Slow {
        /// For which nodes.
        target: Target,
        /// For how much longer each message keeps a node busy, and how much longer each sync of its disk
        /// takes.
        #[serde(deserialize_with = "script::time")]
        cost: Duration,
    },
    /// The processes of all nodes end as under [`Fault::Kill`] and start again, one after the other.
    RollingRestart {
        /// How long each node is down.
        #[serde(deserialize_with = "script::time")]
        down: Duration,
        /// From the start of one to the end of the next.
        #[serde(deserialize_with = "script::time")]
        apart: Duration,
    },
    /// The disks of some nodes do not do what disks do. A node that ends by itself because of that starts
    /// again when it is over.
    Disk {
        /// Which nodes.
        target: Target,
        /// What is wrong with them.
        defect: Defect,
    },
}

impl Fault {
    /// The name of its family.
    pub fn kind(&self) -> &'static str {
        match self {
            Fault::Partition { shape } if shape.is_of_clients() => client_cut::NAME,
            Fault::Partition { shape: Shape::Isolate { target: Target::LeaderWithMinority } } => {
                leader_with_minority::NAME
            }
            Fault::Partition { .. } => "partition",
            Fault::Delay { .. } => "delay",
            Fault::Reorder { .. } => "reorder",
            Fault::DelaySpike { .. } => "delay-spike",
            Fault::Loss { .. } => "loss",
            Fault::Duplicate { .. } => "duplicate",
            Fault::Flap { .. } => "flap",
            Fault::Bandwidth { .. } => "bandwidth",
            Fault::Drop { .. } => "drop",
            Fault::Crash { .. } => "crash",
            Fault::Restart { .. } => "restart",
            Fault::ClockJump { .. } | Fault::ClockDrift { .. } | Fault::ClockStrobe { .. } => {
                "clock"
            }
            Fault::Wipe { target: Target::Minority } => "wipe-minority",
            Fault::Wipe { .. } => "wipe",
            Fault::Membership { .. } => membership::NAME,
            Fault::Pause { .. } => "pause",
            Fault::Kill { .. } => "kill",
            Fault::Slow { .. } => "slow",
            Fault::RollingRestart { .. } => "rolling-restart",
            Fault::Disk { defect, .. } => defect.kind(),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = |duration: &Duration| humantime::format_duration(*duration);
        match self {
            Fault::Partition { shape } => write!(f, "{} {shape}", self.kind()),
            Fault::Delay { shape, longest } => {
                write!(f, "delay {shape} by up to {}", time(longest))
            }
            Fault::Reorder { shape, chance, longest } => {
                write!(f, "reorder {shape}, {chance} by up to {}", time(longest))
            }
            Fault::DelaySpike { shape } => write!(f, "delay-spike {shape}"),
            Fault::Loss { shape, chance } => write!(f, "loss {shape}, {chance}"),
            Fault::Duplicate { shape, chance, latest } => {
                write!(f, "duplicate {shape}, {chance} up to {} later", time(latest))
            }
            Fault::Flap { shape, every } => write!(f, "flap {shape}, every {}", time(every)),
            Fault::Bandwidth { shape, bytes_a_second, queue_bytes } => {
                write!(f, "bandwidth {shape}, {bytes_a_second} B/s, {queue_bytes} B wait")
            }
            Fault::Drop { message } => write!(f, "drop {message}"),
            Fault::Crash { target } => write!(f, "crash {target}"),
            Fault::Restart { target } => write!(f, "restart {target}"),
            Fault::ClockJump { target, .. }
            | Fault::ClockDrift { target, .. }
            | Fault::ClockStrobe { target, .. } => {
                write!(f, "clock {target}{}", self.error_of_clocks())
            }
            Fault::Wipe { target } => write!(f, "wipe {target}"),
            Fault::Membership { change } => write!(f, "membership {change}"),
            Fault::Pause { target } => write!(f, "pause {target}"),
            Fault::Kill { target } => write!(f, "kill {target}"),
            Fault::Slow { target, cost } => {
                write!(f, "slow {target} by {}", humantime::format_duration(*cost))
            }
            Fault::RollingRestart { down, apart } => {
                let time = humantime::format_duration;
                write!(f, "rolling-restart, {} down, {} apart", time(*down), time(*apart))
            }
            Fault::Disk { target, defect } => write!(f, "{} {target}{defect}", defect.kind()),
        }
    }
}

impl Fault {
    /// How wrong it makes clocks, in words that follow whose they are; empty where it leaves them alone.
    pub(crate) fn error_of_clocks(&self) -> String {
        match self {
            Fault::ClockJump { by_ms, .. } => format!(" by {by_ms:+} ms"),
            Fault::ClockDrift { rate, .. } => format!(" at {rate} of the rate"),
            Fault::ClockStrobe { by_ms, every, .. } => {
                let every = humantime::format_duration(*every);
                format!(" by {by_ms:+} ms and back, every {every}")
            }
            Fault::Partition { .. }
            | Fault::Delay { .. }
            | Fault::Reorder { .. }
            | Fault::DelaySpike { .. }
            | Fault::Loss { .. }
            | Fault::Duplicate { .. }
            | Fault::Flap { .. }
            | Fault::Bandwidth { .. }
            | Fault::Drop { .. }
            | Fault::Crash { .. }
            | Fault::Restart { .. }
            | Fault::Wipe { .. }
            | Fault::Membership { .. }
            | Fault::Pause { .. }
            | Fault::Kill { .. }
            | Fault::Slow { .. }
            | Fault::RollingRestart { .. }
            | Fault::Disk { .. } => String::new(),
        }
    }

    /// The message that it is to lose, if it is one.
    pub(crate) fn awaited(&self) -> Option<Nth> {
        if let Fault::Drop { message } = self { Some(*message) } else { None }
    }

    /// Whom it is aimed at, where that is a group of nodes.
    fn aimed_at(&self) -> Option<Target> {
        match *self {
            Fault::Partition { shape }
            | Fault::Delay { shape, .. }
            | Fault::Reorder { shape, .. }
            | Fault::DelaySpike { shape }
            | Fault::Loss { shape, .. }
            | Fault::Duplicate { shape, .. }
            | Fault::Flap { shape, .. }
            | Fault::Bandwidth { shape, .. } => shape.target(),
            Fault::Crash { target }
            | Fault::Restart { target }
            | Fault::ClockJump { target, .. }
            | Fault::ClockDrift { target, .. }
            | Fault::ClockStrobe { target, .. }
            | Fault::Wipe { target }
            | Fault::Membership {
                change: Change::Remove { target } | Change::Replace { target },
            }
            | Fault::Pause { target }
            | Fault::Kill { target }
            | Fault::Slow { target, .. }
            | Fault::Disk { target, .. } => Some(target),
            Fault::Drop { .. }
            | Fault::Membership { change: Change::Add }
            | Fault::RollingRestart { .. } => None,
        }
    }
}

/// A change of who takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// A spare node comes.
    Add,
    /// A member goes.
    Remove {
        /// Which; perhaps one that is down instead.
        target: Target,
    },
    /// A spare node comes, and when it counts, a member goes.
    Replace {
        /// Which goes; perhaps one that is down instead.
        target: Target,
    },
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Change::Add => f.write_str("add"),
            Change::Remove { target } => write!(f, "remove {target}"),
            Change::Replace { target } => write!(f, "replace {target}"),
        }
    }
}

/// What is wrong with a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Defect {
    /// Each sync takes longer, and so what was written takes longer to last.
    Slow {
        /// By how much longer, at most; half of it at least.
        #[serde(deserialize_with = "script::time")]
        longest: Duration,
    },
    /// Nothing more fits: what is written is cut off somewhere, with an error of kind `StorageFull`.
    Full,
    /// Some reads, writes and syncs fail. What a sync that fails was to make last is gone.
    Error {
        /// Of so many, one fails.
        one_of: u32,
    },
    /// The next sync of a file fails, and what it was to make last is gone. Those after it succeed, and know
    /// nothing of it.
    SyncFail,
    /// Bits of what was synced flip. The processes of the nodes are ended for that, and start again when it is
    /// over. One that does not, because it has noticed, starts once more with an empty disk, told
    /// that the cluster exists already. Where a node that lost its disk earlier is not whole again, nobody
    /// is hit.
    BitFlip {
        /// How many.
        bits: u32,
    },
    /// Syncs say that they have made last what they have not. When it is over, the power is lost for a moment.
    LostWrites,
    /// When it is over, the power is lost for a moment, and the nodes start again with what was synced when it
    /// began.
    Rollback,
}

impl Defect {
    /// The name of its nemesis.
    pub fn kind(&self) -> &'static str {
        match self {
            Defect::Slow { .. } => "disk-slow",
            Defect::Full => "disk-full",
            Defect::Error { .. } => "disk-error",
            Defect::SyncFail => "sync-fail",
            Defect::BitFlip { .. } => "bit-flip",
            Defect::LostWrites => "lost-writes",
            Defect::Rollback => "rollback",
        }
    }
}

/// What its kind does not say, in words that follow whose disks they are.
impl fmt::Display for Defect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Defect::Slow { longest } => {
                write!(f, " by up to {}", humantime::format_duration(*longest))
            }
            Defect::Error { one_of } => write!(f, ", one of {one_of}"),
            Defect::BitFlip { bits } => write!(f, ", {bits} bits"),
            Defect::Full | Defect::SyncFail | Defect::LostWrites | Defect::Rollback => Ok(()),
        }
    }
}

/// How fast a clock runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rate {
    /// So many nanoseconds are counted,
    pub counts: u32,
    /// of so many that pass.
    pub of: u32,
}

impl Rate {
    /// A clock that is right.
    pub const RIGHT: Rate = Rate { counts: 1, of: 1 };
    /// The greatest number in a rate.
    pub const MAX: u32 = 1000;

    /// Whether both numbers are within bounds. A clock never stands still.
    pub fn is_possible(self) -> bool {
        (1..=Rate::MAX).contains(&self.counts) && (1..=Rate::MAX).contains(&self.of)
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.counts, self.of)
    }
}

/// Which links a partition cuts, or another fault of links is about.
///
/// Those without a target have braces all the same: a file that gives them one is refused then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "shape", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Shape {
    /// Some nodes are cut off from all others, both ways.
    Isolate {
        /// Which.
        target: Target,
    },
    /// The cluster falls into two halves, as even as can be.
    Halves {},
    /// Each node sees a majority, and no two nodes see the same one.
    MajoritiesRing {},
    /// Two halves that one node still connects.
    Bridge {},
    /// What some nodes say to the others is lost.
    Mute {
        /// Which.
        target: Target,
    },
    /// What the others say to some nodes is lost.
    Deaf {
        /// Which.
        target: Target,
    },
    /// All links, also those between clients and nodes.
    Everywhere {},
    /// Clients and some nodes do not hear each other.
    Clients {
        /// Which.
        target: Target,
    },
    /// What clients say to some nodes is lost.
    Requests {
        /// Which.
        target: Target,
    },
    /// What some nodes say to clients is lost.
    Answers {
        /// Which.
        target: Target,
    },
}

impl Shape {
    /// The nodes that it tells from all others, where it does.
    pub(crate) fn target(self) -> Option<Target> {
        match self {
            Shape::Isolate { target }
            | Shape::Mute { target }
            | Shape::Deaf { target }
            | Shape::Clients { target }
            | Shape::Requests { target }
            | Shape::Answers { target } => Some(target),
            Shape::Halves {}
            | Shape::MajoritiesRing {}
            | Shape::Bridge {}
            | Shape::Everywhere {} => None,
        }
    }

    /// Whether it is of links with clients alone.
    pub fn is_of_clients(&self) -> bool {
        match self {
            Shape::Clients { .. } | Shape::Requests { .. } | Shape::Answers { .. } => true,
            Shape::Isolate { .. }
            | Shape::Halves {}
            | Shape::MajoritiesRing {}
            | Shape::Bridge {}
            | Shape::Mute { .. }
            | Shape::Deaf { .. }
            | Shape::Everywhere {} => false,
        }
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Shape::Isolate { target } => write!(f, "isolate {target}"),
            Shape::Halves {} => f.write_str("halves"),
            Shape::MajoritiesRing {} => f.write_str("majorities-ring"),
            Shape::Bridge {} => f.write_str("bridge"),
            Shape::Mute { target } => write!(f, "mute {target} (one-way)"),
            Shape::Deaf { target } => write!(f, "deaf {target} (one-way)"),
            Shape::Everywhere {} => f.write_str("everywhere"),
            Shape::Clients { target } => write!(f, "between clients and {target}"),
            Shape::Requests { target } => write!(f, "requests to {target} (one-way)"),
            Shape::Answers { target } => write!(f, "answers of {target} (one-way)"),
        }
    }
}

/// Whom a fault hits, by role as observed at the moment it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Target {
    /// This node.
    Node(NodeId),
    /// Any one node.
    One,
    /// The node that leads in the highest term; any one where none does.
    Leader,
    /// Any one node that does not lead.
    Follower,
    /// As many nodes as leave a majority, but one at least.
    Minority,
    /// The same, the node that leads among them, where one does.
    LeaderWithMinority,
    /// The fewest nodes that are a majority.
    Majority,
    /// Every node.
    All,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Node(node) => write!(f, "n{node}"),
            Target::One => f.write_str("one"),
            Target::Leader => f.write_str("leader"),
            Target::Follower => f.write_str("follower"),
            Target::Minority => f.write_str("minority"),
            Target::LeaderWithMinority => f.write_str("leader-with-minority"),
            Target::Majority => f.write_str("majority"),
            Target::All => f.write_str("all"),
        }
    }
}

/// A fault with its place in the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Planned {
    /// Its number.
    pub id: FaultId,
    /// When it begins.
    pub at: Time,
    /// When it is undone.
    pub until: Time,
    /// What is done.
    #[serde(flatten)]
    pub fault: Fault,
    /// Decides which nodes, where the fault leaves it open; each fault has its own, so that leaving
    /// one fault out does not change whom the others hit.
    pub salt: u64,
    /// The message that it waits for, if it does. It then begins when that is sent, at `at` or later, and
    /// lasts as long as from `at` to `until`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Nth>,
    /// Whether the plan names it. What nemeses draw stays within what claims are made for; this need not.
    #[serde(default, skip_serializing_if = "config::is_usual")]
    pub scripted: bool,
}

impl fmt::Display for Planned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        script::tell(f, self.fault, self.after)
    }
}

impl Planned {
    /// Whether it is not undone when all others are, at the beginning of the liveness phase.
    pub fn stays(&self, liveness: Time) -> bool {
        self.at == liveness && liveness < self.until
    }

    /// Whom it hits, where that is one group of nodes.
    pub(crate) fn target(&self) -> Option<Target> {
        match self.fault {
            Fault::Crash { target }
            | Fault::Partition {
                shape: Shape::Isolate { target } | Shape::Mute { target } | Shape::Deaf { target },
            } => Some(target),
            _ => None,
        }
    }
}

/// One nemesis in the table.
#[derive(Clone, Copy)]
pub struct Registration {
    /// The name that plans and flags use.
    pub name: &'static str,
    /// What it does, in one sentence.
    pub about: &'static str,
    /// Whether every system is held against it, or only one whose plan asks for it.
    pub usual: bool,
    /// The engines that can do its faults.
    pub engines: &'static [Engine],
    /// The nemesis.
    pub nemesis: &'static dyn Nemesis,
}

/// The nemeses that take from disks what was synced, or make them fail.
pub const OF_DISKS: [&str; 8] = [
    "wipe",
    "wipe-minority",
    "disk-full",
    "disk-error",
    "sync-fail",
    "bit-flip",
    "lost-writes",
    "rollback",
];

/// Every nemesis there is, in the order `list` shows them.
pub const NEMESES: &[Registration] = &[
    Registration {
        name: "partition",
        about: "cuts links: one node, halves, majorities-ring, bridge, one-way",
        usual: true,
        engines: &Engine::AND_REAL,
        nemesis: &partition::Partition,
    },
    Registration {
        name: "leader-with-minority",
        about: "cuts the leader off from the majority, together with as many others as are none with it",
        usual: false,
        engines: &Engine::AND_REAL,
        nemesis: &leader_with_minority::LeaderWithMinority,
    },
    Registration {
        name: "crash",
        about: "takes power from nodes for a while; what was not synced is lost",
        usual: true,
        engines: &Engine::ALL,
        nemesis: &crash::Crash,
    },
    Registration {
        name: "restart",
        about: "takes power from nodes and starts them again at once",
        usual: true,
        engines: &Engine::ALL,
        nemesis: &restart::Restart,
    },
    Registration {
        name: "delay",
        about: "slows links, each message by a time of its own: one node, one-way, halves",
        usual: true,
        engines: &Engine::ALL,
        nemesis: &delay::Delay,
    },
    Registration {
        name: client_cut::NAME,
        about: "cuts clients off from some nodes that still hear each other, both ways or one way",
        usual: false,
        engines: &Engine::AND_REAL,
        nemesis: &client_cut::ClientCut,
    },
    Registration {
        name: "flap",
        about: "cuts links and heals them in turns, some too short for an election, some long enough",
        usual: false,
        engines: &Engine::ALL,
        nemesis: &flap::Flap,
    },
    Registration {
        name: "loss",
        about: "loses messages, from a few in a hundred to most, also those of clients",
        usual: false,
        engines: &Engine::AND_REAL,
        nemesis: &loss::Loss,
    },
    Registration {
        name: "duplicate",
        about: "lets messages arrive again, up to long after they were sent, also those of clients",
        usual: false,
        engines: &Engine::ALL,
        nemesis: &duplicate::Duplicate,
    },
    Registration {
        name: "reorder",
        about: "lets some messages come late, up to an election later, while the others are on time",
        usual: false,
        engines: &Engine::ALL,
        nemesis: &reorder::Reorder,
    },
    Registration {
        name: "delay-spike",
        about: "holds up all messages on links for a while, and then lets them arrive together",
        usual: false,
        engines: &Engine::ALL,
        nemesis: &delay_spike::DelaySpike,
    },
    Registration {
        name: "bandwidth",
        about: "makes links narrow: what exceeds so many bytes a second waits, or is lost",
        usual: false,
        engines: &Engine::ALL,
        nemesis: &bandwidth::Bandwidth,
    },
    Registration {
        name: "clock",
        about: "makes clocks run faster or slower, jump, and jump to and fro, on one node or several",
        usual: false,
        engines: &Engine::ALL,
        nemesis: &clock::Clock,
    },
    Registration {
        name: "wipe",
        about: "takes power and disk from a node, one at a time; it comes back with nothing",
        usual: false,
        engines: &Engine::ALL,
        nemesis: &wipe::ONE,
    },
    Registration {
        name: "wipe-minority",
        about: "takes power and disks from a minority at once; they come back with nothing",
        usual: false,
        engines: &Engine::ALL,
        nemesis: &wipe::MINORITY,
    },
    Registration {
        name: membership::NAME,
        about: "adds nodes, removes them, and replaces them, through the system, one change at a time",
        usual: false,
        engines: &Engine::ALL,
        nemesis: &membership::Membership,
    },
    Registration {
        name: "pause",
        about: "stops processes for a while and lets them go on; messages wait, clocks do not",
        usual: false,
        engines: &Engine::AND_REAL,
        nemesis: &pause::Pause,
    },
    Registration {
        name: "kill",
        about: "ends processes for a while; what was written stays, synced or not",
        usual: false,
        engines: &Engine::AND_REAL,
        nemesis: &kill::Kill,
    },
    Registration {
        name: "slow",
        about: "makes each message keep a node busy, and each sync take longer",
        usual: false,
        engines: &Engine::ALL,
        nemesis: &slow::Slow,
    },
    Registration {
        name: "rolling-restart",
        about: "ends and starts the processes of all nodes, one after the other",
        usual: false,
        engines: &Engine::ALL,
        nemesis: &rolling_restart::RollingRestart,
    },
    Registration {
        name: "disk-slow",
        about: "makes syncs of disks take long",
        usual: false,
        engines: &Engine::ALL,
        nemesis: &disk::SLOW,
    },
    Registration {
        name: "disk-full",
        about: "lets nothing more fit on disks: writes fail, and leave a part of what they wrote",
        usual: false,
        engines: &Engine::AND_REAL,
        nemesis: &disk::FULL,
    },
    Registration {
        name: "disk-error",
        about: "makes some reads, writes and syncs of disks fail, or all",
        usual: false,
        engines: &Engine::ALL,
        nemesis: &disk::ERROR,
    },
    Registration {
        name: "sync-fail",
        about: "makes one sync of a disk fail, which loses what it was to make last, and says so once",
        usual: false,
        engines: &Engine::ALL,
        nemesis: &disk::SYNC_FAIL,
    },
    Registration {
        name: "bit-flip",
        about: "flips bits of what a node has synced, one node at a time; who notices gets an empty disk",
        usual: false,
        engines: &Engine::ALL,
        nemesis: &disk::BIT_FLIP,
    },
    Registration {
        name: "lost-writes",
        about: "lets disks say that they have synced what the next loss of power takes; then takes power",
        usual: false,
        engines: &Engine::ALL,
        nemesis: &disk::LOST_WRITES,
    },
    Registration {
        name: "rollback",
        about: "starts nodes again with what their disks held some time ago",
        usual: false,
        engines: &Engine::ALL,
        nemesis: &disk::ROLLBACK,
    },
];
