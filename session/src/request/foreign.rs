//! The session of another program that a request brings.

use std::{cell::Cell, sync::Arc};

use tracing::warn;

use super::outcome::StoreOutcome;
use crate::{
    error::{Chain, SessionError},
    import::{ErasedImporter, ForeignId, Import},
};

/// The session of another program that a request brings.
pub(super) struct Foreign {
    pub(super) id: ForeignId,
    pub(super) importer: Arc<dyn ErasedImporter>,
    pub(super) keeps_old: bool,
    /// Whether the client does not need its cookie any more.
    pub(super) is_over: Cell<bool>,
}

impl Foreign {
    pub(super) fn new(id: ForeignId, import: &Import) -> Self {
        Self {
            id,
            importer: Arc::clone(&import.importer),
            keeps_old: import.keeps_old,
            is_over: Cell::new(false),
        }
    }

    /// The client has a session here.
    pub(super) fn goes_on_as_ours(&self) {
        self.is_over.set(self.is_over.get() || !self.keeps_old);
    }

    /// What deletes the session from the other program's store.
    pub(super) fn forget(&self) -> Forget {
        Forget { importer: Arc::clone(&self.importer), id: self.id.clone() }
    }
}

/// Deletes a session from the other program's store.
pub(super) struct Forget {
    importer: Arc<dyn ErasedImporter>,
    id: ForeignId,
}

impl Forget {
    /// Deletes the session after a call has succeeded.
    pub(super) async fn after(
        self,
        call: impl Future<Output = Result<StoreOutcome, SessionError>>,
    ) -> Result<StoreOutcome, SessionError> {
        let outcome = call.await?;
        self.now().await;
        Ok(outcome)
    }

    /// Deletes the session.
    pub(super) async fn now(self) {
        if let Err(error) = self.importer.forget(self.id).await {
            warn!(
                event = "foreign_session_left",
                "the session of another program is still there: {}",
                Chain(&error)
            );
        }
    }
}
