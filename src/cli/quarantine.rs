//! `outcry journal quarantine`: sets aside a command that ends every recovery.

use super::offline::Offline;
use super::{Failure, Global, Outcome, own_key};
use crate::journal::format::{LogKind, RecordKind};
use crate::journal::quarantine::{Quarantined, SetAside};
use crate::journal::reader::Reader;
use crate::journal::recovery::recover;
use crate::journal::view::Verify;
use crate::keys::KeyPair;
use crate::node::poison::{Marker, quarantine};
use crate::node::replay::{Asked, Until, replay};
use crate::sys::clock::{Clock, MachineClock};
use crate::sys::lock::DirLock;
use crate::types::{KeyId, Sequence, TimeNs};
use serde::Serialize;
use std::path::PathBuf;

/// Makes a command that ends every recovery a reject, on every replay
#[derive(Debug, clap::Args)]
#[command(
    before_help = "Examples:\n  outcry journal quarantine 4711\n  \
                   outcry journal quarantine 4711 --key operator.key --json",
    after_help = "A node whose recovery has ended twice at one command refuses to start and names it. \
                  This appends a record, signed by an operator's key, that every replay of this \
                  journal looks for first: the command is then refused with Quarantined, and changes \
                  nothing. No node may run on the data directory. Only a command at which a recovery \
                  has ended can be set aside: what became of any other is known to clients."
)]
pub(super) struct Args {
    /// The command's sequence
    #[arg(value_name = "SEQ")]
    sequence: u64,
    /// Secret key of an operator [default: the node's own key for this machine]
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
}

/// The result, as a script reads it.
#[derive(Debug, Serialize)]
struct Done {
    quarantined: u64,
    record: u64,
    key: u32,
}

pub(super) fn run(args: &Args, offline: &Offline, global: &Global) -> Outcome {
    let target = Sequence(args.sequence);
    let _lock = DirLock::acquire(&offline.data_dir).map_err(Failure::usage)?;
    let log = &offline.logs.commands;
    let marker = Marker::read(log)
        .map_err(|error| Failure::bad(format_args!("cannot read what recovery noted: {error}")))?;
    if marker.is_none_or(|marker| marker.sequence != target.0) {
        return Err(Failure::bad(format_args!(
            "no recovery of this release has ended at record {target}: only such a command can be set \
             aside"
        )));
    }
    // What was retired is in snapshots, which a start has begun with.
    let first = offline.info(LogKind::Commands)?.first.max(Sequence(1));
    let recovered = recover(log, first, &mut |_| ()).map_err(Failure::bad)?;
    let end = recovered.tip.sequence;
    let aside = SetAside::find(log, 0, end).map_err(Failure::bad)?;
    if let Some(aside) = aside.of(target) {
        return Err(Failure::bad(format_args!(
            "command {target} is set aside already, by record {}",
            aside.sequence
        )));
    }
    if offline.info(LogKind::Events)?.last >= target {
        return Err(Failure::bad(format_args!(
            "command {target} was applied before, and its events stand in the event log: start with the \
             release that applied it"
        )));
    }
    let mut reader = Reader::new(log.clone(), target, Verify::Crc);
    let record = reader.next_record(end).map_err(Failure::bad)?;
    let record = record.filter(|record| record.sequence() == target).ok_or_else(|| {
        Failure::bad(format_args!("there is no record {target}: the last one is {end}"))
    })?;
    if !matches!(record.kind(), RecordKind::Command | RecordKind::Admin) {
        return Err(Failure::bad(format_args!(
            "record {target} is of kind {}: only commands can be set aside",
            record.kind()
        )));
    }
    let path = args.key.clone().unwrap_or_else(|| own_key::path(&offline.data_dir));
    let pair = KeyPair::load(&path).map_err(Failure::usage)?;
    let key = operator(offline, target, &pair)?;
    let mut payload = Quarantined::unsigned(&record);
    payload.signature = pair.sign(Quarantined::signed_bytes(&payload));
    let now = TimeNs(MachineClock::new().wall_ns());
    let sequence = quarantine(&offline.logs, &recovered, key, &payload, now)
        .map_err(|error| Failure { status: error.reason().status(), message: error.to_string() })?;
    let output = global.output();
    if output.is_json() {
        output.object(&Done { quarantined: target.0, record: sequence.0, key: key.0 });
    } else {
        output.line(format_args!(
            "command {target} is set aside by record {sequence}: every replay refuses it"
        ));
    }
    Ok(())
}

/// The number of the key, which must be an operator's right before the command.
fn operator(offline: &Offline, target: Sequence, pair: &KeyPair) -> Result<KeyId, Failure> {
    let until = Until::Sequence(Sequence(target.0 - 1));
    let logs = &offline.logs;
    let replayed = replay(&logs.commands, &logs.events, Asked::until(until), &mut |_| ())
        .map_err(Failure::bad)?;
    let permissions = replayed.state.exchange.permissions();
    let key = permissions.find(&pair.public()).filter(|key| permissions.may_administer(*key));
    key.ok_or_else(|| {
        Failure::node(format_args!(
            "the key with the public half {} was no operator's before command {target}",
            pair.public_hex()
        ))
    })
}
