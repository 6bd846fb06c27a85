//! The dictionary as tables for people, as they stand in `docs/FIX.md`.

use super::dictionary::SOURCE;
use super::source::{self, Dictionary, Member, Presence, VERSION_COUNT, What};
use std::fmt::Write;

/// All messages and components in Markdown.
///
/// # Panics
/// Never: the source is the one that `build.rs` has read.
#[must_use]
pub fn reference() -> String {
    let dictionary = source::parse(SOURCE).expect("build.rs has read it");
    let mut out = String::with_capacity(1 << 16);
    for (flow, title) in
        [("session", "Session messages"), ("in", "Messages in"), ("out", "Messages out")]
    {
        writeln!(out, "### {title}\n").expect(ROOM);
        for message in dictionary.messages.iter().filter(|message| message.flow == flow) {
            writeln!(out, "#### {} {}\n", message.msg_type, message.name).expect(ROOM);
            table(&mut out, &dictionary, &message.members, message.versions);
        }
    }
    writeln!(out, "### Header, trailer and components\n").expect(ROOM);
    for (name, members) in [("Header", &dictionary.header), ("Trailer", &dictionary.trailer)] {
        writeln!(out, "#### {name}\n").expect(ROOM);
        table(&mut out, &dictionary, members, [true; VERSION_COUNT]);
    }
    for component in &dictionary.components {
        writeln!(out, "#### {}\n", component.name).expect(ROOM);
        table(&mut out, &dictionary, &component.members, [true; VERSION_COUNT]);
    }
    out
}

const ROOM: &str = "a String has room";

/// A row for each combination of presences, in the order in which they come first.
fn table(
    out: &mut String,
    dictionary: &Dictionary,
    members: &[Member],
    versions: source::Versions,
) {
    out.push_str("| 4.2 | 4.4 | 5.0 | fields |\n|---|---|---|---|\n");
    let mut rows: Vec<([Presence; VERSION_COUNT], String)> = Vec::new();
    for member in members {
        let text = describe(dictionary, member);
        match rows.iter_mut().find(|(presence, _)| *presence == member.presence) {
            Some((_, row)) => {
                row.push_str(", ");
                row.push_str(&text);
            }
            None => rows.push((member.presence, text)),
        }
    }
    for (presence, row) in rows {
        for (presence, there) in presence.into_iter().zip(versions) {
            let letter = if there { letter(presence) } else { "-" };
            write!(out, "| {letter} ").expect(ROOM);
        }
        writeln!(out, "| {row} |").expect(ROOM);
    }
    out.push('\n');
}

fn describe(dictionary: &Dictionary, member: &Member) -> String {
    match &member.what {
        What::Field(field) => {
            let field = &dictionary.fields[*field];
            format!("{} {}", field.number, field.name)
        }
        What::Component(component) => format!("*{}*", dictionary.components[*component].name),
        What::Group(field, members) => {
            let field = &dictionary.fields[*field];
            let inner: Vec<String> = members
                .iter()
                .map(|inner| {
                    // What differs from the group's own line is told.
                    let text = describe(dictionary, inner);
                    let optional = |presence| {
                        if presence == Presence::Absent { presence } else { Presence::Optional }
                    };
                    if inner.presence.map(optional) == member.presence.map(optional)
                        || inner.presence == [Presence::Optional; VERSION_COUNT]
                    {
                        text
                    } else {
                        let letters: String = inner.presence.into_iter().map(letter).collect();
                        format!("{text} ({letters})")
                    }
                })
                .collect();
            format!("{} {} {{ {} }}", field.number, field.name, inner.join(", "))
        }
    }
}

const fn letter(presence: Presence) -> &'static str {
    match presence {
        Presence::Absent => "-",
        Presence::Optional => "o",
        Presence::Required => "r",
    }
}
