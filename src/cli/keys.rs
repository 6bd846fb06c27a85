//! `outcry keys`: who may log on, and what each key may do.

use super::administer::{self, Sending, directory};
use super::connect::{Connection, Link};
use super::output::{Align, Table};
use super::{Failure, Global, Outcome};
use crate::admin::{AdminCommand, KeyRow};
use crate::genesis::Key;
use crate::types::{AccountId, KeyId, Priority, Role};
use clap::Subcommand;

/// Shows and changes who may log on and what each key may do
#[derive(Debug, clap::Args)]
#[command(before_help = "Examples:\n  \
    outcry keys list\n  \
    outcry keys entitle 3 --priority critical --critical-per-s 50\n  \
    outcry keys disable 3")]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    List(ListArgs),
    Add(AddArgs),
    Entitle(EntitleArgs),
    Accounts(AccountsArgs),
    Disable(DisableArgs),
    Enable(EnableArgs),
}

/// Shows every key; for operators
#[derive(Debug, clap::Args)]
#[command(before_help = "Examples:\n  outcry keys list\n  outcry keys list --json")]
struct ListArgs {
    #[command(flatten)]
    connection: Connection,
}

/// Lets a further key log on, with the public half that `outcry keygen` printed
#[derive(Debug, clap::Args)]
#[command(before_help = "Examples:\n  \
    outcry keys add 3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c --account 2\n  \
    outcry keys add 3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c --role operator")]
struct AddArgs {
    /// Ed25519 public key, 64 hex digits
    #[arg(value_name = "PUBLIC_KEY")]
    public_key: String,
    /// What it may do: trade, cancel-only, read-only or operator
    #[arg(long, default_value = "trade", value_parser = parse_role)]
    role: Role,
    /// An account that it may act for; repeatable
    #[arg(long = "account", value_name = "ACCOUNT")]
    accounts: Vec<u64>,
    /// The most urgent priority that it may use
    #[arg(long, default_value = "normal", value_parser = parse_priority)]
    priority: Priority,
    /// Critical messages that it may send in a second
    #[arg(long, value_name = "N", default_value_t = Key::CRITICAL_PER_S)]
    critical_per_s: u32,
    #[command(flatten)]
    sending: Sending,
}

/// Says how urgent a key's messages may be
#[derive(Debug, clap::Args)]
#[command(before_help = "Examples:\n  \
    outcry keys entitle 3 --priority critical --critical-per-s 50\n  \
    outcry keys entitle 3 --priority normal")]
struct EntitleArgs {
    /// The key: its number or its public half
    #[arg(value_name = "KEY")]
    which: String,
    /// The most urgent priority that it may use [default: as it is]
    #[arg(long, value_parser = parse_priority, required_unless_present = "critical_per_s")]
    priority: Option<Priority>,
    /// Critical messages that it may send in a second [default: as it is]
    #[arg(long, value_name = "N")]
    critical_per_s: Option<u32>,
    #[command(flatten)]
    sending: Sending,
}

/// Binds a key to these accounts and no others
#[derive(Debug, clap::Args)]
#[command(before_help = "Examples:\n  outcry keys accounts 3 2 5\n  outcry keys accounts 3 --json")]
struct AccountsArgs {
    /// The key: its number or its public half
    #[arg(value_name = "KEY")]
    which: String,
    /// All of its accounts
    #[arg(value_name = "ACCOUNT")]
    accounts: Vec<u64>,
    #[command(flatten)]
    sending: Sending,
}

/// Takes all rights from a key until it is enabled; its orders stay
#[derive(Debug, clap::Args)]
#[command(before_help = "Examples:\n  outcry keys disable 3\n  outcry keys disable 3 --json")]
struct DisableArgs {
    /// The key: its number or its public half
    #[arg(value_name = "KEY")]
    which: String,
    #[command(flatten)]
    sending: Sending,
}

/// Gives a disabled key back what it had
#[derive(Debug, clap::Args)]
#[command(before_help = "Examples:\n  outcry keys enable 3\n  outcry keys enable 3 --json")]
struct EnableArgs {
    /// The key: its number or its public half
    #[arg(value_name = "KEY")]
    which: String,
    #[command(flatten)]
    sending: Sending,
}

fn parse_role(text: &str) -> Result<Role, String> {
    Role::from_word(text)
        .ok_or_else(|| "write trade, cancel-only, read-only or operator".to_owned())
}

fn parse_priority(text: &str) -> Result<Priority, String> {
    Priority::from_word(text).ok_or_else(|| "write critical, high, normal, low or batch".to_owned())
}

fn account_ids(accounts: &[u64]) -> Vec<AccountId> {
    accounts.iter().copied().map(AccountId).collect()
}

/// The key that its number or public half names.
fn find(link: &mut Link, text: &str) -> Result<KeyId, Failure> {
    match text.parse() {
        Ok(number) if text.len() < 64 => Ok(KeyId(number)),
        _ => row(link, text).map(|row| row.key),
    }
}

fn row(link: &mut Link, text: &str) -> Result<KeyRow, Failure> {
    let number: Option<u32> = text.parse().ok();
    let public = text.to_ascii_lowercase();
    let named = |row: &KeyRow| Some(row.key.0) == number || row.public_key == public;
    let (_, keys) = directory(link)?;
    keys.into_iter()
        .find(named)
        .ok_or_else(|| Failure::bad(format_args!("{text} is no key of the venue")))
}

pub(super) fn run(args: &Args, global: &Global) -> Outcome {
    match &args.verb {
        Verb::List(args) => list(args, global),
        Verb::Add(args) => administer::run(&args.sending, global, |_| {
            Ok(AdminCommand::DefineKey {
                public_key: args.public_key.clone(),
                role: args.role,
                accounts: account_ids(&args.accounts),
                priority: args.priority,
                critical_per_s: args.critical_per_s,
            })
        }),
        Verb::Entitle(args) => administer::run(&args.sending, global, |link| {
            let row = row(link, &args.which)?;
            Ok(AdminCommand::SetEntitlement {
                key: row.key,
                priority: args.priority.unwrap_or(row.priority),
                critical_per_s: args.critical_per_s.unwrap_or(row.critical_per_s),
            })
        }),
        Verb::Accounts(args) => administer::run(&args.sending, global, |link| {
            let key = find(link, &args.which)?;
            Ok(AdminCommand::SetKeyAccounts { key, accounts: account_ids(&args.accounts) })
        }),
        Verb::Disable(args) => administer::run(&args.sending, global, |link| {
            Ok(AdminCommand::DisableKey { key: find(link, &args.which)? })
        }),
        Verb::Enable(args) => administer::run(&args.sending, global, |link| {
            Ok(AdminCommand::EnableKey { key: find(link, &args.which)? })
        }),
    }
}

fn list(args: &ListArgs, global: &Global) -> Outcome {
    let mut link = Link::open(&args.connection, global, "keys")?;
    let (_, keys) = directory(&mut link)?;
    link.close();
    let output = global.output();
    if output.is_json() {
        keys.iter().for_each(|row| output.object(row));
        output.end_whole_list(keys.len());
        return Ok(());
    }
    let mut table = Table::new(&[
        ("KEY", Align::Right),
        ("ROLE", Align::Left),
        ("PRIORITY", Align::Left),
        ("CRITICAL/S", Align::Right),
        ("STATE", Align::Left),
        ("ACCOUNTS", Align::Left),
        ("PUBLIC KEY", Align::Left),
    ]);
    for row in &keys {
        table.row([
            row.key.to_string(),
            row.role.to_string(),
            row.priority.to_string(),
            row.critical_per_s.to_string(),
            if row.active { "active" } else { "disabled" }.to_owned(),
            accounts(row),
            row.public_key.clone(),
        ]);
    }
    output.table(&table);
    Ok(())
}

/// The first few accounts; a table has no room for a thousand.
fn accounts(row: &KeyRow) -> String {
    const SHOWN: usize = 4;
    let first: Vec<String> = row.accounts.iter().take(SHOWN).map(ToString::to_string).collect();
    match row.account_count {
        0 if row.role == Role::Operator => "all".to_owned(),
        0 => "none".to_owned(),
        count if count > SHOWN => format!("{}, … {count} in all", first.join(", ")),
        _ => first.join(", "),
    }
}
