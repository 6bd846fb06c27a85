//! The door of a real gateway: a listening socket whose connections report their readiness to the
//! poll of the gateway's thread.

use crate::gateway::DOOR;
use crate::gateway::connection::{Door, Stream};
use mio::net::{TcpListener, TcpStream};
use mio::{Interest, Registry, Token};
use std::io;
use std::net::{Shutdown, SocketAddr};

/// A listening socket.
pub struct Listener {
    listener: TcpListener,
    registry: Registry,
}

impl Listener {
    /// Listens on `address`; port 0 takes any free one.
    ///
    /// # Errors
    /// As the operating system tells: the address is in use, not ours, or not allowed.
    pub fn bind(address: SocketAddr, registry: &Registry) -> io::Result<Listener> {
        let mut listener = TcpListener::bind(address)?;
        registry.register(&mut listener, Token(DOOR), Interest::READABLE)?;
        Ok(Listener { listener, registry: registry.try_clone()? })
    }

    /// The address that was bound.
    ///
    /// # Errors
    /// As the operating system tells.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
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
                Ok((mut stream, _)) => {
                    // An answer is written whole: waiting for more bytes would only delay it.
                    stream.set_nodelay(true)?;
                    let both = Interest::READABLE | Interest::WRITABLE;
                    self.registry.register(&mut stream, Token(token), both)?;
                    return Ok(Some(stream));
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
