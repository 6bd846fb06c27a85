//! `outcry lanes`: what waits where, and how quickly it goes on.

use super::figures::{From, Pair, Source, duration_us};
use super::output::{Align, Output, Table};
use super::{Global, Outcome, lanes_set};
use crate::ops::report::Lanes;
use serde_json::json;
use std::time::Duration;

/// Time between the two readings of a single look.
const GLANCE: Duration = Duration::from_millis(500);
/// Time between two looks.
const WATCH: Duration = Duration::from_secs(1);

/// Shows the lanes and the queues before them
#[derive(Debug, clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    before_help = "Examples:\n  outcry lanes\n  outcry lanes --watch\n  \
                   outcry lanes set normal --max-batch 64",
    after_help = "One row a lane and a priority's queue: what waits, what is taken and not finished, the age \
                  of the oldest that waits, how many went on in a second, and how many a turn takes at \
                  most. The node needs admin.http.listen."
)]
pub(super) struct Args {
    /// Shows them again every second
    #[arg(long)]
    watch: bool,
    #[command(flatten)]
    from: From,
    #[command(subcommand)]
    action: Option<lanes_set::Action>,
}

pub(super) fn run(args: &Args, global: &Global) -> Outcome {
    if let Some(action) = &args.action {
        return lanes_set::act(action, global);
    }
    let source = Source::find(&args.from, global)?;
    let output = global.output();
    let mut before: Lanes = source.get("/lanes")?;
    let pause = if args.watch { WATCH } else { GLANCE };
    loop {
        std::thread::sleep(pause);
        let now: Lanes = source.get("/lanes")?;
        show(output, &Pair { before: &before, now: &now });
        if !args.watch {
            return Ok(());
        }
        before = now;
    }
}

fn show(output: Output, pair: &Pair<'_>) {
    if output.is_json() {
        rows(output, pair);
    } else {
        tables(pair).iter().for_each(|table| output.table(table));
    }
}

/// One object a row.
fn rows(output: Output, pair: &Pair<'_>) {
    for lane in &pair.now.lanes {
        output.object(&json!({
            "lane": lane.lane,
            "depth": lane.depth,
            "in_flight": lane.in_flight,
            "oldest_age_us": lane.oldest_age_us,
            "rate_per_s": pair.lane_rate(lane),
            "batch_max": lane.batch_max,
            "applied": lane.applied,
            "lag": lane.lag,
            "load": lane.load,
        }));
    }
    for queue in &pair.now.queues {
        output.object(&json!({
            "queue": queue.priority,
            "depth": queue.depth,
            "oldest_age_us": queue.oldest_age_us,
            "rate_per_s": pair.queue_rate(queue),
            "taken": queue.taken,
            "refused": queue.refused,
        }));
    }
    let count = pair.now.lanes.len() + pair.now.queues.len();
    output.end_whole_list(count);
}

/// The lanes, and the queues.
pub(super) fn tables(pair: &Pair<'_>) -> [Table; 2] {
    let right = |heading| (heading, Align::Right);
    let mut lanes = Table::new(&[
        ("LANE    ", Align::Left),
        right("DEPTH"),
        right("IN FLIGHT"),
        right("OLDEST"),
        right("RATE/S"),
        right("BATCH MAX"),
        right("LAG"),
        right("LOAD"),
    ]);
    for lane in &pair.now.lanes {
        lanes.row([
            lane.lane.clone(),
            lane.depth.to_string(),
            lane.in_flight.to_string(),
            lane.oldest_age_us.map_or("-".to_owned(), duration_us),
            format!("{:.0}", pair.lane_rate(lane)),
            lane.batch_max.to_string(),
            lane.lag.to_string(),
            format!("{:.0} %", lane.load * 100.0),
        ]);
    }
    let mut queues = Table::new(&[
        ("QUEUE   ", Align::Left),
        right("DEPTH"),
        right("OLDEST"),
        right("RATE/S"),
        right("REFUSED"),
    ]);
    for queue in &pair.now.queues {
        let waits = queue.depth > 0;
        queues.row([
            queue.priority.clone(),
            queue.depth.to_string(),
            if waits { duration_us(queue.oldest_age_us) } else { "-".to_owned() },
            format!("{:.0}", pair.queue_rate(queue)),
            queue.refused.to_string(),
        ]);
    }
    [lanes, queues]
}
