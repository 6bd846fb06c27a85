//! How gateways restrain those whom they let in: rates, overload, the share of bulk and what is not yet
//! safe to show, in a node whose agents the test drives.

use crate::sim::bench::{Bench, Got, KEY, account, admin, framed, new_order, order};
use crate::sim::node::{AGENTS, Setup};
use openoutcry::admin::AdminCommand;
use openoutcry::command::{CancelOnDisconnect, CancelOrder, Command, MassCancel};
use openoutcry::event::RejectReason;
use openoutcry::gateway::restraint::Rate;
use openoutcry::genesis::APPLICATION_VERSION;
use openoutcry::journal::format::RecordKind;
use openoutcry::journal::reader::Reader;
use openoutcry::journal::view::Verify;
use openoutcry::schema::SchemaDefinition;
use openoutcry::sequencer::overload::Thresholds;
use openoutcry::types::{
    AccountId, ClientOrderId, InstrumentId, KeyId, OrderId, Priority, Sequence, SessionId, Side,
    Sides,
};
use openoutcry::wire::message::{AccountQuery, BookQuery, SchemaQuery, send};

const GATEWAY: usize = 0;
const SEQUENCER: usize = 1;
const SYNC: usize = 5;
/// A notice that the node is overloaded, and that it is no longer.
const OVERLOADED: u8 = 4;
const RELIEVED: u8 = 5;
/// A key that may use nothing above LOW.
const LOW_KEY: KeyId = KeyId(4);

fn cancel(order_id: u64) -> Command {
    CancelOrder {
        account: AccountId(account()),
        instrument: InstrumentId(1),
        order_id: OrderId(order_id),
        orig_client_order_id: ClientOrderId(0),
    }
    .into()
}

fn refused(heard: &[Got], reason: RejectReason) -> usize {
    heard.iter().filter(|got| matches!(got, Got::Reject(_, why) if *why == reason)).count()
}

fn answers(heard: &[Got]) -> usize {
    heard.iter().filter(|got| matches!(got, Got::Answer)).count()
}

/// Overloaded by the first message that waits, until nothing does and some time has passed.
fn touchy(setup: &mut Setup) {
    setup.thresholds =
        Thresholds { total: 0, critical: 0, high: 0, lag: 1_000, lasts_ns: 5_000_000 };
}

/// Makes a touchy node overloaded: what the peer sends stays in the queues of the sequencer.
fn press(bench: &mut Bench, peer: usize, number: u64) {
    bench.send(peer, &order(number));
    bench.turn([GATEWAY, SEQUENCER]);
    bench.turn([GATEWAY]);
}

#[test]
fn a_turn_lets_only_some_in_and_shuts_out_only_some_so_that_nobody_waits_for_all() {
    let mut bench = Bench::new(|_| ());
    for _ in 0..40 {
        bench.connect();
    }
    let turns = |bench: &mut Bench, told: fn(&Bench) -> u64| {
        let mut all = Vec::new();
        for _ in 0..3 {
            bench.turn([GATEWAY]);
            all.push(told(bench));
        }
        all
    };
    let accepted = |bench: &Bench| bench.node.stats.gateways[0].connections_accepted.get();
    assert_eq!(turns(&mut bench, accepted), [16, 32, 40]);
    // None of them ever logs on; the sweep after that finds all of them.
    let open = |bench: &Bench| bench.node.stats.gateways[0].connections.get();
    assert_eq!(open(&bench), 40);
    let mut left = vec![40];
    for _ in 0..2_000 {
        bench.turn([GATEWAY]);
        left.push(open(&bench));
    }
    assert_eq!(left.last(), Some(&0), "their time is over");
    let most = left.windows(2).map(|pair| pair[0] - pair[1]).max();
    assert_eq!(most, Some(16), "in one turn");
}

#[test]
fn a_session_has_one_rate_at_all_gateways_together() {
    let rate = Rate { max: 4, window_ms: 60_000 };
    let mut bench = Bench::new(|setup| (setup.gateways, setup.limits.rate) = (3, Some(rate)));
    let mut number = 0;
    let mut heard = Vec::new();
    for gateway in [0, 1, 2] {
        let peer = bench.log_on_at(gateway, "desk");
        bench.rest();
        for _ in 0..3 {
            number += 1;
            bench.send(peer, &order(number));
        }
        bench.rest();
        heard.extend(bench.heard(peer));
    }
    assert_eq!(answers(&heard), 4, "{heard:?}");
    assert_eq!(refused(&heard, RejectReason::TooManyRequests), 5, "{heard:?}");
}

#[test]
fn a_key_has_one_rate_of_signatures_at_all_gateways_together() {
    let mut bench = Bench::new(|setup| setup.gateways = 2);
    let peers = [bench.log_on_at(0, "one"), bench.log_on_at(1, "two")];
    bench.rest();
    // A key has 100 a second where nothing else is said; a turn takes a millisecond.
    for number in 1..=100 {
        for (peer, offset) in peers.into_iter().zip([0, 1_000]) {
            let command = new_order(Side::Buy, 1);
            bench.send(peer, &framed(offset + number, Priority::Normal, &command, Some(KEY)));
        }
    }
    bench.rest();
    let heard: Vec<Got> = peers.into_iter().flat_map(|peer| bench.heard(peer)).collect();
    let taken = answers(&heard);
    assert!((100..120).contains(&taken), "{taken} signatures were checked");
    assert_eq!(refused(&heard, RejectReason::TooManyRequests), 200 - taken);
}

#[test]
fn a_cancel_of_any_priority_passes_under_pressure() {
    let mut bench = Bench::new(touchy);
    let (desk, _) = bench.live("desk");
    let low = bench.log_on_as(GATEWAY, LOW_KEY, "low");
    bench.rest();
    bench.heard(low);
    press(&mut bench, desk, 1);
    bench.send(desk, &framed(2, Priority::Low, &new_order(Side::Buy, 1), None));
    bench.send(desk, &framed(3, Priority::Batch, &cancel(77), None));
    bench.send(low, &framed(4, Priority::Low, &cancel(77), None));
    bench.turn([GATEWAY]);
    bench.rest();
    let (heard, heard_low) = (bench.heard(desk), bench.heard(low));
    let shed: Vec<u64> = heard
        .iter()
        .filter_map(|got| match got {
            Got::Reject(number, RejectReason::TooManyRequests) => Some(*number),
            _ => None,
        })
        .collect();
    assert_eq!((shed, answers(&heard)), (vec![2], 2), "{heard:?}");
    assert_eq!(answers(&heard_low), 1, "{heard_low:?}");
}

#[test]
fn a_mass_cancel_passes_under_pressure_and_takes_held_orders_with_it() {
    let all_of_it = |number| {
        let cancel = MassCancel {
            account: AccountId(account()),
            instrument: InstrumentId(0),
            sides: Sides::Both,
            session: SessionId(0),
        };
        framed(number, Priority::Low, &cancel.into(), None)
    };
    let staying = |number| {
        let staying = CancelOnDisconnect { enabled: 0, grace_ms: 0 };
        framed(number, Priority::Low, &staying.into(), None)
    };
    let mut bench = Bench::new(|setup| {
        touchy(setup);
        // Nothing here lasts as long.
        setup.limits.slow_ms = 50_000;
        setup.limits.idle_timeout_ms = 1_000_000;
    });
    let (desk, accepted) = bench.live("desk");
    let (other, _) = bench.live("other");
    let operator = bench.log_on_as(GATEWAY, KeyId(1), "operator");
    let newest = AdminCommand::ActivateRules { version: APPLICATION_VERSION };
    bench.rest();
    bench.send(operator, &admin(2, &newest, KeyId(1)));
    bench.rest();
    assert_eq!(bench.answers(operator).len(), 1);
    for (held, passes) in [(1, all_of_it(2)), (3, staying(4))] {
        press(&mut bench, other, 10 * held);
        bench.send(desk, &order(held));
        bench.turn([GATEWAY]);
        bench.rest();
        assert!(bench.answers(desk).is_empty(), "order {held} is held");
        press(&mut bench, other, 10 * held + 1);
        bench.send(desk, &passes);
        bench.turn([GATEWAY]);
        bench.rest();
        assert_eq!(bench.answers(desk).len(), 2, "both go on");
    }
    let mut journal = Reader::new(bench.logs.commands.clone(), Sequence(1), Verify::Crc);
    let mut sequenced = Vec::new();
    while let Ok(Some(record)) = journal.next_record(Sequence(u64::MAX)) {
        if record.kind() == RecordKind::Command && record.session() == accepted.session {
            sequenced.push(record.envelope().client_sequence.get());
        }
    }
    assert_eq!(sequenced, [1, 2, 3, 4], "in the order in which they were sent");
}

#[test]
fn a_question_behind_bulk_is_held_and_not_refused() {
    let mut bench = Bench::new(touchy);
    let (desk, _) = bench.live("desk");
    press(&mut bench, desk, 1);
    bench.send(desk, &framed(2, Priority::Low, &new_order(Side::Buy, 1), None));
    let mut question = Vec::new();
    send(&BookQuery { instrument: InstrumentId(1), depth: 1, orders: false }, 3, &mut question);
    bench.send(desk, &question);
    bench.turn([GATEWAY]);
    bench.rest();
    let heard = bench.heard(desk);
    assert!(heard.iter().any(|got| matches!(got, Got::Book)), "{heard:?}");
    assert_eq!(refused(&heard, RejectReason::TooManyRequests), 1, "{heard:?}");
}

#[test]
fn whoever_comes_again_under_pressure_is_told_of_it_and_of_its_end_once() {
    let mut bench = Bench::new(|setup| {
        touchy(setup);
        // It lasts as long as the test likes.
        setup.thresholds.lasts_ns = 3_000_000_000;
    });
    let (other, _) = bench.live("other");
    press(&mut bench, other, 1);
    for round in 0..20 {
        let peer = bench.log_on("desk");
        (0..5).for_each(|_| bench.turn(0..AGENTS));
        bench.send(peer, &order(100 + round));
        (0..3).for_each(|_| bench.turn(0..AGENTS));
        let heard = bench.heard(peer);
        assert!(heard.iter().any(|got| matches!(got, Got::Notice(OVERLOADED))), "{heard:?}");
        bench.hang_up(peer);
        bench.rest();
    }
    (0..60).for_each(|_| bench.rest());
    let heard = bench.heard(other);
    let told = heard.iter().filter(|got| matches!(got, Got::Notice(RELIEVED))).count();
    assert_eq!(told, 1, "{heard:?}");
}

#[test]
fn what_is_received_and_held_stays_within_one_buffer() {
    let mut bench = Bench::new(|setup| {
        touchy(setup);
        setup.limits.slow_ms = 5_000;
        setup.limits.idle_timeout_ms = 100_000;
    });
    let (desk, _) = bench.live("desk");
    press(&mut bench, desk, 1);
    for number in 2..=200 {
        bench.send(desk, &order(number));
    }
    // Long enough for a sweep to count.
    (0..400).for_each(|_| bench.turn(0..AGENTS));
    let held = bench.node.stats.gateways[0].pending_input.get() as usize;
    let one = order(2).len();
    let buffer = Setup::usual().limits.open.frame_max + Setup::usual().limits.read_budget;
    assert!(held > 3 * one, "{held} bytes are held");
    assert!(held <= buffer, "{held} bytes are held");
}

#[test]
fn bulk_that_alternates_with_orders_has_the_share_of_bulk() {
    let mut bench = Bench::new(|setup| {
        (setup.sizes.input, setup.limits.read_budget) = (4096, 1 << 20);
        setup.limits.pending_max = 10_000;
        setup.sizes.queues.messages = [1_000; 5];
    });
    let (mixed, _) = bench.live("mixed");
    let (orders, _) = bench.live("orders");
    let command = new_order(Side::Buy, 1);
    for number in (0..400).step_by(2) {
        bench.send(mixed, &framed(1 + number, Priority::Normal, &command, None));
        bench.send(mixed, &framed(2 + number, Priority::Batch, &command, None));
    }
    for number in 1_000..1_200 {
        bench.send(orders, &order(number));
    }
    bench.turn([]);
    // Some rounds of one cycle: no settling between them.
    let stats = bench.node.stats.clone();
    let counts = || (stats.gateways[0].bulk_frames.get(), stats.gateways[0].frames.get());
    let (bulk_before, before) = counts();
    (0..10).for_each(|_| _ = bench.node.run(GATEWAY, false));
    let (bulk, frames) = counts();
    let (bulk, others) = (bulk - bulk_before, frames - before - (bulk - bulk_before));
    assert!(others >= 200, "{others} orders");
    assert!((1..=256 / 8).contains(&bulk), "{bulk} frames of bulk beside {others}");
    bench.rest();
    assert_eq!(answers(&bench.heard(orders)), 200);
    assert_eq!(answers(&bench.heard(mixed)), 400, "and none is lost");
}

#[test]
fn a_refused_question_is_in_the_reject_log() {
    let mut bench = Bench::new(|_| ());
    let (desk, _) = bench.live("desk");
    let (mut book, mut strange) = (Vec::new(), Vec::new());
    send(&BookQuery { instrument: InstrumentId(77), depth: 1, orders: false }, 1, &mut book);
    let account = AccountId(5);
    send(&AccountQuery { account, after_order: OrderId(0) }, 2, &mut strange);
    bench.send(desk, &book);
    bench.send(desk, &strange);
    bench.rest();
    let heard = bench.heard(desk);
    assert!(
        matches!(heard[..], [Got::Reject(1, _), Got::Reject(2, RejectReason::NotEntitled)]),
        "{heard:?}"
    );
    let mut log = Reader::new(bench.logs.rejects.clone(), Sequence(1), Verify::Crc);
    for sent in [book, strange] {
        let record = log.next_record(Sequence(2)).expect("it is sound").expect("it is there");
        assert_eq!(record.received(), sent);
    }
}

fn schemas(number: u64) -> Vec<u8> {
    let mut question = Vec::new();
    send(&SchemaQuery { after: 0 }, number, &mut question);
    question
}

#[test]
fn a_schema_is_shown_when_its_registration_is_safe_and_not_before() {
    let operator_key = KeyId(1);
    let mut bench = Bench::new(|_| ());
    let (desk, _) = bench.live("desk");
    let operator = bench.log_on_as(GATEWAY, operator_key, "operator");
    bench.rest();
    bench.heard(operator);
    let without_sync = |bench: &mut Bench| {
        (0..60).for_each(|_| bench.turn((0..AGENTS).filter(|agent| *agent != SYNC)));
    };
    let (name, about) = ("report".to_owned(), String::new());
    let schema = SchemaDefinition { id: 1000, name, version: 1, about, fields: Vec::new() };
    bench.send(operator, &admin(2, &AdminCommand::RegisterSchema { schema }, operator_key));
    without_sync(&mut bench);
    bench.send(desk, &schemas(2));
    without_sync(&mut bench);
    let (heard, heard_operator) = (bench.heard(desk), bench.heard(operator));
    assert!(heard.is_empty() && heard_operator.is_empty(), "{heard:?} {heard_operator:?}");
    bench.rest();
    let heard = bench.heard(desk);
    assert!(matches!(heard[..], [Got::Schemas(1)]), "{heard:?}");
    assert_eq!(answers(&bench.heard(operator)), 1);
}

#[test]
fn a_question_for_schemas_is_held_under_pressure() {
    let mut bench = Bench::new(|setup| {
        touchy(setup);
        setup.limits.slow_ms = 20;
    });
    let (desk, _) = bench.live("desk");
    press(&mut bench, desk, 1);
    bench.send(desk, &schemas(2));
    (0..4).for_each(|_| bench.turn([GATEWAY]));
    let heard = bench.heard(desk);
    assert!(matches!(heard[..], [Got::Notice(OVERLOADED)]), "{heard:?}");
    bench.rest();
    let heard = bench.heard(desk);
    assert!(heard.iter().any(|got| matches!(got, Got::Schemas(0))), "{heard:?}");
}

#[test]
fn questions_for_schemas_count_towards_the_rate_of_their_session() {
    let rate = Rate { max: 3, window_ms: 60_000 };
    let mut bench = Bench::new(|setup| setup.limits.rate = Some(rate));
    let (desk, _) = bench.live("desk");
    bench.send(desk, &order(1));
    (2..=4).for_each(|number| bench.send(desk, &schemas(number)));
    bench.rest();
    let heard = bench.heard(desk);
    let shown = heard.iter().filter(|got| matches!(got, Got::Schemas(0))).count();
    assert_eq!((answers(&heard), shown), (1, 2), "{heard:?}");
    assert_eq!(refused(&heard, RejectReason::TooManyRequests), 1, "{heard:?}");
}
