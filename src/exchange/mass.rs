//! Mass cancels: walks through accounts' lists of live orders, a bounded part of them with every record.
//!
//! Invariants:
//! - A walk takes only orders older than the command or record that began it, so that whatever is
//!   entered while it goes on is left alone.
//! - Walks are done one after another in the order in which they began: only the first has looked at
//!   anything. Where it stands is a live order, whatever ends meanwhile ([`Orders::close`]).
//! - A record looks at no more than [`ORDERS_PER_STEP`] orders and [`ACCOUNTS_PER_STEP`] accounts, its
//!   own walk and those before it together.
//!
//! [`Orders::close`]: super::order::Orders::close
//! [`ORDERS_PER_STEP`]: crate::limits::ORDERS_PER_STEP
//! [`ACCOUNTS_PER_STEP`]: crate::limits::ACCOUNTS_PER_STEP

use super::level::NONE;
use super::order::Cold;
use super::outbox::{Outbox, Outcome};
use super::{Context, Exchange};
use crate::command::MassCancel;
use crate::event::{OrderUpdate, RejectReason};
use crate::genesis::VERSION_ORDER_KINDS;
use crate::limits::{MASS_CANCELS_MAX, SESSION_MASS_CANCELS_MAX};
use crate::packing::{Pack, Unfit, Unpack, ensure};
use crate::types::{
    AccountId, ClientOrderId, InstrumentId, OrderChange, OrderId, Price, Quantity, Sequence,
    SessionId, Side, Sides,
};

/// A mass cancel under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Walk {
    /// Orders with lower ids are concerned.
    before: u64,
    /// Index of the next account to be begun.
    next: u32,
    /// Index of the account behind the last one.
    end: u32,
    /// Orders in this instrument; 0 for all.
    instrument: u32,
    sides: Sides,
    /// Orders that this session entered; 0 for all.
    session: u32,
    /// What becomes of them.
    change: OrderChange,
    /// The session that is told when it is done.
    teller: u32,
    /// Orders cancelled so far.
    canceled: u64,
}

/// Bytes of a packed walk.
const WALK_BYTES: usize = 38;

impl Walk {
    /// A walk that takes the orders of a session that was away for too long.
    pub(super) fn of_session(sequence: Sequence, session: u32, accounts: u32) -> Walk {
        Walk {
            before: sequence.0,
            next: 0,
            end: accounts,
            instrument: 0,
            sides: Sides::Both,
            session,
            change: OrderChange::Disconnected,
            teller: 0,
            canceled: 0,
        }
    }

    fn takes(&self, order: &Cold) -> bool {
        let side = match self.sides {
            Sides::Both => true,
            Sides::Buy => order.side() == Side::Buy,
            Sides::Sell => order.side() == Side::Sell,
        };
        side && (self.instrument == 0 || self.instrument == order.instrument() + 1)
            && (self.session == 0 || self.session == order.session)
    }

    fn pack(&self, pack: &mut Pack) {
        let Walk { before, next, end, instrument, sides, session, change, teller, canceled } = self;
        pack.u64(*before);
        for number in [next, end, instrument, session, teller] {
            pack.u32(*number);
        }
        pack.u8(*sides as u8);
        pack.u8(*change as u8);
        pack.u64(*canceled);
    }

    fn unpack(unpack: &mut Unpack<'_>) -> Result<Walk, Unfit> {
        Ok(Walk {
            before: unpack.u64()?,
            next: unpack.u32()?,
            end: unpack.u32()?,
            instrument: unpack.u32()?,
            session: unpack.u32()?,
            teller: unpack.u32()?,
            sides: Sides::from_u8(unpack.u8()?).ok_or(Unfit::Wrong("these are no sides"))?,
            change: OrderChange::from_u8(unpack.u8()?).ok_or(Unfit::Wrong("this is no change"))?,
            canceled: unpack.u64()?,
        })
    }
}

impl Exchange {
    /// Begins to cancel all older orders that match; what does not fit this record is done with those
    /// that follow.
    ///
    /// Refused in this order: account, instrument, session (one that is not there; without an account
    /// and without an operator's key one that is not the sender's), as many under way as there may be.
    pub(super) fn mass_cancel(
        &mut self,
        ctx: &Context,
        command: &MassCancel,
        out: &mut Outbox,
    ) -> Result<Outcome, RejectReason> {
        let MassCancel { account, instrument, sides, session } = *command;
        // A journal of older rules has refused it.
        if self.version < VERSION_ORDER_KINDS {
            return Err(RejectReason::UnsupportedOrder);
        }
        let accounts = match account {
            AccountId(0) => 0..self.accounts.ids().len() as u32,
            id => {
                let index = self.account_index(id)?;
                index..index + 1
            }
        };
        if instrument.0 != 0 {
            self.instrument_index(instrument)?;
        }
        if session.0 != 0 && self.sessions.get(session).is_none() {
            return Err(RejectReason::InvalidSession);
        }
        let is_own = session.0 != 0 && session == ctx.session;
        if account.0 == 0 && !is_own && !self.permissions.may_administer(ctx.key) {
            return Err(RejectReason::InvalidSession);
        }
        let own = self.passing.walks.iter().filter(|walk| walk.teller == ctx.session.0).count();
        let is_greedy = ctx.session.0 != 0 && own >= SESSION_MASS_CANCELS_MAX;
        if is_greedy || !self.has_room_for_walk(ctx.time) {
            return Err(RejectReason::TooManyMassCancels);
        }
        self.passing.walks.push_back(Walk {
            before: ctx.sequence.0,
            next: accounts.start,
            end: accounts.end,
            instrument: instrument.0,
            sides,
            session: session.0,
            change: OrderChange::MassCanceled,
            teller: ctx.session.0,
            canceled: 0,
        });
        while self.step(out) {}
        self.passing.settle();
        Ok(Outcome::DONE)
    }

    /// Goes on with the first walk as far as this record may. True where that is done with: there may be
    /// another one.
    pub(super) fn step(&mut self, out: &mut Outbox) -> bool {
        let Some(mut walk) = self.passing.walks.front().copied() else { return false };
        let mut budget = *self.passing.budget_of(self.sequence);
        let is_done = loop {
            if walk.session != 0 && self.orders.session_count(walk.session) == 0 {
                self.orders.set_mark(NONE);
                break true;
            }
            let order = self.orders.mark();
            if order == NONE {
                if walk.next == walk.end {
                    break true;
                }
                if budget.accounts == 0 {
                    break false;
                }
                budget.accounts -= 1;
                self.orders.set_mark(self.orders.oldest(walk.next));
                walk.next += 1;
                continue;
            }
            if self.orders.hot(order).id >= walk.before {
                // So are all that follow.
                self.orders.set_mark(NONE);
                continue;
            }
            if budget.orders == 0 {
                break false;
            }
            budget.orders -= 1;
            let cold = *self.orders.cold(order);
            self.orders.set_mark(cold.newer);
            if walk.takes(&cold) {
                walk.canceled += 1;
                self.end_order(order, walk.change, out);
            }
        };
        self.passing.budget = budget;
        if !is_done {
            self.passing.walks[0] = walk;
            return false;
        }
        self.passing.walks.pop_front();
        if walk.change == OrderChange::MassCanceled {
            out.update(OrderUpdate {
                change: OrderChange::MassCancelDone,
                session: SessionId(walk.teller),
                instrument: InstrumentId(walk.instrument),
                outbound: 0,
                order_id: OrderId(walk.before),
                client_order_id: ClientOrderId(0),
                price: Price(0),
                quantity: Quantity(walk.canceled.cast_signed()),
                filled: Quantity(0),
                leaves: Quantity(0),
            });
        }
        true
    }

    /// Packs what time brings; nothing where there is nothing.
    pub(super) fn pack_passing(&self, pack: &mut Pack) {
        let passing = &self.passing;
        if passing.is_empty() {
            return;
        }
        passing.pack_graces(pack);
        pack.count(passing.walks.len());
        passing.walks.iter().for_each(|walk| walk.pack(pack));
        pack.u64(match self.orders.mark() {
            NONE => 0,
            order => self.orders.hot(order).id,
        });
    }

    /// Reads what time brings; accounts, sessions and orders are there.
    pub(super) fn unpack_passing(&mut self, unpack: &mut Unpack<'_>) -> Result<(), Unfit> {
        if unpack.is_empty() {
            return Ok(());
        }
        self.passing.unpack_graces(unpack, &self.sessions)?;
        let count = unpack.count(WALK_BYTES)?;
        ensure(count <= MASS_CANCELS_MAX, "there are too many mass cancels")?;
        for _ in 0..count {
            let walk = Walk::unpack(unpack)?;
            self.judge_walk(&walk)?;
            self.passing.walks.push_back(walk);
        }
        ensure(!self.passing.is_empty(), "what time brings is nothing, and stands there")?;
        let mark = unpack.u64()?;
        if mark != 0 {
            let order = self.orders.find(OrderId(mark));
            let order = order.ok_or(Unfit::Wrong("a mass cancel stands at no live order"))?;
            let next = self.passing.walks.front().map_or(0, |walk| walk.next);
            let begun = next.checked_sub(1) == Some(self.orders.hot(order).account);
            ensure(begun, "a mass cancel stands at another account's order")?;
            self.orders.set_mark(order);
        }
        self.passing.settle();
        Ok(())
    }

    /// Checks a walk that follows those which were read before.
    fn judge_walk(&self, walk: &Walk) -> Result<(), Unfit> {
        let Walk { before, next, end, instrument, sides: _, session, change, teller, canceled } =
            *walk;
        let last = self.passing.walks.back();
        let from = last.map_or(1, |last| last.before);
        ensure((from..=self.sequence.0).contains(&before), "a mass cancel's number cannot be")?;
        let accounts = self.accounts.ids().len();
        ensure(next <= end && end as usize <= accounts, "a mass cancel's accounts cannot be")?;
        ensure(instrument as usize <= self.rules.len(), "a mass cancel's instrument is unknown")?;
        let sessions = self.sessions.all().len();
        let known = session as usize <= sessions && teller as usize <= sessions;
        ensure(known, "a mass cancel's session is unknown")?;
        let known = match change {
            OrderChange::MassCanceled => true,
            OrderChange::Disconnected => session != 0 && teller == 0,
            _ => false,
        };
        ensure(known, "this is no mass cancel")?;
        ensure(canceled < 1 << 62, "a mass cancel's count cannot be")?;
        ensure(last.is_none() || canceled == 0, "a mass cancel began before its turn")
    }

    /// Checks the walks, and where the first of them stands.
    pub(super) fn check_walks(&self) {
        let walks = &self.passing.walks;
        assert!(walks.len() <= MASS_CANCELS_MAX);
        assert!(walks.iter().is_sorted_by_key(|walk| walk.before));
        assert!(walks.iter().all(|walk| walk.next <= walk.end));
        assert!(walks.iter().skip(1).all(|walk| walk.canceled == 0), "one has begun");
        let mark = self.orders.mark();
        if mark != NONE {
            let walk = walks.front().expect("a mark is the first walk's");
            let hot = self.orders.hot(mark);
            assert!(hot.id != 0, "a walk stands at a live order");
            assert!(hot.account + 1 == walk.next, "of the account that it has begun");
        }
    }
}
