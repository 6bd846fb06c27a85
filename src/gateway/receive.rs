//! Receiving: what a connection's socket has becomes frames, and frames become messages.
//!
//! A round reads some connections, each within its budget, and hands on so many frames as the stages
//! behind take with them in their caches. What cannot be handed on stays with its connection.

use super::admission::{self, Admitted, Caller, Extra};
use super::connection::{Connection, Door, State};
use super::slowing::{Class, Restrained};
use super::{Gateway, ROUND_MAX, answers};
use crate::event::RejectReason;
use crate::exchange::Directory;
use crate::message::{Detail, Head, MessageKind, Span};
use crate::types::Priority;
use crate::wire::HashesAhead;
use crate::wire::frame::frame_length;
use std::io::{self, Read};

/// Frames after which a round looks at no further connection: so few that they are still in the
/// caches when the stages behind take their turn.
const ROUND_FRAMES_MAX: usize = 256;
/// Bytes read in one turn from a connection whose last command was LOW or BATCH: what its share does not
/// take would be moved around.
const BULK_READ_BYTES: usize = 8 * 1024;
/// Malformed frames in a row that a connection survives.
const MALFORMED_MAX: u32 = 64;
/// Frames that a question for assets and instruments, or for keys, counts as: its answer is long, and
/// made here.
const REFERENCE_FRAMES: usize = 32;

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
    /// Looks at listed connections: those of orders first, then those of bulk. The share of bulk is
    /// counted by commands, whichever list their connection is on.
    pub(super) fn receive(&mut self) -> usize {
        // Bulk among orders goes on where no bulk waits for its turn.
        self.bulk_left = if self.ready_bulk.is_empty() { self.bulk_share(false) } else { 0 };
        let mut done = self.receive_listed(false, ROUND_FRAMES_MAX);
        if !self.ready_bulk.is_empty() {
            self.bulk_left = self.bulk_share(self.other_frames == 0);
            let frames_max = ROUND_FRAMES_MAX.saturating_sub(done).max(self.bulk_left);
            if self.bulk_left > 0 {
                done += self.receive_listed(true, frames_max);
            }
        }
        done
    }

    /// Frames of bulk that may still be handled before the next settling.
    fn bulk_share(&self, is_alone: bool) -> usize {
        let one_in = if is_alone { 1 } else { self.directory.controls().bulk_share as usize };
        let most = (ROUND_FRAMES_MAX.max(self.other_frames) / one_in).max(1);
        most.saturating_sub(self.bulk_frames)
    }

    /// Looks at every connection of one list once, up to `frames_max` frames of all of them.
    fn receive_listed(&mut self, bulk: bool, frames_max: usize) -> usize {
        let mut done = 0;
        let listed = if bulk { self.ready_bulk.len() } else { self.ready.len() };
        for _ in 0..listed.min(ROUND_MAX) {
            // Frames that nobody can take now would be read and checked for nothing.
            if self.input_full || done >= frames_max || (bulk && self.bulk_left == 0) {
                break;
            }
            let list = if bulk { &mut self.ready_bulk } else { &mut self.ready };
            let Some((slot, generation)) = list.pop_front() else { break };
            if self.generations[slot as usize] != generation {
                continue;
            }
            let Some(mut connection) = self.connections[slot as usize].take() else { continue };
            connection.listed = false;
            let handled = match connection.state {
                State::Finished => self.discard(&mut connection),
                // What comes after the stop was asked for is answered by nobody.
                _ if self.stopping => Ok(0),
                _ => self.receive_from(&mut connection, frames_max - done),
            };
            // Who waits with a logon is woken by the end of another; all others wake by themselves.
            let waits = connection.waits && connection.state == State::AwaitLogon;
            let crowded = connection.crowded;
            self.connections[slot as usize] = Some(connection);
            if waits {
                self.waiting.push(slot);
            }
            if crowded {
                self.crowded.push(slot);
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
                _ if connection.bulk => self.limits.read_budget.min(BULK_READ_BYTES),
                _ => self.limits.read_budget,
            };
            // What is held comes back into this buffer.
            let room = (buffer.len() - connection.held_bytes()).min(waiting + budget);
            if room <= waiting {
                connection.waits = true;
                return Ok(0);
            }
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
            self.stats().bytes_in.add(read as u64);
        }
        let (used, frames, handled) = self.handle(connection, frames_max, &buffer[..length]);
        connection.backlog = handled == Handled::Blocked;
        connection.inbound.clear();
        if handled != Handled::Closed && used < length {
            connection.inbound.extend_from_slice(&buffer[used..length]);
        } else {
            connection.inbound = Vec::new();
        }
        // What a connection makes the node keep, held or not, comes out of one buffer.
        assert!(connection.received_bytes() <= buffer.len());
        Ok(frames + usize::from(length > waiting))
    }

    /// The client sends nothing more. What it is owed is still delivered.
    fn hear_the_end(&mut self, connection: &mut Connection<D::Stream>) -> io::Result<usize> {
        if connection.held.is_some() {
            // What is held is still to be handled; then the end is heard again.
            (connection.hung_up, connection.waits) = (true, true);
            return Ok(0);
        }
        if !connection.is_owed() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        connection.readable = false;
        connection.inbound = Vec::new();
        connection.state = State::Closing;
        self.lose_session(connection);
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
            let full = connection.is_full(self.limits.bounds());
            connection.crowded = self.is_crowded(connection.origin.connection);
            let waits = connection.verifying || connection.crowded || full;
            if connection.state == State::LoggingOn || waits || frames >= frames_max {
                return (used, frames, Handled::Blocked);
            }
            if connection.state == State::Closing {
                return (used, frames, Handled::Closed);
            }
            let rest = &bytes[used..];
            let (size, mut admitted) = match frame_length(rest, self.limits.open.frame_max) {
                Ok(Some(size)) if size <= rest.len() => {
                    let caller = self.caller(connection);
                    let limits = &self.limits.open;
                    let hash = hashes.take(rest, limits.frame_max);
                    let frame = &rest[..size];
                    (size, admission::admit(frame, hash, &caller, &self.directory, limits))
                }
                Ok(_) => return (used, frames, Handled::NeedMore),
                Err(error) => (rest.len(), admission::malformed(&error, 0)),
            };
            let frame = &rest[..size];
            let class = Class::of(&admitted);
            let bulk = class == Some(Class::Bulk);
            if bulk && self.bulk_left == 0 {
                // It waits for its turn, and what stands behind it.
                connection.bulk = true;
                return (used, frames, Handled::Blocked);
            }
            let taken = match self.restrain(connection, frame, &admitted, class) {
                Restrained::Free => self.take(connection, frame, &admitted),
                Restrained::Refused(detail) => {
                    admitted = admission::restrained(frame, detail);
                    self.take(connection, frame, &admitted)
                }
                Restrained::Held => true,
                Restrained::Waits => false,
            };
            if !taken {
                return (used, frames, Handled::Blocked);
            }
            if connection.verified > 0 {
                connection.verified -= 1;
            } else {
                connection.verdict = None;
            }
            connection.charged = false;
            connection.passes = connection.passes.saturating_sub(1);
            self.stats().frames.add(1);
            if bulk {
                self.bulk_left -= 1;
                self.bulk_frames += 1;
                self.stats().bulk_frames.add(1);
            } else {
                self.other_frames += 1;
            }
            used += size;
            frames += match admitted {
                Admitted::Reference { .. }
                | Admitted::Directory { .. }
                | Admitted::Schemas { .. } => REFERENCE_FRAMES,
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

    /// Answers from what is published here.
    fn answer(
        &mut self,
        connection: &mut Connection<D::Stream>,
        write: impl FnOnce(&mut Vec<u8>, &Directory),
    ) -> bool {
        write(connection.outbound(), &self.directory);
        self.dirty_now(connection);
        true
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
            Admitted::Directory { .. } | Admitted::Schemas { .. } if !self.is_safe_to_show() => {
                false
            }
            Admitted::Reference { query, client_sequence } => {
                self.answer(connection, |out, known| {
                    answers::reference(out, *client_sequence, query, known);
                })
            }
            Admitted::Directory { query, client_sequence } => {
                self.answer(connection, |out, known| {
                    answers::directory(out, *client_sequence, query, known);
                })
            }
            Admitted::Schemas { query, client_sequence } => {
                self.answer(connection, |out, known| {
                    answers::schemas(out, *client_sequence, query, known);
                })
            }
            Admitted::Logon { key, role, public_key, head, extra } => {
                // The end of the session's connection before comes first: the journal tells what was.
                if !self.lost.is_empty() {
                    connection.waits = true;
                    return false;
                }
                if !self.publish(connection, head, frame, extra) {
                    return false;
                }
                connection.key = *key;
                connection.role = *role;
                connection.public_key = *public_key;
                connection.state = State::LoggingOn;
                true
            }
            Admitted::Logout(head) => {
                // An answer that is fetched again comes past the ring in which the goodbye will stand.
                if connection.in_flight > 0 {
                    connection.waits = true;
                    return false;
                }
                if !self.publish(connection, head, &[], &Extra::NONE) {
                    return false;
                }
                // The session ends here; that the connection ends too is no second end.
                connection.holds_session = false;
                connection.state = State::Closing;
                true
            }
            Admitted::Refused { reason, client_sequence, detail, close } => {
                if !self.refuse(connection, frame, (*reason, *client_sequence, *detail)) {
                    return false;
                }
                if *close {
                    connection.state = State::Closing;
                }
                true
            }
        }
    }

    /// True where all that the directory tells is safe: what is decided and not yet safe is shown to
    /// nobody.
    fn is_safe_to_show(&self) -> bool {
        self.directory.sequence() <= self.wiring.released.get()
    }

    /// Hands a refusal on, with the bytes that it is for: it keeps its place among the answers, and the
    /// reject log gets it. False where it has to wait.
    fn refuse(
        &mut self,
        connection: &mut Connection<D::Stream>,
        frame: &[u8],
        (reason, client_sequence, detail): (RejectReason, u64, Detail),
    ) -> bool {
        let kept = &frame[..frame.len().min(self.limits.open.frame_max)];
        let head = Head {
            kind: MessageKind::Refuse(reason),
            client_sequence,
            detail,
            origin: connection.origin,
            session: connection.session,
            key: connection.key,
            // Bulk that is refused takes no order's place.
            priority: if connection.bulk { Priority::Low } else { Priority::Normal },
            received: Span { offset: 0, length: kept.len() as u16 },
            received_ns: self.now_ns,
            ..Head::default()
        };
        self.publish(connection, &head, kept, &Extra::NONE)
    }

    pub(super) fn dirty_now(&mut self, connection: &mut Connection<D::Stream>) {
        if !connection.dirty {
            connection.dirty = true;
            self.dirty.push(connection.origin.connection);
        }
    }

    fn caller<'c>(&self, connection: &'c Connection<D::Stream>) -> Caller<'c> {
        Caller {
            state: connection.state,
            origin: connection.origin,
            session: connection.session,
            key: connection.key,
            public_key: &connection.public_key,
            nonce: &connection.nonce,
            verdict: if connection.verified > 0 { Some(true) } else { connection.verdict },
            refuses_above: self.limits.refuses_above,
            now_ns: self.now_ns,
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
        self.count_published(connection.origin.connection);
        true
    }
}

/// True where a frame was refused for its form: the reasons with the lowest numbers.
fn is_malformed(admitted: &Admitted) -> bool {
    matches!(admitted, Admitted::Refused { reason, .. }
        if (*reason as u16) < RejectReason::NotLoggedOn as u16)
}
