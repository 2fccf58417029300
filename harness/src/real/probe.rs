//! What real runs need, and what of it is missing: tried for real, in namespaces that are gone afterwards.

use std::collections::BTreeMap;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::Serialize;

use super::enclosure;
use super::site::Programs;
use super::system::{Program, Registration};

/// One thing that real runs need.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Need {
    /// What.
    pub(crate) what: String,
    /// Whether it is there.
    pub(crate) found: bool,
    /// Its version, or why it does not do.
    pub(crate) detail: String,
    /// What it is needed for.
    pub(crate) used_for: &'static str,
    /// How to get it.
    pub(crate) install: String,
}

/// A tool of the system: its name, how it is asked for its version, what it does here, and how it is installed.
const TOOLS: [(&str, &str, &str, [&str; 2]); 4] = [
    (
        "unshare",
        "--version",
        "namespaces of a run",
        ["apt-get install util-linux", "dnf install util-linux"],
    ),
    ("mount", "--version", "disks of nodes", ["apt-get install mount", "dnf install util-linux"]),
    ("ip", "-Version", "networks of nodes", ["apt-get install iproute2", "dnf install iproute"]),
    ("nft", "--version", "partitions", ["apt-get install nftables", "dnf install nftables"]),
];

/// A thing that the kernel is to do: its name, what it is for, and a script that does it.
const FEATURES: [(&str, &str, &str); 5] = [
    ("tmpfs", "disks of nodes", "mount -t tmpfs -o size=1m probe /run"),
    ("bridge", "network between nodes", "ip link add br0 type bridge"),
    ("network namespaces", "networks of nodes", "ip netns add n1"),
    ("veth", "links to nodes", "ip link add v1 type veth peer name eth0 netns n1"),
    (
        "nft on bridges",
        "partitions",
        "nft 'add table bridge t; add chain bridge t c { type filter hook forward priority 0; }'",
    ),
];

/// How to get what the kernel does not do.
const KERNEL: &str =
    "use a kernel with it, or another machine; in a container: docker run --privileged";
/// How to get what no package has.
const LINUX: &str = "not on this system: use a Linux virtual machine or container";

/// Everything that runs of these systems need; `named` is where their programs are, if that was said.
pub(crate) fn probe(systems: &[&Registration], named: Option<&Path>) -> Vec<Need> {
    let mut needs = Vec::new();
    for (name, flag, used_for, install) in TOOLS {
        let path = on_path(name);
        let version = path.as_deref().map(|path| version(path, flag));
        needs.push(need(
            name,
            version.ok_or_else(|| "not on the path".to_owned()),
            used_for,
            &installed(install),
        ));
    }
    needs.extend(of_kernel());
    for system in systems {
        for program in system.programs {
            let found = find(program, named);
            let version = found.as_deref().map(|path| version(path, "--version"));
            let version = version.ok_or_else(|| sought(named));
            needs.push(need(program.name, version, system.name, &obtained(program, named)));
        }
    }
    needs
}

/// The programs of these systems that are there.
pub(crate) fn programs(systems: &[&Registration], named: Option<&Path>) -> Programs {
    let all = systems.iter().flat_map(|system| system.programs);
    all.filter_map(|program| Some((program.name, find(program, named)?))).collect()
}

/// What programs say of their version, by their names.
pub(super) fn versions(programs: &Programs) -> BTreeMap<String, String> {
    let says = |path: &Path| version(path, "--version");
    programs.iter().map(|(name, path)| ((*name).to_owned(), says(path))).collect()
}

fn need(what: &str, found: Result<String, String>, used_for: &'static str, install: &str) -> Need {
    let (found, detail) = match found {
        Ok(detail) => (true, detail),
        Err(detail) => (false, detail),
    };
    Need { what: what.to_owned(), found, detail, used_for, install: install.to_owned() }
}

/// How to install something, on this system.
fn installed([debian, fedora]: [&str; 2]) -> String {
    if !cfg!(target_os = "linux") {
        return LINUX.to_owned();
    }
    if debian == fedora {
        debian.to_owned()
    } else {
        format!("{debian} (Debian, Ubuntu); {fedora} (Fedora)")
    }
}

/// How to get a program, where it is sought.
fn obtained(program: &Program, named: Option<&Path>) -> String {
    let install = installed(program.install);
    match named {
        Some(_) => format!("name what has it with --binary, or leave that out and {install}"),
        None => install,
    }
}

/// Whether there can be namespaces, and what the kernel does in them.
fn of_kernel() -> Vec<Need> {
    let inside = |script: &str| {
        let mut command = Command::new("unshare");
        command.args(enclosure::flags()).args(["--", "sh", "-c", script]);
        command.env("PATH", enclosure::path());
        tried(&mut command)
    };
    let namespaces = inside("true").map(|_| match rustix::process::geteuid().is_root() {
        true => "as root".to_owned(),
        false => "as a user".to_owned(),
    });
    let install =
        "run as root, or allow user namespaces: sysctl kernel.unprivileged_userns_clone=1";
    let has_namespaces = namespaces.is_ok();
    let mut needs = vec![need("root or user namespaces", namespaces, "everything", install)];
    // Each builds on those before it, and none of them is left when the shell ends.
    let mut script = "set -e".to_owned();
    for (name, used_for, step) in FEATURES {
        script = format!("{script}; {step}");
        let tried = if has_namespaces { inside(&script) } else { Err("not tried".to_owned()) };
        needs.push(need(name, tried.map(|_| "tried".to_owned()), used_for, KERNEL));
    }
    needs
}

/// Runs a command to its end; or what it complained of.
fn tried(command: &mut Command) -> Result<(), String> {
    let ended = command.stdin(Stdio::null()).output().map_err(|error| error.to_string())?;
    if ended.status.success() { Ok(()) } else { Err(first_line(&ended.stderr)) }
}

/// The first line that says anything.
fn first_line(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default().to_owned()
}

/// What a program says of its version, if it does so at once and in few words.
fn version(program: &Path, flag: &str) -> String {
    let mut command = Command::new("timeout");
    command.args(["--signal=KILL", "5"]).arg(program).arg(flag);
    first_words(&mut command).unwrap_or_else(|_| "there".to_owned())
}

/// The first line of the first words that a command says, if it ends well.
fn first_words(command: &mut Command) -> io::Result<String> {
    const BYTES_MAX: u64 = 4096;
    let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn()?;
    let mut bytes = Vec::new();
    // Whoever goes on talking talks to nobody, and is ended by that, or by its time.
    child.stdout.take().expect("it was asked for").take(BYTES_MAX).read_to_end(&mut bytes)?;
    if !child.wait()?.success() {
        return Err(io::Error::other("it did not end well"));
    }
    Ok(first_line(&bytes))
}

/// Where a program is: in the folder, or as the file, that was named; otherwise beside this program, or on the path.
fn find(program: &Program, named: Option<&Path>) -> Option<PathBuf> {
    match named {
        Some(folder) if folder.is_dir() => file(folder.join(program.name)),
        Some(path) => file(path.to_owned()),
        None => {
            let own = std::env::current_exe().ok();
            let beside =
                own.as_deref().and_then(Path::parent).map(|folder| folder.join(program.name));
            beside.and_then(file).or_else(|| on_path(program.name))
        }
    }
}

fn sought(named: Option<&Path>) -> String {
    match named {
        Some(path) if path.is_dir() => format!("not in {}", path.display()),
        Some(path) => format!("there is no {}", path.display()),
        None => "neither beside this program nor on the path".to_owned(),
    }
}

fn file(path: PathBuf) -> Option<PathBuf> {
    path.canonicalize().ok().filter(|path| path.is_file())
}

fn on_path(name: &str) -> Option<PathBuf> {
    std::env::split_paths(&enclosure::path()).find_map(|folder| {
        let path = folder.join(name);
        path.is_file().then_some(path)
    })
}

#[cfg(test)]
mod tests {
    use super::super::system::SYSTEMS;
    use super::*;

    #[test]
    fn what_is_missing_is_said_with_how_to_install_it() {
        let nowhere = tempfile::tempdir().unwrap();
        let all: Vec<&Registration> = SYSTEMS.iter().collect();
        let needs = probe(&all, Some(nowhere.path()));
        assert_eq!(programs(&all, Some(nowhere.path())), Programs::new());
        for (name, words) in [("etcd", "etcd-server"), ("redis-server", "dnf install redis")] {
            let need = needs.iter().find(|need| need.what == name).unwrap();
            assert!(!need.found && need.detail.starts_with("not in "), "{need:?}");
            assert!(need.install.contains(words) || !cfg!(target_os = "linux"), "{need:?}");
            assert!(need.install.starts_with("name what has it with --binary, or "), "{need:?}");
        }
        let needs = probe(&all, Some(&nowhere.path().join("gone")));
        assert!(needs.last().is_some_and(|need| need.detail.starts_with("there is no ")));
    }

    #[test]
    fn a_program_is_found_by_its_folder_and_by_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("etcd");
        std::fs::write(&path, "").unwrap();
        let path = path.canonicalize().unwrap();
        let program = &SYSTEMS[0].programs[0];
        assert_eq!(find(program, Some(folder.path())), Some(path.clone()));
        assert_eq!(find(program, Some(&path)), Some(path));
        assert_eq!(find(program, Some(&folder.path().join("none"))), None);
    }
}
