//! What finds and deletes the sessions of another program.

use std::future::Future;

use actix_web::HttpRequest;

use super::foreign::{ForeignCookie, ForeignId, ForeignSession};
use crate::error::StoreError;

/// Finds the sessions of the program that served the site before.
///
/// The middleware asks it only for requests that extract a session and bring none of this library.
/// What it finds begins a session here, under a new id.
///
/// # Examples
/// Sessions that were files, named by a cookie:
///
/// ```
/// use actix_typed_session::{
///     MemoryStore, SessionMiddleware, StoreError,
///     import::{ForeignCookie, ForeignId, ForeignSession, Importer},
/// };
/// use actix_web::{HttpRequest, http::header::COOKIE};
/// use std::{fs, io::ErrorKind, path::PathBuf};
///
/// struct OldFiles(PathBuf);
///
/// impl OldFiles {
///     fn path(&self, id: &ForeignId) -> PathBuf {
///         self.0.join(format!("{}.json", id.as_str()))
///     }
/// }
///
/// impl Importer for OldFiles {
///     fn identify(&self, request: &HttpRequest) -> Option<ForeignId> {
///         let cookies = request.headers().get(COOKIE)?.to_str().ok()?;
///         let id = cookies.split("; ").find_map(|cookie| cookie.strip_prefix("old="))?;
///         // It becomes a part of a path.
///         id.chars().all(char::is_alphanumeric).then(|| ForeignId::new(id))
///     }
///
///     async fn find(&self, id: &ForeignId) -> Result<Option<ForeignSession>, StoreError> {
///         match fs::read(self.path(id)) {
///             Ok(json) => ForeignSession::from_json(&json).map(Some),
///             Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
///             Err(error) => Err(StoreError::unavailable(error)),
///         }
///     }
///
///     async fn forget(&self, id: &ForeignId) -> Result<(), StoreError> {
///         fs::remove_file(self.path(id)).map_err(StoreError::unavailable)
///     }
///
///     fn cookie(&self) -> Option<ForeignCookie> {
///         Some(ForeignCookie::new("old"))
///     }
/// }
///
/// let old = OldFiles("old_sessions".into());
/// let sessions = SessionMiddleware::builder(MemoryStore::new()).import(old).build()?;
/// # Ok::<(), actix_typed_session::ConfigError>(())
/// ```
pub trait Importer: Send + Sync + 'static {
    /// Reads from a request which session it brings. `None`: it brings none, or its signature is
    /// not valid.
    ///
    /// This runs for each request that extracts a session, so it must not wait.
    fn identify(&self, request: &HttpRequest) -> Option<ForeignId>;

    /// Finds the session. `None`: it does not exist, or it has expired.
    ///
    /// # Errors
    /// The other program's store failed. The request gets a 503 or a 500, and the client keeps its
    /// cookie. After [`StoreError::Damaged`], the visitor reads as new.
    fn find(
        &self,
        id: &ForeignId,
    ) -> impl Future<Output = Result<Option<ForeignSession>, StoreError>> + Send;

    /// Deletes the session from the other program's store. A session that is not there is not an
    /// error.
    ///
    /// # Errors
    /// The session may still be there. That is logged, and does not fail the request.
    fn forget(&self, id: &ForeignId) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// The cookie of the other program. Defaults to `None`: the middleware removes none.
    fn cookie(&self) -> Option<ForeignCookie> {
        None
    }

    /// Whether the other program keeps its session and its cookie. Defaults to `false`.
    fn keeps_old(&self) -> bool {
        false
    }

    /// Keeps the session and the cookie of the other program, so that the site can go back to it.
    ///
    /// A logout here still ends the old session and removes its cookie.
    ///
    /// Example: `builder.import(old.keep_old())`.
    #[must_use = "it returns the importer"]
    fn keep_old(self) -> KeepOld<Self>
    where
        Self: Sized,
    {
        KeepOld(self)
    }
}

/// An importer that leaves the other program's sessions where they are. [`Importer::keep_old`]
/// makes it.
#[derive(Clone, Debug)]
pub struct KeepOld<I>(I);

impl<I: Importer> Importer for KeepOld<I> {
    fn identify(&self, request: &HttpRequest) -> Option<ForeignId> {
        self.0.identify(request)
    }

    async fn find(&self, id: &ForeignId) -> Result<Option<ForeignSession>, StoreError> {
        self.0.find(id).await
    }

    async fn forget(&self, id: &ForeignId) -> Result<(), StoreError> {
        self.0.forget(id).await
    }

    fn cookie(&self) -> Option<ForeignCookie> {
        self.0.cookie()
    }

    fn keeps_old(&self) -> bool {
        true
    }
}
