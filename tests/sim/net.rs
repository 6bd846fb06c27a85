//! A network under the test's control: bytes arrive in pieces, late, or never; peers read slowly,
//! hang up in the middle of a frame, or reset.
//!
//! Readiness is told at edges, as epoll does: once for what arrived since the last time, and a hang-up
//! together with the last bytes. A read that returns less than it could has emptied the socket.

use super::random::Random;
use openoutcry::gateway::connection::{Door, Stream};
use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex, MutexGuard};

/// One connection, seen from outside.
pub(crate) struct Pipe {
    random: Random,
    /// Sent by the client and still on its way.
    travelling: VecDeque<u8>,
    /// The client sends nothing behind these bytes.
    client_closed: bool,
    /// In the server's socket.
    arrived: VecDeque<u8>,
    hung_up: bool,
    reset: bool,
    /// Taken by the server's socket and not read by the client.
    to_client: VecDeque<u8>,
    room: usize,
    blocked: bool,
    /// What the server wrote since anybody looked.
    fresh: Vec<u8>,
    server_finished: bool,
    server_closed: bool,
    /// The gateway whose door it knocked at.
    gateway: usize,
    token: Option<usize>,
    readable: bool,
    writable: bool,
}

/// What the server's poll is to be told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Readiness {
    pub(crate) gateway: usize,
    pub(crate) token: usize,
    pub(crate) readable: bool,
    pub(crate) writable: bool,
    pub(crate) hung_up: bool,
}

impl Pipe {
    fn new(random: Random, room: usize, gateway: usize) -> Pipe {
        Pipe {
            random,
            travelling: VecDeque::new(),
            client_closed: false,
            arrived: VecDeque::new(),
            hung_up: false,
            reset: false,
            to_client: VecDeque::new(),
            room,
            blocked: false,
            fresh: Vec::new(),
            server_finished: false,
            server_closed: false,
            gateway,
            token: None,
            readable: false,
            writable: false,
        }
    }
}

/// The client's end.
#[derive(Clone)]
pub(crate) struct Wire(Arc<Mutex<Pipe>>);

impl Wire {
    fn lock(&self) -> MutexGuard<'_, Pipe> {
        self.0.lock().expect("a test that panics is over")
    }

    /// Sends bytes.
    pub(crate) fn send(&self, bytes: &[u8]) {
        let mut pipe = self.lock();
        if !pipe.client_closed {
            pipe.travelling.extend(bytes);
        }
    }

    /// Says goodbye behind what was sent, or before some of it arrives, or without manners.
    pub(crate) fn hang_up(&self, random: &mut Random) {
        let mut pipe = self.lock();
        pipe.client_closed = true;
        match random.below(4) {
            0 => {
                let keep = random.below(pipe.travelling.len() as u64 + 1) as usize;
                pipe.travelling.truncate(keep);
            }
            1 => {
                pipe.travelling.clear();
                pipe.arrived.clear();
                pipe.reset = true;
                (pipe.readable, pipe.writable) = (true, true);
            }
            _ => {}
        }
    }

    /// Says goodbye behind what was sent.
    pub(crate) fn finish(&self) {
        self.lock().client_closed = true;
    }

    /// Moves some bytes over the network. Returns how much happened.
    pub(crate) fn carry(&self, random: &mut Random, most: usize) -> usize {
        let mut pipe = self.lock();
        let count = pipe.travelling.len().min(1 + random.below(most as u64) as usize);
        if count > 0 {
            let bytes: Vec<u8> = pipe.travelling.drain(..count).collect();
            pipe.arrived.extend(bytes);
            pipe.readable = true;
        }
        if pipe.travelling.is_empty() && pipe.client_closed && !pipe.hung_up {
            (pipe.hung_up, pipe.readable) = (true, true);
            return count + 1;
        }
        count
    }

    /// What the server's poll would say now; it says it once.
    pub(crate) fn readiness(&self) -> Option<Readiness> {
        let mut pipe = self.lock();
        let token = pipe.token.filter(|_| !pipe.server_closed)?;
        if !pipe.readable && !pipe.writable {
            return None;
        }
        let readable = std::mem::take(&mut pipe.readable);
        let writable = std::mem::take(&mut pipe.writable);
        let (gateway, hung_up) = (pipe.gateway, pipe.hung_up || pipe.reset);
        Some(Readiness { gateway, token, readable, writable, hung_up })
    }

    /// Takes up to `most` bytes that the server sent.
    pub(crate) fn receive(&self, most: usize, into: &mut Vec<u8>) -> usize {
        let mut pipe = self.lock();
        let count = pipe.to_client.len().min(most);
        into.extend(pipe.to_client.drain(..count));
        if pipe.blocked && pipe.to_client.len() < pipe.room {
            (pipe.blocked, pipe.writable) = (false, true);
        }
        count
    }

    /// What the server has written since this was asked last.
    pub(crate) fn fresh(&self) -> Vec<u8> {
        std::mem::take(&mut self.lock().fresh)
    }

    /// The server sends nothing more; what it sent before can still be read.
    pub(crate) fn is_closed(&self) -> bool {
        let pipe = self.lock();
        pipe.server_finished || pipe.server_closed
    }

    /// Nothing is on its way to the server, in its socket or told to it.
    pub(crate) fn is_quiet(&self) -> bool {
        let pipe = self.lock();
        pipe.travelling.is_empty() && !pipe.readable && !pipe.writable
    }
}

/// The server's end.
pub(crate) struct SimStream(Wire);

impl Read for SimStream {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let mut pipe = self.0.lock();
        if pipe.random.percent(1) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        if pipe.reset {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        if pipe.arrived.is_empty() {
            return if pipe.hung_up { Ok(0) } else { Err(io::ErrorKind::WouldBlock.into()) };
        }
        let count = pipe.arrived.len().min(into.len());
        for (byte, arrived) in into.iter_mut().zip(pipe.arrived.drain(..count)) {
            *byte = arrived;
        }
        Ok(count)
    }
}

impl Write for SimStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut pipe = self.0.lock();
        if pipe.reset {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let room = pipe.room.saturating_sub(pipe.to_client.len());
        if room == 0 {
            pipe.blocked = true;
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let mut count = bytes.len().min(room);
        if pipe.random.percent(10) {
            count = 1 + pipe.random.below(count as u64) as usize;
        }
        pipe.to_client.extend(&bytes[..count]);
        pipe.fresh.extend_from_slice(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Stream for SimStream {
    fn finish(&mut self) -> io::Result<()> {
        let mut pipe = self.0.lock();
        if pipe.reset {
            return Err(io::ErrorKind::NotConnected.into());
        }
        pipe.server_finished = true;
        Ok(())
    }
}

impl Drop for SimStream {
    fn drop(&mut self) {
        let mut pipe = self.0.lock();
        pipe.server_closed = true;
        // A socket that is closed with unread bytes resets the connection, and a reset takes what the
        // client has not received.
        if !pipe.arrived.is_empty() {
            pipe.to_client.clear();
        }
    }
}

/// Where clients knock.
#[derive(Clone, Default)]
pub(crate) struct SimDoor {
    gateway: usize,
    waiting: Arc<Mutex<VecDeque<Wire>>>,
}

impl SimDoor {
    /// The door of the gateway with this number.
    pub(crate) fn of(gateway: usize) -> SimDoor {
        SimDoor { gateway, ..SimDoor::default() }
    }

    /// A new connection; its socket holds `room` bytes for a client that does not read.
    pub(crate) fn knock(&self, random: &mut Random, room: usize) -> Wire {
        let pipe = Pipe::new(Random::new(random.next()), room, self.gateway);
        let wire = Wire(Arc::new(Mutex::new(pipe)));
        self.waiting.lock().expect("a test that panics is over").push_back(wire.clone());
        wire
    }
}

impl Door for SimDoor {
    type Stream = SimStream;

    fn accept(&mut self, token: usize) -> io::Result<Option<SimStream>> {
        let next = self.waiting.lock().expect("a test that panics is over").pop_front();
        Ok(next.map(|wire| {
            wire.lock().token = Some(token);
            SimStream(wire)
        }))
    }
}
