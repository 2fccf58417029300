//! What the leader of a region knows of the other regions, and what it sends them next.
//!
//! Nothing here is durable. A region says how far it has applied everybody's changes, whenever it is
//! sent something; what it lacks goes out in the order in which it was applied here, one message at a
//! time. After a cut, or with another leader on either side, that is where it goes on.
//!
//! So a region that can be reached comes to have every change that is to go there, whatever is lost on the way
//! (Ladin et al. and their gossip, see [`super`]). Were a region taken to have what it was sent: region 1 sends
//! region 2 its changes 3 and 4, the message is lost, and 1 goes on with 5, which 2 cannot take in before 4, for
//! ever. And were it to say what it has put into its log: the leader of region 2 says that it has change 3, and is
//! deposed before that is agreed on; region 1 forgets the change when the others have it, and 2 never gets it.

use std::collections::BTreeMap;

use super::state::{Change, State};
use super::table::Table;
use super::topology::Regions;
use crate::env::{NodeId, Time};
use crate::merge::{Actor, Merge, VersionVector};
use crate::protocol::Timing;

/// Changes in one message at most.
pub const CHANGES_MAX: usize = 64;
/// Once in so many heartbeats a leader tells everyone how far it is, and looks whether something can be
/// forgotten.
const TICKS_A_CLEANING: u64 = 4;

/// What a leader is to do besides sending changes.
#[derive(Debug, Default)]
pub(super) struct Due {
    /// Tell the regions that it sends no changes to what it knows of everyone.
    pub(super) tells_all: bool,
    /// Put this into the log: it lets something be forgotten.
    pub(super) known: Option<Table>,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Links {
    timing: Timing,
    /// What each region was last heard to have.
    heard: Table,
    peers: BTreeMap<Actor, Peer>,
    tick_at: Time,
    ticks: u64,
    send_at: Time,
}

/// A region that is told something.
#[derive(Debug)]
struct Peer {
    /// Which of its nodes is turned to, by its place.
    contact: usize,
    /// When it was sent something that it has not answered yet.
    asked: Option<Time>,
    /// What had been applied here, and when; the region has not been heard to have all of it since.
    lacks: (Time, VersionVector),
}

impl Links {
    /// A leader begins: it asks everyone how far they are.
    pub(super) fn new(regions: &Regions, timing: Timing, state: &State, now: Time) -> Links {
        let peer = || Peer { contact: 0, asked: None, lacks: (now, state.applied().clone()) };
        Links {
            timing,
            heard: state.table().clone(),
            peers: regions.told().into_iter().map(|region| (region, peer())).collect(),
            tick_at: now,
            ticks: 0,
            send_at: Time::NEVER,
        }
    }

    pub(super) fn deadline(&self) -> Time {
        self.tick_at.min(self.send_at)
    }

    /// Asks for the timer to fire at once: there may be something to send.
    pub(super) fn send_soon(&mut self, now: Time) {
        self.send_at = self.send_at.min(now);
    }

    /// What each region is known to have, this one included.
    pub(super) fn table(&self, regions: &Regions, state: &State) -> Table {
        let mut table = self.heard.clone();
        table.meet(state.table());
        table.bury(state.applied());
        table.hear(state.actor(regions), state.applied());
        table
    }

    /// Somebody says what regions have.
    pub(super) fn hear(&mut self, table: &Table) {
        self.heard.merge(table);
    }

    /// A region has answered, through this one of its nodes.
    pub(super) fn answered(
        &mut self,
        now: Time,
        (region, place): (Actor, usize),
        table: &Table,
        state: &State,
    ) {
        let before = self.heard.row_of(region, state.applied());
        self.hear(table);
        let advanced = self.heard.row_of(region, state.applied()) != before;
        let Some(peer) = self.peers.get_mut(&region) else { return };
        peer.contact = place;
        peer.asked = None;
        if advanced {
            // Otherwise it could not use what it was sent, and is sent it again at the next tick.
            self.send_soon(now);
        }
    }

    /// Does what is due: says what is to be sent to which node, and what else is to be done.
    pub(super) fn on_timer(
        &mut self,
        now: Time,
        regions: &Regions,
        state: &State,
        outbox: &mut Vec<(NodeId, Vec<Change>)>,
    ) -> Due {
        let ticks = self.tick_at <= now;
        if !ticks && self.send_at > now {
            return Due::default();
        }
        self.send_at = Time::NEVER;
        for (region, peer) in &mut self.peers {
            let row = self.heard.row_of(*region, state.applied());
            peer.notice(now, &row, state);
            let members = regions.members(*region);
            let waits = |asked: Time| now.since(asked) < self.timing.heartbeat * 2;
            if peer.asked.is_some_and(waits) {
                continue;
            }
            if peer.asked.take().is_some() {
                // Perhaps another one answers.
                peer.contact = (peer.contact + 1) % members.len();
            }
            let changes = peer.batch(now, *region, &row, regions, state, &self.timing);
            if ticks || !changes.is_empty() {
                peer.asked = Some(now);
                outbox.push((members[peer.contact], changes));
            }
        }
        if !ticks {
            return Due::default();
        }
        self.tick_at = now + self.timing.heartbeat;
        self.ticks += 1;
        let tells_all = self.ticks.is_multiple_of(TICKS_A_CLEANING);
        let learns = tells_all && state.learns_from(&self.heard);
        Due { tells_all, known: learns.then(|| self.heard.clone()) }
    }
}

impl Peer {
    /// Takes note of whether the region keeps up.
    fn notice(&mut self, now: Time, row: &VersionVector, state: &State) {
        if row.contains(&self.lacks.1) {
            self.lacks = (now, state.applied().clone());
        }
    }

    /// What the region is sent next.
    fn batch(
        &self,
        now: Time,
        region: Actor,
        row: &VersionVector,
        regions: &Regions,
        state: &State,
        timing: &Timing,
    ) -> Vec<Change> {
        let (since, lacked) = &self.lacks;
        let late = now.since(*since) >= timing.election;
        let is_due = |change: &&Change| {
            let origin = state.origin(change.dot.actor);
            let passes = regions.passes_at_once(origin) || late && lacked.has(change.dot);
            passes && !row.has(change.dot) && regions.next(origin).contains(&region)
        };
        state.outbox().filter(is_due).take(CHANGES_MAX).cloned().collect()
    }
}
