//! What a store can do beyond its six calls.

use actix_typed_session::{
    PublicId, StoreError,
    store::{DeleteExpired, FindByIndex, IndexPage, ListAll, ListCursor, ListPage, Ping, StoreKey},
};
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};
use sqlx::Postgres;
use tokio::time::timeout;

use super::{engine::run_all, row::found_by, store::PostgresStore};
use crate::{
    client::{Engine as _, Lease, Repeat, locked, sweep},
    pages::{index_page, list_page},
    values::place,
};

impl DeleteExpired for PostgresStore {
    async fn delete_expired(&self) -> Result<u64, StoreError> {
        sweep(&*self.0).await
    }
}

impl FindByIndex for PostgresStore {
    async fn find(
        &self,
        name: &str,
        value: &RawValue,
        after: Option<PublicId>,
        limit: usize,
    ) -> Result<IndexPage, StoreError> {
        let (entry, now) = (found_by(name, value), self.now_ms());
        let after = after.map(|id| place(id).to_vec());
        let limit = limit.max(1);
        // One more shows whether there is another page.
        let rows = i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1);
        let find = self.0.client.rows(&self.0.statements.find, Repeat::Always, |query| {
            query.bind(entry.clone()).bind(now).bind(after.clone()).bind(rows)
        });
        let rows = self.within(find).await?;
        index_page(&rows, limit, (name, value))
    }

    async fn exclusively<T, A>(&self, value: &RawValue, action: A) -> Result<T, StoreError>
    where
        T: Send + 'static,
        A: Future<Output = T> + Send + 'static,
    {
        let (store, lock) = (self.clone(), self.lock_number(value));
        // It runs to its end even if the caller goes away, so that the lock is released.
        let task = async move {
            let limit = store.0.client.settings.time_limit;
            let _permit = store.0.client.lock_permit().await?;
            let mut lease = timeout(limit, store.lock(lock)).await.map_err(locked)??;
            let done = action.await;
            timeout(limit, run_all(&mut lease, "COMMIT".into())).await.map_err(locked)??;
            Ok(done)
        };
        tokio::spawn(task).await.map_err(StoreError::internal)?
    }
}

impl ListAll for PostgresStore {
    async fn list(&self, after: Option<&ListCursor>, limit: usize) -> Result<ListPage, StoreError> {
        let after = after.map(ListCursor::as_key).transpose()?;
        let (now, limit) = (self.now_ms(), limit.max(1));
        let rows = i64::try_from(limit).unwrap_or(i64::MAX);
        let list = self.0.client.rows(&self.0.statements.list, Repeat::Always, |query| {
            query.bind(after.map(|key: StoreKey| key.as_bytes().to_vec())).bind(now).bind(rows)
        });
        let rows = self.within(list).await?;
        list_page(&rows, limit)
    }
}

impl Ping for PostgresStore {
    async fn ping(&self) -> Result<(), StoreError> {
        let ping = self.0.client.rows("SELECT 1", Repeat::Always, |query| query);
        self.within(ping).await.map(|_| ())
    }
}

impl PostgresStore {
    /// The number of the advisory lock of a value in this table.
    fn lock_number(&self, value: &RawValue) -> i64 {
        let mut hash = Sha256::new();
        hash.update(self.schema());
        hash.update(value.get());
        let bytes = hash.finalize();
        i64::from_be_bytes(bytes[..8].try_into().expect("8 of 32 bytes"))
    }

    /// Takes a lock until the end of a transaction. If this process dies, its connection ends, and
    /// with it the transaction.
    async fn lock(&self, number: i64) -> Result<Lease<Postgres>, StoreError> {
        let mut lease = self.0.client.lease().await.map_err(Postgres::failed)?;
        let begin = format!("BEGIN; SELECT pg_advisory_xact_lock({number})");
        run_all(&mut lease, begin).await?;
        lease.hold();
        Ok(lease)
    }
}
