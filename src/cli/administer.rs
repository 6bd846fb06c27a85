//! Sending an admin command and showing its answer, and the directory that tells what is in force.

use super::connect::{Connection, Link, Lost, random_hex};
use super::output::{Output, Style, time};
use super::{Failure, Global, Outcome};
use crate::admin::{AdminCommand, Controls, KeyRow};
use crate::client::{Options, Reply, now_ms};
use crate::types::{KeyId, Status};
use crate::wire::answer::Answer;
use serde::Serialize;

/// How an admin command is sent.
#[derive(Debug, clap::Args)]
pub(super) struct Sending {
    /// Names the message: the same id gives the same answer and is sequenced once [default: a new one]
    #[arg(long, value_name = "ID")]
    message_id: Option<String>,
    /// Time of the message, to repeat one that was sent before [default: now]
    #[arg(long, value_name = "MS")]
    timestamp_ms: Option<i64>,
    #[command(flatten)]
    pub(super) connection: Connection,
}

/// What became of an admin command, as a script reads it.
#[derive(Debug, Serialize)]
struct Answered {
    message_id: String,
    /// Absent (null) where the command was refused before it got one.
    sequence: Option<u64>,
    status: &'static str,
    reject_reason: Option<String>,
    time: Option<String>,
    /// The answer was given before, to a message with the same id.
    duplicate: bool,
    /// What exactly is wrong, where more is known than the reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// Sends the command that `build` makes, in a session of its own.
pub(super) fn run(
    sending: &Sending,
    global: &Global,
    build: impl FnOnce(&mut Link) -> Result<AdminCommand, Failure>,
) -> Outcome {
    run_explained(sending, global, build, |_, _| None)
}

/// As [`run`]; `explain` may say more about an answer that refuses the command.
pub(super) fn run_explained(
    sending: &Sending,
    global: &Global,
    build: impl FnOnce(&mut Link) -> Result<AdminCommand, Failure>,
    explain: impl FnOnce(&mut Link, &Answer) -> Option<String>,
) -> Outcome {
    let mut link = Link::open(&sending.connection, global, "admin")?;
    let command = build(&mut link)?;
    command.check_new().map_err(Failure::usage)?;
    let message_id = match &sending.message_id {
        Some(given) => given.clone(),
        None => format!("{}-{}", link.session(), random_hex()?),
    };
    let timestamp_ms = sending.timestamp_ms.unwrap_or_else(now_ms);
    let options = Options {
        message_id: Some(&message_id),
        timestamp_ms: Some(timestamp_ms),
        possible_duplicate: sending.message_id.is_some() && sending.timestamp_ms.is_some(),
        ..Options::default()
    };
    let request = link.client.administer(&command, &options).map_err(Failure::usage)?;
    let answer = link.wait(request, |reply| match reply {
        Reply::Answer { request: found, again, view } if *found == request => {
            Some((view.answer, *again))
        }
        _ => None,
    });
    let output = global.output();
    match answer {
        Ok((answer, again)) => {
            let refused = answer.reason.0 != 0;
            let error = if refused { explain(&mut link, &answer) } else { None };
            link.close();
            told(&message_id, &answer, again, error, output)
        }
        Err(Lost::Refused { reason, text }) => {
            let reject_reason = Some(reason.to_string());
            let status = Status::Rejected.as_str();
            show(
                &Answered {
                    message_id,
                    sequence: None,
                    status,
                    reject_reason,
                    time: None,
                    duplicate: false,
                    error: None,
                },
                output,
            );
            Err(Failure::node(format_args!("the node refused the message: {reason}: {text}")))
        }
        Err(Lost::Unknown(why)) => Err(Failure::node(format_args!(
            "{why}: the outcome of message {message_id} is unknown; ask again by the same command \
             with --message-id {message_id} --timestamp-ms {timestamp_ms}, which gives its answer or \
             sends it, never twice"
        ))),
    }
}

fn told(
    message_id: &str,
    answer: &Answer,
    duplicate: bool,
    error: Option<String>,
    output: Output,
) -> Outcome {
    let reason = (answer.reason.0 != 0).then(|| answer.reason.to_string());
    show(
        &Answered {
            message_id: message_id.to_owned(),
            sequence: Some(answer.sequence.0),
            status: answer.status.as_str(),
            reject_reason: reason.clone(),
            time: Some(time(answer.time)),
            duplicate,
            error: error.clone(),
        },
        output,
    );
    let words = answer.reason.reason().map_or("", |reason| reason.text());
    let text = error.as_deref().unwrap_or(words);
    match reason {
        None => Ok(()),
        Some(reason) => Err(Failure::bad(format_args!("refused: {reason}: {text}"))),
    }
}

fn show(answered: &Answered, output: Output) {
    if output.is_json() {
        output.object(answered);
        return;
    }
    let style = if answered.reject_reason.is_some() { Style::Red } else { Style::Green };
    let mut text = output.styled(style, answered.status);
    if let Some(reason) = &answered.reject_reason {
        text.push_str(&format!(" {reason}"));
    }
    if let Some(sequence) = answered.sequence {
        text.push_str(&format!(", sequence {sequence}"));
    }
    if answered.duplicate {
        text.push_str(", answered before");
    }
    text.push_str(&format!(", message {}", answered.message_id));
    output.line(text);
}

/// All keys and the sequenced settings.
pub(super) fn directory(link: &mut Link) -> Result<(Controls, Vec<KeyRow>), Failure> {
    link.pages(
        "asking for keys",
        Default::default(),
        |client, (_, keys): &(Controls, Vec<KeyRow>)| {
            client.directory(keys.last().map_or(KeyId(0), |row| row.key))
        },
        |reply, request| match reply {
            Reply::Directory { request: found, view } if *found == request => {
                Some(view.parse().map(|page| (view.more, page)))
            }
            _ => None,
        },
        |(controls, keys), page| {
            let progress = !page.keys.is_empty();
            *controls = page.controls;
            keys.extend(page.keys);
            progress
        },
    )
}
