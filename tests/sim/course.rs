//! The course of orders and sessions, followed through journal and event log without the exchange: which
//! orders live, what every session was told, and what time has to bring.
//!
//! Each invariant is an assertion whose first words are its name.

use super::ledger::{Rec, Truth};
use openoutcry::command::{Command, MassCancel};
use openoutcry::event::{CommandResult, Event, EventBody, OrderUpdate, RejectReason, Trade};
use openoutcry::exchange::Exchange;
use openoutcry::journal::format::RecordKind;
use openoutcry::limits::{ANSWER_FILLS_MAX, ORDERS_PER_STEP};
use openoutcry::types::{
    AccountId, InstrumentId, OrderChange, OrderId, Quantity, SessionId, Side, Sides, Status, TimeNs,
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// A live order.
#[derive(Clone, Copy, Debug)]
struct Live {
    account: AccountId,
    instrument: InstrumentId,
    side: Side,
    session: SessionId,
    leaves: Quantity,
    /// When it ends by itself; 0 where it does not, or where only the exchange knows.
    expires: TimeNs,
    /// The record in which it came into the market, where it was a stop: what it loses there instead of
    /// trading with its owner is told behind its fills.
    came: u64,
}

/// What is to become of a session's orders.
#[derive(Clone, Copy, Debug)]
struct Grace {
    grace_ms: u32,
    /// Since when the session is away.
    away: Option<TimeNs>,
    /// The first record by whose time its grace was over.
    over: Option<u64>,
}

/// How much happened, for the report.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Happened {
    pub(crate) updates: u64,
    pub(crate) ticks: u64,
    pub(crate) epoch_starts: u64,
    /// Mass cancels that were done, and those of them that another record than their own ended.
    pub(crate) mass_cancels: u64,
    pub(crate) in_steps: u64,
}

impl Happened {
    pub(crate) fn add(&mut self, other: &Happened) {
        self.updates += other.updates;
        self.ticks += other.ticks;
        self.epoch_starts += other.epoch_starts;
        self.mass_cancels += other.mass_cancels;
        self.in_steps += other.in_steps;
    }
}

/// Where things stand behind a record.
#[derive(Default)]
pub(crate) struct Course {
    live: BTreeMap<OrderId, Live>,
    outbound: BTreeMap<SessionId, u64>,
    active: BTreeSet<SessionId>,
    /// Sessions whose grace was over once.
    lost: BTreeSet<SessionId>,
    graces: BTreeMap<SessionId, Grace>,
    /// Mass cancels that are not done, by the sequences of their commands.
    walks: VecDeque<(u64, SessionId, MassCancel)>,
    /// Up to here records may go on with cancelling many.
    many_until: u64,
    /// Orders that the first of them has cancelled.
    canceled: i64,
    pub(crate) happened: Happened,
}

impl Course {
    /// Follows everything.
    pub(crate) fn of(truth: &Truth) -> Course {
        let mut course = Course::default();
        let mut events = truth.events.as_slice();
        for (sequence, record) in (1..).zip(&truth.records) {
            let count = events.iter().take_while(|event| event.sequence.0 == sequence).count();
            let (its, rest) = events.split_at(count);
            course.record(sequence, record, its);
            events = rest;
        }
        assert!(events.is_empty(), "events have records");
        course
    }

    fn record(&mut self, sequence: u64, record: &Rec, events: &[Event]) {
        let mut due = false;
        for (session, grace) in &mut self.graces {
            let end = grace.away.map(|since| since.0 + u64::from(grace.grace_ms) * 1_000_000);
            if grace.over.is_none() && end.is_some_and(|end| end <= record.time.0) {
                grace.over = Some(sequence);
                self.lost.insert(*session);
                due = true;
            }
        }
        if self.live.len() >= ORDERS_PER_STEP && (due || !self.walks.is_empty()) {
            self.many_until = sequence + 10;
        }
        match record.kind {
            RecordKind::Tick => {
                // A step of a mass cancel may look at orders that it does not take, and what takes those of
                // a session that is away does not say when it is done.
                let goes_on = sequence <= self.many_until;
                let has_reason = due || goes_on || !events.is_empty();
                assert!(has_reason, "a tick has a reason: {sequence}");
                self.happened.ticks += 1;
            }
            RecordKind::EpochStart => self.happened.epoch_starts += 1,
            _ => {}
        }
        for event in events {
            match &event.body {
                EventBody::Result(result) => self.result(sequence, record, result),
                EventBody::MakerFill(fill) => {
                    self.number(fill.session, fill.outbound, 1);
                    let order = self.live.get_mut(&fill.order_id);
                    let order = order.unwrap_or_else(|| panic!("what trades is live: {fill:?}"));
                    let before = fill.leaves.0 + fill.quantity.0;
                    let adds_up = if order.came == sequence {
                        order.leaves.0 >= before
                    } else {
                        order.leaves.0 == before
                    };
                    assert!(adds_up, "fills add up: {sequence} {fill:?} {order:?}");
                    assert_eq!(order.session, fill.session, "who entered it is told");
                    order.leaves = fill.leaves;
                    if fill.leaves.0 == 0 {
                        self.live.remove(&fill.order_id);
                    }
                }
                EventBody::Update(update) => self.update(sequence, record.time, update),
                EventBody::Session(change) if change.session.0 > 0 => {
                    let last = self.outbound.get(&change.session).copied().unwrap_or(0);
                    assert_eq!(change.outbound, last, "a session's numbers have no gap");
                    if change.active {
                        self.begins(change.session, record.cancels_when_away);
                    } else {
                        self.ends(change.session, record.time);
                    }
                }
                EventBody::Trade(trade) => self.trade(sequence, trade),
                EventBody::Sent(sent) => self.number(sent.session, sent.outbound, 1),
                EventBody::Session(_) | EventBody::Balance(_) => {}
            }
        }
        // All are away when it is over, and not before what was due by then.
        if record.kind == RecordKind::EpochStart {
            for session in std::mem::take(&mut self.active) {
                self.away(session, record.time);
            }
        }
    }

    /// Nobody is told of an order that no session entered: the trade alone says what is left of it.
    fn trade(&mut self, sequence: u64, trade: &Trade) {
        let maker = self.live.get_mut(&trade.maker_order);
        let maker = maker.unwrap_or_else(|| panic!("what trades is live: {sequence} {trade:?}"));
        if maker.session.0 > 0 {
            return;
        }
        let before = trade.maker_leaves.0 + trade.quantity.0;
        assert_eq!(maker.leaves.0, before, "fills add up: {sequence} {trade:?}");
        maker.leaves = trade.maker_leaves;
        if trade.maker_leaves.0 == 0 {
            self.live.remove(&trade.maker_order);
        }
    }

    /// A session is given `count` numbers from `first` on.
    fn number(&mut self, session: SessionId, first: u64, count: u64) {
        if session.0 == 0 {
            assert_eq!(first, 0, "nobody has no numbers");
            return;
        }
        let last = self.outbound.entry(session).or_default();
        assert_eq!(first, *last + 1, "a session's numbers have no gap: {session}");
        *last += count;
    }

    fn begins(&mut self, session: SessionId, cancels_when_away: bool) {
        self.active.insert(session);
        if let Some(grace) = self.graces.get_mut(&session) {
            (grace.away, grace.over) = (None, None);
        }
        if cancels_when_away {
            let usual = Grace { grace_ms: 0, away: None, over: None };
            self.graces.entry(session).or_insert(usual);
        }
    }

    fn ends(&mut self, session: SessionId, time: TimeNs) {
        if self.active.remove(&session) {
            self.away(session, time);
        }
    }

    fn away(&mut self, session: SessionId, time: TimeNs) {
        if let Some(grace) = self.graces.get_mut(&session) {
            grace.away = Some(time);
        }
    }

    fn result(&mut self, sequence: u64, record: &Rec, result: &CommandResult) {
        let further = u64::from(result.fill_count).saturating_sub(ANSWER_FILLS_MAX as u64);
        self.number(result.session, result.outbound, 1 + further);
        assert_eq!(result.session, record.session, "who sent it is answered");
        let Some(command) = &record.command else { return };
        let changed = matches!(result.reason, None | Some(RejectReason::SelfTradePrevented));
        if !changed {
            return;
        }
        match command {
            Command::MassCancel(cancel) => {
                assert_eq!(result.status, Status::Done);
                self.walks.push_back((sequence, record.session, *cancel));
            }
            Command::CancelOnDisconnect(wish) => {
                self.graces.remove(&record.session);
                if wish.enabled == 1 {
                    let is_away = !self.active.contains(&record.session);
                    let away = is_away.then_some(record.time);
                    let grace = Grace { grace_ms: wish.grace_ms, away, over: None };
                    self.graces.insert(record.session, grace);
                }
            }
            Command::NewOrder(order) if result.leaves.0 > 0 => {
                let (account, side) = (order.account, order.side);
                let expires = TimeNs(0);
                self.opens(sequence, result, (account, order.instrument, side), expires);
            }
            Command::EnterOrder(order) if result.leaves.0 > 0 => {
                let (account, side, expires) = (order.account, order.side, order.expires);
                self.opens(sequence, result, (account, order.instrument, side), expires);
            }
            Command::CancelOrder(_) => {
                let was = self.live.remove(&result.order_id);
                assert!(was.is_some(), "an order ends once: {sequence} {result:?}");
            }
            Command::ReplaceOrder(_) => {
                let order = self.live.get_mut(&result.order_id);
                let order = order.unwrap_or_else(|| panic!("what is replaced is live: {result:?}"));
                order.leaves = result.leaves;
                if result.leaves.0 == 0 {
                    self.live.remove(&result.order_id);
                }
            }
            _ => {}
        }
    }

    fn opens(
        &mut self,
        sequence: u64,
        result: &CommandResult,
        (account, instrument, side): (AccountId, InstrumentId, Side),
        expires: TimeNs,
    ) {
        let (session, leaves) = (result.session, result.leaves);
        assert_eq!(result.order_id.0, sequence, "an order has its command's number");
        let live = Live { account, instrument, side, session, leaves, expires, came: 0 };
        self.live.insert(result.order_id, live);
    }

    fn update(&mut self, sequence: u64, time: TimeNs, update: &OrderUpdate) {
        self.happened.updates += 1;
        self.number(update.session, update.outbound, 1);
        if update.change == OrderChange::MassCancelDone {
            let walk = self.walks.pop_front();
            let (number, teller, _) = walk.expect("what is done was begun");
            assert_eq!(
                (update.order_id.0, update.session),
                (number, teller),
                "mass cancels in turn"
            );
            let canceled = std::mem::take(&mut self.canceled);
            assert_eq!(update.quantity.0, canceled, "a mass cancel counts its orders: {number}");
            self.happened.mass_cancels += 1;
            self.happened.in_steps += u64::from(number != sequence);
            return;
        }
        let order = self.live.get_mut(&update.order_id);
        let order = order.unwrap_or_else(|| panic!("what changes is live: {sequence} {update:?}"));
        assert_eq!(order.session, update.session, "who entered it is told");
        match update.change {
            OrderChange::Triggered | OrderChange::Repriced => {
                assert_eq!(order.leaves, update.leaves, "it keeps its quantity: {update:?}");
                if update.change == OrderChange::Triggered {
                    order.came = sequence;
                }
                return;
            }
            OrderChange::Reduced => {
                let was_told = order.came == sequence && update.leaves == order.leaves;
                let loses = update.leaves < order.leaves;
                assert!(loses || was_told, "it loses quantity: {update:?}");
                assert!(update.leaves.0 > 0, "and lives: {update:?}");
                order.leaves = update.leaves;
                return;
            }
            OrderChange::Expired => {
                assert!(order.expires <= time, "an order lives as long as it said: {update:?}");
            }
            OrderChange::MassCanceled => {
                let (number, _, cancel) = self.walks.front().expect("one was begun");
                let takes = (cancel.account.0 == 0 || cancel.account == order.account)
                    && (cancel.instrument.0 == 0 || cancel.instrument == order.instrument)
                    && (cancel.session.0 == 0 || cancel.session == order.session)
                    && match cancel.sides {
                        Sides::Both => true,
                        Sides::Buy => order.side == Side::Buy,
                        Sides::Sell => order.side == Side::Sell,
                    };
                assert!(takes, "a mass cancel takes what it names: {cancel:?} {order:?}");
                assert!(update.order_id.0 < *number, "a mass cancel takes what was there");
                self.canceled += 1;
            }
            OrderChange::Disconnected => {
                let was_lost = self.lost.contains(&order.session);
                assert!(was_lost, "a session that is there keeps its orders: {update:?}");
            }
            OrderChange::SelfTrade | OrderChange::Unfilled | OrderChange::MassCancelDone => {}
        }
        assert_eq!(update.leaves.0, 0, "it has ended: {update:?}");
        self.live.remove(&update.order_id);
    }

    /// Compares with the exchange at the same record.
    pub(crate) fn compare(&self, exchange: &Exchange) {
        for (id, live) in &self.live {
            let order = exchange.order(*id);
            let order = order.unwrap_or_else(|| panic!("an end is told: {id:?} {live:?}"));
            assert_eq!((order.leaves, order.session), (live.leaves, live.session), "{id:?}");
        }
        assert_eq!(exchange.order_count(), self.live.len(), "what lives was entered");
        for (session, last) in &self.outbound {
            let outbound = exchange.session(*session).map(|session| session.outbound);
            assert_eq!(outbound, Some(*last), "numbers are given for what is told: {session}");
        }
    }

    /// Nothing is left undone of what was due at this time, at which no record is on its way.
    pub(crate) fn is_done_at(&self, time: TimeNs) {
        assert!(self.walks.is_empty(), "mass cancels come to an end: {:?}", self.walks);
        for (id, live) in &self.live {
            let is_over = live.expires.0 > 0 && live.expires <= time;
            assert!(!is_over, "an order ends in time: {id:?} {live:?} at {time:?}");
            let Some(grace) = self.graces.get(&live.session) else { continue };
            let end = grace.away.map(|since| since.0 + u64::from(grace.grace_ms) * 1_000_000);
            let is_over = end.is_some_and(|end| end <= time.0);
            let is_older = grace.over.is_none_or(|over| id.0 < over);
            assert!(!is_over || !is_older, "a grace ends in time: {id:?} {live:?} {grace:?}");
        }
    }
}
