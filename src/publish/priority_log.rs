//! The log of changed priorities, on a helper thread: one line a change (row S1.70).
//!
//! The journal tells of every record what priority was sent and what it was sequenced with, so nothing
//! is lost where a flood of changes makes lines be left out.

use crate::agent::Agent;
use crate::sequencer::queues::Adjusted;
use crate::sys::clock::Clock;
use crossbeam::channel::Receiver;

/// Lines in a second at most.
const LINES_MAX: u64 = 1_000;
/// Changes handled in one round.
const ROUND_MAX: usize = 1_024;

/// The log's agent.
pub struct PriorityLog {
    input: Receiver<Adjusted>,
    clock: Box<dyn Clock>,
    second: u64,
    lines: u64,
    left_out: u64,
}

impl PriorityLog {
    /// A log of what comes through `input`.
    #[must_use]
    pub fn new(input: Receiver<Adjusted>, clock: Box<dyn Clock>) -> PriorityLog {
        PriorityLog { input, clock, second: 0, lines: 0, left_out: 0 }
    }

    fn write(&mut self, adjusted: &Adjusted) {
        self.left_out += adjusted.left_out;
        let second = self.clock.monotonic_ns() / 1_000_000_000;
        if second != self.second {
            if self.left_out > 0 {
                let left_out = self.left_out;
                tracing::info!(left_out, "further messages had their priority adjusted");
            }
            (self.second, self.lines, self.left_out) = (second, 0, 0);
        }
        if self.lines == LINES_MAX {
            self.left_out += 1;
            return;
        }
        self.lines += 1;
        let message_id = adjusted.message_id();
        let (from, to) = (adjusted.from.as_str(), adjusted.to.as_str());
        tracing::info!(message_id, from, to, rule = adjusted.rule.name(), "{adjusted}");
    }
}

impl Adjusted {
    /// The message id, made fit for a line.
    fn message_id(&self) -> String {
        let length = self.id.iter().position(|byte| *byte == 0).unwrap_or(self.id.len());
        String::from_utf8_lossy(&self.id[..length]).escape_debug().to_string()
    }
}

impl std::fmt::Display for Adjusted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let id = self.message_id();
        let Adjusted { from, to, .. } = self;
        write!(f, "Adjusted message priority: {} from {from} to {to}", id)
    }
}

impl Agent for PriorityLog {
    fn name(&self) -> &'static str {
        "priority log"
    }

    fn do_work(&mut self) -> usize {
        let mut count = 0;
        while count < ROUND_MAX
            && let Ok(adjusted) = self.input.try_recv()
        {
            self.write(&adjusted);
            count += 1;
        }
        count
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sequencer::turn::Rule;
    use crate::types::Priority;

    #[test]
    fn a_line_says_what_changed() {
        let mut id = [0; 64];
        id[..4].copy_from_slice(b"m-17");
        let (from, to) = (Priority::Batch, Priority::High);
        let adjusted = Adjusted { id, from, to, rule: Rule::Age, left_out: 0 };
        let expected = "Adjusted message priority: m-17 from batch to high";
        assert_eq!(adjusted.to_string(), expected);
    }
}
