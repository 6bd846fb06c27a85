//! `outcry schema`: the built-in schemas, those of a directory or of a node, whether a new one fits,
//! and its registration.

use super::administer::Sending;
use super::connect::{Connection, Link};
use super::output::{Align, Output, Style, Table};
use super::{Failure, Global, Outcome, registered};
use crate::limits::{SCHEMA_CACHE_MAX, SCHEMA_TEXT_MAX_BYTES};
use crate::schema::{REGISTERED_ID_MIN, RegisterError, Registered, Registry, SchemaDefinition};
use crate::wire::schemas::SchemaRow;
use clap::Subcommand;
use serde_json::json;
use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Files of whatever kind that the directory may have.
const FILES_MAX: usize = SCHEMA_CACHE_MAX * 8;

/// Shows, checks and registers the schemas of messages
#[derive(Debug, clap::Args)]
#[command(
    before_help = "Examples:\n  outcry schema list --node\n  outcry schema check schemas/trade-report.toml\n  \
                   outcry schema register schemas/trade-report.toml",
    after_help = "Schemas are those built in and the *.toml files of the directory schemas.dir, which \
                  may be missing; with --node, or an option of the connection, those built in and those \
                  that the node has registered. Files are registered by nothing but `register`."
)]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    List(ListArgs),
    Show(ShowArgs),
    Check(CheckArgs),
    Register(RegisterArgs),
}

/// Where schemas come from.
#[derive(Debug, clap::Args)]
struct Source {
    /// Asks the node for its registered schemas, in place of the files; any key may
    #[arg(long)]
    node: bool,
    #[command(flatten)]
    connection: Connection,
}

/// Lists the active version of every schema
#[derive(Debug, clap::Args)]
#[command(before_help = "Examples:\n  outcry schema list\n  outcry schema list --node\n  \
                         outcry schema list --connect 127.0.0.1:4711 --key my.key --json")]
struct ListArgs {
    #[command(flatten)]
    source: Source,
}

/// Shows the fields of a schema
#[derive(Debug, clap::Args)]
#[command(
    before_help = "Examples:\n  outcry schema show 1\n  outcry schema show new-order --json\n  \
                         outcry schema show 1000@1 --node"
)]
struct ShowArgs {
    /// Its id or name, with @VERSION for another than the active version
    #[arg(value_name = "ID[@VERSION]")]
    schema: String,
    #[command(flatten)]
    source: Source,
}

/// Checks a schema file: whether it is one, and whether it may follow the version before
#[derive(Debug, clap::Args)]
#[command(
    before_help = "Examples:\n  outcry schema check trade-report.toml\n  \
                   outcry schema check trade-report.toml --json\n  \
                   outcry schema check trade-report.toml --node",
    after_help = "A new version may add optional fields. It may not remove, rename, renumber or retype \
                  a field, change the values it admits, or change whether it is required."
)]
struct CheckArgs {
    /// The file
    #[arg(value_name = "FILE.toml")]
    file: PathBuf,
    #[command(flatten)]
    source: Source,
}

/// Registers the schema of a file with the node, or a new version of one; for operators
#[derive(Debug, clap::Args)]
#[command(
    before_help = "Examples:\n  outcry schema register trade-report.toml\n  \
                   outcry schema register trade-report.toml --json",
    after_help = "The registration is sequenced: every node has it from its place in the order on, and \
                  it outlives a restart. A registered version stays for ever as it is; the same one \
                  again is good and changes nothing. What cannot follow the version before is refused \
                  (status 1) with the field and the reason."
)]
struct RegisterArgs {
    /// The file
    #[arg(value_name = "FILE.toml")]
    file: PathBuf,
    #[command(flatten)]
    sending: Sending,
}

pub(super) fn run(args: &Args, global: &Global) -> Outcome {
    let output = global.output();
    match &args.verb {
        Verb::List(args) => list(&Known::of(&args.source, global, None)?, output),
        Verb::Show(args) => {
            show(&Known::of(&args.source, global, None)?.registry, &args.schema, output)
        }
        Verb::Check(args) => {
            let known = Known::of(&args.source, global, Some(&args.file))?;
            check(&args.file, known.registry, output)
        }
        Verb::Register(args) => registered::register(&read(&args.file)?, &args.sending, global),
    }
}

/// Schemas, and where those that are not built in come from.
struct Known {
    registry: Registry,
    /// Sequences of the commands that registered them, where a node was asked.
    sequences: Option<HashMap<(u32, u16), u64>>,
}

impl Known {
    /// Of the node where one is asked for, else of the files without one that is about to be checked.
    fn of(source: &Source, global: &Global, without: Option<&Path>) -> Result<Known, Failure> {
        if !source.node && !source.connection.is_given() {
            return Ok(Known { registry: known(global, without)?, sequences: None });
        }
        let mut link = Link::open(&source.connection, global, "schema")?;
        let rows = registered::fetch(&mut link)?;
        link.close();
        let registry = registered::registry(&rows)?;
        let place = |row: &SchemaRow| {
            let SchemaRow { sequence, schema } = row;
            ((schema.id, schema.version), sequence.0)
        };
        Ok(Known { registry, sequences: Some(rows.iter().map(place).collect()) })
    }

    /// Where a schema comes from, and the sequence of its registration.
    fn origin(&self, schema: &SchemaDefinition) -> (&'static str, Option<u64>) {
        match &self.sequences {
            _ if schema.id < REGISTERED_ID_MIN => ("built-in", None),
            None => ("file", None),
            Some(sequences) => ("registered", sequences.get(&(schema.id, schema.version)).copied()),
        }
    }
}

/// The built-in schemas and those of the directory, without a file that is about to be checked.
pub(super) fn known(global: &Global, without: Option<&Path>) -> Result<Registry, Failure> {
    registry_of(&files(Path::new(&global.load()?.config.schemas.dir), without)?)
}

fn registry_of(files: &[(SchemaDefinition, PathBuf)]) -> Result<Registry, Failure> {
    let mut registry = Registry::new();
    for (schema, path) in files {
        register(&mut registry, schema)
            .map_err(|error| Failure::usage(format_args!("{}: {error}", path.display())))?;
    }
    Ok(registry)
}

/// Registers a schema of a file, which has to be good for this release too.
fn register(
    registry: &mut Registry,
    schema: &SchemaDefinition,
) -> Result<Registered, RegisterError> {
    schema.check_registrable()?;
    registry.register(schema.clone())
}

/// The schemas of a directory with their files, a version behind the one before.
fn files(dir: &Path, without: Option<&Path>) -> Result<Vec<(SchemaDefinition, PathBuf)>, Failure> {
    let unreadable = |error| Failure::usage(format_args!("cannot read {}: {error}", dir.display()));
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(unreadable(error)),
    };
    let without = without.and_then(|path| path.canonicalize().ok());
    let mut found: Vec<(SchemaDefinition, PathBuf)> = Vec::new();
    for (index, entry) in entries.enumerate() {
        if index == FILES_MAX {
            return Err(Failure::usage(format_args!(
                "{} has more than {FILES_MAX} files: schemas.dir is a directory of schemas alone",
                dir.display()
            )));
        }
        let path = entry.map_err(unreadable)?.path();
        let is_schema = path.extension().is_some_and(|extension| extension == "toml");
        if is_schema && (without.is_none() || path.canonicalize().ok() != without) {
            found.push((read(&path)?, path));
        }
    }
    // A version follows the one before, whatever its file is called.
    found.sort_by_key(|(schema, _)| (schema.id, schema.version));
    Ok(found)
}

/// Schema files as a start finds them: each good, and each version able to follow the one before.
pub(super) struct Files(Vec<(SchemaDefinition, PathBuf)>);

impl Files {
    /// Reads and checks the files of the directory `schemas.dir`.
    pub(super) fn read(dir: &str) -> Result<Files, Failure> {
        let files = files(Path::new(dir), None)?;
        registry_of(&files)?;
        Ok(Files(files))
    }

    /// What of the files is not what is registered, each as a sentence.
    pub(super) fn differences(&self, registered: &Registry) -> Vec<String> {
        let mut registry = registered.clone();
        let differs = |(schema, path): &(SchemaDefinition, PathBuf)| {
            let SchemaDefinition { id, name, version, .. } = schema;
            let path = path.display();
            match register(&mut registry, schema) {
                Ok(Registered::Known) => None,
                Ok(Registered::New) => Some(format!(
                    "{path}: schema {id} {name} version {version} is not registered, until \
                     `outcry schema register {path}` does it"
                )),
                Err(error) => Some(format!("{path}: {error}")),
            }
        };
        self.0.iter().filter_map(differs).collect()
    }
}

/// Reads a schema file.
fn read(path: &Path) -> Result<SchemaDefinition, Failure> {
    let mut text = String::new();
    let limit = SCHEMA_TEXT_MAX_BYTES as u64 + 1;
    File::open(path)
        .and_then(|file| file.take(limit).read_to_string(&mut text))
        .map_err(|error| Failure::usage(format_args!("{}: {error}", path.display())))?;
    SchemaDefinition::from_toml(&text)
        .map_err(|error| Failure::usage(format_args!("{}: {error}", path.display())))
}

fn list(known: &Known, output: Output) -> Outcome {
    let active = known.registry.active();
    if output.is_json() {
        for schema in &active {
            let (origin, sequence) = known.origin(schema);
            output.object(&json!({
                "id": schema.id, "name": schema.name, "version": schema.version,
                "fields": schema.fields.len(), "origin": origin, "sequence": sequence,
                "about": schema.about,
            }));
        }
        output.end_whole_list(active.len());
        return Ok(());
    }
    let mut table = Table::new(&[
        ("ID", Align::Right),
        ("NAME", Align::Left),
        ("VERSION", Align::Right),
        ("FIELDS", Align::Right),
        ("ORIGIN", Align::Left),
    ]);
    for schema in active {
        let origin = match known.origin(schema) {
            (origin, Some(sequence)) => format!("{origin}, sequence {sequence}"),
            (origin, None) => origin.to_owned(),
        };
        table.row([
            schema.id.to_string(),
            schema.name.clone(),
            schema.version.to_string(),
            schema.fields.len().to_string(),
            origin,
        ]);
    }
    output.table(&table);
    Ok(())
}

/// The schema that a person means.
fn find<'r>(registry: &'r Registry, text: &str) -> Result<&'r SchemaDefinition, Failure> {
    let (name, version) = match text.split_once('@') {
        None => (text, None),
        Some((name, version)) => {
            let version = version.parse::<u16>().map_err(|_| {
                Failure::usage(format_args!("{text}: behind @ stands a version, such as 1@2"))
            })?;
            (name, Some(version))
        }
    };
    let id = match name.parse::<u32>() {
        Ok(id) => id,
        Err(_) => {
            let named = registry.named(name);
            named.ok_or_else(|| Failure::bad(format_args!("Schema not found: {name}")))?.id
        }
    };
    match version {
        None => registry.get(id),
        Some(version) => registry.get_version(id, version),
    }
    .map_err(Failure::bad)
}

fn show(registry: &Registry, text: &str, output: Output) -> Outcome {
    let schema = find(registry, text)?;
    if output.is_json() {
        output.object(schema);
        return Ok(());
    }
    let heading = format!("{} {} version {}", schema.id, schema.name, schema.version);
    output.line(output.styled(Style::Bold, heading));
    if !schema.about.is_empty() {
        output.line(&schema.about);
    }
    if schema.fields.is_empty() {
        output.line("It has no fields.");
        return Ok(());
    }
    let mut table = Table::new(&[
        ("FIELD", Align::Right),
        ("NAME", Align::Left),
        ("TYPE", Align::Left),
        ("BYTES", Align::Right),
        ("REQUIRED", Align::Left),
        ("MEANING", Align::Left),
    ]);
    for field in &schema.fields {
        let mut about = vec![field.about.clone()];
        let mut values: Vec<(u8, &str)> =
            field.values.iter().map(|(word, number)| (*number, word.as_str())).collect();
        values.sort_unstable();
        let values: Vec<String> = values.iter().map(|(n, word)| format!("{n} {word}")).collect();
        about.push(values.join(", "));
        about.extend(field.min.map(|min| format!("at least {min}")));
        about.extend(field.max.map(|max| format!("at most {max}")));
        about.extend(field.max_bytes.map(|max| format!("at most {max} bytes")));
        if !field.fields.is_empty() {
            let inner: Vec<String> =
                field.fields.iter().map(|f| format!("{} {}", f.name, f.kind)).collect();
            about.push(format!("each has {}", inner.join(", ")));
        }
        about.retain(|text| !text.is_empty());
        table.row([
            field.id.to_string(),
            field.name.clone(),
            field.kind.to_string(),
            field.kind.size().map_or_else(|| "-".to_owned(), |size| size.to_string()),
            if field.required { "yes" } else { "no" }.to_owned(),
            about.join("; "),
        ]);
    }
    output.table(&table);
    Ok(())
}

fn check(file: &Path, mut registry: Registry, output: Output) -> Outcome {
    // What is wrong with this file is the answer, not wrong use.
    let schema = read(file).map_err(|failure| Failure { status: 1, ..failure })?;
    let before = registry.get(schema.id).ok().map(|before| before.version);
    let (id, name, version) = (schema.id, schema.name.clone(), schema.version);
    let fields = schema.fields.len();
    match register(&mut registry, &schema) {
        Ok(done) => {
            if output.is_json() {
                output.object(&json!({
                    "ok": true, "id": id, "name": name, "version": version, "fields": fields,
                    "follows": before, "known": done == Registered::Known,
                }));
                return Ok(());
            }
            let follows = match before {
                Some(before) if before < version => {
                    format!("; readers of version {before} can read it")
                }
                _ => String::new(),
            };
            output.line(format_args!("{id} {name} version {version} is good{follows}"));
            Ok(())
        }
        Err(error) => {
            if output.is_json() {
                output.object(&json!({
                    "ok": false, "id": id, "name": name, "version": version,
                    "error": error.to_string(),
                }));
            }
            Err(Failure::bad(format_args!("{}: {error}", file.display())))
        }
    }
}
