//! How a struct's fields are taken over from a session of another program.

use std::sync::Arc;

use serde_json::value::RawValue;
use tracing::warn;

use super::{
    adoption::{Adopted, Adoption},
    any::AnyField,
    flash::Flash,
    schema::{FieldSchema, Schema},
    snapshot::Snapshot,
    ttl::Timed,
};
use crate::{error::ValueError, time::Timestamp};

impl Adoption {
    /// Takes a field over, if the other program has stored it under one of the field's names.
    /// Returns false if the value does not fit.
    pub(crate) fn field(&mut self, schema: &Schema, any: &dyn AnyField) -> bool {
        let field = any.schema();
        let names = || [field.stored].into_iter().chain(field.aliases.iter().copied());
        let found = names().find_map(|name| self.foreign.get(name));
        let adopted = found.map(|json| (adopt(any, json, self.now), json.get() == "null"));
        let foreign = &self.foreign;
        self.known.extend(names().filter(|name| foreign.contains_key(*name)).map(str::to_owned));
        match adopted {
            // What a field without a `None` reads as.
            None | Some((Err(_), true)) => true,
            Some((Ok(json), _)) => {
                json.into_iter().for_each(|json| self.adopted.keep(field, json));
                true
            }
            Some((Err(error), false)) => {
                warn!(
                    event = "value_not_imported",
                    "`{}::{}` is not taken over from the session of another program, because its \
                     value does not fit: {error}",
                    schema.type_name,
                    field.name,
                );
                false
            }
        }
    }

    /// Drops what was taken over for the `privilege` fields of a struct. One of them does not fit,
    /// so the others may grant what the visitor does not have.
    pub(crate) fn drop_privileges(&mut self, schema: &Schema) {
        self.adopted.fields.retain(|name, _| !schema.privileges.contains(&&**name));
        self.adopted.indexed.retain(|name| !schema.privileges.contains(name));
    }
}

impl Adopted {
    fn keep(&mut self, field: &FieldSchema, json: Arc<RawValue>) {
        self.fields.insert(field.stored.into(), json);
        if field.index {
            self.indexed.insert(field.stored);
        }
    }
}

/// The JSON that a field stores for a value which another program has written. `None`: an indexed
/// field is absent if it has its default.
fn adopt(
    field: &dyn AnyField,
    json: &RawValue,
    now: Timestamp,
) -> Result<Option<Arc<RawValue>>, ValueError> {
    let schema = field.schema();
    if schema.flash {
        let messages = Flash::default().with_messages(json);
        let stored = messages.map_or_else(|| json.to_owned(), |messages| messages.to_json());
        field.rewrite(&stored)?;
        return Ok(Some(stored.into()));
    }
    // Written again, because indexed values are compared as text.
    let json = match field.rewrite(json)? {
        Snapshot::Value(json) => json,
        Snapshot::Sum(number) => number.to_json().into(),
        Snapshot::Failed(error, _) => return Err(error),
    };
    if schema.index && field.has_default(&json) {
        return Ok(None);
    }
    Ok(Some(match schema.ttl {
        None => json,
        Some(ttl) => Timed { until: now.saturating_add(ttl), value: &json }.to_json(),
    }))
}
