//! Changes that did not know of each other stand side by side, by dotted version vectors.
//!
//! Preguiça, Baquero, Almeida, Fonte and Gonçalves, "Dotted Version Vectors: Logical Clocks for
//! Optimistic Replication" (2010), section 4. A read shows everything that a quorum holds of a key,
//! with a context: which changes the client has seen with that. Its next write says so, and replaces
//! those and nothing else. The coordinator of a change gives it a dot, by which everybody knows it,
//! and tells it together with what it holds of the key; whoever is told merges that with what is held
//! there. No clock is compared.
//!
//! **Who issues dots.** In the paper replicas do. Here any node coordinates, and a version vector that
//! has the second change of an actor has the first one too. What goes wrong with that: node 4 holds
//! nothing of the key. It takes a change, and then another one from a client that knows nothing of the
//! first, and tells each to all replicas. Replica 1 gets the second one alone, which says "of node 4,
//! everything up to 2". Then the first one comes: it is known there and is not shown, so it must have
//! been replaced, and is dropped, though it was acknowledged. So a state goes whole: with each change go
//! those that its coordinator made of the key before, unless their clients' contexts replace them. A
//! replica has them in its store. Another node keeps them ([`Issued`]).
//!
//! **What goes wrong where that is forgotten.** Node 4 starts again and gives the next change its first
//! dot, or its third, without the two before: replicas take the one for what they know, or the two for
//! replaced. So an actor is one start of a node with one disk, which is durable before anything is told
//! of it and which [`Stamp`](super::version::Stamp) says as well, and one that forgets what it issued
//! without starting anew counts that too. A replica that has lost its disk issues nothing until it is
//! whole, and then as another actor: a change that it had told one other replica alone, and has not got
//! back from there, is not taken for one that its next change has replaced.
//!
//! Nothing of it is ever forgotten by replicas. A key that was deleted keeps its context, because a
//! replica that has missed the deletion would bring back what was there; and the context grows by an
//! actor with every start of a node that coordinates a change of the key.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::Leaderless;
use super::version::{Held, Version};
use crate::kv::Reply;
use crate::merge::{Actor, Dot, Siblings, VersionVector};

/// Keys of which a node that does not hold them keeps what it has issued, at most.
pub const ISSUED_MAX: usize = 1024;

/// What becomes of two changes of a key that did not know of each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Conflicts {
    /// The later one wins, by hybrid clocks, and the earlier one is lost.
    #[default]
    Lww,
    /// Both are kept and shown, and a client's next write replaces those that it has read.
    Siblings,
}

/// What a node has issued of keys that it does not hold, since it began to count.
#[derive(Clone, Debug, Default)]
pub(super) struct Issued {
    /// How often it has begun anew since its start.
    era: u32,
    states: BTreeMap<String, Siblings>,
}

impl Issued {
    /// Forgets everything. What the node issues from here on is another actor's.
    pub(super) fn begin_anew(&mut self) {
        self.era += 1;
        self.states.clear();
    }
}

impl Leaderless {
    /// Who makes the changes that the node coordinates.
    fn actor(&self) -> Actor {
        let (node, start) = (u128::from(self.clock.node.0), u128::from(self.clock.start));
        Actor(node | start << 32 | u128::from(self.issued.era) << 96)
    }

    /// What a change leaves that replaces what is in the context.
    pub(super) fn replaced(
        &mut self,
        key: &str,
        value: Option<Vec<u8>>,
        context: &VersionVector,
    ) -> Version {
        let holds = self.ring.holds(self.options.id, self.store.segment(key));
        if !holds && !self.issued.states.contains_key(key) && self.issued.states.len() >= ISSUED_MAX
        {
            self.issued.begin_anew();
        }
        let mut state = if holds {
            siblings_of(self.store.get(key)).cloned()
        } else {
            self.issued.states.get(key).cloned()
        }
        .unwrap_or_default();
        if state.context().get(self.actor()) > self.clock.latest {
            // Some client claims to have seen what is yet to come, and another node has believed it.
            self.issued.begin_anew();
        }
        let context = self.credible(context);
        let stamp = self.clock.issue(0);
        state.write(Dot { actor: self.actor(), number: stamp.time }, &context, value);
        if !holds {
            self.issued.states.insert(key.to_owned(), state.clone());
        }
        Version { stamp, held: Held::Siblings(state) }
    }

    /// What of a context the node can believe: changes of nodes that exist, and of its own only those
    /// that were made.
    fn credible(&self, context: &VersionVector) -> VersionVector {
        let node_of = |dot: &Dot| dot.actor.0 & u128::from(u32::MAX);
        let exists =
            |dot: &Dot| self.options.nodes.iter().any(|node| u128::from(node.0) == node_of(dot));
        let dots = context.iter().filter(exists).map(|dot| {
            let own = dot.actor == self.actor();
            let number = if own { dot.number.min(self.clock.latest) } else { dot.number };
            Dot { number, ..dot }
        });
        dots.collect()
    }

    /// What a client is shown of a version.
    pub(super) fn shown(&self, version: Option<&Version>) -> Reply {
        match self.options.leaderless.conflicts {
            Conflicts::Lww => Reply::Value(version.and_then(Version::value).cloned()),
            Conflicts::Siblings => {
                let values = siblings_of(version).into_iter().flat_map(Siblings::values);
                Reply::Siblings {
                    values: values.map(<[u8]>::to_vec).collect(),
                    context: changes_of(version),
                }
            }
        }
    }

    /// How far in the order of all changes a client is that has seen a version; 0 where there is no
    /// such order.
    pub(super) fn position(&self, version: Option<&Version>) -> u64 {
        match self.options.leaderless.conflicts {
            Conflicts::Lww => version.map_or(0, |version| version.stamp.time),
            Conflicts::Siblings => 0,
        }
    }
}

/// Which changes one has seen with a version.
pub(super) fn changes_of(version: Option<&Version>) -> VersionVector {
    siblings_of(version).map_or_else(VersionVector::default, |siblings| siblings.context().clone())
}

fn siblings_of(version: Option<&Version>) -> Option<&Siblings> {
    match &version?.held {
        Held::Siblings(siblings) => Some(siblings),
        Held::Nothing | Held::Value(_) => None,
    }
}
