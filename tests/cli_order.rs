//! `order`, `book` and `account` against a real node.

use crate::support::mute::{self, Then};
use crate::support::{
    Lines, Served, command, dir, good, json, objects, outcry, refused, stderr, venue, wait,
};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Stdio;

fn new_order(account: &str, side: &str, price: &str, quantity: &str) -> Vec<String> {
    let words = ["order", "new", "--account", account, "--symbol", "BTC-USDT", "--side", side];
    let more = ["--price", price, "--quantity", quantity];
    words.into_iter().chain(more).map(str::to_owned).collect()
}

fn words(line: &str) -> Vec<&str> {
    line.split(' ').collect()
}

fn run(dir: &Path, line: &str, status: i32) -> Value {
    json(dir, &words(line), status).pop().unwrap_or_default()
}

/// An asset's available and frozen balance.
fn balance(dir: &Path, account: u64, asset: &str) -> (String, String) {
    let account = good(dir, &["account", &account.to_string()]);
    let rows = account["assets"].as_array().expect("rows").clone();
    let row = rows.iter().find(|row| row["asset"] == asset).expect("the asset has a balance");
    let text = |name: &str| row[name].as_str().expect("decimal text").to_owned();
    (text("available"), text("frozen"))
}

#[test]
fn a_newcomer_can_deposit_trade_look_and_withdraw() {
    let dir = dir();
    let node = Served::start(dir.path(), &[]);
    let dir = node.dir.as_path();
    let deposit = run(dir, "order deposit --account 2 --asset USDT --amount 10.5", 0);
    assert_eq!(deposit["status"], "done");
    assert_eq!(deposit["filled"], "0");
    assert_eq!(deposit["fills"], json!([]));
    assert_eq!(deposit["reject_reason"], Value::Null);
    assert_eq!(balance(dir, 2, "USDT").0, "1000000010.5");

    let sell = "order new --account 3 --symbol BTC-USDT --side sell --price 100.5 --quantity 2 \
                --client-order-id 7";
    let maker = run(dir, sell, 0);
    assert_eq!(maker["status"], "pending");
    assert_eq!(maker["leaves"], "2");
    assert_eq!(maker["order_id"], maker["sequence"]);
    let buy =
        "order new --account 2 --symbol BTC-USDT --side buy --price 101 --quantity 0.5 --sign";
    let taker = run(dir, buy, 0);
    assert_eq!(taker["status"], "fully-filled");
    assert_eq!(taker["filled"], "0.5");
    assert_eq!(taker["fills"], json!([{"price": "100.5", "quantity": "0.5"}]));
    assert!(taker["message_id"].is_string());

    let book = run(dir, "book BTC-USDT", 0);
    assert_eq!(book["symbol"], "BTC-USDT");
    assert_eq!(book["last"], "100.5");
    assert_eq!(book["asks"], json!([["100.5", "1.5", 1]]));
    assert_eq!(book["bids"], json!([]));
    assert!(book["sequence"].as_u64() > taker["sequence"].as_u64());
    let orders = run(dir, "book BTC-USDT --orders --depth 1", 0);
    assert_eq!(orders["asks"], json!([["100.5", "1.5", maker["order_id"]]]));

    let account = run(dir, "account 3", 0);
    assert_eq!(account["account"], 3);
    let order = &account["orders"][0];
    assert_eq!(order["client_order_id"], 7);
    assert_eq!(
        (&order["price"], &order["quantity"], &order["filled"], &order["leaves"]),
        (&json!("100.5"), &json!("2"), &json!("0.5"), &json!("1.5"))
    );
    let by_client = "--account 3 --symbol BTC-USDT --orig-client-order-id 7";
    let replaced = run(dir, &format!("order replace {by_client} --price 102 --quantity 3"), 0);
    assert_eq!(replaced["leaves"], "2.5");
    let cancelled = run(dir, &format!("order cancel {by_client}"), 0);
    assert_eq!(cancelled["status"], "partial-canceled");
    run(dir, "order transfer --from 2 --to 3 --asset BTC --amount 0.25", 0);
    run(dir, "order withdraw --account 3 --asset BTC --amount 999999.75", 0);
    assert_eq!(balance(dir, 2, "BTC"), ("1000000.25".to_owned(), "0".to_owned()));
    let table = outcry(dir, &["account", "2"]);
    assert!(String::from_utf8_lossy(&table.stdout).contains("1000000.25"));
    assert_eq!(run(dir, "book BTC-USDT", 0)["asks"], json!([]));
    node.stop();
}

#[test]
fn market_fok_and_post_only_orders_are_entered_by_hand_and_by_file() {
    let dir = dir();
    let node = Served::start(dir.path(), &[]);
    let dir = dir.path();
    let of = |account: u64, side: &str, more: &str, status: i32| {
        let order = format!("order new --account {account} --symbol BTC-USDT --side {side}");
        run(dir, &format!("{order} {more}"), status)
    };
    let empty = of(2, "buy", "--type market --quantity 1", 1);
    assert_eq!(empty["reject_reason"], "NoLiquidity");
    assert_eq!(of(3, "sell", "--price 100 --quantity 2 --post-only", 0)["status"], "pending");
    let crossing = of(2, "buy", "--price 100 --quantity 1 --post-only", 1);
    assert_eq!(crossing["reject_reason"], "WouldTrade");
    let killed = of(2, "buy", "--price 100 --quantity 3 --tif fok", 0);
    assert_eq!((&killed["status"], &killed["filled"]), (&json!("fully-canceled"), &json!("0")));
    let taken = of(2, "buy", "--type market --quantity 1", 0);
    assert_eq!(taken["fills"], json!([{"price": "100", "quantity": "1"}]));
    let contradiction = of(2, "buy", "--price 100 --quantity 1 --tif fok --post-only", 1);
    assert_eq!(contradiction["reject_reason"], "UnsupportedOrder");
    let file = dir.join("kinds.csv");
    let text = "action,account,symbol,side,type,tif,post_only,price,quantity\n\
                new,2,BTC-USDT,buy,,,yes,99,1\nnew,3,BTC-USDT,sell,market,,,,2\n\
                new,2,BTC-USDT,buy,market,fok,,100,1\n";
    std::fs::write(&file, text).expect("a writable directory");
    let path = file.display().to_string();
    let rows = json(dir, &["order", "file", &path, "--window", "1"], 0);
    let told = |at: usize| (rows[at]["status"].clone(), rows[at]["filled"].clone());
    assert_eq!(told(0), (json!("pending"), json!("0")), "{rows:?}");
    assert_eq!(told(1), (json!("partial-canceled"), json!("1")));
    assert_eq!(told(2), (json!("fully-filled"), json!("1")));
    // A new journal has the newest rules.
    let again = json(dir, &["rules", "activate"], 1);
    assert_eq!(again[0]["reject_reason"], "InvalidAdmin", "{again:?}");
    refused(dir, &["rules", "activate", "--version", "9"], 2, &["version must be 2 to 2, not 9"]);
    let ended = node.stop();
    assert_eq!(good(dir, &["replay"])["state_hash"], ended["state_hash"]);
}

/// Commands of the client that the journal holds, without genesis' own.
fn journaled(dir: &Path, name: &str) -> Vec<Value> {
    let rows = json(dir, &["journal", "dump"], 0);
    rows.into_iter()
        .map(|mut row| row["body"].take())
        .filter(|body| body["command"] == name)
        .collect()
}

#[test]
fn what_is_written_of_an_order_is_what_is_journaled() {
    let dir = dir();
    let node = Served::start(dir.path(), &[]);
    let dir = dir.path();
    let send = |line: &str| {
        let status = outcry(dir, &[&words(line)[..], &["--json"]].concat()).status.code();
        assert!(matches!(status, Some(0 | 1)), "{line}: {status:?}");
    };
    let of = |more: &str| send(&format!("order new --account 2 --symbol BTC-USDT --side {more}"));
    of("sell --type stop-limit --stop-price 90 --price 89.5 --quantity 2 --self-trade decrement");
    of("buy --price 80 --quantity 5 --display 0.5 --min-quantity 0.25 --tif gtd \
        --expires 2099-01-01T00:00:00Z");
    of("buy --type market --budget 12.5");
    of("sell --price 120 --quantity 1 --tif day --post-only --reprice --self-trade cancel-both");
    send("order mass-cancel --account 2 --symbol BTC-USDT --side sell");
    send("order mass-cancel --mine");
    send("order mass-cancel --all");
    let file = dir.join("further.csv");
    let text = "action,account,symbol,side,type,price,quantity,stop_price,self_trade,mine\n\
                new,3,BTC-USDT,buy,stop,,1,110,cancel-oldest,\n\
                mass-cancel,,,sell,,,,,,yes\n";
    std::fs::write(&file, text).expect("a writable directory");
    send(&format!("order file {}", file.display()));
    node.stop();

    let entered = journaled(dir, "enter-order");
    let expected = [
        json!({"side": "sell", "order_type": "stop-limit", "time_in_force": "gtc", "flags": 10,
               "price": "89.5", "quantity": "2", "stop_price": "90", "expires": null}),
        json!({"side": "buy", "order_type": "limit", "time_in_force": "gtd", "price": "80",
               "display_quantity": "0.5", "min_quantity": "0.25",
               "expires": "2099-01-01T00:00:00.000000000Z"}),
        json!({"order_type": "market", "time_in_force": "ioc", "quantity": "0", "price": "0",
               "budget": "12.5"}),
        json!({"account": 3, "order_type": "stop", "stop_price": "110", "flags": 6}),
    ];
    assert_eq!(entered.len(), expected.len(), "{entered:?}");
    for (found, expected) in entered.iter().zip(&expected) {
        for (name, value) in expected.as_object().expect("an object") {
            assert_eq!(found[name], *value, "{name} of {found}");
        }
    }
    // What it has fields for, a plain new order says.
    let plain = journaled(dir, "new-order");
    assert_eq!(plain.len(), 1);
    assert_eq!((&plain[0]["time_in_force"], &plain[0]["flags"]), (&json!("day"), &json!(25)));
    let mass = journaled(dir, "mass-cancel");
    let filters: Vec<_> = mass.iter().map(|body| (&body["account"], &body["sides"])).collect();
    let (none, both, sell) = (&json!(0), &json!("both"), &json!("sell"));
    assert_eq!(filters, [(&json!(2), sell), (none, both), (none, both), (none, sell)]);
    assert_eq!((&mass[0]["symbol"], &mass[0]["session"]), (&json!("BTC-USDT"), none));
    let own: Vec<bool> = mass.iter().map(|body| body["session"] != json!(0)).collect();
    assert_eq!(own, [false, true, false, true]);
}

#[test]
fn what_a_command_does_to_other_orders_of_its_session_is_told_with_it() {
    let dir = dir();
    let node = Served::start(dir.path(), &[]);
    let dir = node.dir.as_path();
    let run = |line: &str| run(dir, &format!("{line} --session desk"), 0);
    let of = |account: u64, more: &str| {
        run(&format!("order new --account {account} --symbol BTC-USDT --side {more}"))
    };
    of(3, "sell --price 100 --quantity 1");
    of(3, "sell --price 101 --quantity 4");
    let stop = of(2, "buy --type stop --stop-price 100 --quantity 3 --client-order-id 9");
    assert_eq!(stop["status"], "pending");
    let taken = of(2, "buy --price 100 --quantity 1");
    assert_eq!(taken["fills"], json!([{"price": "100", "quantity": "1"}]));
    let updates = taken["updates"].as_array().expect("rows").clone();
    assert_eq!(updates.len(), 1, "{taken}");
    assert_eq!(updates[0]["change"], "triggered");
    assert_eq!(updates[0]["order_id"], stop["order_id"]);
    assert_eq!(updates[0]["client_order_id"], 9);
    assert_eq!(updates[0]["symbol"], "BTC-USDT");
    let others = taken["other_fills"].as_array().expect("rows");
    let own = others.iter().find(|fill| fill["order_id"] == stop["order_id"]).expect("its fill");
    assert_eq!((&own["price"], &own["quantity"]), (&json!("101"), &json!("3")));
    // One order is left.
    let cancelled = run("order mass-cancel --account 3");
    assert_eq!((&cancelled["status"], &cancelled["canceled"]), (&json!("done"), &json!(1)));
    assert_eq!(cancelled["updates"][0]["change"], "mass-canceled");
    assert_eq!(run("order mass-cancel --mine")["canceled"], 0);
    node.stop();
}

#[test]
fn mistakes_are_told_by_status_and_name() {
    let dir = dir();
    let node = Served::start(dir.path(), &[]);
    let dir = node.dir.as_path();
    let order = |price: &str, quantity: &str| new_order("2", "buy", price, quantity).join(" ");
    for (line, words) in [
        (order("1", "1").replace("BTC-USDT", "ETH-USDT"), "symbol ETH-USDT: no such instrument"),
        (order("100.505", "1"), "price 100.505 is not a multiple of 0.01, the tick of BTC-USDT"),
        (order("100", "0.0000001"), "quantity 0.0000001 is not a multiple of 0.000001, the lot"),
        (order("1e2", "1"), "price 1e2 is not a decimal number"),
        (order("1", "1") + " --type pegged", "limit, market, stop and stop-limit do"),
        (order("1", "1") + " --type iceberg", "write limit, and give --display"),
        (order("1", "1") + " --type stop", "--stop-price: a stop order needs one"),
        (order("1", "1") + " --stop-price 1", "--stop-price: goes with the types stop"),
        (order("1", "1") + " --type stop --stop-price 0.001", "stop price 0.001 is not a multiple"),
        (order("1", "1") + " --tif gtx", "gtc, day, gtd, ioc and fok do"),
        (order("1", "1") + " --tif gtd", "--expires: a gtd order needs the time at which it ends"),
        (order("1", "1") + " --expires 2026-03-01T12:00:00Z", "--expires: goes with the tif gtd"),
        (order("1", "1") + " --tif gtd --expires noon", "write a time in UTC such as 2026-03"),
        (order("1", "1") + " --budget 5", "--budget: goes with a market order that buys alone"),
        (order("1", "1") + " --reprice", "--post-only"),
        (order("1", "1") + " --self-trade never", "write allow, cancel-newest"),
        (order("1", "1") + " --display 0.0000001", "display 0.0000001 is not a multiple of"),
        (order("1", "1").replace(" --price 1", ""), "--price: a limit order needs one"),
        (order("1", "1").replace(" --quantity 1", ""), "--quantity"),
        ("order mass-cancel".to_owned(), "--account"),
        ("order mass-cancel --all --account 2".to_owned(), "cannot be used with"),
        ("order mass-cancel --mine --of-session 4".to_owned(), "cannot be used with"),
        ("order mass-cancel --side up".to_owned(), "write buy, sell or both"),
        (
            "order deposit --account 2 --asset EUR --amount 1".to_owned(),
            "asset EUR: no such asset; there is BTC, USDT",
        ),
        ("book ETH-USDT".to_owned(), "there is BTC-USDT"),
        ("order cancel --account 2 --symbol BTC-USDT".to_owned(), "--order-id"),
    ] {
        refused(dir, &crate::cli_order::words(&line), 2, &[words]);
    }
    for (line, reason) in [
        (order("1", "0"), "InvalidQuantity"),
        (order("-1", "1"), "InvalidPrice"),
        (order("100000", "20000"), "InsufficientFunds"),
        (order("1", "1").replace("--account 2", "--account 99"), "UnknownAccount"),
        ("order cancel --account 2 --symbol BTC-USDT --order-id 1".to_owned(), "TooLate"),
        ("order cancel --account 2 --symbol BTC-USDT --order-id 99999".to_owned(), "UnknownOrder"),
        ("order deposit --account 2 --asset BTC --amount 0".to_owned(), "InvalidAmount"),
    ] {
        let answer = run(dir, &line, 1);
        assert_eq!(answer["status"], "rejected", "{line}");
        assert_eq!(answer["reject_reason"], reason, "{line}");
        assert!(answer["sequence"].is_u64(), "{line}");
        refused(dir, &words(&line), 1, &[reason]);
    }
    refused(dir, &["account", "99"], 1, &["UnknownAccount", "99"]);
    node.stop();
}

#[test]
fn who_cannot_reach_the_node_is_told_where_it_was_looked_for() {
    let dir = dir();
    refused(dir.path(), &["book", "BTC-USDT"], 3, &["journal/endpoint.json", "outcry serve"]);
    refused(dir.path(), &["account", "2", "--connect", "127.0.0.1:1"], 3, &["--key FILE"]);
    let made = outcry(dir.path(), &["keygen", "stranger.key"]);
    assert_eq!(made.status.code(), Some(0));
    let node = Served::start(dir.path(), &[]);
    let stranger = ["book", "BTC-USDT", "--key", "stranger.key"];
    refused(dir.path(), &stranger, 3, &["LogonRefused", "stranger.key", "[[genesis.keys]]"]);
    let elsewhere = ["book", "BTC-USDT", "--key", "missing.key"];
    refused(dir.path(), &elsewhere, 2, &["missing.key"]);
    let key = dir.path().join("journal/keys/demo.key").display().to_string();
    let address = node.address().to_owned();
    let both = ["--connect", &format!("127.0.0.1:1,{address}"), "--key", &key];
    good(dir.path(), &[&["book", "BTC-USDT"], &both[..]].concat());
    node.kill();
    refused(dir.path(), &["book", "BTC-USDT"], 3, &[&address, "endpoint.json"]);
}

#[test]
fn a_repeated_message_id_gives_the_same_answer_and_orders_once() {
    let dir = dir();
    let node = Served::start(dir.path(), &[]);
    let line = new_order("2", "buy", "50", "1").join(" ") + " --message-id twice";
    let first = run(dir.path(), &line, 0);
    let second = run(dir.path(), &(line.clone() + " --timestamp-ms 1"), 0);
    assert_eq!(first["duplicate"], false);
    assert_eq!(second["duplicate"], true);
    for field in ["message_id", "sequence", "order_id", "status", "filled", "leaves", "fills"] {
        assert_eq!(first[field], second[field], "{field}");
    }
    assert_eq!(run(dir.path(), "book BTC-USDT", 0)["bids"], json!([["50", "1", 1]]));
    let other = run(dir.path(), &line.replace("50", "51"), 3);
    assert_eq!(other["reject_reason"], "IdReused");
    assert_eq!(other["sequence"], Value::Null);
    node.stop();
}

#[test]
fn commands_at_the_same_time_have_sessions_of_their_own() {
    let dir = dir();
    let node = Served::start(dir.path(), &[]);
    let spawn = |_| {
        let mut command = command(dir.path(), &["book", "BTC-USDT", "--json"]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary runs")
    };
    let children: Vec<_> = (0..8).map(spawn).collect();
    for child in children {
        let output = child.wait_with_output().expect("a child of ours");
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        assert_eq!(objects(&output).len(), 1);
    }
    node.stop();
}

/// The golden scenario's orders: side, price, quantity.
const G1: &[(&str, &str, &str)] = &[
    ("buy", "2082.34", "1"),
    ("sell", "2087.6", "2"),
    ("buy", "2087.8", "1"),
    ("buy", "2085.01", "5"),
    ("sell", "2088.02", "3"),
    ("sell", "2087.60", "6"),
    ("buy", "2081.11", "7"),
    ("buy", "2086.0", "3"),
    ("buy", "2088.33", "1"),
    ("sell", "2086.54", "2"),
    ("sell", "2086.55", "5"),
    ("buy", "2086.55", "3"),
];

fn g1(dir: &Path, account_of: fn(usize) -> u64) {
    let mut text = "quantity,price,action,side,symbol,account,client_order_id\n".to_owned();
    for (number, (side, price, quantity)) in (1..).zip(G1) {
        let account = account_of(number);
        text.push_str(&format!("{quantity},{price},new,{side},BTC-USDT,{account},{number}\n"));
    }
    std::fs::write(dir.join("g1.csv"), text).expect("a writable directory");
    let mut rows = json(dir, &["order", "file", "g1.csv"], 0);
    let summary = rows.pop().expect("a summary");
    assert_eq!(summary["sent"], 12);
    assert_eq!(summary["acknowledged"], 12);
    assert_eq!(summary["rejected"], json!({}));
    let lines: Vec<_> = rows.iter().map(|row| row["line"].as_u64().expect("a line")).collect();
    assert_eq!(lines, (2..14).collect::<Vec<_>>());
    let status = |number: usize| rows[number - 1]["status"].as_str().expect("a status").to_owned();
    for number in [1, 2, 4, 5, 6, 7, 8, 10, 11] {
        assert_eq!(status(number), "pending", "order {number}");
    }
    for number in [3, 9, 12] {
        assert_eq!(status(number), "fully-filled", "order {number}");
    }
    let fill = |price: &str, quantity: &str| json!({"price": price, "quantity": quantity});
    assert_eq!(rows[2]["fills"], json!([fill("2087.6", "1")]));
    assert_eq!(rows[8]["fills"], json!([fill("2087.6", "1")]));
    assert_eq!(rows[11]["fills"], json!([fill("2086.54", "2"), fill("2086.55", "1")]));
    let book = good(dir, &["book", "BTC-USDT"]);
    assert_eq!(book["last"], "2086.55");
    assert_eq!(book["asks"], json!([["2086.55", "4", 1], ["2087.6", "6", 1], ["2088.02", "3", 1]]));
    assert_eq!(
        book["bids"],
        json!([["2086", "3", 1], ["2085.01", "5", 1], ["2082.34", "1", 1], ["2081.11", "7", 1]])
    );
    let two = good(dir, &["book", "BTC-USDT", "--depth", "2"]);
    assert_eq!(two["asks"].as_array().map(Vec::len), Some(2));
    assert_eq!(two["bids"].as_array().map(Vec::len), Some(2));
    assert_eq!(two["more"], true);
}

#[test]
fn the_golden_scenario_as_a_file_ends_in_its_exact_figures() {
    let figures = |dir: &Path, account, btc: (&str, &str), usdt: (&str, &str)| {
        let owned = |pair: (&str, &str)| (pair.0.to_owned(), pair.1.to_owned());
        assert_eq!(balance(dir, account, "BTC"), owned(btc), "BTC of {account}");
        assert_eq!(balance(dir, account, "USDT"), owned(usdt), "USDT of {account}");
    };
    let one = dir();
    venue(one.path(), &[2]);
    let node = Served::start(one.path(), &[]);
    g1(one.path(), |_| 2);
    figures(one.path(), 2, ("999987", "13"), ("966666.84", "33333.16"));
    figures(one.path(), 1, ("-1000000", "0"), ("-1000000", "0"));
    node.stop();

    let two = dir();
    venue(two.path(), &[2, 3]);
    let node = Served::start(two.path(), &[]);
    g1(two.path(), |number| if number % 2 == 1 { 2 } else { 3 });
    figures(two.path(), 2, ("999994", "7"), ("981261.24", "16650.11"));
    figures(two.path(), 3, ("999993", "6"), ("985405.6", "16683.05"));
    figures(two.path(), 1, ("-2000000", "0"), ("-2000000", "0"));
    node.stop();
}

#[test]
fn nothing_of_a_file_is_sent_unless_all_of_it_is_good() {
    let dir = dir();
    let node = Served::start(dir.path(), &[]);
    let write = |text: &str| std::fs::write(dir.path().join("bad.csv"), text).expect("writable");
    let header = "action,account,symbol,side,price,quantity\n";
    let file = ["order", "file", "bad.csv"];
    write(&format!("{header}new,2,BTC-USDT,buy,10,1\nnew,2,BTC-USDT,up,10,1\n"));
    refused(
        dir.path(),
        &file,
        2,
        &["line 3, column side: up: write buy or sell", "nothing was sent"],
    );
    write(&format!("{header}new,2,BTC-USDT,buy,10,1\nnew,2,BTC-USDT,buy,10.001,1\n"));
    refused(
        dir.path(),
        &file,
        2,
        &["line 3, column price: price 10.001 is not a multiple of 0.01"],
    );
    refused(dir.path(), &["order", "file", "missing.csv"], 2, &["missing.csv"]);
    assert_eq!(run(dir.path(), "book BTC-USDT", 0)["bids"], json!([]));

    write(&format!(
        "{header}new,2,BTC-USDT,buy,10,1\nnew,2,BTC-USDT,buy,10,0\nnew,99,BTC-USDT,buy,1,1\n"
    ));
    let rows = json(dir.path(), &file, 1);
    let summary = rows.last().expect("a summary");
    assert_eq!(summary["sent"], 3);
    assert_eq!((&summary["acknowledged"], &summary["unanswered"]), (&3.into(), &0.into()));
    assert_eq!(summary["rejected"], json!({"InvalidQuantity": 1, "UnknownAccount": 1}));

    // A message id that another command has used gets no sequence: it is refused, not acknowledged.
    let one = |price: u64| write(&format!("{header}new,2,BTC-USDT,buy,{price},1\n"));
    let named = [&file[..], &["--message-ids", "monday"]].concat();
    one(10);
    json(dir.path(), &named, 0);
    one(11);
    let summary = json(dir.path(), &named, 1).pop().expect("a summary");
    assert_eq!((&summary["sent"], &summary["acknowledged"]), (&1.into(), &0.into()));
    assert_eq!(
        (&summary["rejected"], &summary["unanswered"]),
        (&json!({"IdReused": 1}), &0.into())
    );
    node.stop();
}

#[test]
fn fills_that_an_answer_has_no_room_for_are_waited_for() {
    let dir = dir();
    let node = Served::start(dir.path(), &[]);
    let mut text = "action,account,symbol,side,price,quantity\n".to_owned();
    for price in 1..=40 {
        text.push_str(&format!("new,3,BTC-USDT,sell,{price},1\n"));
    }
    text.push_str("new,2,BTC-USDT,buy,30,30\n");
    std::fs::write(dir.path().join("sweep.csv"), text).expect("a writable directory");
    let rows = json(dir.path(), &["order", "file", "sweep.csv"], 0);
    assert_eq!(rows[40]["fills"].as_array().map(Vec::len), Some(30));
    let sweep = run(dir.path(), &new_order("2", "buy", "40", "10").join(" "), 0);
    assert_eq!(sweep["fill_count"], 10);
    let mut more = "action,account,symbol,side,price,quantity\n".to_owned();
    (1..=20).for_each(|price| more.push_str(&format!("new,3,BTC-USDT,sell,{price},1\n")));
    std::fs::write(dir.path().join("more.csv"), more).expect("a writable directory");
    json(dir.path(), &["order", "file", "more.csv"], 0);
    let sweep = run(dir.path(), &new_order("2", "buy", "40", "20").join(" "), 0);
    let fills = sweep["fills"].as_array().expect("fills");
    assert_eq!(fills.len(), 20);
    assert_eq!(fills[19], json!({"price": "20", "quantity": "1"}));
    node.stop();
}

#[test]
fn a_killed_node_keeps_every_answered_order() {
    const ORDERS: u64 = 3000;
    let dir = dir();
    let node = Served::start(dir.path(), &[]);
    let mut text = "action,account,symbol,side,price,quantity\n".to_owned();
    (0..ORDERS).for_each(|_| text.push_str("new,2,BTC-USDT,buy,10,0.001\n"));
    std::fs::write(dir.path().join("many.csv"), text).expect("a writable directory");
    let args = ["order", "file", "many.csv", "--message-ids", "many", "--window", "64", "--json"];
    let mut child = command(dir.path(), &args)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the binary runs");
    let lines = Lines::of(&mut child);
    let mut answered: Vec<Value> = (0..200).map(|_| lines.next().expect("an answer")).collect();
    node.kill();
    while let Some(line) = lines.next() {
        answered.push(line);
    }
    let ended = wait(&mut child);
    let summary = answered.pop().expect("a summary");
    if ended == 3 {
        assert!(summary["unanswered"].as_u64() > Some(0), "{summary}");
    }
    let node = Served::start(dir.path(), &[]);
    let again = json(dir.path(), &args[..7], 0);
    assert_eq!(again.last().expect("a summary")["acknowledged"], ORDERS);
    let rows = &again[..again.len() - 1];
    for before in &answered {
        let after = rows.iter().find(|row| row["line"] == before["line"]).expect("every line");
        assert_eq!(after["duplicate"], true, "line {}", before["line"]);
        assert_eq!(after["sequence"], before["sequence"]);
        assert_eq!(after["order_id"], before["order_id"]);
    }
    let book = run(dir.path(), "book BTC-USDT", 0);
    assert_eq!(book["bids"], json!([["10", "3", ORDERS]]));
    node.stop();
}

#[test]
fn without_an_answer_the_outcome_is_unknown_and_can_be_asked_for() {
    let dir = dir();
    assert_eq!(outcry(dir.path(), &["keygen", "any.key"]).status.code(), Some(0));
    let address = mute::server(Then::Silence);
    let line = new_order("2", "buy", "1", "1").join(" ")
        + &format!(" --connect {address} --key any.key --timeout-s 1 --message-id lost-1");
    let told = ["outcome of message lost-1 is unknown", "--message-id lost-1 --timestamp-ms "];
    refused(dir.path(), &words(&line), 3, &told);
}
