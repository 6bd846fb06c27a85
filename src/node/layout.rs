//! Layouts: which stages share a thread, its core and how it idles.
//!
//! `compact` is for small machines: gateway, sequencer, journal with its sync and gate share the
//! thread of the `critical` lane, because a hop between threads costs more than it hides. `dedicated`
//! gives each stage a thread. In both every lane has a thread of its own.

use crate::agent::Idle;
use crate::config::{AckPolicy, Config, Core, Idle as IdleWord, Layout as LayoutWord};
use crate::limits::GATEWAYS_MAX;
use std::fmt;

/// Cores from which on `auto` chooses `dedicated`: one for each hot stage, two for the rest.
const DEDICATED_CORES: usize = 8;

/// A stage that a layout places.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Stage {
    /// Sockets; the number is the gateway's.
    Gateway(u8),
    /// The one total order.
    Sequencer,
    /// Encoding and writing.
    Journal,
    /// The exchange.
    Critical,
    /// The release of answers.
    Gate,
    /// Making durable.
    Sync,
    /// `critical`'s event log.
    EventLog,
    /// What got no sequence.
    RejectLog,
    /// Changes of priority.
    PriorityLog,
    /// Segments ahead of need.
    Prepare,
    /// Original answers of duplicates.
    Replay,
    /// The lane `normal`.
    Normal,
    /// The lane `batch`.
    Batch,
}

impl Stage {
    /// Its name in the block that a start prints.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Stage::Gateway(number) => GATEWAYS[number as usize],
            Stage::Sequencer => "sequencer",
            Stage::Journal => "journal",
            Stage::Critical => "critical",
            Stage::Gate => "gate",
            Stage::Sync => "sync",
            Stage::EventLog => "event log",
            Stage::RejectLog => "reject log",
            Stage::PriorityLog => "priority log",
            Stage::Prepare => "segments",
            Stage::Replay => "answers again",
            Stage::Normal => "normal",
            Stage::Batch => "batch",
        }
    }
}

/// One thread of a layout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ThreadPlan {
    /// Name, as the operating system shows it.
    pub name: &'static str,
    /// In the order a command passes them.
    pub stages: Vec<Stage>,
    /// Core it is pinned to.
    pub core: Option<usize>,
    /// What it does when there is nothing to do.
    pub idle: Idle,
    /// It follows behind and may lag by a millisecond.
    pub follows: bool,
    /// Threads that read what it publishes.
    pub wakes: Vec<&'static str>,
}

/// A layout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// `compact` or `dedicated`.
    pub name: &'static str,
    /// Cores of the machine.
    pub cores: usize,
    /// Its threads.
    pub threads: Vec<ThreadPlan>,
    /// Core of the thread that checks signatures, which drives no stage.
    pub verify_core: Option<usize>,
}

/// Names of the gateways, and of the threads that are theirs alone.
const GATEWAYS: [&str; GATEWAYS_MAX] = [
    "gateway",
    "gateway-1",
    "gateway-2",
    "gateway-3",
    "gateway-4",
    "gateway-5",
    "gateway-6",
    "gateway-7",
    "gateway-8",
    "gateway-9",
    "gateway-10",
    "gateway-11",
    "gateway-12",
    "gateway-13",
    "gateway-14",
    "gateway-15",
];

/// Name of the thread that checks signatures.
pub const VERIFY: &str = "verify";

/// The layout for this configuration on a machine with `cores`.
#[must_use]
pub fn plan(config: &Config, cores: usize) -> Plan {
    let dedicated = match config.threads.layout {
        LayoutWord::Auto => cores >= DEDICATED_CORES,
        LayoutWord::Compact => false,
        LayoutWord::Dedicated => true,
    };
    let threads = if dedicated { dedicated_threads(config) } else { compact_threads(config) };
    let name = if dedicated { "dedicated" } else { "compact" };
    let mut plan = Plan { name, cores, threads, verify_core: None };
    plan.place(config);
    plan
}

fn compact_threads(config: &Config) -> Vec<ThreadPlan> {
    let mut hot = vec![Stage::Gateway(0), Stage::Sequencer, Stage::Journal, Stage::Critical];
    let helper = vec![Stage::EventLog, Stage::RejectLog, Stage::PriorityLog, Stage::Replay];
    let mut segments = vec![Stage::Prepare];
    hot.push(Stage::Gate);
    // Under `memory` nobody waits for the sync, so it must not stand in the way of those who do not.
    match config.ack.policy {
        AckPolicy::Memory => segments.push(Stage::Sync),
        AckPolicy::Disk => hot.push(Stage::Sync),
    }
    let gateways = further_gateways(config);
    let mut threads = vec![hot_thread(
        config,
        "critical",
        hot,
        &[&["helper", "normal", "batch", "segments"], gateways].concat(),
    )];
    threads.extend(gateways.iter().enumerate().map(|(at, name)| {
        hot_thread(config, name, vec![Stage::Gateway(at as u8 + 1)], &["critical", "helper"])
    }));
    threads.extend([
        follower(config, "normal", vec![Stage::Normal], &[]),
        follower(config, "batch", vec![Stage::Batch], &[]),
        follower(config, "helper", helper, &[&["critical", "normal"], gateways].concat()),
        follower(config, "segments", segments, &["critical", "helper"]),
    ]);
    threads
}

/// Gateways that have a thread of their own in every layout: all but the first.
fn further_gateways(config: &Config) -> &'static [&'static str] {
    &GATEWAYS[1..config.gateway.threads as usize]
}

fn dedicated_threads(config: &Config) -> Vec<ThreadPlan> {
    let mut journal = vec![Stage::Journal];
    let mut segments = vec![Stage::Prepare];
    match config.ack.policy {
        AckPolicy::Memory => segments.push(Stage::Sync),
        AckPolicy::Disk => journal.push(Stage::Sync),
    }
    let helper = vec![Stage::EventLog, Stage::RejectLog, Stage::PriorityLog, Stage::Replay];
    let gateways = further_gateways(config);
    let mut threads = vec![hot_thread(
        config,
        "gateway",
        vec![Stage::Gateway(0), Stage::Gate],
        &[&["sequencer", "critical", "helper"], gateways].concat(),
    )];
    threads.extend(gateways.iter().enumerate().map(|(at, name)| {
        let stages = vec![Stage::Gateway(at as u8 + 1)];
        hot_thread(config, name, stages, &["sequencer", "critical", "helper"])
    }));
    threads.extend([
        hot_thread(
            config,
            "sequencer",
            vec![Stage::Sequencer],
            &[&["journal", "critical", "gateway"], gateways].concat(),
        ),
        hot_thread(
            config,
            "journal",
            journal,
            &["gateway", "sequencer", "normal", "batch", "segments"],
        ),
        hot_thread(
            config,
            "critical",
            vec![Stage::Critical],
            &[&["gateway", "helper", "sequencer", "normal", "batch"], gateways].concat(),
        ),
        follower(config, "normal", vec![Stage::Normal], &[]),
        follower(config, "batch", vec![Stage::Batch], &[]),
        follower(
            config,
            "helper",
            helper,
            &[&["gateway", "journal", "critical", "normal"], gateways].concat(),
        ),
        follower(config, "segments", segments, &["journal", "helper", "gateway"]),
    ]);
    threads
}

fn hot_thread(
    config: &Config,
    name: &'static str,
    stages: Vec<Stage>,
    wakes: &[&'static str],
) -> ThreadPlan {
    let idle = idle(config.threads.idle.hot);
    ThreadPlan { name, stages, core: None, idle, follows: false, wakes: wakes.to_vec() }
}

fn follower(
    config: &Config,
    name: &'static str,
    stages: Vec<Stage>,
    wakes: &[&'static str],
) -> ThreadPlan {
    let idle = idle(config.threads.idle.helper);
    ThreadPlan { name, stages, core: None, idle, follows: true, wakes: wakes.to_vec() }
}

const fn idle(word: IdleWord) -> Idle {
    match word {
        IdleWord::Spin => Idle::Spin,
        IdleWord::Yield => Idle::Yield,
        IdleWord::Park => Idle::Park,
    }
}

impl Plan {
    /// Name of the thread that a stage is on.
    #[must_use]
    pub fn thread_of(&self, stage: Stage) -> &'static str {
        let thread = self.threads.iter().find(|thread| thread.stages.contains(&stage));
        thread.expect("a plan places every stage").name
    }

    /// Gives every thread its core: the configured one, or one of its own as far as they go. The
    /// followers share the last one, away from the hot threads. One core is shared unpinned.
    fn place(&mut self, config: &Config) {
        let cores = self.cores;
        let last = (cores > 1).then(|| cores - 1);
        let mut next = 0;
        for thread in &mut self.threads {
            let hot = !thread.follows;
            let automatic = if hot { Some(next).filter(|core| Some(*core) < last) } else { last };
            next += usize::from(hot);
            thread.core = configured(config, thread.name).or(automatic);
        }
        self.verify_core = configured(config, VERIFY).or(last);
    }
}

fn configured(config: &Config, thread: &str) -> Option<usize> {
    let core = &config.threads.core;
    let core = match thread {
        "critical" => core.critical,
        "normal" => core.normal,
        "batch" => core.batch,
        "gateway" => core.gateway,
        // One core would make them wait for each other.
        _ if GATEWAYS.contains(&thread) => Core::Any,
        "journal" => core.journal,
        "sequencer" => core.sequencer,
        "helper" => core.helper,
        "segments" => core.segments,
        VERIFY => core.verify,
        other => unreachable!("no layout has a thread {other}"),
    };
    match core {
        Core::Any => None,
        Core::Number(core) => Some(usize::from(core)),
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "layout {} on {} cores", self.name, self.cores)?;
        for thread in &self.threads {
            let core = thread.core.map_or("any".to_owned(), |core| core.to_string());
            let idle = match thread.idle {
                Idle::Spin => "spin",
                Idle::Yield => "yield",
                Idle::Park => "park",
            };
            let stages: Vec<_> = thread.stages.iter().map(|stage| stage.as_str()).collect();
            let stages = stages.join(" > ");
            write!(f, "\n  {:<10} core {core:<4} {idle:<6} {stages}", thread.name)?;
        }
        let core = self.verify_core.map_or("any".to_owned(), |core| core.to_string());
        write!(f, "\n  {VERIFY:<10} core {core:<4} park   signatures")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// Layouts, policies and numbers of gateways.
    fn shapes() -> impl Iterator<Item = (LayoutWord, AckPolicy, u32)> {
        [LayoutWord::Compact, LayoutWord::Dedicated].into_iter().flat_map(|layout| {
            [AckPolicy::Memory, AckPolicy::Disk].into_iter().flat_map(move |policy| {
                [1, 2, 16].into_iter().map(move |gateways| (layout, policy, gateways))
            })
        })
    }

    fn config(layout: LayoutWord, policy: AckPolicy, gateways: u32) -> Config {
        let mut config = Config::default();
        config.threads.layout = layout;
        config.ack.policy = policy;
        config.gateway.threads = gateways;
        config
    }

    #[test]
    fn every_layout_places_every_stage_once_and_every_lane_on_a_thread_of_its_own() {
        for (layout, policy, gateways) in shapes() {
            let plan = plan(&config(layout, policy, gateways), 2);
            let all: Vec<Stage> =
                plan.threads.iter().flat_map(|thread| thread.stages.clone()).collect();
            let distinct: BTreeSet<Stage> = all.iter().copied().collect();
            let stages = 12 + gateways as usize;
            assert_eq!((all.len(), distinct.len()), (stages, stages), "{plan}");
            let names: Vec<_> = plan.threads.iter().map(|thread| thread.name).collect();
            for lane in ["critical", "normal", "batch"] {
                assert!(names.contains(&lane));
            }
            for woken in plan.threads.iter().flat_map(|thread| &thread.wakes) {
                assert!(names.contains(woken), "{woken} is a thread of {}", plan.name);
            }
        }
    }

    /// Who publishes to whom, and whose reading frees whom: (stage, stage whose thread it wakes).
    const WAKES: &[(Stage, Stage)] = &[
        (Stage::Gateway(0), Stage::Sequencer),
        (Stage::Gateway(0), Stage::Critical),
        (Stage::Gateway(0), Stage::Replay),
        (Stage::Sequencer, Stage::Journal),
        (Stage::Sequencer, Stage::Critical),
        (Stage::Sequencer, Stage::Gateway(0)),
        (Stage::Journal, Stage::Sequencer),
        (Stage::Journal, Stage::Normal),
        (Stage::Journal, Stage::Batch),
        (Stage::Journal, Stage::Prepare),
        (Stage::Journal, Stage::Gate),
        (Stage::Critical, Stage::Sequencer),
        (Stage::Critical, Stage::Gateway(0)),
        (Stage::Critical, Stage::EventLog),
        (Stage::Critical, Stage::RejectLog),
        (Stage::Critical, Stage::Normal),
        (Stage::Critical, Stage::Batch),
        (Stage::Sync, Stage::Gate),
        (Stage::Gate, Stage::Gateway(0)),
        (Stage::EventLog, Stage::Critical),
        (Stage::EventLog, Stage::Normal),
        (Stage::Replay, Stage::Gateway(0)),
        (Stage::Prepare, Stage::Journal),
        (Stage::Prepare, Stage::EventLog),
    ];

    #[test]
    fn whoever_waits_for_another_thread_is_woken_by_it() {
        for (layout, policy, gateways) in shapes() {
            // Every gateway has the neighbours of the first one.
            for number in 0..gateways as u8 {
                let plan = plan(&config(layout, policy, gateways), 2);
                let same = |stage: Stage| match stage {
                    Stage::Gateway(_) => Stage::Gateway(number),
                    other => other,
                };
                for (from, to) in WAKES {
                    let (from, to) = (&same(*from), &same(*to));
                    let (from_thread, to_thread) = (plan.thread_of(*from), plan.thread_of(*to));
                    let thread = plan.threads.iter().find(|thread| thread.name == from_thread);
                    let wakes = &thread.expect("it is in the plan").wakes;
                    let woken = from_thread == to_thread || wakes.contains(&to_thread);
                    assert!(woken, "{}, {policy:?}: {from:?} wakes {to:?}", plan.name);
                }
            }
        }
    }

    #[test]
    fn two_cores_keep_critical_alone_on_the_first() {
        let plan = plan(&config(LayoutWord::Auto, AckPolicy::Disk, 1), 2);
        assert_eq!(plan.name, "compact");
        let cores: Vec<_> = plan.threads.iter().map(|thread| thread.core).collect();
        assert_eq!(cores, [Some(0), Some(1), Some(1), Some(1), Some(1)]);
        assert_eq!(plan.verify_core, Some(1), "a flood of signatures stays away from the lane");
    }

    #[test]
    fn a_large_machine_gives_each_hot_stage_a_core() {
        let plan = plan(&config(LayoutWord::Auto, AckPolicy::Disk, 1), 8);
        assert_eq!(plan.name, "dedicated");
        let cores: Vec<_> = plan.threads.iter().map(|thread| thread.core).collect();
        let expected = [Some(0), Some(1), Some(2), Some(3), Some(7), Some(7), Some(7), Some(7)];
        assert_eq!(cores, expected);
    }

    #[test]
    fn a_configured_core_wins_over_the_plan() {
        let mut config = config(LayoutWord::Compact, AckPolicy::Disk, 1);
        config.threads.core.critical = Core::Number(1);
        assert_eq!(plan(&config, 2).threads[0].core, Some(1));
    }
}
