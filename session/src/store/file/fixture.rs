//! A folder with a clock, for the tests of this store.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    task::Poll,
    time::Duration,
};

use serde_json::value::RawValue;
use tempfile::TempDir;

use super::{folder::SessionFolder, lock::LOCK_FILE};
use crate::{
    error::{Chain, StoreError},
    id::StoreKey,
    record::{Grace, OldIdReads, Record},
    store::session_store::CreateOutcome,
    time::{Clock as _, FakeClock},
};

pub(super) const HOUR: Duration = Duration::from_secs(3600);

pub(super) fn key(n: u8) -> StoreKey {
    StoreKey::from_bytes([n; 32])
}

pub(super) fn json(text: &str) -> Arc<RawValue> {
    RawValue::from_string(text.to_owned()).expect("a JSON literal").into()
}

/// The permissions of a file or folder.
#[cfg(unix)]
pub(super) fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt as _;
    fs::metadata(path).expect("an existing path").permissions().mode() & 0o777
}

/// Replaces a file by a pipe.
#[cfg(unix)]
pub(super) fn replace_by_pipe(file: &Path) {
    fs::remove_file(file).expect("a file");
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, file, rustix::fs::FileType::Fifo, mode, 0)
        .expect("a pipe in its place");
}

/// Replaces a file by a symbolic link.
#[cfg(unix)]
pub(super) fn replace_by_link(file: &Path, target: &Path) {
    fs::remove_file(file).expect("a file");
    std::os::unix::fs::symlink(target, file).expect("a link");
}

pub(super) struct Fixture {
    pub(super) root: TempDir,
    pub(super) clock: FakeClock,
    pub(super) folder: SessionFolder,
}

impl Fixture {
    pub(super) fn new() -> Self {
        let root = TempDir::new().expect("a temporary folder");
        let clock = FakeClock::default();
        let folder = SessionFolder {
            clock: Arc::new(clock.clone()),
            max_record_bytes: 10_000,
            ..SessionFolder::new(root.path().join("sessions"))
        };
        folder.check().expect("a writable folder");
        Self { root, clock, folder }
    }

    /// A session that lives for an hour.
    pub(super) fn record(&self) -> Record {
        let now = self.clock.now();
        Record::new(now, now.saturating_add(HOUR))
    }

    pub(super) fn grace(&self) -> Grace {
        Grace { until: self.clock.now().saturating_add(HOUR), old_id: OldIdReads::Snapshot }
    }

    pub(super) fn create(&self, n: u8) -> PathBuf {
        let created = self.folder.create(&key(n), &self.record());
        assert_eq!(created.expect("a writable folder"), CreateOutcome::Stored);
        self.folder.session_path(&key(n)).file
    }

    pub(super) fn load(&self, n: u8) -> Option<Record> {
        let found = self.folder.load(&key(n)).expect("a readable session");
        if let Poll::Ready(at_once) = self.folder.load_at_once(&key(n)) {
            let [found, at_once] =
                [&found, &at_once].map(|it| it.as_ref().map(|record| record.to_bytes()));
            assert_eq!(found, at_once, "both ways of reading find the same");
        }
        found
    }

    /// The files in the folder `damaged`.
    pub(super) fn damaged(&self) -> Vec<PathBuf> {
        let damaged = self.root.path().join("sessions/damaged");
        let folders = fs::read_dir(damaged).into_iter().flatten();
        folders.map(|folder| folder.expect("an entry").path().join("file")).collect()
    }

    /// Loads a damaged session, and checks that it is reported once, kept, and harms no other.
    /// Returns the error.
    pub(super) fn load_damaged(&self, n: u8) -> String {
        self.create(200);
        self.load(200);
        assert!(self.folder.load_at_once(&key(n)).is_pending());
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

    /// Makes the lock of a session's subfolder impossible to take, even for root.
    pub(super) fn block_lock(&self, n: u8) -> PathBuf {
        let lock = self.folder.session_path(&key(n)).subfolder.join(LOCK_FILE);
        fs::remove_file(&lock).expect("the lock's file");
        fs::create_dir(&lock).expect("a folder in its place");
        lock
    }

    /// Makes the folder `damaged` impossible to create.
    pub(super) fn block_damaged_folder(&self) {
        fs::write(self.folder.path.join("damaged"), "in the way").expect("a file in the way");
    }
}
