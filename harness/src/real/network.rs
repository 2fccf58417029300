//! The network of a run: a bridge, a namespace and a link for each node, and rules that cut links.

use std::io::{self, Write as _};
use std::process::{Command, Stdio};

use checkers::history::FaultId;
use serde_json::Value as Json;

use super::site::Site;
use crate::json;
use crate::seed::Ratio;
use crate::sim::Link;

/// The table that counts all packets.
const ALL: &str = "traffic";

/// What becomes of packets on some links.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// They are dropped.
    Cut,
    /// Some of them are.
    Lost(Ratio),
    /// They are counted.
    Counted,
}

/// Makes the network.
///
/// # Errors
/// Where one of the tools is not there, or refuses: in its own words.
pub(super) fn build(site: &Site) -> io::Result<()> {
    ip("link set lo up")?;
    ip("link add br0 type bridge")?;
    ip(&format!("addr add {}/24 dev br0", Site::CLIENTS))?;
    ip("link set br0 up")?;
    for node in site.all() {
        let space = format!("n{node}");
        ip(&format!("netns add {space}"))?;
        ip(&format!("link add v{node} type veth peer name eth0 netns {space}"))?;
        ip(&format!("link set v{node} master br0 up"))?;
        ip(&format!("-n {space} addr add {}/24 dev eth0", site.address(node)))?;
        ip(&format!("-n {space} link set eth0 up"))?;
        ip(&format!("-n {space} link set lo up"))?;
    }
    nft(&chains(ALL, "", "counter name met"))
}

/// Lets a fault begin on some links.
///
/// # Errors
/// As [`build`].
pub(super) fn begin(site: &Site, fault: FaultId, links: &[Link], fate: Fate) -> io::Result<()> {
    if links.is_empty() {
        return Ok(());
    }
    nft(&rules(site, fault, links, fate))
}

/// Ends a fault; how many packets it has met.
///
/// # Errors
/// As [`build`].
pub(super) fn end(fault: FaultId, links: &[Link]) -> io::Result<u64> {
    if links.is_empty() {
        return Ok(0);
    }
    let table = format!("f{fault}");
    let met = met(&table)?;
    nft(&format!("delete table bridge {table}"))?;
    Ok(met)
}

/// How many packets there were in all.
///
/// # Errors
/// As [`build`].
pub(super) fn packets() -> io::Result<u64> {
    met(ALL)
}

/// The rules of a fault, in the words of `nft`.
fn rules(site: &Site, fault: FaultId, links: &[Link], fate: Fate) -> String {
    let address = |place: usize| match place {
        0 => Site::CLIENTS,
        node => site.address(checkers::history::NodeId(node as u32)),
    };
    let pairs = links.iter().map(|link| format!("{} . {}", address(link.from), address(link.to)));
    let pairs = pairs.collect::<Vec<_>>().join(", ");
    let set = format!("set links {{ type ipv4_addr . ipv4_addr; elements = {{ {pairs} }} }}");
    let fate = match fate {
        Fate::Cut => "counter name met drop".to_owned(),
        Fate::Lost(chance) => match chance.parts() {
            (times, of) if times == of => "counter name met drop".to_owned(),
            (times, of) => format!("numgen random mod {of} < {times} counter name met drop"),
        },
        Fate::Counted => "counter name met".to_owned(),
    };
    chains(&format!("f{fault}"), &set, &format!("ip saddr . ip daddr @links {fate}"))
}

/// A table with a rule for every packet: between nodes, to the clients and from them.
fn chains(table: &str, set: &str, rule: &str) -> String {
    let chain = |hook: &str| {
        format!("chain {hook} {{ type filter hook {hook} priority 0; policy accept; {rule}; }}\n")
    };
    let chains: String = ["forward", "input", "output"].map(chain).concat();
    format!("table bridge {table} {{\ncounter met {{ }}\n{set}\n{chains}}}\n")
}

/// How many packets a table has counted.
fn met(table: &str) -> io::Result<u64> {
    let said = tool("nft", &["-j", "list", "counter", "bridge", table, "met"])?;
    packets_of(&said).ok_or_else(|| io::Error::other(format!("nft: no counter in {said}")))
}

/// The packets of the counter that `nft -j` lists.
fn packets_of(said: &str) -> Option<u64> {
    let said: Json = json::read(said).ok()?;
    said["nftables"].as_array()?.iter().find_map(|entry| entry["counter"]["packets"].as_u64())
}

fn ip(arguments: &str) -> io::Result<()> {
    let arguments: Vec<&str> = arguments.split(' ').collect();
    tool("ip", &arguments).map(drop)
}

fn nft(rules: &str) -> io::Result<()> {
    fed("nft", &["-f", "-"], rules).map(drop)
}

/// Runs a tool of the system; what it says.
///
/// # Errors
/// Where it is not there, or fails: with what it says about that.
pub(super) fn tool(program: &str, arguments: &[&str]) -> io::Result<String> {
    fed(program, arguments, "")
}

fn fed(program: &str, arguments: &[&str], input: &str) -> io::Result<String> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let named = |error: io::Error| io::Error::new(error.kind(), format!("{program}: {error}"));
    let mut child = command.spawn().map_err(named)?;
    if let Some(mut stdin) = child.stdin.take() {
        // Who does not read to the end says why by its exit.
        let _ = stdin.write_all(input.as_bytes());
    }
    let ended = child.wait_with_output().map_err(named)?;
    if ended.status.success() {
        return Ok(String::from_utf8_lossy(&ended.stdout).into_owned());
    }
    let words = String::from_utf8_lossy(&ended.stderr).trim().to_owned();
    Err(io::Error::other(format!("{program} {}: {words}", arguments.join(" "))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_names_each_direction_by_itself_and_clients_have_an_address_too() {
        let site = Site { nodes: 3, programs: Default::default() };
        let links = [Link { from: 1, to: 2 }, Link { from: 0, to: 3 }];
        let rules = rules(&site, FaultId(7), &links, Fate::Cut);
        assert!(rules.starts_with("table bridge f7 {"), "{rules}");
        let set = "elements = { 10.77.0.1 . 10.77.0.2, 10.77.0.100 . 10.77.0.3 }";
        assert!(rules.contains(set), "{rules}");
        for hook in ["forward", "input", "output"] {
            let chain = format!(
                "hook {hook} priority 0; policy accept; ip saddr . ip daddr @links counter name met drop;"
            );
            assert!(rules.contains(&chain), "{rules}");
        }
    }

    #[test]
    fn what_is_only_counted_is_not_dropped_and_loss_is_a_share() {
        let site = Site { nodes: 3, programs: Default::default() };
        let rules = |fate| rules(&site, FaultId(0), &[Link { from: 1, to: 2 }], fate);
        assert!(!rules(Fate::Counted).contains("drop"));
        let lost = rules(Fate::Lost(Ratio::new(3, 10)));
        assert!(lost.contains("numgen random mod 10 < 3 counter name met drop"), "{lost}");
    }

    #[test]
    fn a_counter_is_found_among_what_else_is_listed() {
        let said = r#"{"nftables": [{"metainfo": {"version": "1.0.6"}},
            {"counter": {"family": "bridge", "name": "met", "table": "f0", "packets": 12, "bytes": 960}}]}"#;
        assert_eq!(packets_of(said), Some(12));
        assert_eq!(packets_of("nothing"), None);
    }
}
