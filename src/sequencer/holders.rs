//! Which connection's logon was sequenced last for each session: who may still end it.
//!
//! Several gateways report logons and ends of connections independently of each other. The order in
//! which they are sequenced decides: an end reported by a connection whose session another one has
//! taken over since is no end, and no record. Belongs to the node; nothing of it is journaled.
//!
//! Invariants: a slot of a gateway has at most one entry, so there are never more than connections;
//! whoever holds a session is the one that its slot's entry names.

use crate::journal::payload::SessionLogon;
use crate::message::Origin;
use crate::types::KeyId;
use std::collections::HashMap;
use zerocopy::FromBytes as _;

/// A key and a session's name.
type Name = (KeyId, [u8; 32]);

/// The connections that hold sessions.
#[derive(Debug, Default)]
pub(super) struct Holders {
    by_name: HashMap<Name, Origin>,
    /// What the connection in a slot of a gateway logged on to.
    by_slot: HashMap<(u8, u32), (Origin, Name)>,
}

impl Holders {
    /// True where no other connection has taken over what this one logged on to.
    pub(super) fn holds(&self, origin: Origin) -> bool {
        let slot = self.by_slot.get(&(origin.gateway, origin.connection));
        slot.is_some_and(|(holder, _)| *holder == origin)
    }

    /// A logon was sequenced: whoever held this session does so no more.
    pub(super) fn logged_on(&mut self, origin: Origin, key: KeyId, record: &[u8]) {
        let Ok((record, _)) = SessionLogon::read_from_prefix(record) else {
            unreachable!("the gateway writes the record of every logon")
        };
        // Whoever had the slot before and never ended: its logon began no session.
        self.ended(origin);
        let name = (key, record.name);
        if let Some(before) = self.by_name.insert(name, origin) {
            self.by_slot.remove(&(before.gateway, before.connection));
        }
        self.by_slot.insert((origin.gateway, origin.connection), (origin, name));
    }

    /// The end of what the connection in this slot held was sequenced.
    pub(super) fn ended(&mut self, origin: Origin) {
        if let Some((_, name)) = self.by_slot.remove(&(origin.gateway, origin.connection)) {
            self.by_name.remove(&name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use zerocopy::IntoBytes as _;

    fn origin(gateway: u8, connection: u32, generation: u32) -> Origin {
        Origin { gateway, connection, generation }
    }

    fn log_on(holders: &mut Holders, origin: Origin, name: &str) {
        let record = SessionLogon::named(name.as_bytes());
        holders.logged_on(origin, KeyId(1), record.as_bytes());
        assert_eq!(holders.by_name.len(), holders.by_slot.len());
    }

    #[test]
    fn whoever_logged_on_last_may_end_the_session_and_nobody_else() {
        let mut holders = Holders::default();
        let (old, new) = (origin(0, 5, 1), origin(1, 5, 1));
        log_on(&mut holders, old, "desk");
        assert!(holders.holds(old));
        log_on(&mut holders, new, "desk");
        assert!(!holders.holds(old));
        assert!(holders.holds(new));
        holders.ended(new);
        assert!(!holders.holds(new), "a session ends once");
    }

    #[test]
    fn a_slot_that_is_used_again_forgets_who_had_it() {
        let mut holders = Holders::default();
        for generation in 1..100 {
            log_on(&mut holders, origin(0, 0, generation), &format!("desk {generation}"));
        }
        assert!(!holders.holds(origin(0, 0, 98)));
        assert!(holders.holds(origin(0, 0, 99)));
        assert_eq!(holders.by_name.len(), 1);
    }
}
