//! Snapshots: the state at the end of a batch, from which a replay can go on.
//!
//! They are folded: an instance beside the running node loads the newest one, replays the journal
//! behind it and writes the next. Nothing here touches the way of an order.
//!
//! Invariants: a snapshot is complete, so that a replay from it gives the same state, the same event
//! log and the same places of sessions' numbers as one from the first record; the same state gives
//! the same bytes; a snapshot that is not exactly as it was written is refused, whatever its bytes.

pub mod fold;
pub mod format;
pub mod store;

use crate::checksum::crc64;
use crate::exchange::{Exchange, pack_items, unpack_items};
use crate::genesis::{APPLICATION_VERSION, GenesisItem, Settings};
use crate::journal::event_log::EventLogBuilder;
use crate::journal::format::{Hash, JournalId, Tip};
use crate::journal::reader::BatchPlace;
use crate::limits::DEDUPE_COUNT_MAX;
use crate::node::state::{self, State};
use crate::packing::{Pack, Unfit, Unpack, ensure};
use crate::publish::rest::Numbers;
use crate::sequencer::Order;
use crate::sequencer::dedupe::Dedupe;
use crate::types::{Epoch, Sequence, TimeNs};
use format::{
    HEADER_SIZE, MAGIC, SECTION_HEADER_SIZE, Section, SectionHeader, SnapshotHeader, VERSION,
};
use sha2::{Digest, Sha256};
use thiserror::Error;
use zerocopy::{FromBytes, FromZeros, IntoBytes};

/// All that a replay needs to go on behind a batch.
pub struct Snapshot {
    /// The journal it is of.
    pub id: JournalId,
    /// What the journal has built.
    pub state: State,
    /// Where sessions' outbound numbers stand in the event log.
    pub numbers: Numbers,
    /// What the journal had reached.
    pub journal: Tip,
    /// What the event log had reached: an [`EventLogBuilder`] goes on from it.
    pub events: Tip,
    /// Where the batch that ends here began, on the node that wrote this.
    pub place: BatchPlace,
}

/// Why bytes are no snapshot that this release can use.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Unsound {
    /// Too short for a header.
    #[error("it has only {0} bytes")]
    Short(usize),
    /// It begins with other bytes.
    #[error("it does not begin as a snapshot does")]
    Magic,
    /// A version of the format that is not known here.
    #[error("its format is of version {0}, which is not known here")]
    Version(u16),
    /// The header is not as it was written.
    #[error("the CRC-64 of its header does not match")]
    HeaderCrc,
    /// A field of the header cannot be.
    #[error("its header cannot be: {0}")]
    Header(&'static str),
    /// A newer release wrote it.
    #[error("it holds rules of version {0}, this release knows up to {APPLICATION_VERSION}")]
    TooNew(u32),
    /// The file is longer or shorter than its header says.
    #[error("it has {found} bytes and should have {expected}")]
    Length {
        /// Bytes by the header.
        expected: u64,
        /// Bytes of the file.
        found: u64,
    },
    /// The body is not as it was written.
    #[error(
        "the SHA-256 of its body does not match{}",
        match .0 { Some(section) => format!("; section {section} is damaged"), None => String::new() }
    )]
    Body(Option<Section>),
    /// What a section says cannot be.
    #[error("section {section}: {reason}")]
    Section {
        /// The section.
        section: Section,
        /// What is wrong with it.
        reason: Unfit,
    },
    /// The state is not the one that was written.
    #[error("its state has another hash than its header says")]
    State,
}

/// Whether settings are those of genesis, but for later rules that were activated since.
fn are_of(settings: Option<&Settings>, genesis: Option<&Settings>) -> bool {
    match (settings, genesis) {
        (Some(settings), Some(genesis)) => {
            let application_version = settings.application_version;
            application_version >= genesis.application_version
                && *settings == Settings { application_version, ..genesis.clone() }
        }
        (settings, genesis) => settings == genesis,
    }
}

impl Snapshot {
    /// Before the first record of a journal.
    #[must_use]
    pub fn start(id: JournalId) -> Snapshot {
        Snapshot {
            id,
            state: State::new(),
            numbers: Numbers::default(),
            journal: Tip::START,
            events: Tip::START,
            place: BatchPlace::default(),
        }
    }

    /// The last record applied.
    #[must_use]
    pub fn sequence(&self) -> Sequence {
        self.journal.sequence
    }

    /// A builder that goes on with the event log's bytes.
    #[must_use]
    pub fn event_log(&self) -> EventLogBuilder {
        EventLogBuilder::new(self.id, self.events)
    }

    /// The bytes of its file.
    ///
    /// # Panics
    /// If state, journal and event log are not at the same place.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let Snapshot { id, state, numbers, journal, events, place } = self;
        // What is set aside is said by the journal.
        let State { exchange, order, genesis, set_aside: _ } = state;
        let Order { last, time, epoch, dedupe } = order;
        let Tip { sequence, time: tip_time, epoch: tip_epoch, hash } = journal;
        assert!(last == sequence, "the state is where the journal is");
        assert!(time == tip_time);
        assert!(epoch == tip_epoch);
        assert!(events.sequence == *sequence, "the event log is where the journal is");
        assert!(events.epoch == *epoch);
        let mut pack = Pack::new(vec![0; HEADER_SIZE]);
        let mut section_count = 0u32;
        for section in Section::ALL {
            let start = pack.bytes().len();
            pack.raw(SectionHeader::new_zeroed().as_bytes());
            match section {
                Section::Genesis => pack_items(genesis.iter().cloned(), &mut pack),
                Section::Duplicates => dedupe.pack(&mut pack),
                Section::Numbers => numbers.pack(&mut pack),
                other => {
                    exchange.pack(other.part().expect("the rest is the exchange's"), &mut pack)
                }
            }
            if section.is_optional() && pack.bytes().len() == start + SECTION_HEADER_SIZE {
                pack.truncate(start);
                continue;
            }
            close_section(&mut pack.bytes_mut()[start..], section);
            section_count += 1;
        }
        let mut bytes = pack.into_bytes();
        let (head, body) = bytes.split_at_mut(HEADER_SIZE);
        let mut header = SnapshotHeader {
            magic: MAGIC,
            version: VERSION.into(),
            header_size: (HEADER_SIZE as u16).into(),
            section_count: section_count.into(),
            application_version: state.exchange.version().into(),
            reserved: 0.into(),
            journal_id: id.0,
            sequence: sequence.0.into(),
            epoch: epoch.0.into(),
            time_ns: time.0.into(),
            chain_hash: *hash,
            event_hash: events.hash,
            event_time_ns: events.time.0.into(),
            segment: place.segment.into(),
            offset: place.offset.into(),
            state_hash: state::digest(exchange, order),
            body_length: (body.len() as u64).into(),
            body_hash: Sha256::digest(&body).into(),
            reserved_2: [0; 24],
            crc: 0.into(),
        };
        header.seal();
        head.copy_from_slice(header.as_bytes());
        bytes
    }

    /// Reads a snapshot's file and checks all of it: checksums, every value, that what is made of it
    /// is a state, and that it is the state that was written.
    ///
    /// # Errors
    /// [`Unsound`], the first thing that is wrong.
    pub fn decode(bytes: &[u8]) -> Result<Snapshot, Unsound> {
        let head = Head::read(bytes)?;
        let body = head.body(bytes)?;
        let (mut sections, mut count) = (body, 0);
        let mut snapshot = Snapshot::start(head.id);
        let order = &mut snapshot.state.order;
        (order.last, order.time, order.epoch) = (head.sequence, head.time, head.epoch);
        for section in Section::ALL {
            let failed = |reason| Unsound::Section { section, reason };
            if is_left_out(sections, section) {
                continue;
            }
            count += 1;
            let content = open_section(&mut sections, section).map_err(failed)?;
            if section.is_optional() && content.is_empty() {
                return Err(failed(Unfit::Wrong("it is empty, and stands there")));
            }
            let mut unpack = Unpack::new(content);
            snapshot.take_in(section, &mut unpack).map_err(failed)?;
            unpack.end().map_err(failed)?;
        }
        if !sections.is_empty() {
            return Err(Unsound::Header("bytes follow its last section"));
        }
        if count != head.section_count {
            return Err(Unsound::Header("the number of sections"));
        }
        if snapshot.state.exchange.version() != head.application_version {
            return Err(Unsound::Header("it names other rules than those that hold"));
        }
        let Head { sequence, time, epoch, .. } = head;
        snapshot.journal = Tip { sequence, time, epoch, hash: head.chain_hash };
        snapshot.events = Tip { sequence, time: head.event_time, epoch, hash: head.event_hash };
        snapshot.place = head.place;
        let State { exchange, order, .. } = &snapshot.state;
        if state::digest(exchange, order) != head.state_hash {
            return Err(Unsound::State);
        }
        Ok(snapshot)
    }

    fn take_in(&mut self, section: Section, unpack: &mut Unpack<'_>) -> Result<(), Unfit> {
        let State { exchange, order, genesis, set_aside: _ } = &mut self.state;
        match section {
            Section::Genesis => unpack_items(unpack, |item| {
                genesis.push(item.clone());
                Ok(())
            }),
            Section::Duplicates => {
                let settings = exchange.settings();
                let of_genesis = genesis.iter().find_map(|item| match item {
                    GenesisItem::Settings(settings) => Some(settings),
                    _ => None,
                });
                ensure(are_of(settings, of_genesis), "the settings are not those of genesis")?;
                if let Some(settings) = settings {
                    let fits = settings.dedupe_count_max <= DEDUPE_COUNT_MAX;
                    ensure(fits, "the duplicate window is too large")?;
                    order.dedupe = state::empty_window(settings);
                }
                order.dedupe.unpack(unpack, order.last, order.time)
            }
            Section::Numbers => {
                let sessions = exchange.sessions().len();
                self.numbers = Numbers::unpack(unpack, order.last, sessions)?;
                Ok(())
            }
            other => {
                let part = other.part().expect("the rest is the exchange's");
                exchange.unpack(part, unpack)?;
                ensure(exchange.sequence() <= order.last, "the exchange is ahead of the journal")
            }
        }
    }

    /// Walks the whole state and asserts every invariant of it.
    ///
    /// # Panics
    /// Where one is broken.
    pub fn audit(&self) {
        let State { exchange, order, genesis: _, set_aside: _ } = &self.state;
        Exchange::check(exchange);
        order.dedupe.check_invariants();
    }
}

/// What a snapshot's header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// The journal it is of.
    pub id: JournalId,
    /// The last record applied.
    pub sequence: Sequence,
    /// Its epoch.
    pub epoch: Epoch,
    /// Its time.
    pub time: TimeNs,
    /// Hash of its batch.
    pub chain_hash: Hash,
    /// Hash of the event log there.
    pub event_hash: Hash,
    /// Time of the last block of events.
    pub event_time: TimeNs,
    /// Where its batch began.
    pub place: BatchPlace,
    /// State hash.
    pub state_hash: Hash,
    /// Version of the format.
    pub format_version: u16,
    /// Version of the rules that made the state.
    pub application_version: u32,
    /// Bytes of the body.
    pub body_length: u64,
    body_hash: Hash,
    section_count: u32,
}

impl Head {
    /// Reads the header at the start of a snapshot's file, and checks it.
    ///
    /// # Errors
    /// [`Unsound`].
    pub fn read(bytes: &[u8]) -> Result<Head, Unsound> {
        let (header, _) = SnapshotHeader::split(bytes).ok_or(Unsound::Short(bytes.len()))?;
        if header.magic != MAGIC {
            return Err(Unsound::Magic);
        }
        if header.version.get() != VERSION {
            return Err(Unsound::Version(header.version.get()));
        }
        if header.crc.get() != header.expected_crc() {
            return Err(Unsound::HeaderCrc);
        }
        let wrong = |what| Err(Unsound::Header(what));
        if usize::from(header.header_size.get()) != HEADER_SIZE {
            return wrong("its size");
        }
        let optional = Section::ALL.iter().filter(|section| section.is_optional()).count();
        let most = Section::ALL.len();
        if !(most - optional..=most).contains(&(header.section_count.get() as usize)) {
            return wrong("the number of sections");
        }
        if header.application_version.get() > APPLICATION_VERSION {
            return Err(Unsound::TooNew(header.application_version.get()));
        }
        // The journal goes on behind it, and so do the numbers that count its records.
        if header.sequence.get() > u64::MAX >> 1 {
            return wrong("the sequence");
        }
        if header.event_time_ns.get() > header.time_ns.get() {
            return wrong("the event log is ahead of the journal");
        }
        if header.reserved.get() != 0 || header.reserved_2 != [0; 24] {
            return wrong("reserved bytes are not zero");
        }
        Ok(Head {
            id: JournalId(header.journal_id),
            sequence: Sequence(header.sequence.get()),
            epoch: Epoch(header.epoch.get()),
            time: TimeNs(header.time_ns.get()),
            chain_hash: header.chain_hash,
            event_hash: header.event_hash,
            event_time: TimeNs(header.event_time_ns.get()),
            place: BatchPlace { segment: header.segment.get(), offset: header.offset.get() },
            state_hash: header.state_hash,
            format_version: header.version.get(),
            application_version: header.application_version.get(),
            body_length: header.body_length.get(),
            body_hash: header.body_hash,
            section_count: header.section_count.get(),
        })
    }

    /// What the event log had reached.
    #[must_use]
    pub fn events(&self) -> Tip {
        let Head { sequence, event_time: time, epoch, event_hash: hash, .. } = *self;
        Tip { sequence, time, epoch, hash }
    }

    /// The body in a file, whose length and SHA-256 are right.
    fn body<'a>(&self, bytes: &'a [u8]) -> Result<&'a [u8], Unsound> {
        let body = &bytes[HEADER_SIZE..];
        if body.len() as u64 != self.body_length {
            let (expected, found) = (self.body_length, bytes.len() as u64);
            let expected = expected.saturating_add(HEADER_SIZE as u64);
            return Err(Unsound::Length { expected, found });
        }
        if Sha256::digest(body)[..] != self.body_hash {
            return Err(Unsound::Body(first_damaged(body)));
        }
        Ok(body)
    }

    /// What two snapshots of one sequence differ in; nothing where only the places of batches do.
    #[must_use]
    pub fn difference(&self, other: &Head) -> Option<&'static str> {
        let Head {
            id,
            sequence,
            epoch,
            time,
            chain_hash,
            event_hash,
            event_time,
            place: _,
            state_hash,
            format_version: _,
            application_version: _,
            body_length,
            body_hash,
            // Told by the body.
            section_count: _,
        } = self;
        let same = [
            ("journal", *id == other.id),
            ("end of a batch", *sequence == other.sequence),
            ("epoch", *epoch == other.epoch),
            ("time", *time == other.time),
            ("hash of the journal's batch", *chain_hash == other.chain_hash),
            ("event log", *event_hash == other.event_hash && *event_time == other.event_time),
            ("state hash", *state_hash == other.state_hash),
            ("body", *body_length == other.body_length && *body_hash == other.body_hash),
        ];
        same.iter().find(|(_, same)| !same).map(|(what, _)| *what)
    }

    /// Checks the checksums of a whole file, and nothing of what it says.
    ///
    /// # Errors
    /// [`Unsound`].
    pub fn check(bytes: &[u8]) -> Result<Head, Unsound> {
        let head = Head::read(bytes)?;
        head.body(bytes).map(|_| head)
    }
}

/// The items of genesis in a snapshot's file whose checksums are right.
///
/// # Errors
/// [`Unsound`].
pub fn genesis(bytes: &[u8]) -> Result<Vec<GenesisItem>, Unsound> {
    let mut items = Vec::new();
    let mut unpack = Unpack::new(content(bytes, Section::Genesis)?);
    let unpacked = unpack_items(&mut unpack, |item| {
        items.push(item.clone());
        Ok(())
    });
    unpacked.map_err(|reason| Unsound::Section { section: Section::Genesis, reason })?;
    Ok(items)
}

/// The oldest message that the duplicate window of a snapshot's file knows; none where it is empty.
///
/// # Errors
/// [`Unsound`].
pub fn oldest_known(bytes: &[u8]) -> Result<Option<Sequence>, Unsound> {
    let unpack = Unpack::new(content(bytes, Section::Duplicates)?);
    let oldest = Dedupe::oldest_packed(unpack);
    oldest.map_err(|reason| Unsound::Section { section: Section::Duplicates, reason })
}

/// What a section of a file holds.
fn content(bytes: &[u8], wanted: Section) -> Result<&[u8], Unsound> {
    let mut sections = Head::read(bytes)?.body(bytes)?;
    for section in Section::ALL {
        if is_left_out(sections, section) {
            continue;
        }
        let content = open_section(&mut sections, section);
        let content = content.map_err(|reason| Unsound::Section { section, reason })?;
        if section == wanted {
            return Ok(content);
        }
    }
    unreachable!("every section is in the list of all")
}

/// Fills in the header of a section whose content stands behind it.
fn close_section(bytes: &mut [u8], section: Section) {
    let (head, content) = bytes.split_at_mut(SECTION_HEADER_SIZE);
    let header = SectionHeader {
        kind: (section as u32).into(),
        reserved: 0.into(),
        length: (content.len() as u64).into(),
        crc: crc64(content).into(),
    };
    head.copy_from_slice(header.as_bytes());
}

/// True where an optional section does not stand next in the body.
fn is_left_out(body: &[u8], section: Section) -> bool {
    let next = SectionHeader::read_from_prefix(body);
    section.is_optional() && !next.is_ok_and(|(next, _)| next.kind.get() == section as u32)
}

/// Takes the next section, which is to be this one, off the body; its content.
fn open_section<'a>(body: &mut &'a [u8], section: Section) -> Result<&'a [u8], Unfit> {
    let (header, rest) = SectionHeader::read_from_prefix(body).map_err(|_| Unfit::Short)?;
    ensure(header.kind.get() == section as u32, "another section stands in its place")?;
    ensure(header.reserved.get() == 0, "reserved bytes are not zero")?;
    let length = usize::try_from(header.length.get()).map_err(|_| Unfit::Short)?;
    let (content, rest) = rest.split_at_checked(length).ok_or(Unfit::Short)?;
    ensure(crc64(content) == header.crc.get(), "its CRC-64 does not match")?;
    *body = rest;
    Ok(content)
}

/// The first section that is not as it was written, for a message.
fn first_damaged(mut body: &[u8]) -> Option<Section> {
    let damaged = |section: &Section| {
        !is_left_out(body, *section) && open_section(&mut body, *section).is_err()
    };
    Section::ALL.into_iter().find(damaged)
}
