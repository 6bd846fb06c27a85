//! Whether a reader of one version of a schema can read messages of the next.
//!
//! A version may add optional fields and change what texts say about it. Everything else is refused:
//! fields keep their id, name, type, rules, and whether they are required.

use super::{Field, Kind, SchemaDefinition};
use thiserror::Error;

/// What a new version would break. `field` is "3 quantity", `schema` "1000 trade-report".
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Incompatible {
    /// The schema has another name.
    #[error(
        "schema {id} was called {was} in version {from} and is called {is} in version {to}: whoever \
         knows it by its name would not find it"
    )]
    SchemaRenamed {
        /// Its id.
        id: u32,
        /// Its name before.
        was: String,
        /// Its name now.
        is: String,
        /// The version before.
        from: u16,
        /// The new version.
        to: u16,
    },
    /// A field is gone.
    #[error(
        "field {field} of schema {schema} was in version {from} and is missing in version {to}: a \
         reader of version {from} would look for it in vain"
    )]
    Removed {
        /// Id and name of the field.
        field: String,
        /// Id and name of the schema.
        schema: String,
        /// The version before.
        from: u16,
        /// The new version.
        to: u16,
    },
    /// A field has another id.
    #[error(
        "field {field} of schema {schema} had id {was} in version {from} and has id {is} in version \
         {to}: a reader of version {from} would not find it"
    )]
    Renumbered {
        /// Name of the field.
        field: String,
        /// Id and name of the schema.
        schema: String,
        /// Its id before.
        was: u16,
        /// Its id now.
        is: u16,
        /// The version before.
        from: u16,
        /// The new version.
        to: u16,
    },
    /// A field has another name.
    #[error(
        "field {field} of schema {schema} was called {was} in version {from} and is called {is} in \
         version {to}: a reader of version {from} would take one for the other"
    )]
    Renamed {
        /// Id of the field.
        field: u16,
        /// Id and name of the schema.
        schema: String,
        /// Its name before.
        was: String,
        /// Its name now.
        is: String,
        /// The version before.
        from: u16,
        /// The new version.
        to: u16,
    },
    /// A field has another type.
    #[error(
        "field {field} of schema {schema} was {was} in version {from} and is {is} in version {to}: a \
         reader of version {from} would misread it"
    )]
    Retyped {
        /// Id and name of the field.
        field: String,
        /// Id and name of the schema.
        schema: String,
        /// Its type before.
        was: Kind,
        /// Its type now.
        is: Kind,
        /// The version before.
        from: u16,
        /// The new version.
        to: u16,
    },
    /// A field became required.
    #[error(
        "field {field} of schema {schema} was optional in version {from} and is required in version \
         {to}: messages of version {from} may lack it"
    )]
    NowRequired {
        /// Id and name of the field.
        field: String,
        /// Id and name of the schema.
        schema: String,
        /// The version before.
        from: u16,
        /// The new version.
        to: u16,
    },
    /// A field became optional.
    #[error(
        "field {field} of schema {schema} was required in version {from} and is optional in version \
         {to}: a reader of version {from} relies on it"
    )]
    NowOptional {
        /// Id and name of the field.
        field: String,
        /// Id and name of the schema.
        schema: String,
        /// The version before.
        from: u16,
        /// The new version.
        to: u16,
    },
    /// A new field is required.
    #[error(
        "field {field} of schema {schema} is new and required in version {to}: messages of version \
         {from} lack it"
    )]
    NewRequired {
        /// Id and name of the field.
        field: String,
        /// Id and name of the schema.
        schema: String,
        /// The version before.
        from: u16,
        /// The new version.
        to: u16,
    },
    /// A field admits other values.
    #[error(
        "field {field} of schema {schema} admits other values in version {to} than in version \
         {from}: one side would refuse what the other sends"
    )]
    OtherValues {
        /// Id and name of the field.
        field: String,
        /// Id and name of the schema.
        schema: String,
        /// The version before.
        from: u16,
        /// The new version.
        to: u16,
    },
}

/// Checks that `new` may follow `old`.
///
/// # Errors
/// [`Incompatible`], the first thing that a reader of `old` would stumble over.
pub fn compatible(old: &SchemaDefinition, new: &SchemaDefinition) -> Result<(), Incompatible> {
    let (from, to) = (old.version, new.version);
    if old.name != new.name {
        let (was, is) = (old.name.clone(), new.name.clone());
        return Err(Incompatible::SchemaRenamed { id: old.id, was, is, from, to });
    }
    let schema = format!("{} {}", old.id, old.name);
    let called = |field: &Field| format!("{} {}", field.id, field.name);
    for before in &old.fields {
        let field = called(before);
        let schema = schema.clone();
        let Some(now) = new.field(before.id) else {
            return Err(match new.field_named(&before.name) {
                Some(moved) => Incompatible::Renumbered {
                    field: before.name.clone(),
                    schema,
                    was: before.id,
                    is: moved.id,
                    from,
                    to,
                },
                None => Incompatible::Removed { field, schema, from, to },
            });
        };
        if now.name != before.name {
            let (was, is) = (before.name.clone(), now.name.clone());
            return Err(Incompatible::Renamed { field: before.id, schema, was, is, from, to });
        }
        if now.kind != before.kind {
            let (was, is) = (before.kind, now.kind);
            return Err(Incompatible::Retyped { field, schema, was, is, from, to });
        }
        match (before.required, now.required) {
            (false, true) => return Err(Incompatible::NowRequired { field, schema, from, to }),
            (true, false) => return Err(Incompatible::NowOptional { field, schema, from, to }),
            _ => {}
        }
        let rules = |f: &Field| (f.min, f.max, f.max_bytes, f.values.clone(), f.fields.clone());
        if rules(before) != rules(now) {
            return Err(Incompatible::OtherValues { field, schema, from, to });
        }
    }
    match new.fields.iter().find(|field| field.required && old.field(field.id).is_none()) {
        Some(added) => Err(Incompatible::NewRequired { field: called(added), schema, from, to }),
        None => Ok(()),
    }
}
