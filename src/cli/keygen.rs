//! `outcry keygen`: a key pair in a file, and the lines for the configuration.

use super::{Failure, Global, Outcome};
use crate::keys::KeyPair;
use crate::types::Role;
use serde::Serialize;
use std::path::PathBuf;

/// Makes a key pair and prints the lines for the configuration
#[derive(Debug, clap::Args)]
#[command(
    before_help = "Examples:\n  outcry keygen --role trade --account 2 --account 3 trader.key\n  \
                         outcry keygen --role operator --json operator.key"
)]
pub(super) struct Args {
    /// What the key may do: trade, cancel-only, read-only or operator
    #[arg(long, default_value = "trade", value_parser = parse_role)]
    role: Role,
    /// An account the key may act for; repeatable
    #[arg(long = "account", value_name = "ACCOUNT", value_parser = clap::value_parser!(u64).range(2..))]
    accounts: Vec<u64>,
    /// The new file for the secret key; it must not exist
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// The result, as a script reads it.
#[derive(Serialize)]
struct Made<'a> {
    public_key: String,
    role: Role,
    accounts: &'a [u64],
    file: String,
}

fn parse_role(text: &str) -> Result<Role, String> {
    Role::from_word(text).ok_or_else(|| {
        let words: Vec<&str> = Role::ALL.iter().map(|role| role.as_str()).collect();
        format!("write one of {}", words.join(", "))
    })
}

pub(super) fn run(args: &Args, global: &Global) -> Outcome {
    let output = global.output();
    let pair = KeyPair::generate().map_err(Failure::bad)?;
    pair.save(&args.file).map_err(Failure::usage)?;
    let made = Made {
        public_key: pair.public_hex(),
        role: args.role,
        accounts: &args.accounts,
        file: args.file.display().to_string(),
    };
    if output.is_json() {
        output.object(&made);
        return Ok(());
    }
    output.line(format_args!("# {} holds the secret key; keep it to yourself.", made.file));
    output.line("# Give these lines to the venue, for its config.toml:");
    output.line("[[genesis.keys]]");
    output.line(format_args!("public_key = \"{}\"", made.public_key));
    output.line(format_args!("role = \"{}\"", made.role));
    output.line(format_args!("accounts = {:?}", made.accounts));
    if made.accounts.is_empty() && matches!(made.role, Role::Trade | Role::CancelOnly) {
        output.line("# List the accounts it may act for; without one it can do nothing.");
    }
    Ok(())
}
