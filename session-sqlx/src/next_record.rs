//! Decides what an update or a renewal stores, for stores that read the record first.

use actix_typed_session::{
    StoreError,
    store::{Patch, PatchError, Record, StoreKey, UpdateOutcome},
};

/// A store that can read a whole record.
pub(crate) trait Current {
    fn current(
        &self,
        key: &StoreKey,
    ) -> impl Future<Output = Result<Option<Record>, StoreError>> + Send;
}

/// What a call stores, or its outcome if that is nothing.
pub(crate) enum Next {
    Store { current: Record, record: Record },
    Outcome(UpdateOutcome),
}

/// What an update stores.
pub(crate) async fn updated(
    store: &impl Current,
    key: &StoreKey,
    patch: &Patch,
) -> Result<Next, StoreError> {
    let Some(current) = store.current(key).await? else {
        return Ok(Next::Outcome(UpdateOutcome::Gone));
    };
    Ok(match patch.apply_to(&current) {
        Ok(record) => Next::Store { current, record },
        Err(refused) => Next::Outcome(UpdateOutcome::refused(refused, current)),
    })
}

/// What a renewal stores. `known`: what the record under the old key may still be.
pub(crate) async fn renewed(
    store: &impl Current,
    (old, new): (&StoreKey, &StoreKey),
    patch: &Patch,
    known: Option<Record>,
) -> Result<Next, StoreError> {
    if let Some(current) = known
        && let Ok(record) = patch.apply_to(&current)
    {
        return Ok(Next::Store { current, record });
    }
    let Some(current) = store.current(old).await? else {
        return Ok(Next::Outcome(UpdateOutcome::Gone));
    };
    Ok(match patch.apply_to(&current) {
        Ok(record) => Next::Store { current, record },
        // Law 12: the outcome of an earlier, equal call may have been lost.
        Err(PatchError::Retired) => {
            let moved = store.current(new).await?;
            Next::Outcome(UpdateOutcome::repeated(&current, new, moved.as_ref()))
        }
        Err(refused) => Next::Outcome(UpdateOutcome::refused(refused, current)),
    })
}
