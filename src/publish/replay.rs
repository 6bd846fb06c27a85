//! Original answers for repeated messages, read back from the event log on a helper thread.

use crate::agent::{Agent, FailStop};
use crate::event::Event;
use crate::fatal::StopReason;
use crate::journal::event_log::EventLogReader;
use crate::publish::outbound::{AnswerFound, AnswerWanted};
use crate::ring::Cursor;
use crate::wire::answer::original_answer;
use crossbeam::channel::{Receiver, Sender};
use std::sync::Arc;

/// Reads original answers.
pub struct Replay {
    wanted: Receiver<AnswerWanted>,
    /// To each gateway, in order of their numbers.
    found: Vec<Sender<AnswerFound>>,
    log: EventLogReader,
    written: Cursor,
    /// The wish in hand: its events may not be written yet, or the gateway's channel may be full.
    waiting: Option<AnswerWanted>,
    events: Vec<Event>,
    stop: Arc<dyn FailStop>,
    failed: bool,
}

impl Replay {
    /// A reader of the event log up to `written`.
    #[must_use]
    pub fn new(
        wanted: Receiver<AnswerWanted>,
        found: Vec<Sender<AnswerFound>>,
        log: EventLogReader,
        written: Cursor,
        stop: Arc<dyn FailStop>,
    ) -> Replay {
        let (waiting, events) = (None, Vec::new());
        Replay { wanted, found, log, written, waiting, events, stop, failed: false }
    }
}

impl Agent for Replay {
    fn name(&self) -> &'static str {
        "answers again"
    }

    fn do_work(&mut self) -> usize {
        if self.failed {
            return 0;
        }
        let Some(wish) = self.waiting.take().or_else(|| self.wanted.try_recv().ok()) else {
            return 0;
        };
        let found = &self.found[usize::from(wish.to.gateway)];
        if found.is_full() {
            self.waiting = Some(wish);
            return 0;
        }
        self.events.clear();
        match self.log.events_of(wish.original, self.written.get(), &mut self.events) {
            Ok(true) => {
                let frames = original_answer(&self.events, wish.client_sequence);
                // Full is ruled out above, and a gateway that is gone needs no answer.
                let _ = found.try_send(AnswerFound { to: wish.to, frames });
                1
            }
            Ok(false) => {
                self.waiting = Some(wish);
                0
            }
            Err(error) => {
                self.failed = true;
                self.stop.fail(StopReason::LogRead, &error.to_string());
                0
            }
        }
    }
}
