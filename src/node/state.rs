//! State as a function of the journal: what recovery, replay and a live run must agree on.

use crate::command::Command;
use crate::event::RejectReason;
use crate::exchange::{Context, Exchange, Outbox};
use crate::genesis::{APPLICATION_VERSION, GenesisItem, Settings};
use crate::journal::format::RecordKind;
use crate::journal::info::LogInfo;
use crate::journal::quarantine::{Quarantined, SetAside};
use crate::journal::view::Record;
use crate::keys;
use crate::lanes::apply::{self, CannotApply, Input};
use crate::sequencer::Order;
use crate::sequencer::dedupe::{Dedupe, Identity, Window};
use crate::types::AccountId;
use sha2::{Digest, Sha256};
use thiserror::Error;

/// A journal whose rules are those of a newer release: applying it by older ones would give another
/// history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "the journal holds rules of version {found}, this release knows up to {}",
    APPLICATION_VERSION
)]
pub struct TooNew {
    /// The version that its segments name.
    pub found: u32,
}

impl TooNew {
    /// Looks at what the segments of a journal say.
    ///
    /// # Errors
    /// [`TooNew`].
    pub fn check(journal: &LogInfo) -> Result<(), TooNew> {
        let found = journal.application_version;
        if found > APPLICATION_VERSION { Err(TooNew { found }) } else { Ok(()) }
    }
}

/// What the records of a journal have built.
pub struct State {
    /// Books, accounts, sessions.
    pub exchange: Exchange,
    /// Sequence, time, epoch and the duplicate window.
    pub order: Order,
    /// Genesis, in order.
    pub genesis: Vec<GenesisItem>,
    /// Commands that are refused wherever they are applied. Who replays a journal looks for them first.
    pub set_aside: SetAside,
}

impl Default for State {
    fn default() -> State {
        State::new()
    }
}

impl State {
    /// Before the first record.
    #[must_use]
    pub fn new() -> State {
        State {
            exchange: Exchange::new(),
            order: Order::none(),
            genesis: Vec::new(),
            set_aside: SetAside::default(),
        }
    }

    /// Applies a record of the journal; its events stand in `outbox`.
    ///
    /// # Errors
    /// [`CannotApply`]; what the record would have done is not done.
    pub fn apply(&mut self, record: &Record<'_>, outbox: &mut Outbox) -> Result<(), CannotApply> {
        let aside = self.set_aside.of(record.sequence());
        enact(&mut self.exchange, &mut self.genesis, aside, record, outbox)?;
        note(&mut self.order, record);
        Ok(())
    }

    /// Fingerprint of the state: equal state at equal sequence gives an equal string on every machine.
    #[must_use]
    pub fn hash(&self) -> String {
        hash(&self.exchange, &self.order)
    }
}

/// The sequencer's half of applying a record that the exchange has applied: its place, its time, its
/// message id.
pub(super) fn note(order: &mut Order, record: &Record<'_>) {
    order.last = record.sequence();
    order.time = record.time();
    order.epoch = record.epoch();
    match record.kind() {
        RecordKind::Command | RecordKind::Admin if !record.message_id().is_empty() => {
            let envelope = record.envelope();
            let identity = Identity {
                key: record.key(),
                source: record.source(),
                message_id: record.message_id(),
                timestamp_ms: envelope.client_timestamp_ms.get(),
                schema: envelope.schema.get(),
                payload: record.command(),
            };
            order.dedupe.replay(&identity, record.sequence(), record.time());
        }
        RecordKind::Genesis => {
            if let Ok(GenesisItem::Settings(settings)) = GenesisItem::decode(record.command()) {
                order.dedupe = empty_window(&settings);
            }
        }
        _ => {}
    }
}

/// The critical lane's half of applying a record; its events stand in `outbox`. A command that was set
/// aside is refused.
pub(super) fn enact(
    exchange: &mut Exchange,
    genesis: &mut Vec<GenesisItem>,
    aside: Option<&Quarantined>,
    record: &Record<'_>,
    outbox: &mut Outbox,
) -> Result<(), CannotApply> {
    let envelope = record.envelope();
    let context = Context {
        sequence: record.sequence(),
        time: record.time(),
        session: record.session(),
        key: record.key(),
        client_sequence: envelope.client_sequence.get(),
        expires: record.expires(),
    };
    let (kind, schema, payload) = (record.kind(), envelope.schema.get(), record.command());
    if let Some(aside) = aside {
        return set_aside(exchange, aside, &context, record, outbox);
    }
    apply::apply(exchange, &Input { kind, context, schema, payload }, outbox)?;
    if kind == RecordKind::Genesis {
        genesis.extend(GenesisItem::decode(record.command()));
    }
    Ok(())
}

/// Refuses a command that was set aside by a key that is an operator's at this place of the order.
fn set_aside(
    exchange: &mut Exchange,
    aside: &Quarantined,
    context: &Context,
    record: &Record<'_>,
    outbox: &mut Outbox,
) -> Result<(), CannotApply> {
    let key = exchange.keys().iter().find(|key| key.id == aside.key);
    let public = key.and_then(|key| keys::unhex(&key.public_key));
    let may = exchange.permissions().may_administer(aside.key);
    let is_signed = may
        && public.is_some_and(|public| {
            aside.verify(record, |bytes, signature| keys::verify(&public, bytes, signature))
        });
    let is_command = matches!(record.kind(), RecordKind::Command | RecordKind::Admin);
    if !is_signed || !is_command {
        let (sequence, target) = (aside.sequence, record.sequence());
        return Err(CannotApply::Quarantine { sequence, target });
    }
    let command = Command::decode(record.envelope().schema.get(), record.command());
    let account = command.map_or(AccountId(0), |command| command.account());
    exchange.refuse(context, account, RejectReason::Quarantined, outbox);
    Ok(())
}

/// The state hash of a node's two halves, as lower-case hex: SHA-256 over sequence, time, epoch, the
/// exchange and the duplicate window, each in canonical order.
#[must_use]
pub fn hash(exchange: &Exchange, order: &Order) -> String {
    digest(exchange, order).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The state hash as bytes.
#[must_use]
pub fn digest(exchange: &Exchange, order: &Order) -> [u8; 32] {
    let mut hasher = Sha256::new_with_prefix(b"openoutcry state 1");
    for number in [order.last.0, order.time.0, order.epoch.0] {
        hasher.update(number.to_le_bytes());
    }
    exchange.hash(&mut hasher);
    order.dedupe.hash(&mut hasher);
    hasher.finalize().into()
}

/// The duplicate window before the first command.
pub(crate) fn empty_window(settings: &Settings) -> Dedupe {
    Dedupe::new(seed(settings), window(settings))
}

/// The seed of the duplicate window.
fn seed(settings: &Settings) -> [u8; 16] {
    let number = u128::from_str_radix(&settings.seed, 16);
    number.expect("the exchange refused settings whose seed is not hex").to_be_bytes()
}

fn window(settings: &Settings) -> Window {
    Window {
        count_max: usize::try_from(settings.dedupe_count_max).unwrap_or(usize::MAX),
        age_max_ns: settings.dedupe_window_s.saturating_mul(1_000_000_000),
        ahead_max_ms: settings.timestamp_ahead_max_ms,
    }
}
