//! How a region of one node that has lost its disk gets back what the others have.
//!
//! It asks every other region, and each notes in its own log that the region has begun again before it
//! sends what it has ([`Message::Reborn`], [`Message::Shared`]). With what it was sent by enough of them,
//! the region founds itself anew, under the number of its new disk ([`super::incarnations`]), and takes
//! changes again. What none of them had is lost.
//!
//! **Enough is a majority of all regions.** Were it one: region 1 begins again with what region 2 has,
//! while region 3 is cut off; then region 2 loses its disk, and begins again with what region 3 has, which
//! has never heard that region 1 was lost. So 2 and 3 forget a deletion that the lost region 1 had and the
//! new one has not, and nobody ever tells it. Of any two majorities one region is in both. With three
//! regions, that is both others, and one that is cut off keeps a lost one waiting. Those that were not
//! needed send what they have later: in a ring, one of them may be the only one that still has what the
//! lost one was to pass on.
//!
//! **They note it before they send.** A deletion reaches region 3 right after that has sent what it has, and
//! then region 2 hears that every region has it: itself, 3, and the lost 1. It must not forget it. It does
//! not, because whatever tells it that region 3 has the deletion says as well that region 3 knows of the
//! loss.
//!
//! **It names everyone before it.** Region 1 loses its disk, begins again, and loses that one too. The
//! disk after that knows nothing of the one in between, and if it did not say that it is lost, region 2 would
//! wait for ever to hear that it has everything. So region 2 tells whom it knows first, and sends what it
//! has when all of them are named. A question of the one in between that comes late brings nobody back: it
//! does not name the last one.
//!
//! A region of several nodes needs none of this while one of its disks is left that has everything:
//! [`crate::protocol::raft::members`]. Which nodes those are, a node that has lost its disk does not know any
//! more. So before it asks another region, it asks all other nodes that its own may have, let in or not,
//! who votes there ([`Message::WhoVotes`]). The latest members that any of them knows are the ones, since nobody gets
//! a vote who does not know it; one that was let go and has not heard of it knows older ones. The region is gone
//! where none of those that vote is left but such as have lost their disks. Where one says nothing, it may be the
//! one that has everything. Of two that have lost their disks at once, the first founder begins.
//!
//! **It asks twice.** Of 3, 6 and 9, the last was never let in. Region 3 has 3 and 6; 3 loses its disk, and is asked
//! before it has heard of 6 again: it knows the founders, and has nothing. Then it gets everything back, and 6
//! loses its disk, and says the same. Were it enough that each has said it once, 9 would begin the region again, of
//! which 3 has everything. So each is asked again when all have answered, and must not have heard of anything in
//! between: then there was a moment at which all of it was so. From then on it takes nothing more from any of them,
//! because that can only be late.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::incarnations::{incarnation, region_of};
use super::state::{Logged, Rules, State};
use super::table::Table;
use super::{Message, MultiLeader};
use crate::env::{NodeId, Time};
use crate::merge::Actor;
use crate::protocol::raft::core::Core;
use crate::protocol::raft::log::Position;
use crate::protocol::{Options, Output, Timing};

/// So many bits of the number of its disk are added to the greatest index of the logs that are left of a region, to make the
/// first one of the region that begins again. Sessions are numbered by it, and none of the lost region's is taken
/// for one of the new. And who was let go, has such a log, and is let in again, is sent all that the region has, because its
/// own ends before that: were it the longer one, it would say of everything that it has it. The term is behind theirs as well,
/// so that of two members it is known which are later.
const INDEX_BITS: u32 = 47;

/// What a node knows of its region.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Knows {
    /// Whether it has a vote itself, with the disk that it has.
    votes: bool,
    /// Where its log ends.
    last: Position,
    /// Where the latest members stand in it.
    members_at: Position,
    /// Those of them that vote.
    voters: BTreeSet<NodeId>,
}

/// The other nodes that a region may have, asked until it is certain that none of them has a vote.
#[derive(Debug)]
struct Fellows {
    all: BTreeSet<NodeId>,
    /// How often they have all been asked.
    round: u64,
    /// What they have said in this round.
    said: BTreeMap<NodeId, Knows>,
    /// What they said in the round before, once there was one.
    before: Option<BTreeMap<NodeId, Knows>>,
    /// Whether nobody is left who has a vote.
    are_none: bool,
}

impl Fellows {
    fn new(all: BTreeSet<NodeId>) -> Fellows {
        let (are_none, said) = (all.is_empty(), BTreeMap::new());
        Fellows { all, round: 0, said, before: None, are_none }
    }

    /// One says what it knows.
    fn hear(&mut self, from: NodeId, round: u64, knows: Knows) {
        if round != self.round || !self.all.contains(&from) {
            return;
        }
        self.said.insert(from, knows);
        if self.said.len() == self.all.len() {
            self.are_none = self.before.as_ref() == Some(&self.said) && self.says_that_none_vote();
            self.before = Some(std::mem::take(&mut self.said));
            self.round += 1;
        }
    }

    /// Whether of those that vote by the latest members, as far as any of them knows, none is left.
    fn says_that_none_vote(&self) -> bool {
        let latest = self.said.values().max_by_key(|knows| knows.members_at);
        let is_left = |node: &NodeId| self.said.get(node).is_some_and(|knows| knows.votes);
        !latest.is_some_and(|latest| latest.voters.iter().any(is_left))
    }

    /// A term that none of their logs has, and the greatest index of them, when they last said where these end.
    fn behind(&self) -> Position {
        let lasts = || self.before.iter().flatten().map(|(_, knows)| knows.last);
        let term = lasts().map(|last| last.term + 1).max().unwrap_or(0);
        Position { term, index: lasts().map(|last| last.index).max().unwrap_or(0) }
    }

    /// Those that have not answered in this round.
    fn silent(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.all.iter().copied().filter(|node| !self.said.contains_key(node))
    }
}

/// What a node remembers while its region is gone.
#[derive(Debug)]
pub(super) struct Restore {
    heir: Actor,
    /// The incarnations before it, as far as anyone has said.
    former: BTreeSet<Actor>,
    fellows: Fellows,
    sent: BTreeMap<Actor, State>,
    ask_at: Time,
}

impl Restore {
    /// What a node begins with that has lost its disk, or was never let in.
    pub(super) fn of(
        options: &Options,
        rules: &Rules,
        core: &Core<Logged, State>,
        now: Time,
    ) -> Option<Restore> {
        let own = rules.regions.own();
        let empty = core.is_restoring() && core.log().last() == Position::default();
        let others = rules.regions.all().count() > 1;
        (empty && others).then(|| Restore {
            heir: incarnation(own, core.incarnation()),
            former: BTreeSet::from([own]),
            fellows: Fellows::new(
                options.nodes.iter().copied().filter(|node| *node != options.id).collect(),
            ),
            sent: BTreeMap::new(),
            ask_at: now,
        })
    }

    pub(super) fn deadline(&self) -> Time {
        self.ask_at
    }

    /// Asks those again that have not sent what they have.
    pub(super) fn on_timer(
        &mut self,
        now: Time,
        timing: &Timing,
        rules: &Rules,
        sender: NodeId,
        out: &mut Vec<Output<MultiLeader>>,
    ) {
        if self.ask_at > now {
            return;
        }
        self.ask_at = now + timing.heartbeat;
        if !self.fellows.are_none {
            let message = Message::WhoVotes { heir: self.heir, round: self.fellows.round };
            let silent = self.fellows.silent();
            out.extend(silent.map(|to| Output::Send { to, message: message.clone() }));
            return;
        }
        let own = rules.regions.own();
        let asked = rules.regions.all().filter(|region| *region != own);
        let asked = asked.filter(|region| !self.sent.contains_key(region));
        ask(asked, rules, (self.heir, &self.former), sender, out);
    }

    /// Names those as lost that others know of its region.
    pub(super) fn hear(&mut self, table: &Table) {
        let known = table.rows().map(|(actor, _)| actor);
        let heir = self.heir;
        let before = known.filter(|actor| region_of(*actor) == region_of(heir) && *actor != heir);
        self.former.extend(before);
    }
}

/// Asks regions for what they have, and tells them who begins again in place of whom.
pub(super) fn ask(
    asked: impl Iterator<Item = Actor>,
    rules: &Rules,
    (heir, former): (Actor, &BTreeSet<Actor>),
    sender: NodeId,
    out: &mut Vec<Output<MultiLeader>>,
) {
    for to in asked.flat_map(|region| rules.regions.members(region).to_vec()) {
        let message = Message::Reborn { sender, heir, former: former.clone() };
        out.push(Output::Send { to, message });
    }
}

impl MultiLeader {
    /// A node of the region has nothing, and asks who votes there.
    pub(super) fn on_who_votes(
        &self,
        from: NodeId,
        (heir, round): (Actor, u64),
        out: &mut Vec<Output<Self>>,
    ) {
        let turn = |node| (!self.options.founders().any(|founder| founder == node), node);
        let is_first = self.restore.is_some() && turn(self.id) < turn(from);
        if self.rules.regions.of(from) != Some(self.rules.regions.own()) || is_first {
            return;
        }
        let knows = Knows {
            votes: self.core.has_vote(),
            last: self.core.log().last(),
            members_at: self.core.members_position(),
            voters: self.core.members().voters().collect(),
        };
        out.push(Output::Send { to: from, message: Message::Voters { heir, round, knows } });
    }

    /// A node of the region says what it knows.
    pub(super) fn on_voters(&mut self, from: NodeId, (heir, round): (Actor, u64), knows: Knows) {
        if let Some(restore) = self.restore.as_mut().filter(|restore| restore.heir == heir) {
            restore.fellows.hear(from, round, knows);
        }
    }

    /// Whether the region is known to be gone. What its nodes say then is late.
    pub(super) fn is_gone(&self) -> bool {
        self.restore.as_ref().is_some_and(|restore| restore.fellows.are_none)
    }

    /// A region has lost everything and asks for what this one has.
    pub(super) fn on_reborn(
        &mut self,
        now: Time,
        from: NodeId,
        (sender, heir, former): (NodeId, Actor, BTreeSet<Actor>),
        out: &mut Vec<Output<Self>>,
    ) {
        let own = self.rules.regions.own();
        if self.rules.regions.of(sender) != Some(region_of(heir)) || region_of(heir) == own {
            return;
        }
        let Some(office) = &self.office else {
            if let Some(leader) = self.core.leader()
                && self.rules.regions.of(from) != Some(own)
            {
                let message = Message::Reborn { sender, heir, former };
                out.push(Output::Send { to: leader, message });
            }
            return;
        };
        if self.state.is_lost(heir) {
            return;
        }
        let message = if self.state.unnamed(heir, &former) {
            Message::Known(office.links.table(&self.rules.regions, &self.state))
        } else if self.state.knows(heir, &former) {
            let state = Box::new(self.state.shared());
            Message::Shared { heir, region: own, state }
        } else {
            self.core.propose(now, Logged::Reborn { heir, former });
            return;
        };
        out.push(Output::Send { to: sender, message });
    }

    /// A region has sent what it has.
    pub(super) fn on_shared(
        &mut self,
        now: Time,
        heir: Actor,
        region: Actor,
        state: Box<State>,
        out: &mut Vec<Output<Self>>,
    ) {
        if let Some(restore) = self.restore.as_mut().filter(|restore| restore.heir == heir) {
            restore.hear(state.table());
            restore.sent.insert(region, *state);
            self.found_if_enough(now, out);
        } else if self.office.is_some()
            && self.state.actor(&self.rules.regions) == heir
            && self.state.unheard().contains(&region)
        {
            self.core.propose(now, Logged::Shared { region, state });
        }
    }

    fn found_if_enough(&mut self, now: Time, out: &mut Vec<Output<Self>>) {
        let regions = self.rules.regions.all().count();
        let enough = (regions / 2 + 1).min(regions - 1);
        let empty = self.core.log().last() == Position::default();
        let ready = |restore: &mut Restore| {
            empty && restore.fellows.are_none && restore.sent.len() >= enough
        };
        let Some(restore) = self.restore.take_if(ready) else { return };
        let disk = self.core.incarnation();
        let state = State::reborn(&self.rules, disk, &restore.sent);
        let left = restore.fellows.behind();
        let index = left.index + (disk >> (u64::BITS - INDEX_BITS));
        self.core.found(now, Position { term: left.term, index }, state);
        self.core.pass_on(out, Message::Region);
    }

    /// Asks those again that have not sent yet what they have, since the region has begun again.
    pub(super) fn ask_the_rest(&self, out: &mut Vec<Output<Self>>) {
        let heir = self.state.actor(&self.rules.regions);
        let former = self.state.before(&self.rules);
        let rest = self.state.unheard().iter().copied();
        ask(rest, &self.rules, (heir, &former), self.id, out);
    }

    /// Whether somebody of a region speaks that is known to be lost. A region says of itself what it has,
    /// under the name that it has.
    pub(super) fn is_from_the_lost(&self, speaker: NodeId, table: &Table) -> bool {
        let Some(region) = self.rules.regions.of(speaker) else { return true };
        let mut names = table.rows().map(|(actor, _)| actor);
        names.any(|name| region_of(name) == region && self.state.is_lost(name))
    }
}
