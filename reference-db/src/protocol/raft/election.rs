//! Who leads: pre-vote, votes, and stepping down (Raft, section 5.2; dissertation, section 9.6).
//!
//! There is one leader in a term at most, and it has all that was committed before (Raft, section 5.4.1). The
//! first, because a member votes once in a term, and any two majorities share a member. The second, because
//! nobody votes for a log that ends before its own. Without that: leader 1 of 1, 2 and 3 commits entry 4 with 2
//! and goes down; 3, whose log ends with entry 3, asks 2 for its vote and gets it; 3 leads, puts something else
//! in place 4, and has 2 replace what was committed.
//!
//! That is what must not go wrong. That somebody leads, and goes on leading, takes more: `Core::campaign` says
//! what a member does that was cut off, and `Core::hears_a_leader` whom nobody may depose.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::core::{Core, Standing};
use super::log::Position;
use super::members::Members;
use super::message::{HardState, Message};
use crate::env::{NodeId, Role, Time};
use crate::mark::Mark;

/// Who has granted a vote.
pub(super) type Votes = BTreeSet<NodeId>;

impl<C: Clone, S> Core<C, S> {
    /// Looks for another leader: asks first, and counts up the term only with a majority behind it.
    ///
    /// Without the question, a member that was cut off counts up its term all the while, and
    /// deposes a healthy leader when it comes back.
    pub(super) fn campaign(&mut self, now: Time) {
        Mark::NobodyElected.note_if(matches!(self.standing, Standing::Candidate(_)));
        self.leader = None;
        self.lost = None;
        self.postpone_election(now);
        if !self.may_stand() {
            // A learner, or one that was removed, waits for whoever leads.
            self.standing = Standing::Follower;
            return;
        }
        let votes = Votes::from([self.id]);
        let enough = self.members.is_majority(&votes);
        self.standing = Standing::PreCandidate(votes);
        if enough {
            self.stand(now, false);
        } else {
            let (term, last) = (self.hard.term + 1, self.log.last());
            // Of those that it would let go, one may know whether that is agreed on.
            self.ask_all(|| Message::PreVote { term, last });
        }
    }

    /// Asks for votes in a new term.
    fn stand(&mut self, now: Time, handed_over: bool) {
        self.set_hard(HardState { term: self.hard.term + 1, vote: Some(self.id) });
        self.postpone_election(now);
        let votes = Votes::from([self.id]);
        let enough = self.members.is_majority(&votes);
        self.standing = Standing::Candidate(votes);
        if enough {
            self.lead(now);
        } else {
            let (term, last) = (self.hard.term, self.log.last());
            self.ask_all(|| Message::Vote { term, last, handed_over });
        }
    }

    /// Leads without being elected, where the only other member has lost its disk.
    ///
    /// Of two, 2 leads, and loses its disk. Member 1 needs its vote and does not get it, because a disk that
    /// was not let in has nothing to say; and the new disk is let in by whoever leads. But of two, both have
    /// everything that was ever agreed on, and nobody but 1 can have led or voted since in a term that 1 has
    /// not seen, because either takes both. So 1 takes the vote of the lost disk away as it begins to lead.
    /// With a third member, a learner even, there might be others that know better; also with one that was
    /// let go by what may not be agreed on. And of two, nobody was let go without knowing it
    /// ([`super::members`]).
    pub(super) fn outlive(&mut self, now: Time, members: Members) {
        let candidate = matches!(self.standing, Standing::PreCandidate(_));
        let alone = members.voters().eq([self.id]) && members.iter().count() == 2;
        let agreed = self.agreed_members();
        let took_both = self.members.voters().count() == 2
            && self.has_vote()
            && agreed.votes(self.id, self.incarnation)
            && agreed.voters().all(|voter| self.members.is_voter(voter));
        if candidate && alone && took_both {
            self.set_hard(HardState { term: self.hard.term + 1, vote: Some(self.id) });
            self.lead(now);
            self.append_members(now, members);
        }
    }

    /// Asks all that vote, and those that did before a change of which it is not known whether it is agreed on.
    fn ask_all(&mut self, question: impl Fn() -> Message<C, S>) {
        let (members, agreed) = (Arc::clone(&self.members), self.agreed_members());
        let let_go = agreed.voters().filter(|voter| !members.is_voter(*voter));
        for voter in members.voters().chain(let_go) {
            if voter != self.id {
                self.send(voter, question());
            }
        }
    }

    /// Whether those who have granted their votes are enough.
    fn is_enough(&self, votes: &Votes) -> bool {
        self.members.is_majority(votes)
            || self.without_change().is_some_and(|before| before.is_majority(votes))
    }

    /// Stands, if those who would vote for the member are enough.
    pub(super) fn stand_if_enough(&mut self, now: Time) {
        if matches!(&self.standing, Standing::PreCandidate(votes) if self.is_enough(votes)) {
            self.stand(now, false);
        }
    }

    pub(super) fn on_pre_vote(&mut self, now: Time, from: NodeId, term: u64, last: Position) {
        self.tell_agreement(from);
        if !self.was_let_in() {
            // Perhaps nobody else is left, and whoever asks has to hear that this disk is a new one.
            self.answer(from, Message::PreVoteReply { term: self.hard.term, granted: false });
            return;
        }
        if self.hears_a_leader(now) {
            return;
        }
        let granted = term > self.hard.term && last >= self.log.last();
        if granted && self.asks_too(term) && (last, from) > (self.log.last(), self.id) {
            // Both would be allowed to stand, and split the votes. Should the other one not make
            // it, giving way has cost a timeout, as a split vote would have.
            Mark::GaveWay.note();
            self.step_down(now, self.hard.term);
        }
        let term = if granted { term } else { self.hard.term };
        self.answer(from, Message::PreVoteReply { term, granted });
    }

    /// Whether the member asks for itself what another one asks of it.
    fn asks_too(&self, term: u64) -> bool {
        matches!(self.standing, Standing::PreCandidate(_)) && term == self.hard.term + 1
    }

    pub(super) fn on_pre_vote_reply(&mut self, now: Time, from: NodeId, term: u64, granted: bool) {
        if !granted {
            if term > self.hard.term {
                self.step_down(now, term);
            }
            return;
        }
        let next = self.hard.term + 1;
        let Standing::PreCandidate(votes) = &mut self.standing else { return };
        if term != next {
            return;
        }
        votes.insert(from);
        self.stand_if_enough(now);
    }

    /// The leader of the member's term wants it to take over.
    pub(super) fn on_stand_now(&mut self, now: Time, from: NodeId, term: u64) {
        if term == self.hard.term
            && self.leader == Some(from)
            && self.has_vote()
            && !self.is_leader()
        {
            self.leader = None;
            self.stand(now, true);
        }
    }

    pub(super) fn on_vote(
        &mut self,
        now: Time,
        from: NodeId,
        term: u64,
        last: Position,
        handed_over: bool,
    ) {
        // The term of the question must not count up ours either: the candidate may have been
        // allowed to stand by members that have meanwhile heard from the leader again.
        if self.hears_a_leader(now) && !handed_over || !self.was_let_in() {
            return;
        }
        if term > self.hard.term {
            self.step_down(now, term);
        }
        let free = self.hard.vote.is_none_or(|vote| vote == from);
        let granted = term == self.hard.term && free && last >= self.log.last();
        Mark::VoteRefused.note_if(term == self.hard.term && free && !granted);
        if granted && self.hard.vote.is_none() {
            self.set_hard(HardState { vote: Some(from), ..self.hard });
        }
        if granted {
            self.postpone_election(now);
        }
        self.answer(from, Message::VoteReply { term: self.hard.term, granted });
    }

    pub(super) fn on_vote_reply(&mut self, now: Time, from: NodeId, term: u64, granted: bool) {
        if term > self.hard.term {
            self.step_down(now, term);
            return;
        }
        let current = term == self.hard.term;
        let Standing::Candidate(votes) = &mut self.standing else { return };
        if !(granted && current) {
            return;
        }
        votes.insert(from);
        if matches!(&self.standing, Standing::Candidate(votes) if self.is_enough(votes)) {
            self.lead(now);
            self.take_change_back(now);
        }
    }

    /// Takes a message of a leader: whether it is the one of the member's own term. An older one
    /// is told the term, so that it steps down: if the member has counted up its term, it is the
    /// only way back into the cluster for it.
    ///
    /// That confirms no round. The same node may lead in this term by now, and count its rounds anew: its
    /// ninth round of term 1 asks a member that follows it in term 2 late, and if the answer named both, the
    /// leader would take its first nine rounds of term 2 for confirmed before they began, and whoever has
    /// replaced it since would not be asked.
    pub(super) fn follow(&mut self, now: Time, from: NodeId, term: u64) -> bool {
        if term < self.hard.term {
            self.answer(from, Message::HeartbeatReply { term: self.hard.term, round: 0 });
            return false;
        }
        if self.is_leader() && term == self.hard.term {
            // Nobody else can have been elected in this term.
            return false;
        }
        if term > self.hard.term || self.role() != Role::Follower {
            self.step_down(now, term);
        }
        self.leader = Some(from);
        self.heard = now;
        self.postpone_election(now);
        true
    }

    /// Whether there is a leader that must not be disturbed: the member leads, or has heard from
    /// its leader within the shortest election timeout (dissertation, section 4.2.3).
    ///
    /// A leader that lost its majority gives up by itself, an election timeout and a heartbeat later at
    /// most; that is why refusing everyone meanwhile cannot last.
    fn hears_a_leader(&self, now: Time) -> bool {
        // With leases it is a promise to the leader, which the member keeps even where it has meanwhile
        // seen a higher term, by a late message, or may have heard the leader just before it crashed.
        let has_heard = self.leader.is_some() || self.grants_leases;
        self.is_leader() || has_heard && now.since(self.heard) < self.timing.election
    }
}
