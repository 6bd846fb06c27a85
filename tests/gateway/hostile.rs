//! Garbage, of any kind and in any amount: refused, and the node goes on.

use super::frame::{BUY, Body, Draft, NEW_ORDER, Order, reseal};
use super::node::{Home, Who, shared};
use super::peer::Peer;
use crate::sim::random::Random;
use std::net::Shutdown;

/// A seed that a failing test tells.
fn seed() -> u64 {
    std::env::var("SEED").map_or_else(
        |_| u64::from(std::process::id()),
        |text| text.parse().expect("SEED is a number"),
    )
}

fn below(numbers: &mut Random, bound: u64) -> usize {
    usize::try_from(numbers.below(bound)).expect("a small number")
}

fn byte(numbers: &mut Random) -> u8 {
    numbers.next().to_be_bytes()[0]
}

#[test]
fn random_bytes_are_refused_before_and_after_a_logon() {
    let node = shared();
    let seed = seed();
    println!("SEED={seed}");
    let mut numbers = Random::new(seed);
    for round in 0..60 {
        let mut peer =
            if round % 2 == 0 { node.connect() } else { node.log_on(Who::Operator, "noise") };
        let size = 1 + below(&mut numbers, 5000);
        let mut bytes: Vec<u8> = (0..size).map(|_| byte(&mut numbers)).collect();
        // Some look like a frame at first.
        if round % 3 == 0 && size > 12 {
            bytes[..2].copy_from_slice(&[0xAB, 1]);
            bytes[8..12].copy_from_slice(
                &u32::try_from(75 + below(&mut numbers, 4000)).expect("small").to_be_bytes(),
            );
        }
        peer.try_send(&bytes);
        peer.finish();
        peer.rejects_until_closed();
    }
    node.assert_well();
}

#[test]
fn random_changes_that_are_sealed_anew_never_stop_the_node() {
    // A mutant may be an order for any book.
    let home = Home::new();
    let node = home.start(&[]);
    let ground = node.ground();
    let seed = seed();
    println!("SEED={seed}");
    let mut numbers = Random::new(seed);
    let mut peer = node.log_on(Who::Operator, "mutants");
    for _ in 0..2000 {
        let order = Order::new(ground.buyer, ground.instrument, BUY, 10, 1);
        let mut frame = peer.draft_order(order).seal();
        let end = frame.len() - 40;
        for _ in 0..1 + below(&mut numbers, 3) {
            let at = 2 + below(&mut numbers, end as u64 - 2);
            if !(8..12).contains(&at) {
                frame[at] = byte(&mut numbers);
            }
        }
        reseal(&mut frame, None);
        peer.send(&frame);
        // One message for each, whatever it is; a ping in between keeps the tally.
        let mut mutants = vec![peer.next()];
        let sequence = peer.sequence();
        peer.send(&super::peer::ping(sequence, sequence).seal());
        loop {
            let message = peer.next();
            if message.body == Body::Pong(sequence) {
                break;
            }
            if !matches!(message.body, Body::Fill(_)) {
                mutants.push(message);
            }
        }
        assert_eq!(mutants.len(), 1, "{mutants:?}");
    }
    node.assert_well();
}

#[test]
fn connections_that_come_and_go_leave_nothing_behind() {
    let node = shared();
    let descriptors =
        || std::fs::read_dir(format!("/proc/{}/fd", node.pid())).expect("it runs").count();
    let seed = seed();
    println!("SEED={seed}");
    let mut numbers = Random::new(seed);
    let mut peers: Vec<Peer> = Vec::new();
    for _ in 0..300 {
        let peer = Peer::silent(&node.address);
        match below(&mut numbers, 3) {
            0 => drop(peer),
            1 => peer.stream.shutdown(Shutdown::Both).unwrap_or_default(),
            _ => peers.push(peer),
        }
    }
    let open = peers.len();
    super::node::eventually("all are accepted", || descriptors() >= open);
    drop(peers);
    super::node::eventually("all are gone", || descriptors() < 60);
    node.assert_well();
}

#[test]
fn messages_of_the_server_are_not_taken_from_clients() {
    let node = shared();
    let mut peer = node.log_on(Who::Operator, "mirror");
    for schema in 128..=138 {
        let draft = Draft::session(schema, peer.sequence(), vec![0; 44]);
        assert_eq!(super::peer::reason(&peer.ask(&draft)), 16, "schema {schema}");
    }
    let order = Order::new(2, 1, BUY, 1, 1).payload();
    let naked = Draft::session(NEW_ORDER, peer.sequence(), order);
    assert_eq!(super::peer::reason(&peer.ask(&naked)), 9, "a command without metadata");
    peer.ping(1);
}
