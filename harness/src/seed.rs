//! Seeds, and the independent streams of random numbers that a seed gives rise to.

use std::cell::Cell;
use std::fmt;
use std::rc::Rc;
use std::str::FromStr;

use rand::RngCore;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

/// The number that decides a run, together with its plan and the version of the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Seed(pub u64);

impl Seed {
    /// The stream of random numbers for one purpose.
    ///
    /// Each purpose has a stream of its own, so that one more draw in the network does not change
    /// what the workload does, and leaving out a fault does not change any other fault: that is
    /// what makes a failing run shrinkable.
    pub fn stream(self, purpose: &str) -> Stream {
        Stream { random: self.random(purpose), later: None }
    }

    fn random(self, purpose: &str) -> ChaCha8Rng {
        let mut hasher = blake3::Hasher::new_derive_key("stormglass 2026 stream of a seed");
        hasher.update(&self.0.to_le_bytes());
        hasher.update(purpose.as_bytes());
        ChaCha8Rng::from_seed(*hasher.finalize().as_bytes())
    }
}

/// The seed of a run, and the one that takes its place in mid-run, if one does. Its streams go over to that one: what
/// was drawn stays, and what is drawn from then on is drawn from the other seed.
#[derive(Clone, Debug)]
pub(crate) struct Seeds {
    first: Seed,
    other: Rc<Cell<Option<Seed>>>,
}

impl Seeds {
    /// A run that begins with this seed.
    pub(crate) fn new(first: Seed) -> Seeds {
        Seeds { first, other: Rc::default() }
    }

    /// The seed that is drawn from now.
    pub(crate) fn present(&self) -> Seed {
        self.other.get().unwrap_or(self.first)
    }

    /// Goes over to another seed.
    pub(crate) fn go_over(&self, other: Seed) {
        self.other.set(Some(other));
    }

    /// Whether it has gone over to another seed.
    pub(crate) fn has_gone_over(&self) -> bool {
        self.other.get().is_some()
    }

    /// The stream of random numbers for one purpose.
    pub(crate) fn stream(&self, purpose: &str) -> Stream {
        let stream = self.present().stream(purpose);
        let later = (!self.has_gone_over()).then(|| (self.clone(), purpose.into()));
        Stream { later, ..stream }
    }
}

impl fmt::Display for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl FromStr for Seed {
    type Err = String;

    fn from_str(text: &str) -> Result<Seed, String> {
        let parsed = match text.strip_prefix("0x") {
            Some(hex) => u64::from_str_radix(hex, 16),
            None => text.parse(),
        };
        parsed.map(Seed).map_err(|_| {
            format!("`{text}` is no seed; a seed is a whole number from 0 to {}", u64::MAX)
        })
    }
}

/// A seed's random numbers for one purpose.
///
/// The sampling is our own, so that a run stays what it was when a library changes its sampling.
#[derive(Clone, Debug)]
pub struct Stream {
    random: ChaCha8Rng,
    /// Where its run may go over to another seed: the seeds, and the purpose.
    later: Option<(Seeds, Box<str>)>,
}

impl Stream {
    /// A number below `bound`.
    ///
    /// # Panics
    /// If `bound` is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        assert!(bound > 0, "there is no number below 0");
        // The multiply-shift method (Lemire 2019) without its rejection step: the bias is below
        // bound / 2^64, far under what any campaign could notice.
        ((u128::from(self.number()) * u128::from(bound)) >> 64) as u64
    }

    /// A number from `low` to `high`, both included.
    ///
    /// # Panics
    /// If `low` is greater than `high`.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        assert!(low <= high, "the range {low}..={high} is empty");
        low + self.below((high - low).saturating_add(1))
    }

    /// Whether a thing with this chance happens.
    pub fn chance(&mut self, chance: Ratio) -> bool {
        self.below(u64::from(chance.of)) < u64::from(chance.times)
    }

    /// One of `items`; nothing where there are none.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        match items.len() {
            0 => None,
            len => items.get(self.below(len as u64) as usize),
        }
    }

    /// Puts `items` into a random order (Fisher and Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for end in (1..items.len()).rev() {
            items.swap(end, self.below(end as u64 + 1) as usize);
        }
    }

    /// Any 64-bit number.
    pub fn number(&mut self) -> u64 {
        let gone = |later: &mut (Seeds, _)| later.0.has_gone_over();
        if let Some((seeds, purpose)) = self.later.take_if(gone) {
            self.random = seeds.present().random(&purpose);
        }
        self.random.next_u64()
    }

    /// The generator itself, for code that samples on its own. It stays with the seed that it was made from.
    pub fn into_rng(self) -> ChaCha8Rng {
        self.random
    }
}

/// A chance: `times` out of `of`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Written")]
pub struct Ratio {
    times: u32,
    of: u32,
}

/// A chance as files have it: `"1/3"`, or both numbers by name.
#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Text(String),
    Numbers { times: u32, of: u32 },
}

impl TryFrom<Written> for Ratio {
    type Error = String;

    fn try_from(written: Written) -> Result<Ratio, String> {
        let text = match written {
            Written::Numbers { times, of } => return Ok(Ratio { times, of }),
            Written::Text(text) => text,
        };
        let numbers = text.split_once('/').map(|(times, of)| (times.parse(), of.parse()));
        match numbers {
            Some((Ok(times), Ok(of))) => Ok(Ratio { times, of }),
            _ => Err(format!("`{text}` is no chance; a chance is written like `1/3`")),
        }
    }
}

impl Ratio {
    /// Makes the chance `times` out of `of`.
    ///
    /// # Panics
    /// If `of` is 0 or less than `times`.
    pub const fn new(times: u32, of: u32) -> Ratio {
        assert!(of > 0 && times <= of, "a ratio lies between 0 and 1");
        Ratio { times, of }
    }

    /// So many times, of so many.
    pub(crate) const fn parts(self) -> (u32, u32) {
        (self.times, self.of)
    }

    /// Whether it lies between 0 and 1: one that was read from a file need not.
    pub const fn is_possible(self) -> bool {
        self.of > 0 && self.times <= self.of
    }
}

impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.times, self.of)
    }
}
