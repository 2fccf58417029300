//! Addresses for real nodes.

use std::net::TcpListener;
use std::sync::atomic::{AtomicU16, Ordering};

/// Where the search begins; below the ports that systems give to outgoing connections, one of which
/// could take the place of a node that is down.
const FIRST: u16 = 10_000;
const COUNT: u16 = 20_000;

static TAKEN: AtomicU16 = AtomicU16::new(0);

/// An address that nothing listens on, and that no other test of this process is given.
pub(crate) fn free_address() -> String {
    // Another process that runs the same tests begins elsewhere.
    let offset = u16::try_from(std::process::id() * 101 % u32::from(COUNT)).unwrap();
    loop {
        let taken = TAKEN.fetch_add(1, Ordering::Relaxed);
        assert!(taken < COUNT, "every port is in use");
        let address = format!("127.0.0.1:{}", FIRST + (offset + taken) % COUNT);
        if TcpListener::bind(&address).is_ok() {
            return address;
        }
    }
}
