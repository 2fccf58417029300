//! The five properties of Raft (Ongaro and Ousterhout, 2014, figure 3).

use std::collections::BTreeMap;
use std::sync::Arc;

use stateright::Property;
use stormglass_reference_db::env::{NodeId, Role};
use stormglass_reference_db::kv::Command;
use stormglass_reference_db::protocol::Protocol as _;
use stormglass_reference_db::protocol::leaderless::Settings;
use stormglass_reference_db::protocol::primary::Acknowledge;
use stormglass_reference_db::protocol::raft::log::{Entry, Log};
use stormglass_reference_db::protocol::raft::message::{Appended, Message, Record};
use stormglass_reference_db::protocol::raft::{self, Change, Raft};

use super::node::Node;
use super::world::{Answer, Envelope, Scenario, World, read, write};
use super::{Bounds, Has, Plant, Scope, Subject, explore};

/// Elections among nodes that have just been started.
pub(crate) const ELECTION: super::Entry = super::Entry {
    name: "raft-election",
    bounds: |scope| match scope {
        Scope::Small => Bounds { timers: 2, timed: &[0, 1], crashes: 1, ..Bounds::NONE },
        Scope::Full => Bounds { timers: 2, crashes: 1, ..Bounds::NONE },
    },
    explore: |bounds, planted| explore(|| fresh(bounds), planted),
    plants: &[(Plant::VotesForgotten, ELECTION_SAFETY)],
    has: Has { timers: true, wipes: true, void: true },
};

/// Two changes, under a leader that was elected before, and its successor.
pub(crate) const REPLICATION: super::Entry = super::Entry {
    name: "raft-replication",
    bounds: |scope| match scope {
        Scope::Small => Bounds { timers: 1, timed: &[0, 1], crashes: 1, asks: 2, ..Bounds::NONE },
        Scope::Full => Bounds { timers: 1, crashes: 1, asks: 2, ..Bounds::NONE },
    },
    explore: |bounds, planted| explore(|| led(bounds, &[write("a"), write("b")]), planted),
    plants: &[
        (Plant::OldImage, LEADER_APPEND_ONLY),
        (Plant::OldImage, LOG_MATCHING),
        (Plant::Forgery, LEADER_COMPLETENESS),
        (Plant::EntriesForgotten, STATE_MACHINE_SAFETY),
    ],
    has: Has { timers: true, wipes: true, void: true },
};

/// A change and a read.
pub(crate) const READS: super::Entry = super::Entry {
    name: "raft-reads",
    bounds: |scope| match scope {
        Scope::Small => Bounds { timers: 1, timed: &[0, 1], crashes: 1, asks: 2, ..Bounds::NONE },
        Scope::Full => Bounds { timers: 1, crashes: 1, asks: 2, ..Bounds::NONE },
    },
    explore: |bounds, planted| explore(|| led(bounds, &[write("a"), read()]), planted),
    plants: &[(Plant::OldImage, super::LINEARIZABLE)],
    has: Has { timers: true, wipes: true, void: true },
};

/// One of three is let go, and a change is made.
pub(crate) const MEMBERS: super::Entry = super::Entry {
    name: "raft-members",
    bounds: |scope| match scope {
        Scope::Small => Bounds { timers: 1, timed: &[0, 1], crashes: 1, asks: 2, ..Bounds::NONE },
        Scope::Full => Bounds { timers: 2, timed: &[0, 1], crashes: 1, asks: 2, ..Bounds::NONE },
    },
    explore: |bounds, planted| {
        explore(|| led(bounds, &[Command::Dismiss { node: NodeId(2) }, write("a")]), planted)
    },
    plants: &[(Plant::Forgery, LEADER_COMPLETENESS)],
    has: Has { timers: true, wipes: true, void: true },
};

/// Of two that are left of three, one loses its disk. Before or after that a change is made, and one of the
/// two is let go.
pub(crate) const TWO: super::Entry = super::Entry {
    name: "raft-members-of-two",
    bounds: |scope| match scope {
        Scope::Small => Bounds { timers: 1, timed: &[1], wipes: 1, asks: 1, ..Bounds::NONE },
        Scope::Full => {
            Bounds { timers: 1, timed: &[1], crashes: 1, wipes: 1, asks: 2, ..Bounds::NONE }
        }
    },
    explore: |bounds, planted| {
        let asks = [write("a"), Command::Dismiss { node: NodeId(1) }];
        let two = || fresh(bounds).led_by(NodeId(0)).having_dismissed(NodeId(2));
        explore(|| two().asking(&of_whoever_leads(bounds, &asks)), planted)
    },
    plants: &[(Plant::Forgery, LEADER_COMPLETENESS)],
    has: Has { timers: true, wipes: true, void: true },
};

/// Into two that are left of three the third is let again, with what it had.
pub(crate) const LET_IN: super::Entry = super::Entry {
    name: "raft-members-let-in",
    bounds: |scope| match scope {
        Scope::Small => Bounds { timed: &[0, 1], crashes: 1, asks: 1, ..Bounds::NONE },
        Scope::Full => Bounds { timers: 1, timed: &[0, 1], crashes: 1, asks: 1, ..Bounds::NONE },
    },
    explore: |bounds, planted| {
        let asks = [Command::Admit { node: NodeId(2) }];
        let two = || fresh(bounds).led_by(NodeId(0)).having_dismissed(NodeId(2));
        explore(|| two().asking(&of_whoever_leads(bounds, &asks)), planted)
    },
    plants: &[(Plant::OldImage, LEADER_APPEND_ONLY)],
    has: Has { timers: true, wipes: true, void: true },
};

const ELECTION_SAFETY: &str = "election safety";
const LEADER_APPEND_ONLY: &str = "leader append-only";
const LOG_MATCHING: &str = "log matching";
const LEADER_COMPLETENESS: &str = "leader completeness";
const STATE_MACHINE_SAFETY: &str = "state machine safety";

/// What must not be forgotten when the nodes forget it.
#[derive(Clone, Debug, Default, PartialEq, Hash)]
pub(crate) struct Past {
    /// Who led in which term, first.
    leaders: BTreeMap<u64, NodeId>,
    /// Whether another one led in one of them too.
    two_leaders: bool,
    /// Whether a leader took back an entry of its log, or replaced one.
    cut: bool,
    /// What was committed: the term of the entry, what it asks for, and the term of the first node
    /// that knew it to be committed.
    committed: Vec<Committed>,
    /// Whether a leader was elected after something was committed since the start.
    changed: bool,
    /// Whether one was after a crash.
    recovered: bool,
    /// Whether one was after a disk was lost.
    restored: bool,
}

#[derive(Clone, Debug, PartialEq, Hash)]
struct Committed {
    term: u64,
    sequence: Option<u64>,
    known_in: u64,
}

impl Subject for Raft {
    type Past = Past;

    fn properties(bounds: Bounds) -> Vec<Property<Scenario<Raft>>> {
        let mut properties = vec![
            // At most one leader can be elected in a given term.
            Property::always(ELECTION_SAFETY, |_, world: &World<Raft>| !world.past.two_leaders),
            // A leader never overwrites or deletes entries in its log; it only appends new entries.
            Property::always(LEADER_APPEND_ONLY, |_, world: &World<Raft>| !world.past.cut),
            // If two logs contain an entry with the same index and term, then the logs are identical
            // in all entries up through the given index.
            Property::always(LOG_MATCHING, |_, world: &World<Raft>| {
                let logs = world.nodes.iter().map(|node| node.up.core().log());
                logs.clone().all(|one| logs.clone().all(|other| match_each_other(one, other)))
            }),
            // If a log entry is committed in a given term, then that entry will be present in the
            // logs of the leaders for all higher-numbered terms.
            Property::always(LEADER_COMPLETENESS, |_, world: &World<Raft>| {
                world.nodes.iter().all(|node| is_complete(&node.up, &world.past.committed))
            }),
            // If a server has applied a log entry at a given index to its state machine, no other
            // server will ever apply a different log entry for the same index.
            Property::always(STATE_MACHINE_SAFETY, |_, world: &World<Raft>| {
                world.nodes.iter().all(|node| applies_the_same(&node.up, &world.past.committed))
            }),
            Property::sometimes("a leader is elected", |_, world: &World<Raft>| {
                !world.past.leaders.is_empty()
            }),
            Property::sometimes("an entry commits", |_, world: &World<Raft>| {
                !world.past.committed.is_empty()
            }),
        ];
        if bounds.timers > 0 && bounds.wipes > 0 {
            properties.push(Property::sometimes(
                "a leader is elected after a disk was lost",
                |_, world: &World<Raft>| world.past.restored,
            ));
        }
        // A leader is there already where operations are explored.
        if bounds.timers > usize::from(bounds.asks == 0) && bounds.crashes > 0 {
            properties.extend([
                Property::sometimes("a leader changes after a commit", |_, world: &World<Raft>| {
                    world.past.changed
                }),
                Property::sometimes(
                    "a leader is elected after a crash",
                    |_, world: &World<Raft>| world.past.recovered,
                ),
            ]);
        }
        properties
    }

    fn note(world: &mut World<Raft>, id: NodeId, was: &Node<Raft>, _: &[Answer]) {
        let node = Arc::clone(&world.node(id).up);
        let past = Arc::make_mut(&mut world.past);
        let (status, core) = (node.status(), node.core());
        if status.role == Role::Leader {
            let elected = !past.leaders.contains_key(&status.term);
            past.recovered |= elected && world.spent.crashes > 0;
            past.restored |= elected && world.spent.wipes > 0;
            let first = *past.leaders.entry(status.term).or_insert(id);
            past.two_leaders |= first != id;
            let led = was.up.status();
            let leads_on = led.role == Role::Leader && led.term == status.term;
            past.cut |= leads_on && !begins_with(core.log(), was.up.core().log());
            past.changed |= past.committed.iter().any(|entry| entry.known_in < status.term);
        }
        for index in past.committed.len() as u64 + 1..=core.committed() {
            let Some(entry) = core.committed_entry(index) else { return };
            let (term, sequence) = content(entry);
            past.committed.push(Committed { term, sequence, known_in: status.term });
        }
    }

    fn is_void(world: &World<Raft>, _: &Bounds, envelope: &Envelope<raft::Message>) -> bool {
        match &envelope.message {
            raft::Message::Core(message) => is_void_answer(world.node(envelope.to), message),
            raft::Message::Forward { .. }
            | raft::Message::AskIndex { .. }
            | raft::Message::Index { .. } => false,
        }
    }

    fn is_forgotten(plant: Plant, record: &Record<Change>) -> bool {
        match record {
            Record::Hard(_) => plant == Plant::VotesForgotten,
            Record::Entry(_) => plant == Plant::EntriesForgotten,
            Record::Incarnation(_) | Record::Agreed(_) => false,
        }
    }

    fn forged(plant: Plant, message: &raft::Message) -> Option<raft::Message> {
        let raft::Message::Core(Message::Append { term, round, prev, entries, .. }) = message
        else {
            return None;
        };
        let end = entries.last().map_or(prev.index, |entry| entry.at.index);
        let (term, round, appended) = (*term, *round, Appended::Matched(end));
        let answer = raft::Message::Core(Message::AppendReply { term, round, appended });
        (plant == Plant::Forgery).then_some(answer)
    }
}

/// Whether an answer comes too late for a member. No member stands or leads twice in a term, or in one
/// before the one that is on its disk.
pub(crate) fn is_void_answer<P: Subject, C, S>(node: &Node<P>, message: &Message<C, S>) -> bool {
    let (term_now, role) = (node.reborn.status().term, node.up.status().role);
    match message {
        Message::PreVoteReply { term, .. } => *term <= term_now,
        Message::VoteReply { term, .. } => {
            *term < term_now || *term == term_now && role != Role::Candidate
        }
        Message::AppendReply { term, .. } | Message::HeartbeatReply { term, .. } => {
            *term < term_now || *term == term_now && role == Role::Follower
        }
        _ => false,
    }
}

/// An entry as far as it is compared: no two requests of the clients share a number.
fn content(entry: &Entry<Change>) -> (u64, Option<u64>) {
    (entry.at.term, entry.command.as_ref().map(|change| change.sequence))
}

fn match_each_other(one: &Log<Change>, other: &Log<Change>) -> bool {
    let pairs: Vec<_> = one.entries(1, usize::MAX).zip(other.entries(1, usize::MAX)).collect();
    let shared = pairs.iter().rposition(|(one, other)| one.at == other.at);
    let equal = |(one, other): &(&Entry<Change>, &Entry<Change>)| content(one) == content(other);
    pairs[..shared.map_or(0, |last| last + 1)].iter().all(equal)
}

fn begins_with(log: &Log<Change>, beginning: &Log<Change>) -> bool {
    let pairs = log.entries(1, usize::MAX).zip(beginning.entries(1, usize::MAX));
    log.last().index >= beginning.last().index
        && pairs.into_iter().all(|(one, other)| content(one) == content(other))
}

fn is_complete(node: &Raft, committed: &[Committed]) -> bool {
    let (status, log) = (node.status(), node.core().log());
    let mut before = committed.iter().zip(1..).filter(|(entry, _)| entry.known_in < status.term);
    status.role != Role::Leader || before.all(|(entry, index)| has(log, index, entry))
}

fn applies_the_same(node: &Raft, committed: &[Committed]) -> bool {
    let applied =
        committed.iter().zip(1..).take_while(|(_, index)| *index <= node.status().applied);
    applied.into_iter().all(|(entry, index)| has(node.core().log(), index, entry))
}

fn has(log: &Log<Change>, index: u64, committed: &Committed) -> bool {
    log.get(index).map(content) == Some((committed.term, committed.sequence))
}

fn fresh(bounds: Bounds) -> Scenario<Raft> {
    Scenario::fresh(Acknowledge::None, Settings::DEFAULT, bounds)
}

fn led(bounds: Bounds, asks: &[Command]) -> Scenario<Raft> {
    fresh(bounds).led_by(NodeId(0)).asking(&of_whoever_leads(bounds, asks))
}

/// The first of these, as many as are asked.
fn of_whoever_leads(bounds: Bounds, asks: &[Command]) -> Vec<(Option<NodeId>, Command)> {
    asks.iter().take(bounds.asks).map(|command| (None, command.clone())).collect()
}
