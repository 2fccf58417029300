//! Who takes part in a Raft cluster, and how that changes (dissertation, chapter 4).
//!
//! The members stand in the log, and the latest that stand there count, committed or not. One change
//! touches one vote, so that any majority before it and any majority after it share a member; and a
//! leader begins none before the last one and something of its own term are committed, but to take that
//! one back.
//!
//! **A disk that was wiped.** A member that has lost its disk has forgotten whom it voted for and
//! what it acknowledged. Were it taken for the member that it was:
//!
//! - of 1, 2 and 3, member 2 votes for 1 in term 5 and is wiped; 3 asks it for a vote in term 5 too
//!   and gets it: two leaders in one term;
//! - the leader 1 commits entry 7 with 2, while 3 is cut off; 2 is wiped and then elects 3, which
//!   has no entry 7: what was committed is gone.
//!
//! So it is another member. A disk that is set up in a cluster that exists already gets a number of
//! its own, its *incarnation*, which goes with all that its node says and which nobody else counts
//! for the one before. The leader notices it, and in one change takes the vote of the old one away
//! and lets the new one in as a *learner*, which gets the log but has no vote. That change needs a
//! majority of the others, so that everything that was committed with the lost disk is on those
//! before any majority does without it. A second change gives the learner its vote when it has
//! caught up. A node that is added goes the same way, and [`wishes`](super::wishes) says what operators
//! are told of it.
//!
//! **The last but one.** Of two, member 2 does not answer for a while. Were it let go now, 1 would be all
//! there is, and could commit by itself, and let 3 in, and commit with 3. Then 1 is wiped. Member 2 still
//! knows of nobody but 1 and itself: it takes itself for the one that is left of two, and
//! [outlives](Core::outlive) a cluster in which it has no part, with what it had. So of two, one goes only
//! when it knows: it loses its vote first, that counts only when its own log says so, and until then
//! nothing after it does; and nobody of two is let go while the other one is not heard. Nor does one of two
//! let itself go: were 1, which leads, to put that into its log just as 2 goes down and is wiped, the members
//! in its log would be 2 alone, which has nothing. So 2 leads first, and lets 1 go.
//!
//! Nor is that all. Of 1, 2 and 3, leader 2 lets 3 go while it hears neither, and goes down; 1 and 3 go on,
//! and 1 is wiped. In the log of 2 there are 1 and 2, but nobody has agreed to that. So members that may not be
//! agreed on prove nothing: whoever takes itself for the last of two was one of at most these two before
//! them, too, or [knows](Core::keep_agreement) that they are agreed on, if only from
//! [one that was let go](Core::tell_agreement).
//!
//! **The last but two.** Of 1, 2 and 3, one lets 1 go, and 2 loses its disk before anybody has agreed to
//! that: it takes 2 and 3, and 2 counts for nothing. Nor can 2 be let in, which is another change, before the
//! first one is agreed on. So that one is [taken back](Core::without_change): 1 and 3 have everything, and
//! are enough. Should it have been agreed on all the same, of which only 2 knew, then 1 votes again that was let
//! go; nothing is lost by that.
//!
//! **A majority that is heard.** Of 1, 2 and 3, member 3 is down, and 2 is let go: 1 and 3 are left, of whom both are
//! needed, and nothing is agreed on any more, that change least of all, until 3 is back. So nobody is let go but
//! where a majority of those that are left is near. Member 3 can be, as 1 and 2 are.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::BATCH_MAX;
use super::core::{Act, Core, Standing};
use super::log::Position;
use super::message::{Message, Record};
use crate::env::{NodeId, Time};

/// The incarnation of a member whose disk was there when the cluster began.
pub const FOUNDER: u64 = 0;
/// The incarnation of a node that was let in and has not spoken yet. No disk has it.
const UNSEEN: u64 = u64::MAX;

/// What comes of a wish to change the members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is so already, and agreed on.
    Already,
    /// It stands there in the log, and is done when that is committed.
    Begun(Position),
    /// Another change is under way, or the member does not lead. Nothing was done.
    NotNow,
    /// No cluster can be made so: the node is not known, or nobody with a vote would be left.
    Never,
}

/// Who takes part.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Members {
    present: BTreeMap<NodeId, Member>,
    /// Incarnations that were replaced. What they still say is late, and must not bring them back.
    former: BTreeSet<(NodeId, u64)>,
}

/// One that takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// The disk that is meant.
    pub incarnation: u64,
    /// Whether it votes and counts; otherwise it is a learner.
    pub votes: bool,
}

impl Member {
    /// Whether the node has spoken since it was let in, so that it is known by which disk.
    pub(in crate::protocol) fn was_seen(self) -> bool {
        self.incarnation != UNSEEN
    }
}

impl Members {
    /// All nodes that the cluster began with.
    pub fn founded(nodes: impl IntoIterator<Item = NodeId>) -> Members {
        let member = Member { incarnation: FOUNDER, votes: true };
        let present = nodes.into_iter().map(|node| (node, member)).collect();
        Members { present, former: BTreeSet::new() }
    }

    /// One node, by this disk.
    pub(super) fn alone(node: NodeId, incarnation: u64) -> Members {
        let present = BTreeMap::from([(node, Member { incarnation, votes: true })]);
        Members { present, former: BTreeSet::new() }
    }

    /// Everyone, in order.
    pub fn iter(&self) -> impl Iterator<Item = (NodeId, Member)> + '_ {
        self.present.iter().map(|(node, member)| (*node, *member))
    }

    /// Those that vote, in order.
    pub fn voters(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.iter().filter(|(_, member)| member.votes).map(|(node, _)| node)
    }

    /// What a node takes part as; `None` where it does not.
    pub fn get(&self, node: NodeId) -> Option<Member> {
        self.present.get(&node).copied()
    }

    /// Whether this incarnation of a node takes part.
    pub fn has(&self, node: NodeId, incarnation: u64) -> bool {
        self.get(node).is_some_and(|member| member.incarnation == incarnation)
    }

    /// Whether this incarnation of a node votes.
    pub fn votes(&self, node: NodeId, incarnation: u64) -> bool {
        self.has(node, incarnation) && self.is_voter(node)
    }

    /// Whether a node votes, whatever its incarnation.
    pub fn is_voter(&self, node: NodeId) -> bool {
        self.get(node).is_some_and(|member| member.votes)
    }

    /// Whether these are more than half of those that vote.
    pub(super) fn is_majority(&self, nodes: &BTreeSet<NodeId>) -> bool {
        let granted = self.voters().filter(|node| nodes.contains(node)).count();
        2 * granted > self.voters().count()
    }

    /// The members with a node's new incarnation as a learner, in place of the one before; nothing
    /// where the node does not take part, or the incarnation is not new.
    fn with_restored(&self, node: NodeId, incarnation: u64) -> Option<Members> {
        let before = self.get(node)?.incarnation;
        if before == incarnation || self.was_replaced(node, incarnation) {
            return None;
        }
        let mut members = self.clone();
        members.former.insert((node, before));
        members.present.insert(node, Member { incarnation, votes: false });
        Some(members)
    }

    /// Whether an incarnation of a node is one that was replaced.
    fn was_replaced(&self, node: NodeId, incarnation: u64) -> bool {
        self.former.contains(&(node, incarnation))
    }

    /// The members with another node as a learner, whatever its disk; nothing where it takes part.
    fn with_another(&self, node: NodeId) -> Option<Members> {
        let mut members = self.clone();
        let learner = Member { incarnation: UNSEEN, votes: false };
        members.present.insert(node, learner).is_none().then_some(members)
    }

    /// The members without a node; nothing where it does not take part.
    fn without(&self, node: NodeId) -> Option<Members> {
        let mut members = self.clone();
        members.present.remove(&node).map(|_| members)
    }

    /// These members, and of `later` ones those that are not among them, or have another disk.
    pub(in crate::protocol) fn with_all_of(&self, later: &Members) -> Members {
        let mut members = self.clone();
        members.present.extend(later.iter());
        members
    }

    /// The members where one of them has a vote, or has none.
    fn with_vote(&self, node: NodeId, votes: bool) -> Members {
        let mut members = self.clone();
        if let Some(member) = members.present.get_mut(&node) {
            member.votes = votes;
        }
        members
    }

    /// Of two that voted before these members, the one that has its vote no more, though not because its
    /// disk was lost.
    fn let_go_of_two(&self, before: &Members) -> Option<NodeId> {
        if self.voters().count() != 1 || before.voters().count() != 2 {
            return None;
        }
        let lost_its_vote = |(node, member): &(NodeId, Member)| {
            self.get(*node).is_some_and(|now| now == Member { votes: false, ..*member })
        };
        before.iter().filter(|(_, member)| member.votes).find(lost_its_vote).map(|(node, _)| node)
    }
}

impl<C: Clone, S> Core<C, S> {
    /// The members as they stand in the log, committed or not.
    pub fn members(&self) -> &Members {
        &self.members
    }

    /// Where the members stand in the log, or the end of the image that they are in: up to there, the member
    /// knows of no others.
    pub(in crate::protocol) fn members_position(&self) -> Position {
        let stands = self.log.get(self.members_at).map(|entry| entry.at);
        let imaged = || self.image.as_ref().map(|image| image.last);
        stands.or_else(imaged).unwrap_or_default()
    }

    /// The latest members that are certain to be agreed on. Those before the ones that stand in the log are,
    /// even where the member has forgotten how far that is committed: no leader begins a change before. Only
    /// where a change was [taken back](Core::take_change_back) it is that change, of which nobody is left who could
    /// agree to it.
    pub(in crate::protocol) fn agreed_members(&self) -> Arc<Members> {
        if self.is_agreed() {
            Arc::clone(&self.members)
        } else {
            self.members_up_to(self.members_at - 1).0
        }
    }

    /// Whether the members that stand in the log are known to be agreed on.
    fn is_agreed(&self) -> bool {
        self.members_at <= self.commit.max(self.agreed)
    }

    /// Keeps it on the disk that there are two members, and that this is agreed on: should one of them be
    /// lost, the other one has nobody to hear it from when it was restarted.
    pub(super) fn keep_agreement(&mut self) {
        let is_new = self.agreed < self.members_at && self.members_at <= self.commit;
        if is_new && self.members.voters().count() == 2 {
            self.set_agreed();
            if let Standing::Leader(leadership) = &mut self.standing {
                // The other one is to hear it before this one may be lost.
                leadership.heartbeat_at = Time(0);
            }
        }
    }

    fn set_agreed(&mut self) {
        self.agreed = self.members_at;
        self.acts.push(Act::Persist(Record::Agreed(self.agreed)));
    }

    /// Tells one that would stand that the member was let go, and that this is agreed on: should that one be
    /// left of two, it has nobody else to hear it from.
    pub(super) fn tell_agreement(&mut self, to: NodeId) {
        if !self.has_vote() && self.is_agreed() && self.members.is_voter(to) {
            let at = self.members_position();
            self.send(to, Message::Agreed { at });
        }
    }

    /// Hears that the members which stand there are agreed on.
    pub(super) fn on_agreed(&mut self, at: Position) {
        if !self.is_agreed() && at == self.members_position() {
            self.set_agreed();
        }
    }

    /// The number of the member's disk.
    pub fn incarnation(&self) -> u64 {
        self.incarnation
    }

    /// Whether the member's disk was lost, and it is not known to be a full member again.
    pub fn is_restoring(&self) -> bool {
        self.incarnation != FOUNDER && !(self.is_agreed() && self.has_vote())
    }

    /// Whether the member itself votes and counts, as far as it knows.
    pub(in crate::protocol) fn has_vote(&self) -> bool {
        self.members.votes(self.id, self.incarnation)
    }

    /// Whether the member may look for votes: it has one itself, or had one until a change that is not
    /// known to be agreed on. Of four, 4 is down, and leader 1 lets itself go; nobody but it has that in its
    /// log when all are restarted: 2 and 3 need the vote of 1 and do not get it, because their logs are
    /// shorter. Then 1 must lead once more, by the votes of 2 and 3 (dissertation, section 4.2.2).
    pub(super) fn may_stand(&self) -> bool {
        self.has_vote() || self.agreed_members().votes(self.id, self.incarnation)
    }

    /// Whether the cluster knows the member's disk, as far as it knows itself. One that was not let
    /// in yet has nothing to say in an election.
    pub(super) fn was_let_in(&self) -> bool {
        self.incarnation == FOUNDER || self.members.has(self.id, self.incarnation)
    }

    /// Gives the disk its number, if it is empty and the cluster is not.
    pub(super) fn begin_again(&mut self, incarnation: u64) {
        self.incarnation = incarnation.clamp(FOUNDER + 1, UNSEEN - 1);
        self.acts.push(Act::Persist(Record::Incarnation(self.incarnation)));
    }

    /// The members as of an index of the log that is not compacted away, and where they stand; 0 where
    /// the cluster has none but its founders.
    pub(super) fn members_up_to(&self, index: u64) -> (Arc<Members>, u64) {
        let imaged = self.imaged();
        let entries = self.log.entries(imaged + 1, usize::MAX);
        let changes = entries.take_while(|entry| entry.at.index <= index);
        let latest = changes.filter_map(|entry| Some((entry.members.clone()?, entry.at.index)));
        let kept = || {
            let members = self.image.as_ref()?.members.clone()?;
            Some((members, imaged))
        };
        latest.last().or_else(kept).unwrap_or_else(|| (Arc::clone(&self.founders), 0))
    }

    /// Takes over the members that stand in the log now.
    pub(super) fn adopt_members(&mut self, now: Option<Time>) {
        (self.members, self.members_at) = self.members_up_to(u64::MAX);
        let next = self.log.last().index + 1;
        if let (Standing::Leader(leadership), Some(now)) = (&mut self.standing, now) {
            leadership.follow_members(&self.members, (self.id, self.incarnation), next, now);
        }
    }

    /// A leader, or one that would be, hears another incarnation of a member than the one it knows: its
    /// disk was lost.
    pub(super) fn on_stranger(
        &mut self,
        now: Time,
        from: NodeId,
        incarnation: u64,
        message: &Message<C, S>,
    ) {
        if let (Message::PreVoteReply { .. }, Some(members)) =
            (message, self.members.with_restored(from, incarnation))
        {
            self.lost = Some((from, incarnation));
            self.outlive(now, members);
            return self.stand_if_enough(now);
        }
        let (Message::AppendReply { term, .. } | Message::HeartbeatReply { term, .. }) = message
        else {
            return;
        };
        if self.has_to_know() == Some(from) && !self.members.was_replaced(from, incarnation) {
            // Whoever had to know is gone.
            self.excuse(from);
        }
        if *term > self.hard.term {
            self.step_down(now, *term);
        }
        if *term == self.hard.term
            && self.may_change_members()
            && let Some(members) = self.members.with_restored(from, incarnation)
        {
            self.append_members(now, members);
        } else if *term == self.hard.term && self.knows_all_commits() {
            self.lost = Some((from, incarnation));
            self.take_change_back(now);
        }
    }

    /// Whether a node took part before a change of which it is not known whether it is agreed on.
    pub(super) fn may_be_member(&self, node: NodeId, incarnation: u64) -> bool {
        !self.members.iter().any(|(member, _)| member == node)
            && self.agreed_members().votes(node, incarnation)
    }

    /// The members before a change that lets one of three go, but without the vote of a disk that is lost: nobody
    /// can agree to the change any more, because that takes the other two. Nothing where that is not so.
    ///
    /// Two of three are enough then, as before the change, and have all that was ever agreed on. Whatever was
    /// before the change is on two of the three. Whatever was after it took both of the others, and so the one
    /// that has its disk yet has it: it gives its vote to no log that lacks it. So it is also with what others may
    /// have changed meanwhile, since of two that takes both. A learner could have got a vote by that, so that
    /// there must be none.
    pub(super) fn without_change(&self) -> Option<Members> {
        let (lost, incarnation) = self.lost?;
        let before = if self.is_agreed() { return None } else { self.agreed_members() };
        let all_vote = |members: &Members, count| {
            members.iter().count() == count && members.voters().count() == count
        };
        let lets_go = |(node, member)| before.get(node) == Some(member);
        let is_such = all_vote(&before, 3)
            && all_vote(&self.members, 2)
            && self.members.iter().all(lets_go)
            && self.members.is_voter(lost)
            && before.votes(self.id, self.incarnation);
        is_such.then(|| before.with_restored(lost, incarnation)).flatten()
    }

    /// Puts the members before a change into the log of a leader, where nobody can agree to the change any more.
    pub(super) fn take_change_back(&mut self, now: Time) {
        if let Some(members) = self.without_change() {
            self.append_members(now, members);
        }
    }

    /// Gives a vote to a learner that has caught up and that `may` have one. To be called whenever
    /// something may have changed.
    pub fn promote(&mut self, now: Time, may: impl Fn(NodeId) -> bool) {
        if self.members.iter().all(|(_, member)| member.votes) || !self.may_change_members() {
            return;
        }
        let Standing::Leader(leadership) = &self.standing else { return };
        // What it still lacks fits into one message, and is not that it was let in. Of one, leader 1 lets 2 in
        // and gives it a vote in one go, and both are restarted before 2 has either: 1 needs the vote of 2,
        // which has nothing to say, because it does not know that it was let in. Nobody leads ever again.
        let able = |node: &NodeId| {
            let knows = leadership.peers.iter().any(|peer| {
                peer.node == *node && peer.matched > 0 && peer.matched >= self.members_at
            });
            knows && self.is_near(now, *node)
        };
        let learners = self.members.iter().filter(|(_, member)| !member.votes);
        let ready = learners.map(|(node, _)| node).find(|node| able(node) && may(*node));
        if let Some(node) = ready {
            self.append_members(now, self.members.with_vote(node, true));
        }
    }

    /// Whether there is such a node, whether or not it takes part.
    pub(super) fn is_known(&self, node: NodeId) -> bool {
        node == self.id || self.others.contains(&node)
    }

    /// Lets a node in that does not take part: as a learner at first, which gets its vote by
    /// [`Core::promote`].
    pub fn admit(&mut self, now: Time, node: NodeId) -> Change {
        if !self.is_known(node) {
            return Change::Never;
        }
        self.change_members(now, self.members.with_another(node))
    }

    /// Lets a node go, if a majority of those that are left is near. A leader that lets itself go leads until
    /// that is agreed on. Of two, it has the other one lead first, and is let go by that; and it takes two
    /// calls: the first takes the vote away from the one that is to go.
    pub fn dismiss(&mut self, now: Time, node: NodeId) -> Change {
        let Some(without) = self.members.without(node) else {
            return self.change_members(now, None);
        };
        if without.voters().next().is_none() {
            return Change::Never;
        }
        if !self.members.is_voter(node) {
            return self.change_members(now, Some(without));
        }
        let is_heard = |voter: &NodeId| *voter == self.id || self.is_near(now, *voter);
        let heard = self.members.voters().filter(is_heard).collect();
        let of_two = self.members.voters().count() == 2;
        if !without.is_majority(&heard) || of_two && heard.len() < 2 {
            return Change::NotNow;
        }
        if !of_two {
            return self.change_members(now, Some(without));
        }
        if node == self.id {
            if let Some(heir) = self.heir_of_two(now) {
                self.hand_over(now, heir);
            }
            return Change::NotNow;
        }
        self.change_members(now, Some(self.members.with_vote(node, false)))
    }

    /// Of two, the one that has to lead before this leader can be let go, if that is heard.
    pub(super) fn heir_of_two(&self, now: Time) -> Option<NodeId> {
        let mut others = self.members.voters().filter(|voter| *voter != self.id);
        let heir = others.next().filter(|heir| self.is_near(now, *heir));
        heir.filter(|_| self.members.voters().count() == 2)
    }

    /// Whether a member is heard, and what it still lacks fits into one message.
    fn is_near(&self, now: Time, node: NodeId) -> bool {
        let Standing::Leader(leadership) = &self.standing else { return false };
        let last = self.log.last().index;
        leadership.peers.iter().any(|peer| {
            let near = peer.matched + BATCH_MAX as u64 >= last;
            peer.node == node && near && now.since(peer.heard) < self.timing.election
        })
    }

    /// Who has to know of the latest change of the members before it counts: of two, the one that is let go.
    ///
    /// Nobody, where that is this member, since its own log says so. Of 1 and 2, leader 2 takes the vote of 1 away;
    /// both have that in their logs, and are restarted before either knows that it is agreed on. Then 1 may
    /// [stand](Core::may_stand), and leads with the vote of 2. Were it to wait for an answer of its own, nothing
    /// would ever be agreed on again: it has none, and 2 elects nobody else while it hears 1.
    pub(super) fn has_to_know(&self) -> Option<NodeId> {
        if self.is_agreed() {
            return None;
        }
        let let_go = self.members.let_go_of_two(&self.agreed_members());
        let_go.filter(|node| *node != self.id)
    }

    fn change_members(&mut self, now: Time, members: Option<Members>) -> Change {
        if !self.may_change_members() {
            return Change::NotNow;
        }
        let Some(members) = members else { return Change::Already };
        self.append_members(now, members);
        Change::Begun(self.log.last())
    }

    /// Whether a leader may begin a change: the last one is committed, and so is something of its own
    /// term.
    ///
    /// Without the second: of 1 to 4, leader 1 adds 5 in term 2, on its own log only. 2 leads in term
    /// 3 with 3 and 4 and removes 1, which it commits with 3 alone of 2, 3 and 4. Then 1 is elected in
    /// term 4 by 4 and 5, three of its five, and replaces what was committed (Ongaro, "bug in
    /// single-server membership changes", raft-dev, 2015).
    pub(super) fn may_change_members(&self) -> bool {
        self.knows_all_commits() && self.members_at <= self.commit
    }
}
