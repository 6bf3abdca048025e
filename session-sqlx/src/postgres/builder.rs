//! The settings of the store.

use std::time::Duration;

use sqlx::PgPool;

use super::{changes::Changes, local_cache::PgCache, statements::Statements, store::PostgresStore};
use crate::config::{Settings, SqlConfigError, check_name, setters};

/// The settings of a [`PostgresStore`].
#[must_use = "a builder does nothing until `build`"]
pub struct PostgresStoreBuilder {
    pool: PgPool,
    schema: Option<String>,
    cached_bytes: Option<usize>,
    staleness: Duration,
    settings: Settings,
}

impl PostgresStoreBuilder {
    pub(super) fn new(pool: PgPool) -> Self {
        Self {
            pool,
            schema: None,
            cached_bytes: None,
            staleness: Duration::from_millis(500),
            settings: Settings::default(),
        }
    }

    /// Sets the PostgreSQL schema of the table. It must exist. Defaults to the `search_path` of the
    /// connection.
    pub fn schema(mut self, name: impl Into<String>) -> Self {
        self.schema = Some(name.into());
        self
    }

    /// Keeps copies of sessions in this process, with up to this many bytes of memory, so that most
    /// reads need no query.
    ///
    /// For example, `local_cache_bytes(64 << 20)` keeps up to 64 MiB. Defaults to no copies.
    ///
    /// A change that this process makes is visible in it at once. A change by another process that
    /// also has a local cache is visible when its report arrives (`NOTIFY`), usually within
    /// milliseconds. If no report arrives, the copy is used for at most
    /// [`local_cache_staleness`](Self::local_cache_staleness). The same bounds hold for a session
    /// that another process destroyed.
    ///
    /// Writes always go to the database, and so do [`save`] and [`reload`]. To listen, the store
    /// takes one more connection, which is not from the pool.
    /// [The guide](crate::guide#a-local-cache) says what the reports cost.
    ///
    /// [`save`]: actix_typed_session::SessionHandle::save
    /// [`reload`]: actix_typed_session::SessionHandle::reload
    pub fn local_cache_bytes(mut self, bytes: usize) -> Self {
        self.cached_bytes = Some(bytes);
        self
    }

    /// Limits how long a copy in the [`local_cache_bytes`](Self::local_cache_bytes) is used before
    /// it is read again.
    ///
    /// For example, `local_cache_staleness(Duration::from_millis(100))`. Defaults to 500 ms.
    pub fn local_cache_staleness(mut self, bound: Duration) -> Self {
        self.staleness = bound;
        self
    }

    setters!();

    /// Builds the store. Nothing connects before the first call.
    ///
    /// # Errors
    /// A name is not valid, or a duration is zero.
    pub fn build(self) -> Result<PostgresStore, SqlConfigError> {
        self.schema.iter().try_for_each(|name| check_name(name))?;
        self.settings.check()?;
        if self.staleness.is_zero() {
            return Err(SqlConfigError::ZeroDuration("local_cache_staleness"));
        }
        let table = &self.settings.table;
        let new_cache = |bytes| PgCache::new(bytes, self.staleness, Changes::new(table));
        let cache = self.cached_bytes.map(new_cache);
        let changes = cache.as_ref().map(PgCache::changes);
        let statements = Statements::new(self.schema.as_deref(), table, changes);
        Ok(PostgresStore::build(self.pool, statements, cache, self.settings))
    }
}
