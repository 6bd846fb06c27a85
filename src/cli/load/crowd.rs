//! Connections beside the measured ones: idle sessions that only ping, and bad company that sends
//! garbage, one byte a second or nothing. All of them on one thread.
//!
//! Invariants: an idle session is opened once, and told as lost when it ends; a hostile connection that
//! is closed is opened again, and all of them together at most [`OPENS_PER_S`] times a second; the first
//! time each is opened at [`FIRST_OPENS_PER_S`].

use super::super::Failure;
use crate::keys::KeyPair;
use crate::limits::FRAME_MAX_BYTES;
use crate::wire::message::{Logon, Ping, ServerMessage, send};
use crate::wire::{Frame, OpenLimits, frame_length};
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use serde::Serialize;
use socket2::{Domain, Socket, Type};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Idle sessions that are being logged on at a time.
const OPENING_MAX: usize = 128;
/// Hostile connections that are opened in a second: for the first time, so that all of them are there
/// before a node has ended the first ones, and again.
const FIRST_OPENS_PER_S: u32 = 5_000;
const OPENS_PER_S: u32 = 200;
/// Time between two pieces of garbage of one connection, and their size.
const GARBAGE_EVERY: Duration = Duration::from_millis(10);
const GARBAGE_BYTES: usize = 512;
/// How long one connection may take to be opened, and all sessions beside a millisecond each.
const CONNECT: Duration = Duration::from_secs(5);
const READY: Duration = Duration::from_secs(30);
/// How long the thread sleeps at most before it looks whether it is to end.
const LOOK: Duration = Duration::from_millis(50);
/// What a connection that dawdles sends, over and over: the begin of a frame of the longest kind.
const TRICKLE: &[u8] = &[0xAB, 1, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0];

/// What a hostile connection does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Hostile {
    /// Random bytes, as fast as a hundred pieces a second
    Garbage,
    /// One byte a second
    Trickle,
    /// Nothing
    Silent,
}

/// Who comes beside the load.
pub(super) struct Company {
    pub(super) address: SocketAddr,
    /// Keys of the idle sessions, used in turn.
    pub(super) keys: Vec<KeyPair>,
    pub(super) idle: u32,
    /// Loopback addresses that connections come from.
    pub(super) from_addresses: u8,
    pub(super) hostile: Option<Hostile>,
    pub(super) hostile_connections: u32,
}

/// What became of them.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Told {
    /// Idle sessions that ended before they were to.
    pub(super) idle_lost: u64,
    /// Hostile connections that were opened, and that the node closed.
    pub(super) opened: u64,
    pub(super) closed: u64,
}

/// The thread of all these connections.
pub(super) struct Crowd {
    thread: JoinHandle<Told>,
    stop: Arc<AtomicBool>,
}

impl Crowd {
    /// Starts it, and waits until every idle session is logged on.
    pub(super) fn start(company: Company) -> Result<Crowd, Failure> {
        let patience = READY + Duration::from_millis(u64::from(company.idle));
        let stop = Arc::new(AtomicBool::new(false));
        let (ready, is_ready) = sync_channel(1);
        let mut work = Work::new(company, stop.clone(), ready).map_err(Failure::usage)?;
        let thread = std::thread::Builder::new()
            .name("crowd".into())
            .spawn(move || work.run())
            .map_err(Failure::usage)?;
        let crowd = Crowd { thread, stop };
        match is_ready.recv_timeout(patience) {
            Ok(Ok(())) => Ok(crowd),
            Ok(Err(why)) => {
                crowd.end();
                Err(Failure::node(format_args!("an idle session: {why}")))
            }
            Err(_) => {
                crowd.end();
                let seconds = patience.as_secs();
                Err(Failure::node(format_args!("idle sessions took more than {seconds} s to open")))
            }
        }
    }

    /// Ends it.
    pub(super) fn end(self) -> Told {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap_or_default()
    }
}

/// How far an idle session is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Greeting,
    LoggingOn,
    Live,
}

/// One connection.
struct Member {
    hostile: Option<Hostile>,
    stream: Option<TcpStream>,
    state: State,
    /// The begin of a frame.
    input: Vec<u8>,
    /// Time between two pings.
    every: Duration,
    /// Bytes sent, of those who dawdle.
    sent: usize,
    /// How often it was opened: a time that was set before is none of this connection's.
    times: u32,
}

/// What the thread does.
struct Work {
    company: Company,
    stop: Arc<AtomicBool>,
    ready: Option<SyncSender<Result<(), String>>>,
    poll: Poll,
    members: Vec<Member>,
    /// When whom to look after: a ping or a piece.
    due: BinaryHeap<Reverse<(Instant, usize, u32)>>,
    /// Hostile connections that are to be opened, in this order: one at a time may be, and the others
    /// cost nothing while they wait.
    to_open: VecDeque<usize>,
    /// Idle sessions that were begun, and that are logged on.
    begun: usize,
    live: usize,
    /// When the next hostile connection may be opened.
    open_at: Instant,
    random: u64,
    buffer: Vec<u8>,
    told: Told,
}

impl Work {
    fn new(
        company: Company,
        stop: Arc<AtomicBool>,
        ready: SyncSender<Result<(), String>>,
    ) -> io::Result<Work> {
        let member = |hostile| Member {
            hostile,
            stream: None,
            state: State::Greeting,
            input: Vec::new(),
            every: Duration::from_secs(1),
            sent: 0,
            times: 0,
        };
        let idle = (0..company.idle).map(|_| member(None));
        let hostile = company
            .hostile
            .iter()
            .flat_map(|kind| (0..company.hostile_connections).map(move |_| member(Some(*kind))));
        let members: Vec<Member> = idle.chain(hostile).collect();
        let to_open = (company.idle as usize..members.len()).collect();
        Ok(Work {
            company,
            stop,
            ready: Some(ready),
            poll: Poll::new()?,
            members,
            due: BinaryHeap::new(),
            to_open,
            begun: 0,
            live: 0,
            open_at: Instant::now(),
            random: 0x9E37_79B9_7F4A_7C15,
            buffer: vec![0; FRAME_MAX_BYTES],
            told: Told::default(),
        })
    }

    fn run(&mut self) -> Told {
        let mut events = Events::with_capacity(1024);
        while !self.stop.load(Ordering::Relaxed) {
            self.begin_idle();
            self.open_hostile();
            self.look_after();
            let due = self.due.peek().map(|Reverse((at, ..))| *at);
            let open = (!self.to_open.is_empty()).then_some(self.open_at);
            let next = due
                .into_iter()
                .chain(open)
                .min()
                .map_or(LOOK, |at| at.saturating_duration_since(Instant::now()).min(LOOK));
            match self.poll.poll(&mut events, Some(next)) {
                Err(error) if error.kind() != ErrorKind::Interrupted => {
                    self.give_up(&error.to_string());
                    break;
                }
                _ => {}
            }
            for event in &events {
                self.receive(event.token().0);
            }
        }
        self.told
    }

    /// Tells who waits for the sessions that they do not come.
    fn give_up(&mut self, why: &str) {
        if let Some(ready) = self.ready.take() {
            // Nobody waits any more where the wait was too long.
            let _ = ready.try_send(Err(why.to_owned()));
        }
    }

    /// Opens idle sessions, a bounded number at a time; tells when all of them are there.
    fn begin_idle(&mut self) {
        let all = self.company.idle as usize;
        while self.ready.is_some() && self.begun < all && self.begun < self.live + OPENING_MAX {
            if let Err(error) = self.open(self.begun) {
                self.give_up(&error.to_string());
                return;
            }
            self.begun += 1;
        }
        if self.live == all
            && let Some(ready) = self.ready.take()
        {
            // As above.
            let _ = ready.try_send(Ok(()));
        }
    }

    fn open(&mut self, at: usize) -> io::Result<()> {
        let address = self.company.address;
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
        if let (true, IpAddr::V4(_)) = (self.company.from_addresses > 1, address.ip()) {
            let last = 1 + (at % usize::from(self.company.from_addresses)) as u8;
            let source = SocketAddr::from((Ipv4Addr::new(127, 0, 0, last), 0));
            socket.bind(&source.into())?;
        }
        socket.connect_timeout(&address.into(), CONNECT)?;
        socket.set_nonblocking(true)?;
        let mut stream = TcpStream::from_std(socket.into());
        self.poll.registry().register(&mut stream, Token(at), Interest::READABLE)?;
        let member = &mut self.members[at];
        member.stream = Some(stream);
        member.state = State::Greeting;
        member.input = Vec::new();
        member.times = member.times.wrapping_add(1);
        Ok(())
    }

    /// Does what is due.
    fn look_after(&mut self) {
        let now = Instant::now();
        while let Some(Reverse((when, at, times))) = self.due.peek().copied()
            && when <= now
        {
            self.due.pop();
            if self.members[at].times != times {
                continue;
            }
            let after = match self.members[at].hostile {
                None => self.ping(at),
                Some(kind) => self.harm(at, kind),
            };
            // Who is closed by what it sent is to be opened, and is nobody's to look after.
            if self.members[at].times == times {
                self.due.push(Reverse((now + after, at, times)));
            }
        }
    }

    /// Opens the hostile connections that may be opened by now; what was missed longer ago than the
    /// thread sleeps is not made up for.
    fn open_hostile(&mut self) {
        let now = Instant::now();
        if let Some(earliest) = now.checked_sub(LOOK) {
            self.open_at = self.open_at.max(earliest);
        }
        while self.open_at <= now
            && let Some(at) = self.to_open.pop_front()
        {
            let is_first = self.members[at].times == 0;
            let pace = if is_first { FIRST_OPENS_PER_S } else { OPENS_PER_S };
            self.open_at += Duration::from_secs(1) / pace;
            match self.open(at) {
                Ok(()) => {
                    self.told.opened += 1;
                    self.due.push(Reverse((now, at, self.members[at].times)));
                }
                // It is refused, or there is no port: it comes again, after the others.
                Err(_) => self.to_open.push_back(at),
            }
        }
    }

    fn ping(&mut self, at: usize) -> Duration {
        let mut frame = Vec::new();
        send(&Ping { nonce: 0 }, 0, &mut frame);
        self.write(at, &frame);
        self.members[at].every
    }

    /// Sends what a hostile connection sends now; when next.
    fn harm(&mut self, at: usize, kind: Hostile) -> Duration {
        match kind {
            Hostile::Garbage => {
                let mut piece = [0; GARBAGE_BYTES];
                for byte in &mut piece {
                    self.random ^= self.random << 13;
                    self.random ^= self.random >> 7;
                    self.random ^= self.random << 17;
                    *byte = self.random as u8;
                }
                self.write(at, &piece);
                GARBAGE_EVERY
            }
            Hostile::Trickle => {
                let next = TRICKLE[self.members[at].sent % TRICKLE.len()];
                self.members[at].sent += 1;
                self.write(at, &[next]);
                Duration::from_secs(1)
            }
            Hostile::Silent => Duration::from_secs(1),
        }
    }

    /// Writes a few bytes. A socket that takes none is behind: nothing here has to arrive, except
    /// what a session says, and of that a socket always has room for one message.
    fn write(&mut self, at: usize, bytes: &[u8]) {
        let Some(stream) = &mut self.members[at].stream else { return };
        match stream.write(bytes) {
            Ok(_) => {}
            Err(error)
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(_) => self.closed(at),
        }
    }

    fn receive(&mut self, at: usize) {
        loop {
            let Some(stream) = &mut self.members[at].stream else { return };
            match stream.read(&mut self.buffer) {
                Ok(0) => return self.closed(at),
                Ok(size) if self.members[at].hostile.is_none() => {
                    self.members[at].input.extend_from_slice(&self.buffer[..size]);
                    if let Err(why) = self.take(at) {
                        self.give_up(&why);
                        return self.closed(at);
                    }
                }
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return self.closed(at),
            }
        }
    }

    /// Takes the messages that an idle session got.
    fn take(&mut self, at: usize) -> Result<(), String> {
        let limits = OpenLimits { frame_max: FRAME_MAX_BYTES, strict_reserved: false };
        let input = std::mem::take(&mut self.members[at].input);
        let mut used = 0;
        while let Some(size) =
            frame_length(&input[used..], FRAME_MAX_BYTES).map_err(|error| error.to_string())?
            && used + size <= input.len()
        {
            let frame = Frame::open(&input[used..used + size], &limits);
            let frame = frame.map_err(|error| error.to_string())?;
            match ServerMessage::decode(&frame).map_err(|error| error.to_string())? {
                ServerMessage::Challenge(challenge) => {
                    let key = &self.company.keys[at % self.company.keys.len()];
                    let name = Logon::pad_name(&format!("idle-{at}")).expect("short and printable");
                    let logon = Logon {
                        nonce: challenge.nonce,
                        public_key: key.public(),
                        session_name: name,
                        last_received: 0,
                        cancel_on_disconnect: false,
                    };
                    let mut out = Vec::new();
                    logon.send(0, key.signing(), &mut out);
                    self.write(at, &out);
                    self.members[at].state = State::LoggingOn;
                }
                ServerMessage::LogonAccepted(accepted) => {
                    let interval = u64::from(accepted.heartbeat_interval_ms.max(20));
                    let member = &mut self.members[at];
                    member.state = State::Live;
                    member.every = Duration::from_millis(interval / 2);
                    // Spread, so that they do not all come at once.
                    let first = member.every.mul_f64((at % 97 + 1) as f64 / 97.0);
                    self.due.push(Reverse((Instant::now() + first, at, member.times)));
                    self.live += 1;
                }
                ServerMessage::Reject(reject) => {
                    return Err(format!("{}: {}", reject.reason, reject.text));
                }
                _ => {}
            }
            used += size;
        }
        if used < input.len() {
            self.members[at].input = input[used..].to_vec();
        }
        Ok(())
    }

    /// A connection is gone.
    fn closed(&mut self, at: usize) {
        let member = &mut self.members[at];
        if member.stream.take().is_none() {
            return;
        }
        member.times = member.times.wrapping_add(1);
        match member.hostile {
            None => {
                self.told.idle_lost += 1;
                self.give_up("the node closed the connection");
            }
            Some(_) => {
                self.told.closed += 1;
                self.to_open.push_back(at);
            }
        }
    }
}
