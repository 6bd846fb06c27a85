//! `outcry serve`: runs a node until it is told to stop.

use super::signals::Signals;
use super::{Failure, Global, Outcome};
use crate::config::{Config, Loaded};
use crate::endpoint::Endpoint;
use crate::journal::Progress;
use crate::keys::KeyPair;
use crate::logging;
use crate::node::{Ended, Node, Report, StartError};
use crate::types::Role;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where a node without configured keys keeps the one that it makes for itself.
const DEMO_KEY: &str = "keys/demo.key";

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
    http: &'a str,
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
    let data_dir = PathBuf::from(&config.node.data_dir);
    std::fs::create_dir_all(&data_dir).map_err(|error| {
        Failure::usage(format_args!("cannot create {}: {error}", data_dir.display()))
    })?;
    // Before anything that can take long: whoever stops it at once finds a handler.
    let signals = Signals::listen()?;
    let key = demo_key(&mut config, &data_dir)?;
    let node = start(&config, &data_dir)?;
    signals.ready();
    let endpoint = Endpoint {
        node: config.node.name.clone(),
        pid: std::process::id(),
        native: node.report.native.to_string(),
        policy: config.ack.policy.to_string(),
        key,
    };
    // Before the ready line: who waited for that line finds the file.
    if let Err(error) = endpoint.write(&data_dir) {
        tracing::warn!(%error, "cannot write endpoint.json: commands on this machine need --connect");
    }
    announce(global, &config, &node.report, endpoint.key.as_deref());
    signals.wait();
    tracing::info!("stopping: finishing what is sequenced; once more to stop at once");
    let ended = node.stop(Duration::from_secs(config.node.shutdown_timeout_s));
    Endpoint::remove(&data_dir);
    farewell(global, ended)
}

fn start(config: &Config, data_dir: &Path) -> Result<Node, Failure> {
    let bar = ProgressBar::hidden();
    let mut progress = |progress: &Progress| show(&bar, progress);
    let started = Node::start(config, data_dir, &mut progress);
    bar.finish_and_clear();
    started.map_err(|error| refused(&error))
}

/// A node that cannot start says why and ends with the reason's own status.
fn refused(error: &StartError) -> Failure {
    match error.reason() {
        None => Failure::usage(error),
        Some(reason) => Failure {
            status: reason.status(),
            message: format!("{error}; `outcry explain {}` tells more", reason.status()),
        },
    }
}

fn show(bar: &ProgressBar, progress: &Progress) {
    // Short recoveries show nothing; a long one shows where it is.
    if bar.elapsed() < Duration::from_secs(1) || !std::io::stderr().is_terminal() {
        return;
    }
    bar.set_draw_target(indicatif::ProgressDrawTarget::stderr());
    if let Ok(style) =
        ProgressStyle::with_template("recovery {bar:40} segment {pos} of {len} {msg}")
    {
        bar.set_style(style);
    }
    bar.set_length(progress.segments as u64);
    bar.set_position(progress.segments_done as u64);
    bar.set_message(format!("sequence {}, {} left", progress.sequence, bar.eta().as_secs()));
}

/// A venue without keys that only this machine can reach gets an operator's key of its own, so that
/// the first order takes no configuration.
fn demo_key(config: &mut Config, data_dir: &Path) -> Result<Option<PathBuf>, Failure> {
    let listen = config.gateway.native.listen.address();
    if !config.genesis.keys.is_empty() {
        return Ok(None);
    }
    if !listen.is_some_and(|address| address.ip().is_loopback()) {
        return Err(Failure::usage(
            "genesis.keys is empty, so nobody could log on: `outcry keygen --role operator FILE` \
             prints an entry for config.toml (a listener on loopback gets a key by itself)",
        ));
    }
    // Told to commands that run in other directories.
    let path = data_dir.join(DEMO_KEY);
    let path = std::path::absolute(&path).unwrap_or(path);
    let pair = if path.exists() {
        KeyPair::load(&path).map_err(Failure::usage)?
    } else {
        make_key(&path)?
    };
    config.genesis.keys.push(crate::config::KeyEntry {
        public_key: pair.public_hex(),
        role: Role::Operator,
        accounts: Vec::new(),
    });
    Ok(Some(path))
}

fn make_key(path: &Path) -> Result<KeyPair, Failure> {
    use std::os::unix::fs::DirBuilderExt;
    let dir = path.parent().expect("the key stands in a directory of its own");
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true).mode(0o700).create(dir).map_err(|error| {
        Failure::usage(format_args!("cannot create {}: {error}", dir.display()))
    })?;
    let pair = KeyPair::generate().map_err(Failure::bad)?;
    pair.save(path).map_err(Failure::usage)?;
    Ok(pair)
}

fn announce(global: &Global, config: &Config, report: &Report, key: Option<&Path>) {
    let output = global.output();
    for difference in &report.differences {
        tracing::warn!(
            "the configured venue differs from the journal's, which is in force: {difference}"
        );
    }
    if report.cut_bytes > 0 {
        tracing::warn!(
            bytes = report.cut_bytes,
            "an unfinished end of the journal was cut and archived"
        );
    }
    let policy = config.ack.policy.as_str();
    if output.is_json() {
        output.object(&Ready {
            ready: true,
            node: &config.node.name,
            native: report.native.to_string(),
            rpc: "off",
            fix: "off",
            http: "off",
            role: "primary",
            sequence: report.sequence.0,
            layout: report.plan.name,
            policy,
            key,
            recovery: Recovery {
                snapshot_sequence: None,
                replayed: report.replayed,
                cut_bytes: report.cut_bytes,
                seconds: report.recovery.as_secs_f64(),
            },
        });
        return;
    }
    output.line(&report.plan);
    output.line(format_args!(
        "recovered {} records in {:.3} s, at sequence {}",
        report.replayed,
        report.recovery.as_secs_f64(),
        report.sequence
    ));
    if let Some(key) = key {
        output.line(format_args!("operator key for this machine: {}", key.display()));
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
    let reason = crate::fatal::StopReason::ShutdownIncomplete;
    Err(Failure {
        status: reason.status(),
        message: format!("{unreleased} commands are sequenced and were not released in time"),
    })
}
