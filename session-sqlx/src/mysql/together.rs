//! Loads of several sessions as one statement, and updates of one session as one.

use std::collections::BTreeMap;

use actix_typed_session::{
    StoreError,
    store::{Number, Patch, StoreKey},
};
use sqlx::mysql::MySqlRow;

use super::{
    row::{MySqlQuery, bind_expiry, bind_key},
    store::Inner,
};
use crate::{
    batch::{
        Batches, TimeLimit,
        loads::{LoadTogether, Loads},
        updates::{Applied, UpdateTogether, Updates},
    },
    client::Repeat,
    columns::to_json,
    patch::{Addition, PlainPatch, expiry},
};

/// How many fields one statement reads alone, adds to, or removes. The number is part of its text,
/// and a connection keeps 100 prepared statements.
const MOST_FIELDS: usize = 8;

/// How many sessions one statement loads, for the same reason. The last key comes repeatedly.
const LOADED_AT_ONCE: [usize; 3] = [1, 8, 64];

impl TimeLimit for Inner {
    fn within<T: Send>(
        &self,
        call: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> impl Future<Output = Result<T, StoreError>> + Send {
        self.client.within(call)
    }
}

impl LoadTogether for Inner {
    type Row = MySqlRow;

    fn loads(&self) -> &Batches<Loads<MySqlRow>> {
        &self.loads
    }

    async fn load(
        &self,
        keys: &[StoreKey],
        names: Option<&[String]>,
    ) -> Result<Vec<MySqlRow>, StoreError> {
        let now = self.client.now_ms();
        let count = LOADED_AT_ONCE.into_iter().find(|count| *count >= keys.len());
        let count = count.unwrap_or(keys.len());
        let statement = self.statements.load(names.map(<[String]>::len), count);
        let bind = |mut query: MySqlQuery| {
            for name in names.into_iter().flatten() {
                query = query.bind(name.clone()).bind(path(name));
            }
            let repeated = keys.iter().chain(keys.last().into_iter().cycle());
            repeated.take(count).fold(query.bind(now), bind_key)
        };
        self.rows(&statement, bind).await
    }
}

impl UpdateTogether for Inner {
    fn updates(&self) -> &Batches<Updates> {
        &self.updates
    }

    async fn update(&self, key: &StoreKey, patch: &Patch, count: u64) -> Applied {
        let Some(plain) = PlainPatch::new(patch).filter(is_simple) else { return Ok(None) };
        let sets: BTreeMap<&str, &str> = plain.sets.iter().copied().collect();
        let (sets, expiry) = (to_json(&sets), expiry(patch));
        let names: Vec<_> = plain.names().collect();
        // As in the JSON of the names of the indexed fields.
        let names = (!names.is_empty()).then(|| format!("\"({})\"", names.join("|")));
        let (now, version) = (self.client.now_ms(), patch.expected_version());
        let statement = self.statements.update(plain.adds.len(), plain.removes.len());
        let update = self.change(&statement, Repeat::Never, |query| {
            let query = bind_expiry(query.bind(count), expiry);
            let mut query = bind_expiry(query, expiry).bind(sets.clone());
            for Addition { name, from, by } in &plain.adds {
                let [from, by] = [from, by].map(|number| number.to_json().get().to_owned());
                query = query.bind((*name).to_owned()).bind(path(name)).bind(from).bind(by);
            }
            let query = plain.removes.iter().fold(query, |query, name| query.bind(path(name)));
            let query = bind_key(query, key).bind(now).bind(version).bind(version);
            let query = query.bind(names.clone()).bind(names.clone());
            plain.adds.iter().fold(query, |query, add| query.bind(path(add.name)))
        });
        let done = update.await?;
        Ok((done.rows_affected() > 0).then(|| done.last_insert_id()))
    }
}

/// Whether one statement reads these fields alone.
pub(super) fn is_plain(names: &[&str]) -> bool {
    (1..=MOST_FIELDS).contains(&names.len()) && names.iter().all(|name| is_word(name))
}

/// Whether one statement applies these changes.
fn is_simple(patch: &PlainPatch<'_>) -> bool {
    let is_whole = |number: &Number| matches!(number, Number::Int(_));
    patch.names().all(is_word)
        && patch.adds.len() <= MOST_FIELDS
        && patch.removes.len() <= MOST_FIELDS
        && patch.adds.iter().all(|add| is_whole(&add.by) && is_whole(&add.from))
}

/// Whether a name needs no escapes in a path or a pattern.
fn is_word(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// The path of a field whose name is a word.
fn path(name: &str) -> String {
    format!("$.\"{name}\"")
}
