//! The schemas of messages that operators registered, each with its place in the total order.
//!
//! Invariant: there are as many places as registered schemas, and they ascend with them.

use crate::packing::{Pack, Unfit, Unpack, ensure};
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

    /// Packs what was registered, with its places in the order.
    pub(super) fn pack(&self, pack: &mut Pack) {
        let Schemas { registry, sequences } = self;
        pack.count(sequences.len());
        for (sequence, schema) in sequences.iter().zip(registry.registered()) {
            pack.u64(sequence.0);
            pack.text(schema.to_json().as_bytes());
        }
    }

    /// Registers what was packed, up to the command with sequence `last`.
    pub(super) fn unpack(&mut self, unpack: &mut Unpack<'_>, last: Sequence) -> Result<(), Unfit> {
        let refused = |error: String| Unfit::Refused(error);
        let mut before = Sequence::NONE;
        for _ in 0..unpack.count(16)? {
            let sequence = Sequence(unpack.u64()?);
            ensure(before < sequence && sequence <= last, "a schema's place cannot be")?;
            before = sequence;
            let text = std::str::from_utf8(unpack.text()?).map_err(|e| refused(e.to_string()))?;
            let schema = SchemaDefinition::from_json(text).map_err(|e| refused(e.to_string()))?;
            let done = self.register(sequence, schema).map_err(|e| refused(e.to_string()))?;
            ensure(done == Registered::New, "a schema is registered twice")?;
        }
        Ok(())
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
