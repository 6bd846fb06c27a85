//! One effect a message, however often it is sent.

use super::frame::{
    BUY, CANCEL_ORDER, Draft, FLAG_AGAIN, IOC, Metadata, NEW_ORDER, Order, SELL, cancel, now_ms,
};
use super::node::{Home, Who, shared};
use super::peer::{answer, reason};

const ID_REUSED: u16 = 21;
const TOO_OLD_TO_CHECK: u16 = 22;
const TIMESTAMP_AHEAD: u16 = 23;

#[test]
fn a_resent_command_gets_its_first_answer() {
    let node = shared();
    let ground = node.ground();
    let mut peer = node.log_on(Who::Operator, "resent");
    let order = Order::new(ground.buyer, ground.instrument, BUY, 10, 5);
    let metadata = peer.metadata();
    let draft = Draft::command(NEW_ORDER, peer.sequence(), &metadata, order.payload());
    let first = peer.ask(&draft);
    assert!(!first.again);
    // What happens in between does not change it.
    let original = answer(first);
    peer.command(CANCEL_ORDER, cancel(ground.buyer, ground.instrument, original.order_id, 0));
    for flags in [FLAG_AGAIN, 0] {
        // Another client sequence, a count of tries, another correlation id: the same message.
        let mut metadata = metadata.clone();
        metadata.retry_count = 3;
        let sequence = peer.sequence();
        let again = Draft::command(NEW_ORDER, sequence, &metadata, order.payload()).flags(flags);
        let message = peer.ask(&again);
        assert!(message.again, "flags {flags:#x}");
        assert_eq!(answer(message), original);
    }
    assert!(peer.book(ground.instrument, 0, true).rows.is_empty());
    // On another connection of the key, in another session, too.
    let mut other = node.log_on(Who::Operator, "resent elsewhere");
    let message = other.ask(&draft.flags(FLAG_AGAIN));
    assert!(message.again);
    let elsewhere = answer(message);
    assert_eq!((elsewhere.sequence, elsewhere.order_id), (original.sequence, original.order_id));
}

#[test]
fn an_answer_with_many_fills_is_given_again() {
    let node = shared();
    let ground = node.ground();
    let mut maker = node.log_on(Who::Operator, "given again, maker");
    for _ in 0..20 {
        maker.order(Order::new(ground.seller, ground.instrument, SELL, 10, 1));
    }
    let mut taker = node.log_on(Who::Operator, "given again, taker");
    let order = Order::new(ground.buyer, ground.instrument, BUY, 10, 20);
    let draft = taker.draft_order(Order { time_in_force: IOC, ..order });
    let first = answer(taker.ask(&draft));
    assert_eq!((first.fill_count, first.fills.len()), (20, 16));
    let fills: Vec<_> = (0..4).map(|_| taker.fill()).collect();
    assert!(fills[3].last);
    let message = taker.ask(&draft.flags(FLAG_AGAIN));
    assert!(message.again);
    let second = answer(message);
    assert_eq!((second.sequence, second.outbound), (first.sequence, first.outbound));
    assert_eq!((second.status, second.filled), (first.status, first.filled));
    assert_eq!((second.fill_count, second.fills), (first.fill_count, first.fills));
}

#[test]
fn a_refusal_of_the_exchange_is_an_answer_and_uses_the_id() {
    let node = shared();
    let ground = node.ground();
    let mut peer = node.log_on(Who::Operator, "refusal");
    let draft = peer.draft_order(Order::new(ground.buyer, ground.instrument, BUY, 0, 5));
    let first = peer.ask(&draft);
    let second = peer.ask(&draft);
    assert!(!first.again && second.again);
    assert_eq!(answer(first), answer(second));
}

#[test]
fn an_id_is_not_used_for_something_else() {
    let node = shared();
    let ground = node.ground();
    let mut peer = node.log_on(Who::Operator, "reused");
    let order = Order::new(ground.buyer, ground.instrument, BUY, 10, 5);
    let metadata = peer.metadata();
    let draft = Draft::command(NEW_ORDER, peer.sequence(), &metadata, order.payload());
    let first = answer(peer.ask(&draft));
    let other = Order { price: 11, ..order }.payload();
    let changed = Draft::command(NEW_ORDER, peer.sequence(), &metadata, other);
    assert_eq!(reason(&peer.ask(&changed)), ID_REUSED);
    let payload = cancel(ground.buyer, ground.instrument, first.order_id, 0);
    let changed = Draft::command(CANCEL_ORDER, peer.sequence(), &metadata, payload);
    assert_eq!(reason(&peer.ask(&changed)), ID_REUSED);
    // Another source, or another key, is another name.
    let mut named = metadata.clone();
    named.source = "elsewhere".into();
    let draft = Draft::command(NEW_ORDER, peer.sequence(), &named, order.payload());
    let message = peer.ask(&draft);
    assert!(!message.again);
    assert_ne!(answer(message).sequence, first.sequence);
    let mut trader = node.log_on(Who::TraderOfTwo, "reused");
    let order = Order { account: 2, ..order };
    let draft = Draft::command(NEW_ORDER, 1, &metadata, order.payload());
    let message = trader.ask(&draft);
    assert!(!message.again);
    assert_ne!(answer(message).sequence, first.sequence);
}

#[test]
fn a_timestamp_is_not_ahead_of_the_server() {
    let node = shared();
    let ground = node.ground();
    let mut peer = node.log_on(Who::Operator, "ahead");
    let order = Order::new(ground.buyer, ground.instrument, BUY, 10, 5);
    for (ahead, refused) in [(120_000, true), (i64::MAX - now_ms(), true), (30_000, false)] {
        let mut metadata = peer.metadata();
        metadata.timestamp = metadata.timestamp.saturating_add(ahead - 1);
        let draft = Draft::command(NEW_ORDER, peer.sequence(), &metadata, order.payload());
        let message = peer.ask(&draft);
        if refused {
            assert_eq!(reason(&message), TIMESTAMP_AHEAD, "{ahead} ms");
            // A reject uses up no id.
            metadata.timestamp = now_ms();
            let draft = Draft::command(NEW_ORDER, peer.sequence(), &metadata, order.payload());
            assert!(!peer.ask(&draft).again);
        } else {
            assert_eq!(answer(message).status, 3, "{ahead} ms");
        }
    }
}

#[test]
fn what_was_forgotten_is_never_done_again() {
    let home = Home::new();
    let node = home.start(&["genesis.dedupe_count_max=1024"]);
    let mut peer = node.log_on(Who::Operator, "horizon");
    let order = Order::new(2, 1, BUY, 10, 1);
    let mut sent: Vec<Draft> = Vec::new();
    let start = now_ms();
    for number in 0..3000_i64 {
        let mut metadata: Metadata = peer.metadata();
        metadata.timestamp = start - 10_000 + number;
        let order = Order { price: 1 + number, ..order };
        sent.push(Draft::command(NEW_ORDER, peer.sequence(), &metadata, order.payload()));
    }
    let frames: Vec<u8> = sent.iter().flat_map(Draft::seal).collect();
    peer.send(&frames);
    for draft in &sent {
        let message = peer.next();
        assert_eq!(message.client_sequence.to_be_bytes(), draft.extension[..]);
        assert_eq!(answer(message).status, 3);
    }
    let mut outcomes = Vec::new();
    for draft in &sent {
        let message = peer.ask(&draft.clone().flags(FLAG_AGAIN));
        outcomes.push(message.again);
        if !message.again {
            assert_eq!(reason(&message), TOO_OLD_TO_CHECK);
        }
    }
    let forgotten = outcomes.iter().filter(|again| !**again).count();
    assert!((1..=3000 - 512).contains(&forgotten), "{forgotten} forgotten");
    assert!(outcomes.is_sorted(), "the oldest are forgotten first");
    let account = peer.account(2, 0);
    let frozen: i64 = (1..=3000).sum();
    assert!(account.balances.iter().any(|row| row.2 == frozen), "{:?}", account.balances);
}
