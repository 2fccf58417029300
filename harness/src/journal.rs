//! A file of records on the simulated disk, for stores and adapters that keep a log.
//!
//! What was appended lasts once it was synced. What a power loss has torn was not, and is cut off when the
//! journal is opened again.

use std::cell::Cell;
use std::io;

use crate::sim::Disk;

/// The bytes before each record: its length, and the beginning of its hash.
const HEAD_BYTES: usize = 12;

/// See the module.
pub struct Journal {
    disk: Disk,
    file: String,
    /// Whether the name of the file may be gone after a power loss.
    is_new: Cell<bool>,
}

impl Journal {
    /// Opens a journal, or makes it where there is none; returns its records, which last from now on.
    ///
    /// They are synced before anybody acts on them: a node that was killed finds what it had not synced, tells
    /// others of it, and would not have it any more after the next power loss. So is the cut: without it,
    /// what stood behind a torn record could come back behind the next one that is written there.
    ///
    /// # Errors
    /// As the disk's.
    pub async fn open(disk: &Disk, file: &str) -> io::Result<(Journal, Vec<Vec<u8>>)> {
        disk.append(file, &[])?;
        let (records, whole) = whole_records(&disk.read(file)?);
        disk.truncate(file, whole as u64)?;
        let journal =
            Journal { disk: disk.clone(), file: file.to_owned(), is_new: Cell::new(true) };
        journal.sync().await?;
        Ok((journal, records))
    }

    /// Adds a record. It is not sure to last before the next [`sync`](Journal::sync).
    ///
    /// # Errors
    /// As the disk's.
    pub fn append(&self, record: &[u8]) -> io::Result<()> {
        self.disk.append(&self.file, &framed(record))
    }

    /// Makes what was appended so far last.
    ///
    /// # Errors
    /// As the disk's.
    pub async fn sync(&self) -> io::Result<()> {
        self.disk.sync(&self.file).await?;
        if self.is_new.get() {
            self.disk.sync_dir().await?;
            self.is_new.set(false);
        }
        Ok(())
    }

    /// Puts other records in the place of all; they last when it returns. Whenever the power fails meanwhile,
    /// either the old records are there or the new ones. Nothing may be appended or replaced in the meantime.
    ///
    /// # Errors
    /// As the disk's.
    pub async fn replace(&self, records: &[Vec<u8>]) -> io::Result<()> {
        let beside = format!("{}.new", self.file);
        let framed: Vec<u8> = records.iter().flat_map(|record| framed(record)).collect();
        self.disk.append(&beside, &[])?;
        self.disk.truncate(&beside, 0)?;
        self.disk.append(&beside, &framed)?;
        self.disk.sync(&beside).await?;
        self.disk.rename(&beside, &self.file)?;
        self.disk.sync_dir().await?;
        self.is_new.set(false);
        Ok(())
    }
}

fn framed(record: &[u8]) -> Vec<u8> {
    let len = u32::try_from(record.len()).expect("records are below 4 GiB");
    [&len.to_le_bytes()[..], &mark_of(record), record].concat()
}

fn mark_of(record: &[u8]) -> [u8; 8] {
    let hash = blake3::hash(record);
    *hash.as_bytes().first_chunk().expect("a hash has 32 bytes")
}

/// The records up to the first that is not whole, and how many bytes they are.
fn whole_records(content: &[u8]) -> (Vec<Vec<u8>>, usize) {
    let (mut records, mut whole) = (Vec::new(), 0);
    while let Some((head, rest)) = content[whole..].split_first_chunk::<HEAD_BYTES>() {
        let (len, mark) = head.split_first_chunk().expect("a head begins with a length");
        let Some(record) = rest.get(..u32::from_le_bytes(*len) as usize) else { break };
        if mark != mark_of(record) {
            break;
        }
        records.push(record.to_vec());
        whole += HEAD_BYTES + record.len();
    }
    (records, whole)
}
