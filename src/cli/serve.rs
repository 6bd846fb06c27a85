//! `outcry serve`: runs a node until it is told to stop.

use super::meter::Meter;
use super::own_key::{OwnKey, own_key};
use super::schema::Files;
use super::signals::Signals;
use super::{Failure, Global, Outcome};
use crate::config::{Config, Loaded};
use crate::endpoint::{Endpoint, OFF};
use crate::fatal::StopReason;
use crate::logging;
use crate::node::boot::Progress;
use crate::node::{Ended, Node, Report, StartError};
use crate::types::Sequence;
use serde::Serialize;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Runs a node
#[derive(Debug, clap::Args)]
#[command(
    before_help = "Examples:\n  outcry serve\n  outcry serve --data-dir /var/lib/outcry --set ack.policy=memory\n  \
                   outcry serve --json --set gateway.native.listen=127.0.0.1:0",
    after_help = "Ctrl-C and SIGTERM stop the node: it takes nothing new, finishes, releases and syncs \
                  what is sequenced, and ends with status 0. A second one ends it at once; so does the \
                  first one while it is still recovering, for recovery may be cut anywhere and begins \
                  again at the next start. The status is then 130 for Ctrl-C and 143 for SIGTERM."
)]
pub(super) struct Args {
    /// Starts although the machine's clock is more than 10 s behind the journal
    #[arg(long)]
    accept_clock: bool,
}

/// The first line with `--json`.
#[derive(Serialize)]
struct Ready<'a> {
    ready: bool,
    node: &'a str,
    native: String,
    rpc: &'a str,
    fix: &'a str,
    http: String,
    role: &'a str,
    sequence: u64,
    layout: &'a str,
    policy: &'a str,
    key: Option<&'a Path>,
    recovery: Recovery,
}

#[derive(Serialize)]
struct Recovery {
    snapshot_sequence: Option<u64>,
    replayed: u64,
    cut_bytes: u64,
    seconds: f64,
}

/// The last line with `--json`.
#[derive(Serialize)]
struct Stopped {
    stopped: bool,
    sequence: u64,
    state_hash: String,
    unreleased: u64,
}

pub(super) fn run(args: &Args, global: &Global) -> Outcome {
    let Loaded { mut config, .. } = global.load()?;
    config.time.accept_clock |= args.accept_clock;
    logging::init(config.log.level, config.log.format);
    let schemas = Files::read(&config.schemas.dir)?;
    let data_dir = PathBuf::from(&config.node.data_dir);
    std::fs::create_dir_all(&data_dir)
        .map_err(|error| unusable(format_args!("cannot create {}: {error}", data_dir.display())))?;
    // Before anything that can take long: whoever stops it at once finds a handler.
    let signals = Signals::listen()?;
    let key = own_key(&mut config, &data_dir)?;
    let node = start(&config, &data_dir)?;
    signals.ready();
    let endpoint = Endpoint {
        node: config.node.name.clone(),
        pid: std::process::id(),
        native: node.report.native.to_string(),
        http: http(&node.report),
        policy: config.ack.policy.to_string(),
        key: key.path().map(Path::to_owned),
    };
    // Before the ready line: who waited for that line finds the file.
    if let Err(error) = endpoint.write(&data_dir) {
        tracing::warn!(%error, "cannot write endpoint.json: commands on this machine need --connect");
    }
    for difference in schemas.differences(node.report.schemas.registry()) {
        tracing::warn!(
            "a schema file differs from what is registered, which is in force: {difference}"
        );
    }
    announce(global, &config, &node.report, &key);
    signals.wait();
    tracing::info!("stopping: finishing what is sequenced; once more to stop at once");
    let ended = node.stop(Duration::from_secs(config.node.shutdown_timeout_s));
    Endpoint::remove(&data_dir);
    farewell(global, ended)
}

fn start(config: &Config, data_dir: &Path) -> Result<Node, Failure> {
    let mut meter = Meter::new(CHECKING);
    let mut progress = |progress: &Progress| show(&mut meter, progress);
    let started = Node::start(config, data_dir, &mut progress);
    meter.finish();
    started.map_err(|error| refused(&error))
}

/// A node that cannot start says why and ends with the reason's own status.
fn refused(error: &StartError) -> Failure {
    match error.reason() {
        None => Failure::usage(error),
        Some(reason) => stopped_by(reason, error),
    }
}

/// The data directory cannot be used.
pub(super) fn unusable(what: impl std::fmt::Display) -> Failure {
    stopped_by(StopReason::DataDirUnusable, what)
}

fn stopped_by(reason: StopReason, what: impl std::fmt::Display) -> Failure {
    let status = reason.status();
    Failure { status, message: format!("{what}; `outcry explain {status}` tells more") }
}

/// What a start does, as its progress says.
const CHECKING: &str = "checking the journal:";
const REPLAYING: &str = "replaying the journal:";

/// Short recoveries show nothing; a long one shows where it is.
fn show(meter: &mut Meter, progress: &Progress) {
    match *progress {
        Progress::Checking(at) => {
            meter.turn_to(CHECKING);
            meter.show(at.segments_done as u64, at.segments as u64, at.sequence);
        }
        Progress::Replaying { done, of } => {
            meter.turn_to(REPLAYING);
            meter.records(done, of);
        }
    }
}

/// What a start found that the operator should look at.
fn warn(report: &Report) {
    for difference in &report.differences {
        tracing::warn!(
            "the configured venue differs from the journal's, which is in force: {difference}"
        );
    }
    if !report.differences.is_empty() {
        tracing::warn!(
            "a venue is sequenced once, when its journal begins, and this release has no command that \
             changes it: correct the configuration, or begin again with another --data-dir"
        );
    }
    if report.cut_bytes > 0 {
        tracing::warn!(
            bytes = report.cut_bytes,
            "an unfinished end of the journal was cut and archived"
        );
    }
}

/// The admin listener's address, or `off`.
fn http(report: &Report) -> String {
    report.http.map_or(OFF.to_owned(), |address| address.to_string())
}

fn announce(global: &Global, config: &Config, report: &Report, key: &OwnKey) {
    let output = global.output();
    warn(report);
    let policy = config.ack.policy.as_str();
    if output.is_json() {
        // A closed stderr changes nothing about the node.
        let _: std::io::Result<()> = writeln!(std::io::stderr(), "{}", report.plan);
        output.object(&Ready {
            ready: true,
            node: &config.node.name,
            native: report.native.to_string(),
            rpc: "off",
            fix: "off",
            http: http(report),
            role: "primary",
            sequence: report.sequence.0,
            layout: report.plan.name,
            policy,
            key: key.path(),
            recovery: Recovery {
                snapshot_sequence: (report.snapshot > Sequence::NONE).then_some(report.snapshot.0),
                replayed: report.replayed,
                cut_bytes: report.cut_bytes,
                seconds: report.recovery.as_secs_f64(),
            },
        });
        return;
    }
    output.line(&report.plan);
    let behind = match report.snapshot {
        Sequence::NONE => String::new(),
        snapshot => format!(" behind the snapshot of sequence {snapshot}"),
    };
    output.line(format_args!(
        "recovered {} records{behind} in {:.3} s, at sequence {}",
        report.replayed,
        report.recovery.as_secs_f64(),
        report.sequence
    ));
    match key {
        OwnKey::Configured => {}
        OwnKey::Known(path) => {
            output.line(format_args!("operator key for this machine: {}", path.display()));
        }
        OwnKey::Lost => output.line("operator key for this machine: none that the venue knows"),
    }
    if let Some(address) = report.http {
        output.line(format_args!("figures: http://{address}/health, /metrics, /lanes, /stats"));
    }
    output.line(format_args!(
        "ready: {} accepts native orders on {}, policy {policy}",
        config.node.name, report.native
    ));
}

fn farewell(global: &Global, ended: Ended) -> Outcome {
    let output = global.output();
    let unreleased = ended.unreleased;
    let (sequence, state_hash) = (ended.sequence.0, ended.state_hash);
    if output.is_json() {
        output.object(&Stopped { stopped: true, sequence, state_hash, unreleased });
    } else {
        output.line(format_args!("stopped at sequence {sequence}, state {state_hash}"));
    }
    if unreleased == 0 {
        return Ok(());
    }
    Err(Failure {
        status: StopReason::ShutdownIncomplete.status(),
        message: format!("{unreleased} commands are sequenced and were not released in time"),
    })
}
