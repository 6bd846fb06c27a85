//! What a FIX message costs: `cargo bench --bench fix`.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use openoutcry::decimal::Decimal;
use openoutcry::fix::{
    Encoder, Fields, Frame, Header, MESSAGE_DEFAULT_MAX_BYTES, Policy, Version, frame, tag,
};
use openoutcry::types::TimeNs;
use std::hint::black_box;

const TIME: TimeNs = TimeNs(1_750_000_000_123_456_789);

fn header(msg_type: &str) -> Header<'_> {
    Header {
        msg_type,
        sender: b"OUTCRY",
        target: b"DESK1",
        number: 123_456,
        time: TIME,
        time_digits: 6,
        original_time: None,
    }
}

/// A NewOrderSingle of 20 fields.
fn order(out: &mut [u8]) -> usize {
    let mut encoder = Encoder::message(out, Version::Fix44, &header("D"));
    encoder.string(tag::CL_ORD_ID, "desk-1-000123456");
    encoder.string(tag::ACCOUNT, "ACC-2");
    encoder.string(tag::SYMBOL, "BTC/USD");
    encoder.char(tag::SIDE, b'1');
    encoder.timestamp(tag::TRANSACT_TIME, TIME, 6);
    encoder.char(tag::ORD_TYPE, b'2');
    encoder.decimal(tag::ORDER_QTY, Decimal { units: 15_250, scale: 3 });
    encoder.decimal(tag::PRICE, Decimal { units: 6_543_215, scale: 2 });
    encoder.char(tag::TIME_IN_FORCE, b'1');
    encoder.string(tag::EXEC_INST, "6");
    encoder.char(tag::HANDL_INST, b'1');
    encoder.string(tag::CURRENCY, "USD");
    encoder.finish().expect("there is room")
}

/// An ExecutionReport of 25 fields.
fn report(out: &mut [u8]) -> usize {
    let mut encoder = Encoder::message(out, Version::Fix44, &header("8"));
    encoder.uint(tag::ORDER_ID, 987_654_321);
    encoder.string(tag::CL_ORD_ID, "desk-1-000123456");
    encoder.string(tag::EXEC_ID, "987654321-2");
    encoder.char(tag::EXEC_TYPE, b'F');
    encoder.char(tag::ORD_STATUS, b'1');
    encoder.string(tag::SYMBOL, "BTC/USD");
    encoder.char(tag::SIDE, b'1');
    encoder.decimal(tag::ORDER_QTY, Decimal { units: 15_250, scale: 3 });
    encoder.char(tag::ORD_TYPE, b'2');
    encoder.decimal(tag::PRICE, Decimal { units: 6_543_215, scale: 2 });
    encoder.char(tag::TIME_IN_FORCE, b'1');
    encoder.decimal(tag::LAST_QTY, Decimal { units: 5_125, scale: 3 });
    encoder.decimal(tag::LAST_PX, Decimal { units: 6_543_215, scale: 2 });
    encoder.decimal(tag::LEAVES_QTY, Decimal { units: 10_125, scale: 3 });
    encoder.decimal(tag::CUM_QTY, Decimal { units: 5_125, scale: 3 });
    encoder.decimal(tag::AVG_PX, Decimal { units: 6_543_215, scale: 2 });
    encoder.timestamp(tag::TRANSACT_TIME, TIME, 6);
    encoder.finish().expect("there is room")
}

fn messages(c: &mut Criterion) {
    let mut out = [0; 1024];
    let mut fields = Fields::default();
    let policy = Policy::DEFAULT;
    let size = order(&mut out);
    let bytes = out[..size].to_vec();
    let count = fields.parse(&bytes).expect("a message").view().iter().count();
    assert_eq!(count, 20);
    let mut group = c.benchmark_group(format!("new-order-single/{count}-fields/{size}-bytes"));
    group.throughput(Throughput::Elements(1));
    group.bench_function("frame", |b| {
        b.iter(|| frame(black_box(&bytes), MESSAGE_DEFAULT_MAX_BYTES));
    });
    group.bench_function("frame+parse", |b| {
        b.iter(|| {
            let Frame::Message { size } = frame(black_box(&bytes), MESSAGE_DEFAULT_MAX_BYTES)
            else {
                panic!("it is whole");
            };
            let parsed = fields.parse(&bytes[..size]).expect("a message");
            parsed.view().get(tag::CL_ORD_ID).map(<[u8]>::len)
        });
    });
    group.bench_function("frame+parse+check", |b| {
        b.iter(|| {
            let Frame::Message { size } = frame(black_box(&bytes), MESSAGE_DEFAULT_MAX_BYTES)
            else {
                panic!("it is whole");
            };
            let mut parsed = fields.parse(&bytes[..size]).expect("a message");
            parsed.check(Version::Fix44, &policy).expect("it is right")
        });
    });
    group.finish();

    let size = report(&mut out);
    let bytes = out[..size].to_vec();
    let count = fields.parse(&bytes).expect("a message").view().iter().count();
    assert_eq!(count, 25);
    let mut group = c.benchmark_group(format!("execution-report/{count}-fields/{size}-bytes"));
    group.throughput(Throughput::Elements(1));
    group.bench_function("encode", |b| b.iter(|| report(black_box(&mut out))));
    group.finish();
}

criterion_group!(benches, messages);
criterion_main!(benches);
