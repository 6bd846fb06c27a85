//! `limits` and `rules` against a real node.

use crate::support::{self, Served, dir, good, outcry, refused};
use openoutcry::genesis::APPLICATION_VERSION;
use serde_json::{Value, json};
use std::path::Path;

fn run(dir: &Path, line: &str, status: i32) -> Value {
    support::json(dir, &line.split(' ').collect::<Vec<_>>(), status).pop().unwrap_or_default()
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

/// The rows of `limits show`, each at the sequence of the last line, which they are given without.
fn shown(dir: &Path, more: &str) -> Vec<Value> {
    let line = format!("limits show {more}");
    let mut rows = support::json(dir, &line.split_whitespace().collect::<Vec<_>>(), 0);
    let last = rows.pop().expect("a last line");
    assert_eq!((&last["count"], &last["next"]), (&json!(rows.len()), &Value::Null));
    for row in &mut rows {
        assert_eq!(row["sequence"].take(), last["sequence"]);
        row.as_object_mut().expect("an object").remove("sequence");
    }
    rows
}

fn position(position: &str, open_buy: &str, open_sell: &str) -> Value {
    json!({
        "limits": "position", "account": 2, "symbol": "BTC-USDT", "position": position,
        "open_buy": open_buy, "open_sell": open_sell, "net_max": "8.5", "gross_max": "0"
    })
}

#[test]
fn limits_and_positions_are_shown_as_they_are_now_and_after_a_restart() {
    let dir = dir();
    let here = dir.path();
    let node = Served::start(here, &[]);
    assert_eq!(shown(here, ""), Vec::<Value>::new());
    assert!(
        String::from_utf8_lossy(&outcry(here, &["limits", "show"]).stdout)
            .contains("nothing is limited")
    );

    let set = run(here, "limits set 2 --quantity-max 3000000 --rate-per-s 100", 0);
    run(here, "limits set 4 --restrict BTC-USDT", 0);
    assert_eq!(set["status"], "done", "{set}");
    run(here, "limits owner 3 --group 7 --self-trade decrement", 0);
    run(here, "limits position 2 BTC-USDT --net-max 8.5 --position -1", 0);
    let collar = run(here, "limits collar BTC-USDT 1000", 0);
    let account =
        |id: u64, group: u32, self_trade: &str, quantity: u64, rate: u32, restricted: Value| {
            json!({
                "limits": "account", "account": id, "group": group, "self_trade": self_trade,
                "quantity_max_lots": quantity, "notional_max_units": 0, "open_orders_max": 0,
                "rate_per_s": rate, "rate_burst": 0, "restricted": restricted
            })
        };
    let collars = json!({ "limits": "collar", "symbol": "BTC-USDT", "collar_bps": 1000 });
    let two = account(2, 0, "allow", 3_000_000, 100, json!([]));
    let three = account(3, 7, "decrement", 0, 0, json!([]));
    let four = account(4, 0, "allow", 0, 0, json!(["BTC-USDT"]));
    let all = [collars.clone(), two.clone(), three.clone(), four.clone(), position("-1", "0", "0")];
    assert_eq!(shown(here, ""), all);
    // Asked behind the last command, it is shown as that left it, or as a later logon did.
    let last = run(here, "limits show", 0);
    assert!(last["sequence"].as_u64() >= collar["sequence"].as_u64(), "{last}");

    // An order holds, a fill moves, and a cancel lets go.
    let resting = run(here, &new(2, "buy", "100", "3"), 0);
    assert_eq!(shown(here, "--account 2"), [two.clone(), position("-1", "3", "0")]);
    run(here, &new(3, "sell", "100", "2"), 0);
    assert_eq!(shown(here, "--account 2 --symbol BTC-USDT")[1], position("1", "1", "0"));
    assert_eq!(shown(here, "--account 4"), std::slice::from_ref(&four));
    let table = outcry(here, &["limits", "show"]);
    let table = String::from_utf8_lossy(&table.stdout).into_owned();
    for line in [
        "BTC-USDT        1000",
        "2      -  allow               3000000                 -       -     100      -",
        "4      -  allow                     -                 -       -       -      -  BTC-USDT",
        "2  BTC-USDT         1         1          0      8.5          -",
    ] {
        assert!(table.contains(line), "{line}: {table}");
    }
    node.stop();

    let node = Served::start(here, &[]);
    assert_eq!(
        shown(here, ""),
        [collars.clone(), two.clone(), three.clone(), four, position("1", "1", "0")]
    );
    let order = resting["order_id"].as_u64().expect("a number");
    let cancel = format!("order cancel --account 2 --symbol BTC-USDT --order-id {order}");
    run(here, &cancel, 0);
    assert_eq!(shown(here, "--account 2")[1], position("1", "0", "0"));

    // A key sees its own accounts.
    let made = good(here, &["keygen", "--role", "read-only", "reader.key"]);
    let public = made["public_key"].as_str().expect("text");
    run(here, &format!("keys add {public} --role read-only --account 3"), 0);
    assert_eq!(shown(here, "--key reader.key"), [collars, three.clone()]);
    assert_eq!(shown(here, "--key reader.key --account 3"), [three]);
    let show = |more: &[&str], status, words: &[&str]| {
        refused(here, &[&["limits", "show"], more].concat(), status, words);
    };
    show(&["--account", "2", "--key", "reader.key"], 3, &["account 2", "NotEntitled"]);
    show(&["--account", "99"], 1, &["account 99", "UnknownAccount"]);
    show(&["--account", "1"], 1, &["LiabilityAccount"]);
    show(&["--account", "0"], 2, &["--account"]);
    show(&["--symbol", "BTC-EUR"], 2, &["no such instrument"]);

    // What is no longer limited is not shown.
    run(here, "limits set 2", 0);
    run(here, "limits position 2 BTC-USDT", 0);
    assert_eq!(shown(here, "--account 2"), Vec::<Value>::new());
    let stopped = node.stop();
    assert_eq!(good(here, &["replay"])["state_hash"], stopped["state_hash"]);
}

#[test]
fn rules_that_hold_and_those_that_are_known_are_shown() {
    let dir = dir();
    let here = dir.path();
    let node = Served::start(here, &[]);
    let expected = json!({
        "version": APPLICATION_VERSION, "known": APPLICATION_VERSION,
        "known_here": APPLICATION_VERSION
    });
    assert_eq!(run(here, "rules show", 0), expected);
    let line = String::from_utf8_lossy(&outcry(here, &["rules", "show"]).stdout).into_owned();
    let version = APPLICATION_VERSION;
    assert_eq!(
        line,
        format!("version {version} of the rules holds, the node knows up to {version}\n")
    );
    let made = good(here, &["keygen", "--role", "trade", "trader.key"]);
    let public = made["public_key"].as_str().expect("text");
    run(here, &format!("keys add {public} --account 2"), 0);
    refused(here, &["rules", "show", "--key", "trader.key"], 3, &["NotEntitled"]);
    node.stop();
}
