//! The calls of the store.

use std::{fmt, ops::ControlFlow, sync::Arc};

use super::{
    client::{Args, Reply, Retry},
    decode::{self, is_one},
    encode,
    keyspace::Keyspace,
    script, update_turns,
};
use crate::{
    error::StoreError,
    id::StoreKey,
    record::{Grace, Patch, Record},
    store::session_store::{CreateOutcome, LoadOptions, SessionStore, UpdateOutcome},
    time::Timestamp,
};

/// Keeps sessions in Redis or Valkey: one hash for each session, one round trip for each call.
///
/// Works with Redis 6.2 or later and with Valkey: one server, a master that Sentinel chooses, or a
/// cluster. See [the guide](crate::guide::redis) for what to set up for production.
///
/// Nothing connects before the first request, so the application starts while Redis is down. Each
/// worker of Actix has one connection, which all its requests share. A request without a connection
/// waits for at most one attempt to connect. While Redis is down, requests that need a session get
/// a 503 within the time limits. The first request after Redis is back succeeds.
///
/// A clone is a handle to the same store.
///
/// # Examples
/// ```no_run
/// use actix_typed_session::{RedisStore, SessionMiddleware};
///
/// let sessions = SessionMiddleware::new(RedisStore::new("redis://127.0.0.1:6379")?);
/// # Ok::<(), actix_typed_session::ConfigError>(())
/// ```
#[derive(Clone)]
pub struct RedisStore(Arc<Keyspace>);

impl RedisStore {
    /// The store of the sessions in a keyspace.
    pub(super) fn from_keyspace(keyspace: Keyspace) -> Self {
        Self(Arc::new(keyspace))
    }

    pub(super) fn keyspace(&self) -> &Keyspace {
        &self.0
    }
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore").field("prefix", &self.0.prefix).finish_non_exhaustive()
    }
}

impl SessionStore for RedisStore {
    async fn create(&self, key: &StoreKey, record: &Record) -> Result<CreateOutcome, StoreError> {
        let args = encode::record_args(record);
        let script = match record.index() {
            None => &script::CREATE,
            Some(index) if self.0.is_cluster() => {
                self.0.add_to_index(key, index.public_id(), record.indexed_fields()).await?;
                &script::CREATE
            }
            Some(_) => &script::CREATE_INDEXED,
        };
        let reply = self.0.run(script, key, &args, Retry::Never).await?;
        let Some(stored_at) = decode::parse_created(&reply)? else {
            return Ok(CreateOutcome::Taken);
        };
        // A session with more changes was not begun just now.
        if record.version() <= 1 {
            self.0.clocks.compare(record.created_at(), stored_at);
        }
        Ok(CreateOutcome::Stored)
    }

    fn load_cached(&self, key: &StoreKey) -> Option<Record> {
        self.0.cached(key)
    }

    async fn load(
        &self,
        key: &StoreKey,
        options: &LoadOptions<'_>,
    ) -> Result<Option<Record>, StoreError> {
        let Some(touch) = options.touch() else { return self.0.load(key, options.fields()).await };
        let args = encode::touch_args(&touch);
        self.0
            .load_with(key, async |name| {
                self.0.run_on(&script::LOAD_AND_TOUCH, &[name], &args, Retry::Idempotent).await
            })
            .await
    }

    async fn update(&self, key: &StoreKey, patch: &Patch) -> Result<UpdateOutcome, StoreError> {
        // What most updates do not need is boxed, because each future would have room for it.
        let Some((script, args)) = encode::change_args(patch) else {
            return Box::pin(self.0.update_general(key, patch)).await;
        };
        let turn = match update_turns::wait(&self.0, key, patch).await {
            ControlFlow::Break(updated) => return updated,
            ControlFlow::Continue(turn) => turn,
        };
        let updated = self.0.update_with(script, key, (patch, 1), &args).await;
        if let Some(turn) = turn {
            turn.end(&updated);
        }
        match updated? {
            Some(updated) => Ok(updated),
            None => Box::pin(self.0.update_indexed(key, patch)).await,
        }
    }

    async fn touch(&self, key: &StoreKey, expires_at: Timestamp) -> Result<bool, StoreError> {
        let _change = self.0.begin_change(key);
        let mut args = Args::default();
        args.push_number(expires_at.as_unix_ms());
        is_one(&self.0.run(&script::TOUCH, key, &args, Retry::Idempotent).await?)
    }

    async fn destroy(&self, key: &StoreKey) -> Result<bool, StoreError> {
        let _change = self.0.begin_change(key);
        if self.0.is_cluster() {
            return self.0.destroy_across_slots(key).await;
        }
        let mut args = Args::default();
        args.push(&self.0.prefix);
        match self.0.run(&script::DESTROY, key, &args, Retry::Idempotent).await? {
            Reply::List(successors) => {
                successors.iter().for_each(|name| self.0.uncache_successor(name));
                Ok(true)
            }
            reply => is_one(&reply),
        }
    }

    async fn rotate(
        &self,
        old: &StoreKey,
        new: &StoreKey,
        patch: &Patch,
        grace: Grace,
    ) -> Result<UpdateOutcome, StoreError> {
        let _changes = (self.0.begin_change(old), self.0.begin_change(new));
        if self.0.is_cluster() {
            return self.0.rotate_across_slots(old, new, patch, grace).await;
        }
        let args = encode::rotate_args(patch, grace, new);
        let keys = [&*self.0.session_key(old), &*self.0.session_key(new)];
        let rotated = self.0.run_until_known(&script::ROTATE, &keys, &args).await?;
        decode::parse_updated(rotated.reply)
    }
}
