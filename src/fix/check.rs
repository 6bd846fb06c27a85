//! What the dictionary says of a message: the first thing that is wrong with it, in one pass over its
//! fields, and how deep in groups each field is.

use super::dictionary::{self, Flow, Found, Group, Layout, Mask, Message};
use super::fields::{FREE, Parsed};
use super::source::TAG_END;
use super::value::{self, Kind};
use super::{Version, tag};

/// Groups within groups; those of the dictionary are at most three deep.
const DEPTH_MAX: usize = 6;

/// What is taken beyond the dictionary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Tags that counterparties agree on between themselves (5000 to 9999, and from 20000 on) are passed
    /// over, wherever they stand and however often. Otherwise they are refused with reason 0.
    pub user_defined_tags: bool,
    /// Tags that the version or the message does not have are passed over as well.
    pub unknown_tags: bool,
    /// Values that an enumeration does not list are taken.
    pub unlisted_values: bool,
}

impl Policy {
    /// All that the dictionary says holds, and own tags are passed over.
    pub const DEFAULT: Policy =
        Policy { user_defined_tags: true, unknown_tags: false, unlisted_values: false };
}

impl Default for Policy {
    fn default() -> Policy {
        Policy::DEFAULT
    }
}

/// A message that the dictionary allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accepted {
    /// A message that is taken.
    Message(&'static Message),
    /// The version has such a message and this program does not take it; only its header was looked at.
    Unsupported,
}

/// Why the session layer refuses a message: what its Reject (3) says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// SessionRejectReason (373), as FIX 4.4 numbers them.
    pub reason: u8,
    /// RefTagID (371), where there is one.
    pub tag: Option<i32>,
}

impl Refusal {
    /// The tag has no meaning.
    pub const UNKNOWN_TAG: u8 = 0;
    /// A tag that must be there is not.
    pub const MISSING: u8 = 1;
    /// The tag belongs to other messages.
    pub const NOT_IN_MESSAGE: u8 = 2;
    /// The tag has no value.
    pub const EMPTY: u8 = 4;
    /// The value is not one of those listed.
    pub const VALUE: u8 = 5;
    /// The value has not the form of its type.
    pub const FORMAT: u8 = 6;
    /// The version has no such message.
    pub const MSG_TYPE: u8 = 11;
    /// The tag is there twice.
    pub const TWICE: u8 = 13;
    /// A tag of the header behind it, or of the body behind the trailer.
    pub const ORDER: u8 = 14;
    /// A group's entry does not begin with its first field.
    pub const GROUP_ORDER: u8 = 15;
    /// A group has not as many entries as its count says.
    pub const GROUP_COUNT: u8 = 16;
    /// Something else: more fields than are taken.
    pub const OTHER: u8 = 99;

    #[cold]
    pub(super) fn new(reason: u8, tag: Option<u32>) -> Refusal {
        Refusal { reason, tag: tag.map(u32::cast_signed) }
    }

    /// Text (58) of the Reject.
    #[must_use]
    pub const fn text(&self) -> &'static str {
        match self.reason {
            Refusal::UNKNOWN_TAG => "Invalid tag number",
            Refusal::MISSING => "Required tag missing",
            Refusal::NOT_IN_MESSAGE => "Tag not defined for this message type",
            Refusal::EMPTY => "Tag specified without a value",
            Refusal::VALUE => "Value is incorrect (out of range) for this tag",
            Refusal::FORMAT => "Incorrect data format for value",
            Refusal::MSG_TYPE => "Invalid MsgType",
            Refusal::TWICE => "Tag appears more than once",
            Refusal::ORDER => "Tag specified out of required order",
            Refusal::GROUP_ORDER => "Repeating group fields out of order",
            Refusal::GROUP_COUNT => "Incorrect NumInGroup count for repeating group",
            _ => "Too many fields",
        }
    }
}

/// A group that is being read.
#[derive(Clone, Copy)]
struct Open {
    group: &'static Group,
    /// What the count said, and entries so far.
    expected: u64,
    found: u64,
    /// Members of the entry so far.
    seen: Mask,
}

impl Open {
    /// An entry is over: has it all that it must have?
    fn close_entry(&self) -> Result<(), Refusal> {
        match self.group.required.first_beyond(&self.seen) {
            Some(missing) if self.found > 0 => {
                Err(Refusal::new(Refusal::MISSING, Some(self.group.tag(missing))))
            }
            _ => Ok(()),
        }
    }

    /// The group is over: has it as many entries as its count said?
    fn close(&self) -> Result<(), Refusal> {
        self.close_entry()?;
        if self.found == self.expected {
            return Ok(());
        }
        Err(Refusal::new(Refusal::GROUP_COUNT, Some(u32::from(self.group.count))))
    }
}

/// The part of a message in which a field stands.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Header,
    Body,
    Trailer,
}

struct Check {
    version: Version,
    policy: Policy,
    layouts: [&'static Layout; 3],
    part: Part,
    /// Tags of the message outside groups.
    seen: [u64; TAG_END / 64],
    open: [Option<Open>; DEPTH_MAX],
    depth: usize,
}

/// The layout of a message whose body nobody looks at.
enum Body {
    Known(&'static Message, &'static Layout),
    Unsupported,
}

impl Parsed<'_> {
    /// Holds the message of a client to the dictionary of a version. The first fault in its order is
    /// told; what is missing is told where nothing else is wrong. What only the exchange sends is not
    /// taken.
    ///
    /// # Errors
    /// [`Refusal`]: a Reject is due, and the message's number is used up.
    #[inline]
    pub fn check(&mut self, version: Version, policy: &Policy) -> Result<Accepted, Refusal> {
        self.check_that(version, policy, |flow| flow != Flow::Out)
    }

    /// As [`Parsed::check`], for messages of either side: what the exchange sends is held to the
    /// dictionary as well.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn check_either(&mut self, version: Version, policy: &Policy) -> Result<Accepted, Refusal> {
        self.check_that(version, policy, |_| true)
    }

    #[inline]
    fn check_that(
        &mut self,
        version: Version,
        policy: &Policy,
        is_taken: impl FnOnce(Flow) -> bool,
    ) -> Result<Accepted, Refusal> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        // 35 is the third field, or there would be nothing parsed.
        let msg_type = self.fields.entry(2).value(self.bytes);
        let body = match dictionary::find(version, msg_type) {
            Found::Message(message) if is_taken(message.flow) => {
                let layout = message.layout(version).expect("it was found in this version");
                Body::Known(message, layout)
            }
            Found::Message(_) | Found::Other => Body::Unsupported,
            Found::Unknown if msg_type.is_empty() => {
                return Err(Refusal::new(Refusal::EMPTY, Some(tag::MSG_TYPE)));
            }
            Found::Unknown => return Err(Refusal::new(Refusal::MSG_TYPE, None)),
        };
        let (header, trailer) = (dictionary::header(version), dictionary::trailer(version));
        let layout = match body {
            Body::Known(_, layout) => layout,
            // Nothing of it is looked at.
            Body::Unsupported => header,
        };
        let mut check = Check {
            version,
            policy: *policy,
            layouts: [header, layout, trailer],
            part: Part::Header,
            seen: [0; TAG_END / 64],
            open: [None; DEPTH_MAX],
            depth: 0,
        };
        for index in 0..self.fields.count() {
            let entry = self.fields.entry(index);
            let is_beyond = || !header.has(entry.tag) && !check.is_open(entry.tag);
            if matches!(body, Body::Unsupported) && is_beyond() {
                break;
            }
            let before = index.checked_sub(1).map_or(0, |before| self.fields.entry(before).tag);
            let depth = check.field(entry.tag, before, entry.value(self.bytes))?;
            self.fields.entries()[index].depth = depth;
        }
        check.close_groups()?;
        check.required(header)?;
        match body {
            Body::Known(message, layout) => {
                check.required(layout)?;
                Ok(Accepted::Message(message))
            }
            Body::Unsupported => Ok(Accepted::Unsupported),
        }
    }
}

impl Check {
    /// Looks at the next field and tells its depth.
    #[inline]
    fn field(&mut self, tag: u32, before: u32, value: &[u8]) -> Result<u8, Refusal> {
        let fail = |reason| Err(Refusal::new(reason, Some(tag)));
        if value.is_empty() {
            return fail(Refusal::EMPTY);
        }
        let Some(spec) = dictionary::spec(self.version, tag) else {
            if dictionary::is_user_defined(tag) {
                let passes = self.policy.user_defined_tags || self.policy.unknown_tags;
                return if passes { Ok(FREE) } else { fail(Refusal::UNKNOWN_TAG) };
            }
            if self.policy.unknown_tags {
                return Ok(FREE);
            }
            let is_defined = dictionary::is_defined(self.version, tag);
            return fail(if is_defined { Refusal::NOT_IN_MESSAGE } else { Refusal::UNKNOWN_TAG });
        };
        if !spec.kind.accepts(value) {
            return fail(Refusal::FORMAT);
        }
        if !spec.lists(value) && !self.policy.unlisted_values {
            return fail(Refusal::VALUE);
        }
        if matches!(spec.kind, Kind::Data | Kind::XmlData)
            && dictionary::length_tag(tag).is_some_and(|length| length != before)
        {
            return Err(Refusal::new(Refusal::MISSING, dictionary::length_tag(tag)));
        }
        if self.depth > 0 && self.in_group(tag)? {
            let depth = self.depth as u8;
            if spec.kind == Kind::NumInGroup {
                let group = self.open[self.depth - 1].and_then(|open| open.group.group(tag));
                self.begin_group(group, value)?;
            }
            return Ok(depth);
        }
        if !self.place(tag)? {
            return if self.policy.unknown_tags { Ok(FREE) } else { fail(Refusal::NOT_IN_MESSAGE) };
        }
        let (word, bit) = (tag as usize / 64, 1u64 << (tag % 64));
        if self.seen[word] & bit != 0 {
            return fail(Refusal::TWICE);
        }
        self.seen[word] |= bit;
        if spec.kind == Kind::NumInGroup {
            self.begin_group(self.layouts[self.part as usize].group(tag), value)?;
        }
        Ok(0)
    }

    /// Moves on to the part that the tag belongs to: false where it belongs to none.
    #[inline]
    fn place(&mut self, tag: u32) -> Result<bool, Refusal> {
        if self.layouts[self.part as usize].has(tag) {
            return Ok(true);
        }
        let parts = [Part::Header, Part::Body, Part::Trailer];
        let Some(part) = parts.into_iter().find(|part| self.layouts[*part as usize].has(tag))
        else {
            return Ok(false);
        };
        if part < self.part {
            return Err(Refusal::new(Refusal::ORDER, Some(tag)));
        }
        self.part = part;
        Ok(true)
    }

    /// True where the field belongs to an entry of the groups that are open; groups that it does not
    /// belong to end.
    fn in_group(&mut self, tag: u32) -> Result<bool, Refusal> {
        while let Some(open) = self.depth.checked_sub(1).and_then(|top| self.open[top].as_mut()) {
            if tag == u32::from(open.group.first) {
                open.close_entry()?;
                open.found += 1;
                let member = open.group.member(tag).expect("the first field is a member");
                open.seen = Mask::NONE;
                open.seen.add(member);
                if open.found > open.expected {
                    let count = u32::from(open.group.count);
                    return Err(Refusal::new(Refusal::GROUP_COUNT, Some(count)));
                }
                return Ok(true);
            }
            if let Some(member) = open.group.member(tag) {
                if open.found == 0 {
                    return Err(Refusal::new(Refusal::GROUP_ORDER, Some(tag)));
                }
                if open.seen.add(member) {
                    return Ok(true);
                }
                // What is there already and belongs to what is around as well is one of those.
                if !self.is_around(tag) {
                    return Err(Refusal::new(Refusal::TWICE, Some(tag)));
                }
            }
            open_close(self.open[self.depth - 1])?;
            self.depth -= 1;
        }
        Ok(false)
    }

    /// True where a tag belongs to a group that is open.
    fn is_open(&self, tag: u32) -> bool {
        self.open[..self.depth].iter().flatten().any(|open| open.group.member(tag).is_some())
    }

    /// True where a tag belongs to what is around the innermost group.
    fn is_around(&self, tag: u32) -> bool {
        match self.depth.checked_sub(2).and_then(|outer| self.open[outer]) {
            Some(outer) => outer.group.member(tag).is_some(),
            None => self.layouts[self.part as usize].has(tag),
        }
    }

    /// A count was read: its entries follow. One of zero has none.
    fn begin_group(&mut self, group: Option<&'static Group>, value: &[u8]) -> Result<(), Refusal> {
        let (Some(group), Some(expected)) = (group, value::uint(value)) else { return Ok(()) };
        if expected == 0 {
            return Ok(());
        }
        let count = u32::from(group.count);
        let place = self.open.get_mut(self.depth);
        let place = place.ok_or_else(|| Refusal::new(Refusal::GROUP_COUNT, Some(count)))?;
        *place = Some(Open { group, expected, found: 0, seen: Mask::NONE });
        self.depth += 1;
        Ok(())
    }

    fn close_groups(&mut self) -> Result<(), Refusal> {
        self.open[..self.depth].iter().rev().try_for_each(|open| open_close(*open))
    }

    #[inline]
    fn required(&self, layout: &Layout) -> Result<(), Refusal> {
        for tag in layout.required {
            if self.seen[usize::from(*tag) / 64] >> (tag % 64) & 1 == 0 {
                return Err(Refusal::new(Refusal::MISSING, Some(u32::from(*tag))));
            }
        }
        Ok(())
    }
}

fn open_close(open: Option<Open>) -> Result<(), Refusal> {
    open.map_or(Ok(()), |open| open.close())
}
