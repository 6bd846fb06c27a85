//! The shape of the tree, checked by an ordinary test: imports point down, `unsafe` has two homes,
//! every file says its job, and nothing unfinished lies around.

use std::path::{Path, PathBuf};

/// Layers from the ground up, and the modules of each. A module uses its own layer and those below;
/// stages of a command's way do not use each other: `node` introduces them.
const LAYERS: &[(&str, &[&str])] = &[
    ("ground", &["limits", "types", "timestamp", "decimal", "checksum", "packing"]),
    (
        "pure",
        &["command", "event", "genesis", "admin", "message", "wire", "schema", "fix", "exchange"],
    ),
    ("machine", &["sys", "ring", "stats"]),
    ("service", &["config", "endpoint", "fatal", "logging", "keys"]),
    ("driver", &["agent"]),
    (STAGE, &["gateway", "sequencer", "journal", "lanes", "publish"]),
    ("node", &["node", "snapshot", "ops"]),
    ("surface", &["client", "cli"]),
];

/// The layer whose modules do not use each other.
const STAGE: &str = "stage";

/// Where a stage uses a part of another, or pure code one of the machine, and why that is right:
/// shapes and formats, never behaviour.
const EXCEPTIONS: &[(&str, &str, &str)] = &[
    ("wire", "sys::sha256", "a pure function that needs the processor's own instructions"),
    (
        "exchange",
        "sys::memory",
        "a table tells where its memory lies; what is done with it is not its",
    ),
    (
        "exchange",
        "sys::prefetch",
        "a hint to the processor, which changes nothing that can be seen",
    ),
    ("gateway", "journal::format", "a message carries the flags that its record will have"),
    ("gateway", "journal::payload", "a logon is admitted in the form in which it is sequenced"),
    ("gateway", "publish::outbound", "answers arrive in the form in which they are released"),
    ("gateway", "sequencer::overload", "the sequencer judges how overloaded the node is"),
    ("gateway", "sequencer::pending", "what was handed on is compared with what was taken"),
    ("publish", "sequencer::queues", "a change of priority is logged as it was noted"),
    ("gateway", "publish::rest", "a piece is asked for when less than one waits to be sent"),
    ("lanes", "journal", "lanes read the mapped journal and write event logs in its format"),
    ("lanes", "publish::outbound", "results leave in the form in which they are released"),
    ("lanes", "sequencer", "the entries of the sequenced ring are the sequencer's"),
    ("sequencer", "journal::format", "a message is sequenced with the kind of its record"),
    ("sequencer", "journal::payload", "a session is known by what its logon's record says"),
    ("journal", "sequencer", "the entries of the sequenced ring are the sequencer's"),
    ("publish", "journal", "event log and reject log are files in the journal's format"),
];

/// Modules that must stay pure: the same input gives the same output, on every machine.
const PURE: &[&str] = &[
    "wire",
    "schema",
    "fix",
    "exchange",
    "command",
    "event",
    "genesis",
    "admin",
    "types",
    "limits",
    "decimal",
    "timestamp",
];

/// What a pure module never names: threads, clocks, files, sockets, randomness, and the modules that
/// have them.
const IMPURE: &[&str] = &[
    "crate::gateway",
    "crate::sequencer",
    "crate::journal",
    "crate::lanes",
    "crate::publish",
    "crate::sys",
    "crate::ring",
    "std::net",
    "std::fs",
    "std::thread",
    "std::env",
    "std::process",
    "std::time::Instant",
    "std::time::SystemTime",
    "Instant::now",
    "SystemTime::now",
    "getrandom",
    "RandomState",
];

/// Files that may be longer than usual are still bounded.
const LINES_MAX: usize = 900;

/// What no file says. Spelled in halves, so that this list does not find itself.
const FORBIDDEN: &[&str] = &[
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("XX", "X"),
    concat!("for ", "now"),
    concat!("to", "do!("),
    concat!("unimple", "mented!("),
];

struct Source {
    /// Path from the project's root.
    path: String,
    text: String,
}

impl Source {
    /// Lines of code with their numbers. Comments are left out, and tests: what stands behind
    /// `mod tests {`, and files of that name.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let text = if self.path.ends_with("/tests.rs") { "" } else { self.text.as_str() };
        let lines = text.lines().enumerate();
        lines
            .take_while(|(_, line)| !line.starts_with("mod tests {"))
            .filter(|(_, line)| !line.trim_start().starts_with("//"))
            .map(|(index, line)| (index + 1, line))
    }

    /// The module directly below `src/`.
    fn module(&self) -> Option<&str> {
        let inside = self.path.strip_prefix("src/")?;
        let module = inside.split('/').next()?.trim_end_matches(".rs");
        (!matches!(module, "lib" | "main")).then_some(module)
    }
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut left: Vec<PathBuf> = ["src", "tests", "benches"].map(|dir| root.join(dir)).into();
    let mut sources = Vec::new();
    while let Some(dir) = left.pop() {
        for entry in std::fs::read_dir(&dir).expect("a directory of sources") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                left.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).expect("sources are text");
                let path = path.strip_prefix(root).expect("below the root").display().to_string();
                sources.push(Source { path, text });
            }
        }
    }
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(sources.len() > 10, "the sources were not found");
    sources
}

/// Fails with every finding at once.
fn none(findings: &[String]) {
    assert!(findings.is_empty(), "\n{}", findings.join("\n"));
}

fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|(_, modules)| modules.contains(&module))
}

/// Modules named as `crate::module` in a line, `crate::{a, b}` included.
fn modules_named(line: &str) -> Vec<&str> {
    let mut named = Vec::new();
    for (at, _) in line.match_indices("crate::") {
        let rest = &line[at + "crate::".len()..];
        let words = rest.strip_prefix('{').unwrap_or(rest);
        let end = if rest.starts_with('{') {
            words.find('}').unwrap_or(words.len())
        } else {
            words.len()
        };
        for part in words[..end].split(',') {
            let word = part.trim().split(|c: char| !c.is_alphanumeric() && c != '_').next();
            named.extend(word.filter(|word| !word.is_empty()));
            if !rest.starts_with('{') {
                break;
            }
        }
    }
    named
}

/// True where a line of `module` uses a part of `named` that it may use.
fn is_excused(module: &str, named: &str, line: &str) -> bool {
    EXCEPTIONS.iter().any(|(from, path, _)| {
        *from == module
            && path.split("::").next() == Some(named)
            && line.contains(&format!("crate::{path}"))
    })
}

#[test]
fn every_module_has_a_layer() {
    let mut findings = Vec::new();
    for source in sources() {
        if let Some(module) = source.module().filter(|module| layer(module).is_none()) {
            findings.push(format!("{}: add {module} to LAYERS in tests/tidy.rs", source.path));
        }
    }
    none(&findings);
}

#[test]
fn imports_point_down() {
    let mut findings = Vec::new();
    for source in sources() {
        let Some((module, own)) = source.module().and_then(|m| Some((m, layer(m)?))) else {
            continue;
        };
        for (number, line) in source.code() {
            for named in modules_named(line) {
                let Some(theirs) = layer(named) else { continue };
                let excused = is_excused(module, named, line);
                let sideways = theirs == own && LAYERS[own].0 == STAGE && named != module;
                if (theirs > own || sideways) && !excused {
                    findings.push(format!(
                        "{}:{number}: {module} ({}) uses {named} ({})",
                        source.path, LAYERS[own].0, LAYERS[theirs].0
                    ));
                }
            }
        }
    }
    none(&findings);
}

#[test]
fn pure_modules_name_no_thread_clock_or_file() {
    let mut findings = Vec::new();
    for source in sources() {
        let Some(module) = source.module().filter(|module| PURE.contains(module)) else {
            continue;
        };
        for (number, line) in source.code() {
            for word in IMPURE.iter().filter(|word| line.contains(**word)) {
                let named = word.trim_start_matches("crate::");
                if is_excused(module, named, line) {
                    continue;
                }
                findings.push(format!("{}:{number}: pure code names {word}", source.path));
            }
        }
    }
    none(&findings);
}

#[test]
fn unsafe_has_two_homes() {
    let word = concat!("uns", "afe");
    let mut findings = Vec::new();
    for source in sources() {
        // The third is no home of the program: a counting allocator can only be one.
        let homes = ["src/ring", "src/sys", "tests/allocation.rs"];
        if homes.iter().any(|home| source.path.starts_with(home)) {
            continue;
        }
        for (index, line) in source.text.lines().enumerate() {
            let code = line.split("//").next().unwrap_or("");
            let words = code.split(|c: char| !c.is_alphanumeric() && c != '_');
            if words.into_iter().any(|found| found == word) {
                findings.push(format!(
                    "{}:{}: {word} outside src/ring and src/sys",
                    source.path,
                    index + 1
                ));
            }
        }
    }
    none(&findings);
}

#[test]
fn every_file_begins_with_its_job() {
    let beginless = sources().into_iter().filter(|source| !source.text.starts_with("//! "));
    let findings: Vec<String> =
        beginless.map(|source| format!("{}: no //! header", source.path)).collect();
    none(&findings);
}

#[test]
fn the_map_names_every_module() {
    let map = include_str!("../ARCHITECTURE.md");
    let mut findings = Vec::new();
    for source in sources() {
        if let Some(module) = source.module().filter(|module| !map.contains(&format!("`{module}`")))
        {
            findings.push(format!("ARCHITECTURE.md does not name `{module}` ({})", source.path));
        }
    }
    none(&findings);
}

#[test]
fn files_stay_readable() {
    let mut findings = Vec::new();
    for source in sources() {
        let lines = source.text.lines().count();
        if lines > LINES_MAX {
            findings.push(format!("{}: {lines} lines, more than {LINES_MAX}", source.path));
        }
    }
    none(&findings);
}

#[test]
fn nothing_unfinished_lies_around() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut texts: Vec<(String, String)> =
        sources().into_iter().map(|source| (source.path, source.text)).collect();
    for dir in ["", "docs", "journal", ".ci"] {
        let Ok(entries) = std::fs::read_dir(root.join(dir)) else { continue };
        for path in entries.map(|entry| entry.expect("an entry").path()) {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let ours = ["Makefile", "run"].contains(&name.as_str())
                || [".md", ".toml", ".yml"].iter().any(|end| name.ends_with(end));
            if ours && path.is_file() {
                texts.push((name, std::fs::read_to_string(&path).expect("documents are text")));
            }
        }
    }
    let mut findings = Vec::new();
    for (path, text) in texts {
        for (index, line) in text.lines().enumerate() {
            for word in FORBIDDEN.iter().filter(|word| line.contains(**word)) {
                findings.push(format!("{path}:{}: {word}", index + 1));
            }
        }
    }
    none(&findings);
}

#[test]
fn only_the_command_line_prints() {
    let mut findings = Vec::new();
    for source in sources() {
        let may = source.path.starts_with("src/cli/") || source.path == "src/main.rs";
        if may || !source.path.starts_with("src/") {
            continue;
        }
        for (number, line) in source.code() {
            if ["println!(", "print!(", "dbg!("].iter().any(|print| line.contains(print)) {
                findings.push(format!("{}:{number}: prints", source.path));
            }
        }
    }
    none(&findings);
}

#[test]
fn the_import_check_sees_what_a_line_names() {
    assert_eq!(modules_named("use crate::types::Price;"), ["types"]);
    assert_eq!(modules_named("use crate::{journal, types::Price};"), ["journal", "types"]);
    assert_eq!(modules_named("crate::wire::open(crate::limits::MAX)"), ["wire", "limits"]);
    assert_eq!(modules_named("use std::fs;"), [] as [&str; 0]);
}
