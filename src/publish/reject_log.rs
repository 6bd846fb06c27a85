//! The writer of the reject log, on a helper thread: what got no sequence, for audit.
//!
//! It tells the process's log of the same messages, a bounded number a second: duplicates at level
//! info, refusals at level debug, each with the ids by which a client finds it again.

use crate::agent::{Agent, FailStop};
use crate::event::RejectReason;
use crate::fatal::StopReason;
use crate::journal::payload::PROTOCOL_NATIVE;
use crate::journal::reject_log::{Refused, RejectLog as Log};
use crate::limits::FRAME_MAX_BYTES;
use crate::message::{Message, MessageKind};
use crate::ring::{Reader, Take};
use crate::stats::{CRITICAL, LANES, Stats};
use crate::sys::clock::Clock;
use crate::types::{Sequence, TimeNs};
use crate::wire::frame::{Frame, OpenLimits};
use std::sync::Arc;
use tracing::Level;

/// Slots taken in one round: as many as one batch of the log holds.
const ROUND_MAX: usize = crate::limits::BATCH_COUNT_MAX;

/// The reject log's agent.
pub struct RejectLog {
    input: Reader<Message>,
    log: Log,
    clock: Box<dyn Clock>,
    stop: Arc<dyn FailStop>,
    stats: Arc<Stats>,
    notes: Notes,
    failed: bool,
}

impl RejectLog {
    /// A writer that goes on where recovery left the log.
    #[must_use]
    pub fn new(
        input: Reader<Message>,
        log: Log,
        clock: Box<dyn Clock>,
        stop: Arc<dyn FailStop>,
        stats: Arc<Stats>,
    ) -> RejectLog {
        RejectLog { input, log, clock, stop, stats, notes: Notes::default(), failed: false }
    }
}

impl Agent for RejectLog {
    fn name(&self) -> &'static str {
        "reject log"
    }

    fn do_work(&mut self) -> usize {
        if self.failed || !self.input.has_events() {
            return 0;
        }
        let (log, time) = (&mut self.log, TimeNs(self.clock.wall_ns()));
        let notes = &mut self.notes;
        notes.begin(self.clock.monotonic_ns());
        let handled = self.input.drain(ROUND_MAX, |message| {
            log.push(&refused(message, time));
            notes.tell(message);
            Take::Next
        });
        self.stats.reject_log.written.add(handled as u64);
        if let Err(fault) = self.log.flush() {
            self.failed = true;
            self.stop.fail(StopReason::EventLogWrite, &fault.to_string());
        }
        handled
    }
}

/// Lines about messages in one second; what is more is counted.
const NOTES_MAX: u32 = 20;
const NOTES_NS: u64 = 1_000_000_000;
/// What the gateway let through or refused can be looked at, whatever its length.
const OPEN: OpenLimits = OpenLimits { frame_max: FRAME_MAX_BYTES, strict_reserved: false };

/// Bounds what is told of messages.
#[derive(Default)]
struct Notes {
    /// Since when lines are counted.
    since_ns: u64,
    told: u32,
    left_out: u64,
}

impl Notes {
    /// A round begins.
    fn begin(&mut self, now_ns: u64) {
        if now_ns.saturating_sub(self.since_ns) < NOTES_NS {
            return;
        }
        if self.left_out > 0 {
            tracing::info!(
                left_out = self.left_out,
                "messages without a sequence were not told of"
            );
        }
        *self = Notes { since_ns: now_ns, told: 0, left_out: 0 };
    }

    /// Tells of a message, where there is somebody to tell and not too much is told already.
    fn tell(&mut self, message: &Message) {
        let duplicate = matches!(message.head.kind, MessageKind::Duplicate(_));
        let wanted = if duplicate {
            tracing::enabled!(Level::INFO)
        } else {
            tracing::enabled!(Level::DEBUG)
        };
        if !wanted {
            return;
        }
        if self.told == NOTES_MAX {
            self.left_out += 1;
            return;
        }
        self.told += 1;
        note(message);
    }
}

/// One line about a message. Fields that it does not have are left out.
fn note(message: &Message) {
    let head = &message.head;
    let received = &message.bytes.as_slice()[head.received.range()];
    // What was refused for its form has no metadata to be read.
    let frame = Frame::reopen(received, &OPEN).ok();
    let metadata = frame.and_then(|frame| frame.metadata().ok().flatten());
    let message_id = metadata.map(|metadata| metadata.message_id);
    let correlation_id = metadata.map(|metadata| metadata.correlation_id);
    let lane = LANES[CRITICAL];
    let (session, client_sequence) = (head.session.0, head.client_sequence);
    match head.kind {
        MessageKind::Duplicate(original) => tracing::info!(
            sequence = original.0,
            message_id,
            correlation_id,
            lane,
            session,
            client_sequence,
            "a duplicate was answered and not applied again"
        ),
        MessageKind::Refuse(reason) => tracing::debug!(
            message_id,
            correlation_id,
            lane,
            session,
            client_sequence,
            reason = reason.name(),
            "a message was refused"
        ),
        _ => {}
    }
}

fn refused(message: &Message, time: TimeNs) -> Refused<'_> {
    let head = &message.head;
    let (reason, repeats) = match head.kind {
        MessageKind::Refuse(reason) => (reason, Sequence::NONE),
        // A repeated message is no fault of the client; the log notes that it came again.
        MessageKind::Duplicate(original) => (RejectReason::Duplicate, original),
        _ => unreachable!("the lane hands on refusals and duplicates alone"),
    };
    Refused {
        time,
        reason,
        protocol: PROTOCOL_NATIVE,
        connection: head.origin.connection,
        session: head.session,
        key: head.key,
        client_sequence: head.client_sequence,
        repeats,
        received: &message.bytes.as_slice()[head.received.range()],
    }
}
