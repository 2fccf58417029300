//! The state of a region: a function of its log, the same at all its nodes.
//!
//! It takes in a change when it has everything that the change may depend on, so that nobody sees an effect before
//! its cause (Ladin et al., see [`super`]), and forgets something only when every region has it (Wuu and Bernstein,
//! see [`super::table`]). `State::hear`, `State::trim` and `State::collect` say what would go wrong otherwise.
//!
//! What a node reads of its own never goes into it: what the wall clock showed stands in the log
//! ([`Logged::Asked`]). Were it read when an entry is applied: nodes 1 and 4 are a region, and a client of it
//! writes a key, which 1 stamps by its clock and 4 by its own. Another region's write of the key has a stamp
//! between the two, and comes in: at 1 the one wins, at 4 the other, for good.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};

use super::conflicts::{Cell, Conflicts, Occasion};
use super::incarnations::{incarnation, is_lost, loss_of, losses, lost_by, region_of};
use super::sessions::Sessions;
use super::table::Table;
use super::topology::Regions;
use crate::kv::{Command, Reply};
use crate::mark::Mark;
use crate::merge::{Actor, Clock, Dot, Merge, VersionVector};
use crate::wire::Request;

/// A change as it travels from region to region.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Where it was made, and its number there.
    pub dot: Dot,
    /// What its region knew when it was made: the changes that it may depend on.
    pub after: VersionVector,
    /// What was changed.
    pub key: String,
    /// What the key then held.
    pub cell: Cell,
}

impl Change {
    /// Whether a region that knows this much, and no more, can take it in. Of losses it need not have
    /// heard.
    pub fn follows(&self, known: &VersionVector) -> bool {
        let mut changes = self.after.iter().filter(|dot| lost_by(*dot).is_none());
        self.dot.number == known.get(self.dot.actor) + 1 && changes.all(|dot| known.has(dot))
    }
}

/// What an entry of a region's log says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Logged {
    /// A client of the region has asked for something.
    Asked {
        /// What.
        request: Request,
        /// What the wall clock of the node showed that it turned to.
        wall: u64,
    },
    /// Other regions have made changes, in an order in which none comes before one that it depends
    /// on.
    Heard(Vec<Change>),
    /// Regions have applied so much.
    Known(Table),
    /// A region has lost everything and begins again.
    Reborn {
        /// Its new incarnation.
        heir: Actor,
        /// Those before it.
        former: BTreeSet<Actor>,
    },
    /// To a region that has begun again, another one has sent what it has.
    Shared {
        /// The other one.
        region: Actor,
        /// What it has.
        state: Box<State>,
    },
}

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    cells: BTreeMap<String, Cell>,
    /// The changes that the cells reflect, and the losses that were noted.
    applied: VersionVector,
    clock: Clock,
    /// Changes that some region may still lack, in the order in which they were applied.
    outbox: VecDeque<Change>,
    /// What the other regions have. Of a region that is said here to have a change, every change is
    /// applied that it had made before it had that one.
    table: Table,
    sessions: Sessions,
    /// The number of the disk with which the region has begun again; 0 where it never has.
    disk: u64,
    /// The regions that have not sent yet what they have, since it has.
    unheard: BTreeSet<Actor>,
}

/// What does not change with the log.
#[derive(Clone, Debug)]
pub(super) struct Rules {
    pub(super) regions: Regions,
    pub(super) conflicts: Conflicts,
    pub(super) sessions_max: usize,
}

/// Above the numbers that sessions get from the log of their region stands the region, so that no
/// session is taken for one of another region.
const REGION_SHIFT: u32 = 48;

impl State {
    /// The changes that it reflects.
    pub fn applied(&self) -> &VersionVector {
        &self.applied
    }

    /// Every key of which something is remembered, and what it holds, in order.
    pub fn cells(&self) -> &BTreeMap<String, Cell> {
        &self.cells
    }

    /// Changes that some region is still to hear of from this one.
    pub fn outbox(&self) -> impl Iterator<Item = &Change> {
        self.outbox.iter()
    }

    /// What the other regions have.
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// The region as one that makes changes.
    pub fn actor(&self, regions: &Regions) -> Actor {
        incarnation(regions.own(), self.disk)
    }

    /// The region that a change was made in, unless it has lost that since.
    pub(super) fn origin(&self, actor: Actor) -> Option<Actor> {
        Some(region_of(actor)).filter(|_| !is_lost(actor, &self.applied))
    }

    /// The regions that have not sent yet what they have, since this one has begun again.
    pub(super) fn unheard(&self) -> &BTreeSet<Actor> {
        &self.unheard
    }

    /// What a key holds, as an answer.
    pub(super) fn read(&self, rules: &Rules, key: &str) -> Reply {
        self.cells.get(key).map_or_else(|| rules.conflicts.blank().read(), Cell::read)
    }

    /// Applies the entry at an index of the log, and says what its client is answered, if one waits.
    pub(super) fn apply(&mut self, rules: &Rules, at: u64, logged: &Logged) -> Option<Reply> {
        match logged {
            Logged::Asked { request, wall } => self.ask(rules, at, request, *wall),
            Logged::Heard(changes) => {
                changes.iter().for_each(|change| self.hear(rules, change));
                None
            }
            Logged::Known(table) => {
                self.adopt(rules, table);
                self.trim(rules);
                self.collect(rules);
                None
            }
            Logged::Reborn { heir, former } => {
                self.note_birth(*heir, former);
                None
            }
            Logged::Shared { region, state } => {
                self.inherit(rules, *region, state);
                None
            }
        }
    }

    fn ask(&mut self, rules: &Rules, at: u64, request: &Request, wall: u64) -> Option<Reply> {
        let Request { session, sequence, command, .. } = request;
        let key = match command {
            Command::OpenSession => {
                let number = (rules.regions.own().0 as u64) << REGION_SHIFT | at;
                self.sessions.open(number, at, rules.sessions_max);
                return Some(Reply::Session(number));
            }
            Command::Read { key, .. } => return Some(self.read(rules, key)),
            Command::Txn { .. }
            | Command::Transfer { .. }
            | Command::Admit { .. }
            | Command::Dismiss { .. } => return Some(Reply::Unsupported),
            Command::Write { key, .. }
            | Command::Cas { key, .. }
            | Command::Delete { key }
            | Command::Update { key, .. }
            | Command::Replace { key, .. } => key,
        };
        if let Err(reply) = self.sessions.admit(*session, *sequence, at) {
            return reply;
        }
        let reply = match self.change(rules, key, command, wall) {
            Ok(()) if matches!(command, Command::Replace { shown: true, .. }) => {
                self.read(rules, key)
            }
            Ok(()) => Reply::Done,
            Err(refused) => refused,
        };
        self.sessions.answered(*session, *sequence, &reply);
        Some(reply)
    }

    /// Makes a change in the region's own name.
    fn change(
        &mut self,
        rules: &Rules,
        key: &str,
        command: &Command,
        wall: u64,
    ) -> Result<(), Reply> {
        let actor = self.actor(&rules.regions);
        let dot = Dot { actor, number: self.applied.get(actor) + 1 };
        let mut cell = self.cells.get(key).cloned().unwrap_or_else(|| rules.conflicts.blank());
        let replaces;
        let command = match command {
            Command::Replace { key, value, context, shown } => {
                let (key, value, context) = (key.clone(), value.clone(), self.credible(context));
                replaces = Command::Replace { key, value, context, shown: *shown };
                &replaces
            }
            command => command,
        };
        cell.change(command, &mut Occasion { dot, clock: &mut self.clock, wall })?;
        let (after, key) = (self.applied.clone(), key.to_owned());
        self.cells.insert(key.clone(), cell.clone());
        self.took(rules, Change { dot, after, key, cell });
        Ok(())
    }

    /// What of a context the region can believe: changes that it has taken in. A client that claims to have seen
    /// what is yet to come would make it disappear wherever it comes, and the region that makes it could not. What
    /// a client has read in another region, and this one has not, its change so stands beside.
    fn credible(&self, context: &VersionVector) -> VersionVector {
        let taken_in =
            |dot: Dot| Dot { number: dot.number.min(self.applied.get(dot.actor)), ..dot };
        let changes = context.iter().filter(|dot| lost_by(*dot).is_none()).map(taken_in);
        changes.filter(|dot| dot.number > 0).collect()
    }

    /// Takes in a change of another region. One that was taken in before is left alone, and so is
    /// one that depends on what has not come yet: it will be sent again.
    ///
    /// Were it taken in, a reader could see an answer and not the question that it answers, because
    /// the two regions that they come from are not equally far away.
    fn hear(&mut self, rules: &Rules, change: &Change) {
        if change.dot.actor == self.actor(&rules.regions) || !change.follows(&self.applied) {
            let was_there = self.applied.has(change.dot);
            let mark = if was_there { Mark::CameTwice } else { Mark::BeforeItsPast };
            mark.note();
            return;
        }
        let cell = self.cells.entry(change.key.clone());
        cell.or_insert_with(|| rules.conflicts.blank()).merge(&change.cell);
        change.cell.advance(&mut self.clock);
        // Its region had all this before it makes anything else.
        let mut row = change.after.clone();
        row.see(change.dot);
        self.table.hear(change.dot.actor, &row);
        self.note_losses(rules, losses(&row).collect());
        self.took(rules, change.clone());
    }

    /// A change is part of the state.
    fn took(&mut self, rules: &Rules, change: Change) {
        self.applied.see(change.dot);
        if self.hear_of(rules, change.dot.actor).next().is_some() {
            self.outbox.push_back(change);
        }
    }

    /// The regions that have to hear of a change from somebody.
    fn hear_of<'a>(&self, rules: &'a Rules, actor: Actor) -> impl Iterator<Item = Actor> + use<'a> {
        let (own, origin) = (rules.regions.own(), self.origin(actor));
        rules.regions.all().filter(move |region| *region != own && Some(*region) != origin)
    }

    /// What would be learned from a table.
    fn news<'a>(&'a self, table: &'a Table) -> impl Iterator<Item = (Dot, &'a VersionVector)> {
        let rows = table.rows().map(|(actor, row)| (Dot { actor, number: row.get(actor) }, row));
        rows.filter(|(made, row)| {
            self.applied.has(*made) && !self.table.row(made.actor).contains(row)
        })
    }

    /// Whether a table says what lets something be forgotten, or that somebody is lost.
    pub(super) fn learns_from(&self, table: &Table) -> bool {
        let keeps = !self.outbox.is_empty() || self.cells.values().any(Cell::is_empty);
        keeps && self.news(table).next().is_some() || !self.losses_in(table).is_empty()
    }

    /// The losses that others have noted.
    fn losses_in(&self, table: &Table) -> BTreeSet<Actor> {
        let noted = table.rows().flat_map(|(_, row)| losses(row));
        noted.filter(|lost| !is_lost(*lost, &self.applied)).collect()
    }

    /// Takes over what a table says of regions of which every change is applied that they had made by
    /// then. What one has made that is still under way may have been made before it knew anything
    /// of what the table says that it has.
    fn adopt(&mut self, rules: &Rules, table: &Table) {
        self.table.meet(table);
        self.note_losses(rules, self.losses_in(table));
        let news: Vec<_> = self.news(table).map(|(made, row)| (made.actor, row.clone())).collect();
        news.iter().for_each(|(actor, row)| self.table.hear(*actor, row));
        self.table.bury(&self.applied);
    }

    /// Forgets changes that everyone has.
    ///
    /// That those have them who hear of them from here is not enough. In a ring, region 3 tells region 1
    /// of its change, which is to tell region 2, and loses its disk before: nobody but region 3 has it.
    /// Whoever has a change that somebody lacks can give it to one that begins again.
    fn trim(&mut self, rules: &Rules) {
        let outbox = std::mem::take(&mut self.outbox);
        let lacks = |change: &Change| {
            let mut regions = self.hear_of(rules, change.dot.actor);
            regions.any(|region| !self.table.row_of(region, &self.applied).has(change.dot))
        };
        self.outbox = outbox.into_iter().filter(lacks).collect();
    }

    /// Forgets what was removed, where every region knows that it was.
    ///
    /// Were it forgotten earlier, a write could come back from the dead: region 1 deletes what region
    /// 2 has written, and forgets; then region 3, which had heard of neither, passes on the write.
    /// And knowing that every region has the deletion is not enough: what one of them wrote before it
    /// had it may still be under way to here. Of one that is lost, everything has come that ever will
    /// when all take nothing more from it, and nobody had more of it by then than has come.
    fn collect(&mut self, rules: &Rules) {
        let (own, applied) = (rules.regions.own(), &self.applied);
        let others = rules.regions.all().filter(|region| *region != own);
        let rows: Vec<_> = others.map(|region| self.table.row_of(region, applied)).collect();
        let lost: Vec<Actor> = losses(applied).collect();
        let is_over = |row: &VersionVector| {
            let mut lost = lost.iter();
            lost.all(|one| is_lost(*one, row) && row.get(*one) <= applied.get(*one))
        };
        if !rows.iter().all(is_over) {
            return;
        }
        let all_have = |changes: &VersionVector| {
            applied.contains(changes) && rows.iter().all(|row| row.contains(changes))
        };
        let before = self.cells.len();
        self.cells.retain(|_, cell| !cell.is_empty() || !all_have(cell.touched()));
        Mark::RemovalForgotten.note_if(self.cells.len() < before);
    }
}

/// Regions that have lost everything: see [`super::incarnations`] and [`super::restore`].
impl State {
    /// What a region has that begins again, when these have sent what they have.
    pub(super) fn reborn(rules: &Rules, disk: u64, sent: &BTreeMap<Actor, State>) -> State {
        let own = rules.regions.own();
        let unheard = rules.regions.all().filter(|region| *region != own).collect();
        let mut state = State { disk, unheard, ..State::default() };
        sent.iter().for_each(|(region, sent)| state.inherit(rules, *region, sent));
        state
    }

    /// What a region that begins again is sent. Clients do not go with it.
    pub(super) fn shared(&self) -> State {
        State { sessions: Sessions::default(), ..self.clone() }
    }

    /// Takes in what another region has, once.
    ///
    /// Nothing of it is older than what is here, or the other way round: that a key was removed is forgotten
    /// by one region only when every other one has it, this one under its new name included. So what one
    /// side does not hold, it has never heard of, or the other one knows that it was removed.
    fn inherit(&mut self, rules: &Rules, region: Actor, sent: &State) {
        if !self.unheard.remove(&region) {
            return;
        }
        for (key, cell) in &sent.cells {
            let held = self.cells.entry(key.clone());
            held.or_insert_with(|| rules.conflicts.blank()).merge(cell);
        }
        let lacking = sent.outbox.iter().filter(|change| !self.applied.has(change.dot));
        self.outbox.extend(lacking.cloned().collect::<Vec<_>>());
        self.applied.merge(&sent.applied);
        self.clock.merge(&sent.clock);
        self.table.merge(&sent.table);
        self.table.hear(incarnation(region, sent.disk), &sent.applied);
        self.note_losses(rules, self.losses_in(&sent.table));
    }

    /// Whether a region knows that another one has begun again, and that all before it are lost.
    pub(super) fn knows(&self, heir: Actor, former: &BTreeSet<Actor>) -> bool {
        let heard = self.table.rows().any(|(actor, _)| actor == heir);
        heard && former.iter().all(|one| is_lost(*one, &self.applied))
    }

    /// Those that one which begins again has not named as lost, although they are of its region.
    pub(super) fn unnamed(&self, heir: Actor, former: &BTreeSet<Actor>) -> bool {
        let mut living = self.table.living(region_of(heir), &self.applied);
        living.any(|one| one != heir && !former.contains(&one))
    }

    /// The incarnations of the own region before this one, as far as it has heard.
    pub(super) fn before(&self, rules: &Rules) -> BTreeSet<Actor> {
        let own = rules.regions.own();
        let lost = losses(&self.applied).filter(|one| region_of(*one) == own);
        lost.chain([own]).filter(|one| *one != self.actor(&rules.regions)).collect()
    }

    /// Whether an incarnation is known to be lost.
    pub(super) fn is_lost(&self, actor: Actor) -> bool {
        is_lost(actor, &self.applied)
    }

    fn note_birth(&mut self, heir: Actor, former: &BTreeSet<Actor>) {
        if self.is_lost(heir) {
            return;
        }
        self.table.hear(heir, &VersionVector::default());
        former.iter().filter(|one| **one != heir).for_each(|one| self.applied.see(loss_of(*one)));
        self.table.bury(&self.applied);
    }

    /// Takes note of losses. Of its own region, one that has begun again is the only one that is not lost.
    fn note_losses(&mut self, rules: &Rules, mut lost: BTreeSet<Actor>) {
        if self.disk > 0 {
            let own = self.actor(&rules.regions);
            let living = self.table.living(rules.regions.own(), &self.applied);
            lost.extend(living.filter(|one| *one != own));
        }
        lost.into_iter().for_each(|one| self.applied.see(loss_of(one)));
        self.table.bury(&self.applied);
    }
}
