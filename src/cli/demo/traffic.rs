//! The sessions: commands out at their times, answers into the ledger, all again after a kill.
//!
//! Invariant: a command is handed over once under its message id; whatever happens to the node, it
//! is sent again under the same id until it is answered.

use super::audit::message_id;
use super::flow::Flow;
use super::proof::{Ledger, Told};
use super::show::{BookTop, Tape};
use super::venue::{MARKETS, Seat, Venue};
use crate::client::{Client, Config, Options, Reply, RequestId};
use crate::command::Command;
use crate::event::RejectReason;
use crate::types::InstrumentId;
use crate::types::Status;
use crate::wire::answer::AnswerView;
use crate::wire::message::Reject;
use hdrhistogram::Histogram;
use mio::{Events, Poll, Token};
use std::collections::{BTreeMap, VecDeque};
use std::io::ErrorKind;
use std::time::{Duration, Instant};

/// Commands of a session that may wait for their answer, beside those that are repeated.
const WINDOW: usize = 256;
/// Commands that a session hands over in one go before another one has its turn.
const TURN_MAX: usize = 64;
/// How often clients look after their connection and take the time.
const TICK: Duration = Duration::from_millis(20);
/// Longest wait for a socket.
const WAIT_MAX: Duration = Duration::from_millis(20);
/// Without an answer for so long, the run has failed.
const SILENCE_MAX: Duration = Duration::from_secs(15);
/// Longest latency that is told apart.
const LATENCY_MAX_NS: u64 = 60_000_000_000;
/// Commands of a session that are sent again after the restart although they were answered.
const REPEATED: usize = 16;
/// Share of the commands after each start that the latency leaves out: one in so many.
const WARM_UP: u64 = 20;

/// When commands are due.
#[derive(Clone, Copy, Debug)]
struct Pace {
    origin: Instant,
    first: u64,
    per_second: u64,
}

impl Pace {
    /// When a command is to be sent: those of one millisecond together. Without a rate, at once.
    fn due(&self, number: u64) -> Option<Instant> {
        if self.per_second == 0 {
            return None;
        }
        let ms = u128::from(number.saturating_sub(self.first)) * 1000 / u128::from(self.per_second);
        Some(self.origin + Duration::from_millis(u64::try_from(ms).unwrap_or(u64::MAX)))
    }
}

/// A command that waits for its answer, or to be sent again.
#[derive(Clone, Copy, Debug)]
struct Ticket {
    number: u64,
    command: Command,
    /// When it was to be sent; with that its latency begins.
    due: Instant,
    /// Its latency counts.
    counts: bool,
}

/// What the answers add up to.
pub(super) struct Tally {
    pub(super) latency_ns: Histogram<u64>,
    pub(super) rejected: BTreeMap<u16, u64>,
    pub(super) trades: u64,
    /// Answers that were the original ones of commands that the node recognised.
    pub(super) duplicates: u64,
    /// Times that the node said it was busy.
    pub(super) busy: u64,
    pub(super) tape: Tape,
}

/// A desk and its connection.
struct Desk {
    client: Client,
    flow: Flow,
    /// Tickets by request number, from `first` on.
    tickets: VecDeque<Option<Ticket>>,
    first: u64,
    /// Refused as busy: to be sent again from this time on.
    later: VecDeque<(Instant, Ticket)>,
    /// Those answered last.
    answered: VecDeque<Ticket>,
}

/// What all desks have in common.
struct Floor {
    ledger: Ledger,
    tally: Tally,
    pace: Pace,
    warm_from: u64,
    connected: bool,
    last_answer: Instant,
    problem: Option<String>,
}

/// All sessions.
pub(super) struct Traffic {
    desks: Vec<Desk>,
    floor: Floor,
    viewer: Option<Client>,
    books: Vec<BookTop>,
    poll: Poll,
    events: Events,
    commands: u64,
    next_tick: Instant,
}

fn config(address: &str, key: &crate::keys::KeyPair, name: &str) -> Config {
    Config { window: WINDOW + REPEATED, ..Config::new(&[address], key.clone(), name) }
}

impl Traffic {
    /// Logs all desks on. `rate` commands a second, 0 for as fast as they are answered.
    pub(super) fn connect(
        venue: &Venue,
        address: &str,
        flows: Vec<Flow>,
        commands: u64,
        rate: u64,
    ) -> Result<Traffic, String> {
        let seat = |(seat, flow): (&Seat, Flow)| {
            let client = Client::connect(config(address, &seat.key, &seat.name))
                .map_err(|error| format!("{}: {error}", seat.name))?;
            let first = client.conversation().next_request().0;
            let (tickets, later, answered) = (VecDeque::new(), VecDeque::new(), VecDeque::new());
            Ok(Desk { client, flow, tickets, first, later, answered })
        };
        let desks = venue.seats.iter().zip(flows).map(seat).collect::<Result<_, String>>()?;
        let now = Instant::now();
        let latency_ns = Histogram::new_with_bounds(1, LATENCY_MAX_NS, 3)
            .map_err(|error| format!("no histogram: {error}"))?;
        let floor = Floor {
            ledger: Ledger::new(commands),
            tally: Tally {
                latency_ns,
                rejected: BTreeMap::new(),
                trades: 0,
                duplicates: 0,
                busy: 0,
                tape: Tape::default(),
            },
            pace: Pace { origin: now, first: 0, per_second: rate },
            warm_from: commands / WARM_UP,
            connected: true,
            last_answer: now,
            problem: None,
        };
        let mut traffic = Traffic {
            desks,
            floor,
            viewer: None,
            books: Vec::new(),
            poll: Poll::new().map_err(|error| format!("no poll: {error}"))?,
            events: Events::with_capacity(512),
            commands,
            next_tick: now,
        };
        traffic.register()?;
        traffic.look(venue, address)?;
        Ok(traffic)
    }

    fn register(&mut self) -> Result<(), String> {
        for (index, desk) in self.desks.iter_mut().enumerate() {
            let registered = desk.client.register(self.poll.registry(), Token(index));
            registered.map_err(|error| format!("cannot watch a socket: {error}"))?;
        }
        Ok(())
    }

    /// Logs the viewer on, whose key may do nothing but look.
    fn look(&mut self, venue: &Venue, address: &str) -> Result<(), String> {
        let mut viewer = Client::connect(config(address, &venue.viewer, "viewer"))
            .map_err(|error| format!("viewer: {error}"))?;
        let registered = viewer.register(self.poll.registry(), Token(self.desks.len()));
        registered.map_err(|error| format!("cannot watch a socket: {error}"))?;
        self.viewer = Some(viewer);
        Ok(())
    }

    pub(super) fn ledger(&self) -> &Ledger {
        &self.floor.ledger
    }

    pub(super) fn tally(&self) -> &Tally {
        &self.floor.tally
    }

    pub(super) fn books(&self) -> &[BookTop] {
        &self.books
    }

    /// Commands that were sent and not answered.
    pub(super) fn unanswered(&self) -> u64 {
        self.floor.ledger.sent - self.floor.ledger.acknowledged_so_far()
    }

    /// Fingerprint of all commands.
    pub(super) fn digests(&self) -> impl Iterator<Item = [u8; 32]> {
        self.desks.iter().map(|desk| desk.flow.digest())
    }

    /// True where every command below `until` was handed over.
    pub(super) fn has_sent(&self, until: u64) -> bool {
        let sent =
            |desk: &Desk| desk.later.is_empty() && desk.flow.peek().is_none_or(|n| n >= until);
        self.desks.iter().all(sent)
    }

    /// True where nothing waits for an answer.
    pub(super) fn is_idle(&self) -> bool {
        self.desks.iter().all(|desk| desk.tickets.is_empty() && desk.later.is_empty())
    }

    /// Asks for the books anew.
    pub(super) fn refresh_books(&mut self) {
        let Some(viewer) = self.viewer.as_mut().filter(|viewer| viewer.in_flight() == 0) else {
            return;
        };
        for market in 1..=MARKETS.len() as u32 {
            // Where there is no session the picture stays as it is.
            let _ = viewer.book(InstrumentId(market), BookTop::DEPTH, false);
        }
        viewer.flush();
    }

    /// One round: sends what is due of the commands below `until`, waits a little, takes what came.
    pub(super) fn round(&mut self, until: u64) -> Result<(), String> {
        let wait = self.send(until);
        self.receive(wait)?;
        if self.is_idle() {
            self.floor.last_answer = Instant::now();
        } else if self.floor.last_answer.elapsed() > SILENCE_MAX {
            let (seconds, waiting) = (SILENCE_MAX.as_secs(), self.unanswered());
            return Err(format!("no answer for {seconds} s while {waiting} commands wait"));
        }
        Ok(())
    }

    /// Sends what is due; gives how long there is nothing more to send.
    fn send(&mut self, until: u64) -> Duration {
        let now = Instant::now();
        let tick = now >= self.next_tick;
        if tick {
            self.next_tick = now + TICK;
        }
        let mut wait = WAIT_MAX;
        for desk in &mut self.desks {
            if tick {
                desk.client.tick(now);
            }
            wait = wait.min(desk.send(now, until, &mut self.floor));
            desk.client.flush();
        }
        if tick && let Some(viewer) = &mut self.viewer {
            viewer.tick(now);
        }
        wait
    }

    /// Waits for the sockets and takes what came.
    fn receive(&mut self, wait: Duration) -> Result<(), String> {
        self.wait(wait)?;
        let count = self.desks.len();
        for event in &self.events {
            let Token(index) = event.token();
            if index < count {
                self.desks[index].receive(&mut self.floor);
            } else if let Some(viewer) = &mut self.viewer {
                let books = &mut self.books;
                viewer.on_readable(|reply| {
                    if let Reply::Book { view, .. } = reply {
                        BookTop::of(&view).put_into(books);
                    }
                });
            }
        }
        self.floor.problem.take().map_or(Ok(()), Err)
    }

    /// Waits, to less than a millisecond: the poll alone would sleep for whole ones.
    fn wait(&mut self, wait: Duration) -> Result<(), String> {
        let whole_ms = Duration::from_millis(wait.as_millis() as u64);
        match self
            .poll
            .poll(&mut self.events, Some(whole_ms.saturating_sub(Duration::from_millis(1))))
        {
            Err(error) if error.kind() != ErrorKind::Interrupted => {
                return Err(format!("cannot wait for sockets: {error}"));
            }
            _ => {}
        }
        if self.events.is_empty() && !wait.is_zero() {
            std::thread::yield_now();
        }
        Ok(())
    }

    /// Gives the node much to do at once, whether it is due or not: hands `each` commands of every
    /// desk over, takes answers until the first of them are back, and hands as many over again. With
    /// that it ends: whoever kills the node now kills it in the middle of its work.
    pub(super) fn burst(&mut self, each: usize, until: u64) -> Result<(), String> {
        self.floor.warm_from = u64::MAX;
        self.hand_over(each, until);
        let start = self.unanswered();
        while self.unanswered() > start - start / 8 {
            self.receive(WAIT_MAX)?;
            for desk in &mut self.desks {
                desk.client.flush();
            }
            if self.floor.last_answer.elapsed() > SILENCE_MAX {
                return Err("the node does not answer".to_owned());
            }
        }
        self.hand_over(each, until);
        Ok(())
    }

    fn hand_over(&mut self, each: usize, until: u64) {
        let now = Instant::now();
        for desk in &mut self.desks {
            desk.hand_over(now, now, each, until, &mut self.floor);
            desk.client.flush();
        }
    }

    /// Takes what a dead node left in the sockets: what was answered counts as answered.
    pub(super) fn drain(&mut self) -> Result<(), String> {
        self.floor.connected = false;
        self.viewer = None;
        let end = Instant::now() + SILENCE_MAX;
        for desk in &mut self.desks {
            while desk.client.is_connected() {
                desk.receive(&mut self.floor);
                if Instant::now() > end {
                    return Err("a socket of the killed node stays open".to_owned());
                }
            }
        }
        self.floor.problem.take().map_or(Ok(()), Err)
    }

    /// Logs all desks on again and sends every command once more that was not answered, and a few
    /// that were: the node has to recognise them. Gives how many of each.
    pub(super) fn resume(&mut self, venue: &Venue, address: &str) -> Result<(u64, u64), String> {
        let (mut again, mut repeated, mut next) = (0, 0, self.commands);
        for (desk, seat) in self.desks.iter_mut().zip(&venue.seats) {
            desk.client.set_addresses(&[address]);
            desk.client.reconnect().map_err(|error| format!("{}: {error}", seat.name))?;
            desk.tickets.iter_mut().flatten().for_each(|ticket| ticket.counts = false);
            let sent = desk.client.retry().map_err(|error| format!("{}: {error}", seat.name))?;
            again += sent as u64;
            repeated += desk.repeat(&mut self.floor);
            next = next.min(desk.flow.peek().unwrap_or(next));
        }
        self.register()?;
        self.look(venue, address)?;
        let now = Instant::now();
        let floor = &mut self.floor;
        (floor.connected, floor.last_answer) = (true, now);
        floor.pace = Pace { origin: now, first: next, ..floor.pace };
        floor.warm_from = next + self.commands / WARM_UP;
        for desk in &mut self.desks {
            desk.client.flush();
            desk.receive(&mut self.floor);
        }
        Ok((again, repeated))
    }
}

impl Desk {
    /// Sends what is due; gives how long there is nothing more to send.
    fn send(&mut self, now: Instant, until: u64, floor: &mut Floor) -> Duration {
        while let Some((_, ticket)) = self.later.pop_front_if(|(from, _)| *from <= now) {
            if !self.submit(ticket, floor) {
                self.later.push_front((now, ticket));
                break;
            }
        }
        for _ in 0..TURN_MAX {
            let Some(number) = self.flow.peek().filter(|number| *number < until) else {
                return WAIT_MAX;
            };
            let due = floor.pace.due(number).unwrap_or(now);
            if due > now {
                return due - now;
            }
            if self.hand_over(now, due, 1, until, floor) == 0 {
                // The window is full: an answer will wake us.
                return WAIT_MAX;
            }
        }
        Duration::ZERO
    }

    /// Hands up to `count` commands below `until` over; gives how many.
    fn hand_over(
        &mut self,
        now: Instant,
        due: Instant,
        count: usize,
        until: u64,
        floor: &mut Floor,
    ) -> usize {
        for done in 0..count {
            let waiting = self.client.in_flight();
            let room = waiting < WINDOW && self.client.has_room() && self.later.is_empty();
            if !room || self.flow.peek().is_none_or(|number| number >= until) {
                return done;
            }
            let Some((number, command)) = self.flow.next() else { return done };
            let counts = number >= floor.warm_from;
            let ticket = Ticket { number, command, due: due.min(now), counts };
            floor.ledger.sent += 1;
            if !self.submit(ticket, floor) {
                return done;
            }
        }
        count
    }

    /// Sends commands again that were answered, as if the answer had been lost; gives how many.
    fn repeat(&mut self, floor: &mut Floor) -> u64 {
        let mut count = 0;
        for ticket in std::mem::take(&mut self.answered) {
            let ticket = Ticket { counts: false, ..ticket };
            if self.client.has_room() && self.submit(ticket, floor) {
                count += 1;
            }
        }
        count
    }

    /// Puts a command into the output, under its own message id. False where it could not be.
    fn submit(&mut self, ticket: Ticket, floor: &mut Floor) -> bool {
        let id = message_id(ticket.number);
        let options = Options { message_id: Some(&id), ..Options::default() };
        match self.client.submit(&ticket.command, &options) {
            Ok(request) => {
                let next = self.first + self.tickets.len() as u64;
                assert_eq!(request.0, next, "a desk has no other requests");
                self.tickets.push_back(Some(ticket));
                true
            }
            Err(crate::client::SubmitError::WindowFull) => false,
            Err(error) => {
                floor.problem = Some(format!("command {} cannot be sent: {error}", ticket.number));
                false
            }
        }
    }

    /// Takes what came.
    fn receive(&mut self, floor: &mut Floor) {
        let Desk { client, tickets, first, later, answered, .. } = self;
        let now = Instant::now();
        client.on_readable(|reply| match reply {
            Reply::Answer { request, again, view } => {
                if let Some(ticket) = take(tickets, first, request) {
                    floor.answered(&ticket, again, &view, now);
                    answered.truncate(REPEATED - 1);
                    answered.push_front(ticket);
                }
            }
            Reply::Reject { request: Some(request), reject } => {
                if let Some(ticket) = take(tickets, first, request) {
                    floor.refused(ticket, &reject, now, later);
                }
            }
            Reply::Reject { request: None, reject } => {
                floor.problem =
                    Some(format!("the node refused: {}: {}", reject.reason, reject.text));
            }
            Reply::Disconnected { reason } if floor.connected => {
                floor.problem = Some(format!("a connection was lost: {reason}"));
            }
            Reply::LoggedOut { reason } => {
                floor.problem = Some(format!("a session was ended: {reason}"));
            }
            // Fills of resting orders, and those that were missed while the node was away.
            _ => {}
        });
    }
}

/// The ticket of a request, taken.
fn take(
    tickets: &mut VecDeque<Option<Ticket>>,
    first: &mut u64,
    request: RequestId,
) -> Option<Ticket> {
    let index = request.0.checked_sub(*first)?;
    let ticket = tickets.get_mut(usize::try_from(index).ok()?)?.take();
    while tickets.pop_front_if(|ticket| ticket.is_none()).is_some() {
        *first += 1;
    }
    ticket
}

impl Floor {
    fn answered(&mut self, ticket: &Ticket, again: bool, view: &AnswerView<'_>, now: Instant) {
        self.last_answer = now;
        let first = self.ledger.note(ticket.number, Told::of(&view.answer));
        let tally = &mut self.tally;
        tally.duplicates += u64::from(again);
        if !first {
            return;
        }
        if view.answer.status == Status::Rejected {
            *tally.rejected.entry(view.answer.reason.0).or_default() += 1;
        }
        tally.trades += u64::from(view.answer.fill_count);
        if let Some(instrument) = ticket.command.instrument() {
            view.fills.iter().for_each(|fill| tally.tape.add(instrument, fill));
        }
        if ticket.counts {
            let latency = now.saturating_duration_since(ticket.due).as_nanos() as u64;
            tally.latency_ns.saturating_record(latency.max(1));
        }
    }

    /// Refused before it got a sequence: its id is not used up.
    fn refused(
        &mut self,
        ticket: Ticket,
        reject: &Reject<'_>,
        now: Instant,
        later: &mut VecDeque<(Instant, Ticket)>,
    ) {
        match reject.reason.reason() {
            Some(RejectReason::Busy | RejectReason::NoSpace) => {
                self.tally.busy += 1;
                let wait = Duration::from_millis(u64::from(reject.retry_after_ms));
                later.push_back((now + wait, ticket));
            }
            _ => {
                let (number, name) = (ticket.number, ticket.command.name());
                let (reason, text) = (reject.reason, reject.text);
                self.problem =
                    Some(format!("command {number} ({name}) was refused: {reason}: {text}"));
            }
        }
    }
}
