//! A store call under way: what a plan needs done, and what came of it.

use std::{
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use futures_util::{
    TryFutureExt as _,
    future::{self, BoxFuture, FutureExt as _},
};
use tokio::task::JoinHandle;

use super::{
    handle::Fate,
    merge::Merger,
    plan::{Call, CookieAction, Intent, Plan},
};
use crate::{
    error::{SessionError, StoreError},
    id::{SessionId, StoreKey},
    record::{Patch, Record},
    store::{Created, ErasedStore, Updated},
    time::Timestamp,
};

/// A store call under way, and what it was made for.
pub(crate) struct UnderWay {
    pub(crate) transaction: Transaction,
    pub(crate) answer: RunToEnd<Result<Effect, SessionError>>,
}

pub(crate) struct Transaction {
    pub(crate) cookie: CookieAction,
    /// The request's changes when the call was made.
    pub(crate) patch: Patch,
    pub(crate) intent: Intent,
}

/// A store call that is to be made, or is under way.
pub(crate) type StoreCall = BoxFuture<'static, Result<Effect, SessionError>>;

/// What a store call has done.
pub(crate) enum Effect {
    Nothing,
    IdTaken,
    /// The session has ended, as the request wanted.
    Ended,
    /// The session had ended before; the changes are lost.
    Gone,
    /// The session had ended before, and there were no changes.
    GoneUntouched,
    /// Nothing is written through an old id.
    LostChanges,
    Began {
        id: SessionId,
        key: StoreKey,
        record: Record,
    },
    Updated {
        patch: Patch,
    },
    Renewed {
        id: SessionId,
        key: StoreKey,
        patch: Patch,
    },
    Touched(Timestamp),
}

pub(crate) enum Settled {
    /// No call was under way.
    Nothing,
    Fate(Fate),
    /// The new id is another session's; nothing was done.
    IdTaken,
}

impl Effect {
    /// What a call comes to that the store [answers at once](ErasedStore::answers_now).
    pub(crate) fn now(call: Call, store: &dyn ErasedStore) -> Result<Self, SessionError> {
        match call {
            Call::Update(key, patch) => {
                let answer = store.update_now(&key, &patch).ok_or_else(|| no_answer("update"))?;
                Self::updated(answer?, patch)
            }
            _ => Err(no_answer("a call that takes time").into()),
        }
    }

    fn updated(answer: Updated, patch: Patch) -> Result<Self, SessionError> {
        match answer {
            Updated::Applied { .. } => Ok(Self::Updated { patch }),
            Updated::Gone => Ok(Self::Gone),
            Updated::Conflict(_) | Updated::Taken => Err(no_answer("update").into()),
        }
    }

    /// The store call of a plan. The future owns all it needs, so that it can outlive the request. A new id of `None` is
    /// one that must not be used, as if it were taken.
    pub(crate) fn of(
        plan: Plan,
        store: Arc<dyn ErasedStore>,
        merger: Option<Merger>,
        new_id: impl FnOnce() -> Result<Option<SessionId>, SessionError>,
    ) -> Result<StoreCall, SessionError> {
        let new = || new_id().map(|id| id.map(|id| (StoreKey::from(&id), id)));
        let taken = || Ok(future::ready(Ok(Self::IdTaken)).boxed());
        Ok(match plan.call {
            Call::Nothing => {
                let effect = if plan.loses_changes { Self::LostChanges } else { Self::Nothing };
                future::ready(Ok(effect)).boxed()
            }
            Call::Create(record) => {
                let Some((key, id)) = new()? else { return taken() };
                Self::begin(store, id, key, record).boxed()
            }
            Call::Update(key, patch) => async move {
                let call = |patch| Arc::clone(&store).update(key, patch);
                Self::updated(Merger::write(merger, &key, &patch, call).await?, patch)
            }
            .boxed(),
            Call::Touch(key, expires_at) => async move {
                match store.touch(key, expires_at).await? {
                    true => Ok(Self::Touched(expires_at)),
                    false => Ok(Self::GoneUntouched),
                }
            }
            .boxed(),
            Call::Destroy(key) => {
                store.destroy(key).map_ok(|_| Self::Ended).map_err(SessionError::from).boxed()
            }
            Call::DestroyThenCreate(old, record) => {
                let new = new()?;
                async move {
                    Arc::clone(&store).destroy(old).await?;
                    match new {
                        Some((key, id)) => Self::begin(store, id, key, record).await,
                        None => Ok(Self::IdTaken),
                    }
                }
                .boxed()
            }
            Call::Rotate { key: old, patch, grace, anew } => {
                let Some((key, id)) = new()? else { return taken() };
                async move {
                    let call = |patch| Arc::clone(&store).rotate(old, key, patch, grace);
                    match (Merger::write(merger, &old, &patch, call).await?, anew) {
                        (Updated::Applied { .. }, _) => Ok(Self::Renewed { id, key, patch }),
                        (Updated::Taken, _) => Ok(Self::IdTaken),
                        (Updated::Gone, None) => Ok(Self::Gone),
                        // The new session takes nothing from the old one, so it begins all the same.
                        (Updated::Gone, Some(anew)) => Self::begin(store, id, key, anew).await,
                        (Updated::Conflict(_), _) => Err(no_answer("rotate").into()),
                    }
                }
                .boxed()
            }
        })
    }

    async fn begin(
        store: Arc<dyn ErasedStore>,
        id: SessionId,
        key: StoreKey,
        record: Record,
    ) -> Result<Self, SessionError> {
        match store.create(key, record.clone()).await? {
            Created::Stored => Ok(Self::Began { id, key, record }),
            Created::Taken => Ok(Self::IdTaken),
        }
    }
}

/// The store breaks its laws.
pub(crate) fn no_answer(call: &str) -> StoreError {
    StoreError::internal(format!("the store gave `{call}` an answer that has no meaning for it"))
}

/// A future that runs to its end once it was polled, even if whoever polled it is gone: a store call that
/// was sent must not be cut off because the client has gone away.
pub(crate) enum RunToEnd<T> {
    /// Polled by the request.
    Here(BoxFuture<'static, T>),
    /// On its own.
    Spawned(JoinHandle<T>),
}

impl<T: Send + 'static> RunToEnd<Result<T, SessionError>> {
    pub(crate) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<T, SessionError>> {
        match self {
            Self::Here(call) => call.as_mut().poll(context),
            Self::Spawned(task) => match Pin::new(task).poll(context) {
                Poll::Ready(Ok(answer)) => Poll::Ready(answer),
                Poll::Ready(Err(error)) => Poll::Ready(Err(StoreError::internal(error).into())),
                Poll::Pending => Poll::Pending,
            },
        }
    }

    /// Lets it go on by itself.
    pub(crate) fn leave(&mut self) {
        if let Self::Here(call) = self
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            let call = mem::replace(call, future::pending().boxed());
            *self = Self::Spawned(runtime.spawn(call));
        }
    }
}
