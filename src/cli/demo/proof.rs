//! The proof: what the clients were told, what the journal holds and what its replay gives agree.
//!
//! Invariant: every clause is a function of the evidence alone; it gives a sentence that says what
//! holds, or one that says what differs.

use crate::event::CommandResult;
use crate::types::Sequence;
use crate::wire::answer::Answer;
use serde::Serialize;
use std::fmt;

/// What one command came to: as its client was told, or as a replay gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) sequence: u64,
    pub(super) order_id: u64,
    pub(super) filled: i64,
    pub(super) leaves: i64,
    pub(super) time: u64,
    pub(super) fill_count: u32,
    pub(super) status: u8,
    pub(super) reason: u16,
}

impl Told {
    pub(super) fn of(answer: &Answer) -> Told {
        Told {
            sequence: answer.sequence.0,
            order_id: answer.order_id.0,
            filled: answer.filled.0,
            leaves: answer.leaves.0,
            time: answer.time.0,
            fill_count: answer.fill_count,
            status: answer.status as u8,
            reason: answer.reason.0,
        }
    }

    pub(super) fn of_result(sequence: Sequence, result: &CommandResult) -> Told {
        Told::of(&Answer::of(sequence, result))
    }
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Told { sequence, order_id, filled, leaves, status, reason, .. } = self;
        write!(
            f,
            "sequence {sequence}, order {order_id}, status {status}, reason {reason}, filled \
             {filled}, leaves {leaves}"
        )
    }
}

/// What the clients sent and were told, by the commands' numbers.
#[derive(Clone, Debug)]
pub(super) struct Ledger {
    /// Commands handed over for the first time.
    pub(super) sent: u64,
    pub(super) told: Vec<Option<Told>>,
    /// Entries of `told`.
    answered: u64,
    /// A command that was answered twice, differently.
    pub(super) contradicted: Option<u64>,
}

impl Ledger {
    pub(super) fn new(commands: u64) -> Ledger {
        Ledger { sent: 0, told: vec![None; commands as usize], answered: 0, contradicted: None }
    }

    /// Notes an answer; true where it is the first one.
    pub(super) fn note(&mut self, number: u64, told: Told) -> bool {
        let entry = &mut self.told[number as usize];
        if entry.is_some_and(|before| before != told) {
            self.contradicted = Some(number);
        }
        let first = entry.replace(told).is_none();
        self.answered += u64::from(first);
        first
    }

    /// Commands answered, each once: what the proof counts.
    pub(super) fn acknowledged(&self) -> u64 {
        count(&self.told)
    }

    /// The same, kept while answers come.
    pub(super) fn acknowledged_so_far(&self) -> u64 {
        self.answered
    }
}

/// What a journal holds and what its replay gives.
#[derive(Clone, Debug, Default)]
pub(super) struct Reading {
    /// The last sequence.
    pub(super) sequence: u64,
    /// Records of all kinds that were replayed.
    pub(super) records: u64,
    /// Records whose CRC, frame hash and place in the hash chain were found right.
    pub(super) checked: u64,
    pub(super) state_hash: String,
    /// Sequence under which each command is in the journal, by the commands' numbers.
    pub(super) journaled: Vec<Option<u64>>,
    /// What the replay of each command gave.
    pub(super) replayed: Vec<Option<Told>>,
    /// A message id that the journal holds twice.
    pub(super) twice: Option<u64>,
    /// A message id that is none of ours.
    pub(super) foreign: Option<String>,
    pub(super) trades: u64,
    /// What all accounts own together, the liability account included, by asset.
    pub(super) sums: Vec<(String, i128)>,
    /// How the event log compares, where it was compared.
    pub(super) events: Events,
}

/// How an event log compares with the events of a replay.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Events {
    /// It was not looked at.
    #[default]
    NotRead,
    /// So many events are the same.
    Equal(u64),
    /// What differs.
    Differ(String),
}

impl Reading {
    pub(super) fn journaled(&self) -> u64 {
        count(&self.journaled)
    }

    pub(super) fn replayed(&self) -> u64 {
        count(&self.replayed)
    }

    pub(super) fn conserved(&self) -> bool {
        !self.sums.is_empty() && self.sums.iter().all(|(_, sum)| *sum == 0)
    }
}

fn count<T>(entries: &[Option<T>]) -> u64 {
    entries.iter().flatten().count() as u64
}

/// What the node said of itself when it stopped.
#[derive(Clone, Debug)]
pub(super) struct Live {
    pub(super) sequence: u64,
    pub(super) state_hash: String,
}

/// A sentence that holds, or one that says what differs.
type Checked = Result<String, String>;

/// A clause of the proof.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Clause {
    pub(super) holds: bool,
    pub(super) text: String,
}

impl From<Checked> for Clause {
    fn from(checked: Checked) -> Clause {
        let holds = checked.is_ok();
        let (Ok(text) | Err(text)) = checked;
        Clause { holds, text }
    }
}

/// The node was killed with work in hand; otherwise the rest would prove little.
pub(super) fn killed_at_work(unanswered: u64) -> Checked {
    match unanswered {
        0 => Err("nothing was in flight when the node was killed".to_owned()),
        _ => Ok(format!("the node was killed while {unanswered} commands were in flight")),
    }
}

/// Whoever was answered is in the journal, at the sequence and with the result it was told.
pub(super) fn answered_is_journaled(ledger: &Ledger, reading: &Reading) -> Checked {
    for (number, told) in ledger.told.iter().enumerate() {
        let Some(told) = told else { continue };
        let Some(sequence) = reading.journaled[number] else {
            return Err(format!("command {number} was acknowledged ({told}) and is not journaled"));
        };
        if sequence != told.sequence {
            return Err(format!("command {number} was told {told} and is journaled as {sequence}"));
        }
        match &reading.replayed[number] {
            Some(replayed) if replayed == told => {}
            Some(replayed) => {
                return Err(format!(
                    "command {number} was told {told} and replay gives {replayed}"
                ));
            }
            None => {
                return Err(format!("command {number} is journaled and replay gives no result"));
            }
        }
    }
    match ledger.contradicted {
        Some(number) => Err(format!("command {number} got two different answers")),
        None => Ok(format!("{} acknowledged commands", ledger.acknowledged())),
    }
}

/// What the dead node's journal held is still there, under the same sequences.
pub(super) fn nothing_lost(at_kill: &Reading, end: &Reading) -> Checked {
    let pairs = at_kill.journaled.iter().zip(&end.journaled).enumerate();
    for (number, (before, after)) in pairs {
        if before.is_some() && before != after {
            return Err(format!(
                "command {number} was journaled as {before:?} and is now {after:?}"
            ));
        }
    }
    Ok(format!("all {} commands of the killed node's journal are kept", at_kill.journaled()))
}

/// What the journal held already and was sent again got its first answer, not a second place.
/// `unanswered` and `answered` count such commands.
pub(super) fn recognised(unanswered: u64, answered: u64, duplicates: u64) -> Checked {
    let expected = unanswered + answered;
    if duplicates != expected {
        return Err(format!(
            "{expected} commands were sent again that the journal held, and {duplicates} recognised"
        ));
    }
    Ok(format!(
        "{duplicates} commands sent again that the journal held ({answered} of them on purpose) \
         got their first answer"
    ))
}

/// Every command was sent, answered, journaled and replayed, each once.
pub(super) fn all_everywhere(commands: u64, ledger: &Ledger, end: &Reading) -> Checked {
    if let Some(number) = end.twice {
        return Err(format!("command {number} is in the journal twice"));
    }
    if let Some(id) = &end.foreign {
        return Err(format!("the journal holds a message that nobody here sent: {id}"));
    }
    let (sent, acknowledged) = (ledger.sent, ledger.acknowledged());
    let (journaled, replayed) = (end.journaled(), end.replayed());
    let counts = format!(
        "sent {sent}, acknowledged {acknowledged}, journaled {journaled}, replayed {replayed}"
    );
    if [sent, acknowledged, journaled, replayed].iter().all(|count| *count == commands) {
        return Ok(counts);
    }
    Err(format!("not all {commands} commands came through: {counts}"))
}

/// Every CRC-64, every frame hash and the whole hash chain were checked while reading.
pub(super) fn chain_checked(end: &Reading) -> Checked {
    if end.checked != end.records || end.records == 0 {
        return Err(format!("{} of {} records were checked", end.checked, end.records));
    }
    Ok(format!("every CRC and the hash chain of {} records are right", end.records))
}

/// The live node and the replay reached the same state.
pub(super) fn same_state(live: &Live, end: &Reading) -> Checked {
    if live.sequence != end.sequence {
        return Err(format!(
            "the node stopped at sequence {} and its journal ends at {}",
            live.sequence, end.sequence
        ));
    }
    if live.state_hash != end.state_hash {
        return Err(format!(
            "the node's state is {} and the replayed one {}",
            live.state_hash, end.state_hash
        ));
    }
    Ok(format!("live and replayed state are equal: {}", live.state_hash))
}

/// No money was made or lost.
pub(super) fn conserved(end: &Reading) -> Checked {
    if end.sums.is_empty() {
        return Err("the replayed state has no assets".to_owned());
    }
    match end.sums.iter().find(|(_, sum)| *sum != 0) {
        Some((asset, sum)) => Err(format!("all accounts together own {sum} of {asset}, not 0")),
        None => Ok(format!("all {} assets are conserved", end.sums.len())),
    }
}

/// The node's event log holds the events of the replay.
pub(super) fn same_events(end: &Reading) -> Checked {
    match &end.events {
        Events::NotRead => Err("the event log was not read".to_owned()),
        Events::Equal(count) => {
            Ok(format!("the event log's {count} events are those of the replay"))
        }
        Events::Differ(what) => Err(what.clone()),
    }
}

/// The trades that clients were told of are those of the replay.
pub(super) fn same_trades(ledger: &Ledger, end: &Reading) -> Checked {
    let told: u64 = ledger.told.iter().flatten().map(|told| u64::from(told.fill_count)).sum();
    if told != end.trades {
        return Err(format!("answers told of {told} trades and replay gives {}", end.trades));
    }
    Ok(format!("{told} trades, each told to its taker"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(sequence: u64) -> Told {
        Told {
            sequence,
            order_id: sequence,
            filled: 0,
            leaves: 5,
            time: 9,
            fill_count: 1,
            status: 3,
            reason: 0,
        }
    }

    /// Three commands, sequences 11 to 13, all well.
    fn honest() -> (Ledger, Reading) {
        let told: Vec<Option<Told>> = (11..14).map(|sequence| Some(told(sequence))).collect();
        let reading = Reading {
            sequence: 13,
            records: 13,
            checked: 13,
            state_hash: "ab".into(),
            journaled: (11..14).map(Some).collect(),
            replayed: told.clone(),
            trades: 3,
            sums: vec![("BTC".into(), 0), ("USDT".into(), 0)],
            events: Events::Equal(20),
            ..Reading::default()
        };
        (Ledger { sent: 3, told, answered: 3, contradicted: None }, reading)
    }

    /// Fails unless the clause says no, in words that hold `words`.
    fn refused(checked: Checked, words: &str) {
        let text = checked.expect_err("the clause has to see this");
        assert!(text.contains(words), "{text}");
    }

    #[test]
    fn an_honest_run_holds_in_every_clause() {
        let (ledger, reading) = honest();
        let live = Live { sequence: 13, state_hash: "ab".into() };
        for checked in [
            killed_at_work(1),
            answered_is_journaled(&ledger, &reading),
            nothing_lost(&reading, &reading),
            recognised(2, 3, 5),
            all_everywhere(3, &ledger, &reading),
            chain_checked(&reading),
            same_state(&live, &reading),
            conserved(&reading),
            same_events(&reading),
            same_trades(&ledger, &reading),
        ] {
            checked.expect("nothing differs");
        }
    }

    #[test]
    fn a_kill_with_nothing_in_flight_proves_nothing() {
        refused(killed_at_work(0), "nothing was in flight");
    }

    #[test]
    fn an_acknowledged_command_that_is_not_journaled_is_found() {
        let (ledger, mut reading) = honest();
        reading.journaled[1] = None;
        refused(answered_is_journaled(&ledger, &reading), "command 1 was acknowledged");
    }

    #[test]
    fn an_unanswered_command_need_not_be_journaled() {
        let (mut ledger, mut reading) = honest();
        (ledger.told[1], reading.journaled[1], reading.replayed[1]) = (None, None, None);
        answered_is_journaled(&ledger, &reading).expect("nobody was told");
    }

    #[test]
    fn another_sequence_than_was_told_is_found() {
        let (ledger, mut reading) = honest();
        reading.journaled[2] = Some(14);
        refused(answered_is_journaled(&ledger, &reading), "journaled as 14");
    }

    #[test]
    fn another_result_than_was_told_is_found() {
        let changes: [fn(&mut Told); 7] = [
            |told| told.order_id += 1,
            |told| told.filled += 1,
            |told| told.leaves -= 1,
            |told| told.time += 1,
            |told| told.fill_count += 1,
            |told| told.status = 6,
            |told| told.reason = 107,
        ];
        for change in changes {
            let (mut ledger, reading) = honest();
            change(ledger.told[0].as_mut().expect("it was told"));
            refused(answered_is_journaled(&ledger, &reading), "command 0 was told");
        }
        let (ledger, mut reading) = honest();
        reading.replayed[0] = None;
        refused(answered_is_journaled(&ledger, &reading), "replay gives no result");
    }

    #[test]
    fn two_different_answers_to_one_command_are_found() {
        let (mut ledger, reading) = honest();
        assert!(!ledger.note(0, told(11)), "the same again is no contradiction");
        assert_eq!(ledger.contradicted, None);
        ledger.note(0, told(12));
        ledger.told[0] = Some(told(11));
        refused(answered_is_journaled(&ledger, &reading), "two different answers");
    }

    #[test]
    fn a_journaled_command_that_recovery_lost_or_moved_is_found() {
        let (_, at_kill) = honest();
        for moved in [None, Some(99)] {
            let mut end = at_kill.clone();
            end.journaled[0] = moved;
            refused(nothing_lost(&at_kill, &end), "command 0 was journaled as Some(11)");
        }
    }

    #[test]
    fn a_repeated_command_that_is_not_recognised_is_found() {
        refused(recognised(2, 3, 4), "5 commands were sent again that the journal held, and 4");
        refused(recognised(0, 0, 1), "0 commands were sent again");
    }

    #[test]
    fn a_command_that_misses_anywhere_is_found() {
        let changes: [fn(&mut Ledger, &mut Reading); 4] = [
            |ledger, _| ledger.sent = 2,
            |ledger, _| ledger.told[2] = None,
            |_, reading| reading.journaled[2] = None,
            |_, reading| reading.replayed[2] = None,
        ];
        for change in changes {
            let (mut ledger, mut reading) = honest();
            change(&mut ledger, &mut reading);
            refused(all_everywhere(3, &ledger, &reading), "not all 3 commands came through");
        }
        let (ledger, reading) = honest();
        refused(all_everywhere(4, &ledger, &reading), "not all 4 commands");
    }

    #[test]
    fn a_command_applied_twice_is_found() {
        let (ledger, mut reading) = honest();
        reading.twice = Some(1);
        refused(all_everywhere(3, &ledger, &reading), "command 1 is in the journal twice");
    }

    #[test]
    fn a_command_that_nobody_sent_is_found() {
        let (ledger, mut reading) = honest();
        reading.foreign = Some("who".into());
        refused(all_everywhere(3, &ledger, &reading), "nobody here sent: who");
    }

    #[test]
    fn a_record_that_was_not_checked_is_found() {
        let (_, mut reading) = honest();
        reading.checked = 12;
        refused(chain_checked(&reading), "12 of 13 records");
    }

    #[test]
    fn another_state_or_end_is_found() {
        let (_, reading) = honest();
        let live = |sequence, hash: &str| Live { sequence, state_hash: hash.into() };
        refused(same_state(&live(14, "ab"), &reading), "stopped at sequence 14");
        refused(same_state(&live(13, "ac"), &reading), "state is ac and the replayed one ab");
    }

    #[test]
    fn money_made_or_lost_is_found() {
        for sum in [1, -1] {
            let (_, mut reading) = honest();
            reading.sums[1].1 = sum;
            assert!(!reading.conserved());
            refused(conserved(&reading), "of USDT, not 0");
        }
        let (_, mut reading) = honest();
        reading.sums.clear();
        assert!(!reading.conserved());
        refused(conserved(&reading), "no assets");
    }

    #[test]
    fn another_event_log_is_found() {
        let (_, mut reading) = honest();
        reading.events = Events::Differ("sequence 12 has another event".into());
        refused(same_events(&reading), "sequence 12");
        reading.events = Events::NotRead;
        refused(same_events(&reading), "not read");
    }

    #[test]
    fn a_trade_that_nobody_was_told_of_is_found() {
        let (ledger, mut reading) = honest();
        reading.trades = 4;
        refused(same_trades(&ledger, &reading), "3 trades and replay gives 4");
    }
}
