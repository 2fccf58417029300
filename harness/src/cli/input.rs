//! Opening the files that histories are read from.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

use anyhow::{Context as _, bail};

/// What some editors put at the beginning of a text in UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
/// What gzip puts at the beginning of a file.
const GZIP: &[u8] = b"\x1f\x8b";

/// Opens a file with a history, or the standard input for `-`.
///
/// # Errors
/// Where it cannot be read, and where it is plainly no history: a folder, nothing, a packed file.
pub(super) fn open(path: &Path) -> anyhow::Result<Box<dyn BufRead>> {
    let name = path.display();
    if path.is_dir() {
        bail!("{name} is a folder; name the files in it, such as {name}/history.jsonl");
    }
    let mut reader: Box<dyn BufRead> = if path == Path::new("-") {
        Box::new(io::stdin().lock())
    } else {
        let file = File::open(path).with_context(|| format!("cannot read {name}"))?;
        Box::new(BufReader::with_capacity(1 << 16, file))
    };
    let start = reader.fill_buf().with_context(|| format!("cannot read {name}"))?;
    if start.is_empty() {
        bail!("{name} is empty: there is no history in it");
    }
    if start.starts_with(GZIP) {
        bail!("{name} is packed with gzip; unpack it: gzip -dc {name} | stormglass check -");
    }
    if start.starts_with(BYTE_ORDER_MARK) {
        reader.consume(BYTE_ORDER_MARK.len());
    }
    Ok(reader)
}
