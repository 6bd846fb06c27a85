//! A conversation over a socket.
//!
//! Invariants: bytes are read and written in pieces of up to 256 KiB; a connection that failed is
//! told once and then stays closed until [`Client::reconnect`].

use super::conversation::may_try_elsewhere;
use super::{BUFFER_BYTES, Conversation, Options, Reply, RequestId, State, SubmitError};
use crate::admin::AdminCommand;
use crate::command::Command;
use crate::keys::{KeyError, KeyPair};
use crate::limits::FRAME_MAX_BYTES;
use crate::types::{AccountId, AssetId, InstrumentId, KeyId, OrderId};
use crate::wire::WireError;
use crate::wire::message::{LogonAccepted, ReasonCode};
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Registry, Token};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::time::{Duration, Instant};
use thiserror::Error;

/// How to reach the server and who we are.
#[derive(Clone, Debug)]
pub struct Config {
    /// `HOST:PORT`, tried in turn.
    pub addresses: Vec<String>,
    /// The key to log on with.
    pub key: KeyPair,
    /// The session's name among the key's sessions: 1 to 32 bytes.
    pub session: String,
    /// Requests that may wait for their reply.
    pub window: usize,
    /// The last outbound message an earlier run got, to resume after it; 0 for from now on.
    pub last_received: u64,
    /// How long connecting to one address and logging on there may take.
    pub connect_timeout: Duration,
}

impl Config {
    /// A window of 1,024 and five seconds to connect.
    #[must_use]
    pub fn new(addresses: &[&str], key: KeyPair, session: &str) -> Config {
        Config {
            addresses: addresses.iter().map(|&address| address.to_owned()).collect(),
            key,
            session: session.to_owned(),
            window: 1024,
            last_received: 0,
            connect_timeout: Duration::from_secs(5),
        }
    }
}

/// Why there is no session.
#[derive(Debug, Error)]
pub enum ClientError {
    /// The session's name is empty, too long or holds control characters.
    #[error("session name {0:?}: 1 to 32 bytes without control characters")]
    SessionName(String),
    /// No address was given.
    #[error("no address to connect to")]
    NoAddress,
    /// An address cannot be reached.
    #[error("{address}: {source}")]
    Io {
        /// Which.
        address: String,
        /// Why.
        source: io::Error,
    },
    /// What answers there is no server of ours, or it was garbled.
    #[error("{address}: {source}")]
    Wire {
        /// Which.
        address: String,
        /// Why.
        source: WireError,
    },
    /// The logon was refused.
    #[error("{address}: logon refused: {reason}: {text}")]
    Refused {
        /// Which.
        address: String,
        /// Why.
        reason: ReasonCode,
        /// In words.
        text: String,
    },
    /// The key cannot be used, or there are no random bytes.
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// Why a connection is gone.
#[derive(Debug, Error)]
pub enum DisconnectReason {
    /// The server closed it.
    #[error("the server closed the connection")]
    Closed,
    /// Reading or writing failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The server sent nonsense.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// The server was silent for two heartbeat intervals.
    #[error("the server is silent")]
    Silent,
}

/// Received bytes that are not taken yet.
#[derive(Debug)]
struct Input {
    bytes: Box<[u8]>,
    start: usize,
    end: usize,
}

impl Input {
    fn new() -> Input {
        Input { bytes: vec![0; BUFFER_BYTES + FRAME_MAX_BYTES].into(), start: 0, end: 0 }
    }

    fn clear(&mut self) {
        self.start = 0;
        self.end = 0;
    }

    /// Room for one read; what is left of an earlier one moves to the front.
    #[inline]
    fn room(&mut self) -> &mut [u8] {
        self.bytes.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        &mut self.bytes[self.end..]
    }
}

/// A session with a server.
#[derive(Debug)]
pub struct Client {
    config: Config,
    conversation: Conversation,
    stream: Option<TcpStream>,
    address: Option<SocketAddr>,
    input: Input,
    /// Bytes of the conversation's output that are written.
    written: usize,
    /// Why the connection is gone, until that was told.
    gone: Option<DisconnectReason>,
    /// A poll of our own, for [`Client::poll`].
    poll: Option<(Poll, Events)>,
}

const TOKEN: Token = Token(0);

impl Client {
    /// Connects to the first address that lets us log on.
    ///
    /// # Errors
    /// [`ClientError`] of the last address that was tried.
    pub fn connect(config: Config) -> Result<Client, ClientError> {
        let mut random = [0; 4];
        getrandom::fill(&mut random).map_err(|error| KeyError::NoRandom(error.to_string()))?;
        let name = &config.session;
        let (key, last) = (config.key.clone(), config.last_received);
        let conversation = Conversation::new(key, name, config.window, last, random)
            .ok_or_else(|| ClientError::SessionName(name.clone()))?;
        let mut client = Client {
            config,
            conversation,
            stream: None,
            address: None,
            input: Input::new(),
            written: 0,
            gone: None,
            poll: None,
        };
        client.reconnect()?;
        Ok(client)
    }

    /// Connects again, to the first address that lets us log on; the session goes on after the
    /// last message received. Requests that wait are not sent again: see [`Client::retry`].
    ///
    /// # Errors
    /// [`ClientError`] of the last address that was tried.
    pub fn reconnect(&mut self) -> Result<&LogonAccepted, ClientError> {
        self.disconnect();
        let mut last = ClientError::NoAddress;
        for address in self.config.addresses.clone() {
            match self.try_address(&address) {
                Ok(()) => break,
                Err(error @ ClientError::Refused { reason, .. }) if !may_try_elsewhere(reason) => {
                    self.disconnect();
                    return Err(error);
                }
                Err(error) => last = error,
            }
            self.disconnect();
        }
        self.gone = None;
        if self.stream.is_none() {
            return Err(last);
        }
        Ok(self.conversation.accepted().expect("an open conversation was accepted"))
    }

    /// Connects and logs on, with blocking calls, within the time for one address.
    fn try_address(&mut self, address: &str) -> Result<(), ClientError> {
        let io = |source| ClientError::Io { address: address.to_owned(), source };
        let end = Instant::now() + self.config.connect_timeout;
        let mut failure = io(ErrorKind::NotFound.into());
        for resolved in address.to_socket_addrs().map_err(io)? {
            let left = end.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
            match std::net::TcpStream::connect_timeout(&resolved, left) {
                Ok(stream) => {
                    self.log_on(&stream, address, end)?;
                    stream.set_nonblocking(true).map_err(io)?;
                    self.stream = Some(TcpStream::from_std(stream));
                    self.address = Some(resolved);
                    return Ok(());
                }
                Err(source) => failure = io(source),
            }
        }
        Err(failure)
    }

    fn log_on(
        &mut self,
        mut stream: &std::net::TcpStream,
        address: &str,
        end: Instant,
    ) -> Result<(), ClientError> {
        let io = |source| ClientError::Io { address: address.to_owned(), source };
        stream.set_nodelay(true).map_err(io)?;
        self.conversation.restart();
        self.input.clear();
        self.written = 0;
        while self.conversation.state() != State::Open {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(io(ErrorKind::TimedOut.into()));
            }
            stream.set_read_timeout(Some(left)).map_err(io)?;
            match stream.read(self.input.room()) {
                Ok(0) => return Err(io(ErrorKind::UnexpectedEof.into())),
                Ok(count) => self.input.end += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
                Err(error) => return Err(io(error)),
            }
            self.take_logon(address)?;
            stream.write_all(self.conversation.out()).map_err(io)?;
            self.conversation.out().clear();
        }
        stream.set_read_timeout(None).map_err(io)
    }

    /// Takes frames one by one until the session is open; what follows stays for later.
    fn take_logon(&mut self, address: &str) -> Result<(), ClientError> {
        let wire = |source| ClientError::Wire { address: address.to_owned(), source };
        while self.conversation.state() != State::Open {
            let bytes = &self.input.bytes[self.input.start..self.input.end];
            let length = match crate::wire::frame_length(bytes, FRAME_MAX_BYTES).map_err(wire)? {
                Some(length) if length <= bytes.len() => length,
                _ => return Ok(()),
            };
            let mut refused = None;
            let taken = self.conversation.receive(&bytes[..length], &mut |reply| {
                if let Reply::Reject { reject, .. } = reply {
                    refused = Some((reject.reason, reject.text.to_owned()));
                }
            });
            self.input.start += taken.map_err(wire)?;
            if let Some((reason, text)) = refused {
                return Err(ClientError::Refused { address: address.to_owned(), reason, text });
            }
        }
        Ok(())
    }

    /// Tells where the server is from now on, for the next [`Client::reconnect`].
    pub fn set_addresses(&mut self, addresses: &[&str]) {
        self.config.addresses = addresses.iter().map(|&address| address.to_owned()).collect();
    }

    /// Closes the connection without a word. The session and its orders live on.
    pub fn disconnect(&mut self) {
        if let (Some(stream), Some((poll, _))) = (&mut self.stream, &self.poll) {
            // Closing the socket deregisters it all the same.
            let _ = poll.registry().deregister(stream);
        }
        self.stream = None;
        self.poll = None;
        self.written = 0;
        self.input.clear();
        self.conversation.close();
    }

    /// True while there is a connection.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.stream.is_some()
    }

    /// The server's address.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// The conversation, for what it tells.
    #[must_use]
    pub fn conversation(&self) -> &Conversation {
        &self.conversation
    }

    /// The conversation, to send what has no call of its own here.
    pub fn conversation_mut(&mut self) -> &mut Conversation {
        &mut self.conversation
    }

    /// How many requests wait for their reply.
    #[must_use]
    #[inline]
    pub fn in_flight(&self) -> usize {
        self.conversation.in_flight()
    }

    /// True where a request may be sent now.
    #[must_use]
    #[inline]
    pub fn has_room(&self) -> bool {
        self.conversation.has_room()
    }

    /// Puts a command into the output; [`Client::flush`] or [`Client::poll`] sends it.
    ///
    /// # Errors
    /// [`SubmitError`].
    #[inline]
    pub fn submit(
        &mut self,
        command: &Command,
        options: &Options<'_>,
    ) -> Result<RequestId, SubmitError> {
        self.conversation.submit(command, options)
    }

    /// See [`Conversation::book`].
    ///
    /// # Errors
    /// [`SubmitError`].
    pub fn book(
        &mut self,
        instrument: InstrumentId,
        depth: u16,
        orders: bool,
    ) -> Result<RequestId, SubmitError> {
        self.conversation.book(instrument, depth, orders)
    }

    /// See [`Conversation::account`].
    ///
    /// # Errors
    /// [`SubmitError`].
    pub fn account(
        &mut self,
        account: AccountId,
        after_order: OrderId,
    ) -> Result<RequestId, SubmitError> {
        self.conversation.account(account, after_order)
    }

    /// See [`Conversation::reference`].
    ///
    /// # Errors
    /// [`SubmitError`].
    pub fn reference(
        &mut self,
        after_asset: AssetId,
        after_instrument: InstrumentId,
    ) -> Result<RequestId, SubmitError> {
        self.conversation.reference(after_asset, after_instrument)
    }

    /// See [`Conversation::administer`].
    ///
    /// # Errors
    /// [`SubmitError`].
    pub fn administer(
        &mut self,
        command: &AdminCommand,
        options: &Options<'_>,
    ) -> Result<RequestId, SubmitError> {
        self.conversation.administer(command, options)
    }

    /// See [`Conversation::directory`].
    ///
    /// # Errors
    /// [`SubmitError`].
    pub fn directory(&mut self, after_key: KeyId) -> Result<RequestId, SubmitError> {
        self.conversation.directory(after_key)
    }

    /// See [`Conversation::schemas`].
    ///
    /// # Errors
    /// [`SubmitError`].
    pub fn schemas(&mut self, after: u32) -> Result<RequestId, SubmitError> {
        self.conversation.schemas(after)
    }

    /// See [`Conversation::limits`].
    ///
    /// # Errors
    /// [`SubmitError`].
    pub fn limits(
        &mut self,
        account: AccountId,
        instrument: InstrumentId,
        after: (AccountId, InstrumentId),
    ) -> Result<RequestId, SubmitError> {
        self.conversation.limits(account, instrument, after)
    }

    /// See [`Conversation::ping`].
    ///
    /// # Errors
    /// [`SubmitError`].
    pub fn ping(&mut self, nonce: u64) -> Result<RequestId, SubmitError> {
        self.conversation.ping(nonce)
    }

    /// See [`Conversation::logout`].
    ///
    /// # Errors
    /// [`SubmitError`].
    pub fn logout(&mut self) -> Result<(), SubmitError> {
        self.conversation.logout()
    }

    /// See [`Conversation::retry`].
    ///
    /// # Errors
    /// [`SubmitError`].
    pub fn retry(&mut self) -> Result<usize, SubmitError> {
        self.conversation.retry()
    }

    /// Writes as much of the output as the socket takes. True where nothing is left; a failure ends
    /// the connection ([`Client::is_connected`]) and is told by the next [`Client::on_readable`] or
    /// [`Client::poll`].
    #[inline]
    pub fn flush(&mut self) -> bool {
        let Some(stream) = &mut self.stream else {
            return true;
        };
        if !self.conversation.has_output() {
            return true;
        }
        let out = self.conversation.out();
        while self.written < out.len() {
            let piece = &out[self.written..out.len().min(self.written + BUFFER_BYTES)];
            match stream.write(piece) {
                Ok(0) => {
                    self.fail(DisconnectReason::Closed);
                    return false;
                }
                Ok(count) => self.written += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    // What is written goes before it is as much as what may wait.
                    if self.written >= BUFFER_BYTES {
                        out.drain(..self.written);
                        self.written = 0;
                    }
                    return false;
                }
                Err(error) => {
                    self.fail(error.into());
                    return false;
                }
            }
        }
        out.clear();
        self.written = 0;
        true
    }

    /// True while output waits for the socket, so that writability is worth waiting for.
    #[must_use]
    pub fn wants_write(&self) -> bool {
        self.stream.is_some() && self.conversation.has_output()
    }

    fn fail(&mut self, reason: DisconnectReason) {
        self.disconnect();
        self.gone = Some(reason);
    }

    /// Registers the socket, edge-triggered, with a poll that serves many clients. Anew after each
    /// [`Client::reconnect`]; from then on [`Client::poll`] is not to be called.
    ///
    /// # Errors
    /// As [`Registry::register`]; `NotConnected` without a connection.
    pub fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        let stream = self.stream.as_mut().ok_or(ErrorKind::NotConnected)?;
        if let Some((own, _)) = self.poll.take() {
            own.registry().deregister(stream)?;
        }
        registry.register(stream, token, Interest::READABLE | Interest::WRITABLE)
    }

    /// Reads all that is there and gives replies; returns how many. To be called once after
    /// connecting and then whenever the socket is readable.
    #[inline]
    pub fn on_readable(&mut self, mut each: impl FnMut(Reply<'_>)) -> usize {
        let mut count = 0;
        let mut counted = |reply: Reply<'_>| {
            count += 1;
            each(reply);
        };
        if let Err(reason) = self.read(&mut counted) {
            self.fail(reason);
        }
        if let Some(reason) = self.gone.take() {
            counted(Reply::Disconnected { reason: &reason });
        }
        count
    }

    /// Reads until the socket has no more.
    #[inline]
    fn read(&mut self, each: &mut impl FnMut(Reply<'_>)) -> Result<(), DisconnectReason> {
        loop {
            let Input { bytes, start, end } = &mut self.input;
            if start < end {
                *start += self.conversation.receive(&bytes[*start..*end], each)?;
            }
            let Some(stream) = &mut self.stream else {
                return Ok(());
            };
            match stream.read(self.input.room()) {
                Ok(0) => return Err(DisconnectReason::Closed),
                Ok(count) => self.input.end += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Writes what waits, as [`Client::flush`]; to be called whenever the socket is writable.
    #[inline]
    pub fn on_writable(&mut self) -> bool {
        self.flush()
    }

    /// Keeps the connection alive; to be called some times a second by who does not call
    /// [`Client::poll`].
    pub fn tick(&mut self, now: Instant) {
        if self.stream.is_some() && !self.conversation.tick(now) {
            self.fail(DisconnectReason::Silent);
        }
    }

    /// Sends what is to be sent, waits until something comes or the time is over, and gives
    /// replies; returns how many.
    ///
    /// # Errors
    /// As the operating system tells of its poll; what befalls the connection is a
    /// [`Reply::Disconnected`].
    pub fn poll(
        &mut self,
        timeout: Option<Duration>,
        mut each: impl FnMut(Reply<'_>),
    ) -> io::Result<usize> {
        let end = timeout.map(|timeout| Instant::now() + timeout);
        loop {
            self.tick(Instant::now());
            self.flush();
            let count = self.on_readable(&mut each);
            if count > 0 || self.stream.is_none() {
                return Ok(count);
            }
            let now = Instant::now();
            let left = end.map(|end| end.saturating_duration_since(now));
            if left.is_some_and(|left| left.is_zero()) {
                return Ok(0);
            }
            self.wait(left)?;
        }
    }

    /// Waits for the socket, and not longer than until the next heartbeat is due.
    fn wait(&mut self, left: Option<Duration>) -> io::Result<()> {
        if self.poll.is_none() {
            let poll = Poll::new()?;
            self.register(poll.registry(), TOKEN)?;
            self.poll = Some((poll, Events::with_capacity(4)));
        }
        let heartbeat = self.conversation.accepted().map_or(0, |a| a.heartbeat_interval_ms / 4);
        let heartbeat = match heartbeat {
            0 => Duration::from_secs(1),
            ms => Duration::from_millis(u64::from(ms)),
        };
        let wait = left.map_or(heartbeat, |left| left.min(heartbeat));
        let (poll, events) = self.poll.as_mut().expect("it was just made");
        match poll.poll(events, Some(wait)) {
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(()),
            other => other,
        }
    }
}
