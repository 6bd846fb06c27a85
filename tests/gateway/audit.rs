//! The audit trail: whatever was sent stands in it, once.

use super::frame::{
    BUY, Body, CANCEL_ORDER, DEPOSIT, Draft, NEW_ORDER, Order, SELL, amount, cancel,
};
use super::node::{BASE, Home, Who, eventually};
use super::peer::{Peer, answer, reason};
use crate::support;
use serde_json::Value;
use std::collections::BTreeMap;

/// The rows of an audit, after a check of what stands behind them.
fn audit(home: &Home, args: &[&str]) -> (Vec<Value>, Value) {
    let args = [&["audit", "--data-dir", "data", "--config", "config.toml"], args].concat();
    let mut rows = support::json(home.path(), &args, 0);
    let end = rows.pop().expect("a result");
    assert_eq!(end["count"], rows.len(), "{end}");
    (rows, end["next"].clone())
}

/// What became of each message, by its id and in the order of the audit.
fn by_id(rows: &[Value]) -> BTreeMap<String, Vec<String>> {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for row in rows.iter().filter(|row| row["message_id"] != "") {
        let word = |name: &str| row[name].as_str().unwrap_or_default().to_owned();
        let outcome = format!("{} {}", word("outcome"), word("reason")).trim().to_owned();
        found.entry(word("message_id")).or_default().push(outcome);
    }
    found
}

/// What a test sent: the outcomes that each id is to have, in order.
#[derive(Default)]
struct Sent(BTreeMap<String, Vec<String>>);

impl Sent {
    fn note(&mut self, id: &str, outcome: &str) {
        self.0.entry(id.to_owned()).or_default().push(outcome.to_owned());
    }

    /// Sends one of everything.
    fn send(&mut self, peer: &mut Peer, other: &mut Peer, instrument: u32) -> Draft {
        let ask = |peer: &mut Peer, schema: u32, payload: Vec<u8>| {
            let mut metadata = peer.metadata();
            metadata.source = "desk".to_owned();
            metadata.correlation_id = "strategy-7".to_owned();
            let draft = Draft::command(schema, peer.sequence(), &metadata, payload);
            (metadata.message_id, draft)
        };
        // Accepted, and filled.
        let (id, resting) = ask(peer, NEW_ORDER, Order::new(10, instrument, SELL, 10, 5).payload());
        let order = answer(peer.ask(&resting));
        self.note(&id, "pending");
        let (id, taking) = ask(peer, NEW_ORDER, Order::new(11, instrument, BUY, 10, 2).payload());
        assert_eq!(answer(peer.ask(&taking)).status, 1);
        peer.fill();
        self.note(&id, "fully-filled");
        // Rejected by the exchange.
        let (id, unknown) = ask(peer, CANCEL_ORDER, cancel(11, instrument, order.order_id, 0));
        assert_eq!(answer(peer.ask(&unknown)).reason, 111);
        self.note(&id, "rejected TooLate");
        // A duplicate, of which the first is not to be done again.
        let again = peer.ask(&resting);
        assert!(again.again);
        let resting_id = self.0.keys().next().expect("the first").clone();
        self.note(&resting_id, "duplicate");
        // Damaged on its way: the CRC is behind the hash, at the end.
        let (id, damaged) = ask(peer, DEPOSIT, amount(10, BASE, 1));
        let mut frame = damaged.seal();
        let last = frame.len() - 1;
        frame[last] ^= 1;
        peer.send(&frame);
        let refused = reason(&peer.next());
        assert!([10, 11].contains(&refused), "{refused}");
        self.note(&id, if refused == 10 { "refused BadChecksum" } else { "refused BadHash" });
        // Not entitled.
        let (id, forbidden) = ask(other, NEW_ORDER, Order::new(3, instrument, BUY, 1, 1).payload());
        assert_eq!(reason(&other.ask(&forbidden)), 20);
        self.note(&id, "refused NotEntitled");
        resting
    }
}

#[test]
fn every_message_stands_in_the_audit_once_after_a_kill_and_a_restart_too() {
    let home = Home::new();
    let node = home.start(&[]);
    let mut sent = Sent::default();
    let mut peer = node.log_on(Who::Operator, "audit a");
    let mut other = node.log_on(Who::TraderOfTwo, "audit b");
    let resting = sent.send(&mut peer, &mut other, 1);
    // Before a logon: nonsense, and a command.
    let mut stranger = node.connect();
    stranger.try_send(&[0xFF; 100]);
    assert_eq!(stranger.rejects_until_closed(), [1]);
    // The journal says that a batch is durable in a later one: that of another logon.
    let _open = node.log_on(Who::Operator, "audit c");
    let (rows, next) = {
        // Refusals are written behind the answers: only what is in the file survives the kill.
        let mut found = (Vec::new(), Value::Null);
        eventually("all is in the files", || {
            found = audit(&home, &[]);
            by_id(&found.0) == sent.0 && found.0.iter().any(|row| row["reason"] == "BadMagic")
        });
        found
    };
    assert_eq!(next, Value::Null);
    let kinds = |rows: &[Value], kind: &str| rows.iter().filter(|row| row["kind"] == kind).count();
    assert_eq!((kinds(&rows, "session-logon"), kinds(&rows, "genesis")), (2, 0));
    let of = |rows: &[Value], outcome: &str| {
        rows.iter().find(|row| row["outcome"] == outcome).expect("one has it").clone()
    };
    let first = of(&rows, "pending");
    assert_eq!(
        (&first["source"], &first["correlation_id"]),
        (&"desk".into(), &"strategy-7".into())
    );
    assert_eq!((&first["account"], &first["symbol"]), (&10.into(), &"LOT1-USD".into()));
    assert_eq!(of(&rows, "duplicate")["repeats"], first["sequence"]);
    assert_eq!(of(&rows, "duplicate")["sequence"], Value::Null);
    // Every command says when it was made, the refused ones too; none was made after it came.
    let named = rows.iter().filter(|row| row["message_id"] != "");
    for row in named {
        assert!(row["sent"].is_string() && row["sent"].as_str() <= row["time"].as_str(), "{row}");
    }
    let times: Vec<&str> = rows.iter().filter_map(|row| row["time"].as_str()).collect();
    assert!(times.is_sorted(), "{times:?}");

    node.kill();
    let node = home.start(&[]);
    let mut peer = node.log_on(Who::Operator, "audit a");
    let mut other = node.log_on(Who::TraderOfTwo, "audit b");
    let mut later = Sent::default();
    // The names go on where the ids of the first life ended.
    for _ in 0..20 {
        peer.sequence();
        other.sequence();
    }
    later.send(&mut peer, &mut other, 2);
    let again = peer.ask(&resting);
    assert!(again.again, "{again:?}");
    assert!(matches!(again.body, Body::Answer(_)));
    sent.0.values_mut().next().expect("the first").push("duplicate".to_owned());
    sent.0.append(&mut later.0);
    node.stop();

    let (rows, _) = audit(&home, &[]);
    assert_eq!(by_id(&rows), sent.0);
    filters(&home, &rows);
    pages(&home, &rows);
    let dumped = support::json(
        home.path(),
        &["journal", "dump", "--data-dir", "data", "--log", "rejects"],
        0,
    );
    let refused = rows.iter().filter(|row| row["reject"] != Value::Null).count();
    assert_eq!(refused, dumped.len() - 1, "all of the reject log, and nothing twice");
}

/// Each filter lets through exactly what it names.
fn filters(home: &Home, rows: &[Value]) {
    let same = |args: &[&str], keep: &dyn Fn(&Value) -> bool| {
        let expected: Vec<Value> = rows.iter().filter(|row| keep(row)).cloned().collect();
        assert!(!expected.is_empty() && expected.len() < rows.len(), "{args:?} tells something");
        assert_eq!(audit(home, args).0, expected, "{args:?}");
    };
    let middle = &rows[rows.len() / 2];
    let (key, session) = (middle["key"].to_string(), middle["session"].to_string());
    same(&["--key", &key], &|row| row["key"] == middle["key"]);
    same(&["--session", &session], &|row| row["session"] == middle["session"]);
    same(&["--account", "11"], &|row| row["account"] == 11);
    let id =
        rows.iter().find(|row| row["outcome"] == "duplicate").expect("one")["message_id"].clone();
    same(&["--message-id", id.as_str().expect("text")], &|row| row["message_id"] == id);
    same(&["--rejects-only"], &|row| {
        ["refused", "duplicate", "rejected"].iter().any(|word| row["outcome"] == *word)
    });
    let time = middle["time"].as_str().expect("text");
    same(&["--from", time], &|row| row["time"].as_str() >= Some(time));
    same(&["--to", time], &|row| row["time"].as_str() <= Some(time));
    support::refused(
        home.path(),
        &["audit", "--data-dir", "data", "--from", "9", "--to", "8"],
        2,
        &["behind"],
    );
}

/// Ranges and pages that follow each other hold every row once.
fn pages(home: &Home, rows: &[Value]) {
    let last = rows.iter().filter_map(|row| row["sequence"].as_u64()).max().expect("records");
    let first = rows.iter().find_map(|row| row["sequence"].as_u64()).expect("records");
    let mut ranges = Vec::new();
    for from in (first..=last).step_by(3) {
        let to = (from + 2).to_string();
        ranges.extend(audit(home, &["--from", &from.to_string(), "--to", &to]).0);
    }
    assert_eq!(ranges, rows);
    let (mut paged, mut from) = (Vec::new(), "1".to_owned());
    loop {
        let (page, next) = audit(home, &["--from", &from, "--limit", "3"]);
        assert!(page.len() <= 3);
        paged.extend(page);
        match next.as_str() {
            Some(next) => next.clone_into(&mut from),
            None => break,
        }
    }
    assert_eq!(paged, rows);
    let text = support::outcry(home.path(), &["audit", "--data-dir", "data"]).stdout;
    let text = String::from_utf8(text).expect("text");
    assert_eq!(text.lines().count(), rows.len() + 1, "{text}");
    assert!(text.lines().any(|line| line.contains("duplicate of ")), "{text}");
}
