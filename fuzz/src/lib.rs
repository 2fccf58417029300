//! What the fuzz targets do with an input. `readers.rs` is also compiled into the tests of the
//! checkers, which replay the committed corpus with it.

pub mod readers;
