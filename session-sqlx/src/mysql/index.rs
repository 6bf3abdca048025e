//! What a store can do beyond its six calls.

use actix_typed_session::{
    PublicId, StoreError,
    store::{DeleteExpired, FindByIndex, IndexPage, ListAll, ListCursor, ListPage, Ping},
};
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};
use sqlx::{Executor as _, MySql, Row as _};
use tokio::time::timeout;

use super::store::MySqlStore;
use crate::{
    client::{Engine as _, Lease, locked, sweep},
    columns::hex,
    pages::{index_page, list_page},
    values::{found_by, place},
};

/// Locks belong to the whole server, so their names have that of the database: a hash of both,
/// because a name has at most 64 characters.
const LOCK: &str = "SELECT GET_LOCK(SHA2(CONCAT(COALESCE(DATABASE(), ''), '/', ?), 256), ?)";
const RELEASE: &str = "SELECT RELEASE_LOCK(SHA2(CONCAT(COALESCE(DATABASE(), ''), '/', ?), 256))";

impl DeleteExpired for MySqlStore {
    async fn delete_expired(&self) -> Result<u64, StoreError> {
        sweep(&*self.0).await
    }
}

impl FindByIndex for MySqlStore {
    async fn find(
        &self,
        name: &str,
        value: &RawValue,
        after: Option<PublicId>,
        limit: usize,
    ) -> Result<IndexPage, StoreError> {
        let (entry, now) = (found_by(name, value).to_vec(), self.now_ms());
        let after = after.map(|id| place(id).to_vec()).unwrap_or_default();
        let limit = limit.max(1);
        // One more shows whether there is another page.
        let rows = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
        let find = self.0.rows(&self.0.statements.find, |query| {
            query.bind(entry.clone()).bind(after.clone()).bind(now).bind(rows)
        });
        let rows = self.within(find).await?;
        index_page(&rows, limit, (name, value))
    }

    async fn exclusively<T, A>(&self, value: &RawValue, action: A) -> Result<T, StoreError>
    where
        T: Send + 'static,
        A: Future<Output = T> + Send + 'static,
    {
        let (store, lock) = (self.clone(), self.lock_name(value));
        // It runs to its end even if the caller goes away, so that the lock is released.
        let task = async move {
            let limit = store.0.client.settings.time_limit;
            let _permit = store.0.client.lock_permit().await?;
            let mut lease = timeout(limit, store.lock(&lock)).await.map_err(locked)??;
            let done = action.await;
            let release =
                lease.run(|connection| connection.execute(sqlx::query(RELEASE).bind(lock)));
            let released = timeout(limit, release).await.map_err(locked)?;
            released.map_err(MySql::failed)?;
            Ok(done)
        };
        tokio::spawn(task).await.map_err(StoreError::internal)?
    }
}

impl ListAll for MySqlStore {
    async fn list(&self, after: Option<&ListCursor>, limit: usize) -> Result<ListPage, StoreError> {
        let after = after.map(ListCursor::as_key).transpose()?;
        let after = after.map(|key| key.as_bytes().to_vec()).unwrap_or_default();
        let (now, limit) = (self.now_ms(), limit.max(1));
        let rows = u64::try_from(limit).unwrap_or(u64::MAX);
        let list = self
            .0
            .rows(&self.0.statements.all, |query| query.bind(after.clone()).bind(now).bind(rows));
        let rows = self.within(list).await?;
        list_page(&rows, limit)
    }
}

impl Ping for MySqlStore {
    async fn ping(&self) -> Result<(), StoreError> {
        self.within(self.0.rows("SELECT 1", |query| query)).await.map(|_| ())
    }
}

impl MySqlStore {
    /// The name of the lock of a value in this table.
    fn lock_name(&self, value: &RawValue) -> String {
        let mut hash = Sha256::new();
        hash.update(self.schema());
        hash.update(value.get());
        hex(&hash.finalize()[..16])
    }

    /// Takes a lock of this connection. If this process dies, the connection ends, and with it the
    /// lock.
    async fn lock(&self, name: &str) -> Result<Lease<MySql>, StoreError> {
        let seconds = self.0.client.settings.time_limit.as_secs_f64().ceil();
        let mut lease = self.0.client.lease().await.map_err(MySql::failed)?;
        let lock = lease.run(|connection| {
            let lock = sqlx::query(LOCK);
            connection.fetch_one(lock.bind(name.to_owned()).bind(seconds))
        });
        let row = lock.await.map_err(MySql::failed)?;
        match row.try_get::<Option<i64>, _>(0).map_err(MySql::failed)? {
            Some(1) => {}
            _ => return Err(locked(())),
        }
        lease.hold();
        Ok(lease)
    }
}
