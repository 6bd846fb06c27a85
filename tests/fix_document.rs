//! `docs/FIX.md` and the dictionary files say what the codec does.

use openoutcry::fix::dictionary::{self, XmlFile, reference, xml};
use openoutcry::fix::{Fields, MESSAGE_DEFAULT_MAX_BYTES, Version};

const DOCUMENT: &str = include_str!("../docs/FIX.md");

#[test]
fn every_message_and_tag_stands_in_the_document() {
    if std::env::var_os("WRITE_FIX_TABLES").is_some() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/FIX.md");
        let (head, rest) = DOCUMENT.split_once(BEGIN).expect("the mark is there");
        let rest = rest.split_once(END).expect("the mark is there").1;
        let text = format!("{head}{BEGIN}\n{}\n\n{END}{rest}", reference().trim_end());
        std::fs::write(path, text).expect("a writable tree");
        return;
    }
    let behind = DOCUMENT.split_once(BEGIN).expect("the mark is there").1;
    let tables = behind.split_once(END).expect("the mark is there").0;
    for (ours, listed) in reference().trim().lines().zip(tables.trim().lines()) {
        assert_eq!(listed, ours, "WRITE_FIX_TABLES=1 writes them anew");
    }
    assert_eq!(tables.trim().lines().count(), reference().trim().lines().count());
}

/// Behind this mark stands what the dictionary says.
const BEGIN: &str = "<!-- Tables of the dictionary follow. -->\n";
/// Before this one.
const END: &str = "<!-- End of the dictionary's tables. -->\n";

#[test]
fn the_limits_stand_in_the_document() {
    for line in [
        format!("at most {MESSAGE_DEFAULT_MAX_BYTES} bytes"),
        format!("more than {} fields", Fields::DEFAULT_MAX),
    ] {
        assert!(DOCUMENT.contains(&line), "{line}");
    }
}

/// Names of the elements of a kind, with their depth checked on the way.
fn elements<'a>(text: &'a str, kind: &str) -> Vec<&'a str> {
    let mut open: Vec<&str> = Vec::new();
    let mut found = Vec::new();
    for line in text.lines().skip(1).map(str::trim) {
        let inner = line.strip_prefix('<').and_then(|line| line.strip_suffix('>'));
        let inner = inner.unwrap_or_else(|| panic!("{line} is no element"));
        if let Some(name) = inner.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name), "{line}");
            continue;
        }
        let element = inner.split(' ').next().expect("a split gives one part at least");
        if element == kind {
            let name = inner.split("name=\"").nth(1).and_then(|rest| rest.split('"').next());
            found.push(name.expect("it has a name"));
        }
        if !inner.ends_with('/') {
            open.push(element);
        }
    }
    assert!(open.is_empty(), "{open:?} are left open");
    found
}

#[test]
fn dictionary_files_tell_every_field_and_component_that_they_name() {
    for file in XmlFile::ALL {
        let text = xml(file);
        assert!(text.starts_with("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<fix type="));
        let (_, defined) = text.split_once("<fields>").expect("they are there");
        for name in [elements(&text, "field"), elements(&text, "group")].concat() {
            let it = format!("\" name=\"{name}\" type=\"");
            assert_eq!(defined.matches(&it).count(), 1, "{name} in {}", file.file_name());
        }
        for name in elements(&text, "component") {
            let it = format!("<component name=\"{name}\">");
            assert_eq!(text.matches(&it).count(), 1, "{name} in {}", file.file_name());
        }
    }
}

#[test]
fn dictionary_files_have_the_messages_of_their_layer() {
    for (file, version, session, application) in [
        (XmlFile::Fix42, Version::Fix42, true, true),
        (XmlFile::Fix44, Version::Fix44, true, true),
        (XmlFile::Fixt11, Version::Fix50, true, false),
        (XmlFile::Fix50Sp2, Version::Fix50, false, true),
    ] {
        let text = xml(file);
        let listed = elements(&text, "message").len();
        let expected =
            dictionary::messages(version)
                .filter(|message| {
                    if message.flow == dictionary::Flow::Session { session } else { application }
                })
                .inspect(|message| {
                    let msg_type = format!(" msgtype=\"{}\" ", message.msg_type);
                    assert!(text.contains(&msg_type), "{msg_type} in {}", file.file_name());
                })
                .count();
        assert_eq!(listed, expected, "{}", file.file_name());
        assert_eq!(text.contains("<header/>"), !session);
    }
    assert!(
        xml(XmlFile::Fix42).contains("<field number=\"22\" name=\"IDSource\" type=\"STRING\">")
    );
    assert!(xml(XmlFile::Fix44).contains("<value enum=\"1\" description=\"GOOD_TILL_CANCEL\"/>"));
    // A list that is open would make an engine refuse what is not on it.
    assert!(xml(XmlFile::Fix44).contains("name=\"SettlType\" type=\"STRING\"/>"));
}
