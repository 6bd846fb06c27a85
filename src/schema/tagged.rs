//! Payloads of registered schemas: version uint16, then each field that is there as id uint16, length
//! uint16 and value, by rising ids.
//!
//! So a reader of an older version steps over fields that it does not know, and what is optional takes
//! no bytes where it is missing.

use super::fixed::{self, write_number};
use super::value::read;
use super::{Message, PayloadFault, Placed, SchemaDefinition, Value};
use crate::wire::BitMode;

/// Bytes before a field's value.
const HEAD_SIZE: usize = 4;

/// Reads as many fields as there are, and says where and why it could not go on. Fields that the
/// schema does not know come as bytes; whether they may be there tells [`super::validate`].
#[must_use]
pub fn decode(
    schema: &SchemaDefinition,
    payload: &[u8],
    mode: BitMode,
) -> (u16, Vec<Placed>, Option<PayloadFault>) {
    let Some((version, _)) = payload.split_first_chunk::<2>() else {
        return (0, Vec::new(), Some(PayloadFault::new(0, "the payload ends inside its version")));
    };
    let mut placed = Vec::new();
    let fault = walk(schema, payload, mode, &mut placed).err();
    (u16::from_be_bytes(*version), placed, fault)
}

fn walk(
    schema: &SchemaDefinition,
    payload: &[u8],
    mode: BitMode,
    placed: &mut Vec<Placed>,
) -> Result<(), PayloadFault> {
    let mut offset = 2;
    let mut before = 0;
    while offset < payload.len() {
        let Some(head) = payload.get(offset..offset + HEAD_SIZE) else {
            return Err(PayloadFault::new(offset, "the payload ends inside a field's head"));
        };
        let id = u16::from_be_bytes([head[0], head[1]]);
        let size = usize::from(u16::from_be_bytes([head[2], head[3]]));
        if id <= before {
            return Err(PayloadFault::new(
                offset,
                format_args!("field {id} stands behind field {before}: ids rise"),
            ));
        }
        before = id;
        let start = offset + HEAD_SIZE;
        let Some(bytes) = payload.get(start..start + size) else {
            let left = payload.len() - start;
            return Err(PayloadFault::new(
                offset,
                format_args!("field {id} has {size} bytes, and {left} are left"),
            ));
        };
        let value = match schema.field(id) {
            None => Value::Bytes(bytes.to_vec()),
            Some(field) => {
                let fixed = fixed::size(field.kind, mode);
                if let Some(expected) = fixed.filter(|expected| *expected != size) {
                    let (name, kind) = (&field.name, field.kind);
                    return Err(PayloadFault::new(
                        offset + 2,
                        format_args!("field {id} {name} is {kind} of {expected} bytes, not {size}"),
                    ));
                }
                read(field.kind, bytes).map_err(|what| {
                    PayloadFault::new(start, format_args!("field {id} {}: {what}", field.name))
                })?
            }
        };
        placed.push(Placed { id, offset: start, size, value });
        offset = start + size;
    }
    Ok(())
}

/// Reads a message.
///
/// # Errors
/// [`PayloadFault`].
pub fn read_message(
    schema: &SchemaDefinition,
    payload: &[u8],
    mode: BitMode,
) -> Result<Message, PayloadFault> {
    let (version, placed, fault) = decode(schema, payload, mode);
    let fields = placed.into_iter().map(|placed| (placed.id, placed.value)).collect();
    match fault {
        Some(fault) => Err(fault),
        None => Ok(Message { schema: schema.id, version, fields }),
    }
}

/// Appends the payload of a message that was checked against its schema.
///
/// # Errors
/// A number that does not fit into the bit mode, a field that the schema does not know, or a value of
/// more than 65,535 bytes.
pub fn encode(
    schema: &SchemaDefinition,
    message: &Message,
    mode: BitMode,
    out: &mut Vec<u8>,
) -> Result<(), String> {
    out.extend_from_slice(&message.version.to_be_bytes());
    let mut fields: Vec<&(u16, Value)> = message.fields.iter().collect();
    fields.sort_by_key(|(id, _)| *id);
    for (id, value) in fields {
        let field = schema.field(*id).ok_or_else(|| format!("field {id} is unknown"))?;
        out.extend_from_slice(&id.to_be_bytes());
        let size_at = out.len();
        out.extend_from_slice(&[0; 2]);
        write_number(field, value, mode, out)?;
        let size = u16::try_from(out.len() - size_at - 2)
            .map_err(|_| format!("field {id} {} has more than 65,535 bytes", field.name))?;
        out[size_at..size_at + 2].copy_from_slice(&size.to_be_bytes());
    }
    Ok(())
}
