//! Bugs that were found and fixed: what broke, and why it was possible.

use crate::sim::bench::{Bench, Got, logout, order, order_of};
use crate::sim::disk::SimDisk;
use crate::sim::node::AGENTS;
use openoutcry::event::RejectReason;
use openoutcry::journal::format::LogKind;
use openoutcry::journal::format::RecordKind;
use openoutcry::journal::reader::Reader;
use openoutcry::journal::recovery::recover;
use openoutcry::journal::segment::{LogDir, Preparer};
use openoutcry::journal::view::Verify;
use openoutcry::sys::storage::Append;
use openoutcry::types::{Sequence, Side};
use std::path::Path;
use std::sync::Arc;

const GATEWAY: usize = 0;
const SEQUENCER: usize = 1;
const CRITICAL: usize = 3;

/// Rubbish as the first bytes of a connection ended the node. A refusal left its bytes behind in the
/// queue but kept their place in its head, and the reject log cut that place out of another message.
#[test]
fn the_reject_log_holds_what_was_refused() {
    let mut bench = Bench::new(|_| ());
    let peer = bench.connect();
    let rubbish: Vec<u8> = (1..100).collect();
    bench.send(peer, &rubbish);
    bench.rest();
    let heard = bench.heard(peer);
    assert!(matches!(heard[..], [Got::Challenge(_), Got::Reject(0, RejectReason::BadMagic)]));
    let mut log = Reader::new(bench.logs.rejects.clone(), Sequence(1), Verify::Crc);
    let record = log.next_record(Sequence(1)).expect("it is sound").expect("it is there");
    assert_eq!(record.received(), rubbish);
}

/// A refusal for which the queue had no room for its bytes was logged with those of another client.
/// Its slot in the sequenced ring was given a new head and kept the old bytes.
#[test]
fn a_refusal_that_lost_its_bytes_shows_nobody_elses() {
    let mut bench = Bench::new(|setup| setup.sizes.queues.messages = [1; 5]);
    let (peer, _) = bench.live("desk");
    (1..=3).for_each(|number| bench.send(peer, &order(number)));
    bench.rest();
    let heard = bench.heard(peer);
    assert_eq!(heard.len(), 3, "{heard:?}");
    let mut log = Reader::new(bench.logs.rejects.clone(), Sequence(1), Verify::Crc);
    let record = log.next_record(Sequence(1)).expect("it is sound").expect("one was busy");
    assert_eq!(record.received(), b"");
}

/// A logon that met a full queue was refused as busy and its connection was never heard again. A
/// connection that logs on waits for one answer only, and that was not one.
#[test]
fn a_logon_waits_for_a_place_in_the_queue() {
    let mut bench = Bench::new(|setup| setup.sizes.queues.messages = [1; 5]);
    let peers = [bench.log_on("a"), bench.log_on("b"), bench.log_on("c")];
    (0..10).for_each(|_| bench.turn([GATEWAY]));
    bench.rest();
    for peer in peers {
        let heard = bench.heard(peer);
        assert!(matches!(heard[..], [Got::Accepted(_)]), "{heard:?}");
    }
}

/// With small rings nothing moved any more: the lane waited for room among the answers, these for the
/// release of their batch, and the batch for its end, behind the lane in a full ring. A batch was
/// allowed to grow while its end found no place.
#[test]
fn answers_of_an_open_batch_do_not_stand_in_the_way_of_its_end() {
    let mut bench = Bench::new(|setup| (setup.sizes.sequenced, setup.sizes.answers) = (2, 2));
    let (peer, _) = bench.live("desk");
    (1..=20).for_each(|number| bench.send(peer, &order(number)));
    bench.turn([GATEWAY, GATEWAY]);
    // Records and answers get ahead of the journal's release as far as the rings allow.
    (0..10).for_each(|_| bench.turn([SEQUENCER, CRITICAL]));
    bench.rest();
    let heard = bench.heard(peer);
    let answers = heard.iter().filter(|got| matches!(got, Got::Answer)).count();
    assert_eq!(answers, 20, "{heard:?}");
}

/// A client that closed right behind its last bytes kept its connection until the idle timeout. The
/// poll tells of both at once, and a read that brought less than it could was taken for the end of it.
#[test]
fn a_hang_up_behind_the_last_bytes_is_noticed() {
    let mut bench = Bench::new(|_| ());
    let (peer, _) = bench.live("desk");
    bench.send(peer, &order(1));
    bench.hang_up(peer);
    bench.rest();
    assert_eq!(bench.node.stages.gateways[0].connection_count(), 0);
}

/// A stop waited for its timeout when somebody had repeated a command and gone. The answer owed to a
/// repetition was crossed off when it was fetched, which nobody did for a connection that was gone.
#[test]
fn a_repetition_whose_sender_is_gone_is_owed_nothing() {
    let mut bench = Bench::new(|_| ());
    let (peer, _) = bench.live("desk");
    bench.send(peer, &order(1));
    bench.rest();
    bench.send(peer, &order(1));
    bench.turn([GATEWAY]);
    bench.hang_up(peer);
    (0..3).for_each(|_| bench.turn([GATEWAY]));
    bench.rest();
    bench.node.stop();
    bench.rest();
    assert!(bench.node.stages.cursors.are_drained());
}

/// A logout was followed by a second end of the session, sequenced as the loss of its connection. The
/// gateway forgot a session only when its connection closed.
#[test]
fn a_logout_ends_its_session_once() {
    let mut bench = Bench::new(|_| ());
    let (peer, _) = bench.live("desk");
    bench.send(peer, &logout(2));
    bench.rest();
    assert!(matches!(bench.heard(peer)[..], [Got::LoggedOut]));
    bench.hang_up(peer);
    bench.rest();
    assert_eq!(bench.node.stages.gateways[0].connection_count(), 0);
    let kinds = bench.node.stages.batch.kinds();
    assert_eq!(kinds.get(&(RecordKind::SessionLogout as u8)), Some(&1));
    assert_eq!(kinds.get(&(RecordKind::SessionLost as u8)), None);
}

/// A client that came back while its old connection was still open ended its own new session. The
/// loss of the old connection was sequenced behind the logon that had taken the session over.
#[test]
fn the_end_of_an_old_connection_leaves_the_session_to_the_new_one() {
    let mut bench = Bench::new(|_| ());
    let (old, _) = bench.live("desk");
    let new = bench.log_on("desk");
    (0..3).for_each(|_| bench.turn([GATEWAY]));
    bench.hang_up(old);
    (0..3).for_each(|_| bench.turn([GATEWAY]));
    bench.rest();
    let heard = bench.heard(new);
    let [Got::Accepted(accepted)] = heard[..] else { panic!("accepted, not {heard:?}") };
    let exchange = bench.node.stages.critical.exchange();
    assert!(exchange.session(accepted.session).is_some_and(|session| session.active));
}

/// On a full disk clients waited without a word. Orders were refused only when a batch had found no
/// room, and the refusals stood behind that batch, which nobody could release.
#[test]
fn a_full_disk_is_told_to_whoever_orders() {
    let mut bench = Bench::new(|_| ());
    let (peer, _) = bench.live("desk");
    bench.disk.fill_up();
    let mut refused = 0;
    for number in 1..1000 {
        bench.send(peer, &order(number));
        (0..5).for_each(|_| bench.turn(0..12));
        let heard = bench.heard(peer);
        match heard[..] {
            [Got::Answer] => assert_eq!(refused, 0, "space does not come back by itself"),
            [Got::Reject(_, RejectReason::NoSpace)] => refused += 1,
            _ => panic!("order {number} got {heard:?}"),
        }
    }
    assert!(refused > 0);
    bench.disk.set_capacity(None);
    bench.rest();
    bench.send(peer, &order(1000));
    bench.rest();
    let heard = bench.heard(peer);
    assert!(matches!(heard[..], [Got::Answer]), "{heard:?}");
}

/// A node that stopped filled its disk with prepared segments. The preparer went on until its channel
/// was full, and a channel whose reader has ended is never full.
#[test]
fn a_preparer_whose_writer_is_gone_prepares_nothing_more() {
    let disk = Arc::new(SimDisk::new());
    let log = LogDir::new(disk, Path::new("/node"), LogKind::Commands, Append::Write, 1 << 20);
    log.create().expect("the disk works");
    let recovered = recover(&log, Sequence(1), &mut |_| ()).expect("it is empty");
    let (mut preparer, prepared) = Preparer::new(log.clone(), &recovered, 2);
    drop(prepared);
    let mut steps = 0;
    while preparer.do_work().expect("the disk works") > 0 {
        steps += 1;
        assert!(steps < 100, "it never ends");
    }
    assert!(preparer.is_ahead());
    assert!(log.segments().expect("it lists").len() <= 1);
}

/// A client that closed its sending half lost its last answer: the connection was ended while the
/// answer's trades were still to come. What was owed was counted by results, which stand before them.
#[test]
fn a_client_that_closes_its_half_gets_the_trades_of_its_last_answer() {
    let mut bench = Bench::new(|setup| setup.sizes.answers = 2);
    let (peer, _) = bench.live("desk");
    (1..=5).for_each(|number| bench.send(peer, &order(number)));
    bench.rest();
    assert_eq!(bench.heard(peer).len(), 5);
    bench.send(peer, &order_of(6, Side::Sell, 5));
    bench.hang_up(peer);
    bench.rest();
    let heard = bench.heard(peer);
    let answers = heard.iter().filter(|got| matches!(got, Got::Answer)).count();
    assert_eq!(answers, 1, "{heard:?}");
}

/// A logout that had to wait ended the session of whoever had taken it over meanwhile, and the loss of
/// that connection ended it again. It waited for the logons before it only, not for those that came
/// while it waited.
#[test]
fn a_logout_that_waits_does_not_end_the_session_of_whoever_takes_it_over() {
    let mut bench = Bench::new(|_| ());
    let (old, _) = bench.live("desk");
    bench.send(old, &order(1));
    bench.turn([GATEWAY]);
    bench.send(old, &logout(2));
    bench.turn([GATEWAY]);
    let new = bench.log_on("desk");
    // The order is answered, and the other logon on its way, before the gateway tells of either.
    (0..3).for_each(|_| bench.turn(SEQUENCER..AGENTS));
    bench.turn([]);
    for _ in 0..3 {
        bench.node.run(GATEWAY, false);
    }
    bench.rest();
    assert!(bench.heard(new).iter().any(|got| matches!(got, Got::Accepted(_))));
    bench.hang_up(new);
    bench.rest();
    let kinds = bench.node.stages.batch.kinds();
    assert_eq!(kinds.get(&(RecordKind::SessionLogout as u8)), None);
    assert_eq!(kinds.get(&(RecordKind::SessionLost as u8)), Some(&1));
}

/// With several gateways the end of an old connection and the logon that takes its session over are
/// told by different threads: the old one's end, sequenced last, ended the new one's session.
#[test]
fn an_end_told_by_another_gateway_leaves_the_session_to_whoever_took_it_over() {
    let mut bench = Bench::new(|setup| setup.gateways = 2);
    let (old, _) = bench.live("desk");
    bench.send(old, &order(1));
    bench.hang_up(old);
    // The other gateway's logon comes first, and the order and the end of the old connection after it.
    let new = bench.log_on_at(1, "desk");
    (0..3).for_each(|_| bench.turn([AGENTS]));
    bench.turn([SEQUENCER]);
    bench.rest();
    let heard = bench.heard(new);
    let [Got::Accepted(accepted), Got::Answer] = heard[..] else {
        panic!("accepted, and the answer to the old connection's order, not {heard:?}")
    };
    let session = accepted.session;
    let active = |bench: &Bench| {
        let exchange = bench.node.stages.critical.exchange();
        exchange.session(session).is_some_and(|session| session.active)
    };
    assert!(active(&bench));
    let lost = RecordKind::SessionLost as u8;
    assert_eq!(bench.node.stages.batch.kinds().get(&lost), None, "it was taken over, not lost");
    bench.hang_up(new);
    bench.rest();
    assert!(!active(&bench));
    assert_eq!(bench.node.stages.batch.kinds().get(&lost), Some(&1));
}
