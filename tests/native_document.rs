//! `docs/NATIVE.md` says what the program does.

use crate::native_golden::unhex;
use openoutcry::command::Command;
use openoutcry::event::RejectReason;
use openoutcry::limits;
use openoutcry::types::{OrderChange, Priority, Role, Status};
use openoutcry::wire::frame::FRAME_MIN_BYTES;
use openoutcry::wire::message::{Layout, TEXT_MAX_BYTES, layouts};
use openoutcry::wire::{Frame, OpenLimits, answer, query};

const DOCUMENT: &str = include_str!("../docs/NATIVE.md");

/// Rows of the first table under a heading, as trimmed cells, without the table's own head.
fn table_under(heading: &str) -> Vec<Vec<&'static str>> {
    let start = DOCUMENT
        .lines()
        .position(|line| line.trim_start_matches('#').trim() == heading && line.starts_with('#'))
        .unwrap_or_else(|| panic!("no heading {heading:?}"));
    DOCUMENT
        .lines()
        .skip(start + 1)
        .take_while(|line| !line.starts_with('#'))
        .skip_while(|line| !line.starts_with('|'))
        .take_while(|line| line.starts_with('|'))
        .skip(2)
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect()
}

#[test]
fn every_message_stands_in_the_document_with_its_fields() {
    let own = layouts();
    let all: [&[Layout]; 4] = [Command::LAYOUTS, &own, answer::FILL_ROWS, query::ROWS];
    for (schema, name, fields) in all.concat() {
        let fields: Vec<Vec<String>> = fields()
            .iter()
            .map(|f| {
                let (offset, size) = (f.offset.to_string(), f.size.to_string());
                vec![offset, size, f.kind.to_owned(), f.name.to_owned()]
            })
            .collect();
        let rows = table_under(&format!("{schema} {name}"));
        let rows: Vec<Vec<&str>> = rows.iter().map(|row| row[..4].to_vec()).collect();
        assert_eq!(rows, fields, "{schema} {name}");
    }
}

#[test]
fn every_reason_stands_in_the_document_with_its_number_and_text() {
    let mut listed: Vec<String> = DOCUMENT
        .split("## Reasons")
        .nth(1)
        .and_then(|rest| rest.split("\n## ").next())
        .expect("the chapter is there")
        .lines()
        .filter(|line| line.starts_with("| ") && !line.starts_with("| number"))
        .map(str::to_owned)
        .collect();
    let mut expected: Vec<String> = RejectReason::ALL
        .iter()
        .map(|reason| format!("| {} | {reason} | {} |", *reason as u16, reason.text()))
        .collect();
    listed.sort();
    expected.sort();
    assert_eq!(listed, expected);
}

#[test]
fn every_status_change_priority_and_role_stands_in_the_document() {
    let rows = table_under("Answers and fills");
    assert_eq!(rows.len(), Status::ALL.len());
    for (row, status) in rows.iter().zip(Status::ALL) {
        assert_eq!(row[0], (*status as u8).to_string());
        assert!(row[1].starts_with(&format!("{status}: ")), "{row:?}");
    }
    let rows = table_under("Changes of an order");
    assert_eq!(rows.len(), OrderChange::ALL.len());
    for (row, change) in rows.iter().zip(OrderChange::ALL) {
        assert_eq!(row[0], (*change as u8).to_string());
        assert!(row[1].starts_with(&format!("{change}: ")), "{row:?}");
    }
    for priority in Priority::ALL {
        assert!(DOCUMENT.contains(&format!("{} {priority}", *priority as u8)));
    }
    for role in Role::ALL {
        assert!(DOCUMENT.contains(&format!("{} {role}", *role as u8)));
    }
}

#[test]
fn every_limit_stands_in_the_document() {
    for line in [
        format!("| message_id bytes | {} |", limits::MESSAGE_ID_MAX_BYTES),
        format!("| source bytes | {} |", limits::SOURCE_MAX_BYTES),
        format!("| correlation_id bytes | {} |", limits::CORRELATION_ID_MAX_BYTES),
        format!("| custom pairs | {} |", limits::CUSTOM_PAIRS_MAX),
        format!("of the challenge, {} by default |", limits::FRAME_DEFAULT_BYTES),
        format!("| frame bytes from the server | {} |", limits::FRAME_MAX_BYTES),
        format!("| shortest frame bytes | {FRAME_MIN_BYTES} |"),
        format!("bytes of UTF-8 follow, at most {TEXT_MAX_BYTES}."),
        format!("min(`fill_count`, {}) fills follow", limits::ANSWER_FILLS_MAX),
        format!(
            "at most {} levels or {} orders of each",
            limits::QUERY_ROWS_MAX,
            limits::QUERY_ROWS_MAX / 2
        ),
        format!("A page has at most {} rows in all", limits::QUERY_ROWS_MAX),
        format!("1 to {} bytes, padded", limits::SESSION_NAME_MAX_BYTES),
        format!("{} of its messages are not answered yet", limits::CONNECTION_MESSAGES_MAX),
    ] {
        assert!(DOCUMENT.contains(&line), "{line}");
    }
}

#[test]
fn the_example_is_a_frame_and_the_first_golden_one() {
    let example = DOCUMENT
        .split("## An example, byte for byte")
        .nth(1)
        .and_then(|rest| rest.split("```").nth(1))
        .expect("the example is there");
    // The hexadecimal part of a line ends where two blanks begin the words.
    let hex: String = example
        .lines()
        .skip(1)
        .map(|line| line.split("  ").next().expect("a split gives one part at least"))
        .collect();
    let bytes = unhex(&hex);
    let frame = Frame::open(&bytes, &OpenLimits::default()).expect("the example is a frame");
    assert_eq!(frame.client_sequence(), 42);
    let golden = include_str!("data/native/commands.hex");
    let first: String = golden
        .lines()
        .skip_while(|line| !line.starts_with("hex "))
        .take_while(|line| line.starts_with("hex "))
        .map(|line| &line[4..])
        .collect();
    assert_eq!(bytes, unhex(&first));
}

#[test]
fn every_link_within_the_document_has_its_heading() {
    for link in DOCUMENT.split("](#").skip(1) {
        let target = link.split(')').next().expect("a split gives one part at least");
        let found = DOCUMENT.lines().filter(|line| line.starts_with('#')).any(|line| {
            let text = line.trim_start_matches('#').trim().to_lowercase();
            let slug: String =
                text.chars().filter(|c| c.is_alphanumeric() || *c == ' ' || *c == '-').collect();
            slug.replace(' ', "-") == target
        });
        assert!(found, "#{target}");
    }
}
