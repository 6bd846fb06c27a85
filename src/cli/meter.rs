//! Progress of long work on stderr: a bar on a terminal, a line now and then elsewhere, with the time
//! that is left.

use crate::types::Sequence;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// Work that takes less shows no progress.
const QUIET: Duration = Duration::from_secs(1);
/// Time between two lines of progress where there is no terminal.
const BETWEEN_LINES: Duration = Duration::from_secs(10);

/// Shows how far work has come.
pub(super) struct Meter {
    what: &'static str,
    bar: ProgressBar,
    started: Instant,
    line: Instant,
}

impl Meter {
    pub(super) fn new(what: &'static str) -> Meter {
        let now = Instant::now();
        Meter { what, bar: ProgressBar::hidden(), started: now, line: now }
    }

    /// Other work begins, with a progress of its own.
    pub(super) fn turn_to(&mut self, what: &'static str) {
        if self.what != what {
            self.finish();
            (self.what, self.bar) = (what, ProgressBar::hidden());
        }
    }

    /// Shows how many of the segments are done.
    pub(super) fn show(&mut self, done: u64, segments: u64, sequence: Sequence) {
        self.at("segment", "", (done, segments), format_args!(", sequence {sequence}"));
    }

    /// Shows how many of the records are done, and how quickly.
    pub(super) fn records(&mut self, done: u64, of: u64) {
        self.at("record", ", {per_sec}", (done, of), format_args!(""));
    }

    fn at(
        &mut self,
        unit: &str,
        rate: &str,
        (done, of): (u64, u64),
        more: std::fmt::Arguments<'_>,
    ) {
        if self.started.elapsed() < QUIET {
            return;
        }
        self.bar.set_length(of);
        self.bar.set_position(done);
        if std::io::stderr().is_terminal() {
            if self.bar.is_hidden() {
                self.bar.set_draw_target(ProgressDrawTarget::stderr());
                let what = self.what;
                let template = format!(
                    "{what} {{bar:40}} {unit} {{pos}} of {{len}}{{msg}}{rate}, {{eta}} left"
                );
                if let Ok(style) = ProgressStyle::with_template(&template) {
                    self.bar.set_style(style);
                }
            }
            self.bar.set_message(more.to_string());
        } else if self.line.elapsed() >= BETWEEN_LINES {
            self.line = Instant::now();
            let (what, left) = (self.what, self.bar.eta().as_secs());
            // Progress that nobody can read changes nothing about the work.
            let _ = writeln!(
                std::io::stderr(),
                "{what}: {unit} {done} of {of}{more}, {:.0}/s, {left} s left",
                self.bar.per_sec()
            );
        }
    }

    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
