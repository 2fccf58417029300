//! The reference store as a system under test.

use super::System;

pub(super) fn raft() -> Box<dyn System> {
    unreachable!("filled in by the next commit")
}

pub(super) fn primary_async() -> Box<dyn System> {
    unreachable!("filled in by the next commit")
}
