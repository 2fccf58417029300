//! The processes of nodes: started in the namespace of their node, ended, stopped and continued.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use checkers::history::NodeId;
use rustix::process::{Pid, Signal, kill_process};

use super::site::Site;
use super::system::Server;

/// How much of what a node says is kept and looked at, in bytes.
const LOG_BYTES_MAX: u64 = 1 << 20;

/// All nodes.
pub(super) struct Cluster {
    server: Arc<dyn Server>,
    site: Arc<Site>,
    running: BTreeMap<NodeId, Vec<Child>>,
}

impl Cluster {
    /// A cluster of which nothing runs yet.
    pub(super) fn new(server: Arc<dyn Server>, site: Arc<Site>) -> Cluster {
        Cluster { server, site, running: BTreeMap::new() }
    }

    /// Starts a node, unless it runs.
    ///
    /// # Errors
    /// Where one of its processes cannot be started.
    pub(super) fn start(&mut self, node: NodeId) -> io::Result<()> {
        if self.running.contains_key(&node) {
            return Ok(());
        }
        let mut children = Vec::new();
        for process in self.server.processes(&self.site, node) {
            let program = &self.site.programs[process.program];
            let log = File::options().create(true).append(true).open(self.site.log(node))?;
            let mut command = Command::new("ip");
            command.args(["netns", "exec", &format!("n{node}")]).arg(program);
            command.args(process.arguments).current_dir(self.site.disk(node));
            // Servers read settings from their environment: those of whoever runs this are not meant.
            command.env_clear().envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
            command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
            children.push(command.process_group(0).spawn()?);
        }
        self.running.insert(node, children);
        Ok(())
    }

    /// Whether the processes of a node run, or stand still.
    pub(super) fn is_up(&self, node: NodeId) -> bool {
        self.running.contains_key(&node)
    }

    /// Ends a node as `kill -9` does.
    pub(super) fn kill(&mut self, node: NodeId) {
        self.signal(node, Signal::KILL);
        for mut child in self.running.remove(&node).into_iter().flatten() {
            // It has been killed: there is nothing to learn but that it is gone.
            let _ = child.wait();
        }
    }

    /// Sends a signal to all processes of a node: to those that were started for it, which may not be in its network
    /// yet, and to all that are in there, whoever started them.
    pub(super) fn signal(&self, node: NodeId, signal: Signal) {
        let own = self.running.get(&node).into_iter().flatten().map(Pid::from_child);
        let own: Vec<Pid> = own.collect();
        let mut told = BTreeSet::new();
        // One that was being started meanwhile is not among those that were found.
        loop {
            let mut fresh = processes_of(node);
            fresh.extend(&own);
            fresh.retain(|process| told.insert(process.as_raw_nonzero()));
            if fresh.is_empty() {
                return;
            }
            for process in fresh {
                // One that has ended hears nothing any more.
                let _ = kill_process(process, signal);
            }
        }
    }

    /// The nodes of which a process has ended by itself since this was asked last, with its last words. What is left of
    /// them is ended.
    pub(super) fn ended(&mut self) -> Vec<(NodeId, String)> {
        let has_ended = |child: &mut Child| child.try_wait().ok().flatten();
        let mut ended = Vec::new();
        for (node, children) in &mut self.running {
            if let Some(status) = children.iter_mut().find_map(has_ended) {
                ended.push((*node, status));
            }
        }
        let words = |(node, status)| {
            self.kill(node);
            let last = last_words(&self.site.log(node));
            (node, format!("the process ended ({status}); its last words: {last}"))
        };
        ended.into_iter().map(words).collect()
    }

    /// Puts what nodes have said into a folder, a file each.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub(super) fn keep_logs(&self, folder: &Path) -> io::Result<()> {
        fs::create_dir_all(folder)?;
        for node in self.site.all() {
            fs::write(folder.join(format!("n{node}.log")), tail(&self.site.log(node)))?;
        }
        Ok(())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let all: Vec<NodeId> = self.running.keys().copied().collect();
        all.into_iter().for_each(|node| self.kill(node));
    }
}

/// The processes in the network of a node. Those that have ended, and are not waited for yet, are in none.
fn processes_of(node: NodeId) -> Vec<Pid> {
    let network = |path: &Path| fs::metadata(path).ok().map(|file| (file.dev(), file.ino()));
    let own = network(&Path::new("/run/netns").join(format!("n{node}")));
    let names =
        fs::read_dir("/proc").into_iter().flatten().flatten().map(|entry| entry.file_name());
    let processes = names.filter_map(|name| name.to_str()?.parse().ok().and_then(Pid::from_raw));
    let is_there = |process: &Pid| {
        let path = format!("/proc/{}/ns/net", process.as_raw_nonzero());
        own.is_some() && network(Path::new(&path)) == own
    };
    processes.filter(is_there).collect()
}

/// The end of what a node has said; nothing where it has said nothing.
pub(super) fn tail(log: &Path) -> String {
    let read = || -> io::Result<Vec<u8>> {
        let mut file = File::open(log)?;
        let len = file.metadata()?.len();
        file.seek(SeekFrom::Start(len.saturating_sub(LOG_BYTES_MAX)))?;
        let mut bytes = Vec::new();
        file.take(LOG_BYTES_MAX).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    String::from_utf8_lossy(&read().unwrap_or_default()).into_owned()
}

/// The last line that says anything.
pub(super) fn last_words(log: &Path) -> String {
    let said = tail(log);
    let last = said.lines().rev().map(str::trim).find(|line| !line.is_empty());
    last.unwrap_or("none").to_owned()
}

/// How often a node has said that nothing more fits on its disk.
pub(super) fn complaints(log: &Path) -> u64 {
    tail(log).to_lowercase().matches("no space left").count() as u64
}
