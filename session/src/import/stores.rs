//! Where other programs keep their sessions.

use std::future::Future;

use super::foreign::ForeignId;
use crate::error::StoreError;
#[cfg(feature = "redis")]
use crate::store::RedisStore;

/// Where another program keeps its sessions: one record for each id.
///
/// Implement it for a store of your own, such as a table of a database.
///
/// # Examples
/// ```
/// use actix_typed_session::{StoreError, import::{ForeignId, ForeignStore}};
/// use std::{collections::HashMap, sync::Mutex};
///
/// #[derive(Default)]
/// struct Table(Mutex<HashMap<String, Vec<u8>>>);
///
/// impl ForeignStore for Table {
///     async fn load(&self, id: &ForeignId) -> Result<Option<Vec<u8>>, StoreError> {
///         let sessions = self.0.lock().map_err(|_| StoreError::internal("a panic"))?;
///         Ok(sessions.get(id.as_str()).cloned())
///     }
///
///     async fn delete(&self, id: &ForeignId) -> Result<(), StoreError> {
///         self.0.lock().map_err(|_| StoreError::internal("a panic"))?.remove(id.as_str());
///         Ok(())
///     }
/// }
/// ```
pub trait ForeignStore: Send + Sync + 'static {
    /// Loads the record of an id. `None`: there is none, or it has expired.
    ///
    /// # Errors
    /// The store failed.
    fn load(
        &self,
        id: &ForeignId,
    ) -> impl Future<Output = Result<Option<Vec<u8>>, StoreError>> + Send;

    /// Deletes the record of an id. One that is not there is not an error.
    ///
    /// # Errors
    /// The record may still be there.
    fn delete(&self, id: &ForeignId) -> impl Future<Output = Result<(), StoreError>> + Send;
}

/// Strings in Redis or Valkey. The module `connect-redis` of Express and the `RedisSessionStore` of
/// actix-session keep sessions so. Needs the feature `redis`.
///
/// # Examples
/// ```no_run
/// use actix_typed_session::{RedisStore, import::ForeignRedis};
///
/// let server = RedisStore::new("redis://127.0.0.1:6379")?;
/// let of_express = ForeignRedis::new(server, "sess:");
/// # Ok::<(), actix_typed_session::ConfigError>(())
/// ```
#[cfg(feature = "redis")]
#[cfg_attr(docsrs, doc(cfg(feature = "redis")))]
#[derive(Clone, Debug)]
pub struct ForeignRedis {
    server: RedisStore,
    prefix: String,
}

#[cfg(feature = "redis")]
impl ForeignRedis {
    /// The strings whose keys are `prefix` and the id: `sess:` for connect-redis, nothing for
    /// actix-session.
    ///
    /// Of the store, only the connections are used: the server or the cluster, and its settings. It
    /// may be a clone of the store that keeps your sessions.
    pub fn new(server: RedisStore, prefix: impl Into<String>) -> Self {
        Self { server, prefix: prefix.into() }
    }
}

#[cfg(feature = "redis")]
impl ForeignStore for ForeignRedis {
    async fn load(&self, id: &ForeignId) -> Result<Option<Vec<u8>>, StoreError> {
        self.server.load_string(&format!("{}{}", self.prefix, id.as_str())).await
    }

    async fn delete(&self, id: &ForeignId) -> Result<(), StoreError> {
        self.server.delete_string(&format!("{}{}", self.prefix, id.as_str())).await
    }
}
