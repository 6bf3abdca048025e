//! The store that applications use: its calls run on threads that may block, if they have to wait.

use std::{fmt, path::Path, sync::Arc, task::Poll};

use serde_json::value::RawValue;

use super::{combine::UpdateQueues, folder::SessionFolder};
use crate::{
    error::StoreError,
    id::StoreKey,
    record::{Grace, Patch, PublicId, Record},
    store::{
        capabilities::{DeleteExpired, FindByIndex, IndexPage, Ping},
        listing::{ListAll, ListCursor, ListPage},
        session_store::{CreateOutcome, LoadOptions, SessionStore, UpdateOutcome},
        sweeper::Sweeper,
    },
    time::Timestamp,
};

/// Keeps each session in a separate file.
///
/// Sessions survive restarts. Any number of threads and processes on one machine can share the
/// folder. Only its owner can use the files (mode 0600, folders 0700), unless the folder is
/// [shared](crate::FileStoreBuilder::share_with_group). A background thread deletes expired
/// sessions.
///
/// A file that is not a valid session moves to the subfolder `damaged` and is reported once: it may
/// be cut off, foreign, too large or a symbolic link. Its client continues as a new visitor. Other
/// sessions are not affected.
///
/// Calls run on threads that may block. Only a read that need not wait runs on the caller's thread:
/// on Linux, a session of up to 64 KiB, on ext4, XFS, Btrfs, F2FS or tmpfs, that the system has in
/// memory, if no symbolic link leads to the folder.
///
/// Network file systems must support `flock` and an atomic `rename`.
///
/// On Linux, a write erases the old file of the session and uses it again, because creating files
/// is slow. So a program that copies the folder while sessions change may copy a file that is just
/// being erased. The store notices that when it reads the copy, and treats it as damaged. A hard
/// link to a file keeps what it had.
///
/// # Examples
/// ```
/// use actix_typed_session::{FileStore, SessionMiddleware};
///
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("sessions");
/// let sessions = SessionMiddleware::new(FileStore::new(path)?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct FileStore {
    pub(super) folder: Arc<SessionFolder>,
    pub(super) queues: Arc<UpdateQueues>,
    pub(super) _sweeper: Option<Arc<Sweeper>>,
}

impl FileStore {
    /// Returns the folder with the sessions, as an absolute path.
    pub fn path(&self) -> &Path {
        &self.folder.path
    }

    /// Runs blocking work on a thread for it, so that no async thread waits.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&SessionFolder) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let folder = Arc::clone(&self.folder);
        tokio::task::spawn_blocking(move || work(&folder)).await.map_err(StoreError::internal)?
    }
}

impl fmt::Debug for FileStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileStore")
            .field("path", &self.folder.path)
            .field("access", &self.folder.access)
            .field("durability", &self.folder.durability)
            .field("max_record_bytes", &self.folder.max_record_bytes)
            .finish_non_exhaustive()
    }
}

impl SessionStore for FileStore {
    async fn create(&self, key: &StoreKey, record: &Record) -> Result<CreateOutcome, StoreError> {
        let (key, record) = (*key, record.clone());
        self.run(move |folder| folder.create(&key, &record)).await
    }

    async fn load(
        &self,
        key: &StoreKey,
        _: &LoadOptions<'_>,
    ) -> Result<Option<Record>, StoreError> {
        let key = *key;
        match self.folder.load_at_once(&key) {
            Poll::Ready(found) => Ok(found),
            Poll::Pending => self.run(move |folder| folder.load(&key)).await,
        }
    }

    async fn update(&self, key: &StoreKey, patch: &Patch) -> Result<UpdateOutcome, StoreError> {
        loop {
            let (answer, leader) = self.queues.join(key, patch.clone());
            let leads = leader.is_some();
            if let Some(leader) = leader {
                let folder = Arc::clone(&self.folder);
                drop(tokio::task::spawn_blocking(move || leader.run(&folder)));
            }
            match answer.await.map_err(StoreError::internal)? {
                Some(result) => return result,
                None if leads => return Err(StoreError::internal("the runtime has shut down")),
                // The leader's runtime has shut down before it tried this patch.
                None => {}
            }
        }
    }

    async fn touch(&self, key: &StoreKey, expires_at: Timestamp) -> Result<bool, StoreError> {
        let key = *key;
        self.run(move |folder| folder.touch(&key, expires_at)).await
    }

    async fn destroy(&self, key: &StoreKey) -> Result<bool, StoreError> {
        let key = *key;
        self.run(move |folder| folder.destroy(&key)).await
    }

    async fn rotate(
        &self,
        old: &StoreKey,
        new: &StoreKey,
        patch: &Patch,
        grace: Grace,
    ) -> Result<UpdateOutcome, StoreError> {
        let (old, new, patch) = (*old, *new, patch.clone());
        self.run(move |folder| folder.rotate(&old, &new, &patch, grace)).await
    }
}

impl DeleteExpired for FileStore {
    async fn delete_expired(&self) -> Result<u64, StoreError> {
        self.run(SessionFolder::delete_expired).await
    }
}

impl FindByIndex for FileStore {
    async fn find(
        &self,
        name: &str,
        value: &RawValue,
        after: Option<PublicId>,
        limit: usize,
    ) -> Result<IndexPage, StoreError> {
        let (name, value) = (name.to_owned(), value.to_owned());
        self.run(move |folder| folder.find(&name, &value, after, limit)).await
    }

    async fn exclusively<T, A>(&self, value: &RawValue, action: A) -> Result<T, StoreError>
    where
        T: Send + 'static,
        A: Future<Output = T> + Send + 'static,
    {
        self.run_locked(value, action).await
    }
}

impl ListAll for FileStore {
    async fn list(&self, after: Option<&ListCursor>, limit: usize) -> Result<ListPage, StoreError> {
        let after = after.map(ListCursor::as_key).transpose()?;
        self.run(move |folder| folder.list(after, limit.max(1))).await
    }
}

impl Ping for FileStore {
    async fn ping(&self) -> Result<(), StoreError> {
        self.run(SessionFolder::ping).await
    }
}
