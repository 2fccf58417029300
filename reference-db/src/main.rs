//! The reference store as a real server.
fn main() {}
