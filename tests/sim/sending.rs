//! What clients say, as frames: sound, repeated, refused by rule, or rubbish.

use super::clients::Around;
use super::random::Random;
use super::venue;
use openoutcry::command::{Command, NewOrder};
use openoutcry::types::{
    AccountId, AssetId, ClientOrderId, InstrumentId, KeyId, OrderId, OrderType, Price, Priority,
    Quantity, Side, TimeInForce,
};
use openoutcry::wire::frame::{FrameHead, FrameWriter};
use openoutcry::wire::header::{BitMode, Flags};
use openoutcry::wire::message::{
    AccountQuery, BookQuery, Challenge, Logon, Logout, Ping, ReferenceQuery, send,
};
use openoutcry::wire::metadata::Metadata;
use openoutcry::wire::payload::encode_command;

/// What a client can say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    Logon,
    /// Signed by somebody else.
    LogonBadKey,
    /// Signed for another connection.
    LogonBadNonce,
    Command {
        index: usize,
        repeat: bool,
    },
    /// The id of a command that was sequenced, with other content.
    Reused {
        index: usize,
    },
    /// Refused by a rule, with its number.
    Invalid {
        how: u64,
    },
    Book {
        instrument: InstrumentId,
        depth: u16,
        orders: bool,
    },
    Account {
        account: AccountId,
    },
    Ping {
        nonce: u64,
    },
    Reference,
    Logout,
    /// A frame with a bit turned over: refused, and the stream goes on.
    Junk,
    /// No frame at all: the stream is over.
    Garbage,
}

impl What {
    /// Its answer comes from the event log, or at once, and not at its place.
    pub(crate) fn may_be_late(self) -> bool {
        let repeat = matches!(self, What::Command { repeat: true, .. });
        repeat || matches!(self, What::Ping { .. } | What::Reference)
    }
}

/// Ways in which a command can be refused before it gets a sequence.
pub(crate) const INVALID: u64 = 8;

/// A question.
pub(crate) fn query(random: &mut Random) -> What {
    if random.percent(50) {
        let instrument = InstrumentId(1 + random.below(3) as u32);
        What::Book { instrument, depth: random.below(4) as u16, orders: random.percent(50) }
    } else {
        What::Account { account: AccountId(1 + random.below(6)) }
    }
}

/// An answer to a challenge.
pub(crate) fn logon(
    what: What,
    number: u64,
    key: KeyId,
    name: &str,
    challenge: &Challenge,
    last_received: u64,
    cancel_on_disconnect: bool,
) -> Vec<u8> {
    let signer = venue::signer(key);
    let mut logon = Logon {
        nonce: challenge.nonce,
        public_key: signer.verifying_key().to_bytes(),
        session_name: Logon::pad_name(name).expect("a short name"),
        last_received,
        cancel_on_disconnect,
    };
    let mut out = Vec::new();
    match what {
        What::Garbage => return vec![7; 20],
        What::LogonBadNonce => logon.nonce[3] ^= 1,
        What::LogonBadKey => {
            let other = venue::signer(KeyId(key.0 % venue::KEYS.len() as u32 + 1));
            logon.send(number, other, &mut out);
            return out;
        }
        _ => {}
    }
    logon.send(number, signer, &mut out);
    out
}

/// The frame that says it.
pub(crate) fn frame(what: What, number: u64, key: KeyId, around: &mut Around<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    match what {
        What::Command { index, repeat } => command(index, repeat, number, around, &mut out),
        What::Reused { index } => reused(index, number, around, &mut out),
        What::Invalid { how } => invalid(how, number, key, around, &mut out),
        What::Book { instrument, depth, orders } => {
            send(&BookQuery { instrument, depth, orders }, number, &mut out);
        }
        What::Account { account } => {
            send(&AccountQuery { account, after_order: OrderId(0) }, number, &mut out);
        }
        What::Ping { nonce } => drop(send(&Ping { nonce }, number, &mut out)),
        What::Reference => {
            let all = ReferenceQuery { after_asset: AssetId(0), after_instrument: InstrumentId(0) };
            send(&all, number, &mut out);
        }
        What::Logout => drop(send(&Logout {}, number, &mut out)),
        What::Junk => {
            send(&Ping { nonce: 1 }, number, &mut out);
            let at = 16 + around.random.below(out.len() as u64 - 16) as usize;
            out[at] ^= 1 << around.random.below(8);
        }
        What::Garbage => {
            let size = 1 + around.random.below(300) as usize;
            out = (0..size).map(|_| around.random.next() as u8 & 0x7F).collect();
        }
        What::Logon | What::LogonBadKey | What::LogonBadNonce => unreachable!("see `logon`"),
    }
    out
}

fn head(schema: u32, bits: u16, bit_mode: BitMode, client_sequence: u64) -> FrameHead {
    FrameHead { schema, flags: Flags::new(Priority::Normal).with(bits), bit_mode, client_sequence }
}

/// A command of the ledger, as it was sent the first time.
fn command(index: usize, repeat: bool, number: u64, around: &mut Around<'_>, out: &mut Vec<u8>) {
    let sent = &around.ledger.commands[index];
    let id = format!("m{index}");
    let mut metadata = Metadata::new(&id, sent.timestamp_ms, sent.priority);
    metadata.ttl_ms = sent.ttl_ms;
    metadata.retry_count = u16::from(repeat);
    let bits = if repeat { Flags::POSSIBLE_DUPLICATE } else { 0 };
    let modes = BitMode::ALL;
    let mode = if sent.command.account().0 == 3 { modes[index % 3] } else { BitMode::Bits64 };
    let mut head = head(sent.command.schema(), bits, mode, number);
    head.flags = Flags::new(sent.priority).with(bits);
    let mut writer = FrameWriter::begin_with(out, head, &metadata).expect("short strings");
    encode_command(&sent.command, mode, writer.payload()).expect("small client order ids");
    if index.is_multiple_of(25) || sent.priority == Priority::Critical {
        writer.seal_signed(venue::signer(sent.key));
    } else {
        writer.seal();
    }
}

/// Other content under the id of a command that was sequenced.
fn reused(index: usize, number: u64, around: &mut Around<'_>, out: &mut Vec<u8>) {
    let sent = &around.ledger.commands[index];
    let id = format!("m{index}");
    let metadata = Metadata::new(&id, sent.timestamp_ms, Priority::Normal);
    let mut command = sent.command;
    match &mut command {
        Command::NewOrder(order) => order.quantity.0 += 1,
        Command::CancelOrder(cancel) => cancel.order_id.0 += 1,
        Command::ReplaceOrder(replace) => replace.quantity.0 += 1,
        Command::Deposit(deposit) => deposit.amount.0 += 1,
        Command::Withdraw(withdraw) => withdraw.amount.0 += 1,
        Command::Transfer(transfer) => transfer.amount.0 += 1,
        Command::EnterOrder(order) => order.quantity.0 += 1,
        Command::MassCancel(cancel) => cancel.instrument.0 += 1,
        Command::CancelOnDisconnect(wish) => wish.grace_ms += 1,
    }
    let head = head(command.schema(), 0, BitMode::Bits64, number);
    let mut writer = FrameWriter::begin_with(out, head, &metadata).expect("short strings");
    command.encode(writer.payload());
    writer.seal();
}

/// A command that breaks one rule.
fn invalid(how: u64, number: u64, key: KeyId, around: &mut Around<'_>, out: &mut Vec<u8>) {
    let id = format!("x{number}");
    let mut metadata = Metadata::new(&id, around.wall_ms, Priority::Normal);
    let mut head = head(NewOrder::SCHEMA, 0, BitMode::Bits64, number);
    match how {
        0 => head.schema = 40,
        1 => metadata.priority = Priority::High,
        2 | 3 => {
            metadata.priority = Priority::Critical;
            head.flags = Flags::new(Priority::Critical);
        }
        4 => head.schema = 100,
        _ => {}
    }
    let order = NewOrder {
        // Nobody but the operator may act for account 1, and nobody at all with side 9.
        account: AccountId(1),
        instrument: InstrumentId(1),
        side: Side::Buy,
        order_type: OrderType::Limit,
        time_in_force: TimeInForce::Gtc,
        flags: 0,
        price: Price(100),
        quantity: Quantity(1),
        client_order_id: ClientOrderId(0),
    };
    let mut writer = FrameWriter::begin_with(out, head, &metadata).expect("short strings");
    let start = writer.payload().len();
    order.encode(writer.payload());
    match how {
        5 => writer.payload().truncate(start + 20),
        6 => writer.payload().extend_from_slice(&[0; 9]),
        _ if key == KeyId(1) => writer.payload()[start + 12] = 9,
        _ => {}
    }
    match how {
        3 => drop(writer.seal_signed(venue::signer(key))),
        7 => drop(writer.seal_signed(venue::signer(KeyId(key.0 % 4 + 1)))),
        _ => drop(writer.seal()),
    }
}
