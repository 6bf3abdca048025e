//! Makes the store call of a plan.

use std::sync::Arc;

use futures_util::future::Either;

use super::{
    merge::Merger,
    outcome::StoreOutcome,
    plan::{Call, IfGone},
};
use crate::{
    error::{SessionError, StoreError},
    id::{SessionId, StoreKey},
    record::{ExpiryChange, Patch, Record},
    store::{CreateOutcome, ErasedStore, LoadOptions, UpdateOutcome, not_immediate},
};

/// Makes a store call of a plan. The future owns all it needs, so that it can outlive the request.
/// `others` are destroyed with the session that the call destroys. `new_id` is the id for a session
/// that is created or renewed; `None` counts as taken.
pub(crate) async fn carry_out(
    call: Call,
    others: Vec<StoreKey>,
    store: Arc<dyn ErasedStore>,
    merger: Option<Merger>,
    new_id: Option<SessionId>,
) -> Result<StoreOutcome, SessionError> {
    let new = new_id.map(|id| (StoreKey::from(&id), id));
    match call {
        Call::Create(record) => create(store, new, record).await,
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
            destroy(&store, key, others).await?;
            Ok(StoreOutcome::Destroyed)
        }
        Call::DestroyThenCreate(old, record) => {
            destroy(&store, old, others).await?;
            create(store, new, record).await
        }
        Call::CreateIfRenewed(old, record) => create_if_renewed(store, &old, new, record).await,
        Call::Rotate { key: old, patch, grace, if_gone } => {
            let Some((key, id)) = new else { return Ok(StoreOutcome::IdTaken) };
            let call = |patch| Arc::clone(&store).rotate(old, key, patch, grace);
            let updated = match merger {
                None => call(patch.clone()).await?,
                Some(merger) => merger.write(&old, &patch, call).await?,
            };
            match (updated, if_gone) {
                (UpdateOutcome::Applied { .. }, _) => Ok(StoreOutcome::Renewed { id, key, patch }),
                (UpdateOutcome::Taken, _) => Ok(StoreOutcome::IdTaken),
                (UpdateOutcome::Gone, IfGone::LoseChanges) => Ok(StoreOutcome::Gone),
                (UpdateOutcome::Gone, IfGone::Create(record)) => {
                    create(store, Some((key, id)), record).await
                }
                (UpdateOutcome::Gone, IfGone::CreateIfRenewed(record)) => {
                    create_if_renewed(store, &old, Some((key, id)), record).await
                }
                (UpdateOutcome::Conflict(_), _) => Err(broken_law("rotate").into()),
            }
        }
    }
}

async fn destroy(
    store: &Arc<dyn ErasedStore>,
    key: StoreKey,
    others: Vec<StoreKey>,
) -> Result<(), StoreError> {
    Arc::clone(store).destroy(key).await?;
    if others.is_empty() {
        return Ok(());
    }
    // In a box, so that the usual way does not carry what this seldom one needs.
    Box::pin(async {
        for other in others {
            Arc::clone(store).destroy(other).await?;
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
) -> Result<StoreOutcome, SessionError> {
    let Some((key, id)) = new else { return Ok(StoreOutcome::IdTaken) };
    match store.create(key, record.clone()).await? {
        CreateOutcome::Stored => Ok(StoreOutcome::Created { id, key, record }),
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
) -> Result<StoreOutcome, SessionError> {
    match Arc::clone(&store).load(*old, LoadOptions::default()).await? {
        Some(old) if old.is_retired() => create(store, new, record).await,
        _ => Ok(StoreOutcome::Gone),
    }
}

/// The error of a store that breaks its laws.
pub(crate) fn broken_law(call: &str) -> StoreError {
    StoreError::internal(format!(
        "the store's answer to `{call}` is not one that this call can have"
    ))
}
