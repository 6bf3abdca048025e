//! Makes the store call of a plan.

use std::sync::Arc;

use futures_util::future::Either;

use super::{
    merge::Merger,
    outcome::StoreOutcome,
    plan::{Call, IfGone},
    report::Report,
};
use crate::{
    error::{SessionError, StoreError},
    id::{SessionId, StoreKey},
    record::{ExpiryChange, Patch, Record},
    store::{CreateOutcome, ErasedStore, LoadOptions, UpdateOutcome, not_immediate},
};

/// What a store call of a plan needs. It owns all of it, so that the call can outlive the request.
pub(crate) struct StoreCaller {
    pub(crate) store: Arc<dyn ErasedStore>,
    /// The sessions that are destroyed with the one that the call destroys.
    pub(crate) others: Vec<StoreKey>,
    pub(crate) merger: Option<Merger>,
    /// The id for a session that is created or renewed. `None` counts as taken.
    pub(crate) new_id: Option<SessionId>,
    /// Reports what the call has done. `None`: that is not wanted.
    pub(crate) report: Option<Report>,
}

impl StoreCaller {
    /// Makes a store call of a plan.
    pub(crate) async fn carry_out(self, call: Call) -> Result<StoreOutcome, SessionError> {
        let Self { store, others, merger, new_id, report } = self;
        let new = new_id.map(|id| (StoreKey::from(&id), id));
        let report = report.as_ref();
        match call {
            Call::Create(record) => create(store, new, record, report).await,
            Call::Update(key, patch) => {
                let expiry = patch.expiry();
                let updated = match merger {
                    None => store.update(key, patch).await?,
                    Some(merger) => {
                        let call = |patch| Arc::clone(&store).update(key, patch);
                        merger.write(&key, &patch, call).await?
                    }
                };
                updated_outcome(&updated, expiry)
            }
            Call::Touch(key, expires_at) => match store.touch(key, expires_at).await? {
                true => Ok(StoreOutcome::Touched(expires_at)),
                false => Ok(StoreOutcome::GoneUnchanged),
            },
            Call::Destroy(key) => {
                destroy(&store, key, others, report).await?;
                Ok(StoreOutcome::Destroyed)
            }
            Call::DestroyThenCreate(old, record) => {
                destroy(&store, old, others, report).await?;
                create(store, new, record, report).await
            }
            Call::CreateIfRenewed(old, record) => {
                create_if_renewed(store, &old, new, record, report).await
            }
            Call::Rotate { key: old, patch, grace, if_gone } => {
                let Some((key, id)) = new else { return Ok(StoreOutcome::IdTaken) };
                let call = |patch| Arc::clone(&store).rotate(old, key, patch, grace);
                let updated = match merger {
                    None => call(patch.clone()).await?,
                    Some(merger) => merger.write(&old, &patch, call).await?,
                };
                match (updated, if_gone) {
                    (UpdateOutcome::Applied { .. }, _) => {
                        report.inspect(|report| report.renewed(&patch));
                        Ok(StoreOutcome::Renewed { id, key, patch })
                    }
                    (UpdateOutcome::Taken, _) => Ok(StoreOutcome::IdTaken),
                    (UpdateOutcome::Gone, IfGone::LoseChanges) => Ok(StoreOutcome::Gone),
                    (UpdateOutcome::Gone, IfGone::Create(record)) => {
                        create(store, Some((key, id)), record, report).await
                    }
                    (UpdateOutcome::Gone, IfGone::CreateIfRenewed(record)) => {
                        create_if_renewed(store, &old, Some((key, id)), record, report).await
                    }
                    (UpdateOutcome::Conflict(_), _) => Err(broken_law("rotate").into()),
                }
            }
        }
    }
}

async fn destroy(
    store: &Arc<dyn ErasedStore>,
    key: StoreKey,
    others: Vec<StoreKey>,
    report: Option<&Report>,
) -> Result<(), StoreError> {
    if Arc::clone(store).destroy(key).await? {
        report.inspect(|report| report.destroyed());
    }
    if others.is_empty() {
        return Ok(());
    }
    // In a box, so that the usual way does not carry what this seldom one needs.
    Box::pin(async {
        for other in others {
            if Arc::clone(store).destroy(other).await? {
                report.inspect(|report| report.other_destroyed());
            }
        }
        Ok(())
    })
    .await
}

/// Updates a session in an immediate store.
#[inline]
pub(crate) fn update_at_once(
    store: Arc<dyn ErasedStore>,
    key: StoreKey,
    patch: Patch,
) -> Result<StoreOutcome, SessionError> {
    let expiry = patch.expiry();
    match store.update(key, patch) {
        Either::Left(updated) => updated_outcome(&updated.into_inner()?, expiry),
        Either::Right(_) => Err(not_immediate().into()),
    }
}

#[inline]
fn updated_outcome(
    updated: &UpdateOutcome,
    expiry: Option<ExpiryChange>,
) -> Result<StoreOutcome, SessionError> {
    match updated {
        UpdateOutcome::Applied { .. } => Ok(StoreOutcome::Updated(expiry)),
        UpdateOutcome::Gone => Ok(StoreOutcome::Gone),
        UpdateOutcome::Conflict(_) | UpdateOutcome::Taken => Err(broken_law("update").into()),
    }
}

async fn create(
    store: Arc<dyn ErasedStore>,
    new: Option<(StoreKey, SessionId)>,
    record: Record,
    report: Option<&Report>,
) -> Result<StoreOutcome, SessionError> {
    let Some((key, id)) = new else { return Ok(StoreOutcome::IdTaken) };
    match store.create(key, record.clone()).await? {
        CreateOutcome::Stored => {
            report.inspect(|report| report.created(&record));
            Ok(StoreOutcome::Created { id, key, record })
        }
        CreateOutcome::Taken => Ok(StoreOutcome::IdTaken),
    }
}

/// Begins a session in place of one that another request has renewed. A destroyed session stays
/// destroyed.
async fn create_if_renewed(
    store: Arc<dyn ErasedStore>,
    old: &StoreKey,
    new: Option<(StoreKey, SessionId)>,
    record: Record,
    report: Option<&Report>,
) -> Result<StoreOutcome, SessionError> {
    match Arc::clone(&store).load(*old, LoadOptions::default()).await? {
        Some(old) if old.is_retired() => create(store, new, record, report).await,
        _ => Ok(StoreOutcome::Gone),
    }
}

/// The error of a store that breaks its laws.
pub(crate) fn broken_law(call: &str) -> StoreError {
    StoreError::internal(format!(
        "the store's answer to `{call}` is not one that this call can have"
    ))
}
