//! Which operations can be crossed out of an order so that it is still one for the others.
//!
//! A read can always go: it changes nothing. What changes something can go together with all that
//! depends on it: an element with every read that shows it, a value with the dequeue that took it, an
//! acquisition with its release. Each model says what that is, in tokens that an operation makes and
//! tokens that it uses.
//!
//! Two things follow. What has no order when such operations are gone has none with them: so proofs
//! become small. And an unanswered operation that nothing answered depends on can be left out from the
//! beginning: if there is an order with it, there is one without.

use std::hash::Hash;

use rustc_hash::FxHashMap;

/// What an operation makes and uses.
pub(super) struct Bond<T> {
    is_fixed: bool,
    makes: Vec<T>,
    uses: Vec<T>,
}

impl<T: Clone> Bond<T> {
    /// It can never go: nobody knows what depends on it.
    pub(super) fn fixed() -> Bond<T> {
        Bond { is_fixed: true, makes: Vec::new(), uses: Vec::new() }
    }

    /// It can go when it likes.
    pub(super) fn free() -> Bond<T> {
        Bond::of(Vec::new(), Vec::new())
    }

    /// It goes with all others that have this token.
    pub(super) fn together(token: T) -> Bond<T> {
        Bond::of(vec![token.clone()], vec![token])
    }

    pub(super) fn of(makes: Vec<T>, uses: Vec<T>) -> Bond<T> {
        Bond { is_fixed: false, makes, uses }
    }
}

/// The bonds between some operations, by their places.
pub(super) struct Bonds {
    of: Vec<Bond<usize>>,
    makers: Vec<Vec<usize>>,
    users: Vec<Vec<usize>>,
}

impl Bonds {
    pub(super) fn new<T: Hash + Eq>(bonds: impl IntoIterator<Item = Bond<T>>) -> Bonds {
        let mut numbers: FxHashMap<T, usize> = FxHashMap::default();
        let (mut makers, mut users) = (Vec::new(), Vec::new());
        let mut of = Vec::new();
        for (place, Bond { is_fixed, makes, uses }) in bonds.into_iter().enumerate() {
            let mut number = |token: T| {
                let next = numbers.len();
                *numbers.entry(token).or_insert(next)
            };
            let makes: Vec<usize> = makes.into_iter().map(&mut number).collect();
            let uses: Vec<usize> = uses.into_iter().map(&mut number).collect();
            makers.resize_with(numbers.len(), Vec::new);
            users.resize_with(numbers.len(), Vec::new);
            makes.iter().for_each(|token| makers[*token].push(place));
            uses.iter().for_each(|token| users[*token].push(place));
            of.push(Bond { is_fixed, makes, uses });
        }
        Bonds { of, makers, users }
    }

    /// The operations that go when these go.
    pub(super) fn go_with(&self, first: impl IntoIterator<Item = usize>) -> Vec<usize> {
        let first = first.into_iter().filter(|place| !self.of[*place].is_fixed).collect();
        self.follow(first, |bond| &bond.makes, &self.users)
    }

    /// The operations that stay because these stay, and because of those that can never go.
    pub(super) fn stay_with(&self, first: impl IntoIterator<Item = usize>) -> Vec<usize> {
        let fixed = (0..self.of.len()).filter(|place| self.of[*place].is_fixed);
        self.follow(first.into_iter().chain(fixed).collect(), |bond| &bond.uses, &self.makers)
    }

    fn follow(
        &self,
        mut open: Vec<usize>,
        tokens: impl Fn(&Bond<usize>) -> &[usize],
        next: &[Vec<usize>],
    ) -> Vec<usize> {
        let mut is_met = vec![false; self.of.len()];
        let mut is_followed = vec![false; next.len()];
        let mut met = Vec::new();
        while let Some(place) = open.pop() {
            if std::mem::replace(&mut is_met[place], true) {
                continue;
            }
            met.push(place);
            for token in tokens(&self.of[place]) {
                if !std::mem::replace(&mut is_followed[*token], true) {
                    open.extend(&next[*token]);
                }
            }
        }
        met.sort_unstable();
        met
    }
}
