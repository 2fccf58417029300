//! What two nodes must share to go on in the same way: their text, with moments relative to now.
//!
//! The text is the one that `Debug` derives, so that no field can be forgotten. Two things in it would
//! make states of a finite world infinitely many. Moments grow for ever: what a node compares are
//! differences to its `now`, and none with more than the shortest election timeout, so that all
//! differences from there on are one. And a stream of random numbers is at another place after every
//! number that was drawn: the protocols draw two kinds, election timeouts, which all lie beyond that
//! limit, and numbers of sessions, which are drawn before the exploration begins.

use std::fmt::{Debug, Write as _};

use stormglass_reference_db::env::Time;

use super::world::TIMING;

/// What is left out of the text: random numbers that are yet to be drawn.
const BLIND: &str = "ChaCha8Rng {";

/// The first bytes of a hash: two states that share them are taken for one.
pub(crate) type Digest = [u8; 16];

/// The digest of some bytes.
pub(crate) fn digest(bytes: &[u8]) -> Digest {
    *blake3::hash(bytes).as_bytes().first_chunk().expect("a hash has 32 bytes")
}

/// The text of a node at a moment.
pub(crate) fn text(node: &impl Debug, now: Time) -> String {
    let full = format!("{node:?}");
    let mut text = String::with_capacity(full.len());
    let mut rest = full.as_str();
    loop {
        let time = rest.find("Time(").map(|at| (at, "Time("));
        let blind = rest.find(BLIND).map(|at| (at, BLIND));
        let Some((at, what)) = time.into_iter().chain(blind).min() else { break };
        let (before, behind) = rest.split_at(at + what.len());
        text.push_str(before);
        rest = if what == "Time(" { moment(behind, now, &mut text) } else { skip_braces(behind) };
    }
    text.push_str(rest);
    text
}

/// Puts the difference to now in the place of a moment, and returns what follows.
fn moment<'a>(behind: &'a str, now: Time, text: &mut String) -> &'a str {
    let end = behind.find(')').expect("`Debug` closes what it opens");
    let at = Time(behind[..end].parse().expect("a moment is a number"));
    let (sign, distance) = if at > now { ('+', at.since(now)) } else { ('-', now.since(at)) };
    if at == Time::NEVER {
        text.push_str("never");
    } else {
        let distance = distance.min(TIMING.election).as_nanos();
        write!(text, "{sign}{distance}").expect("a string takes everything");
    }
    &behind[end..]
}

/// What follows the brace that closes an open one.
fn skip_braces(behind: &str) -> &str {
    let mut open = 1;
    for (at, byte) in behind.bytes().enumerate() {
        match byte {
            b'{' => open += 1,
            b'}' => open -= 1,
            _ => {}
        }
        if open == 0 {
            return &behind[at..];
        }
    }
    ""
}
