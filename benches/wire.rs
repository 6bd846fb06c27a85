//! What a frame costs: `cargo bench --bench wire`.

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use openoutcry::client::{Conversation, Options, Reply};
use openoutcry::command::{Command, NewOrder};
use openoutcry::event::{CommandResult, Trade};
use openoutcry::keys::KeyPair;
use openoutcry::types::{
    AccountId, ClientOrderId, InstrumentId, KeyId, OrderId, OrderType, Price, Priority, Quantity,
    Role, Sequence, SessionId, Side, Status, TimeInForce, TimeNs,
};
use openoutcry::wire::answer::send_answer;
use openoutcry::wire::message::{Challenge, LogonAccepted, ServerMessage, send};
use openoutcry::wire::payload::{COMMAND_SIZE_MAX, encode_command};
use openoutcry::wire::{
    BitMode, Flags, Frame, FrameHead, FrameWriter, HashesAhead, Metadata, OpenLimits, integrity,
    seal_each,
};
use std::hint::black_box;
use std::time::{Duration, Instant};

fn new_order(number: u64) -> Command {
    NewOrder {
        account: AccountId(2),
        instrument: InstrumentId(1),
        side: Side::Buy,
        order_type: OrderType::Limit,
        time_in_force: TimeInForce::Gtc,
        flags: 0,
        price: Price(10_000),
        quantity: Quantity(5),
        client_order_id: ClientOrderId(number),
    }
    .into()
}

fn seal_order(number: u64, out: &mut Vec<u8>) {
    let head = FrameHead {
        schema: NewOrder::SCHEMA,
        flags: Flags::new(Priority::Normal).with(Flags::RESPONSE_REQUIRED),
        bit_mode: BitMode::Bits64,
        client_sequence: number,
    };
    let metadata = Metadata {
        source: "desk-1",
        ..Metadata::new("desk-1-0000000000001234", 1_700_000_000_000, Priority::Normal)
    };
    let mut writer =
        FrameWriter::begin_with(out, head, &metadata).expect("metadata within its limits");
    encode_command(&new_order(number), BitMode::Bits64, writer.payload()).expect("it fits");
    writer.seal();
}

fn open_order(bytes: &[u8], limits: &OpenLimits) -> Command {
    let frame = Frame::open(bytes, limits).expect("a good frame");
    let metadata = frame.metadata().expect("good metadata").expect("there is some");
    black_box(frame.locations(&metadata));
    let mut scratch = [0; COMMAND_SIZE_MAX];
    frame.command(&mut scratch).expect("a command").command
}

fn result(fill_count: u32) -> CommandResult {
    CommandResult {
        status: Status::Pending,
        reason: None,
        session: SessionId(1),
        fill_count,
        outbound: 3,
        client_sequence: 4,
        order_id: OrderId(5),
        filled: Quantity(6),
        leaves: Quantity(7),
        time: TimeNs(8),
        account: AccountId(9),
    }
}

const TRADE: Trade = Trade {
    instrument: InstrumentId(1),
    taker_side: Side::Sell,
    maker_order: OrderId(2),
    taker_order: OrderId(3),
    maker_account: AccountId(4),
    taker_account: AccountId(5),
    price: Price(6),
    quantity: Quantity(7),
    maker_leaves: Quantity(8),
};

fn orders(c: &mut Criterion) {
    let limits = OpenLimits::default();
    let mut frame = Vec::new();
    seal_order(1, &mut frame);
    let mut group = c.benchmark_group(format!("new-order/{}-bytes", frame.len()));
    group.throughput(Throughput::Elements(1));
    let mut out = Vec::with_capacity(4096);
    group.bench_function("seal", |b| {
        b.iter(|| {
            out.clear();
            seal_order(black_box(1), &mut out);
        });
    });
    group.bench_function("open+decode", |b| b.iter(|| open_order(black_box(&frame), &limits)));
    // The same at every alignment, as frames stand in a receive buffer.
    let mut stream = Vec::new();
    let mut ends = vec![0];
    for number in 0..64 {
        seal_order(number, &mut stream);
        stream.resize(stream.len() + number as usize % 16, 0);
        ends.push(stream.len());
    }
    let mut next = 0;
    group.bench_function("open+decode, any alignment", |b| {
        b.iter_batched(
            || {
                next = (next + 1) % 64;
                ends[next]
            },
            |at| open_order(black_box(&stream[at..]), &limits),
            BatchSize::SmallInput,
        );
    });
    let covered = &frame[..frame.len() - 40];
    group.bench_function("crc-64", |b| b.iter(|| integrity::crc64(black_box(covered))));
    group.bench_function("sha-256", |b| b.iter(|| integrity::sha256(black_box(covered))));
    group.finish();
}

/// Frames as they lie in a receive buffer, or in one to be sent: their hashes are made together.
fn together(c: &mut Criterion) {
    const FRAMES: u64 = 64;
    let limits = OpenLimits::default();
    let mut stream = Vec::new();
    (0..FRAMES).for_each(|number| seal_order(number, &mut stream));
    let size = stream.len() / FRAMES as usize;
    let mut group = c.benchmark_group(format!("together/{FRAMES}x{size}-bytes"));
    group.throughput(Throughput::Elements(FRAMES));
    group.bench_function("crc and hash made", |b| b.iter(|| seal_each(black_box(&mut stream))));
    group.bench_function("open, hashes made ahead", |b| {
        b.iter(|| {
            let mut hashes = HashesAhead::new();
            for at in (0..stream.len()).step_by(size) {
                let hash = hashes.take(&stream[at..], limits.frame_max);
                let frame = Frame::open_hashed(&stream[at..at + size], &limits, |_| hash);
                black_box(frame.expect("a good frame"));
            }
        });
    });
    group.bench_function("open, one by one", |b| {
        b.iter(|| {
            for frame in stream.chunks_exact(size) {
                black_box(Frame::open(black_box(frame), &limits).expect("a good frame"));
            }
        });
    });
    group.finish();
}

fn answers(c: &mut Criterion) {
    let limits = OpenLimits::default();
    for fills in [0, 2] {
        let trades = vec![TRADE; fills];
        let mut frame = Vec::new();
        let seal = |out: &mut Vec<u8>| {
            send_answer(Sequence(1), &result(fills as u32), &trades, false, out);
        };
        seal(&mut frame);
        let name = format!("answer/{fills}-fills/{}-bytes", frame.len());
        let mut group = c.benchmark_group(name);
        group.throughput(Throughput::Elements(1));
        let mut out = Vec::with_capacity(4096);
        group.bench_function("seal", |b| {
            b.iter(|| {
                out.clear();
                seal(black_box(&mut out));
            });
        });
        group.bench_function("open+decode", |b| {
            b.iter(|| {
                let frame = Frame::open(black_box(&frame), &limits).expect("a good frame");
                let ServerMessage::Answer(view) = ServerMessage::decode(&frame).expect("good")
                else {
                    panic!("not an answer");
                };
                view.fills.iter().map(|fill| fill.quantity.0).sum::<i64>() + view.answer.filled.0
            });
        });
        group.finish();
    }
}

/// A conversation that is open, and the bytes that opened it are forgotten.
fn conversation(window: usize) -> Conversation {
    let key = KeyPair::from_seed(&[7; 32]);
    let mut conversation =
        Conversation::new(key, "load-15", window, 0, [1, 2, 3, 4]).expect("a good name");
    let mut bytes = Vec::new();
    let challenge = Challenge { nonce: [0; 32], time_ns: TimeNs(1), frame_max: 4096 };
    send(&challenge, 0, &mut bytes);
    let accepted = LogonAccepted {
        session: SessionId(1),
        key: KeyId(1),
        role: Role::Trade,
        outbound: 0,
        sequence: Sequence(0),
        heartbeat_interval_ms: 5000,
    };
    send(&accepted, 0, &mut bytes);
    conversation.receive(&bytes, &mut |_| ()).expect("good frames");
    conversation.out().clear();
    conversation
}

/// Answers to all requests that wait; they are the last ones given.
fn answer_all(conversation: &Conversation, outbound: &mut u64, answers: &mut Vec<u8>) {
    answers.clear();
    let next = conversation.next_request().0;
    for client_sequence in next - conversation.in_flight() as u64..next {
        *outbound += 1;
        let result = CommandResult { client_sequence, outbound: *outbound, ..result(0) };
        send_answer(Sequence(1), &result, [], false, answers);
    }
}

/// What one order costs a load generator, without the socket: a window is filled and answered.
fn client(c: &mut Criterion) {
    const WINDOW: u64 = 256;
    let mut group = c.benchmark_group("client");
    group.throughput(Throughput::Elements(1));
    let options = Options { timestamp_ms: Some(1_700_000_000_000), ..Options::default() };
    for what in ["submit", "receive an answer"] {
        let mut conversation = conversation(WINDOW as usize);
        let (mut answers, mut outbound, mut sum) = (Vec::new(), 0, 0);
        group.bench_function(what, |b| {
            b.iter_custom(|count| {
                let rounds = count.div_ceil(WINDOW);
                let (mut submitting, mut receiving) = (Duration::ZERO, Duration::ZERO);
                for _ in 0..rounds {
                    conversation.out().clear();
                    let start = Instant::now();
                    for number in 0..WINDOW {
                        conversation.submit(&new_order(number), &options).expect("room");
                    }
                    // Frames are sealed, many at a time, when they are to be sent.
                    black_box(conversation.out());
                    submitting += start.elapsed();
                    answer_all(&conversation, &mut outbound, &mut answers);
                    let start = Instant::now();
                    let mut each = |reply: Reply<'_>| {
                        if let Reply::Answer { view, .. } = reply {
                            sum += view.answer.leaves.0;
                        }
                    };
                    conversation.receive(&answers, &mut each).expect("good frames");
                    receiving += start.elapsed();
                }
                let spent = if what == "submit" { submitting } else { receiving };
                // Whole windows were measured; the share of what was asked for is told.
                spent.mul_f64(count as f64 / (rounds * WINDOW) as f64)
            });
        });
        black_box(sum);
    }
    group.finish();
}

criterion_group!(benches, orders, together, answers, client);
criterion_main!(benches);
