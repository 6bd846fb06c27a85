//! Time passes: before a record does anything of its own, what is due at its time happens, a bounded
//! part of it: orders whose time is over end, sessions that were away for too long begin to lose their orders, and the mass cancels
//! under way go on.
//!
//! Invariants:
//! - What happens depends on the records and their times alone: a record that comes late finds due
//!   what a tick would have found due.
//! - A session's grace is due only while it is away, and one that is due is never forgotten for want of
//!   room: it waits for it.
//! - [`Passing::due_ns`] is right after every record: a record at whose time nothing is due costs two
//!   compares.

use super::mass::Walk;
use super::outbox::{Outbox, Outcome};
use super::sessions::Sessions;
use super::{Context, Exchange};
use crate::command::CancelOnDisconnect;
use crate::event::RejectReason;
use crate::genesis::VERSION_ORDER_KINDS;
use crate::limits::{
    ACCOUNTS_PER_STEP, DISCONNECT_GRACE_MAX_MS, MASS_CANCELS_MAX, ORDERS_PER_STEP,
};
use crate::packing::{Pack, Unfit, Unpack, ensure};
use crate::types::{Sequence, SessionId, TimeNs};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// What is told to become of a session's orders when it is away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Grace {
    grace_ms: u32,
    /// When its orders are cancelled; `None` while it is there, and when that has begun.
    due: Option<TimeNs>,
}

/// What one record may still do of the mass cancels under way.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Budget {
    /// The record.
    of: Sequence,
    /// Orders that may be looked at.
    pub(super) orders: usize,
    /// Accounts that may be looked at.
    pub(super) accounts: usize,
}

/// What time brings.
#[derive(Clone, Debug)]
pub(super) struct Passing {
    /// No record before this time lets anything happen; 0 while a mass cancel is under way.
    due_ns: u64,
    graces: BTreeMap<u32, Grace>,
    /// The graces with a time, soonest first.
    dues: BTreeSet<(TimeNs, u32)>,
    /// The mass cancels under way. Only the first has begun; its place in an account's list is the
    /// mark of [`Orders`](super::order::Orders).
    pub(super) walks: VecDeque<Walk>,
    /// No part of the state: each record has its own.
    pub(super) budget: Budget,
}

impl Default for Passing {
    fn default() -> Passing {
        Passing {
            due_ns: u64::MAX,
            graces: BTreeMap::new(),
            dues: BTreeSet::new(),
            walks: VecDeque::with_capacity(MASS_CANCELS_MAX),
            budget: Budget::default(),
        }
    }
}

impl Passing {
    /// True where a session's grace is over at this time.
    fn is_over(&self, time: TimeNs) -> bool {
        self.dues.first().is_some_and(|(due, _)| *due <= time)
    }

    /// Computes again when the next thing is due.
    pub(super) fn settle(&mut self) {
        self.due_ns = match self.dues.first() {
            _ if !self.walks.is_empty() => 0,
            Some((due, _)) => due.0,
            None => u64::MAX,
        };
    }

    /// What this record has left to do.
    pub(super) fn budget_of(&mut self, sequence: Sequence) -> &mut Budget {
        if self.budget.of != sequence {
            let (orders, accounts) = (ORDERS_PER_STEP, ACCOUNTS_PER_STEP);
            self.budget = Budget { of: sequence, orders, accounts };
        }
        &mut self.budget
    }

    /// The session is away since this time.
    fn away(&mut self, session: u32, since: TimeNs) {
        let Some(grace) = self.graces.get_mut(&session) else { return };
        if grace.due.is_none() {
            let due = TimeNs(since.0.saturating_add(u64::from(grace.grace_ms) * 1_000_000));
            grace.due = Some(due);
            self.dues.insert((due, session));
        }
    }

    /// What was due for the session is so no more: it is there, or its orders are being cancelled.
    fn forget(&mut self, session: u32) {
        if let Some(grace) = self.graces.get_mut(&session)
            && let Some(due) = grace.due.take()
        {
            self.dues.remove(&(due, session));
        }
    }

    /// Whether there is nothing to keep: the state is as one of before there was any of this.
    pub(super) fn is_empty(&self) -> bool {
        self.graces.is_empty() && self.walks.is_empty()
    }

    /// Packs the graces, in order of session.
    pub(super) fn pack_graces(&self, pack: &mut Pack) {
        pack.count(self.graces.len());
        for (session, Grace { grace_ms, due }) in &self.graces {
            pack.u32(*session);
            pack.u32(*grace_ms);
            pack.u8(u8::from(due.is_some()));
            pack.u64(due.map_or(0, |due| due.0));
        }
    }

    /// Reads the graces of these sessions.
    pub(super) fn unpack_graces(
        &mut self,
        unpack: &mut Unpack<'_>,
        sessions: &Sessions,
    ) -> Result<(), Unfit> {
        let mut last = 0;
        for _ in 0..unpack.count(17)? {
            let (session, grace_ms) = (unpack.u32()?, unpack.u32()?);
            let (is_due, due) = (unpack.bool()?, TimeNs(unpack.u64()?));
            ensure(session > last, "graces are not in the order of sessions")?;
            last = session;
            let of = sessions.get(SessionId(session));
            let of = of.ok_or(Unfit::Wrong("a grace's session is unknown"))?;
            ensure(grace_ms <= DISCONNECT_GRACE_MAX_MS, "a grace is too long")?;
            ensure(!is_due || !of.active, "the grace of a session that is there has an end")?;
            ensure(is_due || due.0 == 0, "a grace that does not end has an end")?;
            let due = is_due.then_some(due);
            self.graces.insert(session, Grace { grace_ms, due });
            self.dues.extend(due.map(|due| (due, session)));
        }
        Ok(())
    }

    /// Checks the tables against each other and the sessions.
    pub(super) fn check(&self, sessions: &Sessions) {
        for (session, grace) in &self.graces {
            let of = sessions.get(SessionId(*session)).expect("a grace is a session's");
            assert!(grace.grace_ms <= DISCONNECT_GRACE_MAX_MS);
            if let Some(due) = grace.due {
                assert!(!of.active, "a grace ends only while its session is away");
                assert!(self.dues.contains(&(due, *session)));
            }
        }
        let ending = self.graces.values().filter(|grace| grace.due.is_some()).count();
        assert!(ending == self.dues.len());
        let mut settled = self.clone();
        settled.settle();
        assert!(settled.due_ns == self.due_ns, "when something is due is known");
    }
}

impl Exchange {
    /// When the next thing is due that takes a record: now where [`TimeNs`] is 0.
    #[must_use]
    #[inline]
    pub fn deadline(&self) -> Option<TimeNs> {
        let expiry = self.orders.expiries().first().map_or(u64::MAX, |(due, _)| due.0);
        let due_ns = self.passing.due_ns.min(expiry);
        (due_ns != u64::MAX).then_some(TimeNs(due_ns))
    }

    /// Applies a tick, a record that does nothing but let time pass.
    pub fn tick(&mut self, ctx: &Context, out: &mut Outbox) {
        // One that finds nothing due leaves no trace: journals of older rules have such.
        if self.deadline().is_none_or(|deadline| deadline > ctx.time) {
            out.clear();
            return;
        }
        self.advance(ctx.sequence);
        self.accounts.begin();
        out.begin_quiet(ctx.sequence);
        self.pass_time(ctx, out);
        out.finish_quiet(&mut self.sessions, &self.accounts);
    }

    /// Lets happen what is due at the time of a record, before the record does anything of its own.
    /// What sessions are told of it is noted.
    #[inline]
    pub(super) fn pass_time(&mut self, ctx: &Context, out: &mut Outbox) {
        self.expire_due(ctx.time, out);
        if ctx.time.0 >= self.passing.due_ns {
            self.catch_up(ctx.time, out);
        }
    }

    /// Begins what is due and goes on with what is under way, as far as one record may.
    #[inline(never)]
    fn catch_up(&mut self, time: TimeNs, out: &mut Outbox) {
        loop {
            self.begin_disconnects(time);
            // Another one may have room when this one is done.
            if !self.step(out) {
                break;
            }
        }
        self.passing.settle();
    }

    /// Begins to cancel the orders of sessions whose grace is over, as many as there is room for.
    fn begin_disconnects(&mut self, time: TimeNs) {
        while self.passing.is_over(time) && self.passing.walks.len() < MASS_CANCELS_MAX {
            let (_, session) = *self.passing.dues.first().expect("one is over");
            self.passing.forget(session);
            let accounts = self.accounts.ids().len() as u32;
            self.passing.walks.push_back(Walk::of_session(self.sequence, session, accounts));
        }
    }

    /// Whether a mass cancel finds room: those of sessions that were away for too long come first.
    pub(super) fn has_room_for_walk(&self, time: TimeNs) -> bool {
        self.passing.walks.len() < MASS_CANCELS_MAX && !self.passing.is_over(time)
    }

    /// Says what becomes of the sender's orders when it is away. Refused in this order: a sender
    /// without a session, a switch that is neither 0 nor 1 or a grace above a day.
    pub(super) fn cancel_on_disconnect(
        &mut self,
        ctx: &Context,
        command: &CancelOnDisconnect,
    ) -> Result<Outcome, RejectReason> {
        let CancelOnDisconnect { enabled, grace_ms } = *command;
        // A journal of older rules has refused it.
        if self.version < VERSION_ORDER_KINDS {
            return Err(RejectReason::UnsupportedOrder);
        }
        if ctx.session.0 == 0 {
            return Err(RejectReason::InvalidSession);
        }
        if enabled > 1 || grace_ms > DISCONNECT_GRACE_MAX_MS {
            return Err(RejectReason::InvalidGrace);
        }
        let session = ctx.session.0;
        self.passing.forget(session);
        self.passing.graces.remove(&session);
        if enabled == 1 {
            self.passing.graces.insert(session, Grace { grace_ms, due: None });
            if self.sessions.get(ctx.session).is_some_and(|session| !session.active) {
                self.passing.away(session, ctx.time);
            }
        }
        self.passing.settle();
        Ok(Outcome::DONE)
    }

    /// A session whose logon asks for it loses its orders when it is away; the grace time is the one it
    /// had set, or none.
    pub fn cancel_when_away(&mut self, session: SessionId) {
        if session.0 != 0 && self.version >= VERSION_ORDER_KINDS {
            self.passing.graces.entry(session.0).or_insert(Grace { grace_ms: 0, due: None });
        }
    }

    /// True where a session that is there has asked for its orders to be cancelled when it is away.
    #[must_use]
    pub fn watches_sessions(&self) -> bool {
        let mut sessions = self.passing.graces.keys().map(|session| SessionId(*session));
        sessions.any(|id| self.sessions.get(id).is_some_and(|session| session.active))
    }

    /// A session is there.
    pub(super) fn session_begins(&mut self, session: SessionId) {
        self.passing.forget(session.0);
        self.passing.settle();
    }

    /// A session is away since this time; called while it still counts as active.
    pub(super) fn session_ends(&mut self, session: SessionId, time: TimeNs) {
        if self.sessions.get(session).is_some_and(|session| session.active) {
            self.passing.away(session.0, time);
            self.passing.settle();
        }
    }

    /// All sessions are away since this time; called while they still count as active.
    pub(super) fn all_sessions_end(&mut self, time: TimeNs) {
        let sessions: Vec<u32> = self.passing.graces.keys().copied().collect();
        sessions.into_iter().for_each(|session| self.session_ends(SessionId(session), time));
    }
}
