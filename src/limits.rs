//! Every bound of the engine in one place, and how the bounds relate.
//!
//! A number here is a hard limit: configuration may choose less, never more. The assertions at the
//! end are checked by the compiler, so that two limits cannot drift apart.

/// Bytes of the fixed native header (row S1.20).
pub const HEADER_SIZE: usize = 16;
/// Default of `limits.frame_max_bytes`, the whole frame with its header (row S3.06).
pub const FRAME_DEFAULT_BYTES: usize = 4096;
/// The largest frame any configuration may allow. Offsets inside a record are `u16`.
pub const FRAME_MAX_BYTES: usize = 16 * 1024;
/// Bytes that a small slot holds in place; larger frames spill into the slot's own buffer.
pub const FRAME_INLINE_BYTES: usize = 256;
/// Longest message id, in bytes.
pub const MESSAGE_ID_MAX_BYTES: usize = 64;
/// Longest source name, in bytes.
pub const SOURCE_MAX_BYTES: usize = 64;
/// Longest session name, in bytes.
pub const SESSION_NAME_MAX_BYTES: usize = 32;
/// Longest correlation id, in bytes.
pub const CORRELATION_ID_MAX_BYTES: usize = 64;
/// Pairs in the custom map of a message's metadata.
pub const CUSTOM_PAIRS_MAX: usize = 64;

/// Gateway threads that a node may have.
pub const GATEWAYS_MAX: usize = 16;
/// Messages of one connection that may wait for their answers; its socket is not read beyond them.
pub const CONNECTION_MESSAGES_MAX: u32 = 16_384;
/// Sessions that one key may ever have.
pub const KEY_SESSIONS_MAX: usize = 1 << 14;

/// Records in one journal batch. Small enough that a batch stays in the first-level caches between
/// sequencing, encoding and matching; one write and one sync cover many batches.
pub const BATCH_COUNT_MAX: usize = 256;
/// Bytes of one journal batch, headers included.
pub const BATCH_MAX_BYTES: usize = 2 * 1024 * 1024;
/// Bytes of batches gathered into one write before it is made durable.
pub const WRITE_MAX_BYTES: usize = 4 * 1024 * 1024;
/// The smallest segment: a header page and the largest batch must fit.
pub const SEGMENT_MIN_BYTES: u64 = 8 * 1024 * 1024;
/// Bytes of events in one event-log block.
pub const EVENT_BLOCK_MAX_BYTES: usize = 64 * 1024;

/// Fills that an answer carries; the rest follow as messages of their own.
pub const ANSWER_FILLS_MAX: usize = 16;
/// Levels a side, or orders, in one answer to a query.
pub const QUERY_ROWS_MAX: usize = 256;

/// What one question for limits looks at, where it finds nothing to show: instruments, accounts without
/// limits, positions.
pub const LIMITS_LOOKED_MAX: usize = 16_384;

/// Message ids in the duplicate window.
pub const DEDUPE_COUNT_MAX: u64 = 1 << 28;

/// Assets, instruments and keys that genesis may define.
pub const ASSETS_MAX: usize = 1 << 16;
/// See [`ASSETS_MAX`].
pub const INSTRUMENTS_MAX: usize = 1 << 16;
/// See [`ASSETS_MAX`].
pub const KEYS_MAX: usize = 1 << 16;
/// Stops that may wait in one instrument: one trade can bring them all, with one record.
pub const STOPS_MAX: usize = 1 << 16;
/// Parts in which an iceberg may be shown.
pub const ICEBERG_PARTS_MAX: i128 = 100;
/// Latest end of a trading day, in seconds after midnight UTC.
pub const DAY_END_S_MAX: u32 = 24 * 60 * 60 - 1;
/// Timers that one record lets fire; what else is due waits for the next one.
pub const TIMERS_PER_RECORD_MAX: usize = 64;
/// Live orders that `orders_max` of genesis may ask for; handles and links are `u32`.
pub const ORDERS_MAX: u32 = 1 << 26;
/// Sessions that there can ever be: (key, name) pairs that once logged on.
pub const SESSIONS_MAX: usize = 1 << 16;
/// Accounts that genesis may define.
pub const ACCOUNTS_MAX: usize = 1 << 20;
/// Mass cancels that may be under way.
pub const MASS_CANCELS_MAX: usize = 64;
/// Of them, those of one session.
pub const SESSION_MASS_CANCELS_MAX: usize = 4;
/// Orders, or levels where nothing else is to be known, that are looked at to tell whether a minimum could
/// trade.
pub const PRECHECK_STEPS_MAX: usize = 1 << 16;
/// Orders that a record looks at for mass cancels.
pub const ORDERS_PER_STEP: usize = 128;
/// Accounts that a record looks at for mass cancels.
pub const ACCOUNTS_PER_STEP: usize = 4096;
/// Longest time after which a session's orders are cancelled when it is away: a day.
pub const DISCONNECT_GRACE_MAX_MS: u32 = 86_400_000;
/// Accounts bound to one key.
pub const KEY_ACCOUNTS_MAX: usize = 1024;
/// Critical messages that a key may be entitled to send in a second.
pub const KEY_CRITICAL_PER_S_MAX: u32 = 1_000_000;
/// Records that a lane may execute between two publications of how far it is.
pub const LANE_BATCH_MAX: u32 = 1024;
/// Records that wait for a lane above which it publishes more often.
pub const LANE_LAG_MAX: u64 = 5_000;
/// Length of an asset's or instrument's symbol in bytes.
pub const SYMBOL_MAX_BYTES: usize = 16;
/// Schemas that may be registered, each with its active version (row S1.46, `schema_cache_max`).
pub const SCHEMA_CACHE_MAX: usize = 200;
/// Versions of one schema that are kept.
pub const SCHEMA_VERSIONS_MAX: usize = 64;
/// Fields of one schema.
pub const SCHEMA_FIELDS_MAX: usize = 256;
/// Bytes of the name of a schema, a field or a value.
pub const SCHEMA_NAME_MAX_BYTES: usize = 48;
/// Bytes of a schema as text.
pub const SCHEMA_TEXT_MAX_BYTES: usize = 256 * 1024;
/// Size of all registered schemas together, as [`crate::schema::SchemaDefinition::weight`] counts it.
pub const SCHEMAS_WEIGHT_MAX: usize = 16 * 1024 * 1024;
/// Bytes of a schema that is registered, as compact JSON: it fits into one answer. What the frame that
/// brings it may have is `limits.frame_max_bytes`.
pub const SCHEMA_REGISTERED_MAX_BYTES: usize = 15 * 1024;
/// Decimal places of an asset, a price or a quantity.
pub const SCALE_MAX: u8 = 12;
/// Widest band of a market order, in hundredths of a percent: to twice the best price.
pub const MARKET_BAND_BPS_MAX: u32 = 10_000;
/// Widest collar of an instrument, in hundredths of a percent of the last price.
pub const COLLAR_BPS_MAX: u32 = 1_000_000;
/// Orders of an account in a second that a limit can allow, and that it can allow at once.
pub const ORDER_RATE_MAX: u32 = 1_000_000;
/// Instruments that an account can be kept from.
pub const RESTRICTED_MAX: usize = 64;
/// Positions, of an account in an instrument, that can be limited.
pub const POSITION_LIMITS_MAX: usize = 1 << 16;
/// Live orders of an account that are counted, all in one command, when its position is limited.
pub const POSITION_ORDERS_MAX: u32 = 4096;
/// Bytes of a text (58) that a FIX session sends of its own, and of a TestReqID (112) that it answers.
pub const FIX_TEXT_MAX_BYTES: usize = 96;
/// Bytes of a CompID that a FIX session may have.
pub const FIX_COMP_ID_MAX_BYTES: usize = 64;
/// Messages ahead of a gap that a FIX session keeps, whatever their size.
pub const FIX_AHEAD_COUNT_MAX: usize = 4096;
/// Largest MsgSeqNum (34) that a client can move a FIX session to.
pub const FIX_SEQ_NUM_MAX: u64 = 999_999_999_999;

const _: () = assert!(FRAME_DEFAULT_BYTES <= FRAME_MAX_BYTES);
const _: () = assert!(FRAME_INLINE_BYTES < FRAME_DEFAULT_BYTES);
// A record's offsets are u16, and a record may hold the received frame and the canonical command.
const _: () = assert!(FRAME_MAX_BYTES * 2 + 1024 <= u16::MAX as usize);
const _: () = assert!(BATCH_MAX_BYTES <= WRITE_MAX_BYTES);
const _: () = assert!((BATCH_MAX_BYTES + 4096) as u64 <= SEGMENT_MIN_BYTES);
