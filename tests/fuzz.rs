//! Decoders of what comes from outside or from a disk, fed with mutilated samples: whatever the bytes,
//! they say what is wrong and never panic. Seeded; `FUZZ_MS` is the time of each, `SEED` repeats a run.

use crate::sim::random::Random;
use openoutcry::admin::AdminCommand;
use openoutcry::command::Command;
use openoutcry::config::{Config, Sources, genesis_items, load};
use openoutcry::decimal;
use openoutcry::endpoint::Endpoint;
use openoutcry::event::{EVENT_SIZE, Event, RejectReason};
use openoutcry::exchange::{Context, Exchange, Outbox};
use openoutcry::genesis::GenesisItem;
use openoutcry::journal::batch::{BatchBuilder, RecordFields};
use openoutcry::journal::dump::describe;
use openoutcry::journal::format::{
    JournalId, LogKind, RecordKind, SEGMENT_HEADER_SIZE, SegmentHeader, Tip,
};
use openoutcry::journal::view::{Batch, Verify};
use openoutcry::keys::KeyPair;
use openoutcry::timestamp;
use openoutcry::types::{Epoch, Sequence, Status, TimeNs};
use openoutcry::wire::admin::admin_text;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

/// Calls `each` with randomness until the time is over, and tells the seed of a run that panics.
pub(crate) fn fuzz(name: &str, mut each: impl FnMut(&mut Random)) {
    let budget = std::env::var("FUZZ_MS").map_or(300, |ms| ms.parse().expect("a number of ms"));
    let seed = std::env::var("SEED").map_or_else(
        |_| std::time::UNIX_EPOCH.elapsed().expect("after 1970").as_nanos() as u64,
        |seed| seed.parse().expect("SEED is a number"),
    );
    eprintln!("{name}: SEED={seed}");
    let mut random = Random::new(seed);
    let end = Instant::now() + Duration::from_millis(budget);
    let mut rounds = 0;
    while Instant::now() < end {
        each(&mut random);
        rounds += 1;
    }
    eprintln!("{name}: {rounds} rounds");
    assert!(rounds > 0);
}

fn below(random: &mut Random, bound: usize) -> usize {
    random.below(bound.max(1) as u64) as usize
}

/// Changes, cuts, doubles and inserts bytes here and there.
pub(crate) fn mutilate(random: &mut Random, bytes: &mut Vec<u8>) {
    for _ in 0..1 + below(random, 4) {
        let at = below(random, bytes.len());
        match below(random, 6) {
            0 if !bytes.is_empty() => bytes[at] = random.next() as u8,
            1 if !bytes.is_empty() => bytes[at] ^= 1 << below(random, 8),
            2 => bytes.truncate(at),
            3 => bytes.insert(at, random.next() as u8),
            4 => {
                let piece = bytes[at..(at + below(random, 40)).min(bytes.len())].to_vec();
                let to = below(random, bytes.len());
                bytes.splice(to..to, piece);
            }
            _ if !bytes.is_empty() => drop(bytes.remove(at)),
            _ => {}
        }
    }
}

fn noise(random: &mut Random, size_max: usize) -> Vec<u8> {
    (0..below(random, size_max)).map(|_| random.next() as u8).collect()
}

/// Batches with a record of every kind and any payload.
fn batches(random: &mut Random) -> Vec<u8> {
    let mut builder = BatchBuilder::new(LogKind::Commands, JournalId([7; 16]), Tip::START);
    builder.begin(Epoch(1), Sequence::NONE);
    for (number, kind) in (1..).zip(RecordKind::ALL) {
        let mut fields = RecordFields::new(*kind, Sequence(number), TimeNs(number));
        fields.schema = (random.next() as u32) % 80;
        let (received, payload) = (noise(random, 60), noise(random, 200));
        builder.push(&fields, &received, Some(&payload)).expect("there is room");
        if below(random, 4) == 0 {
            builder.seal();
            builder.begin(Epoch(1), Sequence::NONE);
        }
    }
    if builder.open_count() > 0 {
        builder.seal();
    }
    builder.sealed().to_vec()
}

fn read_batches(mut bytes: &[u8]) {
    while let Ok(batch) = Batch::parse(bytes) {
        for verify in [Verify::Structure, Verify::Crc, Verify::Chain] {
            if batch.check(LogKind::Commands, verify, TimeNs(0)).is_ok() {
                batch.records().for_each(|record| drop(describe(&record)));
            }
        }
        bytes = &bytes[batch.length()..];
    }
}

#[test]
fn no_bytes_of_a_journal_make_a_reader_panic() {
    fuzz("batches", |random| {
        let mut bytes = batches(random);
        read_batches(&bytes);
        mutilate(random, &mut bytes);
        read_batches(&bytes);
    });
    fuzz("segment header", |random| {
        let header = SegmentHeader::new(LogKind::Events, JournalId([7; 16]), 3, 8 << 20);
        let mut page = header.page().to_vec();
        mutilate(random, &mut page);
        page.resize(SEGMENT_HEADER_SIZE, 0);
        let _ = SegmentHeader::parse(&page);
    });
}

#[test]
fn no_payload_makes_a_decoder_panic() {
    let genesis = br#"{"define":"asset","id":1,"symbol":"BTC","scale":8}"#;
    fuzz("payloads", |random| {
        let bytes = noise(random, 120);
        let _ = Command::decode((random.next() as u32) % 80, &bytes);
        let mut event = [0; EVENT_SIZE];
        event.iter_mut().for_each(|byte| *byte = random.next() as u8);
        event[12] = random.next() as u8 % 8;
        let _ = Event::decode(&event);
        let mut item = genesis.to_vec();
        mutilate(random, &mut item);
        let _ = GenesisItem::decode(&item);
    });
}

#[test]
fn no_text_makes_a_parser_panic() {
    let samples = ["100.5", "-0.000001", "9223372036854775807", "2026-03-01T12:00:00.123456789Z"];
    fuzz("numbers and times", |random| {
        let mut bytes = samples[below(random, samples.len())].as_bytes().to_vec();
        mutilate(random, &mut bytes);
        let text = String::from_utf8_lossy(&bytes);
        let scale = random.next() as u8 % 13;
        let _ = decimal::parse(&text, scale);
        let _ = decimal::parse_steps(&text, scale, i64::from(random.next() as u32) + 1);
        let _ = timestamp::parse(&text);
    });
}

#[test]
fn no_file_of_an_operator_makes_a_start_panic() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (config, key) = (dir.path().join("config.toml"), dir.path().join("a.key"));
    let sample = include_bytes!("../config.toml");
    fuzz("config.toml", |random| {
        // A piece of the file: mutilated whole it would hardly ever get past its first error.
        let from = below(random, sample.len());
        let start = sample[..from].iter().rposition(|byte| *byte == b'[').unwrap_or(0);
        let mut text = sample[start..(start + 600).min(sample.len())].to_vec();
        mutilate(random, &mut text);
        std::fs::write(&config, &text).expect("a writable directory");
        let _ = load(&Sources { file: Some(config.clone()), ..Sources::default() });
    });
    let pair = KeyPair::from_seed(&[7; 32]);
    pair.save(&key).expect("a writable directory");
    let sample = std::fs::read(&key).expect("it was just written");
    fuzz("key file and endpoint.json", |random| {
        let mut bytes = sample.clone();
        mutilate(random, &mut bytes);
        std::fs::write(&key, &bytes).expect("a writable directory");
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).expect("ours");
        let _ = KeyPair::load(&key);
        let mut text = br#"{"native":"127.0.0.1:1","key":"keys/demo.key","pid":1}"#.to_vec();
        mutilate(random, &mut text);
        std::fs::write(Endpoint::path(dir.path()), &text).expect("a writable directory");
        let _ = Endpoint::read(dir.path());
    });
}

/// A schema with a field of each sort of rule.
const SCHEMA: &str = r#"{"id":1000,"name":"report","version":1,"fields":[{"id":1,"name":"price",
    "type":"decimal","required":true,"min":1,"max":9},{"id":2,"name":"venue","type":"string",
    "max_bytes":8},{"id":3,"name":"side","type":"enum8","values":{"buy":1,"sell":2}}]}"#;

#[test]
fn mutilated_admin_commands_are_refused_or_applied_and_never_break_the_exchange() {
    let key = "ab".repeat(32);
    let texts = [
        r#"{"do":"set-lane","lane":"batch","max_batch":1024}"#.to_owned(),
        r#"{"do":"set-bulk-share","one_in":8}"#.to_owned(),
        r#"{"do":"set-entitlement","key":1,"priority":"high","critical_per_s":5}"#.to_owned(),
        format!(r#"{{"do":"define-key","public_key":"{key}","role":"operator","accounts":[2]}}"#),
        r#"{"do":"set-key-accounts","key":1,"accounts":[2,3,2]}"#.to_owned(),
        r#"{"do":"disable-key","key":1}"#.to_owned(),
        r#"{"do":"enable-key","key":2}"#.to_owned(),
        format!(r#"{{"do":"register-schema","schema":{SCHEMA}}}"#),
    ];
    let (items, _) = genesis_items(&Config::default(), [7; 16]).expect("the default venue");
    let mut exchange = Exchange::new();
    for item in &items {
        exchange.define(item).expect("the default venue");
    }
    let mut outbox = Outbox::default();
    let mut sequence = Sequence::NONE;
    fuzz("admin commands", |random| {
        let text = &texts[below(random, texts.len())];
        let mut payload = (text.len() as u16).to_be_bytes().to_vec();
        payload.extend_from_slice(text.as_bytes());
        if below(random, 8) > 0 {
            mutilate(random, &mut payload);
        }
        // What no gateway would let through may stand in a journal: the exchange judges it alone.
        let text = admin_text(&payload).map_or(payload.get(2..).unwrap_or(&[]), str::as_bytes);
        let Ok(command) = AdminCommand::decode(text) else { return };
        sequence = sequence.next();
        let context = Context { sequence, ..Context::default() };
        exchange.administer(&context, &command, &mut outbox);
        assert_eq!(outbox.events().len(), 1, "{command:?}");
        let result = outbox.result().expect("a result");
        assert_eq!(result.reason.is_none(), result.status == Status::Done, "{command:?}");
        assert!(command.check().is_ok() || result.reason == Some(RejectReason::InvalidAdmin));
        exchange.check();
    });
}
