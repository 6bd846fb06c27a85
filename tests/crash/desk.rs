//! Desks of the crash tests: sessions of the client library that trade against the real binary and
//! tell the outside ledger of everything they send and hear.

use crate::sim::ledger::{Ledger, Seen, Sent};
use crate::sim::random::Random;
use crate::sim::venue::{Known, command};
use crate::support::{PATIENCE, Served};
use openoutcry::client::{Client, Config, Options, Reply, RequestId, now_ms};
use openoutcry::command::Command;
use openoutcry::keys::KeyPair;
use openoutcry::types::{KeyId, OrderId, Priority, SessionId};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Requests of a desk that wait for their answers, at most.
const WINDOW: usize = 96;
/// Orders that a desk remembers.
const KNOWN_MAX: usize = 60;
/// Whose commands the desks send: those of an operator, who may act for every account.
const OPERATOR: KeyId = KeyId(1);

/// A session that trades.
pub(crate) struct Desk {
    client: Client,
    name: String,
    session: SessionId,
    random: Random,
    known: Vec<Known>,
    /// The ledger's number of each request that waits.
    waiting: BTreeMap<RequestId, usize>,
    /// The ledger's numbers of all commands, in the order they were given.
    sent: Vec<usize>,
    /// Those that were refused and never sent again.
    refused: BTreeSet<usize>,
}

fn config(node: &Served, session: &str) -> Config {
    let key = node.ready["key"].as_str().expect("a key of its own");
    let key = KeyPair::load(&node.dir.join(key)).expect("a key");
    Config { window: WINDOW, ..Config::new(&[node.address()], key, session) }
}

impl Desk {
    /// Opens a session of this name.
    pub(crate) fn open(node: &Served, name: &str, seed: u64, ledger: &Mutex<Ledger>) -> Desk {
        let client = Client::connect(config(node, name)).expect("the node listens");
        let mut desk = Desk {
            client,
            name: name.to_owned(),
            session: SessionId(0),
            random: Random::new(seed),
            known: Vec::new(),
            waiting: BTreeMap::new(),
            sent: Vec::new(),
            refused: BTreeSet::new(),
        };
        desk.opened(ledger);
        desk
    }

    fn opened(&mut self, ledger: &Mutex<Ledger>) {
        let conversation = self.client.conversation();
        self.session = conversation.accepted().expect("it is open").session;
        let first = conversation.next_request().0;
        ledger.lock().expect("no desk failed").connected(self.session, first);
    }

    /// Goes on with the session at the next node, and sends again whatever has no answer: as the
    /// same client, or as a new one that asks for what it has missed.
    pub(crate) fn resume(&mut self, node: &Served, ledger: &Mutex<Ledger>) {
        if self.random.percent(50) {
            self.client.set_addresses(&[node.address()]);
            self.client.reconnect().expect("the node listens");
            self.opened(ledger);
            self.client.retry().expect("the session is open");
            let mut ledger = ledger.lock().expect("no desk failed");
            self.waiting.values().for_each(|index| ledger.commands[*index].unresolved += 1);
            return;
        }
        let last_received = self.client.conversation().last_received();
        let config = Config { last_received, ..config(node, &self.name) };
        self.client = Client::connect(config).expect("the node listens");
        self.opened(ledger);
        let mut ledger = ledger.lock().expect("no desk failed");
        let unanswered = |index: &usize| ledger.commands[*index].answer.is_none();
        let again: BTreeSet<usize> = self.waiting.values().copied().filter(unanswered).collect();
        for index in again {
            let sent = &mut ledger.commands[index];
            let id = format!("m{index}");
            let options = Options {
                message_id: Some(&id),
                timestamp_ms: Some(sent.timestamp_ms),
                possible_duplicate: true,
                ..Options::default()
            };
            let request = self.client.submit(&sent.command, &options).expect("there is room");
            sent.unresolved += 1;
            self.waiting.insert(request, index);
        }
    }

    /// Sends and listens until the connection is gone.
    pub(crate) fn trade(&mut self, ledger: &Mutex<Ledger>) {
        let end = Instant::now() + PATIENCE;
        while self.client.is_connected() {
            assert!(Instant::now() < end, "the node is to be ended by then");
            // What has left the node is heard before a write finds that it is gone.
            self.listen(Duration::ZERO, ledger);
            for _ in 0..self.random.below(16) {
                if !self.client.is_connected() || !self.submit(ledger) {
                    break;
                }
            }
            self.listen(Duration::from_millis(20), ledger);
        }
    }

    /// What the journal has of this desk is a prefix of what it sent, in the same order.
    pub(crate) fn check(&self, places: &BTreeMap<usize, u64>) {
        let (mut last, mut missing) = (0, None);
        for index in self.sent.iter().filter(|index| !self.refused.contains(index)) {
            match (places.get(index), missing) {
                (None, _) => missing = missing.or(Some(index)),
                (Some(place), None) => {
                    assert!(*place > last, "in order: command {index} of {}", self.name);
                    last = *place;
                }
                (Some(_), Some(before)) => {
                    panic!("a prefix: {} has {index} and not {before}, sent earlier", self.name)
                }
            }
        }
    }

    /// Listens until nothing waits any more.
    pub(crate) fn settle(&mut self, ledger: &Mutex<Ledger>) {
        let end = Instant::now() + PATIENCE;
        while self.client.in_flight() > 0 {
            assert!(Instant::now() < end, "{} have no answer", self.client.in_flight());
            assert!(self.client.is_connected(), "the node goes on");
            self.listen(Duration::from_millis(100), ledger);
        }
    }

    /// Sends the next command; false where it cannot be sent now.
    fn submit(&mut self, ledger: &Mutex<Ledger>) -> bool {
        let command = command(&mut self.random, OPERATOR, &self.known);
        let timestamp_ms = now_ms();
        let mut ledger = ledger.lock().expect("no desk failed");
        let id = format!("m{}", ledger.commands.len());
        let options = Options {
            message_id: Some(&id),
            timestamp_ms: Some(timestamp_ms),
            ..Options::default()
        };
        let Ok(request) = self.client.submit(&command, &options) else { return false };
        let index = ledger.add(Sent {
            key: OPERATOR,
            command,
            timestamp_ms,
            ttl_ms: 0,
            priority: Priority::Normal,
            answer: None,
            unresolved: 1,
        });
        self.waiting.insert(request, index);
        self.sent.push(index);
        true
    }

    fn listen(&mut self, wait: Duration, ledger: &Mutex<Ledger>) {
        let Desk { client, session, known, waiting, refused, .. } = self;
        let mut ledger_of_all = None;
        let polled = client.poll(Some(wait), |reply| {
            let ledger =
                ledger_of_all.get_or_insert_with(|| ledger.lock().expect("no desk failed"));
            match reply {
                Reply::Answer { request, again, view } => {
                    let index = waiting.remove(&request).expect("it waits for an answer");
                    let (answer, fills) = (view.answer, view.fills.iter().collect());
                    if answer.leaves.0 > 0 && answer.order_id != OrderId(0) {
                        remember(known, ledger.commands[index].command, answer.order_id);
                    }
                    ledger.answered(index, Seen { answer, fills }, again);
                }
                Reply::Fill(fill) => ledger.filled(*session, fill),
                Reply::OrderUpdate(update) => ledger.updated(*session, update),
                Reply::Reject { request: Some(request), reject } => {
                    let index = waiting.remove(&request).expect("it waits for an answer");
                    let reason = reject.reason.reason().expect("a reason that we know");
                    ledger.refused(index, reason);
                    refused.insert(index);
                }
                Reply::Gap { expected, found } => {
                    panic!("what was sent to the session is lost: {expected} to {found}")
                }
                Reply::LoggedOn(_)
                | Reply::Notice(_)
                | Reply::LoggedOut { .. }
                | Reply::Disconnected { .. } => {}
                other => panic!("not expected here: {other:?}"),
            }
        });
        polled.expect("the machine polls");
    }
}

fn remember(known: &mut Vec<Known>, command: Command, order_id: OrderId) {
    if let Some(instrument) = command.instrument() {
        known.push(Known { account: command.account(), instrument, order_id });
    }
    if known.len() > KNOWN_MAX {
        known.drain(..KNOWN_MAX / 2);
    }
}
