//! The plain numbers of the field as types, so that two of them cannot be swapped.

use serde::{Deserialize, Serialize};

macro_rules! newtype {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

newtype!(
    /// Place in the one total order: from 1, strictly +1; 0 means none.
    Sequence(u64)
);
newtype!(
    /// Number of a primary's reign, from 1.
    Epoch(u64)
);
newtype!(
    /// Nanoseconds since the Unix epoch, as the sequencer tells them.
    TimeNs(u64)
);
newtype!(
    /// Whole ticks of an instrument.
    Price(i64)
);
newtype!(
    /// Whole lots of an instrument.
    Quantity(i64)
);
newtype!(
    /// Money in an asset's smallest unit.
    Amount(i64)
);
newtype!(
    /// An order's own number: the sequence of the command that created it. 0 means none.
    OrderId(u64)
);
newtype!(
    /// A number a client chose for its order, unique among the account's live orders. 0 means none.
    ClientOrderId(u64)
);
newtype!(
    /// An account. 1 is the liability account, users start at 2 (row S4.25).
    AccountId(u64)
);
newtype!(
    /// Index of an instrument in genesis order, from 1.
    InstrumentId(u32)
);
newtype!(
    /// Index of an asset in genesis order, from 1.
    AssetId(u32)
);
newtype!(
    /// A session's number, given by the critical lane at its first logon, from 1. 0 means none.
    SessionId(u32)
);
newtype!(
    /// A key's number in genesis order, from 1. 0 means the node itself.
    KeyId(u32)
);

impl Sequence {
    /// No sequence: before the first record.
    pub const NONE: Sequence = Sequence(0);

    /// The sequence after this one.
    #[must_use]
    pub const fn next(self) -> Sequence {
        Sequence(self.0 + 1)
    }
}

impl AccountId {
    /// The contra account of deposits and withdrawals; the only one that may go negative.
    pub const LIABILITY: AccountId = AccountId(1);
}

/// An enum that stands as one byte on the wire and in the journal.
macro_rules! byte_enum {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $value:literal => $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        #[repr(u8)]
        pub enum $name { $($(#[$vdoc])* $variant = $value,)+ }

        impl $name {
            /// Every value, in numeric order.
            pub const ALL: &'static [$name] = &[$($name::$variant,)+];
            /// Number and word of every value, in numeric order.
            pub const WORDS: &'static [(u8, &'static str)] = &[$(($value, $text),)+];

            /// The value with this number, if there is one.
            #[must_use]
            pub const fn from_u8(value: u8) -> Option<$name> {
                match value { $($value => Some($name::$variant),)+ _ => None }
            }

            /// The word used on the command line and in JSON.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $($name::$variant => $text,)+ }
            }

            /// The value with this word, if there is one.
            #[must_use]
            pub fn from_word(word: &str) -> Option<$name> {
                match word { $($text => Some($name::$variant),)+ _ => None }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }
    };
}

byte_enum!(
    /// When a message is sequenced (row S1.60); lower is more urgent.
    Priority {
        /// Immediate; signed.
        Critical = 0 => "critical",
        /// Early.
        High = 1 => "high",
        /// Standard.
        Normal = 2 => "normal",
        /// May be delayed.
        Low = 3 => "low",
        /// Bulk.
        Batch = 4 => "batch",
    }
);

byte_enum!(
    /// A thread and the state that it alone writes.
    Lane {
        /// Books, balances, sessions.
        Critical = 0 => "critical",
        /// Tasks up to NORMAL, projections.
        Normal = 1 => "normal",
        /// Bulk.
        Batch = 2 => "batch",
    }
);

byte_enum!(
    /// Buy or sell (row S4.27).
    Side {
        /// Bids for the base asset with the quote asset.
        Buy = 1 => "buy",
        /// Offers the base asset for the quote asset.
        Sell = 2 => "sell",
    }
);

impl Side {
    /// The other side.
    #[must_use]
    pub const fn opposite(self) -> Side {
        match self {
            Side::Buy => Side::Sell,
            Side::Sell => Side::Buy,
        }
    }
}

byte_enum!(
    /// Kind of an order (section 4.4, FIX 40).
    OrderType {
        /// Executes at once at what the book offers, within a protection price; never rests.
        Market = 1 => "market",
        /// Executes at the limit price or better.
        Limit = 2 => "limit",
        /// Becomes a market order when the last price reaches its stop price.
        Stop = 3 => "stop",
        /// Becomes a limit order when the last price reaches its stop price.
        StopLimit = 4 => "stop-limit",
    }
);

byte_enum!(
    /// How long an order lives; the numbers are FIX 59.
    TimeInForce {
        /// Until the trading day ends.
        Day = 0 => "day",
        /// Until it is filled or cancelled.
        Gtc = 1 => "gtc",
        /// What does not trade at once is cancelled.
        Ioc = 3 => "ioc",
        /// Trades whole and at once, or is cancelled.
        Fok = 4 => "fok",
        /// Until a time that it names.
        Gtd = 6 => "gtd",
    }
);

byte_enum!(
    /// What happens instead of a trade between orders of one owner (FIX 2964); the incoming order's
    /// wish holds.
    SelfTrade {
        /// They trade.
        Allow = 1 => "allow",
        /// What is left of the incoming order is cancelled.
        CancelNewest = 2 => "cancel-newest",
        /// The resting order is cancelled, and the incoming one goes on.
        CancelOldest = 3 => "cancel-oldest",
        /// Both are cancelled.
        CancelBoth = 4 => "cancel-both",
        /// Both lose the smaller of the two quantities; what is left of the larger goes on.
        Decrement = 5 => "decrement",
    }
);

byte_enum!(
    /// Which sides of a book a command concerns.
    Sides {
        /// Buys and sells.
        Both = 0 => "both",
        /// Buys.
        Buy = 1 => "buy",
        /// Sells.
        Sell = 2 => "sell",
    }
);

byte_enum!(
    /// A change of an order that is neither its own command's result nor a fill.
    OrderChange {
        /// A stop's price was reached: it is in the market now.
        Triggered = 1 => "triggered",
        /// A post-only order was given the best price at which it does not trade.
        Repriced = 2 => "repriced",
        /// It lost quantity instead of trading with an order of its own owner.
        Reduced = 3 => "reduced",
        /// It was cancelled instead of trading with an order of its own owner.
        SelfTrade = 4 => "self-trade",
        /// Its time was over.
        Expired = 5 => "expired",
        /// A mass cancel took it.
        MassCanceled = 6 => "mass-canceled",
        /// Its session was lost for longer than the grace time.
        Disconnected = 7 => "disconnected",
        /// What was left of a triggered stop found nothing to trade with.
        Unfilled = 8 => "unfilled",
        /// No order: a mass cancel is done. `order_id` names its command, `quantity` says how many orders it
        /// cancelled.
        MassCancelDone = 9 => "mass-cancel-done",
    }
);

byte_enum!(
    /// What became of a command (row S4.27 for 1 to 7).
    Status {
        /// The order is filled.
        FullyFilled = 1 => "fully-filled",
        /// The order is partly filled and rests.
        PartialFilled = 2 => "partial-filled",
        /// The order rests untouched.
        Pending = 3 => "pending",
        /// The order is cancelled and never traded.
        FullyCanceled = 4 => "fully-canceled",
        /// The order is cancelled after it traded in part.
        PartialCanceled = 5 => "partial-canceled",
        /// Refused; the reason says why, and nothing changed.
        Rejected = 6 => "rejected",
        /// Its time was over.
        Expired = 7 => "expired",
        /// Done: a command that has no order.
        Done = 8 => "done",
    }
);

byte_enum!(
    /// What a key may do.
    Role {
        /// Enter, replace and cancel orders and transfer, for its accounts.
        Trade = 1 => "trade",
        /// Cancel orders of its accounts.
        CancelOnly = 2 => "cancel-only",
        /// Ask.
        ReadOnly = 3 => "read-only",
        /// Everything, for every account; alone may deposit and withdraw.
        Operator = 4 => "operator",
    }
);
