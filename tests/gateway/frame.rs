//! Frames, written and read by the document's words only.

use crc64fast::Digest;
use ed25519_dalek::{Signer, SigningKey};
use sha2::{Digest as _, Sha256};
use std::time::{SystemTime, UNIX_EPOCH};

pub(crate) const FLAG_SIGNED: u16 = 1 << 2;
pub(crate) const FLAG_AGAIN: u16 = 1 << 3;
pub(crate) const FLAG_RESPONSE: u16 = 1 << 4;
pub(crate) const NORMAL: u8 = 2;

pub(crate) const NEW_ORDER: u32 = 1;
pub(crate) const CANCEL_ORDER: u32 = 2;
pub(crate) const REPLACE_ORDER: u32 = 3;
pub(crate) const DEPOSIT: u32 = 4;
pub(crate) const WITHDRAW: u32 = 5;
pub(crate) const TRANSFER: u32 = 6;
pub(crate) const ENTER_ORDER: u32 = 7;
pub(crate) const MASS_CANCEL: u32 = 8;
pub(crate) const CANCEL_ON_DISCONNECT: u32 = 9;
pub(crate) const ADMIN: u32 = 48;
pub(crate) const LOGON: u32 = 64;
pub(crate) const PING: u32 = 65;
pub(crate) const LOGOUT: u32 = 66;
pub(crate) const BOOK_QUERY: u32 = 67;
pub(crate) const ACCOUNT_QUERY: u32 = 68;
pub(crate) const REFERENCE_QUERY: u32 = 69;
pub(crate) const DIRECTORY_QUERY: u32 = 71;
pub(crate) const SCHEMA_QUERY: u32 = 72;

/// Bytes of the integrity block without and with a signature.
const INTEGRITY: usize = 40;
const INTEGRITY_SIGNED: usize = 107;

/// The machine's clock in milliseconds.
pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    i64::try_from(since.as_millis()).expect("before the year 292 million")
}

/// The metadata segment.
#[derive(Clone)]
pub(crate) struct Metadata {
    pub(crate) message_id: String,
    pub(crate) timestamp: i64,
    pub(crate) source: String,
    pub(crate) correlation_id: String,
    pub(crate) retry_count: u16,
    pub(crate) priority: u8,
    pub(crate) ttl: u32,
    pub(crate) custom: Vec<(String, String)>,
}

impl Metadata {
    pub(crate) fn new(message_id: impl Into<String>) -> Metadata {
        Metadata {
            message_id: message_id.into(),
            timestamp: now_ms(),
            source: "tests".into(),
            correlation_id: String::new(),
            retry_count: 0,
            priority: NORMAL,
            ttl: 0,
            custom: Vec::new(),
        }
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        string(&mut bytes, &self.message_id);
        bytes.extend(self.timestamp.to_be_bytes());
        string(&mut bytes, &self.source);
        string(&mut bytes, &self.correlation_id);
        bytes.extend(self.retry_count.to_be_bytes());
        bytes.push(self.priority);
        bytes.extend(self.ttl.to_be_bytes());
        bytes.extend(u16::try_from(self.custom.len()).expect("few pairs").to_be_bytes());
        for (key, value) in &self.custom {
            string(&mut bytes, key);
            string(&mut bytes, value);
        }
        bytes
    }
}

fn string(bytes: &mut Vec<u8>, text: &str) {
    bytes.extend(u16::try_from(text.len()).expect("a short string").to_be_bytes());
    bytes.extend(text.as_bytes());
}

/// A frame before it is sealed. Every field may be a lie.
#[derive(Clone)]
pub(crate) struct Draft {
    pub(crate) version: u8,
    pub(crate) flags: u16,
    pub(crate) schema: u32,
    pub(crate) extension: Vec<u8>,
    pub(crate) bit_mode: u8,
    pub(crate) reserved: u16,
    pub(crate) metadata: Option<Vec<u8>>,
    pub(crate) payload: Option<Vec<u8>>,
    pub(crate) key: Option<SigningKey>,
}

impl Draft {
    /// A message that is no command: no metadata.
    pub(crate) fn session(schema: u32, sequence: u64, payload: Vec<u8>) -> Draft {
        Draft {
            version: 1,
            flags: u16::from(NORMAL) << 5,
            schema,
            extension: sequence.to_be_bytes().to_vec(),
            bit_mode: 4,
            reserved: 0,
            metadata: None,
            payload: Some(payload),
            key: None,
        }
    }

    pub(crate) fn command(schema: u32, sequence: u64, meta: &Metadata, payload: Vec<u8>) -> Draft {
        let session = Draft::session(schema, sequence, payload);
        Draft {
            flags: u16::from(meta.priority) << 5 | FLAG_RESPONSE,
            metadata: Some(meta.bytes()),
            ..session
        }
    }

    pub(crate) fn signed(self, key: &SigningKey) -> Draft {
        Draft { flags: self.flags | FLAG_SIGNED, key: Some(key.clone()), ..self }
    }

    pub(crate) fn flags(self, more: u16) -> Draft {
        Draft { flags: self.flags | more, ..self }
    }

    pub(crate) fn seal(&self) -> Vec<u8> {
        let parts = [(1, self.metadata.as_ref()), (2, self.payload.as_ref())];
        let parts: Vec<(u8, &Vec<u8>)> =
            parts.into_iter().filter_map(|(kind, bytes)| Some((kind, bytes?))).collect();
        let integrity = if self.key.is_some() { INTEGRITY_SIGNED } else { INTEGRITY };
        let count = parts.len() + 1;
        let mut offset = 16 + self.extension.len() + 1 + 9 * count;
        let mut rows: Vec<(u8, usize, usize)> = Vec::new();
        for (kind, bytes) in &parts {
            rows.push((*kind, offset, bytes.len()));
            offset += bytes.len();
        }
        rows.push((3, offset, integrity));

        let mut frame = vec![0xAB, self.version];
        frame.extend(self.flags.to_be_bytes());
        frame.extend(self.schema.to_be_bytes());
        frame.extend(u32::try_from(offset + integrity).expect("a short frame").to_be_bytes());
        frame.push(u8::try_from(self.extension.len()).expect("a short extension"));
        frame.push(self.bit_mode);
        frame.extend(self.reserved.to_be_bytes());
        frame.extend(&self.extension);
        frame.push(u8::try_from(count).expect("few segments"));
        frame.extend(rows.iter().map(|row| row.0));
        for row in &rows {
            frame.extend(u32::try_from(row.1).expect("a short frame").to_be_bytes());
        }
        for row in &rows {
            frame.extend(u32::try_from(row.2).expect("a short frame").to_be_bytes());
        }
        for (_, bytes) in parts {
            frame.extend(bytes);
        }
        frame.resize(offset + integrity, 0);
        reseal(&mut frame, self.key.as_ref());
        frame
    }
}

/// Writes the integrity block anew, whatever stands before it.
pub(crate) fn reseal(frame: &mut [u8], key: Option<&SigningKey>) {
    let at = frame.len() - if key.is_some() { INTEGRITY_SIGNED } else { INTEGRITY };
    let crc = crc64(&frame[..at]).to_be_bytes();
    frame[at..at + 8].copy_from_slice(&crc);
    let hash = Sha256::digest(&frame[..at + 8]);
    frame[at + 8..at + 40].copy_from_slice(&hash);
    if let Some(key) = key {
        frame[at + 40] = 1;
        frame[at + 41..at + 43].copy_from_slice(&64_u16.to_be_bytes());
        frame[at + 43..].copy_from_slice(&key.sign(&hash).to_bytes());
    }
}

pub(crate) fn crc64(bytes: &[u8]) -> u64 {
    let mut digest = Digest::new();
    digest.write(bytes);
    digest.sum64()
}

/// A payload, built field by field.
#[derive(Default)]
pub(crate) struct Fields(pub(crate) Vec<u8>);

impl Fields {
    pub(crate) fn u8(mut self, value: u8) -> Fields {
        self.0.push(value);
        self
    }
    pub(crate) fn u16(mut self, value: u16) -> Fields {
        self.0.extend(value.to_be_bytes());
        self
    }
    pub(crate) fn u32(mut self, value: u32) -> Fields {
        self.0.extend(value.to_be_bytes());
        self
    }
    pub(crate) fn u64(mut self, value: u64) -> Fields {
        self.0.extend(value.to_be_bytes());
        self
    }
    pub(crate) fn i64(mut self, value: i64) -> Fields {
        self.0.extend(value.to_be_bytes());
        self
    }
}

/// A new order.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Order {
    pub(crate) account: u64,
    pub(crate) instrument: u32,
    pub(crate) side: u8,
    pub(crate) order_type: u8,
    pub(crate) time_in_force: u8,
    pub(crate) flags: u8,
    pub(crate) price: i64,
    pub(crate) quantity: i64,
    pub(crate) client_order_id: i64,
}

pub(crate) const BUY: u8 = 1;
pub(crate) const SELL: u8 = 2;
pub(crate) const GTC: u8 = 1;
pub(crate) const IOC: u8 = 3;
pub(crate) const GTD: u8 = 6;
pub(crate) const STOP: u8 = 3;

impl Order {
    /// A limit order that rests.
    pub(crate) fn new(account: u64, instrument: u32, side: u8, price: i64, quantity: i64) -> Order {
        Order {
            account,
            instrument,
            side,
            order_type: 2,
            time_in_force: GTC,
            flags: 0,
            price,
            quantity,
            client_order_id: 0,
        }
    }

    /// The payload up to the client order id, which is as wide as the bit mode says.
    pub(crate) fn head(&self) -> Fields {
        Fields::default()
            .u64(self.account)
            .u32(self.instrument)
            .u8(self.side)
            .u8(self.order_type)
            .u8(self.time_in_force)
            .u8(self.flags)
            .i64(self.price)
            .i64(self.quantity)
    }

    pub(crate) fn payload(&self) -> Vec<u8> {
        self.head().i64(self.client_order_id).0
    }
}

/// An order with further fields.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Further {
    pub(crate) order: Order,
    pub(crate) stop_price: i64,
    pub(crate) display_quantity: i64,
    pub(crate) min_quantity: i64,
    pub(crate) budget: i64,
    pub(crate) expires: u64,
}

impl Further {
    /// An order that uses none of them.
    pub(crate) fn new(order: Order) -> Further {
        Further {
            order,
            stop_price: 0,
            display_quantity: 0,
            min_quantity: 0,
            budget: 0,
            expires: 0,
        }
    }

    /// As [`Order::head`].
    pub(crate) fn head(&self) -> Fields {
        self.order
            .head()
            .i64(self.stop_price)
            .i64(self.display_quantity)
            .i64(self.min_quantity)
            .i64(self.budget)
            .u64(self.expires)
    }

    pub(crate) fn payload(&self) -> Vec<u8> {
        self.head().i64(self.order.client_order_id).0
    }
}

pub(crate) fn mass_cancel(account: u64, instrument: u32, sides: u8, session: u32) -> Vec<u8> {
    Fields::default().u64(account).u32(instrument).u8(sides).u32(session).0
}

pub(crate) fn cancel_on_disconnect(enabled: u8, grace_ms: u32) -> Vec<u8> {
    Fields::default().u8(enabled).u32(grace_ms).0
}

pub(crate) fn cancel(account: u64, instrument: u32, order_id: u64, own: i64) -> Vec<u8> {
    Fields::default().u64(account).u32(instrument).u64(order_id).i64(own).0
}

pub(crate) fn amount(account: u64, asset: u32, amount: i64) -> Vec<u8> {
    Fields::default().u64(account).u32(asset).i64(amount).0
}

/// What the server sent.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Message {
    pub(crate) client_sequence: u64,
    /// Flag 3: an answer that was given before.
    pub(crate) again: bool,
    pub(crate) body: Body,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Body {
    Challenge { nonce: [u8; 32], time_ns: u64, frame_max: u32 },
    Accepted(Accepted),
    Answer(Answer),
    Fill(Fill),
    Update(Update),
    Reject { reason: u16, retry_after_ms: u32, text: String },
    Pong(u64),
    Book(Book),
    Account(Account),
    Reference { more: bool, text: String },
    Directory { more: bool, text: String },
    Schemas { more: bool, text: String },
    LoggedOut(u16),
    Notice { kind: u8, text: String },
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Accepted {
    pub(crate) session: u32,
    pub(crate) key: u32,
    pub(crate) role: u8,
    pub(crate) outbound: u64,
    pub(crate) sequence: u64,
    pub(crate) heartbeat_interval_ms: u32,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Answer {
    pub(crate) sequence: u64,
    pub(crate) outbound: u64,
    pub(crate) order_id: u64,
    pub(crate) filled: i64,
    pub(crate) leaves: i64,
    pub(crate) time: u64,
    pub(crate) status: u8,
    pub(crate) reason: u16,
    pub(crate) fill_count: u32,
    /// Price and quantity.
    pub(crate) fills: Vec<(i64, i64)>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Fill {
    pub(crate) sequence: u64,
    pub(crate) index: u32,
    pub(crate) outbound: u64,
    pub(crate) order_id: u64,
    pub(crate) client_order_id: u64,
    pub(crate) instrument: u32,
    pub(crate) price: i64,
    pub(crate) quantity: i64,
    pub(crate) filled: i64,
    pub(crate) leaves: i64,
    pub(crate) role: u8,
    pub(crate) last: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Update {
    pub(crate) sequence: u64,
    pub(crate) index: u32,
    pub(crate) outbound: u64,
    pub(crate) order_id: u64,
    pub(crate) client_order_id: u64,
    pub(crate) instrument: u32,
    pub(crate) change: u8,
    pub(crate) price: i64,
    pub(crate) quantity: i64,
    pub(crate) filled: i64,
    pub(crate) leaves: i64,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Book {
    pub(crate) sequence: u64,
    pub(crate) instrument: u32,
    pub(crate) last_price: i64,
    pub(crate) more: bool,
    pub(crate) orders: bool,
    pub(crate) rows: Vec<Row>,
}

/// A level or an order of a book.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Row {
    pub(crate) side: u8,
    pub(crate) price: i64,
    pub(crate) quantity: i64,
    /// How many orders the level has, or the order's id.
    pub(crate) last: u64,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Account {
    pub(crate) sequence: u64,
    pub(crate) account: u64,
    pub(crate) more: bool,
    /// Asset, available, frozen.
    pub(crate) balances: Vec<(u32, i64, i64)>,
    pub(crate) orders: Vec<AccountOrder>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct AccountOrder {
    pub(crate) order_id: u64,
    pub(crate) client_order_id: u64,
    pub(crate) instrument: u32,
    pub(crate) side: u8,
    pub(crate) price: i64,
    pub(crate) quantity: i64,
    pub(crate) filled: i64,
    pub(crate) leaves: i64,
    pub(crate) stop_price: i64,
    pub(crate) display_quantity: i64,
    pub(crate) expires: u64,
}

/// Reads fields from a payload's front.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn bytes(&mut self, size: usize) -> &'a [u8] {
        let (front, rest) = self.0.split_at_checked(size).expect("the payload has the field");
        self.0 = rest;
        front
    }
    fn array<const N: usize>(&mut self) -> [u8; N] {
        self.bytes(N).try_into().expect("so many bytes")
    }
    fn u8(&mut self) -> u8 {
        self.array::<1>()[0]
    }
    fn bool(&mut self) -> bool {
        let value = self.u8();
        assert!(value < 2, "a bool8 is 0 or 1, not {value}");
        value == 1
    }
    fn u16(&mut self) -> u16 {
        u16::from_be_bytes(self.array())
    }
    fn u32(&mut self) -> u32 {
        u32::from_be_bytes(self.array())
    }
    fn u64(&mut self) -> u64 {
        u64::from_be_bytes(self.array())
    }
    fn i64(&mut self) -> i64 {
        i64::from_be_bytes(self.array())
    }
    fn text(&mut self, size: u16) -> String {
        String::from_utf8(self.bytes(usize::from(size)).to_vec()).expect("UTF-8")
    }
}

/// The length that a frame's first 16 bytes claim.
pub(crate) fn length(head: &[u8]) -> usize {
    assert_eq!(head[0], 0xAB, "magic");
    assert_eq!(head[1], 1, "version");
    let length = u32::from_be_bytes(head[8..12].try_into().expect("four bytes"));
    assert!((75..=16384).contains(&length), "a frame of {length} bytes");
    length as usize
}

/// Reads a whole frame, checking all that the document promises about frames from the server.
pub(crate) fn decode(frame: &[u8]) -> Message {
    let at = frame.len() - INTEGRITY;
    assert_eq!(frame[at..at + 8], crc64(&frame[..at]).to_be_bytes(), "CRC");
    assert_eq!(frame[at + 8..], *Sha256::digest(&frame[..at + 8]), "hash");
    let flags = u16::from_be_bytes([frame[2], frame[3]]);
    assert_eq!(flags & !(FLAG_AGAIN | FLAG_RESPONSE), u16::from(NORMAL) << 5, "flags {flags:#x}");
    assert_eq!((frame[12], frame[13], frame[14], frame[15]), (8, 4, 0, 0), "header");
    let schema = u32::from_be_bytes(frame[4..8].try_into().expect("four bytes"));
    let client_sequence = u64::from_be_bytes(frame[16..24].try_into().expect("eight bytes"));
    assert_eq!(frame[24..27], [2, 2, 3], "payload and integrity");
    let number =
        |at: usize| u32::from_be_bytes(frame[at..at + 4].try_into().expect("four bytes")) as usize;
    let [payload, integrity, payload_size, integrity_size] =
        [number(27), number(31), number(35), number(39)];
    assert_eq!((payload, payload + payload_size), (43, integrity), "segments");
    assert_eq!((integrity, integrity_size), (at, INTEGRITY), "segments");
    let mut reader = Reader(&frame[43..at]);
    let body = body(schema, &mut reader);
    assert!(reader.0.is_empty(), "{} bytes after schema {schema}", reader.0.len());
    Message { client_sequence, again: flags & FLAG_AGAIN != 0, body }
}

fn body(schema: u32, r: &mut Reader) -> Body {
    match schema {
        128 => Body::Challenge { nonce: r.array(), time_ns: r.u64(), frame_max: r.u32() },
        129 => Body::Accepted(Accepted {
            session: r.u32(),
            key: r.u32(),
            role: r.u8(),
            outbound: r.u64(),
            sequence: r.u64(),
            heartbeat_interval_ms: r.u32(),
        }),
        130 => Body::Answer(answer(r)),
        131 => Body::Fill(Fill {
            sequence: r.u64(),
            index: r.u32(),
            outbound: r.u64(),
            order_id: r.u64(),
            client_order_id: r.u64(),
            instrument: r.u32(),
            price: r.i64(),
            quantity: r.i64(),
            filled: r.i64(),
            leaves: r.i64(),
            role: r.u8(),
            last: r.bool(),
        }),
        142 => Body::Update(Update {
            sequence: r.u64(),
            index: r.u32(),
            outbound: r.u64(),
            order_id: r.u64(),
            client_order_id: r.u64(),
            instrument: r.u32(),
            change: r.u8(),
            price: r.i64(),
            quantity: r.i64(),
            filled: r.i64(),
            leaves: r.i64(),
        }),
        132 => {
            let (reason, retry_after_ms, size) = (r.u16(), r.u32(), r.u16());
            assert!(size <= 256, "a text of {size} bytes");
            Body::Reject { reason, retry_after_ms, text: r.text(size) }
        }
        133 => Body::Pong(r.u64()),
        134 => Body::Book(book(r)),
        135 => Body::Account(account(r)),
        136 => {
            let (more, size) = (r.bool(), r.u16());
            Body::Reference { more, text: r.text(size) }
        }
        140 => {
            let (more, size) = (r.bool(), r.u16());
            Body::Directory { more, text: r.text(size) }
        }
        141 => {
            let (more, size) = (r.bool(), r.u16());
            Body::Schemas { more, text: r.text(size) }
        }
        137 => Body::LoggedOut(r.u16()),
        138 => {
            let (kind, size) = (r.u8(), r.u16());
            Body::Notice { kind, text: r.text(size) }
        }
        other => panic!("schema {other} is not in the document"),
    }
}

fn answer(r: &mut Reader) -> Answer {
    let mut answer = Answer {
        sequence: r.u64(),
        outbound: r.u64(),
        order_id: r.u64(),
        filled: r.i64(),
        leaves: r.i64(),
        time: r.u64(),
        status: r.u8(),
        reason: r.u16(),
        fill_count: r.u32(),
        fills: Vec::new(),
    };
    answer.fills = (0..answer.fill_count.min(16)).map(|_| (r.i64(), r.i64())).collect();
    answer
}

fn book(r: &mut Reader) -> Book {
    let mut book = Book {
        sequence: r.u64(),
        instrument: r.u32(),
        last_price: r.i64(),
        more: r.bool(),
        orders: r.bool(),
        rows: Vec::new(),
    };
    let rows = r.u16();
    let last = |orders: bool, r: &mut Reader| if orders { r.u64() } else { u64::from(r.u32()) };
    book.rows = (0..rows)
        .map(|_| Row {
            side: r.u8(),
            price: r.i64(),
            quantity: r.i64(),
            last: last(book.orders, r),
        })
        .collect();
    book
}

fn account(r: &mut Reader) -> Account {
    let (sequence, account, more) = (r.u64(), r.u64(), r.bool());
    let (balances, orders) = (r.u16(), r.u16());
    Account {
        sequence,
        account,
        more,
        balances: (0..balances).map(|_| (r.u32(), r.i64(), r.i64())).collect(),
        orders: (0..orders)
            .map(|_| AccountOrder {
                order_id: r.u64(),
                client_order_id: r.u64(),
                instrument: r.u32(),
                side: r.u8(),
                price: r.i64(),
                quantity: r.i64(),
                filled: r.i64(),
                leaves: r.i64(),
                stop_price: r.i64(),
                display_quantity: r.i64(),
                expires: r.u64(),
            })
            .collect(),
    }
}
