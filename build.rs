//! Makes the tables of the FIX codec from `src/fix/dictionary.txt`: tag constants and, for each version,
//! what a field is and what a message has. Nothing else is generated.

use source::{Dictionary, Field, Member, Presence, TAG_END, VERSION_COUNT, Versions, What};
use std::collections::HashMap;
use std::fmt::Write;
use std::path::Path;

#[allow(dead_code, reason = "names and aliases are for those who print dictionaries")]
#[path = "src/fix/source.rs"]
mod source;

fn main() {
    let from = "src/fix/dictionary.txt";
    let text = std::fs::read_to_string(from).unwrap_or_else(|error| panic!("{from}: {error}"));
    let dictionary = source::parse(&text).unwrap_or_else(|error| panic!("{from}: {error}"));
    let to = std::env::var_os("OUT_DIR").expect("cargo names the directory");
    let tables = Tables::new(&dictionary);
    for (name, text) in [("fix_tags.rs", tags(&dictionary)), ("fix_tables.rs", tables.write())] {
        std::fs::write(Path::new(&to).join(name), text).expect("cargo's directory is writable");
    }
    #[allow(clippy::print_stdout, reason = "how a build script speaks to cargo")]
    for file in [from, "src/fix/source.rs", "build.rs"] {
        println!("cargo::rerun-if-changed={file}");
    }
}

/// `ClOrdID` as `CL_ORD_ID`, `MDReqID` as `MD_REQ_ID`.
fn constant(name: &str) -> String {
    let letters: Vec<char> = name.chars().collect();
    let mut constant = String::new();
    for (index, letter) in letters.iter().enumerate() {
        let before = index.checked_sub(1).map(|before| letters[before]);
        let behind = letters.get(index + 1);
        let begins = letter.is_uppercase()
            && before.is_some_and(|before| {
                !before.is_uppercase() || behind.is_some_and(|behind| behind.is_lowercase())
            });
        if begins {
            constant.push('_');
        }
        constant.push(letter.to_ascii_uppercase());
    }
    // "IDs" are one word.
    constant.replace("_I_DS", "_IDS")
}

fn tags(dictionary: &Dictionary) -> String {
    let mut text = String::new();
    for Field { number, name, kind, .. } in &dictionary.fields {
        let constant = constant(name);
        writeln!(text, "/// {name} ({number}), {kind}.\npub const {constant}: u32 = {number};")
            .expect("a String has room");
    }
    text
}

/// A table under way: definitions of layouts and groups, each once.
struct Tables<'a> {
    dictionary: &'a Dictionary,
    statics: String,
    names: HashMap<String, String>,
    /// Fields that a version uses.
    known: Vec<Versions>,
}

/// A field of a message, or a group, with components opened.
struct Flat<'a> {
    field: usize,
    required: bool,
    group: Option<&'a [Member]>,
}

impl<'a> Tables<'a> {
    fn new(dictionary: &'a Dictionary) -> Tables<'a> {
        let known = vec![[false; VERSION_COUNT]; dictionary.fields.len()];
        Tables { dictionary, statics: String::new(), names: HashMap::new(), known }
    }

    fn tag(&self, field: usize) -> u16 {
        self.dictionary.fields[field].number
    }

    fn flatten(&self, members: &'a [Member], version: usize, needed: bool, to: &mut Vec<Flat<'a>>) {
        for member in members {
            let required = needed && member.presence[version] == Presence::Required;
            if member.presence[version] == Presence::Absent {
                continue;
            }
            match &member.what {
                What::Field(field) => to.push(Flat { field: *field, required, group: None }),
                What::Group(field, members) => {
                    to.push(Flat { field: *field, required, group: Some(members) });
                }
                What::Component(component) => {
                    let members = &self.dictionary.components[*component].members;
                    self.flatten(members, version, required, to);
                }
            }
        }
    }

    /// The name of the static that holds this, which is defined where nothing equal is.
    fn named(&mut self, kind: &str, value: String) -> String {
        if let Some(name) = self.names.get(&value) {
            return name.clone();
        }
        let name = format!("{}_{}", kind.to_uppercase(), self.names.len());
        writeln!(self.statics, "static {name}: {kind} = {value};").expect("a String has room");
        self.names.insert(value, name.clone());
        name
    }

    /// `Layout` of a message's body, header or trailer in a version.
    fn layout(&mut self, members: &'a [Member], version: usize) -> String {
        let mut flat = Vec::new();
        self.flatten(members, version, true, &mut flat);
        let mut bits = [0u64; TAG_END / 64];
        for one in &flat {
            let tag = usize::from(self.tag(one.field));
            assert!(bits[tag / 64] >> (tag % 64) & 1 == 0, "field {tag} twice in a message");
            bits[tag / 64] |= 1 << (tag % 64);
            self.known[one.field][version] = true;
        }
        let required: Vec<u16> =
            flat.iter().filter(|one| one.required).map(|one| self.tag(one.field)).collect();
        let groups = self.groups(&flat, version);
        self.named(
            "Layout",
            format!("Layout {{ bits: {bits:?}, required: &{required:?}, groups: &[{groups}] }}"),
        )
    }

    fn groups(&mut self, flat: &[Flat<'a>], version: usize) -> String {
        let mut groups: Vec<(u16, String)> = Vec::new();
        for one in flat {
            if let Some(members) = one.group {
                let count = self.tag(one.field);
                groups.push((count, self.group(count, members, version)));
            }
        }
        groups.sort();
        groups.iter().map(|(count, name)| format!("({count}, &{name}),")).collect()
    }

    fn group(&mut self, count: u16, members: &'a [Member], version: usize) -> String {
        let mut flat = Vec::new();
        self.flatten(members, version, true, &mut flat);
        let first = self.tag(flat.first().expect("a group has a field in its versions").field);
        flat.sort_by_key(|one| self.tag(one.field));
        assert!(flat.len() <= 256, "group {count} has more fields than a mask has bits");
        let (mut tags, mut required) = (Vec::new(), [0u128; 2]);
        for (index, one) in flat.iter().enumerate() {
            self.known[one.field][version] = true;
            tags.push(self.tag(one.field));
            required[index / 128] |= u128::from(one.required) << (index % 128);
        }
        assert!(tags.windows(2).all(|pair| pair[0] < pair[1]), "a field twice in group {count}");
        let groups = self.groups(&flat, version);
        self.named(
            "Group",
            format!(
                "Group {{ count: {count}, first: {first}, members: &{tags:?}, \
                 required: Mask({required:?}), groups: &[{groups}] }}"
            ),
        )
    }

    fn spec(&self, field: &Field, known: bool, version: usize) -> String {
        let codes: Vec<&str> = field
            .values
            .iter()
            .filter(|value| value.versions[version])
            .map(|value| value.code.as_str())
            .collect();
        let (mut single, mut words) = (0u128, Vec::new());
        for code in &codes {
            match code.as_bytes() {
                [byte] => single |= 1 << byte,
                bytes => {
                    words.push(bytes.iter().fold(0u128, |sum, byte| sum << 8 | u128::from(*byte)))
                }
            }
        }
        words.sort_unstable();
        let closed = !field.open && !codes.is_empty();
        let kind = &field.kind;
        format!(
            "Spec {{ kind: Kind::{kind}, known: {known}, closed: {closed}, \
             single: {single:#x}, words: &{words:?} }}"
        )
    }

    fn write(mut self) -> String {
        let dictionary = self.dictionary;
        let each = |what: &mut dyn FnMut(usize) -> String| -> String {
            (0..VERSION_COUNT).map(|version| format!("{},", what(version))).collect()
        };
        let headers = each(&mut |version| format!("&{}", self.layout(&dictionary.header, version)));
        let trailers =
            each(&mut |version| format!("&{}", self.layout(&dictionary.trailer, version)));
        let mut messages = Vec::new();
        for message in &dictionary.messages {
            let layouts = each(&mut |version| {
                if message.versions[version] {
                    format!("Some(&{})", self.layout(&message.members, version))
                } else {
                    "None".to_owned()
                }
            });
            let (msg_type, name) = (&message.msg_type, &message.name);
            let flow = match message.flow.as_str() {
                "session" => "Session",
                "in" => "In",
                _ => "Out",
            };
            messages.push((
                key(msg_type),
                format!(
                    "({}, Message {{ msg_type: {msg_type:?}, name: {name:?}, flow: Flow::{flow}, \
                     layouts: [{layouts}] }}),\n",
                    key(msg_type)
                ),
            ));
        }
        messages.sort();
        let mut others: Vec<(u16, Versions)> =
            dictionary.others.iter().map(|(name, versions)| (key(name), *versions)).collect();
        others.sort_unstable();
        let (mut index, mut lengths) = (vec![0u16; TAG_END], vec![0u16; TAG_END]);
        for (at, field) in (1..).zip(&dictionary.fields) {
            index[usize::from(field.number)] = at;
            if field.kind == "Data" || field.kind == "XmlData" {
                let names = [format!("{}Len", field.name), format!("{}Length", field.name)];
                let length = dictionary.fields.iter().find(|other| names.contains(&other.name));
                let length = length.unwrap_or_else(|| panic!("{} has no length", field.name));
                lengths[usize::from(field.number)] = length.number;
            }
        }
        let specs = each(&mut |version| {
            let specs: String = dictionary
                .fields
                .iter()
                .zip(&self.known)
                .map(|(field, known)| format!("{},\n", self.spec(field, known[version], version)))
                .collect();
            format!("[{specs}]")
        });
        let (statics, count) = (&self.statics, dictionary.fields.len());
        let message_count = messages.len();
        let messages: String = messages.into_iter().map(|(_, text)| text).collect();
        let numbers = dictionary.numbers;
        format!(
            "{statics}\
             static HEADERS: [&Layout; VERSION_COUNT] = [{headers}];\n\
             static TRAILERS: [&Layout; VERSION_COUNT] = [{trailers}];\n\
             static MESSAGES: [(u16, Message); {message_count}] = [{messages}];\n\
             static OTHERS: [(u16, [bool; VERSION_COUNT]); {}] = {others:?};\n\
             static NUMBERS: [u32; VERSION_COUNT] = {numbers:?};\n\
             static INDEX: [u16; TAG_END] = {index:?};\n\
             static LENGTHS: [u16; TAG_END] = {lengths:?};\n\
             static SPECS: [[Spec; {count}]; VERSION_COUNT] = [{specs}];\n",
            others.len()
        )
    }
}

/// A type of one or two characters as a number.
fn key(msg_type: &str) -> u16 {
    msg_type.bytes().fold(0, |key, byte| key << 8 | u16::from(byte))
}
