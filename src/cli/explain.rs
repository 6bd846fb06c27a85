//! `outcry explain`: what an exit status means and what to do.

use super::output::{Align, Style, Table};
use super::{Failure, Global, Outcome};
use crate::fatal::{Explanation, explanations};
use serde_json::json;

/// Explains an exit status, or lists them all
#[derive(Debug, clap::Args)]
#[command(before_help = "Examples:\n  outcry explain 11\n  outcry explain --json")]
pub(super) struct Args {
    /// The status a command ended with
    #[arg(value_name = "STATUS")]
    status: Option<u8>,
}

pub(super) fn run(args: &Args, global: &Global) -> Outcome {
    let output = global.output();
    let asked =
        |explanation: &Explanation| args.status.is_none_or(|status| status == explanation.status);
    let found: Vec<Explanation> = explanations().into_iter().filter(asked).collect();
    if found.is_empty() {
        return Err(Failure::usage("this status is none of ours; `outcry explain` lists them all"));
    }
    if output.is_json() {
        for one in &found {
            output.object(&json!({
                "status": one.status, "name": one.name, "what": one.what, "remedy": one.remedy,
            }));
        }
        return Ok(());
    }
    if let (Some(_), [one]) = (args.status, found.as_slice()) {
        let heading = format!("{} {}", one.status, one.name.unwrap_or_default());
        output.line(output.styled(Style::Bold, heading.trim_end()));
        output.line(one.what);
        if let Some(remedy) = one.remedy {
            output.line(remedy);
        }
        return Ok(());
    }
    let mut table =
        Table::new(&[("STATUS", Align::Right), ("NAME", Align::Left), ("MEANING", Align::Left)]);
    for one in found {
        table.row([
            one.status.to_string(),
            one.name.unwrap_or("-").to_owned(),
            one.what.to_owned(),
        ]);
    }
    output.table(&table);
    Ok(())
}
