//! The integration tests: one module a topic.

#![expect(clippy::unwrap_used, reason = "a helper of a test may panic wherever a test may")]

mod charter;
mod cli;
mod client;
mod counting;
mod kill_nine;
mod kv;
mod layouts;
mod leaderless;
mod memory_disk;
mod merge;
mod model;
mod multi_leader;
mod multi_leader_random;
mod multi_leader_restore;
mod ports;
mod primary_async;
mod primary_cluster;
mod primary_members;
mod primary_semi_sync;
mod primary_sync;
mod raft;
mod raft_cluster;
mod raft_random;
mod raft_reads;
mod real;
mod restore;
mod server;
mod siblings;
mod storage;
