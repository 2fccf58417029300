//! What semi-synchronous replication promises: two nodes have whatever was acknowledged, of which one may
//! lose its disk, and all that was acknowledged stands in one log. And whoever may take office has all of it,
//! while it is decided who that is and after.

use std::sync::Arc;

use stateright::Property;
use stormglass_reference_db::env::NodeId;
use stormglass_reference_db::kv::Reply;
use stormglass_reference_db::protocol::Protocol as _;
use stormglass_reference_db::protocol::leaderless::Settings;
use stormglass_reference_db::protocol::primary::stream::Streamed;
use stormglass_reference_db::protocol::primary::{
    Acknowledge, Appointment, Message, Primary, Record, position,
};
use stormglass_reference_db::protocol::raft::log::{Entry, Log, Position};
use stormglass_reference_db::wire::Request;

use super::node::Node;
use super::raft::is_void_answer;
use super::world::{Answer, Envelope, Scenario, World, write};
use super::{Bounds, Has, Plant, Scope, Subject, explore};

/// A change and another one, or its effect, under a primary that took office before, and its
/// successor.
pub(crate) const SEMI_SYNC: super::Entry = super::Entry {
    name: "primary-semi-sync",
    bounds: |scope| match scope {
        Scope::Small => Bounds { crashes: 1, wipes: 1, asks: 2, ..Bounds::NONE },
        Scope::Full => Bounds { crashes: 2, wipes: 1, asks: 2, ..Bounds::NONE },
    },
    explore: |bounds, planted| {
        let asks = [(None, write("a")), (None, write("b"))];
        let fresh = || Scenario::<Primary>::fresh(Acknowledge::One, Settings::DEFAULT, bounds);
        explore(|| fresh().led_by(NodeId(0)).asking(&asks), planted)
    },
    plants: &[(Plant::EntriesForgotten, TWO_COPIES), (Plant::OldImage, ONE_LOG)],
    has: Has { timers: true, wipes: true, void: true },
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
        let led = || fresh().led_by(NodeId(0)).asking(&asks).having_written("a");
        explore(led, planted)
    },
    plants: &[(Plant::OldImage, TWO_COPIES)],
    has: Has { timers: true, wipes: true, void: true },
};

/// A change that the first primary has acknowledged, and its partner, which does not know that it counts, in
/// office after it. The first one is silent, so that its successor looks for another partner: the third node,
/// which may have the change by then, or not.
pub(crate) const REPLACEMENT: super::Entry = super::Entry {
    name: "primary-semi-sync-replacement",
    bounds: |scope| match scope {
        Scope::Small => Bounds { timers: 2, timed: &[1], crashes: 1, down: &[0], ..Bounds::NONE },
        Scope::Full => Bounds { timers: 2, timed: &[1], wipes: 1, ..Bounds::NONE },
    },
    explore: |bounds, planted| explore(|| succeeded(bounds), planted),
    plants: &[(Plant::Forgery, MAY_TAKE_OFFICE)],
    has: Has { timers: true, wipes: true, void: true },
};

/// The change is under way to the third node from the second one. Whatever concerns the first one is lost.
fn succeeded(bounds: Bounds) -> Scenario<Primary> {
    let fresh = Scenario::<Primary>::fresh(Acknowledge::One, Settings::DEFAULT, bounds);
    let written = fresh.led_by(NodeId(0)).holding(brings_change).having_written("a");
    written
        .holding(|envelope| envelope.concerns(NodeId(0)) || brings_change(envelope))
        .having_heard_nothing(NodeId(2))
        .led_by(NodeId(1))
        .having_lost(|envelope| envelope.concerns(NodeId(0)))
}

fn brings_change(envelope: &Envelope<Message>) -> bool {
    let Message::Stream(Streamed::Entries { entries, .. }) = &envelope.message else {
        return false;
    };
    let brings_change = |entry: &Entry<_>| entry.command.is_some();
    envelope.to == NodeId(2) && entries.iter().any(brings_change)
}

const TWO_COPIES: &str = "two copies";
const MAY_TAKE_OFFICE: &str = "who may take office has everything";
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
    /// Who was appointed in the latest epoch, in order.
    appointed: Vec<Pair>,
}

/// The two that may take office.
#[derive(Clone, Copy, Debug, PartialEq, Hash)]
struct Pair {
    epoch: u64,
    primary: NodeId,
    partner: Option<NodeId>,
}

impl Subject for Primary {
    type Past = Past;

    fn properties(bounds: Bounds) -> Vec<Property<Scenario<Primary>>> {
        let mut properties = vec![
            Property::always(TWO_COPIES, |_, world: &World<Primary>| {
                let disks = || world.nodes.iter().map(|node| node.reborn.replica().log());
                let copies =
                    |entry: &(Position, u64)| disks().filter(|log| has(log, entry)).count();
                world.past.acknowledged.iter().all(|entry| copies(entry) + world.spent.wipes >= 2)
            }),
            Property::always(MAY_TAKE_OFFICE, |_, world: &World<Primary>| {
                let Some(latest) = world.past.appointed.last() else { return true };
                let mut pair = [Some(latest.primary), latest.partner].into_iter().flatten();
                pair.all(|node| world.node(node).up.status().restoring || has_all(world, node))
            }),
            Property::always(ONE_LOG, |_, world: &World<Primary>| !world.past.two_logs),
            Property::sometimes("a change is acknowledged", |_, world: &World<Primary>| {
                !world.past.acknowledged.is_empty()
            }),
        ];
        if bounds.timers > 1 {
            let replaced =
                Property::sometimes("a partner is replaced", |_, world: &World<Primary>| {
                    world.past.appointed.len() > 1
                });
            properties.push(replaced);
        }
        if bounds.timers > 0 && bounds.crashes > 0 && bounds.asks > 0 {
            let both =
                Property::sometimes("two primaries acknowledge", |_, world: &World<Primary>| {
                    world.past.changed
                });
            properties.push(both);
        }
        properties
    }

    fn note(world: &mut World<Primary>, id: NodeId, _was: &Node<Primary>, answers: &[Answer]) {
        note_appointment(world, id);
        for answer in answers.iter().filter(|answer| answer.reply == Reply::Done) {
            let log = world.nodes[id.0 as usize].up.replica().log();
            let past = Arc::make_mut(&mut world.past);
            past.acknowledged.push((position(answer.position), answer.sequence));
            past.two_logs |= !past.acknowledged.iter().all(|entry| has(log, entry));
            past.changed |= past.by.is_some_and(|by| by != id);
            past.by = Some(id);
        }
    }

    fn is_void(world: &World<Primary>, bounds: &Bounds, envelope: &Envelope<Message>) -> bool {
        let node = world.node(envelope.to);
        match &envelope.message {
            Message::Control(message) => is_void_answer(node, message),
            Message::Stream(Streamed::Reached { epoch, .. }) => {
                // A new disk would hear of the epoch.
                *epoch < node.reborn.replica().epoch() && world.spent.wipes == bounds.wipes
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

/// Takes note of who was appointed last: whoever hears of it late knows nothing new. No partner is replaced so
/// often here that the same two are appointed again in an epoch.
fn note_appointment(world: &mut World<Primary>, id: NodeId) {
    let node = Arc::clone(&world.node(id).up);
    let Some(Appointment { node: primary, epoch, partner }) = node.appointed() else { return };
    let appointed = Pair { epoch, primary, partner };
    let known = &mut Arc::make_mut(&mut world.past).appointed;
    let latest = known.last().map_or(0, |latest| latest.epoch);
    if epoch > latest {
        *known = vec![appointed];
    } else if epoch == latest && !known.contains(&appointed) {
        known.push(appointed);
    }
}

/// Whether the disk of a node has all that was acknowledged.
fn has_all(world: &World<Primary>, node: NodeId) -> bool {
    let disk = world.node(node).reborn.replica().log();
    world.past.acknowledged.iter().all(|entry| has(disk, entry))
}

/// Whether a log has the request where it was acknowledged.
fn has(log: &Log<Request>, (at, sequence): &(Position, u64)) -> bool {
    let entry = log.get(at.index).filter(|entry| entry.at == *at);
    entry.and_then(|entry| entry.command.as_ref()).is_some_and(|asked| asked.sequence == *sequence)
}
