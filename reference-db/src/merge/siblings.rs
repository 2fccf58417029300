//! A register of which no write is lost: those that did not know of each other stand side by side.
//!
//! A client that reads gets all of them, with a context, which says what it has seen. Its next write
//! names that context and replaces what is in it, and nothing else (DeCandia et al., "Dynamo", 2007,
//! section 4.4; with dots, as in [`Dotted`], so that two clients that wrote through the same actor
//! from the same context are not taken for one after the other).

use serde::{Deserialize, Serialize};

use super::{Dot, Dotted, Merge, VersionVector};

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Siblings(Dotted<Vec<u8>>);

impl Siblings {
    /// Writes a value, or makes the key absent, in place of everything that is in the context.
    ///
    /// # Panics
    /// Where the dot is known already.
    pub fn write(&mut self, dot: Dot, context: &VersionVector, value: Option<Vec<u8>>) {
        self.0.take_away(|held, _| context.has(held));
        if let Some(value) = value {
            self.0.put(dot, value);
        }
        // A client may have read elsewhere what has not come here yet: it is replaced all the same.
        self.0.know(context);
        self.0.know(&VersionVector::from_iter([dot]));
    }

    /// The values, the oldest change of the first actor first; none where the key is absent.
    pub fn values(&self) -> impl Iterator<Item = &[u8]> {
        self.0.iter().map(|(_, value)| value.as_slice())
    }

    /// What a client has seen that has read this.
    pub fn context(&self) -> &VersionVector {
        self.0.known()
    }

    /// The same without the values: as much as it takes to tell whether two states differ.
    pub fn outline(&self) -> Dotted<()> {
        self.0.outline()
    }

    /// Whether everything is known of which the outline of another state tells.
    pub fn contains(&self, outline: &Dotted<()>) -> bool {
        self.0.contains(outline)
    }

    /// Whether the key is absent.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Merge for Siblings {
    fn merge(&mut self, other: &Siblings) {
        self.0.merge(&other.0);
    }
}
