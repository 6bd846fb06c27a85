//! `outcry completions`: a script that completes commands and options in a shell.

use super::{Global, Outcome, Outcry};
use clap::CommandFactory;
use clap_complete::Shell;

/// Prints a completion script for a shell
#[derive(Debug, clap::Args)]
#[command(
    before_help = "Examples:\n  outcry completions bash > ~/.local/share/bash-completion/completions/outcry\n  \
                         outcry completions zsh > ~/.zfunc/_outcry"
)]
pub(super) struct Args {
    /// Which shell
    shell: Shell,
}

pub(super) fn run(args: &Args, global: &Global) -> Outcome {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Outcry::command(), "outcry", &mut script);
    global.output().raw(&String::from_utf8_lossy(&script));
    Ok(())
}
