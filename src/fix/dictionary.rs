//! What each version knows: fields, messages, groups, in tables that `build.rs` makes from
//! `dictionary.txt`; and the same as a dictionary that QuickFIX engines read.
//!
//! A tag's row is found by two loads, whether a message has a tag by one bit; nothing is searched but
//! the few groups of a message and the fields of a group.

use super::Version;
use super::source::{TAG_END, VERSION_COUNT};
use super::value::Kind;

pub use super::reference::reference;
pub use super::xml::{XmlFile, xml};

/// The text from which all tables come.
pub(super) const SOURCE: &str = include_str!("dictionary.txt");

/// Which way a message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// Both ways, below applications.
    Session,
    /// To the exchange.
    In,
    /// From the exchange.
    Out,
}

/// A message of an application or the session layer.
#[derive(Debug)]
pub struct Message {
    /// MsgType (35).
    pub msg_type: &'static str,
    /// Its name.
    pub name: &'static str,
    /// Which way it goes.
    pub flow: Flow,
    layouts: [Option<&'static Layout>; VERSION_COUNT],
}

impl PartialEq for Message {
    fn eq(&self, other: &Message) -> bool {
        self.msg_type == other.msg_type
    }
}

impl Eq for Message {}

impl Message {
    /// What its body has in a version.
    #[inline]
    pub(super) fn layout(&self, version: Version) -> Option<&'static Layout> {
        self.layouts[version as usize]
    }
}

/// What a header, a body or a trailer has.
#[derive(Debug)]
pub(super) struct Layout {
    /// A bit for every tag.
    bits: [u64; TAG_END / 64],
    /// Tags that must be there.
    pub(super) required: &'static [u16],
    /// By the tag of their count.
    groups: &'static [(u16, &'static Group)],
}

impl Layout {
    /// True where the tag belongs here.
    #[inline]
    pub(super) fn has(&self, tag: u32) -> bool {
        let word = self.bits.get(tag as usize / 64);
        word.is_some_and(|word| word >> (tag % 64) & 1 == 1)
    }

    /// The group that a tag counts here.
    #[inline]
    pub(super) fn group(&self, count: u32) -> Option<&'static Group> {
        find_group(self.groups, count)
    }
}

/// A repeating group.
#[derive(Debug)]
pub(super) struct Group {
    /// The tag of its count.
    pub(super) count: u16,
    /// The tag that begins each entry.
    pub(super) first: u16,
    /// All tags of an entry, ascending.
    members: &'static [u16],
    /// A bit for each member that must be there.
    pub(super) required: Mask,
    groups: &'static [(u16, &'static Group)],
}

impl Group {
    /// The place of a tag among the members.
    #[inline]
    pub(super) fn member(&self, tag: u32) -> Option<usize> {
        let tag = u16::try_from(tag).ok()?;
        self.members.binary_search(&tag).ok()
    }

    /// The tag of a member.
    pub(super) fn tag(&self, member: usize) -> u32 {
        u32::from(self.members[member])
    }

    /// The group that a tag counts within an entry.
    pub(super) fn group(&self, count: u32) -> Option<&'static Group> {
        find_group(self.groups, count)
    }
}

/// A bit for each member of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mask([u128; 2]);

impl Mask {
    /// No member.
    pub(super) const NONE: Mask = Mask([0; 2]);

    /// Adds a member; false where it was there.
    #[inline]
    pub(super) fn add(&mut self, member: usize) -> bool {
        let word = &mut self.0[member / 128];
        let before = *word;
        *word |= 1 << (member % 128);
        *word != before
    }

    /// The first member that is here and not there.
    #[inline]
    pub(super) fn first_beyond(&self, there: &Mask) -> Option<usize> {
        let beyond = [self.0[0] & !there.0[0], self.0[1] & !there.0[1]];
        let word = beyond.iter().position(|word| *word != 0)?;
        Some(word * 128 + beyond[word].trailing_zeros() as usize)
    }
}

fn find_group(groups: &'static [(u16, &'static Group)], count: u32) -> Option<&'static Group> {
    groups.iter().find(|(tag, _)| u32::from(*tag) == count).map(|(_, group)| *group)
}

/// What a version knows of a field.
#[derive(Debug)]
pub(super) struct Spec {
    /// The form of its values.
    pub(super) kind: Kind,
    /// True where some message of the version has it.
    pub(super) known: bool,
    /// True where only listed values are allowed.
    closed: bool,
    /// The listed values of one character, as bits.
    single: u128,
    /// The longer ones, as big-endian numbers, ascending.
    words: &'static [u128],
}

impl Spec {
    /// True where the value is listed, or any is allowed.
    #[inline]
    pub(super) fn lists(&self, value: &[u8]) -> bool {
        if !self.closed {
            return true;
        }
        match (self.kind, value) {
            (_, [byte]) => self.has_single(*byte),
            (Kind::MultipleChar | Kind::MultipleString, _) => {
                value.split(|byte| *byte == b' ').all(|one| self.has_word(one))
            }
            _ => self.has_word(value),
        }
    }

    #[inline]
    fn has_single(&self, byte: u8) -> bool {
        byte < 128 && self.single >> byte & 1 == 1
    }

    fn has_word(&self, value: &[u8]) -> bool {
        if let [byte] = value {
            return self.has_single(*byte);
        }
        if value.len() > size_of::<u128>() {
            return false;
        }
        let word = value.iter().fold(0, |sum, byte| sum << 8 | u128::from(*byte));
        self.words.binary_search(&word).is_ok()
    }
}

include!(concat!(env!("OUT_DIR"), "/fix_tables.rs"));

/// What a version's dictionary says of a MsgType.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// A message that is taken or sent.
    Message(&'static Message),
    /// The version has it, this program does not.
    Other,
    /// The version does not have it.
    Unknown,
}

/// Looks up a MsgType.
#[must_use]
pub fn find(version: Version, msg_type: &[u8]) -> Found {
    let key = match msg_type {
        [one] => u16::from(*one),
        [one, two] => u16::from_be_bytes([*one, *two]),
        _ => return Found::Unknown,
    };
    if let Ok(at) = MESSAGES.binary_search_by_key(&key, |(key, _)| *key) {
        let message = &MESSAGES[at].1;
        return if message.layout(version).is_some() {
            Found::Message(message)
        } else {
            Found::Unknown
        };
    }
    match OTHERS.binary_search_by_key(&key, |(key, _)| *key) {
        Ok(at) if OTHERS[at].1[version as usize] => Found::Other,
        _ => Found::Unknown,
    }
}

/// The messages of a version, by MsgType.
pub fn messages(version: Version) -> impl Iterator<Item = &'static Message> {
    MESSAGES.iter().map(|(_, message)| message).filter(move |it| it.layout(version).is_some())
}

/// The standard header of a version.
#[inline]
pub(super) fn header(version: Version) -> &'static Layout {
    HEADERS[version as usize]
}

/// The standard trailer of a version.
#[inline]
pub(super) fn trailer(version: Version) -> &'static Layout {
    TRAILERS[version as usize]
}

/// What a version knows of a tag.
#[inline]
pub(super) fn spec(version: Version, tag: u32) -> Option<&'static Spec> {
    let index = usize::from(*INDEX.get(tag as usize)?);
    let spec = &SPECS[version as usize][index.checked_sub(1)?];
    spec.known.then_some(spec)
}

/// True where the version's specification gives the tag a meaning, taken here or not.
pub(super) fn is_defined(version: Version, tag: u32) -> bool {
    (1..=NUMBERS[version as usize]).contains(&tag)
}

/// The tag that tells how long this data field is.
#[inline]
pub(super) fn length_tag(tag: u32) -> Option<u32> {
    let length = *LENGTHS.get(tag as usize)?;
    (length != 0).then_some(u32::from(length))
}

/// True for tags that counterparties may agree on between themselves.
#[inline]
#[must_use]
pub const fn is_user_defined(tag: u32) -> bool {
    matches!(tag, 5_000..=9_999 | 20_000..=0x7FFF_FFFF)
}
