//! What people and other programs are shown. Everything here makes text; only [`crate::cli`] prints.

pub mod escape;
pub mod guarantees;
pub mod json;
pub mod junit;
pub mod markdown;
pub mod matrix;
pub mod run;
pub mod rust_test;
pub(crate) mod shrink;
pub mod summary;
pub mod timeline;
pub mod tradeoffs;
pub mod triage;
