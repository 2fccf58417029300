//! Asynchronous single-leader replication: the primary does not wait.
