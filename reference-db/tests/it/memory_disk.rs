//! A disk in memory whose power can be lost after any operation.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::rc::Rc;

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use stormglass_reference_db::env::Disk;

/// Bytes that a disk writes whole or not at all.
const SECTOR: usize = 8;

/// A handle to the disk.
#[derive(Clone, Default)]
pub(crate) struct MemoryDisk(Rc<RefCell<Platter>>);

/// Is told the name of an operation.
type Watcher = Rc<dyn Fn(&str)>;

#[derive(Default)]
struct Platter {
    files: Vec<File>,
    /// Names as programs see them.
    names: BTreeMap<String, usize>,
    /// Names as they are after a power loss.
    durable_names: BTreeMap<String, usize>,
    /// What was done to the names since they were last synced: each survives by itself.
    unsynced_names: Vec<(String, Option<usize>)>,
    /// Operations that were done, by name.
    done: Vec<String>,
    /// Operations that are done before every further one fails; `None`: all are done.
    left: Option<usize>,
    /// Whether syncs fail.
    syncs_fail: bool,
    /// What is told of every operation.
    watcher: Option<Watcher>,
}

#[derive(Default)]
struct File {
    content: Vec<u8>,
    durable: Vec<u8>,
    /// Changes since the last sync, in order: each survives by itself.
    unsynced: Vec<Change>,
}

enum Change {
    Write(usize, Vec<u8>),
    Truncate(usize),
}

impl Change {
    fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Change::Write(offset, bytes) => {
                let end = offset + bytes.len();
                content.resize(content.len().max(end), 0);
                content[*offset..end].copy_from_slice(bytes);
            }
            Change::Truncate(len) => content.resize(*len, 0),
        }
    }

    /// What a power loss leaves of the change: all, nothing, or some of its sectors.
    fn survive(self, random: &mut ChaCha8Rng) -> Vec<Change> {
        match (random.random_range(0..3), self) {
            (0, _) | (1, Change::Truncate(_)) => Vec::new(),
            (1, Change::Write(offset, bytes)) => {
                let sectors = bytes.chunks(SECTOR).enumerate();
                let kept = sectors.filter(|_| random.random_bool(0.7));
                kept.map(|(at, sector)| Change::Write(offset + at * SECTOR, sector.to_vec()))
                    .collect()
            }
            (_, whole) => vec![whole],
        }
    }
}

impl MemoryDisk {
    /// The operations that were done, in order.
    pub(crate) fn done(&self) -> Vec<String> {
        self.0.borrow().done.clone()
    }

    /// Lets `left` more operations be done; all later ones fail.
    pub(crate) fn fail_after(&self, left: usize) {
        self.0.borrow_mut().left = Some(left);
    }

    /// Lets every sync of a file fail from now on.
    pub(crate) fn fail_syncs(&self) {
        self.0.borrow_mut().syncs_fail = true;
    }

    /// Tells somebody of every operation that is done from now on.
    pub(crate) fn watch(&self, watcher: impl Fn(&str) + 'static) {
        self.0.borrow_mut().watcher = Some(Rc::new(watcher));
    }

    /// Ends the process but not the machine: all that was done is seen by the next one.
    pub(crate) fn kill(&self) {
        let mut platter = self.0.borrow_mut();
        platter.left = None;
        platter.done.clear();
    }

    /// Loses the power, and has it back.
    pub(crate) fn lose_power(&self, random: &mut ChaCha8Rng) {
        self.kill();
        let mut platter = self.0.borrow_mut();
        let platter = &mut *platter;
        for (name, file) in std::mem::take(&mut platter.unsynced_names) {
            if random.random_bool(0.5) {
                point(&mut platter.durable_names, name, file);
            }
        }
        platter.names = platter.durable_names.clone();
        for file in &mut platter.files {
            for change in std::mem::take(&mut file.unsynced) {
                for left in change.survive(random) {
                    left.apply(&mut file.durable);
                }
            }
            file.content = file.durable.clone();
        }
    }

    /// Changes a byte of a file for good, as a failing disk does.
    pub(crate) fn damage(&self, file: &str, offset: usize) {
        let mut platter = self.0.borrow_mut();
        let file = platter.names[file];
        platter.files[file].content[offset] ^= 0x40;
        platter.files[file].durable[offset] ^= 0x40;
    }

    /// A file's content.
    pub(crate) fn content(&self, file: &str) -> Vec<u8> {
        let platter = self.0.borrow();
        platter.files[platter.names[file]].content.clone()
    }

    fn act<T>(&self, what: &str, act: impl FnOnce(&mut Platter) -> io::Result<T>) -> io::Result<T> {
        let mut platter = self.0.borrow_mut();
        match &mut platter.left {
            Some(0) => return Err(io::Error::other("the power is gone")),
            Some(left) => *left -= 1,
            None => {}
        }
        if platter.syncs_fail && what.starts_with("sync ") {
            return Err(io::Error::other("the disk does not answer"));
        }
        platter.done.push(what.to_owned());
        let done = act(&mut platter);
        let watcher = platter.watcher.clone();
        drop(platter);
        if let Some(watcher) = watcher {
            watcher(what);
        }
        done
    }
}

impl Platter {
    fn find(&self, name: &str) -> io::Result<usize> {
        self.names.get(name).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn find_or_make(&mut self, name: &str) -> usize {
        self.find(name).unwrap_or_else(|_| {
            self.files.push(File::default());
            self.name(name, Some(self.files.len() - 1));
            self.files.len() - 1
        })
    }

    fn name(&mut self, name: &str, file: Option<usize>) {
        point(&mut self.names, name.to_owned(), file);
        self.unsynced_names.push((name.to_owned(), file));
    }

    fn change(&mut self, file: usize, change: Change) {
        change.apply(&mut self.files[file].content);
        self.files[file].unsynced.push(change);
    }
}

fn point(names: &mut BTreeMap<String, usize>, name: String, file: Option<usize>) {
    match file {
        Some(file) => names.insert(name, file),
        None => names.remove(&name),
    };
}

impl Disk for MemoryDisk {
    async fn list(&self) -> io::Result<Vec<String>> {
        self.act("list", |platter| Ok(platter.names.keys().cloned().collect()))
    }

    async fn read(&self, file: &str) -> io::Result<Vec<u8>> {
        self.act(&format!("read {file}"), |platter| {
            Ok(platter.files[platter.find(file)?].content.clone())
        })
    }

    async fn append(&self, file: &str, bytes: &[u8]) -> io::Result<()> {
        self.act(&format!("append {file}"), |platter| {
            let file = platter.find_or_make(file);
            let end = platter.files[file].content.len();
            platter.change(file, Change::Write(end, bytes.to_vec()));
            Ok(())
        })
    }

    async fn write_at(&self, file: &str, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.act(&format!("write {file}"), |platter| {
            let file = platter.find_or_make(file);
            let offset = usize::try_from(offset).map_err(io::Error::other)?;
            platter.change(file, Change::Write(offset, bytes.to_vec()));
            Ok(())
        })
    }

    async fn truncate(&self, file: &str, len: u64) -> io::Result<()> {
        self.act(&format!("truncate {file}"), |platter| {
            let len = usize::try_from(len).map_err(io::Error::other)?;
            platter.change(platter.find(file)?, Change::Truncate(len));
            Ok(())
        })
    }

    async fn sync(&self, file: &str) -> io::Result<()> {
        self.act(&format!("sync {file}"), |platter| {
            let file = platter.find(file)?;
            let file = &mut platter.files[file];
            file.unsynced.clear();
            file.durable.clone_from(&file.content);
            Ok(())
        })
    }

    async fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.act(&format!("rename {from} {to}"), |platter| {
            let file = platter.find(from)?;
            platter.name(to, Some(file));
            platter.name(from, None);
            Ok(())
        })
    }

    async fn remove(&self, file: &str) -> io::Result<()> {
        self.act(&format!("remove {file}"), |platter| {
            platter.find(file)?;
            platter.name(file, None);
            Ok(())
        })
    }

    async fn sync_dir(&self) -> io::Result<()> {
        self.act("sync-names", |platter| {
            platter.unsynced_names.clear();
            platter.durable_names.clone_from(&platter.names);
            Ok(())
        })
    }
}
