//! Applying a record to the exchange: the one function that live running, recovery and replay share.

use crate::admin::AdminCommand;
use crate::command::Command;
use crate::exchange::{Context, Exchange, NUMBER_END, Numbering, Outbox};
use crate::genesis::{APPLICATION_VERSION, GenesisItem};
use crate::journal::format::RecordKind;
use crate::journal::payload::{
    self, LOGON_CANCEL_ON_DISCONNECT, LOGON_RESET, PROTOCOL_FIX, SessionEnd, SessionLogon,
    SessionSend,
};
use crate::types::{KeyId, Sequence, SessionId};
use thiserror::Error;

/// What the exchange needs of a record.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// What kind of record it is.
    pub kind: RecordKind,
    /// Sequence, time, session, key and the client's number.
    pub context: Context,
    /// Schema of the payload.
    pub schema: u32,
    /// Canonical command or payload of the kind.
    pub payload: &'a [u8],
}

/// Why a record of a journal cannot be applied: a newer release wrote it, or something else did, and
/// going on without it would build another history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum CannotApply {
    /// The kind is known to the format and not to these rules.
    #[error("record {sequence} is of kind {kind}, which this release does not apply")]
    Kind {
        /// The record.
        sequence: Sequence,
        /// Its kind.
        kind: RecordKind,
    },
    /// The payload is not one of its kind.
    #[error("this release cannot read the payload of record {sequence}, of kind {kind}")]
    Payload {
        /// The record.
        sequence: Sequence,
        /// Its kind.
        kind: RecordKind,
    },
    /// Rules are activated that a later release brings.
    #[error(
        "record {sequence} activates rules of version {version}, this release knows up to {}",
        APPLICATION_VERSION
    )]
    Rules {
        /// The record.
        sequence: Sequence,
        /// Their version.
        version: u32,
    },
    /// A command is to be set aside, and not by an operator.
    #[error(
        "record {sequence} sets command {target} aside without the signature of a key that is an operator's at that command"
    )]
    Quarantine {
        /// The quarantine record.
        sequence: Sequence,
        /// The command.
        target: Sequence,
    },
}

/// Applies a record; its events stand in `outbox`, which is cleared first.
///
/// # Errors
/// [`CannotApply`]; the exchange is as before.
#[inline]
pub fn apply(
    exchange: &mut Exchange,
    input: &Input<'_>,
    outbox: &mut Outbox,
) -> Result<(), CannotApply> {
    outbox.clear();
    let (sequence, kind) = (input.context.sequence, input.kind);
    let unreadable = CannotApply::Payload { sequence, kind };
    match input.kind {
        RecordKind::Command => {
            // It stays where it was decoded: a copy made at once reads what is still being written.
            let command = Command::decode(input.schema, input.payload);
            let command = command.as_ref().map_err(|_| unreadable)?;
            exchange.apply(&input.context, command, outbox);
        }
        RecordKind::Admin => {
            let command = AdminCommand::decode(input.payload).map_err(|_| unreadable)?;
            // A newer release has checked that it knows these rules.
            if let AdminCommand::ActivateRules { version } = command
                && version > APPLICATION_VERSION
            {
                return Err(CannotApply::Rules { sequence, version });
            }
            exchange.administer(&input.context, &command, outbox);
        }
        RecordKind::SessionLogon => {
            let logon: SessionLogon = payload::head(input.payload).ok_or(unreadable)?;
            let key = KeyId(logon.key.get());
            let expected_inbound = number(logon.expected_inbound.get()).ok_or(unreadable)?;
            let numbering = Numbering { reset: logon.flags & LOGON_RESET != 0, expected_inbound };
            let session = if logon.protocol == PROTOCOL_FIX {
                exchange.logon_numbered(&input.context, key, &logon.name, numbering, outbox)
            } else {
                exchange.logon(&input.context, key, &logon.name, outbox)
            };
            if logon.flags & LOGON_CANCEL_ON_DISCONNECT != 0 {
                exchange.cancel_when_away(session);
            }
        }
        RecordKind::SessionLogout | RecordKind::SessionLost => {
            let session = input.context.session;
            // One of a session that is not numbered says nothing.
            if input.payload.is_empty() {
                exchange.logout(&input.context, session, outbox);
            } else {
                let end: SessionEnd = payload::head(input.payload).ok_or(unreadable)?;
                let expected_inbound = number(end.expected_inbound.get()).ok_or(unreadable)?;
                let told = kind == RecordKind::SessionLogout;
                exchange.logout_numbered(&input.context, session, told, expected_inbound, outbox);
            }
        }
        RecordKind::SessionSend => {
            let send: SessionSend = payload::head(input.payload).ok_or(unreadable)?;
            let bytes = input.payload.len() - size_of::<SessionSend>();
            if send.length.get() as usize != bytes {
                return Err(unreadable);
            }
            let (session, kind) = (input.context.session, send.kind.get());
            let expected_inbound = number(send.expected_inbound.get()).ok_or(unreadable)?;
            exchange.send(&input.context, session, kind, expected_inbound, outbox);
        }
        RecordKind::Genesis => {
            let item = GenesisItem::decode(input.payload).map_err(|_| unreadable)?;
            exchange.define(&item).map_err(|_| unreadable)?;
        }
        RecordKind::EpochStart => exchange.lose_sessions(&input.context, outbox),
        RecordKind::Tick => exchange.tick(&input.context, outbox),
        // What it says is done at the command that it names.
        RecordKind::Quarantine => {}
        _ => return Err(CannotApply::Kind { sequence, kind }),
    }
    Ok(())
}

/// A number that a session's message can have, or 0.
fn number(number: u64) -> Option<u64> {
    (number < NUMBER_END).then_some(number)
}

/// The session that a logon's events began.
#[must_use]
pub fn session_of(outbox: &Outbox) -> Option<(SessionId, u64)> {
    outbox.events().iter().find_map(|event| match &event.body {
        crate::event::EventBody::Session(change) => Some((change.session, change.outbound)),
        _ => None,
    })
}
