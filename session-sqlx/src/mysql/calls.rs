//! The calls of the store.

use std::collections::BTreeMap;

use actix_typed_session::{
    StoreError, Timestamp,
    store::{
        CreateOutcome, Grace, LoadOptions, Number, OldIdReads, Patch, Record, SessionStore,
        StoreKey, UpdateOutcome,
    },
};
use sqlx::{MySql, Row as _};

use super::{
    engine::{DUPLICATE, OUT_OF_RANGE, code},
    row::{Entries, MySqlQuery, bind_key, bind_rest},
    store::MySqlStore,
};
use crate::{
    client::{Engine as _, Repeat},
    columns::{retired, to_json},
    next_record::{Current, Next, renewed, updated},
    pages::SessionRow,
    patch::{Addition, PlainPatch, expiry},
    values::{ms, purge_hour, to_key},
};

/// How many fields one statement reads alone, adds to, or removes. The number is part of its text,
/// and a connection keeps 100 prepared statements.
const MOST_FIELDS: usize = 8;

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
        match options.fields() {
            Some(names) if is_plain(names) => self.within(self.part(key, names)).await,
            _ => self.within(self.current(key)).await,
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
        let now = self.now_ms();
        let load = self.0.rows(&self.0.statements.load, |query| bind_key(query, key).bind(now));
        load.await?.first().map(SessionRow::record).transpose()
    }
}

impl MySqlStore {
    /// The session with these fields only, so that the others are not sent.
    async fn part(&self, key: &StoreKey, names: &[&str]) -> Result<Option<Record>, StoreError> {
        let now = self.now_ms();
        let statement = self.0.statements.load_part(names.len());
        let load = self.0.rows(&statement, |mut query| {
            for name in names {
                query = query.bind((*name).to_owned()).bind(path(name));
            }
            bind_key(query, key).bind(now)
        });
        let record = load.await?.first().map(SessionRow::record).transpose()?;
        Ok(record.map(Record::into_partial))
    }

    /// Applies a patch in one statement, if it can. Returns the new version.
    async fn update_in_place(
        &self,
        key: &StoreKey,
        patch: &Patch,
    ) -> Result<Option<u64>, StoreError> {
        let Some(plain) = PlainPatch::new(patch).filter(is_simple) else { return Ok(None) };
        let sets: BTreeMap<&str, &str> = plain.sets.iter().copied().collect();
        let (sets, expiry) = (to_json(&sets), expiry(patch));
        let names: Vec<_> = plain.names().collect();
        // As in the JSON of the names of the indexed fields.
        let names = (!names.is_empty()).then(|| format!("\"({})\"", names.join("|")));
        let (now, version) = (self.now_ms(), patch.expected_version());
        let statement = self.0.statements.update(plain.adds.len(), plain.removes.len());
        let update = self.0.change(&statement, Repeat::Never, |query| {
            let mut query = bind_expiry(bind_expiry(query, expiry), expiry).bind(sets.clone());
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

/// Whether one statement reads these fields alone.
fn is_plain(names: &[&str]) -> bool {
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

/// Binds what the expiry becomes, and the least that it becomes.
fn bind_expiry(query: MySqlQuery, (extend, set): (Option<i64>, Option<i64>)) -> MySqlQuery {
    query.bind(set).bind(extend)
}

/// Binds which record is meant.
fn bind_known(query: MySqlQuery, key: &StoreKey, now: i64, known: &Record) -> MySqlQuery {
    bind_key(query, key).bind(now).bind(known.version()).bind(ms(known.created_at()))
}
