//! Faults that were mended, each with two sentences: what broke, and why it was possible.

use crate::sim::disk::SimDisk;
use openoutcry::journal::format::LogKind;
use openoutcry::journal::recovery::recover;
use openoutcry::journal::segment::{LogDir, Preparer};
use openoutcry::sys::storage::Append;
use openoutcry::types::Sequence;
use std::path::Path;
use std::sync::Arc;

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
