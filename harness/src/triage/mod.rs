//! Which failures are one and the same, and which of them are new.
//!
//! A [`Signature`] says what a failure is, without the numbers that differ from seed to seed. A campaign puts
//! its failures together by it ([`group()`]), [shrinks](Group::shrink) one of each, and keeps what there was
//! in a [`Ledger`], which the next one is [compared](Comparison) with.

mod compare;
mod group;
mod ledger;
mod signature;

pub use compare::{Change, Compared, Comparison, PlanDifference};
pub use group::{Group, Shrinking, ShrinkingError, ShrunkTo, group, of_run};
pub use ledger::{Entry, FORMAT, Ledger, LedgerError, Ran, State};
pub use signature::{Kind, Shape, Signature};
