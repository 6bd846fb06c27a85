//! The schemas of messages that operators registered, each with its place in the total order.
//!
//! Invariant: there are as many places as registered schemas, and they ascend with them.

use crate::schema::{Registry, SchemaDefinition};
use crate::types::Sequence;
use sha2::{Digest, Sha256};

/// The registry, and when each schema came into it. A copy shares the definitions.
#[derive(Clone, Debug, Default)]
pub struct Schemas {
    registry: Registry,
    /// The command that registered each, in the order of registration.
    sequences: Vec<Sequence>,
}

impl Schemas {
    /// Takes in a schema that was judged new, as part of the command with this sequence.
    pub(super) fn insert(&mut self, sequence: Sequence, schema: SchemaDefinition) {
        self.registry.insert(schema);
        self.sequences.push(sequence);
    }

    /// All schemas, built-in ones among them.
    #[must_use]
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The registered schemas after the first so many, each with the sequence of its command and the
    /// bytes of its JSON.
    pub fn after(
        &self,
        count: usize,
    ) -> impl Iterator<Item = (Sequence, &SchemaDefinition, usize)> {
        let rows = self.sequences.iter().zip(self.registry.measured()).skip(count);
        rows.map(|(sequence, (schema, json_bytes))| (*sequence, schema, json_bytes))
    }

    /// Checks the invariants.
    ///
    /// # Panics
    /// Where one is broken.
    pub(super) fn check(&self) {
        assert!(self.sequences.len() == self.registry.registered().len());
        assert!(self.sequences.is_sorted(), "places ascend");
    }

    /// Adds what was registered, and where in the order, to a state hash; nothing where nothing was.
    pub(super) fn add_to_hash(&self, hasher: &mut Sha256) {
        self.registry.add_to_hash(hasher);
        for sequence in &self.sequences {
            hasher.update(sequence.0.to_be_bytes());
        }
    }
}
