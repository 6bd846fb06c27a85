//! FIX messages of all sorts, mutilated: framing, parsing and checking say what is wrong and never panic,
//! and what is written is read back as it was. Seeded; `FUZZ_MS` and `SEED` as in `fuzz`.

use crate::fuzz::{fuzz, mutilate};
use crate::sim::random::Random;
use openoutcry::decimal::Decimal;
use openoutcry::fix::{
    Accepted, Encoder, Fields, Frame, Header, MESSAGE_DEFAULT_MAX_BYTES, Policy, Version, View,
    frame, tag,
};
use openoutcry::types::TimeNs;

fn version(random: &mut Random) -> Version {
    Version::ALL[random.below(3) as usize]
}

/// A message with a header, and body fields of all forms.
fn order(random: &mut Random, version: Version, out: &mut [u8]) -> usize {
    let msg_type = ["D", "0", "8", "W", "A", "j", "AF", "*"][random.below(8) as usize];
    let header = Header {
        msg_type,
        sender: b"DESK",
        target: b"OUTCRY",
        number: random.next() >> random.below(60),
        time: TimeNs(random.next()),
        time_digits: random.below(13) as u8,
        original_time: random.percent(10).then_some(TimeNs(1)),
    };
    let mut encoder = Encoder::message(out, version, &header);
    let samples = [
        (11, "A1"),
        (21, "1"),
        (55, "BTC/USD"),
        (54, "1"),
        (38, "5.50"),
        (40, "2"),
        (44, ".5"),
        (59, "0"),
        (60, "20260301-12:00:00.5"),
        (453, "2"),
        (448, "A"),
        (447, "D"),
        (452, "1"),
        (802, "1"),
        (523, "x"),
        (448, "B"),
        (78, "1"),
        (79, "acc"),
        (80, "2"),
        (18, "6 M"),
        (58, "text"),
        (5000, "y"),
        (268, "1"),
        (269, "0"),
        (270, "1"),
        (95, "3"),
        (96, "a=b"),
        (108, "30"),
        (98, "0"),
        (112, "z"),
    ];
    for (tag, value) in samples {
        if random.percent(60) {
            encoder.string(tag, value);
        }
    }
    encoder.finish().expect("there is room")
}

/// Looks at everything there is.
fn look(view: View<'_>, depth: usize) {
    let tags: Vec<u32> = view.iter().map(|field| field.tag).collect();
    for tag in tags {
        let _ = (view.get(tag), view.int(tag), view.uint(tag), view.char(tag), view.boolean(tag));
        let _ = (view.decimal(tag), view.timestamp(tag), view.text(tag), view.steps(tag, 4, 5));
        if depth < 4 {
            view.group(tag).for_each(|entry| look(entry, depth + 1));
        }
    }
}

/// Walks a stream to its end, in which every step must go forward.
fn walk(fields: &mut Fields, random: &mut Random, mut bytes: &[u8]) {
    let version = version(random);
    let policy = Policy {
        user_defined_tags: random.percent(50),
        unknown_tags: random.percent(30),
        unlisted_values: random.percent(30),
    };
    loop {
        match frame(bytes, MESSAGE_DEFAULT_MAX_BYTES) {
            Frame::Incomplete { needed } => {
                assert!(needed > bytes.len());
                return;
            }
            Frame::Garbled { skip, .. } => {
                assert!((1..=bytes.len()).contains(&skip));
                bytes = &bytes[skip..];
            }
            Frame::Message { size } => {
                if let Ok(mut parsed) = fields.parse(&bytes[..size]) {
                    look(parsed.view(), 0);
                    let _ = parsed.check(version, &policy);
                    look(parsed.view(), 0);
                }
                bytes = &bytes[size..];
            }
        }
    }
}

#[test]
fn no_fix_bytes_make_the_codec_panic() {
    let mut fields = Fields::default();
    fuzz("fix streams", |random| {
        let mut bytes = Vec::new();
        for _ in 0..1 + random.below(3) {
            let mut out = [0; 2048];
            let version = version(random);
            let size = order(random, version, &mut out);
            bytes.extend_from_slice(&out[..size]);
        }
        walk(&mut fields, random, &bytes);
        mutilate(random, &mut bytes);
        walk(&mut fields, random, &bytes);
    });
    fuzz("fix fields", |random| {
        // With a right frame around it, so that the parser sees what was mutilated.
        let mut out = [0; 2048];
        let version = version(random);
        let size = order(random, version, &mut out);
        let text = out[..size].to_vec();
        let body = text.windows(4).position(|window| window == b"\x0135=").expect("a type") + 1;
        let mut body = text[body..size - 7].to_vec();
        mutilate(random, &mut body);
        let mut bytes =
            format!("8={}\x019={}\x01", version.begin_string(), body.len()).into_bytes();
        bytes.extend_from_slice(&body);
        let sum = bytes.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte));
        bytes.extend(format!("10={sum:03}\x01").bytes());
        walk(&mut fields, random, &bytes);
    });
}

#[test]
fn what_is_written_is_read_back_as_it_was() {
    let mut fields = Fields::default();
    fuzz("fix round trips", |random| {
        let version = version(random);
        let number = random.next() >> random.below(60);
        let units = random.next().cast_signed() >> random.below(60);
        let price = Decimal { units: units.into(), scale: random.below(13) as u8 };
        let time = TimeNs(random.next());
        let text = "x".repeat(random.below(1200) as usize);
        let data: Vec<u8> = (0..random.below(40)).map(|_| random.next() as u8 % 4).collect();
        let mut out = [0; 4096];
        let header = Header {
            msg_type: "3",
            sender: b"A",
            target: b"B",
            number,
            time,
            time_digits: 9,
            original_time: None,
        };
        let mut encoder = Encoder::message(&mut out, version, &header);
        encoder.uint(tag::REF_SEQ_NUM, number);
        encoder.string(tag::TEXT, &text);
        encoder.data(tag::ENCODED_TEXT_LEN, tag::ENCODED_TEXT, &data);
        encoder.decimal(6000, price);
        encoder.int(6001, units);
        let size = encoder.finish().expect("there is room");
        assert_eq!(frame(&out, MESSAGE_DEFAULT_MAX_BYTES), Frame::Message { size });
        let mut parsed = fields.parse(&out[..size]).expect("a message");
        let accepted = parsed.check(version, &Policy::DEFAULT).expect("it is right");
        assert!(matches!(accepted, Accepted::Message(message) if message.name == "Reject"));
        let view = parsed.view();
        assert_eq!(view.uint(tag::MSG_SEQ_NUM), Ok(Some(number)));
        assert_eq!(
            view.timestamp(tag::SENDING_TIME).expect("a time").map(|it| it.time),
            Some(time)
        );
        assert_eq!(view.get(tag::TEXT).unwrap_or_default(), text.as_bytes());
        assert_eq!(view.get(tag::ENCODED_TEXT).unwrap_or_default(), data);
        assert_eq!(view.int(6001), Ok(Some(units)));
        let read = view.decimal(6000).expect("a number").expect("it is there");
        assert_eq!(read.to_string(), price.to_string());
    });
}
