//! Many sessions through the input rings of a real node: nothing is lost, and each session keeps its
//! order. `D01_MESSAGES` is the number of messages of each session, `D01_SMALLEST_MESSAGES` the same in
//! the smallest rings, where each message is several changes of thread.

use crate::support::{PATIENCE, SMALLEST, Served, dir, good};
use mio::{Events, Poll, Token};
use openoutcry::client::{Client, Config, Options, Reply, now_ms};
use openoutcry::command::Deposit;
use openoutcry::endpoint::Endpoint;
use openoutcry::journal::dump::dump;
use openoutcry::journal::format::{LogKind, RecordKind};
use openoutcry::journal::segment::LogDir;
use openoutcry::keys::KeyPair;
use openoutcry::sys::disk::Disk;
use openoutcry::sys::storage::Append;
use openoutcry::types::{AccountId, Amount, AssetId, Sequence, Status};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

const SESSIONS: usize = 64;
const WINDOW: usize = 32;
const SEGMENT_BYTES: u64 = 64 * 1024 * 1024;

/// One client and what it has seen.
struct Sender {
    client: Client,
    sent: u64,
    answered: u64,
    /// Request of its first message.
    first: u64,
    sequence: Sequence,
}

impl Sender {
    fn fill(&mut self, messages: u64) {
        let options = Options { timestamp_ms: Some(now_ms()), ..Options::default() };
        let deposit = Deposit { account: AccountId(2), asset: AssetId(1), amount: Amount(1) };
        while self.sent < messages && self.client.has_room() {
            let request = self.client.submit(&deposit.into(), &options).expect("there is room");
            if self.sent == 0 {
                self.first = request.0;
            }
            assert_eq!(request.0, self.first + self.sent);
            self.sent += 1;
        }
        self.client.flush();
    }

    fn receive(&mut self) {
        let Sender { client, answered, first, sequence, .. } = self;
        client.on_readable(|reply| match reply {
            Reply::Answer { request, again, view } => {
                assert_eq!((request.0, again), (*first + *answered, false), "in order");
                assert_eq!(view.answer.status, Status::Done);
                assert!(view.answer.sequence > *sequence, "sequences rise within a session");
                *sequence = view.answer.sequence;
                *answered += 1;
            }
            Reply::LoggedOn(_) | Reply::Pong { .. } => {}
            other => panic!("nothing is refused or lost: {other:?}"),
        });
    }
}

#[allow(clippy::print_stdout, reason = "a long run tells how long it took")]
fn through(layout: &str, smallest: bool, messages: u64) {
    let dir = dir();
    let mut settings = vec![format!("threads.layout={layout}")];
    settings.push(format!("journal.segment_size_bytes={SEGMENT_BYTES}"));
    if smallest {
        // Every batch holds one record: a sync for each of them would be a test of the disk.
        settings.push("ack.policy=memory".to_owned());
        settings.extend(SMALLEST.iter().map(|setting| (*setting).to_owned()));
    }
    let args: Vec<&str> = settings.iter().flat_map(|s| ["--set", s.as_str()]).collect();
    let node = Served::start(dir.path(), &args);
    let balance = |dir: &Path| {
        let account = good(dir, &["account", "2"]);
        let text = account["assets"][0]["available"].as_str().expect("decimal text").to_owned();
        let (whole, part) = text.split_once('.').unwrap_or((&text, ""));
        format!("{whole}{part:0<8}").parse::<u64>().expect("a number")
    };
    let before = balance(dir.path());
    let endpoint = Endpoint::read(&dir.path().join("journal")).expect("readable").expect("there");
    let key = dir.path().join(endpoint.key.expect("a key of its own"));
    let key = KeyPair::load(&key).expect("a key");
    let mut poll = Poll::new().expect("a poll");
    let mut senders: Vec<Sender> = (0..SESSIONS)
        .map(|number| {
            let name = format!("ring-{number}");
            let mut config = Config::new(&[node.address()], key.clone(), &name);
            config.window = WINDOW;
            let mut client = Client::connect(config).expect("it logs on");
            client.register(poll.registry(), Token(number)).expect("a socket");
            Sender { client, sent: 0, answered: 0, first: 0, sequence: Sequence(0) }
        })
        .collect();
    let started = Instant::now();
    let mut events = Events::with_capacity(1024);
    let mut progress = Instant::now();
    while senders.iter().any(|sender| sender.answered < messages) {
        senders.iter_mut().for_each(|sender| sender.fill(messages));
        poll.poll(&mut events, Some(Duration::from_millis(100))).expect("it polls");
        for event in &events {
            progress = Instant::now();
            let sender = &mut senders[event.token().0];
            if event.is_writable() {
                sender.client.on_writable();
            }
            sender.receive();
        }
        assert!(progress.elapsed() < PATIENCE, "nothing came for {PATIENCE:?}");
    }
    let seconds = started.elapsed().as_secs_f64();
    println!(
        "{layout}, smallest rings {smallest}: {SESSIONS} sessions x {messages} messages in \
         {seconds:.1} s"
    );
    let all = SESSIONS as u64 * messages;
    assert_eq!(balance(dir.path()), before + all, "each had its effect once");
    drop(senders);
    node.stop();

    // The journal has them all, each session's in its order.
    let data = dir.path().join("journal");
    let log = LogDir::new(Disk::shared(), &data, LogKind::Commands, Append::Write, SEGMENT_BYTES);
    let mut sessions: BTreeMap<u32, (u64, u64)> = BTreeMap::new();
    let end = dump(&log, Sequence(1), Sequence(u64::MAX), &mut |record| {
        if record.kind() == RecordKind::Command && record.session().0 != 0 {
            let number = record.envelope().client_sequence.get();
            let (count, last) = sessions.entry(record.session().0).or_default();
            assert!(*count == 0 || number == *last + 1, "session {}", record.session());
            (*count, *last) = (*count + 1, number);
        }
        true
    });
    assert!(end.error.is_none(), "{:?}", end.error);
    assert_eq!(sessions.len(), SESSIONS);
    assert!(sessions.values().all(|(count, _)| *count == messages), "{sessions:?}");
}

/// The number of messages that was asked for, or few.
fn messages(variable: &str, few: u64) -> u64 {
    std::env::var(variable).map_or(few, |text| text.parse().expect("a number"))
}

#[test]
fn sixty_four_sessions_keep_their_order_in_the_compact_layout() {
    through("compact", false, messages("D01_MESSAGES", 1000));
}

#[test]
fn sixty_four_sessions_keep_their_order_in_the_dedicated_layout() {
    through("dedicated", false, messages("D01_MESSAGES", 1000));
}

#[test]
fn sixty_four_sessions_keep_their_order_in_the_smallest_rings() {
    let few = messages("D01_SMALLEST_MESSAGES", 25);
    through("compact", true, few);
    through("dedicated", true, few);
}
