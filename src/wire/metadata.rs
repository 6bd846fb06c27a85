//! The metadata segment: who sent a message, when, how urgent it is (row S1.35).
//!
//! Invariants: all strings are UTF-8 and within their limits; the custom map's keys ascend and
//! differ, so that equal metadata has equal bytes; nothing follows the map.

use crate::limits::{
    CORRELATION_ID_MAX_BYTES, CUSTOM_PAIRS_MAX, MESSAGE_ID_MAX_BYTES, SOURCE_MAX_BYTES,
};
use crate::types::{Priority, TimeNs};
use crate::wire::WireError;
use std::ops::Range;
use thiserror::Error;

/// What is wrong with a metadata segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum MetadataError {
    /// The segment ends inside a field.
    #[error("the metadata ends inside its {0}")]
    Short(&'static str),
    /// Bytes follow the custom map.
    #[error("{0} bytes follow the metadata")]
    Trailing(usize),
    /// A string is longer than allowed.
    #[error("the {field} has {length} bytes, at most {max} are allowed")]
    TooLong {
        /// Which string.
        field: &'static str,
        /// Bytes it has.
        length: usize,
        /// Bytes allowed.
        max: usize,
    },
    /// A string is not UTF-8.
    #[error("the {0} is not UTF-8")]
    Utf8(&'static str),
    /// A message without an id.
    #[error("the message id is empty")]
    NoMessageId,
    /// The custom map has too many pairs.
    #[error("{0} custom pairs are too many")]
    Pairs(usize),
    /// The custom map's keys do not ascend.
    #[error("the keys of the custom map do not ascend")]
    KeyOrder,
}

/// A message's metadata; strings are borrowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metadata<'a> {
    /// The client's name for the message, by which a duplicate is known; never empty.
    pub message_id: &'a str,
    /// When the client made it, in milliseconds since the Unix epoch.
    pub timestamp_ms: i64,
    /// Which of the client's systems it comes from; may be empty.
    pub source: &'a str,
    /// Whatever the client wants to find again; may be empty.
    pub correlation_id: &'a str,
    /// How often the client sent it before.
    pub retry_count: u16,
    /// How urgent it is; the header's flags say the same.
    pub priority: Priority,
    /// Milliseconds after `timestamp_ms` for which it is good; 0 for ever.
    pub ttl_ms: u32,
    /// The client's own pairs.
    pub custom: Custom<'a>,
}

/// The custom map, as its canonical bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Custom<'a> {
    count: u16,
    bytes: &'a [u8],
}

/// Takes fields from the front of a segment.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    #[inline]
    fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], MetadataError> {
        let (head, rest) = self.0.split_first_chunk::<N>().ok_or(MetadataError::Short(field))?;
        self.0 = rest;
        Ok(*head)
    }

    #[inline]
    fn string(&mut self, field: &'static str, max: usize) -> Result<&'a str, MetadataError> {
        let length = usize::from(u16::from_be_bytes(self.array(field)?));
        if length > max {
            return Err(MetadataError::TooLong { field, length, max });
        }
        let (head, rest) = self.0.split_at_checked(length).ok_or(MetadataError::Short(field))?;
        self.0 = rest;
        std::str::from_utf8(head).map_err(|_| MetadataError::Utf8(field))
    }
}

impl<'a> Custom<'a> {
    /// Checks a map of `count` pairs that takes all of `bytes`.
    fn parse(count: u16, bytes: &'a [u8]) -> Result<Custom<'a>, MetadataError> {
        if usize::from(count) > CUSTOM_PAIRS_MAX {
            return Err(MetadataError::Pairs(usize::from(count)));
        }
        let mut reader = Reader(bytes);
        let mut before = None;
        for _ in 0..count {
            let key = reader.string("custom key", usize::from(u16::MAX))?;
            reader.string("custom value", usize::from(u16::MAX))?;
            if before >= Some(key) {
                return Err(MetadataError::KeyOrder);
            }
            before = Some(key);
        }
        if !reader.0.is_empty() {
            return Err(MetadataError::Trailing(reader.0.len()));
        }
        Ok(Custom { count, bytes })
    }

    /// Writes pairs in canonical order into `buffer` and gives the map over it.
    ///
    /// # Errors
    /// [`MetadataError`] for too many pairs, a key twice, or a string beyond 65,535 bytes.
    pub fn build(
        pairs: &[(&str, &str)],
        buffer: &'a mut Vec<u8>,
    ) -> Result<Custom<'a>, MetadataError> {
        if pairs.len() > CUSTOM_PAIRS_MAX {
            return Err(MetadataError::Pairs(pairs.len()));
        }
        let mut sorted = pairs.to_vec();
        sorted.sort_unstable();
        buffer.clear();
        for (key, value) in sorted {
            for (field, text) in [("custom key", key), ("custom value", value)] {
                let (length, max) = (text.len(), usize::from(u16::MAX));
                let size = u16::try_from(length).map_err(|_| MetadataError::TooLong {
                    field,
                    length,
                    max,
                })?;
                buffer.extend_from_slice(&size.to_be_bytes());
                buffer.extend_from_slice(text.as_bytes());
            }
        }
        Custom::parse(pairs.len() as u16, buffer)
    }

    /// Pairs in the map.
    #[must_use]
    pub fn count(&self) -> usize {
        usize::from(self.count)
    }

    /// The pairs, in the order of their keys.
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, &'a str)> {
        let mut reader = Reader(self.bytes);
        let mut next = move || reader.string("custom", usize::from(u16::MAX)).ok();
        std::iter::from_fn(move || Some((next()?, next()?)))
    }
}

impl<'a> Metadata<'a> {
    /// Metadata with an id, a time and a priority, and nothing else.
    #[must_use]
    pub fn new(message_id: &'a str, timestamp_ms: i64, priority: Priority) -> Metadata<'a> {
        Metadata {
            message_id,
            timestamp_ms,
            source: "",
            correlation_id: "",
            retry_count: 0,
            priority,
            ttl_ms: 0,
            custom: Custom::default(),
        }
    }

    /// Reads a metadata segment.
    ///
    /// # Errors
    /// [`WireError::BadMetadata`], and [`WireError::BadPriority`] for a priority that is none.
    #[inline(always)]
    pub fn parse(segment: &'a [u8]) -> Result<Metadata<'a>, WireError> {
        let reader = &mut Reader(segment);
        let message_id = reader.string("message id", MESSAGE_ID_MAX_BYTES)?;
        if message_id.is_empty() {
            return Err(MetadataError::NoMessageId.into());
        }
        let timestamp_ms = i64::from_be_bytes(reader.array("timestamp")?);
        let source = reader.string("source", SOURCE_MAX_BYTES)?;
        let correlation_id = reader.string("correlation id", CORRELATION_ID_MAX_BYTES)?;
        let retry_count = u16::from_be_bytes(reader.array("retry count")?);
        let [priority] = reader.array("priority")?;
        let priority = Priority::from_u8(priority).ok_or(WireError::BadPriority(priority))?;
        let ttl_ms = u32::from_be_bytes(reader.array("ttl")?);
        let pairs = u16::from_be_bytes(reader.array("custom map")?);
        let custom = Custom::parse(pairs, reader.0)?;
        Ok(Metadata {
            message_id,
            timestamp_ms,
            source,
            correlation_id,
            retry_count,
            priority,
            ttl_ms,
            custom,
        })
    }

    /// Appends the segment.
    ///
    /// # Errors
    /// [`MetadataError`] for an empty id or a string beyond its limit; nothing is appended then.
    #[inline]
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), MetadataError> {
        if self.message_id.is_empty() {
            return Err(MetadataError::NoMessageId);
        }
        let limits = [
            ("message id", self.message_id, MESSAGE_ID_MAX_BYTES),
            ("source", self.source, SOURCE_MAX_BYTES),
            ("correlation id", self.correlation_id, CORRELATION_ID_MAX_BYTES),
        ];
        for (field, text, max) in limits {
            let length = text.len();
            if length > max {
                return Err(MetadataError::TooLong { field, length, max });
            }
        }
        let string = |out: &mut Vec<u8>, text: &str| {
            // The limits above are far below 65,536.
            out.extend_from_slice(&(text.len() as u16).to_be_bytes());
            out.extend_from_slice(text.as_bytes());
        };
        string(out, self.message_id);
        out.extend_from_slice(&self.timestamp_ms.to_be_bytes());
        string(out, self.source);
        string(out, self.correlation_id);
        let mut tail = [0; 9];
        tail[0..2].copy_from_slice(&self.retry_count.to_be_bytes());
        tail[2] = self.priority as u8;
        tail[3..7].copy_from_slice(&self.ttl_ms.to_be_bytes());
        tail[7..9].copy_from_slice(&self.custom.count.to_be_bytes());
        out.extend_from_slice(&tail);
        out.extend_from_slice(self.custom.bytes);
        Ok(())
    }

    /// Where the message id's bytes stand, counted from the segment's start.
    #[must_use]
    pub fn message_id_range(&self) -> Range<usize> {
        2..2 + self.message_id.len()
    }

    /// Where the source's bytes stand, counted from the segment's start.
    #[must_use]
    pub fn source_range(&self) -> Range<usize> {
        let start = self.message_id_range().end + 8 + 2;
        start..start + self.source.len()
    }

    /// From when on the message is too old, as the journal keeps it; 0 for never.
    ///
    /// A message that was over before the epoch began is over at its first nanosecond.
    #[must_use]
    pub fn expires(&self) -> TimeNs {
        if self.ttl_ms == 0 {
            return TimeNs(0);
        }
        let ms = self.timestamp_ms.saturating_add(i64::from(self.ttl_ms)).max(0).unsigned_abs();
        TimeNs(ms.saturating_mul(1_000_000).max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample<'a>(custom: Custom<'a>) -> Metadata<'a> {
        Metadata {
            message_id: "order-1",
            timestamp_ms: 1_700_000_000_123,
            source: "desk-7",
            correlation_id: "ß",
            retry_count: 2,
            priority: Priority::High,
            ttl_ms: 500,
            custom,
        }
    }

    fn bytes(metadata: &Metadata<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        metadata.encode(&mut out).expect("within the limits");
        out
    }

    #[test]
    fn metadata_reads_back_what_it_wrote_with_none_one_and_many_pairs() {
        let many: Vec<(String, String)> =
            (0..CUSTOM_PAIRS_MAX).map(|i| (format!("k{i}"), "v".repeat(i))).collect();
        let many: Vec<(&str, &str)> = many.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        for pairs in [&[][..], &[("a", "b")], &many] {
            let mut buffer = Vec::new();
            let custom = Custom::build(pairs, &mut buffer).expect("a good map");
            let metadata = sample(custom);
            let segment = bytes(&metadata);
            let back = Metadata::parse(&segment).expect("what we wrote");
            assert_eq!(back, metadata);
            let mut sorted = pairs.to_vec();
            sorted.sort_unstable();
            assert_eq!(back.custom.iter().collect::<Vec<_>>(), sorted);
            assert_eq!(back.custom.count(), pairs.len());
        }
    }

    #[test]
    fn message_id_and_source_stand_where_their_ranges_say() {
        let metadata = sample(Custom::default());
        let segment = bytes(&metadata);
        assert_eq!(&segment[metadata.message_id_range()], b"order-1");
        assert_eq!(&segment[metadata.source_range()], b"desk-7");
    }

    #[test]
    fn every_cut_of_the_metadata_is_refused() {
        let mut buffer = Vec::new();
        let custom = Custom::build(&[("a", "1"), ("b", "2")], &mut buffer).expect("a good map");
        let segment = bytes(&sample(custom));
        for cut in 0..segment.len() {
            assert!(Metadata::parse(&segment[..cut]).is_err(), "{cut} bytes");
        }
        let mut longer = segment;
        longer.push(0);
        assert_eq!(Metadata::parse(&longer), Err(MetadataError::Trailing(1).into()));
    }

    #[test]
    fn invalid_utf_8_is_refused_by_field() {
        let mut segment = bytes(&sample(Custom::default()));
        segment[2] = 0xFF;
        assert_eq!(Metadata::parse(&segment), Err(MetadataError::Utf8("message id").into()));
    }

    #[test]
    fn strings_beyond_their_limit_are_refused_both_ways() {
        let long = "x".repeat(65);
        let metadata = Metadata::new(&long, 0, Priority::Normal);
        let error = MetadataError::TooLong { field: "message id", length: 65, max: 64 };
        assert_eq!(metadata.encode(&mut Vec::new()), Err(error));
        let mut segment = bytes(&Metadata::new("x", 0, Priority::Normal));
        segment[1] = 65;
        assert_eq!(Metadata::parse(&segment), Err(error.into()));
        let empty = Metadata::new("", 0, Priority::Normal);
        assert_eq!(empty.encode(&mut Vec::new()), Err(MetadataError::NoMessageId));
    }

    #[test]
    fn a_map_with_65535_pairs_or_unsorted_keys_is_refused() {
        let mut segment = bytes(&sample(Custom::default()));
        let at = segment.len() - 2;
        segment[at..].fill(0xFF);
        assert_eq!(Metadata::parse(&segment), Err(MetadataError::Pairs(65535).into()));
        let mut buffer = Vec::new();
        let twice = Custom::build(&[("a", "1"), ("a", "2")], &mut buffer);
        assert_eq!(twice, Err(MetadataError::KeyOrder));
        assert_eq!(Custom::parse(2, b"\0\x01b\0\0\0\x01a\0\0"), Err(MetadataError::KeyOrder));
    }

    #[test]
    fn a_priority_above_four_is_bad() {
        let mut segment = bytes(&sample(Custom::default()));
        let at = segment.len() - 7;
        assert_eq!(segment[at], Priority::High as u8);
        segment[at] = 5;
        assert_eq!(Metadata::parse(&segment), Err(WireError::BadPriority(5)));
    }

    #[test]
    fn a_ttl_of_zero_never_expires_and_all_others_end_at_a_time() {
        let mut metadata = Metadata::new("x", 1000, Priority::Normal);
        assert_eq!(metadata.expires(), TimeNs(0));
        metadata.ttl_ms = 500;
        assert_eq!(metadata.expires(), TimeNs(1_500_000_000));
        metadata.timestamp_ms = i64::MIN;
        assert_eq!(metadata.expires(), TimeNs(1));
        metadata.timestamp_ms = i64::MAX;
        assert_eq!(metadata.expires(), TimeNs(u64::MAX));
    }
}
