//! Reads `dictionary.txt`: the one place in which the FIX dictionaries are written down.
//!
//! `build.rs` includes this file to make the codec's tables, and the crate to print dictionaries for
//! others; so it uses nothing but the standard library. An error says in which line it is.

use std::collections::HashMap;

/// Tags with tables of their own are below this.
pub(crate) const TAG_END: usize = 2048;
/// Versions there are, in the order of the columns.
pub(crate) const VERSION_COUNT: usize = 3;
/// The versions as the file writes them.
const VERSION_NAMES: [&str; VERSION_COUNT] = ["4.2", "4.4", "5.0"];

/// Whether a version has something, for each version.
pub(crate) type Versions = [bool; VERSION_COUNT];

/// Whether a field must be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Presence {
    /// The version does not have it here.
    Absent,
    /// It may be there.
    Optional,
    /// It must be there.
    Required,
}

/// A value of an enumeration.
#[derive(Clone, Debug)]
pub(crate) struct Value {
    /// As it stands in a message.
    pub code: String,
    /// What it means, in one word of capitalised parts.
    pub name: String,
    /// The versions that have it.
    pub versions: Versions,
}

/// A field.
#[derive(Clone, Debug)]
pub(crate) struct Field {
    /// Its tag.
    pub number: u16,
    /// Its name in the latest version that has it.
    pub name: String,
    /// The name of its type.
    pub kind: String,
    /// True where values that are not listed are taken too.
    pub open: bool,
    /// What older versions call it.
    pub aliases: Vec<(String, Versions)>,
    /// Its enumeration, empty where there is none.
    pub values: Vec<Value>,
}

impl Field {
    /// Its name in a version.
    pub(crate) fn name_in(&self, version: usize) -> &str {
        let alias = self.aliases.iter().find(|(_, versions)| versions[version]);
        alias.map_or(&self.name, |(name, _)| name)
    }
}

/// What stands in a message, a component or a group.
#[derive(Clone, Debug)]
pub(crate) enum What {
    /// A field, by its place in the list.
    Field(usize),
    /// A group: its count, by its place in the list of fields, and what an entry has.
    Group(usize, Vec<Member>),
    /// A component, by its place in the list.
    Component(usize),
}

/// One line of a message.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    /// What it is.
    pub what: What,
    /// Whether it must be there, for each version.
    pub presence: [Presence; VERSION_COUNT],
}

/// What several messages have in common.
#[derive(Clone, Debug)]
pub(crate) struct Component {
    /// Its name.
    pub name: String,
    /// What is in it.
    pub members: Vec<Member>,
}

/// A message.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    /// MsgType (35).
    pub msg_type: String,
    /// Its name.
    pub name: String,
    /// `session`, `in` or `out`.
    pub flow: String,
    /// The versions that have it.
    pub versions: Versions,
    /// Its body.
    pub members: Vec<Member>,
}

/// All that the file says.
#[derive(Clone, Debug, Default)]
pub(crate) struct Dictionary {
    /// By number.
    pub fields: Vec<Field>,
    /// The standard header.
    pub header: Vec<Member>,
    /// The standard trailer.
    pub trailer: Vec<Member>,
    /// In the file's order.
    pub components: Vec<Component>,
    /// In the file's order.
    pub messages: Vec<Message>,
    /// Types of messages that are known and not taken.
    pub others: Vec<(String, Versions)>,
    /// The highest tag that a version defines.
    pub numbers: [u16; VERSION_COUNT],
}

/// The names of types, in the order of `value::Kind`.
pub(crate) const KINDS: &[&str] = &[
    "Int",
    "SeqNum",
    "Length",
    "NumInGroup",
    "DayOfMonth",
    "Float",
    "Qty",
    "Price",
    "PriceOffset",
    "Amt",
    "Percentage",
    "Char",
    "Boolean",
    "String",
    "MultipleChar",
    "MultipleString",
    "Currency",
    "Country",
    "Exchange",
    "Language",
    "UtcTimestamp",
    "UtcTimeOnly",
    "UtcDateOnly",
    "LocalMktDate",
    "MonthYear",
    "TzTimeOnly",
    "TzTimestamp",
    "Data",
    "XmlData",
];

/// Longest value of an enumeration: values are compared as one number.
const CODE_MAX_BYTES: usize = 16;

/// Reads the file's text.
///
/// # Errors
/// The number of the line and what is wrong with it.
pub(crate) fn parse(text: &str) -> Result<Dictionary, String> {
    let mut reader = Reader::default();
    // Fields and components are named before they are defined.
    for (at, line) in lines(text) {
        reader.define(line).map_err(|cause| format!("line {at}: {cause}"))?;
    }
    reader.dictionary.fields.sort_by_key(|field| field.number);
    for (index, field) in reader.dictionary.fields.iter().enumerate() {
        if let Some(other) = reader.fields.insert(field.name.clone(), index) {
            let number = reader.dictionary.fields[other].number;
            return Err(format!("{} is field {number} and {}", field.name, field.number));
        }
    }
    for pair in reader.dictionary.fields.windows(2) {
        if pair[0].number == pair[1].number {
            let (one, other) = (&pair[0].name, &pair[1].name);
            return Err(format!("{one} and {other} are both field {}", pair[0].number));
        }
    }
    for (at, line) in lines(text) {
        reader.read(line).map_err(|cause| format!("line {at}: {cause}"))?;
    }
    reader.close().map_err(|cause| format!("at the end: {cause}"))?;
    Ok(reader.dictionary)
}

/// The lines that say something, with their numbers.
fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let numbered = text.lines().enumerate().map(|(index, line)| (index + 1, line.trim_end()));
    numbered.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
}

/// Where members go that are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    #[default]
    None,
    Field,
    Header,
    Trailer,
    Component(usize),
    Message,
}

#[derive(Default)]
struct Reader {
    dictionary: Dictionary,
    fields: HashMap<String, usize>,
    components: HashMap<String, usize>,
    place: Place,
    presence: Option<[Presence; VERSION_COUNT]>,
    /// Members of the block and of the groups that are open in it, innermost last.
    open: Vec<Vec<Member>>,
}

impl Reader {
    /// First reading: fields with their values, and the names of components.
    fn define(&mut self, line: &str) -> Result<(), String> {
        let mut words = line.split_whitespace();
        if line.starts_with(' ') {
            if self.place == Place::Field {
                let field = self.dictionary.fields.last_mut().expect("a field was begun");
                for word in words {
                    field.values.push(value(word)?);
                }
            }
            return Ok(());
        }
        self.place = Place::None;
        match words.next() {
            Some("field") => {
                self.place = Place::Field;
                let text = line.trim_start_matches("field ");
                for part in text.split(';') {
                    self.dictionary.fields.push(field(part.split_whitespace())?);
                }
            }
            Some("component") => {
                let name = words.next().ok_or("a component has a name")?.to_owned();
                let index = self.dictionary.components.len();
                if self.components.insert(name.clone(), index).is_some() {
                    return Err(format!("component {name} was there before"));
                }
                self.dictionary.components.push(Component { name, members: Vec::new() });
            }
            _ => {}
        }
        Ok(())
    }

    /// Second reading: what is in header, trailer, components and messages.
    fn read(&mut self, line: &str) -> Result<(), String> {
        let mut words = line.split_whitespace();
        if line.starts_with(' ') {
            if self.place != Place::Field {
                words.try_for_each(|word| self.member(word))?;
            }
            return Ok(());
        }
        self.close()?;
        let begin = words.next().expect("a line that is not empty has a word");
        self.place = match begin {
            "field" => Place::Field,
            "header" => Place::Header,
            "trailer" => Place::Trailer,
            "component" => {
                let name = words.next().ok_or("a component has a name")?;
                Place::Component(self.components[name])
            }
            "message" => {
                self.message(words)?;
                Place::Message
            }
            "other" => {
                let (types, versions): (Vec<&str>, Vec<&str>) =
                    words.partition(|word| !word.starts_with('@'));
                let versions = versions.first().and_then(|word| word.strip_prefix('@'));
                let versions = version_digits(versions.ok_or("@VERSIONS is missing")?)?;
                self.dictionary
                    .others
                    .extend(types.into_iter().map(|name| (name.to_owned(), versions)));
                Place::None
            }
            "numbers" => {
                let version = version_index(words.next().ok_or("a version is missing")?)?;
                self.dictionary.numbers[version] = number(words.next())?;
                Place::None
            }
            other => return Err(format!("{other} begins no block")),
        };
        if matches!(self.place, Place::None | Place::Field) {
            return Ok(());
        }
        self.open.push(Vec::new());
        Ok(())
    }

    fn message<'a>(&mut self, mut words: impl Iterator<Item = &'a str>) -> Result<(), String> {
        let mut next = |what| words.next().ok_or(format!("{what} is missing")).map(str::to_owned);
        let (msg_type, name, flow) = (next("the type")?, next("the name")?, next("the flow")?);
        if self.dictionary.messages.iter().any(|message| message.msg_type == msg_type) {
            return Err(format!("message {msg_type} was there before"));
        }
        if msg_type.len() > 2 {
            return Err(format!("{msg_type} is longer than the types of these versions"));
        }
        if !["session", "in", "out"].contains(&flow.as_str()) {
            return Err(format!("{flow} is not session, in or out"));
        }
        let mut versions = [false; VERSION_COUNT];
        for word in words {
            versions[version_index(word)?] = true;
        }
        let members = Vec::new();
        self.dictionary.messages.push(Message { msg_type, name, flow, versions, members });
        Ok(())
    }

    fn member(&mut self, word: &str) -> Result<(), String> {
        match word {
            "{" => {
                let block = self.open.last_mut().ok_or("a group stands in a block")?;
                let last = block.last_mut().ok_or("a group has a count before it")?;
                let What::Field(count) = last.what else {
                    return Err("a group's count is a field".to_owned());
                };
                if self.dictionary.fields[count].kind != "NumInGroup" {
                    return Err(format!("{} counts nothing", self.dictionary.fields[count].name));
                }
                last.what = What::Group(count, Vec::new());
                self.open.push(Vec::new());
                return Ok(());
            }
            "}" => {
                let inner = self.open.pop().ok_or("no group is open")?;
                let block = self.open.last_mut().ok_or("no group is open")?;
                let last = block.last_mut().ok_or("no group is open")?;
                let What::Group(_, members) = &mut last.what else {
                    return Err("no group is open".to_owned());
                };
                if inner.is_empty() {
                    return Err("a group has a field at least".to_owned());
                }
                *members = inner;
                // What stands behind a group begins with its own three letters.
                self.presence = None;
                return Ok(());
            }
            _ => {}
        }
        if let Some(presence) = presence(word) {
            self.presence = Some(presence);
            return Ok(());
        }
        let what = match word.strip_prefix('@') {
            Some(name) => {
                let index = self.components.get(name);
                What::Component(*index.ok_or(format!("there is no component {name}"))?)
            }
            None => {
                let index = self.fields.get(word);
                What::Field(*index.ok_or(format!("there is no field {word}"))?)
            }
        };
        let presence = self.presence.ok_or("three letters, one a version, come first")?;
        let block = self.open.last_mut().ok_or("it stands in no block")?;
        block.push(Member { what, presence });
        Ok(())
    }

    /// Puts what was read into the block that ends.
    fn close(&mut self) -> Result<(), String> {
        let place = std::mem::take(&mut self.place);
        self.presence = None;
        if matches!(place, Place::None | Place::Field) {
            return Ok(());
        }
        let members = self.open.pop().unwrap_or_default();
        if !self.open.is_empty() {
            return Err("the group before it is not closed".to_owned());
        }
        match place {
            Place::Header => self.dictionary.header = members,
            Place::Trailer => self.dictionary.trailer = members,
            Place::Component(index) => self.dictionary.components[index].members = members,
            _ => self.dictionary.messages.last_mut().expect("it was begun").members = members,
        }
        Ok(())
    }
}

fn number(word: Option<&str>) -> Result<u16, String> {
    let word = word.ok_or("a number is missing")?;
    let number: u16 = word.parse().map_err(|_| format!("{word} is no number"))?;
    if usize::from(number) >= TAG_END {
        return Err(format!("{number} is not below {TAG_END}"));
    }
    Ok(number)
}

fn field<'a>(mut words: impl Iterator<Item = &'a str>) -> Result<Field, String> {
    let number = number(words.next())?;
    let name = words.next().ok_or("the name is missing")?.to_owned();
    let kind = words.next().ok_or("the type is missing")?;
    let (kind, open) = kind.strip_suffix('+').map_or((kind, false), |kind| (kind, true));
    if !KINDS.contains(&kind) {
        return Err(format!("there is no type {kind}"));
    }
    let mut aliases = Vec::new();
    for word in words {
        let (alias, versions) = word.split_once('@').ok_or(format!("{word} has no @VERSIONS"))?;
        aliases.push((alias.to_owned(), version_digits(versions)?));
    }
    Ok(Field { number, name, kind: kind.to_owned(), open, aliases, values: Vec::new() })
}

fn value(word: &str) -> Result<Value, String> {
    let (code, name) = word.split_once('=').ok_or(format!("{word} is not VALUE=NAME"))?;
    let (name, versions) = match name.split_once('@') {
        Some((name, versions)) => (name, version_digits(versions)?),
        None => (name, [true; VERSION_COUNT]),
    };
    if code.is_empty() || code.len() > CODE_MAX_BYTES || !code.is_ascii() {
        return Err(format!("{code:?} is not 1 to {CODE_MAX_BYTES} bytes of ASCII"));
    }
    Ok(Value { code: code.to_owned(), name: name.to_owned(), versions })
}

/// Three letters, one a version.
fn presence(word: &str) -> Option<[Presence; VERSION_COUNT]> {
    let mut presence = [Presence::Absent; VERSION_COUNT];
    if word.len() != VERSION_COUNT {
        return None;
    }
    for (letter, presence) in word.bytes().zip(&mut presence) {
        *presence = match letter {
            b'r' => Presence::Required,
            b'o' => Presence::Optional,
            b'-' => Presence::Absent,
            _ => return None,
        };
    }
    Some(presence)
}

fn version_index(word: &str) -> Result<usize, String> {
    let index = VERSION_NAMES.iter().position(|name| *name == word);
    index.ok_or_else(|| format!("{word} is none of {}", VERSION_NAMES.join(", ")))
}

/// Versions by their digits: 2 for 4.2, 4 for 4.4, 5 for 5.0.
fn version_digits(digits: &str) -> Result<Versions, String> {
    let mut versions = [false; VERSION_COUNT];
    for digit in digits.chars() {
        let index = "245".find(digit).ok_or_else(|| format!("{digit} is no version"))?;
        versions[index] = true;
    }
    Ok(versions)
}
