//! The index of the file store: `<folder>/index/<first two digits of the hash of a field's name and value>/<the
//! rest>/` has an empty file for each session with this value, called by the session's public id and key.
//!
//! Files are created before the session is written and deleted after it was, and nobody locks anything: what a
//! killed process has left behind leads to no session, or to one with another value. Whoever finds such a file
//! deletes it, unless it is so young that somebody may be about to write the session.

use std::{
    collections::BTreeSet,
    fs::{self, OpenOptions},
    io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};
use tracing::warn;

use super::{Durability, create_folder, failed, not_a_folder, sync_folder};
use crate::{
    error::{Chain, StoreError},
    id::StoreKey,
    record::{PublicId, Record},
    store::index_pages::IndexEntry,
    time::Timestamp,
};

/// A process that has created a session's entry writes the session within this time, or never.
const SETTLED: Duration = Duration::from_secs(60);

/// How often a folder that is there and not there is looked for again.
const ATTEMPTS: usize = 100;

/// The entries of a session: where each lies in the index, and what it is called.
pub(super) fn indexed(key: &StoreKey, record: &Record) -> BTreeSet<PathBuf> {
    let Some(index) = record.index() else { return BTreeSet::new() };
    let file = file_name((index.public_id(), *key));
    record.indexed_fields().map(|(name, json)| subfolder(name, json).join(&file)).collect()
}

fn subfolder(name: &str, value: &RawValue) -> PathBuf {
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
    Some((id.parse().ok()?, StoreKey::from_hex(key)?))
}

/// The index.
pub(super) struct Values {
    folder: PathBuf,
    durability: Durability,
}

impl Values {
    pub(super) fn new(store: &Path, durability: Durability) -> Self {
        Self { folder: store.join("index"), durability }
    }

    /// Creates entries that are not there yet.
    pub(super) fn add(&self, entries: &BTreeSet<PathBuf>) -> Result<(), StoreError> {
        for entry in entries {
            self.create(&self.folder.join(entry))
                .map_err(|error| self.failed("write to the index", error))?;
        }
        Ok(())
    }

    fn create(&self, path: &Path) -> io::Result<()> {
        let folder = path.parent().expect("an entry lies in a folder");
        let is_kept = self.durability != Durability::Process;
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        // A link would lead elsewhere.
        if fs::symlink_metadata(&self.folder).is_ok_and(|metadata| !metadata.is_dir()) {
            return Err(not_a_folder());
        }
        let mut attempts = 0..ATTEMPTS;
        loop {
            if !folder.is_dir() {
                match create_folder(folder) {
                    // Somebody else has created it meanwhile, and perhaps deleted it again; or a file is in the way.
                    Err(error)
                        if error.kind() == io::ErrorKind::AlreadyExists
                            && attempts.next().is_some() =>
                    {
                        continue;
                    }
                    created => created?,
                }
                if is_kept {
                    // Those above may be new too.
                    folder.ancestors().skip(1).take(3).try_for_each(sync_folder)?;
                }
            }
            match options.open(path) {
                Ok(file) => file.set_modified(SystemTime::now())?,
                // Its last entry was deleted meanwhile, and the folder with it.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            }
            return if is_kept { sync_folder(folder) } else { Ok(()) };
        }
    }

    /// Deletes entries. What fails is left for whoever finds it.
    pub(super) fn remove<'a>(&self, entries: impl IntoIterator<Item = &'a PathBuf>) {
        for entry in entries {
            let path = self.folder.join(entry);
            match fs::remove_file(&path) {
                Ok(()) => {
                    // OK because it only fails if there are others.
                    let _ = path.parent().map(fs::remove_dir);
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    warn!("{}", Chain(&self.failed("delete from the index", error)));
                }
            }
        }
    }

    /// Deletes the entry of a session that is not there, unless it is young.
    pub(super) fn forget(&self, name: &str, value: &RawValue, entry: IndexEntry) {
        let path = subfolder(name, value).join(file_name(entry));
        if is_settled(&self.folder.join(&path)) {
            self.remove([&path]);
        }
    }

    /// The first entries of a value after an id, in their order.
    pub(super) fn entries(
        &self,
        name: &str,
        value: &RawValue,
        after: Option<PublicId>,
        limit: usize,
    ) -> Result<Vec<IndexEntry>, StoreError> {
        let folder = self.folder.join(subfolder(name, value));
        let mut entries: Vec<IndexEntry> = names(&folder)
            .map_err(|error| self.failed("read the index", error))?
            .iter()
            .filter_map(|name| parse(name))
            .filter(|(id, _)| after.is_none_or(|after| *id > after))
            .collect();
        entries.sort_unstable();
        entries.truncate(limit);
        Ok(entries)
    }

    /// Deletes the entries of sessions that have ended.
    pub(super) fn sweep(
        &self,
        now: Timestamp,
        is_there: impl Fn(&StoreKey) -> bool,
    ) -> Result<(), StoreError> {
        let names = |path: &Path| {
            names(&self.folder.join(path)).map_err(|error| self.failed("read the index", error))
        };
        for first in names(Path::new(""))? {
            for rest in names(Path::new(&first))? {
                let folder = Path::new(&first).join(&rest);
                for name in names(&folder)? {
                    let Some((id, key)) = parse(&name) else { continue };
                    let path = folder.join(&name);
                    if id.until() <= now || !is_there(&key) && is_settled(&self.folder.join(&path))
                    {
                        self.remove([&path]);
                    }
                }
            }
        }
        Ok(())
    }

    /// An error that does not tell the key and the hash of the value which an entry's path is made of.
    fn failed(&self, action: &'static str, error: io::Error) -> StoreError {
        failed(action, &self.folder, error)
    }
}

/// What lies in a folder; nothing if there is no such folder.
fn names(folder: &Path) -> io::Result<Vec<String>> {
    let read = || -> io::Result<Vec<String>> {
        if !fs::symlink_metadata(folder)?.is_dir() {
            return Err(not_a_folder());
        }
        let mut names = Vec::new();
        for entry in fs::read_dir(folder)? {
            names.extend(entry?.file_name().into_string());
        }
        Ok(names)
    };
    match read() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        names => names,
    }
}

fn is_settled(path: &Path) -> bool {
    let created = fs::symlink_metadata(path).and_then(|metadata| metadata.modified());
    // A clock that was set back makes it young.
    created.is_ok_and(|created| created.elapsed().is_ok_and(|age| age > SETTLED))
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, thread};

    use tempfile::TempDir;

    use super::*;
    use crate::{
        record::{Index, Patch},
        store::{
            capabilities::{DeleteExpired as _, FindByIndex as _},
            file::FileStore,
            session_store::{Created, SessionStore as _, Updated},
        },
        time::{Clock as _, FakeClock},
    };

    const HOUR: Duration = Duration::from_secs(3600);

    fn key(n: u8) -> StoreKey {
        StoreKey::from_bytes([n; 32])
    }

    fn json(text: &str) -> Arc<RawValue> {
        RawValue::from_string(text.to_owned()).expect("a JSON literal").into()
    }

    struct Fixture {
        root: TempDir,
        clock: FakeClock,
        store: FileStore,
    }

    fn fixture() -> Fixture {
        let root = TempDir::new().expect("a temporary folder");
        let clock = FakeClock::default();
        let store = open(&root, &clock);
        Fixture { root, clock, store }
    }

    fn open(root: &TempDir, clock: &FakeClock) -> FileStore {
        FileStore::builder(root.path())
            .clock(clock.clone())
            .sweep_interval(None)
            .build()
            .expect("a writable folder")
    }

    impl Fixture {
        fn patch(&self, user: &str) -> Patch {
            let mut patch = Patch::default();
            patch.set("user".into(), json(user));
            let id = PublicId::new(self.clock.now().saturating_add(HOUR * 9));
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
            assert!(matches!(created, Ok(Created::Stored)), "{created:?}");
        }

        async fn found(&self, user: &str) -> Vec<StoreKey> {
            found(&self.store, user).await
        }

        /// What a process leaves behind that is killed before it has stored the session.
        fn orphan(&self, n: u8, user: &str) -> PathBuf {
            let entries = indexed(&key(n), &self.record(user));
            let values = Values::new(self.root.path(), Durability::Process);
            values.add(&entries).expect("a writable folder");
            let entry = entries.first().expect("one field is indexed");
            self.root.path().join("index").join(entry)
        }

        fn entries(&self) -> usize {
            let mut folders = vec![self.root.path().join("index")];
            let mut files = 0;
            while let Some(folder) = folders.pop() {
                for name in names(&folder).expect("a readable folder") {
                    let path = folder.join(name);
                    if path.is_dir() { folders.push(path) } else { files += 1 }
                }
            }
            files
        }
    }

    async fn found(store: &FileStore, user: &str) -> Vec<StoreKey> {
        let found = store.find("user", &json(user), None, 100).await.expect("a readable folder");
        found.sessions.into_iter().map(|(key, _)| key).collect()
    }

    fn age(path: &Path) {
        let file = OpenOptions::new().write(true).open(path).expect("the entry");
        let then = SystemTime::now() - SETTLED - Duration::from_secs(1);
        file.set_modified(then).expect("a writable file");
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn entries_and_their_folders_are_their_owners_only() {
        use std::os::unix::fs::PermissionsExt as _;
        let it = fixture();
        let entry = it.orphan(1, "7");
        let mode = |path: &Path| {
            fs::metadata(path).expect("an existing path").permissions().mode() & 0o777
        };
        assert_eq!(mode(&entry), 0o600);
        for folder in entry.ancestors().skip(1).take(3) {
            assert_eq!(mode(folder), 0o700, "{folder:?}");
        }
    }

    #[tokio::test]
    async fn what_a_kill_before_the_session_left_behind_finds_nothing_and_goes_later() {
        let it = fixture();
        it.create(1, "7").await;
        let orphan = it.orphan(2, "7");
        assert_eq!(it.found("7").await, [key(1)]);
        assert!(orphan.exists(), "somebody may be about to store the session");
        it.create(2, "7").await;
        assert_eq!(it.found("7").await.len(), 2, "and somebody was");
        let orphan = it.orphan(3, "7");
        age(&orphan);
        assert_eq!(it.found("7").await.len(), 2);
        assert!(!orphan.exists());
    }

    #[tokio::test]
    async fn what_a_kill_after_a_change_left_behind_finds_nothing() {
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
    async fn nothing_is_left_in_the_index_of_sessions_that_were_changed_renewed_and_ended() {
        let it = fixture();
        it.create(1, "7").await;
        let updated = it.store.update(&key(1), &it.patch("8")).await;
        assert!(matches!(updated, Ok(Updated::Applied { .. })), "{updated:?}");
        assert_eq!(it.entries(), 1, "one value, one entry");
        let grace = crate::Grace {
            until: it.clock.now().saturating_add(HOUR),
            old_id: crate::OldId::ReadsSnapshot,
        };
        let rotated = it.store.rotate(&key(1), &key(2), &Patch::default(), grace).await;
        assert!(matches!(rotated, Ok(Updated::Applied { .. })), "{rotated:?}");
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
        // That of the session that has just expired is young, too.
        assert_eq!(it.entries(), 3);
        it.clock.advance(HOUR * 8);
        it.store.delete_expired().await.expect("a writable folder");
        assert_eq!(it.entries(), 0, "after this time none of them can live");
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
        let values = Values::new(it.root.path(), Durability::Process);
        let [mine, yours] = [1, 2].map(|n| indexed(&key(n), &it.record("7")));
        thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..2_000 {
                    values.add(&yours).expect("a writable folder");
                    values.remove(&yours);
                }
            });
            for _ in 0..2_000 {
                values.add(&mine).expect("the folder is created again");
                assert!(mine.iter().all(|entry| it.root.path().join("index").join(entry).exists()));
                values.remove(&mine);
            }
        });
    }

    #[tokio::test]
    async fn an_index_that_cannot_be_written_to_keeps_the_session_as_it_was() {
        let it = fixture();
        fs::write(it.root.path().join("index"), "in the way").expect("a file in the way");
        let refused = it.store.create(&key(1), &it.record("7")).await;
        assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
        assert!(it.store.load(&key(1)).await.expect("a readable folder").is_none());
        assert!(it.store.find("user", &json("7"), None, 1).await.is_err());
        let plain = Record::new(it.clock.now(), it.clock.now().saturating_add(HOUR));
        let created = it.store.create(&key(1), &plain).await;
        assert!(matches!(created, Ok(Created::Stored)), "sessions without an index do not mind");
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
    fn foreign_files_are_no_entries() {
        for name in ["", "-", ".lock", "0123456789abcdef0123456789ab", "x-y"] {
            assert_eq!(parse(name), None, "{name}");
        }
        let entry = (PublicId::new(Timestamp::from_unix_ms(5)), key(7));
        assert_eq!(parse(&file_name(entry)), Some(entry));
    }
}
