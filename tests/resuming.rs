//! Sessions that resume are read for in turn, however far behind one of them is.

use crate::sim::disk::SimDisk;
use crate::sim::node::Recorder;
use crossbeam::channel::bounded;
use openoutcry::agent::Agent;
use openoutcry::event::{Event, EventBody, MakerFill};
use openoutcry::journal::event_log::EventLogWriter;
use openoutcry::journal::format::{JournalId, LogKind};
use openoutcry::journal::recovery::recover_derived;
use openoutcry::journal::segment::{LogDir, Preparer};
use openoutcry::message::Origin;
use openoutcry::publish::outbound::{RestWanted, Wanted};
use openoutcry::publish::replay::Replay;
use openoutcry::publish::rest::Numbers;
use openoutcry::ring::Cursor;
use openoutcry::sys::storage::Append;
use openoutcry::types::{
    ClientOrderId, Epoch, InstrumentId, OrderId, Price, Quantity, Sequence, SessionId, TimeNs,
};
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
    let stop = Arc::new(Recorder::default());
    let mut replay = Replay::new(to_replay, vec![again], log, numbers, written, stop.clone());
    let ask = |session: u32| {
        let to = Origin { gateway: 0, connection: session, generation: 1 };
        let wish = RestWanted { to, session: SessionId(session), after: 1, upto: 2 };
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
