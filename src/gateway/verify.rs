//! Signatures are checked off the order path: one costs 66 µs, a hundred orders' worth.
//!
//! A job goes to a worker through a bounded channel, the verdict comes back through another; the
//! connection's later messages wait behind it. The simulation checks in place instead.

use crate::keys;
use crate::message::Origin;
use crate::ring::Unparker;
use crate::sys::thread;
use crossbeam::channel::{Receiver, Sender, bounded};
use std::io;

/// Checks that wait at most; a connection whose job finds no place asks again.
const JOBS_MAX: usize = 1024;

/// A signature to check.
#[derive(Clone, Copy, Debug)]
pub struct Job {
    /// The connection that waits for the verdict.
    pub origin: Origin,
    /// The key that must have signed.
    pub public_key: [u8; 32],
    /// What must be signed: the frame's SHA-256.
    pub hash: [u8; 32],
    /// The signature.
    pub signature: [u8; 64],
}

/// Whether a job's signature is right.
pub type Verdict = (Origin, bool);

/// Checks signatures, somewhere.
pub trait Verifier: Send {
    /// Takes a job, unless too many wait already.
    fn submit(&mut self, job: Job) -> bool;

    /// The next verdict that is there.
    fn verdict(&mut self) -> Option<Verdict>;
}

/// True where `job`'s signature is one of its key over its hash. Strict: no second form of a
/// signature or key passes.
#[must_use]
pub fn is_good(job: &Job) -> bool {
    keys::verify(&job.public_key, &job.hash, &job.signature)
}

/// Checks on a thread of its own.
pub struct Worker {
    jobs: Option<Sender<Job>>,
    verdicts: Receiver<Verdict>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Worker {
    /// Starts the worker, pinned to `core` if one is given; `gateway` is woken for every verdict.
    ///
    /// # Errors
    /// Where the operating system cannot start a thread.
    pub fn start(gateway: Unparker, core: Option<usize>) -> io::Result<Worker> {
        let (jobs, queue) = bounded::<Job>(JOBS_MAX);
        // As many places as there can be jobs, one in hand included: the worker never waits here.
        let (answers, verdicts) = bounded(JOBS_MAX + 1);
        let thread = std::thread::Builder::new().name("verify".into()).spawn(move || {
            if let Some(core) = core {
                thread::pin("verify", core);
            }
            for job in queue {
                if answers.send((job.origin, is_good(&job))).is_err() {
                    return;
                }
                gateway.unpark();
            }
        })?;
        Ok(Worker { jobs: Some(jobs), verdicts, thread: Some(thread) })
    }
}

impl Verifier for Worker {
    fn submit(&mut self, job: Job) -> bool {
        self.jobs.as_ref().is_some_and(|jobs| jobs.try_send(job).is_ok())
    }

    fn verdict(&mut self) -> Option<Verdict> {
        self.verdicts.try_recv().ok()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // Closing the channel ends the worker; it then has at most its queue to finish.
        self.jobs = None;
        while self.verdicts.try_recv().is_ok() {}
        if let Some(thread) = self.thread.take() {
            // A panicking worker has already said so.
            let _ = thread.join();
        }
    }
}

/// Checks at once, on the caller's thread.
#[derive(Debug, Default)]
pub struct InPlace {
    verdicts: std::collections::VecDeque<Verdict>,
}

impl Verifier for InPlace {
    fn submit(&mut self, job: Job) -> bool {
        self.verdicts.push_back((job.origin, is_good(&job)));
        true
    }

    fn verdict(&mut self) -> Option<Verdict> {
        self.verdicts.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ring::Parker;
    use ed25519_dalek::{Signer, SigningKey};

    fn job(connection: u32) -> Job {
        let key = SigningKey::from_bytes(&[7; 32]);
        Job {
            origin: Origin { connection, ..Origin::default() },
            public_key: key.verifying_key().to_bytes(),
            hash: [9; 32],
            signature: key.sign(&[9; 32]).to_bytes(),
        }
    }

    #[test]
    fn only_the_keys_own_signature_of_the_hash_is_good() {
        let good = job(1);
        assert!(is_good(&good));
        assert!(!is_good(&Job { hash: [8; 32], ..good }));
        assert!(!is_good(&Job { public_key: [0; 32], ..good }));
        for byte in 0..64 {
            let mut bad = good;
            bad.signature[byte] ^= 1;
            assert!(!is_good(&bad), "byte {byte}");
        }
    }

    #[test]
    fn the_worker_answers_every_job_it_took() {
        let parker = Parker::new().expect("a poll");
        let mut worker = Worker::start(parker.unparker(), None).expect("a thread");
        let jobs = 50;
        let taken = (0..jobs).filter(|number| worker.submit(job(*number))).count();
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
        let mut seen = 0;
        while seen < taken {
            assert!(std::time::Instant::now() < deadline, "{seen} of {taken} verdicts");
            match worker.verdict() {
                Some((origin, good)) => {
                    assert_eq!((origin.connection, good), (seen as u32, true));
                    seen += 1;
                }
                None => std::thread::yield_now(),
            }
        }
    }
}
