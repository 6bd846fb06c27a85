//! Many messages in flight: each answered once, in order, and nothing overtakes.

use super::frame::{BUY, Body, Draft, LOGOUT, Message, NEW_ORDER, Order};
use super::node::{Home, Who, shared};
use super::peer::{Next, Peer, answer, book_query, ping, reason};
use std::io::{ErrorKind, Write};
use std::thread;
use std::time::{Duration, Instant};

/// Writes on a thread, so that neither side waits for the other's buffers.
fn writing(peer: &Peer, bytes: Vec<u8>) -> thread::JoinHandle<()> {
    let mut stream = peer.stream.try_clone().expect("a second handle");
    thread::spawn(move || stream.write_all(&bytes).expect("the connection is open"))
}

#[test]
fn thousands_of_pipelined_orders_are_answered_once_and_in_order() {
    const ORDERS: u64 = 5000;
    let node = shared();
    let ground = node.ground();
    let mut peer = node.log_on(Who::Operator, "pipelined");
    let mut bytes = Vec::new();
    for number in 0..ORDERS {
        let price = i64::try_from(number % 50).expect("small") + 1;
        let order = Order::new(ground.buyer, ground.instrument, BUY, price, 1);
        let draft = peer.draft_order(order);
        // Numbers of the client's own choice.
        let extension = (number * 3 + 1).to_be_bytes().to_vec();
        bytes.extend(Draft { extension, ..draft }.seal());
    }
    let writer = writing(&peer, bytes);
    let mut last = (0, 0);
    for number in 0..ORDERS {
        let message = peer.next();
        assert_eq!(message.client_sequence, number * 3 + 1);
        assert!(!message.again);
        let answer = answer(message);
        assert_eq!((answer.status, answer.order_id), (3, answer.sequence));
        assert!(answer.sequence > last.0, "in order of sequence");
        assert_eq!(answer.outbound, last.1 + 1);
        last = (answer.sequence, answer.outbound);
    }
    writer.join().expect("all was written");
    peer.ping(1);
    let book = peer.book(ground.instrument, 0, false);
    assert_eq!(book.rows.iter().map(|row| row.last).sum::<u64>(), ORDERS);
}

#[test]
fn a_reject_never_overtakes_an_earlier_answer() {
    let node = shared();
    let ground = node.ground();
    let mut peer = node.log_on(Who::Operator, "overtaking");
    let order = Order::new(ground.buyer, ground.instrument, BUY, 1, 1);
    let reused = peer.metadata();
    let first = Draft::command(NEW_ORDER, peer.sequence(), &reused, order.payload());
    peer.ask(&first);
    // What is refused by the gateway itself, before the sequencer, at the sequencer, and by the
    // exchange, among what is good.
    let mut bytes = Vec::new();
    let mut expected: Vec<(u64, &str)> = Vec::new();
    for number in 0..1200_u64 {
        let sequence = peer.sequence();
        let mut metadata = super::frame::Metadata::new(format!("overtaking-{sequence}"));
        let good = Draft::command(NEW_ORDER, sequence, &metadata, order.payload());
        let (draft, what) = match number % 8 {
            1 => (Draft { schema: 999, ..good }, "reject 16"),
            2 => (Draft { payload: Some(vec![1; 39]), ..good }, "reject 17"),
            3 => {
                let other = Order { price: 2, ..order }.payload();
                (Draft::command(NEW_ORDER, sequence, &reused, other), "reject 21")
            }
            4 => {
                metadata.timestamp += 3_600_000;
                (Draft::command(NEW_ORDER, sequence, &metadata, order.payload()), "reject 23")
            }
            5 => {
                let bad = Order { quantity: 0, ..order }.payload();
                (Draft::command(NEW_ORDER, sequence, &metadata, bad), "answer 105")
            }
            6 => (Draft::command(NEW_ORDER, sequence, &reused, order.payload()), "again"),
            7 => (Draft { flags: 1 << 15, ..good }, "reject 3"),
            _ => (good, "answer 0"),
        };
        bytes.extend(draft.seal());
        expected.push((sequence, what));
    }
    let writer = writing(&peer, bytes);
    let got: Vec<(u64, String)> = (0..expected.len())
        .map(|_| {
            let message = peer.next();
            let what = match &message.body {
                Body::Answer(_) if message.again => "again".into(),
                Body::Answer(answer) => format!("answer {}", answer.reason),
                _ => format!("reject {}", reason(&message)),
            };
            (message.client_sequence, what)
        })
        .collect();
    writer.join().expect("all was written");
    // An answer that is read back has no place in the order.
    let again = |what: &str| what == "again";
    let mut in_order = got.iter().filter(|(_, what)| !again(what));
    for expected in expected.iter().filter(|(_, what)| !again(what)) {
        let got = in_order.next().map(|(sequence, what)| (*sequence, what.as_str()));
        assert_eq!(got, Some(*expected));
    }
    let read_back = got.iter().filter(|(_, what)| again(what)).map(|row| row.0);
    let asked = expected.iter().filter(|(_, what)| again(what)).map(|row| row.0);
    assert_eq!(read_back.collect::<Vec<_>>(), asked.collect::<Vec<_>>());
}

#[test]
fn a_ping_is_answered_while_orders_are_in_flight() {
    let node = shared();
    let ground = node.ground();
    let mut peer = node.log_on(Who::Operator, "in flight");
    let mut bytes = Vec::new();
    for number in 0..1000_u64 {
        let order = Order::new(ground.buyer, ground.instrument, BUY, 1, 1);
        bytes.extend(peer.draft_order(order).seal());
        if number % 100 == 50 {
            bytes.extend(ping(0, number).seal());
        }
    }
    let writer = writing(&peer, bytes);
    let messages: Vec<Message> = (0..1010).map(|_| peer.next()).collect();
    writer.join().expect("all was written");
    let pongs: Vec<u64> = messages
        .iter()
        .filter_map(|message| match message.body {
            Body::Pong(nonce) => Some(nonce),
            _ => None,
        })
        .collect();
    assert_eq!(pongs, (0..10).map(|round| round * 100 + 50).collect::<Vec<_>>());
}

#[test]
fn a_logout_is_answered_after_all_that_is_owed() {
    let node = shared();
    let ground = node.ground();
    let mut peer = node.log_on(Who::Operator, "owed");
    let order = Order::new(ground.buyer, ground.instrument, BUY, 1, 1);
    let mut frames: Vec<Vec<u8>> = (0..500).map(|_| peer.draft_order(order).seal()).collect();
    // These are answered from disk.
    frames.extend_from_within(100..110);
    frames.push(Draft::session(LOGOUT, 501, Vec::new()).seal());
    // Behind the logout nobody hears it.
    frames.push(peer.draft_order(Order { price: 2, ..order }).seal());
    peer.send(&frames.concat());
    let messages = peer.until_closed();
    assert_eq!(messages.len(), 511);
    let read_back = messages.iter().filter(|message| message.again);
    let read_back: Vec<u64> = read_back.map(|message| message.client_sequence).collect();
    assert_eq!(read_back, (101..=110).collect::<Vec<_>>());
    let first = messages.iter().filter(|message| !message.again);
    let first: Vec<u64> = first.map(|message| message.client_sequence).collect();
    assert_eq!(first, (1..=501).collect::<Vec<_>>());
    assert_eq!(messages[510].body, Body::LoggedOut(0));
    let mut other = node.log_on(Who::Operator, "owed, later");
    assert_eq!(other.book(ground.instrument, 0, false).rows.len(), 1);
}

#[test]
fn who_stops_sending_still_gets_every_answer() {
    let node = shared();
    let ground = node.ground();
    let mut peer = node.log_on(Who::Operator, "half closed");
    let mut bytes = Vec::new();
    for _ in 0..500 {
        let order = Order::new(ground.buyer, ground.instrument, BUY, 1, 1);
        bytes.extend(peer.draft_order(order).seal());
    }
    peer.send(&bytes);
    peer.finish();
    let messages = peer.until_closed();
    let sequences: Vec<u64> = messages.iter().map(|message| message.client_sequence).collect();
    assert_eq!(sequences, (1..=500).collect::<Vec<_>>());
}

/// Asks for a deep book and never reads, until it is closed: messages sent.
fn never_read(mut deaf: Peer, instrument: u32, buyer: u64) -> u64 {
    deaf.stream.set_write_timeout(Some(Duration::from_secs(20))).expect("a timeout");
    for number in 0..1_000_000_u64 {
        let frame = if number % 16 == 0 {
            deaf.draft_order(Order::new(buyer, instrument, BUY, 1, 1)).seal()
        } else {
            book_query(number, instrument, 0, true).seal()
        };
        if let Err(error) = deaf.stream.write_all(&frame) {
            let closed = matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe);
            assert!(closed, "after {number} messages: {error}");
            return number;
        }
    }
    panic!("a million messages without an end");
}

#[test]
fn a_client_that_never_reads_is_closed_and_harms_nobody() {
    let home = Home::new();
    let node = home.start(&[
        "limits.pending_output_max_bytes=262144",
        "limits.slow_reader_timeout_ms=300",
        "genesis.dedupe_count_max=1024",
    ]);
    let ground = node.ground();
    let mut other = node.log_on(Who::Operator, "other");
    // A deep book makes big answers: the system's own buffers are soon full.
    let frames: Vec<u8> = (0..128)
        .flat_map(|step| {
            let order = Order::new(ground.buyer, ground.instrument, BUY, 1 + step, 1);
            other.draft_order(order).seal()
        })
        .collect();
    other.send(&frames);
    for _ in 0..128 {
        other.next();
    }
    let mut memory = Vec::new();
    for round in 0..3 {
        let deaf = node.log_on(Who::Operator, &format!("deaf {round}"));
        let writer = thread::spawn(move || never_read(deaf, ground.instrument, ground.buyer));
        let (mut worst, mut highest) = (Duration::ZERO, 0);
        while !writer.is_finished() {
            let start = Instant::now();
            let order = Order::new(ground.seller, ground.instrument, BUY, 1, 1);
            assert_eq!(other.order(order).status, 3);
            worst = worst.max(start.elapsed());
            highest = highest.max(node.memory_kib());
        }
        writer.join().expect("it ended");
        assert!(worst < Duration::from_secs(3), "others waited {worst:?}");
        memory.push(highest);
    }
    // Rings and queues are touched as they fill, and no further; each of the three asked for more
    // than a hundred MiB.
    assert!(memory.iter().all(|kib| *kib < 64 * 1024), "{memory:?} KiB");
    assert_eq!(other.next_within(Duration::ZERO), Next::Quiet);
    node.assert_well();
}

/// Each of them stays below its own bound; together they are too much, so the largest go, and as many
/// stay as there is room for.
#[test]
fn clients_that_do_not_read_are_bounded_together() {
    let home = Home::new();
    let node = home.start(&[
        "gateway.threads=2",
        "limits.pending_output_max_bytes=16777216",
        "limits.pending_output_total_bytes=1048576",
        "limits.slow_reader_timeout_ms=600000",
    ]);
    let ground = node.ground();
    let deaf: Vec<_> = (0..2)
        .map(|number| {
            let deaf = node.log_on(Who::Operator, &format!("deaf together {number}"));
            thread::spawn(move || never_read(deaf, ground.instrument, ground.buyer))
        })
        .collect();
    // Nothing but the common bound ends them: their own is not reached, nor is the time over.
    for writer in deaf {
        writer.join().expect("it ended");
    }
    node.assert_well();
}
