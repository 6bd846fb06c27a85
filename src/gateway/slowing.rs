//! Slowing: the gateway's side of overload, of rates and of what clients are told of them.

use super::admission::Admitted;
use super::connection::{Connection, Door, State};
use super::restraint::{Allowance, Bucket, Held, Rate};
use super::{Gateway, answers};
use crate::command::Command;
use crate::event::RejectReason;
use crate::message::{Detail, Head, MessageKind, Origin};
use crate::sequencer::overload::Pressure;
use crate::types::{KeyId, Priority, SessionId};
use std::collections::{HashMap, VecDeque};

/// Clients that are told in one round that the pressure is over.
const TOLD_MAX: usize = 256;

/// What the gateway remembers of those it slows.
#[derive(Default)]
pub(super) struct Slowing {
    /// The pressure in this round.
    pressure: Pressure,
    /// Connections with held frames, in the order in which their time is over.
    holding: VecDeque<Origin>,
    /// When the first of them is.
    next_ms: Option<u64>,
    /// Connections that know of the pressure.
    told: VecDeque<Origin>,
    /// What sessions may still send.
    sessions: HashMap<SessionId, Allowance>,
    /// Signatures that keys may still have checked.
    keys: HashMap<KeyId, (Rate, Bucket)>,
}

impl Slowing {
    /// When the next held frames go on.
    pub(super) fn next_ms(&self) -> Option<u64> {
        self.next_ms
    }

    /// Forgets whoever has used nothing up.
    pub(super) fn forget(&mut self, rate: Option<Rate>, now_ms: u64) {
        if let Some(rate) = rate {
            self.sessions.retain(|_, allowance| !allowance.is_full(rate, now_ms));
        }
        self.keys.retain(|_, (rate, bucket)| !bucket.is_full(*rate, now_ms));
    }
}

/// What restraint makes of a frame.
pub(super) enum Restrained {
    /// It goes on, or was refused.
    Free(Admitted),
    /// It is held and handled later.
    Held(Admitted),
    /// It has to wait where it is.
    Waits,
}

impl<D: Door> Gateway<D> {
    /// Looks how overloaded the node is, lets go what was held long enough, and tells clients that it is
    /// over.
    pub(super) fn watch_pressure(&mut self) -> usize {
        self.slowing.pressure = self.wiring.pressure.get();
        let mut done = 0;
        self.slowing.next_ms = None;
        while let Some(origin) = self.slowing.holding.front().copied() {
            let now_ms = self.now_ms;
            if let Some(connection) = self.connection(origin)
                && let Some(held) = connection.held.take()
            {
                if held.until_ms > now_ms {
                    self.slowing.next_ms = Some(held.until_ms);
                    self.connection(origin).expect("it was there").held = Some(held);
                    break;
                }
                // One at least goes on, also where there was no room to hold it.
                connection.passes += held.frames().max(1);
                connection.inbound = held.release(&connection.inbound);
                (connection.backlog, connection.waits) = (true, false);
                self.list(origin.connection);
            }
            self.slowing.holding.pop_front();
            done += 1;
        }
        if self.slowing.pressure == Pressure::None {
            done += self.tell_relief();
        }
        done
    }

    fn tell_relief(&mut self) -> usize {
        let count = self.slowing.told.len().min(TOLD_MAX);
        for _ in 0..count {
            let Some(origin) = self.slowing.told.pop_front() else { break };
            let Some(connection) = self.connection(origin) else { continue };
            connection.told = false;
            if connection.state == State::Live {
                answers::pressure(connection.outbound(), Pressure::None);
                self.mark_dirty(origin.connection);
            }
        }
        count
    }

    /// Holds, refuses or lets go what was admitted.
    pub(super) fn restrain(
        &mut self,
        connection: &mut Connection<D::Stream>,
        frame: &[u8],
        admitted: Admitted,
    ) -> Restrained {
        match &admitted {
            Admitted::Message { head, command, .. } => {
                let head = *head;
                let command = *command;
                connection.bulk = head.kind == MessageKind::Command && is_bulk(&head);
                self.restrain_message(connection, frame, admitted, (&head, command.as_ref()))
            }
            Admitted::Verify(_) if connection.state == State::Live => {
                match self.pay_signature(connection.key) {
                    Ok(()) => Restrained::Free(admitted),
                    Err(retry_after_ms) => refuse(frame, Detail::RateLimit { retry_after_ms }),
                }
            }
            Admitted::Logout(_) if connection.held.is_some() => {
                connection.waits = true;
                Restrained::Waits
            }
            _ => Restrained::Free(admitted),
        }
    }

    fn restrain_message(
        &mut self,
        connection: &mut Connection<D::Stream>,
        frame: &[u8],
        admitted: Admitted,
        (head, command): (&Head, Option<&Command>),
    ) -> Restrained {
        let pressure = self.slowing.pressure;
        if pressure != Pressure::None {
            self.tell_pressure(connection, pressure);
            if connection.bulk {
                let lag = if let Pressure::Lag(lag) = pressure { lag } else { 0 };
                let retry_after_ms = self.limits.retry_after_ms;
                return refuse(frame, Detail::Overload { lag, retry_after_ms });
            }
        }
        let is_urgent = head.kind == MessageKind::Command && head.priority < Priority::Normal;
        let is_cancel = matches!(command, Some(Command::CancelOrder(_)));
        let is_slowed = pressure != Pressure::None && !is_urgent && !is_cancel;
        let is_held = connection.held.is_some() || (is_slowed && connection.passes == 0);
        if is_held {
            let passes = |held: &Held| command.is_some_and(|command| held.lets_pass(command));
            if connection.held.as_deref().is_some_and(passes) {
                // A cancel overtakes the orders that it does not name.
            } else if is_urgent {
                // It may not overtake its subject's earlier messages: they go on with it.
                return self.end_hold(connection);
            } else {
                return self.hold(connection, frame, admitted, command);
            }
        }
        match self.pay(connection, is_cancel) {
            Ok(()) => Restrained::Free(admitted),
            Err(retry_after_ms) => refuse(frame, Detail::RateLimit { retry_after_ms }),
        }
    }

    fn hold(
        &mut self,
        connection: &mut Connection<D::Stream>,
        frame: &[u8],
        admitted: Admitted,
        command: Option<&Command>,
    ) -> Restrained {
        let until_ms = self.now_ms + self.limits.slow_ms;
        let (holding, origin) = (&mut self.slowing.holding, connection.origin);
        let room = self.limits.read_budget;
        let held = connection.held.get_or_insert_with(|| {
            holding.push_back(origin);
            Box::new(Held::new(room, until_ms))
        });
        if held.hold(frame, command) {
            return Restrained::Held(admitted);
        }
        connection.waits = true;
        Restrained::Waits
    }

    fn end_hold(&mut self, connection: &mut Connection<D::Stream>) -> Restrained {
        if let Some(held) = &mut connection.held {
            held.until_ms = self.now_ms;
            self.slowing.holding.push_front(connection.origin);
        }
        connection.waits = true;
        Restrained::Waits
    }

    fn tell_pressure(&mut self, connection: &mut Connection<D::Stream>, pressure: Pressure) {
        if !connection.told {
            connection.told = true;
            answers::pressure(connection.outbound(), pressure);
            self.dirty_now(connection);
            self.slowing.told.push_back(connection.origin);
        }
    }

    /// Takes what a message costs its session; a message that finds the ring full pays once.
    fn pay(&mut self, connection: &mut Connection<D::Stream>, is_cancel: bool) -> Result<(), u32> {
        let Some(rate) = self.limits.rate.filter(|_| !connection.charged) else { return Ok(()) };
        let now_ms = self.now_ms;
        let full = || Allowance::full(rate, now_ms);
        let allowance = self.slowing.sessions.entry(connection.session).or_insert_with(full);
        allowance.take(is_cancel, rate, now_ms)?;
        connection.charged = true;
        Ok(())
    }

    /// Takes what checking a signature costs its key.
    fn pay_signature(&mut self, key: KeyId) -> Result<(), u32> {
        let max = self.directory.permissions().critical_per_s(key);
        let rate = Rate { max, window_ms: 1_000 };
        let now_ms = self.now_ms;
        let (_, bucket) =
            self.slowing.keys.entry(key).or_insert_with(|| (rate, Bucket::full(rate, now_ms)));
        bucket.take(rate, now_ms)
    }
}

fn is_bulk(head: &Head) -> bool {
    head.priority > Priority::Normal
}

fn refuse(frame: &[u8], detail: Detail) -> Restrained {
    let client_sequence = crate::wire::header::client_sequence(frame);
    let reason = RejectReason::TooManyRequests;
    Restrained::Free(Admitted::Refused { reason, client_sequence, detail, close: false })
}
