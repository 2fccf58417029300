//! What a crate that tests a system of its own needs, in one import: `use stormglass::prelude::*;`.

pub use checkers::Guarantee;
pub use checkers::history::{
    Key, NodeId, Op, OpKind, Outcome, ReadLevel, Reason, Ret, Time, Value,
};

pub use crate::campaign::Campaign;
pub use crate::journal::Journal;
pub use crate::mesh::{Arrival, Mesh, Patience};
pub use crate::sim::{Address, Disk, Message};
pub use crate::system::{
    Claim, Client, ClientCx, LocalBoxFuture, Manifest, NodeCx, NodeStatus, Registration, Role,
    System, Timing,
};
