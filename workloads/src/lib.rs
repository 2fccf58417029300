//! What clients do to a store under test, and which checkers judge it.
