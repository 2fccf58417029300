//! What a manifest says, held against itself and against what there is.

use std::time::Duration;

use checkers::Guarantee;
use workloads::{WORKLOADS, Workload};

use super::{About, Finding};
use crate::system::{Claim, Manifest, System, Timing};

/// The most nodes that a plan lists.
const NODES_MAX: u32 = 9;
/// The longest that anything may take: all phases of a run are no longer.
const TIMING_MAX: Duration = Duration::from_secs(3600);

/// Says what is wrong with what a system says about itself.
pub(super) fn examine(system: &dyn System) -> Vec<Finding> {
    let manifest = system.manifest();
    let mut found = numbers(&manifest);
    if system.manifest() != manifest {
        found.push(of_manifest(
            "`System::manifest` says two different things when it is asked twice",
            "let it say the same whenever it is asked: every run asks it again",
        ));
    }
    found.extend(ops(&manifest));
    if found.is_empty() {
        found.extend(claims(&manifest));
    }
    found.extend(membership(system));
    found
}

fn of_manifest(seen: impl Into<String>, remedy: impl Into<String>) -> Finding {
    Finding { about: About::Manifest, seen: seen.into(), remedy: remedy.into() }
}

/// Sizes and times.
fn numbers(manifest: &Manifest) -> Vec<Finding> {
    let mut found = Vec::new();
    let (fewest, most) = manifest.nodes;
    if fewest > most {
        found.push(of_manifest(
            format!("`Manifest::nodes` is ({fewest}, {most}): the fewest are more than the most"),
            format!("say ({most}, {fewest}), if that is what is meant"),
        ));
    } else if fewest == 0 || fewest > NODES_MAX {
        found.push(of_manifest(
            format!("`Manifest::nodes` is ({fewest}, {most}), and plans list sizes from 1 to {NODES_MAX}"),
            format!("let the fewest lie between 1 and {NODES_MAX}"),
        ));
    }
    let Timing { failover, converge, operation } = manifest.timing;
    let what_for = [
        ("failover", failover, "faults would last no time, and no leader could be elected in it"),
        ("converge", converge, "replicas would be read as soon as the last write is over"),
        ("operation", operation, "every operation would be cut off as soon as it begins"),
    ];
    for (name, time, would) in what_for {
        if time.is_zero() {
            found.push(of_manifest(
                format!("`Timing::{name}` is zero: {would}"),
                "say how long it takes at most, in virtual time: for a store in one data centre, a second will do",
            ));
        } else if time > TIMING_MAX {
            found.push(of_manifest(
                format!("`Timing::{name}` is {time:?}, and no run lasts that long"),
                format!("say how long it takes at most; {TIMING_MAX:?} is the most"),
            ));
        }
    }
    found
}

/// What is offered.
fn ops(manifest: &Manifest) -> Vec<Finding> {
    let does = |kind| {
        WORKLOADS.iter().any(|entry| entry.workload.mix().iter().any(|share| share.kind == kind))
    };
    if manifest.ops.iter().any(|kind| does(*kind)) {
        return Vec::new();
    }
    let known: Vec<&str> = checkers::history::OpKind::ALL
        .iter()
        .filter(|kind| does(**kind))
        .map(|kind| kind.name())
        .collect();
    vec![of_manifest(
        "`Manifest::ops` has nothing that any workload does",
        format!("list what the client can do; workloads do {}", known.join(", ")),
    )]
}

/// What is claimed.
fn claims(manifest: &Manifest) -> Vec<Finding> {
    let mut found = Vec::new();
    let says = |guarantee| manifest.claims.iter().filter(move |(named, _)| *named == guarantee);
    for guarantee in Guarantee::ALL {
        let all: Vec<Claim> = says(guarantee).map(|(_, claim)| *claim).collect();
        if all.iter().any(|claim| *claim != all[0]) {
            found.push(of_manifest(
                format!("`Manifest::claims` says two different things about {guarantee}; only the first counts"),
                "leave one of them",
            ));
        }
        if all.first().is_some_and(|claim| *claim != Claim::Silent)
            && !can_be_shown(guarantee, manifest)
        {
            found.push(Finding {
                about: About::Claim,
                seen: format!(
                    "`Manifest::claims` has {guarantee}, which no workload can show with the operations that are \
                     offered: nobody will ever judge it"
                ),
                remedy: format!(
                    "offer in `Manifest::ops` what one of {} does, or leave the claim out",
                    showing(guarantee).join(", ")
                ),
            });
        }
        let of_replicas = manifest.replica_claims.contains(&guarantee);
        if of_replicas && manifest.claim(guarantee, false) != Claim::Holds {
            found.push(of_manifest(
                format!("`Manifest::replica_claims` has {guarantee}, which `Manifest::claims` does not claim"),
                "claim it in both, or leave it out of both: what does not hold for strong reads holds for no reads",
            ));
        }
    }
    if manifest.claims.iter().all(|(_, claim)| *claim == Claim::Silent) {
        found.push(Finding {
            about: About::Claim,
            seen: "`Manifest::claims` says nothing about any guarantee: nothing that is found would be a failure"
                .to_owned(),
            remedy: "claim what the documentation of the store promises: `(Guarantee::Linearizable, Claim::Holds)`, \
                     say"
                .to_owned(),
        });
    }
    found
}

/// The workloads that can show a guarantee.
fn showing(guarantee: Guarantee) -> Vec<&'static str> {
    let able = WORKLOADS.iter().filter(|entry| entry.workload.guarantees().contains(&guarantee));
    able.map(|entry| entry.name).collect()
}

fn can_be_shown(guarantee: Guarantee, manifest: &Manifest) -> bool {
    WORKLOADS.iter().any(|entry| {
        entry.workload.guarantees().contains(&guarantee) && suits(entry.workload, manifest)
    })
}

/// Whether a system offers all that a workload cannot do without.
pub(super) fn suits(workload: &dyn Workload, manifest: &Manifest) -> bool {
    let mut mix = workload.mix().iter();
    mix.all(|share| share.optional || manifest.ops.contains(&share.kind))
}

/// Members that come and go.
fn membership(system: &dyn System) -> Vec<Finding> {
    let Some(membership) = system.membership() else { return Vec::new() };
    let mut found = Vec::new();
    if membership.groups == 0 {
        found.push(of_manifest(
            "`Membership::groups` is 0: no node would be in any",
            "say 1 where there are no groups",
        ));
    }
    if membership.least == 0 {
        found.push(of_manifest(
            "`Membership::least` is 0: the last member could go",
            "say how many members must stay; 1 is the least",
        ));
    }
    found
}
