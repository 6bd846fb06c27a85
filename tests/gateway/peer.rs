//! One connection of a client, with a deadline on everything.

use super::frame::{
    ACCOUNT_QUERY, Accepted, Account, Answer, BOOK_QUERY, Body, Book, Draft, Fields, Fill, LOGON,
    Message, Metadata, NEW_ORDER, Order, PING, Update, decode, length,
};
use super::node::DEADLINE;
use ed25519_dalek::SigningKey;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

/// What came, or did not.
#[derive(Debug, PartialEq)]
pub(crate) enum Next {
    Message(Message),
    Closed,
    Quiet,
}

pub(crate) struct Peer {
    pub(crate) stream: TcpStream,
    received: Vec<u8>,
    pub(crate) nonce: [u8; 32],
    pub(crate) time_ns: u64,
    pub(crate) frame_max: u32,
    /// Names this connection's messages.
    name: String,
    sequence: u64,
}

impl Peer {
    pub(crate) fn connect(address: &str) -> Peer {
        let mut peer = Peer::silent(address);
        let Message { client_sequence: 0, again: false, body } = peer.next() else {
            panic!("a challenge echoes nothing");
        };
        let Body::Challenge { nonce, time_ns, frame_max } = body else {
            panic!("the server speaks first: {body:?}");
        };
        (peer.nonce, peer.time_ns, peer.frame_max) = (nonce, time_ns, frame_max);
        peer
    }

    /// A connection that nothing was read from.
    pub(crate) fn silent(address: &str) -> Peer {
        let stream = TcpStream::connect(address).expect("the node listens");
        stream.set_nodelay(true).expect("TCP");
        stream.set_write_timeout(Some(DEADLINE)).expect("a timeout");
        Peer {
            stream,
            received: Vec::new(),
            nonce: [0; 32],
            time_ns: 0,
            frame_max: 0,
            name: String::new(),
            sequence: 0,
        }
    }

    /// The first of its messages is not number 1: an earlier connection of the session had those.
    pub(crate) fn number_after(&mut self, last: u64) {
        self.sequence = last;
    }

    pub(crate) fn log_on(&mut self, key: &SigningKey, name: &str) -> Accepted {
        self.log_on_after(key, name, 0)
    }

    pub(crate) fn log_on_after(&mut self, key: &SigningKey, name: &str, last: u64) -> Accepted {
        name.clone_into(&mut self.name);
        self.send(&logon_after(&self.nonce, key, name.as_bytes(), last).seal());
        let message = self.next();
        let Body::Accepted(accepted) = message.body else { panic!("{message:?}") };
        assert_eq!(message.client_sequence, LOGON_SEQUENCE);
        accepted
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the connection is open");
    }

    /// Sends where the server may have closed already.
    pub(crate) fn try_send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).ok();
    }

    /// Tells the server that nothing more comes.
    pub(crate) fn finish(&mut self) {
        self.stream.shutdown(Shutdown::Write).ok();
    }

    /// The next message within a time.
    pub(crate) fn next_within(&mut self, time: Duration) -> Next {
        let start = Instant::now();
        loop {
            if let Some(message) = self.take() {
                return Next::Message(message);
            }
            let left = time.saturating_sub(start.elapsed());
            if left.is_zero() {
                return Next::Quiet;
            }
            self.stream.set_read_timeout(Some(left)).expect("a timeout");
            let mut chunk = [0; 65536];
            match self.stream.read(&mut chunk) {
                Ok(0) => return self.end(),
                Ok(size) => self.received.extend(&chunk[..size]),
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock | ErrorKind::TimedOut => return Next::Quiet,
                    ErrorKind::Interrupted => {}
                    ErrorKind::ConnectionReset => return Next::Closed,
                    _ => panic!("{error}"),
                },
            }
        }
    }

    fn end(&self) -> Next {
        assert!(self.received.is_empty(), "the server closed in the middle of a frame");
        Next::Closed
    }

    /// A whole message, where one has been received.
    fn take(&mut self) -> Option<Message> {
        if self.received.len() < 16 {
            return None;
        }
        let size = length(&self.received);
        if self.received.len() < size {
            return None;
        }
        let message = decode(&self.received[..size]);
        self.received.drain(..size);
        Some(message)
    }

    pub(crate) fn next(&mut self) -> Message {
        match self.next_within(DEADLINE) {
            Next::Message(message) => message,
            other => panic!("no message: {other:?}"),
        }
    }

    /// Everything until the server closes.
    pub(crate) fn until_closed(&mut self) -> Vec<Message> {
        let mut messages = Vec::new();
        loop {
            match self.next_within(DEADLINE) {
                Next::Message(message) => messages.push(message),
                Next::Closed => return messages,
                Next::Quiet => panic!("the server does not close; it sent {messages:?}"),
            }
        }
    }

    /// Reasons of the rejects until the server closes; nothing else may come.
    pub(crate) fn rejects_until_closed(&mut self) -> Vec<u16> {
        self.until_closed().iter().map(reason).collect()
    }

    /// A new client sequence.
    pub(crate) fn sequence(&mut self) -> u64 {
        self.sequence += 1;
        self.sequence
    }

    /// Metadata with an id that was never used.
    pub(crate) fn metadata(&mut self) -> Metadata {
        Metadata::new(format!("{}-{}", self.name, self.sequence + 1))
    }

    /// A command that was never sent, and its client sequence.
    pub(crate) fn draft(&mut self, schema: u32, payload: Vec<u8>) -> Draft {
        let metadata = self.metadata();
        Draft::command(schema, self.sequence(), &metadata, payload)
    }

    pub(crate) fn draft_order(&mut self, order: Order) -> Draft {
        self.draft(NEW_ORDER, order.payload())
    }

    /// Sends a frame and takes what comes back for it.
    pub(crate) fn ask(&mut self, draft: &Draft) -> Message {
        self.send(&draft.seal());
        let message = self.next();
        let echoed = message.client_sequence.to_be_bytes();
        assert_eq!(draft.extension.get(..8).unwrap_or(&[0; 8]), echoed, "{message:?}");
        message
    }

    /// Sends a command and takes its answer.
    pub(crate) fn command(&mut self, schema: u32, payload: Vec<u8>) -> Answer {
        let draft = self.draft(schema, payload);
        answer(self.ask(&draft))
    }

    pub(crate) fn order(&mut self, order: Order) -> Answer {
        self.command(NEW_ORDER, order.payload())
    }

    pub(crate) fn ping(&mut self, nonce: u64) {
        let sequence = self.sequence();
        let pong = self.ask(&ping(sequence, nonce));
        assert_eq!(pong.body, Body::Pong(nonce));
    }

    pub(crate) fn fill(&mut self) -> Fill {
        let message = self.next();
        let Body::Fill(fill) = message.body else { panic!("{message:?}") };
        assert_eq!((message.client_sequence, message.again), (0, false));
        fill
    }

    /// A change of an order of this session.
    pub(crate) fn update(&mut self) -> Update {
        let message = self.next();
        let Body::Update(update) = message.body else { panic!("{message:?}") };
        assert_eq!((message.client_sequence, message.again), (0, false));
        update
    }

    pub(crate) fn book(&mut self, instrument: u32, depth: u16, orders: bool) -> Book {
        let draft = book_query(self.sequence(), instrument, depth, orders);
        let message = self.ask(&draft);
        let Body::Book(book) = message.body else { panic!("{message:?}") };
        assert_eq!((book.instrument, book.orders), (instrument, orders));
        book
    }

    pub(crate) fn account(&mut self, number: u64, after_order: u64) -> Account {
        let payload = Fields::default().u64(number).u64(after_order).0;
        let draft = Draft::session(ACCOUNT_QUERY, self.sequence(), payload);
        let message = self.ask(&draft);
        let Body::Account(account) = message.body else { panic!("{message:?}") };
        assert_eq!(account.account, number);
        account
    }
}

/// The client sequence of every logon here.
pub(crate) const LOGON_SEQUENCE: u64 = 0x1122_3344_5566_7788;

/// The payload of a logon.
pub(crate) fn logon_payload(nonce: &[u8; 32], key: &SigningKey, name: &[u8]) -> Vec<u8> {
    let mut payload = nonce.to_vec();
    payload.extend(key.verifying_key().to_bytes());
    payload.extend(name);
    payload.resize(96, 0);
    payload.extend(0_u64.to_be_bytes());
    payload.push(0);
    payload
}

pub(crate) fn logon(nonce: &[u8; 32], key: &SigningKey, name: &[u8]) -> Draft {
    Draft::session(LOGON, LOGON_SEQUENCE, logon_payload(nonce, key, name)).signed(key)
}

/// A logon of somebody who has everything up to `last`.
pub(crate) fn logon_after(nonce: &[u8; 32], key: &SigningKey, name: &[u8], last: u64) -> Draft {
    let mut payload = logon_payload(nonce, key, name);
    payload[96..104].copy_from_slice(&last.to_be_bytes());
    Draft::session(LOGON, LOGON_SEQUENCE, payload).signed(key)
}

pub(crate) fn ping(sequence: u64, nonce: u64) -> Draft {
    Draft::session(PING, sequence, nonce.to_be_bytes().to_vec())
}

pub(crate) fn book_query(sequence: u64, instrument: u32, depth: u16, orders: bool) -> Draft {
    let payload = Fields::default().u32(instrument).u16(depth).u8(u8::from(orders)).0;
    Draft::session(BOOK_QUERY, sequence, payload)
}

/// The answer in a message.
pub(crate) fn answer(message: Message) -> Answer {
    let Body::Answer(answer) = message.body else { panic!("{message:?}") };
    answer
}

/// The reason in a reject.
pub(crate) fn reason(message: &Message) -> u16 {
    let Body::Reject { reason, .. } = message.body else { panic!("{message:?}") };
    reason
}
