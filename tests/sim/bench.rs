//! A node without chance: a test says which agent runs and what arrives, in this order.

use super::clients::OPEN;
use super::disk::SimDisk;
use super::net::{SimDoor, Wire};
use super::node::{AGENTS, Node, Setup, SimClock};
use super::random::Random;
use super::sending::{self, What};
use super::venue::{self, Rules};
use openoutcry::admin::AdminCommand;
use openoutcry::command::{Command, NewOrder};
use openoutcry::event::RejectReason;
use openoutcry::journal::format::LogKind;
use openoutcry::journal::segment::LogDir;
use openoutcry::node::boot::{Logs, boot};
use openoutcry::snapshot::store::Store;
use openoutcry::sys::storage::Append;
use openoutcry::types::{
    AccountId, ClientOrderId, InstrumentId, KeyId, OrderType, Price, Priority, Quantity, Side,
    TimeInForce, TimeNs,
};
use openoutcry::wire::admin::encode_admin;
use openoutcry::wire::answer::Answer;
use openoutcry::wire::frame::{Frame, FrameHead, FrameWriter, frame_length};
use openoutcry::wire::header::{BitMode, Flags};
use openoutcry::wire::message::{Challenge, LogonAccepted, Logout, ServerMessage, send};
use openoutcry::wire::metadata::Metadata;
use std::path::Path;

/// Where the wall clock stands.
const NOW_MS: i64 = 1_700_000_000_000;
/// The key that everybody uses here.
pub(crate) const KEY: KeyId = KeyId(2);

/// What the server said.
#[derive(Clone, Debug)]
pub(crate) enum Got {
    Challenge(Challenge),
    Accepted(LogonAccepted),
    Answer,
    /// A change of an order.
    Update,
    Reject(u64, RejectReason),
    LoggedOut,
    /// A notice of this kind.
    Notice(u8),
    /// The answer to a question.
    Book,
    /// The same, with so many schemas.
    Schemas(usize),
}

pub(crate) struct Bench {
    pub(crate) disk: SimDisk,
    pub(crate) logs: Logs,
    pub(crate) node: Node,
    clock: SimClock,
    random: Random,
    wires: Vec<Wire>,
    inbound: Vec<Vec<u8>>,
}

impl Bench {
    /// A node on an empty disk; `change` says what of it is not as usual.
    pub(crate) fn new(change: impl FnOnce(&mut Setup)) -> Bench {
        let (disk, clock) = (SimDisk::new(), SimClock::default());
        let mut random = Random::new(1);
        clock.set_wall(NOW_MS.cast_unsigned() * 1_000_000);
        let log = |kind, size: u64| {
            LogDir::new(disk.shared(), Path::new("data"), kind, Append::Write, size * 1024)
        };
        let logs = Logs {
            commands: log(LogKind::Commands, 64),
            events: log(LogKind::Events, 128),
            rejects: log(LogKind::Rejects, 128),
            snapshots: Store::new(disk.shared(), Path::new("data")),
            segments_ahead: 1,
        };
        let rules = Rules::plain(1, 10_000, 10_000);
        let time = TimeNs(NOW_MS.cast_unsigned() * 1_000_000);
        let booted =
            boot(&logs, || rules.genesis(time), &mut |_| ()).expect("an empty disk is fine");
        let mut setup = Setup::usual();
        change(&mut setup);
        let node = Node::start(booted, &logs, &clock, setup, &mut random);
        Bench { disk, logs, node, clock, random, wires: Vec::new(), inbound: Vec::new() }
    }

    /// The process is killed and the node starts again; connections are gone.
    pub(crate) fn restart(&mut self) {
        self.disk.kill();
        let none = || unreachable!("the journal has its genesis");
        let booted = boot(&self.logs, none, &mut |_| ()).expect("a crash is no damage");
        let setup = Setup::usual();
        self.node = Node::start(booted, &self.logs, &self.clock, setup, &mut self.random);
        (self.wires, self.inbound) = (Vec::new(), Vec::new());
    }

    /// A new connection's number; the gateway has not seen it yet.
    pub(crate) fn connect(&mut self) -> usize {
        self.connect_to(0)
    }

    /// The same at one of several gateways.
    pub(crate) fn connect_to(&mut self, gateway: usize) -> usize {
        let door: &SimDoor = &self.node.doors[gateway];
        self.wires.push(door.knock(&mut self.random, 100_000));
        self.inbound.push(Vec::new());
        self.node.stages.gateways[gateway].ready(openoutcry::gateway::DOOR, true, false);
        self.wires.len() - 1
    }

    pub(crate) fn send(&mut self, peer: usize, bytes: &[u8]) {
        self.wires[peer].send(bytes);
    }

    /// Hangs up behind what was sent.
    pub(crate) fn hang_up(&mut self, peer: usize) {
        self.wires[peer].finish();
    }

    /// Brings everything to the server's sockets and lets these agents work, once each.
    pub(crate) fn turn(&mut self, agents: impl IntoIterator<Item = usize>) {
        assert!(self.try_turn(agents), "the node stopped itself");
    }

    /// The same; false where the node stopped itself.
    pub(crate) fn try_turn(&mut self, agents: impl IntoIterator<Item = usize>) -> bool {
        self.clock.advance(1_000_000);
        for wire in &self.wires {
            while wire.carry(&mut self.random, 1_000_000) > 0 {}
            if let Some(ready) = wire.readiness() {
                self.node.tell(ready);
            }
        }
        for agent in agents {
            self.node.run(agent, false);
            self.node.run(agent, true);
        }
        self.node.recorder.take().is_none()
    }

    /// Answers that a peer was sent since it asked last; whatever else came is thrown away.
    pub(crate) fn answers(&mut self, peer: usize) -> Vec<Answer> {
        let (inbound, mut used, mut answers) = (&mut self.inbound[peer], 0, Vec::new());
        self.wires[peer].receive(usize::MAX, inbound);
        while let Some(size) = frame_length(&inbound[used..], OPEN.frame_max).expect("sound frames")
            && used + size <= inbound.len()
        {
            let frame = Frame::open(&inbound[used..used + size], &OPEN).expect("a sound frame");
            if let Ok(ServerMessage::Answer(view)) = ServerMessage::decode(&frame) {
                answers.push(view.answer);
            }
            used += size;
        }
        inbound.drain(..used);
        answers
    }

    /// Lets everybody work until surely nothing is left to do.
    pub(crate) fn rest(&mut self) {
        (0..60).for_each(|_| self.turn(0..self.node.agents()));
    }

    /// What a peer was told since it asked last.
    pub(crate) fn heard(&mut self, peer: usize) -> Vec<Got> {
        let inbound = &mut self.inbound[peer];
        self.wires[peer].receive(usize::MAX, inbound);
        let (mut used, mut got) = (0, Vec::new());
        while let Some(size) = frame_length(&inbound[used..], OPEN.frame_max).expect("sound frames")
            && used + size <= inbound.len()
        {
            let frame = Frame::open(&inbound[used..used + size], &OPEN).expect("a sound frame");
            let number = frame.client_sequence();
            got.push(match ServerMessage::decode(&frame).expect("the protocol is spoken") {
                ServerMessage::Challenge(challenge) => Got::Challenge(challenge),
                ServerMessage::LogonAccepted(accepted) => Got::Accepted(accepted),
                ServerMessage::Answer(_) => Got::Answer,
                ServerMessage::OrderUpdate(_) => Got::Update,
                ServerMessage::Reject(reject) => {
                    Got::Reject(number, reject.reason.reason().expect("a reason that we know"))
                }
                ServerMessage::LoggedOut(_) => Got::LoggedOut,
                ServerMessage::Notice(notice) => Got::Notice(notice.kind),
                ServerMessage::Book(_) => Got::Book,
                ServerMessage::Schemas(view) => {
                    Got::Schemas(view.parse().expect("JSON").schemas.len())
                }
                other => panic!("not expected here: {other:?}"),
            });
            used += size;
        }
        inbound.drain(..used);
        got
    }

    /// Greets, and sends the logon for a session of this name; nothing has handled it yet.
    pub(crate) fn log_on(&mut self, name: &str) -> usize {
        self.log_on_at(0, name)
    }

    /// The same at one of several gateways.
    pub(crate) fn log_on_at(&mut self, gateway: usize, name: &str) -> usize {
        self.log_on_as(gateway, KEY, name)
    }

    /// The same with another key.
    pub(crate) fn log_on_as(&mut self, gateway: usize, key: KeyId, name: &str) -> usize {
        let peer = self.connect_to(gateway);
        self.turn([if gateway == 0 { 0 } else { AGENTS - 1 + gateway }]);
        let heard = self.heard(peer);
        let [Got::Challenge(challenge)] = heard[..] else { panic!("a challenge, not {heard:?}") };
        let frame = sending::logon(What::Logon, 1, key, name, &challenge, 0, false);
        self.send(peer, &frame);
        peer
    }

    /// A connection with a session.
    pub(crate) fn live(&mut self, name: &str) -> (usize, LogonAccepted) {
        let peer = self.log_on(name);
        self.rest();
        let heard = self.heard(peer);
        let [Got::Accepted(accepted)] = heard[..] else { panic!("accepted, not {heard:?}") };
        (peer, accepted)
    }
}

/// An order to buy one lot, with `number` as its id too.
pub(crate) fn order(number: u64) -> Vec<u8> {
    order_of(number, Side::Buy, 1)
}

/// The same on a side, for a quantity.
pub(crate) fn order_of(number: u64, side: Side, quantity: i64) -> Vec<u8> {
    framed(number, Priority::Normal, &new_order(side, quantity), None)
}

/// The same order as a command.
pub(crate) fn new_order(side: Side, quantity: i64) -> Command {
    let order = NewOrder {
        account: AccountId(account()),
        instrument: InstrumentId(1),
        side,
        order_type: OrderType::Limit,
        time_in_force: TimeInForce::Gtc,
        flags: 0,
        price: Price(100),
        quantity: Quantity(quantity),
        client_order_id: ClientOrderId(0),
    };
    order.into()
}

/// A command with `number` as its id too, signed by a key where one is named.
pub(crate) fn framed(
    number: u64,
    priority: Priority,
    command: &Command,
    signed_by: Option<KeyId>,
) -> Vec<u8> {
    let (id, mut out) = (format!("m{number}"), Vec::new());
    let metadata = Metadata::new(&id, NOW_MS, priority);
    let (schema, flags) = (command.schema(), Flags::new(priority));
    let head = FrameHead { schema, flags, bit_mode: BitMode::Bits64, client_sequence: number };
    let mut writer = FrameWriter::begin_with(&mut out, head, &metadata).expect("a short id");
    command.encode(writer.payload());
    match signed_by {
        Some(key) => writer.seal_signed(venue::signer(key)),
        None => writer.seal(),
    };
    out
}

/// An operator's command with `number` as its id too.
pub(crate) fn admin(number: u64, command: &AdminCommand, key: KeyId) -> Vec<u8> {
    let (id, mut out) = (format!("m{number}"), Vec::new());
    let metadata = Metadata::new(&id, NOW_MS, Priority::Normal);
    let (schema, flags) = (AdminCommand::SCHEMA, Flags::new(Priority::Normal));
    let head = FrameHead { schema, flags, bit_mode: BitMode::Bits64, client_sequence: number };
    let mut writer = FrameWriter::begin_with(&mut out, head, &metadata).expect("a short id");
    assert!(encode_admin(command, writer.payload()));
    writer.seal_signed(venue::signer(key));
    out
}

/// A goodbye.
pub(crate) fn logout(number: u64) -> Vec<u8> {
    let mut out = Vec::new();
    send(&Logout {}, number, &mut out);
    out
}

/// The account that [`KEY`] trades for.
pub(crate) fn account() -> u64 {
    venue::KEYS[KEY.0 as usize - 1].1[0]
}
