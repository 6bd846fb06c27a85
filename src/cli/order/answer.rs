//! An answer as `order` shows it, and waiting for one.
//!
//! Invariant: an answer is whole: fills that its message had no room for are waited for.

use crate::cli::connect::{Link, Lost};
use crate::cli::output::{Output, Style, time};
use crate::cli::venue;
use crate::client::{Reply, RequestId};
use crate::genesis::Instrument;
use crate::types::{InstrumentId, Price, Quantity, Status};
use crate::wire::answer::{AnswerView, Fill, ROLE_TAKER};
use crate::wire::message::ReasonCode;
use serde::Serialize;

/// A trade of the command.
#[derive(Debug, Clone, Serialize)]
pub(super) struct FillRow {
    price: String,
    quantity: String,
}

/// What became of a command, as a script reads it.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Answered {
    /// The line of the file that it stands on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) line: Option<usize>,
    message_id: String,
    /// Absent (null) where the command was refused before it got one.
    sequence: Option<u64>,
    order_id: Option<u64>,
    status: &'static str,
    filled: String,
    leaves: String,
    fill_count: u32,
    fills: Vec<FillRow>,
    pub(super) reject_reason: Option<String>,
    time: Option<String>,
    /// The answer was given before, to a message with the same id.
    duplicate: bool,
    #[serde(skip)]
    pub(super) reason_text: &'static str,
}

impl Answered {
    /// A command that the exchange has answered.
    pub(super) fn of(
        message_id: &str,
        view: &AnswerView<'_>,
        duplicate: bool,
        instrument: Option<&Instrument>,
    ) -> Answered {
        let answer = &view.answer;
        let fills = view.fills.iter().map(|fill| row(fill.price, fill.quantity, instrument));
        let reason = (answer.reason.0 != 0).then(|| answer.reason.to_string());
        Answered {
            line: None,
            message_id: message_id.to_owned(),
            sequence: Some(answer.sequence.0),
            order_id: (answer.order_id.0 != 0).then_some(answer.order_id.0),
            status: answer.status.as_str(),
            filled: lots(answer.filled, instrument),
            leaves: lots(answer.leaves, instrument),
            fill_count: answer.fill_count,
            fills: fills.collect(),
            reject_reason: reason,
            time: Some(time(answer.time)),
            duplicate,
            reason_text: answer.reason.reason().map_or("", |reason| reason.text()),
        }
    }

    /// A command that was refused before it got a sequence.
    pub(super) fn refused(message_id: &str, reason: ReasonCode) -> Answered {
        Answered {
            line: None,
            message_id: message_id.to_owned(),
            sequence: None,
            order_id: None,
            status: Status::Rejected.as_str(),
            filled: "0".to_owned(),
            leaves: "0".to_owned(),
            fill_count: 0,
            fills: Vec::new(),
            reject_reason: Some(reason.to_string()),
            time: None,
            duplicate: false,
            reason_text: reason.reason().map_or("", |reason| reason.text()),
        }
    }

    /// True while fills are to come that the answer had no room for. An answer that is given again
    /// comes without them.
    pub(super) fn is_open(&self) -> bool {
        !self.duplicate && self.fills.len() < self.fill_count as usize
    }

    /// Takes a fill, if it is one of this command's.
    pub(super) fn take(&mut self, fill: &Fill, instrument: Option<&Instrument>) {
        if fill.role == ROLE_TAKER && Some(fill.sequence.0) == self.sequence {
            self.fills.push(row(fill.price, fill.quantity, instrument));
        }
    }

    /// The command's place in the one order.
    pub(super) fn sequence(&self) -> Option<u64> {
        self.sequence
    }
}

fn row(price: Price, quantity: Quantity, instrument: Option<&Instrument>) -> FillRow {
    let price = instrument.map_or_else(|| price.to_string(), |i| venue::price(i, price));
    FillRow { price, quantity: lots(quantity, instrument) }
}

/// A quantity as decimal text; commands without an instrument have none but 0.
fn lots(lots: Quantity, instrument: Option<&Instrument>) -> String {
    instrument.map_or_else(|| lots.to_string(), |instrument| venue::quantity(instrument, lots))
}

/// Waits for the answer to a request, and for all its fills.
pub(super) fn wait(
    link: &mut Link,
    request: RequestId,
    instrument: Option<InstrumentId>,
    message_id: &str,
) -> Result<Answered, Lost> {
    let instrument = instrument.and_then(|id| link.venue.instrument_of(id)).cloned();
    let instrument = instrument.as_ref();
    let mut answered: Option<Answered> = None;
    link.wait(request, |reply| {
        match reply {
            Reply::Answer { request: found, again, view } if *found == request => {
                answered = Some(Answered::of(message_id, view, *again, instrument));
            }
            Reply::Fill(fill) => {
                if let Some(answered) = &mut answered {
                    answered.take(fill, instrument);
                }
            }
            _ => {}
        }
        answered.take_if(|answered| !answered.is_open())
    })
}

/// Shows an answer.
pub(super) fn show(answered: &Answered, output: Output) {
    if output.is_json() {
        output.object(answered);
        return;
    }
    let line = answered.line.map_or(String::new(), |line| format!("line {line}: "));
    let style = if answered.reject_reason.is_some() { Style::Red } else { Style::Green };
    let mut text = line + &output.styled(style, answered.status);
    if let Some(reason) = &answered.reject_reason {
        text.push_str(&format!(" {reason}"));
    }
    if let Some(sequence) = answered.sequence {
        text.push_str(&format!(", sequence {sequence}"));
    }
    if let Some(order) = answered.order_id {
        let Answered { filled, leaves, .. } = answered;
        text.push_str(&format!(", order {order}, filled {filled}, leaves {leaves}"));
    }
    for FillRow { price, quantity } in &answered.fills {
        text.push_str(&format!(", {quantity} @ {price}"));
    }
    if answered.duplicate {
        text.push_str(", answered before");
    }
    text.push_str(&format!(", message {}", answered.message_id));
    output.line(text);
}
