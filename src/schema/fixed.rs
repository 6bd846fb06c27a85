//! Payloads of built-in schemas: fields at fixed offsets, and what follows them.

use super::value::{read, write};
use super::{Field, Kind, PayloadFault, Placed, SchemaDefinition, Value};
use crate::limits::ANSWER_FILLS_MAX;
use crate::wire::BitMode;
use crate::wire::answer::Answer;
use crate::wire::payload::encode_int;
use crate::wire::query::{AccountHead, BookHead, LimitsHead};

/// What follows the fixed fields of a message.
#[derive(Debug)]
pub(super) struct Tail {
    /// Name of the field.
    pub(super) name: &'static str,
    /// The field that counts its rows or bytes.
    pub(super) counted_by: &'static str,
    /// It has no more rows than these, whatever the count says.
    pub(super) at_most: Option<usize>,
    /// It is there only where this field has this value.
    pub(super) when: Option<(&'static str, bool)>,
    /// Name of the row's layout; text has none.
    pub(super) row: Option<&'static str>,
}

const TEXT: &[Tail] =
    &[Tail { name: "text", counted_by: "text_size", at_most: None, when: None, row: None }];
const FILLS: &[Tail] = &[Tail {
    name: "fill_rows",
    counted_by: "fill_count",
    at_most: Some(ANSWER_FILLS_MAX),
    when: None,
    row: Some("answer: fill"),
}];
const BOOK: &[Tail] = &[
    Tail {
        name: "level_rows",
        counted_by: "rows",
        at_most: None,
        when: Some(("orders", false)),
        row: Some("book-answer: level"),
    },
    Tail {
        name: "order_rows",
        counted_by: "rows",
        at_most: None,
        when: Some(("orders", true)),
        row: Some("book-answer: order"),
    },
];
const ACCOUNT: &[Tail] = &[
    Tail {
        name: "balance_rows",
        counted_by: "balances",
        at_most: None,
        when: None,
        row: Some("account-answer: balance"),
    },
    Tail {
        name: "order_rows",
        counted_by: "orders",
        at_most: None,
        when: None,
        row: Some("account-answer: order"),
    },
];

const LIMITS: &[Tail] = &[
    Tail {
        name: "collar_rows",
        counted_by: "collars",
        at_most: None,
        when: None,
        row: Some("limits-answer: collar"),
    },
    Tail {
        name: "account_rows",
        counted_by: "accounts",
        at_most: None,
        when: None,
        row: Some("limits-answer: account"),
    },
    Tail {
        name: "restricted_rows",
        counted_by: "restricted",
        at_most: None,
        when: None,
        row: Some("limits-answer: restricted"),
    },
    Tail {
        name: "position_rows",
        counted_by: "positions",
        at_most: None,
        when: None,
        row: Some("limits-answer: position"),
    },
];

/// What follows the fixed fields of a built-in schema, whose first fields these are; its encoder and
/// decoder stand in `wire`.
pub(super) fn tails(schema: u32, fields: &[Field]) -> &'static [Tail] {
    match schema {
        Answer::SCHEMA => FILLS,
        BookHead::SCHEMA => BOOK,
        AccountHead::SCHEMA => ACCOUNT,
        LimitsHead::SCHEMA => LIMITS,
        // A head that counts bytes of text has them behind it.
        _ if fields.iter().any(|field| field.name == TEXT[0].counted_by) => TEXT,
        _ => &[],
    }
}

/// Bytes of a value; none where it tells its own.
pub(super) fn size(kind: Kind, mode: BitMode) -> Option<usize> {
    if kind == Kind::Int { Some(mode.size()) } else { kind.size() }
}

fn number(schema: &SchemaDefinition, fields: &[(u16, Value)], name: &str) -> Option<i128> {
    let id = schema.field_named(name)?.id;
    fields.iter().find(|(field, _)| *field == id).and_then(|(_, value)| match value {
        Value::Int(number) => Some(*number),
        Value::Bool(value) => Some(i128::from(*value)),
        _ => None,
    })
}

fn applies(tail: &Tail, schema: &SchemaDefinition, fields: &[(u16, Value)]) -> bool {
    let is = |(name, value)| number(schema, fields, name) == Some(i128::from(value));
    tail.when.is_none_or(is)
}

/// Reads as many fields as there are, and says where and why it could not go on.
pub(super) fn decode(
    schema: &SchemaDefinition,
    payload: &[u8],
    mode: BitMode,
) -> (Vec<Placed>, Option<PayloadFault>) {
    let mut placed = Vec::new();
    let fault = walk(schema, payload, mode, &mut placed).err();
    (placed, fault)
}

fn take(
    payload: &[u8],
    offset: usize,
    size: usize,
    name: &str,
) -> Result<std::ops::Range<usize>, PayloadFault> {
    let end = offset.saturating_add(size);
    if end <= payload.len() {
        return Ok(offset..end);
    }
    let left = payload.len() - offset;
    Err(PayloadFault::new(
        offset,
        format_args!("the payload ends inside {name}, which has {size} bytes: {left} are left"),
    ))
}

fn walk(
    schema: &SchemaDefinition,
    payload: &[u8],
    mode: BitMode,
    placed: &mut Vec<Placed>,
) -> Result<(), PayloadFault> {
    let mut offset = 0;
    let mut values: Vec<(u16, Value)> = Vec::new();
    for field in &schema.fields {
        let tail = tails(schema.id, &schema.fields).iter().find(|tail| tail.name == field.name);
        let (range, value) = match (tail, size(field.kind, mode)) {
            (None, Some(size)) => {
                let range = take(payload, offset, size, &field.name)?;
                let value = read(field.kind, &payload[range.clone()]).map_err(|what| {
                    PayloadFault::new(offset, format_args!("{} is wrong: {what}", field.name))
                })?;
                (range, value)
            }
            (Some(tail), _) if !applies(tail, schema, &values) => continue,
            (Some(tail), _) => {
                let count = number(schema, &values, tail.counted_by).unwrap_or(0) as usize;
                let count = tail.at_most.map_or(count, |max| count.min(max));
                let row_size: usize =
                    field.fields.iter().filter_map(|inner| inner.kind.size()).sum();
                let bytes = if tail.row.is_some() { count * row_size } else { count };
                let range = take(payload, offset, bytes, &field.name)?;
                let bytes = &payload[range.clone()];
                let value = if tail.row.is_some() {
                    rows(field, bytes, row_size).map_err(|fault| PayloadFault {
                        offset: offset + fault.offset,
                        what: fault.what,
                    })?
                } else {
                    read(Kind::String, bytes).map_err(|what| {
                        PayloadFault::new(offset, format_args!("{} is wrong: {what}", field.name))
                    })?
                };
                (range, value)
            }
            (None, None) => {
                return Err(PayloadFault::new(offset, format_args!("{} has no size", field.name)));
            }
        };
        offset = range.end;
        values.push((field.id, value.clone()));
        placed.push(Placed { id: field.id, offset: range.start, size: range.len(), value });
    }
    if offset < payload.len() {
        let more = payload.len() - offset;
        return Err(PayloadFault::new(offset, format_args!("{more} bytes follow the last field")));
    }
    Ok(())
}

fn rows(field: &Field, bytes: &[u8], row_size: usize) -> Result<Value, PayloadFault> {
    let mut rows = Vec::new();
    for (index, row) in bytes.chunks_exact(row_size.max(1)).enumerate() {
        let mut values = Vec::new();
        let mut offset = 0;
        for inner in &field.fields {
            let size = inner.kind.size().unwrap_or(0);
            let value = read(inner.kind, &row[offset..offset + size]).map_err(|what| {
                let at = index * row_size + offset;
                PayloadFault::new(at, format_args!("{} is wrong: {what}", inner.name))
            })?;
            values.push((inner.id, value));
            offset += size;
        }
        rows.push(values);
    }
    Ok(Value::Rows(rows))
}

/// Fills in the counts that a message lacks.
pub(super) fn complete(schema: &SchemaDefinition, fields: &mut Vec<(u16, Value)>) {
    for tail in tails(schema.id, &schema.fields) {
        let Some(count) = schema.field_named(tail.counted_by).map(|field| field.id) else {
            continue;
        };
        if fields.iter().any(|(id, _)| *id == count) {
            continue;
        }
        let own = schema.field_named(tail.name).map(|field| field.id);
        let found = fields.iter().find(|(id, _)| Some(*id) == own).map(|(_, value)| match value {
            Value::Text(text) => text.len(),
            Value::Rows(rows) => rows.len(),
            _ => 0,
        });
        if let Some(found) = found {
            fields.push((count, Value::Int(found as i128)));
        }
    }
}

/// Appends the payload of a message that was checked against its schema.
///
/// # Errors
/// A number that does not fit into the bit mode, or rows that are not as many as their count says.
pub(super) fn encode(
    schema: &SchemaDefinition,
    fields: &[(u16, Value)],
    mode: BitMode,
    out: &mut Vec<u8>,
) -> Result<(), String> {
    for field in &schema.fields {
        let value = fields.iter().find(|(id, _)| *id == field.id).map(|(_, value)| value);
        let tail = tails(schema.id, &schema.fields).iter().find(|tail| tail.name == field.name);
        if let Some(tail) = tail {
            let there = match value {
                Some(Value::Text(text)) => text.len(),
                Some(Value::Rows(rows)) => rows.len(),
                _ => 0,
            };
            let count = if applies(tail, schema, fields) {
                number(schema, fields, tail.counted_by).unwrap_or(0)
            } else {
                0
            };
            let count = tail.at_most.map_or(count, |max| count.min(max as i128));
            if there as i128 != count {
                return Err(format!(
                    "{} has {there}, but {} asks for {count}",
                    field.name, tail.counted_by
                ));
            }
        }
        match value {
            None => {}
            Some(Value::Rows(rows)) => {
                for row in rows {
                    for inner in &field.fields {
                        if let Some((_, value)) = row.iter().find(|(id, _)| *id == inner.id) {
                            write(value, inner.kind.size(), out);
                        }
                    }
                }
            }
            Some(value) => write_number(field, value, mode, out)?,
        }
    }
    Ok(())
}

/// Appends a value, an `int` in the width of the bit mode.
pub(super) fn write_number(
    field: &Field,
    value: &Value,
    mode: BitMode,
    out: &mut Vec<u8>,
) -> Result<(), String> {
    match (field.kind, value) {
        (Kind::Int, Value::Int(number)) => i64::try_from(*number)
            .map_err(|_| format!("field {} {}: too large", field.id, field.name))
            .and_then(|number| {
                encode_int(number, mode, out)
                    .map_err(|error| format!("field {} {}: {error}", field.id, field.name))
            }),
        (kind, value) => {
            write(value, kind.size(), out);
            Ok(())
        }
    }
}
