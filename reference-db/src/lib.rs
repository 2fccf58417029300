//! A replicated key-value store, written to be tested: one mode for each kind of replication.
//!
//! Start with [`protocol`]: state machines without I/O, a folder a mode. [`server`] is the shell
//! that gives such a machine messages, timers and a disk; [`client`] is the library that its
//! clients use. Both see the world only through [`env`](mod@env). [`storage`] keeps what a protocol
//! persists; [`mark`] names the rare states that they get into; [`kv`] is the state that is replicated; [`merge`] has states that replicas change apart
//! and put together again; [`wire`] turns all of it into bytes; [`mode`] names the modes; [`real`] is
//! the world of sockets, files and clocks, which the binary runs in.

pub mod client;
pub mod env;
pub mod kv;
pub mod mark;
pub mod merge;
pub mod mode;
mod names;
pub mod protocol;
pub mod real;
pub mod server;
pub mod storage;
pub mod wire;
