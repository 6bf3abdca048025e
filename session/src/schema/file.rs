//! The file that describes what earlier releases have stored.

use std::{
    collections::BTreeMap,
    env,
    fs::{self, File},
    io::{self, ErrorKind, Write as _},
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicU64, Ordering},
};

use serde::{Deserialize, Serialize};

use super::declared::StoredStruct;

/// The format that this release of the library writes.
const FORMAT: u64 = 1;

/// The content of a file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SchemaFile {
    format: u64,
    pub(super) structs: BTreeMap<String, StoredStruct>,
}

impl SchemaFile {
    pub(super) fn new(structs: BTreeMap<String, StoredStruct>) -> Self {
        Self { format: FORMAT, structs }
    }

    /// Reads the text of a file.
    ///
    /// # Errors
    /// It is damaged, or in a later format. The sentence goes on after the file's name.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Any {
            format: u64,
        }
        const RESTORE: &str = "Restore it from version control";

        if text.lines().any(|line| line.starts_with("<<<<<<< ") || line.starts_with(">>>>>>> ")) {
            return Err("has a merge conflict. Resolve it".to_owned());
        }
        match serde_json::from_str(text) {
            Ok(Any { format: FORMAT }) => {}
            Ok(Any { format }) => {
                return Err(format!(
                    "has the format {format}, and this release of actix-typed-session reads the \
                     format {FORMAT}. Update the crate"
                ));
            }
            Err(error) => return Err(format!("is not a schema file: {error}. {RESTORE}")),
        }
        serde_json::from_str(text)
            .map_err(|error| format!("is not a valid schema file: {error}. {RESTORE}"))
    }

    /// The text of the file: the same for the same content.
    pub(super) fn text(&self) -> String {
        serde_json::to_string_pretty(self).expect("names are strings") + "\n"
    }
}

/// Where a file is. A relative path begins at the package of the test, where its `Cargo.toml` is.
pub(super) fn resolve(path: &Path) -> PathBuf {
    let package = env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from).unwrap_or_default();
    package.join(path)
}

/// Reads a file. `None`: it does not exist.
///
/// # Errors
/// It cannot be read.
pub(super) fn read(path: &Path) -> Result<Option<String>, String> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(format!("cannot be read: {error}")),
    }
}

/// Writes a file as a whole: a reader sees the earlier text or this one.
///
/// # Errors
/// It cannot be written.
pub(super) fn write(path: &Path, text: &str) -> Result<(), String> {
    // The file that a link points to is replaced, and not the link.
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let folder = path.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."));
    if !folder.is_dir() {
        return Err(format!(
            "cannot be written, because the folder `{}` does not exist. Create it",
            folder.display(),
        ));
    }
    if fs::metadata(&path).is_ok_and(|it| it.permissions().readonly()) {
        return Err("cannot be written, because it is read-only".to_owned());
    }
    replace(&path, folder, text).map_err(|error| format!("cannot be written: {error}"))
}

fn replace(path: &Path, folder: &Path, text: &str) -> io::Result<()> {
    static NEXT: AtomicU64 = AtomicU64::new(0);

    let name = path.file_name().ok_or(ErrorKind::InvalidFilename)?.to_string_lossy();
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let draft = folder.join(format!(".{name}.{}.{number}.tmp", process::id()));
    let written = File::create_new(&draft).and_then(|mut file| file.write_all(text.as_bytes()));
    let replaced = written.and_then(|()| fs::rename(&draft, path));
    if replaced.is_err() {
        // The first error is the one to report.
        let _ = fs::remove_file(&draft);
    }
    replaced
}
