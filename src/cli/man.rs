//! `outcry man`: the manual, as one page on stdout or a page per command in a directory.

use super::{Failure, Global, Outcome, Outcry};
use clap::CommandFactory;
use std::path::PathBuf;

/// Prints the manual page, or writes one page per command
#[derive(Debug, clap::Args)]
#[command(
    before_help = "Examples:\n  outcry man > outcry.1\n  outcry man --dir /usr/local/share/man/man1"
)]
pub(super) struct Args {
    /// Writes outcry.1, outcry-config.1 and so on into this directory, which must exist
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

pub(super) fn run(args: &Args, global: &Global) -> Outcome {
    if let Some(dir) = &args.dir {
        return clap_mangen::generate_to(Outcry::command(), dir)
            .map_err(|error| Failure::usage(format!("{}: {error}", dir.display())));
    }
    let mut page = Vec::new();
    clap_mangen::Man::new(Outcry::command())
        .render(&mut page)
        .map_err(|error| Failure::bad(format!("the manual could not be rendered: {error}")))?;
    global.output().raw(&String::from_utf8_lossy(&page));
    Ok(())
}
