//! What a store can do beyond its six calls.

use actix_typed_session::{
    PublicId, StoreError,
    store::{DeleteExpired, FindByIndex, IndexPage},
};
use serde_json::value::RawValue;

use sha2::{Digest as _, Sha256};
use tokio::time::timeout;

use super::{
    connection::{Lease, Repeat, failed},
    row::{self, found_by},
    store::PostgresStore,
};
use crate::columns::place;

impl DeleteExpired for PostgresStore {
    async fn delete_expired(&self) -> Result<u64, StoreError> {
        self.sweep().await
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
        let find = self.rows(&self.0.statements.find, Repeat::Always, |query| {
            query.bind(entry.clone()).bind(now).bind(after.clone()).bind(rows)
        });
        let rows = self.within(find).await?;
        let (mut sessions, mut last) = (Vec::new(), None);
        for row in rows.iter().take(limit) {
            // Also of a damaged record, so that the next page begins after it.
            last = row::read_public_id(row)?.or(last);
            match row::read(row) {
                Ok(record) if record.is_found_by(name, value) => {
                    sessions.push((row::read_key(row)?, record));
                }
                Ok(_) | Err(StoreError::Damaged(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(IndexPage::new(sessions, last.filter(|_| rows.len() > limit)))
    }

    async fn exclusively<T, A>(&self, value: &RawValue, action: A) -> Result<T, StoreError>
    where
        T: Send + 'static,
        A: Future<Output = T> + Send + 'static,
    {
        let (store, lock) = (self.clone(), self.lock_number(value));
        // It runs to its end even if the caller goes away, so that the lock is released.
        let task = async move {
            let limit = store.0.settings.time_limit;
            let permit = timeout(limit, store.0.lock_permits.acquire()).await;
            let _permit = permit.map_err(locked)?.map_err(StoreError::internal)?;
            let mut lease = timeout(limit, store.lock(lock)).await.map_err(locked)??;
            let done = action.await;
            let release = timeout(limit, lease.execute("COMMIT".into())).await;
            release.map_err(locked)?.map_err(failed)?;
            Ok(done)
        };
        tokio::spawn(task).await.map_err(StoreError::internal)?
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
    async fn lock(&self, number: i64) -> Result<Lease, StoreError> {
        let mut lease = self.connection().await?;
        let begin = format!("BEGIN; SELECT pg_advisory_xact_lock({number})");
        lease.execute(begin).await.map_err(failed)?;
        lease.hold();
        Ok(lease)
    }
}

fn locked<E>(_: E) -> StoreError {
    StoreError::unavailable("the lock of the value was not free within the time limit")
}
