//! `encode` and `decode`: every golden frame as JSON and back, bad frames told by their byte, and the
//! commands themselves.

use crate::native_golden::{Vector, key, unhex, vectors};
use crate::sim::random::Random;
use crate::support::{command, dir, json, refused, stderr};
use openoutcry::keys::KeyPair;
use openoutcry::schema::explain::explain;
use openoutcry::schema::frame::{Choices, LIMITS, encode, to_json};
use openoutcry::schema::{Registry, SchemaDefinition};
use openoutcry::wire::Frame;
use openoutcry::wire::integrity::{crc64, sha256};
use serde_json::{Map, Value};
use std::io::Write;
use std::path::Path;
use std::process::{Output, Stdio};

const GOOD: [&str; 3] = ["commands.hex", "to_server.hex", "from_server.hex"];

fn golden() -> impl Iterator<Item = Vector> {
    GOOD.iter().flat_map(|file| vectors(file))
}

fn sealed(json: &Map<String, Value>, registry: &Registry) -> Result<Vec<u8>, String> {
    let signed = json["flags"].to_string().contains("signed");
    let key = key();
    let choices = Choices { key: signed.then_some(&key), ..Choices::default() };
    let mut out = Vec::new();
    encode(registry, json, &choices, &mut out).map_err(|error| error.to_string())?;
    Ok(out)
}

#[test]
fn every_golden_frame_is_the_same_after_json() {
    let registry = Registry::new();
    for Vector { name, bytes, .. } in golden() {
        let frame = Frame::open(&bytes, &LIMITS).expect("a golden frame");
        let first = to_json(&registry, &frame).expect("a message");
        let text = serde_json::to_string(&first).expect("plain data");
        let read: Map<String, Value> = serde_json::from_str(&text).expect("it was just written");
        let again = sealed(&read, &registry).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(again, bytes, "{name}");
        let frame = Frame::open(&again, &LIMITS).expect("just sealed");
        assert_eq!(to_json(&registry, &frame).expect("a message"), first, "{name}");
    }
}

#[test]
fn every_byte_of_a_golden_frame_belongs_to_one_field_that_is_explained() {
    let registry = Registry::new();
    for Vector { name, bytes, .. } in golden() {
        let told = explain(&registry, &bytes, Some(&key().verifying_key()));
        assert_eq!(told.fault, None, "{name}");
        assert_eq!(told.length, bytes.len(), "{name}");
        let mut at = 0;
        for row in &told.rows {
            assert_eq!(row.offset, at, "{name}: {row:?}");
            assert_eq!(unhex(&row.bytes), bytes[row.range()], "{name}: {row:?}");
            assert_ne!(row.part, "?", "{name}");
            assert_ne!(row.name, "unread", "{name}");
            at += row.size;
        }
        assert_eq!(at, bytes.len(), "{name}");
        let signature = told.rows.iter().find(|row| row.name == "signature");
        assert!(signature.is_none_or(|row| row.meaning.starts_with("right")), "{name}");
        for checked in ["crc", "hash"] {
            let row = told.rows.iter().find(|row| row.name == checked).expect("an integrity block");
            assert!(row.meaning.starts_with("right"), "{name}: {row:?}");
        }
    }
}

#[test]
fn what_an_order_asks_for_is_told_in_words() {
    let vectors = vectors("commands.hex");
    let order = vectors.iter().find(|it| it.name == "an order with further fields");
    let bytes = &order.expect("it is there").bytes;
    let told = explain(&Registry::new(), bytes, None);
    let last = |name: &str| {
        let row = told.rows.iter().rfind(|row| row.name == name);
        row.unwrap_or_else(|| panic!("no {name}")).meaning.clone()
    };
    assert_eq!(last("flags"), "post-only, self-trade cancel-oldest, reprice");
    assert_eq!(last("expires"), "2027-01-15T08:00:00.000000000Z");
    assert_eq!((last("order_type"), last("time_in_force")), ("stop-limit".into(), "gtd".into()));
}

#[test]
fn a_bad_frame_says_the_reason_a_client_is_told_and_the_byte() {
    let registry = Registry::new();
    let mut told = Vec::new();
    for Vector { name, bytes, expected } in vectors("refused.hex") {
        let explained = explain(&registry, &bytes, Some(&key().verifying_key()));
        let Some(reason) = expected.strip_prefix("error ") else { continue };
        let (reason, text) = reason.trim_end().split_once(": ").expect("a reason and a sentence");
        // The vectors were refused by a node whose longest frame is shorter than what is explained,
        // and which is strict about the reserved field.
        if ["FrameTooLong", "BadReserved"].contains(&reason) {
            continue;
        }
        let fault = explained.fault.unwrap_or_else(|| panic!("{name}: {reason}"));
        assert_eq!((fault.reason, fault.text.as_str()), (reason, text), "{name}");
        assert!(fault.offset <= bytes.len(), "{name}");
        told.push(format!("{} at {}: {name}", fault.reason, fault.offset));
    }
    assert!(told.len() > 15);
    let expect = |start: &str| {
        assert!(told.iter().any(|line| line.starts_with(start)), "{start}: {told:#?}");
    };
    // The frames are the example of docs/NATIVE.md with one thing wrong.
    expect("BadMagic at 0:");
    expect("UnsupportedVersion at 1:");
    expect("BadBitMode at 13:");
    expect("BadChecksum at 129:");
    expect("BadHash at 137:");
    expect("UnknownSchema at 4:");
}

#[test]
fn no_bytes_make_the_explanation_panic() {
    let seed = std::env::var("SEED").map_or_else(
        |_| std::time::UNIX_EPOCH.elapsed().expect("after 1970").as_nanos() as u64,
        |seed| seed.parse().expect("SEED is a number"),
    );
    eprintln!("explanations: SEED={seed}");
    let mut random = Random::new(seed);
    let registry = registry();
    let golden: Vec<Vec<u8>> = golden().map(|vector| vector.bytes).chain([custom()]).collect();
    let mut good = 0;
    for _ in 0..4000 {
        let mut bytes = golden[random.below(golden.len() as u64) as usize].clone();
        for _ in 0..random.below(4) {
            let at = random.below(bytes.len() as u64) as usize;
            match random.below(4) {
                0 => bytes.truncate(at.max(1)),
                1 => bytes.insert(at, random.next() as u8),
                2 => bytes[at] ^= 1 << random.below(8),
                _ => bytes[at] = random.next() as u8,
            }
        }
        if random.below(2) == 0 {
            reseal(&mut bytes);
        }
        let told = explain(&registry, &bytes, None);
        assert!(told.rows.iter().all(|row| row.offset + row.size <= bytes.len()));
        assert!(told.fault.iter().all(|fault| fault.offset <= bytes.len()));
        // Without a fault it is a frame that its receiver reads, and the other way round.
        let opened = Frame::open(&bytes, &LIMITS).is_ok();
        assert!(opened || told.fault.is_some());
        if told.fault.is_some() || told.length != bytes.len() {
            continue;
        }
        good += 1;
        let json = told.json.expect("a good frame");
        let plain = bytes[3] & 4 == 0 && bytes[12] == 8 && bytes[14..16] == [0, 0];
        if plain && json["schema"].as_u64() < Some(1000) {
            assert_eq!(sealed(&json, &registry), Ok(bytes), "{json:?}");
        }
    }
    eprintln!("explanations: {good} frames were good");
    assert!(good > 50);
}

/// Makes length, CRC and hash right, so that what is wrong inside is looked at.
fn reseal(bytes: &mut [u8]) {
    let Some(block) = bytes.len().checked_sub(40).filter(|block| *block >= 16) else { return };
    let length = bytes.len() as u32;
    bytes[8..12].copy_from_slice(&length.to_be_bytes());
    let crc = crc64(&bytes[..block]);
    bytes[block..block + 8].copy_from_slice(&crc.to_be_bytes());
    let hash = sha256(&bytes[..block + 8]);
    bytes[block + 8..].copy_from_slice(&hash);
}

const PING: &str = r#"
id = 1000
name = "task-order"
version = 1
fields = [
    { id = 1, name = "account", type = "uint64", required = true },
    { id = 2, name = "note", type = "string", max_bytes = 16 },
    { id = 3, name = "priority_hint", type = "int" },
]
"#;

fn registry() -> Registry {
    let mut registry = Registry::new();
    let schema = SchemaDefinition::from_toml(PING).expect("a good schema");
    registry.register(schema).expect("the first one");
    registry
}

/// A message of a registered schema.
fn custom() -> Vec<u8> {
    let json = serde_json::json!({
        "schema": "task-order", "bit_mode": 16,
        "metadata": {"message_id": "t-1", "timestamp": 1_700_000_000_000_i64},
        "payload": {"account": 2, "note": "hello", "priority_hint": -300},
    });
    let mut out = Vec::new();
    let message = json.as_object().expect("an object");
    encode(&registry(), message, &Choices::default(), &mut out).expect("a good message");
    out
}

#[test]
fn a_message_of_a_registered_schema_is_encoded_and_explained() {
    let bytes = custom();
    let told = explain(&registry(), &bytes, None);
    assert_eq!(told.fault, None);
    let json = told.json.expect("it could be opened");
    assert_eq!(json["payload"]["priority_hint"], -300);
    assert_eq!(json["payload"]["note"], "hello");
    let shown: Vec<(&str, usize)> = told
        .rows
        .iter()
        .filter(|row| row.part == "payload")
        .map(|row| (row.name.as_str(), row.size))
        .collect();
    let head = [("field id", 2), ("field size", 2)];
    let mut expected = vec![("version", 2)];
    for field in [("account", 8), ("note", 5), ("priority_hint", 2)] {
        expected.extend(head);
        expected.push(field);
    }
    assert_eq!(shown, expected);
    // Who does not have the schema says so by its id.
    let fault = explain(&Registry::new(), &bytes, None).fault.expect("unknown");
    assert_eq!((fault.offset, fault.reason), (4, "UnknownSchema"));
    assert_eq!(fault.text, "Schema not found: 1000");
}

#[test]
fn json_that_is_no_message_is_refused_by_the_name_of_its_field() {
    let registry = Registry::new();
    let order = |change: &dyn Fn(&mut Value)| {
        let mut json = serde_json::json!({
            "schema": 1, "metadata": {"message_id": "a", "timestamp": 1},
            "payload": {
                "account": 2, "instrument": 1, "side": "buy", "order_type": "limit",
                "time_in_force": "gtc", "flags": 0, "price": 100, "quantity": 5,
                "client_order_id": 200,
            },
        });
        change(&mut json);
        let mut out = Vec::new();
        let message = json.as_object().expect("an object");
        let result = encode(&registry, message, &Choices::default(), &mut out);
        assert_eq!(result.is_err(), out.is_empty());
        result.map_err(|error| error.to_string())
    };
    assert_eq!(order(&|_| ()), Ok(()));
    let refused = |change: &dyn Fn(&mut Value), words: &str| {
        let error = order(change).expect_err(words);
        assert!(error.contains(words), "{error}");
    };
    refused(&|json| json["payload"]["side"] = "up".into(), "side is enum8: \"up\" is none");
    refused(&|json| json["payload"]["side"] = 3.into(), "field 3 side cannot be 3");
    refused(
        &|json| json["payload"]["sides"] = 3.into(),
        "sides is no field here; there is account",
    );
    refused(&|json| json["payload"]["price"] = Value::Null, "price is decimal: null is none");
    refused(
        &|json| drop(json["payload"].as_object_mut().map(|p| p.remove("price"))),
        "field 7 price",
    );
    refused(&|json| json["payload"]["client_order_id"] = (-1).into(), "field 9 client_order_id");
    refused(&|json| json["bit_mode"] = 8.into(), "Integer overflow for 8-bit mode");
    refused(&|json| json["bit_mode"] = 12.into(), "it is 8, 16, 32 or 64");
    refused(&|json| json["schema"] = 777.into(), "Schema not found: 777");
    refused(&|json| json["flags"] = vec!["signed"].into(), "name the file of its key");
    refused(&|json| json["metadata"]["message_id"] = "".into(), "the message id is empty");
    refused(&|json| json["metdata"] = 1.into(), "metdata: unknown");
    refused(&|json| drop(json.as_object_mut().map(|json| json.remove("metadata"))), "metadata: ");
}

fn piped(dir: &Path, args: &[&str], input: &[u8]) -> Output {
    let mut child = command(dir, args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    // A command that refuses its input does not read all of it.
    let _ = child.stdin.take().expect("stdin was piped").write_all(input);
    child.wait_with_output().expect("it ends")
}

#[test]
fn the_commands_encode_what_they_decode() {
    let dir = dir();
    let dir = dir.path();
    KeyPair::from_seed(&[7; 32]).save(&dir.join("a.key")).expect("a writable directory");
    let plain: Vec<u8> =
        golden().map(|vector| vector.bytes).filter(|bytes| bytes[3] & 4 == 0).flatten().collect();
    let decoded = piped(dir, &["decode", "--json"], &plain);
    assert_eq!(decoded.status.code(), Some(0), "{}", stderr(&decoded));
    let encoded = piped(dir, &["encode", "--raw"], &decoded.stdout);
    assert_eq!(encoded.status.code(), Some(0), "{}", stderr(&encoded));
    assert_eq!(encoded.stdout, plain);
    let signed = golden().find(|vector| vector.bytes[3] & 4 != 0).expect("a signed one").bytes;
    let decoded = piped(dir, &["decode", "--json"], &signed);
    let again = piped(dir, &["encode"], &decoded.stdout);
    assert_eq!(again.status.code(), Some(1));
    assert!(stderr(&again).contains("marked as signed"), "{}", stderr(&again));
    let again = piped(dir, &["encode", "--key", "a.key"], &decoded.stdout);
    assert_eq!(unhex(&String::from_utf8_lossy(&again.stdout)), signed);
    let told = piped(dir, &["decode"], &again.stdout);
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    for words in ["right: the CRC-64/XZ of the", "right: the SHA-256 of the", "a good frame"] {
        assert!(told.contains(words), "{words}: {told}");
    }
    let mut bad = signed.clone();
    bad[60] ^= 1;
    let told = piped(dir, &["decode"], &bad);
    assert_eq!(told.status.code(), Some(1));
    assert!(stderr(&told).contains("BadChecksum"), "{}", stderr(&told));
    // Behind a frame that is bad the next one is found, unless its length cannot be believed.
    let lines = |input: &[u8]| {
        let told = piped(dir, &["decode", "--raw", "--json"], input);
        assert_eq!(told.status.code(), Some(1));
        told.stdout.iter().filter(|byte| **byte == b'\n').count()
    };
    assert_eq!(lines(&[&bad[..], &signed].concat()), 2);
    bad[0] = 0;
    assert_eq!(lines(&[&bad[..], &signed].concat()), 1);
    let none = piped(dir, &["decode"], b"hello");
    assert_eq!(none.status.code(), Some(2));
}

#[test]
fn schemas_of_the_directory_are_listed_shown_and_checked() {
    let dir = dir();
    let dir = dir.path();
    let built_in = json(dir, &["schema", "list"], 0);
    let last = built_in.last().expect("a last line");
    assert_eq!(last["count"], built_in.len() - 1);
    assert_eq!(last["next"], Value::Null);
    std::fs::create_dir(dir.join("schemas")).expect("a writable directory");
    let file = |name: &str, text: &str| {
        std::fs::write(dir.join("schemas").join(name), text).expect("a writable directory");
    };
    file("task.toml", PING);
    let all = json(dir, &["schema", "list"], 0);
    assert_eq!(all.len(), built_in.len() + 1);
    assert_eq!(all[all.len() - 2]["name"], "task-order");
    let shown = json(dir, &["schema", "show", "task-order@1"], 0);
    let back: SchemaDefinition = serde_json::from_value(shown[0].clone()).expect("a schema");
    assert_eq!(back, SchemaDefinition::from_toml(PING).expect("a good schema"));
    refused(dir, &["schema", "show", "4711"], 1, &["Schema not found: 4711"]);
    refused(dir, &["schema", "show", "1@2"], 1, &["Schema not found: 1@2"]);
    // A version that may follow, and one that may not.
    let newer = PING.replace("version = 1", "version = 2");
    std::fs::write(dir.join("new.toml"), &newer).expect("a writable directory");
    let checked = json(dir, &["schema", "check", "new.toml"], 0);
    assert_eq!((&checked[0]["ok"], &checked[0]["follows"]), (&true.into(), &1.into()));
    let broken = newer.replace("\"uint64\"", "\"int\"");
    std::fs::write(dir.join("new.toml"), &broken).expect("a writable directory");
    let sentence = "field 1 account of schema 1000 task-order was uint64 in version 1 and is int in \
                    version 2: a reader of version 1 would misread it";
    let checked = json(dir, &["schema", "check", "new.toml"], 1);
    assert_eq!((&checked[0]["ok"], &checked[0]["error"]), (&false.into(), &sentence.into()));
    refused(dir, &["schema", "check", "new.toml"], 1, &[sentence]);
    file("broken.toml", &broken);
    refused(dir, &["schema", "list"], 2, &["broken.toml", sentence]);
}
