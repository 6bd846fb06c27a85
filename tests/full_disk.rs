//! A disk that fills: who orders is told, who cancels or asks is served, nothing acknowledged is lost,
//! and everything goes on by itself when there is space.

use crate::sim::bench::{Bench, Got, framed, order};
use crate::support::{PATIENCE, Served, dir, good};
use openoutcry::client::{Client, Config, Options, Reply};
use openoutcry::command::{CancelOrder, Command, NewOrder};
use openoutcry::event::RejectReason;
use openoutcry::keys::KeyPair;
use openoutcry::node::space::{Level, Marks};
use openoutcry::types::{
    AccountId, ClientOrderId, InstrumentId, OrderId, OrderType, Price, Priority, Quantity, Side,
    Status, TimeInForce,
};
use openoutcry::wire::message::{BookQuery, send};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Long enough for the next look at the space.
fn look(bench: &mut Bench) {
    (0..6).for_each(|_| bench.rest());
}

/// A cancel of an order that is not there: sequenced, and answered so.
fn cancel(number: u64) -> Vec<u8> {
    let command = Command::from(CancelOrder {
        account: AccountId(crate::sim::bench::account()),
        instrument: InstrumentId(1),
        order_id: OrderId(u64::MAX),
        orig_client_order_id: ClientOrderId(0),
    });
    framed(number, Priority::Normal, &command, None)
}

/// What stands in the book.
fn query_book(number: u64) -> Vec<u8> {
    let mut out = Vec::new();
    let query = BookQuery { instrument: InstrumentId(1), depth: 1, orders: false };
    send(&query, number, &mut out);
    out
}

#[test]
fn below_the_critical_mark_orders_are_refused_and_cancels_and_queries_go_on() {
    let marks = Marks { low_bytes: 2 << 20, critical_bytes: 1 << 20 };
    let mut bench = Bench::new(|setup| setup.space = marks);
    let (peer, _) = bench.live("desk");
    let level = |bench: &Bench| Level::of(&bench.node.stages.cursors.space);
    let free = |bench: &Bench, bytes: u64| {
        let used: u64 = bench.disk.files().iter().map(|(_, file)| file.len() as u64).sum();
        bench.disk.set_capacity(Some(used + bytes));
    };
    let mut number = 0;
    let mut ask = |bench: &mut Bench, takes_orders: bool| {
        for message in [order(number + 1), cancel(number + 2), query_book(number + 3)] {
            bench.send(peer, &message);
            bench.rest();
        }
        number += 3;
        match (&bench.heard(peer)[..], takes_orders) {
            ([Got::Answer, Got::Answer, Got::Book], true)
            | ([Got::Reject(_, RejectReason::NoSpace), Got::Answer, Got::Book], false) => {}
            (heard, _) => panic!("takes orders: {takes_orders}, heard {heard:?}"),
        }
    };
    for (bytes, expected) in [
        (3 << 20, Level::Enough),
        ((2 << 20) - 1, Level::Low),
        ((1 << 20) - 1, Level::Critical),
        ((1 << 20) + 1, Level::Critical),
        ((1 << 20) + (1 << 18), Level::Low),
        (0, Level::Critical),
        (3 << 20, Level::Enough),
    ] {
        free(&bench, bytes);
        look(&mut bench);
        assert_eq!(level(&bench), expected, "{bytes} bytes free");
        ask(&mut bench, expected < Level::Critical);
    }
}

/// A small file system in memory; unmounted when it is dropped.
struct Small(PathBuf);

impl Small {
    /// `None` where this process may not mount.
    fn mount(at: &Path, size_bytes: u64) -> Option<Small> {
        std::fs::create_dir(at).expect("a writable directory");
        let size = format!("size={size_bytes}");
        let mounted = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "tmpfs"])
            .arg(at)
            .output()
            .expect("mount runs");
        if !mounted.status.success() {
            let why = String::from_utf8_lossy(&mounted.stderr);
            eprintln!("SKIPPED: a small file system cannot be mounted here: {}", why.trim());
            return None;
        }
        Some(Small(at.to_owned()))
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        // A directory that stays mounted is all that is lost.
        let _ = std::process::Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// A client and what an outside ledger knows of its orders.
struct Trader {
    client: Client,
    /// Orders that were acknowledged and not cancelled.
    live: BTreeSet<OrderId>,
}

/// What a request came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Done,
    NoSpace,
}

impl Trader {
    fn connect(node: &Served) -> Trader {
        let key = node.ready["key"].as_str().expect("a key of its own");
        let key = KeyPair::load(Path::new(key)).expect("a key");
        let client = Client::connect(Config::new(&[node.address()], key, "trader"));
        Trader { client: client.expect("the node listens"), live: BTreeSet::new() }
    }

    /// Sends as many orders as the window takes; how many were refused for want of space.
    fn enter(&mut self) -> usize {
        let order = Command::from(NewOrder {
            account: AccountId(2),
            instrument: InstrumentId(1),
            side: Side::Buy,
            order_type: OrderType::Limit,
            time_in_force: TimeInForce::Gtc,
            flags: 0,
            price: Price(1),
            quantity: Quantity(1),
            client_order_id: ClientOrderId(0),
        });
        let mut sent = 0;
        while sent < 64 && self.client.has_room() {
            self.client.submit(&order, &Options::default()).expect("there is room");
            sent += 1;
        }
        let outcomes = self.outcomes(sent);
        outcomes.iter().filter(|outcome| **outcome == Outcome::NoSpace).count()
    }

    /// Cancels one of the orders.
    fn cancel(&mut self) -> Outcome {
        let order_id = self.live.pop_first().expect("an order rests");
        let command = Command::from(CancelOrder {
            account: AccountId(2),
            instrument: InstrumentId(1),
            order_id,
            orig_client_order_id: ClientOrderId(0),
        });
        self.client.submit(&command, &Options::default()).expect("there is room");
        let outcome = self.outcomes(1)[0];
        if outcome == Outcome::NoSpace {
            self.live.insert(order_id);
        }
        outcome
    }

    /// The orders that rest in the book.
    fn resting(&mut self) -> BTreeSet<OrderId> {
        let (mut found, mut after, mut more) = (BTreeSet::new(), OrderId(0), true);
        let deadline = Instant::now() + PATIENCE;
        while std::mem::take(&mut more) {
            self.client.account(AccountId(2), after).expect("there is room");
            let mut answered = false;
            while !answered {
                assert!(Instant::now() < deadline, "an account query has no answer");
                let heard = self.client.poll(Some(Duration::from_secs(1)), |reply| {
                    if let Reply::Account { view, .. } = reply {
                        found.extend(view.orders.iter().map(|row| row.order_id));
                        (answered, more) = (true, view.head.more);
                    }
                });
                heard.expect("the machine polls");
            }
            after = found.last().copied().unwrap_or_default();
        }
        found
    }

    fn outcomes(&mut self, count: usize) -> Vec<Outcome> {
        let (mut outcomes, deadline) = (Vec::new(), Instant::now() + PATIENCE);
        let live = &mut self.live;
        while outcomes.len() < count {
            assert!(Instant::now() < deadline, "{} of {count} were answered", outcomes.len());
            let heard = self.client.poll(Some(Duration::from_secs(1)), |reply| match reply {
                Reply::Answer { view, .. } => {
                    assert_ne!(view.answer.status, Status::Rejected, "it is in order");
                    if view.answer.status == Status::Pending {
                        live.insert(view.answer.order_id);
                    }
                    outcomes.push(Outcome::Done);
                }
                Reply::Reject { reject, .. } => {
                    assert_eq!(reject.reason.reason(), Some(RejectReason::NoSpace));
                    outcomes.push(Outcome::NoSpace);
                }
                Reply::Notice(_) => {}
                other => panic!("not expected here: {other:?}"),
            });
            heard.expect("the machine polls");
        }
        outcomes
    }
}

/// The real binary until not a byte is left, then with space again, then started again.
fn fill(append: &str) {
    let dir = dir();
    let disk = dir.path().join("disk");
    let Some(small) = Small::mount(&disk, 96 << 20) else { return };
    let ballast = disk.join("ballast");
    std::fs::write(&ballast, vec![1; 24 << 20]).expect("there is space");
    let append = format!("journal.append={append}");
    let data = disk.join("journal");
    let data = data.to_str().expect("a path of ours");
    let settings =
        ["--data-dir", data, "--set", "disk.low_bytes=0", "--set", "disk.critical_bytes=0"];
    let args = [&settings[..], &["--set", &append, "--set", "journal.segments_ahead=1"]].concat();
    let node = Served::start(dir.path(), &args);
    let mut trader = Trader::connect(&node);
    let deadline = Instant::now() + PATIENCE;
    while trader.enter() == 0 {
        assert!(Instant::now() < deadline, "{} orders do not fill it", trader.live.len());
    }
    assert_eq!(trader.enter(), 64, "space does not come back by itself");
    for _ in 0..100 {
        assert_eq!(trader.cancel(), Outcome::Done, "what was set aside is for cancels");
    }
    std::fs::remove_file(&ballast).expect("it is ours");
    let deadline = Instant::now() + PATIENCE;
    while trader.enter() > 0 {
        assert!(Instant::now() < deadline, "it does not go on");
    }
    let Trader { live, client } = trader;
    drop(client);
    node.kill();
    let node = Served::start(dir.path(), &args);
    let mut trader = Trader::connect(&node);
    let replayed = trader.resting();
    assert_eq!(replayed.symmetric_difference(&live).count(), 0, "nothing acknowledged is lost");
    node.stop();
    good(dir.path(), &["journal", "verify", "--data-dir", data]);
    drop(small);
}

#[test]
fn a_small_disk_fills_under_load_and_nothing_acknowledged_is_lost() {
    fill("write");
}

#[test]
fn a_small_disk_fills_under_mapped_stores_without_a_signal() {
    fill("map");
}
