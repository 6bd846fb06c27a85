//! Values of fixed size in session messages, and the macro that writes a message's layout once.

use crate::command::PayloadError;
use crate::types::{
    AccountId, Amount, AssetId, ClientOrderId, InstrumentId, KeyId, OrderChange, OrderId, Price,
    Quantity, Role, SelfTrade, Sequence, SessionId, Side, Status, TimeNs,
};
use crate::wire::message::ReasonCode;

/// A value with a fixed size in a payload.
pub(crate) trait Field: Sized {
    /// Bytes on the wire.
    const SIZE: usize;
    /// Type name in documents.
    const NAME: &'static str;
    /// Number and word of every value, where only those listed exist.
    const WORDS: &'static [(u8, &'static str)] = &[];
    /// Reads exactly `SIZE` bytes; `Err` is the raw number that the value cannot be.
    fn get(bytes: &[u8]) -> Result<Self, i64>;
    /// Writes the value.
    fn put(&self, out: &mut Vec<u8>);
}

macro_rules! number_fields {
    ($($ty:ty, $inner:ty, $name:literal, $wrap:path, $part:tt;)+) => {$(
        impl Field for $ty {
            const SIZE: usize = size_of::<$inner>();
            const NAME: &'static str = $name;
            #[inline]
            fn get(bytes: &[u8]) -> Result<Self, i64> {
                let raw = bytes.try_into().expect("the layout hands over exactly SIZE bytes");
                Ok($wrap(<$inner>::from_be_bytes(raw)))
            }
            #[inline]
            fn put(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.$part.to_be_bytes());
            }
        }
    )+};
}

number_fields! {
    Sequence, u64, "uint64", Sequence, 0;
    OrderId, u64, "uint64", OrderId, 0;
    ClientOrderId, u64, "uint64", ClientOrderId, 0;
    AccountId, u64, "uint64", AccountId, 0;
    TimeNs, u64, "uint64", TimeNs, 0;
    SessionId, u32, "uint32", SessionId, 0;
    KeyId, u32, "uint32", KeyId, 0;
    InstrumentId, u32, "uint32", InstrumentId, 0;
    AssetId, u32, "uint32", AssetId, 0;
    Price, i64, "decimal", Price, 0;
    Quantity, i64, "decimal", Quantity, 0;
    Amount, i64, "decimal", Amount, 0;
    ReasonCode, u16, "uint16", ReasonCode, 0;
}

macro_rules! plain_fields {
    ($($ty:ty, $name:literal;)+) => {$(
        impl Field for $ty {
            const SIZE: usize = size_of::<$ty>();
            const NAME: &'static str = $name;
            #[inline]
            fn get(bytes: &[u8]) -> Result<Self, i64> {
                let raw = bytes.try_into().expect("the layout hands over exactly SIZE bytes");
                Ok(<$ty>::from_be_bytes(raw))
            }
            #[inline]
            fn put(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_be_bytes());
            }
        }
    )+};
}

plain_fields! {
    u8, "uint8";
    u16, "uint16";
    u32, "uint32";
    u64, "uint64";
}

macro_rules! enum_fields {
    ($($ty:ident),+) => {$(
        impl Field for $ty {
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
enum_fields!(Side, Status, Role, OrderChange, SelfTrade);

impl Field for bool {
    const SIZE: usize = 1;
    const NAME: &'static str = "bool8";
    #[inline]
    fn get(bytes: &[u8]) -> Result<Self, i64> {
        match bytes[0] {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(i64::from(other)),
        }
    }
    #[inline]
    fn put(&self, out: &mut Vec<u8>) {
        out.push(u8::from(*self));
    }
}

impl Field for [u8; 32] {
    const SIZE: usize = 32;
    const NAME: &'static str = "bytes32";
    #[inline]
    fn get(bytes: &[u8]) -> Result<Self, i64> {
        Ok(bytes.try_into().expect("the layout hands over exactly SIZE bytes"))
    }
    #[inline]
    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self);
    }
}

/// Takes a fixed head from the front of a payload; the error names schema and bytes expected.
#[inline]
pub(crate) fn split(
    schema: u32,
    payload: &[u8],
    size: usize,
) -> Result<(&[u8], &[u8]), PayloadError> {
    let found = payload.len();
    payload.split_at_checked(size).ok_or(PayloadError::Length { schema, expected: size, found })
}

/// The error for a payload that is longer or shorter than its own counts say.
#[inline]
pub(crate) fn expect_size(
    schema: u32,
    payload: &[u8],
    expected: usize,
) -> Result<(), PayloadError> {
    let found = payload.len();
    if found == expected { Ok(()) } else { Err(PayloadError::Length { schema, expected, found }) }
}

/// Declares messages, heads of messages, or rows of one, with all fields fixed.
macro_rules! messages {
    ($(#[$tdoc:meta])* $table:ident: $($(#[$doc:meta])* $name:ident = $schema:literal, $text:literal {
        $($(#[doc = $fdoc:literal])* $field:ident: $ty:ty,)*
    })+) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Copy, Debug, PartialEq, Eq)]
            pub struct $name { $($(#[doc = $fdoc])* pub $field: $ty,)* }

            impl $name {
                /// Schema id of the message.
                pub const SCHEMA: u32 = $schema;
                /// Bytes of these fields.
                pub const SIZE: usize = 0 $(+ <$ty as $crate::wire::fields::Field>::SIZE)*;

                /// Reads exactly these fields.
                ///
                /// # Errors
                /// [`PayloadError::Length`] and [`PayloadError::Field`].
                #[inline]
                pub fn decode(payload: &[u8]) -> Result<Self, $crate::command::PayloadError> {
                    $crate::wire::fields::expect_size($schema, payload, Self::SIZE)?;
                    Ok(Self::decode_head(payload)?.0)
                }

                /// Reads these fields and gives what follows them.
                ///
                /// # Errors
                /// [`PayloadError::Length`] and [`PayloadError::Field`].
                #[inline]
                pub fn decode_head(
                    payload: &[u8],
                ) -> Result<(Self, &[u8]), $crate::command::PayloadError> {
                    #[allow(unused_mut, reason = "a message without fields takes nothing")]
                    let (mut head, tail) =
                        $crate::wire::fields::split($schema, payload, Self::SIZE)?;
                    $(
                        let (bytes, rest) =
                            head.split_at(<$ty as $crate::wire::fields::Field>::SIZE);
                        let $field = <$ty as $crate::wire::fields::Field>::get(bytes).map_err(
                            |value| $crate::command::PayloadError::Field {
                                schema: $schema, field: stringify!($field), value,
                            },
                        )?;
                        head = rest;
                    )*
                    debug_assert!(head.is_empty());
                    Ok(($name { $($field,)* }, tail))
                }

                /// Appends these fields.
                #[inline]
                #[allow(
                    unused_variables,
                    clippy::ptr_arg,
                    reason = "a message without fields writes nothing"
                )]
                pub fn encode(&self, out: &mut Vec<u8>) {
                    $($crate::wire::fields::Field::put(&self.$field, out);)*
                }
            }
        )+

        $(impl $crate::wire::message::Fixed for $name {
            const SCHEMA: u32 = $name::SCHEMA;
            const SIZE: usize = $name::SIZE;
            #[inline]
            fn decode(payload: &[u8]) -> Result<Self, $crate::command::PayloadError> {
                $name::decode(payload)
            }
            #[inline]
            fn encode(&self, out: &mut Vec<u8>) {
                $name::encode(self, out);
            }
        })+

        $(#[$tdoc])*
        pub const $table: &[$crate::wire::message::Layout] = &[$(
            ($schema, $text, || {
                #[allow(unused, reason = "a message without fields counts nothing")]
                let mut offset = 0;
                vec![$({
                    let size = <$ty as $crate::wire::fields::Field>::SIZE;
                    offset += size;
                    $crate::command::FieldLayout {
                        name: stringify!($field),
                        kind: <$ty as $crate::wire::fields::Field>::NAME,
                        offset: offset - size,
                        size,
                        words: <$ty as $crate::wire::fields::Field>::WORDS,
                        about: concat!($($fdoc),*).trim_ascii(),
                    }
                },)*]
            }),
        )+];
    };
}
pub(crate) use messages;
