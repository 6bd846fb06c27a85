//! `outcry rules`: which rules of the exchange hold in a journal.

use super::administer::{self, Sending};
use super::connect::{Connection, Link};
use super::{Global, Outcome};
use crate::admin::{AdminCommand, DirectoryPage};
use crate::client::Reply;
use crate::genesis::APPLICATION_VERSION;
use crate::types::KeyId;
use clap::Subcommand;
use serde::Serialize;

/// Shows which rules hold, and lets those of this release hold in a journal that an older one has begun
#[derive(Debug, clap::Args)]
#[command(
    before_help = "Examples:\n  outcry rules show\n  outcry rules activate\n  \
    outcry rules activate --version 2 --json",
    after_help = "A journal begins with the rules of the release that made it, and a newer release goes on \
                  with those, so that a replay gives the same events. Kinds of orders that came later are \
                  refused until an operator activates the rules that know them; this cannot be taken \
                  back, and releases that do not know them cannot open the journal any more. Headers of \
                  segments name them from the node's next start on."
)]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Show(ShowArgs),
    Activate(ActivateArgs),
}

/// Shows which version of the rules holds, and which ones the node knows; for operators
#[derive(Debug, clap::Args)]
#[command(before_help = "Examples:\n  outcry rules show\n  outcry rules show --json")]
struct ShowArgs {
    #[command(flatten)]
    connection: Connection,
}

/// Versions of the rules, as a script reads them.
#[derive(Debug, Serialize)]
struct Versions {
    /// The one that holds.
    version: u32,
    /// The newest one that the node knows.
    known: u32,
    /// The newest one that this program knows.
    known_here: u32,
}

/// From here on the rules of a version hold; takes an operator's key
#[derive(Debug, clap::Args)]
#[command(
    before_help = "Examples:\n  outcry rules activate\n  outcry rules activate --version 2 --json"
)]
struct ActivateArgs {
    /// Above the one that holds, and known to the node [default: the newest that this program knows]
    #[arg(long, value_name = "N", default_value_t = APPLICATION_VERSION, hide_default_value = true)]
    version: u32,
    #[command(flatten)]
    sending: Sending,
}

pub(super) fn run(args: &Args, global: &Global) -> Outcome {
    match &args.verb {
        Verb::Show(args) => show(args, global),
        Verb::Activate(args) => administer::run(&args.sending, global, |_| {
            Ok(AdminCommand::ActivateRules { version: args.version })
        }),
    }
}

fn show(args: &ShowArgs, global: &Global) -> Outcome {
    let mut link = Link::open(&args.connection, global, "rules")?;
    let page = link.pages(
        "asking for the rules",
        DirectoryPage::default(),
        // Behind the last key stands none: what is asked for comes with every page.
        |client, _| client.directory(KeyId(u32::MAX)),
        |reply, request| match reply {
            Reply::Directory { request: found, view } if *found == request => {
                Some(view.parse().map(|page| (view.more, page)))
            }
            _ => None,
        },
        |kept, page| {
            *kept = page;
            false
        },
    )?;
    link.close();
    let (version, known) = (page.rules, page.rules_known);
    let output = global.output();
    if output.is_json() {
        output.object(&Versions { version, known, known_here: APPLICATION_VERSION });
        return Ok(());
    }
    let mut line = match (version, known) {
        (0, _) => "the node is of an older release, which does not tell its rules".to_owned(),
        (_, 0) => format!("version {version} of the rules holds"),
        _ => format!("version {version} of the rules holds, the node knows up to {known}"),
    };
    if version < known {
        line.push_str("; `outcry rules activate` lets the newest hold");
    }
    output.line(line);
    Ok(())
}
