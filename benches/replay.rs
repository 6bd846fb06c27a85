//! How fast a journal is replayed: `cargo bench --bench replay [COMMANDS]`.
//!
//! Writes a journal of real frames as clients send them (five million new orders, cancels and
//! replaces of 16 accounts by default), lets a start of the node make its event log, and replays it
//! six times: with all checks (CRC-64 of every record, SHA-256 of every frame, the hash chain) and, in
//! turn with that, with CRC-64 alone. The duplicate window, the exchange, and the comparison of every
//! event with the event log are in both.

use openoutcry::command::{CancelOrder, Command, NewOrder, ReplaceOrder};
use openoutcry::config::{Config, KeyEntry, genesis_items};
use openoutcry::journal::batch::{Part, RecordFields};
use openoutcry::journal::format::RecordKind;
use openoutcry::journal::payload::SessionLogon;
use openoutcry::journal::view::Verify;
use openoutcry::journal::writer::Appended;
use openoutcry::node::boot::{Booted, Genesis, Logs, boot};
use openoutcry::node::replay::{Asked, Until, replay};
use openoutcry::sys::disk::Disk;
use openoutcry::sys::storage::Append;
use openoutcry::types::{
    AccountId, ClientOrderId, Epoch, InstrumentId, KeyId, OrderId, OrderType, Price, Quantity,
    Role, Sequence, SessionId, Side, TimeInForce, TimeNs,
};
use openoutcry::wire::{
    BitMode, Flags, Frame, FrameHead, FrameWriter, Metadata, OpenLimits, payload,
};
use std::collections::VecDeque;
use std::path::Path;
use zerocopy::IntoBytes;

const SEGMENT_BYTES: u64 = 256 * 1024 * 1024;
const BATCH: usize = 256;
const START: TimeNs = TimeNs(1_800_000_000_000_000_000);
const LIMITS: OpenLimits = OpenLimits { frame_max: 4096, strict_reserved: true };

/// Numbers that repeat with their seed.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// A market: orders rest around a price that wanders, one in eight trades at once, and of those that
/// rest the oldest are cancelled or replaced, so that some thousand are live.
struct Market {
    random: Random,
    price: i64,
    next: u64,
    /// Numbers of orders that rest; some were filled meanwhile.
    resting: VecDeque<u64>,
}

impl Market {
    fn command(&mut self) -> Command {
        let instrument = InstrumentId(1);
        if self.resting.len() >= 4_000 {
            let number = self.resting.pop_front().expect("thousands rest");
            let (account, order_id) = (account_of(number), OrderId(0));
            let orig_client_order_id = client_of(number);
            if self.random.below(8) > 0 {
                return CancelOrder { account, instrument, order_id, orig_client_order_id }.into();
            }
            self.resting.push_back(number);
            let (price, quantity) = (Price(self.price - 40), Quantity(2_000));
            return ReplaceOrder {
                account,
                instrument,
                order_id,
                price,
                quantity,
                orig_client_order_id,
            }
            .into();
        }
        self.next += 1;
        self.price += self.random.below(3).cast_signed() - 1;
        let side = if self.random.below(2) == 0 { Side::Buy } else { Side::Sell };
        let crosses = self.random.below(8) == 0;
        let away = if crosses { -20 } else { 5 + self.random.below(50).cast_signed() };
        if !crosses {
            self.resting.push_back(self.next);
        }
        NewOrder {
            account: account_of(self.next),
            instrument,
            side,
            order_type: OrderType::Limit,
            time_in_force: if crosses { TimeInForce::Ioc } else { TimeInForce::Gtc },
            flags: 0,
            price: Price(if side == Side::Buy { self.price - away } else { self.price + away }),
            quantity: Quantity(1 + self.random.below(1_000).cast_signed()),
            client_order_id: client_of(self.next),
        }
        .into()
    }
}

fn account_of(number: u64) -> AccountId {
    AccountId(2 + number % 16)
}

/// The client's number of an order: each account has a series of its own.
fn client_of(number: u64) -> ClientOrderId {
    ClientOrderId(1 + number / 16)
}

fn main() {
    let count = std::env::args().find_map(|arg| arg.parse().ok()).unwrap_or(5_000_000);
    let dir = tempfile::tempdir().expect("a temporary directory");
    let logs = Logs::new(&Disk::shared(), dir.path(), Append::Write, SEGMENT_BYTES, 1);
    write(&logs, count);
    // A start makes the event log.
    drop(start(&logs));
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    report(dir.path(), &format!("{count} commands, {cores} cores"));
    for verify in [Verify::Chain, Verify::Crc].repeat(3) {
        let before = cpu_s();
        let asked = Asked { verify, ..Asked::until(Until::End) };
        let replayed =
            replay(&logs.commands, &logs.events, asked, &mut |_| {}).expect("a sound journal");
        assert_eq!(replayed.events, replayed.events_compared, "the event log is whole");
        let seconds = replayed.elapsed.as_secs_f64();
        let per_s = replayed.commands as f64 / seconds;
        let (commands, events) = (replayed.commands, replayed.events);
        let checks = if verify == Verify::Chain { "all checks" } else { "CRC-64 alone" };
        let text = format!(
            "{checks}: {commands} commands, {events} events in {seconds:.3} s \
             ({:.2} s of processors): {per_s:.0} commands/s",
            cpu_s() - before
        );
        report(dir.path(), &text);
    }
}

/// Processor time that this process has used, its ended threads included: tells a figure from a machine
/// that was busy with something else.
fn cpu_s() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default();
    // User and system time, in hundredths of a second.
    let ticks = fields.split_whitespace().skip(11).take(2);
    ticks.filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / 100.0
}

#[allow(clippy::print_stdout, reason = "a benchmark prints its figures")]
fn report(dir: &Path, text: &str) {
    println!("replay in {}: {text}", dir.display());
}

fn start(logs: &Logs) -> Booted {
    let mut config = Config::default();
    config.genesis.keys.push(KeyEntry {
        public_key: "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c".to_owned(),
        role: Role::Operator,
        accounts: Vec::new(),
        priority: None,
        critical_per_s: None,
    });
    let (items, commands) = genesis_items(&config, [7; 16]).expect("the default venue");
    let genesis = || Genesis { items, commands, time: START };
    boot(logs, genesis, &mut |_| {}).expect("an empty or sound journal")
}

/// Writes `count` commands behind genesis and a logon, without a node.
fn write(logs: &Logs, count: u64) {
    let Booted { mut batches, mut writer, mut preparer, state, .. } = start(logs);
    let mut sequence = state.order.last;
    let mut market =
        Market { random: Random(0x9E37_79B9), price: 3_000_000, next: 0, resting: VecDeque::new() };
    batches.begin(Epoch(1), sequence);
    sequence = sequence.next();
    let mut logon = SessionLogon::named(b"bench");
    logon.key = 1.into();
    let fields = RecordFields {
        key: KeyId(1),
        ..RecordFields::new(RecordKind::SessionLogon, sequence, START)
    };
    batches.push(&fields, &[], Some(logon.as_bytes())).expect("an empty batch");
    batches.seal();
    let (mut frame, mut done) = (Vec::new(), 0);
    while done < count {
        batches.begin(Epoch(1), sequence);
        for _ in 0..BATCH {
            sequence = sequence.next();
            done += 1;
            frame.clear();
            seal(&market.command(), done, &mut frame);
            push(&mut batches, sequence, done, &frame);
        }
        batches.seal();
        while writer.append(batches.sealed()).expect("a good disk") == Appended::NotReady {
            preparer.do_work().expect("a good disk");
        }
        batches.clear();
    }
    while let Some(job) = writer.take_sync() {
        drop(job);
    }
}

/// The frame of a command, as the client library seals it.
fn seal(command: &Command, number: u64, out: &mut Vec<u8>) {
    let message_id = format!("bench-4f2a91c3{number:016x}");
    let timestamp_ms = (START.0 / 1_000_000).cast_signed();
    let metadata = Metadata::new(&message_id, timestamp_ms, openoutcry::types::Priority::Normal);
    let head = FrameHead {
        schema: command.schema(),
        flags: Flags::new(metadata.priority).with(Flags::RESPONSE_REQUIRED),
        bit_mode: BitMode::Bits64,
        client_sequence: number,
    };
    let mut writer = FrameWriter::begin_with(out, head, &metadata).expect("short metadata");
    payload::encode_command(command, BitMode::Bits64, writer.payload()).expect("64 bits hold it");
    writer.seal();
}

/// The record of a frame, as the gateway and the journal make it.
fn push(
    batches: &mut openoutcry::journal::batch::BatchBuilder,
    sequence: Sequence,
    number: u64,
    bytes: &[u8],
) {
    let frame = Frame::open(bytes, &LIMITS).expect("just sealed");
    let metadata = frame.metadata().expect("just sealed").expect("a command has metadata");
    let at = frame.locations(&metadata);
    let part = |range| Part::of(&range).expect("frames are short");
    let fields = RecordFields {
        session: SessionId(1),
        key: KeyId(1),
        client_sequence: number,
        client_timestamp_ms: metadata.timestamp_ms,
        schema: frame.schema(),
        command: part(at.payload),
        message_id: part(at.message_id),
        source: part(at.source),
        frame_hash: Some(at.hash.start as u16),
        ..RecordFields::new(RecordKind::Command, sequence, TimeNs(START.0 + number * 1_000))
    };
    batches.push(&fields, bytes, None).expect("the batch is not full");
}
