//! The schemas of this program's own messages, made from the layouts that encode and decode them.
//!
//! All of them are version 1: their layouts are fixed, and a change of one is a change of the protocol.

use super::fixed::{self, Tail};
use super::{Field, Kind, SchemaDefinition};
use crate::command::{Command, FieldLayout};
use crate::wire::message::{Layout, layouts};
use crate::wire::{answer, query};

/// Every built-in schema, in the order of ids.
#[must_use]
pub fn schemas() -> Vec<SchemaDefinition> {
    let mut all: Vec<SchemaDefinition> =
        Command::LAYOUTS.iter().chain(&layouts()).map(schema).collect();
    all.sort_by_key(|schema| schema.id);
    all
}

fn schema((id, name, layout): &Layout) -> SchemaDefinition {
    let mut fields = numbered(&layout());
    let tails = fixed::tails(*id, &fields);
    for tail in tails {
        let number = fields.len() as u16 + 1;
        let kind = if tail.row.is_some() { Kind::Rows } else { Kind::String };
        let mut field = Field::new(number, tail.name, kind);
        // A message has one of several kinds of rows, and all that it has but one are optional.
        field.required = tail.when.is_none();
        field.about = about(tail);
        if let Some(row) = tail.row {
            field.fields = rows(row);
        }
        fields.push(field);
    }
    SchemaDefinition { id: *id, name: (*name).into(), version: 1, about: String::new(), fields }
}

fn about(tail: &Tail) -> String {
    let mut text = match tail.at_most {
        Some(max) => format!("As many as {} says, at most {max}", tail.counted_by),
        None if tail.row.is_some() => format!("As many as {} says", tail.counted_by),
        None => format!("UTF-8 of as many bytes as {} says", tail.counted_by),
    };
    if let Some((field, is)) = tail.when {
        text.push_str(&format!(", where {field} is {}", u8::from(is)));
    }
    text.push('.');
    text
}

fn rows(name: &str) -> Vec<Field> {
    let all = answer::FILL_ROWS.iter().chain(query::ROWS);
    let (.., layout) =
        all.into_iter().find(|(_, row, _)| *row == name).expect("a tail names rows that exist");
    numbered(&layout())
}

fn numbered(layout: &[FieldLayout]) -> Vec<Field> {
    let mut fields: Vec<Field> = layout.iter().map(Field::from).collect();
    for (number, field) in (1..).zip(&mut fields) {
        field.id = number;
        if field.kind == Kind::Int {
            // The only numbers of this kind are client order ids.
            field.min = Some(0);
        }
    }
    fields
}
