//! Sessions in files: the default store.
//!
//! A session is the file `<folder>/<first two digits of its key>/<the rest>`. It is read without a lock,
//! because a rename replaces it as a whole, and written under the lock of its subfolder, which
//! excludes threads and processes alike. `<folder>/damaged` holds what was no session.
//!
//! The expiry is in the record, and once more as the file's modification time. The later one counts,
//! so `touch` moves the time and writes no data, and the sweep reads no data. A backup that loses the
//! times loses no session; it only undoes touches.
//!
//! The [index] has a folder for each value of an indexed field, with an empty file for each session.

use std::{
    collections::HashSet,
    fmt,
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde_json::value::RawValue;
use tracing::warn;

use crate::{
    error::{Cause, Chain, StoreError},
    id::StoreKey,
    record::Index,
    record::{Grace, Patch, PublicId, Record, RecordError},
    store::file::values::Values,
    store::file::values::indexed,
    store::index_pages::{IndexEntry, page},
    store::{
        capabilities::{DeleteExpired, FindByIndex, Found},
        session_store::{Created, SessionStore, Updated},
        sweeper::Sweeper,
    },
    time::{Clock, SystemClock, Timestamp},
};

mod values;

/// Keeps each session in a file of its own.
///
/// Sessions survive restarts, and any number of threads and processes on one machine can share the
/// folder. Files are readable by their owner only (mode 0600, folders 0700). Expired ones are deleted
/// by a background thread.
///
/// What cannot be read as a session, be it cut off, foreign, too large or a symbolic link, is moved to
/// the subfolder `damaged` and reported once; the client goes on as a new visitor, and no other session
/// is affected.
///
/// Network file systems must support `flock` and an atomic `rename`.
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
    folder: Arc<Folder>,
    _sweeper: Option<Arc<Sweeper>>,
}

/// What of a session survives what, and what that costs.
///
/// With each of these, a process that is killed at any moment leaves every session in its old or in its
/// new state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Durability {
    /// Nothing is promised for a power cut: recent sessions may be lost or empty. The fastest.
    Process,
    /// After a power cut, too, each session is in its old or in its new state; the last few changes
    /// may be missing, a logout among them. Costs one `fsync` for each write, and a second one, of the
    /// folder, when an id is renewed.
    #[default]
    Power,
    /// What was reported as stored, extended or destroyed survives a power cut. Costs a second `fsync`,
    /// of the folder, for each write, and one for each extension and each end of a session.
    PowerAtOnce,
}

impl FileStore {
    /// A store in this folder, which is created if it is missing.
    ///
    /// # Errors
    /// The folder cannot be created or written to.
    pub fn new(folder: impl Into<PathBuf>) -> Result<Self, StoreError> {
        Self::builder(folder).build()
    }

    /// A store with settings of your own.
    pub fn builder(folder: impl Into<PathBuf>) -> FileStoreBuilder {
        FileStoreBuilder {
            folder: Folder {
                path: folder.into(),
                durability: Durability::default(),
                max_record_bytes: 1 << 20,
                clock: Arc::new(SystemClock),
                reported: Mutex::default(),
            },
            sweep_interval: Some(Duration::from_secs(600)),
        }
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.folder.path
    }

    /// Runs blocking work off the async threads.
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Folder) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let folder = Arc::clone(&self.folder);
        tokio::task::spawn_blocking(move || work(&folder)).await.map_err(StoreError::internal)?
    }
}

impl Default for FileStore {
    /// The folder `sessions` in the working directory. It is created by the first write, which fails if
    /// that is impossible.
    fn default() -> Self {
        Self::builder("sessions").open()
    }
}

impl fmt::Debug for FileStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileStore")
            .field("path", &self.folder.path)
            .field("durability", &self.folder.durability)
            .field("max_record_bytes", &self.folder.max_record_bytes)
            .finish_non_exhaustive()
    }
}

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
    folder: Folder,
    sweep_interval: Option<Duration>,
}

impl FileStoreBuilder {
    /// What survives a power cut. The default is [`Durability::Power`].
    pub fn durability(mut self, durability: Durability) -> Self {
        self.folder.durability = durability;
        self
    }

    /// The largest session, in bytes of its file. The default is 1 MiB.
    ///
    /// A write past it is an error and leaves the session as it was; a larger file is not read.
    pub fn max_record_bytes(mut self, bytes: u64) -> Self {
        self.folder.max_record_bytes = bytes;
        self
    }

    /// How often expired sessions are deleted. The default is every 10 minutes; `None` turns that off.
    pub fn sweep_interval(mut self, interval: Option<Duration>) -> Self {
        self.sweep_interval = interval;
        self
    }

    /// What tells the time. The default is the operating system's clock.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.folder.clock = Arc::new(clock);
        self
    }

    /// Makes the store.
    ///
    /// # Errors
    /// The folder cannot be created or written to.
    pub fn build(self) -> Result<FileStore, StoreError> {
        self.folder.check()?;
        Ok(self.open())
    }

    fn open(self) -> FileStore {
        let folder = Arc::new(self.folder);
        let sweeper = self.sweep_interval.and_then(|interval| {
            let sweep = |folder: &Folder| match folder.delete_expired() {
                Ok(_) => {}
                Err(error) => warn!("expired sessions are left: {}", Chain(&error)),
            };
            Sweeper::start(&folder, interval, sweep)
                .inspect_err(|error| warn!("expired sessions are not deleted: {error}"))
                .ok()
                .map(Arc::new)
        });
        FileStore { folder, _sweeper: sweeper }
    }
}

impl fmt::Debug for FileStoreBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileStoreBuilder")
            .field("path", &self.folder.path)
            .field("durability", &self.folder.durability)
            .field("max_record_bytes", &self.folder.max_record_bytes)
            .field("sweep_interval", &self.sweep_interval)
            .finish_non_exhaustive()
    }
}

impl SessionStore for FileStore {
    async fn create(&self, key: &StoreKey, record: &Record) -> Result<Created, StoreError> {
        let (key, record) = (*key, record.clone());
        self.run(move |folder| folder.create(&key, &record)).await
    }

    async fn load(&self, key: &StoreKey) -> Result<Option<Record>, StoreError> {
        let key = *key;
        self.run(move |folder| folder.load(&key)).await
    }

    async fn update(&self, key: &StoreKey, patch: &Patch) -> Result<Updated, StoreError> {
        let (key, patch) = (*key, patch.clone());
        self.run(move |folder| folder.update(&key, &patch)).await
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
    ) -> Result<Updated, StoreError> {
        let (old, new, patch) = (*old, *new, patch.clone());
        self.run(move |folder| folder.rotate(&old, &new, &patch, grace)).await
    }
}

impl DeleteExpired for FileStore {
    async fn delete_expired(&self) -> Result<u64, StoreError> {
        self.run(Folder::delete_expired).await
    }
}

impl FindByIndex for FileStore {
    async fn find(
        &self,
        name: &str,
        value: &RawValue,
        after: Option<PublicId>,
        limit: usize,
    ) -> Result<Found, StoreError> {
        let (name, value) = (name.to_owned(), value.to_owned());
        self.run(move |folder| folder.find(&name, &value, after, limit)).await
    }
}

/// The folder and how it is used. All of this blocks.
struct Folder {
    path: PathBuf,
    durability: Durability,
    max_record_bytes: u64,
    clock: Arc<dyn Clock>,
    /// Damaged files that could not be moved aside, so that each is reported once.
    reported: Mutex<HashSet<StoreKey>>,
}

/// The most damaged files that are remembered.
const MOST_REPORTED: usize = 1_000;

/// A session's file.
struct Persistence {
    subfolder: PathBuf,
    file: PathBuf,
}

/// The lock of a subfolder. It is let go when the file is closed, also when the process is killed.
struct Lock {
    _file: File,
}

const LOCK_FILE: &str = ".lock";
const TEMPORARY_PREFIX: &str = ".new-";

impl Folder {
    fn check(&self) -> Result<(), StoreError> {
        create_folder(&self.path)
            .map_err(|error| failed("create the folder", &self.path, error))?;
        tempfile::Builder::new()
            .prefix(TEMPORARY_PREFIX)
            .tempfile_in(&self.path)
            .map(drop)
            .map_err(|error| failed("write to the folder", &self.path, error))
    }

    fn place(&self, key: &StoreKey) -> Persistence {
        let name = key.to_hex();
        let subfolder = self.path.join(&name[..2]);
        let file = subfolder.join(&name[2..]);
        Persistence { subfolder, file }
    }

    /// Locks a subfolder for writing, and creates it if it is missing.
    fn lock(&self, subfolder: &Path) -> Result<Lock, StoreError> {
        match lock_existing(subfolder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.create_subfolder(subfolder).and_then(|()| lock_existing(subfolder))
            }
            result => result,
        }
        .map_err(|error| failed("lock the folder", subfolder, error))
    }

    /// Creates a subfolder, and the folder with it if it is missing, so that they outlast a power cut.
    fn create_subfolder(&self, subfolder: &Path) -> io::Result<()> {
        create_folder(subfolder)?;
        if self.durability != Durability::Process {
            sync_folder(&self.path)?;
            // What is above may be closed to us, and then was there before.
            let above = self.path.parent().filter(|above| !above.as_os_str().is_empty());
            let _ = sync_folder(above.unwrap_or(Path::new(".")));
        }
        Ok(())
    }

    /// Locks one or two subfolders, in the order of their names, so that no two calls wait for each
    /// other.
    fn lock_both(&self, a: &Persistence, b: &Persistence) -> Result<[Option<Lock>; 2], StoreError> {
        let first = a.subfolder.as_path().min(&b.subfolder);
        let second = a.subfolder.as_path().max(&b.subfolder);
        let first_lock = self.lock(first)?;
        let second_lock = if first == second { None } else { Some(self.lock(second)?) };
        Ok([Some(first_lock), second_lock])
    }

    /// Reads the session at a place, if there is one that has not expired.
    fn read(&self, key: &StoreKey, place: &Persistence) -> Result<Option<Record>, StoreError> {
        match self.read_file(&place.file) {
            Ok(record) => Ok(record.filter(|record| !record.is_expired(self.clock.now()))),
            Err(Unreadable::Elsewhere(error)) => Err(failed("read", &place.subfolder, error)),
            Err(Unreadable::Newer(error)) => Err(error.into()),
            Err(Unreadable::Damaged(cause)) => {
                self.set_aside(key, place, cause).map_or(Ok(None), Err)
            }
        }
    }

    fn read_file(&self, path: &Path) -> Result<Option<Record>, Unreadable> {
        let file = match open_file(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(unopened(path, error)),
        };
        let metadata = file.metadata().map_err(Unreadable::Elsewhere)?;
        if !metadata.is_file() {
            return Err(Unreadable::Damaged(NOT_A_FILE.into()));
        }
        let mut bytes =
            Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or(0).min(1 << 16));
        let limit = self.max_record_bytes;
        file.take(limit.saturating_add(1))
            .read_to_end(&mut bytes)
            .map_err(Unreadable::Elsewhere)?;
        if bytes.len() as u64 > limit {
            return Err(Unreadable::Damaged(
                format!("it is larger than {limit} bytes, the limit of `max_record_bytes`").into(),
            ));
        }
        match Record::from_bytes(&bytes) {
            Ok(record) => {
                let touched = metadata.modified().map_or_else(|_| Timestamp::default(), Into::into);
                Ok(Some(record.extended_to(touched)))
            }
            Err(error @ RecordError::Version(_)) => Err(Unreadable::Newer(error)),
            Err(error) => Err(Unreadable::Damaged(Box::new(error))),
        }
    }

    /// Moves away what is in the place of a session and is none, for somebody to look at. Returns the
    /// error, unless it is known already. The caller has the lock.
    fn set_aside(&self, key: &StoreKey, place: &Persistence, cause: Cause) -> Option<StoreError> {
        match self.move_aside(place) {
            Ok(kept) => {
                let folder = place.subfolder.clone();
                Some(StoreError::damaged(Damaged { folder, kept: Ok(kept), cause }))
            }
            Err(error) => self.leave_in_place(key, place, cause, error.into()),
        }
    }

    fn move_aside(&self, place: &Persistence) -> io::Result<PathBuf> {
        let damaged = self.path.join("damaged");
        create_folder(&damaged)?;
        if !fs::symlink_metadata(&damaged)?.is_dir() {
            return Err(not_a_folder());
        }
        // A folder of its own per file, so that nothing is overwritten.
        let folder = tempfile::Builder::new().prefix("session-").tempdir_in(&damaged)?;
        fs::rename(&place.file, folder.path().join("file"))?;
        Ok(folder.keep())
    }

    /// The error for what is no session and cannot be moved away, unless it is known already.
    fn leave_in_place(
        &self,
        key: &StoreKey,
        place: &Persistence,
        cause: Cause,
        why: Cause,
    ) -> Option<StoreError> {
        let mut reported = self.reported.lock().unwrap_or_else(PoisonError::into_inner);
        if reported.len() >= MOST_REPORTED {
            reported.clear();
        }
        let folder = place.subfolder.clone();
        reported
            .insert(*key)
            .then(|| StoreError::damaged(Damaged { folder, kept: Err(why), cause }))
    }

    /// Stores a record in its place. The caller has the lock.
    fn write(&self, place: &Persistence, record: &Record) -> Result<(), StoreError> {
        self.replace(place, record)?;
        self.sync_at_once(place)
    }

    /// Puts a record in its place, as a whole. After an error the place is as it was.
    fn replace(&self, place: &Persistence, record: &Record) -> Result<(), StoreError> {
        let bytes = record.to_bytes();
        if bytes.len() as u64 > self.max_record_bytes {
            return Err(StoreError::TooLarge {
                bytes: bytes.len() as u64,
                limit: self.max_record_bytes,
            });
        }
        let written = || -> io::Result<()> {
            let mut file =
                tempfile::Builder::new().prefix(TEMPORARY_PREFIX).tempfile_in(&place.subfolder)?;
            file.write_all(&bytes)?;
            file.as_file().set_modified(to_system_time(record.expires_at()))?;
            if self.durability != Durability::Process {
                file.as_file().sync_all()?;
            }
            file.persist(&place.file)?;
            Ok(())
        };
        written().map_err(|error| failed("write to the folder", &place.subfolder, error))
    }

    /// Makes what was done in a place outlast a power cut, if that is to be certain at once.
    fn sync_at_once(&self, place: &Persistence) -> Result<(), StoreError> {
        match self.durability {
            Durability::Process | Durability::Power => Ok(()),
            Durability::PowerAtOnce => sync_subfolder(place),
        }
    }

    /// Removes a file. Reports whether it was there. The caller has the lock.
    fn remove(&self, place: &Persistence) -> Result<bool, StoreError> {
        match fs::remove_file(&place.file) {
            Ok(()) => self.sync_at_once(place).map(|()| true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(failed("delete from the folder", &place.subfolder, error)),
        }
    }

    fn create(&self, key: &StoreKey, record: &Record) -> Result<Created, StoreError> {
        let place = self.place(key);
        let _lock = self.lock(&place.subfolder)?;
        if self.read(key, &place)?.is_some() {
            return Ok(Created::Taken);
        }
        self.values().add(&indexed(key, record))?;
        self.write(&place, record)?;
        Ok(Created::Stored)
    }

    fn load(&self, key: &StoreKey) -> Result<Option<Record>, StoreError> {
        let place = self.place(key);
        if fs::symlink_metadata(&place.subfolder).is_ok_and(|metadata| !metadata.is_dir()) {
            return Err(failed("read", &place.subfolder, not_a_folder()));
        }
        // A file that could be replaced while it is moved aside must not be: look again, locked.
        match self.read_file(&place.file) {
            Ok(record) => Ok(record.filter(|record| !record.is_expired(self.clock.now()))),
            Err(Unreadable::Damaged(cause)) => match self.lock(&place.subfolder) {
                Ok(_lock) => self.read(key, &place),
                Err(error) => {
                    self.leave_in_place(key, &place, cause, error.into()).map_or(Ok(None), Err)
                }
            },
            Err(Unreadable::Elsewhere(error)) => Err(failed("read", &place.subfolder, error)),
            Err(Unreadable::Newer(error)) => Err(error.into()),
        }
    }

    fn update(&self, key: &StoreKey, patch: &Patch) -> Result<Updated, StoreError> {
        let place = self.place(key);
        let Some(_lock) = self.lock_if_there(&place)? else { return Ok(Updated::Gone) };
        let Some(current) = self.read(key, &place)? else { return Ok(Updated::Gone) };
        match patch.apply_to(&current) {
            Ok(record) if patch.moves(&current) => {
                let [before, after] = [&current, &record].map(|record| indexed(key, record));
                self.values().add(&after)?;
                self.write(&place, &record)?;
                self.values().remove(before.difference(&after));
                Ok(Updated::Applied { version: record.version() })
            }
            Ok(record) => {
                self.write(&place, &record)?;
                Ok(Updated::Applied { version: record.version() })
            }
            Err(refused) => Ok(Updated::refused(refused, current)),
        }
    }

    fn touch(&self, key: &StoreKey, expires_at: Timestamp) -> Result<bool, StoreError> {
        let place = self.place(key);
        let Some(_lock) = self.lock_if_there(&place)? else { return Ok(false) };
        let Some(current) = self.read(key, &place)?.filter(|record| !record.is_retired()) else {
            return Ok(false);
        };
        if current.expires_at() < expires_at {
            let touched = || -> io::Result<()> {
                let file = open_file(&place.file)?;
                file.set_modified(to_system_time(expires_at))?;
                match self.durability {
                    Durability::Process | Durability::Power => Ok(()),
                    Durability::PowerAtOnce => file.sync_all(),
                }
            };
            touched().map_err(|error| failed("touch a file in", &place.subfolder, error))?;
        }
        Ok(true)
    }

    fn destroy(&self, key: &StoreKey) -> Result<bool, StoreError> {
        // The retired records are removed last, and backwards: whoever calls again after an error or a
        // crash still finds the way to the session.
        let mut retired: Vec<StoreKey> = Vec::new();
        let mut there = false;
        let mut next = Some(*key);
        while let Some(key) = next.take() {
            let place = self.place(&key);
            let Some(_lock) = self.lock_if_there(&place)? else { break };
            let record = match self.read_file(&place.file) {
                Ok(record) => record,
                Err(Unreadable::Elsewhere(error)) => {
                    return Err(failed("read", &place.subfolder, error));
                }
                Err(Unreadable::Newer(error)) => return Err(error.into()),
                Err(Unreadable::Damaged(cause)) => {
                    // The session is gone, which is what the caller wants; the file is kept.
                    if let Some(error) = self.set_aside(&key, &place, cause) {
                        warn!("{}", Chain(&error));
                    }
                    break;
                }
            };
            let live = record.filter(|record| !record.is_expired(self.clock.now()));
            there |= live.is_some();
            match live.as_ref().and_then(|record| record.successor().copied()) {
                // Files that name each other in a circle are not followed round it.
                Some(successor) if !retired.contains(&key) => {
                    retired.push(key);
                    next = Some(successor);
                }
                _ => {
                    self.remove(&place)?;
                    if let Some(record) = &live {
                        self.values().remove(&indexed(&key, record));
                    }
                }
            }
        }
        for key in retired.iter().rev() {
            let place = self.place(key);
            if let Some(_lock) = self.lock_if_there(&place)? {
                self.remove(&place)?;
            }
        }
        Ok(there)
    }

    fn rotate(
        &self,
        old: &StoreKey,
        new: &StoreKey,
        patch: &Patch,
        grace: Grace,
    ) -> Result<Updated, StoreError> {
        let (old_place, new_place) = (self.place(old), self.place(new));
        let _locks = self.lock_both(&old_place, &new_place)?;
        let Some(current) = self.read(old, &old_place)? else { return Ok(Updated::Gone) };
        let moved = match patch.apply_to(&current) {
            Ok(moved) => moved,
            Err(refused) => return Ok(Updated::refused(refused, current)),
        };
        if self.read(new, &new_place)?.is_some() {
            return Ok(Updated::Taken);
        }
        self.values().add(&indexed(new, &moved))?;
        self.replace(&new_place, &moved)?;
        let retired = || {
            // A power cut must not keep the retired record and lose the new one.
            match self.durability {
                Durability::Process => {}
                Durability::Power | Durability::PowerAtOnce => sync_subfolder(&new_place)?,
            }
            self.replace(&old_place, &current.retire(grace, new))
        };
        if let Err(error) = retired() {
            // The caller keeps the old id, so nobody would ever present the new one. If it cannot be
            // removed either, the first error is the one to tell.
            drop(self.remove(&new_place));
            return Err(error);
        }
        self.values().remove(&indexed(old, &current));
        self.sync_at_once(&old_place)?;
        Ok(Updated::Applied { version: moved.version() })
    }

    /// Locks the subfolder of a session that may be there; `None` if the subfolder is not.
    fn lock_if_there(&self, place: &Persistence) -> Result<Option<Lock>, StoreError> {
        match lock_existing(&place.subfolder) {
            Ok(lock) => Ok(Some(lock)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed("lock the folder", &place.subfolder, error)),
        }
    }

    /// Deletes expired sessions, and what killed processes left behind.
    fn delete_expired(&self) -> Result<u64, StoreError> {
        let subfolders = match fs::read_dir(&self.path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
            Err(error) => return Err(failed("read the folder", &self.path, error)),
        };
        // One process at a time is enough; the others' sweep has nothing left to do.
        let Some(_lock) = self.sweep_lock()? else { return Ok(0) };
        let mut deleted = 0;
        let mut first_error = None;
        for subfolder in subfolders {
            let subfolder =
                subfolder.map_err(|error| failed("read the folder", &self.path, error))?;
            let name = subfolder.file_name();
            let Some(name) = name.to_str() else { continue };
            if name.starts_with(TEMPORARY_PREFIX) {
                // Made to see whether the folder is writable. Whoever still has it only deletes it.
                let _ = fs::remove_file(subfolder.path());
            } else if is_hex(name, 2) {
                // One subfolder that is amiss must not keep the others from being swept.
                match self.delete_expired_in(name) {
                    Ok(more) => deleted += more,
                    Err(error) => drop(first_error.get_or_insert(error)),
                }
            }
        }
        let is_there = |key: &StoreKey| self.place(key).file.exists();
        if let Err(error) = self.values().sweep(self.clock.now(), is_there) {
            first_error.get_or_insert(error);
        }
        first_error.map_or(Ok(deleted), Err)
    }

    fn values(&self) -> Values {
        Values::new(&self.path, self.durability)
    }

    fn find(
        &self,
        name: &str,
        value: &RawValue,
        after: Option<PublicId>,
        limit: usize,
    ) -> Result<Found, StoreError> {
        let values = self.values();
        let entries = |after, limit| values.entries(name, value, after, limit);
        let look = |(id, key): &IndexEntry| {
            let found = match self.load(key) {
                // The session is gone for its visitor too, and has just been reported.
                Err(StoreError::Damaged(error)) => {
                    warn!("a session is not listed: {}", Chain(&*error));
                    None
                }
                record => record?.filter(|record| {
                    let own = record.index().map(Index::public_id);
                    own == Some(*id) && record.is_found_by(name, value)
                }),
            };
            if found.is_none() {
                values.forget(name, value, (*id, *key));
            }
            Ok(found)
        };
        page(after, limit, entries, look)
    }

    fn sweep_lock(&self) -> Result<Option<Lock>, StoreError> {
        let path = self.path.join(".sweep");
        let file = open_lock(&path).map_err(|error| failed("open", &path, error))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Lock { _file: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(failed("lock", &path, error)),
        }
    }

    fn delete_expired_in(&self, name: &str) -> Result<u64, StoreError> {
        let subfolder = self.path.join(name);
        let is_folder = fs::symlink_metadata(&subfolder).map(|metadata| metadata.is_dir());
        let entries = match is_folder {
            Ok(true) => fs::read_dir(&subfolder),
            Ok(false) => Err(not_a_folder()),
            Err(error) => Err(error),
        };
        let entries = match entries {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
            Err(error) => return Err(failed("read the folder", &subfolder, error)),
        };
        let now = self.clock.now();
        let mut deleted = 0;
        for entry in entries {
            let entry = entry.map_err(|error| failed("read the folder", &subfolder, error))?;
            let file_name = entry.file_name();
            let Some(file_name) = file_name.to_str() else { continue };
            if file_name.starts_with(TEMPORARY_PREFIX) {
                // Whoever writes one has the lock, so with the lock every one is left behind.
                let _lock = self.lock(&subfolder)?;
                let _ = fs::remove_file(entry.path());
                continue;
            }
            let Some(key) = StoreKey::from_hex(&format!("{name}{file_name}")) else { continue };
            let touched = entry.metadata().and_then(|metadata| metadata.modified());
            if touched.is_ok_and(|touched| Timestamp::from(touched) > now) {
                continue;
            }
            let place = self.place(&key);
            let _lock = self.lock(&subfolder)?;
            match self.read_file(&place.file) {
                Ok(Some(record)) if record.is_expired(now) => {
                    deleted += u64::from(self.remove(&place)?);
                }
                // Extended or replaced meanwhile; or unreadable, which is for whoever asks for it.
                Ok(_) | Err(_) => {}
            }
        }
        Ok(deleted)
    }
}

/// Why a file gives no record.
enum Unreadable {
    /// What is there is no session, and never will be.
    Damaged(Cause),
    /// A later release wrote it.
    Newer(RecordError),
    /// The disk or the folder fails; the session may be whole.
    Elsewhere(io::Error),
}

/// Why a file could not be opened.
fn unopened(path: &Path, error: io::Error) -> Unreadable {
    match fs::symlink_metadata(path) {
        Ok(metadata) if !metadata.is_file() => Unreadable::Damaged(NOT_A_FILE.into()),
        // The folder could be searched, so it is this file that is somebody else's.
        Ok(_) if error.kind() == io::ErrorKind::PermissionDenied => {
            Unreadable::Damaged(Box::new(error))
        }
        _ => Unreadable::Elsewhere(error),
    }
}

const NOT_A_FILE: &str = "it is a link, a folder or a device";

/// Where something lay that was no session, where it is now, and what was wrong with it.
#[derive(Debug)]
struct Damaged {
    folder: PathBuf,
    kept: Result<PathBuf, Cause>,
    cause: Cause,
}

impl fmt::Display for Damaged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "something in `{}` is no session", self.folder.display())?;
        match &self.kept {
            Ok(kept) => write!(f, "; it is kept in `{}`", kept.display()),
            Err(why) => {
                let why = Chain(&**why);
                write!(f, "; it is ignored, and cannot be moved to the folder `damaged` ({why})")
            }
        }
    }
}

impl std::error::Error for Damaged {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&*self.cause)
    }
}

/// The file system refused.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} `{}`", .path.display())]
struct FileError {
    action: &'static str,
    path: PathBuf,
    #[source]
    source: io::Error,
}

fn failed(action: &'static str, path: &Path, source: io::Error) -> StoreError {
    StoreError::unavailable(FileError { action, path: path.to_owned(), source })
}

/// A symbolic link in the place of a folder would lead elsewhere.
fn not_a_folder() -> io::Error {
    io::Error::new(io::ErrorKind::NotADirectory, "it is not a folder")
}

fn is_hex(name: &str, digits: usize) -> bool {
    name.len() == digits && name.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// Creates a folder for its owner only. One that is there is left as it is.
fn create_folder(path: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// Makes what was created, renamed or removed in a folder outlast a power cut.
fn sync_folder(path: &Path) -> io::Result<()> {
    // Elsewhere a folder cannot be opened, and the system does this by itself.
    if cfg!(unix) { File::open(path)?.sync_all() } else { Ok(()) }
}

fn sync_subfolder(place: &Persistence) -> Result<(), StoreError> {
    sync_folder(&place.subfolder)
        .map_err(|error| failed("sync the folder", &place.subfolder, error))
}

/// Opens a session's file, and nothing that somebody put in its place.
fn open_file(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    // Windows changes the time of a file only through one that is open for writing.
    options.read(true).write(cfg!(windows));
    only_what_is_there(&mut options);
    options.open(path)
}

/// Opens the file of a lock, which is its owner's only.
fn open_lock(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).write(true);
    only_what_is_there(&mut options);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// Does not follow a symbolic link, and does not wait for the other end of a pipe.
fn only_what_is_there(options: &mut OpenOptions) {
    #[cfg(unix)]
    {
        use rustix::fs::OFlags;
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
        std::os::unix::fs::OpenOptionsExt::custom_flags(options, flags.bits().cast_signed());
    }
    #[cfg(not(unix))]
    let _ = options;
}

/// Locks a subfolder that is there.
fn lock_existing(subfolder: &Path) -> io::Result<Lock> {
    if !fs::symlink_metadata(subfolder)?.is_dir() {
        return Err(not_a_folder());
    }
    let file = open_lock(&subfolder.join(LOCK_FILE))?;
    // A signal may cut the waiting short.
    while let Err(error) = file.lock() {
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
    Ok(Lock { _file: file })
}

/// File systems keep times up to some year; a session that ends later ends then.
fn to_system_time(timestamp: Timestamp) -> SystemTime {
    const LATEST: Duration = Duration::from_secs(u32::MAX as u64 - 1);
    UNIX_EPOCH + Duration::from_millis(timestamp.as_unix_ms()).min(LATEST)
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;
    use crate::time::FakeClock;

    const HOUR: Duration = Duration::from_secs(3600);

    fn key(n: u8) -> StoreKey {
        StoreKey::from_bytes([n; 32])
    }

    struct Fixture {
        root: TempDir,
        clock: FakeClock,
        folder: Folder,
    }

    fn fixture() -> Fixture {
        let root = TempDir::new().expect("a temporary folder");
        let clock = FakeClock::default();
        let folder = FileStore::builder(root.path().join("sessions"))
            .clock(clock.clone())
            .max_record_bytes(10_000)
            .folder;
        folder.check().expect("a writable folder");
        Fixture { root, clock, folder }
    }

    impl Fixture {
        fn record(&self) -> Record {
            let now = self.clock.now();
            Record::new(now, now.saturating_add(HOUR))
        }

        fn create(&self, n: u8) -> PathBuf {
            let created = self.folder.create(&key(n), &self.record());
            assert_eq!(created.expect("a writable folder"), Created::Stored);
            self.folder.place(&key(n)).file
        }

        fn load(&self, n: u8) -> Option<Record> {
            self.folder.load(&key(n)).expect("a readable session")
        }

        fn damaged(&self) -> Vec<PathBuf> {
            let damaged = self.root.path().join("sessions/damaged");
            let folders = fs::read_dir(damaged).into_iter().flatten();
            folders.map(|folder| folder.expect("an entry").path().join("file")).collect()
        }

        /// The error of loading a damaged session, which is reported once, kept, and harms no other.
        fn load_damaged(&self, n: u8) -> String {
            self.create(200);
            let error = self.folder.load(&key(n)).expect_err("a damaged session");
            assert!(matches!(error, StoreError::Damaged(_)), "{error:?}");
            assert!(self.load(n).is_none(), "after the report it is a miss");
            assert_eq!(self.damaged().len(), 1);
            assert!(self.load(200).is_some());
            self.create(n);
            assert!(self.load(n).is_some(), "the key can be used again");
            let text = Chain(&error).to_string();
            assert!(!text.contains(&key(n).to_hex()[2..]), "a key never prints: {text}");
            text
        }
    }

    #[test]
    fn a_missing_file_is_a_miss() {
        let it = fixture();
        assert!(it.load(1).is_none());
        it.create(1);
        assert!(it.load(2).is_none());
        assert!(!it.folder.destroy(&key(2)).expect("a miss is no error"));
    }

    #[test]
    fn a_session_lives_in_a_subfolder_of_its_first_byte() {
        let it = fixture();
        let file = it.create(0xab);
        assert!(file.ends_with(format!("sessions/ab/{}", "ab".repeat(31))), "{file:?}");
    }

    #[cfg(unix)]
    #[test]
    fn files_and_folders_are_their_owners_only() {
        use std::os::unix::fs::PermissionsExt as _;
        let it = fixture();
        let file = it.create(1);
        fs::write(&file, "").expect("a file to damage");
        assert!(it.folder.load(&key(1)).is_err());
        let file = it.create(1);
        assert!(it.folder.delete_expired().is_ok());
        let mode = |path: &Path| {
            fs::metadata(path).expect("an existing path").permissions().mode() & 0o777
        };
        let subfolder = file.parent().expect("a subfolder");
        assert_eq!(mode(&file), 0o600);
        assert_eq!(mode(&subfolder.join(LOCK_FILE)), 0o600);
        assert_eq!(mode(&it.folder.path.join(".sweep")), 0o600);
        assert_eq!(mode(subfolder), 0o700);
        assert_eq!(mode(&it.folder.path), 0o700);
        assert_eq!(mode(&it.folder.path.join("damaged")), 0o700);
    }

    #[test]
    fn a_touch_changes_the_time_of_the_file_and_no_byte() {
        let it = fixture();
        let file = it.create(1);
        let before = fs::read(&file).expect("the session's file");
        let later = it.clock.now().saturating_add(5 * HOUR);
        assert!(it.folder.touch(&key(1), later).expect("a live session"));
        assert_eq!(fs::read(&file).expect("the session's file"), before);
        assert_eq!(it.load(1).map(|record| record.expires_at()), Some(later));
        it.clock.advance(4 * HOUR);
        assert!(it.load(1).is_some());
        it.clock.advance(HOUR);
        assert!(it.load(1).is_none());
    }

    #[test]
    fn a_write_after_a_touch_keeps_the_later_expiry() {
        let it = fixture();
        it.create(1);
        let later = it.clock.now().saturating_add(5 * HOUR);
        assert!(it.folder.touch(&key(1), later).expect("a live session"));
        it.folder.update(&key(1), &Patch::default()).expect("a live session");
        assert_eq!(it.load(1).map(|record| record.expires_at()), Some(later));
    }

    #[test]
    fn a_copy_that_lost_its_times_is_as_old_as_its_record() {
        let it = fixture();
        let file = it.create(1);
        let bytes = fs::read(&file).expect("the session's file");
        fs::write(&file, bytes).expect("a restored file");
        File::options()
            .write(true)
            .open(&file)
            .and_then(|file| file.set_modified(UNIX_EPOCH))
            .expect("a restored file");
        assert_eq!(it.load(1).map(|record| record.expires_at()), Some(it.record().expires_at()));
        assert!(matches!(it.folder.delete_expired(), Ok(0)));
        assert!(it.load(1).is_some(), "no sweep goes by the file's time alone");
    }

    #[test]
    fn a_renewal_that_fails_half_way_leaves_the_old_session_alone() {
        let it = fixture();
        // There is room for the session, and not for the name of its successor in the old record.
        let padding = "x".repeat(9_870);
        let mut patch = Patch::default();
        patch
            .set("a".into(), RawValue::from_string(format!("\"{padding}\"")).expect("JSON").into());
        let record = patch.apply_to(&it.record()).expect("a new record takes a patch");
        it.folder.create(&key(1), &record).expect("a writable folder");
        let until = it.clock.now().saturating_add(HOUR);
        let grace = Grace { until, old_id: crate::OldId::ReadsSnapshot };
        let rotated = it.folder.rotate(&key(1), &key(2), &Patch::default(), grace);
        assert!(matches!(rotated, Err(StoreError::TooLarge { .. })), "{rotated:?}");
        assert!(it.load(1).is_some_and(|record| !record.is_retired()));
        assert!(it.load(2).is_none(), "nobody would ever present its id");
    }

    #[test]
    fn renewals_that_cross_do_not_wait_for_each_other() {
        let it = fixture();
        let (done, is_done) = std::sync::mpsc::channel();
        for direction in [[1, 2], [2, 1]] {
            let folder = FileStore::builder(&it.folder.path)
                .clock(it.clock.clone())
                .durability(Durability::Process)
                .folder;
            let (done, record) = (done.clone(), it.record());
            let until = it.clock.now().saturating_add(HOUR);
            std::thread::spawn(move || {
                for n in 0..200 {
                    // The first byte chooses the subfolder.
                    let [old, new] = direction.map(|first| {
                        let mut bytes = [direction[0]; 32];
                        (bytes[0], bytes[1], bytes[2]) = (first, first, n);
                        StoreKey::from_bytes(bytes)
                    });
                    folder.create(&old, &record).expect("a writable folder");
                    let grace = Grace { until, old_id: crate::OldId::ReadsNothing };
                    folder.rotate(&old, &new, &Patch::default(), grace).expect("a writable folder");
                }
                done.send(()).expect("the test waits");
            });
        }
        for _ in 0..2 {
            is_done.recv_timeout(Duration::from_secs(60)).expect("both come to an end");
        }
    }

    #[test]
    fn an_endless_session_does_not_overflow_the_files_time() {
        let it = fixture();
        let endless = Record::new(it.clock.now(), Timestamp::from_unix_ms(u64::MAX));
        it.folder.create(&key(1), &endless).expect("a writable folder");
        assert_eq!(it.load(1).map(|record| record.expires_at()), Some(endless.expires_at()));
        assert!(
            it.folder.touch(&key(1), Timestamp::from_unix_ms(u64::MAX)).expect("a live session")
        );
    }

    #[test]
    fn files_that_are_no_session_are_reported_once_and_kept() {
        for (bytes, says) in [
            (b"".as_slice(), "cut off"),
            (b"{\"v\":1,\"created\":17", "cut off"),
            (b"{\"cookie\":{\"maxAge\":1},\"views\":1}", "does not fit"),
            (b"\0\0\0\0\0\0\0\0", "not JSON"),
            (&[b' '; 10_001], "larger than 10000 bytes"),
        ] {
            let it = fixture();
            fs::write(it.create(1), bytes).expect("a file to damage");
            let text = it.load_damaged(1);
            assert!(text.contains(says), "{text}");
            assert_eq!(fs::read(&it.damaged()[0]).expect("the damaged file"), bytes);
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_planted_link_is_not_followed() {
        let it = fixture();
        let secret = it.root.path().join("secret");
        let other = it.create(2);
        fs::copy(&other, &secret).expect("a session elsewhere");
        let file = it.create(1);
        fs::remove_file(&file).expect("a session's file");
        std::os::unix::fs::symlink(&secret, &file).expect("a link");
        it.load_damaged(1);
        assert!(fs::symlink_metadata(&it.damaged()[0]).expect("the link").is_symlink());
        assert!(secret.exists());
    }

    #[cfg(unix)]
    #[test]
    fn a_planted_link_is_not_written_through() {
        let it = fixture();
        let secret = it.root.path().join("secret");
        fs::write(&secret, "secret").expect("a file elsewhere");
        let file = it.create(1);
        fs::remove_file(&file).expect("a session's file");
        std::os::unix::fs::symlink(&secret, &file).expect("a link");
        for result in [
            it.folder.update(&key(1), &Patch::default()).map(drop),
            it.folder.create(&key(1), &it.record()).map(drop),
        ] {
            drop(result);
        }
        assert_eq!(fs::read(&secret).expect("the file elsewhere"), b"secret");
    }

    #[cfg(unix)]
    #[test]
    fn a_subfolder_that_is_a_link_is_an_error_and_not_followed() {
        let it = fixture();
        let elsewhere = it.root.path().join("elsewhere");
        fs::create_dir(&elsewhere).expect("a folder elsewhere");
        std::os::unix::fs::symlink(&elsewhere, it.folder.path.join("01")).expect("a link");
        assert!(matches!(it.folder.create(&key(1), &it.record()), Err(StoreError::Unavailable(_))));
        assert!(matches!(it.folder.load(&key(1)), Err(StoreError::Unavailable(_))));
        assert_eq!(fs::read_dir(&elsewhere).expect("the folder elsewhere").count(), 0);
    }

    #[test]
    fn a_folder_in_the_place_of_a_file_is_reported() {
        let it = fixture();
        let file = it.create(1);
        fs::remove_file(&file).expect("a session's file");
        fs::create_dir(&file).expect("a folder in its place");
        it.load_damaged(1);
    }

    #[cfg(unix)]
    #[test]
    fn a_pipe_in_the_place_of_a_file_blocks_nobody() {
        let it = fixture();
        let file = it.create(1);
        fs::remove_file(&file).expect("a session's file");
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(rustix::fs::CWD, &file, rustix::fs::FileType::Fifo, mode, 0)
            .expect("a pipe in its place");
        it.load_damaged(1);
    }

    #[test]
    fn damage_that_cannot_be_moved_aside_is_reported_once() {
        let it = fixture();
        fs::write(it.create(1), "").expect("a file to damage");
        fs::write(it.folder.path.join("damaged"), "in the way").expect("a file in the way");
        let error = it.folder.load(&key(1)).expect_err("a damaged session");
        assert!(Chain(&error).to_string().contains("cannot be moved"), "{}", Chain(&error));
        assert!(it.load(1).is_none());
        it.create(1);
        assert!(it.load(1).is_some());
    }

    #[test]
    fn a_later_releases_session_is_left_alone() {
        let it = fixture();
        let file = it.create(1);
        fs::write(&file, br#"{"v":2}"#).expect("a later release's file");
        assert!(matches!(it.folder.load(&key(1)), Err(StoreError::Unavailable(_))));
        assert!(it.folder.update(&key(1), &Patch::default()).is_err());
        it.clock.advance(100 * HOUR);
        it.folder.delete_expired().expect("a readable folder");
        assert_eq!(fs::read(&file).expect("the file"), br#"{"v":2}"#);
    }

    #[test]
    fn a_write_past_the_limit_leaves_the_session_as_it_was() {
        let it = fixture();
        it.create(1);
        let mut patch = Patch::default();
        let large = serde_json::value::to_raw_value(&"x".repeat(10_000)).expect("a string");
        patch.set("large".into(), large.into());
        let error = it.folder.update(&key(1), &patch).expect_err("too large");
        assert!(matches!(error, StoreError::TooLarge { limit: 10_000, .. }), "{error:?}");
        assert_eq!(it.load(1).map(|record| record.version()), Some(0));
    }

    #[test]
    fn a_folder_that_vanished_is_made_again_by_the_next_write() {
        let it = fixture();
        it.create(1);
        fs::remove_dir_all(&it.folder.path).expect("the folder");
        assert!(it.load(1).is_none());
        assert!(matches!(it.folder.update(&key(1), &Patch::default()), Ok(Updated::Gone)));
        assert_eq!(it.folder.delete_expired().expect("nothing to delete"), 0);
        it.create(1);
        assert!(it.load(1).is_some());
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_an_error_at_once() {
        let root = TempDir::new().expect("a temporary folder");
        let in_the_way = root.path().join("file");
        fs::write(&in_the_way, "").expect("a file in the way");
        let error = FileStore::new(in_the_way.join("sessions")).expect_err("no folder");
        let text = Chain(&error).to_string();
        assert!(text.contains("cannot create the folder"), "{text}");
    }

    #[test]
    fn the_sweep_deletes_what_expired_and_what_was_left_behind() {
        let it = fixture();
        let expired = it.create(1);
        it.create(2);
        let later = it.clock.now().saturating_add(5 * HOUR);
        it.folder.touch(&key(2), later).expect("a live session");
        let subfolder = it.folder.place(&key(1)).subfolder;
        let left_behind = subfolder.join(".new-left-behind");
        let foreign = subfolder.join("README");
        fs::write(&left_behind, "half a ses").expect("a left-over");
        fs::write(&foreign, "mine").expect("a foreign file");
        it.clock.advance(HOUR);
        it.create(3);
        assert_eq!(it.folder.delete_expired().expect("a readable folder"), 1);
        assert!(!expired.exists() && !left_behind.exists());
        assert!(foreign.exists() && it.load(2).is_some() && it.load(3).is_some());
    }

    #[test]
    fn the_sweep_runs_in_the_background_and_can_be_turned_off() {
        let sweep = |interval| {
            let it = fixture();
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

    #[test]
    fn one_sweep_at_a_time() {
        let it = fixture();
        it.create(1);
        it.clock.advance(HOUR);
        let lock = it.folder.sweep_lock().expect("a writable folder");
        assert!(lock.is_some());
        assert_eq!(it.folder.delete_expired().expect("a readable folder"), 0);
        drop(lock);
        assert_eq!(it.folder.delete_expired().expect("a readable folder"), 1);
    }

    #[test]
    fn destroying_what_is_damaged_keeps_it_for_somebody_to_look_at() {
        let it = fixture();
        let file = it.create(1);
        fs::write(&file, "half a ses").expect("a file to damage");
        assert!(!it.folder.destroy(&key(1)).expect("nothing to destroy"));
        assert_eq!(fs::read(&it.damaged()[0]).expect("the damaged file"), b"half a ses");
        // It cannot be moved aside: it stays where it is.
        let it = fixture();
        let file = it.create(1);
        fs::write(&file, "half a ses").expect("a file to damage");
        fs::write(it.folder.path.join("damaged"), "in the way").expect("a file in the way");
        assert!(!it.folder.destroy(&key(1)).expect("nothing to destroy"));
        assert_eq!(fs::read(&file).expect("the damaged file"), b"half a ses");
    }

    #[test]
    fn damage_in_a_folder_that_cannot_be_locked_is_reported_once() {
        let it = fixture();
        let file = it.create(1);
        fs::write(&file, "half a ses").expect("a file to damage");
        put_a_folder_in_place_of_the_lock(&it, 1);
        let error = it.folder.load(&key(1)).expect_err("a damaged session");
        assert!(matches!(error, StoreError::Damaged(_)), "{error:?}");
        assert!(it.load(1).is_none(), "after the report it is a miss");
        assert!(file.exists());
    }

    #[test]
    fn a_destruction_that_failed_half_way_can_be_repeated() {
        let it = fixture();
        it.create(1);
        let grace = Grace {
            until: it.clock.now().saturating_add(HOUR),
            old_id: crate::OldId::ReadsSnapshot,
        };
        let rotated = it.folder.rotate(&key(1), &key(2), &Patch::default(), grace);
        assert!(matches!(rotated, Ok(Updated::Applied { .. })));
        let lock = put_a_folder_in_place_of_the_lock(&it, 2);
        assert!(it.folder.destroy(&key(1)).is_err());
        fs::remove_dir(lock).expect("the folder in its place");
        assert!(it.folder.destroy(&key(1)).expect("a retired session"));
        assert!(it.load(1).is_none() && it.load(2).is_none());
    }

    #[test]
    fn records_that_name_each_other_as_successor_can_be_destroyed() {
        let it = fixture();
        let grace = Grace {
            until: it.clock.now().saturating_add(HOUR),
            old_id: crate::OldId::ReadsSnapshot,
        };
        for (n, successor) in [(1, 2), (2, 1)] {
            let retired = it.record().retire(grace, &key(successor));
            it.folder.create(&key(n), &retired).expect("a writable folder");
        }
        assert!(it.folder.destroy(&key(1)).expect("a retired session"));
        assert!(it.load(1).is_none() && it.load(2).is_none());
    }

    #[cfg(unix)]
    #[test]
    fn damaged_files_do_not_leave_through_a_planted_link() {
        let it = fixture();
        let elsewhere = it.root.path().join("elsewhere");
        fs::create_dir(&elsewhere).expect("a folder elsewhere");
        std::os::unix::fs::symlink(&elsewhere, it.folder.path.join("damaged")).expect("a link");
        let file = it.create(1);
        fs::write(&file, "half a ses").expect("a file to damage");
        assert!(matches!(it.folder.load(&key(1)), Err(StoreError::Damaged(_))));
        assert_eq!(fs::read_dir(&elsewhere).expect("the folder elsewhere").count(), 0);
        assert!(file.exists());
    }

    #[cfg(unix)]
    #[test]
    fn a_pipe_in_the_place_of_a_lock_blocks_nobody() {
        let it = fixture();
        let file = it.create(1);
        let lock = file.parent().expect("a subfolder").join(LOCK_FILE);
        fs::remove_file(&lock).expect("the lock's file");
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(rustix::fs::CWD, &lock, rustix::fs::FileType::Fifo, mode, 0)
            .expect("a pipe in its place");
        assert!(matches!(it.folder.destroy(&key(1)), Err(StoreError::Unavailable(_))));
        assert!(it.load(1).is_some(), "reading needs no lock");
    }

    #[test]
    fn a_subfolder_that_cannot_be_swept_keeps_no_other_from_it() {
        let it = fixture();
        let files: Vec<PathBuf> = (1..=9).map(|n| it.create(n)).collect();
        fs::remove_dir_all(it.folder.place(&key(5)).subfolder).expect("a subfolder");
        fs::write(it.folder.place(&key(5)).subfolder, "in the way").expect("a file in the way");
        put_a_folder_in_place_of_the_lock(&it, 3);
        it.clock.advance(HOUR);
        assert!(it.folder.delete_expired().is_err(), "some are left");
        let left: Vec<bool> = files.iter().map(|file| file.exists()).collect();
        assert_eq!(left, [false, false, true, false, false, false, false, false, false]);
    }

    #[cfg(unix)]
    #[test]
    fn the_sweep_does_not_follow_a_planted_link() {
        let it = fixture();
        let elsewhere = it.root.path().join("elsewhere");
        fs::create_dir(&elsewhere).expect("a folder elsewhere");
        fs::write(elsewhere.join(".new-mine"), "mine").expect("a file elsewhere");
        std::os::unix::fs::symlink(&elsewhere, it.folder.path.join("00")).expect("a link");
        let expired = it.create(1);
        it.clock.advance(HOUR);
        drop(it.folder.delete_expired());
        assert!(!expired.exists());
        assert!(elsewhere.join(".new-mine").exists() && !elsewhere.join(LOCK_FILE).exists());
    }

    #[test]
    fn what_a_kill_while_opening_left_behind_is_swept() {
        let it = fixture();
        let left_behind = it.folder.path.join(".new-left-behind");
        fs::write(&left_behind, "").expect("a left-over");
        let foreign = it.folder.path.join("README");
        fs::write(&foreign, "mine").expect("a foreign file");
        it.folder.delete_expired().expect("a readable folder");
        assert!(!left_behind.exists() && foreign.exists());
    }

    /// The lock of a session's subfolder can no longer be taken, by nobody, not even root.
    fn put_a_folder_in_place_of_the_lock(it: &Fixture, n: u8) -> PathBuf {
        let lock = it.folder.place(&key(n)).subfolder.join(LOCK_FILE);
        fs::remove_file(&lock).expect("the lock's file");
        fs::create_dir(&lock).expect("a folder in its place");
        lock
    }
}
