//! The protocols of the store, explored in all the ways in which a small world can go.
//!
//! [`world`] is the model: the very code that runs in production, in a world in which whatever can
//! happen does. [`node`] is a node in it, [`digest`] what tells two states apart. A file each says what
//! must be true of a protocol: [`raft`], [`semi_sync`], [`abd`]. [`crdt`] has a world of its own: states
//! that merge have no protocol.

pub(crate) mod abd;
pub(crate) mod crdt;
pub(crate) mod digest;
pub(crate) mod node;
pub(crate) mod raft;
pub(crate) mod semi_sync;
pub(crate) mod world;

use std::collections::BTreeSet;
use std::fmt;
use std::hash::Hash;

use stateright::{
    Checker as _, CheckerBuilder, Expectation, HasDiscoveries, Model, Path, Property,
};
use stormglass_reference_db::env::NodeId;
use stormglass_reference_db::protocol::Protocol;

use self::digest::Digest;
use self::node::Node;
use self::world::{Answer, Envelope, NODES, Scenario, World};

/// A protocol, and what must be true of it.
pub(crate) trait Subject:
    Protocol<Message: PartialEq + Send + Sync, Record: Send + Sync, Snapshot: Send + Sync>
    + Clone
    + fmt::Debug
    + Send
    + Sync
{
    /// What its properties remember.
    type Past: Clone + Default + fmt::Debug + PartialEq + Hash + Send + Sync;

    /// What must be true of it always, and what must be possible within the bounds.
    fn properties(bounds: Bounds) -> Vec<Property<Scenario<Self>>>;

    /// Takes note of what a node has just done, and of what it was before.
    fn note(world: &mut World<Self>, node: NodeId, was: &Node<Self>, answers: &[Answer]);

    /// Whether a message makes no difference any more, now or ever after, whatever happens within the
    /// bounds: neither it nor what would be answered.
    fn is_void(world: &World<Self>, bounds: &Bounds, envelope: &Envelope<Self::Message>) -> bool;

    /// Whether a mistake makes a disk forget a record.
    fn is_forgotten(plant: Plant, record: &Self::Record) -> bool;

    /// What a mistake makes somebody else answer to a message, without having got it.
    fn forged(plant: Plant, message: &Self::Message) -> Option<Self::Message>;
}

/// A mistake around the protocol that no protocol survives: it shows that a property can fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plant {
    /// Disks forget for whom their nodes voted.
    VotesForgotten,
    /// Disks forget entries of the log.
    EntriesForgotten,
    /// Whoever is sent entries is taken to have them.
    Forgery,
    /// A node that crashes comes back with the memory that it had when the exploration began, as a
    /// virtual machine does that is put back to an old image.
    OldImage,
    /// Reads and writes have one phase.
    OnePhase,
}

/// A mistake, and the property that it breaks.
pub(crate) type Planted = (Plant, &'static str);

/// How much of what may happen at most; or how much has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Bounds {
    /// Timers that fire, and times that a node hears nothing for almost as long.
    pub(crate) timers: usize,
    /// Whether the latter happens.
    pub(crate) silence: bool,
    /// Whose timers they are.
    pub(crate) timed: &'static [u32],
    /// Crashes.
    pub(crate) crashes: usize,
    /// Crashes, besides those, that take the disk along.
    pub(crate) wipes: usize,
    /// Whether messages stay under way that make no difference any more.
    pub(crate) void: bool,
    /// Who is down, and stays so.
    pub(crate) down: &'static [u32],
    /// Operations of clients.
    pub(crate) asks: usize,
}

impl Bounds {
    /// Nothing.
    pub(crate) const NONE: Bounds = Bounds {
        timers: 0,
        silence: false,
        timed: &[0, 1, 2],
        void: false,
        crashes: 0,
        wipes: 0,
        down: &[],
        asks: 0,
    };
}

impl fmt::Display for Bounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Bounds { timers, silence, timed, crashes, wipes, down, asks, .. } = self;
        let plural = |number: usize, one: &'static str, more: &'static str| {
            if number == 1 { one } else { more }
        };
        write!(f, "{NODES} nodes, {asks} {}", plural(*asks, "operation", "operations"))?;
        if *timers > 0 {
            write!(f, ", {timers} {}", plural(*timers, "timer", "timers"))?;
            f.write_str(if *silence { " or silences" } else { "" })?;
            write!(f, " of {timed:?}")?;
        }
        write!(f, ", {crashes} {}", plural(*crashes, "crash", "crashes"))?;
        if *wipes > 0 {
            write!(f, ", {wipes} {}", plural(*wipes, "lost disk", "lost disks"))?;
        }
        if !down.is_empty() {
            write!(f, ", {down:?} down")?;
        }
        Ok(())
    }
}

/// How much is explored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// What takes seconds.
    Small,
    /// What takes minutes.
    Full,
}

/// A model by name.
pub(crate) struct Entry {
    /// By which it is chosen.
    pub(crate) name: &'static str,
    /// What of it is explored in a scope.
    pub(crate) bounds: fn(Scope) -> Bounds,
    /// Explores it, with a mistake or without.
    pub(crate) explore: fn(Bounds, Option<Planted>) -> Findings,
    /// The mistakes that break it.
    pub(crate) plants: &'static [Planted],
    /// What of it can be explored otherwise than a scope says.
    pub(crate) has: Has,
}

/// What there is in a model, and so can be bounded.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Has {
    /// Timers that fire.
    pub(crate) timers: bool,
    /// Disks that can be lost.
    pub(crate) wipes: bool,
    /// Messages that make no difference any more.
    pub(crate) void: bool,
}

/// What is explored otherwise than a scope says.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wishes {
    /// So many timers.
    pub(crate) timers: Option<usize>,
    /// So many crashes.
    pub(crate) crashes: Option<usize>,
    /// So many lost disks.
    pub(crate) wipes: Option<usize>,
    /// Messages stay under way that make no difference any more.
    pub(crate) void: bool,
}

impl Entry {
    /// What is explored of it in a scope, or as is wished.
    ///
    /// # Errors
    /// Where it has nothing of what is wished.
    pub(crate) fn bounds_with(&self, scope: Scope, wishes: Wishes) -> Result<Bounds, String> {
        let Has { timers, wipes, void } = self.has;
        let wanted = [
            (wishes.timers.is_some() && !timers, "--timers", "timers"),
            (wishes.wipes.is_some() && !wipes, "--wipes", "disks that can be lost"),
            (wishes.void && !void, "--void", "messages of a protocol"),
        ];
        if let Some((_, flag, what)) = wanted.into_iter().find(|(lacks, ..)| *lacks) {
            let name = self.name;
            return Err(format!("{name} has no {what}: leave {flag} away, or name other models"));
        }
        let bounds = (self.bounds)(scope);
        Ok(Bounds {
            timers: wishes.timers.unwrap_or(bounds.timers),
            crashes: wishes.crashes.unwrap_or(bounds.crashes),
            wipes: wishes.wipes.unwrap_or(bounds.wipes),
            void: bounds.void || wishes.void,
            ..bounds
        })
    }
}

/// The models of these names, each once, in the order of [`MODELS`]; all where none is named.
///
/// # Errors
/// Where no model has one of the names.
pub(crate) fn named(names: &[String]) -> Result<Vec<&'static Entry>, String> {
    let known = |name: &&String| MODELS.iter().any(|model| model.name == **name);
    if let Some(name) = names.iter().find(|name| !known(name)) {
        let known: Vec<_> = MODELS.iter().map(|model| model.name).collect();
        return Err(format!("no model is called `{name}`; there are {}", known.join(", ")));
    }
    let chosen = |model: &&Entry| names.is_empty() || names.iter().any(|name| name == model.name);
    Ok(MODELS.iter().filter(chosen).collect())
}

/// Every model.
pub(crate) const MODELS: &[Entry] = &[
    raft::ELECTION,
    raft::REPLICATION,
    raft::READS,
    raft::MEMBERS,
    raft::TWO,
    raft::LET_IN,
    semi_sync::SEMI_SYNC,
    semi_sync::FAILOVER,
    semi_sync::REPLACEMENT,
    abd::REGISTER,
    abd::CRASH,
    abd::WRITERS,
    crdt::SET,
    crdt::COUNTER,
    crdt::SIBLINGS,
    crdt::REGISTER,
    crdt::SET_CRASH,
    crdt::COUNTER_CRASH,
    crdt::SIBLINGS_CRASH,
    crdt::REGISTER_CRASH,
];

/// The property that all models share: what clients saw is what one copy would have shown them.
pub(crate) const LINEARIZABLE: &str = "linearizable";

/// What was found.
#[derive(Clone, Debug)]
pub(crate) struct Findings {
    /// States that were reached, counting those that were reached again.
    pub(crate) states: usize,
    /// States that differ.
    pub(crate) unique: usize,
    /// States of single nodes that differ.
    pub(crate) nodes: BTreeSet<Digest>,
    /// Steps to the furthest.
    pub(crate) depth: usize,
    /// What became of each property.
    pub(crate) properties: Vec<Finding>,
}

/// What became of a property.
#[derive(Clone, Debug)]
pub(crate) struct Finding {
    /// The property.
    pub(crate) name: &'static str,
    /// Whether it is as it should be: never broken, or reached.
    pub(crate) holds: bool,
    /// Whether it is to be reached, and not to hold always.
    pub(crate) sometimes: bool,
    /// The steps to where it is broken, or reached.
    pub(crate) steps: Vec<String>,
}

impl Findings {
    /// What became of a property.
    pub(crate) fn finding(&self, name: &str) -> Option<&Finding> {
        self.properties.iter().find(|finding| finding.name == name)
    }

    /// Whether all is as it should be.
    pub(crate) fn hold(&self) -> bool {
        self.properties.iter().all(|property| property.holds)
    }
}

/// Explores a model: all of it; or with a mistake, step by step until that has broken its property.
pub(crate) fn explore<P: Subject>(
    scenario: impl Fn() -> Scenario<P>,
    planted: Option<Planted>,
) -> Findings {
    let model = |plant: Option<Plant>| match plant {
        Some(plant) => scenario().planted(plant),
        None => scenario(),
    };
    explore_model(model, Scenario::nodes_known, planted)
}

/// The same for any model that says which states its nodes were in.
pub(crate) fn explore_model<M: Explored>(
    model: impl Fn(Option<Plant>) -> M,
    nodes: fn(&M) -> BTreeSet<Digest>,
    planted: Option<Planted>,
) -> Findings {
    let Some((plant, name)) = planted else { return search(model(None).checker(), nodes) };
    let broken = |findings: &Findings| findings.finding(name).is_some_and(|f| !f.holds);
    let found = HasDiscoveries::AllOf(BTreeSet::from([name]));
    let mut depth = 1;
    loop {
        let checker = model(Some(plant)).checker().target_max_depth(depth);
        let findings = search(checker.finish_when(found.clone()), nodes);
        // Where nothing was left out for its depth, there is nothing further down.
        if broken(&findings) || findings.depth < depth {
            return findings;
        }
        depth += 1;
    }
}

/// What can be explored.
pub(crate) trait Explored:
    Model<
        State: Clone + fmt::Debug + Hash + PartialEq + Send + Sync,
        Action: Clone + fmt::Debug + PartialEq,
    > + Send
    + Sync
    + 'static
{
}

impl<M> Explored for M where
    M: Model<
            State: Clone + fmt::Debug + Hash + PartialEq + Send + Sync,
            Action: Clone + fmt::Debug + PartialEq,
        > + Send
        + Sync
        + 'static
{
}

fn search<M: Explored>(builder: CheckerBuilder<M>, nodes: fn(&M) -> BTreeSet<Digest>) -> Findings {
    let checker = builder.spawn_bfs().join();
    let mut found = checker.discoveries();
    let finding = |property: Property<M>| {
        let path = found.remove(property.name);
        let sometimes = property.expectation == Expectation::Sometimes;
        let holds = path.is_some() == sometimes;
        let actions = path.map(Path::into_actions).unwrap_or_default();
        let steps = actions.iter().map(|action| format!("{action:?}")).collect();
        Finding { name: property.name, holds, sometimes, steps }
    };
    let properties = checker.model().properties().into_iter().map(finding).collect();
    Findings {
        states: checker.state_count(),
        unique: checker.unique_state_count(),
        nodes: nodes(checker.model()),
        depth: checker.max_depth(),
        properties,
    }
}
