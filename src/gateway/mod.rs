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
pub mod directory;
pub mod listener;
pub mod verify;

use crate::agent::Agent;
use crate::event::RejectReason;
use crate::limits::CONNECTION_MESSAGES_MAX;
use crate::message::{Head, Message, MessageKind, Origin};
use crate::publish::outbound::{AnswerFound, AnswerWanted, Outbound};
use crate::ring::{Cursor, Reader, Writer};
use crate::sys::clock::Clock;
use crate::sys::random::Random;
use crate::types::{Sequence, SessionId};
use crate::wire::HashesAhead;
use crate::wire::frame::{OpenLimits, frame_length};
use admission::{Admitted, Caller, Extra};
use connection::{Bounds, Connection, Door, Flushed, State, Stream as _};
use crossbeam::channel::{Receiver, Sender};
use directory::Directory;
use mio::event::Event;
use std::collections::{HashMap, VecDeque};
use std::io::{self, Read};
use std::sync::Arc;
use std::time::Duration;
use verify::Verifier;

/// Token of the listener; connections use their slot's number.
pub const DOOR: usize = usize::MAX - 1;
/// Connections that are looked at in one round.
const ROUND_MAX: usize = 256;
/// Frames after which a round looks at no further connection: so few that they are still in the
/// caches when the stages behind take their turn.
const ROUND_FRAMES_MAX: usize = 256;
/// How often connections are searched for those that are too slow or too quiet.
const SWEEP_MS: u64 = 250;
/// Malformed frames in a row that a connection survives.
const MALFORMED_MAX: u32 = 64;
/// Original answers that are being fetched for one connection.
const FETCHING_MAX: u32 = 256;
/// Frames that a question for assets and instruments counts as: its answer is long, and made here.
const REFERENCE_FRAMES: usize = 32;
/// How long a connection whose answers are all sent is kept for its peer to take them.
const FINISHED_MS: u64 = 500;

/// The gateway's bounds, all from configuration.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at most.
    pub connections_max: usize,
    /// What frames are let through.
    pub open: OpenLimits,
    /// Bytes that may wait for a client that reads slowly.
    pub pending_output_max: usize,
    /// Bytes read from one connection in one round.
    pub read_budget: usize,
    /// A connection that has not logged on by then is closed.
    pub logon_timeout_ms: u64,
    /// A session is to send something at least this often; after twice as long it is closed.
    pub idle_timeout_ms: u64,
    /// A client that takes no bytes for so long is closed.
    pub slow_reader_timeout_ms: u64,
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
    /// Wishes for original answers.
    pub wanted: Sender<AnswerWanted>,
    /// Original answers.
    pub found: Receiver<AnswerFound>,
    /// Set to 1 when the gateway was asked to stop and owes nobody an answer.
    pub drained: Cursor,
}

/// The gateway's agent.
pub struct Gateway<D: Door> {
    number: u8,
    door: D,
    door_ready: bool,
    directory: Arc<Directory>,
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
    /// Connections that may have bytes to handle.
    ready: VecDeque<u32>,
    /// Connections that have bytes to send.
    dirty: Vec<u32>,
    /// Connection of each session that is logged on here.
    sessions: HashMap<u32, Origin>,
    /// Messages handed on whose answer is still to come, of connections that are gone too.
    in_flight: u64,
    /// Wishes for original answers that found the channel full.
    replays: VecDeque<AnswerWanted>,
    /// Signatures that found the verifier busy: at most one a connection.
    unverified: VecDeque<verify::Job>,
    /// Connections with a logon or logout that is to wait for what is on its way.
    waiting: Vec<u32>,
    /// The input ring took no more: this round hands on nothing further.
    input_full: bool,
    /// Session ends that are still to be sequenced, each with the number of logons before it.
    lost: VecDeque<(u64, Head)>,
    /// Logons handed on, and how many of them are answered.
    logons: u64,
    logons_answered: u64,
    buffer: Vec<u8>,
    pool: Vec<Vec<u8>>,
    next_sweep_ms: u64,
    now_ms: u64,
    stopping: bool,
    /// Asked to stop, and nobody is owed anything.
    ended: bool,
    /// The door could not be opened for want of descriptors: try again.
    knock_again: bool,
}

/// Why handling a connection's bytes ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Handled {
    /// The rest is the begin of a frame.
    NeedMore,
    /// A ring is full or a verdict is awaited: the rest is to be looked at again.
    Blocked,
    /// Nothing more is read.
    Closed,
}

impl<D: Door> Gateway<D> {
    /// A gateway with an open door and no connections.
    pub fn new(
        number: u8,
        surroundings: Surroundings<D>,
        directory: Arc<Directory>,
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
            directory,
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
            dirty: Vec::new(),
            sessions: HashMap::new(),
            in_flight: 0,
            replays: VecDeque::new(),
            unverified: VecDeque::new(),
            waiting: Vec::new(),
            input_full: false,
            lost: VecDeque::new(),
            logons: 0,
            logons_answered: 0,
            buffer,
            pool: Vec::new(),
            next_sweep_ms: 0,
            now_ms: 0,
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
        while self.door_ready && !self.stopping && accepted < ROUND_MAX {
            let slot = self.free.last().copied().unwrap_or(self.connections.len() as u32);
            match self.door.accept(slot as usize) {
                Ok(Some(stream)) => {
                    accepted += 1;
                    self.knock_again = false;
                    self.welcome(slot, stream);
                }
                Ok(None) => self.door_ready = false,
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
        }
        let index = slot as usize;
        self.generations[index] = self.generations[index].wrapping_add(1);
        let generation = self.generations[index];
        let origin = Origin { gateway: self.number, connection: slot, generation };
        let mut nonce = [0; 32];
        self.random.fill(&mut nonce);
        let mut connection = Connection::new(stream, origin, nonce, self.now_ms);
        if self.connection_count() > self.limits.connections_max {
            answers::refuse(connection.outbound(), 0, RejectReason::TooManyConnections);
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
            self.ready.push_back(slot);
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

    /// Looks at every listed connection once.
    fn receive(&mut self) -> usize {
        let mut done = 0;
        for _ in 0..self.ready.len().min(ROUND_MAX) {
            // Frames that nobody can take now would be read and checked for nothing.
            if self.input_full || done >= ROUND_FRAMES_MAX {
                break;
            }
            let Some(slot) = self.ready.pop_front() else { break };
            let Some(mut connection) = self.connections[slot as usize].take() else { continue };
            connection.listed = false;
            let handled = match connection.state {
                State::Finished => self.discard(&mut connection),
                // What comes after the stop was asked for is answered by nobody.
                _ if self.stopping => Ok(0),
                _ => self.receive_from(&mut connection, ROUND_FRAMES_MAX - done),
            };
            let waits = connection.waits;
            self.connections[slot as usize] = Some(connection);
            if waits {
                self.waiting.push(slot);
            }
            match handled {
                Ok(count) => done += count,
                Err(_) => {
                    self.close(slot);
                    done += 1;
                    continue;
                }
            }
            self.list(slot);
        }
        done
    }

    /// Handles what waits in the connection, then what its socket has, within the read budget and up
    /// to `frames_max` frames. Returns how many frames were handled.
    fn receive_from(
        &mut self,
        connection: &mut Connection<D::Stream>,
        frames_max: usize,
    ) -> io::Result<usize> {
        let mut buffer = std::mem::take(&mut self.buffer);
        let result = self.receive_into(connection, frames_max, &mut buffer);
        self.buffer = buffer;
        result
    }

    /// Reads what a peer sends that was told that all is over, and forgets it.
    fn discard(&mut self, connection: &mut Connection<D::Stream>) -> io::Result<usize> {
        match connection.stream.read(&mut self.buffer) {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) => Ok(1),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(0),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                connection.readable = false;
                Ok(0)
            }
            Err(error) => Err(error),
        }
    }

    fn receive_into(
        &mut self,
        connection: &mut Connection<D::Stream>,
        frames_max: usize,
        buffer: &mut [u8],
    ) -> io::Result<usize> {
        if !connection.wants_to_receive(self.limits.bounds()) {
            return Ok(0);
        }
        let waiting = connection.inbound.len();
        buffer[..waiting].copy_from_slice(&connection.inbound);
        let mut length = waiting;
        if !connection.backlog {
            let budget = match connection.state {
                // Before its logon a peer is owed no more than the frame that holds it.
                State::AwaitLogon => self.limits.open.frame_max.saturating_sub(waiting).max(1),
                _ => self.limits.read_budget,
            };
            let room = buffer.len().min(waiting + budget);
            let read = match connection.stream.read(&mut buffer[waiting..room]) {
                Ok(0) => return self.hear_the_end(connection),
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(0),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    connection.readable = false;
                    return Ok(0);
                }
                Err(error) => return Err(error),
            };
            // A read that did not fill its room has emptied the socket: the next bytes raise a new
            // readiness.
            connection.readable = connection.hung_up || read == room - waiting;
            connection.received_ms = self.now_ms;
            length += read;
        }
        let (used, frames, handled) = self.handle(connection, frames_max, &buffer[..length]);
        connection.backlog = handled == Handled::Blocked;
        connection.inbound.clear();
        if handled != Handled::Closed && used < length {
            connection.inbound.extend_from_slice(&buffer[used..length]);
        } else {
            connection.inbound = Vec::new();
        }
        Ok(frames + usize::from(length > waiting))
    }

    /// The client sends nothing more. What it is owed is still delivered.
    fn hear_the_end(&mut self, connection: &mut Connection<D::Stream>) -> io::Result<usize> {
        if connection.in_flight == 0 && connection.pending() == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        connection.readable = false;
        connection.inbound = Vec::new();
        connection.state = State::Closing;
        let (session, origin) = (connection.session, connection.origin);
        if self.sessions.get(&session.0) == Some(&origin) {
            self.lose_session(session, origin);
        }
        self.dirty_now(connection);
        Ok(1)
    }

    /// Handles up to about `frames_max` whole frames from the start of `bytes`. Returns the bytes used
    /// and frames handled.
    fn handle(
        &mut self,
        connection: &mut Connection<D::Stream>,
        frames_max: usize,
        bytes: &[u8],
    ) -> (usize, usize, Handled) {
        let (mut used, mut frames) = (0, 0);
        let mut hashes = HashesAhead::new();
        loop {
            let waits = connection.verifying || connection.is_full(self.limits.bounds());
            if connection.state == State::LoggingOn || waits || frames >= frames_max {
                return (used, frames, Handled::Blocked);
            }
            if connection.state == State::Closing {
                return (used, frames, Handled::Closed);
            }
            let rest = &bytes[used..];
            let (size, admitted) = match frame_length(rest, self.limits.open.frame_max) {
                Ok(Some(size)) if size <= rest.len() => {
                    let caller = caller(connection);
                    let limits = &self.limits.open;
                    let hash = hashes.take(rest, limits.frame_max);
                    let frame = &rest[..size];
                    (size, admission::admit(frame, hash, &caller, &self.directory, limits))
                }
                Ok(_) => return (used, frames, Handled::NeedMore),
                Err(error) => (rest.len(), admission::malformed(&error, 0)),
            };
            let frame = &rest[..size];
            if !self.take(connection, frame, &admitted) {
                return (used, frames, Handled::Blocked);
            }
            connection.verdict = None;
            used += size;
            frames += match admitted {
                Admitted::Reference { .. } => REFERENCE_FRAMES,
                _ => 1,
            };
            if !is_malformed(&admitted) {
                connection.malformed = 0;
            } else if connection.malformed < MALFORMED_MAX {
                connection.malformed += 1;
            } else {
                connection.state = State::Closing;
            }
        }
    }

    /// Does what a frame became. False where it has to wait.
    fn take(
        &mut self,
        connection: &mut Connection<D::Stream>,
        frame: &[u8],
        admitted: &Admitted,
    ) -> bool {
        match admitted {
            Admitted::Message { head, extra } => self.publish(connection, head, frame, extra),
            Admitted::Verify(job) => {
                self.unverified.push_back(*job);
                connection.verifying = true;
                false
            }
            Admitted::Pong { nonce, client_sequence } => {
                answers::pong(connection.outbound(), *client_sequence, *nonce);
                self.dirty_now(connection);
                true
            }
            Admitted::Reference { query, client_sequence } => {
                let out = connection.outbound();
                answers::reference(out, *client_sequence, query, &self.directory);
                self.dirty_now(connection);
                true
            }
            Admitted::Logon { key, role, public_key, head, extra } => {
                // The end of the session's connection before comes first, or it would end this one's.
                if !self.lost.is_empty() {
                    connection.waits = true;
                    return false;
                }
                if !self.publish(connection, head, frame, extra) {
                    return false;
                }
                self.logons += 1;
                connection.key = *key;
                connection.role = *role;
                connection.public_key = *public_key;
                connection.state = State::LoggingOn;
                true
            }
            Admitted::Logout(head) => {
                // A logon on its way may be about to take this session over, and an answer that is
                // fetched again comes past the ring in which the goodbye will stand.
                let behind = *connection.logout_behind.get_or_insert(self.logons);
                if behind > self.logons_answered || connection.in_flight > 0 {
                    connection.waits = true;
                    return false;
                }
                if !self.publish(connection, head, &[], &Extra::NONE) {
                    return false;
                }
                // The session ends here; that the connection ends too is no second end.
                self.sessions.remove(&connection.session.0);
                connection.state = State::Closing;
                true
            }
            Admitted::Refused { reason, client_sequence, schema, close } => {
                let head = Head {
                    kind: MessageKind::Refuse(*reason),
                    client_sequence: *client_sequence,
                    schema: *schema,
                    origin: connection.origin,
                    session: connection.session,
                    key: connection.key,
                    received: crate::message::Span {
                        offset: 0,
                        length: frame.len().min(self.limits.open.frame_max) as u16,
                    },
                    ..Head::default()
                };
                let kept = &frame[..usize::from(head.received.length)];
                if !self.publish(connection, &head, kept, &Extra::NONE) {
                    return false;
                }
                if *close {
                    connection.state = State::Closing;
                }
                true
            }
        }
    }

    fn dirty_now(&mut self, connection: &mut Connection<D::Stream>) {
        if !connection.dirty {
            connection.dirty = true;
            self.dirty.push(connection.origin.connection);
        }
    }

    fn publish(
        &mut self,
        connection: &mut Connection<D::Stream>,
        head: &Head,
        frame: &[u8],
        extra: &Extra,
    ) -> bool {
        let published = self.wiring.input.try_publish(|slot| {
            slot.head = *head;
            slot.bytes.set(frame, extra.as_slice());
        });
        if published.is_err() {
            self.input_full = true;
            return false;
        }
        connection.in_flight += 1;
        self.in_flight += 1;
        true
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
        let Some(connection) = self.connections[slot as usize].take() else { return };
        self.free.push(slot);
        let session = connection.session;
        if self.sessions.get(&session.0) == Some(&connection.origin) {
            self.lose_session(session, connection.origin);
        }
    }

    /// Notes that a session's connection is gone; its end is to be sequenced.
    fn lose_session(&mut self, session: SessionId, origin: Origin) {
        self.sessions.remove(&session.0);
        let kind = MessageKind::SessionLost;
        self.lost.push_back((self.logons, Head { kind, origin, session, ..Head::default() }));
    }

    /// Publishes the ends of sessions whose connection is gone. Each waits for the logons before it:
    /// one of them may have taken its session over, which then has not ended.
    fn report_lost(&mut self) -> usize {
        let mut count = 0;
        while let Some((logons, head)) = self.lost.front().copied() {
            if logons > self.logons_answered {
                break;
            }
            let published = self.wiring.input.try_publish(|slot| {
                slot.head = head;
                slot.bytes.set(&[], &[]);
            });
            if published.is_err() {
                break;
            }
            self.in_flight += 1;
            self.lost.pop_front();
            count += 1;
        }
        if count > 0 && self.lost.is_empty() {
            self.wake_waiting();
        }
        count
    }

    /// Writes to every connection that has something to send.
    fn flush(&mut self) -> usize {
        let mut dirty = std::mem::take(&mut self.dirty);
        let count = dirty.len();
        for slot in dirty.drain(..) {
            let Some(connection) = self.connections[slot as usize].as_mut() else { continue };
            connection.dirty = false;
            let flushed = connection.flush(self.now_ms);
            let too_slow = connection.overflows(self.limits.bounds(), self.now_ms);
            let over = connection.state == State::Closing
                && connection.in_flight == 0
                && connection.pending() == 0;
            connection.return_buffer(&mut self.pool);
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
        count
    }

    /// Tells a peer that all is sent. Its session, if it has one still, is lost with that.
    fn finish(&mut self, slot: u32) {
        let Some(Some(connection)) = self.connections.get_mut(slot as usize) else { return };
        connection.state = State::Finished;
        connection.finished_ms = self.now_ms;
        connection.readable = true;
        connection.inbound = Vec::new();
        let gone = connection.stream.finish().is_err();
        let (session, origin) = (connection.session, connection.origin);
        if self.sessions.get(&session.0) == Some(&origin) {
            self.lose_session(session, origin);
        }
        if gone {
            self.close(slot);
        } else {
            self.list(slot);
        }
    }

    /// Closes connections that are too slow or too quiet.
    fn sweep(&mut self) {
        if self.now_ms < self.next_sweep_ms {
            return;
        }
        self.next_sweep_ms = self.now_ms + SWEEP_MS;
        self.door_ready = true;
        for slot in 0..self.connections.len() as u32 {
            let Some(connection) = &self.connections[slot as usize] else { continue };
            let full_ms =
                connection.full_since_ms.map_or(0, |since| self.now_ms.saturating_sub(since));
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
            let blocked_ms =
                connection.blocked_since_ms.map_or(0, |since| self.now_ms.saturating_sub(since));
            // A session that waits for an answer is not idle: it is we who are slow.
            let idle = quiet_ms > allowed_ms && connection.in_flight == 0;
            let slow_ms = blocked_ms.max(full_ms);
            if idle || slow_ms > self.limits.slow_reader_timeout_ms {
                self.close(slot);
            }
        }
    }

    /// Tells every peer that all is sent, and ends when they are gone or have had their time.
    fn say_goodbye(&mut self) {
        for slot in 0..self.connections.len() as u32 {
            let connection = self.connections[slot as usize].as_ref();
            if connection.is_some_and(|connection| connection.state != State::Finished) {
                self.sessions.remove(&connection.map_or(0, |connection| connection.session.0));
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
        self.in_flight == 0
            && self.lost.is_empty()
            && self.connections.iter().flatten().all(|connection| connection.pending() == 0)
    }
}

/// True where a frame was refused for its form: the reasons with the lowest numbers.
fn is_malformed(admitted: &Admitted) -> bool {
    matches!(admitted, Admitted::Refused { reason, .. }
        if (*reason as u16) < RejectReason::NotLoggedOn as u16)
}

fn caller<S>(connection: &Connection<S>) -> Caller {
    Caller {
        state: connection.state,
        origin: connection.origin,
        session: connection.session,
        key: connection.key,
        public_key: connection.public_key,
        nonce: connection.nonce,
        verdict: connection.verdict,
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
        self.now_ms = self.clock.monotonic_ns() / 1_000_000;
        self.input_full = false;
        self.accept() + self.verdicts() + self.report_lost() + self.receive()
    }

    fn settle(&mut self) -> usize {
        if self.ended {
            return 0;
        }
        let done = self.deliver() + self.deliver_found() + self.flush();
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
        busy.then(|| Duration::from_millis(self.next_sweep_ms.saturating_sub(self.now_ms).max(1)))
    }

    fn stop(&mut self) {
        self.stopping = true;
        for slot in 0..self.connections.len() as u32 {
            let Some(connection) = &mut self.connections[slot as usize] else { continue };
            if connection.state == State::Live {
                answers::stopping(connection.outbound());
                self.mark_dirty(slot);
            }
        }
    }
}
