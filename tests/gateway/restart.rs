//! A node that dies or stops, and the next one on its data.

use super::frame::{BUY, Body, Draft, FLAG_AGAIN, Order, SELL};
use super::node::{DEADLINE, Home, Who, eventually};
use super::peer::{Next, answer, ping};
use std::collections::HashSet;
use std::io::Write;
use std::thread;
use std::time::{Duration, Instant};

#[test]
fn what_was_answered_survives_a_kill_and_a_resend_has_one_effect() {
    const ORDERS: usize = 400;
    let home = Home::new();
    let mut sent: Vec<Draft> = Vec::new();
    let mut answered: HashSet<u64> = HashSet::new();
    for (round, wanted) in [0, 1, 150].into_iter().enumerate() {
        let node = home.start(&[]);
        let mut peer = node.log_on(Who::Operator, &format!("round {round}"));
        let first = sent.len();
        for number in 0..ORDERS {
            let price = 1 + i64::try_from(first + number).expect("small");
            sent.push(peer.draft_order(Order::new(2, 1, BUY, price, 1)));
        }
        peer.send(&sent[first..].iter().flat_map(Draft::seal).collect::<Vec<u8>>());
        for _ in 0..wanted {
            answered.insert(answer(peer.next()).order_id);
        }
        node.kill();
        // What had left the node is in the buffers of this machine.
        while let Next::Message(message) = peer.next_within(DEADLINE) {
            answered.insert(answer(message).order_id);
        }
    }

    let node = home.start(&[]);
    let mut peer = node.log_on(Who::Operator, "after");
    let mut orders = Vec::new();
    loop {
        let after = orders.last().map_or(0, |order: &super::frame::AccountOrder| order.order_id);
        let page = peer.account(2, after);
        orders.extend(page.orders);
        if !page.more {
            break;
        }
    }
    let live: HashSet<u64> = orders.iter().map(|order| order.order_id).collect();
    assert!(answered.is_subset(&live), "an answered order is gone");
    let before = orders.len();

    let mut again = 0;
    for draft in &sent {
        let message = peer.ask(&draft.clone().flags(FLAG_AGAIN));
        again += usize::from(message.again);
        let answer = answer(message);
        assert_eq!((answer.status, answer.leaves), (3, 1));
    }
    assert_eq!(again, before, "what was there is not done twice");
    let frozen: i64 = (1..=i64::try_from(sent.len()).expect("small")).sum();
    let account = peer.account(2, 0);
    assert!(account.balances.iter().any(|row| row.2 == frozen), "{:?}", account.balances);
}

#[test]
fn a_stop_finishes_and_the_next_start_has_the_same_state() {
    let home = Home::new();
    let node = home.start(&[]);
    assert_eq!(node.ready["role"], "primary");
    let mut maker = node.log_on(Who::Operator, "maker");
    let mut taker = node.log_on(Who::Operator, "taker");
    for price in 1..=50 {
        maker.order(Order::new(2, 1, SELL, price, 2));
    }
    let swept = taker.order(Order::new(3, 1, BUY, 30, 45));
    assert_eq!(swept.filled, 45);
    let session = maker.fill().outbound;
    assert_eq!(session, 51);
    let book = taker_book(&node);
    let first = node.stop();
    assert_eq!(first["stopped"], true);
    assert_eq!(first["unreleased"], 0);

    let node = home.start(&[]);
    assert_eq!(node.ready["sequence"], first["sequence"]);
    assert_eq!(taker_book(&node).rows, book.rows);
    // Numbers go on where they were.
    let accepted = node.connect().log_on(&Who::Operator.key(), "maker");
    assert_eq!(accepted.outbound, 50 + 23);
    let home_again = node.stop();
    drop(home_again);

    let node = home.start(&[]);
    let second = node.stop();
    let node = home.start(&[]);
    let third = node.stop();
    assert_eq!(second["state_hash"], third["state_hash"]);
    assert_eq!(second["sequence"], third["sequence"]);
    let hash = second["state_hash"].as_str().expect("text");
    assert!(hash.len() == 64 && hash.bytes().all(|digit| digit.is_ascii_hexdigit()));
}

fn taker_book(node: &super::node::Node) -> super::frame::Book {
    node.log_on(Who::Operator, "looker").book(1, 0, true)
}

#[test]
fn a_stop_answers_what_was_sent_and_says_goodbye() {
    let home = Home::new();
    let node = home.start(&[]);
    let mut peer = node.log_on(Who::Operator, "stopping");
    let mut idle = node.log_on(Who::Reader, "idle");
    let frames: Vec<u8> =
        (0..500).flat_map(|_| peer.draft_order(Order::new(2, 1, BUY, 1, 1)).seal()).collect();
    peer.send(&frames);
    let first = peer.next();
    assert_eq!(first.client_sequence, 1);
    node.terminate();
    // An answer or a reject for each that was read, in order; then the end.
    let mut expected = 2;
    let mut accepted = 1;
    for message in peer.until_closed() {
        match message.body {
            Body::Answer(_) => accepted += 1,
            Body::Reject { reason, .. } => assert_eq!(reason, 25, "ShuttingDown"),
            Body::Notice { .. } | Body::LoggedOut(_) => continue,
            other => panic!("{other:?}"),
        }
        assert_eq!(message.client_sequence, expected);
        expected += 1;
    }
    let farewell = idle.until_closed();
    assert!(
        farewell.iter().any(|message| matches!(message.body, Body::Notice { kind: 3, .. })),
        "{farewell:?}"
    );
    assert_eq!(node.stopped()["unreleased"], 0);
    let node = home.start(&[]);
    let mut peer = node.log_on(Who::Operator, "started");
    let levels = peer.book(1, 0, false);
    let resting = levels.rows.first().map_or(0, |row| row.last);
    assert!(resting >= accepted, "{accepted} answered, {resting} there");
}

#[test]
fn a_stop_delivers_every_answer_to_a_client_that_goes_on_sending() {
    let home = Home::new();
    let node = home.start(&["ack.policy=memory"]);
    let mut peer = node.log_on(Who::Operator, "flood");
    let frames: Vec<u8> =
        (0..10_000).flat_map(|_| peer.draft_order(Order::new(2, 1, BUY, 1, 1)).seal()).collect();
    let mut sender = peer.stream.try_clone().expect("a socket");
    // What is sent behind the end is lost, and may find the connection closed.
    let sending = std::thread::spawn(move || sender.write_all(&frames).ok());
    let first = peer.next();
    // It reads when the node is gone: what it is owed then waits in the system's buffers, from which
    // a reset of the connection would take it.
    let stopped = node.stop();
    let mut sequences = vec![answer(first).sequence];
    let mut farewells = 0;
    for message in peer.until_closed() {
        match message.body {
            Body::Answer(answer) => sequences.push(answer.sequence),
            Body::Notice { kind: 3, .. } => farewells += 1,
            Body::Reject { reason: 25, .. } => {}
            other => panic!("{other:?}"),
        }
    }
    sending.join().expect("the sender ends");
    assert_eq!(farewells, 1);
    assert!(sequences.windows(2).all(|pair| pair[1] == pair[0] + 1), "in order, without a gap");
    assert_eq!(*sequences.last().expect("answers"), stopped["sequence"], "all that was journaled");
}

#[test]
fn clients_that_never_pause_do_not_put_a_stop_off() {
    let home = Home::new();
    let node = home.start(&["ack.policy=memory"]);
    let writers: Vec<_> = (0..4)
        .map(|number| {
            let mut peer = node.log_on(Who::Operator, &format!("never pauses {number}"));
            let mut reading = peer.stream.try_clone().expect("a second handle");
            thread::spawn(move || std::io::copy(&mut reading, &mut std::io::sink()));
            thread::spawn(move || {
                let mut number = 0;
                loop {
                    number += 1;
                    let frames = ping(number, number).seal().repeat(100);
                    let order = peer.draft_order(Order::new(2, 1, BUY, 1, 1)).seal();
                    if peer.stream.write_all(&[frames, order].concat()).is_err() {
                        return number;
                    }
                }
            })
        })
        .collect();
    let mut looker = node.log_on(Who::Reader, "looker");
    eventually("all are at work", || looker.book(1, 0, true).rows.len() > 40);
    let start = Instant::now();
    node.terminate();
    assert_eq!(node.stopped()["unreleased"], 0);
    assert!(start.elapsed() < Duration::from_secs(8), "stopped after {:?}", start.elapsed());
    for writer in writers {
        writer.join().expect("it ended");
    }
}

#[test]
fn a_data_directory_has_one_node() {
    let home = Home::new();
    let node = home.start(&[]);
    let (status, text) = home.refused(&[]);
    assert_eq!(status, Some(13), "{text}");
    assert!(text.contains("in use"), "{text}");
    node.assert_well();
    // A killed one leaves nothing in the way.
    node.kill();
    home.start(&[]).assert_well();
}

#[test]
fn an_idle_node_rests() {
    let home = Home::new();
    let node = home.start(&[]);
    let mut peer = node.log_on(Who::Operator, "quiet");
    peer.order(Order::new(2, 1, BUY, 1, 1));
    assert_eq!(peer.next_within(Duration::from_secs(1)), Next::Quiet);
    let (ticks, sleeps) = (node.cpu_ticks(), node.sleeps());
    assert_eq!(peer.next_within(Duration::from_secs(2)), Next::Quiet);
    let (ticks, sleeps) = (node.cpu_ticks() - ticks, node.sleeps() - sleeps);
    assert!(ticks < 10, "{ticks} hundredths of a second in two seconds");
    // A thread that looked every millisecond would hardly show in its processor time.
    assert!(sleeps < 300, "its threads fell asleep {sleeps} times in two seconds");
}
