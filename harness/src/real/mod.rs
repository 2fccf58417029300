//! Real processes: servers as they are shipped, on a real network, in wall-clock time.
//!
//! The plan, the workloads, the schedule of faults and the checkers are those of every other run; what is stored reads
//! like every other run. What processes do between two faults is decided by an operating system, so that such a run
//! does not replay, and says so.
//!
//! A run lives in namespaces of its own ([`enclosure`]): of processes, mounts and networks, in one of users as well
//! where nobody is root. The program starts itself again in there, as the first process. Whatever ends that one, the
//! kernel ends all processes, and with the last of them the networks, the links, the rules and the disks are gone:
//! nothing is left that anybody would have to clean up, and the network of the machine is never touched.
//!
//! In there, each node has a network namespace, joined by a bridge ([`network`]), and a small disk in memory
//! ([`disk`]). The clients live beside the bridge. Links are cut by rules of `nft` on it, one table a fault, which also
//! counts what it drops.

mod disk;
pub(crate) mod enclosure;
mod network;
mod play;
pub(crate) mod probe;
mod process;
mod run;
mod site;
pub(crate) mod system;

pub(crate) use run::{Request, run};
pub(crate) use site::Programs;
