//! The search for the sessions that have a value.

use std::{fs::TryLockError, time::Duration};

use actix_typed_session::{
    PublicId, StoreError,
    store::{FindByIndex, IndexPage},
};
use serde_json::value::RawValue;
use tokio::time::{sleep, timeout};

use super::store::SqliteStore;

impl FindByIndex for SqliteStore {
    async fn find(
        &self,
        name: &str,
        value: &RawValue,
        after: Option<PublicId>,
        limit: usize,
    ) -> Result<IndexPage, StoreError> {
        self.read(|tables, connection, now| {
            tables.find(connection, (name, value), after, limit, now)
        })
        .await
    }

    async fn exclusively<T, A>(&self, _: &RawValue, action: A) -> Result<T, StoreError>
    where
        T: Send + 'static,
        A: Future<Output = T> + Send + 'static,
    {
        let store = self.clone();
        // It runs to its end even if the caller goes away.
        let task = async move {
            let late = |_| StoreError::unavailable("the lock was not free within the time limit");
            let limit = store.0.settings.time_limit;
            let _in_this_process = timeout(limit, store.0.action.lock()).await.map_err(late)?;
            // The lock of the file ends with this process at the latest.
            let _of_all = timeout(limit, store.lock()).await.map_err(late)??;
            Ok(action.await)
        };
        tokio::spawn(task).await.map_err(StoreError::internal)?
    }
}

impl SqliteStore {
    /// Waits for the lock that all processes share. It ends with the file.
    async fn lock(&self) -> Result<std::fs::File, StoreError> {
        let file = self.lock_file().map_err(StoreError::unavailable)?;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(TryLockError::WouldBlock) => sleep(Duration::from_millis(2)).await,
                Err(TryLockError::Error(error)) => return Err(StoreError::unavailable(error)),
            }
        }
    }
}
