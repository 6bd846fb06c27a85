//! Admin commands on the wire, and the answer to a question for keys and settings.
//!
//! Invariant: no answer is longer than a frame may be; what does not fit is left out and `more` says
//! so.

use crate::admin::{AdminCommand, Controls, DirectoryPage, KeyRow};
use crate::command::PayloadError;
use crate::genesis::{APPLICATION_VERSION, Key};
use crate::wire::fields::messages;
use crate::wire::frame::FrameWriter;
use crate::wire::message::{head, text};
use crate::wire::query::PAYLOAD_MAX;
use std::ops::Range;

messages! {
    /// Layouts of admin commands and of what is answered to a question for keys and settings.
    LAYOUTS:
    /// An admin command; its JSON text follows.
    AdminHead = 48, "admin" {
        /// Bytes of text.
        text_size: u16,
    }
    /// Keys and settings as JSON text, which follows.
    DirectoryHead = 140, "directory-answer" {
        /// There are more keys: ask again after the last one.
        more: bool,
        /// Bytes of text.
        text_size: u16,
    }
}

const _: () = assert!(AdminHead::SCHEMA == AdminCommand::SCHEMA);

/// The JSON of an admin command, which takes all of a payload behind its head.
///
/// # Errors
/// [`PayloadError`]: a wrong length, or no UTF-8.
pub fn admin_text(payload: &[u8]) -> Result<&str, PayloadError> {
    let (head, tail) = AdminHead::decode_head(payload)?;
    text(AdminHead::SCHEMA, AdminHead::SIZE, head.text_size, tail)
}

/// Appends the payload of an admin command. False where it is longer than any frame; nothing is
/// appended then.
#[must_use]
pub fn encode_admin(command: &AdminCommand, out: &mut Vec<u8>) -> bool {
    let json = command.encode();
    if json.len() > PAYLOAD_MAX {
        return false;
    }
    AdminHead { text_size: json.len() as u16 }.encode(out);
    out.extend_from_slice(&json);
    true
}

/// Keys and settings as JSON text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DirectoryView<'a> {
    /// There are more keys: ask again after the last one.
    pub more: bool,
    /// JSON of a [`DirectoryPage`].
    pub text: &'a str,
}

impl<'a> DirectoryView<'a> {
    pub(crate) fn decode(payload: &'a [u8]) -> Result<DirectoryView<'a>, PayloadError> {
        let (head, tail) = DirectoryHead::decode_head(payload)?;
        let text = text(DirectoryHead::SCHEMA, DirectoryHead::SIZE, head.text_size, tail)?;
        Ok(DirectoryView { more: head.more, text })
    }

    /// Reads the text.
    ///
    /// # Errors
    /// The reason in serde's words, where the text is no [`DirectoryPage`].
    pub fn parse(&self) -> Result<DirectoryPage, serde_json::Error> {
        serde_json::from_str(self.text)
    }
}

/// Appends the frame with the settings and as many of the keys as fit, and gives its place.
pub fn send_directory(
    rules: u32,
    controls: &Controls,
    keys: &[Key],
    client_sequence: u64,
    out: &mut Vec<u8>,
) -> Range<usize> {
    const END: &str = "]}";
    let json = serde_json::to_string(controls).expect("plain data always serialises");
    let mut text = format!(
        "{{\"rules\":{rules},\"rules_known\":{APPLICATION_VERSION},\"controls\":{json},\"keys\":["
    );
    let mut more = false;
    for (index, key) in keys.iter().enumerate() {
        let json = serde_json::to_string(&KeyRow::from(key)).expect("plain data always serialises");
        if DirectoryHead::SIZE + text.len() + json.len() + 1 + END.len() > PAYLOAD_MAX {
            more = true;
            break;
        }
        if index > 0 {
            text.push(',');
        }
        text.push_str(&json);
    }
    text.push_str(END);
    let mut writer = FrameWriter::begin(out, head(DirectoryHead::SCHEMA, client_sequence));
    DirectoryHead { more, text_size: text.len() as u16 }.encode(writer.payload());
    writer.payload().extend_from_slice(text.as_bytes());
    writer.seal()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::ACCOUNTS_SHOWN_MAX;
    use crate::limits::{FRAME_MAX_BYTES, KEY_ACCOUNTS_MAX};
    use crate::types::{AccountId, KeyId, Role};
    use crate::wire::message::ServerMessage;
    use crate::wire::{Frame, OpenLimits};

    const LIMITS: OpenLimits = OpenLimits { frame_max: FRAME_MAX_BYTES, strict_reserved: true };

    #[test]
    fn an_admin_command_takes_all_of_its_payload() {
        let command = AdminCommand::DisableKey { key: KeyId(7) };
        let mut payload = vec![9];
        assert!(encode_admin(&command, &mut payload));
        let text = admin_text(&payload[1..]).expect("just written");
        assert_eq!(text.as_bytes(), command.encode());
        assert!(admin_text(&payload[1..payload.len() - 1]).is_err(), "cut");
        payload.push(b' ');
        assert!(admin_text(&payload[1..]).is_err(), "more than it says");
        payload.pop();
        payload[5] = 0xFF;
        assert!(admin_text(&payload[1..]).is_err(), "no text");
        assert!(admin_text(&[]).is_err() && admin_text(&[0]).is_err());
        let keys = vec![AccountId(u64::MAX); KEY_ACCOUNTS_MAX];
        let long = AdminCommand::SetKeyAccounts { key: KeyId(7), accounts: keys };
        let mut out = Vec::new();
        assert!(!encode_admin(&long, &mut out) && out.is_empty());
    }

    #[test]
    fn keys_come_in_pages_and_the_largest_fits_into_one() {
        let accounts = vec![AccountId(u64::MAX); KEY_ACCOUNTS_MAX];
        let key = |id| Key::new(KeyId(id), "ab".repeat(32), Role::Trade, accounts.clone());
        let keys: Vec<Key> = (1..=7).map(key).collect();
        let (mut seen, mut pages) = (Vec::new(), 0);
        loop {
            let mut out = Vec::new();
            let at = send_directory(2, &Controls::default(), &keys[seen.len()..], 5, &mut out);
            let frame = Frame::open(&out[at], &LIMITS).expect("just sealed");
            let Ok(ServerMessage::Directory(view)) = ServerMessage::decode(&frame) else {
                panic!("no directory");
            };
            let page = view.parse().expect("JSON");
            assert_eq!(page.controls, Controls::default());
            assert_eq!((page.rules, page.rules_known), (2, APPLICATION_VERSION));
            assert!(!page.keys.is_empty(), "every page has one at least");
            seen.extend(page.keys);
            pages += 1;
            if !view.more {
                break;
            }
        }
        assert!(pages > 1);
        assert_eq!(seen.len(), keys.len());
        for (row, key) in seen.iter().zip(&keys) {
            assert_eq!((row.key, row.accounts.len()), (key.id, ACCOUNTS_SHOWN_MAX));
            assert_eq!((row.account_count, row.active), (KEY_ACCOUNTS_MAX, true));
        }
    }
}
