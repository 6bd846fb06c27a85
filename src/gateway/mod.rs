//! The gateway: bytes from clients become messages, released answers become bytes.
//!
//! One agent owns its connections outright. It reads what is ready, within a budget a connection and
//! cycle, decodes frames where they were received, and publishes messages to its input ring. A full
//! ring stops reading, nothing is dropped. In `settle`, after the gate, it sends what is released.
//!
//! Invariants: every message published has exactly one completing answer (`in_flight` counts them); a
//! connection with no bytes pending holds no buffer; what a client does can close its connection and
//! nothing else.

pub mod admission;
mod answers;
pub mod connection;
pub mod listener;
mod receive;
pub mod restraint;
mod slow;
mod slowing;
pub mod verify;

pub use slow::Shared;

use crate::agent::Agent;
use crate::event::RejectReason;
use crate::exchange::Directory;
use crate::limits::CONNECTION_MESSAGES_MAX;
use crate::message::{Detail, Head, Message, MessageKind, Origin};
use crate::publish::outbound::{AnswerFound, AnswerWanted, Outbound, Wanted};
use crate::ring::{Cursor, LatestReader, Reader, Writer};
use crate::sequencer::overload::PressureSignal;
use crate::sequencer::pending::Taken;
use crate::stats::{self, Stats};
use crate::sys::clock::Clock;
use crate::sys::random::Random;
use crate::types::{Sequence, SessionId};
use crate::wire::frame::OpenLimits;
use connection::{Bounds, Connection, Door, Flushed, State, Stream as _};
use crossbeam::channel::{Receiver, Sender};
use mio::event::Event;
use restraint::Rate;
use slowing::Slowing;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use verify::Verifier;

/// Token of the listener; connections use their slot's number.
pub const DOOR: usize = usize::MAX - 1;
/// Times of receipt whose answers are timed together when they are sent.
const ANSWERED_MAX: usize = 256;
/// Connections that are looked at in one round.
const ROUND_MAX: usize = 256;
/// How often connections are searched for those that are too slow or too quiet.
const SWEEP_MS: u64 = 250;
/// Connections searched in one turn.
const SWEEP_MAX: usize = 512;
/// Connections that are accepted in one turn, and that are closed by the search in one turn: each costs
/// the kernel tens of microseconds, and what others ordered waits meanwhile.
const DOOR_MAX: usize = 16;
/// Original answers that are being fetched for one connection.
const FETCHING_MAX: u32 = 256;
/// How long a connection whose answers are all sent is kept for its peer to take them.
const FINISHED_MS: u64 = 500;
/// Connections that are kept so at a time; further ones are closed at once.
const FINISHED_MAX: usize = 256;

/// The gateway's bounds, all from configuration.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at most, of all gateways.
    pub connections_max: usize,
    /// What frames are let through.
    pub open: OpenLimits,
    /// Bytes that may wait for a client that reads slowly.
    pub pending_output_max: usize,
    /// The same of all connections of all gateways.
    pub pending_output_total: usize,
    /// Bytes read from one connection in one round.
    pub read_budget: usize,
    /// A connection that has not logged on by then is closed.
    pub logon_timeout_ms: u64,
    /// A session is to send something at least this often; after twice as long it is closed.
    pub idle_timeout_ms: u64,
    /// A client that takes no bytes for so long is closed.
    pub slow_reader_timeout_ms: u64,
    /// Messages of one connection that may wait to be sequenced.
    pub pending_max: u32,
    /// A priority above the key's entitlement is refused; else the message gets what the key may use.
    pub refuses_above: bool,
    /// How long new orders are held under pressure.
    pub slow_ms: u64,
    /// When LOW and BATCH that were refused may try again.
    pub retry_after_ms: u32,
    /// What a session may send, if there is a bound.
    pub rate: Option<Rate>,
}

impl Limits {
    fn bounds(&self) -> Bounds {
        let in_flight_max = CONNECTION_MESSAGES_MAX;
        let pending_max = self.pending_output_max;
        Bounds { in_flight_max, fetching_max: FETCHING_MAX, pending_max }
    }
}

/// What a gateway is given by the machine, or by a simulation.
pub struct Surroundings<D> {
    /// Where connections come from.
    pub door: D,
    /// Checks signatures.
    pub verifier: Box<dyn Verifier>,
    /// Time-outs.
    pub clock: Box<dyn Clock>,
    /// Nonces.
    pub random: Box<dyn Random>,
}

/// What the gateway is connected to.
pub struct Wiring {
    /// To the sequencer.
    pub input: Writer<Message>,
    /// Up to where answers may leave.
    pub released: Cursor,
    /// Wishes for what the event log holds.
    pub wanted: Sender<Wanted>,
    /// What it held.
    pub found: Receiver<AnswerFound>,
    /// Set to 1 when the gateway was asked to stop and owes nobody an answer.
    pub drained: Cursor,
    /// What the sequencer took of each connection's messages.
    pub taken: Taken,
    /// How overloaded the node is.
    pub pressure: PressureSignal,
    /// What the gateway tells.
    pub stats: Arc<Stats>,
    /// What all gateways of the node hold together.
    pub shared: Arc<Shared>,
}

/// How far a look at all connections is, and what it has counted.
#[derive(Default)]
struct Swept {
    /// Slot to look at next; 0 between two looks.
    next: usize,
    /// Bytes that wait to be sent.
    pending: usize,
    /// Bytes received that wait to be handed on.
    received: usize,
    /// Connections that hold a session.
    sessions: u64,
}

/// The gateway's agent.
pub struct Gateway<D: Door> {
    number: u8,
    door: D,
    door_ready: bool,
    /// The version that this round works with, and where the newest one is.
    directory: Arc<Directory>,
    directories: LatestReader<Directory>,
    verifier: Box<dyn Verifier>,
    clock: Box<dyn Clock>,
    random: Box<dyn Random>,
    limits: Limits,
    wiring: Wiring,
    /// From the critical lane; taken out while its slots are delivered.
    answers: Option<Reader<Outbound>>,
    connections: Vec<Option<Box<Connection<D::Stream>>>>,
    generations: Vec<u32>,
    free: Vec<u32>,
    /// Connections that may have bytes to handle: slot and generation.
    ready: VecDeque<(u32, u32)>,
    /// The same for those whose next or last command is LOW or BATCH.
    ready_bulk: VecDeque<(u32, u32)>,
    /// Frames of LOW and BATCH that may still be handled in this round.
    bulk_left: usize,
    /// Frames handled since the last settling: of those, and all others.
    bulk_frames: usize,
    other_frames: usize,
    /// Messages handed on, by the connection's slot; it wraps.
    published: Vec<u32>,
    /// Connections with as many messages before the sequencer as they may have.
    crowded: Vec<u32>,
    /// Who is slowed.
    slowing: Slowing,
    /// Connections that have bytes to send.
    dirty: Vec<u32>,
    /// Messages handed on whose answer is still to come, of connections that are gone too.
    in_flight: u64,
    /// Wishes for original answers that found the channel full.
    replays: VecDeque<AnswerWanted>,
    /// Connections that get what their session was sent earlier.
    resuming: Vec<Origin>,
    /// Signatures that found the verifier busy: at most one a connection.
    unverified: VecDeque<verify::Job>,
    /// Connections in [`State::Finished`].
    finished: usize,
    /// Connections with a logon or logout that is to wait for what is on its way.
    waiting: Vec<u32>,
    /// The input ring took no more: this round hands on nothing further.
    input_full: bool,
    /// Session ends that are still to be sequenced.
    lost: VecDeque<Head>,
    buffer: Vec<u8>,
    pool: Vec<Vec<u8>>,
    next_sweep_ms: u64,
    swept: Swept,
    now_ms: u64,
    now_ns: u64,
    /// Messages answered and not sent: when they were received, and how many at that time.
    answered: Vec<(u64, u64)>,
    stopping: bool,
    /// Asked to stop, and nobody is owed anything.
    ended: bool,
    /// The door could not be opened for want of descriptors: try again.
    knock_again: bool,
}

impl<D: Door> Gateway<D> {
    /// A gateway with an open door and no connections.
    pub fn new(
        number: u8,
        surroundings: Surroundings<D>,
        mut directories: LatestReader<Directory>,
        limits: Limits,
        answers: Reader<Outbound>,
        wiring: Wiring,
    ) -> Gateway<D> {
        let buffer = vec![0; limits.open.frame_max + limits.read_budget];
        let Surroundings { door, verifier, clock, random } = surroundings;
        Gateway {
            number,
            door,
            door_ready: true,
            directory: directories.get().clone(),
            directories,
            verifier,
            clock,
            random,
            limits,
            wiring,
            answers: Some(answers),
            connections: Vec::new(),
            generations: Vec::new(),
            free: Vec::new(),
            ready: VecDeque::new(),
            ready_bulk: VecDeque::new(),
            bulk_left: 0,
            bulk_frames: 0,
            other_frames: 0,
            published: Vec::new(),
            crowded: Vec::new(),
            slowing: Slowing::default(),
            dirty: Vec::new(),
            in_flight: 0,
            replays: VecDeque::new(),
            resuming: Vec::new(),
            unverified: VecDeque::new(),
            finished: 0,
            waiting: Vec::new(),
            input_full: false,
            lost: VecDeque::new(),
            buffer,
            pool: Vec::new(),
            next_sweep_ms: 0,
            swept: Swept::default(),
            now_ms: 0,
            now_ns: 0,
            answered: Vec::with_capacity(ANSWERED_MAX),
            stopping: false,
            ended: false,
            knock_again: false,
        }
    }

    /// Number of open connections.
    #[must_use]
    pub fn connection_count(&self) -> usize {
        self.connections.len() - self.free.len()
    }

    fn stats(&self) -> &stats::Gateway {
        &self.wiring.stats.gateways[usize::from(self.number)]
    }

    /// Tells what a cycle came to. The answers of this cycle are with the sockets now.
    fn tell(&mut self) {
        if self.answered.is_empty() {
            return;
        }
        let now_ns = self.clock.monotonic_ns();
        let mut answered = std::mem::take(&mut self.answered);
        for (received_ns, count) in answered.drain(..) {
            self.stats().latency.record(now_ns.saturating_sub(received_ns), count);
        }
        self.answered = answered;
    }

    /// Counts an answer that is about to be sent.
    fn count_answer(&mut self, received_ns: u64) {
        self.stats().answered.add(1);
        if let Some((same, count)) = self.answered.last_mut()
            && *same == received_ns
        {
            *count += 1;
            return;
        }
        if self.answered.len() == ANSWERED_MAX {
            // So many at once are timed a little early.
            self.tell();
        }
        self.answered.push((received_ns, 1));
    }

    /// The door, for a test that knocks.
    pub fn door(&mut self) -> &mut D {
        &mut self.door
    }

    /// Tells that a socket is ready: [`DOOR`] or a connection's slot.
    pub fn ready(&mut self, token: usize, readable: bool, writable: bool) {
        if token == DOOR {
            self.door_ready = true;
            return;
        }
        let slot = token as u32;
        let Some(Some(connection)) = self.connections.get_mut(token) else { return };
        connection.readable |= readable;
        if writable && connection.pending() > 0 {
            self.mark_dirty(slot);
        }
        self.list(slot);
    }

    /// Tells that a connection's peer sends nothing behind what it has sent.
    pub fn hung_up(&mut self, token: usize) {
        if let Some(Some(connection)) = self.connections.get_mut(token) {
            connection.hung_up = true;
        }
    }

    fn accept(&mut self) -> usize {
        let mut accepted = 0;
        while (self.door_ready || self.door.is_knocked_on())
            && !self.stopping
            && accepted < DOOR_MAX
        {
            let slot = self.free.last().copied().unwrap_or(self.connections.len() as u32);
            match self.door.accept(slot as usize) {
                Ok(Some(stream)) => {
                    accepted += 1;
                    self.stats().connections_accepted.add(1);
                    self.knock_again = false;
                    self.welcome(slot, stream);
                }
                Ok(None) => {
                    self.door_ready = false;
                    self.knock_again = false;
                }
                Err(error) => {
                    // Out of descriptors, most likely: the next sweep tries again.
                    self.door_ready = false;
                    self.knock_again = true;
                    tracing::warn!(%error, "cannot accept a connection");
                }
            }
        }
        accepted
    }

    fn welcome(&mut self, slot: u32, stream: D::Stream) {
        if self.free.last() == Some(&slot) {
            self.free.pop();
        } else {
            self.connections.push(None);
            self.generations.push(0);
            self.published.push(0);
        }
        let index = slot as usize;
        self.generations[index] = self.generations[index].wrapping_add(1);
        let generation = self.generations[index];
        let origin = Origin { gateway: self.number, connection: slot, generation };
        let mut nonce = [0; 32];
        self.random.fill(&mut nonce);
        let mut connection = Connection::new(stream, origin, nonce, self.now_ms);
        // Each counts itself before it looks: two that come at once cannot both be the last.
        let open = self.wiring.shared.connections.fetch_add(1, Ordering::Relaxed) + 1;
        if open > self.limits.connections_max {
            let reason = RejectReason::TooManyConnections;
            answers::refuse(connection.outbound(), 0, reason, Detail::None);
            self.stats().refuse(reason);
            connection.state = State::Closing;
        } else {
            let time_ns = self.clock.wall_ns();
            answers::challenge(connection.outbound(), nonce, time_ns, self.limits.open.frame_max);
        }
        self.connections[index] = Some(Box::new(connection));
        self.mark_dirty(slot);
        self.list(slot);
    }

    /// Puts a connection on the list of those to look at.
    fn list(&mut self, slot: u32) {
        if let Some(Some(connection)) = self.connections.get_mut(slot as usize)
            && connection.wants_to_receive(self.limits.bounds())
            && !connection.listed
        {
            connection.listed = true;
            let list = if connection.bulk { &mut self.ready_bulk } else { &mut self.ready };
            list.push_back((slot, connection.origin.generation));
        }
    }

    fn mark_dirty(&mut self, slot: u32) {
        if let Some(Some(connection)) = self.connections.get_mut(slot as usize)
            && !connection.dirty
        {
            connection.dirty = true;
            self.dirty.push(slot);
        }
    }

    /// Hands signatures to the verifier, and its verdicts to the connections that wait for them.
    fn verdicts(&mut self) -> usize {
        let mut count = 0;
        while let Some(job) = self.unverified.front().copied() {
            let wanted = self.connection(job.origin).is_some();
            if wanted && !self.verifier.submit(job) {
                break;
            }
            self.unverified.pop_front();
            count += 1;
        }
        while let Some((origin, good)) = self.verifier.verdict() {
            count += 1;
            if let Some(connection) = self.connection(origin) {
                connection.verifying = false;
                connection.verdict = Some(good);
                self.list(origin.connection);
            }
        }
        count
    }

    /// Lets those who wait for what others do try again.
    fn wake_waiting(&mut self) {
        for slot in std::mem::take(&mut self.waiting) {
            if let Some(Some(connection)) = self.connections.get_mut(slot as usize) {
                connection.waits = false;
                self.list(slot);
            }
        }
    }

    /// The connection that an origin names, if it still is that one.
    fn connection(&mut self, origin: Origin) -> Option<&mut Connection<D::Stream>> {
        let connection = self.connections.get_mut(origin.connection as usize)?.as_deref_mut()?;
        (connection.origin == origin).then_some(connection)
    }

    /// Forgets a connection. Its session's end is sequenced; answers on their way meet nobody.
    fn close(&mut self, slot: u32) {
        let Some(mut connection) = self.connections[slot as usize].take() else { return };
        self.free.push(slot);
        if connection.state == State::Finished {
            self.finished -= 1;
        } else {
            self.wiring.shared.connections.fetch_sub(1, Ordering::Relaxed);
        }
        self.uncount_pending(connection.counted);
        self.lose_session(&mut connection);
    }

    /// Notes that a session's connection is gone: its end is to be sequenced. Whether the session has
    /// ended with that, or goes on with another connection, the sequencer knows.
    fn lose_session(&mut self, connection: &mut Connection<D::Stream>) {
        if std::mem::take(&mut connection.holds_session) {
            self.report_end(connection.session, connection.origin);
        }
    }

    fn report_end(&mut self, session: SessionId, origin: Origin) {
        let kind = MessageKind::SessionLost;
        self.lost.push_back(Head { kind, origin, session, ..Head::default() });
    }

    /// Publishes the ends of sessions whose connection is gone.
    fn report_lost(&mut self) -> usize {
        let mut count = 0;
        while let Some(head) = self.lost.front().copied() {
            let published = self.wiring.input.try_publish(|slot| {
                slot.head = head;
                slot.bytes.set(&[], &[]);
            });
            if published.is_err() {
                break;
            }
            self.in_flight += 1;
            self.count_published(head.origin.connection);
            self.lost.pop_front();
            count += 1;
        }
        if count > 0 && self.lost.is_empty() {
            self.wake_waiting();
        }
        count
    }

    /// One more message of this connection is before the sequencer.
    fn count_published(&mut self, slot: u32) {
        let published = &mut self.published[slot as usize];
        *published = published.wrapping_add(1);
    }

    /// True where so many messages of this connection are before the sequencer as may be.
    #[inline(always)]
    fn is_crowded(&self, slot: u32) -> bool {
        let before = self.published[slot as usize].wrapping_sub(self.wiring.taken.get(slot));
        before >= self.limits.pending_max
    }

    /// Lets connections go on whose messages the sequencer took.
    fn wake_crowded(&mut self) {
        for slot in std::mem::take(&mut self.crowded) {
            if self.is_crowded(slot) {
                self.crowded.push(slot);
            } else if let Some(Some(connection)) = self.connections.get_mut(slot as usize) {
                connection.crowded = false;
                self.list(slot);
            }
        }
    }

    /// Writes to every connection that has something to send.
    fn flush(&mut self) -> usize {
        let mut dirty = std::mem::take(&mut self.dirty);
        let count = dirty.len();
        for slot in dirty.drain(..) {
            let Some(connection) = self.connections[slot as usize].as_mut() else { continue };
            connection.dirty = false;
            let pending = connection.pending();
            let flushed = connection.flush(self.now_ms);
            let sent = pending - connection.pending();
            let too_slow = connection.overflows(self.limits.bounds(), self.now_ms);
            let over = connection.state == State::Closing && !connection.is_owed();
            connection.return_buffer(&mut self.pool);
            self.stats().bytes_out.add(sent as u64);
            self.stats().slow_closes.add(u64::from(too_slow));
            self.count_pending(slot);
            if flushed == Flushed::Broken || too_slow {
                self.close(slot);
            } else if over {
                self.finish(slot);
            } else {
                // What was held back because too much was pending may go on.
                self.list(slot);
            }
        }
        self.dirty = dirty;
        self.bound_pending();
        count
    }

    /// Tells a peer that all is sent. Its session, if it has one still, is lost with that.
    fn finish(&mut self, slot: u32) {
        let Some(Some(connection)) = self.connections.get_mut(slot as usize) else { return };
        // A stop ends with all of them; at other times nobody can make many of them linger.
        let many = self.finished >= FINISHED_MAX && !self.stopping;
        if many || connection.stream.finish().is_err() {
            self.close(slot);
            return;
        }
        connection.state = State::Finished;
        connection.finished_ms = self.now_ms;
        connection.readable = true;
        connection.inbound = Vec::new();
        self.finished += 1;
        self.wiring.shared.connections.fetch_sub(1, Ordering::Relaxed);
        if std::mem::take(&mut connection.holds_session) {
            let (session, origin) = (connection.session, connection.origin);
            self.report_end(session, origin);
        }
        self.list(slot);
    }

    /// Closes connections that are too slow or too quiet: looks at all of them every so often, at some
    /// in one turn, so that many idle ones hold up nobody.
    fn sweep(&mut self) {
        if self.swept.next == 0 {
            if self.now_ms < self.next_sweep_ms {
                return;
            }
            self.next_sweep_ms = self.now_ms + SWEEP_MS;
            self.door_ready = true;
        }
        let end = self.connections.len().min(self.swept.next + SWEEP_MAX);
        let mut closed = 0;
        while self.swept.next < end && closed < DOOR_MAX {
            closed += usize::from(self.sweep_one(self.swept.next));
            self.swept.next += 1;
        }
        if self.swept.next == self.connections.len() {
            let Swept { pending, received, sessions, .. } = std::mem::take(&mut self.swept);
            self.stats().pending_output.set(pending as u64);
            self.stats().pending_input.set(received as u64);
            self.stats().sessions.set(sessions);
        }
    }

    /// Looks at one connection; true where it was closed.
    fn sweep_one(&mut self, slot: usize) -> bool {
        let Some(connection) = &self.connections[slot] else { return false };
        self.swept.pending += connection.pending();
        self.swept.received += connection.received_bytes();
        self.swept.sessions += u64::from(connection.holds_session);
        let since = |since: Option<u64>| since.map_or(0, |it| self.now_ms.saturating_sub(it));
        let slow_ms = since(connection.blocked_since_ms).max(since(connection.full_since_ms));
        // A byte now and then does not make a logon.
        let (since_ms, allowed_ms) = match connection.state {
            State::AwaitLogon | State::LoggingOn => {
                (connection.connected_ms, self.limits.logon_timeout_ms)
            }
            State::Live | State::Closing => {
                (connection.received_ms, 2 * self.limits.idle_timeout_ms)
            }
            State::Finished => (connection.finished_ms, FINISHED_MS),
        };
        let quiet_ms = self.now_ms.saturating_sub(since_ms);
        // A session that waits for an answer is not idle: it is we who are slow.
        let waits = connection.in_flight > 0 || connection.resume.is_some();
        let idle = quiet_ms > allowed_ms && !waits;
        let slow = slow_ms > self.limits.slow_reader_timeout_ms;
        if idle || slow {
            self.stats().slow_closes.add(u64::from(slow));
            self.close(slot as u32);
        }
        idle || slow
    }

    /// Tells every peer that all is sent, and ends when they are gone or have had their time.
    fn say_goodbye(&mut self) {
        for slot in 0..self.connections.len() as u32 {
            let Some(connection) = &mut self.connections[slot as usize] else { continue };
            if connection.state != State::Finished {
                // A session whose node stops is not lost: its end is no record.
                connection.holds_session = false;
                self.finish(slot);
            }
        }
        if self.connection_count() == 0 {
            // From here on nothing is published: what comes after would be sequenced by stages that
            // may have ended.
            self.ended = true;
            self.wiring.drained.set(Sequence(1));
        }
    }

    fn is_drained(&self) -> bool {
        let unread = self.answers.as_ref().is_some_and(Reader::has_events);
        self.in_flight == 0
            && self.lost.is_empty()
            && !unread
            && self.connections.iter().flatten().all(|connection| !connection.is_owed())
    }
}

impl<D: Door> Agent for Gateway<D> {
    fn name(&self) -> &'static str {
        "gateway"
    }

    fn do_work(&mut self) -> usize {
        if self.ended {
            return 0;
        }
        self.now_ns = self.clock.monotonic_ns();
        self.now_ms = self.now_ns / 1_000_000;
        self.input_full = false;
        self.wake_crowded();
        let relieved = self.watch_pressure();
        self.directory.clone_from(self.directories.get());
        relieved + self.accept() + self.verdicts() + self.report_lost() + self.receive()
    }

    fn settle(&mut self) -> usize {
        if self.ended {
            return self.discard_answers();
        }
        (self.bulk_frames, self.other_frames) = (0, 0);
        let done = self.deliver() + self.deliver_found() + self.flush();
        self.tell();
        let connections = self.connection_count();
        self.stats().connections.set(connections as u64);
        if connections == 0 {
            self.stats().sessions.set(0);
        }
        self.sweep();
        if self.stopping && self.is_drained() {
            self.say_goodbye();
        }
        done
    }

    fn on_ready(&mut self, event: &Event) {
        let closed = event.is_read_closed() || event.is_error();
        let readable = event.is_readable() || closed;
        if closed {
            self.hung_up(event.token().0);
        }
        self.ready(event.token().0, readable, event.is_writable());
    }

    fn wake_in(&self) -> Option<Duration> {
        let busy = !self.ended && (self.knock_again || self.connection_count() > 0);
        let sweep_ms = if self.swept.next > 0 { self.now_ms } else { self.next_sweep_ms };
        let next_ms = self.slowing.next_ms().map_or(sweep_ms, |it| it.min(sweep_ms));
        busy.then(|| Duration::from_millis(next_ms.saturating_sub(self.now_ms).max(1)))
    }

    fn stop(&mut self) {
        self.stopping = true;
        for slot in 0..self.connections.len() as u32 {
            let Some(connection) = &mut self.connections[slot as usize] else { continue };
            if connection.state == State::Live {
                answers::stopping(connection.outbound());
                // The rest comes when it logs on again, with what it has got by then.
                if let Some(resume) = &mut connection.resume {
                    resume.cut = true;
                }
                self.mark_dirty(slot);
            }
        }
    }
}
