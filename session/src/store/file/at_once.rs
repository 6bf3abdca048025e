//! Reads a session on the caller's thread, if the system can do that without waiting for a disk.
//!
//! On Linux, `openat2` and `preadv2` can refuse to wait: what they need must be in memory already.
//! Then a read is four short system calls, which cost less than the way to another thread and back.
//! Other reads, and all reads on other systems, go to a thread that may block.

use std::{
    fs::File,
    io::IoSliceMut,
    os::unix::fs::MetadataExt as _,
    sync::atomic::{AtomicU64, Ordering},
    task::{Poll, ready},
};

use rustix::{
    fs::fstatfs,
    io::{Errno, ReadWriteFlags, preadv2},
};

use super::{
    content,
    file_system::{Purpose, open_directly},
    session_path::SessionPath,
};
use crate::{record::Record, time::Timestamp};

/// A larger session goes to another thread, so that decoding it holds up no other request.
const MAX_BYTES: u64 = 64 * 1024;

/// File systems on a local disk or in memory that can read without waiting. A network file system
/// may wait for its server whenever it opens a file.
const LOCAL: [i128; 5] = [
    0xef53,      // ext4
    0x5846_5342, // XFS
    0x9123_683e, // Btrfs
    0xf2f5_2010, // F2FS
    0x0102_1994, // tmpfs
];

/// Whether sessions can be read without waiting.
#[derive(Debug, Default)]
pub(super) struct AtOnce {
    /// The device with the sessions, if it is local. Or one of the values below.
    device: AtomicU64,
}

/// The next read by another thread finds out.
const UNKNOWN: u64 = 0;
/// The system or the file system cannot do it, or the path leads through a symbolic link.
const NEVER: u64 = u64::MAX;

impl AtOnce {
    /// Learns from an open session's file whether its file system is local.
    pub(super) fn learn(&self, file: &File) {
        if self.device.load(Ordering::Relaxed) != UNKNOWN {
            return;
        }
        let (Ok(file_system), Ok(metadata)) = (fstatfs(file), file.metadata()) else { return };
        let is_local = LOCAL.contains(&(i128::from(file_system.f_type) & 0xffff_ffff));
        self.set(if is_local { metadata.dev() } else { NEVER });
    }

    fn set(&self, device: u64) {
        self.device.store(device, Ordering::Relaxed);
    }

    /// Reads a session, which seems to have expired if another call replaces it; `None` if its file
    /// is missing. Pending: reading would have to wait, or something is wrong with the file.
    pub(super) fn read(&self, path: &SessionPath, limit: u64) -> Poll<Option<Record>> {
        let device = self.device.load(Ordering::Relaxed);
        if matches!(device, UNKNOWN | NEVER) {
            return Poll::Pending;
        }
        let Some(file) = ready!(self.open(path)) else { return Poll::Ready(None) };
        let Ok(metadata) = file.metadata() else { return Poll::Pending };
        if metadata.dev() != device {
            self.set(UNKNOWN);
            return Poll::Pending;
        }
        if !metadata.is_file() || metadata.len() > limit.min(MAX_BYTES) {
            return Poll::Pending;
        }
        let bytes = ready!(self.read_bytes(&file, metadata.len()));
        match (content::from_bytes(&path.key, &bytes), metadata.modified()) {
            (Ok(record), Ok(touched)) => {
                Poll::Ready(Some(record.extended_to(Timestamp::from(touched))))
            }
            _ => Poll::Pending,
        }
    }

    fn open(&self, path: &SessionPath) -> Poll<Option<File>> {
        let error = match open_directly(&path.file, Purpose::ReadAtOnce) {
            Ok(file) => return Poll::Ready(Some(file)),
            Err(error) => error,
        };
        match Errno::from_io_error(&error) {
            Some(Errno::NOENT) => Poll::Ready(None),
            Some(Errno::NOSYS | Errno::INVAL | Errno::LOOP) => {
                self.set(NEVER);
                Poll::Pending
            }
            _ => Poll::Pending,
        }
    }

    fn read_bytes(&self, file: &File, len: u64) -> Poll<Vec<u8>> {
        let Ok(len) = usize::try_from(len) else { return Poll::Pending };
        let mut bytes = vec![0; len];
        match preadv2(file, &mut [IoSliceMut::new(&mut bytes)], 0, ReadWriteFlags::NOWAIT) {
            Ok(read) if read == len => Poll::Ready(bytes),
            Err(Errno::NOSYS | Errno::INVAL | Errno::OPNOTSUPP) => {
                self.set(NEVER);
                Poll::Pending
            }
            Ok(_) | Err(_) => Poll::Pending,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs::{self, File, FileTimes},
        sync::Arc,
        time::{Duration, UNIX_EPOCH},
    };

    use super::*;
    use crate::{
        record::Patch,
        store::file::{
            fixture::{Fixture, HOUR, key, replace_by_link, replace_by_pipe},
            folder::SessionFolder,
        },
    };

    /// A store with the session 1, which is in memory. `None`: this file system must wait.
    fn fixture() -> Option<Fixture> {
        let it = Fixture::new();
        it.create(1);
        it.load(1);
        it.load(1);
        let device = it.folder.at_once.device.load(Ordering::Relaxed);
        assert_ne!(device, UNKNOWN, "the first load learns");
        (device != NEVER).then_some(it)
    }

    fn read(it: &Fixture) -> Poll<Option<Vec<u8>>> {
        it.folder.load_at_once(&key(1)).map(|found| found.map(|record| record.to_bytes()))
    }

    #[test]
    fn what_is_in_memory_is_read_at_once() {
        let Some(it) = fixture() else { return };
        let expected = it.load(1).map(|record| record.to_bytes());
        assert_eq!(read(&it), Poll::Ready(expected));
        assert!(it.folder.touch(&key(1), it.grace().until).is_ok());
        let touched = it.load(1).map(|record| record.to_bytes());
        assert_eq!(read(&it), Poll::Ready(touched));
        it.clock.advance(HOUR * 2);
        assert_eq!(read(&it), Poll::Pending, "it has expired");
        it.create(1);
        assert!(it.folder.destroy(&key(1)).expect("a live session"));
        assert!(!matches!(read(&it), Poll::Ready(Some(_))));
    }

    #[test]
    fn what_is_not_a_plain_small_file_is_left_to_another_thread() {
        let Some(it) = fixture() else { return };
        let file = it.folder.session_path(&key(1)).file;
        let large = vec![b' '; usize::try_from(MAX_BYTES).expect("64 KiB") + 1];
        for bytes in [b"".as_slice(), b"half a ses", br#"{"v":2}"#, &large] {
            fs::write(&file, bytes).expect("a file to damage");
            assert_eq!(read(&it), Poll::Pending);
        }
        replace_by_pipe(&file);
        assert_eq!(read(&it), Poll::Pending);
        fs::remove_file(&file).expect("a pipe");
        fs::create_dir(&file).expect("a folder in its place");
        assert_eq!(read(&it), Poll::Pending);
    }

    #[test]
    fn a_planted_link_is_not_followed() {
        let Some(it) = fixture() else { return };
        let file = it.folder.session_path(&key(1)).file;
        let elsewhere = it.root.path().join("elsewhere");
        fs::create_dir(&elsewhere).expect("a folder elsewhere");
        let copy = elsewhere.join(file.file_name().expect("a name"));
        fs::copy(&file, &copy).expect("a session elsewhere");
        replace_by_link(&file, &copy);
        assert_eq!(read(&it), Poll::Pending);
        let Some(it) = fixture() else { return };
        let subfolder = it.folder.session_path(&key(1)).subfolder;
        fs::remove_dir_all(&subfolder).expect("a subfolder");
        std::os::unix::fs::symlink(&elsewhere, &subfolder).expect("a link");
        assert_eq!(read(&it), Poll::Pending);
    }

    #[test]
    fn a_store_behind_a_link_works_without_reads_at_once() {
        let it = Fixture::new();
        let link = it.root.path().join("link");
        std::os::unix::fs::symlink(&it.folder.path, &link).expect("a link");
        let folder =
            SessionFolder { clock: Arc::new(it.clock.clone()), ..SessionFolder::new(link) };
        folder.create(&key(1), &it.record()).expect("a writable folder");
        folder.update(&key(1), &Patch::default()).expect("a live session");
        for _ in 0..2 {
            let found = folder.load(&key(1)).expect("a readable folder");
            assert_eq!(found.map(|record| record.version()), Some(1));
            assert!(folder.load_at_once(&key(1)).is_pending());
        }
        assert!(folder.touch(&key(1), it.grace().until).expect("a live session"));
        assert!(folder.destroy(&key(1)).expect("a live session"));
    }

    #[test]
    fn a_folder_that_is_replaced_is_noticed() {
        let Some(it) = fixture() else { return };
        let aside = it.root.path().join("aside");
        fs::rename(&it.folder.path, &aside).expect("a folder");
        assert!(!matches!(read(&it), Poll::Ready(Some(_))));
        it.create(1);
        it.folder.update(&key(1), &Patch::default()).expect("a live session");
        let restored = it.load(1);
        assert_eq!(restored.as_ref().map(|record| record.version()), Some(1));
        assert_eq!(read(&it), Poll::Ready(restored.map(|record| record.to_bytes())));
    }

    #[test]
    fn a_read_writes_no_time_of_access() {
        let it = Fixture::new();
        let file = it.create(1);
        let long_ago = UNIX_EPOCH + Duration::from_secs(1_000);
        File::open(&file)
            .and_then(|file| file.set_times(FileTimes::new().set_accessed(long_ago)))
            .expect("a session's file");
        it.load(1);
        it.load(1);
        let accessed = fs::metadata(&file).and_then(|metadata| metadata.accessed());
        assert_eq!(accessed.expect("a time"), long_ago);
    }
}
