//! What can go wrong in a store.

use std::{error::Error, sync::Arc};

/// The error that made a store or a setting fail.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// A call of a store failed.
///
/// A session that is not in the store is not an error: the methods of
/// [`SessionStore`](crate::store::SessionStore) return that as a value.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The store cannot be reached, is full, or did not answer in time. The client gets a 503.
    #[error("the session store is not available")]
    Unavailable(#[source] BoxError),
    /// The stored bytes of this session cannot be read; other sessions can. The client gets a 500.
    #[error("the stored session is damaged")]
    Damaged(#[source] BoxError),
    /// The session would be larger than the store's limit. It stays as it was, and the client gets
    /// a 500.
    #[error(
        "the session takes {bytes} bytes and the store's limit is {limit}; \
         keep large data elsewhere and its key in the session, or raise the limit"
    )]
    TooLarge {
        /// The size of the session with the changes, in bytes.
        bytes: u64,
        /// The store's limit, in bytes.
        limit: u64,
    },
    /// The cookie that holds the session would be larger than browsers accept. The client keeps the
    /// old one and gets a 500.
    #[cfg(feature = "encryption")]
    #[error(
        "the cookie that holds the session would take {bytes} bytes and browsers take {limit}; \
         keep large data elsewhere and its key in the session, or use a store on the server"
    )]
    CookieTooLarge {
        /// The size of the cookie's name, value and attributes, in bytes.
        bytes: usize,
        /// The size that every browser accepts, in bytes (RFC 6265bis, 6.1).
        limit: usize,
    },
    /// The store failed through its own fault or its settings. The client gets a 500.
    #[error("the session store failed")]
    Internal(#[source] BoxError),
}

impl StoreError {
    /// An [`Unavailable`](Self::Unavailable) error: the store cannot be reached, is full, or did
    /// not answer in time.
    pub fn unavailable(cause: impl Into<BoxError>) -> Self {
        Self::Unavailable(cause.into())
    }

    /// A [`Damaged`](Self::Damaged) error: the stored bytes are not a session.
    pub fn damaged(cause: impl Into<BoxError>) -> Self {
        Self::Damaged(cause.into())
    }

    /// An [`Internal`](Self::Internal) error: the store failed through its own fault.
    pub fn internal(cause: impl Into<BoxError>) -> Self {
        Self::Internal(cause.into())
    }

    /// This error for several callers, if a store has combined their calls. Each gets the same kind
    /// of error, with the same cause.
    ///
    /// # Examples
    /// ```
    /// use actix_typed_session::StoreError;
    ///
    /// let errors = StoreError::unavailable("the disk is full").share(2);
    /// assert_eq!(errors.len(), 2);
    /// assert!(errors.iter().all(|error| matches!(error, StoreError::Unavailable(_))));
    /// ```
    pub fn share(self, callers: usize) -> Vec<Self> {
        let (error, cause): (fn(SharedCause) -> Self, BoxError) = match self {
            Self::Unavailable(cause) => (Self::unavailable, cause),
            Self::Damaged(cause) => (Self::damaged, cause),
            Self::Internal(cause) => (Self::internal, cause),
            Self::TooLarge { bytes, limit } => {
                return (0..callers).map(|_| Self::TooLarge { bytes, limit }).collect();
            }
            #[cfg(feature = "encryption")]
            Self::CookieTooLarge { bytes, limit } => {
                return (0..callers).map(|_| Self::CookieTooLarge { bytes, limit }).collect();
            }
        };
        let cause = SharedCause(cause.into());
        (0..callers).map(|_| error(cause.clone())).collect()
    }
}

/// The cause of an error that several callers get.
#[derive(Clone, Debug, thiserror::Error)]
#[error(transparent)]
struct SharedCause(Arc<dyn Error + Send + Sync>);

#[cfg(test)]
mod tests {
    use super::{super::Chain, *};

    #[test]
    fn each_caller_gets_the_kind_and_the_cause_of_a_shared_error() {
        type Make = fn(&'static str) -> StoreError;
        for make in
            [StoreError::unavailable, StoreError::damaged, StoreError::internal] as [Make; 3]
        {
            let expected = Chain(&make("why")).to_string();
            let shared = make("why").share(2);
            let texts: Vec<_> = shared.iter().map(|error| Chain(error).to_string()).collect();
            assert_eq!(texts, [expected.as_str(), &expected]);
        }
        let shared = StoreError::TooLarge { bytes: 2, limit: 1 }.share(3);
        assert!(shared.iter().all(|error| matches!(error, StoreError::TooLarge { bytes: 2, .. })));
        assert_eq!(shared.len(), 3);
    }
}
