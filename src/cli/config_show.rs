//! `outcry config show`: every key, its value, and who set it.

use super::output::{Align, Table};
use super::{Failure, Global, Outcome};
use crate::config::Row;
use clap::Subcommand;

/// Shows the configuration in force
#[derive(Debug, clap::Args)]
#[command(
    before_help = "Examples:\n  outcry config show\n  outcry config show journal --set journal.append=map"
)]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Show(ShowArgs),
}

/// Every key with its value and where it comes from
#[derive(Debug, clap::Args)]
#[command(before_help = "Examples:\n  outcry config show\n  outcry config show genesis --json\n  \
                         outcry config show journal --set journal.append=map")]
struct ShowArgs {
    /// Only keys that begin so, such as journal or gateway.native
    #[arg(value_name = "PREFIX")]
    prefix: Option<String>,
}

pub(super) fn run(args: &Args, global: &Global) -> Outcome {
    let Verb::Show(show) = &args.verb;
    let loaded = global.load()?;
    let output = global.output();
    let prefix = show.prefix.as_deref().unwrap_or("");
    let rows: Vec<Row> =
        loaded.rows().into_iter().filter(|row| row.key.starts_with(prefix)).collect();
    if rows.is_empty() {
        return Err(Failure::usage(format!("no key begins with {prefix}")));
    }
    if output.is_json() {
        rows.iter().for_each(|row| output.object(row));
        return Ok(());
    }
    let mut table =
        Table::new(&[("KEY", Align::Left), ("VALUE", Align::Left), ("ORIGIN", Align::Left)]);
    for row in rows {
        let note = row.note.map_or(String::new(), |note| format!(" ({note})"));
        table.row([row.key, row.value.to_string(), row.origin + &note]);
    }
    output.table(&table);
    Ok(())
}
