//! Images of the state in place of the log's beginning (Raft, section 7).
//!
//! An image stands for the log up to its last entry, which is committed, and no image takes a member back. Were a
//! late one taken over: leader 1 of 1, 2 and 3 sends 3 its image up to entry 5, and the message comes twice. After
//! the first, 3 takes entries 6 to 8, with which 1 commits them, and has compacted its log up to 8 when the second
//! comes. It would be at 5 again, and without 6 to 8; then 1 goes down, and 3 elects 2, which never had them.
//! [`Snapshot`] says why what replaces the log on the disk has the vote and the entries behind the image in it.

use std::sync::Arc;

use super::core::{Act, Core};
use super::log::{Log, Position};
use super::members::Members;
use super::message::{Appended, HardState, Image, Message, Snapshot};
use crate::env::{NodeId, Time};
use crate::mark::Mark;

impl<C: Clone, S> Core<C, S> {
    /// Keeps the state after all entries up to `index` in place of those entries.
    ///
    /// The last `spare` of them stay in memory, so that a follower that is a little behind is not
    /// sent the whole state.
    ///
    /// # Panics
    /// Where `index` is not committed, or lies before the last image.
    pub fn compact(&mut self, index: u64, state: S, spare: u64) {
        assert!(index <= self.commit, "only what is committed can never be taken back");
        let term = self.log.term(index).expect("the log reaches back to the last image");
        let last = Position { term, index };
        let (members, at) = self.members_up_to(index);
        let members = (at > 0).then_some(members);
        self.image = Some(Arc::new(Image { last, state, members }));
        self.log.compact(index.saturating_sub(spare));
        let snapshot = self.durable();
        self.acts.push(Act::Snapshot(snapshot));
    }

    /// Begins a cluster of one, by a member whose cluster is gone with its disk: it has this state after
    /// all entries up to an index, and nobody has any of that term or a later one.
    ///
    /// # Panics
    /// Where the member has any entry.
    pub fn found(&mut self, now: Time, Position { term, index }: Position, state: S) {
        assert_eq!(self.log.last(), Position::default(), "what is there is not gone");
        if self.hard.term < term {
            self.set_hard(HardState { term, vote: None });
        }
        let last = Position { term: self.hard.term, index };
        let members = Some(Arc::new(Members::alone(self.id, self.incarnation)));
        self.install(Arc::new(Image { last, state, members }));
        self.campaign(now);
    }

    /// All that the member needs to go on after a restart.
    pub fn durable(&self) -> Snapshot<C, S> {
        let entries = self.log.entries(self.imaged() + 1, usize::MAX).cloned().collect();
        let (hard, incarnation, agreed) = (self.hard, self.incarnation, self.agreed);
        Snapshot { hard, incarnation, agreed, image: self.image.clone(), entries }
    }

    /// The last index that the image reflects; 0 where there is none.
    pub fn imaged(&self) -> u64 {
        self.image.as_ref().map_or(0, |image| image.last.index)
    }

    pub(super) fn on_install(&mut self, from: NodeId, round: u64, image: Arc<Image<S>>) {
        // A late or doubled image must not take the state back; what is committed here is what
        // the leader has, so that is the answer.
        if image.last.index > self.commit {
            Mark::ImageInstalled.note();
            self.install(image);
        } else {
            Mark::ImageTooLate.note();
        }
        let appended = Appended::Matched(self.commit);
        let term = self.hard.term;
        self.answer(from, Message::AppendReply { term, round, appended });
    }

    /// Takes over a leader's state. Entries behind it stay if they follow it: the member may have
    /// acknowledged them to this leader already.
    fn install(&mut self, image: Arc<Image<S>>) {
        if self.log.has(image.last) {
            self.log.compact(image.last.index);
        } else {
            self.log = Log::after(image.last);
        }
        self.commit = image.last.index;
        self.installed = Some(Arc::clone(&image));
        self.image = Some(image);
        self.adopt_members(None);
        let snapshot = self.durable();
        self.acts.push(Act::Snapshot(snapshot));
    }
}
