//! Agents and the threads that drive them.
//!
//! A stage is a struct with one job and `do_work()`. A [`Crew`] is the list of agents that share a
//! thread; which those are, the core and the idle strategy come from configuration, never from code.
//! A crew also runs without a thread, one round at a time: that is how the simulation drives it.

use crate::fatal::StopReason;
use crate::ring::{Parker, Unparker, is_wake};
use crate::stats::Meter;
use crate::sys::thread;
use mio::Events;
use mio::event::Event;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// A stage of the engine.
pub trait Agent: Send {
    /// Its name in logs.
    fn name(&self) -> &'static str;

    /// Does what there is to do, a bounded amount of it, and never waits. Returns how much it did.
    fn do_work(&mut self) -> usize;

    /// Settles what the rounds before have gathered: sync, release, send. Called when no agent of
    /// the crew has more to do, or the crew has done enough for one cycle. Runs backwards through
    /// the crew, from durability to the clients. Returns how much it did.
    fn settle(&mut self) -> usize {
        0
    }

    /// A socket of this agent is ready.
    fn on_ready(&mut self, event: &Event) {
        let _ = event;
    }

    /// In how long the agent has something to do even if nobody wakes it.
    fn wake_in(&self) -> Option<Duration> {
        None
    }

    /// Asked to stop: take nothing new from outside, finish what is inside.
    fn stop(&mut self) {}

    /// Its thread ends: hand over what is to outlive it.
    fn end(&mut self) {}
}

/// A borrowed agent is an agent: the simulation keeps its stages.
impl<A: Agent + ?Sized> Agent for &mut A {
    fn name(&self) -> &'static str {
        (**self).name()
    }
    fn do_work(&mut self) -> usize {
        (**self).do_work()
    }
    fn settle(&mut self) -> usize {
        (**self).settle()
    }
    fn on_ready(&mut self, event: &Event) {
        (**self).on_ready(event);
    }
    fn wake_in(&self) -> Option<Duration> {
        (**self).wake_in()
    }
    fn stop(&mut self) {
        (**self).stop();
    }
    fn end(&mut self) {
        (**self).end();
    }
}

/// What a thread does when there is nothing to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Idle {
    /// Look again at once: lowest latency, a whole core.
    Spin,
    /// Let others run, then look again.
    Yield,
    /// Sleep until woken.
    Park,
}

/// How long a parking thread that only follows others sleeps through small work.
///
/// Waking a thread costs its producer some microseconds; a follower looks by itself this often while
/// there is traffic, and asks to be woken only when there was none for [`LINGER_ROUNDS`].
const LINGER: Duration = Duration::from_millis(1);
const LINGER_ROUNDS: u32 = 20;

/// How long a hot thread that parks goes on looking after it had work.
///
/// Whoever was just answered often has the next order ready at once, and falling asleep and being
/// woken costs more than that takes. Long enough for a round trip, short enough to cost an idle
/// machine nothing; the core is offered to others all the while.
const LOOK_ON: Duration = Duration::from_micros(50);

/// Rounds of `do_work` before the crew settles, so that a flood never postpones answers.
const ROUNDS_MAX: usize = 64;

/// The agents of one thread.
pub struct Crew {
    /// Thread name.
    pub name: String,
    /// In the order a command passes them.
    pub agents: Vec<Box<dyn Agent>>,
    /// Core to pin the thread to.
    pub core: Option<usize>,
    /// What to do when there is nothing to do.
    pub idle: Idle,
    /// True for a thread that follows behind and may lag by a millisecond.
    pub follows: bool,
    /// Where it sleeps.
    pub parker: Parker,
    /// Threads that read what this one publishes.
    pub wakes: Vec<Unparker>,
    /// Measures how busy it is.
    pub meter: Meter,
}

impl Crew {
    /// One cycle: rounds until nobody has more to do, then settling. Returns how much was done.
    pub fn cycle(agents: &mut [Box<dyn Agent + '_>]) -> usize {
        let mut total = 0;
        for _ in 0..ROUNDS_MAX {
            let done: usize = agents.iter_mut().map(|agent| agent.do_work()).sum();
            total += done;
            if done == 0 {
                break;
            }
        }
        total + agents.iter_mut().rev().map(|agent| agent.settle()).sum::<usize>()
    }

    /// Starts the thread. It ends when `stop` is set and nothing is left to do.
    ///
    /// # Errors
    /// Where the operating system cannot start a thread.
    pub fn start(self, stop: Arc<Stop>) -> io::Result<std::thread::JoinHandle<()>> {
        std::thread::Builder::new().name(self.name.clone()).spawn(move || self.run(&stop))
    }

    fn run(mut self, stop: &Stop) {
        let _guard = AbortOnPanic;
        if let Some(core) = self.core {
            thread::pin(&self.name, core);
        }
        let mut events = Events::with_capacity(1024);
        let mut quiet_rounds = 0;
        let mut worked = Instant::now();
        let mut stopping = false;
        loop {
            self.dispatch(&mut events);
            let done = Self::cycle(&mut self.agents);
            // Asked before the work is looked at: under load there is always some.
            if stop.asked() && !stopping {
                stopping = true;
                self.agents.iter_mut().for_each(|agent| agent.stop());
            }
            if done > 0 {
                self.wakes.iter().for_each(Unparker::unpark);
                quiet_rounds = 0;
                worked = Instant::now();
                self.meter.worked(worked);
                continue;
            }
            if stop.ended() {
                self.agents.iter_mut().for_each(|agent| agent.end());
                return;
            }
            let now = Instant::now();
            self.meter.rested(now);
            if self.looks_on(now.saturating_duration_since(worked)) {
                std::thread::yield_now();
                continue;
            }
            quiet_rounds += 1;
            if self.rest(&mut events, quiet_rounds) {
                // Woken: more is likely to follow, and looking by itself spares its producer the waking.
                quiet_rounds = 0;
            }
            if self.idle == Idle::Park {
                self.meter.rested(Instant::now());
            }
        }
    }

    fn looks_on(&self, quiet: Duration) -> bool {
        self.idle == Idle::Park && !self.follows && quiet < LOOK_ON
    }

    /// Collects ready sockets and hands them to the agents.
    fn dispatch(&mut self, events: &mut Events) {
        if events.is_empty() {
            self.parker.poll_now(events).expect("polling an open epoll descriptor cannot fail");
        }
        for event in events.iter().filter(|event| !is_wake(event.token())) {
            for agent in &mut self.agents {
                agent.on_ready(event);
            }
        }
        events.clear();
    }

    /// Idles. True where the thread was parked and is awake again.
    fn rest(&mut self, events: &mut Events, quiet_rounds: u32) -> bool {
        let deadline = self.agents.iter().filter_map(|agent| agent.wake_in()).min();
        match self.idle {
            Idle::Spin => {
                std::hint::spin_loop();
                false
            }
            Idle::Yield => {
                std::thread::yield_now();
                false
            }
            Idle::Park if self.follows && quiet_rounds <= LINGER_ROUNDS => {
                let timeout = deadline.map_or(LINGER, |deadline| deadline.min(LINGER));
                self.parker.linger(events, timeout).expect("polling an open epoll descriptor");
                false
            }
            Idle::Park => {
                let agents = &mut self.agents;
                let wakes = &self.wakes;
                let meter = &mut self.meter;
                let look_again = || {
                    let done = Self::cycle(agents);
                    if done > 0 {
                        meter.worked(Instant::now());
                        wakes.iter().for_each(Unparker::unpark);
                    }
                    done > 0
                };
                self.parker
                    .park(events, deadline, look_again)
                    .expect("polling an open epoll descriptor");
                // A deadline that passed is no sign of traffic.
                events.iter().any(|event| is_wake(event.token()))
            }
        }
    }
}

/// A stage that broke an invariant must not leave the others running around the hole: the process
/// ends, whatever the profile it was built with says of panics.
struct AbortOnPanic;

impl Drop for AbortOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            std::process::abort();
        }
    }
}

/// Asks all crews to stop, in two steps: take nothing new, then end.
#[derive(Debug, Default)]
pub struct Stop {
    asked: AtomicBool,
    ended: AtomicBool,
}

impl Stop {
    /// Agents take nothing new from outside.
    pub fn ask(&self) {
        self.asked.store(true, Ordering::Release);
    }

    /// Threads end when they have nothing to do.
    pub fn end(&self) {
        self.ended.store(true, Ordering::Release);
    }

    /// True after [`Stop::ask`].
    #[must_use]
    pub fn asked(&self) -> bool {
        self.asked.load(Ordering::Acquire)
    }

    /// True after [`Stop::end`].
    #[must_use]
    pub fn ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }
}

/// Who ends the node when a stage cannot go on: the process in production, a note in a simulation.
///
/// After a call the stage does nothing more; in production there is no "after".
pub trait FailStop: Send + Sync {
    /// Ends the node.
    fn fail(&self, reason: StopReason, message: &str);
}

/// Ends the process with the reason's own exit status.
#[derive(Clone, Copy, Debug, Default)]
pub struct ExitProcess;

impl FailStop for ExitProcess {
    fn fail(&self, reason: StopReason, message: &str) {
        crate::fatal::fatal(reason, message)
    }
}
