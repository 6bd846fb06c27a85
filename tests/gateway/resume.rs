//! A client that was away says what it last received, and gets the rest in order before what is new.

use super::frame::{Body, Message, Order};
use super::node::{DEADLINE, Home, Node, Who};
use super::peer::{Next, Peer, logon_after, reason};
use crate::support::SMALLEST;
use std::io::Write as _;
use std::thread;

const BUY: u8 = 1;
const SELL: u8 = 2;
const LOGON_REFUSED: u16 = 19;

/// Settings of nodes on which everything here must hold.
fn shapes() -> Vec<Vec<&'static str>> {
    vec![
        vec!["threads.layout=compact"],
        vec!["threads.layout=dedicated", "gateway.threads=2"],
        vec!["threads.layout=compact", "gateway.threads=4", "ack.policy=memory"],
        [&["threads.layout=dedicated", "gateway.threads=2", "ack.policy=memory"], SMALLEST]
            .concat(),
    ]
}

fn number(message: &Message) -> u64 {
    match &message.body {
        Body::Answer(answer) => answer.outbound,
        Body::Fill(fill) => fill.outbound,
        Body::Update(update) => update.outbound,
        other => panic!("{other:?} has no number"),
    }
}

/// The numbered messages of a session up to `last`, with answers as they come again.
fn rest(peer: &mut Peer, after: u64, last: u64) -> Vec<Message> {
    let mut messages = Vec::new();
    for expected in after + 1..=last {
        let message = peer.next();
        assert_eq!(number(&message), expected, "{message:?}");
        messages.push(message);
    }
    messages
}

fn resume(node: &Node, name: &str, after: u64, last: u64) -> Vec<Message> {
    let mut peer = node.connect();
    let accepted = peer.log_on_after(&Who::Operator.key(), name, after);
    assert_eq!(accepted.outbound, last, "{name} after {after}");
    let messages = rest(&mut peer, after, last);
    let answers = messages.iter().filter(|message| matches!(message.body, Body::Answer(_)));
    assert!(answers.into_iter().all(|message| message.again), "an answer says that it comes again");
    peer.ping(7);
    messages
}

#[test]
fn a_session_gets_every_number_again_after_any_it_names() {
    for shape in &shapes() {
        let home = Home::new();
        let node = home.start(shape);
        let (mut maker, mut taker) =
            (node.log_on(Who::Operator, "maker"), node.log_on(Who::Operator, "taker"));
        let mut made: Vec<Message> = Vec::new();
        for _ in 0..20 {
            let draft = maker.draft_order(Order::new(3, 1, SELL, 10, 1));
            made.push(maker.ask(&draft));
        }
        // More fills than an answer carries: four follow, with numbers of their own.
        let answer = taker.order(Order::new(2, 1, BUY, 10, 20));
        assert_eq!((answer.outbound, answer.fill_count), (1, 20));
        rest(&mut taker, 1, 5);
        made.extend(rest(&mut maker, 20, 40));
        made.iter_mut().for_each(|message| {
            message.again = matches!(message.body, Body::Answer(_));
        });
        let ask_all = |node: &Node| {
            for after in [1, 19, 20, 33, 39, 40] {
                assert_eq!(resume(node, "maker", after, 40), made[after as usize..], "{shape:?}");
            }
            for after in 1..=5 {
                resume(node, "taker", after, 5);
            }
            let mut ahead = node.connect();
            let key = Who::Operator.key();
            ahead.send(&logon_after(&ahead.nonce, &key, b"taker", 6).seal());
            let reasons: Vec<u16> = ahead.until_closed().iter().map(reason).collect();
            assert_eq!(reasons, [LOGON_REFUSED], "number 6 was never given");
        };
        ask_all(&node);
        node.kill();
        let node = home.start(shape);
        ask_all(&node);
        node.stop();
    }
}

#[test]
fn what_happens_while_a_session_resumes_comes_behind_it() {
    for shape in &shapes() {
        let home = Home::new();
        let node = home.start(shape);
        let mut maker = node.log_on(Who::Operator, "far behind");
        maker.order(Order::new(3, 1, SELL, 10, 1200));
        drop(maker);
        let taker = node.log_on(Who::Operator, "taker");
        let mut reading = taker.stream.try_clone().expect("a second handle");
        let reader = thread::spawn(move || std::io::copy(&mut reading, &mut std::io::sink()));
        let mut taker = taker;
        let mut buy = |count: usize| {
            let one = |_| taker.draft_order(Order::new(2, 1, BUY, 10, 1)).seal();
            let frames: Vec<u8> = (0..count).flat_map(one).collect();
            taker.stream.write_all(&frames).expect("the connection is open");
        };
        buy(600);
        let mut looker = node.log_on(Who::Operator, "looker");
        super::node::eventually("half of it is traded", || {
            looker.book(1, 1, true).rows.first().is_some_and(|row| row.quantity <= 900)
        });
        let mut maker = node.connect();
        let accepted = maker.log_on_after(&Who::Operator.key(), "far behind", 1);
        assert!(accepted.outbound > 300);
        buy(600);
        rest(&mut maker, 1, 1201);
        maker.ping(1);
        assert_eq!(maker.next_within(DEADLINE / 300), Next::Quiet, "nothing comes twice");
        taker.stream.shutdown(std::net::Shutdown::Both).expect("it is open");
        reader.join().expect("it ends").ok();
        node.stop();
    }
}

/// Messages that a session far behind has missed: `RESUME_MESSAGES`, or few enough for every day.
fn missed() -> usize {
    let few = 100_000;
    std::env::var("RESUME_MESSAGES").map_or(few, |text| text.parse().expect("a number"))
}

/// Orders of a session that are met all at once: as many answers and as many fills.
const ROUND: usize = 500;

/// Enters orders and meets them until the maker was sent `count` messages or more: these.
fn many(maker: &mut Peer, taker: &mut Peer, count: usize) -> Vec<Message> {
    let mut made = Vec::new();
    let mut taken = 0;
    while made.len() < count {
        let one = |_| maker.draft_order(Order::new(3, 1, SELL, 10, 1)).seal();
        let frames: Vec<u8> = (0..ROUND).flat_map(one).collect();
        maker.send(&frames);
        made.extend((0..ROUND).map(|_| Message { again: true, ..maker.next() }));
        let quantity = i64::try_from(ROUND).expect("small");
        let answer = taker.order(Order::new(2, 1, BUY, 10, quantity));
        assert_eq!(answer.fill_count as usize, ROUND);
        // An answer carries sixteen.
        let last = answer.outbound + ROUND as u64 - 16;
        taken += 1 + rest(taker, answer.outbound, last).len();
        made.extend((0..ROUND).map(|_| maker.next()));
    }
    assert_eq!(taken, made.len() / (2 * ROUND) * (ROUND - 15));
    made
}

#[test]
fn a_session_far_behind_gets_all_it_missed_before_what_is_new() {
    const LIVE: usize = 200;
    let quick = "ack.policy=memory";
    let home = Home::new();
    let node = home.start(&[quick, "threads.layout=compact"]);
    let (mut maker, mut taker) =
        (node.log_on(Who::Operator, "far behind"), node.log_on(Who::Operator, "taker"));
    let mut made = many(&mut maker, &mut taker, missed());
    // What stays in the book is met while the session resumes.
    let stock = maker.draft_order(Order::new(3, 1, SELL, 10, 3 * LIVE as i64));
    made.push(Message { again: true, ..maker.ask(&stock) });
    drop((maker, taker));
    let resume = |node: &Node, made: &mut Vec<Message>| {
        let missed = made.len() as u64;
        let mut taker = node.log_on(Who::Operator, &format!("taker of {missed}"));
        let mut maker = node.connect();
        let accepted = maker.log_on_after(&Who::Operator.key(), "far behind", 1);
        assert_eq!(accepted.outbound, missed);
        // Nothing is read meanwhile: what is met now happens while most is still to be sent.
        for _ in 0..LIVE {
            assert_eq!(taker.order(Order::new(2, 1, BUY, 10, 1)).fill_count, 1);
        }
        for (number, sent) in (2..).zip(&made[1..]) {
            assert_eq!(maker.next(), *sent, "number {number}");
        }
        made.extend(rest(&mut maker, missed, missed + LIVE as u64));
        assert_eq!(taker.order(Order::new(2, 1, BUY, 10, 1)).fill_count, 1);
        made.extend(rest(&mut maker, missed + LIVE as u64, missed + LIVE as u64 + 1));
        maker.ping(1);
        assert_eq!(maker.next_within(DEADLINE / 300), Next::Quiet, "nothing comes twice");
    };
    resume(&node, &mut made);
    node.kill();
    // Where numbers stand is read from the log again, and the gateway is another.
    let node = home.start(&[quick, "threads.layout=dedicated", "gateway.threads=2"]);
    resume(&node, &mut made);
    node.stop();
}
