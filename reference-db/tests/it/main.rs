//! The integration tests: one module a topic.

mod kv;
mod raft;
mod raft_cluster;
mod raft_random;
