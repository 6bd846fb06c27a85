//! Slowing: the gateway's side of overload, of rates and of what clients are told of them.

use super::admission::{self, Admitted};
use super::connection::{Connection, Door, State};
use super::restraint::{Held, Rate};
use super::{Gateway, answers};
use crate::command::Command;
use crate::message::{Detail, MessageKind, Origin};
use crate::sequencer::overload::Pressure;
use crate::types::{KeyId, Priority};
use std::cmp::Ordering;
use std::collections::VecDeque;

/// Signatures of an operator that are checked in a second whatever its rate is.
const ADMIN_PER_S: u32 = 10;
/// Connections whose held frames go on in one round.
const RELEASED_MAX: usize = 64;
/// Clients that are told in one round that the pressure is over.
const TOLD_MAX: usize = 256;

/// What the gateway remembers of those it slows.
#[derive(Default)]
pub(super) struct Slowing {
    /// The pressure in this round.
    pressure: Pressure,
    /// Connections with held frames, in the order in which their time is over.
    holding: VecDeque<(Origin, u64)>,
    /// When the first of them is.
    next_ms: Option<u64>,
    /// Slots of connections that know of the pressure, or of ones that are gone: each once.
    told: VecDeque<u32>,
    /// For each slot whether it is among them.
    is_told: Vec<bool>,
}

impl Slowing {
    /// When the next held frames go on.
    pub(super) fn next_ms(&self) -> Option<u64> {
        self.next_ms
    }

    /// The connection in this slot is to be told when the pressure is over.
    fn note_told(&mut self, slot: u32) {
        let index = slot as usize;
        if self.is_told.len() <= index {
            self.is_told.resize(index + 1, false);
        }
        if !std::mem::replace(&mut self.is_told[index], true) {
            self.told.push_back(slot);
        }
    }
}

/// How a request is treated under overload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// As ever: a CRITICAL or HIGH command, and an operator's, which is what may end the pressure.
    Urgent,
    /// Held: another command, and every question.
    Usual,
    /// Refused, unless it cancels: a LOW or BATCH command.
    Bulk,
}

impl Class {
    /// The class of what was admitted; `None` where it is no request.
    #[inline]
    pub(super) fn of(admitted: &Admitted) -> Option<Class> {
        match admitted {
            Admitted::Message { head, .. } => Some(match head.kind {
                MessageKind::Admin => Class::Urgent,
                MessageKind::Command => match head.priority.cmp(&Priority::Normal) {
                    Ordering::Less => Class::Urgent,
                    Ordering::Equal => Class::Usual,
                    Ordering::Greater => Class::Bulk,
                },
                _ => Class::Usual,
            }),
            Admitted::Reference { .. } | Admitted::Directory { .. } | Admitted::Schemas { .. } => {
                Some(Class::Usual)
            }
            _ => None,
        }
    }
}

/// True for a command that takes away whatever orders its session sent before it, held ones too.
fn is_of_many(command: &Command) -> bool {
    matches!(command, Command::MassCancel(_) | Command::CancelOnDisconnect(_))
}

/// What restraint makes of a frame.
pub(super) enum Restrained {
    /// It goes on.
    Free,
    /// It is refused.
    Refused(Detail),
    /// It is held and handled later.
    Held,
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
        while let Some((origin, until_ms)) = self.slowing.holding.front().copied() {
            if until_ms > self.now_ms || done >= RELEASED_MAX {
                self.slowing.next_ms = Some(until_ms);
                break;
            }
            self.slowing.holding.pop_front();
            self.release(origin, until_ms);
            done += 1;
        }
        if self.slowing.pressure == Pressure::None {
            done += self.tell_relief();
        }
        done
    }

    /// Lets a connection's held frames go on, unless they went before their time.
    fn release(&mut self, origin: Origin, until_ms: u64) {
        let Some(connection) = self.connection(origin) else { return };
        let Some(held) = connection.held.take_if(|held| held.until_ms == until_ms) else { return };
        connection.verified += held.frames();
        // One at least goes on, also where there was no room to hold it.
        connection.passes += held.frames().max(1);
        connection.inbound = held.release(&connection.inbound);
        (connection.backlog, connection.waits) = (true, false);
        self.list(origin.connection);
    }

    fn tell_relief(&mut self) -> usize {
        let count = self.slowing.told.len().min(TOLD_MAX);
        for _ in 0..count {
            let Some(slot) = self.slowing.told.pop_front() else { break };
            self.slowing.is_told[slot as usize] = false;
            let Some(Some(connection)) = self.connections.get_mut(slot as usize) else { continue };
            if std::mem::take(&mut connection.told) && connection.state == State::Live {
                answers::pressure(connection.outbound(), Pressure::None);
                self.mark_dirty(slot);
            }
        }
        count
    }

    /// Holds, refuses or lets go what was admitted and is of this class.
    #[inline]
    pub(super) fn restrain(
        &mut self,
        connection: &mut Connection<D::Stream>,
        frame: &[u8],
        admitted: &Admitted,
        class: Option<Class>,
    ) -> Restrained {
        if let Some(class) = class {
            let message = match admitted {
                Admitted::Message { head, extra } => Some((head, extra)),
                _ => None,
            };
            if message.is_some_and(|(head, _)| head.kind == MessageKind::Command) {
                connection.bulk = class == Class::Bulk;
            }
            let eased = self.slowing.pressure == Pressure::None && connection.held.is_none();
            if eased && self.limits.rate.is_none() {
                return Restrained::Free;
            }
            let command =
                message.and_then(|(head, extra)| admission::command_of(head, frame, extra));
            return self.restrain_request(connection, frame, class, command.as_ref());
        }
        match admitted {
            Admitted::Verify(_) if connection.state == State::Live => {
                match self.pay_signature(connection.key) {
                    Ok(()) => Restrained::Free,
                    Err(retry_after_ms) => {
                        Restrained::Refused(Detail::RateLimit { retry_after_ms })
                    }
                }
            }
            // What ends the connection, or seems to, comes after what is held.
            Admitted::Logout(_) | Admitted::Refused { .. } if connection.held.is_some() => {
                connection.waits = true;
                Restrained::Waits
            }
            _ => Restrained::Free,
        }
    }

    fn restrain_request(
        &mut self,
        connection: &mut Connection<D::Stream>,
        frame: &[u8],
        class: Class,
        command: Option<&Command>,
    ) -> Restrained {
        let pressure = self.slowing.pressure;
        // A cancel takes risk and work away, and a key that may use nothing above LOW has no other.
        let is_cancel = command.is_some_and(|command| Command::cancels(command.schema()));
        if pressure != Pressure::None {
            self.tell_pressure(connection, pressure);
            if class == Class::Bulk && !is_cancel {
                let lag = if let Pressure::Lag(lag) = pressure { lag } else { 0 };
                let lag = u32::try_from(lag).unwrap_or(u32::MAX);
                let retry_after_ms = self.limits.retry_after_ms;
                return Restrained::Refused(Detail::Overload { lag, retry_after_ms });
            }
        }
        let is_urgent = class == Class::Urgent;
        let is_slowed = pressure != Pressure::None && !is_urgent && !is_cancel;
        let is_held = connection.held.is_some() || (is_slowed && connection.passes == 0);
        if is_held {
            let passes = |held: &Held| command.is_some_and(|command| held.lets_pass(command));
            if connection.held.as_deref().is_some_and(passes) {
                // A cancel overtakes the orders that it does not name.
            } else if is_urgent || command.is_some_and(is_of_many) {
                // It may not overtake its subject's earlier messages: they go on with it.
                return self.end_hold(connection);
            } else {
                return self.hold(connection, frame, command);
            }
        }
        match self.pay(connection, is_cancel) {
            Ok(()) => Restrained::Free,
            Err(retry_after_ms) => Restrained::Refused(Detail::RateLimit { retry_after_ms }),
        }
    }

    fn hold(
        &mut self,
        connection: &mut Connection<D::Stream>,
        frame: &[u8],
        command: Option<&Command>,
    ) -> Restrained {
        let until_ms = self.now_ms + self.limits.slow_ms;
        let (holding, origin) = (&mut self.slowing.holding, connection.origin);
        let room = self.limits.read_budget;
        let held = connection.held.get_or_insert_with(|| {
            holding.push_back((origin, until_ms));
            Box::new(Held::new(room, until_ms))
        });
        if held.hold(frame, command) {
            return Restrained::Held;
        }
        connection.waits = true;
        Restrained::Waits
    }

    fn end_hold(&mut self, connection: &mut Connection<D::Stream>) -> Restrained {
        if let Some(held) = &mut connection.held {
            held.until_ms = self.now_ms;
            self.slowing.holding.push_front((connection.origin, self.now_ms));
        }
        connection.waits = true;
        Restrained::Waits
    }

    fn tell_pressure(&mut self, connection: &mut Connection<D::Stream>, pressure: Pressure) {
        if !connection.told {
            connection.told = true;
            answers::pressure(connection.outbound(), pressure);
            self.dirty_now(connection);
            self.slowing.note_told(connection.origin.connection);
        }
    }

    /// Takes what a request costs its session; one that finds the ring full pays once.
    fn pay(&mut self, connection: &mut Connection<D::Stream>, is_cancel: bool) -> Result<(), u32> {
        let Some(rate) = self.limits.rate.filter(|_| !connection.charged) else { return Ok(()) };
        let allowances = &self.wiring.shared.allowances;
        let buckets = if is_cancel { &allowances.cancels } else { &allowances.requests };
        buckets.of(connection.session.0).take(rate, self.now_ns)?;
        connection.charged = true;
        Ok(())
    }

    /// Takes what checking a signature costs its key.
    fn pay_signature(&mut self, key: KeyId) -> Result<(), u32> {
        let permissions = self.directory.permissions();
        // Whoever may set a rate can always set it again.
        let least = if permissions.may_administer(key) { ADMIN_PER_S } else { 0 };
        let max = permissions.critical_per_s(key).max(least);
        let rate = Rate { max, window_ms: 1_000 };
        self.wiring.shared.allowances.signatures.of(key.0).take(rate, self.now_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_told_of_relief_once_however_often_its_connection_is_another() {
        let mut slowing = Slowing::default();
        (0..20).for_each(|round| slowing.note_told(round % 2));
        assert_eq!(slowing.told, [0, 1]);
    }
}
