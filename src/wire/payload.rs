//! Payloads of commands in the four bit modes.
//!
//! Invariants: only a schema's last field of kind `int` changes its width (rows S1.29–S1.32); what
//! leaves [`canonical`] is the canonical payload, whatever mode it came in; in 64-bit mode it is
//! the received bytes themselves.

use crate::command::{CancelOrder, Command, EnterOrder, NewOrder, PayloadError, ReplaceOrder};
use crate::wire::WireError;
use crate::wire::header::BitMode;
use thiserror::Error;

/// Bytes of the longest canonical payload of a command.
pub const COMMAND_SIZE_MAX: usize = EnterOrder::SIZE;

const _: () = assert!(NewOrder::SIZE <= COMMAND_SIZE_MAX);
const _: () = assert!(ReplaceOrder::SIZE <= COMMAND_SIZE_MAX);

/// A number that does not fit into its bit mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("Integer overflow for {bits}-bit mode")]
pub struct IntError {
    /// Bits of the mode.
    pub bits: u8,
}

/// Appends a number in the width of the mode, big-endian, two's complement.
///
/// # Errors
/// [`IntError`] where the number does not fit; nothing is appended then.
#[inline]
pub fn encode_int(value: i64, mode: BitMode, out: &mut Vec<u8>) -> Result<(), IntError> {
    let overflow = IntError { bits: mode.bits() };
    match mode {
        BitMode::Bits8 => {
            out.extend_from_slice(&i8::try_from(value).map_err(|_| overflow)?.to_be_bytes());
        }
        BitMode::Bits16 => {
            out.extend_from_slice(&i16::try_from(value).map_err(|_| overflow)?.to_be_bytes());
        }
        BitMode::Bits32 => {
            out.extend_from_slice(&i32::try_from(value).map_err(|_| overflow)?.to_be_bytes());
        }
        BitMode::Bits64 => out.extend_from_slice(&value.to_be_bytes()),
    }
    Ok(())
}

/// Reads a number in the width of the mode; `None` where the bytes are not as many as it takes.
#[inline]
#[must_use]
pub fn decode_int(bytes: &[u8], mode: BitMode) -> Option<i64> {
    Some(match mode {
        BitMode::Bits8 => i64::from(i8::from_be_bytes(bytes.try_into().ok()?)),
        BitMode::Bits16 => i64::from(i16::from_be_bytes(bytes.try_into().ok()?)),
        BitMode::Bits32 => i64::from(i32::from_be_bytes(bytes.try_into().ok()?)),
        BitMode::Bits64 => i64::from_be_bytes(bytes.try_into().ok()?),
    })
}

/// Name and canonical size of a schema whose last field is of kind `int`.
#[inline]
const fn int_tail(schema: u32) -> Option<(&'static str, usize)> {
    match schema {
        NewOrder::SCHEMA => Some(("client_order_id", NewOrder::SIZE)),
        CancelOrder::SCHEMA => Some(("orig_client_order_id", CancelOrder::SIZE)),
        ReplaceOrder::SCHEMA => Some(("orig_client_order_id", ReplaceOrder::SIZE)),
        EnterOrder::SCHEMA => Some(("client_order_id", EnterOrder::SIZE)),
        _ => None,
    }
}

/// A command with its canonical payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Canonical<'a> {
    /// The command.
    pub command: Command,
    /// Its canonical payload.
    pub payload: &'a [u8],
    /// True where `payload` is the received payload itself, so that it need not be kept twice.
    pub in_frame: bool,
}

/// Reads a command in any bit mode.
///
/// `scratch` holds the canonical payload where that is not the received one.
///
/// # Errors
/// [`WireError::UnknownSchema`] and [`WireError::BadPayload`].
#[inline]
pub fn canonical<'a>(
    schema: u32,
    payload: &'a [u8],
    mode: BitMode,
    scratch: &'a mut [u8; COMMAND_SIZE_MAX],
) -> Result<Canonical<'a>, WireError> {
    let Some((field, size)) = int_tail(schema) else {
        let command = Command::decode(schema, payload)?;
        return Ok(Canonical { command, payload, in_frame: true });
    };
    let head_size = size - 8;
    let expected = head_size + mode.size();
    if payload.len() != expected {
        let found = payload.len();
        return Err(PayloadError::Length { schema, expected, found }.into());
    }
    let value = decode_int(&payload[head_size..], mode).expect("the length was just checked");
    if value < 0 {
        return Err(PayloadError::Field { schema, field, value }.into());
    }
    if mode == BitMode::Bits64 {
        let command = Command::decode(schema, payload)?;
        return Ok(Canonical { command, payload, in_frame: true });
    }
    scratch[..head_size].copy_from_slice(&payload[..head_size]);
    scratch[head_size..size].copy_from_slice(&value.to_be_bytes());
    let payload = &scratch[..size];
    Ok(Canonical { command: Command::decode(schema, payload)?, payload, in_frame: false })
}

/// Appends a command's payload in any bit mode.
///
/// # Errors
/// [`IntError`] where the client order id does not fit; `out` is as it was then.
#[inline]
pub fn encode_command(command: &Command, mode: BitMode, out: &mut Vec<u8>) -> Result<(), IntError> {
    let start = out.len();
    let number = match command {
        Command::NewOrder(c) => c.client_order_id.0,
        Command::CancelOrder(c) => c.orig_client_order_id.0,
        Command::ReplaceOrder(c) => c.orig_client_order_id.0,
        Command::EnterOrder(c) => c.client_order_id.0,
        Command::Deposit(_)
        | Command::Withdraw(_)
        | Command::Transfer(_)
        | Command::MassCancel(_)
        | Command::CancelOnDisconnect(_) => {
            command.encode(out);
            return Ok(());
        }
    };
    let value = i64::try_from(number).map_err(|_| IntError { bits: mode.bits() })?;
    command.encode(out);
    if mode == BitMode::Bits64 {
        return Ok(());
    }
    out.truncate(out.len() - 8);
    encode_int(value, mode, out).inspect_err(|_| out.truncate(start))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{AccountId, ClientOrderId, InstrumentId, OrderId};

    fn encoded(value: i64, mode: BitMode) -> Result<Vec<u8>, String> {
        let mut out = Vec::new();
        encode_int(value, mode, &mut out).map_err(|error| error.to_string())?;
        Ok(out)
    }

    #[test]
    fn the_bounds_of_8_bit_mode_hold_with_the_exact_text() {
        let overflow = Err("Integer overflow for 8-bit mode".to_owned());
        assert_eq!(encoded(-128, BitMode::Bits8), Ok(vec![0x80]));
        assert_eq!(encoded(127, BitMode::Bits8), Ok(vec![0x7F]));
        assert_eq!(encoded(-129, BitMode::Bits8), overflow);
        assert_eq!(encoded(128, BitMode::Bits8), overflow);
    }

    #[test]
    fn the_bounds_of_16_bit_mode_hold_with_the_exact_text() {
        let overflow = Err("Integer overflow for 16-bit mode".to_owned());
        assert_eq!(encoded(0x1234, BitMode::Bits16), Ok(vec![0x12, 0x34]));
        assert_eq!(encoded(-32768, BitMode::Bits16), Ok(vec![0x80, 0]));
        assert_eq!(encoded(32767, BitMode::Bits16), Ok(vec![0x7F, 0xFF]));
        assert_eq!(encoded(-32769, BitMode::Bits16), overflow);
        assert_eq!(encoded(32768, BitMode::Bits16), overflow);
    }

    #[test]
    fn the_bounds_of_32_and_64_bit_mode_hold() {
        let overflow = Err("Integer overflow for 32-bit mode".to_owned());
        assert_eq!(encoded(i64::from(i32::MIN), BitMode::Bits32), Ok(vec![0x80, 0, 0, 0]));
        assert_eq!(encoded(i64::from(i32::MIN) - 1, BitMode::Bits32), overflow);
        assert_eq!(encoded(i64::from(i32::MAX) + 1, BitMode::Bits32), overflow);
        assert_eq!(encoded(i64::MIN, BitMode::Bits64), Ok(i64::MIN.to_be_bytes().to_vec()));
        assert_eq!(encoded(i64::MAX, BitMode::Bits64), Ok(i64::MAX.to_be_bytes().to_vec()));
    }

    proptest::proptest! {
        #[test]
        fn what_is_encoded_in_any_mode_decodes_to_the_same(value: i64, shift in 0u32..64) {
            let value = value >> shift;
            for mode in BitMode::ALL {
                if let Ok(bytes) = encoded(value, mode) {
                    proptest::prop_assert_eq!(bytes.len(), mode.size());
                    proptest::prop_assert_eq!(decode_int(&bytes, mode), Some(value));
                } else {
                    proptest::prop_assert!(mode != BitMode::Bits64);
                }
            }
        }
    }

    fn cancel(number: u64) -> Command {
        CancelOrder {
            account: AccountId(u64::MAX),
            instrument: InstrumentId(7),
            order_id: OrderId(0),
            orig_client_order_id: ClientOrderId(number),
        }
        .into()
    }

    #[test]
    fn only_the_last_field_of_kind_int_changes_its_width() {
        for &(schema, name, fields) in Command::LAYOUTS {
            let fields = fields();
            let last = fields.last().expect("every command has fields");
            match int_tail(schema) {
                Some((field, size)) => {
                    assert_eq!((last.name, last.kind), (field, "int"), "{name}");
                    assert_eq!(last.offset + 8, size, "{name}");
                }
                None => assert_ne!(last.kind, "int", "{name}"),
            }
            assert!(last.offset + last.size <= COMMAND_SIZE_MAX, "{name}");
            assert!(fields[..fields.len() - 1].iter().all(|field| field.kind != "int"), "{name}");
        }
    }

    #[test]
    fn every_mode_gives_the_same_canonical_payload() {
        let command = cancel(100);
        let mut wide = Vec::new();
        command.encode(&mut wide);
        for mode in BitMode::ALL {
            let mut payload = Vec::new();
            encode_command(&command, mode, &mut payload).expect("100 fits everywhere");
            assert_eq!(payload.len(), wide.len() - 8 + mode.size());
            let mut scratch = [0; COMMAND_SIZE_MAX];
            let read = canonical(2, &payload, mode, &mut scratch).expect("a good payload");
            assert_eq!(read.command, command);
            assert_eq!(read.payload, wide);
            assert_eq!(read.in_frame, mode == BitMode::Bits64);
            if read.in_frame {
                assert_eq!(read.payload.as_ptr(), payload.as_ptr());
            }
        }
    }

    #[test]
    fn a_negative_client_order_id_is_a_bad_payload_in_every_mode() {
        for mode in BitMode::ALL {
            let mut payload = Vec::new();
            cancel(0).encode(&mut payload);
            payload.truncate(payload.len() - 8);
            encode_int(-1, mode, &mut payload).expect("-1 fits everywhere");
            let error = canonical(2, &payload, mode, &mut [0; COMMAND_SIZE_MAX])
                .expect_err("negative client order id");
            let schema = 2;
            let field = "orig_client_order_id";
            assert_eq!(error, PayloadError::Field { schema, field, value: -1 }.into());
        }
    }

    #[test]
    fn a_client_order_id_too_wide_for_its_mode_leaves_nothing_behind() {
        let mut out = vec![1, 2, 3];
        for (mode, number) in [
            (BitMode::Bits8, 128),
            (BitMode::Bits16, 1 << 15),
            (BitMode::Bits32, 1 << 31),
            (BitMode::Bits64, 1 << 63),
        ] {
            let error = encode_command(&cancel(number), mode, &mut out).expect_err("too wide");
            assert_eq!(error.to_string(), format!("Integer overflow for {}-bit mode", mode.bits()));
            assert_eq!(out, [1, 2, 3]);
        }
    }

    #[test]
    fn commands_without_an_int_are_the_same_in_every_mode() {
        let command: Command = crate::command::Deposit {
            account: AccountId(2),
            asset: crate::types::AssetId(1),
            amount: crate::types::Amount(3),
        }
        .into();
        for mode in BitMode::ALL {
            let mut payload = Vec::new();
            encode_command(&command, mode, &mut payload).expect("no int to overflow");
            let mut scratch = [0; COMMAND_SIZE_MAX];
            let read = canonical(4, &payload, mode, &mut scratch).expect("a good payload");
            assert_eq!((read.command, read.in_frame), (command, true));
        }
    }
}
