//! What time brings in the naive exchange: orders end with their time, and with sessions that are away
//! for too long; mass cancels go on.

use crate::exchange::forms::Note;
use crate::exchange::words::SessionStep;
use crate::model::Model;
use crate::model_order::{Judged, Order, ensure};
use openoutcry::command::{CancelOnDisconnect, MassCancel};
use openoutcry::event::RejectReason::*;
use openoutcry::exchange::Context;
use openoutcry::types::{AccountId, InstrumentId, OrderChange, OrderId, SessionId, Side, Sides};
use std::collections::{BTreeMap, VecDeque};

/// Mass cancels under way, of one session and in all.
const SWEEPS: (usize, usize) = (4, 64);
/// Orders of which the time is over, and others that mass cancels look at, with one record.
const ORDERS: (usize, usize) = (64, 128);

/// A mass cancel under way.
#[derive(Clone, Debug)]
pub(crate) struct Sweep {
    pub(crate) asked: MassCancel,
    /// The record that began it.
    pub(crate) id: OrderId,
    /// Who is told when it is done; nobody where orders end with their session.
    pub(crate) teller: Option<SessionId>,
    /// Orders that it has yet to look at; some may have ended.
    ahead: VecDeque<OrderId>,
    pub(crate) canceled: i64,
}

impl Sweep {
    fn takes(&self, order: &Order) -> bool {
        let MassCancel { account: _, instrument, sides, session } = self.asked;
        let others = if order.side == Side::Buy { Sides::Sell } else { Sides::Buy };
        sides != others
            && (instrument.0 == 0 || order.instrument == instrument)
            && (session.0 == 0 || order.session == session)
    }
}

#[derive(Clone, Default)]
pub(crate) struct Time {
    /// Since when each session is away, `u64::MAX` where that was too long; none while it is there.
    pub(crate) sessions: BTreeMap<SessionId, Option<u64>>,
    /// For how many nanoseconds it may be.
    graces: BTreeMap<SessionId, u64>,
    /// The mass cancels under way, in the order in which they began.
    pub(crate) sweeps: Vec<Sweep>,
    /// Orders at which the record may still look.
    looks: usize,
}

impl Model {
    /// What happens with each record before it does anything of its own.
    pub(crate) fn pass_time(&mut self, ctx: &Context) {
        for _ in 0..ORDERS.0 {
            let due = self.orders.iter().filter(|order| self.is_over(order));
            let first = due.min_by_key(|order| (order.expires, order.id)).copied();
            first.iter().for_each(|order| self.end(OrderChange::Expired, order));
        }
        self.time.looks = ORDERS.1;
        self.begin_disconnects(ctx);
        while self.sweep() {
            self.begin_disconnects(ctx);
        }
    }

    /// Begins to cancel the orders of sessions that are away for too long, while there is room.
    fn begin_disconnects(&mut self, ctx: &Context) {
        while self.time.sweeps.len() < SWEEPS.1 {
            let Time { sessions, graces, .. } = &self.time;
            let due =
                graces.iter().filter_map(|(id, ns)| Some((sessions[id]?.saturating_add(*ns), *id)));
            let Some((_, session)) = due.filter(|(due, _)| *due <= self.now).min() else { return };
            self.time.sessions.insert(session, Some(u64::MAX));
            let (account, instrument) = (AccountId(0), InstrumentId(0));
            let asked = MassCancel { account, instrument, sides: Sides::Both, session };
            self.begin(ctx, asked, None);
        }
    }

    fn begin(&mut self, ctx: &Context, asked: MassCancel, teller: Option<SessionId>) {
        let is_asked = |o: &&Order| asked.account.0 == 0 || o.account == asked.account;
        let mut ahead: Vec<&Order> = self.orders.iter().filter(is_asked).collect();
        ahead.sort_by_key(|order| (order.account, order.id));
        let (id, ahead) = (OrderId(ctx.sequence.0), ahead.iter().map(|order| order.id).collect());
        self.time.sweeps.push(Sweep { asked, id, teller, ahead, canceled: 0 });
    }

    /// Goes on with the first mass cancel as far as the record may; true where that is done with.
    fn sweep(&mut self) -> bool {
        if self.time.sweeps.is_empty() {
            return false;
        }
        let mut sweep = self.time.sweeps.remove(0);
        let session = sweep.asked.session;
        while let Some(id) = sweep.ahead.pop_front() {
            let Some(order) = self.orders.iter().find(|order| order.id == id).copied() else {
                continue;
            };
            // One of a session's orders is done with the last of them.
            if session.0 != 0 && self.orders.iter().all(|order| order.session != session) {
                break;
            }
            if self.time.looks == 0 {
                sweep.ahead.push_front(id);
                self.time.sweeps.insert(0, sweep);
                return false;
            }
            self.time.looks -= 1;
            if sweep.takes(&order) {
                sweep.canceled += 1;
                let is_mass = sweep.teller.is_some();
                self.end(
                    if is_mass { OrderChange::MassCanceled } else { OrderChange::Disconnected },
                    &order,
                );
            }
        }
        self.notes.push(Note::Done(sweep));
        true
    }

    pub(crate) fn mass_cancel(&mut self, ctx: &Context, c: &MassCancel) -> Judged {
        if c.account.0 != 0 {
            self.account(c.account)?;
        }
        if c.instrument.0 != 0 {
            self.instrument(c.instrument)?;
        }
        let Time { sessions, sweeps, .. } = &self.time;
        let is_known = c.session.0 == 0 || sessions.contains_key(&c.session);
        let own = sweeps.iter().filter(|sweep| sweep.teller == Some(ctx.session)).count();
        let has_room = sweeps.len() < SWEEPS.1 && (ctx.session.0 == 0 || own < SWEEPS.0);
        ensure(&[(is_known, InvalidSession), (has_room, TooManyMassCancels)])?;
        self.begin(ctx, *c, Some(ctx.session));
        while self.sweep() {}
        Ok(())
    }

    pub(crate) fn cancel_on_disconnect(&mut self, ctx: &Context, c: &CancelOnDisconnect) -> Judged {
        let is_right = c.enabled <= 1 && c.grace_ms <= 86_400_000;
        ensure(&[(ctx.session.0 != 0, InvalidSession), (is_right, InvalidGrace)])?;
        let Time { sessions, graces, .. } = &mut self.time;
        graces.remove(&ctx.session);
        if c.enabled == 1 {
            graces.insert(ctx.session, u64::from(c.grace_ms) * 1_000_000);
        }
        // Of one that is away it counts from here.
        sessions.entry(ctx.session).and_modify(|away| *away = away.map(|_| ctx.time.0));
        Ok(())
    }

    /// A session comes or goes.
    pub(crate) fn change_session(&mut self, step: SessionStep) {
        let Time { sessions, graces, .. } = &mut self.time;
        match step {
            SessionStep::Tick => {}
            SessionStep::Logon { session, is_watched } => {
                sessions.insert(session, None);
                if is_watched {
                    graces.entry(session).or_insert(0);
                }
            }
            SessionStep::Logout(session) => {
                sessions.entry(session).or_default().get_or_insert(self.now);
            }
            SessionStep::Lose => sessions.values_mut().for_each(|away| {
                away.get_or_insert(self.now);
            }),
        }
    }
}
