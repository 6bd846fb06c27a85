//! The schemas of messages that operators registered, each with its place in the total order.
//!
//! Invariant: there are as many places as registered schemas, and they ascend with them.

use crate::packing::{Pack, Unfit, Unpack, ensure};
use crate::schema::{Registered, Registry, SchemaDefinition};
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
            let new = self.registry.judge(&schema).map_err(|e| refused(e.to_string()))?;
            ensure(new == Registered::New, "a schema is registered twice")?;
            self.insert(sequence, schema);
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
