//! The schemas of messages that operators registered, each with its place in the total order.
//!
//! Invariant: there are as many places as registered schemas, and they ascend with them.

use crate::schema::{RegisterError, Registered, Registry, SchemaDefinition};
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
    /// Registers a schema, as part of the command with this sequence.
    pub(super) fn register(
        &mut self,
        sequence: Sequence,
        schema: SchemaDefinition,
    ) -> Result<Registered, RegisterError> {
        let done = self.registry.register(schema)?;
        if done == Registered::New {
            self.sequences.push(sequence);
        }
        Ok(done)
    }

    /// All schemas, built-in ones among them.
    #[must_use]
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The registered schemas after the first so many, each with the sequence of its command.
    pub fn after(&self, count: usize) -> impl Iterator<Item = (Sequence, &SchemaDefinition)> {
        self.sequences.iter().copied().zip(self.registry.registered()).skip(count)
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
