//! Sets up a file store.

use std::{fmt, path::PathBuf, sync::Arc, time::Duration};

use tracing::{error, warn};

use super::{access::Access, durability::Durability, folder::SessionFolder, store::FileStore};
use crate::{
    error::{Chain, StoreError},
    store::sweeper::Sweeper,
    time::Clock,
};

/// Sets up a [`FileStore`].
///
/// # Examples
/// ```
/// use actix_typed_session::{Durability, FileStore};
///
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("sessions");
/// let store = FileStore::builder(path)
///     .durability(Durability::Process)
///     .max_record_bytes(64 * 1024)
///     .build()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "`build` makes the store"]
pub struct FileStoreBuilder {
    folder: SessionFolder,
    sweep_interval: Option<Duration>,
}

impl FileStoreBuilder {
    /// Sets which changes survive a power cut. For example, `durability(Durability::Process)` is
    /// faster and suits tests and sessions that may be lost.
    ///
    /// Defaults to [`Durability::Power`].
    pub fn durability(mut self, durability: Durability) -> Self {
        self.folder.durability = durability;
        self
    }

    /// Sets whether other users of the folder's group can use the store too. For example,
    /// `share_with_group(true)` lets processes of several users share the folder. It also suits
    /// containers that run with a random user id and always the same group, as on OpenShift.
    ///
    /// With `true`, files have the mode 0660 and folders 2770, whatever the umask is. The setgid
    /// bit gives what is created in them the group of the store's folder; every process must be in
    /// that group. The owner's next start with this setting also shares what was created without
    /// it. All processes that use the folder need the same setting.
    ///
    /// Any program of the group can then read and change the sessions. This setting does nothing
    /// on Windows.
    ///
    /// Defaults to `false`: files have the mode 0600 and folders 0700.
    pub fn share_with_group(mut self, share: bool) -> Self {
        self.folder.access = if share { Access::Group } else { Access::Owner };
        self
    }

    /// Sets the largest size of a session, in bytes of its file. For example,
    /// `max_record_bytes(64 * 1024)` allows 64 KiB.
    ///
    /// A larger write is an error and leaves the session as it was. A larger file counts as
    /// damaged.
    ///
    /// Defaults to 1 MiB.
    pub fn max_record_bytes(mut self, bytes: u64) -> Self {
        self.folder.max_record_bytes = bytes;
        self
    }

    /// Sets how often a background thread deletes expired sessions. For example,
    /// `sweep_interval(Some(Duration::from_secs(60)))` deletes them every minute.
    ///
    /// `None`: never. Call `DeleteExpired::delete_expired` instead.
    ///
    /// Defaults to 10 minutes.
    pub fn sweep_interval(mut self, interval: Option<Duration>) -> Self {
        self.sweep_interval = interval;
        self
    }

    /// Opens an existing folder for reading only, such as in a tool that looks at the sessions of a
    /// running site.
    ///
    /// With `true`, nothing in the folder changes: expired sessions are not deleted, damaged files
    /// are not moved, no folder and no lock is created, and calls that write fail. A damaged file
    /// is an error each time. The process needs to be able to read the files only.
    ///
    /// Defaults to `false`.
    ///
    /// # Examples
    /// ```
    /// use actix_typed_session::FileStore;
    ///
    /// # let folder = tempfile::tempdir()?;
    /// let store = FileStore::builder(folder.path()).read_only(true).build()?;
    /// assert!(FileStore::builder("/no/such/folder").read_only(true).build().is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn read_only(mut self, read_only: bool) -> Self {
        self.folder.read_only = read_only;
        self
    }

    /// Sets the clock that decides which sessions have expired. For example, a test passes a clock
    /// that it can move forward.
    ///
    /// Defaults to the clock of the operating system.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.folder.clock = Arc::new(clock);
        self
    }

    /// Builds the store, and creates the folder if it is missing.
    ///
    /// It also checks that this process can write to every subfolder that exists, so that no
    /// visitor finds out later. The check opens no session file.
    ///
    /// # Errors
    /// The folder cannot be created, or this process cannot write to it or to one of its
    /// subfolders. The error names the folder by its absolute path, its owner, and the user of this
    /// process.
    pub fn build(self) -> Result<FileStore, StoreError> {
        if self.folder.read_only {
            self.folder.ping()?;
        } else {
            self.folder.check()?;
        }
        Ok(self.open())
    }

    fn open(self) -> FileStore {
        let folder = Arc::new(self.folder);
        let interval = self.sweep_interval.filter(|_| !folder.read_only);
        let sweeper = interval.and_then(|interval| {
            let sweep = |folder: &SessionFolder| match folder.delete_expired() {
                Ok(_) => {}
                Err(error) => {
                    warn!(event = "sweep_failed", "expired sessions are left: {}", Chain(&error))
                }
            };
            Sweeper::start(&folder, interval, sweep)
                .inspect_err(|error| {
                    warn!(
                        event = "sweeper_not_started",
                        "expired sessions are not deleted: {error}"
                    )
                })
                .ok()
                .map(Arc::new)
        });
        FileStore { folder, queues: Arc::default(), _sweeper: sweeper }
    }
}

impl fmt::Debug for FileStoreBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileStoreBuilder")
            .field("path", &self.folder.path)
            .field("access", &self.folder.access)
            .field("durability", &self.folder.durability)
            .field("max_record_bytes", &self.folder.max_record_bytes)
            .field("read_only", &self.folder.read_only)
            .field("sweep_interval", &self.sweep_interval)
            .finish_non_exhaustive()
    }
}

// These are here, and not in `store.rs`, because they need the builder.
impl FileStore {
    /// Creates a store in this folder with the default settings. The folder is created if it is
    /// missing.
    ///
    /// # Errors
    /// As [`build`](FileStoreBuilder::build).
    pub fn new(folder: impl Into<PathBuf>) -> Result<Self, StoreError> {
        Self::builder(folder).build()
    }

    /// Returns a builder, which changes the settings of a store in this folder.
    pub fn builder(folder: impl Into<PathBuf>) -> FileStoreBuilder {
        FileStoreBuilder {
            folder: SessionFolder::new(folder.into()),
            sweep_interval: Some(Duration::from_secs(600)),
        }
    }
}

impl Default for FileStore {
    /// Uses the folder `sessions` in the working directory. The first write creates it.
    ///
    /// If this process cannot create the folder or write to it, an error is logged at once, and
    /// writes fail. [`FileStore::new`] returns the error instead.
    fn default() -> Self {
        let builder = Self::builder("sessions");
        if let Err(error) = builder.folder.check_if_exists() {
            error!(event = "folder_unusable", "sessions cannot be stored: {}", Chain(&error));
        }
        builder.open()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tempfile::TempDir;

    use super::*;
    use crate::store::file::fixture::{Fixture, HOUR};

    #[test]
    fn a_folder_that_cannot_be_created_is_an_error_at_once() {
        let root = TempDir::new().expect("a temporary folder");
        let in_the_way = root.path().join("file");
        fs::write(&in_the_way, "").expect("a file in the way");
        let error = FileStore::new(in_the_way.join("sessions")).expect_err("no folder");
        let text = Chain(&error).to_string();
        assert!(text.contains("cannot create the folder"), "{text}");
    }

    #[test]
    fn a_store_for_reading_only_leaves_the_folder_as_it_is() {
        let it = Fixture::new();
        it.create(1);
        let damaged = it.create(2);
        fs::write(&damaged, "half a ses").expect("our file");
        let unlocked = it.create(3);
        let lock = unlocked.parent().expect("a subfolder").join(".lock");
        fs::remove_file(&lock).expect("our file");
        let store = FileStore::builder(&it.folder.path)
            .clock(it.clock.clone())
            .read_only(true)
            .build()
            .expect("an existing folder");
        assert!(store._sweeper.is_none());
        for _ in 0..2 {
            let page = store.folder.list(None, 10).expect("a readable folder");
            assert_eq!(page.sessions.len(), 2);
            assert!(matches!(page.unreadable[..], [(_, StoreError::Damaged(_))]));
        }
        let session = crate::id::StoreKey::from_bytes([1; 32]);
        assert!(store.folder.destroy(&session).is_err());
        assert!(store.folder.create(&session, &it.record()).is_err());
        assert!(store.folder.delete_expired().is_err());
        assert!(store.folder.try_lock_value(&session).is_err());
        assert!(damaged.exists() && !lock.exists());
        let names = crate::store::file::file_system::names_in(&it.folder.path);
        let mut names = names.expect("a readable folder");
        names.sort();
        assert_eq!(names, ["01", "02", "03"]);
        let missing = it.root.path().join("missing");
        let error = FileStore::builder(&missing).read_only(true).build().expect_err("no folder");
        assert!(Chain(&error).to_string().contains("cannot read the folder"));
        assert!(!missing.exists());
    }

    #[test]
    fn the_sweep_runs_in_the_background_and_can_be_turned_off() {
        let sweep = |interval| {
            let it = Fixture::new();
            let store = FileStore::builder(&it.folder.path)
                .clock(it.clock.clone())
                .sweep_interval(interval)
                .build()
                .expect("a writable folder");
            let file = it.create(1);
            it.clock.advance(HOUR);
            (it, store, file)
        };
        let (_it, store, _file) = sweep(None);
        assert!(store._sweeper.is_none());
        let (_it, _store, file) = sweep(Some(Duration::from_millis(1)));
        for _ in 0..2_000 {
            if !file.exists() {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("the expired session is still there after 10 s");
    }
}
