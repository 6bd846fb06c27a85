//! Lays the sources of a configuration over one another and remembers where each value comes from.
//!
//! Invariants: every value is checked by its key's rule as it comes in, so that a message names the
//! source; nothing unknown is ever skipped; lists are replaced as a whole by a stronger source,
//! unless it names one entry (`genesis.instruments.0.tick`).

use super::error::{ConfigError, Origin};
use super::rule::{Key, Rule, nearest};
use super::{Config, keys};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use toml::{Table, Value};

/// Where a configuration may come from.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// `--config`: a file that must exist. Without it `config.toml` beside the data directory is
    /// read if there is one.
    pub file: Option<PathBuf>,
    /// `--data-dir`.
    pub data_dir: Option<String>,
    /// `--set section.key=value`, in order.
    pub set: Vec<String>,
    /// The environment.
    pub env: Vec<(String, String)>,
}

impl Sources {
    /// No file, no options; the process environment. Variables that are not Unicode are none of ours.
    #[must_use]
    pub fn of_process() -> Sources {
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        Sources { env: std::env::vars_os().filter_map(text).collect(), ..Sources::default() }
    }
}

/// A configuration and where each value comes from.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The configuration, checked.
    pub config: Config,
    /// The file that was read.
    pub file: Option<PathBuf>,
    /// Names of the source document that the environment holds (row S1.101).
    pub aliases: Vec<Alias>,
    table: Table,
    origins: BTreeMap<String, Origin>,
}

/// One key as `config show` prints it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// Path; entries of lists by their index.
    pub key: String,
    /// The value in force.
    pub value: Value,
    /// Where it comes from.
    pub origin: String,
    /// What an alias does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// An environment variable of the source document and what it does here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alias {
    /// `CONSUMER_GROUP`, `PARTITIONS`, `MAX_THREADS` or `PRIORITY_LEVEL`.
    pub name: &'static str,
    /// What the environment says.
    pub value: String,
    /// What that does.
    pub effect: &'static str,
}

/// Loads the configuration from all its sources.
///
/// # Errors
/// [`ConfigError`]: the first thing that is wrong, by name.
pub fn load(sources: &Sources) -> Result<Loaded, ConfigError> {
    let defaults = Table::try_from(Config::default()).expect("defaults are plain data");
    let mut layers = Layers { table: defaults, origins: BTreeMap::new() };
    let file = file_of(sources);
    if let Some(path) = &file {
        layers.file(path)?;
    }
    let aliases = aliases(&sources.env)?;
    layers.environment(&sources.env)?;
    for text in &sources.set {
        let (key, value) =
            text.split_once('=').ok_or_else(|| ConfigError::NoValue { text: text.clone() })?;
        layers.text(key.trim(), value, &Origin::Set)?;
    }
    if let Some(data_dir) = &sources.data_dir {
        let value = Value::String(data_dir.clone());
        layers.overlay("node.data_dir", value, &Origin::Flag("--data-dir"))?;
    }
    let Layers { table, origins } = layers;
    let config = Config::deserialize(Value::Table(table.clone()))
        .expect("the rules let through only what the fields can hold");
    config.check_relations()?;
    Ok(Loaded { config, file, aliases, table, origins })
}

/// The file to read: the one asked for, or `config.toml` beside the data directory.
fn file_of(sources: &Sources) -> Option<PathBuf> {
    if sources.file.is_some() {
        return sources.file.clone();
    }
    let from_set = || {
        let last = |text: &String| text.strip_prefix("node.data_dir=").map(str::to_owned);
        sources.set.iter().rev().find_map(last)
    };
    let from_env = || {
        let named = |(name, _): &&(String, String)| name == "OUTCRY_NODE__DATA_DIR";
        sources.env.iter().find(named).map(|(_, value)| value.clone())
    };
    let data_dir = sources
        .data_dir
        .clone()
        .or_else(from_set)
        .or_else(from_env)
        .unwrap_or_else(|| Config::default().node.data_dir);
    let beside = Path::new(&data_dir).parent()?.join("config.toml");
    beside.is_file().then_some(beside)
}

/// Sections and keys of later releases: whoever tries one is told so, not that it is misspelled.
const LATER: &[(&str, &str)] = &[
    ("replication", "section [replication], which keeps standbys,"),
    ("kafka", "section [kafka], which publishes events to Kafka,"),
    ("gateway.tls", "section [gateway.tls], which encrypts connections,"),
];

/// The variables of the source document (row S1.101) that are set. There they tell a process which
/// part of the work is its own; here one process does all of it, so each is checked, shown, and said
/// to have no effect.
fn aliases(env: &[(String, String)]) -> Result<Vec<Alias>, ConfigError> {
    let mut aliases = Vec::new();
    for AliasRule { name, holds, expected, fix, effect } in ALIASES {
        let Some((_, value)) = env.iter().find(|(set, _)| set == name) else { continue };
        if !holds(value) {
            let origin = Origin::Env(name.to_owned());
            let value = Value::String(value.clone()).to_string();
            return Err(ConfigError::wrong(name, &value, expected, &origin, fix));
        }
        aliases.push(Alias { name, value: value.clone(), effect });
    }
    Ok(aliases)
}

/// What is known of a variable of the source document.
struct AliasRule {
    name: &'static str,
    holds: fn(&str) -> bool,
    expected: &'static str,
    fix: &'static str,
    effect: &'static str,
}

const ALIASES: [AliasRule; 4] = [
    AliasRule {
        name: "CONSUMER_GROUP",
        holds: |value| matches!(value.rsplit('-').next(), Some("critical" | "normal" | "batch")),
        expected: "a group whose name ends in critical, normal or batch",
        fix: "write order-processor-critical",
        effect: "no effect in this release: one process runs every lane, each a single-writer thread",
    },
    AliasRule {
        name: "PARTITIONS",
        holds: |value| {
            value.split(',').all(|part| part.trim().parse::<u8>().is_ok_and(|number| number < 32))
        },
        expected: "partition numbers from 0 to 31 with commas between them",
        fix: "write 0,1",
        effect: "no effect in this release: one process serves every partition, and its lanes are \
                 single-writer threads",
    },
    AliasRule {
        name: "MAX_THREADS",
        holds: |value| value.parse::<u32>().is_ok_and(|number| number > 0),
        expected: "a whole number, 1 or more",
        fix: "write 16",
        effect: "no effect in this release: a lane is one single-writer thread, never a pool",
    },
    AliasRule {
        name: "PRIORITY_LEVEL",
        holds: |value| matches!(value, "critical" | "high" | "normal" | "low" | "batch"),
        expected: "one of \"critical\", \"high\", \"normal\", \"low\" or \"batch\"",
        fix: "write critical",
        effect: "no effect in this release: one process runs every lane, each a single-writer thread",
    },
];

/// The values so far and who set them.
struct Layers {
    table: Table,
    origins: BTreeMap<String, Origin>,
}

impl Layers {
    fn file(&mut self, path: &Path) -> Result<(), ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|error| ConfigError::Unreadable {
            path: path.to_owned(),
            reason: error.to_string(),
        })?;
        let table: Table = text.parse().map_err(|error: toml::de::Error| ConfigError::Syntax {
            path: path.to_owned(),
            reason: error.to_string().trim_end().to_owned(),
        })?;
        let origin = Origin::File(path.to_owned());
        for (key, value) in table {
            self.overlay(&key, value, &origin)?;
        }
        Ok(())
    }

    /// `OUTCRY_SECTION__KEY`.
    fn environment(&mut self, env: &[(String, String)]) -> Result<(), ConfigError> {
        let mut named: Vec<(String, &str, &str)> = Vec::new();
        for (name, value) in env {
            let Some(rest) = name.strip_prefix("OUTCRY_") else { continue };
            if rest.contains("__") {
                named.push((rest.to_lowercase().replace("__", "."), name, value));
            } else if let Some(key) =
                keys().find(|key| key.path.replace('.', "_") == rest.to_lowercase())
            {
                // One underscore too few is a key that its writer believes to be set.
                return Err(ConfigError::Unknown {
                    key: name.clone(),
                    origin: Origin::Env(name.clone()),
                    hint: format!("write it as {}", env_name(key.path)),
                });
            }
        }
        // A list stands before its entries, whatever order the environment has.
        named.sort();
        for (path, name, value) in named {
            self.text(&path, value, &Origin::Env(name.to_owned()))?;
        }
        Ok(())
    }

    /// A value given as text.
    fn text(&mut self, path: &str, text: &str, origin: &Origin) -> Result<(), ConfigError> {
        let key = lookup(path).ok_or_else(|| unknown(path, origin))?;
        self.overlay(path, key.rule.read(text), origin)
    }

    /// Puts a value over what is there.
    fn overlay(&mut self, path: &str, value: Value, origin: &Origin) -> Result<(), ConfigError> {
        if let Some(key) = lookup(path) {
            check(path, key, &value, origin)?;
            return self.put(path, value, origin);
        }
        if !is_section(path) {
            return Err(unknown(path, origin));
        }
        let Value::Table(section) = value else {
            let fix = format!("write [{path}] and its keys below it");
            return Err(ConfigError::wrong(path, &value.to_string(), "a section", origin, fix));
        };
        for (key, value) in section {
            self.overlay(&format!("{path}.{key}"), value, origin)?;
        }
        Ok(())
    }

    /// Stores a checked value.
    fn put(&mut self, path: &str, value: Value, origin: &Origin) -> Result<(), ConfigError> {
        let (parents, name) = path.rsplit_once('.').expect("every key stands in a section");
        let Some(table) = section_of(&mut self.table, parents) else {
            return Err(ConfigError::Unknown {
                key: path.to_owned(),
                origin: origin.clone(),
                hint: "the list has no such entry (the first is 0); give the list as a whole to add one"
                    .to_owned(),
            });
        };
        table.insert(name.to_owned(), value);
        let below = format!("{path}.");
        self.origins.retain(|key, _| !key.starts_with(&below));
        self.origins.insert(path.to_owned(), origin.clone());
        Ok(())
    }
}

/// The table at a path; entries of lists by their index.
fn section_of<'a>(table: &'a mut Table, path: &str) -> Option<&'a mut Table> {
    let mut segments = path.split('.');
    let mut at = table;
    while let Some(segment) = segments.next() {
        at = match at.get_mut(segment)? {
            Value::Table(inner) => inner,
            Value::Array(list) => {
                let index: usize = segments.next()?.parse().ok()?;
                list.get_mut(index)?.as_table_mut()?
            }
            _ => return None,
        };
    }
    Some(at)
}

/// The key of a path; indices of lists stand for any entry.
fn lookup(path: &str) -> Option<&'static Key> {
    let segments = || {
        path.split('.').map(|segment| match segment.parse::<usize>() {
            Ok(_) => "*",
            Err(_) => segment,
        })
    };
    keys().find(|key| key.path.split('.').eq(segments()))
}

/// True where keys stand below this path.
fn is_section(path: &str) -> bool {
    keys().any(|key| key.path.strip_prefix(path).is_some_and(|rest| rest.starts_with('.')))
}

/// The environment variable of a key.
fn env_name(path: &str) -> String {
    format!("OUTCRY_{}", path.replace('.', "__").to_uppercase())
}

fn unknown(path: &str, origin: &Origin) -> ConfigError {
    let stands_in = |above: &str| {
        path.strip_prefix(above).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    if let Some((_, what)) = LATER.iter().find(|(above, _)| stands_in(above)) {
        return ConfigError::NotInRelease {
            key: path.to_owned(),
            what: format!("the {what}"),
            fix: "remove it".to_owned(),
            origin: origin.clone(),
        };
    }
    let sections = keys().filter_map(|key| Some(key.path.rsplit_once('.')?.0));
    let hint = if is_section(path) {
        format!("it is a section, set one of its keys: {}", below(path))
    } else {
        match nearest(path, keys().map(|key| key.path).chain(sections)) {
            Some(near) => format!("did you mean {near}?"),
            None => "`outcry config show` lists every key".to_owned(),
        }
    };
    ConfigError::Unknown { key: path.to_owned(), origin: origin.clone(), hint }
}

/// The keys of a section, for a message.
fn below(section: &str) -> String {
    let inside = |key: &Key| {
        key.path.strip_prefix(section).and_then(|rest| rest.strip_prefix('.')).map(str::to_owned)
    };
    keys().filter_map(inside).filter(|key| !key.contains('*')).collect::<Vec<_>>().join(", ")
}

/// Checks a value and, in a list, every entry.
fn check(path: &str, key: &Key, value: &Value, origin: &Origin) -> Result<(), ConfigError> {
    key.rule.check(value).map_err(|breach| ConfigError::breach(path, value, origin, breach))?;
    let (Rule::List, Value::Array(list)) = (key.rule, value) else { return Ok(()) };
    for (index, entry) in list.iter().enumerate() {
        let entry = entry.as_table().expect("the rule of a list admits only tables");
        for (name, value) in entry {
            let path = format!("{path}.{index}.{name}");
            let key = lookup(&path).ok_or_else(|| unknown(&path, origin))?;
            check(&path, key, value, origin)?;
        }
        let inside = format!("{}.*.", key.path);
        let required = keys().filter(|key| key.required);
        for key in required {
            let Some(name) = key.path.strip_prefix(&inside).filter(|name| !name.contains('.'))
            else {
                continue;
            };
            if !entry.contains_key(name) {
                return Err(ConfigError::Missing {
                    key: format!("{path}.{index}.{name}"),
                    origin: origin.clone(),
                    expected: key.rule.expected(),
                });
            }
        }
    }
    Ok(())
}

impl Loaded {
    /// Every key in flow order with its value and origin, then the aliases in force.
    #[must_use]
    pub fn rows(&self) -> Vec<Row> {
        let mut rows = Vec::new();
        for key in keys().filter(|key| !key.path.contains('*')) {
            let value = key
                .path
                .split('.')
                .try_fold(None, |at: Option<&Value>, segment| match at {
                    None => self.table.get(segment).map(Some),
                    Some(value) => value.get(segment).map(Some),
                })
                .flatten()
                .expect("every key has a default");
            self.push_rows(key.path, value, &mut rows);
        }
        rows.extend(self.aliases.iter().map(|alias| Row {
            key: alias.name.to_owned(),
            value: Value::String(alias.value.clone()),
            origin: Origin::Env(alias.name.to_owned()).to_string(),
            note: Some(alias.effect.to_owned()),
        }));
        rows
    }

    /// The rows of a value: one, or for a list of tables one for each key of each entry.
    fn push_rows(&self, path: &str, value: &Value, rows: &mut Vec<Row>) {
        let pattern = lookup(path).expect("rows are asked for keys only");
        match value {
            Value::Array(list) if matches!(pattern.rule, Rule::List) && !list.is_empty() => {
                let inside = format!("{}.*.", pattern.path);
                for (index, entry) in list.iter().enumerate() {
                    let names = keys().filter_map(|key| key.path.strip_prefix(&inside));
                    for name in names.filter(|name| !name.contains('.')) {
                        if let Some(value) = entry.get(name) {
                            self.push_rows(&format!("{path}.{index}.{name}"), value, rows);
                        }
                    }
                }
            }
            _ => rows.push(Row {
                key: path.to_owned(),
                value: value.clone(),
                origin: self.origin(path).to_string(),
                note: None,
            }),
        }
    }

    /// Where the value of a path comes from: whoever set it, or the list it stands in.
    #[must_use]
    pub fn origin(&self, path: &str) -> Origin {
        let mut at = path;
        loop {
            if let Some(origin) = self.origins.get(at) {
                return origin.clone();
            }
            match at.rsplit_once('.') {
                Some((above, _)) => at = above,
                None => return Origin::Default,
            }
        }
    }
}
