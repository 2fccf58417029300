//! The state of a region: a function of its log, the same at all its nodes.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use super::conflicts::{Cell, Conflicts, Occasion, credible};
use super::sessions::Sessions;
use super::table::Table;
use super::topology::Regions;
use crate::kv::{Command, Reply};
use crate::mark::Mark;
use crate::merge::{Clock, Dot, Merge, VersionVector};
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
    /// Whether a region that knows this much, and no more, can take it in.
    pub fn follows(&self, known: &VersionVector) -> bool {
        self.dot.number == known.get(self.dot.actor) + 1 && known.contains(&self.after)
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
}

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    cells: BTreeMap<String, Cell>,
    /// The changes that the cells reflect.
    applied: VersionVector,
    clock: Clock,
    /// Changes that some region is still to hear of from this one, in the order in which they were
    /// applied.
    outbox: VecDeque<Change>,
    /// What the other regions have. Of a region that is said here to have a change, every change is
    /// applied that it had made before it had that one.
    table: Table,
    sessions: Sessions,
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
                self.adopt(table);
                self.trim(rules);
                self.collect(rules);
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
        let actor = rules.regions.own();
        let made = Dot { actor, number: self.applied.get(actor) };
        let dot = Dot { number: made.number + 1, ..made };
        let mut cell = self.cells.get(key).cloned().unwrap_or_else(|| rules.conflicts.blank());
        let mut occasion = Occasion { dot, clock: &mut self.clock, wall };
        match command {
            Command::Replace { key, value, context } => {
                let context = credible(context, made, rules.regions.all());
                let (key, value) = (key.clone(), value.clone());
                cell.change(&Command::Replace { key, value, context }, &mut occasion)?;
            }
            command => cell.change(command, &mut occasion)?,
        }
        let (after, key) = (self.applied.clone(), key.to_owned());
        self.cells.insert(key.clone(), cell.clone());
        self.took(rules, Change { dot, after, key, cell });
        Ok(())
    }

    /// Takes in a change of another region. One that was taken in before is left alone, and so is
    /// one that depends on what has not come yet: it will be sent again.
    ///
    /// Were it taken in, a reader could see an answer and not the question that it answers, because
    /// the two regions that they come from are not equally far away.
    fn hear(&mut self, rules: &Rules, change: &Change) {
        if change.dot.actor == rules.regions.own() || !change.follows(&self.applied) {
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
        self.took(rules, change.clone());
    }

    /// A change is part of the state.
    fn took(&mut self, rules: &Rules, change: Change) {
        self.applied.see(change.dot);
        if !rules.regions.next(change.dot.actor).is_empty() {
            self.outbox.push_back(change);
        }
    }

    /// What would be learned from a table.
    fn news<'a>(&'a self, table: &'a Table) -> impl Iterator<Item = (Dot, &'a VersionVector)> {
        let rows = table.rows().map(|(actor, row)| (Dot { actor, number: row.get(actor) }, row));
        rows.filter(|(made, row)| {
            self.applied.has(*made) && !self.table.row(made.actor).contains(row)
        })
    }

    /// Whether a table says what lets something be forgotten.
    pub(super) fn learns_from(&self, table: &Table) -> bool {
        let keeps = !self.outbox.is_empty() || self.cells.values().any(Cell::is_empty);
        keeps && self.news(table).next().is_some()
    }

    /// Takes over what a table says of regions of which every change is applied that they had made by
    /// then. What one has made that is still under way may have been made before it knew anything
    /// of what the table says that it has.
    fn adopt(&mut self, table: &Table) {
        let news: Vec<_> = self.news(table).map(|(made, row)| (made.actor, row.clone())).collect();
        news.iter().for_each(|(region, row)| self.table.hear(*region, row));
    }

    /// Forgets changes that everyone has who was to hear of them from here.
    fn trim(&mut self, rules: &Rules) {
        let table = &self.table;
        self.outbox.retain(|change| {
            let mut next = rules.regions.next(change.dot.actor).into_iter();
            next.any(|region| !table.row(region).has(change.dot))
        });
    }

    /// Forgets what was removed, where every region knows that it was.
    ///
    /// Were it forgotten earlier, a write could come back from the dead: region 1 deletes what region
    /// 2 has written, and forgets; then region 3, which had heard of neither, passes on the write.
    /// And knowing that every region has the deletion is not enough: what one of them wrote before it
    /// had it may still be under way to here.
    fn collect(&mut self, rules: &Rules) {
        let (table, own, applied) = (&self.table, rules.regions.own(), &self.applied);
        let all_have = |changes: &VersionVector| {
            let mut others = rules.regions.all().filter(|region| *region != own);
            applied.contains(changes) && others.all(|region| table.row(region).contains(changes))
        };
        let before = self.cells.len();
        self.cells.retain(|_, cell| !cell.is_empty() || !all_have(cell.touched()));
        Mark::RemovalForgotten.note_if(self.cells.len() < before);
    }
}
