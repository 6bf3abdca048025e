//! Commands and scripts on the keys of sessions, and the local cache beside them.

use std::sync::Arc;

use super::{
    client::{Args, CallError, CallReply, Command, Reply, Retry, Topology, WeakConnection},
    clock_check::ClockCheck,
    decode, encode, layout,
    local_cache::{self, RedisCache},
    outage::store_error,
    script::{self, Script},
    update_turns::{SendUpdates, UpdateTurns},
};
use crate::{
    error::StoreError,
    id::StoreKey,
    record::{Patch, Record},
    store::{local_cache::PendingChange, session_store::UpdateOutcome},
};

/// The keys of the sessions in Redis.
pub(super) struct Keyspace {
    pub(super) topology: Topology,
    pub(super) prefix: String,
    /// Shared with the connections, which report changes to it.
    pub(super) cache: Option<Arc<RedisCache>>,
    pub(super) clocks: ClockCheck,
    pub(super) turns: UpdateTurns,
}

/// The reply to a script that may have run twice.
pub(super) struct KnownReply {
    pub(super) reply: Reply,
    /// Whether the reply to the first attempt was lost.
    pub(super) is_repeated: bool,
}

impl Keyspace {
    /// Whether keys are spread over the nodes of a cluster.
    pub(super) fn is_cluster(&self) -> bool {
        matches!(self.topology, Topology::Cluster(_))
    }

    /// The Redis key of a session.
    pub(super) fn session_key(&self, key: &StoreKey) -> String {
        layout::session_key(&self.prefix, key)
    }

    /// Loads a session. These fields are enough; all of them are loaded if there is a local cache,
    /// because a copy serves every struct.
    pub(super) async fn load(
        &self,
        key: &StoreKey,
        fields: Option<&[&str]>,
    ) -> Result<Option<Record>, StoreError> {
        if let Some(fields) = fields
            && self.cache.is_none()
        {
            let key = self.session_key(key);
            let command = Command::new("HMGET").arg(&key).args(&encode::field_names(fields));
            let reply = self.call(&key, &command, Retry::Idempotent).await?.reply;
            return decode::parse_part(reply, fields);
        }
        self.load_with(key, async |name| {
            self.call(name, &Command::new("HGETALL").arg(name), Retry::Idempotent).await
        })
        .await
    }

    /// Loads a session with this call, and caches it.
    pub(super) async fn load_with(
        &self,
        key: &StoreKey,
        call: impl AsyncFnOnce(&str) -> Result<CallReply, StoreError>,
    ) -> Result<Option<Record>, StoreError> {
        let reservation = self.cache.as_ref().map(|cache| (cache, cache.reserve(key)));
        let CallReply { reply, connection } = call(&self.session_key(key)).await?;
        let record = decode::parse_record(reply)?;
        if let (Some((cache, reservation)), Some(record)) = (reservation, &record) {
            cache.insert_if_unchanged(key, reservation, record, connection.downgrade());
        }
        Ok(record)
    }

    /// Updates a session with this script and a patch that stands for `count` patches. `None`: the
    /// session's index entries must change too, and nothing was done.
    pub(super) async fn update_with(
        &self,
        script: &Script,
        key: &StoreKey,
        (patch, count): (&Patch, u64),
        args: &Args,
    ) -> Result<Option<UpdateOutcome>, StoreError> {
        let name = self.session_key(key);
        let change = self.begin_change(key);
        // The second name makes the script read the key, so that the server reports its next
        // change.
        let keys = if change.is_some() { &[&*name, &*name][..] } else { &[&*name] };
        let CallReply { reply, connection } = self.run_on(script, keys, args, Retry::Never).await?;
        if let Reply::Int(-2 | -4) = reply {
            return Ok(None);
        }
        let updated = decode::parse_updated(reply)?;
        if let (Some(change), UpdateOutcome::Applied { version }) = (change, &updated) {
            local_cache::applied(change, (patch, count), *version, &connection.downgrade());
        }
        Ok(Some(updated))
    }

    /// Updates a session with any patch.
    pub(super) async fn update_general(
        &self,
        key: &StoreKey,
        patch: &Patch,
    ) -> Result<UpdateOutcome, StoreError> {
        if patch.index().is_none() {
            let args = encode::patch_args(patch);
            let updated = self.update_with(&script::UPDATE, key, (patch, 1), &args).await?;
            if let Some(updated) = updated {
                return Ok(updated);
            }
        }
        self.update_indexed(key, patch).await
    }

    /// Updates a session whose index entries must change too.
    pub(super) async fn update_indexed(
        &self,
        key: &StoreKey,
        patch: &Patch,
    ) -> Result<UpdateOutcome, StoreError> {
        if self.is_cluster() {
            return self.update_across_slots(key, patch).await;
        }
        let args = encode::patch_args(patch);
        let updated = self.update_with(&script::UPDATE_INDEXED, key, (patch, 1), &args).await?;
        updated.ok_or_else(decode::unexpected)
    }

    /// Deletes a key. Returns whether it was there.
    pub(super) async fn delete(&self, key: &StoreKey) -> Result<bool, StoreError> {
        let key = self.session_key(key);
        let command = Command::new("DEL").arg(&key);
        decode::is_one(&self.call(&key, &command, Retry::Idempotent).await?.reply)
    }

    /// The copy of a session in the local cache.
    pub(super) fn cached(&self, key: &StoreKey) -> Option<Record> {
        self.cache.as_ref()?.get(key)
    }

    /// Drops the copy of a successor, which a script has destroyed.
    pub(super) fn uncache_successor(&self, name: &Reply) {
        let key = name.as_str().and_then(|name| layout::parse_key_name(name.as_bytes()));
        if let (Some(cache), Some(key)) = (&self.cache, key) {
            cache.remove(&key);
        }
    }

    /// Hold the result while a session is changed.
    pub(super) fn begin_change(&self, key: &StoreKey) -> Option<PendingChange<'_, WeakConnection>> {
        self.cache.as_ref().map(|cache| cache.begin_change(key))
    }

    /// Runs a script on the key of one session.
    pub(super) async fn run(
        &self,
        script: &Script,
        key: &StoreKey,
        args: &Args,
        retry: Retry,
    ) -> Result<Reply, StoreError> {
        Ok(self.run_on(script, &[&self.session_key(key)], args, retry).await?.reply)
    }

    /// Runs a script on keys. The first one decides which server runs it.
    pub(super) async fn run_on(
        &self,
        script: &Script,
        keys: &[&str],
        args: &Args,
        retry: Retry,
    ) -> Result<CallReply, StoreError> {
        self.try_run_on(script, keys, args, retry).await.map_err(store_error)
    }

    /// Runs a script that does nothing if it is repeated, and that a visitor would lose the session
    /// without. So a reply that was lost or is late is asked for once more, even though that can
    /// take a second wait.
    pub(super) async fn run_until_known(
        &self,
        script: &Script,
        keys: &[&str],
        args: &Args,
    ) -> Result<KnownReply, StoreError> {
        match self.try_run_on(script, keys, args, Retry::Never).await {
            Err(CallError::NoReply(_)) => {
                let CallReply { reply, .. } =
                    self.run_on(script, keys, args, Retry::Idempotent).await?;
                Ok(KnownReply { reply, is_repeated: true })
            }
            first => {
                let CallReply { reply, .. } = first.map_err(store_error)?;
                Ok(KnownReply { reply, is_repeated: false })
            }
        }
    }

    /// As [`run_on`](Self::run_on), with the error of the call.
    pub(super) async fn try_run_on(
        &self,
        script: &Script,
        keys: &[&str],
        args: &Args,
        retry: Retry,
    ) -> Result<CallReply, CallError> {
        let key = keys[0].as_bytes();
        match self.topology.call(key, &script.by_hash(keys, args), retry).await {
            Err(error) if error.is_unknown_script() => {
                self.topology.call(key, &script.by_text(keys, args), retry).await
            }
            reply => reply,
        }
    }

    /// Sends a command about a key.
    pub(super) async fn call(
        &self,
        key: &str,
        command: &Command,
        retry: Retry,
    ) -> Result<CallReply, StoreError> {
        self.topology.call(key.as_bytes(), command, retry).await.map_err(store_error)
    }
}

impl SendUpdates for Keyspace {
    fn turns(&self) -> &UpdateTurns {
        &self.turns
    }

    async fn send(
        &self,
        key: &StoreKey,
        patch: &Patch,
        count: u64,
    ) -> Result<Option<UpdateOutcome>, StoreError> {
        match encode::combined_args(patch, count) {
            Some(args) => self.update_with(&script::CHANGE, key, (patch, count), &args).await,
            None => Ok(None),
        }
    }
}
