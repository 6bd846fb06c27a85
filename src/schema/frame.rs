//! Whole native messages as JSON, both ways.
//!
//! What is encoded is opened again with the decoders that a node and a client use: bytes that they
//! would refuse are never given out. CRC, hash and signature are made anew, whatever the JSON says.

use super::{
    InvalidMessage, JsonError, Message, PayloadFault, Placed, REGISTERED_ID_MIN, Registry,
    SchemaDefinition, fixed, json, tagged, value,
};
use crate::limits::FRAME_MAX_BYTES;
use crate::types::Priority;
use crate::wire::frame::COMMAND_SCHEMA_MAX;
use crate::wire::message::{ClientMessage, ServerMessage};
use crate::wire::metadata::{Custom, MetadataError};
use crate::wire::payload::COMMAND_SIZE_MAX;
use crate::wire::{BitMode, Flags, Frame, FrameHead, FrameWriter, Metadata, OpenLimits, WireError};
use ed25519_dalek::SigningKey;
use serde_json::{Map, Value as Json, json};
use thiserror::Error;

/// What a frame of either direction may be.
pub const LIMITS: OpenLimits = OpenLimits { frame_max: FRAME_MAX_BYTES, strict_reserved: false };

/// Names of the flags that stand in the list `flags`.
const FLAGS: [(&str, u16); 4] = [
    ("signed", Flags::SIGNED),
    ("possible-duplicate", Flags::POSSIBLE_DUPLICATE),
    ("response-required", Flags::RESPONSE_REQUIRED),
    ("batch", Flags::BATCH),
];

/// What is wrong with a message's JSON.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum EncodeError {
    /// A part that is missing or has another form.
    #[error("{name}: {what}")]
    Part {
        /// Name in the JSON.
        name: String,
        /// What is expected.
        what: String,
    },
    /// No such schema.
    #[error("Schema not found: {0}")]
    NotFound(String),
    /// A value of the payload.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// The payload does not fit its schema.
    #[error(transparent)]
    Invalid(#[from] InvalidMessage),
    /// The payload cannot be written.
    #[error("{0}")]
    Payload(String),
    /// The metadata is beyond a limit.
    #[error(transparent)]
    Metadata(#[from] MetadataError),
    /// A message that is to be signed, and no key.
    #[error("the message is marked as signed: name the file of its key")]
    NoKey,
    /// A receiver would refuse the frame.
    #[error("a receiver would refuse this: {0}")]
    Refused(String),
}

fn part(name: &str, what: impl std::fmt::Display) -> EncodeError {
    EncodeError::Part { name: name.to_owned(), what: what.to_string() }
}

/// What a caller decides, over what the JSON says.
#[derive(Clone, Copy, Debug, Default)]
pub struct Choices<'a> {
    /// Name or id of the schema.
    pub schema: Option<&'a str>,
    /// How wide fields of type `int` are.
    pub bit_mode: Option<BitMode>,
    /// How urgent it is.
    pub priority: Option<Priority>,
    /// The timestamp of metadata that has none.
    pub timestamp_ms: i64,
    /// Signs the frame.
    pub key: Option<&'a SigningKey>,
}

fn find<'r>(registry: &'r Registry, name: &str) -> Result<&'r SchemaDefinition, EncodeError> {
    let by_id = name.parse().ok().and_then(|id| registry.get(id).ok());
    by_id.or_else(|| registry.named(name)).ok_or_else(|| EncodeError::NotFound(name.to_owned()))
}

fn mode_of_bits(bits: u64) -> Option<BitMode> {
    BitMode::ALL.into_iter().find(|mode| u64::from(mode.bits()) == bits)
}

fn chosen_schema<'r>(
    registry: &'r Registry,
    message: &Map<String, Json>,
    choices: &Choices<'_>,
) -> Result<&'r SchemaDefinition, EncodeError> {
    let definition = match (choices.schema, message.get("schema"), message.get("name")) {
        (Some(name), ..) => find(registry, name)?,
        (None, Some(Json::Number(id)), _) => find(registry, &id.to_string())?,
        (None, Some(Json::String(name)), _) | (None, None, Some(Json::String(name))) => {
            find(registry, name)?
        }
        _ => return Err(part("schema", "its id or name is missing")),
    };
    let Some(version) = message.get("version") else { return Ok(definition) };
    let version = version.as_u64().and_then(|version| u16::try_from(version).ok());
    let version = version.ok_or_else(|| part("version", "it is a number below 65536"))?;
    Ok(registry.get_version(definition.id, version).map_err(InvalidMessage::from)?)
}

fn chosen_bit_mode(
    message: &Map<String, Json>,
    choices: &Choices<'_>,
) -> Result<BitMode, EncodeError> {
    match (choices.bit_mode, message.get("bit_mode")) {
        (Some(mode), _) => Ok(mode),
        (None, None) => Ok(BitMode::default()),
        (None, Some(bits)) => bits
            .as_u64()
            .and_then(mode_of_bits)
            .ok_or_else(|| part("bit_mode", "it is 8, 16, 32 or 64")),
    }
}

fn chosen_priority(
    message: &Map<String, Json>,
    choices: &Choices<'_>,
) -> Result<Priority, EncodeError> {
    match (choices.priority, message.get("priority")) {
        (Some(priority), _) => Ok(priority),
        (None, None) => Ok(Priority::Normal),
        (None, Some(word)) => word
            .as_str()
            .and_then(Priority::from_word)
            .ok_or_else(|| part("priority", "it is critical, high, normal, low or batch")),
    }
}

fn flags(message: &Map<String, Json>, priority: Priority) -> Result<Flags, EncodeError> {
    let mut flags = Flags::new(priority);
    for flag in list(message, "flags")? {
        let known = FLAGS.iter().find(|(name, _)| Some(*name) == flag.as_str());
        let (_, bit) = known.ok_or_else(|| part("flags", format_args!("{flag} is none")))?;
        flags = flags.with(*bit);
    }
    Ok(flags)
}

/// Appends the frame of a message in JSON; `out` is as it was where that cannot be.
///
/// # Errors
/// [`EncodeError`].
pub fn encode(
    registry: &Registry,
    message: &Map<String, Json>,
    choices: &Choices<'_>,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    const KNOWN: &[&str] = &[
        "schema",
        "name",
        "version",
        "length",
        "client_sequence",
        "priority",
        "flags",
        "bit_mode",
        "metadata",
        "payload",
        "integrity",
        "fields",
    ];
    if let Some(name) = message.keys().find(|name| !KNOWN.contains(&name.as_str())) {
        return Err(part(name, format_args!("unknown; there is {}", KNOWN.join(", "))));
    }
    let definition = chosen_schema(registry, message, choices)?;
    let bit_mode = chosen_bit_mode(message, choices)?;
    let priority = chosen_priority(message, choices)?;
    let flags = flags(message, priority)?;
    if flags.has(Flags::SIGNED) && choices.key.is_none() {
        return Err(EncodeError::NoKey);
    }
    let client_sequence = number(message, "client_sequence", 0)?;
    let head = FrameHead { schema: definition.id, flags, bit_mode, client_sequence };
    let mut payload = Vec::new();
    write_payload(definition, object(message, "payload")?, bit_mode, &mut payload)?;
    let start = out.len();
    let range = match message.get("metadata") {
        Some(Json::Object(metadata)) => {
            let (mut pairs, mut buffer) = (Vec::new(), Vec::new());
            let metadata = read_metadata(metadata, priority, choices, &mut pairs, &mut buffer)?;
            let mut writer = FrameWriter::begin_with(out, head, &metadata)?;
            writer.payload().extend_from_slice(&payload);
            seal(writer, choices.key)
        }
        None if definition.id > COMMAND_SCHEMA_MAX && definition.id < REGISTERED_ID_MIN => {
            let mut writer = FrameWriter::begin(out, head);
            writer.payload().extend_from_slice(&payload);
            seal(writer, choices.key)
        }
        _ => return Err(part("metadata", "an object with at least a message_id is missing")),
    };
    let opened = Frame::open(&out[range], &LIMITS);
    let checked = opened.map_err(|error| error.to_string()).and_then(|frame| {
        frame.metadata().map_err(|error| error.to_string())?;
        check(registry, &frame)
    });
    checked.map_err(|why| {
        out.truncate(start);
        EncodeError::Refused(why)
    })
}

fn seal(writer: FrameWriter<'_>, key: Option<&SigningKey>) -> std::ops::Range<usize> {
    match key {
        Some(key) => writer.seal_signed(key),
        None => writer.seal(),
    }
}

fn list<'j>(message: &'j Map<String, Json>, name: &str) -> Result<&'j [Json], EncodeError> {
    match message.get(name) {
        None => Ok(&[]),
        Some(Json::Array(list)) => Ok(list),
        Some(_) => Err(part(name, "it is a list")),
    }
}

fn object<'j>(
    message: &'j Map<String, Json>,
    name: &str,
) -> Result<&'j Map<String, Json>, EncodeError> {
    static EMPTY: std::sync::LazyLock<Map<String, Json>> = std::sync::LazyLock::new(Map::new);
    match message.get(name) {
        None => Ok(&EMPTY),
        Some(Json::Object(object)) => Ok(object),
        Some(_) => Err(part(name, "it is an object")),
    }
}

fn number<T: TryFrom<i128>>(
    message: &Map<String, Json>,
    name: &str,
    default: T,
) -> Result<T, EncodeError> {
    match message.get(name) {
        None => Ok(default),
        Some(value) => value
            .as_number()
            .and_then(serde_json::Number::as_i128)
            .and_then(|number| T::try_from(number).ok())
            .ok_or_else(|| part(name, format_args!("{value} does not fit"))),
    }
}

fn text<'j>(object: &'j Map<String, Json>, name: &str) -> Result<&'j str, EncodeError> {
    match object.get(name) {
        None => Ok(""),
        Some(Json::String(text)) => Ok(text),
        Some(_) => Err(part(name, "it is text")),
    }
}

fn read_metadata<'j>(
    metadata: &'j Map<String, Json>,
    priority: Priority,
    choices: &Choices<'_>,
    pairs: &'j mut Vec<(&'j str, &'j str)>,
    buffer: &'j mut Vec<u8>,
) -> Result<Metadata<'j>, EncodeError> {
    const KNOWN: &[&str] =
        &["message_id", "timestamp", "source", "correlation_id", "retry_count", "ttl", "custom"];
    if let Some(name) = metadata.keys().find(|name| !KNOWN.contains(&name.as_str())) {
        return Err(part(name, format_args!("not in metadata; there is {}", KNOWN.join(", "))));
    }
    for (key, value) in object(metadata, "custom")? {
        pairs.push((key, value.as_str().ok_or_else(|| part(key, "it is text"))?));
    }
    Ok(Metadata {
        message_id: text(metadata, "message_id")?,
        timestamp_ms: number(metadata, "timestamp", choices.timestamp_ms)?,
        source: text(metadata, "source")?,
        correlation_id: text(metadata, "correlation_id")?,
        retry_count: number(metadata, "retry_count", 0)?,
        priority,
        ttl_ms: number(metadata, "ttl", 0)?,
        custom: Custom::build(pairs, buffer)?,
    })
}

fn write_payload(
    definition: &SchemaDefinition,
    payload: &Map<String, Json>,
    mode: BitMode,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    let mut fields = json::read(&definition.fields, payload)?;
    let (schema, version) = (definition.id, definition.version);
    if schema >= REGISTERED_ID_MIN {
        let message = Message { schema, version, fields };
        value::validate(&message, definition)?;
        return tagged::encode(definition, &message, mode, out).map_err(EncodeError::Payload);
    }
    fixed::complete(definition, &mut fields);
    let message = Message { schema, version, fields };
    value::validate(&message, definition)?;
    fixed::encode(definition, &message.fields, mode, out).map_err(EncodeError::Payload)
}

/// The fields of a frame's payload, as many as can be read.
#[derive(Clone, Debug, PartialEq)]
pub struct Contents<'r> {
    /// The schema that the payload was read with: the version that it names, if that is known.
    pub definition: &'r SchemaDefinition,
    /// The version that the payload names.
    pub version: u16,
    /// Its fields.
    pub fields: Vec<Placed>,
    /// Why there are no more.
    pub fault: Option<PayloadFault>,
}

/// Reads a payload with the schema of its id; `None` where that is unknown.
#[must_use]
pub fn contents<'r>(
    registry: &'r Registry,
    schema: u32,
    payload: &[u8],
    mode: BitMode,
) -> Option<Contents<'r>> {
    let mut definition = registry.get(schema).ok()?;
    if schema < REGISTERED_ID_MIN {
        let (fields, fault) = fixed::decode(definition, payload, mode);
        return Some(Contents { definition, version: definition.version, fields, fault });
    }
    if let Some(version) = payload.first_chunk() {
        let exact = registry.get_version(schema, u16::from_be_bytes(*version));
        definition = exact.unwrap_or(definition);
    }
    let (version, fields, fault) = tagged::decode(definition, payload, mode);
    Some(Contents { definition, version, fields, fault })
}

/// Checks a frame's payload as its receiver does; the error is the receiver's sentence.
///
/// # Errors
/// Why it would be refused.
pub fn check(registry: &Registry, frame: &Frame<'_>) -> Result<(), String> {
    let native = |result: Result<(), WireError>| result.map_err(|error| error.to_string());
    match frame.schema() {
        schema @ REGISTERED_ID_MIN.. => {
            let mode = frame.header().bit_mode;
            let read = contents(registry, schema, frame.payload(), mode);
            let contents = read.ok_or_else(|| format!("Schema not found: {schema}"))?;
            if let Some(fault) = contents.fault {
                return Err(fault.to_string());
            }
            let fields = contents.fields.into_iter().map(|field| (field.id, field.value)).collect();
            let message = Message { schema, version: contents.version, fields };
            value::validate(&message, contents.definition).map_err(|error| error.to_string())
        }
        64..=127 => native(ClientMessage::decode(frame).map(drop)),
        128..=255 => native(ServerMessage::decode(frame).map(drop)),
        _ => native(frame.command(&mut [0; COMMAND_SIZE_MAX]).map(drop)),
    }
}

/// A frame as JSON, which [`encode`] reads; the payload is as far as it can be read.
///
/// # Errors
/// [`WireError`] where the metadata cannot be read.
pub fn to_json(registry: &Registry, frame: &Frame<'_>) -> Result<Map<String, Json>, WireError> {
    let header = frame.header();
    let contents = contents(registry, header.schema, frame.payload(), header.bit_mode);
    let mut object = Map::new();
    object.insert("schema".into(), json!(header.schema));
    if let Some(contents) = &contents {
        object.insert("name".into(), json!(contents.definition.name));
        if header.schema >= REGISTERED_ID_MIN {
            object.insert("version".into(), json!(contents.version));
        }
    }
    object.insert("length".into(), json!(header.length));
    object.insert("client_sequence".into(), json!(frame.client_sequence()));
    object.insert("priority".into(), json!(header.flags.priority().as_str()));
    let flags: Vec<&str> =
        FLAGS.iter().filter(|(_, bit)| header.flags.has(*bit)).map(|(name, _)| *name).collect();
    object.insert("flags".into(), json!(flags));
    object.insert("bit_mode".into(), json!(header.bit_mode.bits()));
    if let Some(metadata) = frame.metadata()? {
        let custom: Map<String, Json> =
            metadata.custom.iter().map(|(key, value)| (key.to_owned(), json!(value))).collect();
        object.insert(
            "metadata".into(),
            json!({
                "message_id": metadata.message_id, "timestamp": metadata.timestamp_ms,
                "source": metadata.source, "correlation_id": metadata.correlation_id,
                "retry_count": metadata.retry_count, "ttl": metadata.ttl_ms, "custom": custom,
            }),
        );
    }
    let payload = match &contents {
        Some(contents) => {
            let values = contents.fields.iter().map(|field| (field.id, &field.value));
            Json::Object(json::write(&contents.definition.fields, values))
        }
        None => json!(json::hex(frame.payload())),
    };
    object.insert("payload".into(), payload);
    let integrity = frame.integrity();
    let mut block = Map::new();
    block.insert("crc".into(), json!(format!("{:016x}", integrity.crc)));
    block.insert("hash".into(), json!(json::hex(integrity.hash)));
    if let Some(signature) = integrity.signature {
        block.insert("signature".into(), json!(json::hex(signature)));
    }
    object.insert("integrity".into(), Json::Object(block));
    Ok(object)
}
