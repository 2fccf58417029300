//! Checkers: one file a guarantee, or a family of them.
