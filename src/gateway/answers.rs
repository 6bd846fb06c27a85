//! Answers: slots of the answers ring become frames in a connection's outbound buffer.

use super::Gateway;
use super::connection::{Connection, Door, Resume, State};
use crate::event::{Event, EventBody, RejectReason};
use crate::exchange::Directory;
use crate::limits::ANSWER_FILLS_MAX;
use crate::message::{Detail, Origin};
use crate::publish::outbound::{AnswerWanted, Body, Outbound, RestWanted, Row, Wanted};
use crate::publish::rest::PIECE_BYTES;
use crate::ring::Take;
use crate::sequencer::overload::Pressure;
use crate::types::{Quantity, Sequence, SessionId, TimeNs};
use crate::wire::WireError;
use crate::wire::admin::send_directory;
use crate::wire::answer::{Fill, OrderUpdate, write_answer};
use crate::wire::limits::LimitsPage;
use crate::wire::message::{Challenge, LoggedOut, LogonAccepted, Notice, Pong, ReasonCode};
use crate::wire::message::{DirectoryQuery, ReferenceQuery, Reject, SchemaQuery, send, write};
use crate::wire::query::{BookState, send_account, send_reference};
use crate::wire::schemas::send_schemas;
use std::borrow::Cow;
use std::cmp::Ordering;
use std::io::{Read, Write};

/// Slots of the answers ring handled in one cycle.
const DELIVER_MAX: usize = 1 << 16;
/// A client that was told *busy* may try again after so long.
const RETRY_AFTER_MS: u32 = 10;

/// Greets a new connection.
pub(super) fn challenge(out: &mut Vec<u8>, nonce: [u8; 32], time_ns: u64, frame_max: usize) {
    let message = Challenge { nonce, time_ns: TimeNs(time_ns), frame_max: frame_max as u32 };
    send(&message, 0, out);
}

/// Answers a ping.
pub(super) fn pong(out: &mut Vec<u8>, client_sequence: u64, nonce: u64) {
    send(&Pong { nonce }, client_sequence, out);
}

/// Tells that the node is about to stop.
pub(super) fn stopping(out: &mut Vec<u8>) {
    Notice { kind: Notice::STOPPING, text: RejectReason::ShuttingDown.text() }.send(out);
}

/// Refuses a message.
pub(super) fn refuse(
    out: &mut Vec<u8>,
    client_sequence: u64,
    reason: RejectReason,
    detail: Detail,
) {
    let (retry_after_ms, text) = match detail {
        Detail::None => {
            let busy = matches!(reason, RejectReason::Busy | RejectReason::NoSpace);
            (if busy { RETRY_AFTER_MS } else { 0 }, Cow::Borrowed(reason.text()))
        }
        Detail::Schema(schema) => (0, WireError::UnknownSchema(schema).to_string().into()),
        Detail::Overload { lag, retry_after_ms } => {
            let why = if lag == 0 { Pressure::Queues } else { Pressure::Lag(lag.into()) };
            let text = format!("Service temporarily unavailable due to high load: {why}");
            (retry_after_ms, text.into())
        }
        Detail::RateLimit { retry_after_ms } => {
            let expiry_s = retry_after_ms.div_ceil(1_000);
            (retry_after_ms, format!("rate limit error. expiry: {expiry_s}").into())
        }
    };
    Reject { reason: reason.into(), retry_after_ms, text: &text }.send(client_sequence, out);
}

/// Tells that the node is overloaded, or is no longer.
pub(super) fn pressure(out: &mut Vec<u8>, pressure: Pressure) {
    let kind = if pressure == Pressure::None { Notice::NOT_OVERLOADED } else { Notice::OVERLOADED };
    Notice { kind, text: &pressure.to_string() }.send(out);
}

/// Answers a question for assets and instruments.
pub(super) fn reference(
    out: &mut Vec<u8>,
    client_sequence: u64,
    query: &ReferenceQuery,
    directory: &Directory,
) {
    let assets = directory.assets();
    let assets = &assets[assets.len().min(query.after_asset.0 as usize)..];
    let instruments = directory.instruments();
    let instruments = &instruments[instruments.len().min(query.after_instrument.0 as usize)..];
    send_reference(assets, instruments, client_sequence, out);
}

/// Answers a question for keys and settings.
pub(super) fn directory(
    out: &mut Vec<u8>,
    client_sequence: u64,
    query: &DirectoryQuery,
    directory: &Directory,
) {
    let keys = directory.keys();
    let keys = &keys[keys.len().min(query.after_key.0 as usize)..];
    send_directory(directory.version(), directory.controls(), keys, client_sequence, out);
}

/// Answers a question for registered schemas.
pub(super) fn schemas(
    out: &mut Vec<u8>,
    client_sequence: u64,
    query: &SchemaQuery,
    directory: &Directory,
) {
    send_schemas(directory.schemas().after(query.after as usize), client_sequence, out);
}

impl<D: Door> Gateway<D> {
    /// Turns released slots into frames.
    pub(super) fn deliver(&mut self) -> usize {
        let released = self.wiring.released.get();
        // The reader cannot be borrowed together with the connections it is read for.
        let Some(mut answers) = self.answers.take() else { return 0 };
        let count = answers.drain(DELIVER_MAX, |slot| {
            if slot.gate > released {
                return Take::Stop;
            }
            self.deliver_one(slot);
            Take::Next
        });
        self.answers = Some(answers);
        count
    }

    fn deliver_one(&mut self, slot: &Outbound) {
        if completes(&slot.body) || matches!(slot.body, Body::Lost) {
            self.in_flight -= 1;
        }
        self.count(slot);
        if let Body::LoggedOn { session, .. } = slot.body {
            self.begin_session(session, slot.to);
        }
        let heartbeat_ms = u32::try_from(self.limits.idle_timeout_ms).unwrap_or(u32::MAX);
        let mut pool = std::mem::take(&mut self.pool);
        let wanted = self.connection(slot.to).and_then(|connection| {
            if connection.state == State::Finished {
                // It was told that nothing more comes: a fill of a resting order meets nobody.
                return None;
            }
            connection.lend_buffer(&mut pool);
            if completes(&slot.body) {
                connection.in_flight -= 1;
            }
            connection.fetching += u32::from(matches!(slot.body, Body::Duplicate(_)));
            write_slot(connection, slot, heartbeat_ms)
        });
        self.pool = pool;
        if matches!(slot.body, Body::LoggedOn { last_received: 1.., .. }) {
            self.begin_rest(slot.to);
        }
        if let Some(original) = wanted {
            let client_sequence = slot.client_sequence;
            self.replays.push_back(AnswerWanted { to: slot.to, client_sequence, original });
        } else if matches!(slot.body, Body::Duplicate(_)) {
            // Whoever asked again is gone: nobody fetches the answer, and none is owed.
            self.in_flight -= 1;
        }
        self.mark_dirty(slot.to.connection);
        if completes(&slot.body) {
            self.go_on(slot.to);
        }
    }

    /// Tells what the slot says, and when the message it answers was received.
    fn count(&mut self, slot: &Outbound) {
        let stats = self.stats();
        match slot.body {
            Body::Event(Event { body: EventBody::Result(result), .. }) => match result.reason {
                Some(reason) => stats.refuse(reason),
                None => stats.accepted_commands.add(1),
            },
            Body::Refused { reason, .. } | Body::LogonFailed(reason) => stats.refuse(reason),
            Body::Duplicate(_) => stats.duplicates.add(1),
            _ => {}
        }
        if completes(&slot.body) {
            self.count_answer(slot.received_ns);
        }
    }

    /// A connection got an answer: what waited for it may go on.
    fn go_on(&mut self, to: Origin) {
        if let Some(connection) = self.connection(to) {
            connection.waits &= connection.in_flight > 0;
            self.list(to.connection);
        }
    }

    /// The session is this connection's from now on.
    fn begin_session(&mut self, session: SessionId, to: Origin) {
        match self.connection(to) {
            Some(connection) if connection.state != State::Finished => {
                connection.holds_session = true;
            }
            // Gone before it was told: its end is to be sequenced too.
            _ => self.report_end(session, to),
        }
    }

    /// Reads what nobody waits for any more, so that it is in nobody's way.
    pub(super) fn discard_answers(&mut self) -> usize {
        self.answers.as_mut().map_or(0, |answers| answers.drain(DELIVER_MAX, |_| Take::Next))
    }

    fn begin_rest(&mut self, to: Origin) {
        let stopping = self.stopping;
        let Some(connection) = self.connection(to) else { return };
        if let Some(resume) = &mut connection.resume {
            resume.cut = stopping;
            self.resuming.push(to);
        }
    }

    /// Asks for the next piece for everybody who resumes and has taken the one before.
    fn ask_for_rests(&mut self) -> usize {
        let mut count = 0;
        let mut resuming = std::mem::take(&mut self.resuming);
        resuming.retain(|to| {
            let wanted = self.wiring.wanted.clone();
            let Some(connection) = self.connection(*to) else { return false };
            let (session, pending) = (connection.session, connection.pending());
            let Some(resume) = &mut connection.resume else { return false };
            if !resume.asked && !resume.cut && pending < PIECE_BYTES {
                let (after, upto, by) = (resume.reached, resume.upto, resume.by);
                let wish = RestWanted { to: *to, session, after, upto, by };
                resume.asked = wanted.try_send(Wanted::Rest(wish)).is_ok();
                count += usize::from(resume.asked);
            }
            !resume.cut
        });
        resuming.append(&mut self.resuming);
        self.resuming = resuming;
        count
    }

    /// Writes a piece of what a session was sent earlier. Behind the last one it goes on live.
    fn deliver_rest(&mut self, to: Origin, frames: &[u8], reached: u64) {
        let now_ms = self.now_ms;
        let Some(connection) = self.connection(to) else { return };
        let Some(resume) = connection.resume.as_mut().filter(|resume| !resume.cut) else { return };
        (resume.reached, resume.asked) = (reached, false);
        if resume.reached == resume.upto {
            connection.resume = None;
            // Nothing was read meanwhile, so nothing can have been heard.
            connection.received_ms = now_ms;
        }
        connection.outbound().extend_from_slice(frames);
        self.mark_dirty(to.connection);
        self.list(to.connection);
    }

    /// Passes wishes for what the event log holds on, and writes what was found.
    pub(super) fn deliver_found(&mut self) -> usize {
        let mut count = if self.resuming.is_empty() { 0 } else { self.ask_for_rests() };
        while let Some(wanted) = self.replays.front().copied() {
            if self.connection(wanted.to).is_none() {
                // Whoever asked again is gone: nobody is owed the answer.
                self.in_flight -= 1;
            } else if self.wiring.wanted.try_send(Wanted::Answer(wanted)).is_err() {
                break;
            }
            self.replays.pop_front();
            count += 1;
        }
        while let Ok(found) = self.wiring.found.try_recv() {
            count += 1;
            if let Some(reached) = found.reached {
                self.deliver_rest(found.to, &found.frames, reached);
                continue;
            }
            self.in_flight -= 1;
            if let Some(connection) = self.connection(found.to) {
                connection.in_flight -= 1;
                connection.fetching -= 1;
                connection.outbound().extend_from_slice(&found.frames);
                self.mark_dirty(found.to.connection);
                self.go_on(found.to);
            }
        }
        count
    }
}

/// True for the slot that ends what a message of the client is owed. A duplicate is owed its original
/// answer, which comes another way.
fn completes(body: &Body) -> bool {
    match body {
        Body::Event(event) => matches!(event.body, EventBody::Result(_)),
        Body::Refused { .. } | Body::LoggedOn { .. } | Body::LogonFailed(_) => true,
        Body::LoggedOut | Body::RowsEnd { .. } | Body::Elsewhere => true,
        // That a connection is lost is the gateway's own message, not one of the client's.
        Body::Trade { .. } | Body::Duplicate(_) | Body::Row(_) | Body::Lost => false,
        // Its own connection's slot completes it.
        Body::Inherited(_) | Body::TakenOver => false,
    }
}

/// True for what a connection that still gets older messages is not sent now: it stands behind them in
/// the event log, and is read from there in its turn.
fn is_read_back<S>(connection: &mut Connection<S>, body: &Body) -> bool {
    let Some(resume) = &mut connection.resume else { return false };
    let (sequence, last) = match body {
        Body::Event(event) | Body::Inherited(event) => match &event.body {
            EventBody::Result(result) => {
                let further = result.fill_count.saturating_sub(ANSWER_FILLS_MAX as u32);
                (event.sequence, result.outbound + u64::from(further))
            }
            EventBody::MakerFill(fill) => (event.sequence, fill.outbound),
            EventBody::Update(update) => (event.sequence, update.outbound),
            EventBody::Sent(sent) => (event.sequence, sent.outbound),
            _ => (event.sequence, 0),
        },
        Body::Trade { event, .. } => (event.sequence, 0),
        _ => return false,
    };
    resume.upto = resume.upto.max(last);
    resume.by = resume.by.max(sequence);
    true
}

/// Writes a slot's frame, where it makes one whole. Returns the original that a duplicate asks for.
fn write_slot<S: Read + Write>(
    connection: &mut Connection<S>,
    slot: &Outbound,
    heartbeat_ms: u32,
) -> Option<Sequence> {
    let client_sequence = slot.client_sequence;
    let is_numbered = matches!(slot.body, Body::Event(_) | Body::Inherited(_) | Body::Trade { .. });
    if (is_numbered && connection.is_turned_away) || is_read_back(connection, &slot.body) {
        return None;
    }
    match &slot.body {
        Body::Event(event) => write_event(connection, event, false),
        Body::Inherited(event) => write_event(connection, event, true),
        Body::Trade { event, filled } => write_trade(connection, event, *filled),
        Body::Refused { reason, detail } => {
            refuse(connection.outbound(), client_sequence, *reason, *detail);
        }
        Body::Duplicate(original) => return Some(*original),
        Body::LoggedOn { session, outbound, last_received, .. } if last_received > outbound => {
            connection.session = *session;
            connection.is_turned_away = true;
            refuse(
                connection.outbound(),
                client_sequence,
                RejectReason::LogonRefused,
                Detail::None,
            );
            connection.state = State::Closing;
        }
        Body::LoggedOn { session, key, outbound, last_received } => {
            connection.session = *session;
            connection.state = State::Live;
            if (1..*outbound).contains(last_received) {
                let (reached, upto, by) = (*last_received, *outbound, slot.gate);
                connection.resume = Some(Resume { reached, upto, by, asked: false, cut: false });
            }
            let message = LogonAccepted {
                session: *session,
                key: *key,
                role: connection.role,
                outbound: *outbound,
                sequence: slot.gate,
                heartbeat_interval_ms: heartbeat_ms,
            };
            send(&message, client_sequence, connection.outbound());
        }
        Body::LogonFailed(reason) => {
            refuse(connection.outbound(), client_sequence, *reason, Detail::None);
            connection.state = State::Closing;
        }
        Body::LoggedOut => {
            send(&LoggedOut { reason: ReasonCode(0) }, client_sequence, connection.outbound());
        }
        Body::TakenOver => {
            let reason = ReasonCode(RejectReason::LogonRefused as u16);
            send(&LoggedOut { reason }, 0, connection.outbound());
            connection.holds_session = false;
            connection.state = State::Closing;
            if let Some(resume) = &mut connection.resume {
                resume.cut = true;
            }
        }
        Body::Lost | Body::Elsewhere => {}
        Body::Row(row) => connection.assembly.rows.push(*row),
        Body::RowsEnd { more } => write_rows(connection, slot, *more),
    }
    None
}

/// `again` marks what answers a message of an earlier connection.
fn write_event<S: Read + Write>(connection: &mut Connection<S>, event: &Event, again: bool) {
    match &event.body {
        EventBody::Result(result) if result.fill_count == 0 => {
            write_answer(event.sequence, result, [], again, connection.unsealed()).leave_unsealed();
        }
        EventBody::Result(result) => {
            connection.assembly.trades.clear();
            connection.assembly.count = 0;
            connection.assembly.result = Some((event.sequence, *result));
            connection.assembly.again = again;
        }
        EventBody::MakerFill(fill) => {
            write(&Fill::of_maker(event.sequence, event.index, fill), 0, connection.unsealed())
                .leave_unsealed();
        }
        EventBody::Update(update) => {
            let update = OrderUpdate::of(event.sequence, event.index, update);
            write(&update, 0, connection.unsealed()).leave_unsealed();
        }
        EventBody::Trade(_)
        | EventBody::Balance(_)
        | EventBody::Session(_)
        | EventBody::Sent(_) => {}
    }
}

/// The first trades of a command go into its answer, the rest become fills of their own.
fn write_trade<S: Read + Write>(connection: &mut Connection<S>, event: &Event, filled: Quantity) {
    let EventBody::Trade(trade) = &event.body else { return };
    let mut assembly = std::mem::take(&mut connection.assembly);
    if let Some((sequence, result)) = assembly.result {
        if assembly.count < ANSWER_FILLS_MAX {
            assembly.trades.push(*trade);
        }
        assembly.count += 1;
        let carried = (result.fill_count as usize).min(ANSWER_FILLS_MAX);
        let out = connection.unsealed();
        match assembly.count.cmp(&carried) {
            Ordering::Less => {}
            Ordering::Equal => {
                let again = assembly.again;
                write_answer(sequence, &result, &assembly.trades, again, out).leave_unsealed();
            }
            Ordering::Greater => {
                let fill = Fill::of_taker(event, trade, &result, assembly.count, filled);
                write(&fill, 0, out).leave_unsealed();
            }
        }
        if assembly.count == result.fill_count as usize {
            assembly.result = None;
        }
    }
    connection.assembly = assembly;
}

fn write_rows<S: Read + Write>(connection: &mut Connection<S>, slot: &Outbound, more: bool) {
    let rows = std::mem::take(&mut connection.assembly.rows);
    let out = connection.outbound();
    let (sequence, client_sequence) = (slot.gate, slot.client_sequence);
    match rows.first() {
        Some(Row::Book { instrument, last_price, orders }) => {
            let state =
                BookState { sequence, instrument: *instrument, last_price: *last_price, more };
            if *orders {
                let rows: Vec<_> = rows.iter().filter_map(Row::order).collect();
                state.send_orders(&rows, client_sequence, out);
            } else {
                let rows: Vec<_> = rows.iter().filter_map(Row::level).collect();
                state.send_levels(&rows, client_sequence, out);
            }
        }
        Some(Row::Account(account)) => {
            let balances: Vec<_> = rows.iter().filter_map(Row::balance).collect();
            let orders: Vec<_> = rows.iter().filter_map(Row::open_order).collect();
            send_account(sequence, *account, &balances, &orders, more, client_sequence, out);
        }
        Some(Row::Limits { after_account, after_instrument }) => {
            let page = LimitsPage {
                sequence,
                next: more.then_some((*after_account, *after_instrument)),
                collars: rows.iter().filter_map(Row::collar).collect(),
                accounts: rows.iter().filter_map(Row::limits).collect(),
                restricted: rows.iter().filter_map(Row::restricted).collect(),
                positions: rows.iter().filter_map(Row::position).collect(),
            };
            page.send(client_sequence, out);
        }
        _ => unreachable!("the critical lane begins every answer with a head"),
    }
}
