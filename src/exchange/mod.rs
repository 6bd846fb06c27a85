//! The exchange: a function `(state, command) -> events`, with no thread, clock or I/O in it.
//!
//! A command passes five modules in one go: *sequence* (its number is the order's id), *asset*
//! (what the order may spend is frozen), *order* (it is entered), *matching*, *clearing* (the
//! parties are settled, what was not needed is unfrozen).
//!
//! Invariants:
//! - Every sequenced command yields exactly one result, with a reason where it is refused, and a
//!   refused command changes nothing, but for the tokens of its account's rate.
//! - Nothing a client sends can panic. A broken invariant does: [`Exchange::check`] knows them all.
//! - The same commands give the same events and the same [`Exchange::hash`], wherever and whenever
//!   they are applied: nothing here walks a map in random order.
//! - No allocation once genesis is defined, beyond the events of a command larger than any before.
//!
//! The checks come in a fixed order, of which the first that fails gives the reason: time to live,
//! entitlement of the key, then what the command names, then its numbers, then funds. Each
//! command's function tells its own order.

mod accounts;
mod admin;
mod audit;
mod bare;
mod book;
mod change;
mod clearing;
mod define;
mod directory;
mod entry;
mod expiry;
mod exposure;
mod index;
mod instrument;
mod level;
mod limits;
mod mass;
mod matcher;
mod order;
mod outbox;
mod owners;
mod parts;
mod passing;
mod permissions;
mod precheck;
mod query;
mod risk;
mod schemas;
mod sessions;
mod slab;
mod special;
mod stops;

pub use bare::{BATCH_COUNT_MAX, BareBook, BareCommand, BareEvent};
pub use define::DefineError;
pub use directory::Directory;
pub use limits::{LimitsAsked, LimitsPlace, Shown};
pub use order::OrderRow;
pub use outbox::Outbox;
pub use parts::{ORDER_BYTES, Part, pack_items, unpack_items};
pub use permissions::Permissions;
pub use query::{BookRow, BookSummary};
pub use risk::PositionRow;
pub use schemas::Schemas;
pub use sessions::{NUMBER_END, Numbering, Session, SessionName};

use crate::admin::Controls;
use crate::command::{Command, Deposit, Transfer, Withdraw};
use crate::event::{CommandResult, RejectReason, SessionChange, SessionSent};
use crate::genesis::{AccountLimits, Asset, Instrument, Key, Settings};
use crate::schema::{RegisterError, Registered, Registry, SchemaDefinition};
use crate::sys::memory::Region;
use crate::types::{
    AccountId, Amount, AssetId, InstrumentId, KeyId, OrderId, Quantity, Sequence, SessionId,
    Status, TimeNs,
};
use accounts::{Accounts, LIABILITY};
use book::Book;
use index::Hasher;
use instrument::Rules;
use level::Levels;
use order::Orders;
use outbox::Outcome;
use owners::{Owner, Owners};
use passing::Passing;
use risk::Risk;
use sessions::Sessions;
use std::sync::Arc;
use stops::Stops;

/// What the sequencer knows of a command beside its payload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Context {
    /// The command's place in the total order.
    pub sequence: Sequence,
    /// Time of its record.
    pub time: TimeNs,
    /// The session that sent it; 0 for the node itself.
    pub session: SessionId,
    /// The key it was sent under; 0 for the node itself.
    pub key: KeyId,
    /// The client's own sequence number, echoed.
    pub client_sequence: u64,
    /// The time after which it must not be applied; 0 for none.
    pub expires: TimeNs,
}

impl Context {
    /// The result of a command of which nothing has become yet.
    #[inline]
    fn result(&self, account: AccountId) -> CommandResult {
        CommandResult {
            status: Status::Done,
            reason: None,
            session: self.session,
            fill_count: 0,
            outbound: 0,
            client_sequence: self.client_sequence,
            order_id: OrderId(0),
            filled: Quantity(0),
            leaves: Quantity(0),
            time: self.time,
            account,
        }
    }
}

/// The state of the exchange.
#[derive(Clone, Debug)]
pub struct Exchange {
    settings: Option<Settings>,
    /// Version of the rules that hold, from the settings.
    version: u32,
    assets: Vec<Asset>,
    instruments: Vec<Instrument>,
    keys: Vec<Key>,
    permissions: Permissions,
    controls: Controls,
    /// By index of the instrument, as `instruments`.
    rules: Vec<Rules>,
    /// By index of the instrument, as `instruments`.
    books: Vec<Book>,
    /// By index of the instrument, as `instruments`.
    stops: Vec<Stops>,
    levels: Levels,
    orders: Orders,
    accounts: Accounts,
    /// By index of the account.
    owners: Owners,
    /// Limits of accounts.
    risk: Risk,
    sessions: Sessions,
    /// What time brings: mass cancels under way, and ends of sessions' graces.
    passing: Passing,
    /// Schemas of messages that operators registered.
    schemas: Arc<Schemas>,
    /// The last command applied.
    sequence: Sequence,
}

impl Default for Exchange {
    fn default() -> Self {
        Exchange::new()
    }
}

impl Exchange {
    /// An exchange that waits for its genesis.
    #[must_use]
    pub fn new() -> Exchange {
        Exchange::with_capacity(0, 0)
    }

    fn with_capacity(orders_max: usize, seed: u128) -> Exchange {
        let hasher = Hasher::new(seed);
        let mut orders = Orders::with_capacity(orders_max, hasher);
        orders.add_account();
        let mut owners = Owners::default();
        owners.add_account(Owner::ALONE);
        let mut risk = Risk::default();
        risk.add_account(AccountLimits::NONE);
        Exchange {
            settings: None,
            version: 0,
            assets: Vec::new(),
            instruments: Vec::new(),
            keys: Vec::new(),
            permissions: Permissions::default(),
            controls: Controls::default(),
            rules: Vec::new(),
            books: Vec::new(),
            stops: Vec::new(),
            levels: Levels::with_capacity(orders_max),
            orders,
            accounts: Accounts::new(hasher),
            owners,
            risk,
            sessions: Sessions::default(),
            passing: Passing::default(),
            schemas: Arc::default(),
            sequence: Sequence::NONE,
        }
    }

    /// Version of the rules that hold; 0 before genesis.
    #[must_use]
    pub const fn version(&self) -> u32 {
        self.version
    }

    /// Memory that orders touch at random, for who makes it resident before they come.
    #[must_use]
    pub fn memory(&self) -> [Region; 2] {
        self.orders.memory()
    }

    /// Applies a command; its events replace what is in the outbox.
    #[inline]
    pub fn apply(&mut self, ctx: &Context, command: &Command, out: &mut Outbox) {
        self.advance(ctx.sequence);
        self.accounts.begin();
        out.begin(ctx.sequence, ctx.result(command.account()));
        self.pass_time(ctx, out);
        let judged = self.judge(ctx, command, out);
        out.finish(&judged, &mut self.sessions, &self.accounts);
    }

    /// Refuses a command without a look at it; its events, the result first, replace what is in the
    /// outbox.
    pub fn refuse(
        &mut self,
        ctx: &Context,
        account: AccountId,
        reason: RejectReason,
        out: &mut Outbox,
    ) {
        self.advance(ctx.sequence);
        self.accounts.begin();
        out.begin(ctx.sequence, ctx.result(account));
        self.pass_time(ctx, out);
        out.finish(&Err(reason), &mut self.sessions, &self.accounts);
    }

    /// Checks what all commands share and hands the command to its module.
    #[inline]
    fn judge(
        &mut self,
        ctx: &Context,
        command: &Command,
        out: &mut Outbox,
    ) -> Result<Outcome, RejectReason> {
        if ctx.expires.0 != 0 && ctx.time > ctx.expires {
            return Err(RejectReason::Expired);
        }
        if self.permissions.check(ctx.key, command).is_err() {
            return Err(RejectReason::KeyNotEntitled);
        }
        match command {
            Command::NewOrder(command) => self.new_order(ctx, command, out),
            Command::CancelOrder(command) => self.cancel_order(command),
            Command::EnterOrder(command) => self.enter_order(ctx, command, out),
            Command::MassCancel(command) => self.mass_cancel(ctx, command, out),
            Command::CancelOnDisconnect(command) => self.cancel_on_disconnect(ctx, command),
            Command::ReplaceOrder(command) => self.replace_order(ctx, command, out),
            Command::Deposit(command) => self.deposit(command),
            Command::Withdraw(command) => self.withdraw(command),
            Command::Transfer(command) => self.transfer(command),
        }
    }

    /// Credits an account against the liability account. Refused in this order: account, asset,
    /// amount, what all accounts together may own.
    fn deposit(&mut self, command: &Deposit) -> Result<Outcome, RejectReason> {
        let account = self.account_index(command.account)?;
        let asset = self.asset_index(command.asset)?;
        let amount = positive(command.amount)?;
        self.accounts.deposit(account, asset, amount)?;
        Ok(Outcome::DONE)
    }

    /// Debits an account to the liability account. Refused in this order: account, asset, amount,
    /// funds.
    fn withdraw(&mut self, command: &Withdraw) -> Result<Outcome, RejectReason> {
        let account = self.account_index(command.account)?;
        let asset = self.asset_index(command.asset)?;
        let amount = positive(command.amount)?;
        self.accounts.withdraw(account, asset, amount)?;
        Ok(Outcome::DONE)
    }

    /// Moves available balance. Refused in this order: who pays, who receives, that they differ,
    /// asset, amount, funds.
    fn transfer(&mut self, command: &Transfer) -> Result<Outcome, RejectReason> {
        let from = self.account_index(command.from)?;
        let to = self.account_index(command.to)?;
        if from == to {
            return Err(RejectReason::SameAccount);
        }
        let asset = self.asset_index(command.asset)?;
        let amount = positive(command.amount)?;
        self.accounts.transfer(from, to, asset, amount)?;
        Ok(Outcome::DONE)
    }

    /// Gives a session its number: the same for a key and name for ever. Without a free number the
    /// session is 0, and so is its event's: the logon is refused. So is that of a key that was
    /// disabled after its gateway let it through.
    pub fn logon(
        &mut self,
        ctx: &Context,
        key: KeyId,
        name: &SessionName,
        out: &mut Outbox,
    ) -> SessionId {
        self.begin_session(ctx, key, name, None, out)
    }

    /// The same for a numbered session. The answer to its logon has the number that the event tells, the
    /// first one where the logon begins all numbers again.
    pub fn logon_numbered(
        &mut self,
        ctx: &Context,
        key: KeyId,
        name: &SessionName,
        numbering: Numbering,
        out: &mut Outbox,
    ) -> SessionId {
        self.begin_session(ctx, key, name, Some(numbering), out)
    }

    fn begin_session(
        &mut self,
        ctx: &Context,
        key: KeyId,
        name: &SessionName,
        numbering: Option<Numbering>,
        out: &mut Outbox,
    ) -> SessionId {
        self.advance(ctx.sequence);
        self.accounts.begin();
        out.begin_quiet(ctx.sequence);
        self.pass_time(ctx, out);
        let disabled = self.permissions.role(key).is_some() && !self.permissions.is_active(key);
        let session = if disabled { None } else { self.sessions.logon(key, name, numbering) };
        self.orders.set_sessions(self.sessions.all().len());
        if let (Some(id), Some(_)) = (session, numbering) {
            self.sessions.give(id, 1);
        }
        let outbound = session.and_then(|id| self.sessions.get(id)).map_or(0, |s| s.outbound);
        let (active, session) = (session.is_some(), session.unwrap_or_default());
        self.session_begins(session);
        out.session(SessionChange { session, active, outbound });
        out.finish_quiet(&mut self.sessions, &self.accounts);
        session
    }

    /// Ends a session's activity, by its own wish or because it was lost. Its numbers stay.
    pub fn logout(&mut self, ctx: &Context, session: SessionId, out: &mut Outbox) {
        self.end_session(ctx, session, None, out);
    }

    /// The same for a session that may be numbered: it expects that inbound number next. One that is
    /// `told` is sent a message of it, whose number the event tells, behind all others of the record.
    pub fn logout_numbered(
        &mut self,
        ctx: &Context,
        session: SessionId,
        told: bool,
        expected_inbound: u64,
        out: &mut Outbox,
    ) {
        self.end_session(ctx, session, Some((told, expected_inbound)), out);
    }

    fn end_session(
        &mut self,
        ctx: &Context,
        session: SessionId,
        numbered: Option<(bool, u64)>,
        out: &mut Outbox,
    ) {
        self.advance(ctx.sequence);
        self.accounts.begin();
        out.begin_quiet(ctx.sequence);
        self.pass_time(ctx, out);
        self.session_ends(session, ctx.time);
        self.sessions.logout(session);
        let outbound = self.sessions.get(session).map_or(0, |s| s.outbound);
        out.session(SessionChange { session, active: false, outbound });
        out.finish_quiet(&mut self.sessions, &self.accounts);
        if let Some((told, expected_inbound)) = numbered {
            self.sessions.hear_up_to(session, expected_inbound);
            if told && self.sessions.get(session).is_some_and(Session::is_numbered) {
                out.set_session_outbound(self.sessions.give(session, 1));
            }
        }
    }

    /// Sends a message of its protocol to a numbered session, which expects that inbound number next; to
    /// others none is sent.
    pub fn send(
        &mut self,
        ctx: &Context,
        session: SessionId,
        kind: u16,
        expected_inbound: u64,
        out: &mut Outbox,
    ) {
        self.advance(ctx.sequence);
        self.accounts.begin();
        out.begin_quiet(ctx.sequence);
        self.pass_time(ctx, out);
        if self.sessions.get(session).is_some_and(Session::is_numbered) {
            self.sessions.hear_up_to(session, expected_inbound);
            let outbound = self.sessions.give(session, 1);
            let expected_inbound = self.sessions.get(session).map_or(0, |s| s.inbound);
            out.sent(SessionSent { session, kind, outbound, expected_inbound });
        }
        out.finish_quiet(&mut self.sessions, &self.accounts);
    }

    /// Marks every session lost: a new reign begins, whose clients have to log on again.
    pub fn lose_sessions(&mut self, ctx: &Context, out: &mut Outbox) {
        self.advance(ctx.sequence);
        self.accounts.begin();
        out.begin_quiet(ctx.sequence);
        self.pass_time(ctx, out);
        self.all_sessions_end(ctx.time);
        self.sessions.lose_all();
        out.finish_quiet(&mut self.sessions, &self.accounts);
    }

    /// Registers a schema of messages, as part of a command that was sequenced.
    ///
    /// # Errors
    /// [`RegisterError`], one sentence that says what is wrong; nothing is changed then.
    pub fn register_schema(
        &mut self,
        schema: SchemaDefinition,
    ) -> Result<Registered, RegisterError> {
        let done = self.schemas().judge(&schema)?;
        if done == Registered::New {
            // Gateways hold the schemas of before, and share their definitions.
            Arc::make_mut(&mut self.schemas).insert(self.sequence, schema);
        }
        Ok(done)
    }

    /// The schemas: built-in ones and those that were registered.
    #[must_use]
    pub fn schemas(&self) -> &Registry {
        self.schemas.registry()
    }

    /// The registered schemas with their places in the order, to be kept.
    #[must_use]
    pub fn registered_schemas(&self) -> Arc<Schemas> {
        self.schemas.clone()
    }

    #[inline]
    fn advance(&mut self, sequence: Sequence) {
        // Order ids are sequences: one that came twice would name two orders.
        assert!(sequence > self.sequence, "commands are applied once, in the total order");
        self.sequence = sequence;
    }

    /// Index of an account that may trade.
    #[inline]
    fn account_index(&self, id: AccountId) -> Result<u32, RejectReason> {
        match self.accounts.find(id) {
            None => Err(RejectReason::UnknownAccount),
            Some(LIABILITY) => Err(RejectReason::LiabilityAccount),
            Some(account) => Ok(account),
        }
    }

    /// Index of an instrument.
    #[inline]
    fn instrument_index(&self, id: InstrumentId) -> Result<u32, RejectReason> {
        let index = id.0.wrapping_sub(1);
        if (index as usize) < self.rules.len() {
            return Ok(index);
        }
        Err(RejectReason::UnknownInstrument)
    }

    /// Index of an asset.
    #[inline]
    fn asset_index(&self, id: AssetId) -> Result<u32, RejectReason> {
        let index = id.0.wrapping_sub(1);
        if (index as usize) < self.assets.len() {
            return Ok(index);
        }
        Err(RejectReason::UnknownAsset)
    }
}

fn positive(amount: Amount) -> Result<i64, RejectReason> {
    if amount.0 < 1 { Err(RejectReason::InvalidAmount) } else { Ok(amount.0) }
}
