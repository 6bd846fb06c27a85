//! Why a node stops itself, one exit status a reason, and the one way to do it.
//!
//! Invariants: a status is never given another meaning (scripts rely on it); statuses start at 10,
//! below that is what every command returns; stopping never waits for anything but its own log line.

use std::io::Write;
use std::process;

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $status:literal, $what:literal, $remedy:literal;)+) => {
        /// Why a node stopped itself.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub enum StopReason { $($(#[$doc])* $name = $status,)+ }

        impl StopReason {
            /// Every reason, in the order of their statuses.
            pub const ALL: &'static [StopReason] = &[$(StopReason::$name,)+];

            /// The reason's name in logs.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(StopReason::$name => stringify!($name),)+ }
            }

            /// What happened.
            #[must_use]
            pub const fn what(self) -> &'static str {
                match self { $(StopReason::$name => $what,)+ }
            }

            /// What to do about it.
            #[must_use]
            pub const fn remedy(self) -> &'static str {
                match self { $(StopReason::$name => $remedy,)+ }
            }
        }
    };
}

reasons! {
    /// A write to the journal failed.
    JournalWrite = 10,
        "A write to the journal failed. No answer left for what was not written.",
        "Look at the disk and the system log, then start again: recovery reads what is really there.";
    /// A sync of the journal failed.
    JournalSync = 11,
        "The disk refused to make written data durable. After that the page cache cannot be trusted, so the sync is never tried again.",
        "Look at the disk and the system log, then start again: recovery reads what is really there, rewrites what may not be on disk and syncs it.";
    /// Damage that is not a torn tail.
    JournalDamaged = 12,
        "The journal holds bad bytes before its durable end: not the unfinished end of a crash, but damage.",
        "`outcry journal verify` names segment, offset and sequence; `outcry journal repair --from DIR` takes what is lost from a copy in DIR and proves it. The node does not start on a damaged journal.";
    /// Another process holds the data directory.
    DataDirLocked = 13,
        "Another process holds this data directory.",
        "Stop the other one, or use another --data-dir.";
    /// A mapped page could not be read.
    MediaRead = 14,
        "The disk could not deliver a page of a journal segment that a reader needed.",
        "The log names the segment. Replace the disk, then take the segment from a copy in DIR: `outcry journal repair --from DIR`.";
    /// A segment could not be prepared, for another reason than lack of space.
    SegmentPreparation = 15,
        "The next journal segment could not be prepared, and not for lack of space.",
        "Look at the disk, its permissions and the system log, then start again.";
    /// The event log could not be written.
    EventLogWrite = 16,
        "A write or sync of an event log failed.",
        "Look at the disk and the system log, then start again: the end of the event log is made again from the journal.";
    /// Replay gave other events than were recorded.
    ReplayDiverged = 17,
        "Replaying the journal gave other events than the event log holds.",
        "Keep both directories and the binary's version for analysis. Start with the version that wrote the journal.";
    /// The journal needs a newer release.
    JournalTooNew = 18,
        "The journal was written by a newer release, or holds rules this release does not know.",
        "Start a release at least as new as the one that wrote it.";
    /// The clock is too far off.
    ClockRefused = 19,
        "The wall clock is more than 10 seconds behind the journal's last record.",
        "Correct the clock. If it is right as it is, start with --accept-clock.";
    /// The venue of the configuration cannot be defined.
    GenesisRefused = 20,
        "The venue in [genesis] was refused by the exchange, or differs from the journal in a way that cannot be.",
        "The log names the item; correct the configuration.";
    /// A listener could not be opened.
    ListenFailed = 21,
        "A listener could not be opened.",
        "Another process may have the port, or the address is not of this machine: see gateway.native.listen.";
    /// A thread could not be started.
    ThreadFailed = 22,
        "The operating system refused a thread, a poll or another resource a stage needs.",
        "Look at the limits of processes and files (ulimit -a).";
    /// A stop that ran out of time.
    ShutdownIncomplete = 23,
        "The node was told to stop, and node.shutdown_timeout_s passed before every sequenced command was released.",
        "Nothing acknowledged is lost. The log says how many were not released; they are executed by recovery and answered to whoever asks again.";
    /// A file or directory of the node could not be used.
    DataDirUnusable = 24,
        "The data directory, or a file in it, could not be created, read or written.",
        "Look at the path, its permissions and free space.";
    /// A lane or helper met something in a log that it had been told is there.
    LogRead = 25,
        "A lane could not read what the journal or the event log must hold.",
        "`outcry journal verify` names segment, offset and sequence and what helps; look at the disk and the system log.";
    /// A command that ends every recovery.
    PoisonRecord = 27,
        "Applying one command of the journal has ended this release twice during recovery.",
        "The log names its sequence: another release may be able to apply it; `outcry journal quarantine SEQ`, with an operator's key, makes it a reject on every replay. Please report it, with the journal.";
}

/// Statuses that every command returns, and those of a process that a signal ended.
const COMMON: &[(u8, &str)] = &[
    (0, "Done, and good."),
    (1, "Done, and the answer is bad: damage was found, an order was refused, or a proof failed."),
    (2, "Wrong use or configuration: the message names the option or key."),
    (3, "The node cannot be reached, or refused the request."),
    (130, "Ended at once by Ctrl-C: a second one, or one before the node was ready."),
    (
        134,
        "Aborted: an invariant of the program was false. The log names file and line; please report it.",
    ),
    (
        137,
        "Killed (kill -9, or out of memory). Start again: nothing acknowledged is lost under the policy disk.",
    ),
    (143, "Ended at once by SIGTERM: a second one, or one before the node was ready."),
];

impl StopReason {
    /// The exit status.
    #[must_use]
    pub const fn status(self) -> u8 {
        self as u8
    }

    /// The reason of an exit status.
    #[must_use]
    pub fn from_status(status: u8) -> Option<StopReason> {
        StopReason::ALL.iter().copied().find(|reason| reason.status() == status)
    }
}

/// What an exit status means: its name (where it is a stop reason), what happened, what to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Explanation {
    /// Exit status.
    pub status: u8,
    /// The stop reason's name.
    pub name: Option<&'static str>,
    /// What happened.
    pub what: &'static str,
    /// What to do.
    pub remedy: Option<&'static str>,
}

/// Every exit status that has a meaning, in order.
#[must_use]
pub fn explanations() -> Vec<Explanation> {
    let common =
        COMMON.iter().map(|&(status, what)| Explanation { status, name: None, what, remedy: None });
    let reasons = StopReason::ALL.iter().map(|reason| Explanation {
        status: reason.status(),
        name: Some(reason.name()),
        what: reason.what(),
        remedy: Some(reason.remedy()),
    });
    let mut all: Vec<Explanation> = common.chain(reasons).collect();
    all.sort_by_key(|explanation| explanation.status);
    all
}

/// Logs one structured line and ends the process with the reason's status.
///
/// For what the machine did to us (see the table in `ARCHITECTURE.md`). What a client does is a
/// reject, what we did is an `assert!`.
pub fn fatal(reason: StopReason, message: impl std::fmt::Display) -> ! {
    let status = reason.status();
    if tracing::enabled!(tracing::Level::ERROR) {
        tracing::error!(
            status,
            reason = reason.name(),
            "stopping: {message}; `outcry explain {status}` tells more"
        );
    } else {
        // No log is set up yet; a closed stderr cannot keep the process from ending.
        let _: std::io::Result<()> = writeln!(
            std::io::stderr(),
            "outcry: stopping: {message}; `outcry explain {status}` tells more"
        );
    }
    process::exit(i32::from(status))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_has_one_meaning() {
        let all = explanations();
        for pair in all.windows(2) {
            assert!(pair[0].status < pair[1].status, "{} is there twice", pair[1].status);
        }
        for reason in StopReason::ALL {
            assert!((10..128).contains(&reason.status()), "{reason:?}");
            assert_eq!(StopReason::from_status(reason.status()), Some(*reason));
            assert!(reason.what().ends_with('.'));
            assert!(reason.remedy().ends_with('.'));
        }
        assert_eq!(StopReason::from_status(9), None);
    }
}
