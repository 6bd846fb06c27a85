//! The command line: one file per command, and what all of them share.
//!
//! Invariants: exit status 0 is done and good, 1 done and the answer is bad, 2 wrong use or
//! configuration, 3 the node cannot be reached or refused; 10 and up belong to `fatal`. With
//! `--json` stdout holds one object a line and nothing else; what is wrong stands on stderr.
//!
//! A command is a file with `Args` (its help begins with examples, which a test runs) and
//! `run(&Args, &Global)`; it is added by its `mod` line and its line in `commands!`.

mod account;
mod administer;
mod audit;
mod book;
mod completions;
mod config_show;
mod connect;
mod decode;
mod demo;
mod encode;
mod explain;
mod figures;
mod journal;
mod keygen;
mod keys;
mod lanes;
mod lanes_set;
mod limits;
mod limits_show;
mod load;
mod man;
mod meter;
mod new_file;
mod offline;
mod order;
pub mod output;
mod own_key;
mod quarantine;
mod registered;
mod replay;
mod rules;
mod schema;
mod serve;
mod signals;
mod snapshot;
mod top;
mod venue;

use crate::config::{ConfigError, Loaded, Sources, load};
use crate::fatal::StopReason;
use crate::sys::fault;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use output::Output;
use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

/// Declares the commands: the variant, and the module that runs it.
macro_rules! commands {
    ($($variant:ident => $module:ident,)+) => {
        #[derive(Debug, Subcommand)]
        enum Command { $($variant($module::Args),)+ }

        impl Command {
            fn run(&self, global: &Global) -> Outcome {
                match self { $(Command::$variant(args) => $module::run(args, global),)+ }
            }
        }
    };
}

commands! {
    Serve => serve,
    Load => load,
    Order => order,
    Book => book,
    Account => account,
    Lanes => lanes,
    Top => top,
    Replay => replay,
    Journal => journal,
    Snapshot => snapshot,
    Audit => audit,
    Demo => demo,
    Schema => schema,
    Encode => encode,
    Decode => decode,
    Keys => keys,
    Rules => rules,
    Limits => limits,
    Keygen => keygen,
    Config => config_show,
    Explain => explain,
    Completions => completions,
    Man => man,
}

/// OpenOutcry: a sequencer engine for exchanges and order-management systems.
#[derive(Debug, Parser)]
#[command(
    name = "outcry",
    version,
    before_help = "Examples:\n  outcry serve\n  outcry config show\n  \
                   outcry explain 11",
    subcommand_required = true,
    arg_required_else_help = true,
    max_term_width = 100
)]
struct Outcry {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// Options of every command.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Options of every command")]
pub struct Global {
    /// Configuration file; else config.toml beside the data directory, else built-in defaults
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Data directory [default: journal]
    #[arg(long, global = true, value_name = "DIR")]
    pub data_dir: Option<String>,
    /// Overrides one key, such as ack.policy=memory; repeatable
    #[arg(long, global = true, value_name = "SECTION.KEY=VALUE")]
    pub set: Vec<String>,
    /// One JSON object a line on stdout and nothing else there
    #[arg(long, global = true)]
    pub json: bool,
}

impl Global {
    /// The configuration from file, environment and command line.
    ///
    /// # Errors
    /// [`Failure`] with status 2 that names the key.
    pub fn load(&self) -> Result<Loaded, Failure> {
        let sources = Sources {
            file: self.config.clone(),
            data_dir: self.data_dir.clone(),
            set: self.set.clone(),
            ..Sources::of_process()
        };
        Ok(load(&sources)?)
    }

    /// How to write the result.
    #[must_use]
    pub fn output(&self) -> Output {
        Output::new(self.json)
    }
}

/// A command that did not do what it was asked, or found what it should not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Exit status, 1 to 3; `serve` ends with those of `fatal` too.
    pub status: u8,
    /// One sentence for stderr; empty where the result on stdout says all.
    pub message: String,
}

/// What a command returns.
pub type Outcome = Result<(), Failure>;

impl Failure {
    /// Done, and the answer is bad.
    pub fn bad(message: impl std::fmt::Display) -> Failure {
        Failure { status: 1, message: message.to_string() }
    }

    /// Wrong use or configuration.
    pub fn usage(message: impl std::fmt::Display) -> Failure {
        Failure { status: 2, message: message.to_string() }
    }

    /// The node cannot be reached, or refused.
    pub fn node(message: impl std::fmt::Display) -> Failure {
        Failure { status: 3, message: message.to_string() }
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Failure {
        Failure::usage(error)
    }
}

/// Runs the process's command line.
#[must_use]
pub fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().collect();
    let parsed = match Outcry::command().try_get_matches_from(&args) {
        Ok(matches) => Outcry::from_arg_matches(&matches),
        Err(error) => Err(error),
    };
    let outcry = match parsed {
        Ok(outcry) => outcry,
        // Help and version are good, all else is wrong use: clap knows which.
        Err(error) => error.exit(),
    };
    let outcome = end_on_media_errors()
        .and_then(|()| check_sets(&args, &outcry.global))
        .and_then(|()| outcry.command.run(&outcry.global));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if !failure.message.is_empty() {
                // A closed stderr changes nothing about the status.
                let _: std::io::Result<()> =
                    writeln!(std::io::stderr(), "outcry: {}", failure.message);
            }
            ExitCode::from(failure.status)
        }
    }
}

/// Every command that reads a journal maps it.
fn end_on_media_errors() -> Outcome {
    fault::end_with(StopReason::MediaRead.status())
        .map_err(|error| Failure::bad(format_args!("cannot handle media errors: {error}")))
}

/// Refuses `--set` on both sides of the command: clap keeps only one side's, and a setting that is
/// silently lost is worse than one that is refused.
fn check_sets(args: &[OsString], global: &Global) -> Outcome {
    let options = args.iter().take_while(|arg| *arg != "--");
    let is_set = |arg: &&OsString| {
        arg.to_str().is_some_and(|text| text == "--set" || text.starts_with("--set="))
    };
    if options.filter(is_set).count() > global.set.len() {
        return Err(Failure::usage(
            "--set stands before and after the command; put all of them after it",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every command with its whole name.
    fn all_commands() -> Vec<(String, clap::Command)> {
        let mut found = Vec::new();
        let mut left = vec![(String::new(), Outcry::command())];
        while let Some((path, command)) = left.pop() {
            let path = format!("{path} {}", command.get_name()).trim().to_owned();
            left.extend(command.get_subcommands().map(|inner| (path.clone(), inner.clone())));
            found.push((path, command));
        }
        found
    }

    #[test]
    fn the_command_line_is_consistent() {
        Outcry::command().debug_assert();
    }

    #[test]
    fn help_begins_with_two_or_three_examples_that_parse() {
        for (path, mut command) in all_commands() {
            let help = command.render_long_help().to_string();
            let mut lines = help.lines();
            assert_eq!(lines.next(), Some("Examples:"), "{path}:\n{help}");
            let examples: Vec<&str> =
                lines.map_while(|line| line.strip_prefix("  ")).map(str::trim).collect();
            assert!((2..=3).contains(&examples.len()), "{path}: {examples:?}");
            for example in examples {
                assert!(example.starts_with(&path), "{path}: {example}");
                let words = example.split(" > ").next().expect("a first part").split(' ');
                let parsed = Outcry::command().try_get_matches_from(words);
                assert!(
                    parsed.is_ok(),
                    "{example}: {}",
                    parsed.err().map_or(String::new(), |e| e.to_string())
                );
            }
        }
    }

    #[test]
    fn every_command_and_option_has_a_sentence() {
        for (path, command) in all_commands() {
            assert!(command.get_about().is_some(), "{path} says nothing about itself");
            for argument in command.get_arguments() {
                assert!(argument.get_help().is_some(), "{path} {}", argument.get_id());
            }
        }
    }

    #[test]
    fn settings_on_both_sides_of_the_command_are_refused() {
        let args = |text: &str| text.split(' ').map(OsString::from).collect::<Vec<_>>();
        let check = |text: &str| {
            let outcry = Outcry::try_parse_from(args(text)).expect("it parses");
            check_sets(&args(text), &outcry.global)
        };
        assert_eq!(check("outcry --set a=1 --set b=2 config show"), Ok(()));
        assert_eq!(check("outcry config show --set a=1 --set=b=2"), Ok(()));
        assert_eq!(check("outcry --set a=1 config show --set b=2").expect_err("lost").status, 2);
    }
}
