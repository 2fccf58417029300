//! What a protocol persists, kept on a disk: a snapshot, and the records after it.
//!
//! Two files belong together: `snapshot-N` and the `log-N` that follows it; `log-0` follows
//! nothing. A new snapshot is written as `snapshot.new` and synced, an empty `log-N+1` is made and
//! synced, the snapshot gets its name `snapshot-N+1`, and the folder is synced. Only then are the
//! old two removed. A power loss at any point leaves a pair to go on from:
//!
//! - before the folder is synced, the old pair is whole: nothing of it was touched. If the new name
//!   happens to have survived, so has the new snapshot's content, which was synced before; its log
//!   is empty, because nothing is added to it before the folder is synced, and a log that is
//!   missing is an empty one while the old log is there;
//! - after that, the new pair is whole, and what is left of the old one is removed at the next
//!   start. A log that is missing then, or cut to nothing, was lost by the disk.
//!
//! A record is a frame: its length, a checksum, how much of the file was durable when it was
//! written, and the record. Where the log ends in something that is no frame, a power loss tore the
//! last, unsynced write, and the rest is cut off. But if a later frame says that the damaged place
//! was durable before, then the disk lost what it had promised to keep, and the node must not go on
//! as if it had never been there.
//!
//! The last records have no later one. So after every sync a mark is written, a frame without a record, which
//! says how much is durable now. Nobody waits for it: a power loss may take it, with the knowledge
//! whether a damaged end is a torn one. But where bits flip and the power stays, it is there, and what
//! would look torn is known to be damaged (Alagappan et al., Protocol-Aware Recovery, FAST 2018).

use std::io;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::env::Disk;
use crate::protocol::Recovered;
use crate::wire;

/// The first bytes of a log; the last of them is the version.
const LOG_MAGIC: &[u8; 8] = b"sglog\0\0\x02";
/// The first bytes of a snapshot; the last of them is the version.
const SNAPSHOT_MAGIC: &[u8; 8] = b"sgsnap\0\x01";
/// Length, checksum, and how much of the file was durable.
const FRAME_HEADER: usize = 4 + 4 + 8;
const NEW_SNAPSHOT: &str = "snapshot.new";
/// The log that follows nothing.
const FIRST_LOG: &str = "log-0";

/// Why what is on the disk cannot be used, or nothing can be added to it.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// The disk failed. After that nothing is known about what was written last: the node must
    /// stop, and find out at its next start.
    #[error("the disk failed")]
    Disk(#[from] io::Error),
    /// A file is damaged where it was known to be durable.
    #[error("{file} is damaged at byte {offset}: {what}; restore the node from its peers")]
    Damaged {
        /// The file.
        file: String,
        /// Where, in bytes.
        offset: usize,
        /// What is wrong there.
        what: &'static str,
    },
}

/// The durable state of a node.
#[derive(Debug)]
pub struct Storage<D> {
    disk: D,
    /// The number of the present pair of files.
    number: u64,
    log: String,
    /// How many bytes of the log are durable.
    durable: u64,
    /// How many bytes are in it.
    written: u64,
    /// Frames that are not written yet. Their headers are completed when they are.
    pending: Vec<u8>,
    /// Where in `pending` each frame begins.
    starts: Vec<usize>,
}

impl<D: Disk> Storage<D> {
    /// Reads what the disk holds.
    ///
    /// # Errors
    /// Where the disk fails, or a file is damaged in a way that no power loss explains.
    pub async fn open<S: DeserializeOwned, R: DeserializeOwned>(
        disk: D,
    ) -> Result<(Storage<D>, Recovered<S, R>), StorageError> {
        let files = disk.list().await?;
        let number = files.iter().filter_map(|file| number_of(file, "snapshot-")).max();
        let number = number.unwrap_or(0);
        let log = format!("log-{number}");
        let mut recovered = Recovered::default();
        if number > 0 {
            let file = format!("snapshot-{number}");
            recovered.snapshot = Some(open_snapshot(&file, &disk.read(&file).await?)?);
        }
        let mut storage = Storage {
            disk,
            number,
            log,
            durable: 0,
            written: 0,
            pending: Vec::new(),
            starts: Vec::new(),
        };
        // Where the process was killed but not the machine, the names that are seen here need not be durable yet, and what is
        // decided by them would be decided otherwise after a power loss.
        storage.disk.sync_dir().await?;
        // While the log before is there, or none has ever been, this one may still be about to be made.
        let is_new = number.checked_sub(1).is_none_or(|old| files.contains(&format!("log-{old}")));
        if files.contains(&storage.log) {
            recovered.records = storage.open_log(is_new).await?;
        } else if is_new {
            storage.start_log().await?;
            storage.disk.sync_dir().await?;
        } else {
            return Err(storage.damaged(0, "it is missing"));
        }
        // The old pair must not go before the new one has come to stay.
        storage.remove_all_but_current(&files).await?;
        Ok((storage, recovered))
    }

    /// Adds a record. It is durable only after the next [`Storage::sync`].
    pub fn append<R: Serialize>(&mut self, record: &R) {
        self.starts.push(self.pending.len());
        self.pending.extend_from_slice(&[0; FRAME_HEADER]);
        self.pending.extend_from_slice(&wire::encode(record));
    }

    /// Whether there is anything to sync.
    pub fn is_synced(&self) -> bool {
        self.pending.is_empty()
    }

    /// Makes all records added so far durable.
    ///
    /// # Errors
    /// Where the disk fails.
    pub async fn sync(&mut self) -> Result<(), StorageError> {
        if self.is_synced() {
            return Ok(());
        }
        let mut end = self.pending.len();
        for start in self.starts.drain(..).rev() {
            seal(&mut self.pending[start..end], self.durable);
            end = start;
        }
        self.disk.append(&self.log, &self.pending).await?;
        self.disk.sync(&self.log).await?;
        self.written += self.pending.len() as u64;
        self.pending.clear();
        self.mark().await
    }

    /// Writes down that all that is in the log is durable.
    async fn mark(&mut self) -> Result<(), StorageError> {
        self.durable = self.written;
        let mut mark = [0; FRAME_HEADER];
        seal(&mut mark, self.durable);
        self.disk.append(&self.log, &mark).await?;
        self.written += mark.len() as u64;
        Ok(())
    }

    /// Replaces all that was added before by a snapshot, which is durable afterwards.
    ///
    /// # Errors
    /// Where the disk fails.
    pub async fn snapshot<S: Serialize>(&mut self, snapshot: &S) -> Result<(), StorageError> {
        self.pending.clear();
        self.starts.clear();
        let old = (format!("snapshot-{}", self.number), std::mem::take(&mut self.log));
        self.number += 1;
        self.log = format!("log-{}", self.number);
        self.disk.append(NEW_SNAPSHOT, &seal_snapshot(snapshot)).await?;
        self.disk.sync(NEW_SNAPSHOT).await?;
        self.start_log().await?;
        self.disk.rename(NEW_SNAPSHOT, &format!("snapshot-{}", self.number)).await?;
        self.disk.sync_dir().await?;
        // The names come back if the power is lost before the folder is synced again; the next
        // start removes them.
        if self.number > 1 {
            self.disk.remove(&old.0).await?;
        }
        self.disk.remove(&old.1).await?;
        Ok(())
    }

    async fn start_log(&mut self) -> Result<(), StorageError> {
        self.disk.append(&self.log, LOG_MAGIC).await?;
        self.disk.sync(&self.log).await?;
        self.durable = LOG_MAGIC.len() as u64;
        self.written = self.durable;
        Ok(())
    }

    async fn remove_all_but_current(&self, files: &[String]) -> Result<(), StorageError> {
        let snapshot = format!("snapshot-{}", self.number);
        for file in files {
            let ours = file == NEW_SNAPSHOT
                || number_of(file, "snapshot-").is_some()
                || number_of(file, "log-").is_some();
            if ours && *file != snapshot && *file != self.log {
                self.disk.remove(file).await?;
            }
        }
        Ok(())
    }

    fn damaged(&self, offset: usize, what: &'static str) -> StorageError {
        StorageError::Damaged { file: self.log.clone(), offset, what }
    }

    /// Reads the log, of which the beginning may be missing where it `is_new`.
    async fn open_log<R: DeserializeOwned>(
        &mut self,
        is_new: bool,
    ) -> Result<Vec<R>, StorageError> {
        let content = self.disk.read(&self.log).await?;
        let Some(rest) = content.strip_prefix(LOG_MAGIC) else {
            if !LOG_MAGIC.starts_with(&content) {
                return Err(self.damaged(0, "it is no log of this version"));
            }
            if !is_new {
                return Err(self.damaged(0, "it was cut to nothing"));
            }
            // The power was lost while the log was made: nothing can have been added to it.
            self.disk.truncate(&self.log, 0).await?;
            self.start_log().await?;
            self.disk.sync_dir().await?;
            return Ok(Vec::new());
        };
        let mut records = Vec::new();
        let mut at = LOG_MAGIC.len();
        let mut left = rest;
        while let Some((payload, _)) = open_frame(left) {
            if !payload.is_empty() {
                let record = wire::decode(payload)
                    .map_err(|_| self.damaged(at, "a record of another version"))?;
                records.push(record);
            }
            at += FRAME_HEADER + payload.len();
            left = &content[at..];
        }
        if was_durable(left, at as u64) {
            return Err(self.damaged(at, "a record is missing that was durable"));
        }
        if !left.is_empty() {
            self.disk.truncate(&self.log, at as u64).await?;
        }
        // What a power loss happened to spare is durable only from now on.
        self.disk.sync(&self.log).await?;
        self.disk.sync_dir().await?;
        self.written = at as u64;
        self.mark().await?;
        Ok(records)
    }
}

/// Makes the first log on a disk that has none. Who notes, after that, that the disk is in use can hold it to
/// [`has_log`] from then on.
///
/// # Errors
/// Where the disk fails.
pub async fn begin(disk: &impl Disk) -> Result<(), StorageError> {
    match has_log(disk).await {
        Err(StorageError::Damaged { .. }) => {}
        known => return known,
    }
    if disk.list().await?.iter().any(|file| file == FIRST_LOG) {
        disk.truncate(FIRST_LOG, 0).await?;
    }
    disk.append(FIRST_LOG, LOG_MAGIC).await?;
    disk.sync(FIRST_LOG).await?;
    Ok(disk.sync_dir().await?)
}

/// Whether a disk holds anything, apart from the beginning of a first log.
///
/// # Errors
/// Where the disk fails.
pub async fn is_used(disk: &impl Disk) -> io::Result<bool> {
    let files = disk.list().await?;
    let is_later = |file: &String| {
        file != FIRST_LOG && ["snapshot-", "log-"].iter().any(|of| number_of(file, of).is_some())
    };
    if files.iter().any(is_later) {
        return Ok(true);
    }
    let begun = files.iter().any(|file| file == FIRST_LOG);
    Ok(begun && disk.read(FIRST_LOG).await?.len() > LOG_MAGIC.len())
}

/// Holds a disk that is known to be in use to the log that must be there: [`Storage::open`] takes a disk without
/// one for a new one.
///
/// # Errors
/// Where the disk fails, or has lost the log that it had.
pub async fn has_log(disk: &impl Disk) -> Result<(), StorageError> {
    let files = disk.list().await?;
    // A snapshot has a log of its own, without which it is not opened.
    if files.iter().any(|file| number_of(file, "snapshot-").is_some()) {
        return Ok(());
    }
    let what = if !files.iter().any(|file| file == FIRST_LOG) {
        "it is missing"
    } else if disk.read(FIRST_LOG).await?.len() < LOG_MAGIC.len() {
        "it was cut to nothing"
    } else {
        return Ok(());
    };
    Err(StorageError::Damaged { file: FIRST_LOG.to_owned(), offset: 0, what })
}

/// Whether a frame somewhere in `rest`, which begins at byte `offset` of the file, was written when
/// more than `offset` bytes were durable.
fn was_durable(rest: &[u8], offset: u64) -> bool {
    (1..rest.len())
        .any(|start| open_frame(&rest[start..]).is_some_and(|(_, durable)| durable > offset))
}

/// Completes the header of a frame.
fn seal(frame: &mut [u8], durable: u64) {
    let len = u32::try_from(frame.len() - FRAME_HEADER).expect("a record is shorter than 4 GiB");
    frame[..4].copy_from_slice(&len.to_le_bytes());
    frame[8..16].copy_from_slice(&durable.to_le_bytes());
    let checksum = crc32fast::hash(&frame[8..]);
    frame[4..8].copy_from_slice(&checksum.to_le_bytes());
}

/// The payload of the frame that `bytes` begins with, and how much was durable when it was written.
fn open_frame(bytes: &[u8]) -> Option<(&[u8], u64)> {
    let (len, rest) = bytes.split_first_chunk::<4>()?;
    let (checksum, rest) = rest.split_first_chunk::<4>()?;
    let len = u32::from_le_bytes(*len) as usize;
    let sealed = rest.get(..8 + len)?;
    let (durable, payload) = sealed.split_first_chunk::<8>()?;
    let whole = crc32fast::hash(sealed) == u32::from_le_bytes(*checksum);
    whole.then_some((payload, u64::from_le_bytes(*durable)))
}

fn seal_snapshot<S: Serialize>(snapshot: &S) -> Vec<u8> {
    let mut file = SNAPSHOT_MAGIC.to_vec();
    let payload = wire::encode(snapshot);
    file.extend_from_slice(&crc32fast::hash(&payload).to_le_bytes());
    file.extend_from_slice(&payload);
    file
}

fn open_snapshot<S: DeserializeOwned>(file: &str, content: &[u8]) -> Result<S, StorageError> {
    let damaged = |offset, what| StorageError::Damaged { file: file.to_owned(), offset, what };
    let rest = content
        .strip_prefix(SNAPSHOT_MAGIC)
        .ok_or_else(|| damaged(0, "it is no snapshot of this version"))?;
    let (checksum, payload) =
        rest.split_first_chunk::<4>().ok_or_else(|| damaged(8, "the checksum is missing"))?;
    if crc32fast::hash(payload) != u32::from_le_bytes(*checksum) {
        return Err(damaged(12, "the checksum differs"));
    }
    wire::decode(payload).map_err(|_| damaged(12, "a state of another version"))
}

fn number_of(file: &str, prefix: &str) -> Option<u64> {
    file.strip_prefix(prefix)?.parse().ok()
}
