//! Admin commands: who may give them, what they change, and that it lasts.

use super::frame::{
    ADMIN, BUY, Body, CANCEL_ORDER, DEPOSIT, DIRECTORY_QUERY, Draft, Fields, LOGOUT, Message,
    Order, REFERENCE_QUERY, SCHEMA_QUERY, amount, cancel,
};
use super::node::{BASE, Home, Node, Who, shared};
use super::peer::{Peer, answer, book_query, logon, reason};
use ed25519_dalek::SigningKey;
use serde_json::{Value, json};
use std::process::Command;

const BAD_PAYLOAD: u16 = 17;
const SIGNATURE_REQUIRED: u16 = 13;
const LOGON_REFUSED: u16 = 19;
const NOT_ENTITLED: u16 = 20;
const UNKNOWN_ACCOUNT: u16 = 102;
const LIABILITY_ACCOUNT: u16 = 116;
const UNKNOWN_KEY: u16 = 118;
const DUPLICATE_KEY: u16 = 119;
const LAST_OPERATOR: u16 = 120;
const INCOMPATIBLE_SCHEMA: u16 = 121;
const SCHEMA_CONFLICT: u16 = 122;

/// The payload of an admin command with this text.
fn payload(text: &str) -> Vec<u8> {
    let size = u16::try_from(text.len()).expect("a short text");
    let mut bytes = Fields::default().u16(size).0;
    bytes.extend(text.as_bytes());
    bytes
}

fn draft(peer: &mut Peer, key: &SigningKey, command: &Value) -> Draft {
    peer.draft(ADMIN, payload(&command.to_string())).signed(key)
}

/// What an operator's admin command gets.
fn tell(peer: &mut Peer, command: &Value) -> Message {
    let draft = draft(peer, &Who::Operator.key(), command);
    peer.ask(&draft)
}

/// An operator's admin command, which is done.
fn done(peer: &mut Peer, command: &Value) {
    let answer = answer(tell(peer, command));
    assert_eq!((answer.status, answer.reason), (8, 0), "{command}");
    assert!(answer.sequence > 0 && answer.outbound > 0, "{answer:?}");
}

/// An operator's admin command, which the exchange refuses for this reason.
fn rejected(peer: &mut Peer, command: &Value, reason: u16) {
    let answer = answer(tell(peer, command));
    assert_eq!((answer.status, answer.reason), (6, reason), "{command}");
}

/// The whole directory, asked for in pages.
fn directory(peer: &mut Peer) -> (Value, Vec<Value>) {
    let mut keys: Vec<Value> = Vec::new();
    loop {
        let after = keys.last().map_or(0, |key| key["key"].as_u64().expect("a number"));
        let after = Fields::default().u32(u32::try_from(after).expect("small")).0;
        let draft = Draft::session(DIRECTORY_QUERY, peer.sequence(), after);
        let Body::Directory { more, text } = peer.ask(&draft).body else { panic!("no directory") };
        let page: Value = serde_json::from_str(&text).expect("JSON");
        keys.extend(page["keys"].as_array().expect("a list").clone());
        if !more {
            return (page["controls"].clone(), keys);
        }
    }
}

fn hex(key: &SigningKey) -> String {
    key.verifying_key().to_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn only_a_signed_command_of_an_operator_is_sequenced() {
    let node = shared();
    let share = json!({ "do": "set-bulk-share", "one_in": 8 });
    let mut operator = node.log_on(Who::Operator, "admin");
    let unsigned = operator.draft(ADMIN, payload(&share.to_string()));
    assert_eq!(reason(&operator.ask(&unsigned)), SIGNATURE_REQUIRED);
    let forged = draft(&mut operator, &Who::Reader.key(), &share);
    assert_eq!(reason(&operator.ask(&forged)), 12);
    done(&mut operator, &share);

    for who in [Who::TraderOfTwo, Who::Canceller, Who::Reader] {
        let mut peer = node.log_on(who, "admin");
        let asked = draft(&mut peer, &who.key(), &share);
        assert_eq!(reason(&peer.ask(&asked)), NOT_ENTITLED, "{who:?}");
        let query = Draft::session(DIRECTORY_QUERY, peer.sequence(), vec![0; 4]);
        assert_eq!(reason(&peer.ask(&query)), NOT_ENTITLED, "{who:?}");
    }
}

#[test]
fn a_text_that_is_no_command_is_refused_and_the_session_goes_on() {
    let node = shared();
    let mut operator = node.log_on(Who::Operator, "nonsense");
    let deep = "[".repeat(3000);
    for text in [
        "",
        "null",
        "{}",
        "\u{0}",
        &deep,
        r#"{"do":"stop"}"#,
        r#"{"do":"set-bulk-share","one_in":0}"#,
        r#"{"do":"set-bulk-share","one_in":257}"#,
        r#"{"do":"set-bulk-share","one_in":8,"also":1}"#,
        r#"{"do":"set-lane","lane":"critical","max_batch":1025}"#,
        r#"{"do":"set-lane","lane":"fast","max_batch":1}"#,
        r#"{"do":"set-entitlement","key":1,"priority":"critical","critical_per_s":1000001}"#,
        r#"{"do":"define-key","public_key":"12","role":"trade"}"#,
        r#"{"do":"register-schema","schema":{"id":999,"name":"report","version":1}}"#,
        r#"{"do":"register-schema","schema":{"id":1000,"name":"Report","version":1}}"#,
        r#"{"do":"register-schema","schema":{"id":1000,"name":"report","version":70000}}"#,
    ] {
        let draft = operator.draft(ADMIN, payload(text)).signed(&Who::Operator.key());
        assert_eq!(reason(&operator.ask(&draft)), BAD_PAYLOAD, "{text}");
    }
    let whole = payload(r#"{"do":"set-bulk-share","one_in":8}"#);
    for cut in [0, 1, 2, whole.len() - 1] {
        let draft = operator.draft(ADMIN, whole[..cut].to_vec()).signed(&Who::Operator.key());
        assert_eq!(reason(&operator.ask(&draft)), BAD_PAYLOAD, "{cut} bytes");
    }
    operator.ping(1);
}

#[test]
fn the_exchange_refuses_what_names_nothing_that_is_there() {
    let node = shared();
    let mut operator = node.log_on(Who::Operator, "names");
    let key = hex(&Who::Reader.key());
    for (command, reason) in [
        (json!({ "do": "disable-key", "key": 0 }), UNKNOWN_KEY),
        (json!({ "do": "disable-key", "key": 4_000_000_000_u32 }), UNKNOWN_KEY),
        (json!({ "do": "set-key-accounts", "key": 99_999, "accounts": [2] }), UNKNOWN_KEY),
        (json!({ "do": "set-key-accounts", "key": 5, "accounts": [9999] }), UNKNOWN_ACCOUNT),
        (json!({ "do": "set-key-accounts", "key": 5, "accounts": [1] }), LIABILITY_ACCOUNT),
        (json!({ "do": "define-key", "public_key": key, "role": "operator" }), DUPLICATE_KEY),
        (json!({ "do": "disable-key", "key": 1 }), LAST_OPERATOR),
    ] {
        rejected(&mut operator, &command, reason);
    }
}

#[test]
fn a_repeated_admin_command_gets_its_first_answer() {
    let home = Home::new();
    let node = home.start(&[]);
    let mut operator = node.log_on(Who::Operator, "twice");
    let key = SigningKey::from_bytes(&[77; 32]);
    let command = json!({ "do": "define-key", "public_key": hex(&key), "role": "operator" });
    let first = draft(&mut operator, &Who::Operator.key(), &command);
    let original = answer(operator.ask(&first));
    assert_eq!(original.status, 8);
    let again = operator.ask(&first.clone().flags(super::frame::FLAG_AGAIN));
    assert!(again.again);
    assert_eq!(answer(again), original);
    // Also by a node that knows the id from its journal alone.
    node.kill();
    let node = home.start(&[]);
    let mut operator = node.log_on(Who::Operator, "once more");
    let again = operator.ask(&first.flags(super::frame::FLAG_AGAIN));
    assert!(again.again);
    assert_eq!(answer(again).sequence, original.sequence);
    assert_eq!(directory(&mut operator).1.len(), 6);
}

/// A key's row of the directory.
fn row(node: &Node, number: usize) -> Value {
    directory(&mut node.log_on(Who::Operator, "row")).1[number - 1].clone()
}

#[test]
fn what_a_key_may_do_changes_with_the_answer_and_outlives_a_restart() {
    let home = Home::new();
    let node = home.start(&[]);
    let mut operator = node.log_on(Who::Operator, "rights");
    let mut trader = node.log_on(Who::TraderOfTwo, "rights");
    let order = |account| Order::new(account, 1, BUY, 9, 1);
    let resting = trader.order(order(2));
    assert_eq!(resting.status, 3);

    // Other accounts: at once, for a session that is open.
    done(&mut operator, &json!({ "do": "set-key-accounts", "key": 2, "accounts": [4, 3, 4] }));
    let foreign = trader.draft_order(order(2));
    assert_eq!(reason(&trader.ask(&foreign)), NOT_ENTITLED);
    assert_eq!(trader.order(order(4)).status, 3);
    done(
        &mut operator,
        &json!({
            "do": "set-entitlement", "key": 2, "priority": "critical", "critical_per_s": 7
        }),
    );

    // A further key.
    let fresh = SigningKey::from_bytes(&[99; 32]);
    let mut early = node.connect();
    early.send(&logon(&early.nonce, &fresh, b"fresh").seal());
    assert_eq!(early.rejects_until_closed(), [LOGON_REFUSED]);
    let command = json!({
        "do": "define-key", "public_key": hex(&fresh).to_uppercase(), "role": "trade",
        "accounts": [5], "priority": "high"
    });
    done(&mut operator, &command);
    let mut newcomer = node.connect();
    let accepted = newcomer.log_on(&fresh, "fresh");
    assert_eq!((accepted.key, accepted.role), (6, 1));
    assert_eq!(newcomer.order(order(5)).status, 3);

    // A disabled key: its open session may only say goodbye.
    done(&mut operator, &json!({ "do": "disable-key", "key": 2 }));
    for draft in [
        trader.draft_order(order(4)),
        trader.draft(CANCEL_ORDER, cancel(4, 1, resting.order_id, 0)),
        book_query(trader.sequence(), 1, 0, false),
        Draft::session(REFERENCE_QUERY, trader.sequence(), vec![0; 8]),
    ] {
        assert_eq!(reason(&trader.ask(&draft)), NOT_ENTITLED);
    }
    trader.ping(3);
    let goodbye = Draft::session(LOGOUT, trader.sequence(), Vec::new());
    assert_eq!(trader.ask(&goodbye).body, Body::LoggedOut(0));
    let mut refused = node.connect();
    refused.send(&logon(&refused.nonce, &Who::TraderOfTwo.key(), b"rights").seal());
    assert_eq!(refused.rejects_until_closed(), [LOGON_REFUSED]);
    done(&mut operator, &json!({ "do": "set-lane", "lane": "normal", "max_batch": 5 }));
    done(&mut operator, &json!({ "do": "set-bulk-share", "one_in": 16 }));

    let expected = json!({
        "key": 2, "public_key": hex(&Who::TraderOfTwo.key()), "role": "trade", "accounts": [3, 4],
        "account_count": 2, "priority": "critical", "critical_per_s": 7, "active": false
    });
    assert_eq!(row(&node, 2), expected);
    node.kill();

    let node = home.start(&[]);
    let mut operator = node.log_on(Who::Operator, "later");
    let (controls, keys) = directory(&mut operator);
    assert_eq!(controls, json!({ "bulk_share": 16, "max_batch": [null, 5, null] }));
    assert_eq!(keys[1], expected);
    assert_eq!((&keys[5]["priority"], &keys[5]["critical_per_s"]), (&json!("high"), &json!(100)));
    let mut refused = node.connect();
    refused.send(&logon(&refused.nonce, &Who::TraderOfTwo.key(), b"rights").seal());
    assert_eq!(refused.rejects_until_closed(), [LOGON_REFUSED]);
    done(&mut operator, &json!({ "do": "enable-key", "key": 2 }));
    let mut trader = node.log_on(Who::TraderOfTwo, "later");
    assert_eq!(trader.order(order(4)).status, 3);
    assert_eq!(row(&node, 2)["active"], true);
    // A second operator may end the first one's rights; the last one stays.
    let second = SigningKey::from_bytes(&[55; 32]);
    let command = json!({ "do": "define-key", "public_key": hex(&second), "role": "operator" });
    done(&mut operator, &command);
    done(&mut operator, &json!({ "do": "disable-key", "key": 1 }));
    let deposit = operator.draft(DEPOSIT, amount(2, BASE, 1));
    assert_eq!(reason(&operator.ask(&deposit)), NOT_ENTITLED);
    let mut other = node.connect();
    other.log_on(&second, "second");
    let last = draft(&mut other, &second, &json!({ "do": "disable-key", "key": 7 }));
    assert_eq!(answer(other.ask(&last)).reason, LAST_OPERATOR);

    // Recovery and a replay offline build the state that was live.
    let live = node.stop();
    let replay = Command::new(env!("CARGO_BIN_EXE_outcry"))
        .current_dir(home.path())
        .args(["replay", "--json", "--data-dir", "data", "--config", "config.toml"])
        .output()
        .expect("the binary runs");
    let text = String::from_utf8(replay.stdout).expect("text");
    let last = text.lines().last().expect("a result");
    let replayed: Value = serde_json::from_str(last).expect("JSON");
    assert_eq!(replayed["state_hash"], live["state_hash"]);
    let node = home.start(&[]);
    assert_eq!(node.stop()["state_hash"], live["state_hash"]);
}

/// All registered schemas, asked for in pages; and how many pages there were.
fn schemas(peer: &mut Peer) -> (Vec<Value>, usize) {
    let (mut all, mut pages): (Vec<Value>, usize) = (Vec::new(), 0);
    loop {
        let after = Fields::default().u32(u32::try_from(all.len()).expect("few")).0;
        let draft = Draft::session(SCHEMA_QUERY, peer.sequence(), after);
        let Body::Schemas { more, text } = peer.ask(&draft).body else { panic!("no schemas") };
        let page: Value = serde_json::from_str(&text).expect("JSON");
        all.extend(page["schemas"].as_array().expect("a list").clone());
        pages += 1;
        if !more {
            return (all, pages);
        }
    }
}

#[test]
fn everybody_sees_in_pages_what_an_operator_registered() {
    let home = Home::new();
    let node = home.start(&[]);
    let mut operator = node.log_on(Who::Operator, "schemas");
    let mut reader = node.log_on(Who::Reader, "schemas");
    assert_eq!(schemas(&mut reader), (Vec::new(), 1));
    let schema = |id: u32, version: u16, kind: &str| {
        let field = json!({ "id": 1, "name": "side", "type": kind, "required": true });
        let about = "-".repeat(3500);
        let name = format!("schema-{id}");
        json!({ "id": id, "name": name, "version": version, "about": about, "fields": [field] })
    };
    let command = |schema: &Value| json!({ "do": "register-schema", "schema": schema });
    let all: Vec<Value> = (1000..1009).map(|id| schema(id, 1, "uint8")).collect();
    let mut places = Vec::new();
    for schema in &all {
        let answer = answer(tell(&mut operator, &command(schema)));
        assert_eq!((answer.status, answer.reason), (8, 0));
        places.push(answer.sequence);
    }
    rejected(&mut operator, &command(&schema(1000, 2, "uint16")), INCOMPATIBLE_SCHEMA);
    rejected(&mut operator, &command(&schema(1000, 1, "uint16")), SCHEMA_CONFLICT);
    done(&mut operator, &command(&all[3]));
    let expected: Vec<Value> = all
        .iter()
        .zip(&places)
        .map(|(schema, place)| json!({ "sequence": place, "schema": schema }))
        .collect();
    let (found, pages) = schemas(&mut reader);
    assert_eq!(found, expected);
    assert_eq!(pages, 3, "four of them fit into a frame");
    for bad in [vec![], vec![0; 3], vec![0; 5]] {
        let draft = Draft::session(SCHEMA_QUERY, reader.sequence(), bad);
        assert_eq!(reason(&reader.ask(&draft)), BAD_PAYLOAD);
    }
    let beyond = Draft::session(SCHEMA_QUERY, reader.sequence(), vec![0xFF; 4]);
    let empty = Body::Schemas { more: false, text: r#"{"schemas":[]}"#.into() };
    assert_eq!(reader.ask(&beyond).body, empty);
    // A key that is disabled sees nothing more.
    let number = directory(&mut operator).1.iter().position(|key| key["role"] == "read-only");
    let number = number.expect("a reader") + 1;
    done(&mut operator, &json!({ "do": "disable-key", "key": number }));
    let draft = Draft::session(SCHEMA_QUERY, reader.sequence(), vec![0; 4]);
    assert_eq!(reason(&reader.ask(&draft)), NOT_ENTITLED);
    node.kill();
    let node = home.start(&[]);
    assert_eq!(schemas(&mut node.log_on(Who::Operator, "later")).0, expected);
    node.stop();
}
