//! The schemas that a node has registered, and registering another one.

use super::administer::{self, Sending};
use super::connect::Link;
use super::{Failure, Global, Outcome};
use crate::admin::AdminCommand;
use crate::client::Reply;
use crate::schema::{RegisterError, Registry, SchemaDefinition};
use crate::wire::answer::Answer;
use crate::wire::schemas::SchemaRow;

/// Every schema that the node has registered, in the order of registration.
pub(super) fn fetch(link: &mut Link) -> Result<Vec<SchemaRow>, Failure> {
    link.pages(
        "asking for schemas",
        Vec::new(),
        |client, rows: &Vec<SchemaRow>| client.schemas(rows.len() as u32),
        |reply, request| match reply {
            Reply::Schemas { request: found, view } if *found == request => {
                Some(view.parse().map(|page| (view.more, page)))
            }
            _ => None,
        },
        |rows, page| {
            let progress = !page.schemas.is_empty();
            rows.extend(page.schemas);
            progress
        },
    )
}

/// The registry that these make.
pub(super) fn registry(rows: &[SchemaRow]) -> Result<Registry, Failure> {
    let mut registry = Registry::new();
    for row in rows {
        // A node of another release may allow what this program does not.
        registry.register(row.schema.clone()).map_err(|error| {
            Failure::node(format_args!("the node registered what this release does not: {error}"))
        })?;
    }
    Ok(registry)
}

/// Registers a schema with the node.
pub(super) fn register(schema: &SchemaDefinition, sending: &Sending, global: &Global) -> Outcome {
    administer::run_explained(
        sending,
        global,
        |_| Ok(AdminCommand::RegisterSchema { schema: schema.clone() }),
        |link, answer| explain(schema, link, answer),
    )
}

/// Says what the schema breaks: an answer has room for a reason only. The registry as it was at the
/// answer's place in the order refuses the schema with the sentence that the node's own had for it.
fn explain(schema: &SchemaDefinition, link: &mut Link, answer: &Answer) -> Option<String> {
    let reason = answer.reason.reason().filter(|reason| RegisterError::REASONS.contains(reason))?;
    let mut rows = fetch(link).ok()?;
    rows.retain(|row| row.sequence < answer.sequence);
    let error = registry(&rows).ok()?.register(schema.clone()).err()?;
    (reason == error.reason()).then(|| error.to_string())
}
