//! The calls of the store.

use actix_typed_session::{
    StoreError, Timestamp,
    store::{
        CreateOutcome, Grace, LoadOptions, OldIdReads, Patch, Record, SessionStore, StoreKey,
        UpdateOutcome,
    },
};

use super::{
    row::{self, PgQuery, bind},
    store::PostgresStore,
};
use crate::{
    batch::{
        loads::{self, LoadTogether as _},
        updates,
    },
    client::Repeat,
    columns::retired,
    next_record::{Current, Next, renewed, updated},
    pages::SessionRow,
    patch::expiry,
    values::ms,
};

impl SessionStore for PostgresStore {
    async fn create(&self, key: &StoreKey, record: &Record) -> Result<CreateOutcome, StoreError> {
        // There may be a copy of an expired session, in whose place this one comes.
        let (now, _change) = (self.now_ms(), self.0.begin_change(key));
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
        // A copy serves every struct, so it has all fields.
        let fields = options.fields().filter(|_| self.0.cache.is_none());
        self.within(loads::load(&self.0, key, fields)).await
    }

    fn load_cached(&self, key: &StoreKey) -> Option<Record> {
        self.0.cache.as_ref()?.get(key)
    }

    async fn update(&self, key: &StoreKey, patch: &Patch) -> Result<UpdateOutcome, StoreError> {
        self.within(async {
            if let Some(version) = updates::update(&self.0, key, patch).await? {
                return Ok(UpdateOutcome::Applied { version });
            }
            loop {
                let (current, record) = match updated(self, key, patch).await? {
                    Next::Store { current, record } => (current, record),
                    Next::Outcome(outcome) => return Ok(outcome),
                };
                let (now, _change) = (self.now_ms(), self.0.begin_change(key));
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
        let (now, _change) = (self.now_ms(), self.0.begin_change(key));
        let touch = self.0.client.first(&self.0.statements.touch, Repeat::Always, |query| {
            query.bind(key.as_bytes().to_vec()).bind(now).bind(ms(expires_at))
        });
        Ok(self.within(touch).await?.is_some())
    }

    async fn destroy(&self, key: &StoreKey) -> Result<bool, StoreError> {
        let _change = self.0.begin_change(key);
        self.within(async {
            loop {
                let now = self.now_ms();
                let destroyed =
                    self.0.client.one(&self.0.statements.destroy, Repeat::Never, |query| {
                        query.bind(key.as_bytes().to_vec()).bind(now)
                    });
                let row = destroyed.await?;
                let (there, gone) = (row::count(&row, 0)?, row::count(&row, 1)?);
                if let Some(cache) = &self.0.cache {
                    row::keys(&row, 2)?.iter().for_each(|key| cache.remove(key));
                }
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
        let _changes = (self.0.begin_change(old), self.0.begin_change(new));
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
        self.0.load(&[*key], None).await?.first().map(SessionRow::record).transpose()
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
    use actix_typed_session_tests::stores::sizes_of_calls;
    use sqlx::postgres::PgPoolOptions;

    use super::*;

    #[tokio::test]
    async fn calls_are_small_because_each_is_moved_several_times() {
        let pool = PgPoolOptions::new().connect_lazy("postgres://localhost").expect("a URL");
        for (call, bytes) in sizes_of_calls(&PostgresStore::new(pool)) {
            assert!(bytes <= 4_096, "{call}: {bytes} bytes");
        }
    }
}
