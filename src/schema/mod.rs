//! Schemas: what fields a message has, in which versions, and whether a message fits one.
//!
//! Invariants: a definition that leaves [`SchemaDefinition::check`] is bounded and unambiguous; a
//! pair of id and version never changes its content; the definitions of this program's own messages
//! are made from the layouts that encode and decode them, so the two cannot disagree.

pub mod builtin;
mod compatible;
mod definition;
pub mod explain;
mod fixed;
pub mod frame;
mod json;
mod registry;
pub mod tagged;
mod value;

pub use compatible::{Incompatible, compatible};
pub use definition::{DefinitionError, Field, Kind, SchemaDefinition};
pub use json::{JsonError, unhex};
pub use registry::{Needed, NotFound, RegisterError, Registered, Registry};
pub use value::{InvalidMessage, Message, Value, validate};

use crate::command::FieldLayout;
use thiserror::Error;

/// The lowest id of a schema that is registered rather than built in.
pub const REGISTERED_ID_MIN: u32 = 1000;

/// A field's value and where its bytes stand in the payload.
#[derive(Clone, Debug, PartialEq)]
pub struct Placed {
    /// The field's id.
    pub id: u16,
    /// Bytes from the payload's start.
    pub offset: usize,
    /// Bytes.
    pub size: usize,
    /// The value.
    pub value: Value,
}

/// Bytes that are no message of their schema.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("at byte {offset} of the payload: {what}")]
pub struct PayloadFault {
    /// Bytes from the payload's start.
    pub offset: usize,
    /// What is wrong there.
    pub what: String,
}

impl PayloadFault {
    fn new(offset: usize, what: impl std::fmt::Display) -> PayloadFault {
        PayloadFault { offset, what: what.to_string() }
    }
}

impl From<&FieldLayout> for Field {
    fn from(layout: &FieldLayout) -> Field {
        let kind =
            Kind::from_word(layout.kind).expect("every type of a layout is a type of a schema");
        let mut field = Field::new(0, layout.name, kind);
        field.required = true;
        field.about = layout.about.to_owned();
        field.values = layout.words.iter().map(|(n, word)| ((*word).to_owned(), *n)).collect();
        field
    }
}
