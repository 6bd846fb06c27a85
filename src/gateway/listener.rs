//! The doors of real gateways: a listening socket whose connections report their readiness to the poll
//! of the gateway's thread, and which deals connections out where there are further gateways.
//!
//! Connections are dealt in turn, so that gateways have the same number of new ones whatever their
//! addresses are; sockets that share a port would leave that to a hash.

use crate::gateway::DOOR;
use crate::gateway::connection::{Door, Stream};
use crate::ring::Unparker;
use crossbeam::channel::{Receiver, Sender, bounded};
use mio::net::{TcpListener, TcpStream};
use mio::{Interest, Registry, Token};
use std::io;
use std::net::{Shutdown, SocketAddr};

/// Connections on their way to one gateway; the listener's own gateway serves what finds no place.
const DEALT_MAX: usize = 256;

/// A listening socket.
pub struct Listener {
    listener: TcpListener,
    registry: Registry,
    /// The other gateways.
    others: Vec<Deal>,
    /// Whose turn is next: one of the others, or behind them its own gateway.
    turn: usize,
}

impl Listener {
    /// Listens on `address`; port 0 takes any free one. Connections are dealt to `others` too.
    ///
    /// # Errors
    /// As the operating system tells: the address is in use, not ours, or not allowed.
    pub fn bind(
        address: SocketAddr,
        registry: &Registry,
        others: Vec<Deal>,
    ) -> io::Result<Listener> {
        let mut listener = TcpListener::bind(address)?;
        registry.register(&mut listener, Token(DOOR), Interest::READABLE)?;
        let turn = others.len();
        Ok(Listener { listener, registry: registry.try_clone()?, others, turn })
    }

    /// The address that was bound.
    ///
    /// # Errors
    /// As the operating system tells.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Gives a connection to the gateway whose turn it is; back where that is our own.
    fn deal(&mut self, stream: TcpStream) -> Option<TcpStream> {
        let turn = self.turn;
        self.turn = if turn == self.others.len() { 0 } else { turn + 1 };
        let Some(other) = self.others.get(turn) else { return Some(stream) };
        match other.streams.try_send(stream) {
            Ok(()) => {
                other.gateway.unpark();
                None
            }
            Err(error) => Some(error.into_inner()),
        }
    }
}

/// Lets a connection report its readiness.
fn watch(stream: &mut TcpStream, registry: &Registry, token: usize) -> io::Result<()> {
    // An answer is written whole: waiting for more bytes would only delay it.
    stream.set_nodelay(true)?;
    registry.register(stream, Token(token), Interest::READABLE | Interest::WRITABLE)
}

impl Stream for TcpStream {
    fn finish(&mut self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }
}

impl Door for Listener {
    type Stream = TcpStream;

    fn accept(&mut self, token: usize) -> io::Result<Option<TcpStream>> {
        loop {
            match self.listener.accept() {
                Ok((stream, _)) => {
                    if let Some(mut stream) = self.deal(stream) {
                        watch(&mut stream, &self.registry, token)?;
                        return Ok(Some(stream));
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                // The client gave up before we came to it.
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted
                    ) => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// The door of a gateway that a [`Listener`] deals connections to.
pub struct Dealt {
    streams: Receiver<TcpStream>,
    registry: Registry,
}

/// Where a listener deals connections to.
pub struct Deal {
    streams: Sender<TcpStream>,
    gateway: Unparker,
}

/// A door on the thread with this poll, and the way to it.
///
/// # Errors
/// As the operating system tells: no descriptor is left.
pub fn dealt(registry: &Registry, gateway: Unparker) -> io::Result<(Deal, Dealt)> {
    let (sender, streams) = bounded(DEALT_MAX);
    let dealt = Dealt { streams, registry: registry.try_clone()? };
    Ok((Deal { streams: sender, gateway }, dealt))
}

impl Door for Dealt {
    type Stream = TcpStream;

    fn accept(&mut self, token: usize) -> io::Result<Option<TcpStream>> {
        let Ok(mut stream) = self.streams.try_recv() else { return Ok(None) };
        watch(&mut stream, &self.registry, token)?;
        Ok(Some(stream))
    }

    fn is_knocked_on(&self) -> bool {
        !self.streams.is_empty()
    }
}

/// A gateway's door: all of a node are of one type.
pub enum Entrance {
    /// Takes connections from the network.
    Listener(Listener),
    /// Takes what a listener deals out.
    Dealt(Dealt),
}

impl Door for Entrance {
    type Stream = TcpStream;

    fn accept(&mut self, token: usize) -> io::Result<Option<TcpStream>> {
        match self {
            Entrance::Listener(listener) => listener.accept(token),
            Entrance::Dealt(dealt) => dealt.accept(token),
        }
    }

    fn is_knocked_on(&self) -> bool {
        match self {
            Entrance::Listener(listener) => listener.is_knocked_on(),
            Entrance::Dealt(dealt) => dealt.is_knocked_on(),
        }
    }
}
