//! One life of a node in the simulation: its stages as they are, run in any order a seed likes.

use super::net::{Readiness, SimDoor};
use super::random::Random;
use openoutcry::agent::{Agent, Crew, FailStop};
use openoutcry::fatal::StopReason;
use openoutcry::gateway;
use openoutcry::gateway::restraint::Rate;
use openoutcry::gateway::verify::InPlace;
use openoutcry::node::boot::{Booted, Logs};
use openoutcry::node::space::Marks;
use openoutcry::node::stages::{Outside, Parts, Sizes, Stages};
use openoutcry::node::state;
use openoutcry::publish::gate::AckPolicy;
use openoutcry::sequencer::clock::SequencerClock;
use openoutcry::sequencer::overload::Thresholds;
use openoutcry::sequencer::queues::Capacity;
use openoutcry::sequencer::turn::Rules;
use openoutcry::stats::Stats;
use openoutcry::sys;
use openoutcry::sys::clock::Clock;
use openoutcry::wire::frame::OpenLimits;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// The machine's clocks.
#[derive(Clone, Default)]
pub(crate) struct SimClock(Arc<[AtomicU64; 2]>);

impl SimClock {
    pub(crate) fn advance(&self, ns: u64) {
        self.0[0].fetch_add(ns, Ordering::Relaxed);
        self.0[1].fetch_add(ns, Ordering::Relaxed);
    }

    pub(crate) fn set_wall(&self, ns: u64) {
        self.0[1].store(ns, Ordering::Relaxed);
    }
}

impl Clock for SimClock {
    fn monotonic_ns(&self) -> u64 {
        self.0[0].load(Ordering::Relaxed)
    }
    fn wall_ns(&self) -> u64 {
        self.0[1].load(Ordering::Relaxed)
    }
}

impl sys::random::Random for Random {
    fn fill(&mut self, bytes: &mut [u8]) {
        bytes.fill_with(|| self.next() as u8);
    }
}

/// Notes why a node stopped itself.
#[derive(Default)]
pub(crate) struct Recorder(Mutex<Option<(StopReason, String)>>);

impl Recorder {
    pub(crate) fn take(&self) -> Option<(StopReason, String)> {
        self.0.lock().expect("a test that panics is over").take()
    }
}

impl FailStop for Recorder {
    fn fail(&self, reason: StopReason, message: &str) {
        let mut seen = self.0.lock().expect("a test that panics is over");
        seen.get_or_insert((reason, message.to_owned()));
    }
}

/// Agents of a node with one gateway; further gateways have the numbers behind.
pub(crate) const AGENTS: usize = 13;
/// Gateways at most.
pub(crate) const GATEWAYS: usize = 4;
const AGENTS_MAX: usize = AGENTS + GATEWAYS - 1;
/// Names of the agents, in the order a command passes them.
pub(crate) const NAMES: [&str; AGENTS_MAX] = [
    "gateway",
    "sequencer",
    "journal",
    "critical",
    "gate",
    "sync",
    "event log",
    "reject log",
    "priority log",
    "prepare",
    "replay",
    "normal",
    "batch",
    "gateway 1",
    "gateway 2",
    "gateway 3",
];
pub(crate) const NORMAL: usize = 11;
pub(crate) const BATCH: usize = 12;

/// How the agents are driven for a while.
#[derive(Clone, Debug)]
enum Schedule {
    /// Any agent at any time, with these weights; 0 starves.
    Free([u64; AGENTS_MAX]),
    /// As threads do it: agents of a crew in cycles.
    Crews(Vec<Vec<usize>>),
}

/// A node between boot and crash.
pub(crate) struct Node {
    pub(crate) stages: Stages<SimDoor>,
    pub(crate) doors: Vec<SimDoor>,
    pub(crate) policy: AckPolicy,
    pub(crate) recorder: Arc<Recorder>,
    pub(crate) stats: Arc<Stats>,
    schedule: Schedule,
    left: u64,
}

/// Never reached.
const CALM: Thresholds =
    Thresholds { total: 100_000, critical: 100_000, high: 100_000, lag: 100_000, lasts_ns: 0 };

/// What of a node is chosen.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setup {
    pub(crate) gateways: usize,
    pub(crate) policy: AckPolicy,
    pub(crate) sizes: Sizes,
    pub(crate) limits: gateway::Limits,
    pub(crate) rules: Rules,
    pub(crate) thresholds: Thresholds,
    pub(crate) space: Marks,
    pub(crate) sync_interval_ns: u64,
}

impl Setup {
    /// Nothing is scarce.
    pub(crate) fn usual() -> Setup {
        Setup {
            gateways: 1,
            policy: AckPolicy::Disk,
            sizes: Sizes {
                input: 64,
                sequenced: 64,
                events: 64,
                answers: 64,
                rejects: 64,
                queues: Capacity { messages: [64; 5], large: 4 },
                batch: 64,
                lanes: [16, 32, 8],
            },
            limits: gateway::Limits {
                connections_max: 100,
                open: OpenLimits { frame_max: 2048, strict_reserved: true },
                pending_output_max: 1_000_000,
                pending_output_total: 100_000_000,
                read_budget: 4096,
                logon_timeout_ms: 400,
                idle_timeout_ms: 1500,
                slow_reader_timeout_ms: 600,
                pending_max: 256,
                refuses_above: false,
                slow_ms: 20,
                retry_after_ms: 10,
                rate: None,
            },
            rules: Rules::default(),
            thresholds: CALM,
            space: Marks::default(),
            sync_interval_ns: 0,
        }
    }

    /// Anything may be scarce.
    pub(crate) fn choose(random: &mut Random) -> Setup {
        let mut size = || [2, 2, 4, 16, 64][random.below(5) as usize];
        let rings = [size(), size(), size(), size(), size()];
        let usual = Setup::usual();
        let memory = random.percent(40);
        Setup {
            gateways: [1, 1, 2, GATEWAYS][random.below(4) as usize],
            policy: if memory { AckPolicy::Memory } else { AckPolicy::Disk },
            sizes: Sizes {
                input: rings[0],
                sequenced: rings[1],
                events: rings[2],
                answers: rings[3],
                rejects: rings[4],
                queues: Capacity {
                    messages: [(); 5].map(|()| [1, 2, 8, 64][random.below(4) as usize]),
                    large: [1, 4][random.below(2) as usize],
                },
                batch: [1, 2, 8, 64][random.below(4) as usize],
                lanes: std::array::from_fn(|_| [1, 3, 16][random.below(3) as usize]),
            },
            limits: gateway::Limits {
                connections_max: [3, 100, 100][random.below(3) as usize],
                pending_output_max: [30_000, 1_000_000][random.below(2) as usize],
                read_budget: [1, 50, 300, 4096][random.below(4) as usize],
                pending_max: [1, 3, 256][random.below(3) as usize],
                refuses_above: random.percent(20),
                rate: random.percent(20).then_some(Rate { max: 40, window_ms: 1_000 }),
                ..usual.limits
            },
            rules: Rules {
                aging_ns: [1_000_000, 50_000_000, 60_000_000_000][random.below(3) as usize],
                attempts_max: 3,
                idle_load: 1_000 * random.below(2),
            },
            thresholds: if random.percent(60) {
                CALM
            } else {
                let most = random.below(4) as usize;
                Thresholds { total: most, critical: most, high: most, lag: 2, lasts_ns: 5_000_000 }
            },
            space: usual.space,
            sync_interval_ns: [0, 1_000_000, 50_000_000][random.below(3) as usize],
        }
    }
}

impl Setup {
    /// The node is never overloaded.
    pub(crate) fn is_calm(&self) -> bool {
        self.thresholds == CALM
    }
}

impl Node {
    pub(crate) fn start(
        booted: Booted,
        logs: &Logs,
        clock: &SimClock,
        setup: Setup,
        random: &mut Random,
    ) -> Node {
        let doors: Vec<SimDoor> = (0..setup.gateways).map(SimDoor::of).collect();
        let recorder = Arc::new(Recorder::default());
        let time = SequencerClock::start(Box::new(clock.clone()), booted.state.order.time, true)
            .expect("the clock is accepted");
        let source = clock.clone();
        let stats = Arc::new(Stats::new(GATEWAYS, &[]));
        let parts = Parts {
            outsides: doors.iter().map(|door| outside(door, random)).collect(),
            clock: Box::new(move || Box::new(source.clone())),
            time,
            sizes: setup.sizes,
            limits: setup.limits,
            rules: setup.rules,
            thresholds: setup.thresholds,
            space: setup.space,
            policy: setup.policy,
            sync_interval_ns: setup.sync_interval_ns,
            stop: recorder.clone(),
            stats: stats.clone(),
        };
        let stages = Stages::connect(booted, logs, parts);
        let (policy, schedule) = (setup.policy, Schedule::Free([0; AGENTS_MAX]));
        Node { stages, doors, policy, recorder, stats, schedule, left: 0 }
    }

    /// Tells the gateway what its poll would.
    pub(crate) fn tell(&mut self, ready: Readiness) {
        let gateway = &mut self.stages.gateways[ready.gateway];
        if ready.hung_up {
            gateway.hung_up(ready.token);
        }
        gateway.ready(ready.token, ready.readable, ready.writable);
    }

    /// How many agents it has.
    pub(crate) fn agents(&self) -> usize {
        AGENTS - 1 + self.stages.gateways.len()
    }

    fn agent(&mut self, index: usize) -> &mut dyn Agent {
        let stages = &mut self.stages;
        match index {
            0 => &mut stages.gateways[0],
            1 => &mut stages.sequencer,
            2 => &mut stages.journal,
            3 => &mut stages.critical,
            4 => &mut stages.gate,
            5 => &mut stages.sync,
            6 => &mut stages.event_log,
            7 => &mut stages.reject_log,
            8 => &mut stages.priority_log,
            9 => &mut stages.prepare,
            10 => &mut stages.replay,
            11 => &mut stages.normal,
            12 => &mut stages.batch,
            further => &mut stages.gateways[further - AGENTS + 1],
        }
    }

    /// Runs some agents. Returns which, and how much they did.
    pub(crate) fn step(&mut self, random: &mut Random) -> (Vec<usize>, usize) {
        if self.left == 0 {
            self.left = 1 + random.below(300);
            self.schedule = choose(random, self.agents());
        }
        self.left -= 1;
        match &self.schedule {
            Schedule::Free(weights) => {
                let mut at = random.below(weights.iter().sum());
                let index = weights.iter().position(|weight| {
                    let here = at < *weight;
                    at = at.saturating_sub(*weight);
                    here
                });
                let index = index.expect("the number is below the sum");
                let settle = random.percent(50);
                (vec![index], self.run(index, settle))
            }
            Schedule::Crews(crews) => {
                let crew = crews[random.below(crews.len() as u64) as usize].clone();
                let done = self.cycle(&crew);
                (crew, done)
            }
        }
    }

    /// One call of one agent.
    pub(crate) fn run(&mut self, index: usize, settle: bool) -> usize {
        let agent = self.agent(index);
        if settle { agent.settle() } else { agent.do_work() }
    }

    /// One cycle of a thread with these agents.
    fn cycle(&mut self, crew: &[usize]) -> usize {
        let s = &mut self.stages;
        let (first, further) = s.gateways.split_first_mut().expect("a node has a gateway");
        let mut all: Vec<Option<Box<dyn Agent + '_>>> = vec![
            Some(Box::new(first)),
            Some(Box::new(&mut s.sequencer)),
            Some(Box::new(&mut s.journal)),
            Some(Box::new(&mut s.critical)),
            Some(Box::new(&mut s.gate)),
            Some(Box::new(&mut s.sync)),
            Some(Box::new(&mut s.event_log)),
            Some(Box::new(&mut s.reject_log)),
            Some(Box::new(&mut s.priority_log)),
            Some(Box::new(&mut s.prepare)),
            Some(Box::new(&mut s.replay)),
            Some(Box::new(&mut s.normal)),
            Some(Box::new(&mut s.batch)),
        ];
        for gateway in further {
            all.push(Some(Box::new(gateway)));
        }
        let take = |index: &usize| all[*index].take().expect("an agent has one thread");
        let mut agents: Vec<Box<dyn Agent + '_>> = crew.iter().map(take).collect();
        Crew::cycle(&mut agents)
    }

    /// Asks all agents to take nothing new.
    pub(crate) fn stop(&mut self) {
        (0..self.agents()).for_each(|index| self.agent(index).stop());
    }

    /// Ends the agents and gives the hash of what they leave behind.
    pub(crate) fn end(&mut self) -> String {
        (0..self.agents()).for_each(|index| self.agent(index).end());
        let exchange = self.stages.remains.exchange.try_recv().expect("critical has ended");
        let order = self.stages.remains.order.try_recv().expect("the sequencer has ended");
        state::hash(&exchange, &order)
    }

    /// Hash of the running state, where everything sequenced is applied.
    pub(crate) fn hash(&self) -> String {
        state::hash(self.stages.critical.exchange(), self.stages.sequencer.order())
    }

    /// True where everything that was sequenced went all the way.
    pub(crate) fn is_settled(&self) -> bool {
        let last = self.stages.sequencer.order().last;
        let cursors = &self.stages.cursors;
        [&cursors.written, &cursors.applied, &cursors.released, &cursors.events_written]
            .iter()
            .all(|cursor| cursor.get() == last)
    }
}

fn outside(door: &SimDoor, random: &mut Random) -> Outside<SimDoor> {
    let (verifier, random) = (Box::new(InPlace::default()), Box::new(Random::new(random.next())));
    Outside { door: door.clone(), verifier, random }
}

/// A schedule for the next while.
fn choose(random: &mut Random, agents: usize) -> Schedule {
    if random.percent(50) {
        let mut weights = [0; AGENTS_MAX];
        weights[..agents].fill_with(|| [0, 1, 5, 5, 20][random.below(5) as usize]);
        if weights.iter().all(|weight| *weight == 0) {
            weights[..agents].fill(1);
        }
        return Schedule::Free(weights);
    }
    let threads = 1 + random.below(agents as u64);
    let mut crews = vec![Vec::new(); threads as usize];
    for agent in 0..agents {
        crews[random.below(threads) as usize].push(agent);
    }
    crews.retain(|crew| !crew.is_empty());
    if random.percent(30) {
        // Some layout in which a thread is not scheduled for a while.
        crews.truncate(1 + random.below(crews.len() as u64) as usize);
    }
    Schedule::Crews(crews)
}
