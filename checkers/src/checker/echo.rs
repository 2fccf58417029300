//! Echoes: what is answered is what was asked.

use super::Checker;
use super::findings::Findings;
use super::words::told;
use crate::history::{History, Op};
use crate::verdict::{Guarantee, Verdict};

/// See the module.
#[derive(Clone, Copy, Debug)]
pub struct Echo;

impl Checker for Echo {
    fn check(&self, history: &History) -> Verdict {
        let mut found = Findings::new(history, Guarantee::Echo, "each answer by itself", 0);
        for operation in history.operations() {
            let (Op::Echo { value, .. }, Some(answer)) = (operation.op, operation.value_read())
            else {
                continue;
            };
            found.coverage.operations += 1;
            found.coverage.keys = 1;
            if answer != value {
                let (asked, answer) = (told(history, value), told(history, answer));
                let conclusion = format!("{answer} is no echo of {asked}");
                found.add("wrong-echo", &[operation.id], conclusion);
            }
        }
        found.into_verdict("no echo was answered")
    }
}
