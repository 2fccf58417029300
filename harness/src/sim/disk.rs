//! The simulated disk: one flat folder of files a node, with what was synced kept apart from what
//! was not.
//!
//! Files are known by identity, names point to them, and both are made durable separately: a file
//! whose name was never synced is gone after a power loss, whatever was synced inside it.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use checkers::history::FaultId;

use super::Clock;
use super::defects::{Defects, Synced};
use crate::seed::{Ratio, Stream};

/// How many bytes are near the end of a file.
const NEAR_END: usize = 64;

/// A node's disk, as one start of the node sees it.
///
/// What was written but not synced may be gone after a power loss: of each file's unsynced writes
/// some survive, some in part and some not at all, in the order in which they were written or not.
/// Of the changes to names that were not synced, a beginning survives.
///
/// A fault may make anything fail, with an error as an operating system gives it: of kind `StorageFull` where
/// nothing more fits. Of what a write that fails was to write, a beginning may be there. What was written to a
/// file since its last sync that succeeded is gone when one fails, and the next one succeeds without it.
#[derive(Clone)]
pub struct Disk {
    platter: Rc<RefCell<Platter>>,
    /// Off once this start of the node has ended: nothing that runs later can write any more.
    power: Rc<Cell<bool>>,
    /// By which a sync takes its time.
    clock: Clock,
}

/// What outlives every start of a node.
#[derive(Debug)]
pub(super) struct Platter {
    files: BTreeMap<FileId, File>,
    /// Names as programs see them.
    names: BTreeMap<String, FileId>,
    /// Names as they are after a power loss.
    durable_names: BTreeMap<String, FileId>,
    /// What was done to the names since they were last synced, in order.
    unsynced_names: Vec<NameChange>,
    next_file: u64,
    next_write: u64,
    sync_max: Duration,
    /// The faults by which syncs take longer because the node is slow, and for how much.
    slowed_by: BTreeMap<FaultId, Duration>,
    /// What is wrong with it.
    pub(super) defects: Defects,
    /// How many bytes were written so far.
    written: u64,
    stream: Stream,
}

/// What a disk held at some time, as far as it was synced.
#[derive(Debug)]
pub(super) struct Image {
    files: BTreeMap<FileId, File>,
    names: BTreeMap<String, FileId>,
    written: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct FileId(u64);

#[derive(Clone, Debug, Default)]
struct File {
    /// The content as programs see it.
    content: Vec<u8>,
    /// Writes since the last sync, in order, each with what it takes to undo it.
    unsynced: Vec<Write>,
}

/// One change of a file's content.
#[derive(Clone, Debug)]
struct Write {
    number: u64,
    offset: usize,
    /// What stood from `offset` on, as far as the write replaced or cut it.
    before: Vec<u8>,
    /// How many bytes it wrote.
    len: usize,
    /// The length of the file before it.
    len_before: usize,
}

#[derive(Debug)]
enum NameChange {
    Link(String, FileId),
    Unlink(String),
    /// From, to.
    Rename(String, String),
}

impl Platter {
    /// An empty disk whose syncs take up to `sync_max`; `stream` decides how long, and what a power
    /// loss spares.
    pub(super) fn new(sync_max: Duration, stream: Stream) -> Platter {
        Platter {
            files: BTreeMap::new(),
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            unsynced_names: Vec::new(),
            next_file: 0,
            next_write: 0,
            sync_max,
            slowed_by: BTreeMap::new(),
            defects: Defects::default(),
            written: 0,
            stream,
        }
    }

    /// Takes the power away; returns how many bytes were lost.
    pub(super) fn lose_power(&mut self) -> u64 {
        let kept = self.stream.below(self.unsynced_names.len() as u64 + 1) as usize;
        let changes = std::mem::take(&mut self.unsynced_names);
        for change in changes.into_iter().take(kept) {
            apply(&mut self.durable_names, change);
        }
        self.names = self.durable_names.clone();
        self.defects.power_is_lost();
        let mut lost = 0;
        for file in self.files.values_mut() {
            lost += file.lose_power(&mut self.stream);
        }
        let names = &self.names;
        self.files.retain(|id, file| {
            let named = names.values().any(|named| named == id);
            lost += if named { 0 } else { file.content.len() as u64 };
            named
        });
        lost
    }

    /// Takes everything away; returns how many bytes that was.
    pub(super) fn wipe(&mut self) -> u64 {
        let held = self.files.values().map(|file| file.content.len() as u64).sum();
        self.files.clear();
        self.names.clear();
        self.durable_names.clear();
        self.unsynced_names.clear();
        self.defects.forget_damage();
        held
    }

    /// What a loss of power would leave at the worst.
    pub(super) fn image(&self) -> Image {
        let names = self.durable_names.clone();
        let mut files = BTreeMap::new();
        for id in names.values() {
            let mut file = self.files[id].clone();
            file.drop_unsynced(u64::MAX);
            files.insert(*id, file);
        }
        Image { files, names, written: self.written }
    }

    /// Puts an image in the place of what it holds; returns how many bytes were written since.
    pub(super) fn put_back(&mut self, image: Image) -> u64 {
        let Image { files, names, written } = image;
        self.files = files;
        self.durable_names.clone_from(&names);
        self.names = names;
        self.unsynced_names.clear();
        self.written - written
    }

    /// Flips some bits of what was synced; returns how many, none where nothing was. Half of them are near
    /// the end of a file, where what was promised last stands, and where damage may be taken for a write
    /// that a power loss has torn.
    pub(super) fn flip(&mut self, fault: FaultId, bits: u32, stream: &mut Stream) -> u64 {
        let synced = self.durable_names.values().flat_map(|id| {
            let file = &self.files[id];
            (0..file.content.len()).filter(|at| file.is_synced(*at)).map(|at| (*id, at))
        });
        let synced: Vec<(FileId, usize)> = synced.collect();
        let mut flipped = 0;
        for _ in 0..bits {
            let Some((id, mut at)) = stream.pick(&synced).copied() else { break };
            if stream.chance(Ratio::new(1, 2)) {
                let of_file = synced.iter().rev().filter(|(other, _)| *other == id);
                let last: Vec<usize> = of_file.take(NEAR_END).map(|(_, at)| *at).collect();
                at = *stream.pick(&last).expect("a byte of the file was picked");
            }
            let file = self.files.get_mut(&id).expect("every name points to a file");
            file.content[at] ^= 1 << stream.below(8);
            flipped += 1;
        }
        self.defects.flipped(fault, flipped);
        flipped
    }

    fn file(&mut self, name: &str) -> io::Result<&mut File> {
        let id = self.names.get(name).ok_or_else(|| not_found(name))?;
        Ok(self.files.get_mut(id).expect("every name points to a file"))
    }

    fn file_or_new(&mut self, name: &str) -> &mut File {
        let id = match self.names.get(name) {
            Some(id) => *id,
            None => {
                let id = FileId(self.next_file);
                self.next_file += 1;
                self.names.insert(name.to_owned(), id);
                self.unsynced_names.push(NameChange::Link(name.to_owned(), id));
                id
            }
        };
        self.files.entry(id).or_default()
    }

    fn next_write(&mut self) -> u64 {
        self.next_write += 1;
        self.next_write
    }

    /// Makes each sync take longer.
    pub(super) fn slow(&mut self, fault: FaultId, cost: Duration) {
        self.slowed_by.insert(fault, cost);
    }

    /// Ends a fault that did.
    pub(super) fn quicken(&mut self, fault: FaultId) {
        self.slowed_by.remove(&fault);
    }

    fn sync_takes(&mut self) -> Duration {
        let usual = self.stream.between(0, self.sync_max.as_millis() as u64);
        let of_node = self.slowed_by.values().sum::<Duration>();
        Duration::from_millis(usual) + of_node + self.defects.slow_sync()
    }

    /// Notes that so many bytes are to be written, and says how many of them are, and why not the others.
    fn writes(&mut self, bytes: usize) -> (usize, io::Result<()>) {
        let (kept, result) = self.defects.write(bytes);
        self.written += kept as u64;
        (kept, result)
    }
}

fn apply(names: &mut BTreeMap<String, FileId>, change: NameChange) {
    match change {
        NameChange::Link(name, id) => {
            names.insert(name, id);
        }
        NameChange::Unlink(name) => {
            names.remove(&name);
        }
        NameChange::Rename(from, to) => {
            if let Some(id) = names.remove(&from) {
                names.insert(to, id);
            }
        }
    }
}

impl File {
    fn write(&mut self, number: u64, offset: usize, bytes: &[u8]) {
        let len_before = self.content.len();
        let end = offset + bytes.len();
        if len_before < end {
            self.content.resize(end, 0);
        }
        let before = self.content[offset.min(len_before)..end.min(len_before)].to_vec();
        self.content[offset..end].copy_from_slice(bytes);
        self.unsynced.push(Write { number, offset, before, len: bytes.len(), len_before });
    }

    fn truncate(&mut self, number: u64, len: usize) {
        let len_before = self.content.len();
        if len < len_before {
            let before = self.content.split_off(len);
            self.unsynced.push(Write { number, offset: len, before, len: 0, len_before });
        }
    }

    /// Undoes a write after which nothing was written, and returns what it had written.
    fn undo(&mut self, write: &Write) -> Vec<u8> {
        let written = self.content[write.offset..write.offset + write.len].to_vec();
        self.content.resize(write.len_before, 0);
        let start = write.offset.min(write.len_before);
        self.content[start..start + write.before.len()].copy_from_slice(&write.before);
        written
    }

    /// Whether the byte at this place was synced as it is.
    fn is_synced(&self, at: usize) -> bool {
        !self.unsynced.iter().any(|write| (write.offset..write.offset + write.len).contains(&at))
    }

    /// Drops the unsynced writes up to one of this number, as an operating system does with pages that it could
    /// not write; returns the bytes lost.
    fn drop_unsynced(&mut self, upto: u64) -> u64 {
        let mut writes = std::mem::take(&mut self.unsynced);
        let mut written: Vec<Vec<u8>> = writes.iter().rev().map(|write| self.undo(write)).collect();
        written.reverse();
        let mut lost = 0;
        for (write, bytes) in writes.drain(..).zip(written) {
            if write.number <= upto {
                lost += bytes.len() as u64;
            } else if write.len > 0 {
                self.write(write.number, write.offset, &bytes);
            } else {
                self.truncate(write.number, write.offset);
            }
        }
        lost
    }

    /// Decides which of the unsynced writes survive, and how much of each; returns the bytes lost.
    ///
    /// Half the time the disk wrote in order, and what survives is a beginning of what was written.
    /// Otherwise each write has a fate of its own, and one may be missing in the middle.
    fn lose_power(&mut self, stream: &mut Stream) -> u64 {
        if self.unsynced.is_empty() {
            return 0;
        }
        let mut writes = std::mem::take(&mut self.unsynced);
        let mut written: Vec<Vec<u8>> = writes.iter().rev().map(|write| self.undo(write)).collect();
        written.reverse();
        let in_order = stream.chance(Ratio::new(1, 2));
        let mut lost = 0;
        let mut torn_before = false;
        for (write, bytes) in writes.drain(..).zip(written) {
            let whole = stream.chance(Ratio::new(1, 2)) && !(in_order && torn_before);
            let kept = match (whole, in_order && torn_before) {
                (true, _) => bytes.len(),
                (false, true) => 0,
                (false, false) => stream.below(bytes.len() as u64 + 1) as usize,
            };
            torn_before |= !whole;
            lost += (bytes.len() - kept) as u64;
            if write.len > 0 && kept > 0 {
                self.write(write.number, write.offset, &bytes[..kept]);
            } else if write.len == 0 && whole {
                self.truncate(write.number, write.offset);
            }
        }
        self.unsynced.clear();
        lost
    }
}

fn not_found(name: &str) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("there is no file `{name}`"))
}

fn power_is_off() -> io::Error {
    io::Error::other("the power is off")
}

impl Disk {
    pub(super) fn new(platter: Rc<RefCell<Platter>>, power: Rc<Cell<bool>>, clock: Clock) -> Disk {
        Disk { platter, power, clock }
    }

    fn platter(&self) -> io::Result<std::cell::RefMut<'_, Platter>> {
        if self.power.get() { Ok(self.platter.borrow_mut()) } else { Err(power_is_off()) }
    }

    /// The names of all files, in order.
    ///
    /// # Errors
    /// After the end of this start of the node; so do all methods.
    pub fn list(&self) -> io::Result<Vec<String>> {
        let mut platter = self.platter()?;
        platter.defects.operate("list files")?;
        Ok(platter.names.keys().cloned().collect())
    }

    /// A file's whole content.
    ///
    /// # Errors
    /// Of kind `NotFound` where there is no such file.
    pub fn read(&self, file: &str) -> io::Result<Vec<u8>> {
        let mut platter = self.platter()?;
        platter.defects.operate("read")?;
        Ok(platter.file(file)?.content.clone())
    }

    /// Adds to the end of a file, which comes into being where there is none.
    ///
    /// # Errors
    /// As [`Disk::list`].
    pub fn append(&self, file: &str, bytes: &[u8]) -> io::Result<()> {
        let mut platter = self.platter()?;
        let number = platter.next_write();
        let (kept, result) = platter.writes(bytes.len());
        let file = platter.file_or_new(file);
        file.write(number, file.content.len(), &bytes[..kept]);
        result
    }

    /// Overwrites a file from `offset` on, in bytes; it grows as needed, with zeros in between.
    ///
    /// # Errors
    /// Of kind `InvalidInput` where the offset is beyond what memory can hold.
    pub fn write_at(&self, file: &str, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let offset = usize::try_from(offset)
            .ok()
            .filter(|offset| *offset <= 1 << 32)
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "offset is over 4 GiB"))?;
        let mut platter = self.platter()?;
        let number = platter.next_write();
        let (kept, result) = platter.writes(bytes.len());
        platter.file_or_new(file).write(number, offset, &bytes[..kept]);
        result
    }

    /// Cuts a file to `len` bytes; a shorter one stays as it is.
    ///
    /// # Errors
    /// Of kind `NotFound` where there is no such file.
    pub fn truncate(&self, file: &str, len: u64) -> io::Result<()> {
        let mut platter = self.platter()?;
        platter.defects.operate("truncate")?;
        let number = platter.next_write();
        platter.file(file)?.truncate(number, usize::try_from(len).unwrap_or(usize::MAX));
        Ok(())
    }

    /// Makes what was written to a file so far last. Takes a while in the node's time.
    ///
    /// # Errors
    /// Of kind `NotFound` where there is no such file.
    pub async fn sync(&self, file: &str) -> io::Result<()> {
        let (id, upto, takes) = {
            let mut platter = self.platter()?;
            platter.file(file)?;
            let takes = platter.sync_takes();
            (platter.names[file], platter.next_write, takes)
        };
        self.wait(takes).await;
        let mut platter = self.platter()?;
        let platter = &mut *platter;
        let Some(file) = platter.files.get_mut(&id) else { return Ok(()) };
        match platter.defects.sync() {
            Synced::Done => file.unsynced.retain(|write| write.number > upto),
            Synced::Lied => {}
            Synced::Failed(fault, error) => {
                let lost = file.drop_unsynced(upto);
                platter.defects.lost(fault, lost);
                return Err(error);
            }
        }
        Ok(())
    }

    /// Gives a file another name, replacing what had it.
    ///
    /// # Errors
    /// Of kind `NotFound` where there is no such file.
    pub fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut platter = self.platter()?;
        platter.defects.operate("rename")?;
        let id = platter.names.remove(from).ok_or_else(|| not_found(from))?;
        platter.names.insert(to.to_owned(), id);
        platter.unsynced_names.push(NameChange::Rename(from.to_owned(), to.to_owned()));
        Ok(())
    }

    /// Removes a file's name.
    ///
    /// # Errors
    /// Of kind `NotFound` where there is no such file.
    pub fn remove(&self, file: &str) -> io::Result<()> {
        let mut platter = self.platter()?;
        platter.defects.operate("remove")?;
        platter.names.remove(file).ok_or_else(|| not_found(file))?;
        platter.unsynced_names.push(NameChange::Unlink(file.to_owned()));
        Ok(())
    }

    /// Makes the names themselves last. Takes a while in the node's time.
    ///
    /// # Errors
    /// As [`Disk::list`].
    pub async fn sync_dir(&self) -> io::Result<()> {
        let (upto, takes) = {
            let mut platter = self.platter()?;
            let takes = platter.sync_takes();
            (platter.unsynced_names.len(), takes)
        };
        self.wait(takes).await;
        let mut platter = self.platter()?;
        platter.defects.operate("sync names")?;
        if platter.defects.lies() {
            return Ok(());
        }
        // Two syncs may overlap: the other one may have taken some of these already.
        let upto = upto.min(platter.unsynced_names.len());
        let synced: Vec<NameChange> = platter.unsynced_names.drain(..upto).collect();
        for change in synced {
            apply(&mut platter.durable_names, change);
        }
        Ok(())
    }

    async fn wait(&self, time: Duration) {
        if !time.is_zero() {
            self.clock.sleep(time).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Seed;

    /// Writes with `script`, takes the power, and returns the disk as the next start finds it.
    fn after_power_loss(seed: u64, script: impl AsyncFnOnce(&Disk)) -> Disk {
        let stream = Seed(seed).stream("test");
        let platter = Rc::new(RefCell::new(Platter::new(Duration::ZERO, stream)));
        let power = Rc::new(Cell::new(true));
        let disk = Disk::new(platter.clone(), power.clone(), Clock::standing());
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(script(&disk));
        power.set(false);
        assert!(disk.append("a", b"late").is_err(), "a dead node must not write");
        platter.borrow_mut().lose_power();
        Disk::new(platter, Rc::new(Cell::new(true)), Clock::standing())
    }

    #[test]
    fn what_was_synced_survives_and_what_was_not_survives_in_part() {
        let mut seen = std::collections::BTreeSet::new();
        for seed in 0..400 {
            let disk = after_power_loss(seed, async |disk| {
                disk.append("log", b"synced").unwrap();
                disk.sync("log").await.unwrap();
                disk.sync_dir().await.unwrap();
                disk.append("log", b"-first").unwrap();
                disk.append("log", b"-second").unwrap();
            });
            let content = disk.read("log").unwrap();
            assert!(content.starts_with(b"synced"));
            for (byte, written) in content.iter().zip(b"synced-first-second") {
                assert!([0, *written].contains(byte), "{content:?} was never written");
            }
            seen.insert(content);
        }
        assert!(seen.contains(&b"synced-first-second"[..]) && seen.contains(&b"synced"[..]));
        let with_a_hole = seen.iter().filter(|content| content.contains(&0));
        assert!(seen.len() > 20 && with_a_hole.count() > 5, "too few outcomes: {seen:?}");
    }

    #[test]
    fn a_file_whose_name_was_not_synced_can_vanish_whatever_was_synced_in_it() {
        let gone = |seed| {
            let disk = after_power_loss(seed, async |disk| {
                disk.append("new", b"content").unwrap();
                disk.sync("new").await.unwrap();
            });
            disk.read("new").is_err()
        };
        assert!((0..50).any(gone) && !(0..50).all(gone));
    }

    #[test]
    fn a_sync_after_a_rename_reaches_the_renamed_file() {
        for seed in 0..50 {
            let disk = after_power_loss(seed, async |disk| {
                disk.append("temporary", b"old").unwrap();
                disk.sync_dir().await.unwrap();
                disk.rename("temporary", "final").unwrap();
                disk.append("final", b"-new").unwrap();
                disk.sync("final").await.unwrap();
                disk.sync_dir().await.unwrap();
            });
            assert_eq!(disk.read("final").unwrap(), b"old-new");
            assert_eq!(disk.list().unwrap(), ["final"]);
        }
    }

    #[test]
    fn a_removed_and_newly_made_file_does_not_show_the_old_content() {
        for seed in 0..50 {
            let disk = after_power_loss(seed, async |disk| {
                disk.append("a", b"old").unwrap();
                disk.sync("a").await.unwrap();
                disk.sync_dir().await.unwrap();
                disk.remove("a").unwrap();
                disk.append("a", b"new").unwrap();
                assert_eq!(disk.read("a").unwrap(), b"new");
                disk.sync("a").await.unwrap();
                disk.sync_dir().await.unwrap();
            });
            assert_eq!(disk.read("a").unwrap(), b"new");
        }
    }

    #[test]
    fn an_unsynced_truncation_and_overwrite_are_undone_in_order() {
        let mut seen = std::collections::BTreeSet::new();
        for seed in 0..200 {
            let disk = after_power_loss(seed, async |disk| {
                disk.append("a", b"abcdef").unwrap();
                disk.sync("a").await.unwrap();
                disk.sync_dir().await.unwrap();
                disk.truncate("a", 2).unwrap();
                disk.write_at("a", 1, b"XYZ").unwrap();
            });
            seen.insert(disk.read("a").unwrap());
        }
        let expected: [&[u8]; 8] = [
            // In order: neither, the truncation, and the overwrite as far as it got.
            b"abcdef", b"ab", b"aX", b"aXY", b"aXYZ",
            // Out of order: the overwrite without the truncation.
            b"aXcdef", b"aXYdef", b"aXYZef",
        ];
        assert_eq!(seen, expected.iter().map(|content| content.to_vec()).collect());
    }

    /// A disk on which something was synced and something was not, with what it is made of.
    fn half_synced() -> (Rc<RefCell<Platter>>, Disk) {
        let stream = Seed(1).stream("test");
        let platter = Rc::new(RefCell::new(Platter::new(Duration::ZERO, stream)));
        let disk = Disk::new(platter.clone(), Rc::new(Cell::new(true)), Clock::standing());
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            disk.append("log", b"synced").unwrap();
            disk.sync("log").await.unwrap();
            disk.sync_dir().await.unwrap();
            disk.append("log", b"-not-yet").unwrap();
            disk.append("new", b"nor this").unwrap();
        });
        (platter, disk)
    }

    #[test]
    fn what_is_put_back_is_what_was_synced_and_counts_what_was_written_since() {
        let (platter, disk) = half_synced();
        let image = platter.borrow().image();
        disk.write_at("log", 0, b"changed").unwrap();
        assert_eq!(platter.borrow_mut().put_back(image), 7);
        assert_eq!((disk.read("log").unwrap(), disk.list().unwrap()), {
            (b"synced".to_vec(), vec!["log".to_owned()])
        });
    }

    #[test]
    fn bits_flip_in_what_was_synced_alone() {
        for seed in 0..50 {
            let (platter, disk) = half_synced();
            let mut stream = Seed(seed).stream("flip");
            assert_eq!(platter.borrow_mut().flip(FaultId(0), 1, &mut stream), 1);
            let content = disk.read("log").unwrap();
            let differ =
                content.iter().zip(b"synced-not-yet").map(|(is, was)| (is ^ was).count_ones());
            let differ: Vec<u32> = differ.collect();
            assert_eq!(differ[..6].iter().sum::<u32>(), 1, "{content:?}");
            assert_eq!(differ[6..], [0; 8], "{content:?}");
            assert_eq!(disk.read("new").unwrap(), b"nor this");
        }
    }

    #[test]
    fn a_sync_that_fails_drops_what_it_was_to_make_last_and_keeps_what_came_later() {
        let (platter, disk) = half_synced();
        let upto = platter.borrow().next_write;
        disk.append("log", b"-later").unwrap();
        let lost = platter.borrow_mut().file("log").unwrap().drop_unsynced(upto);
        assert_eq!(lost, 8);
        // Where what was dropped stood, there is a hole.
        assert_eq!(disk.read("log").unwrap(), b"synced\0\0\0\0\0\0\0\0-later");
    }
}
