//! What semi-synchronous replication promises: two nodes have whatever was acknowledged, and all that
//! was acknowledged stands in one log.

use std::sync::Arc;

use stateright::Property;
use stormglass_reference_db::env::NodeId;
use stormglass_reference_db::kv::Reply;
use stormglass_reference_db::protocol::leaderless::Settings;
use stormglass_reference_db::protocol::primary::stream::Streamed;
use stormglass_reference_db::protocol::primary::{Acknowledge, Message, Primary, Record, position};
use stormglass_reference_db::protocol::raft::log::{Log, Position};
use stormglass_reference_db::wire::Request;

use super::node::Node;
use super::raft::is_void_answer;
use super::world::{Answer, Envelope, Scenario, World, write};
use super::{Bounds, Plant, Scope, Subject, explore};

/// A change and another one, or its effect, under a primary that took office before, and its
/// successor.
pub(crate) const SEMI_SYNC: super::Entry = super::Entry {
    name: "primary-semi-sync",
    bounds: |scope| match scope {
        Scope::Small => Bounds { timers: 0, crashes: 1, asks: 2, ..Bounds::NONE },
        Scope::Full => Bounds { timers: 1, asks: 2, ..Bounds::NONE },
    },
    explore: |bounds, planted| {
        let asks = [(None, write("a")), (None, write("b"))];
        let fresh = || Scenario::<Primary>::fresh(Acknowledge::One, Settings::DEFAULT, bounds);
        explore(|| fresh().led_by(NodeId(0)).asking(&asks), planted)
    },
    plants: &[(Plant::EntriesForgotten, TWO_COPIES), (Plant::OldImage, ONE_LOG)],
};

/// A change that the first primary has acknowledged, and one more, which its successor may: the partner
/// stands for election when the primary has crashed.
pub(crate) const FAILOVER: super::Entry = super::Entry {
    name: "primary-semi-sync-failover",
    // With the timers of all nodes there is no end of it within minutes.
    bounds: |_| Bounds { timers: 1, timed: &[1], crashes: 1, asks: 1, ..Bounds::NONE },
    explore: |bounds, planted| {
        let asks = [(None, write("b"))];
        let fresh = || Scenario::<Primary>::fresh(Acknowledge::One, Settings::DEFAULT, bounds);
        let led = || fresh().led_by(NodeId(0)).asking(&asks).having_done(write("a"));
        explore(led, planted)
    },
    plants: &[(Plant::OldImage, TWO_COPIES)],
};

const TWO_COPIES: &str = "two copies";
const ONE_LOG: &str = "one log";

/// What must not be forgotten when the nodes forget it.
#[derive(Clone, Debug, Default, PartialEq, Hash)]
pub(crate) struct Past {
    /// What was acknowledged: where it stands, and the number of the request.
    acknowledged: Vec<(Position, u64)>,
    /// Whether it was by somebody who did not have what had been before.
    two_logs: bool,
    /// Whether it was by two nodes.
    by: Option<NodeId>,
    changed: bool,
}

impl Subject for Primary {
    type Past = Past;

    fn properties(bounds: Bounds) -> Vec<Property<Scenario<Primary>>> {
        let mut properties = vec![
            Property::always(TWO_COPIES, |_, world: &World<Primary>| {
                let disks = || world.nodes.iter().map(|node| node.reborn.replica().log());
                let copies =
                    |entry: &(Position, u64)| disks().filter(|log| has(log, entry)).count();
                world.past.acknowledged.iter().all(|entry| copies(entry) >= 2)
            }),
            Property::always(ONE_LOG, |_, world: &World<Primary>| !world.past.two_logs),
            Property::sometimes("a change is acknowledged", |_, world: &World<Primary>| {
                !world.past.acknowledged.is_empty()
            }),
        ];
        if bounds.timers > 0 && bounds.crashes > 0 {
            let both =
                Property::sometimes("two primaries acknowledge", |_, world: &World<Primary>| {
                    world.past.changed
                });
            properties.push(both);
        }
        properties
    }

    fn note(world: &mut World<Primary>, id: NodeId, _was: &Node<Primary>, answers: &[Answer]) {
        for answer in answers.iter().filter(|answer| answer.reply == Reply::Done) {
            let log = world.nodes[id.0 as usize].up.replica().log();
            let past = Arc::make_mut(&mut world.past);
            past.acknowledged.push((position(answer.position), answer.sequence));
            past.two_logs |= !past.acknowledged.iter().all(|entry| has(log, entry));
            past.changed |= past.by.is_some_and(|by| by != id);
            past.by = Some(id);
        }
    }

    fn is_void(world: &World<Primary>, envelope: &Envelope<Message>) -> bool {
        let node = world.node(envelope.to);
        match &envelope.message {
            Message::Control(message) => is_void_answer(node, message),
            Message::Stream(Streamed::Reached { epoch, .. }) => {
                *epoch < node.reborn.replica().epoch()
            }
            Message::Stream(_) | Message::Forward { .. } => false,
        }
    }

    fn is_forgotten(plant: Plant, record: &Record) -> bool {
        match record {
            Record::Data(_) => plant == Plant::EntriesForgotten,
            Record::Control(_) | Record::Epoch(_) => plant == Plant::VotesForgotten,
        }
    }

    fn forged(plant: Plant, message: &Message) -> Option<Message> {
        let Message::Stream(Streamed::Entries { epoch, prev, entries, .. }) = message else {
            return None;
        };
        let last = entries.last().map_or(*prev, |entry| entry.at);
        let (agreed, committed, incarnation) = (last, Position::default(), 0);
        let answer = Streamed::Reached { epoch: *epoch, last, agreed, committed, incarnation };
        (plant == Plant::Forgery).then_some(Message::Stream(answer))
    }
}

/// Whether a log has the request where it was acknowledged.
fn has(log: &Log<Request>, (at, sequence): &(Position, u64)) -> bool {
    let entry = log.get(at.index).filter(|entry| entry.at == *at);
    entry.and_then(|entry| entry.command.as_ref()).is_some_and(|asked| asked.sequence == *sequence)
}
