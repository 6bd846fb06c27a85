//! Compares two logs and finds where they part: which record, which field, both values.
//!
//! Invariants: everything but a batch's `synced_to` (and the CRC of the header that holds it) takes part,
//! byte by byte; CRCs are checked on both sides, so that damage is told from another history; an end
//! that a crash left unfinished is the end. At most one batch of each side is looked at, whatever their
//! size.

use super::dump::{DumpRecord, describe, event_json};
use super::event_log::block_events;
use super::format::{BatchHeader, JournalId, LogKind, RecordKind};
use super::info::info;
use super::reader::{ReadError, Reader};
use super::segment::LogDir;
use super::verify::{Damage, hex, verify};
use super::view::{Batch, Record, Verify};
use crate::types::Sequence;
use serde::Serialize;
use serde_json::{Value, json};
use std::io;

/// Fields that a divergence names, at most.
const FIELDS_MAX: usize = 32;
/// Bytes that are shown where two stretches of bytes differ.
const SHOWN_BYTES: usize = 16;

/// A log to compare, and up to where it may be read.
pub struct Side<'a> {
    /// The log.
    pub log: &'a LogDir,
    /// Its last sequence that may be read: beside a running node what is known to be durable.
    pub limit: Sequence,
}

/// A field that differs; null where a side does not have it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// Its name, as `journal dump --json` shows it; points lead into objects.
    pub field: String,
    /// The first log's value.
    pub a: Value,
    /// The second log's value.
    pub b: Value,
}

/// Where two logs part.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Divergence {
    /// The sequence.
    pub sequence: Sequence,
    /// What stands there in the first log.
    pub kind_a: &'static str,
    /// What stands there in the second log.
    pub kind_b: &'static str,
    /// What differs.
    pub fields: Vec<Difference>,
}

/// How two logs relate.
#[derive(Clone, Debug, PartialEq)]
pub enum Relation {
    /// They hold the same.
    Equal,
    /// The first one ends where the second goes on, for so many sequences.
    FirstIsPrefix(u64),
    /// The second one ends where the first goes on, for so many sequences.
    SecondIsPrefix(u64),
    /// They part.
    Diverged(Divergence),
    /// They are of different journals.
    OtherJournal,
    /// They have no sequence in common: one begins behind the other's end.
    Apart,
    /// The first one (true) or the second cannot be compared any further.
    Damaged(bool, Damage),
}

/// What a comparison found.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    /// How the two relate.
    pub relation: Relation,
    /// Their journals; none where a log is empty.
    pub ids: (Option<JournalId>, Option<JournalId>),
    /// The first sequence that was compared: what a log does not hold any more is left out.
    pub from: Sequence,
    /// The last sequence that is the same in both.
    pub same_to: Sequence,
    /// The last sequence of each.
    pub last: (Sequence, Sequence),
}

/// What a side has next.
enum Next {
    Batch(Sequence, Sequence),
    End,
    Damaged(Damage),
}

/// A side on its way.
struct Walk<'a> {
    log: &'a LogDir,
    limit: Sequence,
    reader: Reader,
}

impl Walk<'_> {
    /// Looks at the next batch, which `take` is given.
    fn next(&mut self, take: &mut dyn FnMut(&Batch<'_>)) -> io::Result<Next> {
        let error = match self.reader.next_batch(self.limit) {
            Ok(Some(batch)) => {
                take(&batch);
                return Ok(Next::Batch(batch.first(), batch.last()));
            }
            Ok(None) => return Ok(Next::End),
            Err(error) => error,
        };
        if self.reader.is_at_end() || error.is_empty_log() {
            return Ok(Next::End);
        }
        if let ReadError::Io { source, .. } = error {
            return Err(source);
        }
        // Bad bytes are damage only where something says that they were durable.
        let report = verify(self.log, &mut |_| ())?;
        Ok(report.damage.map_or(Next::End, Next::Damaged))
    }
}

/// Compares two logs of the same kind from `from` on. `name` puts names into a decoded record.
///
/// # Errors
/// A file cannot be read.
pub fn diff(
    a: &Side<'_>,
    b: &Side<'_>,
    from: Sequence,
    name: &dyn Fn(&mut DumpRecord),
) -> io::Result<Comparison> {
    assert!(a.log.kind() == b.log.kind(), "logs of one kind are compared");
    let (of_a, of_b) = (info(a.log)?, info(b.log)?);
    let ids = (id(a.log)?, id(b.log)?);
    let from = from.max(of_a.first).max(of_b.first);
    let last = (of_a.last.min(a.limit), of_b.last.min(b.limit));
    let result = |relation, same_to| Comparison { relation, ids, from, same_to, last };
    let nothing = Sequence(from.0.saturating_sub(1));
    if let (Some(a), Some(b)) = ids
        && a != b
    {
        return Ok(result(Relation::OtherJournal, Sequence::NONE));
    }
    let is_apart = |last: Sequence| last != Sequence::NONE && last.next() < from;
    if is_apart(last.0) || is_apart(last.1) {
        return Ok(result(Relation::Apart, Sequence::NONE));
    }
    let walk = |side: &Side<'_>| Reader::new(side.log.clone(), from, Verify::Crc);
    let mut left = Walk { log: a.log, limit: a.limit, reader: walk(a) };
    let mut right = Walk { log: b.log, limit: b.limit, reader: walk(b) };
    let mut same_to = nothing;
    let (mut kept, mut is_same) = (Vec::new(), false);
    loop {
        let next_a = left.next(&mut |batch| {
            kept.clear();
            kept.extend_from_slice(batch.bytes());
        })?;
        let next_b = right.next(&mut |batch| is_same = same_bytes(&kept, batch.bytes()))?;
        let relation = match (next_a, next_b) {
            (Next::Damaged(damage), _) => Relation::Damaged(true, damage),
            (_, Next::Damaged(damage)) => Relation::Damaged(false, damage),
            (Next::End, Next::End) => Relation::Equal,
            (Next::End, Next::Batch(..)) => Relation::FirstIsPrefix(last.1.0.abs_diff(same_to.0)),
            (Next::Batch(..), Next::End) => Relation::SecondIsPrefix(last.0.0.abs_diff(same_to.0)),
            (Next::Batch(_, last), Next::Batch(..)) if is_same => {
                same_to = same_to.max(last);
                continue;
            }
            (Next::Batch(first_a, last_a), Next::Batch(first_b, last_b)) => {
                let from = first_a.min(first_b).max(from);
                let to = last_a.max(last_b);
                let found = part(a, b, from, to, name)?;
                same_to = Sequence(found.sequence.0.saturating_sub(1)).max(nothing);
                Relation::Diverged(found)
            }
        };
        return Ok(result(relation, same_to));
    }
}

/// True where two batches are the same but for what each node writes for itself.
fn same_bytes(a: &[u8], b: &[u8]) -> bool {
    const OWN: usize = std::mem::offset_of!(BatchHeader, synced_to);
    const HASH: usize = std::mem::offset_of!(BatchHeader, hash);
    const CRC: usize = std::mem::offset_of!(BatchHeader, crc);
    a.len() == b.len()
        && a[..OWN] == b[..OWN]
        && a[HASH..CRC] == b[HASH..CRC]
        && a[size_of::<BatchHeader>()..] == b[size_of::<BatchHeader>()..]
}

/// The journal that a log is of, by its oldest segment with a sound header.
fn id(log: &LogDir) -> io::Result<Option<JournalId>> {
    for (_, path) in log.segments()? {
        if let Some(header) = log.header(&path)? {
            return Ok(Some(header.id()));
        }
    }
    Ok(None)
}

/// Finds what differs between two batches of which it is known that something does.
fn part(
    a: &Side<'_>,
    b: &Side<'_>,
    from: Sequence,
    to: Sequence,
    name: &dyn Fn(&mut DumpRecord),
) -> io::Result<Divergence> {
    let failed = |error: ReadError| io::Error::other(error.to_string());
    let reader = |side: &Side<'_>| Reader::new(side.log.clone(), from, Verify::Crc);
    let (mut left, mut right) = (reader(a), reader(b));
    loop {
        // Where a side has no further record, its batch is shorter.
        let one = left.next_record(to.min(a.limit)).map_err(failed);
        let other = right.next_record(to.min(b.limit)).map_err(failed);
        let (Ok(Some(one)), Ok(Some(other))) = (one, other) else { break };
        if one.bytes() == other.bytes() {
            continue;
        }
        return Ok(record_divergence(&one, &other, name));
    }
    batch_divergence(a, b, from)
}

/// The same records in batches that are not the same.
fn batch_divergence(a: &Side<'_>, b: &Side<'_>, from: Sequence) -> io::Result<Divergence> {
    let header = |side: &Side<'_>| -> io::Result<Value> {
        let mut reader = Reader::new(side.log.clone(), from, Verify::Structure);
        let batch =
            reader.next_batch(side.limit).map_err(|error| io::Error::other(error.to_string()))?;
        Ok(batch.map_or(Value::Null, |batch| {
            let header = batch.header();
            json!({ "batch": {
                "previous_hash": hex(&header.previous_hash),
                "first_sequence": header.first_sequence.get(),
                "last_sequence": header.last_sequence.get(),
                "epoch": header.epoch.get(),
                "count": header.count.get(),
                "flags": header.flags.get(),
                "hash": hex(&header.hash),
            }})
        }))
    };
    let fields = differences(&header(a)?, &header(b)?);
    Ok(Divergence { sequence: from, kind_a: "batch", kind_b: "batch", fields })
}

/// What differs between two records.
fn record_divergence(a: &Record<'_>, b: &Record<'_>, name: &dyn Fn(&mut DumpRecord)) -> Divergence {
    if (a.kind(), b.kind()) == (RecordKind::EventBlock, RecordKind::EventBlock)
        && let Some(found) = event_divergence(a, b)
    {
        return found;
    }
    let shown = |record: &Record<'_>| {
        let mut row = describe(record);
        name(&mut row);
        serde_json::to_value(row).unwrap_or_default()
    };
    let mut fields = differences(&shown(a), &shown(b));
    for (field, a, b) in
        [("received", a.received(), b.received()), ("record", a.bytes(), b.bytes())]
    {
        // The record's own bytes only where nothing else tells.
        if a != b && (field == "received" || fields.is_empty()) {
            fields.push(bytes_difference(field, a, b));
        }
    }
    let (kind_a, kind_b) = (a.kind().as_str(), b.kind().as_str());
    Divergence { sequence: a.sequence().min(b.sequence()), kind_a, kind_b, fields }
}

/// The first event that differs between two blocks.
fn event_divergence(a: &Record<'_>, b: &Record<'_>) -> Option<Divergence> {
    let (mut left, mut right) = (block_events(a), block_events(b));
    loop {
        let (one, other) = (left.next(), right.next());
        if one.is_none() && other.is_none() {
            return None;
        }
        let (one, other) = (one.flatten(), other.flatten());
        let json = |event: &Option<_>| event.as_ref().map_or(Value::Null, event_json);
        let fields = differences(&json(&one), &json(&other));
        if fields.is_empty() {
            continue;
        }
        let sequence = one.iter().chain(&other).map(|event| event.sequence).min()?;
        let word = |event: bool| if event { "event" } else { "nothing" };
        let (kind_a, kind_b) = (word(one.is_some()), word(other.is_some()));
        return Some(Divergence { sequence, kind_a, kind_b, fields });
    }
}

/// Where two stretches of bytes differ, and a few bytes from there on.
fn bytes_difference(field: &str, a: &[u8], b: &[u8]) -> Difference {
    let at = a.iter().zip(b).position(|(a, b)| a != b).unwrap_or(a.len().min(b.len()));
    let shown = |bytes: &[u8]| hex(&bytes[at..bytes.len().min(at + SHOWN_BYTES)]).into();
    Difference { field: format!("{field}[{at}..]"), a: shown(a), b: shown(b) }
}

/// The fields of two values that differ, in the order of the first.
fn differences(a: &Value, b: &Value) -> Vec<Difference> {
    let mut found = Vec::new();
    compare("", a, b, &mut found);
    found.truncate(FIELDS_MAX);
    found
}

fn compare(path: &str, a: &Value, b: &Value, found: &mut Vec<Difference>) {
    let below = |name: &str| match path {
        "" => name.to_owned(),
        path => format!("{path}.{name}"),
    };
    match (a, b) {
        _ if a == b => {}
        (Value::Object(one), Value::Object(other)) => {
            for (name, value) in one {
                compare(&below(name), value, other.get(name).unwrap_or(&Value::Null), found);
            }
            for (name, value) in other.iter().filter(|(name, _)| !one.contains_key(*name)) {
                compare(&below(name), &Value::Null, value, found);
            }
        }
        _ => found.push(Difference { field: path.to_owned(), a: a.clone(), b: b.clone() }),
    }
}

/// True for a log whose two copies can differ by more than where they end: all of them but the reject
/// log, which each node keeps for itself.
#[must_use]
pub fn is_comparable(kind: LogKind) -> bool {
    kind != LogKind::Rejects
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_that_differ_are_named_by_their_path_on_both_sides() {
        let a = json!({ "x": 1, "body": { "price": "5", "same": 0, "only_a": true } });
        let b = json!({ "x": 1, "body": { "price": "6", "same": 0, "only_b": 2 } });
        let found = differences(&a, &b);
        let fields: Vec<&str> = found.iter().map(|found| found.field.as_str()).collect();
        assert_eq!(fields, ["body.price", "body.only_a", "body.only_b"]);
        assert_eq!((&found[0].a, &found[0].b), (&json!("5"), &json!("6")));
        assert_eq!((&found[1].b, &found[2].a), (&Value::Null, &Value::Null));
    }

    #[test]
    fn bytes_are_shown_from_the_first_that_differs() {
        let found = bytes_difference("received", &[1, 2, 3], &[1, 9, 3]);
        assert_eq!(found.field, "received[1..]");
        assert_eq!((found.a, found.b), (json!("0203"), json!("0903")));
        assert_eq!(bytes_difference("received", &[1], &[1, 7]).b, json!("07"));
    }
}
