//! Reads a session's file, and separates damage from failures.

use std::{
    fs::{self, File},
    io::{self, Read as _},
    path::Path,
};

use super::{
    content::{self, ContentError, DIGEST_BYTES},
    file_system::{Purpose, failed, not_a_folder, open_directly, open_file},
    session_path::SessionPath,
};
use crate::{
    error::{BoxError, StoreError},
    record::{Record, RecordError},
    time::Timestamp,
};

const NOT_A_FILE: &str = "it is a link, a folder or a device";

/// What is in the place of a session's file.
pub(super) enum SessionFile {
    Missing,
    /// A session, which may have expired, and its open file.
    Session(Record, File),
    /// Not a valid session, and a later read finds the same.
    Damaged(BoxError),
}

/// Reads a session's file, with a record of up to `limit` bytes. Without the lock of its subfolder,
/// the session may be damaged or have expired only because another call replaces it.
///
/// # Errors
/// The session may be whole: the disk or the folder failed, or a later release wrote the file.
pub(super) fn read_session(path: &SessionPath, limit: u64) -> Result<SessionFile, StoreError> {
    let failed = |error| failed("read", &path.subfolder, error);
    let opened = match open_directly(&path.file, Purpose::Read) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            if fs::symlink_metadata(&path.subfolder).is_ok_and(|metadata| !metadata.is_dir()) {
                return Err(failed(not_a_folder()));
            }
            open_file(&path.file)
        }
        opened => opened,
    };
    let mut file = match opened {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(SessionFile::Missing),
        Err(error) => return unopened(&path.file, error).map_err(failed),
    };
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Ok(SessionFile::Damaged(NOT_A_FILE.into()));
    }
    let longest = limit.saturating_add(DIGEST_BYTES as u64);
    let bytes = read_bytes(&mut file, metadata.len(), longest).map_err(failed)?;
    if bytes.len() as u64 > longest {
        return Ok(SessionFile::Damaged(
            format!("it is larger than {limit} bytes, the limit of `max_record_bytes`").into(),
        ));
    }
    match content::from_bytes(&path.key, &bytes) {
        Ok(record) => {
            let touched = metadata.modified().map_or_else(|_| Timestamp::default(), Into::into);
            Ok(SessionFile::Session(record.extended_to(touched), file))
        }
        Err(ContentError::Record(error @ RecordError::Version(_))) => Err(error.into()),
        Err(error) => Ok(SessionFile::Damaged(Box::new(error))),
    }
}

/// Reads a file, but only one byte past the limit. Most files take one system call.
fn read_bytes(file: &mut File, len: u64, limit: u64) -> io::Result<Vec<u8>> {
    let expected = usize::try_from(len.min(limit)).unwrap_or(usize::MAX).min(1 << 16);
    // With room for one byte more, a short read shows that the file ends there.
    let mut bytes = vec![0; expected + 1];
    let read = loop {
        match file.read(&mut bytes) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            read => break read?,
        }
    };
    bytes.truncate(read);
    if read != expected {
        let rest = limit.saturating_add(1).saturating_sub(read as u64);
        file.take(rest).read_to_end(&mut bytes)?;
    }
    Ok(bytes)
}

/// Decides whether a file that could not be opened is damaged. Otherwise, returns the error.
fn unopened(path: &Path, error: io::Error) -> io::Result<SessionFile> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if !metadata.is_file() => Ok(SessionFile::Damaged(NOT_A_FILE.into())),
        // The folder is accessible, so the file itself belongs to another user.
        Ok(_) if error.kind() == io::ErrorKind::PermissionDenied => {
            Ok(SessionFile::Damaged(Box::new(error)))
        }
        _ => Err(error),
    }
}
