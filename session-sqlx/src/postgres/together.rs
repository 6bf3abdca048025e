//! Loads and updates that wait at the same time, as one statement.

use std::{collections::HashMap, iter};

use actix_typed_session::{
    StoreError,
    store::{Number, Patch, StoreKey},
};
use sqlx::postgres::PgRow;

use super::{
    row::{self, PgQuery},
    store::Inner,
};
use crate::{
    batch::{
        Batches, TimeLimit,
        loads::{LoadTogether, Loads},
        updates::{Applied, Update, UpdateTogether, Updates},
    },
    client::Repeat,
    columns::to_json,
    pages::SessionRow as _,
    patch::{PlainPatch, ShortAddition, expiry},
};

impl TimeLimit for Inner {
    fn within<T: Send>(
        &self,
        call: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> impl Future<Output = Result<T, StoreError>> + Send {
        self.client.within(call)
    }
}

impl LoadTogether for Inner {
    type Row = PgRow;

    fn loads(&self) -> &Batches<Loads<PgRow>> {
        &self.loads
    }

    async fn load(
        &self,
        keys: &[StoreKey],
        names: Option<&[String]>,
    ) -> Result<Vec<PgRow>, StoreError> {
        let now = self.client.now_ms();
        let cache = self.cache.as_ref().filter(|_| names.is_none());
        let reserved = cache.map(|cache| (cache, cache.reserve(keys)));
        let loads = match keys {
            [_] => &self.statements.load,
            _ => &self.statements.load_together,
        };
        let few = |names: &[String]| loads.few.get(names.len().checked_sub(1)?);
        let (statement, each) = match (names, names.and_then(few)) {
            (None, _) => (&loads.whole, None),
            (_, Some(few)) => (few, names),
            _ => (&loads.part, None),
        };
        let rows = self.client.rows(statement, Repeat::Always, |query| {
            let query = match keys {
                [key] => query.bind(key.as_bytes().to_vec()),
                keys => query.bind(bytes(keys.iter())),
            };
            let query = query.bind(now);
            match (each, names) {
                (Some(names), _) => names.iter().cloned().fold(query, PgQuery::bind),
                (None, Some(names)) => query.bind(names.to_vec()),
                (None, None) => query,
            }
        });
        let rows = rows.await?;
        if let Some((cache, reserved)) = reserved {
            for row in &rows {
                // OK because the caller reads it too, and gets the error.
                if let (Ok(key), Ok(record)) = (row.key(), row.record()) {
                    cache.insert(&reserved, &key, &record);
                }
            }
        }
        Ok(rows)
    }
}

impl UpdateTogether for Inner {
    fn updates(&self) -> &Batches<Updates> {
        &self.updates
    }

    async fn update(&self, key: &StoreKey, patch: &Patch, count: u64) -> Applied {
        let Some(plain) = PlainPatch::new(patch) else { return Ok(None) };
        let change = self.begin_change(key);
        let names: Vec<String> = plain.names().map(str::to_owned).collect();
        let sets = to_json(&plain.sets.iter().copied().collect());
        let (extend, set) = expiry(patch);
        let (now, version) = (self.client.now_ms(), patch.expected_version().map(u64::cast_signed));
        let bind = |query: PgQuery| {
            query
                .bind(key.as_bytes().to_vec())
                .bind(now)
                .bind(sets.clone())
                .bind(names.clone())
                .bind(version)
                .bind(extend)
                .bind(set)
                .bind(count.cast_signed())
        };
        let row = match plain.short_adds() {
            Some(adds) if plain.removes.is_empty() => {
                let statement = &self.statements.update_few[adds.len()];
                let update = self.client.first(statement, Repeat::Never, |query| {
                    adds.iter().fold(bind(query), |query, (name, from, by)| {
                        query.bind((*name).to_owned()).bind(*from).bind(*by)
                    })
                });
                update.await?
            }
            _ => {
                if !plain.adds.iter().flat_map(|add| [add.by, add.from]).all(is_ordinary) {
                    return Ok(None);
                }
                let removes: Vec<String> =
                    plain.removes.iter().copied().map(str::to_owned).collect();
                let numbers = plain.adds.iter().map(|add| {
                    (add.name, [add.by, add.from].map(|number| number.to_json().get().to_owned()))
                });
                let adds = to_json(&numbers.collect());
                let update = self.client.first(&self.statements.update, Repeat::Never, |query| {
                    bind(query).bind(removes.clone()).bind(adds.clone())
                });
                update.await?
            }
        };
        let Some(row) = row else { return Ok(None) };
        let version = row::count(&row, 0)?.cast_unsigned();
        if let Some(change) = change {
            change.applied((patch, count), version, |_| true);
        }
        Ok(Some(version))
    }

    async fn update_together(
        &self,
        updates: &[Update],
    ) -> Result<HashMap<StoreKey, u64>, StoreError> {
        let columns = Together::new(updates);
        let changes: Vec<_> = updates.iter().map(|update| self.begin_change(&update.key)).collect();
        let now = self.client.now_ms();
        let statement = &self.statements.update_together[columns.adds.len()];
        let rows = self.client.rows(statement, Repeat::Never, |query| {
            let query = query
                .bind(now)
                .bind(bytes(updates.iter().map(|update| &update.key)))
                .bind(columns.sets.clone())
                .bind(columns.removes.clone())
                .bind(columns.extend.clone())
                .bind(columns.set.clone())
                .bind(columns.counts.clone());
            columns.adds.iter().fold(query, |query, adds| {
                query.bind(adds.names.clone()).bind(adds.from.clone()).bind(adds.by.clone())
            })
        });
        let version = |row: &PgRow| Ok((row.key()?, row::count(row, 1)?.cast_unsigned()));
        let versions: HashMap<_, _> =
            rows.await?.iter().map(version).collect::<Result<_, StoreError>>()?;
        for (update, change) in updates.iter().zip(changes) {
            if let (Some(change), Some(version)) = (change, versions.get(&update.key)) {
                change.applied((&update.patch, update.count), *version, |_| true);
            }
        }
        Ok(versions)
    }
}

fn bytes<'a>(keys: impl Iterator<Item = &'a StoreKey>) -> Vec<Vec<u8>> {
    keys.map(|key| key.as_bytes().to_vec()).collect()
}

/// The parameters of a statement for several updates. Each array has a value for each of them.
#[derive(Default)]
struct Together {
    /// JSON objects. A field that is removed is `null`.
    sets: Vec<String>,
    removes: Vec<bool>,
    extend: Vec<Option<i64>>,
    set: Vec<Option<i64>>,
    counts: Vec<i64>,
    /// The first addition of each update, the second one, and so on.
    adds: Vec<Adds>,
}

#[derive(Default)]
struct Adds {
    names: Vec<Option<String>>,
    from: Vec<i64>,
    by: Vec<i64>,
}

impl Together {
    fn new(updates: &[Update]) -> Self {
        let mut columns = Self::default();
        for (row, update) in updates.iter().enumerate() {
            let plain = PlainPatch::new(&update.patch).expect("it can run together with others");
            let sets = plain.sets.iter().map(|(name, json)| (*name, Some(*json)));
            let removes = plain.removes.iter().map(|name| (*name, None));
            columns.sets.push(to_json(&sets.chain(removes).collect()));
            columns.removes.push(!plain.removes.is_empty());
            let (extend, set) = expiry(&update.patch);
            columns.extend.push(extend);
            columns.set.push(set);
            columns.counts.push(update.count.cast_signed());
            columns.add(row, &plain.short_adds().expect("it can run together with others"));
        }
        columns
    }

    /// Adds the additions of an update, which has this place.
    fn add(&mut self, row: usize, adds: &[ShortAddition<'_>]) {
        if self.adds.len() < adds.len() {
            let empty = || Adds { names: vec![None; row], from: vec![0; row], by: vec![0; row] };
            self.adds.resize_with(adds.len(), empty);
        }
        let rest = iter::repeat(None);
        for (column, add) in self.adds.iter_mut().zip(adds.iter().map(Some).chain(rest)) {
            let (name, from, by) =
                add.map_or((None, 0, 0), |(name, from, by)| (Some((*name).to_owned()), *from, *by));
            column.names.push(name);
            column.from.push(from);
            column.by.push(by);
        }
    }
}

/// Whether the sum of two such numbers is far from what `double precision` can express. The others
/// are added here.
fn is_ordinary(number: Number) -> bool {
    match number {
        Number::Int(_) => true,
        Number::Float(n) => n == 0.0 || (1e-90..1e90).contains(&n.abs()),
        _ => false,
    }
}
