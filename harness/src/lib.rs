//! Deterministic fault injection for replicated stores.
