//! `outcry demo`: a node under a realistic flow, killed in the middle, and the proof that nothing
//! acknowledged was lost, nothing was applied twice and replay gives the same state.
//!
//! Invariants: it needs nothing but this program; it ends by itself and leaves no process behind;
//! a directory that shows a failure is kept and named.

mod audit;
mod child;
mod flow;
mod proof;
mod report;
mod show;
mod traffic;
mod venue;

use super::{Failure, Global, Outcome};
use crate::config::{Config, Sources, load};
use crate::node::boot::Logs;
use crate::node::logs;
use crate::sys::disk::Disk;
use child::{Node, Setup};
use flow::Flow;
use proof::Live;
use report::{Broken, Killed, Latency, Report, Run, conclude};
use show::{Screen, View, thousands};
use signal_hook::consts::{SIGINT, SIGTERM};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;
use traffic::Traffic;
use venue::Venue;

/// Commands of a session that are handed over at once before a kill, at most.
const BURST_MAX: u64 = 128;
/// Kills until one meets the node at work. Nearly always it is the first; on a crowded machine the
/// node may have answered everything before this process gets to kill it.
const KILLS_MAX: usize = 3;

/// Shows the whole engine at work, kills it in the middle, and proves that nothing was lost
#[derive(Debug, clap::Args)]
#[command(
    before_help = "Examples:\n  outcry demo\n  outcry demo --seed 7 --commands 1000000 --rate 0\n  \
                         outcry demo --json --set ack.policy=memory"
)]
pub(super) struct Args {
    /// What the commands are a function of
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Commands that are sent
    #[arg(long, value_name = "N", default_value_t = 200_000,
          value_parser = clap::value_parser!(u64).range(1_000..=10_000_000))]
    commands: u64,
    /// Sessions that send them
    #[arg(long, value_name = "N", default_value_t = 16,
          value_parser = clap::value_parser!(u64).range(1..=256))]
    sessions: u64,
    /// Commands a second; 0 for as fast as they are answered
    #[arg(long, value_name = "N", default_value_t = 50_000)]
    rate: u64,
    /// Directory to work in, empty or not there yet; it is kept [default: a temporary one]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Keeps the temporary directory
    #[arg(long)]
    keep: bool,
}

pub(super) fn run(args: &Args, global: &Global) -> Outcome {
    if global.config.is_some() || global.data_dir.is_some() {
        return Err(Failure::usage(
            "demo writes its own configuration and journal: use --dir, and --set for single keys",
        ));
    }
    let place = Place::prepare(args.dir.as_deref())?;
    let interrupted = interruptions()
        .map_err(|error| Failure::usage(format_args!("cannot handle signals: {error}")))?;
    let demo = Demo { args, global, dir: &place.path, interrupted: &interrupted };
    let ended = demo.run();
    let (output, stopped) = (global.output(), interrupted.load(Ordering::Relaxed));
    let good = ended.as_ref().is_ok_and(|report| report.failure.is_none());
    let keep = !place.temporary || args.keep || !(good || stopped);
    if !keep {
        place.remove();
    }
    let kept = keep.then_some(place.path.as_path());
    let failure = match ended {
        Ok(mut report) => {
            report.dir = kept.map(Path::to_owned);
            if output.is_json() {
                output.object(&report);
            } else {
                conclude(output, &report);
            }
            report.failure
        }
        Err(what) => {
            if output.is_json() {
                let (commands, seed) = (args.commands, args.seed);
                let failure = what.as_str();
                output.object(&Broken { ok: false, commands, seed, failure, dir: kept });
            }
            Some(what)
        }
    };
    let Some(what) = failure else { return Ok(()) };
    match kept {
        Some(dir) => Err(Failure::bad(format_args!("{what}; kept: {}", dir.display()))),
        None => Err(Failure::bad(what)),
    }
}

/// A flag that the first SIGINT or SIGTERM sets; a second one ends the process at once.
fn interruptions() -> std::io::Result<Arc<AtomicBool>> {
    let flag = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register_conditional_shutdown(signal, 130, flag.clone())?;
        signal_hook::flag::register(signal, flag.clone())?;
    }
    Ok(flag)
}

/// The directory that all happens in.
struct Place {
    path: PathBuf,
    temporary: bool,
}

impl Place {
    fn prepare(asked: Option<&Path>) -> Result<Place, Failure> {
        let (path, temporary) = match asked {
            Some(path) => (path.to_owned(), false),
            None => (std::env::temp_dir().join(fresh_name()?), true),
        };
        let failed = |error| Failure::usage(format_args!("{}: {error}", path.display()));
        if !temporary {
            std::fs::create_dir_all(&path).map_err(failed)?;
            if std::fs::read_dir(&path).map_err(failed)?.next().is_some() {
                return Err(Failure::usage(format_args!("{} is not empty", path.display())));
            }
            return Ok(Place { path, temporary });
        }
        use std::os::unix::fs::DirBuilderExt;
        std::fs::DirBuilder::new().mode(0o700).create(&path).map_err(failed)?;
        Ok(Place { path, temporary })
    }

    fn remove(&self) {
        // What cannot be removed lies in the system's temporary directory, which is swept.
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

fn fresh_name() -> Result<String, Failure> {
    let mut random = [0; 4];
    getrandom::fill(&mut random)
        .map_err(|error| Failure::bad(format_args!("no random bytes: {error}")))?;
    Ok(format!("outcry-demo-{}-{:08x}", std::process::id(), u32::from_be_bytes(random)))
}

/// One run.
struct Demo<'a> {
    args: &'a Args,
    global: &'a Global,
    dir: &'a Path,
    interrupted: &'a AtomicBool,
}

impl Demo<'_> {
    fn run(&self) -> Result<Report, String> {
        let started = Instant::now();
        let mut screen = Screen::new();
        let venue = Venue::new(self.args.sessions).map_err(|error| error.to_string())?;
        let file = self.dir.join("config.toml");
        std::fs::write(&file, venue.config()).map_err(|e| format!("{}: {e}", file.display()))?;
        let (setup, config) = self.setup(&file)?;
        let logs = logs(&config, &Disk::shared(), &self.dir.join("journal"));

        let mut node = Node::start(&setup, self.interrupted)?;
        let (policy, layout) = (node.ready.policy.clone(), node.ready.layout.clone());
        screen.say(&format!(
            "a node accepts orders on {}, layout {layout}, policy {policy}",
            node.ready.native
        ));
        let mut traffic = self.connect(&venue, &node)?;
        let half = self.args.commands / 2;
        while !traffic.has_sent(half) {
            self.round(&mut node, &mut traffic, &mut screen, "trading", half)?;
        }
        let mut kills: Vec<Killed> = Vec::new();
        while kills.len() < KILLS_MAX && kills.last().is_none_or(|kill| kill.unanswered == 0) {
            let kill;
            (node, kill) = self.kill(node, &setup, &venue, &logs, &mut traffic, &mut screen)?;
            kills.push(kill);
        }
        self.finish(&mut node, &mut traffic, &mut screen)?;
        let stopped = node.stop(self.interrupted)?;
        screen.say("all commands are answered; the node has stopped");
        let live = Live { sequence: stopped.sequence, state_hash: stopped.state_hash };
        let end = audit::read(&logs, self.args.commands, true)?;
        screen.say(&format!("replayed all {} records of its journal", thousands(end.records)));
        screen.erase();

        let Args { seed, commands, sessions, rate, .. } = *self.args;
        Ok(Report::of(Run {
            seed,
            commands,
            sessions,
            rate,
            traffic: &traffic,
            kills: &kills,
            live: &live,
            end: &end,
            policy,
            layout,
            seconds: started.elapsed().as_secs_f64(),
        }))
    }

    /// How to start the node, and its configuration as this process sees it.
    fn setup(&self, file: &Path) -> Result<(Setup, Config), String> {
        let data_dir = self.dir.join("journal").display().to_string();
        let mut set = self.global.set.clone();
        set.push("gateway.native.listen=127.0.0.1:0".to_owned());
        let sources = Sources {
            file: Some(file.to_owned()),
            data_dir: Some(data_dir.clone()),
            set: set.clone(),
            ..Sources::of_process()
        };
        let config = load(&sources).map_err(|error| error.to_string())?.config;
        let mut args: Vec<String> = ["serve", "--json", "--config"].map(str::to_owned).to_vec();
        args.extend([file.display().to_string(), "--data-dir".to_owned(), data_dir]);
        args.extend(set.into_iter().flat_map(|set| ["--set".to_owned(), set]));
        Ok((Setup { args, log: self.dir.join("node.log") }, config))
    }

    fn connect(&self, venue: &Venue, node: &Node) -> Result<Traffic, String> {
        let Args { seed, commands, sessions, rate, .. } = *self.args;
        let flow =
            |(session, seat)| Flow::new(seed, session, sessions, commands, seat, &venue.accounts);
        let flows = (0..).zip(&venue.seats).map(flow).collect();
        Traffic::connect(venue, &node.ready.native, flows, commands, rate)
    }

    /// Kills the node with work in hand and starts it again.
    fn kill(
        &self,
        node: Node,
        setup: &Setup,
        venue: &Venue,
        logs: &Logs,
        traffic: &mut Traffic,
        screen: &mut Screen,
    ) -> Result<(Node, Killed), String> {
        let Args { commands, sessions, .. } = *self.args;
        // Two of these a kill: after all kills there is an eighth of the commands left.
        let each = (commands / (16 * sessions)).clamp(1, BURST_MAX) as usize;
        traffic.burst(each, commands)?;
        node.kill()?;
        traffic.drain()?;
        let (unanswered, acknowledged) = (traffic.unanswered(), traffic.ledger().acknowledged());
        screen.say(&format!(
            "killed the node (SIGKILL) with {} of {} commands acknowledged and {unanswered} in flight",
            thousands(acknowledged),
            thousands(traffic.ledger().sent),
        ));
        let reading = audit::read(logs, commands, false)?;
        let checked = proof::answered_is_journaled(traffic.ledger(), &reading)
            .map(|what| format!("after the kill, the journal held all {what} with their results"));
        screen.say(&format!("its journal holds {} commands", thousands(reading.journaled())));

        let started = Instant::now();
        let node = Node::start(setup, self.interrupted)?;
        let (again, repeated) = traffic.resume(venue, &node.ready.native)?;
        let recovery = &node.ready.recovery;
        screen.say(&format!(
            "restarted: {} records replayed in {:.2} s; {again} commands are sent again, and \
             {repeated} that were answered",
            thousands(recovery.replayed),
            recovery.seconds
        ));
        let restart_ms = started.elapsed().as_secs_f64() * 1000.0;
        let clause = checked.into();
        let unheard = reading.journaled().saturating_sub(acknowledged);
        Ok((node, Killed { unanswered, unheard, repeated, reading, clause, restart_ms }))
    }

    /// The second half, until everything is answered.
    fn finish(
        &self,
        node: &mut Node,
        traffic: &mut Traffic,
        screen: &mut Screen,
    ) -> Result<(), String> {
        let commands = self.args.commands;
        while !traffic.has_sent(commands) || !traffic.is_idle() {
            self.round(node, traffic, screen, "trading after the restart", commands)?;
        }
        Ok(())
    }

    fn round(
        &self,
        node: &mut Node,
        traffic: &mut Traffic,
        screen: &mut Screen,
        phase: &str,
        until: u64,
    ) -> Result<(), String> {
        if self.interrupted.load(Ordering::Relaxed) {
            return Err("interrupted".to_owned());
        }
        let done = traffic.round(until).map_err(|error| match node.is_alive() {
            true => error,
            false => format!("the node ended by itself ({error}){}", node.last_words()),
        });
        if screen.is_due() {
            self.show(traffic, screen, phase);
            traffic.refresh_books();
        }
        done
    }

    fn show(&self, traffic: &Traffic, screen: &mut Screen, phase: &str) {
        let (ledger, tally) = (traffic.ledger(), traffic.tally());
        let latency = Latency::of(tally);
        screen.show(&View {
            phase,
            commands: self.args.commands,
            acknowledged: ledger.acknowledged_so_far(),
            rejected: tally.rejected.values().sum(),
            trades: tally.trades,
            latency_us: (!tally.latency_ns.is_empty()).then_some((latency.p50, latency.p99)),
            books: traffic.books(),
            tape: &tally.tape,
        });
    }
}
