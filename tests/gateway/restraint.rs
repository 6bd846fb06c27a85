//! What a node does to clients that ask for too much: an overload that slows and refuses, and a rate.

use super::frame::{BUY, Body, CANCEL_ORDER, Draft, IOC, Message, NEW_ORDER, Order, cancel};
use super::node::{DEADLINE, Home, Node, Who, venue};
use super::peer::{Peer, answer};
use std::time::{Duration, Instant};

const HIGH: u8 = 1;
const NORMAL: u8 = 2;
const LOW: u8 = 3;
const BATCH: u8 = 4;
const TOO_MANY_REQUESTS: u16 = 429;
/// Kinds of notices.
const OVERLOADED: u8 = 4;
const NOT_OVERLOADED: u8 = 5;
/// Statuses of answers.
const RESTING: u8 = 3;
const CANCELLED: u8 = 4;

/// The time for which orders are held: long against what a burst takes, so that the state cannot end
/// before the messages that it is to hold have come.
const SLOW: Duration = Duration::from_millis(1500);

/// Settings under which two waiting messages of priority high are too many.
const SHAPES: &[&[&str]] = &[
    &["threads.layout=compact"],
    &["threads.layout=dedicated"],
    &["threads.layout=dedicated", "gateway.threads=2"],
];

/// A venue whose keys may all use the priority high.
fn urgent_home() -> Home {
    let home = Home::bare();
    let all = "critical_per_s = 1000000";
    let text = venue().replace(all, &format!("{all}\npriority = \"high\""));
    std::fs::write(home.path().join("config.toml"), text).expect("written");
    home
}

fn pressed(home: &Home, shape: &[&str]) -> Node {
    let slow = format!("overload.slow_ms={}", SLOW.as_millis());
    let usual = [
        "overload.high=1",
        "overload.retry_after_s=7",
        "sequencer.ring_slots=2",
        "sequencer.batch_count_max=1",
        "ack.policy=memory",
        slow.as_str(),
    ];
    home.start(&[&usual[..], shape].concat())
}

/// A command of this priority.
fn draft(peer: &mut Peer, priority: u8, schema: u32, payload: Vec<u8>) -> Draft {
    let mut metadata = peer.metadata();
    metadata.priority = priority;
    Draft::command(schema, peer.sequence(), &metadata, payload)
}

fn number_of(draft: &Draft) -> u64 {
    u64::from_be_bytes(draft.extension[..8].try_into().expect("eight bytes"))
}

/// A peer that remembers which notices came between its other messages.
struct Noticed {
    peer: Peer,
    notices: Vec<u8>,
}

impl Noticed {
    fn new(peer: Peer) -> Noticed {
        Noticed { peer, notices: Vec::new() }
    }

    /// The next message that is no notice.
    fn next(&mut self) -> Message {
        loop {
            let message = self.peer.next();
            let Body::Notice { kind, .. } = message.body else { return message };
            assert_eq!((message.client_sequence, message.again), (0, false));
            self.notices.push(kind);
        }
    }

    /// Waits until the notice of this kind has come; nothing else may come meanwhile.
    fn wait_for(&mut self, awaited: u8) {
        while !self.notices.contains(&awaited) {
            let message = self.peer.next();
            let Body::Notice { kind, .. } = message.body else { panic!("{message:?}") };
            self.notices.push(kind);
        }
    }

    /// Sends an order of a priority and takes what comes for it.
    fn order(&mut self, priority: u8, order: Order) -> Message {
        let draft = draft(&mut self.peer, priority, NEW_ORDER, order.payload());
        self.peer.send(&draft.seal());
        let message = self.next();
        assert_eq!(message.client_sequence, number_of(&draft), "{message:?}");
        message
    }
}

/// Sends bursts of priority high until the node refuses bulk; gives that refusal.
fn press(flood: &mut Noticed, order: Order) -> Message {
    let started = Instant::now();
    loop {
        let frames: Vec<Vec<u8>> = (0..32)
            .map(|_| draft(&mut flood.peer, HIGH, NEW_ORDER, order.payload()).seal())
            .collect();
        flood.peer.send(&frames.concat());
        for _ in &frames {
            assert_eq!(answer(flood.next()).reason, 0, "high is taken before and in the overload");
        }
        let message = flood.order(LOW, order);
        if matches!(message.body, Body::Reject { .. }) {
            return message;
        }
        assert!(started.elapsed() < DEADLINE, "never overloaded");
    }
}

fn assert_refused_for_load(message: &Message) {
    let Body::Reject { reason, retry_after_ms, text } = &message.body else {
        panic!("{message:?}");
    };
    assert_eq!((*reason, *retry_after_ms), (TOO_MANY_REQUESTS, 7_000));
    assert!(text.ends_with("System overloaded"), "{text}");
}

#[test]
fn an_overload_holds_new_orders_lets_cancels_pass_and_refuses_bulk() {
    const HELD: usize = 10;
    const RESTED: usize = 5;
    for shape in SHAPES {
        let home = urgent_home();
        let node = pressed(&home, shape);
        let mut flood = Noticed::new(node.log_on(Who::TraderOfTwo, "flood"));
        let mut trader = Noticed::new(node.log_on(Who::TraderOfThree, "trader"));
        let resting: Vec<u64> = (0..RESTED)
            .map(|_| answer(trader.order(NORMAL, Order::new(3, 2, BUY, 5, 1))).order_id)
            .collect();

        let away = Order { time_in_force: IOC, ..Order::new(2, 1, BUY, 1, 1) };
        assert_refused_for_load(&press(&mut flood, away));
        assert_refused_for_load(&flood.order(BATCH, away));
        assert_eq!(flood.notices, [OVERLOADED], "it was told once, {shape:?}");

        let peer = &mut trader.peer;
        let orders: Vec<Draft> = (0..HELD)
            .map(|at| {
                let client_order_id = 1000 + i64::try_from(at).expect("small");
                let order = Order { client_order_id, ..Order::new(3, 3, BUY, 5, 1) };
                draft(peer, NORMAL, NEW_ORDER, order.payload())
            })
            .collect();
        // Names an order that is held: it waits behind it.
        let behind = draft(peer, NORMAL, CANCEL_ORDER, cancel(3, 3, 0, 1000));
        let passing: Vec<Draft> = resting
            .iter()
            .map(|order| draft(peer, NORMAL, CANCEL_ORDER, cancel(3, 2, *order, 0)))
            .collect();
        let all = orders.iter().chain([&behind]).chain(&passing);
        let bytes: Vec<u8> = all.flat_map(Draft::seal).collect();
        let sent = Instant::now();
        peer.send(&bytes);
        for draft in &passing {
            let message = trader.next();
            assert_eq!(message.client_sequence, number_of(draft), "cancels come first, {shape:?}");
            assert_eq!(answer(message).status, CANCELLED);
        }
        assert_eq!(trader.notices, [OVERLOADED], "{shape:?}");
        for draft in &orders {
            let message = trader.next();
            assert_eq!(message.client_sequence, number_of(draft), "held orders keep their order");
            assert_eq!(answer(message).status, RESTING);
        }
        assert!(sent.elapsed() >= SLOW / 2, "held for {:?}, {shape:?}", sent.elapsed());
        let message = trader.next();
        assert_eq!(message.client_sequence, number_of(&behind));
        assert_eq!(answer(message).status, CANCELLED);

        trader.wait_for(NOT_OVERLOADED);
        flood.wait_for(NOT_OVERLOADED);
        assert_eq!(trader.notices, [OVERLOADED, NOT_OVERLOADED], "{shape:?}");
        // A second answer of anything would come before this one.
        let account = trader.peer.account(3, 0);
        assert_eq!(account.orders.len(), HELD - 1);
        // It is over for everybody: nothing overtakes and nothing is refused.
        for priority in [LOW, BATCH] {
            assert_eq!(answer(flood.order(priority, away)).reason, 0, "{shape:?}");
        }
        let order =
            draft(&mut trader.peer, NORMAL, NEW_ORDER, Order::new(3, 2, BUY, 5, 1).payload());
        let first = account.orders[0].order_id;
        let payload = cancel(3, 3, first, 0);
        let cancel = draft(&mut trader.peer, NORMAL, CANCEL_ORDER, payload);
        trader.peer.send(&[order.seal(), cancel.seal()].concat());
        for draft in [&order, &cancel] {
            assert_eq!(trader.peer.next().client_sequence, number_of(draft), "{shape:?}");
        }
        node.stop();
    }
}

/// The time to wait that a reject of a rate tells.
fn told_to_wait(message: &Message) -> Duration {
    let Body::Reject { reason, retry_after_ms, text } = &message.body else {
        panic!("{message:?}");
    };
    assert_eq!(*reason, TOO_MANY_REQUESTS);
    let seconds = retry_after_ms.div_ceil(1000);
    assert_eq!(*text, format!("rate limit error. expiry: {seconds}"));
    assert!(*retry_after_ms > 0);
    Duration::from_millis(u64::from(*retry_after_ms))
}

#[test]
fn the_order_beyond_a_sessions_rate_is_refused_and_its_cancels_are_not() {
    const RATE: u64 = 500;
    let home = Home::new();
    // One more every 7.2 seconds: none while the test runs.
    let node = home.start(&["limits.rate_max=500", "limits.rate_window_s=3600"]);
    let mut trader = node.log_on(Who::TraderOfTwo, "quick");
    let order = Order::new(2, 1, BUY, 5, 1);
    let drafts: Vec<Draft> = (0..=RATE).map(|_| trader.draft_order(order)).collect();
    trader.send(&drafts.iter().flat_map(Draft::seal).collect::<Vec<u8>>());
    let mut orders = Vec::new();
    for draft in &drafts[..500] {
        let message = trader.next();
        assert_eq!(message.client_sequence, number_of(draft));
        orders.push(answer(message).order_id);
    }
    let message = trader.next();
    assert_eq!(message.client_sequence, number_of(&drafts[500]));
    let wait = told_to_wait(&message);
    assert!(wait <= Duration::from_millis(7_200), "{wait:?}");
    // Cancels have as many of their own.
    for order in &orders {
        assert_eq!(trader.command(CANCEL_ORDER, cancel(2, 1, *order, 0)).status, CANCELLED);
    }
    let none = trader.draft(CANCEL_ORDER, cancel(2, 1, orders[0], 0));
    told_to_wait(&trader.ask(&none));
    // A session of its own has a rate of its own, and a ping costs nothing.
    trader.ping(1);
    let mut other = node.log_on(Who::TraderOfThree, "other");
    assert_eq!(other.order(Order::new(3, 1, BUY, 5, 1)).status, RESTING);
}

#[test]
fn the_refused_order_is_taken_after_the_time_that_it_was_told() {
    let home = Home::new();
    let node = home.start(&["limits.rate_max=2", "limits.rate_window_s=1"]);
    let mut trader = node.log_on(Who::TraderOfTwo, "patient");
    let order = Order::new(2, 1, BUY, 5, 1);
    let started = Instant::now();
    let refused = loop {
        let draft = trader.draft_order(order);
        let message = trader.ask(&draft);
        if matches!(message.body, Body::Reject { .. }) {
            break (draft, told_to_wait(&message));
        }
        assert!(started.elapsed() < DEADLINE, "never refused");
    };
    let (draft, wait) = refused;
    assert!(wait <= Duration::from_millis(500), "{wait:?}");
    // The same bytes: a refusal used nothing up, not even the rate.
    let refused = Instant::now();
    loop {
        let message = trader.ask(&draft);
        if matches!(message.body, Body::Answer(_)) {
            assert!(!message.again);
            assert_eq!(answer(message).status, RESTING);
            return;
        }
        told_to_wait(&message);
        assert!(refused.elapsed() < DEADLINE, "never taken");
    }
}
