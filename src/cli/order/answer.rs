//! An answer as `order` shows it, and waiting for one.
//!
//! Invariants: an answer is whole: fills that its message had no room for are waited for; what else the
//! command did to orders of its session is told with it.

use crate::cli::connect::{Link, Lost};
use crate::cli::output::{Output, Style, time};
use crate::cli::venue::{self, Venue};
use crate::client::{Reply, RequestId};
use crate::genesis::Instrument;
use crate::types::{InstrumentId, OrderChange, Price, Quantity, Status};
use crate::wire::answer::{AnswerView, Fill, OrderUpdate, ROLE_TAKER};
use crate::wire::message::ReasonCode;
use serde::Serialize;

/// A trade of the command.
#[derive(Debug, Clone, Serialize)]
pub(super) struct FillRow {
    price: String,
    quantity: String,
}

/// What the command changed of another order of its session.
#[derive(Debug, Clone, Serialize)]
struct UpdateRow {
    change: &'static str,
    order_id: u64,
    client_order_id: u64,
    symbol: Option<String>,
    price: String,
    quantity: String,
    filled: String,
    leaves: String,
}

/// What the command traded of another order of its session.
#[derive(Debug, Clone, Serialize)]
struct OtherFill {
    order_id: u64,
    client_order_id: u64,
    price: String,
    quantity: String,
    filled: String,
    leaves: String,
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
    /// Orders that a mass cancel cancelled.
    #[serde(skip_serializing_if = "Option::is_none")]
    canceled: Option<i64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    updates: Vec<UpdateRow>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    other_fills: Vec<OtherFill>,
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
            canceled: None,
            updates: Vec::new(),
            other_fills: Vec::new(),
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
            canceled: None,
            updates: Vec::new(),
            other_fills: Vec::new(),
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

    /// Takes what a reply tells of other orders of the session, if it is this command that did it.
    pub(super) fn note(&mut self, reply: &Reply<'_>, venue: &Venue) {
        match reply {
            Reply::OrderUpdate(update) => {
                let is_done = update.change == OrderChange::MassCancelDone;
                if is_done && Some(update.order_id.0) == self.sequence {
                    self.canceled = Some(update.quantity.0);
                } else if !is_done && Some(update.sequence.0) == self.sequence {
                    self.updates.push(updated(update, venue));
                }
            }
            Reply::Fill(fill)
                if fill.role != ROLE_TAKER && Some(fill.sequence.0) == self.sequence =>
            {
                self.other_fills.push(other_fill(fill, venue));
            }
            _ => {}
        }
    }

    /// True for a mass cancel that was accepted and of whose end nothing has come yet.
    pub(super) fn is_under_way(&self) -> bool {
        !self.duplicate && self.reject_reason.is_none() && self.canceled.is_none()
    }

    /// The command's place in the one order.
    pub(super) fn sequence(&self) -> Option<u64> {
        self.sequence
    }
}

fn row(price: Price, quantity: Quantity, instrument: Option<&Instrument>) -> FillRow {
    FillRow { price: ticks(price, instrument), quantity: lots(quantity, instrument) }
}

fn updated(update: &OrderUpdate, venue: &Venue) -> UpdateRow {
    let instrument = venue.instrument_of(update.instrument);
    UpdateRow {
        change: update.change.as_str(),
        order_id: update.order_id.0,
        client_order_id: update.client_order_id.0,
        symbol: instrument.map(|found| found.symbol.clone()),
        price: ticks(update.price, instrument),
        quantity: lots(update.quantity, instrument),
        filled: lots(update.filled, instrument),
        leaves: lots(update.leaves, instrument),
    }
}

fn other_fill(fill: &Fill, venue: &Venue) -> OtherFill {
    let instrument = venue.instrument_of(fill.instrument);
    OtherFill {
        order_id: fill.order_id.0,
        client_order_id: fill.client_order_id.0,
        price: ticks(fill.price, instrument),
        quantity: lots(fill.quantity, instrument),
        filled: lots(fill.filled, instrument),
        leaves: lots(fill.leaves, instrument),
    }
}

fn ticks(price: Price, instrument: Option<&Instrument>) -> String {
    instrument.map_or_else(|| price.to_string(), |found| venue::price(found, price))
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
    let venue = std::mem::take(&mut link.venue);
    let waited = link.wait(request, |reply| {
        match reply {
            Reply::Answer { request: found, again, view } if *found == request => {
                answered = Some(Answered::of(message_id, view, *again, instrument));
            }
            other => {
                let answered = answered.as_mut()?;
                if let Reply::Fill(fill) = other {
                    answered.take(fill, instrument);
                }
                answered.note(other, &venue);
            }
        }
        answered.as_ref().filter(|answered| !answered.is_open()).map(|_| ())
    });
    link.venue = venue;
    waited.map(|()| answered.expect("what was waited for is there"))
}

/// Waits until a mass cancel is done.
pub(super) fn wait_for_end(link: &mut Link, request: RequestId, answered: &mut Answered) -> bool {
    let venue = std::mem::take(&mut link.venue);
    let waited = if answered.is_under_way() {
        link.wait(request, |reply| {
            answered.note(reply, &venue);
            (!answered.is_under_way()).then_some(())
        })
    } else {
        Ok(())
    };
    link.venue = venue;
    waited.is_ok()
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
    if let Some(canceled) = answered.canceled {
        text.push_str(&format!(", {canceled} orders cancelled"));
    }
    if answered.duplicate {
        text.push_str(", answered before");
    }
    text.push_str(&format!(", message {}", answered.message_id));
    output.line(text);
    for UpdateRow { change, order_id, price, leaves, .. } in &answered.updates {
        output.line(format_args!("  order {order_id} {change}, price {price}, leaves {leaves}"));
    }
    for OtherFill { order_id, price, quantity, leaves, .. } in &answered.other_fills {
        output.line(format_args!("  order {order_id} {quantity} @ {price}, leaves {leaves}"));
    }
}
