//! What a key of the configuration may hold, and the sentence that says so where it does not.
//!
//! Invariant: every value that a rule lets through converts into its field of `Config`, so that
//! whatever is wrong is reported by the rule: with key, value, bound and remedy.

use crate::decimal::Decimal;
use crate::limits::{KEY_ACCOUNTS_MAX, RESTRICTED_MAX, SCALE_MAX, SYMBOL_MAX_BYTES};
use std::net::SocketAddr;
use toml::Value;

/// One key: its path (list entries as `*`) and its rule.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// `section.key`, as on the command line.
    pub path: &'static str,
    /// What it may hold.
    pub rule: Rule,
    /// True where an entry of a list cannot go without it.
    pub required: bool,
}

/// What a key may hold.
#[derive(Debug, Clone, Copy)]
pub enum Rule {
    /// A whole number.
    Integer {
        /// Smallest.
        min: i64,
        /// Largest.
        max: i64,
    },
    /// A whole number that is a multiple of `step`.
    Multiple {
        /// Of what.
        step: i64,
        /// Smallest.
        min: i64,
        /// Largest.
        max: i64,
    },
    /// A power of two, as the size of a ring.
    PowerOfTwo {
        /// Smallest.
        min: i64,
        /// Largest.
        max: i64,
    },
    /// True or false.
    Bool,
    /// 1 to 64 letters, digits, `.`, `_` or `-`.
    Name,
    /// A path.
    Path,
    /// One of these words. Those after them are known and do not exist in this release.
    Words {
        /// Words that work.
        now: &'static [&'static str],
        /// Words that later releases know.
        later: &'static [&'static str],
    },
    /// `IP:PORT` or `off`.
    Listen,
    /// Only `off` in this release; the text names the listener.
    ListenOff(&'static str),
    /// A core's number, or `any`.
    Core,
    /// Positive decimal text.
    Decimal,
    /// A short name of an asset or instrument.
    Symbol,
    /// An Ed25519 public key, 64 hex digits.
    PublicKey,
    /// A list of account numbers.
    Accounts,
    /// A list of symbols.
    Symbols,
    /// A list of tables; their keys stand under `path.*`.
    List,
}

/// How a value breaks its rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Breach {
    /// It is not what the key holds: what the key holds, and what to do.
    Wrong {
        /// What the key holds.
        expected: String,
        /// What to write instead.
        fix: String,
    },
    /// It is known and does not exist in this release.
    NotInRelease {
        /// What does not exist.
        what: String,
        /// What to write instead.
        fix: String,
    },
}

/// The largest account number: TOML has signed integers.
const ACCOUNT_MAX: i64 = i64::MAX;

impl Rule {
    /// What the key holds, as it fits into "is not …".
    #[must_use]
    pub fn expected(&self) -> String {
        match self {
            Rule::Integer { min, max } => format!("a whole number from {min} to {max}"),
            Rule::Multiple { step, min, max } => {
                format!("a multiple of {step} from {min} to {max}")
            }
            Rule::PowerOfTwo { min, max } => format!("a power of two from {min} to {max}"),
            Rule::Bool => "true or false".into(),
            Rule::Name => "a name of 1 to 64 letters, digits, '.', '_' or '-'".into(),
            Rule::Path => "a path".into(),
            Rule::Words { now, .. } => format!("one of {}", quoted(now)),
            Rule::Listen => "an address IP:PORT or \"off\"".into(),
            Rule::ListenOff(_) => "\"off\"".into(),
            Rule::Core => format!("a core number from 0 to {CORE_MAX}, or \"any\""),
            Rule::Decimal => format!(
                "a positive decimal number as text, with at most {SCALE_MAX} decimal places"
            ),
            Rule::Symbol => {
                format!("a symbol of 1 to {SYMBOL_MAX_BYTES} letters, digits, '.', '_' or '-'")
            }
            Rule::PublicKey => "an Ed25519 public key of 64 hex digits".into(),
            Rule::Accounts => {
                format!("a list of at most {KEY_ACCOUNTS_MAX} account numbers, each 2 or more")
            }
            Rule::Symbols => {
                format!(
                    "a list of at most {RESTRICTED_MAX} symbols, each of 1 to {SYMBOL_MAX_BYTES} letters, digits, '.', '_' or '-'"
                )
            }
            Rule::List => "a list of tables".into(),
        }
    }

    /// What to write instead of `value`.
    fn fix(&self, value: &Value) -> String {
        let number = value.as_integer();
        match (self, number) {
            (Rule::Integer { min, max }, Some(number)) => {
                format!("the nearest that works is {}", number.clamp(*min, *max))
            }
            (Rule::Multiple { step, min, max }, Some(number)) => {
                format!("the nearest that works is {}", (number / step * step).clamp(*min, *max))
            }
            (Rule::PowerOfTwo { min, max }, Some(number)) => {
                let above = u64::try_from(number.clamp(*min, *max))
                    .map_or(1, u64::next_power_of_two);
                format!("the nearest that works is {}", above.min(max.unsigned_abs()))
            }
            (Rule::Integer { min, .. } | Rule::Multiple { min, .. } | Rule::PowerOfTwo { min, .. }, None) => {
                format!("write a bare number, such as {min}")
            }
            (Rule::Bool, _) => "write true or false without quotes".into(),
            (Rule::Name, _) => "write a name, such as \"venue-1\"".into(),
            (Rule::Path, _) => "write a path as text, such as \"journal\"".into(),
            (Rule::Words { now, .. }, _) => nearest(value.as_str().unwrap_or(""), now.iter().copied())
                .map_or_else(|| format!("set it to \"{}\"", now[0]), |word| format!("set it to \"{word}\"")),
            (Rule::Listen, _) => "write an address such as \"127.0.0.1:4711\" (port 0 takes any free one), or \"off\"".into(),
            (Rule::ListenOff(_), _) => "set it to \"off\"".into(),
            (Rule::Core, _) => "write a core number such as 0, or \"any\"".into(),
            (Rule::Decimal, _) => "write decimal text, such as \"0.01\"".into(),
            (Rule::Symbol, _) => "write a short name, such as \"BTC\"".into(),
            (Rule::PublicKey, _) => "`outcry keygen FILE` prints one".into(),
            (Rule::Accounts, _) => "write a list, such as [2, 3]".into(),
            (Rule::Symbols, _) => "write a list, such as [\"BTC-USDT\"]".into(),
            (Rule::List, _) => "write tables under [[…]] headers, or a list such as [{ id = 2 }]".into(),
        }
    }

    /// Checks a value against the rule. A list's entries are checked one by one by the caller.
    ///
    /// # Errors
    /// What is wrong, with bound and remedy.
    pub fn check(&self, value: &Value) -> Result<(), Breach> {
        let text = value.as_str();
        let number = value.as_integer();
        let holds = match self {
            Rule::Integer { min, max } => number.is_some_and(|n| (*min..=*max).contains(&n)),
            Rule::Multiple { step, min, max } => {
                number.is_some_and(|n| (*min..=*max).contains(&n) && n % step == 0)
            }
            Rule::PowerOfTwo { min, max } => number.is_some_and(|n| {
                (*min..=*max).contains(&n) && u64::try_from(n).is_ok_and(u64::is_power_of_two)
            }),
            Rule::Bool => value.is_bool(),
            Rule::Name => text.is_some_and(|text| is_word(text, 64)),
            Rule::Path => text.is_some_and(|text| !text.is_empty() && !text.contains('\0')),
            Rule::Words { now, later } => match text {
                Some(word) if later.contains(&word) => {
                    let what = format!("the value \"{word}\"");
                    return Err(Breach::NotInRelease {
                        what,
                        fix: format!("set it to one of {}", quoted(now)),
                    });
                }
                other => other.is_some_and(|word| now.contains(&word)),
            },
            Rule::Listen => {
                text.is_some_and(|text| text == OFF || text.parse::<SocketAddr>().is_ok())
            }
            Rule::ListenOff(what) => match text {
                Some(text) if text != OFF => {
                    return Err(self.not_in_release(&format!("the {what}")));
                }
                other => other.is_some(),
            },
            Rule::Core => {
                text == Some(ANY) || number.is_some_and(|n| (0..=i64::from(CORE_MAX)).contains(&n))
            }
            Rule::Decimal => {
                text.is_some_and(|text| Decimal::parse(text).is_ok_and(|decimal| decimal.units > 0))
            }
            Rule::Symbol => text.is_some_and(|text| is_word(text, SYMBOL_MAX_BYTES)),
            Rule::PublicKey => text.is_some_and(|text| {
                text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
            }),
            Rule::Accounts => value.as_array().is_some_and(|list| {
                list.len() <= KEY_ACCOUNTS_MAX
                    && list.iter().all(|entry| {
                        entry.as_integer().is_some_and(|n| (2..=ACCOUNT_MAX).contains(&n))
                    })
            }),
            Rule::Symbols => value.as_array().is_some_and(|list| {
                let symbol = |text: &str| is_word(text, SYMBOL_MAX_BYTES);
                list.len() <= RESTRICTED_MAX
                    && list.iter().all(|entry| entry.as_str().is_some_and(symbol))
            }),
            Rule::List => value.as_array().is_some_and(|list| list.iter().all(Value::is_table)),
        };
        if holds {
            return Ok(());
        }
        Err(Breach::Wrong { expected: self.expected(), fix: self.fix(value) })
    }

    fn not_in_release(&self, what: &str) -> Breach {
        Breach::NotInRelease { what: what.to_owned(), fix: "set it to \"off\"".to_owned() }
    }

    /// The value that a text from the environment or the command line means for this key.
    ///
    /// Keys that hold text take it as it stands, quoted or not; all others read it as TOML.
    #[must_use]
    pub fn read(&self, text: &str) -> Value {
        let holds_text = matches!(
            self,
            Rule::Name
                | Rule::Path
                | Rule::Words { .. }
                | Rule::Listen
                | Rule::ListenOff(_)
                | Rule::Decimal
                | Rule::Symbol
                | Rule::PublicKey
        );
        match parse_value(text) {
            Some(value) if value.is_str() || !holds_text => value,
            _ => Value::String(text.to_owned()),
        }
    }
}

/// The word of a listener that does not listen.
pub(super) const OFF: &str = "off";
/// The word of a thread that may run on any core.
pub(super) const ANY: &str = "any";
/// The largest core number.
pub(super) const CORE_MAX: u16 = 1023;

/// Reads one TOML value that stands alone.
fn parse_value(text: &str) -> Option<Value> {
    let document = format!("value = {text}");
    let mut table: toml::Table = document.parse().ok()?;
    let value = table.remove("value")?;
    // More than one key means that the text went on after its value.
    table.is_empty().then_some(value)
}

fn is_word(text: &str, max_bytes: usize) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    !text.is_empty() && text.len() <= max_bytes && text.bytes().all(fits)
}

/// `"a", "b" or "c"`.
fn quoted(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
    match quoted.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        _ => quoted.join(""),
    }
}

/// The candidate with the fewest edits from `word`, if it is near enough to be meant.
#[must_use]
pub(super) fn nearest<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let mut best: Option<(usize, &str)> = None;
    for candidate in candidates {
        let edits = edits_between(word, candidate);
        if best.is_none_or(|(fewest, _)| edits < fewest) {
            best = Some((edits, candidate));
        }
    }
    best.filter(|(edits, candidate)| edits * 2 < candidate.len().max(word.len()))
        .map(|(_, candidate)| candidate)
}

/// Insertions, removals and exchanges of one byte that lead from one word to the other.
fn edits_between(from: &str, to: &str) -> usize {
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in to.bytes().enumerate() {
            let replaced = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_are_counted() {
        for (from, to, edits) in
            [("", "", 0), ("a", "", 1), ("", "ab", 2), ("kitten", "sitting", 3), ("ab", "ba", 2)]
        {
            assert_eq!(edits_between(from, to), edits, "{from} {to}");
        }
        assert_eq!(nearest("ack.polcy", ["ack.policy", "node.name"]), Some("ack.policy"));
        assert_eq!(nearest("qqqqqq", ["ack.policy", "node.name"]), None);
    }

    #[test]
    fn a_text_is_read_as_its_key_needs_it() {
        assert_eq!(Rule::Name.read("123"), Value::String("123".into()));
        assert_eq!(Rule::Name.read("\"x\""), Value::String("x".into()));
        assert_eq!(Rule::Listen.read("127.0.0.1:0"), Value::String("127.0.0.1:0".into()));
        assert_eq!(Rule::Integer { min: 0, max: 9 }.read("7"), Value::Integer(7));
        assert_eq!(Rule::Core.read("any"), Value::String("any".into()));
        assert_eq!(Rule::Core.read("3"), Value::Integer(3));
        assert!(Rule::List.read("[{ id = 2 }]").is_array());
        // A line break cannot smuggle a second key in.
        assert_eq!(Rule::Bool.read("true\nother = 1"), Value::String("true\nother = 1".into()));
    }

    #[test]
    fn a_remedy_obeys_its_rule() {
        for (rule, value) in [
            (Rule::Integer { min: 3, max: 9 }, -4),
            (Rule::Integer { min: 3, max: 9 }, 44),
            (Rule::Multiple { step: 4096, min: 8192, max: 65536 }, 9000),
            (Rule::Multiple { step: 4096, min: 8192, max: 65536 }, i64::MIN),
            (Rule::PowerOfTwo { min: 2, max: 64 }, 33),
            (Rule::PowerOfTwo { min: 2, max: 64 }, i64::MAX),
            (Rule::PowerOfTwo { min: 2, max: 64 }, -1),
        ] {
            let breach = rule.check(&Value::Integer(value)).expect_err("out of range");
            let Breach::Wrong { fix, .. } = breach else { panic!("not a range: {breach:?}") };
            let remedy = fix.rsplit(' ').next().expect("a last word").parse().expect("a number");
            assert_eq!(rule.check(&Value::Integer(remedy)), Ok(()), "{fix}");
        }
    }
}
