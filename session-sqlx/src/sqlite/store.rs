//! The store: what all handles share, and where calls run.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant},
};

use actix_typed_session::{StoreError, Timestamp};
use rusqlite::{Connection, ErrorCode, OpenFlags};
use tokio::{
    sync::{Mutex, oneshot},
    time::{sleep, timeout},
};

use super::{
    builder::SqliteStoreBuilder,
    readers::Readers,
    tables::{Failure, Tables},
    writer::{Change, Job, Writer},
};
use crate::config::{Settings, SqlConfigError};

/// Keeps sessions in a file of SQLite: the store for one machine.
///
/// Each change is on the disk before its response leaves, and survives a power cut. One thread
/// writes, and commits the changes of concurrent requests together, so they share the wait for the
/// disk. Reads wait for no write: the file is in the WAL mode. A read takes some microseconds and
/// runs on the thread of its request.
///
/// Several processes of one machine may share the file. Network file systems do not work, because
/// they do not lock as SQLite needs it. The file and its companions `-wal`, `-shm` and `-lock` can
/// be used by their owner only (mode 0600). The file may have tables of the application too.
///
/// If other processes hold the file for longer than the
/// [time limit](SqliteStoreBuilder::time_limit), or the disk is full, clients get a 503. Expired
/// sessions are deleted in the background.
///
/// A clone is a handle to the same store.
///
/// # Examples
/// ```
/// use actix_typed_session::SessionMiddleware;
/// use actix_typed_session_sqlx::SqliteStore;
///
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("sessions.db");
/// let sessions = SessionMiddleware::new(SqliteStore::new(path)?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct SqliteStore(pub(super) Arc<Inner>);

pub(super) struct Inner {
    path: PathBuf,
    pub(super) tables: Arc<Tables>,
    pub(super) settings: Arc<Settings>,
    jobs: mpsc::Sender<Box<dyn Job>>,
    readers: Readers,
    /// Held by the action of `exclusively` that this process runs.
    pub(super) action: Mutex<()>,
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore").field("path", &self.0.path).finish_non_exhaustive()
    }
}

impl SqliteStore {
    /// Opens a store with the default settings. Makes the file and its tables if they are missing;
    /// the folder must exist.
    ///
    /// # Errors
    /// The file cannot be used: its folder is missing, it is not a database, or a later release has
    /// made its tables.
    pub fn new(path: impl AsRef<Path>) -> Result<Self, SqlConfigError> {
        Self::builder(path).build()
    }

    /// Returns the settings of a store in this file.
    pub fn builder(path: impl AsRef<Path>) -> SqliteStoreBuilder {
        SqliteStoreBuilder::new(path.as_ref())
    }

    /// Returns the file, as an absolute path.
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    pub(super) fn open(
        path: &Path,
        settings: Settings,
        must_exist: bool,
    ) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        if path.as_os_str() == ":memory:" {
            return Err("SQLite would make a database for each connection; use MemoryStore".into());
        }
        let path = std::path::absolute(path)?;
        if must_exist {
            fs::metadata(&path)?;
        } else {
            make_private(&path)?;
        }
        let tables = Arc::new(Tables::new(&settings.table));
        let settings = Arc::new(settings);
        if must_exist {
            tables.check(&existing(&path, settings.time_limit)?).map_err(StoreError::from)?;
        }
        let connection = connect(&path, settings.time_limit)?;
        if !must_exist {
            make_tables(&connection, &tables).map_err(StoreError::from)?;
        }
        let (jobs, receiver) = mpsc::channel();
        let writer = Writer {
            connection,
            tables: Arc::clone(&tables),
            settings: Arc::clone(&settings),
            jobs: receiver,
        };
        thread::Builder::new().name("session-writer".into()).spawn(|| writer.run())?;
        let (readers, action) = (Readers::new(&path), Mutex::default());
        let inner = Inner { path, tables, settings, jobs, readers, action };
        Ok(Self(Arc::new(inner)))
    }

    /// Makes a change on the thread that writes, and waits until it is on the disk.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Tables, &Connection, Timestamp) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (answer, answered) = oneshot::channel();
        let change = Change { work: Some(work), outcome: None, answer };
        let ended = |_| StoreError::internal("the thread that writes has ended");
        self.0.jobs.send(Box::new(change)).map_err(|_| ended(()))?;
        match timeout(self.0.settings.time_limit, answered).await {
            Ok(outcome) => outcome.map_err(|_| ended(()))?,
            Err(_) => Err(StoreError::unavailable("SQLite did not write within the time limit")),
        }
    }

    /// Reads on this thread. It waits only if SQLite is just recovering the file after a crash.
    pub(super) async fn read<T>(
        &self,
        work: impl Fn(&Tables, &Connection, Timestamp) -> Result<T, Failure>,
    ) -> Result<T, StoreError> {
        let start = Instant::now();
        loop {
            let now = self.0.settings.clock.now();
            let result =
                self.0.readers.with(|connection| Ok(work(&self.0.tables, connection, now)));
            match result.unwrap_or_else(|error| Err(error.into())) {
                Err(Failure::Sqlite(error))
                    if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy)
                        && start.elapsed() < self.0.settings.time_limit =>
                {
                    sleep(Duration::from_millis(2)).await;
                }
                result => return Ok(result?),
            }
        }
    }

    /// The file whose lock the actions of `exclusively` hold.
    pub(super) fn lock_file(&self) -> io::Result<fs::File> {
        let mut path = self.0.path.clone().into_os_string();
        path.push("-lock");
        open_private(Path::new(&path))
    }
}

/// Makes the file if it is missing. SQLite gives its companions the same permissions.
fn make_private(path: &Path) -> io::Result<()> {
    open_private(path).map(|_| ())
}

fn open_private(path: &Path) -> io::Result<fs::File> {
    let mut options = fs::OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// Opens a file of which nothing is known yet, and changes nothing in it.
fn existing(path: &Path, time_limit: Duration) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(time_limit)?;
    connection.pragma_update(None, "query_only", true)?;
    Ok(connection)
}

fn connect(path: &Path, time_limit: Duration) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(time_limit)?;
    connection.set_prepared_statement_cache_capacity(64);
    let start = Instant::now();
    // The busy timeout is not for this statement.
    while let Err(error) = connection.pragma_update(None, "journal_mode", "wal") {
        if error.sqlite_error_code() != Some(ErrorCode::DatabaseBusy)
            || start.elapsed() > time_limit
        {
            return Err(error);
        }
        thread::sleep(Duration::from_millis(5));
    }
    connection.pragma_update(None, "synchronous", "full")?;
    Ok(connection)
}

fn make_tables(connection: &Connection, tables: &Tables) -> Result<(), Failure> {
    connection.execute_batch("BEGIN IMMEDIATE")?;
    tables.make(connection)?;
    connection.execute_batch("COMMIT")?;
    Ok(())
}
