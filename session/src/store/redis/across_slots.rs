//! Changes of a session in a cluster, where a script reaches only the keys of one slot.
//!
//! A session, its successor and its index entries are in different slots, so a change takes several
//! steps. Their order is such that a crash between two of them leaves nothing that a repetition
//! does not find.

use serde_json::value::RawValue;

use super::{
    client::{Args, CallError, Reply, Retry},
    decode::{self, is_one},
    encode,
    keyspace::{Keyspace, KnownReply},
    layout,
    outage::store_error,
    script,
};
use crate::{
    error::StoreError,
    id::StoreKey,
    record::{Change, Grace, Index, Patch, PatchError, Record},
    store::session_store::UpdateOutcome,
};

/// How often a renewal starts again because other requests changed the session.
const ROTATE_ATTEMPTS: u32 = 100;

impl Keyspace {
    /// [`update`](crate::store::SessionStore::update) with a patch that changes indexed fields.
    ///
    /// The session is added to the index with the public id that its first patch gave to it. That
    /// patch may be this one. If this one makes the session last longer, it is added with the
    /// longer id for all its values.
    pub(super) async fn update_across_slots(
        &self,
        key: &StoreKey,
        patch: &Patch,
    ) -> Result<UpdateOutcome, StoreError> {
        let stored = match patch.reset_at() {
            None => self.load_index(key).await?,
            Some(_) => None,
        };
        if let (Some(stored), Some(index)) = (&stored, patch.index())
            && stored.and(index).public_id() != stored.public_id()
            && let Some(record) = self.load(key, None).await?
        {
            let id = stored.and(index).public_id();
            self.add_to_index(key, id, record.indexed_fields()).await?;
        }
        let index = match (&stored, patch.index()) {
            (Some(stored), Some(index)) => stored.and(index),
            (Some(index), None) | (None, Some(index)) => index.clone(),
            // The session has ended since a script saw that one of the fields is indexed.
            (None, None) => return Ok(UpdateOutcome::Gone),
        };
        let _change = self.begin_change(key);
        self.add_to_index(key, index.public_id(), indexed_values(patch, &index)).await?;
        let args = encode::patch_args(patch);
        let updated = self.run(&script::UPDATE_ALONE, key, &args, Retry::Never).await?;
        let updated = decode::parse_updated(updated)?;
        if stored.is_none()
            && let Some(first) = self.load_index(key).await?
            && first.public_id() != index.public_id()
        {
            self.add_to_index(key, first.public_id(), indexed_values(patch, &index)).await?;
        }
        Ok(updated)
    }

    /// The public id and the names of the indexed fields of a session.
    async fn load_index(&self, key: &StoreKey) -> Result<Option<Index>, StoreError> {
        let record = self.load(key, Some(&[])).await?;
        Ok(record.and_then(|record| record.index().cloned()))
    }

    /// Destroys a session and what it was renewed into.
    ///
    /// The successor goes before the record that leads to it, so that a crash between the two
    /// leaves nothing that a second call does not find.
    pub(super) async fn destroy_across_slots(&self, key: &StoreKey) -> Result<bool, StoreError> {
        let mut retired = Vec::new();
        let mut key = *key;
        let mut was_there = loop {
            let _change = self.begin_change(&key);
            match self.destroy_or_follow(&key).await? {
                // A chain that leads in a circle was not made by this store.
                DestroyStep::Successor(next) if next == key || retired.contains(&next) => {
                    return Err(invalid_successor());
                }
                DestroyStep::Successor(next) => {
                    retired.push(key);
                    key = next;
                }
                DestroyStep::Done { was_there } => break was_there,
            }
        };
        for key in retired.iter().rev() {
            let _change = self.begin_change(key);
            was_there |= self.delete(key).await?;
        }
        Ok(was_there)
    }

    /// Destroys a session, or finds its successor if it was renewed.
    async fn destroy_or_follow(&self, key: &StoreKey) -> Result<DestroyStep, StoreError> {
        match self.run(&script::DESTROY_ALONE, key, &Args::default(), Retry::Idempotent).await? {
            Reply::Text(name) => layout::parse_key_name(&name)
                .map(DestroyStep::Successor)
                .ok_or_else(invalid_successor),
            Reply::List(destroyed) => {
                let (id, values) = decode::parse_destroyed(&destroyed)?;
                let values = values.iter().map(|(name, json)| (&**name, &**json));
                // OK because a search checks each member that it finds.
                let _ = self.remove_from_index(key, id, values).await;
                Ok(DestroyStep::Done { was_there: true })
            }
            reply => Ok(DestroyStep::Done { was_there: is_one(&reply)? }),
        }
    }

    /// Stores the new record first. Then retires the old one, if it is still what the new one was
    /// made of.
    ///
    /// No client has the new id before that, so what a crash leaves behind expires unused.
    pub(super) async fn rotate_across_slots(
        &self,
        old: &StoreKey,
        new: &StoreKey,
        patch: &Patch,
        grace: Grace,
    ) -> Result<UpdateOutcome, StoreError> {
        let Some(mut current) = self.record_to_rotate(old, patch).await? else {
            return Ok(UpdateOutcome::Gone);
        };
        let mut is_stored = false;
        for _ in 0..ROTATE_ATTEMPTS {
            let moved = match patch.apply_to(&current) {
                Ok(moved) => moved,
                Err(PatchError::Retired) if !is_stored => {
                    return self.repeated(&current, new).await;
                }
                Err(refused) => {
                    if is_stored {
                        self.delete(new).await?;
                    }
                    return Ok(UpdateOutcome::refused(refused, current));
                }
            };
            match self.store_moved(new, &moved, is_stored).await? {
                StoreStep::Stored => is_stored = true,
                StoreStep::Taken => return self.new_key_taken(old, new).await,
                StoreStep::Unknown => return Ok(UpdateOutcome::Taken),
            }
            match self.retire(old, &current, new, grace).await? {
                RetireStep::Retired => {
                    return Ok(UpdateOutcome::Applied { version: moved.version() });
                }
                RetireStep::Changed(record) => current = record,
                RetireStep::Gone => {
                    self.delete(new).await?;
                    return Ok(UpdateOutcome::Gone);
                }
            }
        }
        self.delete(new).await?;
        Err(StoreError::unavailable("other requests changed the session again and again"))
    }

    /// The snapshot of the request if it is whole, because the version is checked later; otherwise
    /// the stored record.
    async fn record_to_rotate(
        &self,
        old: &StoreKey,
        patch: &Patch,
    ) -> Result<Option<Record>, StoreError> {
        let is_usable =
            |snapshot: &&Record| snapshot.is_whole() && patch.apply_to(snapshot).is_ok();
        match patch.snapshot().filter(is_usable) {
            Some(snapshot) => Ok(Some(snapshot.clone())),
            None => self.load(old, None).await,
        }
    }

    /// Stores a renewed session under its new key.
    ///
    /// If the reply is lost, this is not sent again: the first attempt could arrive late, when the
    /// session has already ended, and bring it back. The caller tries another id instead.
    async fn store_moved(
        &self,
        new: &StoreKey,
        moved: &Record,
        is_stored: bool,
    ) -> Result<StoreStep, StoreError> {
        if let Some(index) = moved.index() {
            self.add_to_index(new, index.public_id(), moved.indexed_fields()).await?;
        }
        let script = if is_stored { &script::REPLACE } else { &script::CREATE };
        let (name, args) = (self.session_key(new), encode::record_args(moved));
        match self.try_run_on(script, &[&name], &args, Retry::Never).await {
            Ok(stored) if is_one(&stored.reply)? => Ok(StoreStep::Stored),
            Ok(_) => Ok(StoreStep::Taken),
            Err(CallError::NoReply(error)) => match self.delete(new).await {
                Ok(_) => Ok(StoreStep::Unknown),
                Err(_) => Err(store_error(CallError::NoReply(error))),
            },
            Err(error) => Err(store_error(error)),
        }
    }

    /// Retires the old record if it still has the version that was moved.
    async fn retire(
        &self,
        old: &StoreKey,
        moved: &Record,
        new: &StoreKey,
        grace: Grace,
    ) -> Result<RetireStep, StoreError> {
        let args = encode::retire_args(moved.version(), grace, new);
        let retired = self.run_until_known(&script::RETIRE, &[&self.session_key(old)], &args).await;
        if retired.is_err() {
            // The client keeps the old id, so the new record is not needed, whatever became of
            // the old one. OK because without this the new record expires.
            let _ = self.delete(new).await;
        }
        let KnownReply { reply, is_repeated } = retired?;
        match reply {
            // An earlier call has retired it. That the new key was free means that the session has
            // ended since.
            Reply::Int(2) if !is_repeated => Ok(RetireStep::Gone),
            Reply::Int(_) => {
                if let Some(index) = moved.index() {
                    // OK because a search checks each member that it finds.
                    let _ = self
                        .remove_from_index(old, index.public_id(), moved.indexed_fields())
                        .await;
                }
                Ok(RetireStep::Retired)
            }
            current => Ok(match decode::parse_record(current)? {
                Some(current) => RetireStep::Changed(current),
                None => RetireStep::Gone,
            }),
        }
    }

    /// The outcome when the new key is in use. That the old session is gone takes precedence, and
    /// that this call repeats an earlier one.
    async fn new_key_taken(
        &self,
        old: &StoreKey,
        new: &StoreKey,
    ) -> Result<UpdateOutcome, StoreError> {
        match self.load(old, None).await? {
            None => Ok(UpdateOutcome::Gone),
            Some(retired) if retired.is_retired() => self.repeated(&retired, new).await,
            Some(_) => Ok(UpdateOutcome::Taken),
        }
    }

    /// The outcome when the old key has a retired record.
    async fn repeated(
        &self,
        retired: &Record,
        new: &StoreKey,
    ) -> Result<UpdateOutcome, StoreError> {
        let moved = match retired.was_renewed_into(new) {
            true => self.load(new, None).await?,
            false => None,
        };
        Ok(UpdateOutcome::repeated(retired, new, moved.as_ref()))
    }
}

/// What destroying one key did.
enum DestroyStep {
    /// Nothing: the session was renewed into this one, which must be destroyed first.
    Successor(StoreKey),
    Done {
        was_there: bool,
    },
}

/// What storing a renewed session did.
enum StoreStep {
    Stored,
    /// Nothing: the key is in use.
    Taken,
    /// The reply was lost. The key was deleted, but the session may still arrive there.
    Unknown,
}

/// What retiring the old record did.
enum RetireStep {
    Retired,
    /// Nothing: the session has changed, and this is the current record.
    Changed(Record),
    /// Nothing: the session is gone.
    Gone,
}

fn invalid_successor() -> StoreError {
    StoreError::damaged("the successor is not a valid key")
}

/// The new values of indexed fields.
fn indexed_values<'a>(
    patch: &'a Patch,
    index: &'a Index,
) -> impl Iterator<Item = (&'a str, &'a RawValue)> {
    patch.changes().filter_map(|(name, change)| match change {
        Change::Set(json) if json.get() != "null" && index.names().any(|it| it == name) => {
            Some((name, &**json))
        }
        _ => None,
    })
}
