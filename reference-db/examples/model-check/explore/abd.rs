//! Atomicity of the registers of Attiya, Bar-Noy and Dolev (1995): that is linearizability, which every
//! model here is judged by.

use stateright::Property;
use stormglass_reference_db::env::NodeId;
use stormglass_reference_db::protocol::leaderless::{
    Leaderless, Message, Receipt, Record, Settings,
};
use stormglass_reference_db::protocol::primary::Acknowledge;

use super::node::Node;
use super::world::{Answer, Envelope, NODES, Scenario, World, read, write};
use super::{Bounds, Has, LINEARIZABLE, Plant, Planted, Scope, Subject, explore};

/// A change and two reads, each through a node of its own: the fewest operations with which a register
/// can be regular and yet not atomic, because the second read misses what the first has seen.
pub(crate) const REGISTER: super::Entry = super::Entry {
    name: "leaderless-abd",
    bounds: |_| Bounds { asks: 3, ..Bounds::NONE },
    explore: |bounds, planted| {
        explore(|| abd(bounds, &WRITE_AND_READS, is_atomic(planted)), planted)
    },
    plants: &[(Plant::OnePhase, LINEARIZABLE), (Plant::Forgery, LINEARIZABLE)],
    has: Has { timers: true, wipes: false, void: true },
};

/// A change and a read, or two, and a crash of any node at any moment. With two reads, a timer
/// besides would make it too much for minutes.
pub(crate) const CRASH: super::Entry = super::Entry {
    name: "leaderless-abd-crash",
    bounds: |scope| match scope {
        Scope::Small => Bounds { crashes: 1, asks: 2, ..Bounds::NONE },
        Scope::Full => Bounds { crashes: 1, asks: 3, ..Bounds::NONE },
    },
    explore: |bounds, planted| explore(|| abd(bounds, &WRITE_AND_READS, true), planted),
    plants: &[(Plant::EntriesForgotten, LINEARIZABLE), (Plant::OldImage, LINEARIZABLE)],
    has: Has { timers: true, wipes: false, void: true },
};

/// Two changes that may not know of each other and a read, each through a node of its own, and a crash of any
/// node at any moment.
pub(crate) const WRITERS: super::Entry = super::Entry {
    name: "leaderless-abd-writers",
    bounds: |scope| match scope {
        Scope::Small => Bounds { asks: 3, ..Bounds::NONE },
        Scope::Full => Bounds { crashes: 1, asks: 3, ..Bounds::NONE },
    },
    explore: |bounds, planted| explore(|| abd(bounds, &WRITES_AND_READ, true), planted),
    plants: &[(Plant::Forgery, LINEARIZABLE)],
    has: Has { timers: true, wipes: false, void: true },
};

fn is_atomic(planted: Option<Planted>) -> bool {
    planted.is_none_or(|(plant, _)| plant != Plant::OnePhase)
}

const WRITE_AND_READS: [Ask; 3] = [Ask::Write("a"), Ask::Read, Ask::Read];
const WRITES_AND_READ: [Ask; 3] = [Ask::Write("a"), Ask::Write("b"), Ask::Read];

/// What a client wants.
#[derive(Clone, Copy)]
enum Ask {
    Write(&'static str),
    Read,
}

/// Each node is asked for one thing. So a message is not kept for what it tells the clock of whoever has taken
/// its stamp already.
fn abd(bounds: Bounds, asks: &[Ask], atomic: bool) -> Scenario<Leaderless> {
    let majorities = Settings::majorities(NODES as usize);
    let settings = Settings { atomic, read_repair: atomic, ..majorities };
    let command = |ask: &Ask| match ask {
        Ask::Write(value) => write(value),
        Ask::Read => read(),
    };
    let asks = asks.iter().zip(0..).take(bounds.asks);
    let asks: Vec<_> = asks.map(|(ask, id)| (Some(NodeId(id)), command(ask))).collect();
    Scenario::fresh(Acknowledge::None, settings, bounds).asking(&asks)
}

impl Subject for Leaderless {
    type Past = ();

    fn properties(_: Bounds) -> Vec<Property<Scenario<Leaderless>>> {
        vec![Property::sometimes("a change reaches all nodes", |_, world: &World<Leaderless>| {
            world.nodes.iter().all(|node| node.up.store().versions().next().is_some())
        })]
    }

    fn note(_: &mut World<Self>, _: NodeId, _: &Node<Self>, _: &[Answer]) {}

    fn is_void(world: &World<Leaderless>, _: &Bounds, envelope: &Envelope<Message>) -> bool {
        let receiver = world.node(envelope.to);
        if receiver.is_untouched() {
            // With the first thing that it hears, whatever that is, it counts its start.
            return false;
        }
        let (from, to) = (&world.node(envelope.from).up, &receiver.up);
        match &envelope.message {
            Message::Fetch { operation, .. } => !from.asks(*operation),
            Message::Fetched { operation, .. } => !to.asks(*operation),
            Message::Store { receipt: Receipt::Operation(operation), key, version } => {
                let held = receiver
                    .reborn
                    .store()
                    .get(key)
                    .is_some_and(|held| held.stamp >= version.stamp);
                held && !from.tells(*operation, envelope.to)
            }
            Message::Stored { receipt: Receipt::Operation(operation), .. } => {
                !to.tells(*operation, envelope.from)
            }
            _ => false,
        }
    }

    fn is_forgotten(plant: Plant, record: &Record) -> bool {
        plant == Plant::EntriesForgotten && matches!(record, Record::Holds(..))
    }

    fn forged(plant: Plant, message: &Message) -> Option<Message> {
        let Message::Store { receipt: receipt @ Receipt::Operation(_), key, version } = message
        else {
            return None;
        };
        let (receipt, key, stamp) = (*receipt, key.clone(), version.stamp);
        (plant == Plant::Forgery).then_some(Message::Stored { receipt, key, stamp })
    }
}
