//! Orders that end together: by a mass cancel, or with the connection of their session.

use super::frame::{BUY, Fields, Order};
use super::node::{Home, Node, Who, eventually};
use super::peer::{LOGON_SEQUENCE, Next, Peer, answer, logon_payload};
use crate::support::good;
use std::time::{Duration, Instant};

const ENTER_ORDER: u32 = 7;
const LIMIT: u8 = 2;
const GOOD_TILL_DATE: u8 = 6;
const MASS_CANCEL: u32 = 8;
const CANCEL_ON_DISCONNECT: u32 = 9;
const DONE: u8 = 8;

fn orders(node: &Node, peer: &mut Peer, account: u64, count: i64) {
    let instrument = node.ground().instrument;
    let frames: Vec<u8> = (0..count)
        .flat_map(|number| {
            peer.draft_order(Order::new(account, instrument, BUY, 1 + number % 100, 1)).seal()
        })
        .collect();
    // They are answered while they are sent: neither side's buffers hold that many.
    let mut sender = peer.stream.try_clone().expect("a socket");
    let sending = std::thread::spawn(move || std::io::Write::write_all(&mut sender, &frames));
    for _ in 0..count {
        assert_eq!(answer(peer.next()).leaves, 1);
    }
    sending.join().expect("it ends").expect("the connection is open");
}

/// What becomes of a session's orders when it is away.
fn when_away(peer: &mut Peer, grace_ms: u32) {
    let answer = peer.command(CANCEL_ON_DISCONNECT, Fields::default().u8(1).u32(grace_ms).0);
    assert_eq!(answer.status, DONE);
}

fn is_empty(peer: &mut Peer, account: u64) -> bool {
    let account = peer.account(account, 0);
    assert!(account.orders.is_empty() || account.balances.iter().any(|row| row.2 > 0));
    account.orders.is_empty()
}

/// A node on which a mass cancel of many orders of account 20 has begun.
fn with_mass_cancel(home: &Home, settings: &[&str], count: i64) -> Node {
    let node = home.start(settings);
    let mut maker = node.log_on(Who::Operator, "maker");
    orders(&node, &mut maker, 20, count);
    drop(maker);
    let mut boss = node.log_on(Who::Operator, "boss");
    let all = Fields::default().u64(20).u32(0).u8(0).u32(0).0;
    assert_eq!(boss.command(MASS_CANCEL, all).status, DONE);
    node
}

#[test]
fn a_mass_cancel_of_ten_thousand_orders_goes_on_by_itself_in_every_layout() {
    for layout in ["threads.layout=compact", "threads.layout=dedicated"] {
        let home = Home::new();
        let node = with_mass_cancel(&home, &[layout], 10_000);
        let mut looker = node.log_on(Who::Operator, "looker");
        eventually("all of them are cancelled", || is_empty(&mut looker, 20));
    }
}

#[test]
fn a_mass_cancel_of_ten_thousand_orders_is_finished_by_the_next_start() {
    let home = Home::new();
    // Wherever it stands now.
    with_mass_cancel(&home, &[], 10_000).kill();
    let node = home.start(&[]);
    let mut looker = node.log_on(Who::Operator, "looker");
    eventually("all of them are cancelled", || is_empty(&mut looker, 20));
    let balances = looker.account(20, 0).balances;
    assert!(balances.iter().all(|row| row.2 == 0), "nothing stays frozen: {balances:?}");
    let stopped = node.stop();
    let replayed = good(home.path(), &["replay", "--data-dir", "data"]);
    assert_eq!(replayed["state_hash"], stopped["state_hash"]);
    assert_eq!(replayed["sequence"], stopped["sequence"]);
}

#[test]
fn orders_of_a_client_that_is_gone_are_cancelled_and_not_those_of_one_that_came_back() {
    const GRACE_MS: u32 = 3000;
    let home = Home::new();
    let node = home.start(&[]);
    let mut looker = node.log_on(Who::Operator, "looker");
    let mut back = node.log_on(Who::Operator, "comes back");
    let mut gone = node.log_on(Who::Operator, "is gone");
    orders(&node, &mut back, 20, 3);
    orders(&node, &mut gone, 21, 3);
    when_away(&mut back, GRACE_MS);
    when_away(&mut gone, GRACE_MS);
    drop(back);
    let mut back = node.log_on(Who::Operator, "comes back");
    drop(gone);
    let start = Instant::now();
    eventually("the orders of the one that is gone are cancelled", || is_empty(&mut looker, 21));
    let grace = Duration::from_millis(GRACE_MS.into());
    assert!(start.elapsed() > grace / 2, "not before its time: {:?}", start.elapsed());
    // Its grace would have been over before the other's.
    assert!(!is_empty(&mut looker, 20));
    assert_eq!(back.order(Order::new(20, 1, BUY, 1, 1)).leaves, 1);
}

#[test]
fn a_logon_can_ask_for_it_and_a_killed_node_cancels_when_it_starts_again() {
    let home = Home::new();
    let node = home.start(&[]);
    let mut asking = node.connect();
    let key = Who::Operator.key();
    let mut payload = logon_payload(&asking.nonce, &key, b"asks at logon");
    payload[104] = 1;
    let draft = super::frame::Draft::session(super::frame::LOGON, LOGON_SEQUENCE, payload);
    asking.send(&draft.signed(&key).seal());
    assert!(matches!(asking.next().body, super::frame::Body::Accepted(_)));
    orders(&node, &mut asking, 20, 3);
    let mut other = node.log_on(Who::Operator, "asks for nothing");
    orders(&node, &mut other, 21, 3);
    node.kill();
    let node = home.start(&[]);
    let mut looker = node.log_on(Who::Operator, "looker");
    eventually("its orders are cancelled", || is_empty(&mut looker, 20));
    assert!(!is_empty(&mut looker, 21));
    let stopped = node.stop();
    let replayed = good(home.path(), &["replay", "--data-dir", "data"]);
    assert_eq!(replayed["state_hash"], stopped["state_hash"]);
}

#[test]
fn a_node_that_waits_for_a_far_time_rests() {
    let home = Home::new();
    let node = home.start(&[]);
    let mut peer = node.log_on(Who::Operator, "away for a day");
    orders(&node, &mut peer, 20, 3);
    when_away(&mut peer, 86_400_000);
    // An hour after the node's last record, whatever its clock says.
    let expires = peer.time_ns + 3_600_000_000_000;
    let head = Fields::default().u64(20).u32(1).u8(BUY).u8(LIMIT).u8(GOOD_TILL_DATE).u8(0);
    let order = head.i64(1).i64(1).i64(0).i64(0).i64(0).i64(0).u64(expires).i64(0).0;
    assert_eq!(peer.command(ENTER_ORDER, order).leaves, 1);
    drop(peer);
    let mut quiet = node.log_on(Who::Operator, "quiet");
    assert_eq!(quiet.next_within(Duration::from_secs(1)), Next::Quiet);
    let before = quiet.account(20, 0).sequence;
    let (ticks, sleeps) = (node.cpu_ticks(), node.sleeps());
    assert_eq!(quiet.next_within(Duration::from_secs(2)), Next::Quiet);
    let (ticks, sleeps) = (node.cpu_ticks() - ticks, node.sleeps() - sleeps);
    assert!(ticks < 10, "{ticks} hundredths of a second in two seconds");
    assert!(sleeps < 300, "its threads fell asleep {sleeps} times in two seconds");
    let account = quiet.account(20, 0);
    assert_eq!((account.sequence, account.orders.len()), (before, 4), "nothing was journaled");
}
