//! Parking: a thread that has nothing to do sleeps in one place, and is never left asleep.
//!
//! The sleeper stores `parked`, fences, looks at all its inputs once more, and only then blocks. A
//! producer publishes, fences, and wakes the sleeper if it reads `parked`. Whichever fence comes
//! first, one of the two sees the other: either the sleeper sees the work or the producer sees the
//! flag. A test runs the protocol through every interleaving (`loom`), for which the memory it uses
//! is a parameter.

use crossbeam::utils::CachePadded;
use mio::{Events, Poll, Token, Waker};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering, fence};
use std::time::Duration;

/// Token of the waker in the parker's poll; sockets use smaller numbers.
const WAKE: Token = Token(usize::MAX);

const RUNNING: u32 = 0;
const PARKED: u32 = 1;

/// The two operations on memory that the protocol needs.
trait Memory {
    fn new() -> Self;
    fn load(&self) -> u32;
    fn store(&self, value: u32);
    fn swap(&self, value: u32) -> u32;
    fn fence();
}

impl Memory for AtomicU32 {
    fn new() -> Self {
        AtomicU32::new(RUNNING)
    }
    #[inline]
    fn load(&self) -> u32 {
        // Relaxed: the fences order it.
        AtomicU32::load(self, Ordering::Relaxed)
    }
    fn store(&self, value: u32) {
        AtomicU32::store(self, value, Ordering::Relaxed);
    }
    fn swap(&self, value: u32) -> u32 {
        AtomicU32::swap(self, value, Ordering::AcqRel)
    }
    #[inline]
    fn fence() {
        fence(Ordering::SeqCst);
    }
}

/// The flag between a sleeper and its producers.
struct Flag<M> {
    state: M,
}

impl<M: Memory> Flag<M> {
    fn new() -> Self {
        Flag { state: M::new() }
    }

    /// Sleeper: announces that it is about to block. What is published before a producer misses this
    /// is visible to whatever the sleeper looks at next.
    fn announce(&self) {
        self.state.store(PARKED);
        M::fence();
    }

    /// Sleeper: runs again.
    fn retract(&self) {
        self.state.store(RUNNING);
    }

    /// Producer: true where the sleeper has to be woken, and this producer is the one to do it.
    #[inline]
    fn must_wake(&self) -> bool {
        M::fence();
        self.state.load() == PARKED && self.state.swap(RUNNING) == PARKED
    }
}

/// The one place where a thread sleeps: its sockets, its wakers and its deadline together.
pub struct Parker {
    poll: Poll,
    flag: Arc<CachePadded<Flag<AtomicU32>>>,
    waker: Arc<Waker>,
}

/// Wakes a thread that is parked, and costs one fence and one load where it is not.
#[derive(Clone)]
pub struct Unparker {
    flag: Arc<CachePadded<Flag<AtomicU32>>>,
    waker: Arc<Waker>,
}

impl Parker {
    /// A parker with a poll of its own.
    ///
    /// # Errors
    /// Where the operating system has no descriptor left for it.
    pub fn new() -> io::Result<Parker> {
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKE)?);
        Ok(Parker { poll, flag: Arc::new(CachePadded::new(Flag::new())), waker })
    }

    /// What producers for this thread hold.
    #[must_use]
    pub fn unparker(&self) -> Unparker {
        Unparker { flag: Arc::clone(&self.flag), waker: Arc::clone(&self.waker) }
    }

    /// Where the thread's sockets are registered.
    #[must_use]
    pub fn registry(&self) -> &mio::Registry {
        self.poll.registry()
    }

    /// Collects what is ready without sleeping.
    ///
    /// # Errors
    /// As `epoll_wait` tells; an interruption is none.
    pub fn poll_now(&mut self, events: &mut Events) -> io::Result<()> {
        self.poll(events, Some(Duration::ZERO))
    }

    /// Sleeps until a socket is ready, a producer wakes the thread, or `timeout` is over; not at all
    /// where `has_work` finds work after the announcement.
    ///
    /// # Errors
    /// As `epoll_wait` tells; an interruption is none.
    pub fn park(
        &mut self,
        events: &mut Events,
        timeout: Option<Duration>,
        has_work: impl FnOnce() -> bool,
    ) -> io::Result<()> {
        self.flag.announce();
        let timeout = if has_work() { Some(Duration::ZERO) } else { timeout };
        let result = self.poll(events, timeout);
        self.flag.retract();
        result
    }

    /// Sleeps like [`Parker::park`], but lets producers publish without waking the thread: for one
    /// that follows behind and may lag by `timeout`.
    ///
    /// # Errors
    /// As `epoll_wait` tells; an interruption is none.
    pub fn linger(&mut self, events: &mut Events, timeout: Duration) -> io::Result<()> {
        self.poll(events, Some(timeout))
    }

    fn poll(&mut self, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
        match self.poll.poll(events, timeout) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                events.clear();
                Ok(())
            }
            other => other,
        }
    }
}

impl Unparker {
    /// Wakes the thread if it is parked. Call it after publishing.
    #[inline]
    pub fn unpark(&self) {
        if self.flag.must_wake() {
            self.wake();
        }
    }

    /// Wakes the thread whether it is parked or lingers: for shutdown.
    pub fn wake(&self) {
        // Only a closed descriptor fails here, and then the thread has already ended.
        let _ = self.waker.wake();
    }
}

/// True for the event that only says "wake up".
#[must_use]
pub fn is_wake(token: Token) -> bool {
    token == WAKE
}

#[cfg(test)]
mod tests {
    use super::*;

    struct LoomFlag(loom::sync::atomic::AtomicU32);

    impl Memory for LoomFlag {
        fn new() -> Self {
            LoomFlag(loom::sync::atomic::AtomicU32::new(RUNNING))
        }
        fn load(&self) -> u32 {
            self.0.load(Ordering::Relaxed)
        }
        fn store(&self, value: u32) {
            self.0.store(value, Ordering::Relaxed);
        }
        fn swap(&self, value: u32) -> u32 {
            self.0.swap(value, Ordering::AcqRel)
        }
        fn fence() {
            loom::sync::atomic::fence(Ordering::SeqCst);
        }
    }

    #[test]
    fn no_interleaving_leaves_the_sleeper_asleep_beside_work() {
        loom::model(|| {
            let flag = loom::sync::Arc::new(Flag::<LoomFlag>::new());
            let work = loom::sync::Arc::new(loom::sync::atomic::AtomicU32::new(0));
            let woken = loom::sync::Arc::new(loom::sync::atomic::AtomicU32::new(0));
            let producer = {
                let (flag, work, woken) = (flag.clone(), work.clone(), woken.clone());
                loom::thread::spawn(move || {
                    work.store(1, Ordering::Release);
                    if flag.must_wake() {
                        woken.store(1, Ordering::Release);
                    }
                })
            };
            flag.announce();
            let saw_work = work.load(Ordering::Acquire) == 1;
            producer.join().expect("the producer ends by itself");
            let was_woken = woken.load(Ordering::Acquire) == 1;
            assert!(saw_work || was_woken, "asleep beside work");
        });
    }

    #[test]
    fn a_parked_thread_wakes_when_something_is_published() {
        let mut parker = Parker::new().expect("a poll");
        let unparker = parker.unparker();
        let producer = std::thread::spawn(move || {
            while !unparker.flag.must_wake() {
                std::thread::yield_now();
            }
            unparker.wake();
        });
        let mut events = Events::with_capacity(4);
        parker.park(&mut events, Some(Duration::from_secs(10)), || false).expect("parks");
        assert!(events.iter().any(|event| is_wake(event.token())));
        producer.join().expect("the producer ends by itself");
    }

    #[test]
    fn a_thread_with_work_does_not_sleep() {
        let mut parker = Parker::new().expect("a poll");
        let mut events = Events::with_capacity(4);
        parker.park(&mut events, None, || true).expect("returns at once");
        assert!(events.is_empty());
    }
}
