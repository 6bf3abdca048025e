//! Strings that other programs keep in the same Redis.

use super::{
    client::{Command, Reply, Retry},
    decode,
    store::RedisStore,
};
use crate::error::StoreError;

impl RedisStore {
    /// The string of a key, which has no prefix but its own.
    pub(crate) async fn load_string(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let command = Command::new("GET").arg(key);
        match self.keyspace().call(key, &command, Retry::Idempotent).await?.reply {
            Reply::Null => Ok(None),
            Reply::Text(bytes) => Ok(Some(bytes.to_vec())),
            _ => Err(decode::unexpected()),
        }
    }

    /// Deletes a key, which has no prefix but its own.
    pub(crate) async fn delete_string(&self, key: &str) -> Result<(), StoreError> {
        let command = Command::new("DEL").arg(key);
        self.keyspace().call(key, &command, Retry::Idempotent).await?;
        Ok(())
    }
}
