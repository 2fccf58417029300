//! What is asked of a key: kinds of operations, each a bit.

use super::OpKind;

/// Some kinds of operations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Kinds(u32);

impl Kinds {
    pub(crate) fn of(kinds: &[OpKind]) -> Kinds {
        kinds.iter().fold(Kinds::default(), |all, kind| all.with(*kind))
    }

    #[must_use]
    pub(crate) fn with(self, kind: OpKind) -> Kinds {
        Kinds(self.0 | 1 << kind as u16)
    }

    pub(crate) fn contains(self, kind: OpKind) -> bool {
        self.with(kind) == self
    }

    pub(crate) fn are_in(self, others: Kinds) -> bool {
        self.0 & !others.0 == 0
    }

    pub(crate) fn names(self) -> String {
        let mine = OpKind::ALL.into_iter().filter(|kind| self.contains(*kind));
        mine.map(OpKind::name).collect::<Vec<_>>().join(", ")
    }
}
