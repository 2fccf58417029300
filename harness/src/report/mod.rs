//! What people and other programs are shown. Everything here makes text; only [`crate::cli`] prints.

pub(crate) mod brief;
pub(crate) mod corpus;
pub mod escape;
pub mod guarantees;
pub mod html;
pub mod json;
pub mod junit;
pub mod markdown;
pub mod matrix;
pub mod perfetto;
pub mod run;
pub mod rust_test;
pub mod shiviz;
pub(crate) mod shrink;
pub mod summary;
pub mod timeline;
pub mod tradeoffs;
pub mod triage;
