//! A store of any kind.

use actix_typed_session::{
    FileStore, PublicId, RedisStore, StoreError, Timestamp,
    store::{
        CreateOutcome, DeleteExpired as _, FindByIndex, Grace, IndexPage, ListAll, ListCursor,
        ListPage, LoadOptions, Patch, Record, SessionStore, StoreKey, UpdateOutcome,
    },
};
use actix_typed_session_sqlx::{MySqlStore, PostgresStore, SqliteStore};
use serde_json::value::RawValue;

/// A store of any kind.
pub(crate) enum AnyStore {
    File(FileStore),
    Redis(RedisStore),
    Postgres(PostgresStore),
    MySql(MySqlStore),
    Sqlite(SqliteStore),
}

/// Calls the store, whatever its kind is.
macro_rules! each {
    ($any:expr, $store:ident => $call:expr) => {
        match $any {
            AnyStore::File($store) => $call,
            AnyStore::Redis($store) => $call,
            AnyStore::Postgres($store) => $call,
            AnyStore::MySql($store) => $call,
            AnyStore::Sqlite($store) => $call,
        }
    };
}

impl AnyStore {
    /// Deletes expired sessions. `None`: the server deletes them by itself.
    pub(crate) async fn delete_expired(&self) -> Result<Option<u64>, StoreError> {
        match self {
            Self::File(store) => store.delete_expired().await.map(Some),
            Self::Redis(_) => Ok(None),
            Self::Postgres(store) => store.delete_expired().await.map(Some),
            Self::MySql(store) => store.delete_expired().await.map(Some),
            Self::Sqlite(store) => store.delete_expired().await.map(Some),
        }
    }
}

impl SessionStore for AnyStore {
    async fn create(&self, key: &StoreKey, record: &Record) -> Result<CreateOutcome, StoreError> {
        each!(self, store => store.create(key, record).await)
    }

    async fn load(
        &self,
        key: &StoreKey,
        options: &LoadOptions<'_>,
    ) -> Result<Option<Record>, StoreError> {
        each!(self, store => store.load(key, options).await)
    }

    async fn update(&self, key: &StoreKey, patch: &Patch) -> Result<UpdateOutcome, StoreError> {
        each!(self, store => store.update(key, patch).await)
    }

    async fn touch(&self, key: &StoreKey, expires_at: Timestamp) -> Result<bool, StoreError> {
        each!(self, store => store.touch(key, expires_at).await)
    }

    async fn destroy(&self, key: &StoreKey) -> Result<bool, StoreError> {
        each!(self, store => store.destroy(key).await)
    }

    async fn rotate(
        &self,
        old: &StoreKey,
        new: &StoreKey,
        patch: &Patch,
        grace: Grace,
    ) -> Result<UpdateOutcome, StoreError> {
        each!(self, store => store.rotate(old, new, patch, grace).await)
    }
}

impl FindByIndex for AnyStore {
    async fn find(
        &self,
        name: &str,
        value: &RawValue,
        after: Option<PublicId>,
        limit: usize,
    ) -> Result<IndexPage, StoreError> {
        each!(self, store => store.find(name, value, after, limit).await)
    }
}

impl ListAll for AnyStore {
    async fn list(&self, after: Option<&ListCursor>, limit: usize) -> Result<ListPage, StoreError> {
        each!(self, store => store.list(after, limit).await)
    }
}
