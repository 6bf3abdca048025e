//! The index: a folder per value of an indexed field, with an empty file per session.
//!
//! The folder is `<store>/index/<first two digits of a hash>/<the other digits>/`. The hash is that
//! of the field's name and value. A file's name is the session's public id and key.
//!
//! A file is created before the session is written, and deleted after that. Nothing is locked: a
//! file that a killed process left behind leads to no session, or to one with another value. A
//! reader deletes such a file, unless it is so young that its session may yet be written.

use std::{
    collections::BTreeSet,
    fs::{self, File, OpenOptions},
    io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};
use tracing::warn;

use super::{
    access::Access,
    durability::Durability,
    file_system::{TEMPORARY_PREFIX, failed_at, names_in, not_a_folder, sync_folder},
    lock::LOCK_FILE,
};
use crate::{
    error::{Chain, StoreError},
    id::StoreKey,
    record::{PublicId, Record},
    store::index_pages::IndexEntry,
};

/// A process that created an entry writes the session within this time, or never.
const SETTLED: Duration = Duration::from_secs(60);

/// How often to create a folder that other calls delete at the same time.
const ATTEMPTS: usize = 100;

/// The paths of a session's entries in the index.
pub(super) fn index_entries(key: &StoreKey, record: &Record) -> BTreeSet<PathBuf> {
    let Some(index) = record.index() else { return BTreeSet::new() };
    let file = file_name((index.public_id(), *key));
    record.indexed_fields().map(|(name, json)| value_folder(name, json).join(&file)).collect()
}

fn value_folder(name: &str, value: &RawValue) -> PathBuf {
    // OK because the name of an indexed field has no line break.
    let hash: [u8; 32] = Sha256::digest(format!("{name}\n{}", value.get())).into();
    let hash = StoreKey::from_bytes(hash).to_hex();
    Path::new(&hash[..2]).join(&hash[2..])
}

fn file_name((id, key): IndexEntry) -> String {
    format!("{id}-{}", key.to_hex())
}

fn parse(name: &str) -> Option<IndexEntry> {
    let (id, key) = name.split_once('-')?;
    Some((id.parse().ok()?, StoreKey::from_hex(key).ok()?))
}

/// The name of the index's folder, in the store's folder.
pub(super) const INDEX_FOLDER: &str = "index";

/// The folder of the index.
pub(super) struct IndexFolder {
    path: PathBuf,
    access: Access,
    durability: Durability,
}

impl IndexFolder {
    pub(super) fn new(store: &Path, access: Access, durability: Durability) -> Self {
        Self { path: store.join(INDEX_FOLDER), access, durability }
    }

    /// Creates the entries that do not exist yet.
    pub(super) fn add(&self, entries: &BTreeSet<PathBuf>) -> Result<(), StoreError> {
        for entry in entries {
            let path = self.path.join(entry);
            self.create(&path).map_err(|error| self.failed("write to the index", &path, error))?;
        }
        Ok(())
    }

    fn create(&self, path: &Path) -> io::Result<()> {
        let folder = path.parent().expect("an entry lies in a folder");
        // A link would lead out of the store.
        if fs::symlink_metadata(&self.path).is_ok_and(|metadata| !metadata.is_dir()) {
            return Err(not_a_folder());
        }
        let must_sync = self.durability != Durability::Process;
        let mut attempts = 0..ATTEMPTS;
        loop {
            if !folder.is_dir() {
                match self.access.create_folder(folder) {
                    // Another call has created the folder meanwhile, and may have deleted it again.
                    // Or a file is in its place.
                    Err(error)
                        if error.kind() == io::ErrorKind::AlreadyExists
                            && attempts.next().is_some() =>
                    {
                        continue;
                    }
                    created => created?,
                }
                if must_sync {
                    // The folders above it may be new too.
                    folder.ancestors().skip(1).take(3).try_for_each(sync_folder)?;
                }
            }
            match self.create_file(path) {
                Ok(()) => {}
                // Another call has deleted the last entry meanwhile, and the folder with it.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            }
            return if must_sync { sync_folder(folder) } else { Ok(()) };
        }
    }

    /// Creates an empty file, or makes an existing one young.
    fn create_file(&self, path: &Path) -> io::Result<()> {
        match self.access {
            Access::Owner => create_file(path)?.set_modified(SystemTime::now()),
            // A new file, because only the owner may set a file's time.
            Access::Group => {
                let folder = path.parent().expect("an entry lies in a folder");
                self.access.temporary_file(folder)?.persist(path)?;
                Ok(())
            }
        }
    }

    /// Deletes entries. An entry that cannot be deleted is logged and stays.
    pub(super) fn remove<'a>(&self, entries: impl IntoIterator<Item = &'a PathBuf>) {
        for entry in entries {
            let path = self.path.join(entry);
            match fs::remove_file(&path) {
                Ok(()) => {
                    // OK because it only fails if the folder has other entries.
                    let _ = path.parent().map(fs::remove_dir);
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    warn!(
                        event = "index_entry_left",
                        "{}",
                        Chain(&self.failed("delete from the index", &path, error))
                    );
                }
            }
        }
    }

    /// Deletes an entry that leads to no session, unless it is young.
    pub(super) fn remove_stale(&self, name: &str, value: &RawValue, entry: IndexEntry) {
        let path = value_folder(name, value).join(file_name(entry));
        if is_settled(&self.path.join(&path)) {
            self.remove([&path]);
        }
    }

    /// Returns the first entries of a value after an id, sorted by id.
    pub(super) fn entries(
        &self,
        name: &str,
        value: &RawValue,
        after: Option<PublicId>,
        limit: usize,
    ) -> Result<Vec<IndexEntry>, StoreError> {
        let folder = self.path.join(value_folder(name, value));
        let mut entries: Vec<IndexEntry> = names(&folder)
            .map_err(|error| self.failed("read the index", &folder, error))?
            .iter()
            .filter_map(|name| parse(name))
            .filter(|(id, _)| after.is_none_or(|after| *id > after))
            .collect();
        entries.sort_unstable();
        entries.truncate(limit);
        Ok(entries)
    }

    /// Deletes the entries of sessions that do not exist.
    pub(super) fn sweep(&self, exists: impl Fn(&StoreKey) -> bool) -> Result<(), StoreError> {
        let names = |path: &Path| {
            let path = self.path.join(path);
            names(&path).map_err(|error| self.failed("read the index", &path, error))
        };
        for first in names(Path::new(""))? {
            for rest in names(Path::new(&first))?.iter().filter(|rest| *rest != LOCK_FILE) {
                let folder = Path::new(&first).join(rest);
                for name in names(&folder)? {
                    let path = folder.join(&name);
                    if name.starts_with(TEMPORARY_PREFIX) && is_settled(&self.path.join(&path)) {
                        // A killed process left it behind.
                        self.remove([&path]);
                    }
                    let Some((_, key)) = parse(&name) else { continue };
                    if !exists(&key) && is_settled(&self.path.join(&path)) {
                        self.remove([&path]);
                    }
                }
            }
        }
        Ok(())
    }

    /// An error that names the index only: an entry's path has the session's key and a hash of the
    /// value.
    fn failed(&self, action: &'static str, path: &Path, error: io::Error) -> StoreError {
        // The owner is that of the folder of the first two digits, which reveal nothing.
        let depth = self.path.components().count() + 1;
        let culprit: PathBuf = path.components().take(depth).collect();
        failed_at(action, &self.path, &culprit, error)
    }
}

/// Creates an empty file that only its owner can use.
fn create_file(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// Lists the names in a folder. A missing folder has none.
fn names(folder: &Path) -> io::Result<Vec<String>> {
    let read = || -> io::Result<Vec<String>> {
        if !fs::symlink_metadata(folder)?.is_dir() {
            return Err(not_a_folder());
        }
        names_in(folder)
    };
    match read() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        names => names,
    }
}

/// Whether the process that created an entry has had enough time to write the session.
fn is_settled(path: &Path) -> bool {
    let created = fs::symlink_metadata(path).and_then(|metadata| metadata.modified());
    // An entry from the future, before the clock was set back, counts as young.
    created.is_ok_and(|created| created.elapsed().is_ok_and(|age| age > SETTLED))
}

#[cfg(test)]
mod tests {
    use std::thread;

    use tempfile::TempDir;

    use super::*;
    use crate::{
        record::{Index, Patch},
        store::{
            capabilities::{DeleteExpired as _, FindByIndex as _},
            file::{
                FileStore,
                fixture::{HOUR, json, key, mode},
            },
            session_store::{CreateOutcome, LoadOptions, SessionStore as _, UpdateOutcome},
        },
        time::{Clock as _, FakeClock, Timestamp},
    };

    struct IndexFixture {
        root: TempDir,
        clock: FakeClock,
        store: FileStore,
    }

    fn fixture() -> IndexFixture {
        let root = TempDir::new().expect("a temporary folder");
        let clock = FakeClock::default();
        let store = open(&root, &clock);
        IndexFixture { root, clock, store }
    }

    fn open(root: &TempDir, clock: &FakeClock) -> FileStore {
        FileStore::builder(root.path())
            .clock(clock.clone())
            .sweep_interval(None)
            .build()
            .expect("a writable folder")
    }

    impl IndexFixture {
        fn patch(&self, user: &str) -> Patch {
            let mut patch = Patch::default();
            patch.set("user".into(), json(user));
            let id = PublicId::new(self.clock.now(), HOUR * 9);
            patch.index_field(Index::new(id, "user".into()));
            patch
        }

        /// A session that lives for an hour.
        fn record(&self, user: &str) -> Record {
            let now = self.clock.now();
            let new = Record::new(now, now.saturating_add(HOUR));
            self.patch(user).apply_to(&new).expect("a live record takes a patch")
        }

        async fn create(&self, n: u8, user: &str) {
            let created = self.store.create(&key(n), &self.record(user)).await;
            assert!(matches!(created, Ok(CreateOutcome::Stored)), "{created:?}");
        }

        async fn found(&self, user: &str) -> Vec<StoreKey> {
            found(&self.store, user).await
        }

        /// Leaves an entry behind, like a process that was killed before it stored the session.
        fn orphan(&self, n: u8, user: &str) -> PathBuf {
            let entries = index_entries(&key(n), &self.record(user));
            let index = IndexFolder::new(self.root.path(), Access::Owner, Durability::Process);
            index.add(&entries).expect("a writable folder");
            let entry = entries.first().expect("one field is indexed");
            self.root.path().join("index").join(entry)
        }

        fn entries(&self) -> usize {
            self.files().len()
        }

        fn files(&self) -> Vec<PathBuf> {
            let mut folders = vec![self.root.path().join("index")];
            let mut files = Vec::new();
            while let Some(folder) = folders.pop() {
                for name in names(&folder).expect("a readable folder") {
                    let path = folder.join(name);
                    if path.is_dir() { folders.push(path) } else { files.push(path) }
                }
            }
            files
        }
    }

    async fn found(store: &FileStore, user: &str) -> Vec<StoreKey> {
        let found = store.find("user", &json(user), None, 100).await.expect("a readable folder");
        found.sessions.into_iter().map(|(key, _)| key).collect()
    }

    /// Makes an entry old enough to be deleted.
    fn age(path: &Path) {
        let file = OpenOptions::new().write(true).open(path).expect("the entry");
        let then = SystemTime::now() - SETTLED - Duration::from_secs(1);
        file.set_modified(then).expect("a writable file");
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn entries_and_their_folders_are_their_owners_only() {
        let it = fixture();
        let entry = it.orphan(1, "7");
        assert_eq!(mode(&entry), 0o600);
        for folder in entry.ancestors().skip(1).take(3) {
            assert_eq!(mode(folder), 0o700, "{folder:?}");
        }
    }

    #[tokio::test]
    async fn an_entry_without_a_session_finds_nothing_and_is_deleted_later() {
        let it = fixture();
        it.create(1, "7").await;
        let orphan = it.orphan(2, "7");
        assert_eq!(it.found("7").await, [key(1)]);
        assert!(orphan.exists(), "its session may yet be stored");
        it.create(2, "7").await;
        assert_eq!(it.found("7").await.len(), 2, "now it is stored");
        let orphan = it.orphan(3, "7");
        age(&orphan);
        assert_eq!(it.found("7").await.len(), 2);
        assert!(!orphan.exists());
    }

    #[tokio::test]
    async fn an_entry_of_an_old_value_finds_nothing_and_is_deleted_later() {
        let it = fixture();
        it.create(1, "7").await;
        // The value was 8 before, and its entry is still there.
        let left = it.orphan(1, "8");
        assert_eq!(it.found("8").await, []);
        age(&left);
        assert_eq!(it.found("8").await, []);
        assert!(!left.exists());
        assert_eq!(it.found("7").await, [key(1)]);
    }

    #[tokio::test]
    async fn the_index_has_no_entry_of_sessions_that_were_changed_renewed_and_destroyed() {
        let it = fixture();
        it.create(1, "7").await;
        let updated = it.store.update(&key(1), &it.patch("8")).await;
        assert!(matches!(updated, Ok(UpdateOutcome::Applied { .. })), "{updated:?}");
        assert_eq!(it.entries(), 1, "one value, one entry");
        let grace = crate::record::Grace {
            until: it.clock.now().saturating_add(HOUR),
            old_id: crate::record::OldIdReads::Snapshot,
        };
        let rotated = it.store.rotate(&key(1), &key(2), &Patch::default(), grace).await;
        assert!(matches!(rotated, Ok(UpdateOutcome::Applied { .. })), "{rotated:?}");
        assert_eq!((it.entries(), it.found("8").await), (1, vec![key(2)]));
        assert!(it.store.destroy(&key(1)).await.expect("a writable folder"));
        assert_eq!(it.entries(), 0);
    }

    #[tokio::test]
    async fn the_sweep_deletes_the_entries_of_sessions_that_have_ended() {
        let it = fixture();
        it.create(1, "7").await;
        it.create(2, "7").await;
        let (old, young) = (it.orphan(3, "7"), it.orphan(4, "8"));
        age(&old);
        it.store
            .touch(&key(2), it.clock.now().saturating_add(HOUR * 2))
            .await
            .expect("it is there");
        it.clock.advance(HOUR);
        it.store.delete_expired().await.expect("a writable folder");
        assert!(!old.exists() && young.exists());
        // The entry of the session that has just expired is young, too.
        assert_eq!(it.entries(), 3);
        it.clock.advance(HOUR * 8);
        it.store.delete_expired().await.expect("a writable folder");
        it.files().iter().for_each(|entry| age(entry));
        it.store.delete_expired().await.expect("a writable folder");
        assert_eq!(it.entries(), 0, "by now all of them have expired");
    }

    #[tokio::test]
    async fn a_session_that_outlives_what_its_index_expects_is_still_found() {
        let it = fixture();
        it.create(1, "7").await;
        // The absolute lifetime was raised since the session began.
        it.store
            .touch(&key(1), it.clock.now().saturating_add(HOUR * 24 * 365))
            .await
            .expect("it is there");
        it.clock.advance(HOUR * 24 * 30);
        it.files().iter().for_each(|entry| age(entry));
        it.store.delete_expired().await.expect("a writable folder");
        assert_eq!(it.found("7").await, [key(1)]);
    }

    #[tokio::test]
    async fn another_process_and_a_restarted_one_find_the_sessions() {
        let it = fixture();
        let other = open(&it.root, &it.clock);
        it.create(1, "7").await;
        assert_eq!(found(&other, "7").await, [key(1)]);
        other.destroy(&key(1)).await.expect("a writable folder");
        assert_eq!(it.found("7").await, []);
        it.create(2, "7").await;
        drop((it.store, other));
        assert_eq!(found(&open(&it.root, &it.clock), "7").await, [key(2)]);
    }

    #[test]
    fn an_entry_is_created_while_others_delete_the_last_one_of_the_folder() {
        let it = fixture();
        let index = IndexFolder::new(it.root.path(), Access::Owner, Durability::Process);
        let [mine, yours] = [1, 2].map(|n| index_entries(&key(n), &it.record("7")));
        thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..2_000 {
                    index.add(&yours).expect("a writable folder");
                    index.remove(&yours);
                }
            });
            for _ in 0..2_000 {
                index.add(&mine).expect("the folder is created again");
                assert!(mine.iter().all(|entry| it.root.path().join("index").join(entry).exists()));
                index.remove(&mine);
            }
        });
    }

    #[tokio::test]
    async fn an_index_that_cannot_be_written_to_keeps_the_session_as_it_was() {
        let it = fixture();
        fs::write(it.root.path().join("index"), "in the way").expect("a file in the way");
        let refused = it.store.create(&key(1), &it.record("7")).await;
        assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
        assert!(
            it.store
                .load(&key(1), &LoadOptions::default())
                .await
                .expect("a readable folder")
                .is_none()
        );
        assert!(it.store.find("user", &json("7"), None, 1).await.is_err());
        let plain = Record::new(it.clock.now(), it.clock.now().saturating_add(HOUR));
        let created = it.store.create(&key(1), &plain).await;
        assert!(
            matches!(created, Ok(CreateOutcome::Stored)),
            "a session without an index is stored"
        );
    }

    #[tokio::test]
    async fn a_damaged_session_hides_no_other() {
        let it = fixture();
        it.create(1, "7").await;
        it.create(2, "7").await;
        let name = key(1).to_hex();
        fs::write(it.root.path().join(&name[..2]).join(&name[2..]), "half a ses").expect("a file");
        assert_eq!(it.found("7").await, [key(2)]);
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn the_index_does_not_leave_through_a_planted_link() {
        let it = fixture();
        let elsewhere = TempDir::new().expect("a temporary folder");
        std::os::unix::fs::symlink(elsewhere.path(), it.root.path().join("index")).expect("a link");
        assert!(it.store.create(&key(1), &it.record("7")).await.is_err());
        assert_eq!(fs::read_dir(elsewhere.path()).expect("the folder elsewhere").count(), 0);
    }

    #[test]
    fn foreign_files_are_not_entries() {
        for name in ["", "-", ".lock", "0123456789abcdef0123456789ab", "x-y"] {
            assert_eq!(parse(name), None, "{name}");
        }
        let entry = (PublicId::new(Timestamp::from_unix_ms(5), HOUR), key(7));
        assert_eq!(parse(&file_name(entry)), Some(entry));
    }
}
