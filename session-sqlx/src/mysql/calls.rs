//! The calls of the store.

use actix_typed_session::{
    StoreError, Timestamp,
    store::{
        CreateOutcome, Grace, LoadOptions, OldIdReads, Patch, Record, SessionStore, StoreKey,
        UpdateOutcome,
    },
};
use sqlx::{MySql, Row as _};

use super::{
    engine::{DUPLICATE, OUT_OF_RANGE, code},
    row::{Entries, MySqlQuery, bind_expiry, bind_key, bind_rest},
    store::MySqlStore,
    together::is_plain,
};
use crate::{
    batch::{
        loads::{self, LoadTogether as _},
        updates,
    },
    client::{Engine as _, Repeat},
    columns::retired,
    next_record::{Current, Next, renewed, updated},
    pages::SessionRow,
    patch::expiry,
    values::{ms, purge_hour, to_key},
};

impl SessionStore for MySqlStore {
    async fn create(&self, key: &StoreKey, record: &Record) -> Result<CreateOutcome, StoreError> {
        self.within(async {
            self.list(record, None).await?;
            loop {
                let create = self.0.try_change(&self.0.statements.create, Repeat::Never, |query| {
                    let until = ms(record.expires_at());
                    let query = bind_key(query, key).bind(ms(record.created_at())).bind(until);
                    let (is_retired, successor, digest) = retired(record);
                    let query = bind_rest(query.bind(purge_hour(until)), record);
                    query.bind(is_retired).bind(successor).bind(digest)
                });
                match create.await {
                    Ok(_) => return Ok(CreateOutcome::Stored),
                    Err(error) if code(&error) == Some(DUPLICATE) => {
                        if !self.free(key).await? {
                            return Ok(CreateOutcome::Taken);
                        }
                    }
                    Err(error) => return Err(MySql::failed(error)),
                }
            }
        })
        .await
    }

    async fn load(
        &self,
        key: &StoreKey,
        options: &LoadOptions<'_>,
    ) -> Result<Option<Record>, StoreError> {
        let names = options.fields().filter(|names| is_plain(names));
        self.within(loads::load(&self.0, key, names)).await
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
                self.list(&record, Some(&current)).await?;
                if self.replace(key, &current, &record, patch).await? {
                    self.unlist(&current, &record).await?;
                    return Ok(UpdateOutcome::Applied { version: record.version() });
                }
            }
        })
        .await
    }

    async fn touch(&self, key: &StoreKey, expires_at: Timestamp) -> Result<bool, StoreError> {
        let now = self.now_ms();
        let expiry = (Some(ms(expires_at)), None);
        let touch = self.0.change(&self.0.statements.touch, Repeat::Always, |query| {
            bind_key(bind_expiry(query, expiry), key).bind(now)
        });
        Ok(self.within(touch).await?.rows_affected() > 0)
    }

    async fn destroy(&self, key: &StoreKey) -> Result<bool, StoreError> {
        self.within(async {
            if self.destroy_one(key, None).await? {
                return Ok(true);
            }
            loop {
                // From the session to the ids that it had before. If another request renews or
                // destroys the session meanwhile, the old ids still lead to it.
                let chain = self.chain(key).await?;
                let Some(((last, successor), old_ids)) = chain.split_first() else {
                    return Ok(false);
                };
                if !self.destroy_one(last, successor.as_ref()).await? {
                    continue;
                }
                for (old_id, successor) in old_ids {
                    self.destroy_one(old_id, successor.as_ref()).await?;
                }
                return Ok(true);
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
                self.list(&record, Some(&current)).await?;
                match self.move_to((old, &current), (new, &record), patch, grace).await? {
                    Moved::Yes => {
                        self.unlist(&current, &record).await?;
                        return Ok(UpdateOutcome::Applied { version: record.version() });
                    }
                    Moved::Outdated => {}
                    Moved::Taken if self.free(new).await? => known = Some(current),
                    Moved::Taken => return Ok(UpdateOutcome::Taken),
                }
            }
        })
        .await
    }
}

/// What became of a renewal.
enum Moved {
    Yes,
    /// The old record is not the one that was known.
    Outdated,
    /// The new key has a session.
    Taken,
}

impl Current for MySqlStore {
    async fn current(&self, key: &StoreKey) -> Result<Option<Record>, StoreError> {
        self.0.load(&[*key], None).await?.first().map(SessionRow::record).transpose()
    }
}

impl MySqlStore {
    /// Stores a record in the place of the one that is known. `false`: that is another one now.
    async fn replace(
        &self,
        key: &StoreKey,
        known: &Record,
        record: &Record,
        patch: &Patch,
    ) -> Result<bool, StoreError> {
        let (now, expiry) = (self.now_ms(), expiry(patch));
        let replace = self.0.change(&self.0.statements.replace, Repeat::Never, |query| {
            let query = query.bind(ms(record.created_at()));
            let query = bind_rest(bind_expiry(bind_expiry(query, expiry), expiry), record);
            bind_known(query, key, now, known)
        });
        Ok(replace.await?.rows_affected() > 0)
    }

    /// Stores a record under a new key, and retires the one that is known under the old key.
    async fn move_to(
        &self,
        (old, known): (&StoreKey, &Record),
        (new, record): (&StoreKey, &Record),
        patch: &Patch,
        grace: Grace,
    ) -> Result<Moved, StoreError> {
        let (now, expiry, until) = (self.now_ms(), expiry(patch), ms(grace.until));
        let keeps = grace.old_id == OldIdReads::Snapshot;
        // It does nothing to a session that is retired already.
        let rotate = self.0.try_change(&self.0.statements.rotate, Repeat::Always, |query| {
            let query = bind_key(query, new).bind(ms(record.created_at()));
            let query = bind_expiry(bind_expiry(query, expiry).bind(until), expiry).bind(until);
            let query = bind_rest(query, record)
                .bind(keeps.then(|| new.as_bytes().to_vec()))
                .bind((!keeps).then(|| new.digest().to_vec()))
                .bind(keeps);
            bind_known(query, old, now, known)
        });
        match rotate.await {
            Ok(done) if done.rows_affected() > 0 => Ok(Moved::Yes),
            Ok(_) => Ok(Moved::Outdated),
            Err(error) if code(&error) == Some(OUT_OF_RANGE) => Ok(Moved::Taken),
            Err(error) => Err(MySql::failed(error)),
        }
    }

    /// Deletes what has expired under a key. `false`: nothing has.
    async fn free(&self, key: &StoreKey) -> Result<bool, StoreError> {
        let now = self.now_ms();
        let free = self.0.change(&self.0.statements.free, Repeat::Always, |query| {
            bind_key(query, key).bind(now)
        });
        Ok(free.await?.rows_affected() > 0)
    }

    async fn destroy_one(
        &self,
        key: &StoreKey,
        successor: Option<&StoreKey>,
    ) -> Result<bool, StoreError> {
        let now = self.now_ms();
        let destroy = self.0.change(&self.0.statements.destroy, Repeat::Never, |query| {
            bind_key(query, key).bind(now).bind(successor.map(|key| key.as_bytes().to_vec()))
        });
        Ok(destroy.await?.rows_affected() > 0)
    }

    /// The keys by which a session was known, from the last to this one, and the successor of each.
    async fn chain(&self, key: &StoreKey) -> Result<Vec<(StoreKey, Option<StoreKey>)>, StoreError> {
        let now = self.now_ms();
        let rows =
            self.0.rows(&self.0.statements.chain, |query| bind_key(query, key).bind(now).bind(now));
        let rows = rows.await?;
        let links = rows.iter().map(|row| {
            let successor: Option<Vec<u8>> =
                row.try_get("successor").map_err(StoreError::damaged)?;
            Ok((row.key()?, successor.map(to_key).transpose()?))
        });
        links.collect()
    }

    /// Writes what a record is found by, unless it is there. It comes before the record, so that no
    /// session is hidden. Entries without a session disappear by a clean-up.
    async fn list(&self, record: &Record, before: Option<&Record>) -> Result<(), StoreError> {
        let new = Entries::of(record);
        if new.entries.is_empty() || before.is_some_and(|before| Entries::of(before) == new) {
            return Ok(());
        }
        let hour = purge_hour(ms(record.expires_at()));
        let statement = self.0.statements.list(new.entries.len());
        let list = self.0.change(&statement, Repeat::Always, |query| {
            new.entries.iter().fold(query, |query, entry| {
                let query = query.bind(entry.to_vec()).bind(new.place.to_vec());
                query.bind(record.version()).bind(hour)
            })
        });
        list.await.map(|_| ())
    }

    /// Removes what a session was found by until now.
    async fn unlist(&self, before: &Record, record: &Record) -> Result<(), StoreError> {
        let (old, new) = (Entries::of(before), Entries::of(record));
        if old.entries.is_empty() || old == new {
            return Ok(());
        }
        // Those that the session keeps have been listed again, with the new version.
        let unlist = self.0.change(&self.0.statements.unlist, Repeat::Always, |query| {
            query.bind(old.place.to_vec()).bind(record.version())
        });
        unlist.await.map(|_| ())
    }
}

/// Binds which record is meant.
fn bind_known(query: MySqlQuery, key: &StoreKey, now: i64, known: &Record) -> MySqlQuery {
    bind_key(query, key).bind(now).bind(known.version()).bind(ms(known.created_at()))
}
