//! A client that was away says what it last received, and gets the rest in order before what is new.

use super::frame::{Body, Message, Order};
use super::node::{DEADLINE, Home, Node, Who};
use super::peer::{Next, Peer, logon_after, reason};
use std::io::Write as _;
use std::thread;

const BUY: u8 = 1;
const SELL: u8 = 2;
const LOGON_REFUSED: u16 = 19;

/// Settings of nodes on which everything here must hold.
const SHAPES: &[&[&str]] = &[
    &["threads.layout=compact"],
    &["threads.layout=dedicated", "gateway.threads=2"],
    &["threads.layout=compact", "gateway.threads=4", "ack.policy=memory"],
    &[
        "threads.layout=dedicated",
        "gateway.threads=2",
        "sequencer.input_ring_slots=2",
        "sequencer.ring_slots=2",
        "sequencer.answer_ring_slots=2",
        "sequencer.event_ring_slots=2",
    ],
];

fn number(message: &Message) -> u64 {
    match &message.body {
        Body::Answer(answer) => answer.outbound,
        Body::Fill(fill) => fill.outbound,
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
    for shape in SHAPES {
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
    for shape in SHAPES {
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
