//! Consensus: the Raft protocol (Ongaro and Ousterhout 2014).
