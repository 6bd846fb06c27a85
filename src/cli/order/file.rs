//! `outcry order file`: many commands, pipelined over one session.
//!
//! Invariants: nothing is sent before the whole file was checked; commands go out in the order of
//! their lines; every line is accounted for: acknowledged (done, or rejected by the exchange), refused
//! before it got a sequence, or unanswered.

use super::answer::{self, Answered};
use super::csv::{self, LineError};
use crate::cli::connect::{Connection, Link, Lost, random_hex, severed};
use crate::cli::output::Output;
use crate::cli::venue::Venue;
use crate::cli::{Failure, Global, Outcome};
use crate::client::{Options, Reply, RequestId, SubmitError, now_ms};
use crate::command::Command;
use crate::genesis::Instrument;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Instant;

/// Errors of a file that are shown.
const ERRORS_SHOWN: usize = 10;
/// Largest file.
const FILE_MAX_BYTES: u64 = 1 << 30;

/// Sends the commands of a CSV file, in order, without waiting for each
#[derive(Debug, clap::Args)]
#[command(
    before_help = "Examples:\n  outcry order file orders.csv\n  \
                   outcry order file orders.csv --message-ids monday --json",
    after_help = "The first line names the columns, in any order: action, account, symbol, side, type, \
                  tif, price, quantity, client_order_id, orig_client_order_id, amount, asset, and \
                  where they are needed to_account and order_id; of further orders also post_only, \
                  stop_price, display, min_quantity, budget, expires, self_trade and reprice.\n\
                  Actions are new, cancel, replace, mass-cancel (of the account, symbol, side, and of \
                  this session with yes in the column mine), deposit, withdraw and transfer."
)]
pub(super) struct Args {
    /// The file
    #[arg(value_name = "FILE.csv")]
    file: PathBuf,
    /// Message ids are PREFIX-LINE: sending the file again gives the same answers [default: new ones]
    #[arg(long, value_name = "PREFIX")]
    message_ids: Option<String>,
    /// Commands that may wait for their answers
    #[arg(long, default_value_t = 1024, value_parser = clap::value_parser!(u16).range(1..=1024))]
    window: u16,
    #[command(flatten)]
    connection: Connection,
}

/// The last line, as a script reads it.
#[derive(Debug, Default, Serialize)]
struct Summary {
    sent: u64,
    /// Commands that got a sequence and an answer; the exchange may have rejected them.
    acknowledged: u64,
    /// Commands that were not done, by reason: acknowledged ones, and those that got no sequence.
    rejected: BTreeMap<String, u64>,
    /// Commands whose outcome is not known.
    unanswered: u64,
    seconds: f64,
}

/// A command to send.
struct Job {
    line: usize,
    command: Command,
}

pub(super) fn run(args: &Args, global: &Global) -> Outcome {
    let text = read(args)?;
    let shown = args.file.display();
    let lines = csv::parse(&text).map_err(|errors| wrong(args, &errors))?;
    let mut link = Link::open(&args.connection, global, "file")?;
    let own = link.number();
    let mut errors = Vec::new();
    let mut jobs = Vec::with_capacity(lines.len());
    for line in lines {
        match line.request.build(&link.venue, own) {
            Ok(command) => jobs.push(Job { line: line.number, command }),
            Err(error) => errors.push(LineError {
                line: line.number,
                column: error.column.to_owned(),
                text: error.text,
            }),
        }
    }
    if !errors.is_empty() {
        return Err(wrong(args, &errors));
    }
    let prefix = match &args.message_ids {
        Some(prefix) => prefix.clone(),
        None => format!("{}-{}", link.session(), random_hex()?),
    };
    let mut sender = Sender::new(&jobs, &prefix, global.output());
    let ended = sender.send(&mut link, usize::from(args.window));
    sender.finish();
    let summary = sender.summary;
    show(&summary, global.output());
    if let Err(why) = ended {
        return Err(Failure::node(format_args!(
            "{why}: the outcome of {} commands is unknown; send {shown} again with --message-ids \
             {prefix}, which gives their answers or sends them, never twice",
            summary.unanswered
        )));
    }
    link.close();
    match summary.rejected.values().sum::<u64>() {
        0 => Ok(()),
        count => {
            Err(Failure::bad(format_args!("{count} of {} commands were rejected", summary.sent)))
        }
    }
}

fn read(args: &Args) -> Result<String, Failure> {
    let shown = args.file.display();
    let failed = |error| Failure::usage(format_args!("cannot read {shown}: {error}"));
    let length = std::fs::metadata(&args.file).map_err(failed)?.len();
    if length > FILE_MAX_BYTES {
        return Err(Failure::usage(format_args!(
            "{shown} has {length} bytes, more than {FILE_MAX_BYTES}: send it in parts"
        )));
    }
    let bytes = std::fs::read(&args.file).map_err(failed)?;
    String::from_utf8(bytes).map_err(|_| Failure::usage(format_args!("{shown} is no UTF-8 text")))
}

/// Says what is wrong with the file, one line an error.
fn wrong(args: &Args, errors: &[LineError]) -> Failure {
    let shown: Vec<String> = errors.iter().take(ERRORS_SHOWN).map(ToString::to_string).collect();
    let mut text = format!("{}, nothing was sent: {}", args.file.display(), shown.join("; "));
    if errors.len() > ERRORS_SHOWN {
        text.push_str(&format!("; and {} more lines", errors.len() - ERRORS_SHOWN));
    }
    Failure::usage(text)
}

fn show(summary: &Summary, output: Output) {
    if output.is_json() {
        output.object(summary);
        return;
    }
    let Summary { sent, acknowledged, rejected, unanswered, seconds } = summary;
    let count: u64 = rejected.values().sum();
    output.line(format_args!(
        "sent {sent}, acknowledged {acknowledged}, rejected {count}, in {seconds:.3} s"
    ));
    for (reason, count) in rejected {
        output.line(format_args!("  {count} {reason}"));
    }
    if *unanswered > 0 {
        output.line(format_args!("  {unanswered} without an answer"));
    }
}

/// Sends jobs and takes answers.
struct Sender<'a> {
    jobs: &'a [Job],
    prefix: &'a str,
    output: Output,
    started: Instant,
    /// Jobs that were sent.
    sent: usize,
    /// The request of the first job.
    first: Option<RequestId>,
    /// Commands that were answered and got no sequence.
    refused: u64,
    /// Answers that wait for fills, by their sequence.
    open: BTreeMap<u64, (Answered, usize)>,
    summary: Summary,
}

impl<'a> Sender<'a> {
    fn new(jobs: &'a [Job], prefix: &'a str, output: Output) -> Sender<'a> {
        Sender {
            jobs,
            prefix,
            output,
            started: Instant::now(),
            sent: 0,
            first: None,
            refused: 0,
            open: BTreeMap::new(),
            summary: Summary::default(),
        }
    }

    /// Sends everything and waits for all answers; why not all came.
    fn send(&mut self, link: &mut Link, window: usize) -> Result<(), String> {
        let mut deadline = Instant::now() + link.timeout;
        loop {
            self.submit(link, window)?;
            if self.sent == self.jobs.len() && link.client.in_flight() == 0 && self.open.is_empty()
            {
                return Ok(());
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(format!("no answer within {} s", link.timeout.as_secs()));
            }
            let mut lost = None;
            let venue = &link.venue;
            let count = link.client.poll(Some(left), |reply| match severed(&reply) {
                Some(Lost::Unknown(why)) => lost = Some(why),
                Some(Lost::Refused { .. }) | None => {
                    if let Err(why) = self.take(&reply, venue) {
                        lost = Some(why);
                    }
                }
            });
            if let Some(lost) = lost {
                return Err(lost);
            }
            if count.map_err(|error| error.to_string())? > 0 {
                deadline = Instant::now() + link.timeout;
            }
        }
    }

    fn submit(&mut self, link: &mut Link, window: usize) -> Result<(), String> {
        let now = now_ms();
        while let Some(job) = self.jobs.get(self.sent) {
            if !link.client.has_room() || link.client.in_flight() >= window {
                return Ok(());
            }
            let message_id = self.message_id(job.line);
            let options = Options {
                message_id: Some(&message_id),
                timestamp_ms: Some(now),
                ..Options::default()
            };
            match link.client.submit(&job.command, &options) {
                Ok(request) => {
                    self.first.get_or_insert(request);
                    self.sent += 1;
                }
                Err(SubmitError::WindowFull) => return Ok(()),
                Err(error) => return Err(format!("line {}: {error}", job.line)),
            }
        }
        Ok(())
    }

    fn message_id(&self, line: usize) -> String {
        format!("{}-{line}", self.prefix)
    }

    /// The job that a request sent. Requests are numbered one by one.
    fn job_of(&self, request: RequestId) -> Option<usize> {
        let index = usize::try_from(request.0.checked_sub(self.first?.0)?).ok()?;
        (index < self.sent).then_some(index)
    }

    fn take(&mut self, reply: &Reply<'_>, venue: &Venue) -> Result<(), String> {
        match reply {
            Reply::Answer { request, again, view } => {
                let Some(index) = self.job_of(*request) else { return Ok(()) };
                let instrument = self.instrument(index, venue);
                let message_id = self.message_id(self.jobs[index].line);
                let answered = Answered::of(&message_id, view, *again, instrument);
                self.answered(answered, index);
            }
            Reply::Fill(fill) => {
                let Some((_, index)) = self.open.get(&fill.sequence.0) else { return Ok(()) };
                let instrument = self.instrument(*index, venue);
                let (mut answered, index) =
                    self.open.remove(&fill.sequence.0).expect("it was found above");
                answered.take(fill, instrument);
                self.answered(answered, index);
            }
            Reply::Reject { request: Some(request), reject } => {
                let Some(index) = self.job_of(*request) else { return Ok(()) };
                let message_id = self.message_id(self.jobs[index].line);
                self.answered(Answered::refused(&message_id, reject.reason), index);
            }
            Reply::Reject { request: None, reject } => {
                return Err(format!("{}: {}", reject.reason, reject.text));
            }
            _ => {}
        }
        Ok(())
    }

    fn instrument<'v>(&self, index: usize, venue: &'v Venue) -> Option<&'v Instrument> {
        self.jobs[index].command.instrument().and_then(|id| venue.instrument_of(id))
    }

    fn answered(&mut self, mut answered: Answered, index: usize) {
        if let Some(sequence) = answered.sequence().filter(|_| answered.is_open()) {
            self.open.insert(sequence, (answered, index));
            return;
        }
        answered.line = Some(self.jobs[index].line);
        match answered.sequence() {
            Some(_) => self.summary.acknowledged += 1,
            None => self.refused += 1,
        }
        if let Some(reason) = &answered.reject_reason {
            *self.summary.rejected.entry(reason.clone()).or_default() += 1;
        }
        answer::show(&answered, self.output);
    }

    fn finish(&mut self) {
        let summary = &mut self.summary;
        summary.sent = self.sent as u64;
        summary.unanswered = summary.sent - summary.acknowledged - self.refused;
        summary.seconds = self.started.elapsed().as_secs_f64();
    }
}
