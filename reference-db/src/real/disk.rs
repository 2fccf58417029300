//! One folder of real files.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::StartError;
use crate::env::Disk;

/// The file whose lock says that a process uses the folder. It is never listed.
const LOCK: &str = "lock";

/// A folder that belongs to this process until the last handle is gone.
///
/// Its methods block: a node does nothing while its disk works, because it could let nothing out
/// anyway.
#[derive(Clone, Debug)]
pub struct RealDisk(Rc<Folder>);

#[derive(Debug)]
struct Folder {
    path: PathBuf,
    /// Files stay open once they were changed: the operating system reports a write that failed
    /// in the background to a handle that was open at that time, not surely to a later one.
    open: RefCell<BTreeMap<String, File>>,
    /// Held for its lock, which ends with the process, however that ends.
    _lock: File,
}

impl RealDisk {
    /// Takes a folder for this process, and makes it where there is none.
    ///
    /// # Errors
    /// Where the folder cannot be written to, or another process has it.
    pub fn open(path: &Path) -> Result<RealDisk, StartError> {
        let unusable = |error| StartError::Folder { path: path.to_owned(), error };
        fs::create_dir_all(path).map_err(unusable)?;
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false);
        let lock = options.open(path.join(LOCK)).map_err(unusable)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(StartError::FolderInUse { path: path.to_owned() });
            }
            Err(TryLockError::Error(error)) => return Err(unusable(error)),
        }
        let folder = Folder { path: path.to_owned(), open: RefCell::default(), _lock: lock };
        Ok(RealDisk(Rc::new(folder)))
    }

    fn path(&self, file: &str) -> io::Result<PathBuf> {
        let plain = !file.is_empty()
            && file != "."
            && file != ".."
            && file != LOCK
            && !file.contains(['/', '\\', '\0']);
        if plain {
            Ok(self.0.path.join(file))
        } else {
            let what = format!("`{file}` cannot be the name of a file in a node's folder");
            Err(io::Error::new(io::ErrorKind::InvalidInput, what))
        }
    }

    /// Does something with an open file. It is made first if `create` says so.
    fn with<T>(
        &self,
        file: &str,
        create: bool,
        act: impl FnOnce(&mut File) -> io::Result<T>,
    ) -> io::Result<T> {
        let path = self.path(file)?;
        let mut open = self.0.open.borrow_mut();
        if !open.contains_key(file) {
            let handle = OpenOptions::new()
                .read(true)
                .write(true)
                .create(create)
                .truncate(false)
                .open(path)?;
            open.insert(file.to_owned(), handle);
        }
        act(open.get_mut(file).expect("it was opened above"))
    }
}

impl Disk for RealDisk {
    async fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.0.path)? {
            let entry = entry?;
            // What has no readable name was not put there by a node.
            if let Ok(name) = entry.file_name().into_string()
                && name != LOCK
                && entry.file_type()?.is_file()
            {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    async fn read(&self, file: &str) -> io::Result<Vec<u8>> {
        self.with(file, false, |handle| {
            let mut content = Vec::new();
            handle.seek(SeekFrom::Start(0))?;
            handle.read_to_end(&mut content)?;
            Ok(content)
        })
    }

    async fn append(&self, file: &str, bytes: &[u8]) -> io::Result<()> {
        self.with(file, true, |handle| {
            handle.seek(SeekFrom::End(0))?;
            handle.write_all(bytes)
        })
    }

    async fn write_at(&self, file: &str, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.with(file, true, |handle| {
            handle.seek(SeekFrom::Start(offset))?;
            handle.write_all(bytes)
        })
    }

    async fn truncate(&self, file: &str, len: u64) -> io::Result<()> {
        self.with(file, false, |handle| handle.set_len(len))
    }

    async fn sync(&self, file: &str) -> io::Result<()> {
        self.with(file, false, |handle| handle.sync_all())
    }

    async fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path(from)?, self.path(to)?)?;
        let mut open = self.0.open.borrow_mut();
        open.remove(to);
        if let Some(handle) = open.remove(from) {
            open.insert(to.to_owned(), handle);
        }
        Ok(())
    }

    async fn remove(&self, file: &str) -> io::Result<()> {
        fs::remove_file(self.path(file)?)?;
        self.0.open.borrow_mut().remove(file);
        Ok(())
    }

    async fn sync_dir(&self) -> io::Result<()> {
        File::open(&self.0.path)?.sync_all()
    }
}
