//! When a waiting message has its turn: its priority, and what raises it (rows S1.67 to S1.70).
//!
//! Age counts from when the node took the message in and attempts are the node's own deliveries:
//! nothing that a client writes about itself raises a priority. A promotion changes the turn, never
//! what the message may occupy: it still counts in its own priority's queue, and LOW and BATCH that
//! have waited long get a bounded share of a batch.

use crate::stats::RULES_MAX;
use crate::types::Priority;

/// Where a message waits. The order is that in which turns are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Turn {
    /// CRITICAL.
    Critical,
    /// HIGH, and NORMAL that has waited long.
    High,
    /// LOW and BATCH that have waited long: as HIGH, within their share of a batch.
    AgedBulk,
    /// NORMAL.
    Normal,
    /// LOW, and BATCH while the node has little to do.
    Low,
    /// BATCH.
    Batch,
}

/// Number of turns.
pub const TURNS: usize = 6;

impl Turn {
    /// All turns, in the order in which they are taken.
    pub const ALL: [Turn; TURNS] =
        [Turn::Critical, Turn::High, Turn::AgedBulk, Turn::Normal, Turn::Low, Turn::Batch];

    /// The turn of a message that nothing has raised.
    #[must_use]
    pub const fn of(priority: Priority) -> Turn {
        match priority {
            Priority::Critical => Turn::Critical,
            Priority::High => Turn::High,
            Priority::Normal => Turn::Normal,
            Priority::Low => Turn::Low,
            Priority::Batch => Turn::Batch,
        }
    }

    /// The priority that a message with this turn is sequenced with.
    #[must_use]
    pub const fn priority(self) -> Priority {
        match self {
            Turn::Critical => Priority::Critical,
            Turn::High | Turn::AgedBulk => Priority::High,
            Turn::Normal => Priority::Normal,
            Turn::Low => Priority::Low,
            Turn::Batch => Priority::Batch,
        }
    }

    /// True where whatever waits here is certainly taken before what is put behind `that` now. Aged
    /// bulk goes before NORMAL while there is some of its share left, and after it else.
    #[must_use]
    pub const fn is_before(self, that: Turn) -> bool {
        let unsure =
            matches!((self, that), (Turn::AgedBulk, Turn::Normal) | (Turn::Normal, Turn::AgedBulk));
        !unsure && self.certainty() <= that.certainty()
    }

    /// How early what waits here is certain to be taken, the lower the earlier.
    #[must_use]
    pub const fn certainty(self) -> u8 {
        match self {
            Turn::Critical => 0,
            Turn::High => 1,
            Turn::Normal => 2,
            Turn::AgedBulk => 3,
            Turn::Low => 4,
            Turn::Batch => 5,
        }
    }

    /// The turn that a message of `priority` gets for its age or its attempts.
    #[must_use]
    pub const fn aged(priority: Priority) -> Turn {
        match priority {
            Priority::Critical => Turn::Critical,
            Priority::High | Priority::Normal => Turn::High,
            Priority::Low | Priority::Batch => Turn::AgedBulk,
        }
    }
}

/// Which rule changed a message's priority.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// It has waited long.
    Age,
    /// The node has delivered it often.
    Attempts,
    /// The node has little to do.
    Idle,
    /// A later, more urgent message of its subject waits for it.
    Subject,
    /// Its key may use no more urgent one.
    Entitlement,
}

impl Rule {
    /// All rules, in the order of their numbers.
    pub const ALL: [Rule; RULES_MAX] =
        [Rule::Age, Rule::Attempts, Rule::Idle, Rule::Subject, Rule::Entitlement];

    /// The rule's name in logs and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Rule::Age => "age",
            Rule::Attempts => "attempts",
            Rule::Idle => "idle",
            Rule::Subject => "subject",
            Rule::Entitlement => "entitlement",
        }
    }
}

/// When a message is raised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Older than this is HIGH; nanoseconds.
    pub aging_ns: u64,
    /// Delivered more often than this is HIGH.
    pub attempts_max: u16,
    /// Below this load BATCH is LOW; thousandths.
    pub idle_load: u64,
}

impl Default for Rules {
    fn default() -> Rules {
        Rules { aging_ns: 60_000_000_000, attempts_max: 3, idle_load: 500 }
    }
}

impl Rules {
    /// The turn of a message that comes in now, and the rule that raised it.
    #[must_use]
    pub const fn at_arrival(
        &self,
        priority: Priority,
        attempt: u16,
        load: u64,
    ) -> (Turn, Option<Rule>) {
        if attempt > self.attempts_max && !matches!(priority, Priority::Critical | Priority::High) {
            return (Turn::aged(priority), Some(Rule::Attempts));
        }
        if load < self.idle_load && matches!(priority, Priority::Batch) {
            return (Turn::Low, Some(Rule::Idle));
        }
        (Turn::of(priority), None)
    }

    /// True where a message that has waited so long is to be raised.
    #[must_use]
    pub const fn is_old(&self, age_ns: u64) -> bool {
        age_ns > self.aging_ns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_name_the_rules_in_their_order() {
        assert_eq!(Rule::ALL.map(Rule::name), crate::stats::RULES);
        for (number, rule) in Rule::ALL.into_iter().enumerate() {
            assert_eq!(rule as usize, number);
        }
    }

    #[test]
    fn the_most_urgent_rule_wins() {
        let rules = Rules::default();
        let (idle, busy) = (499, 500);
        let cases = [
            (Priority::Batch, 3, idle, Turn::Low, Some(Rule::Idle)),
            (Priority::Batch, 3, busy, Turn::Batch, None),
            (Priority::Batch, 4, idle, Turn::AgedBulk, Some(Rule::Attempts)),
            (Priority::Low, 4, busy, Turn::AgedBulk, Some(Rule::Attempts)),
            (Priority::Low, 0, idle, Turn::Low, None),
            (Priority::Normal, 3, idle, Turn::Normal, None),
            (Priority::Normal, 4, idle, Turn::High, Some(Rule::Attempts)),
            (Priority::High, 9, idle, Turn::High, None),
            (Priority::Critical, 9, idle, Turn::Critical, None),
        ];
        for (priority, attempt, load, turn, rule) in cases {
            assert_eq!(
                rules.at_arrival(priority, attempt, load),
                (turn, rule),
                "{priority} {attempt}"
            );
        }
        assert!(!rules.is_old(60_000_000_000));
        assert!(rules.is_old(60_000_000_001));
        assert_eq!(Turn::aged(Priority::Batch).priority(), Priority::High);
    }
}
