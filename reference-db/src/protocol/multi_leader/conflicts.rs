//! What a key holds, and what becomes of changes that did not know of each other.
//!
//! Regions that have taken in the same changes hold the same, in whatever order they came: of two states of a key
//! there is one that contains both ([`crate::merge`]; Shapiro et al. 2011). With [`Conflicts::Siblings`] and
//! [`Conflicts::Crdt`] nothing that was acknowledged is lost by that. With [`Conflicts::Lww`] the earlier of two
//! changes is, but none is earlier than what its region had taken in before: every change that comes in sets the
//! region's clock (Kulkarni et al., "Logical Physical Clocks", 2014).
//!
//! Without that: region 2 writes a key at 100 by its clock; in region 1, whose clock shows 50, a client reads that
//! and writes the key again, at 50. Region 1 then holds the new write, region 2 keeps the one of 100 when it hears
//! of it, and the two stay apart.

use serde::{Deserialize, Serialize};

use crate::kv::{Command, Datum, Reply, Update};
use crate::merge::{Clock, Counter, Dot, Merge, Register, Set, Siblings, Stamp, VersionVector};

/// What becomes of two changes of a key that did not know of each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Conflicts {
    /// The later one wins, by hybrid clocks, and the earlier one is lost.
    #[default]
    Lww,
    /// Both are kept and shown, and a client's next write replaces those that it has read.
    Siblings,
    /// Keys hold counters and sets, whose changes go together whatever their order.
    Crdt,
}

/// What a key holds and which changes have made it so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cell {
    /// The changes.
    touched: VersionVector,
    held: Held,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Held {
    Register(Register),
    Siblings(Siblings),
    /// What the first command on a key asked for makes it a counter or a set. Where two regions had
    /// a first command each, before they heard of each other, it is both: nothing that was
    /// acknowledged is dropped, and reads show the set.
    Typed {
        counter: Option<Counter>,
        set: Option<Set>,
    },
}

/// The circumstances of a change.
pub(super) struct Occasion<'a> {
    pub(super) dot: Dot,
    pub(super) clock: &'a mut Clock,
    pub(super) wall: u64,
}

impl Occasion<'_> {
    /// A stamp that is later than every write that the region knows.
    fn stamp(&mut self) -> Stamp {
        self.clock.issue(self.dot.actor, self.wall)
    }
}

impl Conflicts {
    /// What a key holds that was never changed.
    pub(super) fn blank(self) -> Cell {
        let held = match self {
            Conflicts::Lww => Held::Register(Register::default()),
            Conflicts::Siblings => Held::Siblings(Siblings::default()),
            Conflicts::Crdt => Held::Typed { counter: None, set: None },
        };
        Cell { touched: VersionVector::default(), held }
    }
}

impl Cell {
    /// What a read is answered.
    pub fn read(&self) -> Reply {
        match &self.held {
            Held::Register(register) => Reply::Value(register.value().map(<[u8]>::to_vec)),
            Held::Siblings(siblings) => Reply::Siblings {
                values: siblings.values().map(<[u8]>::to_vec).collect(),
                context: siblings.context().clone(),
            },
            Held::Typed { set: Some(set), .. } => {
                let elements = set.elements().into_iter().map(<[u8]>::to_vec);
                Reply::Datum(Datum::Set(elements.collect()))
            }
            Held::Typed { counter: Some(counter), set: None } => {
                let value = counter.value().clamp(i64::MIN.into(), i64::MAX.into());
                Reply::Datum(Datum::Counter(i64::try_from(value).expect("it was clamped")))
            }
            Held::Typed { counter: None, set: None } => Reply::Value(None),
        }
    }

    /// Whether nothing is left but the memory of what was there.
    pub fn is_empty(&self) -> bool {
        match &self.held {
            Held::Register(register) => register.value().is_none(),
            Held::Siblings(siblings) => siblings.is_empty(),
            Held::Typed { counter, set } => {
                counter.is_none() && set.as_ref().is_none_or(Set::is_empty)
            }
        }
    }

    /// When it was written last, where it is a register.
    pub fn stamp(&self) -> Option<Stamp> {
        match &self.held {
            Held::Register(register) => Some(register.stamp()),
            Held::Siblings(_) | Held::Typed { .. } => None,
        }
    }

    /// The changes that have made it what it is, and those that their clients had seen.
    pub(super) fn touched(&self) -> &VersionVector {
        &self.touched
    }

    /// Does what a client asked for.
    ///
    /// # Errors
    /// Says why it was not done, and then nothing was.
    pub(super) fn change(
        &mut self,
        command: &Command,
        occasion: &mut Occasion<'_>,
    ) -> Result<(), Reply> {
        let dot = occasion.dot;
        match (&mut self.held, command) {
            (Held::Register(register), Command::Write { value, .. }) => {
                *register = Register::written(occasion.stamp(), Some(value.clone()));
            }
            (Held::Register(register), Command::Delete { .. }) => {
                *register = Register::written(occasion.stamp(), None);
            }
            (Held::Siblings(siblings), Command::Write { value, .. }) => {
                // Its client has read nothing.
                siblings.write(dot, &VersionVector::default(), Some(value.clone()));
            }
            (Held::Siblings(siblings), Command::Delete { .. }) => {
                let context = siblings.context().clone();
                siblings.write(dot, &context, None);
            }
            (Held::Siblings(siblings), Command::Replace { value, context, .. }) => {
                siblings.write(dot, context, value.clone());
                self.touched.merge(context);
            }
            (Held::Typed { counter, set }, Command::Update { update, .. }) => {
                change_typed(counter, set, update, dot)?;
            }
            (Held::Register(_) | Held::Siblings(_) | Held::Typed { .. }, _) => {
                return Err(Reply::Unsupported);
            }
        }
        self.touched.see(dot);
        Ok(())
    }

    /// Sets a clock so that what it issues is later than what was written here.
    pub(super) fn advance(&self, clock: &mut Clock) {
        self.stamp().into_iter().for_each(|stamp| clock.see(stamp));
    }
}

fn change_typed(
    counter: &mut Option<Counter>,
    set: &mut Option<Set>,
    update: &Update,
    dot: Dot,
) -> Result<(), Reply> {
    match update {
        Update::Increment(_) if counter.is_none() && set.is_some() => return Err(Reply::WrongKind),
        Update::Add(_) | Update::Remove(_) if set.is_none() && counter.is_some() => {
            return Err(Reply::WrongKind);
        }
        Update::Increment(by)
            if counter.as_ref().is_some_and(|counter| !counter.takes(dot.actor, *by)) =>
        {
            return Err(Reply::TooMuch);
        }
        Update::Increment(by) => counter.get_or_insert_default().add(dot.actor, *by),
        Update::Add(element) => set.get_or_insert_default().add(dot, element.clone()),
        Update::Remove(element) => set.get_or_insert_default().remove(element),
        Update::Append(_) => return Err(Reply::Unsupported),
    }
    Ok(())
}

fn merge_part<T: Merge + Clone>(part: &mut Option<T>, other: Option<&T>) {
    match (part, other) {
        (Some(part), Some(other)) => part.merge(other),
        (part @ None, Some(other)) => *part = Some(other.clone()),
        (_, None) => {}
    }
}

impl Merge for Cell {
    /// Regions of one cluster have one rule. What comes from another one is not taken in.
    fn merge(&mut self, other: &Cell) {
        self.touched.merge(&other.touched);
        match (&mut self.held, &other.held) {
            (Held::Register(held), Held::Register(other)) => held.merge(other),
            (Held::Siblings(held), Held::Siblings(other)) => held.merge(other),
            (
                Held::Typed { counter, set },
                Held::Typed { counter: other_counter, set: other_set },
            ) => {
                merge_part(counter, other_counter.as_ref());
                merge_part(set, other_set.as_ref());
            }
            (Held::Register(_) | Held::Siblings(_) | Held::Typed { .. }, _) => {}
        }
    }
}
