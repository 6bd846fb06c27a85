//! One TCP connection: its bytes both ways and where its conversation stands.
//!
//! It holds a buffer only while bytes are pending: an idle connection costs the struct alone.

use crate::event::{CommandResult, Trade};
use crate::gateway::restraint::Held;
use crate::message::Origin;
use crate::publish::outbound::Row;
use crate::types::{KeyId, Role, Sequence, SessionId};
use crate::wire::seal_each;
use std::io::{self, Read, Write};

/// Where new connections come from.
pub trait Door: Send {
    /// A connection's stream.
    type Stream: Stream;

    /// The next waiting connection, ready to report its readiness under `token`; `None` where nobody
    /// waits.
    ///
    /// # Errors
    /// As the operating system tells; the door stays open.
    fn accept(&mut self, token: usize) -> io::Result<Option<Self::Stream>>;

    /// True where somebody waits whom no readiness of a socket tells of.
    fn is_knocked_on(&self) -> bool {
        false
    }
}

/// A connection's stream: never blocks.
pub trait Stream: Read + Write + Send {
    /// Tells the peer that nothing more is sent; what it sends can still be read.
    ///
    /// # Errors
    /// As the operating system tells: the connection is gone.
    fn finish(&mut self) -> io::Result<()>;
}

/// Where the conversation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// The challenge is sent; only a logon is accepted.
    AwaitLogon,
    /// The logon is on its way through the journal; later bytes wait.
    LoggingOn,
    /// Logged on.
    Live,
    /// Nothing more is read; answers on their way are still delivered.
    Closing,
    /// All is sent and the peer is told so. What it still sends is read and thrown away until it is
    /// gone or has had its time: closing a socket that holds unread bytes resets the connection, and
    /// a reset discards what the peer has not received.
    Finished,
}

/// A connection that is owed so many times what may be pending is closed at once.
const OVERFLOW_FACTOR: usize = 4;

/// Outbound buffers that are kept for the next connection that has something to send, and how large
/// one may have grown.
const POOL_MAX: usize = 64;
const POOLED_BYTES_MAX: usize = 256 * 1024;

/// What a connection may be owed before it is read no further.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Messages whose answer is still to come.
    pub in_flight_max: u32,
    /// Original answers that are being fetched for it.
    pub fetching_max: u32,
    /// Bytes that the socket has not taken.
    pub pending_max: usize,
}

/// An answer that is being put together from its ring slots.
#[derive(Debug, Default)]
pub struct Assembly {
    /// The result whose fills follow.
    pub result: Option<(Sequence, CommandResult)>,
    /// It answers a message of an earlier connection.
    pub again: bool,
    /// Its first trades.
    pub trades: Vec<Trade>,
    /// Trades so far.
    pub count: usize,
    /// Rows of a query's answer so far.
    pub rows: Vec<Row>,
}

/// How far a session that goes on where its client left it is.
#[derive(Clone, Copy, Debug)]
pub struct Resume {
    /// The last outbound number that the client was sent.
    pub reached: u64,
    /// The last one that was released for it: up to there the event log is read.
    pub upto: u64,
    /// The sequence at or before which that stands.
    pub by: Sequence,
    /// A piece is on its way.
    pub asked: bool,
    /// The connection ends before it has got the rest: nothing numbered is sent any more.
    pub cut: bool,
}

/// A connection.
pub struct Connection<S> {
    /// The socket.
    pub stream: S,
    /// Its name to the stages behind.
    pub origin: Origin,
    /// Where the conversation stands.
    pub state: State,
    /// What the client has to sign.
    pub nonce: [u8; 32],
    /// The session, once logged on.
    pub session: SessionId,
    /// It is this connection whose end will be the session's.
    pub holds_session: bool,
    /// Its logon was refused when the session had begun: what the session gets until that end stands in
    /// the event log, for the next.
    pub is_turned_away: bool,
    /// What the session was sent earlier comes first; nothing is read meanwhile.
    pub resume: Option<Resume>,
    /// The key, once its signature was verified.
    pub key: KeyId,
    /// The key's public half.
    pub public_key: [u8; 32],
    /// The key's role.
    pub role: Role,
    /// Messages handed on whose answer is still to come.
    pub in_flight: u32,
    /// Received bytes that are not handled yet: a part of a frame, or what waits for a ring or a
    /// verdict.
    pub inbound: Vec<u8>,
    /// The first frame of `inbound` may be complete: look at it before reading more.
    pub backlog: bool,
    /// A signature of the first frame of `inbound` is being verified.
    pub verifying: bool,
    /// The verdict on that signature.
    pub verdict: Option<bool>,
    /// The socket said that it has bytes.
    pub readable: bool,
    /// The socket said that nothing follows what it has: it is read to its end, however little a
    /// read brings, for no further readiness will be told.
    pub hung_up: bool,
    /// It is in the gateway's list of connections to look at.
    pub listed: bool,
    /// It is in the gateway's list of connections to write to.
    pub dirty: bool,
    /// It waits for what others do: see the gateway's `waiting`.
    pub waits: bool,
    /// As many of its messages are before the sequencer as may be: see the gateway's `crowded`.
    pub crowded: bool,
    /// Original answers that are being fetched for it.
    pub fetching: u32,
    /// Since when it is finished, gateway milliseconds.
    pub finished_ms: u64,
    /// Malformed frames since the last good one.
    pub malformed: u32,
    /// When it was accepted, gateway milliseconds.
    pub connected_ms: u64,
    /// When bytes came last, gateway milliseconds.
    pub received_ms: u64,
    /// Since when more bytes are pending than may be.
    pub full_since_ms: Option<u64>,
    /// Since when the socket takes no bytes although some are pending.
    pub blocked_since_ms: Option<u64>,
    /// Frames that are held because the node is overloaded.
    pub held: Option<Box<Held>>,
    /// Frames at the start of `inbound` that were held and are not held again.
    pub passes: usize,
    /// Those of them whose signature was found good, where they have one.
    pub verified: usize,
    /// The first frame of `inbound` has paid for its rate already.
    pub charged: bool,
    /// Its next or last command is LOW or BATCH: it is read within their share.
    pub bulk: bool,
    /// The client was told that the node is overloaded.
    pub told: bool,
    /// An answer in the making.
    pub assembly: Assembly,
    /// Bytes pending as the node's sum counts them.
    pub counted: usize,
    outbound: Vec<u8>,
    /// Where in `outbound` frames begin whose CRC and hash are still to be filled.
    unsealed: Option<usize>,
    sent: usize,
}

/// What became of an attempt to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flushed {
    /// Everything is with the socket.
    All,
    /// The socket takes no more now.
    Blocked,
    /// The peer is gone.
    Broken,
}

impl<S: Read + Write> Connection<S> {
    /// A connection that waits for its logon.
    pub fn new(stream: S, origin: Origin, nonce: [u8; 32], now_ms: u64) -> Connection<S> {
        Connection {
            stream,
            origin,
            state: State::AwaitLogon,
            nonce,
            session: SessionId(0),
            holds_session: false,
            is_turned_away: false,
            resume: None,
            key: KeyId(0),
            public_key: [0; 32],
            role: Role::ReadOnly,
            in_flight: 0,
            inbound: Vec::new(),
            backlog: false,
            verifying: false,
            verdict: None,
            readable: true,
            hung_up: false,
            listed: false,
            dirty: false,
            waits: false,
            crowded: false,
            fetching: 0,
            finished_ms: 0,
            malformed: 0,
            connected_ms: now_ms,
            received_ms: now_ms,
            full_since_ms: None,
            blocked_since_ms: None,
            held: None,
            passes: 0,
            verified: 0,
            charged: false,
            bulk: false,
            told: false,
            assembly: Assembly::default(),
            counted: 0,
            outbound: Vec::new(),
            unsealed: None,
            sent: 0,
        }
    }

    /// Where to append frames that are to be sent; [`Connection::flush`] sends them.
    pub fn outbound(&mut self) -> &mut Vec<u8> {
        &mut self.outbound
    }

    /// Where to append frames that [`Connection::flush`] seals before it sends them: many at once.
    pub fn unsealed(&mut self) -> &mut Vec<u8> {
        self.unsealed.get_or_insert(self.outbound.len());
        &mut self.outbound
    }

    /// Bytes that the socket has not taken.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.outbound.len() - self.sent
    }

    /// True while an answer is still to come, to be completed or to be sent.
    #[must_use]
    pub fn is_owed(&self) -> bool {
        let resumes = self.resume.is_some_and(|resume| !resume.cut);
        self.in_flight > 0 || self.assembly.result.is_some() || self.pending() > 0 || resumes
    }

    /// Bytes that could be handled now and are not waiting for anything else.
    #[must_use]
    pub fn wants_to_receive(&self, bounds: Bounds) -> bool {
        match self.state {
            State::AwaitLogon | State::Live => {
                let waits = self.verifying || self.waits || self.crowded || self.is_full(bounds);
                !waits && (self.readable || self.backlog)
            }
            State::Finished => self.readable,
            State::LoggingOn | State::Closing => false,
        }
    }

    /// Bytes that are held because the node is overloaded.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.held.as_ref().map_or(0, |held| held.len())
    }

    /// Bytes received that wait, held or not: at most a frame and a reading
    /// (`limits.frame_max_bytes` + `gateway.read_budget_bytes`).
    #[must_use]
    pub fn received_bytes(&self) -> usize {
        self.inbound.len() + self.held_bytes()
    }

    /// The client is owed as much as it may be: nothing more is read until it has taken some of it.
    #[must_use]
    pub fn is_full(&self, bounds: Bounds) -> bool {
        self.in_flight >= bounds.in_flight_max
            || self.resume.is_some()
            || self.fetching >= bounds.fetching_max
            || self.pending() > bounds.pending_max
    }

    /// Writes what is pending, as far as the socket takes it. An empty buffer is given back.
    pub fn flush(&mut self, now_ms: u64) -> Flushed {
        if let Some(from) = self.unsealed.take() {
            seal_each(&mut self.outbound[from..]);
        }
        while self.sent < self.outbound.len() {
            match self.stream.write(&self.outbound[self.sent..]) {
                Ok(0) => return Flushed::Broken,
                Ok(written) => {
                    self.sent += written;
                    self.blocked_since_ms = None;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.blocked_since_ms.get_or_insert(now_ms);
                    self.compact();
                    return Flushed::Blocked;
                }
                Err(_) => return Flushed::Broken,
            }
        }
        self.sent = 0;
        self.outbound.clear();
        Flushed::All
    }

    /// Notes since when too much is pending. True where it is so much that waiting is no use.
    pub fn overflows(&mut self, bounds: Bounds, now_ms: u64) -> bool {
        if self.pending() <= bounds.pending_max {
            self.full_since_ms = None;
            return false;
        }
        self.full_since_ms.get_or_insert(now_ms);
        self.pending() > OVERFLOW_FACTOR * bounds.pending_max
    }

    /// Gives the outbound buffer back, where nothing is pending: to the pool for another connection, or
    /// to the system where the pool is full or the buffer has grown large.
    pub fn return_buffer(&mut self, pool: &mut Vec<Vec<u8>>) {
        if self.pending() > 0 || self.outbound.capacity() == 0 {
            return;
        }
        let buffer = std::mem::take(&mut self.outbound);
        if pool.len() < POOL_MAX && buffer.capacity() <= POOLED_BYTES_MAX {
            pool.push(buffer);
        }
    }

    /// Gives the connection a buffer to write into, where it has none.
    pub fn lend_buffer(&mut self, pool: &mut Vec<Vec<u8>>) {
        if self.outbound.capacity() == 0
            && let Some(buffer) = pool.pop()
        {
            self.outbound = buffer;
        }
    }

    /// Moves pending bytes to the buffer's start once most of it is sent, so that a reader that is
    /// always a little slow does not make it grow.
    fn compact(&mut self) {
        if self.sent > self.outbound.len() / 2 {
            self.outbound.copy_within(self.sent.., 0);
            self.outbound.truncate(self.outbound.len() - self.sent);
            self.sent = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes a few bytes at a time and then blocks.
    struct Narrow {
        room: usize,
        taken: Vec<u8>,
    }

    impl Read for Narrow {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::ErrorKind::WouldBlock.into())
        }
    }

    impl Write for Narrow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.room == 0 {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            let count = bytes.len().min(self.room).min(3);
            self.room -= count;
            self.taken.extend_from_slice(&bytes[..count]);
            Ok(count)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn partial_writes_go_on_where_they_stopped() {
        let stream = Narrow { room: 0, taken: Vec::new() };
        let mut connection = Connection::new(stream, Origin::default(), [0; 32], 0);
        let message: Vec<u8> = (0..100).collect();
        connection.outbound().extend_from_slice(&message);
        for _ in 0..20 {
            connection.stream.room = 7;
            if connection.flush(5) == Flushed::All {
                break;
            }
            assert_eq!(connection.blocked_since_ms, Some(5));
        }
        assert_eq!(connection.stream.taken, message);
        assert_eq!(connection.pending(), 0);
    }
}
