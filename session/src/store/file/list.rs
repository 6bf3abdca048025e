//! Lists all sessions, subfolder by subfolder.

use std::{fs, io};

use super::{
    file_system::failed, folder::SessionFolder, lock::FileLock, session_path::SessionPath,
};
use crate::{
    error::StoreError,
    id::StoreKey,
    store::listing::{ListCursor, ListPage, first_keys},
};

impl SessionFolder {
    /// The sessions after a key, in the order of the keys.
    pub(super) fn list(
        &self,
        after: Option<StoreKey>,
        limit: usize,
    ) -> Result<ListPage, StoreError> {
        let mut page = ListPage::default();
        let first = after.map_or(0, |after| after.as_bytes()[0]);
        for number in first..=u8::MAX {
            let wanted = limit - page.sessions.len();
            let keys = first_keys(self.keys_in(number)?.into_iter(), after, wanted);
            for key in &keys {
                page.add(*key, self.load(key))?;
            }
            if keys.len() == wanted {
                page.next = keys.last().map(|key| ListCursor::from(*key));
                break;
            }
        }
        Ok(page)
    }

    /// The keys of the sessions in the subfolder of a first byte, expired ones too.
    fn keys_in(&self, first: u8) -> Result<Vec<StoreKey>, StoreError> {
        let mut bytes = [0; 32];
        bytes[0] = first;
        let SessionPath { subfolder, .. } = self.session_path(&StoreKey::from_bytes(bytes));
        let failed = |error| failed("read the folder", &subfolder, error);
        // Some file systems skip a file that is replaced while its folder is read. A writer waits.
        let lock = if self.read_only {
            FileLock::of_subfolder_if_there_is_one(&subfolder)
        } else {
            FileLock::of_subfolder(&subfolder, self.access).map(Some)
        };
        let _lock = match lock {
            Ok(lock) => lock,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failed(error)),
        };
        let mut keys = Vec::new();
        for entry in fs::read_dir(&subfolder).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            let key = name.to_str().map(|name| StoreKey::from_hex(&format!("{first:02x}{name}")));
            keys.extend(key.and_then(Result::ok));
        }
        Ok(keys)
    }

    /// Whether the folder can be used: it is there, or can be made.
    pub(super) fn ping(&self) -> Result<(), StoreError> {
        match fs::read_dir(&self.path) {
            Ok(_) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound && !self.read_only => self
                .access
                .create_folder(&self.path)
                .map_err(|error| failed("create the folder", &self.path, error)),
            Err(error) => Err(failed("read the folder", &self.path, error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::file::fixture::{Fixture, key};

    #[test]
    fn a_damaged_file_is_reported_and_hides_no_other() {
        let it = Fixture::new();
        let files: Vec<_> = (1..=3).map(|n| it.create(n)).collect();
        fs::write(&files[1], "half a ses").expect("our file");
        let page = it.folder.list(None, 10).expect("a readable folder");
        assert_eq!(page.sessions.len(), 2);
        assert_eq!(page.unreadable.iter().map(|(key, _)| *key).collect::<Vec<_>>(), [key(2)]);
        assert!(matches!(page.unreadable[0].1, StoreError::Damaged(_)));
        assert!(page.next.is_none());
    }

    #[test]
    fn foreign_files_are_not_listed() {
        let it = Fixture::new();
        let subfolder = it.create(1).parent().expect("a subfolder").to_owned();
        fs::write(subfolder.join("README"), "mine").expect("a foreign file");
        fs::write(subfolder.join(".new-left-behind"), "").expect("a left-over");
        let page = it.folder.list(None, 10).expect("a readable folder");
        assert_eq!(page.sessions.iter().map(|(key, _)| *key).collect::<Vec<_>>(), [key(1)]);
        assert!(page.unreadable.is_empty());
    }

    #[test]
    fn a_folder_that_is_a_file_does_not_answer() {
        let it = Fixture::new();
        it.folder.ping().expect("it is made");
        fs::remove_dir_all(&it.folder.path).expect("our folder");
        fs::write(&it.folder.path, "in the way").expect("a file in the way");
        it.folder.ping().expect_err("a file");
    }
}
