//! What all nodes of a cluster have the same, and what the folder of a node says of it.
//!
//! A folder has a file `owner` of two lines. The first says which node it belongs to, in which mode, and with
//! which of the settings that never change; the second, with which nodes the cluster began. Both are compared
//! with the flags of every later start. What breaks without the second: one of three nodes that is started
//! again with itself alone in `--peers` takes itself for a majority, and answers while the other two go on.
//!
//! Who was let in and let go later is in the log, and addresses are nobody's business but the flags'. A file `joins`
//! says of a folder that its node was told to join when it was empty.

use std::fmt;
use std::io;

use clap::ValueEnum;

use super::RealDisk;
use crate::env::{Disk, NodeId};
use crate::mode::Mode;
use crate::protocol::multi_leader::topology::Regions;
use crate::protocol::{leaderless, multi_leader};
use crate::storage::{self, StorageError};

/// The file that says whose folder it is.
const OWNER: &str = "owner";
/// What its second line begins with.
const BEGUN: &str = "begun by nodes ";
/// The file that says that the folder was empty when its node was told to join.
const JOINS: &str = "joins";

/// What all nodes of a cluster have the same, from its beginning on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Charter {
    /// The mode, and those of its settings that never change.
    layout: String,
    /// The nodes that the cluster begins with, in order.
    founders: Vec<NodeId>,
    /// Where there are regions: which ones the founders are in, and that of the node itself.
    regions: Option<(String, String)>,
}

/// Why a folder is not used as the flags want it.
#[derive(Debug, thiserror::Error)]
pub enum OwnError {
    /// It is another node's, or of another cluster, or it is not known whose. The text says what it is, and what
    /// would have worked.
    #[error("{0}")]
    Another(String),
    /// It cannot be read or written to.
    #[error("the data folder cannot be used")]
    Folder(#[from] io::Error),
    /// It has lost the log that it had.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl Charter {
    /// What the flags of a node say: it is one of `nodes`, and the cluster does not begin with `spares`.
    ///
    /// # Panics
    /// Where there are regions and `id` is none of the nodes.
    pub fn new(
        (id, nodes, spares): (NodeId, &[NodeId], &[NodeId]),
        mode: Mode,
        leaderless: leaderless::Settings,
        multi_leader: multi_leader::Settings,
    ) -> Charter {
        let founders: Vec<NodeId> =
            nodes.iter().copied().filter(|node| !spares.contains(node)).collect();
        let (layout, regions) = match mode {
            Mode::Raft | Mode::PrimarySync | Mode::PrimarySemiSync | Mode::PrimaryAsync => {
                (format!("mode {mode}"), None)
            }
            Mode::MultiLeader => {
                let multi_leader::Settings { regions: count, topology, conflicts } = multi_leader;
                let (topology_name, conflicts) = (name_of(topology), name_of(conflicts));
                let regions = Regions::new(id, nodes, count, topology);
                let of = |node: &NodeId| regions.of(*node).map_or(0, |region| region.0 + 1);
                let own = of(&id).to_string();
                let all = list(founders.iter().map(of));
                let all = format!("{all} of {}", regions.all().count());
                (
                    format!("mode {mode} with {count} regions, {topology_name}, {conflicts}"),
                    Some((all, own)),
                )
            }
            Mode::Leaderless | Mode::LeaderlessAbd => {
                let siblings = match leaderless.conflicts {
                    leaderless::siblings::Conflicts::Lww => "",
                    leaderless::siblings::Conflicts::Siblings => ", siblings",
                };
                let replicas = leaderless.replicas;
                (format!("mode {mode} with {replicas} replicas of each key{siblings}"), None)
            }
        };
        Charter { layout, founders, regions }
    }

    /// The nodes that the cluster begins with, in order.
    pub fn founders(&self) -> &[NodeId] {
        &self.founders
    }

    /// Whether there is nothing in a folder.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub async fn is_new(disk: &RealDisk) -> Result<bool, OwnError> {
        Ok(disk.list().await?.is_empty())
    }

    /// Whether a node is to get from others what its log has not, should that be empty: it is told so `now`, or was when
    /// its folder was. A node that was told once, and lost its power before it had kept anything, would otherwise be
    /// taken for whole by a start without the flag.
    ///
    /// # Errors
    /// Where the folder cannot be used.
    pub async fn joins(disk: &RealDisk, now: bool) -> Result<bool, OwnError> {
        if now && Charter::is_new(disk).await? {
            disk.append(JOINS, &[]).await?;
            disk.sync(JOINS).await?;
            disk.sync_dir().await?;
        }
        Ok(now || disk.list().await?.iter().any(|file| file == JOINS))
    }

    /// Sees to it that a folder is used by one node of one cluster only, whatever the flags say later. Who it
    /// belongs to is written after a log was begun in it, so that a folder that belongs to somebody and has
    /// none has lost it.
    ///
    /// # Errors
    /// Where it belongs to another one, or cannot be used.
    pub async fn own(&self, id: NodeId, disk: &RealDisk) -> Result<(), OwnError> {
        let held = match disk.read(OWNER).await {
            Ok(held) => String::from_utf8_lossy(&held).into_owned(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error.into()),
        };
        let owner = format!("node {} in {}\n", id.0, self.layout);
        let begun = self.begun();
        if let Some(held) = held.strip_prefix(&owner) {
            storage::has_log(disk).await?;
            match held.strip_suffix('\n') {
                Some(held) if held == begun => return Ok(()),
                Some(held) => return Err(OwnError::Another(self.differs_from(held, &begun))),
                None if storage::is_used(disk).await? => {
                    let what = if held.is_empty() { "is missing" } else { "has no end" };
                    return Err(OwnError::Another(format!(
                        "the data folder is in use, but the second line of its file `{OWNER}` {what}: make it \
                         `{BEGUN}…`, with all that the cluster began with; the flags say `{begun}`"
                    )));
                }
                // The power was lost while it was written, before anything else was.
                None => {}
            }
        } else if owner.starts_with(&held) && storage::is_used(disk).await? {
            let what = if held.is_empty() { "is empty or missing" } else { "was cut off" };
            return Err(OwnError::Another(format!(
                "the data folder is in use, but its file `{OWNER}`, which says by whom, {what}: if it was this node, \
                 make `{}` the first line of it; or use an empty folder and --join, where other nodes have what \
                 is to be there",
                owner.trim_end()
            )));
        } else if owner.starts_with(&held) {
            // The power may have been lost while it was written, before anything else was.
            storage::begin(disk).await.map_err(|error| match error {
                StorageError::Disk(error) => OwnError::Folder(error),
                damaged @ StorageError::Damaged { .. } => OwnError::Storage(damaged),
            })?;
        } else {
            let held = held.lines().collect::<Vec<_>>().join(", ");
            return Err(OwnError::Another(format!(
                "the data folder belongs to {held}: start that one with it, or use another folder; \
                 the flags are those of {}, {begun}",
                owner.trim_end()
            )));
        }
        // What was written of a last line with the power lost may be longer than what is written now.
        let end = held.len().min(owner.len()) as u64;
        disk.write_at(OWNER, end, &owner.as_bytes()[end as usize..]).await?;
        disk.truncate(OWNER, owner.len() as u64).await?;
        disk.append(OWNER, format!("{begun}\n").as_bytes()).await?;
        disk.sync(OWNER).await?;
        Ok(disk.sync_dir().await?)
    }

    /// The second line of the file.
    fn begun(&self) -> String {
        let founders = ids(&self.founders);
        match &self.regions {
            None => format!("{BEGUN}{founders}"),
            Some((all, own)) => format!("{BEGUN}{founders} in regions {all}; this one in {own}"),
        }
    }

    /// Says what a folder holds that was begun otherwise, and what would have worked.
    fn differs_from(&self, held: &str, begun: &str) -> String {
        let numbers = held.strip_prefix(BEGUN).unwrap_or_default();
        let numbers = numbers.split(" in regions ").next().unwrap_or_default();
        let first: Vec<NodeId> =
            numbers.split(", ").filter_map(|number| number.parse().ok().map(NodeId)).collect();
        let without = |these: &[NodeId], those: &[NodeId]| {
            these.iter().copied().filter(|node| !those.contains(node)).collect::<Vec<_>>()
        };
        let (lacking, more) = (without(&first, &self.founders), without(&self.founders, &first));
        let mut would = Vec::new();
        if !lacking.is_empty() {
            would.push(format!(
                "list {} in --peers as well, also those that were let go since, and not in --spare",
                ids(&lacking)
            ));
        }
        if !more.is_empty() {
            would.push(format!(
                "name {} in --spare as well, whether they were let in since or are to be",
                ids(&more)
            ));
        }
        if would.is_empty() {
            would
                .push("give nodes that come later greater numbers than all others have".to_owned());
        }
        let would = would.join(", and ");
        format!(
            "the data folder is of a cluster that was {held}, and --peers without --spare says `{begun}`: \
             {would}; or use another folder"
        )
    }
}

impl fmt::Display for Charter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {BEGUN}{}", self.layout, ids(&self.founders))?;
        self.regions.iter().try_for_each(|(all, _)| write!(f, " in regions {all}"))
    }
}

fn ids(nodes: &[NodeId]) -> String {
    list(nodes.iter().map(|node| node.0))
}

fn list(items: impl Iterator<Item = impl ToString>) -> String {
    items.map(|item| item.to_string()).collect::<Vec<_>>().join(", ")
}

/// What a choice is called on the command line.
fn name_of(choice: impl ValueEnum) -> String {
    let value = choice.to_possible_value().expect("no choice is hidden");
    value.get_name().to_owned()
}
