//! Sequential specifications: what an object does when it is used by one client at a time.
