//! The shape of the workspace: what `ARCHITECTURE.md` says of it is true.

use std::fs;
use std::path::{Path, PathBuf};

use assert_cmd::Command;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The other members that a member depends on, in any way. Its tests may turn its own features on.
fn members_needed_by(member: &str) -> Vec<String> {
    let manifest: toml::Table = toml::from_str(&read(&format!("{member}/Cargo.toml"))).unwrap();
    let own = manifest["package"]["name"].as_str().unwrap();
    let mut needed = Vec::new();
    for section in ["dependencies", "dev-dependencies", "build-dependencies"] {
        let Some(table) = manifest.get(section) else { continue };
        for name in table.as_table().unwrap().keys() {
            if ["checkers", "workloads", "reference-db", "harness"].contains(&name.as_str())
                || name.starts_with("stormglass") && name != own
            {
                needed.push(name.clone());
            }
        }
    }
    needed
}

#[test]
fn dependency_arrows_point_one_way() {
    assert_eq!(members_needed_by("checkers"), Vec::<String>::new());
    assert_eq!(members_needed_by("reference-db"), Vec::<String>::new());
    assert_eq!(members_needed_by("workloads"), ["checkers"]);
    assert_eq!(members_needed_by("harness"), ["checkers", "reference-db", "workloads"]);
}

/// The names of the modules in a folder, besides `mod.rs`.
fn modules(folder: &str) -> Vec<String> {
    let mut names = Vec::new();
    for entry in fs::read_dir(root().join(folder)).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        if name != "mod" {
            names.push(name);
        }
    }
    names.sort();
    assert!(!names.is_empty(), "{folder} is empty");
    names
}

/// Asserts that each module of a folder is used by the table in its `mod.rs`, but those that hold no
/// entry.
fn is_registered(folder: &str, table: &str, no_entries: &[&str]) {
    let text = read(&format!("{folder}/mod.rs"));
    let start = text.find(table).unwrap_or_else(|| panic!("{folder} has no {table}"));
    let entries = &text[start..];
    for module in modules(folder) {
        if no_entries.contains(&module.as_str()) {
            continue;
        }
        // `partition::Partition`, or a re-exported `ReadYourWrites`, or the name in kebab-case.
        let kebab = format!("\"{}\"", module.replace('_', "-"));
        let path = format!("{module}::");
        let camel: String = module.split('_').map(capitalized).collect();
        assert!(
            entries.contains(&path) || entries.contains(&kebab) || entries.contains(&camel),
            "{folder}/{module}.rs is in no entry of {table}"
        );
    }
}

fn capitalized(word: &str) -> String {
    let (first, rest) = word.split_at(1);
    first.to_uppercase() + rest
}

#[test]
fn every_file_of_an_extension_point_is_in_its_table() {
    is_registered(
        "harness/src/nemesis",
        "pub const NEMESES",
        &["examples", "limits", "schedule", "script", "traffic"],
    );
    is_registered("harness/src/system", "pub const SYSTEMS", &[]);
    is_registered("harness/src/real/system", "pub(crate) const SYSTEMS", &[]);
    is_registered("workloads/src/workload", "pub const WORKLOADS", &[]);
    let helpers = ["contents", "findings", "keys", "order", "words"];
    is_registered("checkers/src/checker", "pub const CHECKERS", &helpers);
    is_registered("checkers/src/model", "pub const MODELS", &[]);
}

/// Every Rust file below a folder.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The lines of a file that are not comments.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    let lines = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn only_the_engine_of_that_name_uses_turmoil() {
    let mut files = Vec::new();
    for member in ["harness", "checkers", "workloads", "reference-db"] {
        sources(&root().join(member).join("src"), &mut files);
    }
    let engines = root().join("harness/src/sim/engine");
    // Where the engines are listed, the name is that of a module.
    let list = engines.join("mod.rs");
    let using = files.iter().filter(|file| {
        let code = code(file);
        if **file == list { code.contains("::turmoil::") } else { code.contains("turmoil::") }
    });
    assert_eq!(using.collect::<Vec<_>>(), [&engines.join("turmoil.rs")]);
}

#[test]
fn only_the_store_names_the_files_of_a_run() {
    let mut files = Vec::new();
    sources(&root().join("harness/src"), &mut files);
    for file in files {
        let named =
            code(&file).contains("\"history.jsonl\"") || code(&file).contains("\"run.json\"");
        assert_eq!(named, file.ends_with("src/store.rs"), "{}", file.display());
    }
}

/// The commands in the first block of shell of the README.
fn readme_commands() -> Vec<String> {
    let readme = read("README.md");
    let block = readme.split("```sh\n").nth(1).expect("the README has a block of shell");
    let block = block.split("```").next().unwrap();
    let lines = block.lines().map(|line| line.split('#').next().unwrap().trim().to_owned());
    lines.filter(|line| !line.is_empty()).collect()
}

#[test]
fn the_commands_of_the_readme_are_run_by_the_ci() {
    let ci = read(".ci/run").replace(" --locked", "");
    let commands = readme_commands();
    assert!(commands.len() >= 2, "{commands:?}");
    // With the program that the tests have built anyway, and so with fewer seeds.
    for command in commands {
        let step =
            format!("step {command}").replace("cargo run --release --", "target/debug/stormglass");
        let runs = |line: &str| {
            line.strip_prefix(&step)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(" --seeds "))
        };
        assert!(ci.lines().any(runs), "CI never runs {command}");
    }
    assert!(read(".github/workflows/ci.yml").contains("run: .ci/run"));
}

#[test]
fn every_subcommand_is_in_the_readme() {
    let mut program = Command::new(assert_cmd::cargo::cargo_bin!("stormglass"));
    let help = String::from_utf8(program.arg("--help").output().unwrap().stdout).unwrap();
    let (_, commands) = help.split_once("Commands:\n").unwrap();
    let (commands, _) = commands.split_once("\n\n").unwrap();
    let readme = read("README.md");
    let mut count = 0;
    for line in commands.lines().filter(|line| line.starts_with("  ") && !line.starts_with("   ")) {
        let name = line.split_whitespace().next().unwrap();
        if name != "help" {
            assert!(readme.contains(&format!("`stormglass {name}")), "README lacks {name}");
            count += 1;
        }
    }
    assert!(count > 10, "{commands}");
}

#[test]
fn every_setting_of_a_plan_is_in_the_readme() {
    let plan = stormglass::plan::Plan::new("name", "raft");
    let table = toml::Table::try_from(plan).unwrap();
    let readme = read("README.md");
    for setting in table.keys() {
        assert!(readme.contains(&format!("| `{setting}` |")), "README lacks {setting}");
    }
}
