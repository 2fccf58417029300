//! How many disks the modes of the store can do without at once. Of what is lost one disk after the other, claims speak
//! themselves.

use checkers::Guarantee;
use reference_db::mode::Mode;

use super::SESSIONS;
use crate::run::Effect;
use crate::system::Excess;

/// What is not claimed where a mode with one log has lost so many disks.
pub(super) fn of_a_log(mode: Mode, effect: &Effect, nodes: u32) -> Option<Excess> {
    let lost = effect.disks_lost.len() as u32;
    match mode {
        // Two nodes have everything, and any two may be those.
        Mode::PrimarySemiSync => of_pairs(mode.name(), effect, nodes),
        Mode::Raft
        | Mode::PrimarySync
        | Mode::PrimaryAsync
        | Mode::MultiLeader
        | Mode::Leaderless
        | Mode::LeaderlessAbd => {
            // Who has lost its disk has no vote until it is whole again. So nobody leads any more: what was acknowledged
            // may be gone, but nobody answers as if it had never been.
            let answers = |guarantee: &Guarantee| {
                matches!(guarantee, Guarantee::Linearizable | Guarantee::BoundedStaleness)
                    || SESSIONS.contains(guarantee)
            };
            let guarantees = Guarantee::ALL.into_iter().filter(|guarantee| !answers(guarantee));
            let needed = "keeps what it acknowledged, and goes on, while a majority keeps its disk";
            (nodes < lost + majority(nodes))
                .then(|| excess(guarantees.collect(), (lost, nodes), mode.name(), needed))
        }
    }
}

/// The same of a mode without a leader: a key counts on most of its replicas, and the others do not tell what it was.
pub(super) fn of_replicas(
    name: &str,
    effect: &Effect,
    nodes: u32,
    replicas: u32,
) -> Option<Excess> {
    let lost = effect.disks_lost.len() as u32;
    let needed = "keeps its promises while most replicas of each key keep their disks";
    (replicas < lost + majority(replicas))
        .then(|| excess(Guarantee::ALL.to_vec(), (lost, nodes), name, needed))
}

/// The same where two nodes may be all that has something: the pair that has everything, or a whole region.
pub(super) fn of_pairs(name: &str, effect: &Effect, nodes: u32) -> Option<Excess> {
    let lost = effect.disks_lost.len() as u32;
    let needed = "keeps its promises while no two disks are lost at once";
    (lost > 1).then(|| excess(Guarantee::ALL.to_vec(), (lost, nodes), name, needed))
}

pub(super) fn majority(of: u32) -> u32 {
    of / 2 + 1
}

fn excess(
    guarantees: Vec<Guarantee>,
    (lost, nodes): (u32, u32),
    name: &str,
    needed: &str,
) -> Excess {
    Excess { guarantees, words: format!("{lost} of {nodes} disks wiped; {name} {needed}") }
}
