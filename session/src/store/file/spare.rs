//! Replaces a session's file without creating one.
//!
//! On ext4, creating a file and deleting the one that it replaces takes ten times as long as
//! writing it. So each subfolder has a spare file. A write fills it, and exchanges it with the file
//! of the session in one step. Then the old file is erased, and is the spare one. The lock of the
//! subfolder protects it, and the sweep deletes it.
//!
//! Where a file system or a system has no exchange, the new file is renamed, and replaces the old
//! one.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::Path,
    time::SystemTime,
};

use tempfile::TempPath;

use super::access::Access;

/// A file in a subfolder that no reader finds. It is deleted if it is not used.
pub(super) struct Spare {
    file: File,
    path: TempPath,
}

impl Spare {
    /// Opens the spare file of a subfolder, or creates a file. The caller has the lock.
    pub(super) fn open(access: Access, subfolder: &Path) -> io::Result<Self> {
        #[cfg(target_os = "linux")]
        if let Some(file) = reuse::open(access, &subfolder.join(reuse::NAME)) {
            let path = TempPath::try_from_path(subfolder.join(reuse::NAME))?;
            return Ok(Self { file, path });
        }
        let (file, path) = access.temporary_file(subfolder)?.into_parts();
        Ok(Self { file, path })
    }

    /// Writes all of the file, and sets its time. `sync`: so that it survives a power cut.
    pub(super) fn write(&mut self, bytes: &[u8], time: SystemTime, sync: bool) -> io::Result<()> {
        self.file.write_all(bytes)?;
        if self.file.metadata()?.len() != bytes.len() as u64 {
            self.file.set_len(bytes.len() as u64)?;
        }
        self.file.set_modified(time)?;
        if sync { self.file.sync_all() } else { Ok(()) }
    }

    /// Puts the file in the place of another, which may be missing.
    pub(super) fn put_at(self, access: Access, target: &Path) -> io::Result<()> {
        #[cfg(target_os = "linux")]
        if reuse::exchange(&self.path, target).is_ok() {
            reuse::keep(access, self.path);
            return Ok(());
        }
        let _ = access;
        self.path.persist(target)?;
        Ok(())
    }
}

/// How the old file of a session becomes the spare one.
#[cfg(target_os = "linux")]
mod reuse {
    use std::{fs::Metadata, os::unix::fs::MetadataExt as _};

    use rustix::fs::{CWD, FallocateFlags, RenameFlags, fallocate, renameat_with};

    use super::{
        super::{
            access::SHARED_FILE,
            file_system::{Purpose, open_directly, open_lock},
        },
        *,
    };

    /// The name of the spare file of a subfolder: a temporary one, so that the sweep deletes it.
    pub(super) const NAME: &str = ".new-spare";

    /// Opens the spare file, if there is one that may be used.
    pub(super) fn open(access: Access, path: &Path) -> Option<File> {
        let (file, metadata) = open_own(access, path)?;
        // A process may have been killed before it has erased the file.
        (metadata.blocks() == 0 || erase(&file, metadata.len()).is_ok()).then_some(file)
    }

    /// Opens a file for writing, if no one else has a use for it: someone may have made a link to
    /// it, as for a copy of the store. Only its owner may set its time.
    fn open_own(access: Access, path: &Path) -> Option<(File, Metadata)> {
        let file = match open_directly(path, Purpose::Write) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => open_lock(path, false),
            opened => opened,
        };
        let file = file.ok()?;
        let metadata = file.metadata().ok()?;
        let mode = match access {
            Access::Owner => 0o600,
            Access::Group => SHARED_FILE,
        };
        let is_own = metadata.is_file()
            && metadata.nlink() == 1
            && metadata.uid() == rustix::process::geteuid().as_raw()
            && metadata.mode() & 0o7777 == mode;
        is_own.then_some((file, metadata))
    }

    /// Erases a file, and leaves its length: ext4 writes a file that had the length 0 to the disk
    /// as soon as it is closed.
    fn erase(file: &File, len: u64) -> io::Result<()> {
        let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        // The last block is given back only as a whole.
        let erased = fallocate(file, hole, 0, len.next_multiple_of(1 << 16));
        if erased.is_err() { file.set_len(0) } else { Ok(()) }
    }

    pub(super) fn exchange(one: &Path, other: &Path) -> io::Result<()> {
        Ok(renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE)?)
    }

    /// Erases the old file of a session, and gives it the name of the spare one. Or deletes it.
    pub(super) fn keep(access: Access, old: TempPath) {
        let Some(subfolder) = old.parent() else { return };
        let spare = subfolder.join(NAME);
        let Some((file, metadata)) = open_own(access, &old) else { return };
        let is_erased = erase(&file, metadata.len()).is_ok();
        if is_erased && (*old == *spare || fs::rename(&old, &spare).is_ok()) {
            // It has its name, so there is nothing to delete.
            let _ = old.keep();
        }
    }
}

#[cfg(target_os = "linux")]
#[cfg(test)]
mod tests {
    use std::{
        os::unix::fs::{MetadataExt as _, symlink},
        path::PathBuf,
        sync::{
            Arc,
            atomic::{AtomicBool, Ordering},
        },
        task::Poll,
        thread,
        time::{Duration, Instant},
    };

    use super::*;
    use crate::{
        id::StoreKey,
        record::{Patch, Record},
        store::file::{
            durability::Durability,
            fixture::{Fixture, HOUR, json, key},
            folder::SessionFolder,
        },
        time::{Clock as _, FakeClock, SystemClock},
    };

    fn set(name: &'static str, text: &str) -> Patch {
        let mut patch = Patch::default();
        patch.set(name.into(), json(text));
        patch
    }

    fn update(it: &Fixture, text: &str) {
        it.folder.update(&key(1), &set("a", text)).expect("a live session");
        let found = it.load(1).expect("a live session");
        assert_eq!(found.field("a").map(|json| json.get()), Some(text));
    }

    /// A folder with a session, and the path of its spare file.
    fn fixture() -> (Fixture, PathBuf, PathBuf) {
        let it = Fixture::new();
        let file = it.create(1);
        let spare = file.with_file_name(reuse::NAME);
        (it, file, spare)
    }

    #[test]
    fn a_write_uses_the_file_again_that_the_last_write_has_replaced() {
        let (it, file, spare) = fixture();
        let inode = |path: &Path| fs::metadata(path).expect("a file").ino();
        let first = inode(&file);
        update(&it, "\"a value that is longer than the next one\"");
        let second = inode(&file);
        assert_eq!(inode(&spare), first);
        update(&it, "1");
        assert_eq!((inode(&file), inode(&spare)), (first, second));
        update(&it, "\"a value that is longer than all before, so that the file must grow\"");
        assert_eq!((inode(&file), inode(&spare)), (second, first));
    }

    #[test]
    fn nothing_of_a_session_is_left_in_the_spare_file() {
        let (it, _, spare) = fixture();
        update(&it, "\"secret\"");
        update(&it, "1");
        let bytes = fs::read(&spare).expect("the spare file");
        assert!(bytes.iter().all(|byte| *byte == 0), "{bytes:?}");
    }

    #[test]
    fn a_file_with_another_link_is_not_used_again() {
        let (it, file, spare) = fixture();
        update(&it, "1");
        let copy = it.root.path().join("copy");
        for linked in [&file, &spare] {
            fs::hard_link(linked, &copy).expect("a link");
            let before = fs::read(&copy).expect("the copy");
            for text in ["2", "3", "4"] {
                update(&it, text);
            }
            assert_eq!(fs::read(&copy).expect("the copy"), before);
            fs::remove_file(&copy).expect("the copy");
        }
    }

    #[test]
    fn what_is_planted_in_the_place_of_the_spare_file_is_not_written_to() {
        let (it, _, spare) = fixture();
        let secret = it.root.path().join("secret");
        fs::write(&secret, "secret").expect("a file elsewhere");
        symlink(&secret, &spare).expect("a link");
        update(&it, "1");
        update(&it, "2");
        assert_eq!(fs::read(&secret).expect("the file elsewhere"), b"secret");
        fs::remove_file(&spare).expect("the spare file");
        fs::create_dir(&spare).expect("a folder in its place");
        update(&it, "3");
        update(&it, "4");
    }

    #[test]
    fn what_a_killed_process_left_in_the_spare_file_is_not_seen() {
        let (it, file, spare) = fixture();
        for left in [fs::read(&file).expect("a session"), vec![b'x'; 9_000]] {
            update(&it, "1");
            fs::write(&spare, left).expect("the spare file");
            update(&it, "2");
        }
    }

    #[test]
    fn the_sweep_deletes_the_spare_file_and_writes_go_on() {
        let (it, _, spare) = fixture();
        update(&it, "1");
        it.folder.delete_expired().expect("a readable folder");
        assert!(!spare.exists());
        update(&it, "2");
    }

    #[test]
    fn readers_see_whole_sessions_while_files_are_used_again() {
        let root = tempfile::tempdir().expect("a temporary folder");
        // The system sets the time of a file to its own time when the file is erased.
        let clock = FakeClock::new(SystemClock.now());
        let folder = SessionFolder {
            clock: Arc::new(clock.clone()),
            durability: Durability::Process,
            ..SessionFolder::new(root.path().to_owned())
        };
        // Both are in one subfolder. The touches extend them past the expiry of their records.
        let keys = [1, 2].map(|n| {
            let mut bytes = [7; 32];
            bytes[31] = n;
            StoreKey::from_bytes(bytes)
        });
        let names = ["one", "two"];
        let fill = ["\"x\"".to_owned(), format!("\"{}\"", "y".repeat(3_000))];
        for (key, name) in keys.iter().zip(names) {
            let new = Record::new(clock.now(), clock.now().saturating_add(HOUR));
            let record = set(name, "0").apply_to(&new).expect("a new record");
            folder.create(key, &record).expect("a writable folder");
            folder.touch(key, clock.now().saturating_add(10 * HOUR)).expect("a live session");
        }
        clock.advance(5 * HOUR);
        let is_over = AtomicBool::new(false);
        let read = |place: usize| {
            let found = match folder.load_at_once(&keys[place]) {
                Poll::Ready(found) => found,
                Poll::Pending => folder.load(&keys[place]).expect("a readable folder"),
            };
            let record = found.expect("a live session");
            assert!(
                record.field(names[place]).is_some() && record.field(names[1 - place]).is_none()
            );
        };
        thread::scope(|scope| {
            for place in [0, 1] {
                let (is_over, read) = (&is_over, &read);
                scope.spawn(move || {
                    while !is_over.load(Ordering::Relaxed) {
                        read(place);
                    }
                });
            }
            let begin = Instant::now();
            for n in 0.. {
                for key in &keys {
                    folder.update(key, &set("fill", &fill[n % 2])).expect("a live session");
                }
                if begin.elapsed() > Duration::from_secs(1) {
                    break;
                }
            }
            is_over.store(true, Ordering::Relaxed);
        });
    }
}
