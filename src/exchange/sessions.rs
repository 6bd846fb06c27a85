//! Sessions: their numbers, and the numbers of what is sent to them.
//!
//! Both are part of the replicated state, so that a conversation goes on after a restart or on
//! another node where it stopped.
//!
//! A *numbered* session is one of a protocol whose messages are numbered both ways (FIX): what it was sent
//! is numbered like any other's, its administrative messages included, and it knows which inbound number
//! it expects next. Its numbers begin again where its logon says so.
//!
//! Invariants: session numbers are dense, from 1, in the order of first logon, and belong to a
//! (key, name) pair for ever, and so does its being numbered; a session's outbound numbers are dense,
//! from 1, since its logon or its last reset.

use crate::limits::{KEY_SESSIONS_MAX, SESSION_NAME_MAX_BYTES, SESSIONS_MAX};
use crate::packing::{Pack, Unfit, Unpack, ensure};
use crate::types::{KeyId, SessionId};
use std::collections::BTreeMap;

/// Behind the numbers that a session's messages can have.
pub const NUMBER_END: u64 = 1 << 62;

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
    /// The inbound number expected next, from 1, of a numbered session; 0 for all others.
    pub inbound: u64,
}

impl Session {
    /// True for a session whose messages are numbered both ways.
    #[must_use]
    pub const fn is_numbered(&self) -> bool {
        self.inbound != 0
    }
}

/// What the logon to a numbered session says of its numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Numbering {
    /// Both begin again at 1.
    pub reset: bool,
    /// The inbound number expected after the logon.
    pub expected_inbound: u64,
}

/// All sessions there ever were.
#[derive(Clone, Debug, Default)]
pub(super) struct Sessions {
    sessions: Vec<Session>,
    by_name: BTreeMap<(KeyId, SessionName), SessionId>,
}

impl Sessions {
    /// The session of this key and name, now active; a new one where there is none, and none
    /// where the table is full, or the session is numbered and the logon not, or the other way round.
    pub(super) fn logon(
        &mut self,
        key: KeyId,
        name: &SessionName,
        numbering: Option<Numbering>,
    ) -> Option<SessionId> {
        let id = if let Some(&id) = self.by_name.get(&(key, *name)) {
            id
        } else {
            let of_key = self.by_name.range((key, [0; 32])..=(key, [255; 32])).count();
            if self.sessions.len() == SESSIONS_MAX || of_key == KEY_SESSIONS_MAX {
                return None;
            }
            let inbound = numbering.map_or(0, |_| 1);
            self.sessions.push(Session { key, name: *name, active: false, outbound: 0, inbound });
            let id = SessionId(self.sessions.len() as u32);
            self.by_name.insert((key, *name), id);
            id
        };
        let session = self.get_mut(id);
        if session.is_numbered() != numbering.is_some() {
            return None;
        }
        session.active = true;
        if let Some(Numbering { reset, expected_inbound }) = numbering {
            if reset {
                session.outbound = 0;
            }
            session.inbound = expected_inbound.max(1);
        }
        Some(id)
    }

    /// A numbered session has heard the message with this number. One that comes before its turn, and one
    /// that was heard before, moves nothing.
    #[inline]
    pub(super) fn hear(&mut self, id: SessionId, number: u64) {
        if id.0 != 0 {
            let session = self.get_mut(id);
            if session.is_numbered() && session.inbound == number {
                session.inbound += 1;
            }
        }
    }

    /// A numbered session has heard all messages before this number.
    pub(super) fn hear_up_to(&mut self, id: SessionId, expected_inbound: u64) {
        let index = (id.0 as usize).wrapping_sub(1);
        if let Some(session) = self.sessions.get_mut(index).filter(|session| session.is_numbered())
        {
            session.inbound = session.inbound.max(expected_inbound);
        }
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
        for Session { key, name, active, outbound, inbound: _ } in sessions {
            pack.u32(key.0);
            pack.raw(name);
            pack.u8(u8::from(*active));
            pack.u64(*outbound);
        }
        // Where none is numbered nothing follows, as of releases that knew no such session.
        let count = self.numbered().count();
        if count > 0 {
            pack.count(count);
            for (id, inbound) in self.numbered() {
                pack.u32(id.0);
                pack.u64(inbound);
            }
        }
    }

    /// The numbered sessions, in order of number, and the inbound number that each expects next.
    pub(super) fn numbered(&self) -> impl Iterator<Item = (SessionId, u64)> {
        let all = (1..).zip(&self.sessions);
        let numbered = all.filter(|(_, session)| session.is_numbered());
        numbered.map(|(number, session)| (SessionId(number), session.inbound))
    }

    /// Reads all sessions.
    pub(super) fn unpack(&mut self, unpack: &mut Unpack<'_>) -> Result<(), Unfit> {
        let count = unpack.count(SESSION_NAME_MAX_BYTES)?;
        ensure(count <= SESSIONS_MAX, "there are too many sessions")?;
        for number in (1..).take(count) {
            let (key, name) = (KeyId(unpack.u32()?), unpack.array()?);
            let (active, outbound) = (unpack.bool()?, unpack.u64()?);
            // No journal has so many records that a session could be sent more.
            ensure(outbound < NUMBER_END, "a session's outbound number cannot be")?;
            self.sessions.push(Session { key, name, active, outbound, inbound: 0 });
            let other = self.by_name.insert((key, name), SessionId(number));
            ensure(other.is_none(), "two sessions have one name")?;
        }
        if unpack.is_empty() {
            return Ok(());
        }
        let numbered = unpack.count(12)?;
        ensure(numbered > 0, "no session is numbered, and that stands there")?;
        let mut last = 0;
        for _ in 0..numbered {
            let (number, inbound) = (unpack.u32()?, unpack.u64()?);
            let known = number > last && number as usize <= self.sessions.len();
            ensure(known, "numbered sessions are unknown or not in order")?;
            ensure((1..NUMBER_END).contains(&inbound), "an inbound number cannot be")?;
            self.sessions[number as usize - 1].inbound = inbound;
            last = number;
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
        assert_eq!(sessions.logon(KeyId(5), &name("desk"), None), Some(SessionId(1)));
        assert_eq!(sessions.logon(KeyId(5), &name("algo"), None), Some(SessionId(2)));
        assert_eq!(sessions.logon(KeyId(6), &name("desk"), None), Some(SessionId(3)));
        sessions.logout(SessionId(1));
        assert_eq!(sessions.give(SessionId(1), 3), 1);
        assert_eq!(sessions.logon(KeyId(5), &name("desk"), None), Some(SessionId(1)));
        assert_eq!(sessions.give(SessionId(1), 1), 4);
        sessions.check();
    }

    #[test]
    fn a_numbered_session_goes_on_where_it_was_and_begins_again_where_its_logon_says_so() {
        let mut sessions = Sessions::default();
        let numbering = |reset, expected_inbound| Some(Numbering { reset, expected_inbound });
        let id =
            sessions.logon(KeyId(5), &name("fix"), numbering(false, 2)).expect("there is room");
        sessions.give(id, 4);
        sessions.hear_up_to(id, 6);
        // What comes before its turn moves nothing, and what was heard before nothing back.
        sessions.hear(id, 7);
        sessions.hear(id, 6);
        sessions.hear(id, 3);
        sessions.hear_up_to(id, 3);
        let numbers = |sessions: &Sessions| {
            let session = sessions.get(id).expect("it logged on");
            (session.outbound, session.inbound)
        };
        assert_eq!(numbers(&sessions), (4, 7));
        assert_eq!(sessions.logon(KeyId(5), &name("fix"), numbering(false, 8)), Some(id));
        assert_eq!(numbers(&sessions), (4, 8));
        assert_eq!(sessions.logon(KeyId(5), &name("fix"), numbering(true, 2)), Some(id));
        assert_eq!(numbers(&sessions), (0, 2));
    }

    #[test]
    fn a_session_is_numbered_for_ever_or_never() {
        let mut sessions = Sessions::default();
        let numbering = Some(Numbering { reset: true, expected_inbound: 2 });
        assert_eq!(sessions.logon(KeyId(5), &name("native"), None), Some(SessionId(1)));
        assert_eq!(sessions.logon(KeyId(5), &name("fix"), numbering), Some(SessionId(2)));
        assert_eq!(sessions.logon(KeyId(5), &name("native"), numbering), None);
        assert_eq!(sessions.logon(KeyId(5), &name("fix"), None), None);
        sessions.hear(SessionId(1), 0);
        sessions.hear_up_to(SessionId(1), 9);
        sessions.hear_up_to(SessionId(9), 9);
        sessions.hear_up_to(SessionId(0), 9);
        assert_eq!(sessions.get(SessionId(1)).map(|session| session.inbound), Some(0));
        sessions.check();
    }

    #[test]
    fn the_node_itself_is_sent_nothing() {
        assert_eq!(Sessions::default().give(SessionId(0), 7), 0);
    }
}
