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
use super::{Bounds, LINEARIZABLE, Plant, Subject, explore};

/// A change and two reads, each through a node of its own: the fewest operations with which a register
/// can be regular and yet not atomic, because the second read misses what the first has seen.
pub(crate) const REGISTER: super::Entry = super::Entry {
    name: "leaderless-abd",
    // With a crash or a timer there is no end of it within minutes.
    bounds: |_| Bounds { asks: 3, ..Bounds::NONE },
    explore: |bounds, planted| {
        let atomic = planted.is_none_or(|(plant, _)| plant != Plant::OnePhase);
        let majorities = Settings::majorities(NODES as usize);
        let settings = Settings { atomic, read_repair: atomic, ..majorities };
        let asks = [(0, write("a")), (1, read()), (2, read())];
        let asks = asks.map(|(node, command)| (Some(NodeId(node)), command));
        let fresh = || Scenario::<Leaderless>::fresh(Acknowledge::None, settings, bounds);
        explore(|| fresh().asking(&asks), planted)
    },
    plants: &[(Plant::OnePhase, LINEARIZABLE), (Plant::Forgery, LINEARIZABLE)],
};

impl Subject for Leaderless {
    type Past = ();

    fn properties(_: Bounds) -> Vec<Property<Scenario<Leaderless>>> {
        vec![Property::sometimes("a change reaches all nodes", |_, world: &World<Leaderless>| {
            world.nodes.iter().all(|node| node.up.store().versions().next().is_some())
        })]
    }

    fn note(_: &mut World<Self>, _: NodeId, _: &Node<Self>, _: &[Answer]) {}

    fn is_void(world: &World<Leaderless>, envelope: &Envelope<Message>) -> bool {
        let (from, to) = (&world.node(envelope.from).up, &world.node(envelope.to).up);
        match &envelope.message {
            Message::Fetch { operation, .. } => !from.asks(*operation),
            Message::Fetched { operation, .. } => !to.asks(*operation),
            Message::Store { receipt: Receipt::Operation(operation), key, version } => {
                let held = to.store().get(key).is_some_and(|held| held.stamp >= version.stamp);
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
