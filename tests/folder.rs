//! Folders for tests that leave nothing behind.

use std::{
    fs::Permissions,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::OnceLock,
};

use tempfile::TempDir;

/// Removes a folder when its input ends. The servers of the process that has ended may still write
/// for a moment.
const REMOVE: &str = r#"trap "" HUP INT TERM
read -r _
for _ in 1 2 3 4 5 6 7 8 9 10; do
    rm -rf "$1" && exit
    sleep 0.5
done"#;

/// A new folder. It is removed when it is dropped, or else when this process has ended, also by a
/// signal: what a `static` holds is never dropped, and a database has hundreds of megabytes.
pub fn temporary_folder() -> TempDir {
    static ROOT: OnceLock<(PathBuf, Child)> = OnceLock::new();
    let (root, _) = ROOT.get_or_init(|| {
        let mut builder = tempfile::Builder::new();
        // Servers run as another user where root starts them.
        builder.prefix("typed-session-tests-").permissions(Permissions::from_mode(0o755));
        let root = builder.tempdir().expect("a temporary folder").keep();
        let remover = remover(&root);
        (root, remover)
    });
    TempDir::new_in(root).expect("a temporary folder")
}

/// A [`temporary_folder`] that stays until this process has ended: for small files of many tests.
/// For five seconds, ext4 without a journal does not use the inode of a removed file again, and
/// looks at all such for each new file: a quarter of the time of the stores' tests.
pub fn lasting_folder() -> PathBuf {
    temporary_folder().keep()
}

/// Removes a folder when the input of the returned process is closed, so also when this process is
/// killed.
fn remover(folder: &Path) -> Child {
    let mut shell = Command::new("sh");
    shell.args(["-c", REMOVE, "sh"]).arg(folder).stdin(Stdio::piped());
    shell.stdout(Stdio::null()).stderr(Stdio::null());
    shell.spawn().expect("every system has a shell")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_folder_is_removed_with_all_in_it_when_the_process_that_made_it_is_gone() {
        let folder = TempDir::new().expect("a temporary folder");
        let inner = folder.path().join("a folder/data");
        fs::create_dir_all(&inner).expect("a writable folder");
        fs::write(inner.join("file"), "x").expect("a writable folder");
        let mut remover = remover(folder.path());
        assert!(inner.exists());
        // What the system does with a process that has ended.
        drop(remover.stdin.take());
        remover.wait().expect("our own child");
        assert!(!folder.path().exists());
    }
}
