//! A schema as it is written: in TOML files, in JSON, and in code.

use super::{REGISTERED_ID_MIN, registry};
use crate::limits::{
    SCHEMA_FIELDS_MAX, SCHEMA_NAME_MAX_BYTES, SCHEMA_REGISTERED_MAX_BYTES, SCHEMA_TEXT_MAX_BYTES,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use thiserror::Error;

/// A message's fields, under an id and a version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SchemaDefinition {
    /// Number in the header of a message.
    pub id: u32,
    /// Name; letters, digits and hyphens.
    pub name: String,
    /// Version, from 1.
    pub version: u16,
    /// What it is for.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub about: String,
    /// The fields, in the order of their ids.
    #[serde(default)]
    pub fields: Vec<Field>,
}

/// A field of a schema.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Field {
    /// Number in the schema, from 1; it names the field on the wire.
    pub id: u16,
    /// Name; letters, digits and underscores.
    pub name: String,
    /// Type.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// A message without it does not fit.
    #[serde(default)]
    pub required: bool,
    /// Least value of a number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<i64>,
    /// Greatest value of a number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<i64>,
    /// Bytes of the longest `string` or `bytes`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_bytes: Option<u16>,
    /// What it means.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub about: String,
    /// Words of an `enum8` and their numbers.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub values: BTreeMap<String, u8>,
    /// Fields of each row of `rows`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<Field>,
}

impl Field {
    /// An optional field without further rules.
    #[must_use]
    pub fn new(id: u16, name: &str, kind: Kind) -> Field {
        Field {
            id,
            name: name.to_owned(),
            kind,
            required: false,
            min: None,
            max: None,
            max_bytes: None,
            about: String::new(),
            values: BTreeMap::new(),
            fields: Vec::new(),
        }
    }

    /// The word of a value of an `enum8`.
    #[must_use]
    pub fn word(&self, number: u8) -> Option<&str> {
        self.values.iter().find(|(_, value)| **value == number).map(|(word, _)| word.as_str())
    }
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $word:literal, $size:expr;)+) => {
        /// Type of a field.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum Kind { $($(#[$doc])* #[serde(rename = $word)] $name,)+ }

        impl Kind {
            /// Every type.
            pub const ALL: &'static [Kind] = &[$(Kind::$name,)+];

            /// The type's word.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Kind::$name => $word,)+ }
            }

            /// The type with this word.
            #[must_use]
            pub fn from_word(word: &str) -> Option<Kind> {
                match word { $($word => Some(Kind::$name),)+ _ => None }
            }

            /// Bytes on the wire where they are always as many; `int` has those of the bit mode.
            #[must_use]
            pub const fn size(self) -> Option<usize> {
                match self { $(Kind::$name => $size,)+ }
            }
        }
    };
}

kinds! {
    /// A number from 0, one byte.
    Uint8 = "uint8", Some(1);
    /// A number from 0, two bytes.
    Uint16 = "uint16", Some(2);
    /// A number from 0, four bytes.
    Uint32 = "uint32", Some(4);
    /// A number from 0, eight bytes.
    Uint64 = "uint64", Some(8);
    /// A signed number, eight bytes.
    Int64 = "int64", Some(8);
    /// A signed number in the smallest unit, eight bytes.
    Decimal = "decimal", Some(8);
    /// A signed number as wide as the frame's bit mode.
    Int = "int", None;
    /// One of the values listed.
    Enum8 = "enum8", Some(1);
    /// 0 or 1.
    Bool8 = "bool8", Some(1);
    /// 32 bytes.
    Bytes32 = "bytes32", Some(32);
    /// UTF-8 text.
    String = "string", None;
    /// Bytes.
    Bytes = "bytes", None;
    /// Rows, each with the same fields; only in built-in schemas.
    Rows = "rows", None;
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Kind {
    /// Least and greatest value of a number; `None` where it is no number.
    #[must_use]
    pub const fn range(self) -> Option<(i128, i128)> {
        Some(match self {
            Kind::Uint8 => (0, u8::MAX as i128),
            Kind::Uint16 => (0, u16::MAX as i128),
            Kind::Uint32 => (0, u32::MAX as i128),
            Kind::Uint64 => (0, u64::MAX as i128),
            Kind::Int64 | Kind::Decimal | Kind::Int => (i64::MIN as i128, i64::MAX as i128),
            _ => return None,
        })
    }
}

/// A definition that is none.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum DefinitionError {
    /// The text is no TOML or JSON of a definition.
    #[error("this is no schema: {0}")]
    Text(String),
    /// A text beyond its limit.
    #[error("a schema of {found} bytes is longer than the {max} allowed")]
    TooLong {
        /// Bytes found.
        found: usize,
        /// Bytes allowed.
        max: usize,
    },
    /// An id of the built-in range.
    #[error(
        "schema {0} cannot be registered: ids below {REGISTERED_ID_MIN} are those of built-in schemas"
    )]
    Reserved(u32),
    /// Version 0.
    #[error("schema {0} has version 0: versions begin with 1")]
    Version(u32),
    /// A name with other characters, empty or too long.
    #[error(
        "{0:?} is no name: write 1 to {max} lower-case letters, digits, - or _, a letter first",
        max = SCHEMA_NAME_MAX_BYTES
    )]
    Name(String),
    /// The name of a built-in schema.
    #[error("schema {other} is called {name} already")]
    BuiltInName {
        /// The name.
        name: String,
        /// The built-in schema that has it.
        other: u32,
    },
    /// A definition that fits into no answer.
    #[error(
        "schema {id} {name} has {found} bytes as JSON, at most {max} are registered",
        max = SCHEMA_REGISTERED_MAX_BYTES
    )]
    TooLarge {
        /// The schema.
        id: u32,
        /// Its name.
        name: String,
        /// Bytes found.
        found: usize,
    },
    /// Too many fields.
    #[error("schema {id} has {found} fields, at most {max} are allowed", max = SCHEMA_FIELDS_MAX)]
    Fields {
        /// The schema.
        id: u32,
        /// Fields found.
        found: usize,
    },
    /// Field ids that do not ascend from 1.
    #[error("field {field} {name} stands out of order: field ids ascend from 1 and none repeats")]
    Order {
        /// Field id.
        field: u16,
        /// Its name.
        name: String,
    },
    /// Two fields of one name.
    #[error("two fields are called {0}")]
    SameName(String),
    /// A rule that makes no sense for the field's type.
    #[error("field {field} {name} is {kind}: {what}")]
    Rule {
        /// Field id.
        field: u16,
        /// Its name.
        name: String,
        /// Its type.
        kind: Kind,
        /// What is wrong.
        what: &'static str,
    },
}

fn is_name(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
    text.len() <= SCHEMA_NAME_MAX_BYTES
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.chars().all(plain)
}

impl SchemaDefinition {
    /// Reads TOML and checks it.
    ///
    /// # Errors
    /// [`DefinitionError`].
    pub fn from_toml(text: &str) -> Result<SchemaDefinition, DefinitionError> {
        SchemaDefinition::bounded(text)?;
        let read: Result<SchemaDefinition, _> = toml::from_str(text);
        read.map_err(|error| DefinitionError::Text(error.message().to_owned()))?.checked()
    }

    /// Reads JSON and checks it.
    ///
    /// # Errors
    /// [`DefinitionError`].
    pub fn from_json(text: &str) -> Result<SchemaDefinition, DefinitionError> {
        SchemaDefinition::bounded(text)?;
        let read: Result<SchemaDefinition, _> = serde_json::from_str(text);
        read.map_err(|error| DefinitionError::Text(error.to_string()))?.checked()
    }

    fn bounded(text: &str) -> Result<(), DefinitionError> {
        let (found, max) = (text.len(), SCHEMA_TEXT_MAX_BYTES);
        if found > max { Err(DefinitionError::TooLong { found, max }) } else { Ok(()) }
    }

    fn checked(self) -> Result<SchemaDefinition, DefinitionError> {
        self.check()?;
        Ok(self)
    }

    /// The definition as TOML, which reads back equal.
    ///
    /// # Panics
    /// Never: plain data is always TOML.
    #[must_use]
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("plain data is TOML")
    }

    /// The definition as one line of JSON, which reads back equal.
    ///
    /// # Panics
    /// Never: plain data is always JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("plain data is JSON")
    }

    /// What it counts towards [`crate::limits::SCHEMAS_WEIGHT_MAX`]: 256 for itself and for each
    /// field, 64 for each value, and the bytes of all texts. A replay judges by it, so it never changes
    /// for a definition that there is.
    #[must_use]
    pub fn weight(&self) -> usize {
        let value = |(word, _): (&String, &u8)| 64 + word.len();
        let field = |field: &Field| {
            let values: usize = field.values.iter().map(value).sum();
            256 + field.name.len() + field.about.len() + values
        };
        let fields: usize = self.fields.iter().map(field).sum();
        256 + self.name.len() + self.about.len() + fields
    }

    /// The field with this id.
    #[must_use]
    pub fn field(&self, id: u16) -> Option<&Field> {
        // Ids ascend from 1, mostly without gaps.
        let guess = self.fields.get(usize::from(id).wrapping_sub(1));
        guess.filter(|field| field.id == id).or_else(|| self.fields.iter().find(|f| f.id == id))
    }

    /// The field with this name.
    #[must_use]
    pub fn field_named(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.name == name)
    }

    /// Checks all that can be known of the definition alone.
    ///
    /// # Errors
    /// [`DefinitionError`], the first thing that is wrong.
    pub fn check(&self) -> Result<(), DefinitionError> {
        if self.version == 0 {
            return Err(DefinitionError::Version(self.id));
        }
        if !is_name(&self.name) {
            return Err(DefinitionError::Name(self.name.clone()));
        }
        check_fields(self.id, &self.fields)
    }

    /// Checks that it is good and has an id that is free for registration: what a replay by any later
    /// release finds as well.
    ///
    /// # Errors
    /// [`DefinitionError`], the first thing that is wrong.
    pub fn check_sequenced(&self) -> Result<(), DefinitionError> {
        self.check()?;
        if self.id < REGISTERED_ID_MIN {
            return Err(DefinitionError::Reserved(self.id));
        }
        Ok(())
    }

    /// Checks beside it what depends on the release: that no built-in schema has its name, and that it
    /// fits into an answer. It is judged before the order, and never again.
    ///
    /// # Errors
    /// [`DefinitionError`], the first thing that is wrong.
    pub fn check_registrable(&self) -> Result<(), DefinitionError> {
        self.check_sequenced()?;
        if let Some(other) = registry::built_in_named(&self.name) {
            return Err(DefinitionError::BuiltInName { name: self.name.clone(), other: other.id });
        }
        let found = self.to_json().len();
        if found > SCHEMA_REGISTERED_MAX_BYTES {
            let (id, name) = (self.id, self.name.clone());
            return Err(DefinitionError::TooLarge { id, name, found });
        }
        Ok(())
    }
}

fn check_fields(id: u32, fields: &[Field]) -> Result<(), DefinitionError> {
    if fields.len() > SCHEMA_FIELDS_MAX {
        return Err(DefinitionError::Fields { id, found: fields.len() });
    }
    let mut before = 0;
    for (index, field) in fields.iter().enumerate() {
        if field.id <= before {
            return Err(DefinitionError::Order { field: field.id, name: field.name.clone() });
        }
        before = field.id;
        if !is_name(&field.name) {
            return Err(DefinitionError::Name(field.name.clone()));
        }
        if fields[..index].iter().any(|other| other.name == field.name) {
            return Err(DefinitionError::SameName(field.name.clone()));
        }
        let wrong = |what| {
            let (name, kind) = (field.name.clone(), field.kind);
            Err(DefinitionError::Rule { field: field.id, name, kind, what })
        };
        let number = field.kind.range().is_some();
        if !number && (field.min.is_some() || field.max.is_some()) {
            return wrong("min and max are for numbers");
        }
        if field.min.zip(field.max).is_some_and(|(min, max)| min > max) {
            return wrong("min is above max");
        }
        if field.max_bytes.is_some() && !matches!(field.kind, Kind::String | Kind::Bytes) {
            return wrong("max_bytes is for string and bytes");
        }
        let mut numbers: Vec<u8> = field.values.values().copied().collect();
        numbers.sort_unstable();
        if (field.kind == Kind::Enum8) == numbers.is_empty() {
            return wrong("values are for enum8, which needs at least one");
        }
        if numbers.windows(2).any(|pair| pair[0] == pair[1]) {
            return wrong("two values have one number");
        }
        if field.values.keys().any(|word| !is_name(word)) {
            return wrong("a value's word is no name");
        }
        if (field.kind == Kind::Rows) == field.fields.is_empty() {
            return wrong("fields are for rows, which needs at least one");
        }
        if field.kind == Kind::Rows {
            if id >= REGISTERED_ID_MIN {
                return wrong("rows are for built-in schemas");
            }
            if field.fields.iter().any(|inner| inner.kind.size().is_none()) {
                return wrong("a row's fields have fixed sizes");
            }
            check_fields(id, &field.fields)?;
        }
    }
    Ok(())
}
