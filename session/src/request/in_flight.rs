//! A store call that is being made, and the changes that it saves.

use std::{
    mem,
    pin::Pin,
    task::{Context, Poll},
};

use futures_util::future::{self, BoxFuture, FutureExt as _};
use tokio::task::JoinHandle;

use super::{
    changes::Changes,
    outcome::{CookieAction, StoreOutcome},
};
use crate::error::{SessionError, StoreError};

/// Changes that are being saved. They are a layer between what is stored and later changes.
pub(crate) struct InFlight {
    pub(crate) changes: Changes,
    /// What the client gets once the call has succeeded.
    pub(crate) cookie: CookieAction,
    pub(crate) call: StoreCall,
}

type CallResult = Result<StoreOutcome, SessionError>;

/// A store call that runs to its end once it was polled, even if the future that polls it is
/// dropped: a call that was sent must not be cut off because the client has gone away.
pub(crate) enum StoreCall {
    /// Polled by the request.
    Attached(BoxFuture<'static, CallResult>),
    /// Polled by the runtime.
    Spawned(JoinHandle<CallResult>),
}

impl StoreCall {
    pub(crate) fn new(call: impl Future<Output = CallResult> + Send + 'static) -> Self {
        Self::Attached(call.boxed())
    }

    pub(crate) fn poll(&mut self, context: &mut Context<'_>) -> Poll<CallResult> {
        match self {
            Self::Attached(call) => call.as_mut().poll(context),
            Self::Spawned(task) => match Pin::new(task).poll(context) {
                Poll::Ready(Ok(result)) => Poll::Ready(result),
                Poll::Ready(Err(error)) => Poll::Ready(Err(StoreError::internal(error).into())),
                Poll::Pending => Poll::Pending,
            },
        }
    }

    /// Lets the call go on without the request.
    pub(crate) fn detach(&mut self) {
        if let Self::Attached(call) = self
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            let call = mem::replace(call, future::pending().boxed());
            *self = Self::Spawned(runtime.spawn(call));
        }
    }
}
