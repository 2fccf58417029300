//! The sentences in which transactions on lists are explained, as Elle does: one for each
//! transaction, and one for each reason why one comes before the next.

use super::Txns;
use super::brief;
use super::cycles::Cycle;
use super::graph::Kinds;
use super::versions::{Append, Versions};

/// What each transaction did, with a number to call it by: `T1: process 0 did ...`.
pub(super) fn introduce(txns: &Txns<'_>, numbers: &[u32]) -> Vec<String> {
    let one = |(index, number): (usize, &u32)| {
        format!("T{}: {}", index + 1, txns.sentence(&txns.list()[*number as usize]))
    };
    numbers.iter().enumerate().map(one).collect()
}

/// The transactions that prove that a cycle is one, and why: those of the cycle first, then those whose
/// reads show in which order the lists were appended to.
pub(super) fn explain(versions: &Versions<'_>, cycle: &Cycle) -> (Vec<u32>, Vec<String>) {
    let mut numbers: Vec<u32> = cycle.steps.iter().map(|(txn, _, _)| *txn).collect();
    let mut reasons = Vec::new();
    for (index, (_, kind, about)) in cycle.steps.iter().enumerate() {
        let from = format!("T{}", index + 1);
        let to = format!("T{}", (index + 1) % cycle.steps.len() + 1);
        let mut reason = reason(versions, &from, &to, *kind, *about);
        if *kind == Kinds::WW {
            let reader = versions.reader_of_order(*about, &numbers);
            let place = numbers.iter().position(|number| *number == reader);
            let place = place.unwrap_or(numbers.len());
            if place == numbers.len() {
                numbers.push(reader);
            }
            reason += &format!(", as T{} read", place + 1);
            let append = versions.appends[*about as usize];
            if append.place().is_none() {
                // A list only grows: what it had not yet, comes later.
                let key = versions.txns.key(append.key);
                reason += &format!(" {key} without {}", brief(append.value));
            }
        }
        reasons.push(format!("{from} comes before {to}: {reason}"));
    }
    let mut sentences = introduce(versions.txns, &numbers);
    sentences.extend(reasons);
    // The last sentence is also a headline, where nothing has said yet who they are.
    let named = |index: usize| {
        let txn = &versions.txns.list()[cycle.steps[index].0 as usize];
        let process = versions.txns.operation(txn).process;
        format!("T{} (process {process})", index + 1)
    };
    let between: String = (1..cycle.steps.len()).map(|index| named(index) + " before ").collect();
    let first = named(0);
    sentences.push(format!("so {first} would have to come before itself: T1 before {between}T1"));
    (numbers, sentences)
}

fn reason(versions: &Versions<'_>, from: &str, to: &str, kind: Kinds, about: u32) -> String {
    if kind == Kinds::REALTIME {
        return format!("{from} ended before {to} began");
    }
    if kind == Kinds::SESSION {
        return format!("{from} ended before {to} began in the same session");
    }
    let append = versions.appends[about as usize];
    let (value, key) = (brief(append.value), versions.txns.key(append.key));
    if kind == Kinds::WR {
        format!("{to} observed {from}'s append of {value} to {key}")
    } else if kind == Kinds::RW {
        format!("{from} did not observe {to}'s append of {value} to {key}")
    } else {
        match before(versions, &append) {
            Some(earlier) => {
                format!("{to} appended {value} to {key} after {from} appended {earlier}")
            }
            None => format!("{to} appended {value} to {key} later than {from}"),
        }
    }
}

/// What was appended before; for an append that nobody read, the last one that somebody did.
fn before(versions: &Versions<'_>, append: &Append<'_>) -> Option<String> {
    let order = &versions.lists[append.key as usize].order;
    let length = append.place().unwrap_or(order.len());
    let earlier = order[..length].last().copied().flatten()?;
    Some(brief(versions.appends[earlier as usize].value))
}
