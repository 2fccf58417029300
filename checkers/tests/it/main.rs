//! The judges, judged.

#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it says")]

mod blind;
mod causal;
mod collections;
mod corpus;
mod foreign;
mod formats;
mod guarantees;
mod linearizable;
mod linearization;
mod logs;
mod long_values;
mod models;
mod notation;
mod objects;
mod oracle;
mod proofs;
mod reading;
mod recovery;
mod search;
mod sentences;
mod sessions;
mod staleness;
mod stream;
mod told;
mod txn;
