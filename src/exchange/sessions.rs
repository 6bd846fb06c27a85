//! Sessions: their numbers, and the numbers of what is sent to them.
//!
//! Both are part of the replicated state, so that a conversation goes on after a restart or on
//! another node where it stopped.
//!
//! Invariants: session numbers are dense, from 1, in the order of first logon, and belong to a
//! (key, name) pair for ever; a session's outbound numbers are dense, from 1.

use crate::limits::{KEY_SESSIONS_MAX, SESSION_NAME_MAX_BYTES, SESSIONS_MAX};
use crate::packing::{Pack, Unfit, Unpack, ensure};
use crate::types::{KeyId, SessionId};
use std::collections::BTreeMap;

/// A session's name, padded with zeros.
pub type SessionName = [u8; SESSION_NAME_MAX_BYTES];

/// A session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Session {
    /// The key that logs on to it.
    pub key: KeyId,
    /// Its name, unique for the key.
    pub name: SessionName,
    /// Between logon and logout.
    pub active: bool,
    /// The last outbound number given.
    pub outbound: u64,
}

/// All sessions there ever were.
#[derive(Clone, Debug, Default)]
pub(super) struct Sessions {
    sessions: Vec<Session>,
    by_name: BTreeMap<(KeyId, SessionName), SessionId>,
}

impl Sessions {
    /// The session of this key and name, now active; a new one where there is none, and none
    /// where the table is full.
    pub(super) fn logon(&mut self, key: KeyId, name: &SessionName) -> Option<SessionId> {
        let id = if let Some(&id) = self.by_name.get(&(key, *name)) {
            id
        } else {
            let of_key = self.by_name.range((key, [0; 32])..=(key, [255; 32])).count();
            if self.sessions.len() == SESSIONS_MAX || of_key == KEY_SESSIONS_MAX {
                return None;
            }
            self.sessions.push(Session { key, name: *name, active: false, outbound: 0 });
            let id = SessionId(self.sessions.len() as u32);
            self.by_name.insert((key, *name), id);
            id
        };
        self.get_mut(id).active = true;
        Some(id)
    }

    /// Ends a session's activity; its numbers stay.
    pub(super) fn logout(&mut self, id: SessionId) {
        self.get_mut(id).active = false;
    }

    /// Ends all sessions' activity: a reign is over.
    pub(super) fn lose_all(&mut self) {
        self.sessions.iter_mut().for_each(|session| session.active = false);
    }

    /// A session.
    pub(super) fn get(&self, id: SessionId) -> Option<&Session> {
        self.sessions.get((id.0 as usize).checked_sub(1)?)
    }

    fn get_mut(&mut self, id: SessionId) -> &mut Session {
        let index =
            (id.0 as usize).checked_sub(1).expect("session 0 is the node and never logs on");
        self.sessions.get_mut(index).expect("a session is sequenced before what it sends")
    }

    /// Gives a session its next `count` outbound numbers: the first of them, or 0 for no session.
    #[inline]
    pub(super) fn give(&mut self, id: SessionId, count: u64) -> u64 {
        if id.0 == 0 {
            return 0;
        }
        let session = self.get_mut(id);
        let first = session.outbound + 1;
        session.outbound += count;
        first
    }

    /// All sessions, in order of number.
    pub(super) fn all(&self) -> &[Session] {
        &self.sessions
    }

    /// Packs all sessions, in order of number.
    pub(super) fn pack(&self, pack: &mut Pack) {
        // Names are found again from the sessions.
        let Sessions { sessions, by_name: _ } = self;
        pack.count(sessions.len());
        for Session { key, name, active, outbound } in sessions {
            pack.u32(key.0);
            pack.raw(name);
            pack.u8(u8::from(*active));
            pack.u64(*outbound);
        }
    }

    /// Reads all sessions.
    pub(super) fn unpack(&mut self, unpack: &mut Unpack<'_>) -> Result<(), Unfit> {
        let count = unpack.count(SESSION_NAME_MAX_BYTES)?;
        ensure(count <= SESSIONS_MAX, "there are too many sessions")?;
        for number in (1..).take(count) {
            let (key, name) = (KeyId(unpack.u32()?), unpack.array()?);
            let (active, outbound) = (unpack.bool()?, unpack.u64()?);
            // No journal has so many records that a session could be sent more.
            ensure(outbound < 1 << 62, "a session's outbound number cannot be")?;
            self.sessions.push(Session { key, name, active, outbound });
            let other = self.by_name.insert((key, name), SessionId(number));
            ensure(other.is_none(), "two sessions have one name")?;
        }
        Ok(())
    }

    /// Checks the two tables against each other.
    pub(super) fn check(&self) {
        assert!(self.by_name.len() == self.sessions.len());
        for (session, number) in self.sessions.iter().zip(1..) {
            assert!(self.by_name.get(&(session.key, session.name)) == Some(&SessionId(number)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> SessionName {
        let mut name = [0; SESSION_NAME_MAX_BYTES];
        name[..text.len()].copy_from_slice(text.as_bytes());
        name
    }

    #[test]
    fn a_key_and_a_name_are_one_session_for_ever() {
        let mut sessions = Sessions::default();
        assert_eq!(sessions.logon(KeyId(5), &name("desk")), Some(SessionId(1)));
        assert_eq!(sessions.logon(KeyId(5), &name("algo")), Some(SessionId(2)));
        assert_eq!(sessions.logon(KeyId(6), &name("desk")), Some(SessionId(3)));
        sessions.logout(SessionId(1));
        assert_eq!(sessions.give(SessionId(1), 3), 1);
        assert_eq!(sessions.logon(KeyId(5), &name("desk")), Some(SessionId(1)));
        assert_eq!(sessions.give(SessionId(1), 1), 4);
        sessions.check();
    }

    #[test]
    fn the_node_itself_is_sent_nothing() {
        assert_eq!(Sessions::default().give(SessionId(0), 7), 0);
    }
}
