//! Values of a message as JSON, by the names of their fields.
//!
//! Numbers are JSON numbers as they stand on the wire: ticks, lots, smallest units. An `enum8` is its
//! word, bytes are hex. Reading also takes a number for the word, and digits in a string for a number.

use super::{Field, Kind, Value};
use serde_json::{Map, Number, Value as Json};
use thiserror::Error;

/// JSON that is no message.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum JsonError {
    /// A name that no field has.
    #[error("{name} is no field here; there is {known}")]
    UnknownName {
        /// The name.
        name: String,
        /// The names that there are.
        known: String,
    },
    /// A value that its field cannot have.
    #[error("{name} is {kind}: {found} is none")]
    Value {
        /// The field.
        name: String,
        /// Its type.
        kind: Kind,
        /// What was found.
        found: String,
    },
}

/// Lower-case hex.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Bytes of hex; `None` where it is none.
#[must_use]
pub fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    if !digits.len().is_multiple_of(2) || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    digits.chunks(2).map(pair).collect()
}

/// Values as an object; those of unknown fields are left out.
pub(super) fn write<'v>(
    fields: &[Field],
    values: impl IntoIterator<Item = (u16, &'v Value)>,
) -> Map<String, Json> {
    let mut object = Map::new();
    for (id, value) in values {
        if let Some(field) = fields.iter().find(|field| field.id == id) {
            object.insert(field.name.clone(), to_json(field, value));
        }
    }
    object
}

/// A value as JSON.
pub(super) fn to_json(field: &Field, value: &Value) -> Json {
    match value {
        Value::Int(number) => {
            let word = u8::try_from(*number).ok().and_then(|number| field.word(number));
            match word {
                Some(word) => Json::from(word),
                None => Number::from_i128(*number).map_or(Json::Null, Json::Number),
            }
        }
        Value::Bool(value) => Json::from(*value),
        Value::Text(text) => Json::from(text.as_str()),
        Value::Bytes(bytes) => Json::from(hex(bytes)),
        Value::Rows(rows) => rows
            .iter()
            .map(|row| {
                let values = row.iter().map(|(id, value)| (*id, value));
                Json::Object(write(&field.fields, values))
            })
            .collect(),
    }
}

/// Values of an object.
pub(super) fn read(
    fields: &[Field],
    object: &Map<String, Json>,
) -> Result<Vec<(u16, Value)>, JsonError> {
    let mut values = Vec::new();
    for (name, json) in object {
        let Some(field) = fields.iter().find(|field| field.name == *name) else {
            let known: Vec<&str> = fields.iter().map(|field| field.name.as_str()).collect();
            return Err(JsonError::UnknownName { name: name.clone(), known: known.join(", ") });
        };
        values.push((field.id, from_json(field, json)?));
    }
    values.sort_by_key(|(id, _)| *id);
    Ok(values)
}

fn from_json(field: &Field, json: &Json) -> Result<Value, JsonError> {
    let wrong = || {
        let mut found = json.to_string();
        found.truncate(found.floor_char_boundary(80));
        JsonError::Value { name: field.name.clone(), kind: field.kind, found }
    };
    Ok(match (field.kind, json) {
        (Kind::Enum8, Json::String(word)) if field.values.contains_key(word) => {
            Value::Int(i128::from(field.values[word]))
        }
        (Kind::Bool8, Json::Bool(value)) => Value::Bool(*value),
        (Kind::String, Json::String(text)) => Value::Text(text.clone()),
        (Kind::Bytes | Kind::Bytes32, Json::String(text)) => {
            Value::Bytes(unhex(text).ok_or_else(wrong)?)
        }
        (Kind::Rows, Json::Array(rows)) => {
            let row = |row: &Json| read(&field.fields, row.as_object().ok_or_else(wrong)?);
            Value::Rows(rows.iter().map(row).collect::<Result<_, _>>()?)
        }
        (kind, Json::Number(number)) if kind.range().is_some() || kind == Kind::Enum8 => {
            Value::Int(number.as_i128().ok_or_else(wrong)?)
        }
        (kind, Json::String(digits)) if kind.range().is_some() => {
            Value::Int(digits.parse().map_err(|_| wrong())?)
        }
        _ => return Err(wrong()),
    })
}
