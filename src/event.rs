//! Events: facts that the exchange produced, and why a request was refused.
//!
//! An event's name is (sequence, lane, index). In the event log every event takes
//! [`EVENT_SIZE`] bytes, little-endian, so that a reader can step over kinds it does not know.

use crate::types::{
    AccountId, Amount, AssetId, ClientOrderId, InstrumentId, OrderChange, OrderId, Price, Quantity,
    Sequence, SessionId, Side, Status, TimeNs,
};

/// Bytes of one event in the event log: a head of 16 and a body of 64.
pub const EVENT_SIZE: usize = 80;
/// Bytes before an event's body: sequence u64, index u32, kind u8, flags u8, reason u16.
const HEAD_SIZE: usize = 16;

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $value:literal, $text:literal;)+) => {
        /// Why a request was refused; the number stands on the wire and in the event log.
        ///
        /// 1 to 99 are given before a sequence (the request changed nothing and used up no message
        /// id), 100 and up by the exchange (the command is in the journal with this result).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u16)]
        pub enum RejectReason { $($(#[$doc])* $name = $value,)+ }

        impl RejectReason {
            /// Every reason, in numeric order.
            pub const ALL: &'static [RejectReason] = &[$(RejectReason::$name,)+];

            /// The reason with this number; 0 and unknown numbers are none.
            #[must_use]
            pub const fn from_u16(value: u16) -> Option<RejectReason> {
                match value { $($value => Some(RejectReason::$name),)+ _ => None }
            }

            /// True where the message got no sequence; else the exchange refused it at its place in the
            /// order.
            #[must_use]
            pub const fn is_before_sequence(self) -> bool {
                (self as u16) < RejectReason::UnknownInstrument as u16
                    || matches!(self, RejectReason::TooManyRequests)
            }

            /// The reason's name, as documents, JSON and counters show it.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(RejectReason::$name => stringify!($name),)+ }
            }

            /// The reason as a sentence.
            #[must_use]
            pub const fn text(self) -> &'static str {
                match self { $(RejectReason::$name => $text,)+ }
            }
        }

        impl std::fmt::Display for RejectReason {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.name())
            }
        }
    };
}

reasons! {
    /// The first byte is not 0xAB.
    BadMagic = 1, "the first byte is not 0xAB: this is not a native frame";
    /// A version this node does not speak.
    UnsupportedVersion = 2, "this version of the format is not spoken here";
    /// Flags that are unknown or not supported.
    BadFlags = 3, "a flag is unknown or asks for something not supported here";
    /// The length is below the header or lies about the frame.
    BadLength = 4, "the length field is below the smallest frame";
    /// The frame is longer than the node allows.
    FrameTooLong = 5, "the frame is longer than this node allows";
    /// The bit mode is not 1, 2, 3 or 4.
    BadBitMode = 6, "the bit mode is not 1, 2, 3 or 4";
    /// The reserved field is not zero.
    BadReserved = 7, "the reserved field is not zero";
    /// The segments overlap, leave gaps, repeat or are out of range.
    BadSegments = 8, "the segments overlap, leave gaps, repeat, or are out of range";
    /// A segment that must be there is missing.
    MissingSegment = 9, "a segment that must be there is missing";
    /// The CRC-64 is wrong.
    BadChecksum = 10, "the CRC-64 does not match";
    /// The SHA-256 is wrong.
    BadHash = 11, "the SHA-256 does not match";
    /// The signature is wrong.
    BadSignature = 12, "the signature does not match";
    /// A message that must be signed is not.
    SignatureRequired = 13, "a message of this kind or priority must be signed";
    /// The metadata cannot be read.
    BadMetadata = 14, "the metadata cannot be read";
    /// The priority is not 0 to 4, or the flags tell another one.
    BadPriority = 15, "the priority is not 0 to 4, or the flags name another one";
    /// The schema id is unknown.
    UnknownSchema = 16, "no schema has this id";
    /// The payload does not fit its schema.
    BadPayload = 17, "the payload does not fit its schema";
    /// The connection has no session yet, or this message is out of turn.
    NotLoggedOn = 18, "log on first";
    /// The logon was refused.
    LogonRefused = 19, "the logon was refused";
    /// The key may not do this, or not for this account.
    NotEntitled = 20, "the key is not entitled to this";
    /// The message id was used with other content.
    IdReused = 21, "this message id was used before with other content";
    /// The timestamp is at or below the horizon of the duplicate window.
    TooOldToCheck = 22, "the timestamp is too old to tell whether this is a duplicate";
    /// The timestamp is too far ahead of the node's clock.
    TimestampAhead = 23, "the timestamp is too far ahead of the clock of the node";
    /// A queue or ring is full; try again.
    Busy = 24, "busy: try again";
    /// The node is shutting down.
    ShuttingDown = 25, "the node is shutting down";
    /// Too many connections.
    TooManyConnections = 26, "too many connections";
    /// Not supported by this release.
    NotSupported = 27, "not supported by this release, or by the rules that hold";
    /// The disk is full, or nearly so: no orders until there is space.
    NoSpace = 28, "too little space on the disk: nothing but cancels may pass until there is more";
    /// The message repeats one that was sequenced: it gets that one's answer. Only in the reject log.
    Duplicate = 29, "the message repeats one that was sequenced before";

    /// The instrument does not exist.
    UnknownInstrument = 100, "no such instrument";
    /// The asset does not exist.
    UnknownAsset = 101, "no such asset";
    /// The account does not exist.
    UnknownAccount = 102, "no such account";
    /// No live order of the account in the instrument has this name, and it tells of none before.
    UnknownOrder = 103, "no such live order";
    /// The price is zero, negative or beyond the instrument's bounds.
    InvalidPrice = 104, "the price is not positive or is out of bounds";
    /// The quantity is zero, negative or beyond the instrument's bounds.
    InvalidQuantity = 105, "the quantity is not positive or is out of bounds";
    /// The amount is zero or negative.
    InvalidAmount = 106, "the amount is not positive";
    /// The available balance is too small.
    InsufficientFunds = 107, "the available balance is too small";
    /// A product or sum does not fit.
    Overflow = 108, "the value does not fit";
    /// A live order of the account has this client order id.
    DuplicateClientOrderId = 109, "a live order of the account has this client order id";
    /// The journaled time is past the message's time to live.
    Expired = 110, "the time to live of the message was over";
    /// The id is lower than the command's own sequence and no live order of the account has it; or a new
    /// quantity is not above what is filled, which the order in the answer tells.
    TooLate = 111, "no live order of the account has this number any more, or it has filled that much already";
    /// A table is full; nothing grows on the order path.
    CapacityReached = 112, "a table of the exchange is full";
    /// Flags or types that this release does not know.
    UnsupportedOrder = 113, "this kind of order is not supported by this release, or by the rules that hold";
    /// The key was not entitled when the command was applied.
    KeyNotEntitled = 114, "the key was not entitled when the command was applied";
    /// From and to are one account.
    SameAccount = 115, "from and to are the same account";
    /// The liability account cannot do this.
    LiabilityAccount = 116, "the liability account cannot be used for this";
    /// An admin command with a value that cannot be.
    InvalidAdmin = 117, "the admin command has a value that cannot be";
    /// The key does not exist.
    UnknownKey = 118, "no such key";
    /// The public key is another key's.
    DuplicateKey = 119, "a key with this public half is there already";
    /// No operator would be left to undo it.
    LastOperator = 120, "no operator would be left";
    /// Readers or writers of the version before could not go on with this one.
    IncompatibleSchema = 121, "the schema cannot follow the version that is registered";
    /// Another definition has this version or name, or a higher version is there.
    SchemaConflict = 122, "the version or name of the schema is taken, or a higher version is there";
    /// It could not be applied, and an operator has set it aside.
    Quarantined = 123, "the command could not be applied and was set aside by an operator";
    /// A post-only order that would trade on entry.
    WouldTrade = 124, "a post-only order would trade on entry";
    /// A market order finds nothing to trade with.
    NoLiquidity = 125, "there is nothing to trade with on the other side of the book";
    /// What was left of the order was cancelled instead of trading with an order of its own owner.
    SelfTradePrevented = 126, "it would have traded with an order of its own owner";
    /// The stop price is missing, out of bounds, or beyond the limit price.
    InvalidStop = 127, "the stop price is missing or out of bounds";
    /// The display quantity is negative, above the quantity, or a too small part of it.
    InvalidDisplay = 128, "the display quantity is above the quantity, or less than a hundredth of it";
    /// The minimum quantity is negative or above the quantity.
    InvalidMinimum = 129, "the minimum quantity is negative or above the quantity";
    /// The time of expiry is missing, or over.
    InvalidExpiry = 130, "the time of expiry is missing, or was over";
    /// The budget is negative, or buys nothing.
    InvalidBudget = 131, "the budget is negative, or too small for a lot at the best price";
    /// The price is further from the last one than the instrument's collar allows.
    OutsideCollar = 132, "the price is beyond the collar around the last price";
    /// The quantity is above the account's limit for an order.
    OrderTooLarge = 133, "the quantity is above the limit of the account";
    /// Price times quantity is above the account's limit for an order.
    NotionalTooLarge = 134, "price times quantity is above the limit of the account";
    /// The account has as many live orders as it may have.
    TooManyOpenOrders = 135, "the account has as many live orders as it may have";
    /// With all its live orders filled, the account's position would be above its limit.
    NetPositionLimit = 136, "the net position could pass the limit of the account";
    /// Position and live orders together would be above the account's limit.
    GrossPositionLimit = 137, "position and live orders together pass the limit of the account";
    /// The account has used up its rate of orders.
    OrderRateExceeded = 138, "the account enters orders faster than its limit allows";
    /// The account may not trade this instrument.
    InstrumentRestricted = 139, "the account may not trade this instrument";
    /// As many mass cancels as there may be are under way.
    TooManyMassCancels = 140, "too many mass cancels are under way: try again";
    /// A session is named that is not the sender's, or the sender has none.
    InvalidSession = 141, "the session must be that of the sender";
    /// The grace time is too long, or a switch is neither 0 nor 1.
    InvalidGrace = 142, "the grace time is longer than a day, or the switch is neither 0 nor 1";

    /// The node is overloaded, or the session has used up its rate (rows S1.89, S4.35).
    TooManyRequests = 429, "too many requests: try again later";
}

/// What became of one command: exactly one for every sequenced command, always index 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommandResult {
    /// What became of it.
    pub status: Status,
    /// Why it was refused; `None` where it was not.
    pub reason: Option<RejectReason>,
    /// The session that sent it.
    pub session: SessionId,
    /// Trades of this command's own order, which stand right behind the result.
    pub fill_count: u32,
    // What is known last does not stand side by side: fields that are copied in pairs are read from
    // where they were written one by one a moment before, which stalls.
    /// The order it concerns, or 0.
    pub order_id: OrderId,
    /// Number of the answer among the session's outbound messages, from 1; 0 for none.
    pub outbound: u64,
    /// Filled quantity of the order, in all.
    pub filled: Quantity,
    /// The client's own sequence number, echoed.
    pub client_sequence: u64,
    /// Open quantity of the order.
    pub leaves: Quantity,
    /// Time of the record.
    pub time: TimeNs,
    /// The account it acts for.
    pub account: AccountId,
}

/// One match, at the maker's price.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trade {
    /// What is traded.
    pub instrument: InstrumentId,
    /// Side of the incoming order.
    pub taker_side: Side,
    /// The order that rested.
    pub maker_order: OrderId,
    /// The incoming order.
    pub taker_order: OrderId,
    /// Account of the order that rested.
    pub maker_account: AccountId,
    /// Account of the incoming order.
    pub taker_account: AccountId,
    /// The maker's price.
    pub price: Price,
    /// Quantity traded.
    pub quantity: Quantity,
    /// What is left of the maker.
    pub maker_leaves: Quantity,
}

/// A trade as the session of an order is told of it that is not the command's own: one that rested, or a
/// stop that the command triggered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MakerFill {
    /// The session that entered the order.
    pub session: SessionId,
    /// What is traded.
    pub instrument: InstrumentId,
    /// Number among the session's outbound messages.
    pub outbound: u64,
    /// The order that rested.
    pub order_id: OrderId,
    /// The client's number for it.
    pub client_order_id: ClientOrderId,
    /// Price of this fill.
    pub price: Price,
    /// Quantity of this fill.
    pub quantity: Quantity,
    /// Filled quantity, in all.
    pub filled: Quantity,
    /// Open quantity.
    pub leaves: Quantity,
}

/// A change of a live order that is neither a fill nor its own command's result, as the session that
/// entered it is told of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrderUpdate {
    /// What happened.
    pub change: OrderChange,
    /// The session that entered the order; 0 for none.
    pub session: SessionId,
    /// What is traded; 0 for none.
    pub instrument: InstrumentId,
    /// Number among the session's outbound messages; 0 where there is no session.
    pub outbound: u64,
    /// The order.
    pub order_id: OrderId,
    /// The client's number for it.
    pub client_order_id: ClientOrderId,
    /// Its limit price now.
    pub price: Price,
    /// Its whole quantity now, what is filled included.
    pub quantity: Quantity,
    /// Filled quantity, in all.
    pub filled: Quantity,
    /// Open quantity now; 0 where the order has ended.
    pub leaves: Quantity,
}

/// A balance that the command touched, with its final value; each touched balance once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Balance {
    /// The account.
    pub account: AccountId,
    /// The asset.
    pub asset: AssetId,
    /// What the account can use.
    pub available: Amount,
    /// What its orders hold.
    pub frozen: Amount,
}

/// A session began or ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionChange {
    /// The session.
    pub session: SessionId,
    /// True at logon, false at logout.
    pub active: bool,
    /// The last outbound number given so far.
    pub outbound: u64,
}

/// A message of its session's protocol was sent that no command's events tell: its bytes stand in its
/// record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionSent {
    /// The session.
    pub session: SessionId,
    /// Kind of message in its protocol.
    pub kind: u16,
    /// Number among the session's outbound messages.
    pub outbound: u64,
    /// The inbound number that the session expects next.
    pub expected_inbound: u64,
}

/// A fact that the exchange produced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventBody {
    /// What became of a command.
    Result(CommandResult),
    /// One match.
    Trade(Trade),
    /// The match as the maker's session is told of it.
    MakerFill(MakerFill),
    /// An order changed that is not the command's own.
    Update(OrderUpdate),
    /// A balance touched.
    Balance(Balance),
    /// A session began or ended.
    Session(SessionChange),
    /// A message of a session's protocol was sent.
    Sent(SessionSent),
}

/// An event with its name within the lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// The command it comes from.
    pub sequence: Sequence,
    /// Its place among the command's events, from 0.
    pub index: u32,
    /// The last event of its command.
    pub last: bool,
    /// What happened.
    pub body: EventBody,
}

const FLAG_LAST: u8 = 1;
const FLAG_SELL: u8 = 2;
const FLAG_ACTIVE: u8 = 4;

/// Appends little-endian numbers to a body of fixed size.
struct Put<'a> {
    body: &'a mut [u8],
    at: usize,
}

impl Put<'_> {
    fn u64(&mut self, value: u64) -> &mut Self {
        self.body[self.at..self.at + 8].copy_from_slice(&value.to_le_bytes());
        self.at += 8;
        self
    }
    fn i64(&mut self, value: i64) -> &mut Self {
        self.u64(value.cast_unsigned())
    }
    fn u32(&mut self, value: u32) -> &mut Self {
        self.body[self.at..self.at + 4].copy_from_slice(&value.to_le_bytes());
        self.at += 4;
        self
    }
}

/// Takes little-endian numbers from a body of fixed size.
struct Get<'a> {
    body: &'a [u8],
    at: usize,
}

impl Get<'_> {
    fn u64(&mut self) -> u64 {
        let bytes = &self.body[self.at..self.at + 8];
        self.at += 8;
        u64::from_le_bytes(bytes.try_into().expect("eight bytes were taken"))
    }
    fn i64(&mut self) -> i64 {
        self.u64().cast_signed()
    }
    fn u32(&mut self) -> u32 {
        let bytes = &self.body[self.at..self.at + 4];
        self.at += 4;
        u32::from_le_bytes(bytes.try_into().expect("four bytes were taken"))
    }
}

impl SessionSent {
    fn get(get: &mut Get<'_>) -> Option<SessionSent> {
        Some(SessionSent {
            session: SessionId(get.u32()),
            kind: u16::try_from(get.u32()).ok()?,
            outbound: get.u64(),
            expected_inbound: get.u64(),
        })
    }
}

impl OrderUpdate {
    fn get(change: OrderChange, get: &mut Get<'_>) -> OrderUpdate {
        OrderUpdate {
            change,
            session: SessionId(get.u32()),
            instrument: InstrumentId(get.u32()),
            outbound: get.u64(),
            order_id: OrderId(get.u64()),
            client_order_id: ClientOrderId(get.u64()),
            price: Price(get.i64()),
            quantity: Quantity(get.i64()),
            filled: Quantity(get.i64()),
            leaves: Quantity(get.i64()),
        }
    }
}

impl Event {
    /// Writes the event's [`EVENT_SIZE`] bytes.
    pub fn encode(&self, out: &mut [u8; EVENT_SIZE]) {
        out.fill(0);
        out[0..8].copy_from_slice(&self.sequence.0.to_le_bytes());
        out[8..12].copy_from_slice(&self.index.to_le_bytes());
        let (head, body) = out.split_at_mut(HEAD_SIZE);
        let mut flags = if self.last { FLAG_LAST } else { 0 };
        let put = &mut Put { body, at: 0 };
        // The kind shares its byte with a result's status: kinds stand in the high half.
        head[12] = match &self.body {
            EventBody::Result(r) => {
                put.u32(r.session.0).u32(r.fill_count).u64(r.outbound).u64(r.client_sequence);
                put.u64(r.order_id.0).i64(r.filled.0).i64(r.leaves.0);
                put.u64(r.time.0).u64(r.account.0);
                let reason = r.reason.map_or(0, |reason| reason as u16);
                head[14..16].copy_from_slice(&reason.to_le_bytes());
                0x10 | r.status as u8
            }
            EventBody::Trade(t) => {
                if t.taker_side == Side::Sell {
                    flags |= FLAG_SELL;
                }
                put.u32(t.instrument.0).u32(0).u64(t.maker_order.0).u64(t.taker_order.0);
                put.u64(t.maker_account.0).u64(t.taker_account.0);
                put.i64(t.price.0).i64(t.quantity.0).i64(t.maker_leaves.0);
                0x20
            }
            EventBody::MakerFill(f) => {
                put.u32(f.session.0).u32(f.instrument.0).u64(f.outbound).u64(f.order_id.0);
                put.u64(f.client_order_id.0).i64(f.price.0).i64(f.quantity.0);
                put.i64(f.filled.0).i64(f.leaves.0);
                0x30
            }
            EventBody::Update(u) => {
                put.u32(u.session.0).u32(u.instrument.0).u64(u.outbound).u64(u.order_id.0);
                put.u64(u.client_order_id.0).i64(u.price.0).i64(u.quantity.0);
                put.i64(u.filled.0).i64(u.leaves.0);
                0x60 | u.change as u8
            }
            EventBody::Balance(b) => {
                put.u64(b.account.0).u32(b.asset.0).u32(0).i64(b.available.0).i64(b.frozen.0);
                0x40
            }
            EventBody::Session(s) => {
                if s.active {
                    flags |= FLAG_ACTIVE;
                }
                put.u32(s.session.0).u32(0).u64(s.outbound);
                0x50
            }
            EventBody::Sent(s) => {
                put.u32(s.session.0).u32(s.kind.into()).u64(s.outbound).u64(s.expected_inbound);
                0x70
            }
        };
        head[13] = flags;
    }

    /// Reads an event back; `None` where the bytes are no event of a known kind.
    #[must_use]
    pub fn decode(bytes: &[u8; EVENT_SIZE]) -> Option<Event> {
        let (head, body) = bytes.split_at(HEAD_SIZE);
        let flags = head[13];
        let reason = u16::from_le_bytes([head[14], head[15]]);
        let get = &mut Get { body, at: 0 };
        let body = match head[12] & 0xF0 {
            0x10 => {
                let status = Status::from_u8(head[12] & 0x0F)?;
                let reason = match reason {
                    0 => None,
                    number => Some(RejectReason::from_u16(number)?),
                };
                EventBody::Result(CommandResult {
                    status,
                    reason,
                    session: SessionId(get.u32()),
                    fill_count: get.u32(),
                    outbound: get.u64(),
                    client_sequence: get.u64(),
                    order_id: OrderId(get.u64()),
                    filled: Quantity(get.i64()),
                    leaves: Quantity(get.i64()),
                    time: TimeNs(get.u64()),
                    account: AccountId(get.u64()),
                })
            }
            0x20 => {
                let instrument = InstrumentId(get.u32());
                get.u32();
                EventBody::Trade(Trade {
                    instrument,
                    taker_side: if flags & FLAG_SELL == 0 { Side::Buy } else { Side::Sell },
                    maker_order: OrderId(get.u64()),
                    taker_order: OrderId(get.u64()),
                    maker_account: AccountId(get.u64()),
                    taker_account: AccountId(get.u64()),
                    price: Price(get.i64()),
                    quantity: Quantity(get.i64()),
                    maker_leaves: Quantity(get.i64()),
                })
            }
            0x30 => EventBody::MakerFill(MakerFill {
                session: SessionId(get.u32()),
                instrument: InstrumentId(get.u32()),
                outbound: get.u64(),
                order_id: OrderId(get.u64()),
                client_order_id: ClientOrderId(get.u64()),
                price: Price(get.i64()),
                quantity: Quantity(get.i64()),
                filled: Quantity(get.i64()),
                leaves: Quantity(get.i64()),
            }),
            0x40 => {
                let account = AccountId(get.u64());
                let asset = AssetId(get.u32());
                get.u32();
                EventBody::Balance(Balance {
                    account,
                    asset,
                    available: Amount(get.i64()),
                    frozen: Amount(get.i64()),
                })
            }
            0x50 => {
                let session = SessionId(get.u32());
                get.u32();
                let active = flags & FLAG_ACTIVE != 0;
                EventBody::Session(SessionChange { session, active, outbound: get.u64() })
            }
            0x60 => {
                EventBody::Update(OrderUpdate::get(OrderChange::from_u8(head[12] & 0x0F)?, get))
            }
            0x70 => EventBody::Sent(SessionSent::get(get)?),
            _ => return None,
        };
        Some(Event {
            sequence: Sequence(u64::from_le_bytes(head[0..8].try_into().ok()?)),
            index: u32::from_le_bytes(head[8..12].try_into().ok()?),
            last: flags & FLAG_LAST != 0,
            body,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_reads_back_what_it_wrote() {
        let bodies = [
            EventBody::Result(CommandResult {
                status: Status::Rejected,
                reason: Some(RejectReason::InsufficientFunds),
                session: SessionId(1),
                fill_count: 2,
                outbound: 3,
                client_sequence: 4,
                order_id: OrderId(5),
                filled: Quantity(6),
                leaves: Quantity(7),
                time: TimeNs(8),
                account: AccountId(9),
            }),
            EventBody::Trade(Trade {
                instrument: InstrumentId(1),
                taker_side: Side::Sell,
                maker_order: OrderId(2),
                taker_order: OrderId(3),
                maker_account: AccountId(4),
                taker_account: AccountId(5),
                price: Price(6),
                quantity: Quantity(7),
                maker_leaves: Quantity(8),
            }),
            EventBody::MakerFill(MakerFill {
                session: SessionId(1),
                instrument: InstrumentId(2),
                outbound: 3,
                order_id: OrderId(4),
                client_order_id: ClientOrderId(5),
                price: Price(6),
                quantity: Quantity(7),
                filled: Quantity(8),
                leaves: Quantity(9),
            }),
            EventBody::Balance(Balance {
                account: AccountId(1),
                asset: AssetId(2),
                available: Amount(-3),
                frozen: Amount(4),
            }),
            EventBody::Session(SessionChange { session: SessionId(1), active: true, outbound: 2 }),
            EventBody::Update(OrderUpdate {
                change: OrderChange::Expired,
                session: SessionId(1),
                instrument: InstrumentId(2),
                outbound: 3,
                order_id: OrderId(4),
                client_order_id: ClientOrderId(5),
                price: Price(6),
                quantity: Quantity(7),
                filled: Quantity(8),
                leaves: Quantity(9),
            }),
            EventBody::Sent(SessionSent {
                session: SessionId(1),
                kind: 2,
                outbound: 3,
                expected_inbound: 4,
            }),
        ];
        for (index, body) in (0..).zip(bodies) {
            let event = Event { sequence: Sequence(9), index, last: index == 6, body };
            let mut bytes = [0; EVENT_SIZE];
            event.encode(&mut bytes);
            assert_eq!(Event::decode(&bytes), Some(event));
        }
    }

    #[test]
    fn bytes_of_no_known_kind_are_no_event() {
        assert_eq!(Event::decode(&[0; EVENT_SIZE]), None);
    }
}
