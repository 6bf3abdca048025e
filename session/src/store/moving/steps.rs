//! The steps of a move, and why no change is lost and no destroyed session comes back.
//!
//! A session moves from the old store to the new one in these steps:
//!
//! 1. `create` a *stage* in the new store, under a key that no other stage ever has.
//! 2. `rotate` the session in the old store into the stage's key. That *seals* it: from now on it
//!    is retired there, so it takes no change. Only one of several movers succeeds.
//! 3. `rotate` the stage in the new store into the session's key. That *publishes* the sealed
//!    session, and the stage is gone.
//! 4. `destroy` the session in the old store.
//!
//! | the session's record in the old store | its stage | the session is |
//! | --- | --- | --- |
//! | live | – | that record |
//! | sealed | there | the sealed record; any process takes steps 3 and 4 |
//! | sealed | gone | what the new store has, if anything; any process takes step 4 |
//! | none | – | what the new store has, if anything |
//!
//! **No change is lost.** Each store makes one thing of a record at a time. A change of the live
//! record comes before step 2, and step 3 publishes it, or the old store refuses it as gone. Then
//! it is tried in the new store, after step 3. The stage is made for one version, and step 2 fails
//! for any other.
//!
//! **No destroyed session comes back.** A `destroy` first seals the session, without a stage; or it
//! finds the one that is there, because the sealed record names it. Then it destroys the stage,
//! which takes step 3 from every mover that has not taken it, for ever: the stage was created
//! before step 2, and is never created again. Then it destroys the session in the new store, and
//! last the record in the old one, so that a `destroy` that was cut off can be repeated.
//!
//! **Each step is enough.** What a killed process leaves is a row of the table, or a stage of a
//! session that is still live: that is never published, and expires.
//!
//! A stage is published and gone in one step of the new store. If that was cut off in the middle,
//! session and stage are both there. So before a session can leave the new store by anything but a
//! `destroy`, [`Steps::settle`] removes the stage. A Redis cluster is the exception: there, a
//! renewal takes several steps. If a process is killed in the middle of one, while another one
//! destroys the same session, the session may be left in the new store.

use std::time::Duration;

use tokio::time::sleep;

use super::stage::{self, InOld};
use crate::{
    error::StoreError,
    id::StoreKey,
    record::{Patch, Record},
    store::session_store::{CreateOutcome, LoadOptions, SessionStore, UpdateOutcome},
};

/// How often to try to seal a session that other requests change meanwhile.
const ATTEMPTS: usize = 1_000;

/// The two stores.
#[derive(Debug)]
pub(super) struct Steps<Old, New> {
    pub(super) old: Old,
    pub(super) new: New,
}

/// How often to try to publish a session that the new store seems to have already, and how long to
/// wait in between: another process may be in the middle of it.
const PUBLISH_ATTEMPTS: usize = 100;
const PUBLISH_PAUSE: Duration = Duration::from_millis(20);

/// What a step needs of a record: everything but its fields.
fn head() -> LoadOptions<'static> {
    LoadOptions::default().with_fields(&[])
}

impl<Old: SessionStore, New: SessionStore> Steps<Old, New> {
    /// Returns what the old store has under a key.
    pub(super) async fn in_old(
        &self,
        key: &StoreKey,
        options: &LoadOptions<'_>,
    ) -> Result<InOld, StoreError> {
        Ok(InOld::of(key, Box::pin(self.old.load(key, options)).await?))
    }

    /// The same, without the fields.
    pub(super) async fn head_in_old(&self, key: &StoreKey) -> Result<InOld, StoreError> {
        self.in_old(key, &head()).await
    }

    /// Returns what the new store has under a key, without the fields: a session, or the stage of a
    /// sealed one.
    pub(super) async fn head_in_new(&self, key: &StoreKey) -> Result<Option<Record>, StoreError> {
        Box::pin(self.new.load(key, &head())).await
    }

    /// Whether the new store has a record under a key.
    pub(super) async fn is_in_new(&self, key: &StoreKey) -> Result<bool, StoreError> {
        Ok(self.head_in_new(key).await?.is_some())
    }

    /// Moves a session, if it is in the old store and has at least this version. Returns whether it
    /// was published now.
    pub(super) async fn move_session(
        &self,
        key: &StoreKey,
        least_version: u64,
    ) -> Result<bool, StoreError> {
        for _ in 0..ATTEMPTS {
            let session = match self.head_in_old(key).await? {
                InOld::Nothing | InOld::Retired(_) => return Ok(false),
                InOld::Sealed(..) => return self.finish(key).await,
                InOld::Live(session) if session.version() < least_version => return Ok(false),
                InOld::Live(session) => session,
            };
            if self.seal_with_stage(key, &session).await? {
                return self.finish(key).await;
            }
        }
        Err(StoreError::unavailable("the session changes too often to be moved now; try again"))
    }

    /// Steps 1 and 2. Returns whether they succeeded: the session may have changed meanwhile.
    async fn seal_with_stage(&self, key: &StoreKey, session: &Record) -> Result<bool, StoreError> {
        let stage = stage::new_stage_key(key);
        let created = Box::pin(self.new.create(&stage, &stage::stage(key, session)?)).await?;
        if created == CreateOutcome::Taken {
            return Ok(false);
        }
        let mut mark = stage::mark(key)?;
        mark.expect_version(session.version());
        // After an error, the session may be sealed. The stage must stay then.
        match Box::pin(self.old.rotate(key, &stage, &mark, stage::SEALED)).await? {
            UpdateOutcome::Applied { .. } => Ok(true),
            _ => {
                Box::pin(self.new.destroy(&stage)).await?;
                Ok(false)
            }
        }
    }

    /// Steps 3 and 4 for a session that may be sealed. Returns whether it was published now.
    pub(super) async fn finish(&self, key: &StoreKey) -> Result<bool, StoreError> {
        let InOld::Sealed(sealed, stage) = self.in_old(key, &LoadOptions::default()).await? else {
            return Ok(false);
        };
        let is_published = self.publish(key, &stage, &stage::publish(&sealed)).await?;
        Box::pin(self.old.destroy(key)).await?;
        Ok(is_published)
    }

    /// Step 3. Returns whether it was taken now: another process may have taken it, or destroyed
    /// the session.
    async fn publish(
        &self,
        key: &StoreKey,
        stage: &StoreKey,
        patch: &Patch,
    ) -> Result<bool, StoreError> {
        for _ in 0..PUBLISH_ATTEMPTS {
            match Box::pin(self.new.rotate(stage, key, patch, stage::PUBLISHED)).await? {
                UpdateOutcome::Applied { .. } => return Ok(true),
                UpdateOutcome::Taken => sleep(PUBLISH_PAUSE).await,
                _ => return Ok(false),
            }
        }
        // A step 3 that was cut off in the middle has left its stage.
        Box::pin(self.new.destroy(stage)).await?;
        Ok(false)
    }

    /// Takes the last steps of a session that is sealed. Returns what the old store had.
    pub(super) async fn settle(&self, key: &StoreKey) -> Result<InOld, StoreError> {
        let found = self.head_in_old(key).await?;
        if matches!(found, InOld::Sealed(..)) {
            self.finish(key).await?;
        }
        Ok(found)
    }

    /// Whether a sealed session has yet to be published. If not, only the new store has it.
    pub(super) async fn is_pending(
        &self,
        key: &StoreKey,
        stage: &StoreKey,
    ) -> Result<bool, StoreError> {
        if self.is_in_new(key).await? {
            return Ok(false);
        }
        // A store may keep what a renewal has left for longer than it should.
        Ok(self.head_in_new(stage).await?.is_some_and(|stage| !stage.is_retired()))
    }

    /// Destroys a session and its successors in both stores. Returns whether one was there.
    pub(super) async fn destroy(&self, key: &StoreKey) -> Result<bool, StoreError> {
        let (mut chain, mut next) = (Vec::new(), Some(*key));
        while let Some(key) = next {
            let found = self.sealed_or_retired(&key).await?;
            next = match &found {
                Ending::Retired(record) => record.successor().copied(),
                Ending::Nothing | Ending::Sealed(_) | Ending::SealedNow => None,
            };
            chain.push((key, found));
        }
        let mut was_there = false;
        // The last one first: if this is cut off, the first one still leads to the rest.
        for (key, found) in chain.iter().rev() {
            was_there |= match found {
                Ending::Nothing => Box::pin(self.new.destroy(key)).await?,
                Ending::Retired(_) => Box::pin(self.old.destroy(key)).await?,
                // It was sealed without a stage, so no mover can publish it.
                Ending::SealedNow => {
                    Box::pin(self.old.destroy(key)).await?;
                    true
                }
                Ending::Sealed(stage) => {
                    let was_pending = self.is_pending(key, stage).await?;
                    Box::pin(self.new.destroy(stage)).await?;
                    let was_published = Box::pin(self.new.destroy(key)).await?;
                    Box::pin(self.old.destroy(key)).await?;
                    was_pending || was_published
                }
            };
        }
        Ok(was_there)
    }

    /// Seals the session of a key, without a stage, unless it cannot change anyway.
    async fn sealed_or_retired(&self, key: &StoreKey) -> Result<Ending, StoreError> {
        for _ in 0..ATTEMPTS {
            match self.head_in_old(key).await? {
                InOld::Nothing => return Ok(Ending::Nothing),
                InOld::Retired(record) => return Ok(Ending::Retired(record)),
                InOld::Sealed(_, stage) => return Ok(Ending::Sealed(stage)),
                InOld::Live(_) => {}
            }
            let stage = stage::new_stage_key(key);
            let sealed =
                Box::pin(self.old.rotate(key, &stage, &stage::mark(key)?, stage::SEALED)).await?;
            if matches!(sealed, UpdateOutcome::Applied { .. }) {
                return Ok(Ending::SealedNow);
            }
        }
        Err(StoreError::unavailable("the session changes too often to be destroyed; try again"))
    }
}

/// A record of the old store that takes no change, when its session is destroyed.
enum Ending {
    Nothing,
    Retired(Record),
    /// With the key of its stage.
    Sealed(StoreKey),
    /// By this call, to destroy it.
    SealedNow,
}
