//! The calls of the store.

use actix_typed_session::{
    StoreError, Timestamp,
    store::{
        CreateOutcome, DeleteExpired, Grace, ListAll, ListCursor, ListPage, LoadOptions, Patch,
        Ping, Record, SessionStore, StoreKey, UpdateOutcome,
    },
};

use super::store::SqliteStore;

impl SessionStore for SqliteStore {
    async fn create(&self, key: &StoreKey, record: &Record) -> Result<CreateOutcome, StoreError> {
        let (key, record) = (*key, record.clone());
        self.write(move |tables, connection, now| tables.create(connection, &key, &record, now))
            .await
    }

    async fn load(
        &self,
        key: &StoreKey,
        _: &LoadOptions<'_>,
    ) -> Result<Option<Record>, StoreError> {
        self.read(|tables, connection, now| tables.load(connection, key, now)).await
    }

    async fn update(&self, key: &StoreKey, patch: &Patch) -> Result<UpdateOutcome, StoreError> {
        let (key, patch) = (*key, patch.clone());
        self.write(move |tables, connection, now| tables.update(connection, &key, &patch, now))
            .await
    }

    async fn touch(&self, key: &StoreKey, expires_at: Timestamp) -> Result<bool, StoreError> {
        let key = *key;
        self.write(move |tables, connection, now| tables.touch(connection, &key, expires_at, now))
            .await
    }

    async fn destroy(&self, key: &StoreKey) -> Result<bool, StoreError> {
        let key = *key;
        self.write(move |tables, connection, now| tables.destroy(connection, &key, now)).await
    }

    async fn rotate(
        &self,
        old: &StoreKey,
        new: &StoreKey,
        patch: &Patch,
        grace: Grace,
    ) -> Result<UpdateOutcome, StoreError> {
        let (old, new, patch) = (*old, *new, patch.clone());
        self.write(move |tables, connection, now| {
            tables.rotate(connection, (&old, &new), &patch, grace, now)
        })
        .await
    }
}

impl DeleteExpired for SqliteStore {
    async fn delete_expired(&self) -> Result<u64, StoreError> {
        let mut sum = 0;
        loop {
            let swept = self.write(|tables, connection, now| tables.sweep(connection, now)).await?;
            sum += swept.sessions;
            if swept.is_done {
                return Ok(sum);
            }
        }
    }
}

impl ListAll for SqliteStore {
    async fn list(&self, after: Option<&ListCursor>, limit: usize) -> Result<ListPage, StoreError> {
        let after = after.map(ListCursor::as_key).transpose()?;
        let limit = limit.max(1);
        self.read(|tables, connection, now| tables.list(connection, after, limit, now)).await
    }
}

impl Ping for SqliteStore {
    /// Begins and ends a transaction of the thread that writes.
    async fn ping(&self) -> Result<(), StoreError> {
        self.write(|_, _, _| Ok(())).await
    }
}
