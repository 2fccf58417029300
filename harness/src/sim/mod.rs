//! The world of a run: scheduler, network, disk and clock, and the faults that are applied to them.
//!
//! Start with [`world`](World): it steps the simulation and applies faults. [`NodeCx`] and
//! [`ClientCx`] are what nodes and clients see of it. What schedules the hosts and carries the messages
//! is in `engine/`: there are two such engines, and one file there is the only place that uses turmoil.

mod clock;
mod context;
mod defects;
mod disk;
mod engine;
mod geography;
mod guard;
mod impair;
mod network;
mod process;
mod roster;
mod shared;
mod target;
mod watch;
mod world;

use std::time::Duration;

pub use context::{Address, ClientCx, MESSAGE_BYTES_MAX, Message, NodeCx, NodeStatus, Role};
pub(crate) use context::{ClientSpec, Trail};
pub use disk::Disk;
pub use engine::Clock;
pub(crate) use guard::Caught;
pub(crate) use network::Link;
pub(crate) use roster::{Roster, Step, operate};
pub(crate) use target::{Cuts, Observed, named, see_each_other, stream_of};
pub(crate) use world::{NOBODY, NOT_WHOLE, Play, World};

/// How a node went wrong by itself, without a fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// It ended, and said why.
    Stopped(String),
    /// It panicked, with these words.
    Panic(String),
    /// It spun without time moving on.
    Livelock,
    /// It ran, nothing hindered it, and for so long it gave no answer.
    Silent(Duration),
}
