//! Ctrl-C and SIGTERM of a node, on a thread of their own from before its start.
//!
//! Invariants: no signal waits for the node. The first one after it is ready asks it to stop, every
//! other one ends the process at once, with the status that a shell gives to that signal.

use super::Failure;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

/// What a shell adds to a signal's number to make a status of it.
const STATUS_OF_SIGNALS: i32 = 128;

/// The signals that end a node.
pub(super) struct Signals {
    ready: Arc<AtomicBool>,
    asked: Receiver<()>,
}

impl Signals {
    /// Takes the signals from here on.
    pub(super) fn listen() -> Result<Signals, Failure> {
        let signals = iterator::Signals::new([SIGINT, SIGTERM])
            .map_err(|error| Failure::usage(format_args!("cannot handle signals: {error}")))?;
        let ready = Arc::new(AtomicBool::new(false));
        // One signal asks, the next one ends the process: there is never a second to keep.
        let (ask, asked) = sync_channel(1);
        let of_thread = ready.clone();
        std::thread::Builder::new()
            .name("signals".into())
            .spawn(move || handle(signals, &of_thread, &ask))
            .map_err(|error| Failure::usage(format_args!("cannot start a thread: {error}")))?;
        Ok(Signals { ready, asked })
    }

    /// The node is ready: from now on a signal asks it to stop.
    pub(super) fn ready(&self) {
        // Release here pairs with the Acquire in `handle`: who is asked to stop has started.
        self.ready.store(true, Ordering::Release);
    }

    /// Waits until the node is asked to stop.
    pub(super) fn wait(&self) {
        self.asked.recv().expect("the thread of the signals ends only with the process");
    }
}

fn handle(mut signals: iterator::Signals, ready: &AtomicBool, ask: &SyncSender<()>) {
    let mut asked = false;
    for signal in signals.forever() {
        if !ready.load(Ordering::Acquire) {
            // A recovery changes nothing that the next one does not do again. A closed stderr changes
            // nothing about the status.
            let _: std::io::Result<()> = writeln!(
                std::io::stderr(),
                "outcry: told to end before the node was ready; nothing is lost, the next start \
                 recovers from the beginning"
            );
            std::process::exit(STATUS_OF_SIGNALS + signal);
        }
        if asked {
            std::process::exit(STATUS_OF_SIGNALS + signal);
        }
        asked = true;
        // Fails only where nobody waits any more: the process is ending.
        let _ = ask.send(());
    }
}
