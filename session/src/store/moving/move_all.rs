//! Moves the sessions that no request moves.

use std::{num::NonZeroU32, time::Duration};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use tokio::time::{Instant, sleep_until};

use super::{
    stage::{self, InOld},
    store::MovingStore,
};
use crate::{
    error::StoreError,
    id::StoreKey,
    store::{copying::Copied, listing::ListAll, session_store::SessionStore},
};

/// How many records a page has.
const PAGE: usize = 500;
/// How many sessions move at the same time.
const AT_ONCE: usize = 16;

impl<Old: ListAll, New: SessionStore> MovingStore<Old, New> {
    /// Sets how many sessions [`move_all`](Self::move_all) moves in a second at most, so that it
    /// leaves the stores free for requests. Defaults to no limit.
    ///
    /// # Examples
    /// ```
    /// use actix_typed_session::{MemoryStore, store::MovingStore};
    /// use std::num::NonZeroU32;
    ///
    /// let store = MovingStore::moving(MemoryStore::new(), MemoryStore::new());
    /// let slowly = store.sessions_per_second(NonZeroU32::new(200));
    /// ```
    #[must_use = "it returns a new handle and does not change this one"]
    pub fn sessions_per_second(self, limit: Option<NonZeroU32>) -> Self {
        Self { per_second: limit.map(NonZeroU32::get), ..self }
    }

    /// Moves all sessions that are still in the old store, while requests are served.
    ///
    /// Call it when every process has [`moving`](Self::moving). It returns when it has found
    /// nothing more to move. Then the old store has only ids that were renewed in the seconds
    /// before, and sessions that cannot be read, which the result counts. Up to 16 sessions move
    /// at the same time.
    ///
    /// Several processes may call it at once. If it is cut off, even by `kill -9`, call it again:
    /// it goes on with what is left.
    ///
    /// # Errors
    /// A store failed. What was moved until then stays in the new store.
    pub async fn move_all(&self) -> Result<Copied, StoreError> {
        let mut done = Copied::default();
        loop {
            let pass = self.pass().await?;
            done.copied += pass.copied;
            done.present += pass.present;
            done.unreadable = pass.unreadable;
            if pass.copied + pass.present == 0 {
                return Ok(done);
            }
        }
    }

    /// Moves the sessions that are listed now.
    async fn pass(&self) -> Result<Copied, StoreError> {
        let (mut done, mut next) = (Copied::default(), None);
        let started = Instant::now();
        loop {
            let page = Box::pin(self.old().list(next.as_ref(), PAGE)).await?;
            done.unreadable += page.unreadable.len() as u64;
            let mut keys = Vec::with_capacity(page.sessions.len());
            for (key, record) in page.sessions {
                match (stage::marked_key(&record), InOld::of(&key, Some(record))) {
                    (Some(session), _) => self.remove_left(&session, &key).await?,
                    (None, InOld::Live(_) | InOld::Sealed(..)) => keys.push(key),
                    (None, InOld::Retired(_) | InOld::Nothing) => {}
                }
            }
            let before = done.copied + done.present;
            let moves = keys.into_iter().zip(before..).map(|(key, number)| async move {
                self.wait_for_turn(started, number).await;
                self.steps.move_session(&key, 0).await
            });
            let mut moved = stream::iter(moves).buffer_unordered(AT_ONCE);
            while let Some(was_moved) = moved.try_next().await? {
                match was_moved {
                    true => done.copied += 1,
                    false => done.present += 1,
                }
            }
            next = page.next;
            if next.is_none() {
                return Ok(done);
            }
        }
    }

    /// Removes what a cut-off `destroy` of a sealed session has left under the key of its stage.
    async fn remove_left(&self, session: &StoreKey, stage: &StoreKey) -> Result<(), StoreError> {
        match self.steps.head_in_old(session).await? {
            InOld::Sealed(_, of_session) if of_session == *stage => {}
            _ => {
                Box::pin(self.old().destroy(stage)).await?;
            }
        }
        Ok(())
    }

    /// Waits until the session with this number may move.
    async fn wait_for_turn(&self, started: Instant, number: u64) {
        if let Some(per_second) = self.per_second {
            let after = Duration::from_secs_f64(number as f64 / f64::from(per_second));
            sleep_until(started + after).await;
        }
    }
}
