//! The disk of a node: a file system in memory of limited size, which a fault fills.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

use checkers::history::NodeId;

use super::network::tool;
use super::site::Site;

/// How much fits. etcd sets 64 MiB aside for each of two segments of its log.
const SIZE: &str = "size=256m";
/// The file that fills a disk.
const BALLAST: &str = "ballast";

/// Makes the disk of a node.
///
/// # Errors
/// Where it cannot be mounted.
pub(super) fn make(site: &Site, node: NodeId) -> io::Result<()> {
    let disk = site.disk(node);
    fs::create_dir(&disk)?;
    let place = disk.display().to_string();
    tool("mount", &["-t", "tmpfs", "-o", SIZE, "stormglass", &place]).map(drop)
}

/// Lets nothing more fit on a disk.
///
/// # Errors
/// Where it fails for another reason than that nothing more fits.
pub(super) fn fill(disk: &Path) -> io::Result<()> {
    let mut ballast = File::create(disk.join(BALLAST))?;
    let chunk = vec![0; 1 << 20];
    // A write that fits in part is cut off, and the next one fails.
    loop {
        match ballast.write(&chunk) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::StorageFull => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}

/// Makes room again.
///
/// # Errors
/// Where the ballast cannot be removed.
pub(super) fn free(disk: &Path) -> io::Result<()> {
    fs::remove_file(disk.join(BALLAST))
}
