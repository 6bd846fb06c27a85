//! Applying a record to the exchange: the one function that live running, recovery and replay share.

use crate::command::Command;
use crate::exchange::{Context, Exchange, Outbox};
use crate::genesis::GenesisItem;
use crate::journal::format::RecordKind;
use crate::journal::payload::{self, SessionLogon};
use crate::types::{KeyId, SessionId};

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

/// Applies a record; its events stand in `outbox`, which is cleared first.
///
/// # Panics
/// Where a record cannot be what the sequencer let through: the journal was written by something
/// else, and going on would build another history.
#[inline]
pub fn apply(exchange: &mut Exchange, input: &Input<'_>, outbox: &mut Outbox) {
    outbox.clear();
    match input.kind {
        RecordKind::Command => {
            let command = Command::decode(input.schema, input.payload)
                .expect("the gateway sequences only payloads that it could read");
            exchange.apply(&input.context, &command, outbox);
        }
        RecordKind::SessionLogon => {
            let logon: SessionLogon =
                payload::head(input.payload).expect("a logon record has a whole payload");
            exchange.logon(&input.context, KeyId(logon.key.get()), &logon.name, outbox);
        }
        RecordKind::SessionLogout | RecordKind::SessionLost => {
            exchange.logout(&input.context, input.context.session, outbox);
        }
        RecordKind::Genesis => {
            let item =
                GenesisItem::decode(input.payload).expect("genesis was checked when written");
            exchange.define(&item).expect("genesis was applied once before it was written");
        }
        RecordKind::EpochStart => exchange.lose_sessions(input.context.sequence),
        // A tick lets due timers fire, of which this release has none.
        RecordKind::Tick => {}
        other => panic!(
            "record {} is of kind {other}, which this release does not apply",
            input.context.sequence
        ),
    }
}

/// The session that a logon's events began.
#[must_use]
pub fn session_of(outbox: &Outbox) -> Option<(SessionId, u64)> {
    outbox.events().iter().find_map(|event| match &event.body {
        crate::event::EventBody::Session(change) => Some((change.session, change.outbound)),
        _ => None,
    })
}
