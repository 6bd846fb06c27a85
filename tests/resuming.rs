//! Sessions that resume are read for in turn, however far behind one of them is.

use crate::sim::disk::SimDisk;
use crate::sim::node::Recorder;
use crossbeam::channel::bounded;
use openoutcry::agent::Agent;
use openoutcry::event::{
    Balance, CommandResult, Event, EventBody, MakerFill, OrderUpdate, RejectReason, SessionChange,
    Trade,
};
use openoutcry::journal::event_log::EventLogWriter;
use openoutcry::journal::format::{JournalId, LogKind};
use openoutcry::journal::recovery::recover_derived;
use openoutcry::journal::retention::{Bound, Keeper, Limits, plan, retire, used};
use openoutcry::journal::segment::{LogDir, Preparer};
use openoutcry::journal::writer::{Appended, Syncer};
use openoutcry::message::Origin;
use openoutcry::publish::outbound::{AnswerWanted, RestWanted, Wanted};
use openoutcry::publish::replay::Replay;
use openoutcry::publish::rest::Numbers;
use openoutcry::ring::Cursor;
use openoutcry::sys::storage::Append;
use openoutcry::types::{
    AccountId, Amount, AssetId, ClientOrderId, Epoch, InstrumentId, OrderChange, OrderId, Price,
    Quantity, Sequence, SessionId, Side, Status, TimeNs,
};
use openoutcry::wire::message::{Notice, ServerMessage};
use openoutcry::wire::{Frame, OpenLimits, frame_length};
use std::path::Path;
use std::sync::{Arc, Mutex};

/// Events between the far sessions' numbers: several turns' worth.
const BETWEEN: u64 = 60_000;
/// Sessions that are far behind: more than are read for at a time.
const FAR: u32 = 100;
const NEAR: u32 = 1_000;
const OTHER: u32 = 1_001;

fn told(session: u32, outbound: u64, sequence: u64) -> Event {
    let body = EventBody::MakerFill(MakerFill {
        session: SessionId(session),
        instrument: InstrumentId(1),
        outbound,
        order_id: OrderId(1),
        client_order_id: ClientOrderId(0),
        price: Price(1),
        quantity: Quantity(1),
        filled: Quantity(1),
        leaves: Quantity(0),
    });
    Event { sequence: Sequence(sequence), index: 0, last: true, body }
}

/// What was sent, in order: the far ones' first numbers, much for somebody else, then the rest.
fn all() -> Vec<Event> {
    let mut all = Vec::new();
    let mut tell = |session, outbound| {
        let sequence = all.len() as u64 + 1;
        all.push(told(session, outbound, sequence));
    };
    (1..=FAR).for_each(|session| tell(session, 1));
    (1..=BETWEEN).for_each(|number| tell(OTHER, number));
    tell(NEAR, 1);
    tell(NEAR, 2);
    (1..=FAR).for_each(|session| tell(session, 2));
    all
}

#[test]
fn whoever_is_far_behind_goes_behind_the_others_and_everybody_gets_his_rest() {
    let disk = SimDisk::new();
    let (kind, size) = (LogKind::Events, 32 * 1024 * 1024);
    let log = LogDir::new(disk.shared(), Path::new("data"), kind, Append::Write, size);
    let recovered = recover_derived(&log, JournalId([7; 16]), Sequence::NONE, &mut |_| ())
        .expect("the disk works");
    let (mut preparer, prepared) = Preparer::new(log.clone(), &recovered, 1);
    preparer.run().expect("the disk works");
    let id = JournalId([7; 16]);
    let mut writer = EventLogWriter::new(log.clone(), id, 1, &recovered, prepared).expect("opens");
    let mut numbers = Numbers::default();
    let all = all();
    for batch in all.chunks(500) {
        writer.builder().begin_batch(batch[0].sequence, Epoch(1));
        for event in batch {
            numbers.note(event);
            writer.builder().push(TimeNs(event.sequence.0), std::slice::from_ref(event));
        }
        writer.builder().end_batch(batch[batch.len() - 1].sequence);
    }
    writer.flush().expect("the disk works");
    assert_eq!(writer.written(), Sequence(all.len() as u64));

    let (wanted, to_replay) = bounded(256);
    let (again, found) = bounded(256);
    let (numbers, written) = (Arc::new(Mutex::new(numbers)), Cursor::new(writer.written()));
    let (stop, last) = (Arc::new(Recorder::default()), written.get());
    let mut replay = Replay::new(to_replay, vec![again], log, numbers, written, stop.clone());
    let ask = |session: u32| {
        let to = Origin { gateway: 0, connection: session, generation: 1 };
        let wish = RestWanted { to, session: SessionId(session), after: 1, upto: 2, by: last };
        wanted.try_send(Wanted::Rest(wish)).expect("there is room");
    };
    // The near one asks behind one who is far, and before as many as wait for their turn.
    ask(1);
    ask(NEAR);
    (2..=FAR).for_each(ask);
    let mut got = Vec::new();
    for _ in 0..10_000 {
        replay.do_work();
        while let Ok(rest) = found.try_recv() {
            assert_eq!(rest.reached, Some(2));
            assert!(!rest.frames.is_empty());
            got.push(rest.to.connection);
        }
        if got.len() == FAR as usize + 1 {
            break;
        }
    }
    assert!(stop.take().is_none(), "the log is sound");
    assert_eq!(got[0], NEAR, "one turn of somebody else's is before it");
    let far = &got[1..];
    assert_eq!(far.len(), FAR as usize, "nobody begins anew for ever");
    assert!(far.is_sorted(), "those who asked first have theirs first: {far:?}");
}

/// A log of several segments: session 1 has numbers 1 to 40, the last of them at the end; in between all is
/// session 2's, but for number 21 in the middle.
fn long_log(disk: &SimDisk) -> (LogDir, Numbers, Sequence) {
    let size = 8 * 1024 * 1024;
    let log = LogDir::new(disk.shared(), Path::new("data"), LogKind::Events, Append::Write, size);
    let id = JournalId([7; 16]);
    let recovered = recover_derived(&log, id, Sequence::NONE, &mut |_| ()).expect("the disk works");
    let (mut preparer, prepared) = Preparer::new(log.clone(), &recovered, 1);
    let mut writer = EventLogWriter::new(log.clone(), id, 1, &recovered, prepared).expect("opens");
    let (mut numbers, mut sequence) = (Numbers::default(), 0);
    let mut tell = |session: u32, outbound: u64| {
        sequence += 1;
        let event = told(session, outbound, sequence);
        writer.builder().begin_batch(event.sequence, Epoch(1));
        numbers.note(&event);
        writer.builder().push(TimeNs(sequence), std::slice::from_ref(&event));
        writer.builder().end_batch(event.sequence);
        while writer.flush().expect("the disk works") == Appended::NotReady {
            preparer.run().expect("the disk works");
        }
    };
    (1..=20).for_each(|number| tell(1, number));
    (1..=60_000).for_each(|number| tell(2, number));
    tell(1, 21);
    (60_001..=120_000).for_each(|number| tell(2, number));
    (22..=40).for_each(|number| tell(1, number));
    while let Some(job) = writer.take_sync() {
        Syncer::default().sync(&job).expect("the disk works");
    }
    (log, numbers, Sequence(sequence))
}

/// Lets go of all segments that end at or before a sequence.
fn retire_upto(log: &LogDir, upto: u64) {
    let segments = used(log).expect("a sound log");
    let bound = Bound { keeper: Keeper::NoSnapshot, upto: Sequence(upto) };
    let limits = Limits { bytes: 1, ..Limits::default() };
    let plan = plan(&segments, limits, &[bound], TimeNs(0));
    assert!(plan.count > 0, "{segments:?}");
    retire(log, &segments, &plan, None).expect("the disk works");
}

/// Numbers of the fills in frames; a notice that numbers are gone is its text.
fn told_in(mut frames: &[u8]) -> (Vec<u64>, Vec<String>) {
    let (mut numbers, mut notices) = (Vec::new(), Vec::new());
    let limits = OpenLimits { frame_max: 65_536, strict_reserved: true };
    while !frames.is_empty() {
        let length = frame_length(frames, limits.frame_max).expect("a frame").expect("a whole one");
        let frame = Frame::open(&frames[..length], &limits).expect("a sound frame");
        match ServerMessage::decode(&frame).expect("a message") {
            ServerMessage::Fill(fill) => numbers.push(fill.outbound),
            ServerMessage::Notice(notice) => {
                assert_eq!((notice.kind, numbers.len()), (Notice::GONE, 0), "it comes first");
                notices.push(notice.text.to_owned());
            }
            other => panic!("{other:?}"),
        }
        frames = &frames[length..];
    }
    (numbers, notices)
}

#[test]
fn numbers_that_are_not_kept_any_more_are_told_in_their_place() {
    let disk = SimDisk::new();
    let (log, numbers, last) = long_log(&disk);
    let (wanted, to_replay) = bounded(256);
    let (again, found) = bounded(256);
    let numbers = Arc::new(Mutex::new(numbers));
    let stop = Arc::new(Recorder::default());
    let written = Cursor::new(last);
    let mut replay =
        Replay::new(to_replay, vec![again], log.clone(), numbers, written, stop.clone());
    let mut connection = 0;
    let mut ask = |session: u32, after: u64, upto: u64| {
        connection += 1;
        let to = Origin { gateway: 0, connection, generation: 1 };
        let (mut reached, mut frames) = (after, Vec::new());
        while reached < upto {
            let after = reached;
            let wish = RestWanted { to, session: SessionId(session), after, upto, by: last };
            wanted.try_send(Wanted::Rest(wish)).expect("there is room");
            let piece = (0..10_000).find_map(|_| {
                replay.do_work();
                found.try_recv().ok()
            });
            let piece =
                piece.unwrap_or_else(|| panic!("nothing behind {after}: {:?}", stop.take()));
            reached = piece.reached.expect("it is a piece");
            frames.extend_from_slice(&piece.frames);
        }
        told_in(&frames)
    };
    let range = |from: u64, to: u64| (from..=to).collect::<Vec<u64>>();
    let gone =
        |from: u64, to: u64| vec![format!("outbound numbers {from} to {to} are not kept any more")];
    assert_eq!(ask(1, 1, 40), (range(2, 40), vec![]));
    // The first twenty go.
    retire_upto(&log, 60_000);
    assert_eq!(ask(1, 1, 40), (range(21, 40), gone(2, 20)));
    assert_eq!(ask(1, 20, 40), (range(21, 40), vec![]));
    assert_eq!(ask(1, 4, 19), (vec![], gone(5, 19)));
    assert_eq!(ask(1, 38, 40), (range(39, 40), vec![]));
    // Number 21 goes as well; what is asked for may all be gone.
    retire_upto(&log, 100_000);
    assert_eq!(ask(1, 1, 40), (range(22, 40), gone(2, 21)));
    assert_eq!(ask(1, 20, 21), (vec![], gone(21, 21)));
    // Nothing at all is kept for a session that was sent nothing since.
    retire_upto(&log, 119_000);
    assert_eq!(ask(3, 5, 9), (vec![], gone(6, 9)));
    assert_eq!(ask(1, 39, 40), (vec![40], vec![]));
    // The original answer of a message that the window still knows.
    let to = Origin { gateway: 0, connection: 99, generation: 1 };
    let original = Sequence(3);
    let wish = AnswerWanted { to, client_sequence: 77, original };
    wanted.try_send(Wanted::Answer(wish)).expect("there is room");
    replay.do_work();
    let answer = found.try_recv().expect("it is answered");
    let limits = OpenLimits { frame_max: 65_536, strict_reserved: true };
    let frame = Frame::open(&answer.frames, &limits).expect("a sound frame");
    let message = ServerMessage::decode(&frame).expect("a message");
    let ServerMessage::Reject(reject) = message else { panic!("{message:?}") };
    assert_eq!(reject.reason, RejectReason::TooOldToCheck.into());
    assert!(stop.take().is_none());
}

fn update(change: OrderChange, session: u32, outbound: u64) -> EventBody {
    EventBody::Update(OrderUpdate {
        change,
        session: SessionId(session),
        instrument: InstrumentId(1),
        outbound,
        order_id: OrderId(1),
        client_order_id: ClientOrderId(0),
        price: Price(1),
        quantity: Quantity(1),
        filled: Quantity(0),
        leaves: Quantity(0),
    })
}

fn trade(taker: u64, price: i64) -> EventBody {
    EventBody::Trade(Trade {
        instrument: InstrumentId(1),
        taker_side: Side::Buy,
        maker_order: OrderId(1),
        taker_order: OrderId(taker),
        maker_account: AccountId(2),
        taker_account: AccountId(3),
        price: Price(price),
        quantity: Quantity(1),
        maker_leaves: Quantity(0),
    })
}

fn result(session: u32, outbound: u64, fill_count: u32) -> EventBody {
    EventBody::Result(CommandResult {
        status: Status::FullyFilled,
        reason: None,
        session: SessionId(session),
        fill_count,
        outbound,
        client_sequence: 0,
        order_id: OrderId(9),
        filled: Quantity(i64::from(fill_count)),
        leaves: Quantity(0),
        time: TimeNs(1),
        account: AccountId(3),
    })
}

/// What a session is told, in words.
fn words(mut frames: &[u8]) -> Vec<String> {
    let mut words = Vec::new();
    let limits = OpenLimits { frame_max: 65_536, strict_reserved: true };
    while !frames.is_empty() {
        let length = frame_length(frames, limits.frame_max).expect("a frame").expect("a whole one");
        let frame = Frame::open(&frames[..length], &limits).expect("a sound frame");
        words.push(match ServerMessage::decode(&frame).expect("a message") {
            ServerMessage::Answer(view) => {
                let prices: Vec<i64> = view.fills.iter().map(|fill| fill.price.0).collect();
                format!("{} answer {prices:?}", view.answer.outbound)
            }
            ServerMessage::Fill(fill) => {
                format!("{} fill {} role {}", fill.outbound, fill.price, fill.role)
            }
            ServerMessage::OrderUpdate(update) => {
                format!("{} {} by {}", update.outbound, update.change, update.sequence)
            }
            other => panic!("{other:?}"),
        });
        frames = &frames[length..];
    }
    words
}

#[test]
fn who_resumes_is_told_changes_of_his_orders_and_of_a_command_its_own_trades_alone() {
    let maker = |session, outbound| told(session, outbound, 1).body;
    let balance = EventBody::Balance(Balance {
        account: AccountId(2),
        asset: AssetId(1),
        available: Amount(1),
        frozen: Amount(0),
    });
    let logon =
        EventBody::Session(SessionChange { session: SessionId(2), active: true, outbound: 7 });
    let mut many = vec![result(1, 6, 17)];
    many.extend((1..=17).map(|price| trade(9, price)));
    many.extend([trade(5, 90), trade(5, 91), maker(1, 8), update(OrderChange::Unfilled, 1, 9)]);
    let records = [
        vec![maker(1, 1)],
        // A command that trades once; the stop that it triggered is of the same session.
        vec![
            result(1, 2, 1),
            trade(9, 10),
            trade(5, 11),
            update(OrderChange::Triggered, 1, 3),
            maker(1, 4),
            update(OrderChange::Triggered, 2, 1),
            balance,
        ],
        // Records without a result: time is over, with a trade of a stop, and a logon.
        vec![update(OrderChange::Expired, 1, 5), balance],
        many,
        vec![trade(5, 12), maker(2, 2), update(OrderChange::MassCanceled, 1, 10), balance],
        vec![logon, update(OrderChange::Disconnected, 2, 3), update(OrderChange::Expired, 1, 11)],
        // Somebody else's command.
        vec![result(2, 4, 1), trade(9, 13), update(OrderChange::Reduced, 1, 12)],
    ];
    let disk = SimDisk::new();
    let size = 1024 * 1024;
    let log = LogDir::new(disk.shared(), Path::new("data"), LogKind::Events, Append::Write, size);
    let id = JournalId([7; 16]);
    let recovered = recover_derived(&log, id, Sequence::NONE, &mut |_| ()).expect("the disk works");
    let (mut preparer, prepared) = Preparer::new(log.clone(), &recovered, 1);
    preparer.run().expect("the disk works");
    let mut writer = EventLogWriter::new(log.clone(), id, 1, &recovered, prepared).expect("opens");
    let mut numbers = Numbers::default();
    writer.builder().begin_batch(Sequence(1), Epoch(1));
    for (sequence, bodies) in (1..).map(Sequence).zip(&records) {
        for (index, body) in (0..).zip(bodies) {
            let last = index as usize == bodies.len() - 1;
            let event = Event { sequence, index, last, body: *body };
            numbers.note(&event);
            writer.builder().push(TimeNs(sequence.0), std::slice::from_ref(&event));
        }
    }
    let last = Sequence(records.len() as u64);
    writer.builder().end_batch(last);
    writer.flush().expect("the disk works");
    let expected = [
        "2 answer [10]",
        "3 triggered by 2",
        "4 fill 1 role 2",
        "5 expired by 3",
        "6 answer [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]",
        "7 fill 17 role 1",
        "8 fill 1 role 2",
        "9 unfilled by 4",
        "10 mass-canceled by 5",
        "11 expired by 6",
        "12 reduced by 7",
    ];
    let (wanted, to_replay) = bounded(256);
    let (again, found) = bounded(256);
    let stop = Arc::new(Recorder::default());
    let (numbers, written) = (Arc::new(Mutex::new(numbers)), Cursor::new(last));
    let mut replay = Replay::new(to_replay, vec![again], log, numbers, written, stop.clone());
    // From every number there is: also from within a command's events.
    for after in 1..12 {
        let to = Origin { gateway: 0, connection: after as u32, generation: 1 };
        let wish = RestWanted { to, session: SessionId(1), after, upto: 12, by: last };
        wanted.try_send(Wanted::Rest(wish)).expect("there is room");
        replay.do_work();
        let rest = found.try_recv().expect("it is a short log");
        assert_eq!(rest.reached, Some(12));
        assert_eq!(words(&rest.frames), expected[after as usize - 1..], "after {after}");
    }
    assert!(stop.take().is_none(), "the log is sound");
}
