//! A row as a line of JSON.

use super::{Sink, decimal_number, is_plain};
use crate::journal::dump::text as printable;
use serde_json::Value;
use std::io::Write;

/// Rows as lines of JSON.
#[derive(Default)]
pub(in crate::cli::journal) struct Json {
    out: Vec<u8>,
}

impl Json {
    #[inline]
    fn key(&mut self, name: &str) {
        if self.out.last() != Some(&b'{') {
            self.out.push(b',');
        }
        self.out.push(b'"');
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
    }

    fn json(&mut self, value: &impl serde::Serialize) {
        serde_json::to_writer(&mut self.out, value)
            .expect("text and decoded records are plain data");
    }
}

impl Sink for Json {
    fn begin(&mut self) {
        self.out.push(b'{');
    }

    fn end(&mut self) {
        self.out.extend_from_slice(b"}\n");
    }

    fn open(&mut self, name: &'static str) {
        self.key(name);
        self.out.push(b'{');
    }

    fn close(&mut self) {
        self.out.push(b'}');
    }

    fn number(&mut self, name: &'static str, number: u64) {
        self.key(name);
        decimal_number(number, &mut self.out);
    }

    fn signed(&mut self, name: &'static str, number: i64) {
        self.key(name);
        self.out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
    }

    fn flag(&mut self, name: &'static str, is_set: bool) {
        self.key(name);
        self.out.extend_from_slice(if is_set { b"true" } else { b"false" });
    }

    fn null(&mut self, name: &'static str) {
        self.key(name);
        self.out.extend_from_slice(b"null");
    }

    fn plain(&mut self, name: &'static str, write: impl FnOnce(&mut Vec<u8>)) {
        self.key(name);
        self.out.push(b'"');
        write(&mut self.out);
        self.out.push(b'"');
    }

    fn text(&mut self, name: &'static str, text: &[u8]) {
        if is_plain(text) {
            self.plain(name, |out| out.extend_from_slice(text));
        } else {
            self.key(name);
            self.json(&printable(text));
        }
    }

    fn words(&mut self, name: &'static str, words: impl Iterator<Item = &'static str>) {
        self.key(name);
        self.out.push(b'[');
        for (place, word) in words.enumerate() {
            let quote: &[u8] = if place == 0 { b"\"" } else { b",\"" };
            self.out.extend_from_slice(quote);
            self.out.extend_from_slice(word.as_bytes());
            self.out.push(b'"');
        }
        self.out.push(b']');
    }

    fn value(&mut self, name: &'static str, value: &Value) {
        self.key(name);
        self.json(value);
    }

    fn out(&mut self) -> &mut Vec<u8> {
        &mut self.out
    }
}

impl Json {
    /// The object written so far, with its end, where it holds a field; begins another.
    pub(super) fn take_object(&mut self, into: &mut Vec<u8>) {
        if self.out.len() > 1 {
            // Writing to memory cannot fail.
            let _ = into.write_all(&self.out);
            into.push(b'}');
        }
        self.out.clear();
        self.out.push(b'{');
    }
}
