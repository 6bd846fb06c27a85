//! A message as values by field id, and whether it fits a schema.

use super::{Field, Kind, NotFound, SchemaDefinition};
use thiserror::Error;

/// The value of a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A number of any width, and the number of an `enum8`.
    Int(i128),
    /// A `bool8`.
    Bool(bool),
    /// A `string`.
    Text(String),
    /// A `bytes` or `bytes32`.
    Bytes(Vec<u8>),
    /// `rows`.
    Rows(Vec<Vec<(u16, Value)>>),
}

/// A message, whatever its encoding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The schema it names.
    pub schema: u32,
    /// The version of it that its sender knows.
    pub version: u16,
    /// Values by field id.
    pub fields: Vec<(u16, Value)>,
}

impl Message {
    /// The value of a field.
    #[must_use]
    pub fn get(&self, id: u16) -> Option<&Value> {
        self.fields.iter().find(|(field, _)| *field == id).map(|(_, value)| value)
    }
}

/// Why a message does not fit its schema. `field` is "3 quantity".
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum InvalidMessage {
    /// No such schema.
    #[error(transparent)]
    NotFound(#[from] NotFound),
    /// A message of another schema.
    #[error("the message is of schema {found}, not {expected}")]
    OtherSchema {
        /// The schema it was held against.
        expected: u32,
        /// The schema it names.
        found: u32,
    },
    /// A required field is not there.
    #[error("field {0} is required and missing")]
    Missing(String),
    /// A field is there twice.
    #[error("field {0} is there twice")]
    Twice(String),
    /// A field that the schema does not have.
    #[error("field {id} is unknown to schema {schema} version {version}")]
    UnknownField {
        /// The field's id.
        id: u16,
        /// The schema.
        schema: u32,
        /// Its version.
        version: u16,
    },
    /// A value of another type.
    #[error("field {field} is {found}, not {expected}")]
    Type {
        /// Id and name of the field.
        field: String,
        /// Its type.
        expected: Kind,
        /// What was found.
        found: &'static str,
    },
    /// A value out of bounds.
    #[error("field {field} cannot be {value}: {rule}")]
    Range {
        /// Id and name of the field.
        field: String,
        /// The value.
        value: String,
        /// The rule that it breaks.
        rule: String,
    },
}

impl Value {
    const fn what(&self) -> &'static str {
        match self {
            Value::Int(_) => "a number",
            Value::Bool(_) => "a truth value",
            Value::Text(_) => "text",
            Value::Bytes(_) => "bytes",
            Value::Rows(_) => "rows",
        }
    }
}

/// Checks a message against a schema: every required field is there, every value has its field's type
/// and range, and no field is unknown, except in a message of a newer version than the schema's.
///
/// # Errors
/// [`InvalidMessage`], which names the field.
pub fn validate(message: &Message, schema: &SchemaDefinition) -> Result<(), InvalidMessage> {
    if message.schema != schema.id {
        let (expected, found) = (schema.id, message.schema);
        return Err(InvalidMessage::OtherSchema { expected, found });
    }
    for (index, (id, value)) in message.fields.iter().enumerate() {
        let Some(field) = schema.field(*id) else {
            if message.version > schema.version {
                continue;
            }
            let (id, schema, version) = (*id, schema.id, schema.version);
            return Err(InvalidMessage::UnknownField { id, schema, version });
        };
        if message.fields[..index].iter().any(|(other, _)| other == id) {
            return Err(InvalidMessage::Twice(called(field)));
        }
        check(field, value)?;
    }
    missing(&schema.fields, &message.fields)
}

fn missing(fields: &[Field], there: &[(u16, Value)]) -> Result<(), InvalidMessage> {
    let lacks = |field: &&Field| field.required && !there.iter().any(|(id, _)| *id == field.id);
    match fields.iter().find(lacks) {
        Some(field) => Err(InvalidMessage::Missing(called(field))),
        None => Ok(()),
    }
}

fn called(field: &Field) -> String {
    format!("{} {}", field.id, field.name)
}

/// Checks one value against its field.
pub(super) fn check(field: &Field, value: &Value) -> Result<(), InvalidMessage> {
    let range = |value: String, rule: String| {
        Err(InvalidMessage::Range { field: called(field), value, rule })
    };
    match (field.kind, value) {
        (Kind::Enum8, Value::Int(number)) => {
            let word = u8::try_from(*number).ok().and_then(|number| field.word(number));
            if word.is_none() {
                let mut known: Vec<(u8, &str)> =
                    field.values.iter().map(|(word, number)| (*number, word.as_str())).collect();
                known.sort_unstable();
                let known: Vec<String> = known.iter().map(|(n, w)| format!("{n} {w}")).collect();
                return range(number.to_string(), format!("it is one of {}", known.join(", ")));
            }
        }
        (Kind::Bool8, Value::Bool(_)) => {}
        (Kind::String, Value::Text(text)) => {
            let max = field.max_bytes.unwrap_or(u16::MAX);
            if text.len() > usize::from(max) {
                let value = format!("{} bytes long", text.len());
                return range(value, format!("at most {max} are allowed"));
            }
        }
        (Kind::Bytes, Value::Bytes(bytes)) => {
            let max = field.max_bytes.unwrap_or(u16::MAX);
            if bytes.len() > usize::from(max) {
                let value = format!("{} bytes long", bytes.len());
                return range(value, format!("at most {max} are allowed"));
            }
        }
        (Kind::Bytes32, Value::Bytes(bytes)) => {
            if bytes.len() != 32 {
                return range(format!("{} bytes long", bytes.len()), "it has 32 bytes".into());
            }
        }
        (Kind::Rows, Value::Rows(rows)) => {
            for row in rows {
                missing(&field.fields, row)?;
                for (id, value) in row {
                    if let Some(inner) = field.fields.iter().find(|inner| inner.id == *id) {
                        check(inner, value)?;
                    }
                }
            }
        }
        (kind, Value::Int(number)) if kind.range().is_some() => {
            let (least, greatest) = kind.range().expect("it was just asked for");
            let least = field.min.map_or(least, |min| least.max(i128::from(min)));
            let greatest = field.max.map_or(greatest, |max| greatest.min(i128::from(max)));
            if !(least..=greatest).contains(number) {
                return range(number.to_string(), format!("it is {least} to {greatest}"));
            }
        }
        (expected, found) => {
            let (field, found) = (called(field), found.what());
            return Err(InvalidMessage::Type { field, expected, found });
        }
    }
    Ok(())
}

/// Reads a value from exactly its bytes; the error says what they cannot be.
pub(super) fn read(kind: Kind, bytes: &[u8]) -> Result<Value, String> {
    let unsigned = || bytes.iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    let signed = || {
        let unused = 64 - 8 * bytes.len() as u32;
        i128::from((unsigned() << unused) as i64 >> unused)
    };
    Ok(match kind {
        Kind::Uint8 | Kind::Uint16 | Kind::Uint32 | Kind::Uint64 | Kind::Enum8 => {
            Value::Int(i128::from(unsigned()))
        }
        Kind::Int64 | Kind::Decimal | Kind::Int => Value::Int(signed()),
        Kind::Bool8 => match bytes {
            [0] => Value::Bool(false),
            [1] => Value::Bool(true),
            _ => return Err(format!("it is 0 or 1, not {}", unsigned())),
        },
        Kind::String => match std::str::from_utf8(bytes) {
            Ok(text) => Value::Text(text.to_owned()),
            Err(error) => {
                return Err(format!("it is no UTF-8 from its byte {}", error.valid_up_to()));
            }
        },
        Kind::Bytes | Kind::Bytes32 | Kind::Rows => Value::Bytes(bytes.to_vec()),
    })
}

/// Appends a value that was checked; `size` is the bytes of its field, where they are fixed.
pub(super) fn write(value: &Value, size: Option<usize>, out: &mut Vec<u8>) {
    match value {
        Value::Int(number) => {
            let size = size.expect("numbers have a size");
            out.extend_from_slice(&number.to_be_bytes()[16 - size..]);
        }
        Value::Bool(value) => out.push(u8::from(*value)),
        Value::Text(text) => out.extend_from_slice(text.as_bytes()),
        Value::Bytes(bytes) => out.extend_from_slice(bytes),
        Value::Rows(rows) => {
            debug_assert!(rows.is_empty(), "rows are written field by field");
        }
    }
}
