//! Reads a journal that no node has open, checks every CRC and the hash chain, and replays it.

use super::proof::{Events, Reading, Told};
use crate::event::{Event, EventBody};
use crate::exchange::{Exchange, Outbox};
use crate::journal::event_log::EventFollower;
use crate::journal::format::RecordKind;
use crate::journal::reader::Reader;
use crate::journal::segment::LogDir;
use crate::journal::verify::verify;
use crate::journal::view::{Record, Verify};
use crate::node::boot::Logs;
use crate::node::state::State;
use crate::types::{AccountId, Sequence};

/// What message ids begin with; the command's number follows.
const PREFIX: &str = "demo-";

/// The message id of a command.
pub(super) fn message_id(number: u64) -> String {
    format!("{PREFIX}{number:09}")
}

fn number(message_id: &[u8]) -> Option<u64> {
    let number = std::str::from_utf8(message_id).ok()?.strip_prefix(PREFIX)?.parse().ok()?;
    (message_id == self::message_id(number).as_bytes()).then_some(number)
}

/// Reads and replays the journal; with `events`, compares the event log with the replay's events.
///
/// # Errors
/// A sentence: a file cannot be read, or holds damage.
pub(super) fn read(logs: &Logs, commands: u64, events: bool) -> Result<Reading, String> {
    let (end, checked) = sound_end(&logs.commands)?;
    let mut reading = Reading {
        sequence: end.0,
        checked,
        journaled: vec![None; commands as usize],
        replayed: vec![None; commands as usize],
        ..Reading::default()
    };
    let mut comparison = match events {
        true => Some(Comparison::new(&logs.events, end)?),
        false => None,
    };
    let mut state = State::new();
    let mut outbox = Outbox::default();
    let mut reader = Reader::new(logs.commands.clone(), Sequence(1), Verify::Structure);
    while let Some(batch) = reader.next_batch(end).map_err(|error| error.to_string())? {
        for record in batch.records() {
            state.apply(&record, &mut outbox).map_err(|error| error.to_string())?;
            note(&mut reading, &record, outbox.events());
            if let Some(comparison) = &mut comparison {
                comparison.compare(outbox.events())?;
            }
        }
    }
    if let Some(comparison) = comparison {
        reading.events = comparison.end()?;
    }
    reading.state_hash = state.hash();
    reading.sums = sums(&state.exchange);
    Ok(reading)
}

/// Checks every CRC and the hash chain of a log; gives its last sequence and how many records it has.
fn sound_end(log: &LogDir) -> Result<(Sequence, u64), String> {
    let what = log.dir().display();
    let report = verify(log, &mut |_| ()).map_err(|error| format!("{what}: {error}"))?;
    match report.damage {
        None => Ok((report.last_sequence, report.records)),
        Some(damage) => Err(format!(
            "{what}: damage in segment {}, offset {}, sequence {}: {}",
            damage.segment, damage.offset, damage.sequence, damage.what
        )),
    }
}

/// Notes what a record holds, and what applying it gave.
fn note(reading: &mut Reading, record: &Record<'_>, events: &[Event]) {
    reading.records += 1;
    let is_trade = |event: &&Event| matches!(event.body, EventBody::Trade(_));
    reading.trades += events.iter().filter(is_trade).count() as u64;
    let id = record.message_id();
    if record.kind() != RecordKind::Command || id.is_empty() {
        return;
    }
    let Some(number) = number(id).filter(|number| *number < reading.journaled.len() as u64) else {
        reading.foreign = Some(String::from_utf8_lossy(id).into_owned());
        return;
    };
    let sequence = record.sequence();
    if reading.journaled[number as usize].replace(sequence.0).is_some() {
        reading.twice = Some(number);
    }
    if let Some(EventBody::Result(result)) = events.first().map(|event| &event.body) {
        reading.replayed[number as usize] = Some(Told::of_result(sequence, result));
    }
}

fn sums(exchange: &Exchange) -> Vec<(String, i128)> {
    let all = || exchange.accounts().chain([AccountId::LIABILITY]);
    let sum = |asset| {
        all()
            .filter_map(|account| exchange.balance(account, asset))
            .map(|balance| i128::from(balance.available.0) + i128::from(balance.frozen.0))
            .sum()
    };
    exchange.assets().iter().map(|asset| (asset.symbol.clone(), sum(asset.id))).collect()
}

/// An event log beside the events that a replay gives.
struct Comparison {
    log: EventFollower,
    end: Sequence,
    equal: u64,
    differs: Option<String>,
}

impl Comparison {
    fn new(log: &LogDir, end: Sequence) -> Result<Comparison, String> {
        let (written, _) = sound_end(log)?;
        let differs = (written != end)
            .then(|| format!("the event log ends at sequence {written} and the journal at {end}"));
        let log = EventFollower::new(log.clone(), Sequence(1), Verify::Structure);
        Ok(Comparison { log, end, equal: 0, differs })
    }

    fn compare(&mut self, events: &[Event]) -> Result<(), String> {
        for event in events {
            if self.differs.is_some() {
                return Ok(());
            }
            let logged = self.log.next_event(self.end).map_err(|error| error.to_string())?;
            if logged == Some(*event) {
                self.equal += 1;
            } else {
                self.differs = Some(format!(
                    "event {} of sequence {} is {:?} in replay and {:?} in the event log",
                    event.index,
                    event.sequence,
                    event.body,
                    logged.map(|event| event.body)
                ));
            }
        }
        Ok(())
    }

    fn end(mut self) -> Result<Events, String> {
        if let Some(differs) = self.differs {
            return Ok(Events::Differ(differs));
        }
        match self.log.next_event(self.end).map_err(|error| error.to_string())? {
            None => Ok(Events::Equal(self.equal)),
            Some(event) => Ok(Events::Differ(format!(
                "the event log holds an event of sequence {} that replay does not give",
                event.sequence
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, genesis_items};
    use crate::limits::SEGMENT_MIN_BYTES;
    use crate::node::boot::{Genesis, boot};
    use crate::sys::disk::Disk;
    use crate::sys::storage::Append;
    use crate::types::TimeNs;
    use std::os::unix::fs::FileExt;
    use tempfile::TempDir;

    /// A journal of a venue whose accounts begin with this much.
    fn journal(amount: &str) -> (TempDir, Logs) {
        let dir = TempDir::new().expect("a temporary directory");
        let mut config = Config::default();
        let deposits = config.genesis.accounts.iter_mut().flat_map(|entry| &mut entry.deposits);
        deposits.for_each(|deposit| deposit.amount = amount.into());
        let (items, commands) = genesis_items(&config, [3; 16]).expect("a venue");
        let storage = Disk::shared();
        let logs = Logs::new(&storage, dir.path(), Append::Write, SEGMENT_MIN_BYTES, 1);
        let genesis = || Genesis { items, commands, time: TimeNs(1) };
        boot(&logs, genesis, &mut |_| ()).expect("an empty directory");
        (dir, logs)
    }

    fn first_segment(log: &LogDir) -> std::path::PathBuf {
        log.segments().expect("a directory")[0].1.clone()
    }

    #[test]
    fn a_sound_journal_is_read_to_its_end_and_conserves_its_assets() {
        let (_dir, logs) = journal("7");
        let reading = read(&logs, 0, true).expect("it is sound");
        assert!(reading.records > 16);
        assert_eq!((reading.records, reading.checked), (reading.sequence, reading.sequence));
        assert!(reading.conserved());
        assert_eq!(reading.foreign, None);
        assert!(matches!(reading.events, Events::Equal(count) if count > 16));
        assert_eq!(reading.state_hash.len(), 64);
    }

    #[test]
    fn another_event_log_is_told_from_that_of_the_journal() {
        let ((_dir, logs), (_other_dir, other)) = (journal("7"), journal("8"));
        std::fs::copy(first_segment(&other.events), first_segment(&logs.events)).expect("copied");
        let reading = read(&logs, 0, true).expect("each log is sound by itself");
        assert!(
            matches!(&reading.events, Events::Differ(what) if what.contains("in the event log")),
            "{:?}",
            reading.events
        );
    }

    #[test]
    fn an_event_log_that_is_not_complete_is_found() {
        let (_dir, logs) = journal("7");
        let path = first_segment(&logs.events);
        let file = std::fs::OpenOptions::new().write(true).open(path).expect("it is ours");
        // The first batch's header is no header any more: the log ends before it.
        file.write_all_at(&[0; 4096], 4096).expect("written");
        let reading = read(&logs, 0, true).expect("an event log may lose its end");
        assert!(
            matches!(&reading.events, Events::Differ(what) if what.contains("ends at sequence 0"))
        );
    }

    #[test]
    fn a_changed_byte_of_the_journal_never_passes() {
        let (_dir, logs) = journal("7");
        let whole = read(&logs, 0, false).expect("it is sound");
        let path = first_segment(&logs.commands);
        let file = std::fs::OpenOptions::new().read(true).write(true).open(path);
        let file = file.expect("it is ours");
        for offset in (4096..4096 + 4000).step_by(97) {
            let mut byte = [0];
            file.read_exact_at(&mut byte, offset).expect("read");
            file.write_all_at(&[byte[0] ^ 0x10], offset).expect("written");
            if let Ok(reading) = read(&logs, 0, false) {
                assert!(reading.sequence < whole.sequence, "offset {offset}");
            }
            file.write_all_at(&byte, offset).expect("written");
        }
        assert_eq!(read(&logs, 0, false).expect("as before").state_hash, whole.state_hash);
    }

    #[test]
    fn a_message_id_names_its_command_and_no_other_text_does() {
        for n in [0, 7, 199_999, 1_234_567_890_123] {
            assert_eq!(number(message_id(n).as_bytes()), Some(n));
        }
        for other in ["", "demo-", "demo-7", "demo-00000000x", "demo-+00000007", "desk-000000007"] {
            assert_eq!(number(other.as_bytes()), None, "{other}");
        }
    }
}
