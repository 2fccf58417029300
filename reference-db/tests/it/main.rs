//! The integration tests: one module a topic.

mod kv;
mod primary_async;
mod raft;
mod raft_cluster;
mod raft_random;
