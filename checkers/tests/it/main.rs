//! Tests of the checkers: they judge the judges.
#![expect(clippy::unwrap_used, reason = "the helpers of tests are tests, too")]

mod linearizable;
mod notation;
mod oracle;
