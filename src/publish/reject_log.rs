//! The writer of the reject log, on a helper thread: what got no sequence, for audit.

use crate::agent::{Agent, FailStop};
use crate::event::RejectReason;
use crate::fatal::StopReason;
use crate::journal::payload::PROTOCOL_NATIVE;
use crate::journal::reject_log::{Refused, RejectLog as Log};
use crate::message::{Message, MessageKind};
use crate::ring::{Reader, Take};
use crate::sys::clock::Clock;
use crate::types::{Sequence, TimeNs};
use std::sync::Arc;

/// Slots taken in one round: as many as one batch of the log holds.
const ROUND_MAX: usize = crate::limits::BATCH_COUNT_MAX;

/// The reject log's agent.
pub struct RejectLog {
    input: Reader<Message>,
    log: Log,
    clock: Box<dyn Clock>,
    stop: Arc<dyn FailStop>,
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
    ) -> RejectLog {
        RejectLog { input, log, clock, stop, failed: false }
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
        let handled = self.input.drain(ROUND_MAX, |message| {
            log.push(&refused(message, time));
            Take::Next
        });
        if let Err(fault) = self.log.flush() {
            self.failed = true;
            self.stop.fail(StopReason::EventLogWrite, &fault.to_string());
        }
        handled
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
