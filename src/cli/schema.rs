//! `outcry schema`: the built-in schemas and those of a directory, and whether a new one fits.

use super::output::{Align, Output, Style, Table};
use super::{Failure, Global, Outcome};
use crate::limits::{SCHEMA_CACHE_MAX, SCHEMA_TEXT_MAX_BYTES};
use crate::schema::{REGISTERED_ID_MIN, Registered, Registry, SchemaDefinition};
use clap::Subcommand;
use serde_json::json;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Files of the directory that are looked at.
const FILES_MAX: usize = SCHEMA_CACHE_MAX * 8;

/// Shows and checks the schemas of messages
#[derive(Debug, clap::Args)]
#[command(
    before_help = "Examples:\n  outcry schema list\n  outcry schema show new-order\n  \
                   outcry schema check schemas/trade-report.toml",
    after_help = "Schemas are those built in and the *.toml files of the directory schemas.dir, which \
                  may be missing."
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
}

/// Lists the active version of every schema
#[derive(Debug, clap::Args)]
#[command(before_help = "Examples:\n  outcry schema list\n  outcry schema list --json")]
struct ListArgs {}

/// Shows the fields of a schema
#[derive(Debug, clap::Args)]
#[command(
    before_help = "Examples:\n  outcry schema show 1\n  outcry schema show new-order --json\n  \
                         outcry schema show 1@1"
)]
struct ShowArgs {
    /// Its id or name, with @VERSION for another than the active version
    #[arg(value_name = "ID[@VERSION]")]
    schema: String,
}

/// Checks a schema file: whether it is one, and whether it may follow the version before
#[derive(Debug, clap::Args)]
#[command(
    before_help = "Examples:\n  outcry schema check trade-report.toml\n  \
                   outcry schema check trade-report.toml --json",
    after_help = "A new version may add optional fields. It may not remove, rename, renumber or retype \
                  a field, change the values it admits, or change whether it is required."
)]
struct CheckArgs {
    /// The file
    #[arg(value_name = "FILE.toml")]
    file: PathBuf,
}

pub(super) fn run(args: &Args, global: &Global) -> Outcome {
    let output = global.output();
    match &args.verb {
        Verb::List(_) => list(&known(global, None)?, output),
        Verb::Show(args) => show(&known(global, None)?, &args.schema, output),
        Verb::Check(args) => check(&args.file, global, output),
    }
}

/// The built-in schemas and those of the directory, without a file that is about to be checked.
pub(super) fn known(global: &Global, without: Option<&Path>) -> Result<Registry, Failure> {
    let dir = PathBuf::from(global.load()?.config.schemas.dir);
    let mut registry = Registry::new();
    let unreadable = |error| Failure::usage(format_args!("cannot read {}: {error}", dir.display()));
    let entries = match std::fs::read_dir(&dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(registry),
        Err(error) => return Err(unreadable(error)),
    };
    let without = without.and_then(|path| path.canonicalize().ok());
    let mut found: Vec<(SchemaDefinition, PathBuf)> = Vec::new();
    for entry in entries.take(FILES_MAX) {
        let path = entry.map_err(unreadable)?.path();
        let is_schema = path.extension().is_some_and(|extension| extension == "toml");
        if is_schema && (without.is_none() || path.canonicalize().ok() != without) {
            found.push((read(&path)?, path));
        }
    }
    // A version follows the one before, whatever its file is called.
    found.sort_by_key(|(schema, _)| (schema.id, schema.version));
    for (schema, path) in found {
        registry
            .register(schema)
            .map_err(|error| Failure::usage(format_args!("{}: {error}", path.display())))?;
    }
    Ok(registry)
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

fn origin(schema: &SchemaDefinition) -> &'static str {
    if schema.id < REGISTERED_ID_MIN { "built-in" } else { "file" }
}

fn list(registry: &Registry, output: Output) -> Outcome {
    let active = registry.active();
    if output.is_json() {
        for schema in &active {
            output.object(&json!({
                "id": schema.id, "name": schema.name, "version": schema.version,
                "fields": schema.fields.len(), "origin": origin(schema), "about": schema.about,
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
        table.row([
            schema.id.to_string(),
            schema.name.clone(),
            schema.version.to_string(),
            schema.fields.len().to_string(),
            origin(schema).to_owned(),
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

fn check(file: &Path, global: &Global, output: Output) -> Outcome {
    let mut registry = known(global, Some(file))?;
    // What is wrong with this file is the answer, not wrong use.
    let schema = read(file).map_err(|failure| Failure { status: 1, ..failure })?;
    let before = registry.get(schema.id).ok().map(|before| before.version);
    let (id, name, version) = (schema.id, schema.name.clone(), schema.version);
    let fields = schema.fields.len();
    match registry.register(schema) {
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
