//! The fields of a message where they stand: tag, begin and end of each, in a table that is used again for
//! the next message.
//!
//! Invariants:
//! - A value is never copied; a view borrows the message and the table.
//! - The first field with a tag below 2,048 is found by one load.
//! - After [`Parsed::check`] each field knows how deep in groups it is, so that groups can be walked
//!   without the dictionary, and a field of an entry is never taken for one of the message.

use super::check::Refusal;
use super::source::TAG_END;
use super::value::{self, Timestamp};
use super::{SOH, dictionary, tag};
use crate::decimal::{Decimal, DecimalError};
use memchr::memchr;

/// Digits of the longest tag.
const TAG_DIGITS_MAX: usize = 9;
/// Depth of fields that belong to the message wherever they stand: those of counterparties' own.
pub(super) const FREE: u8 = u8::MAX;

/// Where a field stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) tag: u32,
    start: u32,
    end: u32,
    /// Groups around it.
    pub(super) depth: u8,
}

impl Entry {
    #[inline]
    pub(super) fn value<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        &bytes[self.start as usize..self.end as usize]
    }
}

/// Why bytes have no fields: no answer is due for them, and no number is used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Garbled {
    /// A tag is no number.
    Tag {
        /// Where, in bytes from the begin.
        at: usize,
    },
    /// No separator ends the last field.
    NoSeparator {
        /// Where the field begins.
        at: usize,
    },
    /// BeginString, BodyLength and MsgType are not the first three fields, or CheckSum is not the last.
    Order,
}

impl std::fmt::Display for Garbled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Garbled::Tag { at } => write!(f, "what stands at byte {at} is no tag"),
            Garbled::NoSeparator { at } => write!(f, "the field at byte {at} has no end"),
            Garbled::Order => f.write_str("8, 9 and 35 are not first, or 10 is not last"),
        }
    }
}

/// The table of a message's fields.
#[derive(Debug)]
pub struct Fields {
    entries: Vec<Entry>,
    /// Place of the first field of each tag, from 1; 0 where there is none.
    first: Box<[u16; TAG_END]>,
    max: u16,
}

impl Fields {
    /// Fields of the longest message where nothing else was asked for.
    pub const DEFAULT_MAX: u16 = 4096;

    /// A table for messages of at most `max` fields.
    #[must_use]
    pub fn new(max: u16) -> Fields {
        let entries = Vec::with_capacity(usize::from(max.min(64)));
        Fields { entries, first: Box::new([0; TAG_END]), max }
    }

    /// Finds the fields of a whole message.
    ///
    /// # Errors
    /// [`Garbled`]: it is no message, and gets no answer.
    #[inline]
    pub fn parse<'a>(&'a mut self, bytes: &'a [u8]) -> Result<Parsed<'a>, Garbled> {
        for entry in &self.entries {
            if let Some(first) = self.first.get_mut(entry.tag as usize) {
                *first = 0;
            }
        }
        self.entries.clear();
        let fault = self.read(bytes)?;
        let [begin, length, msg_type, .., last] = &self.entries[..] else {
            return Err(Garbled::Order);
        };
        let head = [begin.tag, length.tag, msg_type.tag];
        // What stands behind a fault is not known, the CheckSum neither.
        let ends = last.tag == tag::CHECK_SUM || fault.is_some();
        if head != [tag::BEGIN_STRING, tag::BODY_LENGTH, tag::MSG_TYPE] || !ends {
            return Err(Garbled::Order);
        }
        Ok(Parsed { bytes, fields: self, fault })
    }

    /// Reads fields up to the end, or up to what has no answerable meaning.
    #[inline]
    fn read(&mut self, bytes: &[u8]) -> Result<Option<Refusal>, Garbled> {
        // Places are 32 bits; whoever frames has smaller bounds.
        let bytes = &bytes[..bytes.len().min(u32::MAX as usize)];
        let mut at = 0;
        while at < bytes.len() {
            let (tag, start) = read_tag(bytes, at).ok_or(Garbled::Tag { at })?;
            let end = match self.length_of(bytes, tag) {
                None => find_separator(bytes, start),
                Some(Ok(size)) if bytes.get(start.saturating_add(size)) == Some(&SOH) => {
                    Some(start + size)
                }
                // The length is wrong, so nobody knows where the next field begins.
                Some(_) => {
                    let length = dictionary::length_tag(tag).expect("it has one");
                    return Ok(Some(Refusal::new(Refusal::VALUE, Some(length))));
                }
            };
            let end = end.ok_or(Garbled::NoSeparator { at })?;
            if self.entries.len() == usize::from(self.max) {
                return Ok(Some(Refusal::new(Refusal::OTHER, None)));
            }
            self.entries.push(Entry { tag, start: start as u32, end: end as u32, depth: 0 });
            if let Some(first) = self.first.get_mut(tag as usize)
                && *first == 0
            {
                *first = self.entries.len() as u16;
            }
            at = end + 1;
        }
        Ok(None)
    }

    /// The size of a data field, if the field before it tells one: `Err` where that is no number.
    #[inline]
    fn length_of(&self, bytes: &[u8], tag: u32) -> Option<Result<usize, ()>> {
        let length = dictionary::length_tag(tag)?;
        let before = self.entries.last().filter(|entry| entry.tag == length)?;
        let size = value::uint(before.value(bytes)).and_then(|size| usize::try_from(size).ok());
        Some(size.ok_or(()))
    }

    pub(super) fn entries(&mut self) -> &mut [Entry] {
        &mut self.entries
    }

    pub(super) fn count(&self) -> usize {
        self.entries.len()
    }

    #[inline]
    pub(super) fn entry(&self, index: usize) -> Entry {
        self.entries[index]
    }

    fn view<'a>(&'a self, bytes: &'a [u8]) -> View<'a> {
        View { bytes, entries: &self.entries, first: Some(&self.first), depth: 0 }
    }
}

impl Default for Fields {
    fn default() -> Fields {
        Fields::new(Fields::DEFAULT_MAX)
    }
}

/// A one in every byte, to fill eight bytes with one.
const ONES: u64 = 0x0101_0101_0101_0101;
/// The top bit of every byte.
const TOPS: u64 = 0x8080_8080_8080_8080;

/// The place of the first of eight bytes that is this one.
#[inline]
fn first_of_eight(word: u64, byte: u8) -> Option<usize> {
    let differs = word ^ (ONES * u64::from(byte));
    // Borrows make false hits behind a true one only.
    let hits = differs.wrapping_sub(ONES) & !differs & TOPS;
    (hits != 0).then(|| hits.trailing_zeros() as usize / 8)
}

/// The first separator from here on. Most values are short: their first bytes are looked at eight at a
/// time, and only then the library is called.
#[inline]
fn find_separator(bytes: &[u8], start: usize) -> Option<usize> {
    let mut at = start;
    while at < start + 32 {
        let Some(eight) = bytes.get(at..).and_then(<[u8]>::first_chunk) else { break };
        if let Some(place) = first_of_eight(u64::from_le_bytes(*eight), SOH) {
            return Some(at + place);
        }
        at += 8;
    }
    memchr(SOH, bytes.get(at..)?).map(|place| at + place)
}

/// Tag and place behind the equals sign. A negative number is a tag too, though no known one.
#[inline]
fn read_tag(bytes: &[u8], at: usize) -> Option<(u32, usize)> {
    let mut number = 0u32;
    let negative = bytes[at] == b'-';
    let begin = at + usize::from(negative);
    let digits = &bytes[begin..bytes.len().min(begin + TAG_DIGITS_MAX + 1)];
    for (index, byte) in digits.iter().enumerate() {
        let digit = byte.wrapping_sub(b'0');
        if digit < 10 && index < TAG_DIGITS_MAX {
            number = number * 10 + u32::from(digit);
            continue;
        }
        // No digit at all, or a zero in front of others.
        let malformed = index == 0 || (digits[0] == b'0' && index > 1);
        if *byte != b'=' || malformed {
            return None;
        }
        let tag = if negative { number.wrapping_neg() } else { number };
        return Some((tag, begin + index + 1));
    }
    None
}

/// A message whose fields are found.
#[derive(Debug)]
pub struct Parsed<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) fields: &'a mut Fields,
    /// What kept the reading from the end.
    pub(super) fault: Option<Refusal>,
}

impl Parsed<'_> {
    /// Its fields. Groups are there after [`Parsed::check`].
    #[must_use]
    pub fn view(&self) -> View<'_> {
        self.fields.view(self.bytes)
    }
}

impl<'a> Parsed<'a> {
    /// Its fields, for as long as message and table are borrowed.
    #[must_use]
    pub fn into_view(self) -> View<'a> {
        let Parsed { bytes, fields, .. } = self;
        fields.view(bytes)
    }
}

/// A field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    /// Its tag.
    pub tag: u32,
    /// Its value.
    pub value: &'a [u8],
}

/// A value that has not the form that was asked for. After a check against the dictionary that happens
/// only where a number is too large.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FieldError {
    /// The field's tag.
    pub tag: u32,
}

impl std::fmt::Display for FieldError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "field {} has a value of another form", self.tag)
    }
}

impl std::error::Error for FieldError {}

/// The fields of a message, or of one entry of a group.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    bytes: &'a [u8],
    entries: &'a [Entry],
    /// The table of first places, for a whole message.
    first: Option<&'a [u16; TAG_END]>,
    depth: u8,
}

impl<'a> View<'a> {
    /// MsgType (35) of a message.
    #[must_use]
    pub fn msg_type(&self) -> &'a [u8] {
        self.get(tag::MSG_TYPE).unwrap_or_default()
    }

    /// The first value of a tag, without looking into groups.
    #[inline]
    #[must_use]
    pub fn get(&self, tag: u32) -> Option<&'a [u8]> {
        let index = self.find(tag)?;
        Some(self.entries[index].value(self.bytes))
    }

    #[inline]
    fn find(&self, tag: u32) -> Option<usize> {
        let from = match self.first {
            Some(first) if (tag as usize) < TAG_END => {
                let index = usize::from(first[tag as usize]).checked_sub(1)?;
                if self.is_own(&self.entries[index]) {
                    return Some(index);
                }
                index + 1
            }
            _ => 0,
        };
        let is_it = |entry: &Entry| entry.tag == tag && self.is_own(entry);
        Some(from + self.entries[from..].iter().position(is_it)?)
    }

    #[inline]
    fn is_own(&self, entry: &Entry) -> bool {
        entry.depth == self.depth || (entry.depth == FREE && self.depth == 0)
    }

    #[inline]
    fn read<T>(
        &self,
        tag: u32,
        read: impl FnOnce(&'a [u8]) -> Option<T>,
    ) -> Result<Option<T>, FieldError> {
        match self.get(tag) {
            None => Ok(None),
            Some(value) => read(value).map(Some).ok_or(FieldError { tag }),
        }
    }

    /// A whole number.
    ///
    /// # Errors
    /// [`FieldError`].
    #[inline]
    pub fn int(&self, tag: u32) -> Result<Option<i64>, FieldError> {
        self.read(tag, value::int)
    }

    /// A whole number without a sign.
    ///
    /// # Errors
    /// [`FieldError`].
    #[inline]
    pub fn uint(&self, tag: u32) -> Result<Option<u64>, FieldError> {
        self.read(tag, value::uint)
    }

    /// One character.
    ///
    /// # Errors
    /// [`FieldError`].
    #[inline]
    pub fn char(&self, tag: u32) -> Result<Option<u8>, FieldError> {
        self.read(tag, |value| if let [byte] = value { Some(*byte) } else { None })
    }

    /// `Y` or `N`.
    ///
    /// # Errors
    /// [`FieldError`].
    #[inline]
    pub fn boolean(&self, tag: u32) -> Result<Option<bool>, FieldError> {
        self.read(tag, value::boolean)
    }

    /// True where the field is there and says `Y`.
    #[inline]
    #[must_use]
    pub fn is_yes(&self, tag: u32) -> bool {
        self.get(tag) == Some(b"Y")
    }

    /// A decimal number as it stands.
    ///
    /// # Errors
    /// [`FieldError`].
    #[inline]
    pub fn decimal(&self, tag: u32) -> Result<Option<Decimal>, FieldError> {
        self.read(tag, |value| value::decimal(value).ok())
    }

    /// A decimal number in whole steps (ticks, lots) of `step_units` of 10^-scale each.
    ///
    /// # Errors
    /// [`DecimalError`].
    #[inline]
    pub fn steps(&self, tag: u32, scale: u8, step_units: i64) -> Result<Option<i64>, DecimalError> {
        self.get(tag).map(|value| value::steps(value, scale, step_units)).transpose()
    }

    /// An instant.
    ///
    /// # Errors
    /// [`FieldError`].
    #[inline]
    pub fn timestamp(&self, tag: u32) -> Result<Option<Timestamp>, FieldError> {
        self.read(tag, value::timestamp)
    }

    /// A text in UTF-8.
    ///
    /// # Errors
    /// [`FieldError`].
    #[inline]
    pub fn text(&self, tag: u32) -> Result<Option<&'a str>, FieldError> {
        self.read(tag, |value| std::str::from_utf8(value).ok())
    }

    /// The entries of the group that this tag counts; none where the group is not there.
    #[inline]
    #[must_use]
    pub fn group(&self, count: u32) -> Group<'a> {
        let rest = self.find(count).map_or(&[][..], |index| &self.entries[index + 1..]);
        let depth = self.depth + 1;
        let inside = |entry: &&Entry| entry.depth >= depth;
        let size = rest.iter().take_while(inside).count();
        Group { bytes: self.bytes, entries: &rest[..size], depth }
    }

    /// All fields in their order, those of groups among them.
    pub fn iter(&self) -> impl Iterator<Item = Field<'a>> {
        let View { bytes, entries, .. } = *self;
        entries.iter().map(move |entry| Field { tag: entry.tag, value: entry.value(bytes) })
    }
}

/// The entries of a repeating group, one view each.
#[derive(Clone, Copy, Debug)]
pub struct Group<'a> {
    bytes: &'a [u8],
    entries: &'a [Entry],
    depth: u8,
}

impl<'a> Iterator for Group<'a> {
    type Item = View<'a>;

    #[inline]
    fn next(&mut self) -> Option<View<'a>> {
        // Counterparties' own fields may stand before the first entry.
        let begin = self.entries.iter().position(|entry| entry.depth == self.depth)?;
        let first = self.entries[begin].tag;
        let begins = |entry: &Entry| entry.depth == self.depth && entry.tag == first;
        let behind = &self.entries[begin + 1..];
        let size = 1 + behind.iter().position(begins).unwrap_or(behind.len());
        let (entry, rest) = self.entries[begin..].split_at(size);
        self.entries = rest;
        Some(View { bytes: self.bytes, entries: entry, first: None, depth: self.depth })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_numbers_of_one_to_nine_digits() {
        for (text, expected) in [
            ("1137=9|10=", Some((1137, 5))),
            ("0=", Some((0, 2))),
            ("999999999=x", Some((999_999_999, 10))),
            ("-1=x", Some((u32::MAX, 3))),
            ("1000000000=x", None),
            ("01=x", None),
            ("00=x", None),
            ("1", None),
            ("=x", None),
            ("-=x", None),
            ("1:=x", None),
            ("1/=x", None),
        ] {
            assert_eq!(read_tag(text.as_bytes(), 0), expected, "{text:?}");
        }
        assert_eq!(read_tag(b"x|34=12345", 2), Some((34, 5)));
    }

    #[test]
    fn separators_are_found_at_every_distance() {
        for size in 0..100 {
            let mut bytes = vec![b'0'; 2];
            // The neighbours of a separator, which share most bits with it.
            bytes.extend((0..size).map(|index| [0, 2, 0x81, 0xFF][index % 4]));
            assert_eq!(find_separator(&bytes, 2), None);
            bytes.push(SOH);
            assert_eq!(find_separator(&bytes, 2), Some(2 + size));
            bytes.extend([SOH; 20]);
            assert_eq!(find_separator(&bytes, 2), Some(2 + size));
        }
    }
}
