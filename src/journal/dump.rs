//! Records as people and scripts read them: JSON lines and readable lines.
//!
//! Prices, quantities and amounts are decimal strings in ticks, lots and smallest units: the journal
//! alone is enough to print them. Times are RFC 3339 UTC with nanoseconds, hashes lower-case hex.

use super::event_log::block_events;
use super::format::{FLAGS, RecordKind};
use super::info::{first_at, info};
use super::payload;
use super::reader::{ReadError, Reader};
use super::segment::LogDir;
use super::verify::hex;
use super::view::{Record, Verify};
use crate::command::{Command, FieldLayout};
use crate::event::{Event, EventBody};
use crate::timestamp::Rfc3339;
use crate::types::{OrderChange, Sequence, TimeNs};
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::io;

/// A record, decoded.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DumpRecord {
    /// Place in the total order.
    pub sequence: u64,
    /// The primary's epoch.
    pub epoch: u64,
    /// The sequencer's time.
    pub time: String,
    /// What the record is.
    pub kind: &'static str,
    /// Flags by name.
    pub flags: Vec<&'static str>,
    /// Session, 0 for none.
    pub session: u32,
    /// Key, 0 for the node itself.
    pub key: u32,
    /// The client's own sequence number.
    pub client_sequence: u64,
    /// The client's timestamp.
    pub client_timestamp_ms: i64,
    /// Time after which it is refused; absent for never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires: Option<String>,
    /// Effective priority.
    pub priority: u8,
    /// Priority that the client sent.
    pub priority_sent: u8,
    /// Deliveries so far.
    pub attempt: u16,
    /// The message id; as hex where it is no text.
    pub message_id: String,
    /// The source; as hex where it is no text.
    pub source: String,
    /// Bytes received.
    pub received_bytes: usize,
    /// The frame's own SHA-256; empty where it has none.
    pub frame_hash: String,
    /// The command or payload, decoded.
    pub body: Value,
}

impl std::fmt::Display for DumpRecord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:>10}  {}  e{}  {:<14}", self.sequence, self.time, self.epoch, self.kind)?;
        write!(f, "  session {} key {}", self.session, self.key)?;
        if !self.message_id.is_empty() {
            write!(f, "  id {}", self.message_id)?;
        }
        write!(f, "  {}", self.body)
    }
}

/// How a dump ended.
#[derive(Debug)]
pub struct DumpEnd {
    /// Records handed out.
    pub count: u64,
    /// What stopped it before the range or the log ended.
    pub error: Option<ReadError>,
}

/// Hands out the records from `from` up to `to`, in order, until `each` says stop (false) or the log
/// ends. CRCs are checked; beside a running node the last batch may be missing.
pub fn dump(
    log: &LogDir,
    from: Sequence,
    to: Sequence,
    each: &mut dyn FnMut(&Record<'_>) -> bool,
) -> DumpEnd {
    let mut reader = Reader::new(log.clone(), from, Verify::Crc);
    let mut count = 0;
    loop {
        let error = match reader.next_record(to) {
            Ok(Some(record)) => {
                count += 1;
                if each(&record) {
                    continue;
                }
                return DumpEnd { count, error: None };
            }
            Ok(None) => return DumpEnd { count, error: None },
            Err(error) => error,
        };
        let error = (!reader.is_at_end() && !error.is_empty_log()).then_some(error);
        return DumpEnd { count, error };
    }
}

/// The first sequence of a log whose record has this time or a later one; none where there is no such
/// record before the end, or before what cannot be read.
///
/// # Errors
/// As the storage tells.
pub fn first_since(log: &LogDir, time: TimeNs) -> io::Result<Option<Sequence>> {
    let first = first_at(log, time)?.max(info(log)?.first);
    let mut reader = Reader::new(log.clone(), first, Verify::Structure);
    while let Ok(Some(record)) = reader.next_record(Sequence(u64::MAX)) {
        if record.time() >= time {
            return Ok(Some(record.sequence()));
        }
    }
    Ok(None)
}

/// Decodes a record.
#[must_use]
pub fn describe(record: &Record<'_>) -> DumpRecord {
    let envelope = record.envelope();
    let flags = FLAGS.iter().filter(|(bit, _)| envelope.flags & bit != 0);
    DumpRecord {
        sequence: record.sequence().0,
        epoch: record.epoch().0,
        time: Rfc3339(record.time()).to_string(),
        kind: record.kind().as_str(),
        flags: flags.map(|(_, name)| *name).collect(),
        session: record.session().0,
        key: record.key().0,
        client_sequence: envelope.client_sequence.get(),
        client_timestamp_ms: envelope.client_timestamp_ms.get(),
        expires: (record.expires().0 != 0).then(|| Rfc3339(record.expires()).to_string()),
        priority: envelope.priority,
        priority_sent: envelope.priority_sent,
        attempt: envelope.attempt.get(),
        message_id: text(record.message_id()),
        source: text(record.source()),
        received_bytes: record.received().len(),
        frame_hash: record.frame_hash().map(hex).unwrap_or_default(),
        body: body(record),
    }
}

/// Printable text, or hex.
#[must_use]
pub fn text(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.chars().any(char::is_control) => text.to_owned(),
        _ => hex(bytes),
    }
}

fn body(record: &Record<'_>) -> Value {
    let bytes = record.command();
    match record.kind() {
        RecordKind::Command => command(record.envelope().schema.get(), bytes),
        RecordKind::Genesis | RecordKind::Admin => {
            serde_json::from_slice(bytes).unwrap_or_else(|_| json!({ "bytes": hex(bytes) }))
        }
        RecordKind::EventBlock => {
            let events =
                block_events(record).map(|event| event.as_ref().map_or(Value::Null, event_json));
            json!({ "events": events.collect::<Vec<_>>() })
        }
        kind => fixed(kind, bytes),
    }
}

/// A payload of fixed layout, and what follows it.
fn fixed(kind: RecordKind, bytes: &[u8]) -> Value {
    if bytes.is_empty() {
        return json!({});
    }
    let Some(layout) = payload::layout_of(kind).filter(|layout| layout.size <= bytes.len()) else {
        return json!({ "bytes": hex(bytes) });
    };
    let mut map = Map::new();
    for field in layout.fields {
        let raw = &bytes[field.offset..field.offset + field.size];
        let value = match field.name {
            name if name.starts_with("reserved") => continue,
            "name" => Value::from(text(raw.split(|byte| *byte == 0).next().unwrap_or_default())),
            _ if field.size > 8 => Value::from(hex(raw)),
            _ => {
                let mut wide = [0; 8];
                wide[..field.size].copy_from_slice(raw);
                Value::from(u64::from_le_bytes(wide))
            }
        };
        map.insert(field.name.to_owned(), value);
    }
    if let (RecordKind::Reject, Some(sequence)) = (kind, payload::repeats(bytes)) {
        map.insert("repeats".to_owned(), sequence.0.into());
    } else if bytes.len() > layout.size {
        map.insert("rest".to_owned(), hex(&bytes[layout.size..]).into());
    }
    Value::Object(map)
}

/// A client command by its layout.
fn command(schema: u32, bytes: &[u8]) -> Value {
    let layout = Command::LAYOUTS.iter().find(|(id, ..)| *id == schema);
    let Some((_, name, fields)) = layout.filter(|_| Command::decode(schema, bytes).is_ok()) else {
        return json!({ "schema": schema, "bytes": hex(bytes) });
    };
    let mut map = Map::new();
    map.insert("command".to_owned(), (*name).into());
    for field in fields() {
        map.insert(field.name.to_owned(), command_field(&field, bytes));
    }
    Value::Object(map)
}

fn command_field(field: &FieldLayout, bytes: &[u8]) -> Value {
    let raw = &bytes[field.offset..field.offset + field.size];
    let number = raw.iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    let word = field.words.iter().find(|(value, _)| u64::from(*value) == number);
    match (field.kind, field.name) {
        ("decimal", _) => number.cast_signed().to_string().into(),
        (_, "expires") if number == 0 => Value::Null,
        (_, "expires") => Rfc3339(TimeNs(number)).to_string().into(),
        _ => word.map_or(Value::from(number), |(_, word)| Value::from(*word)),
    }
}

/// An event as JSON, for tools.
#[must_use]
pub fn event_json(event: &Event) -> Value {
    let (kind, mut value) = match &event.body {
        EventBody::Result(r) => (
            "result",
            json!({
                "status": r.status.as_str(), "reject_reason": r.reason.map(|reason| reason.name()),
                "session": r.session, "outbound": r.outbound, "client_sequence": r.client_sequence,
                "account": r.account, "order_id": r.order_id, "fill_count": r.fill_count,
                "filled": r.filled.to_string(), "leaves": r.leaves.to_string(),
                "time": Rfc3339(r.time).to_string(),
            }),
        ),
        EventBody::Trade(t) => (
            "trade",
            json!({
                "instrument": t.instrument, "taker_side": t.taker_side.as_str(),
                "price": t.price.to_string(), "quantity": t.quantity.to_string(),
                "maker_order": t.maker_order, "taker_order": t.taker_order,
                "maker_account": t.maker_account, "taker_account": t.taker_account,
                "maker_leaves": t.maker_leaves.to_string(),
            }),
        ),
        EventBody::MakerFill(f) => (
            "maker-fill",
            json!({
                "session": f.session, "outbound": f.outbound, "instrument": f.instrument,
                "order_id": f.order_id, "client_order_id": f.client_order_id,
                "price": f.price.to_string(), "quantity": f.quantity.to_string(),
                "filled": f.filled.to_string(), "leaves": f.leaves.to_string(),
            }),
        ),
        EventBody::Update(u) if u.change == OrderChange::MassCancelDone => (
            "order-update",
            json!({
                "change": u.change.as_str(), "session": u.session, "outbound": u.outbound,
                "order_id": u.order_id, "orders": u.quantity.0,
            }),
        ),
        EventBody::Update(u) => (
            "order-update",
            json!({
                "change": u.change.as_str(), "session": u.session, "outbound": u.outbound,
                "instrument": u.instrument, "order_id": u.order_id,
                "client_order_id": u.client_order_id, "price": u.price.to_string(),
                "quantity": u.quantity.to_string(), "filled": u.filled.to_string(),
                "leaves": u.leaves.to_string(),
            }),
        ),
        EventBody::Balance(b) => (
            "balance",
            json!({
                "account": b.account, "asset": b.asset,
                "available": b.available.to_string(), "frozen": b.frozen.to_string(),
            }),
        ),
        EventBody::Session(s) => {
            ("session", json!({ "session": s.session, "active": s.active, "outbound": s.outbound }))
        }
        EventBody::Sent(s) => (
            "session-sent",
            json!({
                "session": s.session, "kind": s.kind, "outbound": s.outbound,
                "expected_inbound": s.expected_inbound,
            }),
        ),
    };
    let mut map = Map::new();
    map.insert("sequence".to_owned(), event.sequence.0.into());
    map.insert("index".to_owned(), event.index.into());
    map.insert("event".to_owned(), kind.into());
    if let Some(fields) = value.as_object_mut() {
        map.append(fields);
    }
    map.insert("last".to_owned(), event.last.into());
    Value::Object(map)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_text_is_shown_as_hex() {
        assert_eq!(text(b"abc"), "abc");
        assert_eq!(text(b"a\0c"), "610063");
        assert_eq!(text(&[0xFF]), "ff");
    }
}
