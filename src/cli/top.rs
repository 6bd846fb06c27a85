//! `outcry top`: a node at work, once a second.
//!
//! Invariants: the terminal is as it was, however the view ends; without a terminal one look is written
//! and the command ends; rates and percentiles are of the time between two looks.

use super::figures::{From, Pair, Source, duration_us};
use super::lanes::tables;
use super::output::{Align, Output, Style, Table};
use super::{Failure, Global, Outcome};
use crate::ops::report::{Flow, State};
use crate::stats::Tally;
use crossterm::cursor::{Hide, MoveTo, Show};
use crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use crossterm::terminal::{
    self, Clear, ClearType, EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode,
    enable_raw_mode,
};
use crossterm::{execute, queue};
use serde_json::{Value, json};
use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

/// Time between two looks.
const EVERY: Duration = Duration::from_secs(1);
/// The parts of all durations that are shown.
const PARTS: [(&str, &str, f64); 4] =
    [("P50", "p50", 0.5), ("P90", "p90", 0.9), ("P99", "p99", 0.99), ("P99.9", "p999", 0.999)];

/// Shows a node at work: lanes, rates, latency, sessions
#[derive(Debug, clap::Args)]
#[command(
    before_help = "Examples:\n  outcry top\n  outcry top --json --count 10\n  \
                   outcry top --http 127.0.0.1:9090",
    after_help = "Redrawn every second; q ends it. Without a terminal one look is written. Percentiles are \
                  upper bounds of histogram buckets (1, 2, 5 of every decade) over the time between two \
                  looks. The node needs admin.http.listen."
)]
pub(super) struct Args {
    /// Ends after so many looks [default: never on a terminal and with --json, else one]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    #[command(flatten)]
    from: From,
}

pub(super) fn run(args: &Args, global: &Global) -> Outcome {
    let source = Source::find(&args.from, global)?;
    let output = global.output();
    let mut before: Flow = source.get("/stats")?;
    let live = !output.is_json() && io::stdout().is_terminal();
    let looks = match args.count {
        Some(count) => count,
        None if live || output.is_json() => u64::MAX,
        None => 1,
    };
    let screen = if live { Some(Screen::open().map_err(broken)?) } else { None };
    for _ in 0..looks {
        match &screen {
            Some(screen) if screen.wait(EVERY).map_err(broken)? => return Ok(()),
            Some(_) => {}
            None => std::thread::sleep(EVERY),
        }
        let now: Flow = source.get("/stats")?;
        match &screen {
            _ if output.is_json() => output.object(&summary(&before, &now)),
            Some(screen) => screen.draw(&view(output, &before, &now)).map_err(broken)?,
            None => output.raw(&view(output, &before, &now)),
        }
        before = now;
    }
    Ok(())
}

fn broken(error: io::Error) -> Failure {
    Failure::usage(format_args!("the terminal does not work: {error}"))
}

/// A terminal that shows nothing but the view, until this is dropped.
struct Screen;

impl Screen {
    fn open() -> io::Result<Screen> {
        enable_raw_mode()?;
        // From here on the drop puts everything back.
        let screen = Screen;
        execute!(io::stdout(), EnterAlternateScreen, Hide)?;
        Ok(screen)
    }

    /// Waits so long; true where the user has had enough.
    fn wait(&self, time: Duration) -> io::Result<bool> {
        let until = Instant::now() + time;
        while event::poll(until.saturating_duration_since(Instant::now()))? {
            let Event::Key(key) = event::read()? else { continue };
            let interrupted =
                key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
            let quits = matches!(key.code, KeyCode::Char('q') | KeyCode::Esc) || interrupted;
            if quits && key.kind == KeyEventKind::Press {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Shows as many lines as there is room for.
    fn draw(&self, text: &str) -> io::Result<()> {
        let (_, height) = terminal::size()?;
        let mut stdout = io::stdout().lock();
        for (row, line) in text.lines().take(usize::from(height)).enumerate() {
            queue!(stdout, MoveTo(0, row as u16))?;
            stdout.write_all(line.as_bytes())?;
            queue!(stdout, Clear(ClearType::UntilNewLine))?;
        }
        queue!(stdout, Clear(ClearType::FromCursorDown))?;
        stdout.flush()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // A terminal that is gone needs no tidying.
        let _ = execute!(io::stdout(), Show, LeaveAlternateScreen);
        let _ = disable_raw_mode();
    }
}

/// The view as text.
fn view(output: Output, before: &Flow, now: &Flow) -> String {
    let pair = Pair { before: &before.lanes, now: &now.lanes };
    let style = if now.state == State::Ok { Style::Green } else { Style::Red };
    let state = output.styled(style, now.state.as_str());
    let mut text = format!(
        "{}  {state}  sequence {}  released {}  policy {}\n",
        output.styled(Style::Bold, &now.lanes.node),
        now.lanes.sequence,
        now.released,
        now.policy
    );
    text.push_str(&format!(
        "sessions {}  connections {}  received {} kB/s  sent {} kB/s  waiting {} kB  closed as too slow {}\n\n",
        now.sessions,
        now.connections,
        kilo(pair.rate(before.received_bytes, now.received_bytes)),
        kilo(pair.rate(before.sent_bytes, now.sent_bytes)),
        kilo(now.pending_output_bytes as f64),
        now.slow_closes,
    ));
    for table in tables(&pair) {
        text.push_str(&table.render(output));
        text.push('\n');
    }
    let heads = PARTS.map(|(head, _, _)| (head, Align::Right));
    let mut latency = Table::new(
        &[&[("LATENCY", Align::Left)], &heads[..], &[("RATE/S", Align::Right)]].concat(),
    );
    for (name, before, now) in durations(before, now) {
        let since = now.since(before);
        let cell = |part| match since.quantile_ns(part) {
            Some(ns) => duration_us(ns / 1_000),
            None => "-".to_owned(),
        };
        let parts = PARTS.map(|(_, _, part)| cell(part));
        let rate = format!("{:.0}", pair.rate(0, since.count()));
        latency.row([name.replace('_', " ")].into_iter().chain(parts).chain([rate]));
    }
    text.push_str(&latency.render(output));
    let rejected: u64 = now.rejects.values().sum();
    text.push_str(&format!(
        "\nanswers {}  accepted {}  duplicates {}  rejected {rejected}\n",
        now.answered, now.accepted, now.duplicates
    ));
    for (reason, count) in &now.rejects {
        text.push_str(&format!("  {reason} {count}\n"));
    }
    text
}

/// Durations that are shown, at both looks.
fn durations<'a>(before: &'a Flow, now: &'a Flow) -> [(&'static str, &'a Tally, &'a Tally); 3] {
    [
        ("answer", &before.latency, &now.latency),
        ("gate_wait", &before.gate_wait, &now.gate_wait),
        ("sync", &before.sync, &now.sync),
    ]
}

fn kilo(bytes: f64) -> String {
    format!("{:.1}", bytes / 1e3)
}

/// The view as one object.
fn summary(before: &Flow, now: &Flow) -> Value {
    let pair = Pair { before: &before.lanes, now: &now.lanes };
    let lanes: Vec<Value> = now
        .lanes
        .lanes
        .iter()
        .map(|lane| {
            json!({
                "lane": lane.lane,
                "depth": lane.depth,
                "in_flight": lane.in_flight,
                "lag": lane.lag,
                "rate_per_s": pair.lane_rate(lane),
                "load": lane.load,
            })
        })
        .collect();
    let queues: Vec<Value> = now
        .lanes
        .queues
        .iter()
        .map(|queue| {
            json!({
                "queue": queue.priority,
                "depth": queue.depth,
                "rate_per_s": pair.queue_rate(queue),
            })
        })
        .collect();
    let mut object = json!({
        "node": now.lanes.node,
        "state": now.state,
        "policy": now.policy,
        "sequence": now.lanes.sequence,
        "released": now.released,
        "sessions": now.sessions,
        "connections": now.connections,
        "answered": now.answered,
        "accepted": now.accepted,
        "duplicates": now.duplicates,
        "rejected": now.rejects,
        "answers_per_s": pair.rate(before.answered, now.answered),
        "received_bytes_per_s": pair.rate(before.received_bytes, now.received_bytes),
        "sent_bytes_per_s": pair.rate(before.sent_bytes, now.sent_bytes),
        "lanes": lanes,
        "queues": queues,
        "threads": now.threads,
    });
    for (name, before, now) in durations(before, now) {
        let since = now.since(before);
        let part = |part| since.quantile_ns(part).map(|ns| ns / 1_000);
        let parts: serde_json::Map<String, Value> =
            PARTS.iter().map(|(_, key, it)| ((*key).to_owned(), json!(part(*it)))).collect();
        object[format!("{name}_us")] = Value::Object(parts);
    }
    object
}
