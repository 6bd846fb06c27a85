//! `outcry load`: a load generator on one thread, with every check a client makes.
//!
//! Closed loop: each connection keeps its window full, latency counts from submitting. Open loop
//! (`--rate`): commands have intended times at that rate, latency counts from those, so that a node
//! that stands still is charged for all who waited (no coordinated omission).
//!
//! Invariants: every command that was due is accounted for: acknowledged, refused, unanswered or
//! unsent; a run that breaks off still tells what it saw.

mod crowd;
mod flow;
mod measure;

use super::{Failure, Global, Outcome};
use crate::client::{Client, ClientError, Config, Options, Reply, RequestId, now_ms};
use crate::endpoint::Endpoint;
use crate::keys::KeyPair;
use crate::sys::process::allow_descriptors;
use crate::sys::thread::cores;
use crate::types::{Priority, Status};
use crate::wire::query::Reference;
use crowd::{Company, Crowd, Hostile, Told};
use flow::Flow;
use measure::{Beside, Flooded, How, Measure, Report};
use mio::{Events, Poll, Token};
use std::net::ToSocketAddrs as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How long nothing at all may come of commands that wait for their answers.
const SILENCE_MAX: Duration = Duration::from_secs(20);
/// How long an open loop that is late may go on after its end: as long again as the run, between
/// these.
const OVERTIME_MIN: Duration = Duration::from_secs(1);
const OVERTIME_MAX: Duration = Duration::from_secs(20);
/// Length of a run that is told neither its time nor its commands.
const SECONDS_DEFAULT: u64 = 5;
/// Share of a run that is not measured: caches and connections warm up.
const WARM_UP: f64 = 0.1;
/// A machine with so many cores has none for a generator that looks all the time.
const FEW_CORES: usize = 4;

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
    /// How long to send [default: 5, unless --commands is given]
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
    /// Priority of the orders: critical, high, normal, low or batch
    #[arg(long, value_name = "NAME", default_value = "normal", value_parser = parse_priority)]
    priority: Priority,
    /// Further sessions that only ping; named alike in every run, so two runs need two keys
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(..=1_000_000))]
    idle: u32,
    /// Keys of the idle sessions, used in turn; a key has at most 16,384 sessions [default: --key]
    #[arg(long, value_name = "FILE")]
    idle_key: Vec<PathBuf>,
    /// Loopback addresses, from 127.0.0.1 on, that idle and hostile connections come from: one has some
    /// 28,000 ports
    #[arg(long, value_name = "K", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=200))]
    from_addresses: u8,
    /// Further connections that send orders of priority batch as fast as they are taken
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(..=4096))]
    flood: u32,
    /// Further connections that do harm, and come again when they are closed
    #[arg(long, value_enum, value_name = "KIND")]
    hostile: Option<Hostile>,
    /// How many of them
    #[arg(long, value_name = "N", default_value_t = 16, requires = "hostile", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    hostile_connections: u32,
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

fn parse_priority(text: &str) -> Result<Priority, String> {
    Priority::from_word(text).ok_or_else(|| "write critical, high, normal, low or batch".to_owned())
}

/// Where and as whom to log on.
struct Target {
    addresses: Vec<String>,
    key: KeyPair,
    policy: String,
    /// The node's process, where it runs on this machine.
    pid: Option<u32>,
}

/// One connection of the load.
struct Connection {
    client: Client,
    flow: Flow,
    /// Each request that waits, by its number modulo the length.
    waiting: Vec<Waiting>,
}

/// A request that waits for its answer.
#[derive(Clone, Copy)]
struct Waiting {
    /// When it was to be sent.
    since: Instant,
    /// False during warm-up.
    measured: bool,
}

pub(super) fn run(args: &Args, global: &Global) -> Outcome {
    let loaded = global.load()?;
    let target = target(args, Path::new(&loaded.config.node.data_dir))?;
    allow_connections(args)?;
    let measured = Shape {
        name: "load",
        connections: args.connections,
        window: args.window,
        seed: args.seed,
        priority: args.priority,
    };
    let mut load = Load::connect(&measured, &target)?;
    let (crowd, bytes_per_idle) = crowd(args, &target)?;
    let flood = Flood::start(args, &target)?;
    let plan = Plan::new(args, Instant::now());
    let mut measure = Measure::new(plan.started);
    let ended = load.run(&plan, &mut measure);
    let (flooded, flood_ended) = flood.map_or((None, Ok(())), Flood::end);
    let told = crowd.map_or(Told::default(), Crowd::end);
    let beside = Beside {
        priority: args.priority.as_str(),
        idle_connections: args.idle,
        idle_lost: told.idle_lost,
        server_bytes_per_idle_connection: bytes_per_idle,
        flood: flooded,
        hostile: args.hostile.map(|kind| measure::Harmed {
            kind,
            connections: args.hostile_connections,
            opened: told.opened,
            closed: told.closed,
        }),
    };
    let how = How {
        beside: &beside,
        connections: args.connections,
        window: args.window,
        policy: &target.policy,
        rate: args.rate,
        due: plan.due(),
        nominal: plan.nominal,
        warm_up: WARM_UP,
    };
    print(global, &how, &measure.report(&how));
    ended.and(flood_ended)
}

/// Lets this process have as many connections as it is to open.
fn allow_connections(args: &Args) -> Outcome {
    /// Standard streams, polls, and what else a process has open.
    const OTHERS: u64 = 64;
    let hostile = args.hostile.map_or(0, |_| args.hostile_connections);
    let all = [args.connections, args.idle, args.flood, hostile].map(u64::from);
    let wanted = all.iter().sum::<u64>() + OTHERS;
    let allowed = allow_descriptors(wanted);
    if allowed < wanted {
        return Err(Failure::usage(format_args!(
            "{wanted} descriptors are needed and {allowed} are allowed: see `ulimit -Hn`"
        )));
    }
    Ok(())
}

/// Opens the idle and hostile connections; what an idle one costs the node in bytes, where its process
/// can be looked at.
fn crowd(args: &Args, target: &Target) -> Result<(Option<Crowd>, Option<u64>), Failure> {
    if args.idle == 0 && args.hostile.is_none() {
        return Ok((None, None));
    }
    let mut keys = Vec::new();
    for file in &args.idle_key {
        keys.push(KeyPair::load(file).map_err(Failure::usage)?);
    }
    if keys.is_empty() {
        keys.push(target.key.clone());
    }
    let first = target.addresses.first().map_or("", String::as_str);
    let mut addresses = first.to_socket_addrs().map_err(Failure::usage)?;
    let address = addresses.next().ok_or_else(|| Failure::usage("no address to connect to"))?;
    if args.from_addresses > 1 && !(address.is_ipv4() && address.ip().is_loopback()) {
        return Err(Failure::usage("--from-addresses is for a node on a loopback address"));
    }
    let company = |idle, hostile| Company {
        address,
        keys: keys.clone(),
        idle,
        from_addresses: args.from_addresses,
        hostile,
        hostile_connections: args.hostile_connections,
    };
    let pid = target.pid.filter(|_| args.idle > 0);
    let before = pid.and_then(settled_bytes);
    let crowd = Crowd::start(company(args.idle, args.hostile))?;
    let after = pid.and_then(settled_bytes);
    let grown = after.zip(before).map(|(after, before)| after.saturating_sub(before));
    let each = grown.and_then(|bytes| bytes.checked_div(u64::from(args.idle)));
    Ok((Some(crowd), each))
}

/// [`own_bytes`] once they do not change any more: a node that has just started is still filling its tables.
fn settled_bytes(pid: u32) -> Option<u64> {
    const QUIET: Duration = Duration::from_millis(300);
    const PATIENCE: Duration = Duration::from_secs(10);
    let started = Instant::now();
    let mut last = own_bytes(pid)?;
    loop {
        std::thread::sleep(QUIET);
        let now = own_bytes(pid)?;
        if now == last || started.elapsed() > PATIENCE {
            return Some(now);
        }
        last = now;
    }
}

/// Resident memory that a process has for itself; none where this machine does not tell.
fn own_bytes(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
}

/// Orders of priority batch beside the measured ones, on a thread of their own.
struct Flood {
    thread: std::thread::JoinHandle<(Measure, Outcome)>,
    stop: Arc<AtomicBool>,
    connections: u32,
}

impl Flood {
    /// Commands of one connection of the flood that wait for their answer.
    const WINDOW: u32 = 256;

    fn start(args: &Args, target: &Target) -> Result<Option<Flood>, Failure> {
        if args.flood == 0 {
            return Ok(None);
        }
        let shape = Shape {
            name: "flood",
            connections: args.flood,
            window: Flood::WINDOW,
            seed: !args.seed,
            priority: Priority::Batch,
        };
        let mut load = Load::connect(&shape, target)?;
        let stop = Arc::new(AtomicBool::new(false));
        let plan = Plan::until(stop.clone());
        let thread = std::thread::Builder::new()
            .name("flood".into())
            .spawn(move || {
                let mut measure = Measure::new(plan.started);
                let ended = load.run(&plan, &mut measure);
                (measure, ended)
            })
            .map_err(Failure::usage)?;
        Ok(Some(Flood { thread, stop, connections: args.flood }))
    }

    /// Ends it: what it sent, and why it broke off, if it did.
    fn end(self) -> (Option<Flooded>, Outcome) {
        self.stop.store(true, Ordering::Relaxed);
        let Ok((measure, ended)) = self.thread.join() else {
            return (None, Err(Failure::node("the flood ended by itself")));
        };
        let ended =
            ended.map_err(|failure| Failure::node(format_args!("flood: {}", failure.message)));
        (Some(measure.flooded(self.connections)), ended)
    }
}

/// Connections that send the same kind of orders.
struct Shape {
    /// What their sessions' names begin with.
    name: &'static str,
    connections: u32,
    window: u32,
    seed: u64,
    priority: Priority,
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
    let key = key.ok_or_else(|| match endpoint {
        None => missing("--key"),
        Some(_) => Failure::usage(format_args!(
            "--key FILE is needed: the node on {} has no key of its own for this machine",
            data_dir.display()
        )),
    })?;
    let key = KeyPair::load(&key).map_err(Failure::usage)?;
    if !args.connect.is_empty() {
        let (addresses, policy) = (args.connect.clone(), "unknown".into());
        return Ok(Target { addresses, key, policy, pid: None });
    }
    let Endpoint { native, policy, pid, .. } = endpoint.ok_or_else(|| missing("--connect"))?;
    Ok(Target { addresses: vec![native], key, policy, pid: Some(pid) })
}

/// All connections and the thread that drives them.
struct Load {
    /// There are few cores: none is taken whole for an open loop's moments.
    naps: bool,
    connections: Vec<Connection>,
    poll: Poll,
    priority: Priority,
}

/// What is sent when.
struct Plan {
    started: Instant,
    /// When a closed loop stops sending, and when an open one that is late gives up.
    end: Option<Instant>,
    /// Commands to send; without a bound where only time ends the run.
    commands: u64,
    /// Commands per second of an open loop.
    rate: Option<u64>,
    /// How long an open loop takes that keeps its rate.
    nominal: Duration,
    /// What is sent before is not measured.
    warm_up: Instant,
    warm_up_commands: u64,
    /// Nothing more is sent once this is set.
    stop: Option<Arc<AtomicBool>>,
}

impl Plan {
    fn new(args: &Args, started: Instant) -> Plan {
        let seconds = match args.commands {
            Some(_) => None,
            None => Some(args.seconds.unwrap_or(SECONDS_DEFAULT)),
        };
        let length = seconds.map(Duration::from_secs);
        let in_time = args.rate.zip(seconds).map(|(rate, seconds)| rate * seconds);
        let commands = args.commands.or(in_time).unwrap_or(u64::MAX);
        let nominal = args.rate.map_or(Duration::ZERO, |rate| at(commands, rate));
        let overtime = nominal.clamp(OVERTIME_MIN, OVERTIME_MAX);
        let end = match args.rate {
            Some(_) => Some(started + nominal + overtime),
            None => length.map(|length| started + length),
        };
        Plan {
            started,
            end,
            commands,
            rate: args.rate,
            nominal,
            warm_up: length.map_or(started, |length| started + length.mul_f64(WARM_UP)),
            warm_up_commands: args
                .commands
                .map_or(0, |commands| (commands as f64 * WARM_UP) as u64),
            stop: None,
        }
    }

    /// Full windows until it is told to stop.
    fn until(stop: Arc<AtomicBool>) -> Plan {
        let started = Instant::now();
        Plan {
            started,
            end: None,
            commands: u64::MAX,
            rate: None,
            nominal: Duration::ZERO,
            warm_up: started,
            warm_up_commands: 0,
            stop: Some(stop),
        }
    }

    fn is_stopped(&self) -> bool {
        self.stop.as_ref().is_some_and(|stop| stop.load(Ordering::Relaxed))
    }

    /// How many commands were to be sent, where that was settled beforehand.
    fn due(&self) -> Option<u64> {
        (self.commands != u64::MAX).then_some(self.commands)
    }

    /// The command of this number, from 0, sent or to be sent at that time.
    fn waiting(&self, number: u64, since: Instant) -> Waiting {
        let measured = number >= self.warm_up_commands && since >= self.warm_up;
        Waiting { since, measured }
    }
}

/// When the command of this number is due at a rate, after the start.
fn at(number: u64, rate: u64) -> Duration {
    let ns = u128::from(number) * 1_000_000_000 / u128::from(rate);
    Duration::from_nanos(u64::try_from(ns).unwrap_or(u64::MAX / 2))
}

impl Load {
    fn connect(shape: &Shape, target: &Target) -> Result<Load, Failure> {
        let addresses: Vec<&str> = target.addresses.iter().map(String::as_str).collect();
        let poll = Poll::new().map_err(Failure::usage)?;
        let mut connections = Vec::new();
        let mut reference = None;
        for number in 0..shape.connections {
            let name = format!("{}-{:x}-{number}", shape.name, std::process::id());
            let mut config = Config::new(&addresses, target.key.clone(), &name);
            config.window = shape.window as usize;
            let mut client = Client::connect(config).map_err(|error| cannot_connect(&error))?;
            if reference.is_none() {
                reference = Some(fetch_reference(&mut client)?);
            }
            let instruments = reference.as_ref().map_or(&[][..], |r| &r.instruments);
            client.register(poll.registry(), Token(number as usize)).map_err(Failure::node)?;
            let flow = Flow::new(shape.seed.wrapping_add(u64::from(number)), number, instruments)
                .ok_or_else(|| Failure::node("the venue has no instrument to trade"))?;
            let slots = (shape.window as usize * 2).next_power_of_two();
            let nothing = Waiting { since: Instant::now(), measured: false };
            connections.push(Connection { client, flow, waiting: vec![nothing; slots] });
        }
        Ok(Load { naps: cores() <= FEW_CORES, connections, poll, priority: shape.priority })
    }

    /// Sends what is to be sent and waits for the answers; why it broke off.
    fn run(&mut self, plan: &Plan, measure: &mut Measure) -> Outcome {
        let mut events = Events::with_capacity(1024);
        for number in 0..self.connections.len() {
            self.receive(number, measure)?;
        }
        loop {
            let sending = self.send(plan, measure);
            let waiting: usize = self.connections.iter().map(|c| c.client.in_flight()).sum();
            if !sending && waiting == 0 {
                return Ok(());
            }
            if waiting > 0 && measure.silent_since().elapsed() > SILENCE_MAX {
                return Err(Failure::node(format_args!(
                    "{waiting} commands were not answered within {} s",
                    SILENCE_MAX.as_secs()
                )));
            }
            self.wait(plan, measure.sent(), &mut events)?;
            for event in &events {
                let number = event.token().0;
                if event.is_writable() {
                    self.connections[number].client.on_writable();
                }
                if event.is_readable() || event.is_read_closed() {
                    self.receive(number, measure)?;
                }
            }
        }
    }

    /// Fills the windows, or sends what is due. False where nothing more is to be sent.
    fn send(&mut self, plan: &Plan, measure: &mut Measure) -> bool {
        let now = Instant::now();
        let over = plan.is_stopped() || plan.end.is_some_and(|end| now >= end);
        if over || measure.sent() >= plan.commands {
            return false;
        }
        let options = options(self.priority);
        let count = self.connections.len() as u64;
        match plan.rate {
            None => {
                for connection in &mut self.connections {
                    while connection.client.has_room() && measure.sent() < plan.commands {
                        let waiting = plan.waiting(measure.sent(), now);
                        connection.submit(&options, waiting);
                        measure.count_sent(now, now, waiting.measured);
                    }
                }
            }
            Some(rate) => {
                while measure.sent() < plan.commands {
                    let intended = plan.started + at(measure.sent(), rate);
                    let connection = &mut self.connections[(measure.sent() % count) as usize];
                    if intended > now || !connection.client.has_room() {
                        break;
                    }
                    let waiting = plan.waiting(measure.sent(), intended);
                    connection.submit(&options, waiting);
                    measure.count_sent(intended, now, waiting.measured);
                }
            }
        }
        self.connections.iter_mut().for_each(|connection| {
            connection.client.flush();
        });
        true
    }

    /// When the next command of an open loop is due; `None` where none can be sent before something
    /// arrives.
    fn next_due(&self, plan: &Plan, sent: u64) -> Option<Instant> {
        let due = plan.started + at(sent, plan.rate?);
        let over = plan.end.is_some_and(|end| Instant::now() >= end) || sent >= plan.commands;
        let next = &self.connections[(sent % self.connections.len() as u64) as usize];
        (!over && next.client.has_room()).then_some(due)
    }

    /// Waits for something to arrive, and in an open loop not beyond the moment when the command after
    /// `sent` others is due. Waiting for sockets is a matter of whole milliseconds: near that moment it
    /// looks without, or the command would be late by the generator's own doing. Looking all the time
    /// would take one of few cores from the node that is measured: there it naps in between, and what
    /// is late by that is part of the latency.
    fn wait(&mut self, plan: &Plan, sent: u64, events: &mut Events) -> Result<(), Failure> {
        const TOO_SHORT: Duration = Duration::from_millis(2);
        const NAP: Duration = Duration::from_micros(50);
        let timeout = match self.next_due(plan, sent) {
            Some(due) => due.saturating_duration_since(Instant::now()).saturating_sub(TOO_SHORT),
            None => Duration::from_millis(100),
        };
        if timeout.is_zero() {
            if self.naps { std::thread::sleep(NAP) } else { std::thread::yield_now() }
        }
        match self.poll.poll(events, Some(timeout)) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => Ok(()),
            other => other.map_err(Failure::node),
        }
    }

    fn receive(&mut self, number: usize, measure: &mut Measure) -> Outcome {
        let Connection { client, flow, waiting } = &mut self.connections[number];
        let now = Instant::now();
        let mut lost = None;
        client.on_readable(|reply| match reply {
            Reply::Answer { request, view, .. } => {
                let answer = &view.answer;
                if answer.status == Status::Rejected {
                    measure.count_reject(&answer.reason.to_string());
                }
                flow.answered(answer);
                let Waiting { since, measured } = waiting[request_slot(request, waiting.len())];
                measure.answered(since, now, measured);
            }
            Reply::Fill(fill) => flow.filled(&fill),
            Reply::Reject { request: Some(_), reject } => {
                measure.count_refused(&reject.reason.to_string(), now);
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
    fn submit(&mut self, options: &Options<'_>, waiting: Waiting) {
        let command = self.flow.next_command();
        let request = self
            .client
            .submit(&command, options)
            .expect("the window has room and the flow keeps every limit");
        let slot = request_slot(request, self.waiting.len());
        self.waiting[slot] = waiting;
    }
}

/// How an order of this priority is sent now.
fn options(priority: Priority) -> Options<'static> {
    Options { priority, timestamp_ms: Some(now_ms()), ..Options::default() }
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
    let deadline = Instant::now() + SILENCE_MAX;
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

fn print(global: &Global, how: &How<'_>, report: &Report) {
    let output = global.output();
    if output.is_json() {
        output.object(&report.json(how));
        return;
    }
    output.line(format_args!(
        "{} connections x window {}, policy {}",
        how.connections, how.window, how.policy
    ));
    output.raw(&report.text(how));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::Conversation;
    use crate::wire::message::{Challenge, LogonAccepted, send};
    use crate::wire::{Frame, OpenLimits};

    #[test]
    fn an_order_says_its_priority_in_flags_and_metadata() {
        for priority in Priority::ALL.iter().copied() {
            assert_eq!(parse_priority(priority.as_str()), Ok(priority));
            let key = KeyPair::from_seed(&[7; 32]);
            let mut conversation =
                Conversation::new(key, "load", 4, 0, [0; 4]).expect("a good name");
            let mut server = Vec::new();
            let challenge =
                Challenge { nonce: [1; 32], time_ns: crate::types::TimeNs(1), frame_max: 4096 };
            send(&challenge, 0, &mut server);
            let accepted = LogonAccepted {
                session: Default::default(),
                key: Default::default(),
                role: crate::types::Role::Operator,
                outbound: 0,
                heartbeat_interval_ms: 1000,
                sequence: Default::default(),
            };
            send(&accepted, 0, &mut server);
            conversation.receive(&server, &mut |_| ()).expect("sound frames");
            conversation.out().clear();
            let command = crate::command::Deposit {
                account: Default::default(),
                asset: Default::default(),
                amount: Default::default(),
            };
            conversation.submit(&command.into(), &options(priority)).expect("there is room");
            let frame = Frame::open(conversation.out(), &OpenLimits::default()).expect("sound");
            assert_eq!(frame.header().flags.priority(), priority);
            let metadata = frame.metadata().expect("readable").expect("a command has some");
            assert_eq!(metadata.priority, priority);
        }
        assert!(parse_priority("urgent").is_err());
    }
}
