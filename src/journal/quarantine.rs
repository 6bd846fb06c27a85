//! Quarantine records: commands that an operator has set aside because they cannot be applied.
//!
//! A replay looks for them before it applies anything: the record stands behind the command that it
//! names. It stands alone in its batch, so that looking reads the batches' headers only. What it says
//! is believed by whoever applies the command, who has the keys of that moment: [`Quarantined::verify`].

use super::format::{LogKind, SEGMENT_HEADER_SIZE};
use super::payload::{self, Quarantine};
use super::segment::LogDir;
use super::view::{Batch, Record, Verify};
use crate::types::{KeyId, Sequence, TimeNs};
use std::collections::BTreeMap;
use std::io;
use zerocopy::IntoBytes;

/// The action of a record that sets a command aside.
pub const SET_ASIDE: u8 = 1;
/// Bytes of the payload before its signature.
const SIGNED: usize = size_of::<Quarantine>() - 64;

/// A command that was set aside.
#[derive(Clone, Copy, Debug)]
pub struct Quarantined {
    /// Where the quarantine record stands.
    pub sequence: Sequence,
    /// The operator's key.
    pub key: KeyId,
    payload: Quarantine,
}

impl Quarantined {
    /// The record that sets `target` aside, without its signature.
    #[must_use]
    pub fn unsigned(target: &Record<'_>) -> Quarantine {
        Quarantine {
            target: target.sequence().0.into(),
            target_crc: target.crc().into(),
            subject: 0.into(),
            action: SET_ASIDE,
            reserved: 0,
            reason: 0.into(),
            reserved_2: 0.into(),
            signature: [0; 64],
        }
    }

    /// The bytes of a payload that its signature is over.
    #[must_use]
    pub fn signed_bytes(payload: &Quarantine) -> &[u8] {
        &payload.as_bytes()[..SIGNED]
    }

    /// True where this is about `record` and no other, and `matches` says of the signed bytes and the
    /// signature that the key has made it.
    #[must_use]
    pub fn verify(
        &self,
        record: &Record<'_>,
        matches: impl FnOnce(&[u8], &[u8; 64]) -> bool,
    ) -> bool {
        self.payload.target.get() == record.sequence().0
            && self.payload.target_crc.get() == record.crc()
            && matches(Quarantined::signed_bytes(&self.payload), &self.payload.signature)
    }
}

/// What was set aside, by the sequence of the command.
#[derive(Clone, Debug, Default)]
pub struct SetAside(BTreeMap<Sequence, Quarantined>);

impl SetAside {
    /// Looks through a journal from a segment on up to `limit`. Where its bytes are not sound it stops:
    /// who reads the journal itself says so.
    ///
    /// # Errors
    /// As the storage tells.
    pub fn find(journal: &LogDir, segment: u64, limit: Sequence) -> io::Result<SetAside> {
        let mut found = SetAside::default();
        let all = journal.segments()?;
        for (_, path) in all.into_iter().filter(|(index, _)| *index >= segment) {
            let file = journal.open(&path)?;
            let map = file.map(file.len()?)?;
            let mut rest = map.bytes().get(SEGMENT_HEADER_SIZE..).unwrap_or_default();
            while let Ok(batch) = Batch::parse(rest) {
                if batch.last() > limit {
                    return Ok(found);
                }
                found.note(&batch);
                rest = &rest[batch.length()..];
            }
        }
        Ok(found)
    }

    fn note(&mut self, batch: &Batch<'_>) {
        let alone = batch.header().count.get() == 1;
        if !alone || batch.check(LogKind::Commands, Verify::Crc, TimeNs(0)).is_err() {
            return;
        }
        for record in batch.records() {
            let Some(payload) = payload_of(&record) else { continue };
            let target = Sequence(payload.target.get());
            // The first one is in force: a replay up to a place between two must not differ.
            if payload.action == SET_ASIDE && target < record.sequence() {
                let (sequence, key) = (record.sequence(), record.key());
                self.0.entry(target).or_insert(Quarantined { sequence, key, payload });
            }
        }
    }

    /// The first command at or before `last` that is set aside behind it: what was built up to `last`
    /// without knowing that is not what a replay builds.
    #[must_use]
    pub fn behind(&self, last: Sequence) -> Option<Sequence> {
        let mut before = self.0.range(..=last);
        before.find(|(_, aside)| aside.sequence > last).map(|(target, _)| *target)
    }

    /// What sets the command with this sequence aside.
    #[inline]
    #[must_use]
    pub fn of(&self, sequence: Sequence) -> Option<&Quarantined> {
        // Nearly always there is none at all.
        if self.0.is_empty() { None } else { self.0.get(&sequence) }
    }
}

/// The payload of a quarantine record.
fn payload_of(record: &Record<'_>) -> Option<Quarantine> {
    (record.kind() == super::format::RecordKind::Quarantine)
        .then(|| payload::head(record.command()))?
}
