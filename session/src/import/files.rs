//! Files of other programs.

use std::{
    fs::{self, File},
    io::{self, Read as _},
    path::Path,
};

use crate::error::StoreError;

/// The most bytes that are read of a file.
const MOST_BYTES: u64 = 16 << 20;
/// The most bytes of an id, so that the file's name is one.
const MOST_ID_BYTES: usize = 200;

/// Runs work that waits for a disk, on a thread that may wait.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    let task = tokio::task::spawn_blocking(work);
    task.await.unwrap_or_else(|error| Err(StoreError::internal(error)))
}

/// Reads a file. `None`: it does not exist, or it is not a regular file.
pub(super) fn read_file(path: &Path) -> Result<Option<Vec<u8>>, StoreError> {
    match read_bytes(path) {
        Ok(bytes) if bytes.len() as u64 > MOST_BYTES => {
            Err(StoreError::damaged("the file has more than 16 MiB"))
        }
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(StoreError::internal(error)),
    }
}

fn read_bytes(path: &Path) -> io::Result<Vec<u8>> {
    // To open a pipe would wait for its other end.
    if !fs::symlink_metadata(path)?.is_file() {
        return Err(io::ErrorKind::NotFound.into());
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(MOST_BYTES + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Deletes a file, if it is there.
pub(super) fn delete_file(path: &Path) -> Result<(), StoreError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(StoreError::internal(error)),
        _ => Ok(()),
    }
}

/// Whether a text leads to no other folder and no other stream of a file.
pub(super) fn is_part_of_file_name(id: &str) -> bool {
    !id.is_empty()
        && id.len() <= MOST_ID_BYTES
        && !id.starts_with('.')
        && !id.chars().any(|char| char.is_control() || "/\\:".contains(char))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_leads_to_no_other_folder() {
        for good in ["7e57d004-2b97-4e7a-b45f-5387367791cd", "a", "a.b", "é"] {
            assert!(is_part_of_file_name(good), "{good}");
        }
        let long = "a".repeat(201);
        for bad in ["", ".", "..", "../x", "a/../b", "/etc/passwd", "a\\b", "a:b", "a\0", &long] {
            assert!(!is_part_of_file_name(bad), "{bad:?}");
        }
    }
}
