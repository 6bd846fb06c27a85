//! The critical lane: the one thread that writes books, balances and session numbers.
//!
//! It takes the sequenced ring in order, applies records, answers queries at the place where they
//! stand, and publishes what follows: events to the writer of its event log, answers to the gateways.
//! Both rings may be full; then it stops in the middle of a command's events and goes on there next
//! time, so that nothing is lost and nothing waits. Answers of a batch that has not ended are no reason
//! to stop: they leave when the batch is released, it is released when it has ended, and its end
//! stands behind them in the ring that this lane alone could free.

use crate::admin::Controls;
use crate::agent::Agent;
use crate::event::{Balance, Event, EventBody, RejectReason};
use crate::exchange::{BookRow, Context, Directory, Exchange, LimitsAsked, Outbox, Shown};
use crate::journal::format::RecordKind;
use crate::journal::payload::{self, SessionLogon};
use crate::lanes::apply::{self, Input};
use crate::lanes::batch_size::LaneBatch;
use crate::message::{Message, MessageKind, Origin};
use crate::publish::outbound::{Body, Derived, Outbound, Row};
use crate::ring::{Cursor, Full, Latest, Reader, Take, Writer};
use crate::sequencer::{Entry, NO_DEADLINE, Sequenced};
use crate::stats::{CRITICAL, Stats};
use crate::sys::clock::Clock;
use crate::types::{Quantity, Sequence, SessionId, TimeNs};
use crate::wire::message::{AccountQuery, BookQuery, LimitsQuery};
use crate::wire::query::{
    BalanceRow, BookLevel, BookOrder, CollarRow, OrderRow, PositionLimitRow, RestrictedRow,
};
use crossbeam::channel::Sender;
use std::collections::VecDeque;
use std::sync::Arc;

/// Slots taken from the sequenced ring in one round.
const ROUND_MAX: usize = 1024;

/// Where the critical lane's results go.
pub struct Outputs {
    /// To the writer of the event log.
    pub events: Writer<Derived>,
    /// To each gateway, in order of their numbers.
    pub answers: Vec<Writer<Outbound>>,
    /// To the writer of the reject log; a full ring loses the entry and counts it.
    pub rejects: Writer<Message>,
    /// The last sequence applied.
    pub applied: Cursor,
    /// When the exchange waits for time, or [`NO_DEADLINE`].
    pub deadline: Cursor,
    /// What gateways know of the state: a new version after each admin command.
    pub directory: Latest<Directory>,
    /// The sequenced settings, for who needs nothing else of it.
    pub controls: Latest<Controls>,
    /// Takes the state when the lane ends.
    pub remains: Sender<Exchange>,
    /// Times turns.
    pub clock: Box<dyn Clock>,
    /// What the lane tells.
    pub stats: Arc<Stats>,
}

/// The critical lane's agent.
pub struct Critical {
    input: Reader<Sequenced>,
    batch: LaneBatch,
    lane: Lane,
}

/// The lane without its input, so that it can work while a slot of the input is borrowed.
struct Lane {
    exchange: Exchange,
    outputs: Outputs,
    outbox: Outbox,
    /// Where each session's client is connected now, by session number.
    routes: Vec<Option<Origin>>,
    /// What is published of the current slot's outcome, and what is still to be published.
    staged: Staged,
    applied: Sequence,
    /// The last sequence whose batch has ended.
    ended: Sequence,
}

/// Outcomes on their way into the rings: events of the slot in hand, answers of slots in the batch.
#[derive(Default)]
struct Staged {
    /// Answers, in order.
    answers: VecDeque<Outbound>,
    events_done: usize,
    /// Time of the record in hand.
    time: TimeNs,
    batch_end: Option<Derived>,
    /// Slots published since the lane was asked how much it did.
    published: usize,
}

impl Critical {
    /// A lane that goes on with this state.
    #[must_use]
    pub fn new(
        exchange: Exchange,
        input: Reader<Sequenced>,
        mut batch: LaneBatch,
        outputs: Outputs,
    ) -> Critical {
        outputs.stats.lanes[CRITICAL].batch_max.set(batch.of_round(0) as u64);
        let lane = Lane {
            exchange,
            applied: outputs.applied.get(),
            ended: outputs.applied.get(),
            outputs,
            outbox: Outbox::default(),
            routes: Vec::new(),
            staged: Staged::default(),
        };
        Critical { input, batch, lane }
    }

    /// The state, for a hash at the end of a run.
    #[must_use]
    pub fn exchange(&self) -> &Exchange {
        &self.lane.exchange
    }

    /// Entries that the reject log has lost because its ring was full.
    #[must_use]
    pub fn rejects_lost(&self) -> u64 {
        self.lane.outputs.stats.lanes[CRITICAL].rejects_lost.get()
    }
}

impl Lane {
    /// Handles one slot of the sequenced ring; its outcome is staged.
    fn handle(&mut self, slot: &Sequenced) {
        self.outbox.clear();
        self.staged.time = slot.time;
        match slot.entry {
            Entry::Record => self.record(slot),
            Entry::Passing => self.passing(slot),
            Entry::Tick => self.own(slot, RecordKind::Tick),
            Entry::EpochStart => self.own(slot, RecordKind::EpochStart),
            Entry::BatchEnd => {
                self.ended = slot.sequence;
                self.staged.batch_end =
                    Some(Derived::BatchEnd { last: slot.sequence, epoch: slot.epoch });
            }
        }
    }

    /// Applies a record of the node's own.
    fn own(&mut self, slot: &Sequenced, kind: RecordKind) {
        let (sequence, time) = (slot.sequence, slot.time);
        let context = Context { sequence, time, ..Context::default() };
        self.apply(&Input { kind, context, schema: 0, payload: &[] });
        self.stage_notes(sequence, (SessionId(0), 0));
    }

    fn record(&mut self, slot: &Sequenced) {
        let head = &slot.message.head;
        let context = Context {
            sequence: slot.sequence,
            time: slot.time,
            session: head.session,
            key: head.key,
            client_sequence: head.client_sequence,
            expires: TimeNs(head.expires_ns),
        };
        let kind = match head.kind {
            MessageKind::SessionLogon => RecordKind::SessionLogon,
            MessageKind::SessionLogout => RecordKind::SessionLogout,
            MessageKind::SessionLost => RecordKind::SessionLost,
            MessageKind::SessionSend => RecordKind::SessionSend,
            MessageKind::Admin => RecordKind::Admin,
            _ => RecordKind::Command,
        };
        let payload = slot.message.command();
        let input = Input { kind, context, schema: head.schema, payload };
        self.apply(&input);
        if kind == RecordKind::Admin {
            // Before the answer leaves: who has it can rely on what it says.
            self.outputs.directory.publish(Directory::of(&self.exchange));
            self.outputs.controls.publish(*self.exchange.controls());
        }
        match kind {
            RecordKind::Command | RecordKind::Admin => self.stage_events(slot),
            RecordKind::SessionLogon => self.stage_logon(slot),
            // Whoever has the session now gets the message, and the numbers of those it waits for.
            RecordKind::SessionSend => self.stage_notes(slot.sequence, (SessionId(0), 0)),
            _ => self.stage_end(slot),
        }
    }

    fn apply(&mut self, input: &Input<'_>) {
        apply::apply(&mut self.exchange, input, &mut self.outbox)
            .expect("the gateway lets through what this release can read and apply");
        self.applied = input.context.sequence;
    }

    /// Stages the answer and the fills of a command.
    fn stage_events(&mut self, slot: &Sequenced) {
        let head = &slot.message.head;
        // Numbers belong to the session: whoever has it now gets them without a gap.
        let heir = self.route(head.session).filter(|route| *route != head.origin);
        let (mut filled, mut fill_count) = (0, 0);
        for event in self.outbox.events() {
            let (to, body) = match &event.body {
                EventBody::Result(result) => {
                    fill_count = result.fill_count;
                    filled = result.filled.0 - traded(self.outbox.events(), fill_count);
                    if heir.is_some() {
                        self.staged.answers.push_back(Outbound {
                            to: head.origin,
                            gate: slot.sequence,
                            client_sequence: head.client_sequence,
                            received_ns: 0,
                            body: Body::Elsewhere,
                        });
                    }
                    let body = heir.map_or(Body::Event(*event), |_| Body::Inherited(*event));
                    (Some(heir.unwrap_or(head.origin)), body)
                }
                // Those of stops that it triggered are told to whoever entered them.
                EventBody::Trade(_) if event.index > fill_count => continue,
                EventBody::Trade(trade) => {
                    filled += trade.quantity.0;
                    let filled = Quantity(filled);
                    (Some(heir.unwrap_or(head.origin)), Body::Trade { event: *event, filled })
                }
                EventBody::MakerFill(fill) => (self.route(fill.session), Body::Event(*event)),
                EventBody::Update(update) => (self.route(update.session), Body::Event(*event)),
                EventBody::Balance(_) | EventBody::Session(_) | EventBody::Sent(_) => continue,
            };
            let Some(to) = to else { continue };
            let (gate, client_sequence) = (slot.sequence, head.client_sequence);
            let received_ns = head.received_ns;
            self.staged.answers.push_back(Outbound {
                to,
                gate,
                client_sequence,
                received_ns,
                body,
            });
        }
    }

    /// Stages what sessions are told of their orders by a record that has no result of its own. The
    /// session that the record began has the numbers up to its last one already, or asks for them.
    fn stage_notes(&mut self, gate: Sequence, begun: (SessionId, u64)) {
        for event in self.outbox.events() {
            let (session, outbound) = match &event.body {
                EventBody::MakerFill(fill) => (fill.session, fill.outbound),
                EventBody::Update(update) => (update.session, update.outbound),
                EventBody::Sent(sent) => (sent.session, sent.outbound),
                _ => continue,
            };
            let is_told = session == begun.0 && outbound <= begun.1;
            let Some(to) = self.route(session).filter(|_| !is_told) else { continue };
            self.staged.answers.push_back(Outbound {
                to,
                gate,
                client_sequence: 0,
                received_ns: 0,
                body: Body::Event(*event),
            });
        }
    }

    fn stage_logon(&mut self, slot: &Sequenced) {
        let head = &slot.message.head;
        let (session, outbound) =
            apply::session_of(&self.outbox).expect("a logon has a session event");
        if session.0 == 0 {
            let reason = if self.exchange.permissions().is_active(head.key) {
                RejectReason::CapacityReached
            } else {
                RejectReason::LogonRefused
            };
            self.answer(slot, Body::LogonFailed(reason));
            self.stage_notes(slot.sequence, (session, outbound));
            return;
        }
        let index = session.0 as usize;
        if self.routes.len() <= index {
            self.routes.resize(index + 1, None);
        }
        if let Some(before) = self.routes[index].replace(head.origin) {
            self.staged.answers.push_back(Outbound {
                to: before,
                gate: slot.sequence,
                client_sequence: 0,
                received_ns: 0,
                body: Body::TakenOver,
            });
        }
        let record: SessionLogon = payload::head(slot.message.command()).expect("it was applied");
        let last_received = record.last_received_outbound.get();
        let key = head.key;
        self.answer(slot, Body::LoggedOn { session, key, outbound, last_received });
        self.stage_notes(slot.sequence, (session, outbound));
    }

    fn stage_end(&mut self, slot: &Sequenced) {
        self.stage_notes(slot.sequence, (SessionId(0), 0));
        let head = &slot.message.head;
        if let Some(route) = self.routes.get_mut(head.session.0 as usize)
            && *route == Some(head.origin)
        {
            *route = None;
        }
        self.answer_end(slot);
    }

    fn answer_end(&mut self, slot: &Sequenced) {
        let lost = slot.message.head.kind == MessageKind::SessionLost;
        self.answer(slot, if lost { Body::Lost } else { Body::LoggedOut });
    }

    /// Where the client of a session is connected now.
    fn route(&self, session: SessionId) -> Option<Origin> {
        self.routes.get(session.0 as usize).copied().flatten()
    }

    /// What has no sequence keeps its place: it is answered here, when all before it is applied.
    fn passing(&mut self, slot: &Sequenced) {
        match slot.message.head.kind {
            MessageKind::Refuse(reason) => {
                self.log_reject(&slot.message, slot.message.head.kind);
                self.refuse(slot, reason);
            }
            MessageKind::Duplicate(original) => {
                self.log_reject(&slot.message, slot.message.head.kind);
                self.answer(slot, Body::Duplicate(original));
            }
            MessageKind::Query => self.query(slot),
            // Another connection holds the session, which therefore has not ended.
            MessageKind::SessionLogout | MessageKind::SessionLost => self.answer_end(slot),
            // What it had to say is that connection's to say now.
            MessageKind::SessionSend => self.answer(slot, Body::Elsewhere),
            MessageKind::Command | MessageKind::Admin | MessageKind::SessionLogon => {
                unreachable!("the sequencer gives these a sequence")
            }
        }
    }

    /// Hands a message to the reject log: as what `kind` says, a refusal or a duplicate.
    fn log_reject(&mut self, message: &Message, kind: MessageKind) {
        let published = self.outputs.rejects.try_publish(|slot| {
            slot.copy_from(message);
            slot.head.kind = kind;
        });
        if published.is_err() {
            self.outputs.stats.lanes[CRITICAL].rejects_lost.add(1);
        }
    }

    /// Stages the rows that answer a query, or why there are none.
    fn query(&mut self, slot: &Sequenced) {
        let head = &slot.message.head;
        let payload = slot.message.command();
        let answered = match head.schema {
            BookQuery::SCHEMA => BookQuery::decode(payload)
                .map_err(|_| RejectReason::BadPayload)
                .and_then(|query| self.book(slot, &query)),
            AccountQuery::SCHEMA => AccountQuery::decode(payload)
                .map_err(|_| RejectReason::BadPayload)
                .and_then(|query| self.account(slot, &query)),
            LimitsQuery::SCHEMA => LimitsQuery::decode(payload)
                .map_err(|_| RejectReason::BadPayload)
                .and_then(|query| self.limits(slot, &query)),
            _ => Err(RejectReason::UnknownSchema),
        };
        match answered {
            Ok(more) => self.answer(slot, Body::RowsEnd { more }),
            Err(reason) => {
                self.log_reject(&slot.message, MessageKind::Refuse(reason));
                self.refuse(slot, reason);
            }
        }
    }

    fn book(&mut self, slot: &Sequenced, query: &BookQuery) -> Result<bool, RejectReason> {
        let (instrument, orders) = (query.instrument, query.orders);
        let mut rows = Vec::new();
        let summary = self.exchange.book(instrument, query.depth, orders, &mut rows)?;
        let last_price = (summary.last_price.0 != 0).then_some(summary.last_price);
        self.answer(slot, Body::Row(Row::Book { instrument, last_price, orders }));
        for row in rows {
            let BookRow { side, price, quantity, .. } = row;
            let row = if orders {
                Row::Order(BookOrder { side, price, quantity, order_id: row.order_id })
            } else {
                Row::Level(BookLevel { side, price, quantity, orders: row.orders })
            };
            self.answer(slot, Body::Row(row));
        }
        Ok(summary.more)
    }

    fn account(&mut self, slot: &Sequenced, query: &AccountQuery) -> Result<bool, RejectReason> {
        let key = slot.message.head.key;
        if !self.exchange.permissions().may_read(key, query.account) {
            return Err(RejectReason::NotEntitled);
        }
        let (mut balances, mut orders) = (Vec::new(), Vec::new());
        let after = query.after_order;
        let more = self.exchange.account(query.account, after, &mut balances, &mut orders)?;
        self.answer(slot, Body::Row(Row::Account(query.account)));
        for Balance { asset, available, frozen, .. } in balances {
            let row = BalanceRow { asset, available, frozen };
            self.answer(slot, Body::Row(Row::Balance(row)));
        }
        for order in orders {
            let row = OrderRow {
                order_id: order.order_id,
                client_order_id: order.client_order_id,
                instrument: order.instrument,
                side: order.side,
                price: order.price,
                quantity: order.quantity,
                filled: order.filled,
                leaves: order.leaves,
                stop_price: order.stop_price,
                display_quantity: order.display_quantity,
                expires: order.expires,
            };
            self.answer(slot, Body::Row(Row::OpenOrder(row)));
        }
        Ok(more)
    }

    fn limits(&mut self, slot: &Sequenced, query: &LimitsQuery) -> Result<bool, RejectReason> {
        let LimitsQuery { account, instrument, after_account, after_instrument } = *query;
        let asked = LimitsAsked { account, instrument, after: (after_account, after_instrument) };
        let mut shown = Vec::new();
        let next = self.exchange.limits(slot.message.head.key, &asked, &mut shown)?;
        let (after_account, after_instrument) = next.unwrap_or_default();
        self.answer(slot, Body::Row(Row::Limits { after_account, after_instrument }));
        for row in shown {
            match row {
                Shown::Collar(instrument, collar_bps) => {
                    let row = CollarRow { instrument, collar_bps };
                    self.answer(slot, Body::Row(Row::Collar(row)));
                }
                Shown::Account(account) => {
                    self.answer(slot, Body::Row(Row::AccountLimits((&account).into())));
                    for instrument in account.limits.restricted {
                        let row = RestrictedRow { instrument };
                        self.answer(slot, Body::Row(Row::Restricted(row)));
                    }
                }
                Shown::Position(row) => {
                    let row = PositionLimitRow {
                        account: row.account,
                        instrument: row.instrument,
                        net_max: Quantity(row.net_max),
                        gross_max: Quantity(row.gross_max),
                        position: Quantity(row.position),
                        open_buy: Quantity(row.open_buy),
                        open_sell: Quantity(row.open_sell),
                    };
                    self.answer(slot, Body::Row(Row::Position(row)));
                }
            }
        }
        Ok(next.is_some())
    }

    fn refuse(&mut self, slot: &Sequenced, reason: RejectReason) {
        let detail = slot.message.head.detail;
        self.answer(slot, Body::Refused { reason, detail });
    }

    fn answer(&mut self, slot: &Sequenced, body: Body) {
        self.staged.answers.push_back(Outbound {
            to: slot.message.head.origin,
            gate: slot.sequence,
            client_sequence: slot.message.head.client_sequence,
            received_ns: slot.message.head.received_ns,
            body,
        });
    }

    /// Publishes what is staged, as far as the rings take it. An error where the lane has to wait.
    fn publish(&mut self) -> Result<(), Full> {
        let staged = &mut self.staged;
        let events: &[Event] = self.outbox.events();
        let time = staged.time;
        for event in &events[staged.events_done..] {
            self.outputs
                .events
                .try_publish(|slot| *slot = Derived::Event { time, event: *event })?;
            staged.events_done += 1;
            staged.published += 1;
        }
        self.outbox.clear();
        staged.events_done = 0;
        if let Some(end) = staged.batch_end {
            self.outputs.events.try_publish(|slot| *slot = end)?;
            staged.batch_end = None;
            staged.published += 1;
        }
        while let Some(answer) = staged.answers.front() {
            let gateway = &mut self.outputs.answers[usize::from(answer.to.gateway)];
            if gateway.try_publish(|slot| *slot = *answer).is_err() {
                let batch_has_ended = answer.gate <= self.ended;
                return if batch_has_ended { Err(Full) } else { Ok(()) };
            }
            staged.answers.pop_front();
            staged.published += 1;
        }
        Ok(())
    }

    /// Tells how far the lane is, and before that what it waits for: who sees the one sees the other.
    fn tell(&self) {
        let deadline = deadline_of(&self.exchange);
        if deadline != self.outputs.deadline.get() {
            self.outputs.deadline.set(deadline);
        }
        self.outputs.applied.set(self.applied);
    }

    fn take(&mut self, slot: &Sequenced) -> Take {
        self.handle(slot);
        // A question may cost as much as a thousand orders: one a round.
        let asks = slot.entry == Entry::Passing && slot.message.head.kind == MessageKind::Query;
        if self.publish().is_ok() && !asks { Take::Next } else { Take::Last }
    }
}

/// When the exchange waits for time, as a cursor tells it.
#[must_use]
pub fn deadline_of(exchange: &Exchange) -> Sequence {
    exchange.deadline().map_or(NO_DEADLINE, |deadline| Sequence(deadline.0))
}

/// Quantity of a command's trades, which stand behind its result.
fn traded(events: &[Event], fill_count: u32) -> i64 {
    events[1..].iter().take(fill_count as usize).map(quantity).sum()
}

fn quantity(event: &Event) -> i64 {
    if let EventBody::Trade(trade) = &event.body { trade.quantity.0 } else { 0 }
}

impl Agent for Critical {
    fn end(&mut self) {
        let exchange = std::mem::take(&mut self.lane.exchange);
        // A node that nobody asks for its remains has dropped the other end.
        let _ = self.lane.outputs.remains.try_send(exchange);
    }

    fn name(&self) -> &'static str {
        "critical"
    }

    fn do_work(&mut self) -> usize {
        let lane = &mut self.lane;
        let mut handled = 0;
        let mut goes_on = lane.publish().is_ok();
        let waiting = self.input.available();
        let size = self.batch.of_round(waiting as u64);
        let started_ns = if goes_on && waiting > 0 { lane.outputs.clock.monotonic_ns() } else { 0 };
        while goes_on && handled < ROUND_MAX {
            let max = size.min(ROUND_MAX - handled);
            let count = self.input.drain(max, |slot| {
                let take = lane.take(slot);
                goes_on = take == Take::Next;
                take
            });
            if count == 0 {
                break;
            }
            handled += count;
            lane.tell();
        }
        if handled > 0 {
            let stats = &lane.outputs.stats.lanes[CRITICAL];
            stats.batch_max.set(size as u64);
            stats.handled.add(handled as u64);
            let behind = if self.input.has_events() { lane.staged.time } else { TimeNs(0) };
            stats.behind_ns.set(behind.0);
            stats.turn.record(lane.outputs.clock.monotonic_ns() - started_ns, 1);
        }
        // What is published counts too: threads that wait for the rest of an outcome are woken for it.
        handled + std::mem::take(&mut lane.staged.published)
    }
}
