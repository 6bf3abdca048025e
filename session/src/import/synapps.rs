//! Sessions in the files of the Node module `@synapps/session`.

use std::{
    env, fmt,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use actix_web::HttpRequest;

use super::{
    files::{blocking, delete_file, is_part_of_file_name, read_file},
    foreign::{ForeignCookie, ForeignId, ForeignSession},
    importer::Importer,
};
use crate::error::StoreError;

/// Takes over the sessions of the Node module `@synapps/session`, which keeps each in a file. Needs
/// the feature `import-synapps-session`.
///
/// A file is called `SESSION_<id>` and lies in the folder for temporary files of the system. It
/// begins with its end in milliseconds since 1970, padded with spaces to 20 bytes; `0` is never.
/// After that it has JSON, or `UNDEFINED` for a session without content.
///
/// The module has no cookie. A function says which id a request brings, as the site's own code did.
///
/// Every user of the machine can write into the folder for temporary files. So a file that is not a
/// regular one is ignored, and no more than 16 MiB are read. Use
/// [`folder`](Self::folder) if the site has set another one.
///
/// # Examples
/// ```
/// use actix_typed_session::{MemoryStore, SessionMiddleware, import::SynappsSession};
///
/// let old = SynappsSession::new(|request| {
///     Some(request.headers().get("x-session-id")?.to_str().ok()?.to_owned())
/// });
/// let sessions = SessionMiddleware::builder(MemoryStore::new()).import(old).build()?;
/// # Ok::<(), actix_typed_session::ConfigError>(())
/// ```
pub struct SynappsSession {
    id: IdOfRequest,
    folder: PathBuf,
    prefix: String,
    cookie: Option<ForeignCookie>,
}

/// The application's function that finds ids.
type IdOfRequest = Box<dyn Fn(&HttpRequest) -> Option<String> + Send + Sync>;

/// The bytes before the content.
const HEADER_BYTES: usize = 20;
const UNDEFINED: &[u8] = b"UNDEFINED";

impl SynappsSession {
    /// Sessions whose id this function returns.
    pub fn new(id: impl Fn(&HttpRequest) -> Option<String> + Send + Sync + 'static) -> Self {
        let (id, folder) = (Box::new(id), temporary_folder());
        Self { id, folder, prefix: "SESSION_".to_owned(), cookie: None }
    }

    /// Sets the folder of the files: the option `folder` of the module. Defaults to the folder for
    /// temporary files of the system, as Node's `os.tmpdir()` returns it.
    ///
    /// Example: `.folder("/var/lib/site/sessions")`.
    #[must_use = "it returns the importer"]
    pub fn folder(self, folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into(), ..self }
    }

    /// Sets what the names of files begin with: the option `prefix` of the module. Defaults to
    /// `SESSION_`.
    ///
    /// Example: `.prefix("SHOP_")`.
    #[must_use = "it returns the importer"]
    pub fn prefix(self, prefix: impl Into<String>) -> Self {
        Self { prefix: prefix.into(), ..self }
    }

    /// Sets the cookie that is removed once its session was taken over. Defaults to none.
    ///
    /// Example: `.cookie(ForeignCookie::new("sid"))`.
    #[must_use = "it returns the importer"]
    pub fn cookie(self, cookie: ForeignCookie) -> Self {
        Self { cookie: Some(cookie), ..self }
    }

    fn path(&self, id: &ForeignId) -> PathBuf {
        self.folder.join(format!("{}{}", self.prefix, id.as_str()))
    }
}

impl Importer for SynappsSession {
    fn identify(&self, request: &HttpRequest) -> Option<ForeignId> {
        (self.id)(request).filter(|id| is_part_of_file_name(id)).map(ForeignId::new)
    }

    async fn find(&self, id: &ForeignId) -> Result<Option<ForeignSession>, StoreError> {
        let path = self.path(id);
        blocking(move || read(&path)).await
    }

    async fn forget(&self, id: &ForeignId) -> Result<(), StoreError> {
        let path = self.path(id);
        blocking(move || delete_file(&path)).await
    }

    fn cookie(&self) -> Option<ForeignCookie> {
        self.cookie.clone()
    }
}

impl fmt::Debug for SynappsSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SynappsSession")
            .field("folder", &self.folder)
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}

/// Where Node puts temporary files.
fn temporary_folder() -> PathBuf {
    let set = ["TMPDIR", "TMP", "TEMP"].into_iter().filter_map(env::var_os);
    set.filter(|folder| !folder.is_empty()).map(PathBuf::from).next().unwrap_or_else(env::temp_dir)
}

/// Reads a file. `None`: it does not exist, or its session has expired.
fn read(path: &Path) -> Result<Option<ForeignSession>, StoreError> {
    let Some(bytes) = read_file(path)? else { return Ok(None) };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    parse(&bytes, now)
}

/// Reads the content of a file. `now` is in ms since 1970.
fn parse(bytes: &[u8], now: u128) -> Result<Option<ForeignSession>, StoreError> {
    let Some((header, content)) = bytes.split_first_chunk::<HEADER_BYTES>() else {
        return Err(StoreError::damaged("the file is shorter than its header"));
    };
    let end = std::str::from_utf8(header).ok().and_then(|text| text.trim().parse::<u128>().ok());
    let Some(end) = end else {
        return Err(StoreError::damaged("the file does not begin with a time"));
    };
    if end != 0 && end < now {
        return Ok(None);
    }
    match content {
        UNDEFINED => Ok(Some(ForeignSession::new())),
        json => ForeignSession::from_json(json).map(Some),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> String {
        match parse(text.as_bytes(), 1_000) {
            Ok(Some(session)) => format!("{:?}", session.names().collect::<Vec<_>>()),
            Ok(None) => "none".to_owned(),
            Err(StoreError::Damaged(_)) => "damaged".to_owned(),
            Err(error) => panic!("{error}"),
        }
    }

    #[test]
    fn a_file_is_a_padded_time_and_json() {
        for (text, session) in [
            ("1000                {\"a\":1}", "[\"a\"]"),
            ("0                   {\"a\":1}", "[\"a\"]"),
            ("0                   {}", "[]"),
            ("0                   UNDEFINED", "[]"),
            ("999                 {\"a\":1}", "none"),
            ("999                 {\"a\"", "none"),
            ("1000                {\"a\"", "damaged"),
            ("1000                [1]", "damaged"),
            ("1000                ", "damaged"),
            ("1000                undefined", "damaged"),
            ("-1                  {}", "damaged"),
            ("x                   {}", "damaged"),
            ("                    {}", "damaged"),
            ("1000", "damaged"),
            ("", "damaged"),
        ] {
            assert_eq!(parsed(text), session, "{text:?}");
        }
    }
}
