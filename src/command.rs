//! Commands: what can be asked of the exchange, and their canonical payload.
//!
//! The canonical payload is the native payload in 64-bit mode, big-endian, every field at a fixed
//! offset. It is all that lanes and replay ever read. Layouts stand once, in the `layout!` calls
//! below; `docs/NATIVE.md` shows them and a test compares the two.

use crate::genesis::VERSION_ORDER_KINDS;
use crate::types::{
    AccountId, Amount, AssetId, ClientOrderId, InstrumentId, OrderId, OrderType, Price, Quantity,
    SelfTrade, SessionId, Side, Sides, TimeInForce, TimeNs,
};
use thiserror::Error;

/// A payload that is not a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PayloadError {
    /// No schema has this number (row S1.41).
    #[error("Schema not found: {0}")]
    UnknownSchema(u32),
    /// The payload is shorter or longer than its schema says.
    #[error("payload of schema {schema} has {found} bytes, not {expected}")]
    Length {
        /// Schema id.
        schema: u32,
        /// Bytes that the schema takes.
        expected: usize,
        /// Bytes found.
        found: usize,
    },
    /// A field holds a value that it cannot have.
    #[error("field {field} of schema {schema} cannot be {value}")]
    Field {
        /// Schema id.
        schema: u32,
        /// Field name.
        field: &'static str,
        /// The value found.
        value: i64,
    },
}

/// A value with a fixed size in a payload.
trait Wire: Sized {
    /// Bytes on the wire.
    const SIZE: usize;
    /// Type name in documents and schemas.
    const NAME: &'static str;
    /// Number and word of every value, where only those listed exist.
    const WORDS: &'static [(u8, &'static str)] = &[];
    /// Reads the value; `Err` is the raw number that it cannot be.
    fn get(bytes: &[u8]) -> Result<Self, i64>;
    /// Writes the value.
    fn put(&self, out: &mut Vec<u8>);
}

macro_rules! wire_number {
    ($($ty:ty, $inner:ty, $name:literal, $wrap:expr, $unwrap:expr;)+) => {$(
        impl Wire for $ty {
            const SIZE: usize = size_of::<$inner>();
            const NAME: &'static str = $name;
            #[inline]
            fn get(bytes: &[u8]) -> Result<Self, i64> {
                let raw = bytes.try_into().expect("the layout hands over exactly SIZE bytes");
                #[allow(clippy::redundant_closure_call, reason = "the macro takes any conversion")]
                Ok($wrap(<$inner>::from_be_bytes(raw)))
            }
            #[inline]
            fn put(&self, out: &mut Vec<u8>) {
                #[allow(clippy::redundant_closure_call, reason = "the macro takes any conversion")]
                out.extend_from_slice(&<$inner>::to_be_bytes($unwrap(self)));
            }
        }
    )+};
}

wire_number! {
    u8, u8, "uint8", |v| v, |v: &u8| *v;
    u32, u32, "uint32", |v| v, |v: &u32| *v;
    AccountId, u64, "uint64", AccountId, |v: &AccountId| v.0;
    OrderId, u64, "uint64", OrderId, |v: &OrderId| v.0;
    ClientOrderId, u64, "int", ClientOrderId, |v: &ClientOrderId| v.0;
    InstrumentId, u32, "uint32", InstrumentId, |v: &InstrumentId| v.0;
    SessionId, u32, "uint32", SessionId, |v: &SessionId| v.0;
    TimeNs, u64, "uint64", TimeNs, |v: &TimeNs| v.0;
    AssetId, u32, "uint32", AssetId, |v: &AssetId| v.0;
    Price, i64, "decimal", Price, |v: &Price| v.0;
    Quantity, i64, "decimal", Quantity, |v: &Quantity| v.0;
    Amount, i64, "decimal", Amount, |v: &Amount| v.0;
}

macro_rules! wire_enum {
    ($($ty:ident),+) => {$(
        impl Wire for $ty {
            const SIZE: usize = 1;
            const NAME: &'static str = "enum8";
            const WORDS: &'static [(u8, &'static str)] = $ty::WORDS;
            #[inline]
            fn get(bytes: &[u8]) -> Result<Self, i64> {
                $ty::from_u8(bytes[0]).ok_or(i64::from(bytes[0]))
            }
            #[inline]
            fn put(&self, out: &mut Vec<u8>) {
                out.push(*self as u8);
            }
        }
    )+};
}
wire_enum!(Side, Sides, OrderType, TimeInForce);

/// One field of a payload, as documents and tools show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FieldLayout {
    /// Field name.
    pub name: &'static str,
    /// Type name: `uint8`, `enum8`, `uint32`, `uint64`, `decimal` (int64), or `int`, which is as
    /// wide as the frame's bit mode and always stands last.
    pub kind: &'static str,
    /// Bytes from the payload's start, in 64-bit mode.
    pub offset: usize,
    /// Bytes, in 64-bit mode.
    pub size: usize,
    /// Number and word of every value of an `enum8`.
    pub words: &'static [(u8, &'static str)],
    /// What it means: the field's own comment.
    pub about: &'static str,
}

macro_rules! layout {
    ($($(#[$doc:meta])* $name:ident = $schema:literal, $text:literal { $($(#[doc = $fdoc:literal])* $field:ident: $ty:ty,)+ })+) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Copy, Debug, PartialEq, Eq)]
            pub struct $name { $($(#[doc = $fdoc])* pub $field: $ty,)+ }

            impl $name {
                /// Schema id of the payload.
                pub const SCHEMA: u32 = $schema;
                /// Bytes of the payload in 64-bit mode.
                pub const SIZE: usize = 0 $(+ <$ty as Wire>::SIZE)+;

                /// Reads the canonical payload.
                ///
                /// # Errors
                /// [`PayloadError::Length`] and [`PayloadError::Field`].
                #[inline(always)]
                pub fn decode(payload: &[u8]) -> Result<Self, PayloadError> {
                    if payload.len() != Self::SIZE {
                        return Err(PayloadError::Length {
                            schema: $schema, expected: Self::SIZE, found: payload.len(),
                        });
                    }
                    let mut rest = payload;
                    $(
                        let (head, tail) = rest.split_at(<$ty as Wire>::SIZE);
                        let $field = <$ty as Wire>::get(head).map_err(|value| PayloadError::Field {
                            schema: $schema, field: stringify!($field), value,
                        })?;
                        rest = tail;
                    )+
                    debug_assert!(rest.is_empty());
                    Ok($name { $($field,)+ })
                }

                /// Appends the canonical payload.
                #[inline]
                pub fn encode(&self, out: &mut Vec<u8>) {
                    $(Wire::put(&self.$field, out);)+
                }
            }
        )+

        /// A request, sequenced or about to be.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Command { $($(#[$doc])* $name($name),)+ }

        impl Command {
            /// Schema id, name and fields of every command, in schema order.
            pub const LAYOUTS: &'static [(u32, &'static str, fn() -> Vec<FieldLayout>)] = &[$(
                ($schema, $text, || {
                    let mut offset = 0;
                    vec![$({
                        let size = <$ty as Wire>::SIZE;
                        offset += size;
                        FieldLayout {
                            name: stringify!($field), kind: <$ty as Wire>::NAME,
                            offset: offset - size, size, words: <$ty as Wire>::WORDS,
                            about: concat!($($fdoc),*).trim_ascii(),
                        }
                    },)+]
                }),
            )+];

            /// Schema id of the payload.
            #[must_use]
            #[inline]
            pub const fn schema(&self) -> u32 {
                match self { $(Command::$name(_) => $schema,)+ }
            }

            /// The command's name in logs and tools.
            #[must_use]
            pub const fn name(&self) -> &'static str {
                match self { $(Command::$name(_) => $text,)+ }
            }

            /// Reads a canonical payload.
            ///
            /// # Errors
            /// [`PayloadError`]: an unknown schema, a wrong length, a value that its field cannot have.
            #[inline(always)]
            pub fn decode(schema: u32, payload: &[u8]) -> Result<Command, PayloadError> {
                match schema {
                    $($schema => $name::decode(payload).map(Command::$name),)+
                    unknown => Err(PayloadError::UnknownSchema(unknown)),
                }
            }

            /// Appends the canonical payload.
            #[inline]
            pub fn encode(&self, out: &mut Vec<u8>) {
                match self { $(Command::$name(command) => command.encode(out),)+ }
            }
        }

        $(impl From<$name> for Command {
            fn from(command: $name) -> Command { Command::$name(command) }
        })+
    };
}

/// Flag of an order: it only ever rests; one that would trade on entry is refused.
pub const POST_ONLY: u8 = 1;
/// Bits of an order's flags that hold its [`SelfTrade`], 0 for the one of its account.
pub const SELF_TRADE_MASK: u8 = 0b1110;
/// Flag of a post-only order: instead of being refused it gets the best price at which it does not trade.
pub const REPRICE: u8 = 1 << 4;

/// An order's flags that ask for this [`SelfTrade`].
#[must_use]
pub const fn self_trade_flags(mode: SelfTrade) -> u8 {
    (mode as u8) << 1
}

/// The [`SelfTrade`] that an order's flags ask for, 0 where they leave it to the account.
#[must_use]
pub const fn self_trade_asked(flags: u8) -> u8 {
    (flags & SELF_TRADE_MASK) >> 1
}

layout! {
    /// Enters an order.
    NewOrder = 1, "new-order" {
        /// Whose order it is.
        account: AccountId,
        /// What is traded.
        instrument: InstrumentId,
        /// Buy or sell.
        side: Side,
        /// Limit or market.
        order_type: OrderType,
        /// How long it lives.
        time_in_force: TimeInForce,
        /// What else it asks for: bit 0 post-only, bits 1 to 3 what happens instead of a trade with
        /// itself (0 as the account has it, else 1 to 5), bit 4 reprice (with post-only); all others
        /// must be zero.
        flags: u8,
        /// Limit price in ticks; of a market order the worst price that it takes, 0 for the
        /// instrument's band.
        price: Price,
        /// Quantity in lots.
        quantity: Quantity,
        /// The client's number for it; 0 for none.
        client_order_id: ClientOrderId,
    }
    /// Cancels a live order, named by its id or, where that is 0, by the client's number.
    CancelOrder = 2, "cancel-order" {
        /// Whose order it is.
        account: AccountId,
        /// What is traded.
        instrument: InstrumentId,
        /// The order; 0 to name it by `orig_client_order_id`.
        order_id: OrderId,
        /// The client's number of the order, used where `order_id` is 0.
        orig_client_order_id: ClientOrderId,
    }
    /// Changes price and quantity of a live order. It keeps its id; it keeps its place only when
    /// nothing but the quantity falls.
    ReplaceOrder = 3, "replace-order" {
        /// Whose order it is.
        account: AccountId,
        /// What is traded.
        instrument: InstrumentId,
        /// The order; 0 to name it by `orig_client_order_id`.
        order_id: OrderId,
        /// The new limit price in ticks.
        price: Price,
        /// The new whole quantity in lots, what is filled included (FIX 38).
        quantity: Quantity,
        /// The client's number of the order, used where `order_id` is 0.
        orig_client_order_id: ClientOrderId,
    }
    /// Credits an account from the liability account.
    Deposit = 4, "deposit" {
        /// Who receives.
        account: AccountId,
        /// Which asset.
        asset: AssetId,
        /// How much, in the asset's smallest unit.
        amount: Amount,
    }
    /// Debits an account's available balance to the liability account.
    Withdraw = 5, "withdraw" {
        /// Who pays.
        account: AccountId,
        /// Which asset.
        asset: AssetId,
        /// How much, in the asset's smallest unit.
        amount: Amount,
    }
    /// Moves available balance from one account to another.
    Transfer = 6, "transfer" {
        /// Who pays.
        from: AccountId,
        /// Who receives.
        to: AccountId,
        /// Which asset.
        asset: AssetId,
        /// How much, in the asset's smallest unit.
        amount: Amount,
    }
    /// Enters an order with what [`NewOrder`] has no field for. A field that the order does not use is
    /// 0.
    EnterOrder = 7, "enter-order" {
        /// Whose order it is.
        account: AccountId,
        /// What is traded.
        instrument: InstrumentId,
        /// Buy or sell.
        side: Side,
        /// Limit, market, stop or stop-limit.
        order_type: OrderType,
        /// How long it lives.
        time_in_force: TimeInForce,
        /// As in a new order.
        flags: u8,
        /// Limit price in ticks; of a market or stop order the worst price that it takes, 0 for the
        /// instrument's band (a stop's is taken from its stop price).
        price: Price,
        /// Quantity in lots; 0 for as much as `budget` buys.
        quantity: Quantity,
        /// Stop and stop-limit: the last price at or beyond which it comes into the market (FIX 99).
        stop_price: Price,
        /// Iceberg: what of it the book shows at a time, in lots (FIX 1138).
        display_quantity: Quantity,
        /// What must trade on entry, or nothing does (FIX 110).
        min_quantity: Quantity,
        /// Market buy: the most that it pays, in the smallest unit of the quote asset (FIX 152).
        budget: Amount,
        /// Good-till-date: the time after which it no longer trades, nanoseconds since 1970 (FIX 126).
        expires: TimeNs,
        /// The client's number for it; 0 for none.
        client_order_id: ClientOrderId,
    }
    /// Cancels all live orders that match and were entered before it, some with every record that
    /// follows. The session that entered an order is told of it, and the sender when all is done.
    MassCancel = 8, "mass-cancel" {
        /// Whose orders; 0 for any account's, which takes an operator, or `session` to be the sender's.
        account: AccountId,
        /// Orders in this instrument; 0 for all.
        instrument: InstrumentId,
        /// Buys, sells or both.
        sides: Sides,
        /// Orders that this session entered; 0 for all.
        session: SessionId,
    }
    /// Says what becomes of the sender's orders when its connection is lost or it logs out, until it
    /// says otherwise.
    CancelOnDisconnect = 9, "cancel-on-disconnect" {
        /// 1: they are cancelled when the session was away for the grace time; 0: they stay.
        enabled: u8,
        /// The grace time in milliseconds, at most a day.
        grace_ms: u32,
    }
}

impl Command {
    /// The first version of the rules whose release can read it: a journal of older rules never has it.
    #[must_use]
    #[inline]
    pub const fn since(&self) -> u32 {
        match self {
            Command::NewOrder(NewOrder {
                order_type: OrderType::Limit,
                time_in_force: TimeInForce::Gtc | TimeInForce::Ioc,
                ..
            }) => 1,
            Command::NewOrder(_)
            | Command::EnterOrder(_)
            | Command::MassCancel(_)
            | Command::CancelOnDisconnect(_) => VERSION_ORDER_KINDS,
            _ => 1,
        }
    }

    /// The account the command acts for, which its key must be bound to; 0 for none.
    #[must_use]
    pub const fn account(&self) -> AccountId {
        match self {
            Command::NewOrder(c) => c.account,
            Command::CancelOrder(c) => c.account,
            Command::ReplaceOrder(c) => c.account,
            Command::Deposit(c) => c.account,
            Command::Withdraw(c) => c.account,
            Command::Transfer(c) => c.from,
            Command::EnterOrder(c) => c.account,
            Command::MassCancel(c) => c.account,
            Command::CancelOnDisconnect(_) => AccountId(0),
        }
    }

    /// True for commands of this schema that take orders away, or see to it: they pass where new orders
    /// have to wait.
    #[must_use]
    #[inline]
    pub const fn cancels(schema: u32) -> bool {
        matches!(schema, CancelOrder::SCHEMA | MassCancel::SCHEMA | CancelOnDisconnect::SCHEMA)
    }

    /// The client's number of the order that the command enters; none where it enters none, or one
    /// without a number.
    #[must_use]
    pub const fn enters(&self) -> Option<(AccountId, ClientOrderId)> {
        let (account, number) = match self {
            Command::NewOrder(c) => (c.account, c.client_order_id),
            Command::EnterOrder(c) => (c.account, c.client_order_id),
            _ => return None,
        };
        if number.0 == 0 { None } else { Some((account, number)) }
    }

    /// The instrument the command names, if it names one.
    #[must_use]
    pub const fn instrument(&self) -> Option<InstrumentId> {
        match self {
            Command::NewOrder(c) => Some(c.instrument),
            Command::CancelOrder(c) => Some(c.instrument),
            Command::ReplaceOrder(c) => Some(c.instrument),
            Command::EnterOrder(c) => Some(c.instrument),
            Command::MassCancel(c) if c.instrument.0 != 0 => Some(c.instrument),
            Command::Deposit(_)
            | Command::Withdraw(_)
            | Command::Transfer(_)
            | Command::MassCancel(_)
            | Command::CancelOnDisconnect(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples() -> Vec<Command> {
        vec![
            NewOrder {
                account: AccountId(2),
                instrument: InstrumentId(3),
                side: Side::Sell,
                order_type: OrderType::Limit,
                time_in_force: TimeInForce::Ioc,
                flags: 0,
                price: Price(-4),
                quantity: Quantity(5),
                client_order_id: ClientOrderId(6),
            }
            .into(),
            CancelOrder {
                account: AccountId(1),
                instrument: InstrumentId(2),
                order_id: OrderId(3),
                orig_client_order_id: ClientOrderId(4),
            }
            .into(),
            ReplaceOrder {
                account: AccountId(1),
                instrument: InstrumentId(2),
                order_id: OrderId(3),
                price: Price(4),
                quantity: Quantity(5),
                orig_client_order_id: ClientOrderId(6),
            }
            .into(),
            Deposit { account: AccountId(2), asset: AssetId(1), amount: Amount(7) }.into(),
            Withdraw { account: AccountId(2), asset: AssetId(1), amount: Amount(7) }.into(),
            Transfer { from: AccountId(2), to: AccountId(3), asset: AssetId(1), amount: Amount(7) }
                .into(),
            EnterOrder {
                account: AccountId(2),
                instrument: InstrumentId(3),
                side: Side::Buy,
                order_type: OrderType::StopLimit,
                time_in_force: TimeInForce::Gtd,
                flags: 17,
                price: Price(4),
                quantity: Quantity(5),
                stop_price: Price(6),
                display_quantity: Quantity(7),
                min_quantity: Quantity(8),
                budget: Amount(9),
                expires: TimeNs(10),
                client_order_id: ClientOrderId(11),
            }
            .into(),
            MassCancel {
                account: AccountId(2),
                instrument: InstrumentId(3),
                sides: Sides::Sell,
                session: SessionId(4),
            }
            .into(),
            CancelOnDisconnect { enabled: 1, grace_ms: 2 }.into(),
        ]
    }

    #[test]
    fn every_command_reads_back_what_it_wrote() {
        for command in samples() {
            let mut payload = Vec::new();
            command.encode(&mut payload);
            assert_eq!(Command::decode(command.schema(), &payload), Ok(command));
        }
    }

    #[test]
    fn a_payload_of_the_wrong_length_is_refused() {
        for command in samples() {
            let mut payload = Vec::new();
            command.encode(&mut payload);
            for cut in 0..payload.len() {
                assert!(Command::decode(command.schema(), &payload[..cut]).is_err());
            }
            payload.push(0);
            assert!(Command::decode(command.schema(), &payload).is_err());
        }
    }

    #[test]
    fn a_value_outside_its_enum_is_refused_by_name() {
        let mut payload = Vec::new();
        samples()[0].encode(&mut payload);
        payload[12] = 9;
        let error = Command::decode(1, &payload).expect_err("side 9 does not exist");
        assert_eq!(error.to_string(), "field side of schema 1 cannot be 9");
    }

    #[test]
    fn an_unknown_schema_is_refused_by_number() {
        let error = Command::decode(777, &[]).expect_err("no such schema");
        assert_eq!(error.to_string(), "Schema not found: 777");
    }
}
