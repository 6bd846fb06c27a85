//! Who gets in, and for how long one may try.

use super::frame::{Body, Draft, LOGON, LOGOUT, Message, Metadata, NEW_ORDER, Order, now_ms};
use super::node::{Home, Who, shared};
use super::peer::{LOGON_SEQUENCE, Next, Peer, logon, logon_payload, ping, reason};
use ed25519_dalek::SigningKey;
use std::time::{Duration, Instant};

const BAD_SIGNATURE: u16 = 12;
const SIGNATURE_REQUIRED: u16 = 13;
const BAD_PAYLOAD: u16 = 17;
const NOT_LOGGED_ON: u16 = 18;
const LOGON_REFUSED: u16 = 19;
const TOO_MANY_CONNECTIONS: u16 = 26;

/// Sends a logon that must be refused: the reasons, until the server closed.
fn refused(peer: &mut Peer, draft: &Draft) -> Vec<u16> {
    peer.send(&draft.seal());
    let messages = peer.until_closed();
    assert!(messages.iter().all(|message| message.client_sequence == LOGON_SEQUENCE));
    messages.iter().map(reason).collect()
}

fn signed(key: &SigningKey, payload: Vec<u8>) -> Draft {
    Draft::session(LOGON, LOGON_SEQUENCE, payload).signed(key)
}

#[test]
fn the_key_file_of_a_first_start_logs_on() {
    let home = Home::bare();
    let node = home.start(&[]);
    let path = home.path().join(node.ready["key"].as_str().expect("a path"));
    let text = std::fs::read_to_string(path).expect("the key is there");
    let digits = text.trim_end().strip_prefix("ed25519-secret ").expect("a secret key");
    let seed: Vec<u8> = (0..64)
        .step_by(2)
        .map(|at| u8::from_str_radix(&digits[at..at + 2], 16).expect("hex digits"))
        .collect();
    let key = SigningKey::from_bytes(&seed.try_into().expect("32 bytes"));

    let mut peer = node.connect();
    assert_eq!(peer.frame_max, 4096);
    let ahead = i64::try_from(peer.time_ns / 1_000_000).expect("a time") - now_ms();
    assert!(ahead.abs() < 1000, "the server's clock is {ahead} ms off");
    let accepted = peer.log_on(&key, "first");
    assert_eq!((accepted.role, accepted.outbound), (4, 0));
    assert_eq!(accepted.heartbeat_interval_ms, 30_000);
    assert!(accepted.session > 0 && accepted.key > 0 && accepted.sequence > 0);
    peer.ping(1);
    let answer = peer.order(Order::new(2, 1, 1, 10_000, 5));
    assert_eq!((answer.status, answer.outbound, answer.leaves), (3, 1, 5));
    assert_eq!(answer.order_id, answer.sequence);

    peer.send(&Draft::session(LOGOUT, 99, Vec::new()).seal());
    let last = peer.until_closed();
    let expected = Message { client_sequence: 99, again: false, body: Body::LoggedOut(0) };
    assert_eq!(last, [expected]);
}

#[test]
fn a_session_is_a_key_and_a_name() {
    let node = shared();
    let number = |who: Who, name: &str| node.connect().log_on(&who.key(), name).session;
    let first = number(Who::Operator, "same");
    assert_eq!(number(Who::Operator, "same"), first);
    assert_ne!(number(Who::Operator, "another"), first);
    assert_ne!(number(Who::TraderOfTwo, "same"), first);
    let longest = "é".repeat(16);
    assert_eq!(number(Who::Operator, &longest), number(Who::Operator, &longest));
}

#[test]
fn every_role_is_told_its_role_and_key() {
    let node = shared();
    let roles = [
        (Who::Operator, 4),
        (Who::TraderOfTwo, 1),
        (Who::TraderOfThree, 1),
        (Who::Canceller, 2),
        (Who::Reader, 3),
    ];
    for (who, role) in roles {
        let accepted = node.connect().log_on(&who.key(), "roles");
        assert_eq!((accepted.role, accepted.key), (role, who as u32), "{who:?}");
    }
}

#[test]
fn a_logon_needs_the_nonce_of_its_connection() {
    let node = shared();
    let key = Who::Operator.key();
    let mut first = node.connect();
    let replayed = logon(&first.nonce, &key, b"replayed");
    let mut second = node.connect();
    assert_ne!(first.nonce, second.nonce);
    assert_eq!(refused(&mut second, &replayed), [LOGON_REFUSED]);
    // It is good on its own connection, and on no later one.
    first.log_on(&key, "replayed");
    assert_eq!(refused(&mut node.connect(), &replayed), [LOGON_REFUSED]);
    assert_eq!(refused(&mut node.connect(), &logon(&[0; 32], &key, b"zero")), [LOGON_REFUSED]);
    first.ping(1);
}

#[test]
fn a_logon_is_signed_by_the_key_that_it_names() {
    let node = shared();
    let (known, stranger) = (Who::Operator.key(), Who::Stranger.key());
    let mut peer = node.connect();
    let forged = signed(&stranger, logon_payload(&peer.nonce, &known, b"forged"));
    assert_eq!(refused(&mut peer, &forged), [BAD_SIGNATURE]);
    let mut peer = node.connect();
    let unknown = logon(&peer.nonce, &stranger, b"unknown");
    assert_eq!(refused(&mut peer, &unknown), [LOGON_REFUSED]);
    let mut peer = node.connect();
    let payload = logon_payload(&peer.nonce, &known, b"unsigned");
    let unsigned = Draft::session(LOGON, LOGON_SEQUENCE, payload);
    assert_eq!(refused(&mut peer, &unsigned), [SIGNATURE_REQUIRED]);
    // No point of the curve.
    let mut peer = node.connect();
    let mut payload = logon_payload(&peer.nonce, &known, b"no point");
    payload[32..64].fill(0xff);
    let reasons = refused(&mut peer, &signed(&known, payload));
    assert!(matches!(reasons[..], [BAD_SIGNATURE | LOGON_REFUSED]), "{reasons:?}");
    node.assert_well();
}

#[test]
fn a_session_name_is_text_padded_with_zeros() {
    let node = shared();
    let key = Who::Operator.key();
    let names: [&[u8]; 6] = [b"", b"new\nline", b"del\x7f", b"\xff\xfe", b"in\0side", b"\0behind"];
    for name in names {
        let mut peer = node.connect();
        let draft = logon(&peer.nonce, &key, name);
        let text = String::from_utf8_lossy(name).into_owned();
        assert_eq!(refused(&mut peer, &draft), [LOGON_REFUSED], "{text:?}");
    }
}

#[test]
fn what_this_release_cannot_do_is_refused_by_name() {
    let node = shared();
    let key = Who::Operator.key();
    let changed = |peer: &Peer, at: usize, value: u8| {
        let mut payload = logon_payload(&peer.nonce, &key, b"cannot");
        payload[at] = value;
        signed(&key, payload)
    };
    for (at, value, reason) in [(103, 1, LOGON_REFUSED), (104, 2, BAD_PAYLOAD)] {
        let mut peer = node.connect();
        let draft = changed(&peer, at, value);
        assert_eq!(refused(&mut peer, &draft), [reason], "byte {at} is {value}");
    }
    for size in [104, 106] {
        let mut peer = node.connect();
        let mut payload = logon_payload(&peer.nonce, &key, b"size");
        payload.resize(size, 0);
        assert_eq!(refused(&mut peer, &signed(&key, payload)), [BAD_PAYLOAD], "{size} bytes");
    }
}

#[test]
fn nothing_else_is_heard_before_a_logon() {
    let node = shared();
    let order = Order::new(2, 1, 1, 1, 1).payload();
    let frames = [
        Draft::command(NEW_ORDER, LOGON_SEQUENCE, &Metadata::new("early"), order),
        ping(LOGON_SEQUENCE, 1),
        Draft::session(LOGOUT, LOGON_SEQUENCE, Vec::new()),
        Draft::session(67, LOGON_SEQUENCE, vec![0, 0, 0, 1, 0, 0, 0]),
        Draft::session(68, LOGON_SEQUENCE, vec![0; 16]),
        Draft::session(69, LOGON_SEQUENCE, vec![0; 8]),
    ];
    for draft in &frames {
        let mut peer = node.connect();
        peer.send(&draft.seal());
        let message = peer.next();
        assert_eq!(message.client_sequence, LOGON_SEQUENCE);
        assert_eq!(reason(&message), NOT_LOGGED_ON, "schema {}", draft.schema);
        assert_eq!(peer.until_closed(), []);
    }
}

#[test]
fn a_second_logon_on_a_connection_is_refused() {
    let node = shared();
    let mut peer = node.log_on(Who::Operator, "twice");
    let again = logon(&peer.nonce, &Who::Operator.key(), b"twice");
    peer.send(&again.seal());
    assert_eq!(reason(&peer.next()), LOGON_REFUSED);
    peer.ping(1);
}

#[test]
fn a_new_logon_ends_the_older_connection_of_its_session() {
    let node = shared();
    let ground = node.ground();
    let mut old = node.log_on(Who::Operator, "takeover");
    let resting = old.order(Order::new(ground.buyer, ground.instrument, 1, 10, 1));
    let mut new = node.connect();
    let accepted = new.log_on(&Who::Operator.key(), "takeover");
    assert_eq!(accepted.outbound, resting.outbound);
    let farewell = old.until_closed();
    assert_eq!(farewell.len(), 1, "{farewell:?}");
    assert_eq!(farewell[0].body, Body::LoggedOut(LOGON_REFUSED));
    // The order stayed, and its fill goes to where the session is now.
    let mut other = node.log_on(Who::Operator, "taken from");
    other.order(Order::new(ground.seller, ground.instrument, 2, 10, 1));
    let fill = new.fill();
    assert_eq!((fill.order_id, fill.outbound), (resting.order_id, resting.outbound + 1));
}

/// Connections are dealt out in turn, so with two gateways each logon comes to the other one.
#[test]
fn a_session_moves_between_gateways_and_misses_no_number() {
    for (layout, threads) in [("compact", 2), ("dedicated", 2), ("compact", 4), ("dedicated", 4)] {
        let home = Home::new();
        let threads = format!("gateway.threads={threads}");
        let node = home.start(&[&threads, &format!("threads.layout={layout}")]);
        let mut number = 0;
        let mut old: Option<Peer> = None;
        for round in 0..9 {
            let mut peer = node.connect();
            let accepted = peer.log_on(&Who::Operator.key(), "moving");
            peer.number_after(number);
            assert_eq!(accepted.outbound, number, "{layout}, round {round}");
            if let Some(mut old) = old.take() {
                let farewell = old.until_closed();
                assert_eq!(farewell.len(), 1, "{farewell:?}");
                assert_eq!(farewell[0].body, Body::LoggedOut(LOGON_REFUSED));
            }
            for _ in 0..3 {
                number += 1;
                let answer = peer.order(Order::new(2, 1, 1, 10, 1));
                assert_eq!(answer.outbound, number, "{layout}, round {round}");
            }
            // Every third connection is gone before the next one comes.
            old = (round % 3 != 2).then_some(peer);
        }
        node.stop();
    }
}

#[test]
fn who_does_not_log_on_in_time_is_closed() {
    let home = Home::new();
    let node = home.start(&["gateway.logon_timeout_ms=400"]);
    let start = Instant::now();
    let mut silent = node.connect();
    let mut half = node.connect();
    let frame = logon(&half.nonce, &Who::Operator.key(), b"half").seal();
    half.send(&frame[..frame.len() / 2]);
    let mut slow = node.connect();
    let mut chatty = node.connect();
    // Meanwhile others come and go.
    let mut good = node.log_on(Who::Operator, "good");
    let mut sent = 0;
    let closed_at = loop {
        assert!(start.elapsed() < Duration::from_secs(10), "a byte now and then keeps it open");
        slow.try_send(&frame[sent..=sent]);
        chatty.try_send(&ping(1, 1).seal());
        sent += 1;
        good.ping(sent as u64);
        if slow.next_within(Duration::from_millis(50)) == Next::Closed {
            break start.elapsed();
        }
    };
    assert!(closed_at >= Duration::from_millis(400), "closed after {closed_at:?}");
    for peer in [&mut silent, &mut half, &mut chatty] {
        peer.rejects_until_closed();
    }
    good.ping(1);
}

#[test]
fn who_is_not_heard_of_for_two_intervals_is_closed() {
    let home = Home::new();
    let node = home.start(&["gateway.idle_timeout_ms=300"]);
    let start = Instant::now();
    let mut idle = node.connect();
    assert_eq!(idle.log_on(&Who::Operator.key(), "idle").heartbeat_interval_ms, 300);
    let mut awake = node.log_on(Who::Operator, "awake");
    let mut dribbling = node.log_on(Who::Operator, "dribbling");
    let frame = ping(1, 1).seal();
    dribbling.send(&frame[..20]);
    let mut nonce = 0;
    let closed = loop {
        nonce += 1;
        awake.ping(nonce);
        match idle.next_within(Duration::from_millis(100)) {
            Next::Quiet => {}
            other => break other,
        }
    };
    assert!(start.elapsed() >= Duration::from_millis(600), "closed after {:?}", start.elapsed());
    assert_eq!(closed, Next::Closed);
    dribbling.until_closed();
    awake.ping(nonce);
}

#[test]
fn a_connection_too_many_is_told_so() {
    a_connection_too_many_is_told_so_with(1);
}

#[test]
fn a_connection_too_many_is_told_so_by_any_gateway() {
    a_connection_too_many_is_told_so_with(3);
}

fn a_connection_too_many_is_told_so_with(gateways: usize) {
    let home = Home::new();
    let threads = format!("gateway.threads={gateways}");
    let node = home.start(&["limits.connections_max=3", &threads]);
    let mut peers: Vec<Peer> =
        ["a", "b", "c"].map(|name| node.log_on(Who::Operator, name)).into_iter().collect();
    for _ in 0..5 {
        let mut surplus = Peer::silent(&node.address);
        let messages = surplus.until_closed();
        let reasons: Vec<u16> = messages.iter().map(reason).collect();
        assert_eq!(reasons, [TOO_MANY_CONNECTIONS]);
    }
    peers.iter_mut().for_each(|peer| peer.ping(1));
    // A place that becomes free is free.
    drop(peers.pop());
    super::node::eventually("a place is free again", || {
        let mut peer = Peer::silent(&node.address);
        let Next::Message(message) = peer.next_within(super::node::DEADLINE) else { return false };
        matches!(message.body, Body::Challenge { .. })
    });
    peers.iter_mut().for_each(|peer| peer.ping(2));
}
