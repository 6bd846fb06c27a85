//! Figures of a running node, for the commands that show them: read over HTTP, rates from two readings.
//!
//! Invariants: the address defaults to what the node on this machine wrote into its data directory; a
//! node without an admin listener is told apart from one that does not answer.

use super::connect::{node_here, origin};
use super::{Failure, Global};
use crate::ops::report::{Lane, Lanes, Queue};
use serde::de::DeserializeOwned;
use std::time::Duration;
use ureq::Agent;

/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Where figures come from.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Connection")]
pub(super) struct From {
    /// Admin listener of the node [default: that of the data directory's endpoint.json]
    #[arg(long, value_name = "HOST:PORT")]
    http: Option<String>,
}

/// A node's admin listener.
pub(super) struct Source {
    agent: Agent,
    address: String,
    /// Where the address stood, for messages.
    origin: String,
}

impl Source {
    /// Finds the listener; nothing is asked yet.
    pub(super) fn find(from: &From, global: &Global) -> Result<Source, Failure> {
        let (address, origin) = match &from.http {
            Some(address) => (address.clone(), "given by --http".to_owned()),
            None => of_this_machine(global)?,
        };
        let agent = Agent::config_builder()
            .timeout_global(Some(TIMEOUT))
            .max_redirects(0)
            .proxy(None)
            .build()
            .into();
        Ok(Source { agent, address, origin })
    }

    /// A page of the listener.
    pub(super) fn get<T: DeserializeOwned>(&self, page: &str) -> Result<T, Failure> {
        let Source { agent, address, origin } = self;
        let lost = |what: &dyn std::fmt::Display| {
            Failure::node(format_args!("cannot read http://{address}{page} ({origin}): {what}"))
        };
        let mut response =
            agent.get(format!("http://{address}{page}")).call().map_err(|error| lost(&error))?;
        let text = response.body_mut().read_to_string().map_err(|error| lost(&error))?;
        serde_json::from_str(&text).map_err(|error| lost(&error))
    }
}

fn of_this_machine(global: &Global) -> Result<(String, String), Failure> {
    let (endpoint, shown) = node_here(global, "--http HOST:PORT")?;
    let Some(address) = endpoint.http() else {
        return Err(Failure::node(format_args!(
            "the node of {shown} shows no figures: admin.http.listen is \"off\"; start it with \
             --set admin.http.listen=127.0.0.1:0, or set the key in its config.toml"
        )));
    };
    Ok((address.to_owned(), origin(&endpoint, &shown)))
}

/// Two readings: rates are their difference.
pub(super) struct Pair<'a> {
    /// The earlier one.
    pub(super) before: &'a Lanes,
    /// The later one.
    pub(super) now: &'a Lanes,
}

impl Pair<'_> {
    /// How often a second something happened that was counted in both readings.
    pub(super) fn rate(&self, before: u64, now: u64) -> f64 {
        let ns = self.now.time_ns.saturating_sub(self.before.time_ns);
        // A node that was started again counts from 0.
        if ns == 0 { 0.0 } else { now.saturating_sub(before) as f64 * 1e9 / ns as f64 }
    }

    /// Records a second of a lane.
    pub(super) fn lane_rate(&self, lane: &Lane) -> f64 {
        let before = self.before.lanes.iter().find(|before| before.lane == lane.lane);
        self.rate(before.map_or(lane.handled, |before| before.handled), lane.handled)
    }

    /// Messages a second of a queue.
    pub(super) fn queue_rate(&self, queue: &Queue) -> f64 {
        let before = self.before.queues.iter().find(|before| before.priority == queue.priority);
        self.rate(before.map_or(queue.taken, |before| before.taken), queue.taken)
    }
}

/// A duration in a unit that suits it.
pub(super) fn duration_us(us: u64) -> String {
    match us {
        0..1_000 => format!("{us} µs"),
        1_000..1_000_000 => format!("{} ms", short(us as f64 / 1e3)),
        _ => format!("{} s", short(us as f64 / 1e6)),
    }
}

/// Few digits.
fn short(value: f64) -> String {
    if value.fract() == 0.0 || value >= 100.0 {
        format!("{value:.0}")
    } else {
        format!("{value:.1}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_unit_that_suits_them() {
        for (us, text) in [
            (0, "0 µs"),
            (999, "999 µs"),
            (1_500, "1.5 ms"),
            (250_000, "250 ms"),
            (3_000_000, "3 s"),
        ] {
            assert_eq!(duration_us(us), text);
        }
    }

    #[test]
    fn a_rate_is_the_difference_over_the_node_s_own_time() {
        let at = |time_ns| Lanes {
            node: String::new(),
            time_ns,
            sequence: 0,
            batch_count: 0,
            lanes: Vec::new(),
            queues: Vec::new(),
        };
        let (before, now) = (at(1_000_000_000), at(1_500_000_000));
        let pair = Pair { before: &before, now: &now };
        assert_eq!(pair.rate(10, 60), 100.0);
        assert_eq!(pair.rate(60, 10), 0.0, "a node that was started again");
        assert_eq!(Pair { before: &now, now: &now }.rate(10, 60), 0.0);
    }
}
