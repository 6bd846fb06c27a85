//! `outcry load`: a load generator on one thread, with every check a client makes.
//!
//! Closed loop: each connection keeps its window full, latency counts from submitting. Open loop
//! (`--rate`): commands have intended times at that rate, latency counts from those, so that a node
//! that stands still is charged for all who waited (no coordinated omission).

mod flow;
mod measure;

use super::{Failure, Global, Outcome};
use crate::client::{Client, ClientError, Config, Options, Reply, RequestId, now_ms};
use crate::endpoint::Endpoint;
use crate::keys::KeyPair;
use crate::types::Status;
use crate::wire::query::Reference;
use flow::Flow;
use measure::{Measure, Report};
use mio::{Events, Poll, Token};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long answers may take after the last command was sent.
const DRAIN: Duration = Duration::from_secs(20);
/// Share of a run that is not measured: caches and connections warm up.
const WARM_UP: f64 = 0.1;

/// Puts a node under load and tells rate and latency
#[derive(Debug, clap::Args)]
#[command(before_help = "Examples:\n  outcry load --connections 16 --window 256 --seconds 5\n  \
                   outcry load --connections 1 --window 1 --commands 20000 --json\n  \
                   outcry load --connections 8 --window 64 --seconds 5 --rate 100000")]
pub(super) struct Args {
    /// Protocol of the orders; fix comes in a later release
    #[arg(long, default_value = "native", value_parser = parse_protocol)]
    protocol: String,
    /// Connections, each with a session of its own
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=4096))]
    connections: u32,
    /// Commands of one connection that wait for their answer
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=16384))]
    window: u32,
    /// How long to send
    #[arg(long, conflicts_with = "commands", value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: Option<u64>,
    /// How many commands to send
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    commands: Option<u64>,
    /// Commands per second over all connections, at even intervals (open loop)
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    rate: Option<u64>,
    /// Seed of the flow
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Addresses of the node [default: the one that runs on this data directory]
    #[arg(long, value_name = "HOST:PORT", value_delimiter = ',')]
    connect: Vec<String>,
    /// File with the key to log on with [default: as above]
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
}

fn parse_protocol(text: &str) -> Result<String, String> {
    match text {
        "native" => Ok(text.to_owned()),
        "fix" => Err("FIX does not exist in this release; use native".to_owned()),
        _ => Err("write native".to_owned()),
    }
}

/// Where and as whom to log on.
struct Target {
    addresses: Vec<String>,
    key: KeyPair,
    policy: String,
}

/// One connection of the load.
struct Connection {
    client: Client,
    flow: Flow,
    /// When each request that waits was to be sent, by its number modulo the length.
    times: Vec<Instant>,
}

pub(super) fn run(args: &Args, global: &Global) -> Outcome {
    let loaded = global.load()?;
    let target = target(args, Path::new(&loaded.config.node.data_dir))?;
    let mut load = Load::connect(args, &target)?;
    let report = load.run(args)?;
    print(global, args, &target, &report);
    Ok(())
}

fn target(args: &Args, data_dir: &Path) -> Result<Target, Failure> {
    let endpoint = Endpoint::read(data_dir).map_err(Failure::usage)?;
    let missing = |what: &str| {
        Failure::node(format_args!(
            "no node runs on {}: start `outcry serve` there, or give {what}",
            data_dir.display()
        ))
    };
    let key = args.key.clone().or_else(|| endpoint.as_ref()?.key.clone());
    let key = KeyPair::load(&key.ok_or_else(|| missing("--key"))?).map_err(Failure::usage)?;
    if !args.connect.is_empty() {
        return Ok(Target { addresses: args.connect.clone(), key, policy: "unknown".into() });
    }
    let endpoint = endpoint.ok_or_else(|| missing("--connect"))?;
    Ok(Target { addresses: vec![endpoint.native], key, policy: endpoint.policy })
}

/// All connections and the thread that drives them.
struct Load {
    connections: Vec<Connection>,
    poll: Poll,
}

/// When to stop sending.
struct Plan {
    started: Instant,
    end: Option<Instant>,
    commands: u64,
    interval: Option<Duration>,
    warm_up: Instant,
    warm_up_commands: u64,
}

impl Load {
    fn connect(args: &Args, target: &Target) -> Result<Load, Failure> {
        let addresses: Vec<&str> = target.addresses.iter().map(String::as_str).collect();
        let poll = Poll::new().map_err(Failure::usage)?;
        let mut connections = Vec::new();
        let mut reference = None;
        for number in 0..args.connections {
            let name = format!("load-{:x}-{number}", std::process::id());
            let mut config = Config::new(&addresses, target.key.clone(), &name);
            config.window = args.window as usize;
            let mut client = Client::connect(config).map_err(|error| cannot_connect(&error))?;
            if reference.is_none() {
                reference = Some(fetch_reference(&mut client)?);
            }
            let instruments = reference.as_ref().map_or(&[][..], |r| &r.instruments);
            client.register(poll.registry(), Token(number as usize)).map_err(Failure::node)?;
            let flow = Flow::new(args.seed.wrapping_add(u64::from(number)), number, instruments)
                .ok_or_else(|| Failure::node("the venue has no instrument to trade"))?;
            let slots = (args.window as usize * 2).next_power_of_two();
            let times = vec![Instant::now(); slots];
            connections.push(Connection { client, flow, times });
        }
        Ok(Load { connections, poll })
    }

    fn run(&mut self, args: &Args) -> Result<Report, Failure> {
        let started = Instant::now();
        let seconds = args.seconds.or(args.commands.is_none().then_some(5));
        let length = seconds.map(Duration::from_secs);
        let plan = Plan {
            started,
            end: length.map(|length| started + length),
            commands: args.commands.unwrap_or(u64::MAX),
            interval: args.rate.map(|rate| Duration::from_nanos(1_000_000_000 / rate)),
            warm_up: length.map_or(started, |length| started + length.mul_f64(WARM_UP)),
            warm_up_commands: args
                .commands
                .map_or(0, |commands| (commands as f64 * WARM_UP) as u64),
        };
        let mut measure = Measure::new();
        let mut events = Events::with_capacity(1024);
        for number in 0..self.connections.len() {
            self.receive(number, &plan, &mut measure)?;
        }
        loop {
            let sending = self.send(&plan, &mut measure);
            let waiting: usize = self.connections.iter().map(|c| c.client.in_flight()).sum();
            if !sending && waiting == 0 {
                break;
            }
            if !sending && plan.end.is_some_and(|end| end.elapsed() > DRAIN) {
                return Err(Failure::node(format_args!("{waiting} commands were never answered")));
            }
            self.wait(&plan, &mut events)?;
            for event in &events {
                let number = event.token().0;
                if event.is_writable() {
                    self.connections[number].client.on_writable();
                }
                if event.is_readable() || event.is_read_closed() {
                    self.receive(number, &plan, &mut measure)?;
                }
            }
        }
        Ok(measure.report())
    }

    /// Fills the windows, or sends what is due. False where nothing more is to be sent.
    fn send(&mut self, plan: &Plan, measure: &mut Measure) -> bool {
        let now = Instant::now();
        let over = plan.end.is_some_and(|end| now >= end) || measure.sent() >= plan.commands;
        if over {
            return false;
        }
        let timestamp = now_ms();
        let options = Options { timestamp_ms: Some(timestamp), ..Options::default() };
        match plan.interval {
            None => {
                for connection in &mut self.connections {
                    while connection.client.has_room() && measure.sent() < plan.commands {
                        connection.submit(&options, now);
                        measure.count_sent();
                    }
                    connection.client.flush();
                }
            }
            Some(interval) => {
                let count = self.connections.len() as u64;
                while measure.sent() < plan.commands {
                    let intended = plan.started + interval * (measure.sent() as u32);
                    let connection = &mut self.connections[(measure.sent() % count) as usize];
                    if intended > now || !connection.client.has_room() {
                        break;
                    }
                    connection.submit(&options, intended);
                    measure.count_sent();
                }
                for connection in &mut self.connections {
                    connection.client.flush();
                }
            }
        }
        true
    }

    fn wait(&mut self, plan: &Plan, events: &mut Events) -> Result<(), Failure> {
        let timeout = match plan.interval {
            // Commands that come due while the thread sleeps would be late by its own doing.
            Some(interval) => interval.min(Duration::from_micros(50)),
            None => Duration::from_millis(100),
        };
        match self.poll.poll(events, Some(timeout)) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => Ok(()),
            other => other.map_err(Failure::node),
        }
    }

    fn receive(
        &mut self,
        number: usize,
        plan: &Plan,
        measure: &mut Measure,
    ) -> Result<(), Failure> {
        let Connection { client, flow, times } = &mut self.connections[number];
        let now = Instant::now();
        let warm = now >= plan.warm_up && measure.acknowledged() >= plan.warm_up_commands;
        let mut lost = None;
        client.on_readable(|reply| match reply {
            Reply::Answer { request, view, .. } => {
                let answer = &view.answer;
                if answer.status == Status::Rejected {
                    measure.count_reject(&answer.reason.to_string());
                }
                flow.answered(answer);
                let since = times[request_slot(request, times.len())];
                measure.answered(now.saturating_duration_since(since), now, warm);
            }
            Reply::Fill(fill) => flow.filled(&fill),
            Reply::Reject { request: Some(_), reject } => {
                measure.count_refused(&reject.reason.to_string())
            }
            Reply::Disconnected { reason } => lost = Some(reason.to_string()),
            Reply::LoggedOut { reason } => lost = Some(format!("logged out: {reason}")),
            _ => {}
        });
        match lost {
            Some(reason) => Err(Failure::node(format_args!("the connection was lost: {reason}"))),
            None => Ok(()),
        }
    }
}

impl Connection {
    fn submit(&mut self, options: &Options<'_>, intended: Instant) {
        let command = self.flow.next_command();
        let request = self
            .client
            .submit(&command, options)
            .expect("the window has room and the flow keeps every limit");
        let slot = request_slot(request, self.times.len());
        self.times[slot] = intended;
    }
}

fn request_slot(request: RequestId, slots: usize) -> usize {
    request.0 as usize & (slots - 1)
}

fn cannot_connect(error: &ClientError) -> Failure {
    Failure::node(error)
}

fn fetch_reference(client: &mut Client) -> Result<Reference, Failure> {
    client.reference(Default::default(), Default::default()).map_err(Failure::node)?;
    let mut found = None;
    let deadline = Instant::now() + DRAIN;
    while found.is_none() {
        if Instant::now() > deadline {
            return Err(Failure::node("the node does not tell its instruments"));
        }
        client
            .poll(Some(Duration::from_secs(1)), |reply| {
                if let Reply::Reference { view, .. } = reply {
                    found = view.parse().ok();
                }
            })
            .map_err(Failure::node)?;
    }
    found.ok_or_else(|| Failure::node("the node's instruments cannot be read"))
}

fn print(global: &Global, args: &Args, target: &Target, report: &Report) {
    let output = global.output();
    if output.is_json() {
        output.object(&report.json(args.connections, args.window, &target.policy));
        return;
    }
    let how = match args.rate {
        Some(rate) => format!("open loop at {rate} commands/s, from the intended send time"),
        None => "closed loop, from submitting".to_owned(),
    };
    output.line(format_args!(
        "{} connections x window {}, policy {}; monotonic clock, {how}; first {:.0} % left out",
        args.connections,
        args.window,
        target.policy,
        WARM_UP * 100.0
    ));
    output.raw(&report.text());
}
