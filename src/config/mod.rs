//! The configuration: every key once, with its type, default and rule; sections in flow order.
//!
//! Invariants:
//! - A key stands in exactly one place, the `section!` calls below: structure, default, rule and
//!   path come from it. `config.toml` shows the same, and a test compares the two.
//! - `[genesis]` alone describes the venue; it is sequenced once. All other keys belong to the node
//!   and never reach the exchange.
//! - Defaults < file < environment < `--set` and options of the command line.

mod drift;
mod error;
mod load;
mod rule;
mod value;
mod venue;

pub use drift::genesis_differences;
pub use error::{ConfigError, Origin};
pub use load::{Alias, Loaded, Row, Sources, load};
pub use rule::{Key, Rule};
pub use value::{AboveEntitlement, AckPolicy, Core, Idle, Layout, Listen, LogFormat, LogLevel};
pub use venue::genesis_items;

use crate::limits::{
    ACCOUNTS_MAX, BATCH_COUNT_MAX, COLLAR_BPS_MAX, DAY_END_S_MAX, DEDUPE_COUNT_MAX,
    FRAME_DEFAULT_BYTES, FRAME_MAX_BYTES, GATEWAYS_MAX, KEY_CRITICAL_PER_S_MAX, LANE_BATCH_MAX,
    MARKET_BAND_BPS_MAX, ORDER_RATE_MAX, ORDERS_MAX, SCALE_MAX, SEGMENT_MIN_BYTES,
};
use crate::sys::storage::Append;
use crate::types::{Priority, Role, SelfTrade};
use serde::{Deserialize, Serialize};

/// Defines a section: its structure, its defaults, and its keys with their rules.
macro_rules! section {
    ($(#[$doc:meta])* $name:ident, $path:literal
        { $($(#[$fdoc:meta])* $field:ident: $ty:ty = $default:expr, $rule:expr;)* }
        $({ $($(#[$sdoc:meta])* $sub:ident: $sub_ty:ty;)* })?
    ) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct $name {
            $($(#[$fdoc])* pub $field: $ty,)*
            $($($(#[$sdoc])* pub $sub: $sub_ty,)*)?
        }

        impl Default for $name {
            fn default() -> Self {
                $name {
                    $($field: $default,)*
                    $($($sub: <$sub_ty>::default(),)*)?
                }
            }
        }

        impl $name {
            /// The keys of the section itself.
            const KEYS: &'static [Key] = &[
                $(Key { path: concat!($path, ".", stringify!($field)), rule: $rule, required: false },)*
            ];
        }
    };
}

/// Defines an entry of a list: its structure and its keys.
macro_rules! entry {
    ($(#[$doc:meta])* $name:ident, $path:literal
        { $($(#[$fdoc:meta])* $field:ident: $ty:ty, $rule:expr;)* }
        optional { $($(#[$odoc:meta])* $optional:ident: $oty:ty, $orule:expr;)* }
    ) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct $name {
            $($(#[$fdoc])* pub $field: $ty,)*
            $($(#[$odoc])* #[serde(default)] pub $optional: $oty,)*
        }

        impl $name {
            /// The keys of an entry.
            const KEYS: &'static [Key] = &[
                $(Key { path: concat!($path, ".*.", stringify!($field)), rule: $rule, required: true },)*
                $(Key { path: concat!($path, ".*.", stringify!($optional)), rule: $orule, required: false },)*
            ];
        }
    };
}

const fn integer(min: i64, max: i64) -> Rule {
    Rule::Integer { min, max }
}

const fn ring(min: i64, max: i64) -> Rule {
    Rule::PowerOfTwo { min, max }
}

const fn words(now: &'static [&'static str]) -> Rule {
    Rule::Words { now, later: &[] }
}

const KIB: i64 = 1024;
const MIB: i64 = 1024 * KIB;
const GIB: i64 = 1024 * MIB;

section! {
    /// `[node]`: this process.
    Node, "node" {
        /// Name in logs, in the ready line and on the console.
        name: String = "outcry-1".into(), Rule::Name;
        /// Where the journal and everything beside it lie; relative to the working directory.
        data_dir: String = "journal".into(), Rule::Path;
        /// How long a stop waits for answers to be released and sent.
        shutdown_timeout_s: u64 = 10, integer(1, 3600);
    }
}

section! {
    /// `[gateway]`: bytes from a client become a command, or a reject.
    Gateway, "gateway" {
        /// Threads that read and write sockets; connections are dealt out to them in turn.
        threads: u32 = 1, integer(1, GATEWAYS_MAX as i64);
        /// Bytes read from one connection before the next one has its turn.
        read_budget_bytes: u64 = 64 * KIB as u64, integer(KIB, 16 * MIB);
        /// Time from connecting to a complete logon.
        logon_timeout_ms: u64 = 5_000, integer(50, 600_000);
        /// A client sends something at least this often; after twice as long it is closed.
        idle_timeout_ms: u64 = 30_000, integer(100, 3_600_000);
    } {
        /// The native binary protocol.
        native: NativeGateway;
        /// The SBE-style RPC framing.
        rpc: RpcGateway;
        /// FIX.
        fix: FixGateway;
    }
}

section! {
    /// `[gateway.native]`: the native binary protocol.
    NativeGateway, "gateway.native" {
        /// Address, or off.
        listen: Listen = Listen::at_loopback(4711), Rule::Listen;
    }
}

section! {
    /// `[gateway.rpc]`: the SBE-style RPC framing.
    RpcGateway, "gateway.rpc" {
        /// Only off in this release.
        listen: Listen = Listen::Off, Rule::ListenOff("RPC listener");
    }
}

section! {
    /// `[gateway.fix]`: FIX sessions.
    FixGateway, "gateway.fix" {
        /// Only off in this release.
        listen: Listen = Listen::Off, Rule::ListenOff("FIX listener");
    }
}

section! {
    /// `[limits]`: what one client, and all of them, may hold.
    Limits, "limits" {
        /// Open connections of all listeners.
        connections_max: u32 = 16_384, integer(1, 1 << 20);
        /// Largest frame, header included.
        frame_max_bytes: u32 = FRAME_DEFAULT_BYTES as u32, integer(256, FRAME_MAX_BYTES as i64);
        /// Bytes that wait to be sent on one connection.
        pending_output_max_bytes: u64 = 4 * MIB as u64, integer(FRAME_MAX_BYTES as i64, GIB);
        /// The same of all connections; above it those who hold most and do not read are closed.
        pending_output_total_bytes: u64 = 256 * MIB as u64, integer(MIB, 1024 * GIB);
        /// How long a connection's waiting bytes may stay above their bound before it ends.
        slow_reader_timeout_ms: u64 = 5_000, integer(10, 600_000);
        /// Messages of one connection that wait to be sequenced.
        pending_max: u32 = 256, integer(1, 1 << 14);
        /// Requests, and as many cancels beside them, that a session may send in
        /// `rate_window_s`; 0 for any number.
        rate_max: u32 = 0, integer(0, 1 << 20);
        /// See `rate_max`.
        rate_window_s: u32 = 60, integer(1, 3_600);
    }
}

section! {
    /// `[sequencer]`: a command gets its place in the one total order.
    Sequencer, "sequencer" {
        /// Slots of the ring from each gateway thread.
        input_ring_slots: u32 = 2_048, ring(2, 1 << 20);
        /// Waiting messages of each priority that are larger than 256 bytes.
        queue_slots_large: u32 = 1_024, integer(1, 1 << 16);
        /// Slots of the ring of sequenced commands, which journal and `critical` read.
        ring_slots: u32 = 2_048, ring(2, 1 << 20);
        /// Commands in one journal batch.
        batch_count_max: u32 = BATCH_COUNT_MAX as u32, integer(1, BATCH_COUNT_MAX as i64);
        /// Slots of the ring of answers on their way to the gateway.
        answer_ring_slots: u32 = 8_192, ring(2, 1 << 20);
        /// Slots of the ring of events on their way to the event log.
        event_ring_slots: u32 = 65_536, ring(2, 1 << 20);
    } {
        /// What may wait.
        queues: SequencerQueues;
    }
}

section! {
    /// `[sequencer.queues]`: messages of each priority that may wait to be sequenced.
    SequencerQueues, "sequencer.queues" {
        /// CRITICAL.
        critical: u32 = 1_024, integer(1, 1 << 20);
        /// HIGH.
        high: u32 = 4_096, integer(1, 1 << 20);
        /// NORMAL.
        normal: u32 = 16_384, integer(1, 1 << 20);
        /// LOW.
        low: u32 = 4_096, integer(1, 1 << 20);
        /// BATCH.
        batch: u32 = 4_096, integer(1, 1 << 20);
    }
}

section! {
    /// `[priorities]`: when a waiting message has its turn.
    Priorities, "priorities" {
        /// A message that waited longer is served as HIGH.
        aging_ms: u64 = 60_000, integer(1, 86_400_000);
        /// A message that the node delivered more often is served as HIGH.
        attempts_max: u16 = 3, integer(0, 1_000);
        /// Below this load of the lanes BATCH is served as LOW.
        idle_load_percent: u8 = 50, integer(0, 100);
        /// What becomes of a message whose priority is above what its key may use.
        above_entitlement: AboveEntitlement = AboveEntitlement::Cap, words(&["cap", "refuse"]);
    }
}

section! {
    /// `[overload]`: when clients are slowed and refused. Each number is exceeded, not reached.
    Overload, "overload" {
        /// Messages in all queues together.
        total: u32 = 10_000, integer(1, 1 << 23);
        /// Messages in the CRITICAL queue.
        critical: u32 = 100, integer(1, 1 << 20);
        /// Messages in the HIGH queue.
        high: u32 = 1_000, integer(1, 1 << 20);
        /// Sequenced messages that the critical lane has not applied.
        lag: u64 = 5_000, integer(1, 1 << 30);
        /// How long a session's new orders are held, and how long the state lasts at least.
        slow_ms: u64 = 500, integer(1, 60_000);
        /// When LOW and BATCH that were refused may try again.
        retry_after_s: u32 = 10, integer(1, 3_600);
    }
}

section! {
    /// `[journal]`: the order becomes durable.
    Journal, "journal" {
        /// How bytes are appended; the format is the same.
        append: Append = Append::Write, words(&["write", "map"]);
        /// Size of a segment.
        segment_size_bytes: u64 = 64 * MIB as u64,
            Rule::Multiple { step: 4096, min: SEGMENT_MIN_BYTES as i64, max: 16 * GIB };
        /// Segments kept prepared ahead of need.
        segments_ahead: u32 = 3, integer(1, 16);
        /// Time between two syncs under the policy `memory`.
        sync_interval_ms: u64 = 100, integer(1, 60_000);
    }
}

section! {
    /// `[disk]`: what happens before the disk is full. Free bytes of the file system that the data
    /// directory lies on; 0 for never.
    Disk, "disk" {
        /// Below this a warning is given.
        low_bytes: u64 = 2 * GIB as u64, integer(0, 1024 * 1024 * GIB);
        /// Below this new orders are refused; cancels, admin commands and queries go on.
        critical_bytes: u64 = 512 * MIB as u64, integer(0, 1024 * 1024 * GIB);
    }
}

section! {
    /// `[snapshots]`: the state in files, from which a replay goes on.
    Snapshots, "snapshots" {
        /// Seconds between two snapshots while a node runs; 0 for none.
        interval_s: u64 = 600, integer(0, 31_536_000);
        /// How many are kept.
        keep: u32 = 3, integer(1, 1000);
    }
}

section! {
    /// `[retention]`: how much of the journal and of the event log is kept; 0 for no limit. What a
    /// snapshot, a registered reader, the duplicate window or a lane still needs stays all the same.
    Retention, "retention" {
        /// Bytes of each log's segments.
        bytes: u64 = 0, integer(0, 1024 * 1024 * GIB);
        /// Age of a segment's newest record.
        age_s: u64 = 0, integer(0, 100 * 366 * 86_400);
        /// Directory that retired segments are copied to first, or "off".
        archive: String = "off".into(), Rule::Path;
    }
}

section! {
    /// `[lanes]`: the owning thread applies it.
    Lanes, "lanes" {} {
        /// Books, balances, sessions.
        critical: LaneCritical;
        /// Tasks up to NORMAL, projections.
        normal: LaneNormal;
        /// Bulk.
        batch: LaneBatch;
    }
}

section! {
    /// `[lanes.critical]`: books, balances, sessions.
    LaneCritical, "lanes.critical" {
        /// Records executed before the lane tells how far it is, unless an admin command says another
        /// number.
        max_batch: u32 = 16, integer(1, LANE_BATCH_MAX as i64);
    }
}

section! {
    /// `[lanes.normal]`: tasks up to NORMAL, projections.
    LaneNormal, "lanes.normal" {
        /// See `lanes.critical.max_batch`.
        max_batch: u32 = 32, integer(1, LANE_BATCH_MAX as i64);
    }
}

section! {
    /// `[lanes.batch]`: bulk.
    LaneBatch, "lanes.batch" {
        /// See `lanes.critical.max_batch`.
        max_batch: u32 = 8, integer(1, LANE_BATCH_MAX as i64);
    }
}

section! {
    /// `[ack]`: how safe a command is when its answer leaves.
    Ack, "ack" {
        /// The policy.
        policy: AckPolicy = AckPolicy::Disk,
            Rule::Words { now: &["disk", "memory"], later: &["standby", "disk+standby", "two-disks"] };
    }
}

section! {
    /// `[threads]`: which stages share a thread, where it runs and how it waits.
    Threads, "threads" {
        /// Layout; `auto` chooses by the number of cores.
        layout: Layout = Layout::Auto, words(&["auto", "compact", "dedicated"]);
    } {
        /// Cores.
        core: ThreadCores;
        /// Idling.
        idle: ThreadIdle;
    }
}

section! {
    /// `[threads.core]`: the core each thread is pinned to. A core that does not exist is warned of
    /// and the thread runs unpinned.
    ThreadCores, "threads.core" {
        /// The `critical` lane, and in the compact layout every hot stage with it.
        critical: Core = Core::Any, Rule::Core;
        /// The `normal` lane.
        normal: Core = Core::Any, Rule::Core;
        /// The `batch` lane.
        batch: Core = Core::Any, Rule::Core;
        /// Sockets, in the dedicated layout.
        gateway: Core = Core::Any, Rule::Core;
        /// The sequencer, in the dedicated layout.
        sequencer: Core = Core::Any, Rule::Core;
        /// Journal and sync, in the dedicated layout.
        journal: Core = Core::Any, Rule::Core;
        /// Event log, reject log, original answers.
        helper: Core = Core::Any, Rule::Core;
        /// Segments prepared ahead.
        segments: Core = Core::Any, Rule::Core;
        /// Signatures.
        verify: Core = Core::Any, Rule::Core;
    }
}

section! {
    /// `[threads.idle]`: what a thread does while it has nothing to do.
    ThreadIdle, "threads.idle" {
        /// Hot threads.
        hot: Idle = Idle::Park, words(&["park", "yield", "spin"]);
        /// Helper threads.
        helper: Idle = Idle::Park, words(&["park", "yield", "spin"]);
    }
}

section! {
    /// `[time]`: how the sequencer's clock follows the wall clock.
    Time, "time" {
        /// Starts although the wall clock is more than 10 s behind the journal's last record.
        accept_clock: bool = false, Rule::Bool;
    }
}

section! {
    /// `[admin]`: operators.
    Admin, "admin" {} {
        /// Health, metrics and lanes over HTTP.
        http: AdminHttp;
    }
}

section! {
    /// `[admin.http]`: health, metrics and lanes over HTTP.
    AdminHttp, "admin.http" {
        /// Address, or off.
        listen: Listen = Listen::Off, Rule::Listen;
    }
}

section! {
    /// `[schemas]`: schemas of messages beside the built-in ones.
    Schemas, "schemas" {
        /// Directory whose *.toml files `schema`, `encode` and `decode` read and a start checks; it may
        /// be missing. What is registered is part of the state, and no file changes it.
        dir: String = "schemas".into(), Rule::Path;
    }
}

section! {
    /// `[log]`: what a person or a collector reads on stderr.
    Log, "log" {
        /// Least severe level that is written.
        level: LogLevel = LogLevel::Info, words(&["error", "warn", "info", "debug", "trace"]);
        /// `auto` is text on a terminal and JSON lines elsewhere.
        format: LogFormat = LogFormat::Auto, words(&["auto", "json", "text"]);
    }
}

section! {
    /// `[genesis]`: the venue. Sequenced once on an empty journal; later changes are commands.
    Genesis, "genesis" {
        /// Message ids in the duplicate window.
        dedupe_count_max: u64 = 1 << 20, integer(1, DEDUPE_COUNT_MAX as i64);
        /// Age after which an id leaves the window.
        dedupe_window_s: u64 = 86_400, integer(1, 31_622_400);
        /// How far a client's timestamp may be ahead of the sequencer's time.
        timestamp_ahead_max_ms: u64 = 60_000, integer(0, 86_400_000);
        /// Live orders in all books together.
        orders_max: u32 = 1 << 20, integer(1, ORDERS_MAX as i64);
        /// When trading days, and with them day orders, end: seconds after midnight UTC.
        day_end_s: u32 = 0, integer(0, DAY_END_S_MAX as i64);
        /// What can be owned.
        assets: Vec<AssetEntry> = demo::assets(), Rule::List;
        /// What is traded.
        instruments: Vec<InstrumentEntry> = demo::instruments(), Rule::List;
        /// Who owns and trades.
        accounts: Vec<AccountEntry> = demo::accounts(), Rule::List;
        /// Who may log on, and for which accounts.
        keys: Vec<KeyEntry> = Vec::new(), Rule::List;
    }
}

entry! {
    /// An asset.
    AssetEntry, "genesis.assets" {
        /// Short name.
        symbol: String, Rule::Symbol;
        /// Decimal places of the smallest unit.
        scale: u8, integer(0, SCALE_MAX as i64);
    } optional {}
}

entry! {
    /// An instrument.
    InstrumentEntry, "genesis.instruments" {
        /// Short name.
        symbol: String, Rule::Symbol;
        /// The asset bought and sold.
        base: String, Rule::Symbol;
        /// The asset paid with.
        quote: String, Rule::Symbol;
        /// Step of prices.
        tick: String, Rule::Decimal;
        /// Step of quantities.
        lot: String, Rule::Decimal;
        /// Smallest order.
        quantity_min: String, Rule::Decimal;
        /// Largest order.
        quantity_max: String, Rule::Decimal;
        /// Highest price.
        price_max: String, Rule::Decimal;
    } optional {
        /// How far from the best price a market order without one of its own trades, in hundredths of a
        /// percent of it; 500 where nothing is said.
        #[serde(skip_serializing_if = "Option::is_none")]
        market_band_bps: Option<u32>, integer(0, MARKET_BAND_BPS_MAX as i64);
        /// How far beyond the last price an order's own may be, in hundredths of a percent of that; any
        /// where nothing is said.
        #[serde(skip_serializing_if = "Option::is_none")]
        collar_bps: Option<u32>, integer(0, COLLAR_BPS_MAX as i64);
    }
}

entry! {
    #[derive(Default)]
    /// One account, or `count` of them from `first` on.
    AccountEntry, "genesis.accounts" {} optional {
        /// The account; or else `first` and `count`.
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<u64>, integer(2, i64::MAX);
        /// The first of a range.
        #[serde(skip_serializing_if = "Option::is_none")]
        first: Option<u64>, integer(2, i64::MAX);
        /// How many in the range.
        #[serde(skip_serializing_if = "Option::is_none")]
        count: Option<u64>, integer(1, ACCOUNTS_MAX as i64);
        /// What each of them starts with.
        deposits: Vec<DepositEntry>, Rule::List;
        /// Accounts of one group have one owner; 0 is no group.
        #[serde(skip_serializing_if = "Option::is_none")]
        group: Option<u32>, integer(0, u32::MAX as i64);
        /// What happens instead of a trade between orders of one owner; allow where nothing is said.
        #[serde(skip_serializing_if = "Option::is_none")]
        self_trade: Option<SelfTrade>,
            words(&["allow", "cancel-newest", "cancel-oldest", "cancel-both", "decrement"]);
        /// Largest order in lots; no limit where nothing is said, and so for all that follow.
        #[serde(skip_serializing_if = "Option::is_none")]
        quantity_max: Option<i64>, integer(0, i64::MAX);
        /// The most that price times quantity of an order may be, in smallest units of what pays.
        #[serde(skip_serializing_if = "Option::is_none")]
        notional_max: Option<i64>, integer(0, i64::MAX);
        /// Live orders.
        #[serde(skip_serializing_if = "Option::is_none")]
        open_orders_max: Option<u32>, integer(0, ORDERS_MAX as i64);
        /// New orders and replaces in a second.
        #[serde(skip_serializing_if = "Option::is_none")]
        rate_per_s: Option<u32>, integer(0, ORDER_RATE_MAX as i64);
        /// New orders and replaces at once; as many as in a second where nothing is said.
        #[serde(skip_serializing_if = "Option::is_none")]
        rate_burst: Option<u32>, integer(0, ORDER_RATE_MAX as i64);
        /// Symbols of instruments in which it may enter and replace nothing.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        restricted: Vec<String>, Rule::Symbols;
    }
}

entry! {
    /// A deposit that an account starts with.
    DepositEntry, "genesis.accounts.*.deposits" {
        /// The asset's symbol.
        asset: String, Rule::Symbol;
        /// How much.
        amount: String, Rule::Decimal;
    } optional {}
}

entry! {
    /// A key that may log on.
    KeyEntry, "genesis.keys" {
        /// Ed25519 public key.
        public_key: String, Rule::PublicKey;
        /// What it may do.
        role: Role, words(&["trade", "cancel-only", "read-only", "operator"]);
    } optional {
        /// For which accounts; an operator needs none.
        accounts: Vec<u64>, Rule::Accounts;
        /// The most urgent priority that it may use; normal where nothing is said.
        #[serde(skip_serializing_if = "Option::is_none")]
        priority: Option<Priority>, words(&["critical", "high", "normal", "low", "batch"]);
        /// Critical messages it may send in a second; 100 where nothing is said.
        #[serde(skip_serializing_if = "Option::is_none")]
        critical_per_s: Option<u32>, integer(0, KEY_CRITICAL_PER_S_MAX as i64);
    }
}

/// The whole configuration of a node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// This process.
    pub node: Node,
    /// Sockets.
    pub gateway: Gateway,
    /// Bounds per client.
    pub limits: Limits,
    /// The total order.
    pub sequencer: Sequencer,
    /// Whose turn it is.
    pub priorities: Priorities,
    /// When clients are restrained.
    pub overload: Overload,
    /// Durability.
    pub journal: Journal,
    /// Before the disk is full.
    pub disk: Disk,
    /// Snapshots.
    pub snapshots: Snapshots,
    /// What is kept.
    pub retention: Retention,
    /// Lanes.
    pub lanes: Lanes,
    /// Acknowledgement.
    pub ack: Ack,
    /// Threads and cores.
    pub threads: Threads,
    /// The sequencer's clock.
    pub time: Time,
    /// Operators.
    pub admin: Admin,
    /// Schemas of messages.
    pub schemas: Schemas,
    /// Logs.
    pub log: Log,
    /// The venue.
    pub genesis: Genesis,
}

/// The keys of every section, in flow order. Keys of list entries follow their list.
const SECTIONS: &[&[Key]] = &[
    Node::KEYS,
    Gateway::KEYS,
    NativeGateway::KEYS,
    RpcGateway::KEYS,
    FixGateway::KEYS,
    Limits::KEYS,
    Sequencer::KEYS,
    SequencerQueues::KEYS,
    Priorities::KEYS,
    Overload::KEYS,
    Journal::KEYS,
    Disk::KEYS,
    Snapshots::KEYS,
    Retention::KEYS,
    Lanes::KEYS,
    LaneCritical::KEYS,
    LaneNormal::KEYS,
    LaneBatch::KEYS,
    Ack::KEYS,
    Threads::KEYS,
    ThreadCores::KEYS,
    ThreadIdle::KEYS,
    Time::KEYS,
    Admin::KEYS,
    AdminHttp::KEYS,
    Schemas::KEYS,
    Log::KEYS,
    Genesis::KEYS,
    AssetEntry::KEYS,
    InstrumentEntry::KEYS,
    AccountEntry::KEYS,
    DepositEntry::KEYS,
    KeyEntry::KEYS,
];

/// Every key there is, in flow order; entries of lists as `list.*.key`.
pub fn keys() -> impl Iterator<Item = &'static Key> {
    SECTIONS.iter().flat_map(|section| section.iter())
}

impl Config {
    /// Checks what no single key can tell: values that must fit one another.
    fn check_relations(&self) -> Result<(), ConfigError> {
        let frame = u64::from(self.limits.frame_max_bytes);
        if self.gateway.read_budget_bytes < frame {
            return Err(ConfigError::relation(
                "gateway.read_budget_bytes",
                format!(
                    "{} is below limits.frame_max_bytes = {frame}, so that a whole frame would \
                     never be read in one turn",
                    self.gateway.read_budget_bytes
                ),
                format!("set it to {frame} or more"),
            ));
        }
        let queues = &self.sequencer.queues;
        let (bulk, total) = (queues.low + queues.batch, self.overload.total);
        if bulk >= total {
            return Err(ConfigError::relation(
                "overload.total",
                format!(
                    "{total} is not above sequencer.queues.low and batch together ({bulk}), so that \
                     bulk work alone would slow orders"
                ),
                format!("set it to {} or more, or the queues smaller", bulk + 1),
            ));
        }
        let Disk { low_bytes, critical_bytes } = self.disk;
        if low_bytes != 0 && low_bytes < critical_bytes {
            return Err(ConfigError::relation(
                "disk.low_bytes",
                format!(
                    "{low_bytes} is below disk.critical_bytes = {critical_bytes}, so that orders \
                     would be refused before anybody is warned"
                ),
                format!("set it to {critical_bytes} or more, or to 0 for no warning"),
            ));
        }
        // Whoever cannot be a venue is told before anything starts.
        genesis_items(self, [0; 16]).map(|_| ())
    }
}

/// The demo venue that an empty configuration means.
mod demo {
    use super::{AccountEntry, AssetEntry, DepositEntry, InstrumentEntry};

    pub(super) fn assets() -> Vec<AssetEntry> {
        ["BTC", "USDT"].map(|symbol| AssetEntry { symbol: symbol.into(), scale: 8 }).into()
    }

    pub(super) fn instruments() -> Vec<InstrumentEntry> {
        vec![InstrumentEntry {
            symbol: "BTC-USDT".into(),
            base: "BTC".into(),
            quote: "USDT".into(),
            tick: "0.01".into(),
            lot: "0.000001".into(),
            quantity_min: "0.000001".into(),
            quantity_max: "100000000".into(),
            price_max: "10000000".into(),
            market_band_bps: None,
            collar_bps: None,
        }]
    }

    pub(super) fn accounts() -> Vec<AccountEntry> {
        let deposit =
            |asset: &str, amount: &str| DepositEntry { asset: asset.into(), amount: amount.into() };
        vec![AccountEntry {
            id: None,
            first: Some(2),
            count: Some(16),
            deposits: vec![deposit("BTC", "1000000"), deposit("USDT", "1000000000")],
            ..AccountEntry::default()
        }]
    }
}
