//! Every schema that is known: the built-in ones and those that were registered.
//!
//! Invariants: all are resident, and (id) and (id, version) are found in constant time; the same
//! registrations in the same order give the same registry and the same hash; a refused one changes
//! nothing. A registered pair of id and version is never changed and never leaves, so nothing has to
//! expire.
//!
//! A registration is judged by the definition and by what was registered before it, never by what is
//! built in: a later release has further schemas, and must judge an old registration as it was judged.
//! Names of built-in schemas are refused before the order.

use super::value::{InvalidMessage, Message, validate};
use super::{DefinitionError, Incompatible, Kind, SchemaDefinition, builtin, compatible};
use crate::event::RejectReason;
use crate::limits::{SCHEMA_CACHE_MAX, SCHEMA_VERSIONS_MAX, SCHEMAS_WEIGHT_MAX};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, DefaultHasher};
use std::sync::{Arc, LazyLock};
use thiserror::Error;

/// A hash without a random seed: ids come from operators, and equal registries must be equal.
type Index<K> = HashMap<K, usize, BuildHasherDefault<DefaultHasher>>;

/// A field that a reader needs: its name and type.
pub type Needed<'a> = (&'a str, Kind);

/// What a registration did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Registered {
    /// The schema is known from here on.
    New,
    /// The very same one was known.
    Known,
}

/// No schema has this id, or not in this version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("Schema not found: {id}{}", match .version { Some(v) => format!("@{v}"), None => String::new() })]
pub struct NotFound {
    /// The id asked for.
    pub id: u32,
    /// The version asked for, if one was.
    pub version: Option<u16>,
}

/// Why a schema was not registered.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RegisterError {
    /// The definition itself is wrong.
    #[error(transparent)]
    Definition(#[from] DefinitionError),
    /// A message of the version before could not be read, or one of this by its readers.
    #[error(transparent)]
    Incompatible(#[from] Incompatible),
    /// The same id and version with other content.
    #[error(
        "schema {id} version {version} is registered with other content: give the change a higher \
         version"
    )]
    OtherContent {
        /// The schema.
        id: u32,
        /// Its version.
        version: u16,
    },
    /// A version below the active one that was never registered.
    #[error("schema {id} has version {active} already: version {version} comes too late")]
    OldVersion {
        /// The schema.
        id: u32,
        /// The version.
        version: u16,
        /// The active version.
        active: u16,
    },
    /// Another schema has the name.
    #[error("schema {other} is called {name} already")]
    SameName {
        /// The name.
        name: String,
        /// The schema that has it.
        other: u32,
    },
    /// The limit on active schemas.
    #[error(
        "schema {id} {name} does not fit: {max} schemas are registered, which is schema_cache_max"
    )]
    Full {
        /// The schema.
        id: u32,
        /// Its name.
        name: String,
        /// The limit.
        max: usize,
    },
    /// The limit on all of them together.
    #[error(
        "schema {id} {name} does not fit: the registered schemas would count {found}, at most {max} \
         are allowed"
    )]
    TooHeavy {
        /// The schema.
        id: u32,
        /// Its name.
        name: String,
        /// What all would count.
        found: usize,
        /// The limit.
        max: usize,
    },
    /// The limit on versions of one schema.
    #[error("schema {id} has {max} versions, and more are not kept")]
    TooManyVersions {
        /// The schema.
        id: u32,
        /// The limit.
        max: usize,
    },
}

impl RegisterError {
    /// The reasons that [`RegisterError::reason`] gives.
    pub const REASONS: [RejectReason; 4] = [
        RejectReason::InvalidAdmin,
        RejectReason::IncompatibleSchema,
        RejectReason::SchemaConflict,
        RejectReason::CapacityReached,
    ];

    /// The reason that an answer gives for it.
    #[must_use]
    pub fn reason(&self) -> RejectReason {
        match self {
            RegisterError::Definition(_) => RejectReason::InvalidAdmin,
            RegisterError::Incompatible(_) => RejectReason::IncompatibleSchema,
            RegisterError::OtherContent { .. }
            | RegisterError::OldVersion { .. }
            | RegisterError::SameName { .. } => RejectReason::SchemaConflict,
            RegisterError::Full { .. }
            | RegisterError::TooHeavy { .. }
            | RegisterError::TooManyVersions { .. } => RejectReason::CapacityReached,
        }
    }
}

/// The built-in schemas: made once, the same in every registry.
static BUILTIN: LazyLock<(Vec<SchemaDefinition>, Index<u32>)> = LazyLock::new(|| {
    let schemas = builtin::schemas();
    let index = schemas.iter().enumerate().map(|(at, schema)| (schema.id, at)).collect();
    (schemas, index)
});

/// The built-in schema with a name.
pub(super) fn built_in_named(name: &str) -> Option<&'static SchemaDefinition> {
    BUILTIN.0.iter().find(|schema| schema.name == name)
}

/// A registered schema.
#[derive(Debug, PartialEq, Eq)]
struct Kept {
    schema: SchemaDefinition,
    /// Bytes of its JSON.
    json_bytes: usize,
}

/// Every schema that is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Registry {
    /// Registered schemas, in the order of registration; a copy of the registry shares them.
    registered: Vec<Arc<Kept>>,
    /// Place of the highest version.
    active: Index<u32>,
    /// Place of every version.
    versions: Index<(u32, u16)>,
    /// What all count together.
    weight: usize,
}

impl Registry {
    /// The built-in schemas.
    #[must_use]
    pub fn new() -> Registry {
        Registry::default()
    }

    /// Registers a schema, or a new version of one.
    ///
    /// # Errors
    /// [`RegisterError`]; nothing is changed then.
    pub fn register(&mut self, schema: SchemaDefinition) -> Result<Registered, RegisterError> {
        let done = self.judge(&schema)?;
        if done == Registered::New {
            self.insert(schema);
        }
        Ok(done)
    }

    /// What registering it would do.
    ///
    /// # Errors
    /// [`RegisterError`].
    pub fn judge(&self, schema: &SchemaDefinition) -> Result<Registered, RegisterError> {
        schema.check_sequenced()?;
        let (id, version) = (schema.id, schema.version);
        if let Some(at) = self.versions.get(&(id, version)) {
            return if self.registered[*at].schema == *schema {
                Ok(Registered::Known)
            } else {
                Err(RegisterError::OtherContent { id, version })
            };
        }
        match self.active.get(&id) {
            Some(at) => {
                let active = &self.registered[*at].schema;
                if active.version > version {
                    let active = active.version;
                    return Err(RegisterError::OldVersion { id, version, active });
                }
                compatible(active, schema)?;
                let versions = self.registered().filter(|known| known.id == id).count();
                if versions >= SCHEMA_VERSIONS_MAX {
                    return Err(RegisterError::TooManyVersions { id, max: SCHEMA_VERSIONS_MAX });
                }
            }
            None => {
                if let Some(other) = self.registered().find(|known| known.name == schema.name) {
                    let (name, other) = (schema.name.clone(), other.id);
                    return Err(RegisterError::SameName { name, other });
                }
                if self.active.len() >= SCHEMA_CACHE_MAX {
                    let (name, max) = (schema.name.clone(), SCHEMA_CACHE_MAX);
                    return Err(RegisterError::Full { id, name, max });
                }
            }
        }
        let (found, max) = (self.weight + schema.weight(), SCHEMAS_WEIGHT_MAX);
        if found > max {
            return Err(RegisterError::TooHeavy { id, name: schema.name.clone(), found, max });
        }
        Ok(Registered::New)
    }

    /// Takes one in that was judged new.
    pub(crate) fn insert(&mut self, schema: SchemaDefinition) {
        let at = self.registered.len();
        self.weight += schema.weight();
        self.active.insert(schema.id, at);
        self.versions.insert((schema.id, schema.version), at);
        let json_bytes = schema.to_json().len();
        self.registered.push(Arc::new(Kept { schema, json_bytes }));
    }

    /// The active version of a schema, the highest one.
    ///
    /// # Errors
    /// [`NotFound`].
    pub fn get(&self, id: u32) -> Result<&SchemaDefinition, NotFound> {
        let (schemas, index) = &*BUILTIN;
        let built_in = index.get(&id).map(|at| &schemas[*at]);
        built_in
            .or_else(|| self.active.get(&id).map(|at| &self.registered[*at].schema))
            .ok_or(NotFound { id, version: None })
    }

    /// One version of a schema.
    ///
    /// # Errors
    /// [`NotFound`].
    pub fn get_version(&self, id: u32, version: u16) -> Result<&SchemaDefinition, NotFound> {
        let built_in = BUILTIN.1.get(&id).map(|at| &BUILTIN.0[*at]);
        built_in
            .filter(|schema| schema.version == version)
            .or_else(|| self.versions.get(&(id, version)).map(|at| &self.registered[*at].schema))
            .ok_or(NotFound { id, version: Some(version) })
    }

    /// The active version of the schema with a name; a built-in one goes before one that had the name
    /// before this release.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<&SchemaDefinition> {
        let id = self.all().find(|schema| schema.name == name)?.id;
        self.get(id).ok()
    }

    /// Every version of every schema: built-in ones, then the others as they were registered.
    pub fn all(&self) -> impl Iterator<Item = &SchemaDefinition> {
        BUILTIN.0.iter().chain(self.registered())
    }

    /// The active versions, in the order of their ids.
    #[must_use]
    pub fn active(&self) -> Vec<&SchemaDefinition> {
        let mut active: Vec<&SchemaDefinition> =
            self.active.values().map(|at| &self.registered[*at].schema).chain(&BUILTIN.0).collect();
        active.sort_unstable_by_key(|schema| schema.id);
        active
    }

    /// Registered schemas, in the order of registration.
    pub fn registered(&self) -> impl ExactSizeIterator<Item = &SchemaDefinition> {
        self.registered.iter().map(|kept| &kept.schema)
    }

    /// The same, each with the bytes of its JSON.
    pub fn measured(&self) -> impl ExactSizeIterator<Item = (&SchemaDefinition, usize)> {
        self.registered.iter().map(|kept| (&kept.schema, kept.json_bytes))
    }

    /// The schema with the fewest fields that has all of those needed, by name and type; among equals
    /// the newest version, then the lowest id.
    #[must_use]
    pub fn find_compatible(&self, needed: &[Needed<'_>]) -> Option<&SchemaDefinition> {
        let has = |schema: &SchemaDefinition, (name, kind): &Needed<'_>| {
            schema.field_named(name).is_some_and(|field| field.kind == *kind)
        };
        self.all()
            .filter(|schema| needed.iter().all(|need| has(schema, need)))
            .min_by_key(|s| (s.fields.len(), std::cmp::Reverse(s.version), s.id))
    }

    /// Checks a message against the schema that it names, in the version that it names.
    ///
    /// # Errors
    /// [`InvalidMessage`].
    pub fn validate(&self, message: &Message) -> Result<(), InvalidMessage> {
        self.validate_by_id(message, message.schema)
    }

    /// Checks a message against the schema with an id, in the message's version or, where that is
    /// not known, in the active one.
    ///
    /// # Errors
    /// [`InvalidMessage`].
    pub fn validate_by_id(&self, message: &Message, id: u32) -> Result<(), InvalidMessage> {
        let exact = self.get_version(id, message.version);
        let schema = exact.or_else(|_| self.get(id))?;
        validate(message, schema)
    }

    /// Adds what was registered to a state hash; nothing where nothing was.
    pub fn add_to_hash(&self, hasher: &mut Sha256) {
        if self.registered.is_empty() {
            return;
        }
        hasher.update(b"schemas");
        hasher.update((self.registered.len() as u64).to_le_bytes());
        for schema in self.registered() {
            let text = schema.to_json();
            hasher.update((text.len() as u64).to_le_bytes());
            hasher.update(text.as_bytes());
        }
    }
}
