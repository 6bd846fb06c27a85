//! Snapshots: from any of them a replay gives what a replay from the first record gives, and one that
//! is not exactly as it was written is refused.

mod retained;

use crate::sim::disk::SimDisk;
use crate::sim::random::{Random, seeds};
use crate::sim::venue::{Known, Rules, command};
use openoutcry::admin::AdminCommand;
use openoutcry::checksum::crc64;
use openoutcry::command::{CancelOnDisconnect, Command, MassCancel, NewOrder, ReplaceOrder};
use openoutcry::event::EventBody;
use openoutcry::exchange::{Context, Exchange, Outbox, Part};
use openoutcry::genesis::Key;
use openoutcry::journal::batch::{self, BatchBuilder, RecordFields};
use openoutcry::journal::event_log::EventLogBuilder;
use openoutcry::journal::format::{JournalId, LogKind, RecordKind, SEGMENT_HEADER_SIZE, Tip};
use openoutcry::journal::payload::{EpochStart, SessionLogon};
use openoutcry::journal::reader::{ReadError, Reader};
use openoutcry::journal::recovery::{RecoveryError, recover};
use openoutcry::journal::segment::{LogDir, Preparer};
use openoutcry::journal::verify::verify;
use openoutcry::journal::view::{Flaw, Verify};
use openoutcry::journal::writer::{Appended, Syncer, Writer};
use openoutcry::node::state::State;
use openoutcry::packing::{Pack, Unfit, Unpack};
use openoutcry::schema::{Field, Kind, SchemaDefinition};
use openoutcry::snapshot::fold::{At, FoldError, Folder, fold, fold_stopped};
use openoutcry::snapshot::format::{HEADER_SIZE, SECTION_HEADER_SIZE, Section, SnapshotHeader};
use openoutcry::snapshot::store::{Fault, Store};
use openoutcry::snapshot::{Snapshot, Unsound};
use openoutcry::sys::storage::{Append, Storage};
use openoutcry::types::{
    AccountId, ClientOrderId, Epoch, InstrumentId, KeyId, Lane, OrderId, OrderType, Price,
    Priority, Quantity, Role, Sequence, SessionId, Side, Sides, TimeInForce, TimeNs,
};
use sha2::{Digest, Sha256};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use zerocopy::{FromBytes, IntoBytes};

const SEGMENT: u64 = 64 * 1024;

fn go_on(_: At) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// A journal of random commands, logons, admin commands and reigns, and what a replay of all of it
/// gives after each batch.
pub(crate) struct History {
    pub(crate) disk: SimDisk,
    log: LogDir,
    store: Store,
    id: JournalId,
    /// After each batch: where it ends, the state hash, and the event log's bytes of it.
    pub(crate) batches: Vec<(Sequence, String, Vec<u8>)>,
}

/// What the history is written with.
struct Pen {
    random: Random,
    builder: BatchBuilder,
    state: State,
    outbox: Outbox,
    epoch: Epoch,
    time: u64,
    known: Vec<Known>,
    messages: u64,
    /// Sessions ask for mass cancels, and for cancels when they are away.
    timely: bool,
}

impl Pen {
    fn fields(&mut self, kind: RecordKind) -> RecordFields {
        self.time += self.random.below(3_000_000_000);
        let sequence = self.builder.tip().sequence.0 + u64::from(self.builder.open_count()) + 1;
        RecordFields::new(kind, Sequence(sequence), TimeNs(self.time))
    }

    fn push(&mut self, fields: &RecordFields, received: &[u8], payload: &[u8]) {
        self.builder.push(fields, received, Some(payload)).expect("it is small");
    }

    /// One record of any kind that the sequencer makes.
    fn record(&mut self, sessions: u32) {
        let random = self.random.below(100);
        let key = KeyId(1 + self.random.below(4) as u32);
        match random {
            0..6 => {
                let mut logon = SessionLogon::named(&[b'a' + self.random.below(5) as u8]);
                logon.key = key.0.into();
                let fields = self.fields(RecordKind::SessionLogon);
                self.push(&fields, &[], logon.as_bytes());
            }
            6..8 if sessions > 0 => {
                let mut fields = self.fields(RecordKind::SessionLost);
                fields.session = SessionId(1 + self.random.below(sessions.into()) as u32);
                self.push(&fields, &[], &[0; 16]);
            }
            8..10 => {
                let fields = self.fields(RecordKind::Tick);
                self.push(&fields, &[], &[0; 8]);
            }
            10..14 => self.admin(),
            _ => {
                let mut command = command(&mut self.random, key, &self.known);
                if self.timely && self.random.percent(25) {
                    command = self.timely_command(sessions);
                }
                let mut fields = self.fields(RecordKind::Command);
                if sessions > 0 {
                    fields.session = SessionId(self.random.below(u64::from(sessions) + 1) as u32);
                }
                fields.key = key;
                fields.schema = command.schema();
                fields.client_timestamp_ms = (self.time / 1_000_000).cast_signed();
                self.messages += 1;
                let received = format!("desk{:08}", self.messages);
                fields.source = batch::Part { offset: 0, length: 4 };
                fields.message_id = batch::Part { offset: 4, length: 8 };
                let mut payload = vec![];
                command.encode(&mut payload);
                self.push(&fields, received.as_bytes(), &payload);
            }
        }
    }

    fn timely_command(&mut self, sessions: u32) -> Command {
        let random = &mut self.random;
        if random.percent(60) {
            let grace_ms = random.below(20_000) as u32;
            return CancelOnDisconnect { enabled: u8::from(random.percent(90)), grace_ms }.into();
        }
        MassCancel {
            account: AccountId([0, 2, 3, 4][random.below(4) as usize]),
            instrument: InstrumentId(random.below(3) as u32),
            sides: Sides::from_u8(random.below(3) as u8).expect("three of them"),
            session: SessionId(random.below(u64::from(sessions) + 1) as u32),
        }
        .into()
    }

    fn admin(&mut self) {
        let number = self.random.below(40) as u32;
        let key = KeyId(1 + number % 5);
        let command = match self.random.below(8) {
            0 => AdminCommand::SetLane {
                lane: Lane::ALL[number as usize % 3],
                max_batch: 1 + number,
            },
            1 => AdminCommand::SetBulkShare { one_in: 1 + number },
            2 => AdminCommand::SetEntitlement {
                key,
                priority: Priority::Low,
                critical_per_s: number,
            },
            3 => AdminCommand::DefineKey {
                public_key: format!("{number:064x}"),
                role: Role::Trade,
                accounts: vec![AccountId(3), AccountId(2)],
                priority: Priority::Normal,
                critical_per_s: Key::CRITICAL_PER_S,
            },
            7 => AdminCommand::ActivateRules { version: 2 },
            4 => AdminCommand::DisableKey { key: KeyId(4) },
            5 => AdminCommand::EnableKey { key: KeyId(4) },
            _ => AdminCommand::RegisterSchema {
                schema: SchemaDefinition {
                    id: 1000 + number,
                    name: format!("report-{number}"),
                    version: 1,
                    about: String::new(),
                    fields: vec![Field::new(1, "account", Kind::Uint64)],
                },
            },
        };
        let mut fields = self.fields(RecordKind::Admin);
        fields.key = KeyId(1);
        self.push(&fields, &[], &command.encode());
    }

    fn genesis(&mut self, rules: &Rules) {
        let genesis = rules.genesis(TimeNs(self.time));
        let fields = self.fields(RecordKind::EpochStart);
        self.push(&fields, &[], EpochStart::new(1, 0, 0).as_bytes());
        for item in &genesis.items {
            let fields = self.fields(RecordKind::Genesis);
            self.push(&fields, &[], &item.encode());
        }
        for command in &genesis.commands {
            let mut payload = vec![];
            command.encode(&mut payload);
            let fields =
                RecordFields { schema: command.schema(), ..self.fields(RecordKind::Command) };
            self.push(&fields, &[], &payload);
        }
    }

    /// Applies the sealed batch as a replay does, and gives its part of the event log.
    fn apply(&mut self, events: &mut EventLogBuilder) -> Vec<u8> {
        let bytes = self.builder.sealed();
        let batch = openoutcry::journal::view::Batch::parse(bytes).expect("it was just sealed");
        events.begin_batch(batch.first(), self.epoch);
        for record in batch.records() {
            self.state.apply(&record, &mut self.outbox).expect("this release's own");
            for event in self.outbox.events() {
                if let EventBody::Result(result) = &event.body
                    && result.leaves.0 > 0
                    && let Some(row) = self.state.exchange.order(result.order_id)
                {
                    let (account, instrument) = (row.account, row.instrument);
                    self.known.push(Known { account, instrument, order_id: row.order_id });
                }
            }
            events.push(record.time(), self.outbox.events());
        }
        events.end_batch(batch.last());
        let sealed = events.sealed().to_vec();
        events.clear();
        if self.known.len() > 60 {
            self.known.drain(..30);
        }
        sealed
    }
}

impl History {
    pub(crate) fn new(seed: u64, batches: usize) -> History {
        History::of(seed, batches, false)
    }

    /// The same; with mass cancels and sessions whose orders end with them, where it is `timely`.
    fn of(seed: u64, batches: usize, timely: bool) -> History {
        let mut random = Random::new(seed);
        let version = 1 + u32::from(timely);
        // All of genesis is one batch.
        let rules = Rules { version, deep: false, ..Rules::choose(&mut random) };
        let disk = SimDisk::new();
        let dir = Path::new("data");
        let log = LogDir::new(disk.shared(), dir, LogKind::Commands, Append::Write, SEGMENT);
        log.create().expect("the disk works");
        let id = JournalId::from_seed(&format!("{:032x}", rules.seed));
        let recovered = recover(&log, Sequence(1), &mut |_| ()).expect("it is empty");
        let (mut preparer, prepared) = Preparer::new(log.clone(), &recovered, 2);
        preparer.run().expect("the disk works");
        let mut writer =
            Writer::new(log.clone(), id, version, &recovered, prepared).expect("it opens");
        let mut syncer = Syncer::new(Sequence::NONE);
        let builder = BatchBuilder::new(LogKind::Commands, id, Tip::START);
        let mut events = EventLogBuilder::new(id, Tip::START);
        let mut pen = Pen {
            random,
            builder,
            state: State::new(),
            outbox: Outbox::new(),
            epoch: Epoch(1),
            time: 1_700_000_000_000_000_000,
            known: vec![],
            messages: 0,
            timely,
        };
        let mut ends = vec![];
        for number in 0..batches {
            let new_reign = number > 0 && pen.random.percent(3);
            pen.epoch.0 += u64::from(new_reign);
            pen.builder.begin(pen.epoch, syncer.durable());
            match number {
                0 => pen.genesis(&rules),
                _ if new_reign => {
                    let fields = pen.fields(RecordKind::EpochStart);
                    pen.push(&fields, &[], EpochStart::new(1, 0, 0).as_bytes());
                }
                _ => {
                    let sessions = pen.state.exchange.sessions().len() as u32;
                    (0..1 + pen.random.below(12)).for_each(|_| pen.record(sessions));
                }
            }
            pen.builder.seal();
            let sealed = pen.apply(&mut events);
            while writer.append(pen.builder.sealed()).expect("the disk works") == Appended::NotReady
            {
                preparer.run().expect("the disk works");
            }
            pen.builder.clear();
            while let Some(job) = writer.take_sync() {
                syncer.sync(&job).expect("the disk works");
            }
            ends.push((pen.builder.tip().sequence, pen.state.hash(), sealed));
        }
        pen.state.exchange.check();
        let store = Store::new(disk.shared(), dir);
        History { disk, log, store, id, batches: ends }
    }

    /// The last sequence that a batch says was durable: all but the last batch.
    fn synced_to(&self) -> Sequence {
        self.batches[self.batches.len() - 2].0
    }

    /// A snapshot folded from the first record.
    pub(crate) fn snapshot(&self, at: Sequence) -> Snapshot {
        let mut folder = Folder::new(Snapshot::start(self.id), &self.log);
        folder.run(at, &mut go_on).expect("it is sound");
        folder.end()
    }
}

#[test]
fn from_any_snapshot_a_replay_gives_what_a_replay_of_everything_gives() {
    seeds("snapshot and suffix", |seed| {
        let history = History::of(seed, 60, seed % 2 == 1);
        let mut random = Random::new(seed ^ 0x5eed);
        let last = history.batches.last().expect("there are some");
        let whole = history.snapshot(last.0).encode();
        for _ in 0..6 {
            let at = random.below(history.batches.len() as u64) as usize;
            let (sequence, hash, _) = &history.batches[at];
            let written = history.snapshot(*sequence);
            assert_eq!((written.sequence(), &written.state.hash()), (*sequence, hash));
            let bytes = written.encode();
            let read = Snapshot::decode(&bytes).expect("it is sound");
            read.audit();
            assert_eq!(read.state.hash(), *hash);
            assert_eq!(read.state.genesis, written.state.genesis);
            assert!(read.encode() == bytes, "the same state gives the same bytes");
            // The suffix: state, sessions' numbers, and every byte of the event log.
            let mut events = read.event_log();
            let mut outbox = Outbox::new();
            let (tip, place) = (read.journal, read.place);
            let mut state = read.state;
            let mut reader = Reader::behind(history.log.clone(), tip, place, Verify::Chain);
            for (end, hash, expected) in &history.batches[at + 1..] {
                let batch = reader.next_batch(*end).expect("it is sound").expect("it is there");
                events.begin_batch(batch.first(), Epoch(batch.header().epoch.get()));
                for record in batch.records() {
                    state.apply(&record, &mut outbox).expect("as before");
                    events.push(record.time(), outbox.events());
                }
                events.end_batch(batch.last());
                assert!(events.sealed() == expected, "the event log up to {end}");
                events.clear();
                assert_eq!(state.hash(), *hash, "the state at {end}");
            }
            state.exchange.check();
            let mut folder = Folder::new(Snapshot::decode(&bytes).expect("it is"), &history.log);
            folder.run(last.0, &mut go_on).expect("it is sound");
            assert!(folder.end().encode() == whole, "folded twice, and at once");
        }
    });
}

#[test]
fn an_engine_without_a_record_or_without_an_order_is_a_snapshot_too() {
    let id = JournalId([7; 16]);
    let nothing = Snapshot::start(id).encode();
    let read = Snapshot::decode(&nothing).expect("it is sound");
    assert_eq!((read.id, read.sequence()), (id, Sequence::NONE));
    assert_eq!(read.state.hash(), State::new().hash());
    read.audit();

    let history = History::new(1, 2);
    let (genesis, hash, _) = &history.batches[0];
    let read = Snapshot::decode(&history.snapshot(*genesis).encode()).expect("it is sound");
    assert_eq!(read.state.hash(), *hash);
    assert_eq!(read.state.exchange.order_count(), 0);
    assert_eq!(read.state.order.dedupe.len(), 0);
    read.audit();
}

/// Packs an exchange and unpacks another from what `change` makes of a part.
fn repack(
    exchange: &Exchange,
    mut change: impl FnMut(Part, &mut Vec<u8>),
) -> Result<Exchange, Unfit> {
    let mut read = Exchange::new();
    for part in Section::ALL.iter().filter_map(|section| section.part()) {
        let mut pack = Pack::default();
        exchange.pack(part, &mut pack);
        let mut bytes = pack.into_bytes();
        change(part, &mut bytes);
        let mut unpack = Unpack::new(&bytes);
        read.unpack(part, &mut unpack)?;
        unpack.end()?;
    }
    Ok(read)
}

#[test]
fn orders_of_one_price_keep_their_turn() {
    let mut exchange = Exchange::new();
    let genesis = Rules::plain(1, 9, 9).genesis(TimeNs(1));
    genesis.items.iter().for_each(|item| exchange.define(item).expect("it is sound"));
    let mut outbox = Outbox::new();
    let mut sequence = 0;
    let mut apply = |exchange: &mut Exchange, command: &Command| {
        sequence += 1;
        let context = Context { sequence: Sequence(sequence), ..Context::default() };
        exchange.apply(&context, command, &mut outbox);
        let refused = outbox.result().and_then(|result| result.reason);
        assert_eq!(refused, None);
        let makers = outbox.events().iter().filter_map(|event| match &event.body {
            EventBody::Trade(trade) => Some(trade.maker_order.0),
            _ => None,
        });
        (sequence, makers.collect::<Vec<_>>())
    };
    genesis.commands.iter().for_each(|command| drop(apply(&mut exchange, command)));
    let order = |account, side, quantity| NewOrder {
        account: AccountId(account),
        instrument: InstrumentId(1),
        side,
        order_type: OrderType::Limit,
        time_in_force: TimeInForce::Gtc,
        flags: 0,
        price: Price(100),
        quantity: Quantity(quantity),
        client_order_id: ClientOrderId(0),
    };
    let mut bids = vec![];
    for account in [2, 3, 4, 5] {
        bids.push(apply(&mut exchange, &order(account, Side::Buy, 2).into()).0);
    }
    // More quantity costs the second its turn: the order of ids is not that of matching.
    let replace = ReplaceOrder {
        account: AccountId(3),
        instrument: InstrumentId(1),
        order_id: OrderId(bids[1]),
        price: Price(100),
        quantity: Quantity(3),
        orig_client_order_id: ClientOrderId(0),
    };
    apply(&mut exchange, &replace.into());
    let mut read = repack(&exchange, |_, _| ()).expect("it is sound");
    read.check();
    let (_, makers) = apply(&mut read, &order(2, Side::Sell, 9).into());
    assert_eq!(makers, [bids[0], bids[2], bids[3], bids[1]]);
}

/// A snapshot with something in every section, and not much of it.
fn small() -> Vec<u8> {
    let history = History::new(3, 40);
    history.snapshot(history.synced_to()).encode()
}

#[test]
fn a_snapshot_that_is_not_exactly_as_it_was_written_is_refused() {
    let mut bytes = small();
    Snapshot::decode(&bytes).expect("it is sound");
    for at in 0..bytes.len() {
        let bit = 1 << (at % 8);
        bytes[at] ^= bit;
        assert!(Snapshot::decode(&bytes).is_err(), "byte {at}");
        bytes[at] ^= bit;
        let zeroed = std::mem::replace(&mut bytes[at], 0);
        if zeroed != 0 {
            assert!(Snapshot::decode(&bytes).is_err(), "byte {at}");
        }
        bytes[at] = zeroed;
        let refused = Snapshot::decode(&bytes[..at]).map(|_| ());
        match refused {
            Err(Unsound::Short(length)) => assert!(at < HEADER_SIZE && length == at),
            Err(Unsound::Length { found, .. }) => assert!(at >= HEADER_SIZE && found == at as u64),
            other => panic!("cut at {at}: {other:?}"),
        }
    }
    bytes.push(0);
    assert!(matches!(Snapshot::decode(&bytes), Err(Unsound::Length { .. })));
}

#[test]
fn what_is_wrong_with_a_snapshot_is_said() {
    let good = small();
    let refused = |change: fn(&mut Vec<u8>)| {
        let mut bytes = good.clone();
        change(&mut bytes);
        Snapshot::decode(&bytes).map(|_| ()).expect_err("it is changed").to_string()
    };
    assert_eq!(refused(|bytes| bytes[0] = 0), "it does not begin as a snapshot does");
    let version = refused(|bytes| bytes[8] = 9);
    assert_eq!(version, "its format is of version 9, which is not known here");
    assert_eq!(refused(|bytes| bytes[50] ^= 1), "the CRC-64 of its header does not match");
    assert_eq!(
        refused(|bytes| *bytes.last_mut().expect("there are some") ^= 1),
        "the SHA-256 of its body does not match; section numbers is damaged"
    );
    // Sealed again, so that the checksums are right.
    let newer = refused(|bytes| {
        bytes[16] = 9;
        reseal(bytes);
    });
    assert_eq!(newer, "it holds rules of version 9, this release knows up to 2");
    let other_state = refused(|bytes| {
        bytes[152] ^= 1;
        reseal(bytes);
    });
    assert_eq!(other_state, "its state has another hash than its header says");
}

/// Makes all checksums right again.
fn reseal(bytes: &mut [u8]) {
    let (head, body) = bytes.split_at_mut(HEADER_SIZE);
    let mut rest = &mut *body;
    while rest.len() >= SECTION_HEADER_SIZE {
        let (header, behind) = rest.split_at_mut(SECTION_HEADER_SIZE);
        let length = u64::from_le_bytes(header[8..16].try_into().expect("eight bytes"));
        let length = usize::try_from(length).unwrap_or(usize::MAX).min(behind.len());
        let (content, behind) = behind.split_at_mut(length);
        header[16..24].copy_from_slice(&crc64(content).to_le_bytes());
        rest = behind;
    }
    let (mut header, _) = SnapshotHeader::read_from_prefix(head).expect("it is long enough");
    header.body_length = (body.len() as u64).into();
    header.body_hash = Sha256::digest(&body).into();
    header.seal();
    head.copy_from_slice(header.as_bytes());
}

#[test]
fn no_bytes_make_reading_panic_even_where_the_checksums_are_right() {
    let history = History::of(3, 40, true);
    let good = history.snapshot(history.synced_to()).encode();
    // What the settings ask for is reserved: a large number there is no error and no small matter.
    let settings = HEADER_SIZE + SECTION_HEADER_SIZE + 16..HEADER_SIZE + SECTION_HEADER_SIZE + 400;
    crate::fuzz::fuzz("snapshots", |random| {
        let mut bytes = good.clone();
        for _ in 0..1 + random.below(3) {
            let at = random.below(bytes.len() as u64) as usize;
            if !settings.contains(&at) {
                bytes[at] = random.next() as u8;
            }
        }
        reseal(&mut bytes);
        if let Ok(snapshot) = Snapshot::decode(&bytes) {
            snapshot.audit();
        }
        bytes.truncate(random.below(bytes.len() as u64 + 1) as usize);
        let _ = Snapshot::decode(&bytes);
    });
}

#[test]
fn whatever_parts_are_accepted_are_an_exchange() {
    let history = History::of(3, 40, true);
    let exchange = history.snapshot(history.synced_to()).state.exchange;
    let (mut accepted, mut refused) = (0, 0);
    crate::fuzz::fuzz("parts of a state", |random| {
        let chosen = random.below(7);
        let mut number = 0;
        let read = repack(&exchange, |part, bytes| {
            if part != Part::Definitions {
                if number == chosen && !bytes.is_empty() {
                    let at = random.below(bytes.len() as u64) as usize;
                    let small = if random.percent(50) { 4 } else { 256 };
                    bytes[at] = random.below(small) as u8;
                }
                number += 1;
            }
        });
        match read {
            Ok(exchange) => {
                exchange.check();
                accepted += 1;
            }
            Err(_) => refused += 1,
        }
    });
    assert!(accepted > 0, "some bytes change nothing, or a name");
    assert!(refused > 0, "most bytes do not");
}

#[test]
fn a_crash_at_any_step_of_writing_leaves_the_old_snapshots_or_the_new_one_too() {
    let history = History::new(4, 12);
    let (old, new) = (history.batches[3].0, history.batches[9].0);
    let [old_bytes, new_bytes] = [old, new].map(|at| history.snapshot(at).encode());
    seeds("crash of a snapshot's write", |seed| {
        let mut random = Random::new(seed);
        for steps in 0.. {
            let disk = SimDisk::new();
            let store = Store::new(disk.shared(), Path::new("data"));
            store.write(old, &old_bytes).expect("the disk works");
            disk.fail_in(steps, std::io::ErrorKind::Other);
            let written = store.write(new, &new_bytes);
            if random.percent(30) {
                disk.kill()
            } else {
                disk.lose_power(&mut random)
            }
            disk.heal();
            let found =
                store.load(&history.log, history.id, Sequence(u64::MAX)).expect("the disk works");
            assert!(found.skipped.is_empty(), "a snapshot's name has a sound snapshot behind it");
            let (found, ..) = found.snapshot.expect("the old one was durable");
            assert!(found.sequence() == new || (written.is_err() && found.sequence() == old));
            store.clean().expect("the disk works");
            let listed: Vec<_> = store.list().expect("it lists");
            assert_eq!(listed.len(), disk.files().len(), "nothing else is left");
            if written.is_ok() {
                assert!(steps > 3, "there is something to fail: reserve, write, two syncs");
                break;
            }
        }
    });
}

#[test]
fn a_failed_write_says_what_failed_and_leaves_nothing_behind() {
    let history = History::new(4, 4);
    let at = history.batches[1].0;
    let bytes = history.snapshot(at).encode();
    history.disk.fill_up();
    let files = history.disk.files().len();
    let failed = history.store.write(at, &bytes).expect_err("the disk is full");
    assert_eq!(failed.action, "reserve space for");
    assert_eq!(failed.source.kind(), std::io::ErrorKind::StorageFull);
    assert_eq!(history.disk.files().len(), files);
}

/// Overwrites a byte of a file in place.
fn damage(storage: &Arc<dyn Storage>, path: &Path, at: u64) {
    let file = storage.open(path, Append::Write).expect("it is there");
    let mut byte = [0];
    file.read_at(&mut byte, at).expect("the disk works");
    file.write_at(&[byte[0] ^ 1], at).expect("the disk works");
}

#[test]
fn a_fold_goes_on_from_the_newest_sound_snapshot_and_keeps_as_many_as_it_is_told() {
    let history = History::new(6, 30);
    let History { log, store, disk, .. } = &history;
    let at = |batch: usize| history.batches[batch].0;
    let fold = |upto: usize| fold(log, store, Some(at(upto)), 2, &mut go_on).expect("it folds");
    let first = fold(5);
    assert_eq!((first.sequence, first.from, first.known), (at(5), Sequence::NONE, false));
    assert_eq!(first.records, at(5).0);
    // A sequence inside a batch: the last batch that ends before it.
    let inside = Sequence(at(8).0.max(at(9).0 - 1));
    let second = openoutcry::snapshot::fold::fold(log, store, Some(inside), 2, &mut go_on);
    let second = second.expect("it folds");
    assert_eq!((second.sequence, second.from), (at(8), at(5)));
    assert_eq!(second.records, at(8).0 - at(5).0);
    let again = fold(8);
    assert_eq!((again.sequence, again.known, again.records), (at(8), true, 0));
    let third = fold(12);
    assert_eq!((third.from, third.removed), (at(8), 1), "two are kept");
    // The newest is damaged: the one before serves, and it is said which one does not.
    damage(&disk.shared(), &third.path, 300);
    let fourth = fold(15);
    assert_eq!(fourth.from, at(8));
    let [skipped] = &fourth.skipped[..] else { panic!("{:?}", fourth.skipped) };
    assert_eq!((skipped.sequence, &skipped.path), (at(12), &third.path));
    assert!(matches!(skipped.fault, Fault::Unsound(Unsound::Body(Some(Section::Genesis)))));
    // The damaged one is not counted as one that is kept.
    let left: Vec<_> = store.list().expect("it lists").into_iter().map(|(at, _)| at).collect();
    assert_eq!(left, [at(8), at(12), at(15)]);
    let fifth = fold(20);
    assert_eq!((fifth.from, fifth.removed), (at(15), 2));
    let (read, _) = store.read(at(20), &fifth.path).expect("it is sound");
    assert!(read.encode() == history.snapshot(at(20)).encode(), "folded five times, and once");
    assert_eq!(read.state.hash(), history.batches[20].1);
    // Damaged at its own sequence: it is written again.
    damage(&disk.shared(), &fifth.path, 300);
    assert!(!fold(20).known);
    store.check(at(20), &fifth.path).expect("it is sound again");
}

#[test]
fn an_unsound_snapshot_among_those_to_keep_does_not_count() {
    let history = History::new(11, 20);
    let History { log, store, disk, .. } = &history;
    let at = |batch: usize| history.batches[batch].0;
    let take = |upto: usize| fold(log, store, Some(at(upto)), 3, &mut go_on).expect("it folds");
    let paths = [5, 8, 12].map(|upto| take(upto).path);
    damage(&disk.shared(), &paths[1], 300);
    assert_eq!(take(15).removed, 0, "of the newest three one is of no use");
    let left: Vec<_> = store.list().expect("it lists").into_iter().map(|(at, _)| at).collect();
    assert_eq!(left, [5, 8, 12, 15].map(at));
    assert_eq!(take(18).removed, 2, "three are sound");
}

#[test]
fn a_fold_ends_where_the_journal_is_known_to_be_durable() {
    let history = History::new(8, 10);
    let History { log, store, .. } = &history;
    let last = history.batches[9].0;
    let ahead = fold(log, store, Some(last), 3, &mut go_on).expect_err("it may be lost");
    let synced_to = history.synced_to();
    assert!(
        matches!(ahead, FoldError::Ahead { asked, synced_to: to } if (asked, to) == (last, synced_to))
    );
    let stopped = fold(log, store, None, 3, &mut |_| ControlFlow::Break(())).expect_err("stopped");
    assert!(matches!(stopped, FoldError::Stopped(at) if at == history.batches[0].0));
    assert!(store.list().expect("it lists").is_empty());
    let mut last_at = None;
    let folded = fold(log, store, None, 3, &mut |at| {
        last_at = Some(at);
        ControlFlow::Continue(())
    });
    assert_eq!(folded.expect("it folds").sequence, synced_to);
    let last_at = last_at.map(|at| (at.sequence, at.end));
    assert_eq!(last_at, Some((synced_to, synced_to)));
}

#[test]
fn a_snapshot_of_another_history_is_never_gone_on_from() {
    let history = History::new(9, 12);
    let at = history.batches[6].0;
    // Another journal.
    let other = History::new(10, 12);
    let foreign = other.snapshot(other.batches[6].0);
    let at_other = foreign.sequence();
    history.store.write(at_other, &foreign.encode()).expect("the disk works");
    let found = history.store.load(&history.log, history.id, Sequence(u64::MAX)).expect("it lists");
    assert!(found.snapshot.is_none());
    assert!(matches!(found.skipped[0].fault, Fault::Foreign(id) if id == other.id));
    // A file under the wrong name.
    let snapshot = history.snapshot(at);
    let wrong = Sequence(at.0 + 1);
    history.store.write(wrong, &snapshot.encode()).expect("the disk works");
    let read = history.store.read(wrong, &history.store.path(wrong));
    assert!(matches!(read, Err(Fault::Name(found)) if found == at));
    // The same journal, and a batch that it does not hold.
    let mut strange = history.snapshot(at);
    strange.journal.hash[0] ^= 1;
    let strange = Snapshot::decode(&strange.encode()).expect("sound in itself");
    let again = Snapshot::decode(&strange.encode()).expect("sound in itself");
    let refused = Folder::new(again, &history.log).run(history.synced_to(), &mut go_on);
    let Err(FoldError::Read(ReadError::Damaged { flaw, sequence, .. })) = refused else {
        panic!("{refused:?}")
    };
    assert_eq!((flaw, sequence), (Flaw::Chain, at));
    let other_history = history.store.write(at, &strange.encode()).expect("the disk works");
    let all = history.store.load(&history.log, history.id, Sequence(u64::MAX)).expect("it lists");
    assert!(all.snapshot.is_none());
    let skipped = all.skipped.iter().find(|skipped| skipped.path == other_history).expect("it is");
    assert!(matches!(skipped.fault, Fault::Journal(_)), "{skipped}");
    // A place that is not the batch's is only a hint.
    let mut moved = history.snapshot(at);
    for (segment, offset) in [(0, 0), (9, 4096), (0, 4096), (0, 1), (0, u64::MAX)] {
        (moved.place.segment, moved.place.offset) = (segment, offset);
        let read = Snapshot::decode(&moved.encode()).expect("it is sound");
        let mut folder = Folder::new(read, &history.log);
        folder.run(history.synced_to(), &mut go_on).expect("it is found all the same");
        assert_eq!(folder.end().sequence(), history.synced_to());
    }
}

#[test]
fn a_journal_that_nobody_writes_is_recovered_and_folded_to_its_last_whole_batch() {
    let history = History::new(8, 10);
    let History { log, store, disk, batches, .. } = &history;
    let (before, last) = (&batches[8], &batches[9]);
    let folded = fold_stopped(log, store, Some(before.0), 3, &mut go_on).expect("it folds");
    assert_eq!(folded.sequence, before.0);
    let folded = fold_stopped(log, store, None, 3, &mut go_on).expect("it folds");
    assert_eq!(folded.sequence, last.0);
    let (read, _) = store.read(last.0, &folded.path).expect("it is sound");
    assert_eq!(read.state.hash(), last.1);
    let asked = last.0.next();
    let behind = fold_stopped(log, store, Some(asked), 3, &mut go_on).expect_err("not there");
    assert!(matches!(behind, FoldError::Behind { .. }), "{behind}");
    // The last batch is torn: it is no part of the journal, and is cut as a start cuts it.
    let history = History::new(8, 10);
    let History { log, store, disk: torn, batches, .. } = &history;
    let place = history.snapshot(last.0).place;
    damage(&torn.shared(), &log.segment_path(place.segment), place.offset + 200);
    let folded = fold_stopped(log, store, None, 3, &mut go_on).expect("it folds");
    assert_eq!((folded.sequence, folded.known), (batches[8].0, false));
    let cut = torn.files().into_iter().find(|(path, _)| path.starts_with("data/archive"));
    assert!(cut.is_some_and(|(_, bytes)| !bytes.is_empty()), "what was cut is kept");
    let report = verify(log, &mut |_| ()).expect("it reads");
    assert_eq!((report.torn_tail_bytes, report.last_sequence), (0, batches[8].0));
    // A journal that ends before a snapshot has lost what was durable: nothing is folded.
    let short = disk.files().into_iter().map(|(path, bytes)| {
        let other = torn.files().into_iter().find(|(other, _)| *other == path);
        let is_journal = path.starts_with("data/commands");
        (path, if is_journal { other.map_or(bytes, |(_, bytes)| bytes) } else { bytes })
    });
    let short = SimDisk::with_files(short);
    let dir = Path::new("data");
    let journal = LogDir::new(short.shared(), dir, LogKind::Commands, Append::Write, SEGMENT);
    let snapshots = Store::new(short.shared(), dir);
    let refused = fold_stopped(&journal, &snapshots, None, 3, &mut go_on).expect_err("lost");
    let FoldError::Recovery(RecoveryError::Damage { sequence, .. }) = refused else {
        panic!("{refused}")
    };
    assert_eq!(sequence, batches[8].0.next());
    // A first start that was stopped before its batch was whole.
    let begun = torn.files().into_iter().filter(|(path, _)| path.starts_with("data/commands"));
    let begun = SimDisk::with_files(begun.take(1).map(|(path, mut bytes)| {
        bytes[SEGMENT_HEADER_SIZE..].fill(0);
        (path, bytes)
    }));
    let journal = LogDir::new(begun.shared(), dir, LogKind::Commands, Append::Write, SEGMENT);
    let snapshots = Store::new(begun.shared(), dir);
    let empty = fold_stopped(&journal, &snapshots, None, 3, &mut go_on).expect_err("no record");
    assert!(matches!(empty, FoldError::Empty), "{empty}");
    // What is known to be durable is damage, and no end.
    let place = history.snapshot(batches[4].0).place;
    damage(&torn.shared(), &log.segment_path(place.segment), place.offset + 200);
    torn.shared().remove(&folded.path).expect("it is there");
    let refused = fold_stopped(log, store, None, 3, &mut go_on).expect_err("it is damaged");
    assert!(matches!(refused, FoldError::Recovery(RecoveryError::Damage { .. })), "{refused}");
}
