//! `limits` against a real node.

use crate::support::{Served, dir, good, json, refused};
use serde_json::Value;
use std::path::Path;

fn run(dir: &Path, line: &str, status: i32) -> Value {
    json(dir, &line.split(' ').collect::<Vec<_>>(), status).pop().unwrap_or_default()
}

fn new(account: u64, side: &str, price: &str, quantity: &str) -> String {
    format!(
        "order new --account {account} --symbol BTC-USDT --side {side} --price {price} \
         --quantity {quantity}"
    )
}

#[test]
fn limits_that_an_operator_sets_are_the_reason_of_the_answer_and_survive_a_restart() {
    let dir = dir();
    let here = dir.path();
    let node = Served::start(here, &[]);
    let enter = |account, side, price, quantity, reason: Option<&str>| {
        let status = i32::from(reason.is_some());
        let answer = run(here, &new(account, side, price, quantity), status);
        assert_eq!(answer["reject_reason"].as_str(), reason, "{answer}");
    };
    // A lot is 0.000001.
    assert_eq!(run(here, "limits set 2 --quantity-max 3000000", 0)["status"], "done");
    enter(2, "buy", "100", "3.000001", Some("OrderTooLarge"));
    enter(2, "buy", "100", "3", None);
    run(here, "limits set 2 --restrict BTC-USDT", 0);
    enter(2, "buy", "100", "1", Some("InstrumentRestricted"));
    run(here, "limits set 2", 0);
    enter(2, "buy", "100", "4", None);
    run(here, "limits position 2 BTC-USDT --net-max 8.5 --position -1", 0);
    enter(2, "buy", "99", "2.500001", Some("NetPositionLimit"));
    enter(2, "buy", "99", "2.5", None);
    enter(3, "sell", "100", "1", None);
    run(here, "limits collar BTC-USDT 1000", 0);
    enter(3, "buy", "110.01", "1", Some("OutsideCollar"));
    run(here, "limits owner 3 --group 7 --self-trade decrement", 0);

    refused(here, &["limits", "set", "2", "--rate-burst", "1"], 2, &["it takes a rate_per_s"]);
    refused(here, &["limits", "set", "99"], 1, &["UnknownAccount"]);
    refused(here, &["limits", "collar", "BTC-EUR", "1"], 2, &["no such instrument"]);
    refused(here, &["limits", "collar", "BTC-USDT", "1000001"], 2, &["0 to 1000000"]);
    refused(
        here,
        &["limits", "position", "2", "BTC-USDT", "--net-max", "0.0000001"],
        2,
        &["quantity 0.0000001"],
    );
    node.stop();

    let node = Served::start(here, &[]);
    enter(2, "buy", "99", "0.000001", Some("NetPositionLimit"));
    enter(3, "buy", "110.01", "1", Some("OutsideCollar"));
    let log = std::fs::read_to_string(here.join("serve.log")).expect("its stderr");
    for differs in [
        "collar_bps is 1000 in the journal, 0 in the file; `outcry limits collar BTC-USDT 0` changes it",
        "genesis.accounts 3: group is 7 in the journal, 0 in the file; \
         `outcry limits owner 3 --group 0 --self-trade allow` changes it",
    ] {
        assert!(log.contains(differs), "{log}");
    }
    let stopped = node.stop();
    assert_eq!(good(here, &["replay"])["state_hash"], stopped["state_hash"]);
}
