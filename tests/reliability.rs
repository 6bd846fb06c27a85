//! What others fell to: failures of journals and recoveries that were reported in public, and the
//! tests here that would fail if we did.
//!
//! The tests of this file carry the number of what they are about; the table names where the others
//! are. Replication, gateways and tasks have such lists of their own where their parts are.

use crate::power_loss::logs;
use crate::sim::bench::{Bench, Got, order};
use crate::snapshot::History;
use crate::support::{Served, dir, good, json, outcry, stderr};
use openoutcry::event::RejectReason;
use openoutcry::exchange::{Context, Exchange, Outbox};
use openoutcry::journal::reader::Reader;
use openoutcry::journal::view::Verify;
use openoutcry::node::boot::boot;
use openoutcry::node::space::Marks;
use openoutcry::snapshot::Snapshot;
use openoutcry::types::{ClientOrderId, OrderId, Sequence, TimeNs};
use std::path::Path;

/// Number, what others fell to, and the tests that hold it off.
const ITEMS: &[(u32, &str, &[&str])] = &[
    (
        1,
        "a torn last record with zeros or stale bytes behind it blocks the start",
        &[
            "a_torn_tail_with_zeros_behind_it_is_cut",
            "a_torn_tail_with_stale_bytes_behind_it_is_cut",
            "every_byte_of_a_real_journal_damaged_gives_the_sound_prefix_or_a_refusal",
        ],
    ),
    (
        2,
        "a flipped bit in a length escapes the checksum and the reader walks off",
        &[
            "one_flipped_bit_anywhere_is_cut_or_refused",
            "no_bytes_of_a_journal_make_a_reader_panic",
        ],
    ),
    (
        3,
        "zeros in the middle are read as the end and what stands behind is dropped",
        &["a_zeroed_range_in_the_middle_is_not_the_end"],
    ),
    (
        4,
        "a gap in the sequence silently drops durable records",
        &[
            "a_gap_a_step_back_or_a_broken_chain_is_damage_even_behind_the_last_sync",
            "a_missing_segment_is_damage_where_later_records_were_durable",
        ],
    ),
    (
        5,
        "a first start that fails half-way gives the initial state twice, or never",
        &["genesis_is_there_whole_or_not_at_all_wherever_the_first_boot_fails"],
    ),
    (
        6,
        "a rename or a new segment is not followed by a sync of its directory",
        &[
            "a_prepared_segment_keeps_its_name_and_its_space_through_a_power_cut",
            "under_disk_no_power_cut_anywhere_takes_anything_acknowledged",
        ],
    ),
    (
        7,
        "after a failed sync the page cache is trusted",
        &[
            "after_a_failed_sync_nothing_goes_on_and_recovery_makes_true_what_it_reads",
            "zeros_that_a_failed_sync_left_in_the_page_cache_are_written_again",
            "a_failed_sync_and_a_failed_write_end_the_node_each_with_its_own_status",
        ],
    ),
    (
        8,
        "the swap of snapshots is not atomic; a restored one lacks an index",
        &[
            "a_crash_at_any_step_of_writing_leaves_the_old_snapshots_or_the_new_one_too",
            "r08_orders_of_a_restored_snapshot_can_be_cancelled_by_either_of_their_names",
        ],
    ),
    (9, "two processes open one data directory", &["a_data_directory_has_one_node"]),
    (
        10,
        "recovery is told by hand what to begin with, and fails where a file exists already",
        &[
            "r10_a_start_finds_its_own_way_whatever_lies_around",
            "whenever_it_is_killed_everything_acknowledged_is_there_once_and_in_order",
        ],
    ),
    (
        11,
        "a full disk hangs the process, or a mapped write raises SIGBUS",
        &[
            "a_small_disk_fills_under_load_and_nothing_acknowledged_is_lost",
            "a_small_disk_fills_under_mapped_stores_without_a_signal",
        ],
    ),
    (
        12,
        "a write that was refused was journaled all the same and comes back",
        &["r12_what_was_refused_is_not_in_the_journal_and_does_not_come_back"],
    ),
    (
        13,
        "the application's rules change without a version, and another history is replayed",
        &[
            "a_journal_with_the_rules_of_a_newer_release_is_refused_and_left_as_it_is",
            "the_golden_history_is_verified_and_replayed_by_the_tools",
        ],
    ),
    (14, "settings of one node change results", &["r14_settings_of_a_node_change_no_result"]),
    (
        15,
        "time goes back across a restart or a correction of the clock",
        &[
            "time_never_goes_back_when_the_wall_clock_does",
            "a_restart_goes_on_from_the_last_record_when_the_clock_is_behind",
            "a_clock_far_behind_the_journal_refuses_to_start_unless_accepted",
            "a_node_keeps_its_promises_through_crashes_full_disks_and_bad_company",
        ],
    ),
];

fn tests_below(dir: &Path, names: &mut Vec<String>) {
    for entry in std::fs::read_dir(dir).expect("a directory of sources") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            tests_below(&path, names);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).expect("sources are text");
            let mut is_test = false;
            for line in text.lines().map(str::trim_start) {
                if let Some(rest) = line.strip_prefix("fn ").filter(|_| is_test) {
                    names.push(rest.split('(').next().unwrap_or_default().to_owned());
                }
                is_test = line == "#[test]" || (is_test && line.starts_with("#["));
            }
        }
    }
}

#[test]
fn every_item_has_tests_and_they_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut names = Vec::new();
    ["src", "tests"].iter().for_each(|dir| tests_below(&root.join(dir), &mut names));
    assert!(names.len() > 300, "the tests were not found");
    assert!(ITEMS.iter().map(|item| item.0).eq(1..=15), "all, in order");
    for (number, what, tests) in ITEMS {
        assert!(!tests.is_empty(), "{number}: {what}");
        for test in *tests {
            assert!(names.iter().any(|name| name == test), "{number}: there is no test {test}");
        }
    }
}

/// Everything that an exchange knows an order by.
fn cancels(exchange: &Exchange) -> Vec<openoutcry::command::CancelOrder> {
    let orders = (1..2000).map(OrderId).filter_map(|id| exchange.order(id));
    orders
        .flat_map(|row| {
            let by_id = openoutcry::command::CancelOrder {
                account: row.account,
                instrument: row.instrument,
                order_id: row.order_id,
                orig_client_order_id: ClientOrderId(0),
            };
            let by_client = openoutcry::command::CancelOrder {
                order_id: OrderId(0),
                orig_client_order_id: row.client_order_id,
                ..by_id
            };
            [by_id, by_client].into_iter().filter(|cancel| {
                cancel.order_id != OrderId(0) || cancel.orig_client_order_id != ClientOrderId(0)
            })
        })
        .collect()
}

#[test]
fn r08_orders_of_a_restored_snapshot_can_be_cancelled_by_either_of_their_names() {
    let history = History::new(3, 40);
    let newest = history.batches.last().expect("batches").0;
    let bytes = history.snapshot(newest).encode();
    let restored = || Snapshot::decode(&bytes).expect("it is sound");
    let all = cancels(&restored().state.exchange);
    let by_client = all.iter().filter(|cancel| cancel.order_id == OrderId(0)).count();
    assert!(by_client > 0 && all.len() > by_client, "orders rest in it");
    for cancel in all {
        let mut exchange = restored().state.exchange;
        let before = exchange.order_count();
        let context =
            Context { sequence: newest.next(), time: TimeNs(u64::MAX >> 1), ..Context::default() };
        let mut outbox = Outbox::new();
        exchange.apply(&context, &cancel.into(), &mut outbox);
        let reason = outbox.result().expect("a result").reason;
        assert_eq!((reason, exchange.order_count()), (None, before - 1), "{cancel:?}");
        exchange.check();
    }
}

#[test]
fn r10_a_start_finds_its_own_way_whatever_lies_around() {
    let dir = dir();
    let node = Served::start(dir.path(), &[]);
    let order = ["order", "deposit", "--account", "2", "--asset", "BTC", "--amount", "1"];
    good(dir.path(), &order);
    good(dir.path(), &["snapshot", "take"]);
    good(dir.path(), &order);
    node.kill();
    let data = dir.path().join("journal");
    // What stopped processes leave, and what people do.
    for name in [
        "snapshots/00000000000000000007.0123456789abcdef.tmp",
        "snapshots/00000000000000000003.snap",
        "snapshots/notes.txt",
        "commands/0000000007.seg.old",
        "commands/notes.txt",
        "endpoint.json",
    ] {
        std::fs::write(data.join(name), b"not what it seems").expect("a writable directory");
    }
    let mut found = None;
    for _ in 0..3 {
        let node = Served::start(dir.path(), &[]);
        assert!(node.ready["sequence"].as_u64() >= found, "{}", node.ready);
        found = node.ready["sequence"].as_u64();
        let stopped = node.stop();
        assert_eq!(good(dir.path(), &["replay"])["state_hash"], stopped["state_hash"]);
    }
    assert!(data.join("snapshots/notes.txt").exists(), "what is not ours stays");
    assert!(data.join("commands/notes.txt").exists(), "what is not ours stays");
}

#[test]
fn r12_what_was_refused_is_not_in_the_journal_and_does_not_come_back() {
    let marks = Marks { low_bytes: 2 << 20, critical_bytes: 1 << 20 };
    let mut bench = Bench::new(|setup| setup.space = marks);
    let (peer, _) = bench.live("desk");
    bench.send(peer, &order(1));
    bench.rest();
    assert!(matches!(bench.heard(peer)[..], [Got::Answer]));
    bench.disk.fill_up();
    (0..6).for_each(|_| bench.rest());
    for number in 2..6 {
        bench.send(peer, &order(number));
    }
    bench.rest();
    let heard = bench.heard(peer);
    let refused = |got: &Got| matches!(got, Got::Reject(_, RejectReason::NoSpace));
    assert!(heard.len() == 4 && heard.iter().all(refused), "{heard:?}");
    // Space comes back: what was refused is not sequenced late, and its id is not used up.
    bench.disk.set_capacity(None);
    (0..6).for_each(|_| bench.rest());
    bench.send(peer, &order(5));
    bench.rest();
    assert!(matches!(bench.heard(peer)[..], [Got::Answer]));
    let Bench { disk, logs: running, node, .. } = bench;
    drop(node);
    disk.kill();
    let booted = boot(&running, || unreachable!("there is a journal"), &mut |_| ());
    let tip = booted.expect("it is sound").state.order.last;
    let mut reader = Reader::new(logs(&disk).commands, Sequence(1), Verify::Chain);
    let mut ids = Vec::new();
    while let Some(record) = reader.next_record(tip).expect("it is sound") {
        let id = String::from_utf8_lossy(record.message_id()).into_owned();
        ids.extend((!id.is_empty()).then_some(id));
    }
    assert_eq!(ids, ["m1", "m5"]);
}

#[test]
fn r14_settings_of_a_node_change_no_result() {
    let dir = dir();
    let trade = |number: u64| {
        let mut text = "action,account,symbol,side,price,quantity\n".to_owned();
        for line in 0..40 {
            let (side, account) = if line % 2 == 0 { ("buy", 2) } else { ("sell", 3) };
            text.push_str(&format!("new,{account},BTC-USDT,{side},{},0.1\n", 100 + line % 5));
        }
        let name = format!("trade-{number}.csv");
        std::fs::write(dir.path().join(&name), text).expect("a writable directory");
        let sent = outcry(dir.path(), &["order", "file", &name]);
        assert!(matches!(sent.status.code(), Some(0 | 1)), "{}", stderr(&sent));
    };
    // Each of these is a node's own: none may show in the state, then or at a replay.
    let lives: [&[&str]; 4] = [
        &["threads.layout=compact"],
        &["threads.layout=dedicated", "ack.policy=memory", "journal.append=map"],
        crate::support::SMALLEST,
        &["limits.frame_max_bytes=4096", "limits.pending_max=16", "gateway.threads=2"],
    ];
    for (number, settings) in (0..).zip(lives) {
        let flags: Vec<&str> = settings.iter().flat_map(|setting| ["--set", setting]).collect();
        let node = Served::start(dir.path(), &flags);
        trade(number);
        let stopped = node.stop();
        for others in lives {
            let flags: Vec<&str> = others.iter().flat_map(|setting| ["--set", setting]).collect();
            let replayed = good(dir.path(), &[&["replay"], &flags[..]].concat());
            assert_eq!(replayed["state_hash"], stopped["state_hash"], "{settings:?}, {others:?}");
            assert_eq!(replayed["events"], replayed["events_compared"]);
        }
    }
    assert_eq!(json(dir.path(), &["journal", "verify"], 0)[0]["ok"], true);
}
