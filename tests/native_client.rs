//! The client over loopback, against a server that plays a script.

use openoutcry::client::{Client, ClientError, Config, DisconnectReason, Options, Reply};
use openoutcry::command::{Command, Deposit};
use openoutcry::event::{CommandResult, RejectReason};
use openoutcry::keys::KeyPair;
use openoutcry::types::{
    AccountId, Amount, AssetId, InstrumentId, KeyId, OrderId, Price, Quantity, Role, Sequence,
    SessionId, Side, Status, TimeNs,
};
use openoutcry::wire::answer::send_answer;
use openoutcry::wire::message::{
    BookQuery, Challenge, Logon, LogonAccepted, ReasonCode, Reject, send,
};
use openoutcry::wire::query::{BookLevel, BookRows, BookState};
use openoutcry::wire::{Flags, Frame, OpenLimits, frame_length};
use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::thread::{self, JoinHandle};
use std::time::Duration;

const LIMITS: OpenLimits = OpenLimits { frame_max: 4096, strict_reserved: true };
const PATIENCE: Option<Duration> = Some(Duration::from_secs(10));

/// The server's end of one connection.
struct Peer {
    stream: TcpStream,
    input: Vec<u8>,
    out: Vec<u8>,
    outbound: u64,
}

impl Peer {
    fn accept(listener: &TcpListener) -> Peer {
        let (stream, _) = listener.accept().expect("the client connects");
        Peer { stream, input: Vec::new(), out: Vec::new(), outbound: 0 }
    }

    fn flush(&mut self) {
        self.stream.write_all(&self.out).expect("the client reads");
        self.out.clear();
    }

    /// The next frame; `None` when the client has gone.
    fn next(&mut self) -> Option<Vec<u8>> {
        loop {
            let length = frame_length(&self.input, 4096).expect("the client speaks well");
            if let Some(length) = length.filter(|length| *length <= self.input.len()) {
                let rest = self.input.split_off(length);
                return Some(std::mem::replace(&mut self.input, rest));
            }
            let mut buffer = [0; 4096];
            match self.stream.read(&mut buffer) {
                Ok(0) | Err(_) => return None,
                Ok(count) => self.input.extend_from_slice(&buffer[..count]),
            }
        }
    }

    fn log_on(&mut self, heartbeat_interval_ms: u32) -> Logon {
        let challenge = Challenge { nonce: [5; 32], time_ns: TimeNs(1), frame_max: 4096 };
        send(&challenge, 0, &mut self.out);
        self.flush();
        let bytes = self.next().expect("a logon");
        let frame = Frame::open(&bytes, &LIMITS).expect("a good frame");
        let logon = Logon::decode(frame.payload()).expect("a logon");
        let accepted = LogonAccepted {
            session: SessionId(1),
            key: KeyId(1),
            role: Role::Operator,
            outbound: self.outbound,
            sequence: Sequence(0),
            heartbeat_interval_ms,
        };
        send(&accepted, 0, &mut self.out);
        logon
    }

    fn answer(&mut self, client_sequence: u64, again: bool) {
        self.outbound += 1;
        let result = CommandResult {
            status: Status::Done,
            reason: None,
            session: SessionId(1),
            fill_count: 0,
            outbound: self.outbound,
            client_sequence,
            order_id: OrderId(0),
            filled: Quantity(0),
            leaves: Quantity(0),
            time: TimeNs(1),
            account: AccountId(2),
        };
        send_answer(Sequence(self.outbound), &result, [], again, &mut self.out);
    }
}

fn serve(script: impl FnOnce(TcpListener) + Send + 'static) -> (String, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound").to_string();
    (address, thread::spawn(move || script(listener)))
}

fn config(addresses: &[&str]) -> Config {
    Config::new(addresses, KeyPair::from_seed(&[7; 32]), "desk")
}

fn deposit() -> Command {
    Deposit { account: AccountId(2), asset: AssetId(1), amount: Amount(5) }.into()
}

/// An address where nobody listens.
fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("it is bound").to_string()
}

#[test]
fn ten_thousand_commands_are_answered_by_their_numbers() {
    let (address, server) = serve(|listener| {
        let mut peer = Peer::accept(&listener);
        peer.log_on(0);
        peer.flush();
        while let Some(bytes) = peer.next() {
            let frame = Frame::open(&bytes, &LIMITS).expect("a good frame");
            peer.answer(frame.client_sequence(), false);
            if peer.out.len() > 5000 || peer.input.is_empty() {
                peer.flush();
            }
        }
    });
    // The first address is dead: the next one is tried.
    let dead = nobody();
    let mut client = Client::connect(config(&[&dead, &address])).expect("the second is good");
    assert_eq!(client.address().map(|a| a.to_string()), Some(address));
    let mut waiting = BTreeSet::new();
    let (mut sent, mut answered) = (0, 0);
    while answered < 10_000 {
        while sent < 10_000 && client.has_room() {
            let id = client.submit(&deposit(), &Options::default()).expect("there is room");
            assert!(waiting.insert(id));
            sent += 1;
        }
        let count = client
            .poll(PATIENCE, |reply| match reply {
                Reply::Answer { request, again, view } => {
                    assert!(waiting.remove(&request) && !again);
                    assert_eq!(view.answer.status, Status::Done);
                    answered += 1;
                }
                other => panic!("{other:?}"),
            })
            .expect("a poll");
        assert!(count > 0, "the server answers");
    }
    assert_eq!(client.in_flight(), 0);
    assert_eq!(client.conversation().last_received(), 10_000);
    client.disconnect();
    server.join().expect("the script ends well");
}

#[test]
fn after_a_lost_connection_the_rest_is_sent_again_and_answered_once() {
    let (address, server) = serve(|listener| {
        let mut peer = Peer::accept(&listener);
        peer.log_on(0);
        peer.flush();
        let frames: Vec<Vec<u8>> = (0..10).map(|_| peer.next().expect("ten commands")).collect();
        let id = |bytes: &[u8]| {
            let frame = Frame::open(bytes, &LIMITS).expect("a good frame");
            frame.metadata().expect("good").expect("there is some").message_id.to_owned()
        };
        for bytes in &frames[..4] {
            peer.answer(Frame::open(bytes, &LIMITS).expect("good").client_sequence(), false);
        }
        // Half of another answer goes with the connection.
        peer.flush();
        peer.stream.write_all(&[0xAB, 1, 0]).expect("the client reads");
        let outbound = peer.outbound;
        drop(peer);

        let mut peer = Peer::accept(&listener);
        peer.outbound = outbound;
        assert_eq!(peer.log_on(0).last_received, 0);
        for bytes in &frames[4..] {
            peer.flush();
            let again = peer.next().expect("six commands once more");
            assert_eq!(id(&again), id(bytes));
            let frame = Frame::open(&again, &LIMITS).expect("sealed anew");
            assert!(frame.header().flags.has(Flags::POSSIBLE_DUPLICATE));
            peer.answer(frame.client_sequence(), true);
        }
        peer.flush();
        assert_eq!(peer.next(), None);
    });
    let mut client = Client::connect(config(&[&address])).expect("a server");
    for _ in 0..10 {
        client.submit(&deposit(), &Options::default()).expect("room");
    }
    let mut answers = 0;
    let mut lost = false;
    while client.in_flight() > 0 {
        client
            .poll(PATIENCE, |reply| match reply {
                Reply::Answer { .. } => answers += 1,
                Reply::Disconnected { reason } => {
                    assert!(matches!(reason, DisconnectReason::Closed | DisconnectReason::Io(_)));
                    lost = true;
                }
                other => panic!("{other:?}"),
            })
            .expect("a poll");
        if std::mem::take(&mut lost) {
            assert_eq!((answers, client.in_flight(), client.is_connected()), (4, 6, false));
            client.reconnect().expect("the server is still there");
            assert_eq!(client.retry(), Ok(6));
        }
    }
    assert_eq!(answers, 10);
    drop(client);
    server.join().expect("the script ends well");
}

#[test]
fn a_refused_logon_is_told_with_its_reason() {
    let (address, server) = serve(|listener| {
        let mut peer = Peer::accept(&listener);
        let challenge = Challenge { nonce: [5; 32], time_ns: TimeNs(1), frame_max: 4096 };
        send(&challenge, 0, &mut peer.out);
        peer.flush();
        peer.next().expect("a logon");
        let reason = RejectReason::LogonRefused.into();
        Reject { reason, retry_after_ms: 0, text: "no such key" }.send(0, &mut peer.out);
        peer.flush();
    });
    let error = Client::connect(config(&[&address, "never.invalid:1"])).expect_err("refused");
    assert_eq!(error.to_string(), format!("{address}: logon refused: LogonRefused: no such key"));
    server.join().expect("the script ends well");
}

#[test]
fn a_busy_server_is_passed_over_for_the_next() {
    let (busy, first) = serve(|listener| {
        let mut peer = Peer::accept(&listener);
        let reason = RejectReason::TooManyConnections.into();
        Reject { reason, retry_after_ms: 0, text: "" }.send(0, &mut peer.out);
        peer.flush();
    });
    let (good, second) = serve(|listener| {
        let mut peer = Peer::accept(&listener);
        peer.log_on(0);
        peer.flush();
        assert_eq!(peer.next(), None);
    });
    let client = Client::connect(config(&[&busy, &good])).expect("the second is good");
    assert_eq!(client.address().map(|a| a.to_string()), Some(good));
    drop(client);
    first.join().expect("the script ends well");
    second.join().expect("the script ends well");
}

#[test]
fn what_cannot_be_a_server_is_told_as_such() {
    let dead = nobody();
    assert!(matches!(Client::connect(config(&[&dead])), Err(ClientError::Io { .. })));
    assert!(matches!(Client::connect(config(&[])), Err(ClientError::NoAddress)));
    let long = Config { session: "x".repeat(33), ..config(&[&dead]) };
    assert!(matches!(Client::connect(long), Err(ClientError::SessionName(_))));
    let (web, server) = serve(|listener| {
        let mut peer = Peer::accept(&listener);
        peer.stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").expect("the client reads");
    });
    assert!(matches!(Client::connect(config(&[&web])), Err(ClientError::Wire { .. })));
    server.join().expect("the script ends well");
    let (mute, server) = serve(|listener| {
        let mut peer = Peer::accept(&listener);
        assert_eq!(peer.next(), None);
    });
    let hasty = Config { connect_timeout: Duration::from_millis(50), ..config(&[&mute]) };
    assert!(matches!(Client::connect(hasty), Err(ClientError::Io { .. })));
    server.join().expect("the script ends well");
}

#[test]
fn a_silent_server_is_pinged_and_then_given_up() {
    let (address, server) = serve(|listener| {
        let mut peer = Peer::accept(&listener);
        peer.log_on(40);
        peer.flush();
        let mut pings = 0;
        while let Some(bytes) = peer.next() {
            assert_eq!(Frame::open(&bytes, &LIMITS).expect("a good frame").schema(), 65);
            pings += 1;
        }
        assert!(pings > 0);
    });
    let mut client = Client::connect(config(&[&address])).expect("a server");
    let mut silent = false;
    client
        .poll(PATIENCE, |reply| {
            silent = matches!(reply, Reply::Disconnected { reason: DisconnectReason::Silent });
        })
        .expect("a poll");
    assert!(silent);
    server.join().expect("the script ends well");
}

#[test]
fn many_clients_share_one_poll() {
    let (address, server) = serve(|listener| {
        let peers: Vec<Peer> = (0..4).map(|_| Peer::accept(&listener)).collect();
        let threads: Vec<JoinHandle<()>> = peers
            .into_iter()
            .map(|mut peer| {
                thread::spawn(move || {
                    peer.log_on(0);
                    // An answer right behind the logon must not be left lying.
                    peer.answer(1, false);
                    peer.flush();
                    while let Some(bytes) = peer.next() {
                        let sequence =
                            Frame::open(&bytes, &LIMITS).expect("good").client_sequence();
                        peer.answer(sequence, false);
                        peer.flush();
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().expect("the script ends well");
        }
    });
    // The server accepts all before it speaks, so that connecting takes one thread each.
    let connecting: Vec<JoinHandle<Client>> = (0..4)
        .map(|_| {
            let address = address.clone();
            thread::spawn(move || Client::connect(config(&[&address])).expect("a server"))
        })
        .collect();
    let mut clients: Vec<Client> =
        connecting.into_iter().map(|thread| thread.join().expect("connected")).collect();
    let mut poll = mio::Poll::new().expect("a poll");
    let mut events = mio::Events::with_capacity(16);
    let mut counts = [0; 4];
    for (index, client) in clients.iter_mut().enumerate() {
        client.register(poll.registry(), mio::Token(index)).expect("registered");
        client.on_readable(|_| counts[index] += 1);
        for _ in 0..100 {
            client.submit(&deposit(), &Options::default()).expect("room");
        }
        client.flush();
    }
    while counts.iter().sum::<usize>() < 404 {
        poll.poll(&mut events, PATIENCE).expect("a poll");
        assert!(!events.is_empty(), "the servers answer: {counts:?}");
        for event in &events {
            let index = event.token().0;
            if event.is_writable() {
                clients[index].on_writable();
            }
            if event.is_readable() {
                clients[index].on_readable(|_| counts[index] += 1);
            }
        }
    }
    assert_eq!(counts, [101; 4]);
    drop(clients);
    server.join().expect("the script ends well");
}

#[test]
fn a_book_is_asked_for_and_read() {
    let (address, server) = serve(|listener| {
        let mut peer = Peer::accept(&listener);
        peer.log_on(0);
        peer.flush();
        let bytes = peer.next().expect("a query");
        let frame = Frame::open(&bytes, &LIMITS).expect("a good frame");
        let query = BookQuery::decode(frame.payload()).expect("a book query");
        let state = BookState {
            sequence: Sequence(7),
            instrument: query.instrument,
            last_price: None,
            more: false,
        };
        let level =
            BookLevel { side: Side::Buy, price: Price(4), quantity: Quantity(5), orders: 6 };
        state.send_levels(&[level], frame.client_sequence(), &mut peer.out);
        peer.flush();
        assert_eq!(peer.next(), None);
    });
    let mut client = Client::connect(config(&[&address])).expect("a server");
    let asked = client.book(InstrumentId(3), 5, false).expect("room");
    let mut seen = false;
    client
        .poll(PATIENCE, |reply| {
            let Reply::Book { request, view } = reply else { panic!("{reply:?}") };
            assert_eq!((request, view.head.instrument), (asked, InstrumentId(3)));
            let BookRows::Levels(rows) = view.rows else { panic!("levels were asked for") };
            seen = rows.iter().all(|row| row.orders == 6) && rows.len() == 1;
        })
        .expect("a poll");
    assert!(seen);
    drop(client);
    server.join().expect("the script ends well");
}

#[test]
fn reasons_that_a_later_server_adds_are_shown_as_numbers() {
    assert_eq!(ReasonCode(4711).to_string(), "reason 4711");
}
