//! What is to happen, in the order in which it is due.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use checkers::history::Time;

/// What is to happen, and when. What is due at the same nanosecond happens in the order in which it was
/// added.
pub(super) struct Agenda<T> {
    /// Small, because a heap moves what it holds. The first is the next.
    keys: BinaryHeap<Reverse<Key>>,
    entries: Vec<Entry<T>>,
    /// Places in `entries` that are free.
    free: Vec<u32>,
    added: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    at: Time,
    number: u64,
    place: u32,
}

struct Entry<T> {
    /// Whose place it is: keys of what was taken back before stay in the heap.
    number: u64,
    what: Option<T>,
}

/// Something that was added, for whoever may take it back.
#[derive(Clone, Copy)]
pub(super) struct Ticket {
    number: u64,
    place: u32,
}

impl<T> Agenda<T> {
    pub(super) fn new() -> Agenda<T> {
        Agenda { keys: BinaryHeap::new(), entries: Vec::new(), free: Vec::new(), added: 0 }
    }

    /// Adds what is to happen at some time.
    pub(super) fn add(&mut self, at: Time, what: T) -> Ticket {
        self.added += 1;
        let number = self.added;
        let entry = Entry { number, what: Some(what) };
        let place = match self.free.pop() {
            Some(place) => {
                self.entries[place as usize] = entry;
                place
            }
            None => {
                self.entries.push(entry);
                (self.entries.len() - 1) as u32
            }
        };
        self.keys.push(Reverse(Key { at, number, place }));
        Ticket { number, place }
    }

    /// What was added, unless it has happened or was taken back.
    pub(super) fn get_mut(&mut self, ticket: Ticket) -> Option<&mut T> {
        let entry = &mut self.entries[ticket.place as usize];
        if entry.number == ticket.number { entry.what.as_mut() } else { None }
    }

    /// Takes back what was added, unless it has happened.
    pub(super) fn take(&mut self, ticket: Ticket) -> Option<T> {
        let entry = &mut self.entries[ticket.place as usize];
        let taken = entry.what.take_if(|_| entry.number == ticket.number);
        if taken.is_some() {
            self.free.push(ticket.place);
        }
        taken
    }

    /// When something is due next.
    pub(super) fn next(&mut self) -> Option<Time> {
        while let Some(Reverse(Key { at, number, place })) = self.keys.peek().copied() {
            if self.get_mut(Ticket { number, place }).is_some() {
                return Some(at);
            }
            self.keys.pop();
        }
        None
    }

    /// The first of what is due by some time.
    pub(super) fn take_due(&mut self, by: Time) -> Option<T> {
        if self.next()? > by {
            return None;
        }
        let Reverse(Key { number, place, .. }) = self.keys.pop()?;
        self.take(Ticket { number, place })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(nanos: u64) -> Time {
        Time::from_nanos(nanos)
    }

    #[test]
    fn what_is_due_comes_by_time_and_then_by_order() {
        let mut agenda = Agenda::new();
        for (nanos, what) in [(3, "c"), (1, "a"), (3, "d"), (2, "b")] {
            agenda.add(at(nanos), what);
        }
        assert_eq!(agenda.next(), Some(at(1)));
        assert_eq!(agenda.take_due(at(0)), None);
        let due: Vec<_> = std::iter::from_fn(|| agenda.take_due(at(9))).collect();
        assert_eq!(due, ["a", "b", "c", "d"]);
        assert_eq!(agenda.next(), None);
    }

    #[test]
    fn what_was_taken_back_does_not_happen_and_is_not_what_took_its_place() {
        let mut agenda = Agenda::new();
        let first = agenda.add(at(1), "first");
        assert_eq!(agenda.take(first), Some("first"));
        let second = agenda.add(at(5), "second");
        assert_eq!((agenda.take(first), agenda.get_mut(first)), (None, None));
        assert_eq!(agenda.next(), Some(at(5)), "the key of the first is still there");
        assert_eq!(agenda.get_mut(second), Some(&mut "second"));
        assert_eq!(agenda.take_due(at(5)), Some("second"));
        assert_eq!(agenda.take(second), None);
    }
}
