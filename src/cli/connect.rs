//! A session with a node, for commands that ask or order.
//!
//! Invariants: address and key default to what a node on this machine wrote into its data
//! directory; two commands that run at the same time never share a session, and sessions that ended
//! are used again, for a venue remembers every session there ever was; what goes wrong is told with
//! the file or address that was tried.

use super::venue::Venue;
use super::{Failure, Global};
use crate::client::{Client, ClientError, Config, Reply, RequestId, SubmitError};
use crate::endpoint::Endpoint;
use crate::event::RejectReason;
use crate::keys::KeyPair;
use crate::types::{AssetId, InstrumentId, SessionId};
use crate::wire::message::ReasonCode;
use std::fs::{DirBuilder, File};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Reasons from this number on are the exchange's own; those below refuse the message itself.
const EXCHANGE_REASONS: u16 = 100;
/// Commands of one name and user that may run at the same time with sessions of their own.
const SLOTS_MAX: usize = 256;
/// How long an ended session is waited for.
const FAREWELL: Duration = Duration::from_secs(1);

/// Where the node is and who asks.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Connection")]
pub(super) struct Connection {
    /// Nodes to try in turn [default: that of the data directory's endpoint.json]
    #[arg(long, value_name = "HOST:PORT", value_delimiter = ',')]
    connect: Vec<String>,
    /// Secret key to log on with [default: that of the data directory's endpoint.json]
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// Name of the session, 1 to 32 characters [default: one that no other command is using]
    #[arg(long, value_name = "NAME")]
    session: Option<String>,
    /// Seconds to wait for an answer
    #[arg(long, value_name = "SECONDS", default_value_t = 10,
          value_parser = clap::value_parser!(u64).range(1..=86_400))]
    timeout_s: u64,
}

/// What was found out about where to connect.
struct Target {
    addresses: Vec<String>,
    key: PathBuf,
    /// Where the addresses stood, for messages.
    origin: String,
}

/// What the node of this machine tells, and the file that says so; where none runs, the option that
/// would have made up for it is named.
pub(super) fn node_here(global: &Global, option: &str) -> Result<(Endpoint, String), Failure> {
    let data_dir = PathBuf::from(global.load()?.config.node.data_dir);
    let shown = Endpoint::path(&data_dir).display().to_string();
    match Endpoint::read(&data_dir) {
        Ok(Some(endpoint)) => Ok((endpoint, shown)),
        Ok(None) => Err(Failure::node(format_args!(
            "no node is running here: {shown} does not exist; start one with `outcry serve`, name its \
             directory with --data-dir, or give {option}"
        ))),
        Err(error) => Err(Failure::usage(format_args!("cannot read {shown}: {error}"))),
    }
}

/// Where an address stood, for messages.
pub(super) fn origin(endpoint: &Endpoint, shown: &str) -> String {
    format!("from {shown}, written by process {}", endpoint.pid)
}

impl Connection {
    /// How long an answer may take.
    pub(super) fn timeout(&self) -> Duration {
        Duration::from_secs(self.timeout_s)
    }

    /// True where an option names a node, a key or a session.
    pub(super) fn is_given(&self) -> bool {
        !self.connect.is_empty() || self.key.is_some() || self.session.is_some()
    }

    fn target(&self, global: &Global) -> Result<Target, Failure> {
        if let (false, Some(key)) = (self.connect.is_empty(), &self.key) {
            let origin = "given by --connect".to_owned();
            return Ok(Target { addresses: self.connect.clone(), key: key.clone(), origin });
        }
        let missing = if self.connect.is_empty() { "--connect HOST:PORT" } else { "--key FILE" };
        let (endpoint, shown) = node_here(global, missing)?;
        let origin = origin(&endpoint, &shown);
        let key = self.key.clone().or(endpoint.key).ok_or_else(|| {
            Failure::usage(format_args!(
                "--key FILE is needed: the node of {shown} has no key of its own for this machine"
            ))
        })?;
        if !self.connect.is_empty() {
            let origin = "given by --connect".to_owned();
            return Ok(Target { addresses: self.connect.clone(), key, origin });
        }
        Ok(Target { addresses: vec![endpoint.native], key, origin })
    }
}

/// Why a request has no reply.
pub(super) enum Lost {
    /// The node refused the message; nothing became of it.
    Refused {
        /// Why.
        reason: ReasonCode,
        /// In words.
        text: String,
    },
    /// Nothing came in time, or the connection is gone: what became of the request is not known.
    Unknown(String),
}

impl Lost {
    /// What a question that was not answered ends its command with.
    pub(super) fn of_query(self, question: &str) -> Failure {
        match self {
            Lost::Refused { reason, text } if reason.0 >= EXCHANGE_REASONS => {
                Failure::bad(format_args!("{question}: {reason}: {text}"))
            }
            Lost::Refused { reason, text } => {
                Failure::node(format_args!("{question}: {reason}: {text}"))
            }
            Lost::Unknown(why) => Failure::node(format_args!("{question}: {why}")),
        }
    }
}

/// A session with a node.
pub(super) struct Link {
    pub(super) client: Client,
    pub(super) venue: Venue,
    pub(super) timeout: Duration,
    session: String,
    /// Keeps other commands from using the session's name.
    _slot: Option<File>,
}

impl Link {
    /// Connects, logs on and asks for the venue's assets and instruments.
    pub(super) fn open(args: &Connection, global: &Global, command: &str) -> Result<Link, Failure> {
        let target = args.target(global)?;
        let key = KeyPair::load(&target.key).map_err(Failure::usage)?;
        let public = key.public_hex();
        let (session, slot) = match &args.session {
            Some(name) => (name.clone(), None),
            None => own_session(command)?,
        };
        let timeout = args.timeout();
        let config = Config {
            addresses: target.addresses.clone(),
            connect_timeout: timeout,
            ..Config::new(&[], key, &session)
        };
        let client = Client::connect(config).map_err(|error| refused(&error, &target, &public))?;
        let venue = Venue::default();
        let mut link = Link { client, venue, timeout, session, _slot: slot };
        link.ask_venue()?;
        Ok(link)
    }

    /// The session's name.
    pub(super) fn session(&self) -> &str {
        &self.session
    }

    /// The session's number.
    pub(super) fn number(&self) -> SessionId {
        self.client.conversation().accepted().map_or(SessionId(0), |accepted| accepted.session)
    }

    /// Waits until `take` has got what it wants of the replies; it also sees those that came with the
    /// last one. `request` is the one whose refusal ends the wait.
    pub(super) fn wait<T>(
        &mut self,
        request: RequestId,
        mut take: impl FnMut(&Reply<'_>) -> Option<T>,
    ) -> Result<T, Lost> {
        let deadline = Instant::now() + self.timeout;
        let (mut taken, mut lost) = (None, None);
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let polled = self.client.poll(Some(left), |reply| match ending(&reply, request) {
                Some(end) => {
                    lost.get_or_insert(end);
                }
                None => {
                    let found = take(&reply);
                    taken = taken.take().or(found);
                }
            });
            if let Some(taken) = taken {
                return Ok(taken);
            }
            if let Err(error) = polled {
                return Err(Lost::Unknown(error.to_string()));
            }
            if let Some(lost) = lost {
                return Err(lost);
            }
            if left.is_zero() {
                let seconds = self.timeout.as_secs();
                return Err(Lost::Unknown(format!("no answer within {seconds} s")));
            }
        }
    }

    /// Ends the session, so that its end is sequenced before the next command begins.
    pub(super) fn close(self) {
        self.close_with(|_| ());
    }

    /// Ends the session; `each` sees what still comes before its end.
    pub(super) fn close_with(mut self, mut each: impl FnMut(&Reply<'_>)) {
        if self.client.logout().is_err() {
            return;
        }
        let deadline = Instant::now() + FAREWELL;
        let mut over = false;
        while !over && Instant::now() < deadline {
            let left = deadline.saturating_duration_since(Instant::now());
            let polled = self.client.poll(Some(left), |reply| {
                over |= matches!(reply, Reply::LoggedOut { .. } | Reply::Disconnected { .. });
                each(&reply);
            });
            // The answer was had: how the farewell goes changes nothing about it.
            over |= polled.is_err();
        }
    }

    fn ask_venue(&mut self) -> Result<(), Failure> {
        let question = "asking for assets and instruments";
        self.venue = self.pages(
            question,
            Venue::default(),
            |client, known: &Venue| {
                let after_asset = AssetId(known.assets.len() as u32);
                client.reference(after_asset, InstrumentId(known.instruments.len() as u32))
            },
            |reply, request| match reply {
                Reply::Reference { request: found, view } if *found == request => {
                    Some(view.parse().map(|page| (view.more, page)))
                }
                _ => None,
            },
            |known, page| {
                let progress = page.assets.len() + page.instruments.len() > 0;
                known.assets.extend(page.assets);
                known.instruments.extend(page.instruments);
                progress
            },
        )?;
        Ok(())
    }

    /// Asks for pages until the node has no more, or gives none: `ask` asks for what follows what is
    /// kept so far, `read` finds a page and whether there are more in the replies, `keep` keeps it and
    /// tells whether it held anything.
    pub(super) fn pages<K, P>(
        &mut self,
        question: &str,
        mut kept: K,
        ask: impl Fn(&mut Client, &K) -> Result<RequestId, SubmitError>,
        read: impl Fn(&Reply<'_>, RequestId) -> Option<Result<(bool, P), serde_json::Error>>,
        mut keep: impl FnMut(&mut K, P) -> bool,
    ) -> Result<K, Failure> {
        loop {
            let request = ask(&mut self.client, &kept)
                .map_err(|error| Failure::node(format_args!("{question}: {error}")))?;
            let (more, page) = self
                .wait(request, |reply| read(reply, request))
                .map_err(|lost| lost.of_query(question))?
                .map_err(|error| Failure::node(format_args!("{question}: {error}")))?;
            let progress = keep(&mut kept, page);
            if !more || !progress {
                return Ok(kept);
            }
        }
    }
}

/// What a reply ends a wait with, whatever is waited for.
pub(super) fn ending(reply: &Reply<'_>, request: RequestId) -> Option<Lost> {
    match reply {
        // A refusal that names no request: the node could not read what it got from us.
        Reply::Reject { request: found, reject } if found.is_none_or(|id| id == request) => {
            Some(Lost::Refused { reason: reject.reason, text: reject.text.to_owned() })
        }
        other => severed(other),
    }
}

/// Why there is no connection any more, if the reply says so.
pub(super) fn severed(reply: &Reply<'_>) -> Option<Lost> {
    match reply {
        Reply::Disconnected { reason } => Some(Lost::Unknown(reason.to_string())),
        Reply::LoggedOut { reason } if reason.reason() == Some(RejectReason::LogonRefused) => {
            let text = "another connection took the session over; give each its own --session";
            Some(Lost::Unknown(text.to_owned()))
        }
        Reply::LoggedOut { reason } => {
            Some(Lost::Unknown(format!("the node ended the session: {reason}")))
        }
        _ => None,
    }
}

fn refused(error: &ClientError, target: &Target, public: &str) -> Failure {
    let Target { addresses, key, origin } = target;
    match error {
        ClientError::SessionName(_) | ClientError::Key(_) => Failure::usage(error),
        ClientError::NoAddress | ClientError::Io { .. } => Failure::node(format_args!(
            "no node answers: {error} ({origin}); start one with `outcry serve`, or give \
             --connect HOST:PORT"
        )),
        ClientError::Wire { .. } => Failure::node(format_args!(
            "{error} ({origin}); {} is no native listener of a node",
            addresses.join(", ")
        )),
        ClientError::Refused { reason, .. }
            if reason.reason() == Some(RejectReason::LogonRefused) =>
        {
            Failure::node(format_args!(
                "{error}; the key of {} has the public half {public}, which must stand in the \
                 venue's [[genesis.keys]], and a session's name has no blanks",
                key.display()
            ))
        }
        ClientError::Refused { .. } => Failure::node(error),
    }
}

/// A session's name that no other command of this user on this machine is using, and what keeps it
/// so. Names are used again, because a venue has room for a bounded number of sessions.
fn own_session(command: &str) -> Result<(String, Option<File>), Failure> {
    let machine = machine();
    if let Some((slot, file)) = lock_slot(&machine, command) {
        return Ok((format!("{command}-{machine}-{slot}"), Some(file)));
    }
    Ok((format!("{command}-{}", random_hex()?), None))
}

/// Sixteen random hex digits.
pub(super) fn random_hex() -> Result<String, Failure> {
    let mut random = [0; 8];
    getrandom::fill(&mut random).map_err(Failure::bad)?;
    Ok(format!("{:016x}", u64::from_be_bytes(random)))
}

/// Eight hex digits that tell this machine and user from others.
fn machine() -> String {
    let name = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let host = name("/proc/sys/kernel/hostname") + &name("/etc/machine-id");
    let text = format!("{host}{}", slots_dir().display());
    let mut digest = crc64fast::Digest::new();
    digest.write(text.as_bytes());
    format!("{:08x}", digest.sum64() as u32)
}

fn slots_dir() -> PathBuf {
    use std::os::unix::fs::MetadataExt;
    let user = std::fs::metadata("/proc/self").map_or(0, |process| process.uid());
    std::env::temp_dir().join(format!("outcry-sessions-{user}"))
}

/// Takes the first free slot by locking its file; none where files cannot be had.
fn lock_slot(machine: &str, command: &str) -> Option<(usize, File)> {
    let dir = slots_dir();
    let mut builder = DirBuilder::new();
    builder.recursive(true).mode(0o700).create(&dir).ok()?;
    (1..=SLOTS_MAX).find_map(|slot| {
        let path: &Path = &dir.join(format!("{command}-{machine}-{slot}"));
        let file = File::options().write(true).create(true).truncate(false).open(path).ok()?;
        file.try_lock().ok()?;
        Some((slot, file))
    })
}
