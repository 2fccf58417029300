//! Which nodes hold which keys: a ring of segments, one for each node.
//!
//! DeCandia et al., "Dynamo: Amazon's Highly Available Key-value Store" (2007), section 4.2. The
//! members are fixed, so each node owns one segment and no virtual nodes are needed to spread them.

use crate::env::NodeId;

/// Who holds what.
#[derive(Clone, Debug)]
pub struct Ring {
    nodes: Vec<NodeId>,
    replicas: usize,
}

impl Ring {
    /// A ring of all members, in order, where each key is held by so many of them, or by all.
    ///
    /// # Panics
    /// Without members or replicas.
    pub fn new(nodes: Vec<NodeId>, replicas: usize) -> Ring {
        assert!(!nodes.is_empty() && replicas > 0, "somebody must hold each key");
        let replicas = replicas.min(nodes.len());
        Ring { nodes, replicas }
    }

    /// How many segments there are.
    pub fn segments(&self) -> usize {
        self.nodes.len()
    }

    /// The segment of a key, given the hash of the key.
    pub fn segment(&self, hash: u64) -> usize {
        (hash % self.nodes.len() as u64) as usize
    }

    /// The nodes that hold a segment, in order.
    pub fn replicas(&self, segment: usize) -> impl Iterator<Item = NodeId> + '_ {
        self.around(segment).take(self.replicas)
    }

    /// The nodes that do not, in the order in which they stand in for those.
    pub fn stand_ins(&self, segment: usize) -> impl Iterator<Item = NodeId> + '_ {
        self.around(segment).skip(self.replicas)
    }

    /// Whether a node holds a segment.
    pub fn holds(&self, node: NodeId, segment: usize) -> bool {
        self.replicas(segment).any(|replica| replica == node)
    }

    fn around(&self, segment: usize) -> impl Iterator<Item = NodeId> + '_ {
        self.nodes.iter().cycle().skip(segment).take(self.nodes.len()).copied()
    }
}
