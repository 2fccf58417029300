//! What the adapters share: keys and values behind a log, clients of them, and entropy that comes from the seed.

mod client;
pub mod entropy;
mod keys;
mod settings;
mod trial;

pub use client::{Answer, Asked, Command, Pending, Request, Session};
pub use keys::{Change, Changes, Keys, Store};
pub use settings::{Player, Settings};
pub use trial::Trial;

use std::time::Duration;

use stormglass::nemesis::OF_DISKS;
use stormglass::prelude::*;

/// The operations of [`Keys`].
pub const OPS: [OpKind; 7] = [
    OpKind::Read,
    OpKind::Write,
    OpKind::Cas,
    OpKind::Delete,
    OpKind::Add,
    OpKind::Remove,
    OpKind::Txn,
];

/// What a store promises that does everything in the order of one log.
pub const CLAIMED: [Guarantee; 12] = [
    Guarantee::Linearizable,
    Guarantee::ReadYourWrites,
    Guarantee::MonotonicReads,
    Guarantee::MonotonicWrites,
    Guarantee::WritesFollowReads,
    Guarantee::Causal,
    Guarantee::Durable,
    Guarantee::Convergent,
    Guarantee::Live,
    Guarantee::Set,
    Guarantee::Serializable,
    Guarantee::StrictSerializable,
];

/// How long the stores take: an election or two, of some hundred milliseconds each.
pub const TIMING: Timing = Timing {
    failover: Duration::from_millis(2500),
    converge: Duration::from_millis(3000),
    operation: Duration::from_millis(1000),
};

/// What a store says about itself where these nemeses plan faults: nothing where disks forget or fail, since no adapter
/// here says what it does then.
pub fn manifest_under(nemeses: &[String], mut manifest: Manifest) -> Manifest {
    if nemeses.iter().any(|nemesis| OF_DISKS.contains(&&**nemesis)) {
        manifest.claims.iter_mut().for_each(|(_, claim)| *claim = Claim::Silent);
    }
    manifest
}

/// What is kept on disk and sent, as JSON.
pub fn json(what: &(impl serde::Serialize + ?Sized)) -> Vec<u8> {
    serde_json::to_vec(what).expect("all that nodes say and keep is JSON")
}
