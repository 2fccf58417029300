//! Where things are in the namespaces of a run.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use checkers::history::NodeId;

/// The programs that a run starts, by their names.
pub(crate) type Programs = BTreeMap<&'static str, PathBuf>;

/// The folder of a run, on a disk in memory that only its namespaces see.
pub(super) const FOLDER: &str = "/run/stormglass";

/// The addresses, folders and programs of a run.
#[derive(Clone, Debug)]
pub(crate) struct Site {
    /// How many nodes there are.
    pub(crate) nodes: u32,
    /// What is started.
    pub(crate) programs: Programs,
}

impl Site {
    /// Where the clients are. No other network can clash with it: the namespaces of the run have none.
    pub(super) const CLIENTS: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 100);

    /// All nodes, in order.
    pub(crate) fn all(&self) -> impl Iterator<Item = NodeId> + use<> {
        (1..=self.nodes).map(NodeId)
    }

    /// The address of a node.
    pub(crate) fn address(&self, node: NodeId) -> Ipv4Addr {
        let last = u8::try_from(node.0).expect("a cluster has 9 nodes at most");
        Ipv4Addr::new(10, 77, 0, last)
    }

    /// The disk of a node.
    pub(crate) fn disk(&self, node: NodeId) -> PathBuf {
        Path::new(FOLDER).join(format!("n{node}"))
    }

    /// What a node says to its standard output and error. It is on no disk that a fault fills.
    pub(crate) fn log(&self, node: NodeId) -> PathBuf {
        Path::new(FOLDER).join(format!("n{node}.log"))
    }
}
