//! What never got a sequence, kept for audit: bounded, rotated, never replayed.
//!
//! Invariants: at most `segments_max` files; when a new one begins, the oldest is dropped. Rejects
//! have numbers of their own. Nothing here may hold up or stop the order path: without space a
//! reject is counted and dropped, and un-synced rejects may be lost.

use super::batch::{BatchBuilder, RecordFields};
use super::format::{JournalId, LogKind, RecordKind};
use super::payload::{REJECT_MAX_BYTES, Reject};
use super::recovery::{Recovered, RecoveryError, recover_derived};
use super::segment::{LogDir, Preparer};
use super::writer::{Appended, Fault, Writer};
use crate::event::RejectReason;
use crate::limits::FRAME_MAX_BYTES;
use crate::types::{Epoch, KeyId, Sequence, SessionId, TimeNs};
use std::io;
use zerocopy::IntoBytes;

/// A request that was refused before it got a sequence.
#[derive(Clone, Copy, Debug)]
pub struct Refused<'a> {
    /// When.
    pub time: TimeNs,
    /// Why.
    pub reason: RejectReason,
    /// See [`super::payload::PROTOCOL_NATIVE`] and its neighbours.
    pub protocol: u8,
    /// The gateway's number of the connection.
    pub connection: u32,
    /// Session, 0 before logon.
    pub session: SessionId,
    /// Key, 0 before logon.
    pub key: KeyId,
    /// The client's own sequence number, where it could be read.
    pub client_sequence: u64,
    /// The sequence that a duplicate repeats; none for other reasons.
    pub repeats: Sequence,
    /// What was received; what is beyond [`FRAME_MAX_BYTES`] is not kept.
    pub received: &'a [u8],
}

/// Writes the reject log; a helper thread's agent.
pub struct RejectLog {
    log: LogDir,
    builder: BatchBuilder,
    writer: Writer,
    preparer: Preparer,
    segments_max: usize,
    dropped: u64,
}

impl RejectLog {
    /// Recovers the log and goes on with it.
    ///
    /// # Errors
    /// [`RecoveryError`].
    ///
    /// # Panics
    /// If `segments_max` is below 2: the newest would be dropped for itself.
    pub fn open(
        log: LogDir,
        id: JournalId,
        application_version: u32,
        segments_max: usize,
    ) -> Result<RejectLog, RecoveryError> {
        assert!(log.kind() == LogKind::Rejects);
        assert!(segments_max >= 2, "one segment is written while the other is kept");
        let failed =
            |source| RecoveryError::Io { action: "create", path: log.dir().to_owned(), source };
        log.create().map_err(failed)?;
        let recovered: Recovered = recover_derived(&log, id, Sequence(u64::MAX), &mut |_: &_| ())?;
        let (preparer, prepared) = Preparer::new(log.clone(), &recovered, 1);
        let builder = BatchBuilder::new(LogKind::Rejects, id, recovered.tip);
        let writer = Writer::new(log.clone(), id, application_version, &recovered, prepared)
            .map_err(|fault| RecoveryError::Io {
                action: "open",
                path: fault.path,
                source: fault.source,
            })?;
        Ok(RejectLog { log, builder, writer, preparer, segments_max, dropped: 0 })
    }

    /// Takes a reject; it is in the file after [`RejectLog::flush`].
    pub fn push(&mut self, refused: &Refused<'_>) {
        if !self.builder.is_open() {
            let epoch = Epoch(self.builder.tip().epoch.0.max(1));
            self.builder.begin(epoch, Sequence::NONE);
        }
        let next = Sequence(self.builder.tip().sequence.0 + u64::from(self.builder.open_count()));
        // Rejects of different threads may come a little out of order; the log's time does not.
        let time = refused.time.max(self.builder.last_time());
        let fields = RecordFields {
            session: refused.session,
            key: refused.key,
            client_sequence: refused.client_sequence,
            ..RecordFields::new(RecordKind::Reject, next.next(), time)
        };
        let head = Reject {
            reason: (refused.reason as u16).into(),
            protocol: refused.protocol,
            reserved: 0,
            connection: refused.connection.into(),
            received_length: (refused.received.len() as u64).into(),
        };
        let mut payload = [0; REJECT_MAX_BYTES];
        let (fixed, repeats) = payload.split_at_mut(size_of::<Reject>());
        fixed.copy_from_slice(head.as_bytes());
        repeats.copy_from_slice(&refused.repeats.0.to_le_bytes());
        let repeated = refused.repeats != Sequence::NONE;
        let length = if repeated { REJECT_MAX_BYTES } else { size_of::<Reject>() };
        let received = &refused.received[..refused.received.len().min(FRAME_MAX_BYTES)];
        if self.builder.push(&fields, received, Some(&payload[..length])).is_err() {
            // Flushing was put off until the batch was full.
            self.dropped += 1;
        }
    }

    /// Rejects that were dropped.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Last reject that is in the file.
    #[must_use]
    pub fn written(&self) -> Sequence {
        self.writer.written()
    }

    /// Writes what was pushed, without a sync, and drops the oldest file when a new one begins.
    ///
    /// # Errors
    /// [`Fault`]: the disk failed. Without space nothing fails: the rejects are dropped.
    pub fn flush(&mut self) -> Result<(), Fault> {
        if self.builder.open_count() == 0 {
            return Ok(());
        }
        let before = *self.builder.tip();
        let count = u64::from(self.builder.open_count());
        self.builder.seal();
        let mut appended = self.writer.append(self.builder.sealed())?;
        if appended == Appended::NotReady {
            self.rotate().map_err(|source| Fault {
                action: "rotate",
                path: self.log.dir().to_owned(),
                segment: 0,
                offset: 0,
                source,
            })?;
            appended = self.writer.append(self.builder.sealed())?;
        }
        self.builder.clear();
        if appended == Appended::NotReady {
            self.dropped += count;
            self.builder.restart(before);
        }
        Ok(())
    }

    /// Prepares the next segment; drops the oldest ones beyond the bound.
    fn rotate(&mut self) -> io::Result<()> {
        let segments = self.log.segments()?;
        let surplus = (segments.len() + 1).saturating_sub(self.segments_max);
        for (_, path) in segments.iter().take(surplus) {
            self.log.storage().remove(path)?;
        }
        if surplus > 0 {
            self.log.storage().sync_dir(self.log.dir())?;
        }
        self.preparer.run()
    }
}
