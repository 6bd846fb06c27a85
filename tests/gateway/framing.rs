//! Frames cut, flipped, lied about and put together: told by a reason, and never the end of the node.

use super::frame::{Body, Draft, FLAG_AGAIN, Fields, Metadata, NEW_ORDER, Order, reseal};
use super::node::{Home, Who, shared};
use super::peer::{Peer, answer, ping, reason};
use std::io::Write;
use std::thread;

const BAD_MAGIC: u16 = 1;
const UNSUPPORTED_VERSION: u16 = 2;
const BAD_FLAGS: u16 = 3;
const BAD_LENGTH: u16 = 4;
const FRAME_TOO_LONG: u16 = 5;
const BAD_BIT_MODE: u16 = 6;
const BAD_SEGMENTS: u16 = 8;
const MISSING_SEGMENT: u16 = 9;
const BAD_CHECKSUM: u16 = 10;
const BAD_HASH: u16 = 11;
const BAD_SIGNATURE: u16 = 12;
const SIGNATURE_REQUIRED: u16 = 13;
const BAD_METADATA: u16 = 14;
const BAD_PRIORITY: u16 = 15;
const UNKNOWN_SCHEMA: u16 = 16;
const BAD_PAYLOAD: u16 = 17;

/// Sends a frame that must be refused without losing the connection: the reason.
fn refusal(peer: &mut Peer, frame: &[u8]) -> u16 {
    peer.send(frame);
    let reason = reason(&peer.next());
    peer.ping(5);
    reason
}

/// Sends a draft that must be refused; the reject tells which one it was.
fn refusal_of(peer: &mut Peer, draft: &Draft) -> u16 {
    let reason = reason(&peer.ask(draft));
    peer.ping(5);
    reason
}

#[test]
fn every_flipped_bit_of_a_frame_is_found() {
    let node = shared();
    let ground = node.ground();
    let mut peer = node.log_on(Who::Operator, "flipped");
    let order = Order::new(ground.buyer, ground.instrument, 1, 10, 1);
    let unsigned = peer.draft_order(order);
    let signed = peer.draft_order(order).signed(&Who::Operator.key());
    for draft in [unsigned, signed] {
        let good = draft.seal();
        let hash = good.len() - if draft.key.is_some() { 99 } else { 32 };
        // Magic, version and length lose the framing: tested apart.
        for at in (2..8).chain(12..good.len()) {
            for mask in [1 << (at % 8), 0xff] {
                let mut frame = good.clone();
                frame[at] ^= mask;
                let reason = refusal(&mut peer, &frame);
                let expected = match at {
                    _ if at < hash => BAD_CHECKSUM,
                    _ if at < hash + 32 => BAD_HASH,
                    _ => BAD_SIGNATURE,
                };
                assert_eq!(reason, expected, "byte {at} of {} ^ {mask:#x}", good.len());
            }
        }
    }
    assert!(peer.book(ground.instrument, 0, true).rows.is_empty(), "nothing was sequenced");
    // Nor was an id used up.
    let answer = peer.order(order);
    assert_eq!(answer.status, 3);
}

#[test]
fn what_loses_the_framing_ends_the_connection() {
    let node = shared();
    let ground = node.ground();
    let good = {
        let mut peer = node.log_on(Who::Operator, "framing lost");
        peer.draft_order(Order::new(ground.buyer, ground.instrument, 1, 10, 1)).seal()
    };
    let length = |length: u32| length.to_be_bytes().to_vec();
    let cases: [(usize, Vec<u8>, u16); 9] = [
        (0, vec![0xAA], BAD_MAGIC),
        (1, vec![0], UNSUPPORTED_VERSION),
        (1, vec![2], UNSUPPORTED_VERSION),
        (1, vec![255], UNSUPPORTED_VERSION),
        (8, length(0), BAD_LENGTH),
        (8, length(15), BAD_LENGTH),
        (8, length(74), BAD_LENGTH),
        (8, length(4097), FRAME_TOO_LONG),
        (8, length(u32::MAX), FRAME_TOO_LONG),
    ];
    for (at, bytes, expected) in cases {
        let mut peer = node.log_on(Who::Operator, "framing lost");
        let mut frame = good.clone();
        frame[at..at + bytes.len()].copy_from_slice(&bytes);
        peer.send(&frame);
        peer.try_send(&ping(1, 1).seal());
        assert_eq!(peer.rejects_until_closed(), [expected], "{bytes:?} at {at}");
        // As soon as the bytes are there: the rest of the frame never came.
        let mut peer = node.connect();
        peer.send(&frame[..12]);
        assert_eq!(peer.rejects_until_closed(), [expected], "{bytes:?} at {at}");
    }
    // The first byte alone tells what is no frame.
    let mut peer = node.connect();
    peer.send(b"G");
    assert_eq!(peer.rejects_until_closed(), [BAD_MAGIC]);
    let mut peer = node.connect();
    peer.send(&[0xAB, 9]);
    assert_eq!(peer.rejects_until_closed(), [UNSUPPORTED_VERSION]);
    let mut peer = node.connect();
    peer.try_send(&b"GET / HTTP/1.1\r\nHost: here\r\n\r\n".repeat(1000));
    assert_eq!(peer.rejects_until_closed(), [BAD_MAGIC]);
    node.assert_well();
}

#[test]
fn a_wrong_length_never_makes_an_order() {
    let node = shared();
    let ground = node.ground();
    let mut peer = node.log_on(Who::Operator, "lengths");
    let good = peer.draft_order(Order::new(ground.buyer, ground.instrument, 1, 10, 1)).seal();
    let size = u32::try_from(good.len()).expect("short");
    for length in (75..size).chain(size + 1..size + 40).chain([1000, 4095, 4096]) {
        let mut frame = good.clone();
        frame[8..12].copy_from_slice(&length.to_be_bytes());
        // As it is, and with an integrity block that fits the lie.
        for sealed in [false, true] {
            let mut frame = frame.clone();
            if sealed {
                frame.resize(length as usize, 0);
                reseal(&mut frame, None);
            }
            let mut peer = node.log_on(Who::Operator, "lengths");
            peer.send(&frame);
            peer.finish();
            let reasons = peer.rejects_until_closed();
            if sealed {
                assert!(
                    matches!(reasons[..], [BAD_SEGMENTS | BAD_METADATA | BAD_PAYLOAD]),
                    "length {length}: {reasons:?}"
                );
            }
        }
    }
    let mut peer = node.log_on(Who::Operator, "lengths");
    assert!(peer.book(ground.instrument, 0, true).rows.is_empty());
}

#[test]
fn every_lie_of_the_descriptor_is_refused() {
    let node = shared();
    let ground = node.ground();
    let mut peer = node.log_on(Who::Operator, "descriptor");
    let good = peer.draft_order(Order::new(ground.buyer, ground.instrument, 1, 10, 1)).seal();
    // Bytes 12, and 24 to 51: header extension's size, and the descriptor.
    for at in (24..52).chain([12]) {
        for value in [0, 1, 2, 3, 4, 7, 0x7f, 0x80, 0xff, good[at] ^ 1, good[at].wrapping_add(1)] {
            if value == good[at] {
                continue;
            }
            let mut frame = good.clone();
            frame[at] = value;
            reseal(&mut frame, None);
            let reason = refusal(&mut peer, &frame);
            assert!(
                matches!(reason, BAD_SEGMENTS | MISSING_SEGMENT),
                "byte {at} is {value}: reason {reason}"
            );
        }
    }
    let draft = peer.draft_order(Order::new(ground.buyer, ground.instrument, 1, 10, 1));
    let without_metadata = Draft { metadata: None, ..draft.clone() };
    assert_eq!(refusal_of(&mut peer, &without_metadata), MISSING_SEGMENT);
    let without_payload = Draft { payload: None, ..draft };
    assert_eq!(refusal_of(&mut peer, &without_payload), MISSING_SEGMENT);
    assert!(peer.book(ground.instrument, 0, true).rows.is_empty());
}

#[test]
fn every_prefix_of_a_frame_may_be_the_last_that_is_heard() {
    let node = shared();
    let ground = node.ground();
    let mut peer = node.log_on(Who::Operator, "prefix");
    let order = peer.draft_order(Order::new(ground.buyer, ground.instrument, 1, 10, 1)).seal();
    for size in 0..order.len() {
        let mut peer = node.connect();
        let logon = super::peer::logon(&peer.nonce, &Who::Operator.key(), b"prefixes").seal();
        if size < logon.len() {
            peer.send(&logon[..size]);
            peer.finish();
            assert_eq!(peer.until_closed(), [], "{size} bytes of a logon");
        }
        let mut peer = node.log_on(Who::Operator, "prefixes");
        peer.send(&order[..size]);
    }
    assert!(peer.book(ground.instrument, 0, true).rows.is_empty());
}

#[test]
fn a_frame_may_come_in_any_two_pieces() {
    let node = shared();
    let ground = node.ground();
    let mut peer = node.log_on(Who::Operator, "pieces");
    let size = peer.draft_order(Order::new(ground.buyer, ground.instrument, 1, 10, 1)).seal().len();
    for at in 1..size {
        let draft = peer.draft_order(Order::new(ground.buyer, ground.instrument, 1, 10, 1));
        let frame = draft.seal();
        let (front, back) = frame.split_at(at.min(frame.len() - 1));
        peer.send(front);
        // A ping on another connection: the server has had its chance to see the front alone.
        if at % 8 == 0 {
            node.assert_well();
        }
        peer.send(back);
        assert_eq!(answer(peer.next()).status, 3, "split at {at}");
    }
    // Byte for byte.
    let frame = peer.draft_order(Order::new(ground.buyer, ground.instrument, 1, 10, 1)).seal();
    for byte in frame {
        peer.send(&[byte]);
    }
    assert_eq!(answer(peer.next()).status, 3);
}

#[test]
fn many_frames_may_come_at_once() {
    let node = shared();
    let ground = node.ground();
    let mut peer = node.log_on(Who::Operator, "at once");
    let mut bytes = Vec::new();
    let mut expected = Vec::new();
    for number in 0..300_u64 {
        if number % 3 == 0 {
            let sequence = peer.sequence();
            bytes.extend(ping(sequence, number).seal());
            expected.push(sequence);
        } else {
            let order = Order::new(ground.buyer, ground.instrument, 1, 10, 1);
            bytes.extend(peer.draft_order(order).seal());
            expected.push(number + 1);
        }
    }
    peer.send(&bytes);
    let mut got: Vec<u64> = (0..300).map(|_| peer.next().client_sequence).collect();
    got.sort_unstable();
    assert_eq!(got, expected);
}

/// A cancel that is filled up to a size by its custom pairs.
fn padded(peer: &mut Peer, size: usize) -> Vec<u8> {
    let mut metadata = peer.metadata();
    let payload = super::frame::cancel(2, 1, u64::MAX, 0);
    metadata.custom = vec![("pad".into(), String::new())];
    let sequence = peer.sequence();
    let draft = |metadata: &Metadata| Draft::command(2, sequence, metadata, payload.clone()).seal();
    let missing = size - draft(&metadata).len();
    metadata.custom[0].1 = "x".repeat(missing);
    let frame = draft(&metadata);
    assert_eq!(frame.len(), size);
    frame
}

#[test]
fn a_frame_is_as_long_as_the_challenge_allows_and_no_longer() {
    let home = Home::new();
    for (setting, frame_max) in
        [("limits.frame_max_bytes=4096", 4096), ("limits.frame_max_bytes=1024", 1024)]
    {
        let node = home.start(&[setting]);
        let mut peer = node.log_on(Who::Operator, setting);
        assert_eq!(peer.frame_max, frame_max);
        let frame_max = frame_max as usize;
        let frame = padded(&mut peer, frame_max);
        peer.send(&frame);
        assert_eq!(answer(peer.next()).reason, 103, "UnknownOrder: it was understood");
        let frame = padded(&mut peer, frame_max + 1);
        peer.try_send(&frame);
        assert_eq!(peer.rejects_until_closed(), [FRAME_TOO_LONG]);
    }
}

#[test]
fn each_flag_means_what_the_table_says() {
    let node = shared();
    let ground = node.ground();
    let key = Who::Operator.key();
    let mut peer = node.log_on(Who::Operator, "flags");
    let order = Order::new(ground.buyer, ground.instrument, 1, 10, 1);
    for bit in [0, 1, 9, 10, 11, 12, 13, 14, 15] {
        let draft = peer.draft_order(order).flags(1 << bit);
        assert_eq!(refusal_of(&mut peer, &draft), BAD_FLAGS, "bit {bit}");
    }
    let draft = peer.draft_order(order).flags(3);
    assert_eq!(refusal_of(&mut peer, &draft), BAD_FLAGS);
    for bit in [3, 4, 8] {
        let draft = peer.draft_order(order).flags(1 << bit);
        let message = peer.ask(&draft);
        assert!(!message.again, "bit {bit}");
        assert_eq!(answer(message).status, 3, "bit {bit}");
    }
    let without = peer.draft_order(order);
    let without = Draft { flags: 2 << 5, ..without };
    assert_eq!(answer(peer.ask(&without)).status, 3, "a response is never optional");
    let signed = peer.draft_order(order).signed(&key);
    assert_eq!(answer(peer.ask(&signed)).status, 3, "a signature is welcome");
    let other = peer.draft_order(order).signed(&Who::TraderOfTwo.key());
    assert_eq!(refusal_of(&mut peer, &other), BAD_SIGNATURE, "signed by the session's key");
    // A priority that the metadata does not name, or that does not exist.
    for priority in [0_u16, 1, 3, 4, 5, 6, 7] {
        let draft = peer.draft_order(order);
        let draft = Draft { flags: priority << 5, ..draft }.signed(&key);
        assert_eq!(refusal_of(&mut peer, &draft), BAD_PRIORITY, "priority {priority}");
    }
    for priority in [5_u8, 8, 255] {
        let mut metadata = peer.metadata();
        metadata.priority = priority;
        let draft = Draft::command(NEW_ORDER, peer.sequence(), &metadata, order.payload());
        let draft = Draft { flags: 2 << 5 | FLAG_AGAIN, ..draft };
        assert_eq!(refusal_of(&mut peer, &draft), BAD_PRIORITY, "priority {priority}");
    }
}

#[test]
fn every_priority_is_taken_and_the_most_urgent_one_signed() {
    let node = shared();
    let ground = node.ground();
    let key = Who::Operator.key();
    let mut peer = node.log_on(Who::Operator, "priorities");
    let order = Order::new(ground.buyer, ground.instrument, 1, 10, 1);
    for priority in 0..=4_u8 {
        let mut metadata = peer.metadata();
        metadata.priority = priority;
        let draft = Draft::command(NEW_ORDER, peer.sequence(), &metadata, order.payload());
        if priority == 0 {
            assert_eq!(refusal_of(&mut peer, &draft), SIGNATURE_REQUIRED);
        } else {
            assert_eq!(answer(peer.ask(&draft)).status, 3, "priority {priority}");
            metadata = peer.metadata();
            metadata.priority = priority;
        }
        let draft = Draft::command(NEW_ORDER, peer.sequence(), &metadata, order.payload());
        let message = peer.ask(&draft.signed(&key));
        assert!(!message.again, "no id is used up by a refusal");
        assert_eq!(answer(message).status, 3, "priority {priority}, signed");
    }
}

#[test]
fn an_own_number_is_as_wide_as_the_bit_mode() {
    let node = shared();
    let ground = node.ground();
    let mut peer = node.log_on(Who::Operator, "widths");
    let order = Order::new(ground.buyer, ground.instrument, 1, 10, 1);
    let numbers = [i64::from(i8::MAX), i64::from(i16::MAX), i64::from(i32::MAX), i64::MAX];
    for mode in 1..=4_u8 {
        let width = 1_usize << (mode - 1);
        let number = numbers[usize::from(mode - 1)];
        let payload = |number: i64, width: usize| {
            let mut payload = order.head().0;
            payload.extend(&number.to_be_bytes()[8 - width..]);
            payload
        };
        let mut draft = |payload: Vec<u8>, mode: u8| {
            let draft = peer.draft(NEW_ORDER, payload);
            let draft = Draft { bit_mode: mode, ..draft };
            peer.ask(&draft)
        };
        let entered = answer(draft(payload(number, width), mode));
        assert_eq!((entered.status, entered.reason), (3, 0), "mode {mode}");
        // A live order has the number: what the node keeps is the 64-bit form.
        assert_eq!(answer(draft(payload(number, 8), 4)).reason, 109, "mode {mode}");
        assert_eq!(reason(&draft(payload(-1, width), mode)), BAD_PAYLOAD, "mode {mode}: -1");
        for wrong in [0, width + 1, 2 * width, 9] {
            let message = draft(
                payload(1, wrong.min(8)).into_iter().chain(vec![0; wrong / 9]).collect(),
                mode,
            );
            assert_eq!(reason(&message), BAD_PAYLOAD, "mode {mode}: {wrong} bytes");
        }
        // The order is found by the number in its own width.
        let mut payload = Fields::default().u64(ground.buyer).u32(ground.instrument).u64(0).0;
        payload.extend(&number.to_be_bytes()[8 - width..]);
        let cancel = peer.draft(super::frame::CANCEL_ORDER, payload);
        let cancelled = answer(peer.ask(&Draft { bit_mode: mode, ..cancel }));
        assert_eq!((cancelled.status, cancelled.order_id), (4, entered.order_id), "mode {mode}");
    }
    for mode in [0, 5, 0x40, 0xff] {
        let draft = Draft { bit_mode: mode, ..peer.draft_order(order) };
        assert_eq!(refusal_of(&mut peer, &draft), BAD_BIT_MODE, "mode {mode}");
    }
}

#[test]
fn an_extension_is_the_client_sequence_and_what_is_kept() {
    let node = shared();
    let ground = node.ground();
    let mut peer = node.log_on(Who::Operator, "extension");
    let order = Order::new(ground.buyer, ground.instrument, 1, 10, 1);
    for size in [0, 1, 7, 8, 9, 100, 255] {
        let mut extension = vec![0x5a; size];
        if size < 8 {
            extension.fill(0xff);
        }
        let draft = Draft { extension, ..peer.draft_order(order) };
        let expected = if size < 8 { 0 } else { 0x5a5a_5a5a_5a5a_5a5a };
        peer.send(&draft.seal());
        let message = peer.next();
        assert_eq!(message.client_sequence, expected, "{size} bytes");
        assert_eq!(answer(message).status, 3);
    }
    // The same number twice is the client's own affair.
    for _ in 0..2 {
        let draft = Draft { extension: vec![1; 8], ..peer.draft_order(order) };
        assert_eq!(answer(peer.ask(&draft)).status, 3);
    }
}

#[test]
fn metadata_is_read_to_its_last_byte() {
    let node = shared();
    let ground = node.ground();
    let mut peer = node.log_on(Who::Operator, "metadata");
    let order = Order::new(ground.buyer, ground.instrument, 1, 10, 1);
    type Change = fn(&mut Metadata);
    let bad: [(&str, Change); 7] = [
        ("empty id", |m| m.message_id.clear()),
        ("long id", |m| m.message_id = "i".repeat(65)),
        ("long source", |m| m.source = "s".repeat(65)),
        ("long correlation", |m| m.correlation_id = "c".repeat(65)),
        ("many pairs", |m| m.custom = pairs(65)),
        ("unsorted", |m| m.custom = pairs(3).into_iter().rev().collect()),
        ("a key twice", |m| m.custom = [pairs(1), pairs(1)].concat()),
    ];
    for (what, change) in bad {
        let mut metadata = peer.metadata();
        change(&mut metadata);
        let draft = Draft::command(NEW_ORDER, peer.sequence(), &metadata, order.payload());
        assert_eq!(refusal_of(&mut peer, &draft), BAD_METADATA, "{what}");
    }
    let good = peer.metadata().bytes();
    let mut wrong: Vec<Vec<u8>> = (0..good.len()).map(|size| good[..size].to_vec()).collect();
    wrong.push([&good[..], &[0]].concat());
    let mut not_text = good.clone();
    not_text[2] = 0xff;
    wrong.push(not_text);
    for metadata in wrong {
        let size = metadata.len();
        let draft = Draft { metadata: Some(metadata), ..peer.draft_order(order) };
        assert_eq!(refusal_of(&mut peer, &draft), BAD_METADATA, "{size} bytes");
    }
    let mut metadata = peer.metadata();
    metadata.message_id = format!("{:é<63}", peer.sequence());
    metadata.message_id.truncate(64);
    metadata.source = "s".repeat(64);
    metadata.correlation_id = "c".repeat(64);
    metadata.custom = pairs(64);
    metadata.retry_count = u16::MAX;
    let draft = Draft::command(NEW_ORDER, peer.sequence(), &metadata, order.payload());
    assert_eq!(answer(peer.ask(&draft)).status, 3, "all limits at once");
    // Nothing is needed but an id.
    let mut metadata = peer.metadata();
    metadata.source.clear();
    let draft = Draft::command(NEW_ORDER, peer.sequence(), &metadata, order.payload());
    assert_eq!(answer(peer.ask(&draft)).status, 3);
}

fn pairs(count: usize) -> Vec<(String, String)> {
    (0..count).map(|number| (format!("k{number:02}"), "v".into())).collect()
}

#[test]
fn payloads_have_the_size_and_values_of_their_schema() {
    let node = shared();
    let ground = node.ground();
    let mut peer = node.log_on(Who::Operator, "payloads");
    for schema in [0, 10, 63, 70, 127, 128, 130, 800, u32::MAX] {
        let draft = peer.draft(schema, vec![0; 40]);
        let message = peer.ask(&draft);
        assert_eq!(reason(&message), UNKNOWN_SCHEMA, "schema {schema}");
        let Body::Reject { text, retry_after_ms, .. } = message.body else { unreachable!() };
        assert_eq!(text, format!("Schema not found: {schema}"));
        assert_eq!(retry_after_ms, 0);
    }
    let good = Order::new(ground.buyer, ground.instrument, 1, 10, 1);
    for (schema, size) in
        [(1, 40), (2, 28), (3, 44), (4, 20), (5, 20), (6, 28), (7, 80), (8, 17), (9, 5)]
    {
        for wrong in [0, 1, size - 1, size + 1, 2 * size] {
            let draft = peer.draft(schema, vec![0; wrong]);
            assert_eq!(refusal_of(&mut peer, &draft), BAD_PAYLOAD, "schema {schema}: {wrong}");
        }
    }
    for (schema, size) in [(65, 8), (66, 0), (67, 7), (68, 16), (69, 8)] {
        for wrong in [size + 1, 2 * size + 2] {
            let draft = Draft::session(schema, peer.sequence(), vec![0; wrong]);
            assert_eq!(refusal_of(&mut peer, &draft), BAD_PAYLOAD, "schema {schema}: {wrong}");
        }
    }
    for side in [0, 3, 255] {
        let draft = peer.draft_order(Order { side, ..good });
        assert_eq!(refusal_of(&mut peer, &draft), BAD_PAYLOAD, "side {side}");
    }
    let draft = Draft::session(67, peer.sequence(), vec![0, 0, 0, 1, 0, 0, 2]);
    assert_eq!(refusal_of(&mut peer, &draft), BAD_PAYLOAD, "a bool8 of 2");
}

#[test]
fn many_bad_frames_in_a_row_end_the_connection() {
    let node = shared();
    let mut peer = node.log_on(Who::Operator, "in a row");
    let mut bad = ping(1, 1).seal();
    bad[16] ^= 1;
    let mut stream = peer.stream.try_clone().expect("a second handle");
    let writer =
        thread::spawn(move || (0..10_000).take_while(|_| stream.write_all(&bad).is_ok()).count());
    let reasons = peer.rejects_until_closed();
    let sent = writer.join().expect("it ended");
    assert!(reasons.iter().all(|reason| *reason == BAD_CHECKSUM), "{reasons:?}");
    assert_eq!(reasons.len(), 65, "after {sent} frames");
    node.assert_well();
}
