//! The calls of the store.

use actix_typed_session::{
    StoreError, Timestamp,
    store::{
        CreateOutcome, Grace, LoadOptions, Number, OldIdReads, Patch, Record, SessionStore,
        StoreKey, UpdateOutcome,
    },
};

use super::{
    row::{self, PgQuery, bind},
    store::PostgresStore,
};
use crate::{
    client::Repeat,
    columns::{retired, to_json},
    next_record::{Current, Next, renewed, updated},
    pages::SessionRow,
    patch::{Addition, PlainPatch, expiry},
    values::ms,
};

impl SessionStore for PostgresStore {
    async fn create(&self, key: &StoreKey, record: &Record) -> Result<CreateOutcome, StoreError> {
        let now = self.now_ms();
        let create = self.0.client.first(&self.0.statements.create, Repeat::Never, |query| {
            let (is_retired, successor, digest) = retired(record);
            bind(query, key, record).bind(now).bind(is_retired).bind(successor).bind(digest)
        });
        Ok(match self.within(create).await? {
            Some(_) => CreateOutcome::Stored,
            None => CreateOutcome::Taken,
        })
    }

    async fn load(
        &self,
        key: &StoreKey,
        options: &LoadOptions<'_>,
    ) -> Result<Option<Record>, StoreError> {
        match options.fields() {
            Some(names) => self.within(self.part(key, names)).await,
            None => self.within(self.current(key)).await,
        }
    }

    async fn update(&self, key: &StoreKey, patch: &Patch) -> Result<UpdateOutcome, StoreError> {
        self.within(async {
            if let Some(version) = self.update_in_place(key, patch).await? {
                return Ok(UpdateOutcome::Applied { version });
            }
            loop {
                let (current, record) = match updated(self, key, patch).await? {
                    Next::Store { current, record } => (current, record),
                    Next::Outcome(outcome) => return Ok(outcome),
                };
                let now = self.now_ms();
                let replaced =
                    self.0.client.first(&self.0.statements.replace, Repeat::Never, |query| {
                        bind_change(bind(query, key, &record), now, &current, patch)
                    });
                if replaced.await?.is_some() {
                    return Ok(UpdateOutcome::Applied { version: record.version() });
                }
            }
        })
        .await
    }

    async fn touch(&self, key: &StoreKey, expires_at: Timestamp) -> Result<bool, StoreError> {
        let now = self.now_ms();
        let touch = self.0.client.first(&self.0.statements.touch, Repeat::Always, |query| {
            query.bind(key.as_bytes().to_vec()).bind(now).bind(ms(expires_at))
        });
        Ok(self.within(touch).await?.is_some())
    }

    async fn destroy(&self, key: &StoreKey) -> Result<bool, StoreError> {
        self.within(async {
            loop {
                let now = self.now_ms();
                let destroyed =
                    self.0.client.one(&self.0.statements.destroy, Repeat::Never, |query| {
                        query.bind(key.as_bytes().to_vec()).bind(now)
                    });
                let row = destroyed.await?;
                let (there, gone) = (row::count(&row, 0)?, row::count(&row, 1)?);
                if there == gone {
                    return Ok(gone > 0);
                }
                // Another request has renewed or destroyed it, and nothing was deleted: look again.
            }
        })
        .await
    }

    async fn rotate(
        &self,
        old: &StoreKey,
        new: &StoreKey,
        patch: &Patch,
        grace: Grace,
    ) -> Result<UpdateOutcome, StoreError> {
        self.within(async {
            let mut known = patch.snapshot().filter(|record| record.is_whole()).cloned();
            loop {
                let next = renewed(self, (old, new), patch, known.take()).await?;
                let (current, record) = match next {
                    Next::Store { current, record } => (current, record),
                    Next::Outcome(outcome) => return Ok(outcome),
                };
                let (now, until) = (self.now_ms(), ms(grace.until));
                let keeps = grace.old_id == OldIdReads::Snapshot;
                // It does nothing to a session that is retired already.
                let rotated =
                    self.0.client.one(&self.0.statements.rotate, Repeat::Always, |query| {
                        bind_change(bind(query, new, &record), now, &current, patch)
                            .bind(old.as_bytes().to_vec())
                            .bind(until)
                            .bind(keeps)
                            .bind(new.digest().to_vec())
                    });
                let row = rotated.await?;
                match (row::count(&row, 0)?, row::count(&row, 1)?) {
                    (0, _) => {}
                    (_, 0) => return Ok(UpdateOutcome::Taken),
                    _ => return Ok(UpdateOutcome::Applied { version: record.version() }),
                }
            }
        })
        .await
    }
}

impl Current for PostgresStore {
    async fn current(&self, key: &StoreKey) -> Result<Option<Record>, StoreError> {
        let now = self.now_ms();
        let load = self.0.client.first(&self.0.statements.load, Repeat::Always, |query| {
            query.bind(key.as_bytes().to_vec()).bind(now)
        });
        load.await?.as_ref().map(SessionRow::record).transpose()
    }
}

impl PostgresStore {
    /// The session with these fields only, so that the others are not sent.
    async fn part(&self, key: &StoreKey, names: &[&str]) -> Result<Option<Record>, StoreError> {
        let (now, statements) = (self.now_ms(), &self.0.statements);
        let few = names.len().checked_sub(1).and_then(|count| statements.load_few.get(count));
        let statement = few.unwrap_or(&statements.load_part);
        let load = self.0.client.first(statement, Repeat::Always, |query| {
            let mut names = names.iter().map(|name| (*name).to_owned());
            let query = query.bind(key.as_bytes().to_vec()).bind(now);
            match few {
                Some(_) => names.fold(query, PgQuery::bind),
                None => query.bind(names.by_ref().collect::<Vec<String>>()),
            }
        });
        let record = load.await?.as_ref().map(SessionRow::record).transpose()?;
        Ok(record.map(Record::into_partial))
    }

    /// Applies a patch in one statement, if it can. Returns the new version.
    async fn update_in_place(
        &self,
        key: &StoreKey,
        patch: &Patch,
    ) -> Result<Option<u64>, StoreError> {
        let Some(plain) = PlainPatch::new(patch) else { return Ok(None) };
        if let Some(statement) = self.0.statements.update_few.get(plain.adds.len())
            && plain.removes.is_empty()
            && let Some(adds) = plain.adds.iter().map(short).collect::<Option<Vec<_>>>()
        {
            return self.update_few(statement, key, patch, (&plain, &adds)).await;
        }
        if !plain.adds.iter().flat_map(|add| [add.by, add.from]).all(is_ordinary) {
            return Ok(None);
        }
        let owned = |name: &str| name.to_owned();
        let removes: Vec<String> = plain.removes.iter().copied().map(owned).collect();
        let names: Vec<String> = plain.names().map(owned).collect();
        let numbers = plain.adds.iter().map(|add| {
            (add.name, [add.by, add.from].map(|number| number.to_json().get().to_owned()))
        });
        let (sets, adds) =
            (to_json(&plain.sets.iter().copied().collect()), to_json(&numbers.collect()));
        let (extend, set) = expiry(patch);
        let (now, version) = (self.now_ms(), patch.expected_version().map(u64::cast_signed));
        let update = self.0.client.first(&self.0.statements.update, Repeat::Never, |query| {
            query
                .bind(key.as_bytes().to_vec())
                .bind(now)
                .bind(sets.clone())
                .bind(removes.clone())
                .bind(adds.clone())
                .bind(names.clone())
                .bind(version)
                .bind(extend)
                .bind(set)
        });
        let Some(row) = update.await? else { return Ok(None) };
        Ok(Some(row::count(&row, 0)?.cast_unsigned()))
    }

    /// As [`update_in_place`](Self::update_in_place), for a patch with few additions of short whole
    /// numbers.
    async fn update_few(
        &self,
        statement: &str,
        key: &StoreKey,
        patch: &Patch,
        (plain, adds): (&PlainPatch<'_>, &[ShortAddition<'_>]),
    ) -> Result<Option<u64>, StoreError> {
        let names: Vec<String> = plain.names().map(str::to_owned).collect();
        let sets = to_json(&plain.sets.iter().copied().collect());
        let (extend, set) = expiry(patch);
        let (now, version) = (self.now_ms(), patch.expected_version().map(u64::cast_signed));
        let update = self.0.client.first(statement, Repeat::Never, |query| {
            let query = query
                .bind(key.as_bytes().to_vec())
                .bind(now)
                .bind(sets.clone())
                .bind(names.clone())
                .bind(version)
                .bind(extend)
                .bind(set);
            adds.iter().fold(query, |query, (name, from, by)| {
                query.bind((*name).to_owned()).bind(*from).bind(*by)
            })
        });
        let Some(row) = update.await? else { return Ok(None) };
        Ok(Some(row::count(&row, 0)?.cast_unsigned()))
    }
}

/// The name of a field, the number that it counts as if it is absent, and the number to add.
type ShortAddition<'a> = (&'a str, i64, i64);

/// An addition of whole numbers with 18 digits at most.
fn short<'a>(add: &Addition<'a>) -> Option<ShortAddition<'a>> {
    const LIMIT: i64 = 10_i64.pow(18);
    let number = |number: Number| match number {
        Number::Int(n) => i64::try_from(n).ok().filter(|n| (1 - LIMIT..LIMIT).contains(n)),
        _ => None,
    };
    Some((add.name, number(add.from)?, number(add.by)?))
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

/// Binds $12 to $16: the time, which record is meant, and what its expiry becomes.
fn bind_change(query: PgQuery, now: i64, current: &Record, patch: &Patch) -> PgQuery {
    let (extend, set) = expiry(patch);
    query
        .bind(now)
        .bind(current.version().cast_signed())
        .bind(ms(current.created_at()))
        .bind(extend)
        .bind(set)
}

#[cfg(test)]
mod tests {
    use std::mem::size_of_val;

    use sqlx::postgres::PgPoolOptions;

    use super::*;

    #[tokio::test]
    async fn calls_are_small_because_each_is_moved_several_times() {
        let pool = PgPoolOptions::new().connect_lazy("postgres://localhost").expect("a URL");
        let (store, now) = (PostgresStore::new(pool), Timestamp::default());
        let (key, record) = (StoreKey::from_bytes([1; 32]), Record::new(now, now));
        let (patch, options) = (Patch::default(), LoadOptions::default());
        let grace = Grace::new(now, OldIdReads::Snapshot);
        for (call, bytes) in [
            ("create", size_of_val(&store.create(&key, &record))),
            ("load", size_of_val(&store.load(&key, &options))),
            ("update", size_of_val(&store.update(&key, &patch))),
            ("touch", size_of_val(&store.touch(&key, now))),
            ("destroy", size_of_val(&store.destroy(&key))),
            ("rotate", size_of_val(&store.rotate(&key, &key, &patch, grace))),
        ] {
            assert!(bytes <= 4_096, "{call}: {bytes} bytes");
        }
    }
}
