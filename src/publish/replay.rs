//! What was sent before, read back from the event log on a helper thread: original answers for repeated
//! messages, and what a session was sent while its client was away.

use super::rest::{Numbers, READ_MAX, Rests, Turn};
use crate::agent::{Agent, FailStop};
use crate::event::{Event, RejectReason};
use crate::fatal::StopReason;
use crate::journal::event_log::EventLogReader;
use crate::journal::reader::ReadError;
use crate::journal::segment::LogDir;
use crate::publish::outbound::{AnswerFound, AnswerWanted, RestWanted, Wanted};
use crate::ring::Cursor;
use crate::wire::answer::original_answer;
use crate::wire::message::Reject;
use crossbeam::channel::{Receiver, Sender};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

/// Reads what was sent before.
pub struct Replay {
    wanted: Receiver<Wanted>,
    /// To each gateway, in order of their numbers.
    found: Vec<Sender<AnswerFound>>,
    log: EventLogReader,
    written: Cursor,
    /// The answer in hand: its events may not be written yet, or the gateway's channel may be full.
    waiting: Option<AnswerWanted>,
    events: Vec<Event>,
    /// Where numbers stand; the event log's writer goes on with it.
    numbers: Arc<Mutex<Numbers>>,
    rests: Rests,
    /// At most one for each connection: those that are read for, in turn, and those that wait for that.
    rests_read: VecDeque<RestWanted>,
    rests_wanted: VecDeque<RestWanted>,
    stop: Arc<dyn FailStop>,
    failed: bool,
}

impl Replay {
    /// A reader of the event log up to `written`.
    #[must_use]
    pub fn new(
        wanted: Receiver<Wanted>,
        found: Vec<Sender<AnswerFound>>,
        log: LogDir,
        numbers: Arc<Mutex<Numbers>>,
        written: Cursor,
        stop: Arc<dyn FailStop>,
    ) -> Replay {
        Replay {
            wanted,
            found,
            log: EventLogReader::new(log.clone()),
            written,
            waiting: None,
            events: Vec::new(),
            numbers,
            rests: Rests::new(log),
            rests_read: VecDeque::new(),
            rests_wanted: VecDeque::new(),
            stop,
            failed: false,
        }
    }

    /// Takes wishes, until one for an answer has to wait.
    fn take_wishes(&mut self) {
        while self.waiting.is_none()
            && let Ok(wish) = self.wanted.try_recv()
        {
            match wish {
                Wanted::Answer(wish) => self.waiting = Some(wish),
                Wanted::Rest(wish) => self.rests_wanted.push_back(wish),
            }
        }
    }

    fn answer(&mut self) -> Result<usize, ReadError> {
        let Some(wish) = self.waiting else { return Ok(0) };
        let found = &self.found[usize::from(wish.to.gateway)];
        self.events.clear();
        if found.is_full() {
            return Ok(0);
        }
        let frames = match self.log.events_of(wish.original, self.written.get(), &mut self.events) {
            Ok(false) => return Ok(0),
            Ok(true) => original_answer(&self.events, wish.client_sequence),
            Err(ReadError::Retired { .. }) => not_kept(wish.client_sequence),
            Err(error) => return Err(error),
        };
        self.waiting = None;
        // Full is ruled out above, and a gateway that is gone needs no answer.
        let _ = found.try_send(AnswerFound { to: wish.to, frames, reached: None });
        Ok(1)
    }

    /// A turn for everybody who resumes, until one of them needs a further one: he goes behind the others.
    fn pieces(&mut self) -> Result<usize, ReadError> {
        let room = READ_MAX.saturating_sub(self.rests_read.len()).min(self.rests_wanted.len());
        self.rests_read.extend(self.rests_wanted.drain(..room));
        let mut done = 0;
        for _ in 0..self.rests_read.len() {
            let Some(wish) = self.rests_read.pop_front() else { break };
            let found = &self.found[usize::from(wish.to.gateway)];
            if found.is_full() {
                self.rests_read.push_back(wish);
                continue;
            }
            let mut frames = Vec::new();
            let numbers = || {
                let numbers = self.numbers.lock().unwrap_or_else(PoisonError::into_inner);
                numbers.before(wish.session, wish.after + 1)
            };
            match self.rests.turn(&wish, numbers, self.written.get(), &mut frames)? {
                Turn::Piece(reached) => {
                    // Full is ruled out above, and a gateway that is gone needs no answer.
                    let _ =
                        found.try_send(AnswerFound { to: wish.to, frames, reached: Some(reached) });
                    done += 1;
                }
                Turn::Waits => self.rests_read.push_back(wish),
                Turn::Looked => {
                    self.rests_read.push_back(wish);
                    return Ok(done + 1);
                }
            }
        }
        Ok(done)
    }
}

/// The answer where the original one was retired; retention keeps what the duplicate window knows, so
/// that this is for whoever has lost it.
fn not_kept(client_sequence: u64) -> Vec<u8> {
    let (reason, text) = (RejectReason::TooOldToCheck, "the original answer is not kept any more");
    let mut frames = Vec::new();
    Reject { reason: reason.into(), retry_after_ms: 0, text }.send(client_sequence, &mut frames);
    frames
}

impl Agent for Replay {
    fn name(&self) -> &'static str {
        "answers again"
    }

    fn do_work(&mut self) -> usize {
        if self.failed {
            return 0;
        }
        self.take_wishes();
        let done = self.answer().and_then(|answered| Ok(answered + self.pieces()?));
        done.unwrap_or_else(|error| {
            self.failed = true;
            self.stop.fail(StopReason::LogRead, &error.to_string());
            0
        })
    }
}
