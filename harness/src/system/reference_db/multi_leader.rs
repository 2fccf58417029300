//! The mode of the reference store in which each region has a leader.

use checkers::Guarantee;
use checkers::history::{OpKind, SessionId};
use reference_db::client::{Policy, ReplicaReads};
use reference_db::mode::Mode;
use reference_db::protocol::multi_leader as multi;
use reference_db::protocol::multi_leader::conflicts::Conflicts;
use reference_db::protocol::multi_leader::topology::Topology;
use reference_db::server::ServerConfig;
use serde::Deserialize;

use super::{
    CONFIG, SESSIONS, TIMING, budget, client_with, falsifies_clocks, mark_in_words, marks_of,
    operator, parsed, question, run_node, unless_forgotten, wipes, wipes_several,
};
use crate::system::{
    Claim, Client, ClientCx, Effect, Excess, Fault, LocalBoxFuture, Manifest, Membership, NodeCx,
    Operator, Question, Settings, System,
};

/// Makes the system.
pub(in crate::system) fn build() -> Box<dyn System> {
    let settings = multi::Settings::DEFAULT;
    Box::new(MultiLeader { settings, region_nodes: 1, sets: false, clients: Clients::Stay })
}

struct MultiLeader {
    settings: multi::Settings,
    /// How many nodes each region has at least.
    region_nodes: usize,
    /// Whether clients keep sets in registers where the later write wins: they read, change and write.
    sets: bool,
    clients: Clients,
}

/// Where clients turn to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Clients {
    /// To the nodes of one region.
    #[default]
    Stay,
    /// To the next node where one does not answer, whatever its region, and to one node after the
    /// other for replica reads.
    Move,
}

/// What the mode takes from a plan.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
struct MultiLeaderSettings {
    regions: Option<usize>,
    region_nodes: Option<usize>,
    topology: Topology,
    conflicts: Conflicts,
    sets: bool,
    clients: Clients,
}

impl MultiLeader {
    fn claims(&self, nemeses: &[String]) -> Vec<(Guarantee, Claim)> {
        let multi::Settings { regions, topology, conflicts } = self.settings;
        let when = |holds| if holds { Claim::Holds } else { Claim::Breaks };
        // What one region has acknowledged, another one shows later. Alone, a region is linearizable.
        let at_once = when(regions == 1);
        let stays = regions == 1 || self.clients == Clients::Stay;
        // A write that was replaced by a later one is not lost. But a set that a client has read, changed
        // and written takes with it what others have added since.
        let keeps = conflicts != Conflicts::Lww || !self.sets || regions == 1;
        let mut claims = vec![(Guarantee::Linearizable, at_once)];
        claims.extend(SESSIONS.map(|guarantee| (guarantee, when(stays))));
        if regions > 1 && topology != Topology::AllToAll {
            // There is one way from region to region, and where it is cut, nothing arrives.
            claims.push((Guarantee::BoundedStaleness, Claim::Breaks));
        }
        claims.extend([
            (Guarantee::Durable, when(keeps)),
            (Guarantee::Convergent, Claim::Holds),
            (Guarantee::Live, Claim::Holds),
            // Of a majority of all nodes that all see each other, some are a majority of their region. Where not
            // all do and no region has a majority, nothing is claimed: `Roster::has_its_region`.
            (Guarantee::Available, Claim::Holds),
        ]);
        // What is not offered, nobody can judge.
        let objects = [(OpKind::Add, Guarantee::Set), (OpKind::Increment, Guarantee::Counter)];
        let offered = objects.into_iter().filter(|(kind, _)| self.offered().contains(kind));
        claims.extend(offered.map(|(_, guarantee)| (guarantee, at_once)));
        for (guarantee, claim) in &mut claims {
            let waived = self.waived(*guarantee, *claim, nemeses);
            *claim = unless_forgotten(*guarantee, waived, nemeses);
        }
        claims
    }

    /// What becomes of a claim under faults that it is not made for.
    fn waived(&self, guarantee: Guarantee, claim: Claim, nemeses: &[String]) -> Claim {
        let later_wins = self.settings.conflicts == Conflicts::Lww && self.settings.regions > 1;
        if wipes_several(nemeses) {
            // They may be all that a region has.
            return Claim::Silent;
        }
        // What a region of one node has acknowledged, and nobody else has yet, is lost with its disk; and
        // its clients, who have seen it, go back. All end with the same nevertheless.
        let is_lost = wipes(nemeses) && self.settings.regions > 1 && self.region_nodes == 1;
        match guarantee {
            Guarantee::Durable if is_lost => Claim::Breaks,
            _ if is_lost && SESSIONS.contains(&guarantee) => Claim::Breaks,
            // A region whose wall clock is ahead wins over all that others write meanwhile.
            Guarantee::Durable if later_wins && falsifies_clocks(nemeses) => Claim::Breaks,
            _ if later_wins && falsifies_clocks(nemeses) && SESSIONS.contains(&guarantee) => {
                Claim::Silent
            }
            _ => claim,
        }
    }

    fn offered(&self) -> Vec<OpKind> {
        match self.settings.conflicts {
            Conflicts::Lww if self.sets => vec![OpKind::Read, OpKind::Add, OpKind::Remove],
            Conflicts::Lww => vec![OpKind::Read, OpKind::Write, OpKind::Delete],
            // A register that holds several values is no register; a set can be put together.
            Conflicts::Siblings => vec![OpKind::Read, OpKind::Add, OpKind::Remove],
            Conflicts::Crdt => {
                vec![OpKind::Read, OpKind::Add, OpKind::Remove, OpKind::Increment]
            }
        }
    }
}

impl System for MultiLeader {
    fn configure(&mut self, settings: &Settings) -> Result<(), String> {
        let read: MultiLeaderSettings = parsed(settings)?;
        let MultiLeaderSettings { regions, region_nodes, topology, conflicts, sets, clients } =
            read;
        let regions = regions.unwrap_or(multi::Settings::DEFAULT.regions);
        self.region_nodes = region_nodes.unwrap_or(1);
        if !(1..=9).contains(&(self.region_nodes * regions)) {
            return Err(format!(
                "region-nodes = {} in each of {regions} regions is none of the 1 to 9 nodes that there \
                 can be",
                self.region_nodes
            ));
        }
        self.settings = multi::Settings { regions, topology, conflicts };
        self.sets = sets;
        self.clients = clients;
        if sets && conflicts == Conflicts::Crdt {
            return Err("sets = true with conflicts = \"crdt\": there are sets already".to_owned());
        }
        self.settings.check()
    }

    fn has_one_leader(&self) -> bool {
        // Each region has one.
        false
    }

    fn manifest(&self) -> Manifest {
        self.manifest_under(&[])
    }

    fn manifest_under(&self, nemeses: &[String]) -> Manifest {
        Manifest {
            name: Mode::MultiLeader.name().to_owned(),
            about: "each region has a leader, and leaders tell each other later".to_owned(),
            nodes: ((self.settings.regions * self.region_nodes) as u32, 9),
            ops: self.offered(),
            claims: self.claims(nemeses),
            replica_claims: Vec::new(),
            timing: TIMING,
        }
    }

    fn exceeded_by(&self, _: &Fault, effect: &Effect, nodes: u32) -> Option<Excess> {
        budget::of_pairs(Mode::MultiLeader.name(), effect, nodes)
    }

    fn marks(&self) -> Vec<&'static str> {
        marks_of(Mode::MultiLeader)
    }

    fn mark_in_words(&self, mark: &str) -> Option<&'static str> {
        mark_in_words(mark)
    }

    fn waits_by_tokio(&self) -> bool {
        false
    }

    fn message_names(&self) -> Vec<&'static str> {
        Mode::MultiLeader.message_names()
    }

    fn message_name(&self, bytes: &[u8]) -> Option<&'static str> {
        Mode::MultiLeader.message_name(bytes)
    }

    fn question(&self, bytes: &[u8], client: Option<SessionId>) -> Option<Question> {
        question(Mode::MultiLeader, bytes, client)
    }

    fn node(&self, cx: NodeCx) -> LocalBoxFuture<'static, String> {
        run_node(Mode::MultiLeader, cx, ServerConfig { multi_leader: self.settings, ..CONFIG })
    }

    fn client(&self, cx: ClientCx) -> Box<dyn Client> {
        let moves = self.clients == Clients::Move;
        let regions = self.settings.regions.min(cx.nodes().len());
        let rewrites_sets = self.sets || self.settings.conflicts == Conflicts::Siblings;
        client_with(cx, |policy| Policy {
            stride: if moves { 1 } else { regions },
            replica_reads: if moves { ReplicaReads::Any } else { ReplicaReads::Sticky },
            rewrites_sets,
            // A region may come back without what it had.
            remembered: false,
            ..policy
        })
    }

    /// Nodes come and go within their regions, of which none is left without any.
    fn membership(&self) -> Option<Membership> {
        let (groups, own) = (self.settings.regions as u32, self.region_nodes as u32);
        // Where there is no other region, nobody else has what the nodes of this one lose.
        let least = if groups == 1 { own.max(3) } else { own };
        Some(Membership { groups, least })
    }

    fn operator(&self, cx: ClientCx) -> Option<Box<dyn Operator>> {
        Some(operator::of_store(cx))
    }
}
