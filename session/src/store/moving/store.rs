//! The store that applications use while their sessions move.
//!
//! All calls of the two stores are boxed: the futures of a database are large, and those of this
//! store would have many of them.

use std::{fmt, sync::Arc};

use tracing::warn;

use super::{
    stage::{self, InOld},
    steps::Steps,
};
use crate::{
    error::{Chain, StoreError},
    id::StoreKey,
    record::{ExpiryChange, Grace, Patch, Record},
    store::session_store::{CreateOutcome, LoadOptions, SessionStore, UpdateOutcome},
    time::Timestamp,
};

/// Moves the sessions of a site to another store while the site runs. All users stay logged in.
///
/// Use it to outgrow a store, such as to go from files to Redis or PostgreSQL. Several processes
/// can serve the site meanwhile, and are deployed one after the other:
///
/// 1. Give every process [`MovingStore::ready`]. It uses the old store, and the new one for
///    sessions that a process of step 2 has moved.
/// 2. Give every process [`MovingStore::moving`]. It creates sessions in the new store, and moves
///    others when they are first written.
/// 3. Call [`move_all`](Self::move_all) in one process or in several. It moves the rest.
/// 4. Give every process the new store alone.
///
/// Until step 4, both stores must be up. Steps 1 and 2 can be taken back, in the reverse order;
/// sessions that have moved stay in the new store. If `move_all` was cut off, call it again. The
/// guide [shows each step](crate::guide::moving).
///
/// All laws of [`SessionStore`] hold, for requests on all processes of steps 1 and 2 together. A
/// session keeps its id, its fields, its expiry and what it is found by. An id that was renewed
/// in the old store in the seconds before is answered from there.
///
/// It has the capabilities that both stores have.
/// [`exclusively`](crate::store::FindByIndex::exclusively) is that of the old store, so limits hold
/// across all processes up to step 3. While step 4 is deployed, simultaneous logins of a user on
/// processes before and after it do not wait for each other.
///
/// A session in the new store takes one call to it, as without this store. One in the old store
/// takes one call more, and the write that moves it seven more. A new session, a renewal, a logout
/// and an unknown id take one or two more.
///
/// Clones are handles to the same stores.
///
/// # Examples
/// ```
/// use actix_typed_session::{MemoryStore, SessionMiddleware, store::MovingStore};
///
/// # async fn migrate() -> Result<(), actix_typed_session::StoreError> {
/// // In an application: `FileStore::new("sessions")?` and `RedisStore::new(url)?`.
/// let (old, new) = (MemoryStore::new(), MemoryStore::new());
/// let store = MovingStore::moving(old, new);
/// let sessions = SessionMiddleware::new(store.clone());
/// // … start the site …
/// let done = store.move_all().await?;
/// println!("{} sessions moved, {} cannot be read", done.copied, done.unreadable);
/// # Ok(())
/// # }
/// ```
pub struct MovingStore<Old, New> {
    pub(super) steps: Arc<Steps<Old, New>>,
    pub(super) phase: Phase,
    /// How many sessions `move_all` moves in a second at most. `None`: as many as it can.
    pub(super) per_second: Option<u32>,
}

/// Where a process looks first, and where it creates sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// In the old store.
    Ready,
    /// In the new one.
    Moving,
}

impl<Old: SessionStore, New: SessionStore> MovingStore<Old, New> {
    /// Uses the old store, and finds sessions that other processes have moved to the new one.
    ///
    /// # Examples
    /// ```
    /// use actix_typed_session::{MemoryStore, store::MovingStore};
    ///
    /// let store = MovingStore::ready(MemoryStore::new(), MemoryStore::new());
    /// ```
    pub fn ready(old: Old, new: New) -> Self {
        Self::in_phase(old, new, Phase::Ready)
    }

    /// Uses the new store, and moves sessions from the old one to it.
    ///
    /// Do not use it before every process has [`ready`](Self::ready): a process with the old store
    /// alone does not find the sessions that have moved.
    pub fn moving(old: Old, new: New) -> Self {
        Self::in_phase(old, new, Phase::Moving)
    }

    fn in_phase(old: Old, new: New, phase: Phase) -> Self {
        Self { steps: Arc::new(Steps { old, new }), phase, per_second: None }
    }

    pub(super) fn old(&self) -> &Old {
        &self.steps.old
    }

    pub(super) fn new_store(&self) -> &New {
        &self.steps.new
    }
}

impl<Old, New> Clone for MovingStore<Old, New> {
    fn clone(&self) -> Self {
        Self { steps: Arc::clone(&self.steps), ..*self }
    }
}

impl<Old: fmt::Debug, New: fmt::Debug> fmt::Debug for MovingStore<Old, New> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MovingStore")
            .field("phase", &self.phase)
            .field("old", &self.steps.old)
            .field("new", &self.steps.new)
            .finish_non_exhaustive()
    }
}

impl<Old: SessionStore, New: SessionStore> SessionStore for MovingStore<Old, New> {
    const IMMEDIATE: bool = Old::IMMEDIATE && New::IMMEDIATE;

    async fn create(&self, key: &StoreKey, record: &Record) -> Result<CreateOutcome, StoreError> {
        let is_taken = match self.phase {
            Phase::Ready => self.steps.is_in_new(key).await?,
            Phase::Moving => !matches!(self.steps.head_in_old(key).await?, InOld::Nothing),
        };
        match (is_taken, self.phase) {
            (true, _) => Ok(CreateOutcome::Taken),
            (false, Phase::Ready) => Box::pin(self.old().create(key, record)).await,
            (false, Phase::Moving) => Box::pin(self.new_store().create(key, record)).await,
        }
    }

    async fn load(
        &self,
        key: &StoreKey,
        options: &LoadOptions<'_>,
    ) -> Result<Option<Record>, StoreError> {
        if self.phase == Phase::Moving
            && let Some(record) = Box::pin(self.new_store().load(key, options)).await?
        {
            return Ok(Some(record));
        }
        match self.steps.in_old(key, options).await? {
            InOld::Live(record) | InOld::Retired(record) => Ok(Some(record)),
            InOld::Sealed(record, stage) if self.steps.is_pending(key, &stage).await? => {
                Ok(Some(stage::unsealed(record)))
            }
            // It may have been published since the new store was asked.
            InOld::Sealed(..) | InOld::Nothing => {
                Box::pin(self.new_store().load(key, options)).await
            }
        }
    }

    fn load_cached(&self, key: &StoreKey) -> Option<Record> {
        match self.phase {
            Phase::Ready => self.old().load_cached(key).filter(|record| !record.is_retired()),
            Phase::Moving => self.new_store().load_cached(key),
        }
    }

    async fn update(&self, key: &StoreKey, patch: &Patch) -> Result<UpdateOutcome, StoreError> {
        if matches!(patch.expiry(), Some(ExpiryChange::Set(_))) {
            self.steps.settle(key).await?;
        }
        match self.change(key, Change::Update(patch)).await? {
            Changed::Updated(updated) => Ok(updated),
            Changed::Touched(_) => Ok(UpdateOutcome::Gone),
        }
    }

    async fn touch(&self, key: &StoreKey, expires_at: Timestamp) -> Result<bool, StoreError> {
        let touched = self.change(key, Change::Touch(expires_at)).await?;
        Ok(matches!(touched, Changed::Touched(true)))
    }

    async fn destroy(&self, key: &StoreKey) -> Result<bool, StoreError> {
        self.steps.destroy(key).await
    }

    async fn rotate(
        &self,
        old: &StoreKey,
        new: &StoreKey,
        patch: &Patch,
        grace: Grace,
    ) -> Result<UpdateOutcome, StoreError> {
        if self.is_taken(old, new, patch).await? {
            return Ok(UpdateOutcome::Taken);
        }
        match self.change(old, Change::Rotate { new, patch, grace }).await? {
            Changed::Updated(updated) => Ok(updated),
            Changed::Touched(_) => Ok(UpdateOutcome::Gone),
        }
    }
}

/// A change of a session, for one store or the other.
#[derive(Clone, Copy)]
enum Change<'a> {
    Update(&'a Patch),
    Touch(Timestamp),
    Rotate { new: &'a StoreKey, patch: &'a Patch, grace: Grace },
}

/// What a change did.
enum Changed {
    Updated(UpdateOutcome),
    Touched(bool),
}

impl Changed {
    /// Whether the store does not have the session.
    fn is_gone(&self) -> bool {
        matches!(self, Self::Updated(UpdateOutcome::Gone) | Self::Touched(false))
    }
}

impl Change<'_> {
    async fn of(self, store: &impl SessionStore, key: &StoreKey) -> Result<Changed, StoreError> {
        Ok(match self {
            Self::Update(patch) => Changed::Updated(Box::pin(store.update(key, patch)).await?),
            Self::Touch(expires_at) => {
                Changed::Touched(Box::pin(store.touch(key, expires_at)).await?)
            }
            Self::Rotate { new, patch, grace } => {
                Changed::Updated(Box::pin(store.rotate(key, new, patch, grace)).await?)
            }
        })
    }

    /// The key under which the session is written, so that it moves now. A touch changes no
    /// version, and a move may.
    fn key_to_move<'a>(&'a self, key: &'a StoreKey) -> Option<&'a StoreKey> {
        match self {
            Self::Update(_) => Some(key),
            Self::Touch(_) => None,
            Self::Rotate { new, .. } => Some(new),
        }
    }
}

impl<Old: SessionStore, New: SessionStore> MovingStore<Old, New> {
    /// Changes a session in the store that has it.
    async fn change(&self, key: &StoreKey, change: Change<'_>) -> Result<Changed, StoreError> {
        if self.phase == Phase::Moving {
            let changed = change.of(self.new_store(), key).await?;
            if !changed.is_gone() {
                return Ok(changed);
            }
        }
        let changed = change.of(self.old(), key).await?;
        if !changed.is_gone() {
            self.move_after(&changed, change.key_to_move(key)).await;
            return Ok(changed);
        }
        // It is in the new store, or on its way there, or gone.
        let changed = match self.steps.settle(key).await? {
            InOld::Retired(_) => changed,
            _ => change.of(self.new_store(), key).await?,
        };
        match change {
            Change::Rotate { new, .. } if changed.is_gone() => self.repeated(key, new).await,
            _ => Ok(changed),
        }
    }

    /// The outcome of a renewal of a session that is gone: one store may have what an earlier
    /// renewal has left, and the other one the session.
    async fn repeated(&self, old: &StoreKey, new: &StoreKey) -> Result<Changed, StoreError> {
        let options = LoadOptions::default();
        let outcome = match self.load(old, &options).await?.filter(Record::is_retired) {
            None => UpdateOutcome::Gone,
            Some(retired) => {
                UpdateOutcome::repeated(&retired, new, self.load(new, &options).await?.as_ref())
            }
        };
        Ok(Changed::Updated(outcome))
    }

    /// Whether the new key of a renewal is in use in the store that does not have the session. The
    /// store that has it looks at its own keys. That the session is gone, or has another version
    /// than the patch expects, takes precedence.
    async fn is_taken(
        &self,
        old: &StoreKey,
        new: &StoreKey,
        patch: &Patch,
    ) -> Result<bool, StoreError> {
        let is_meant = |record: &Record| {
            let is_expected = |version| version == record.version();
            !record.is_retired() && patch.expected_version().is_none_or(is_expected)
        };
        match self.steps.settle(old).await? {
            InOld::Live(session) => Ok(is_meant(&session) && self.steps.is_in_new(new).await?),
            InOld::Retired(_) => Ok(false),
            InOld::Sealed(..) | InOld::Nothing => {
                let is_in_old = !matches!(self.steps.head_in_old(new).await?, InOld::Nothing);
                Ok(is_in_old && self.steps.head_in_new(old).await?.as_ref().is_some_and(is_meant))
            }
        }
    }

    /// Moves a session that was changed in the old store. The change is made, so an error must not
    /// say that it failed.
    async fn move_after(&self, changed: &Changed, key: Option<&StoreKey>) {
        let is_applied = matches!(changed, Changed::Updated(UpdateOutcome::Applied { .. }));
        let (Phase::Moving, true, Some(key)) = (self.phase, is_applied, key) else { return };
        // Version 0 would become 1, which no call has reported.
        if let Err(error) = self.steps.move_session(key, 1).await {
            warn!(
                event = "session_not_moved",
                "a session stays in the old store until its next write: {}",
                Chain(&error)
            );
        }
    }
}
