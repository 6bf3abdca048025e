//! Sessions in files: the default store.
//!
//! A session is the file `<folder>/<first two digits of its key>/<the rest>`. It is read without a lock,
//! because a rename replaces it as a whole, and written under the lock of its subfolder, which
//! excludes threads and processes alike. `<folder>/damaged` holds what was no session.
//!
//! The expiry is in the record, and once more as the file's modification time. The later one counts,
//! so `touch` moves the time and writes no data, and the sweep reads no data. A backup that loses the
//! times loses no session; it only undoes touches.

use std::{
    collections::HashSet,
    fmt,
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tracing::warn;

use crate::{
    error::{Cause, Chain, StoreError},
    expiry::{Clock, SystemClock, Timestamp},
    id::StoreKey,
    patch::Patch,
    record::{Grace, Record, RecordError},
    store::{Created, DeleteExpired, SessionStore, Updated, sweeper::Sweeper},
};

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
    /// may be missing. Costs one `fsync` for each write.
    #[default]
    Power,
    /// What was reported as stored survives a power cut. Costs a second `fsync`, of the folder, for each
    /// write.
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
struct Place {
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

    fn place(&self, key: &StoreKey) -> Place {
        let name = key.to_hex();
        let subfolder = self.path.join(&name[..2]);
        let file = subfolder.join(&name[2..]);
        Place { subfolder, file }
    }

    /// Locks a subfolder for writing, and creates it if it is missing.
    fn lock(&self, subfolder: &Path) -> Result<Lock, StoreError> {
        match self.lock_existing(subfolder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => create_folder(subfolder)
                .and_then(|()| self.sync_folder(&self.path))
                .and_then(|()| self.lock_existing(subfolder))
                .map_err(|error| failed("lock the folder", subfolder, error)),
            result => result.map_err(|error| failed("lock the folder", subfolder, error)),
        }
    }

    fn lock_existing(&self, subfolder: &Path) -> io::Result<Lock> {
        if !fs::symlink_metadata(subfolder)?.is_dir() {
            return Err(not_a_folder());
        }
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).write(true);
        owner_only(&mut options);
        let file = options.open(subfolder.join(LOCK_FILE))?;
        file.lock()?;
        Ok(Lock { _file: file })
    }

    /// Locks one or two subfolders, in the order of their names, so that no two calls wait for each
    /// other.
    fn lock_both(&self, a: &Place, b: &Place) -> Result<[Option<Lock>; 2], StoreError> {
        let first = a.subfolder.as_path().min(&b.subfolder);
        let second = a.subfolder.as_path().max(&b.subfolder);
        let first_lock = self.lock(first)?;
        let second_lock = if first == second { None } else { Some(self.lock(second)?) };
        Ok([Some(first_lock), second_lock])
    }

    /// Reads the session at a place, if there is one that has not expired.
    fn read(&self, key: &StoreKey, place: &Place) -> Result<Option<Record>, StoreError> {
        match self.read_file(&place.file) {
            Ok(record) => Ok(record.filter(|record| !record.is_expired(self.clock.now()))),
            Err(Unreadable::Elsewhere(error)) => Err(failed("read", &place.subfolder, error)),
            Err(Unreadable::Newer(error)) => Err(error.into()),
            Err(Unreadable::Damaged(cause)) => match self.set_aside(key, place, cause) {
                Some(error) => Err(error),
                None => Ok(None),
            },
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
    /// error, unless it is known already.
    fn set_aside(&self, key: &StoreKey, place: &Place, cause: Cause) -> Option<StoreError> {
        let damaged = self.path.join("damaged");
        let moved = || -> io::Result<PathBuf> {
            create_folder(&damaged)?;
            // A folder of its own per file, so that nothing is overwritten.
            let folder = tempfile::Builder::new().prefix("session-").tempdir_in(&damaged)?;
            fs::rename(&place.file, folder.path().join("file"))?;
            Ok(folder.keep())
        };
        let kept = match moved() {
            Ok(folder) => Some(folder),
            Err(_) => {
                let mut reported = self.reported.lock().unwrap_or_else(PoisonError::into_inner);
                if reported.len() >= MOST_REPORTED {
                    reported.clear();
                }
                if !reported.insert(*key) {
                    return None;
                }
                None
            }
        };
        Some(StoreError::damaged(Damaged { folder: place.subfolder.clone(), kept, cause }))
    }

    /// Puts a record in its place, as a whole. The caller has the lock.
    fn write(&self, place: &Place, record: &Record) -> Result<(), StoreError> {
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
            self.sync_folder(&place.subfolder)
        };
        written().map_err(|error| failed("write to the folder", &place.subfolder, error))
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        if cfg!(unix) && self.durability == Durability::PowerAtOnce {
            File::open(folder)?.sync_all()?;
        }
        Ok(())
    }

    /// Removes a file. Reports whether it was there. The caller has the lock.
    fn remove(&self, place: &Place) -> Result<bool, StoreError> {
        match fs::remove_file(&place.file) {
            Ok(()) => self
                .sync_folder(&place.subfolder)
                .map(|()| true)
                .map_err(|error| failed("sync the folder", &place.subfolder, error)),
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
            Err(Unreadable::Damaged(_)) => {
                let _lock = self.lock(&place.subfolder)?;
                self.read(key, &place)
            }
            Err(Unreadable::Elsewhere(error)) => Err(failed("read", &place.subfolder, error)),
            Err(Unreadable::Newer(error)) => Err(error.into()),
        }
    }

    fn update(&self, key: &StoreKey, patch: &Patch) -> Result<Updated, StoreError> {
        let place = self.place(key);
        let Some(_lock) = self.lock_if_there(&place)? else { return Ok(Updated::Gone) };
        let Some(current) = self.read(key, &place)? else { return Ok(Updated::Gone) };
        match patch.apply_to(&current) {
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
            open_file(&place.file)
                .and_then(|file| file.set_modified(to_system_time(expires_at)))
                .map_err(|error| failed("touch a file in", &place.subfolder, error))?;
        }
        Ok(true)
    }

    fn destroy(&self, key: &StoreKey) -> Result<bool, StoreError> {
        let mut there = false;
        let mut next = Some(*key);
        while let Some(key) = next.take() {
            let place = self.place(&key);
            let Some(_lock) = self.lock_if_there(&place)? else { break };
            let record = match self.read(&key, &place) {
                Ok(record) => record,
                // It has been moved aside, or is removed now: either way the session is gone.
                Err(StoreError::Damaged(_)) => None,
                Err(error) => return Err(error),
            };
            self.remove(&place)?;
            there |= record.is_some();
            next = record.and_then(|record| record.successor().copied());
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
        self.write(&new_place, &moved)?;
        if let Err(error) = self.write(&old_place, &current.retire(grace, new)) {
            // The caller keeps the old id, so nobody would ever present the new one.
            self.remove(&new_place)?;
            return Err(error);
        }
        Ok(Updated::Applied { version: moved.version() })
    }

    /// Locks the subfolder of a session that may be there; `None` if the subfolder is not.
    fn lock_if_there(&self, place: &Place) -> Result<Option<Lock>, StoreError> {
        match self.lock_existing(&place.subfolder) {
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
        for subfolder in subfolders {
            let subfolder =
                subfolder.map_err(|error| failed("read the folder", &self.path, error))?;
            let name = subfolder.file_name();
            let Some(name) = name.to_str().filter(|name| is_hex(name, 2)) else { continue };
            deleted += self.delete_expired_in(name)?;
        }
        Ok(deleted)
    }

    fn sweep_lock(&self) -> Result<Option<Lock>, StoreError> {
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).write(true);
        owner_only(&mut options);
        let path = self.path.join(".sweep");
        let file = options.open(&path).map_err(|error| failed("open", &path, error))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Lock { _file: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(failed("lock", &path, error)),
        }
    }

    fn delete_expired_in(&self, name: &str) -> Result<u64, StoreError> {
        let subfolder = self.path.join(name);
        let entries = match fs::read_dir(&subfolder) {
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
                Ok(_) => {}
                // Reported when somebody asks for it; here it is only in the way of nobody.
                Err(_) => {}
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
    kept: Option<PathBuf>,
    cause: Cause,
}

impl fmt::Display for Damaged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "something in `{}` is no session", self.folder.display())?;
        match &self.kept {
            Some(kept) => write!(f, "; it is kept in `{}`", kept.display()),
            None => write!(f, " and cannot be moved to the folder `damaged`; it is ignored"),
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

/// Opens a session's file, and nothing that somebody put in its place.
fn open_file(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    {
        use rustix::fs::OFlags;
        // A pipe would block without NONBLOCK.
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
        std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, flags.bits().cast_signed());
    }
    options.open(path)
}

fn owner_only(options: &mut OpenOptions) {
    #[cfg(unix)]
    {
        use rustix::fs::OFlags;
        std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
        let flags = OFlags::NOFOLLOW;
        std::os::unix::fs::OpenOptionsExt::custom_flags(options, flags.bits().cast_signed());
    }
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
    use crate::expiry::FakeClock;

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
}
