//! The dictionary as the XML that QuickFIX engines read, so that a client's engine checks what ours does.

use super::dictionary::SOURCE;
use super::source::{self, Dictionary, Field, Member, Message, Presence, VERSION_COUNT, What};
use std::fmt::Write;

/// A dictionary file: FIX 5.0 SP2 has two, for its session layer and for its applications.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum XmlFile {
    /// FIX 4.2.
    Fix42,
    /// FIX 4.4.
    Fix44,
    /// FIXT.1.1, the session layer of FIX 5.0 SP2.
    Fixt11,
    /// FIX 5.0 SP2, without header, trailer and session messages.
    Fix50Sp2,
}

impl XmlFile {
    /// All of them.
    pub const ALL: [XmlFile; 4] =
        [XmlFile::Fix42, XmlFile::Fix44, XmlFile::Fixt11, XmlFile::Fix50Sp2];

    /// The name by which engines know such a file.
    #[must_use]
    pub const fn file_name(self) -> &'static str {
        match self {
            XmlFile::Fix42 => "FIX42.xml",
            XmlFile::Fix44 => "FIX44.xml",
            XmlFile::Fixt11 => "FIXT11.xml",
            XmlFile::Fix50Sp2 => "FIX50SP2.xml",
        }
    }

    /// The column of the source.
    const fn version(self) -> usize {
        match self {
            XmlFile::Fix42 => 0,
            XmlFile::Fix44 => 1,
            XmlFile::Fixt11 | XmlFile::Fix50Sp2 => 2,
        }
    }

    const fn root(self) -> &'static str {
        match self {
            XmlFile::Fix42 => r#"type="FIX" major="4" minor="2" servicepack="0""#,
            XmlFile::Fix44 => r#"type="FIX" major="4" minor="4" servicepack="0""#,
            XmlFile::Fixt11 => r#"type="FIXT" major="1" minor="1" servicepack="0""#,
            XmlFile::Fix50Sp2 => r#"type="FIX" major="5" minor="0" servicepack="2""#,
        }
    }

    /// True where messages of this flow stand in the file.
    fn takes(self, flow: &str) -> bool {
        match self {
            XmlFile::Fix42 | XmlFile::Fix44 => true,
            XmlFile::Fixt11 => flow == "session",
            XmlFile::Fix50Sp2 => flow != "session",
        }
    }
}

/// The text of a dictionary file.
///
/// # Panics
/// Never: the source is the one that `build.rs` has read.
#[must_use]
pub fn xml(file: XmlFile) -> String {
    let dictionary = source::parse(SOURCE).expect("build.rs has read it");
    let mut writer = Writer {
        dictionary: &dictionary,
        version: file.version(),
        out: String::with_capacity(1 << 18),
        fields: vec![false; dictionary.fields.len()],
        components: vec![false; dictionary.components.len()],
    };
    writer.line(0, format_args!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>"));
    writer.line(0, format_args!("<fix {}>", file.root()));
    for (name, members) in [("header", &dictionary.header), ("trailer", &dictionary.trailer)] {
        if file == XmlFile::Fix50Sp2 {
            writer.line(1, format_args!("<{name}/>"));
        } else {
            writer.line(1, format_args!("<{name}>"));
            writer.members(members, 2);
            writer.line(1, format_args!("</{name}>"));
        }
    }
    writer.line(1, format_args!("<messages>"));
    for message in &dictionary.messages {
        if message.versions[file.version()] && file.takes(&message.flow) {
            writer.message(message);
        }
    }
    writer.line(1, format_args!("</messages>"));
    writer.components();
    writer.all_fields();
    writer.line(0, format_args!("</fix>"));
    writer.out
}

struct Writer<'a> {
    dictionary: &'a Dictionary,
    version: usize,
    out: String,
    /// What was named, and must be told.
    fields: Vec<bool>,
    components: Vec<bool>,
}

impl Writer<'_> {
    fn line(&mut self, depth: usize, text: std::fmt::Arguments<'_>) {
        writeln!(self.out, "{:1$}{text}", "", depth * 2).expect("a String has room");
    }

    fn message(&mut self, message: &Message) {
        let category = if message.flow == "session" { "admin" } else { "app" };
        let (name, msg_type) = (&message.name, &message.msg_type);
        self.line(
            2,
            format_args!(r#"<message name="{name}" msgtype="{msg_type}" msgcat="{category}">"#),
        );
        self.members(&message.members, 3);
        self.line(2, format_args!("</message>"));
    }

    fn members(&mut self, members: &[Member], depth: usize) {
        let dictionary = self.dictionary;
        for member in members {
            let required = match member.presence[self.version] {
                Presence::Absent => continue,
                Presence::Optional => 'N',
                Presence::Required => 'Y',
            };
            match &member.what {
                What::Field(field) => {
                    self.fields[*field] = true;
                    let name = dictionary.fields[*field].name_in(self.version);
                    self.line(
                        depth,
                        format_args!(r#"<field name="{name}" required="{required}"/>"#),
                    );
                }
                What::Group(field, members) => {
                    self.fields[*field] = true;
                    let name = dictionary.fields[*field].name_in(self.version);
                    self.line(
                        depth,
                        format_args!(r#"<group name="{name}" required="{required}">"#),
                    );
                    self.members(members, depth + 1);
                    self.line(depth, format_args!("</group>"));
                }
                What::Component(index) => {
                    self.components[*index] = true;
                    let name = &dictionary.components[*index].name;
                    self.line(
                        depth,
                        format_args!(r#"<component name="{name}" required="{required}"/>"#),
                    );
                }
            }
        }
    }

    /// The components that were named, those that they name included.
    fn components(&mut self) {
        let mut told = vec![false; self.components.len()];
        self.line(1, format_args!("<components>"));
        while let Some(index) =
            (0..told.len()).find(|index| self.components[*index] && !told[*index])
        {
            told[index] = true;
            let component = &self.dictionary.components[index];
            self.line(2, format_args!(r#"<component name="{}">"#, component.name));
            self.members(&component.members, 3);
            self.line(2, format_args!("</component>"));
        }
        self.line(1, format_args!("</components>"));
    }

    fn all_fields(&mut self) {
        self.line(1, format_args!("<fields>"));
        let dictionary = self.dictionary;
        for (index, field) in dictionary.fields.iter().enumerate() {
            if self.fields[index] {
                self.field(field);
            }
        }
        self.line(1, format_args!("</fields>"));
    }

    fn field(&mut self, field: &Field) {
        let (number, name) = (field.number, field.name_in(self.version));
        let head = format!(
            r#"<field number="{number}" name="{name}" type="{}""#,
            type_of(field, self.version)
        );
        let values: Vec<_> = field.values.iter().filter(|it| it.versions[self.version]).collect();
        // An engine refuses what is not listed, so an open enumeration is not told at all.
        if values.is_empty() || field.open {
            self.line(2, format_args!("{head}/>"));
            return;
        }
        self.line(2, format_args!("{head}>"));
        for value in values {
            let (code, words) = (&value.code, upper_snake(&value.name));
            self.line(3, format_args!(r#"<value enum="{code}" description="{words}"/>"#));
        }
        self.line(2, format_args!("</field>"));
    }
}

/// The type's name in these files: before 5.0 the two kinds of lists were one.
fn type_of(field: &Field, version: usize) -> String {
    match field.kind.as_str() {
        "MultipleChar" | "MultipleString" if version < 2 => "MULTIPLEVALUESTRING".to_owned(),
        "MultipleChar" => "MULTIPLECHARVALUE".to_owned(),
        "MultipleString" => "MULTIPLESTRINGVALUE".to_owned(),
        other => other.to_ascii_uppercase(),
    }
}

/// `GoodTillCancel` as `GOOD_TILL_CANCEL`.
fn upper_snake(name: &str) -> String {
    let mut words = String::new();
    let mut before = 'A';
    for letter in name.chars() {
        if letter.is_uppercase() && (before.is_lowercase() || before.is_ascii_digit()) {
            words.push('_');
        }
        words.push(letter.to_ascii_uppercase());
        before = letter;
    }
    words
}

const _: () = assert!(VERSION_COUNT == 3, "a file for each column");
