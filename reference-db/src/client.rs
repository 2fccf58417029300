//! The client library: sessions, retries, finding the leader.
