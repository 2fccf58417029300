//! The world: scheduler, network, disk, clock.

/// A node's view of the world.
#[derive(Clone)]
pub struct NodeCx;

/// A client's view of the world.
pub struct ClientCx;

/// What a node reports of itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct NodeStatus;

/// What a node takes itself for.
#[derive(Clone, Copy, Debug, Default)]
pub enum Role {
    /// It follows.
    #[default]
    Follower,
}
