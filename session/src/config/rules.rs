//! The settings that decide how long sessions live and what happens during outages.

use std::time::Duration;

use super::privileges::Privileges;
use crate::{
    record::{Grace, OldIdReads},
    store::CookieHolds,
    time::{Lifetimes, Limits, Timestamp},
};

/// The settings that a request's plan depends on.
#[derive(Debug)]
pub(crate) struct Rules {
    pub(crate) lifetimes: Lifetimes,
    /// Whether cookies outlive the browser, unless the session has set it.
    pub(crate) persistent: bool,
    /// How long requests with an old id are answered after a renewal.
    pub(crate) grace: Duration,
    pub(crate) on_outage: OnOutage,
    pub(crate) cookie_holds: CookieHolds,
    /// The fields whose change renews the id.
    pub(crate) privileges: Privileges,
}

/// What happens to requests while the store is [not available](crate::StoreError::Unavailable).
///
/// Requests that do not use a session are never affected. Defaults to `FailClosed`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OnOutage {
    /// A request that needs the store gets a 503.
    #[default]
    FailClosed,
    /// A request whose session cannot be loaded sees a visitor without a session. Its changes are
    /// not kept, and the cookie stays, so the session is back when the store is.
    ///
    /// Changes that must not be lost still get a 503: [`save`](crate::SessionHandle::save), a
    /// change of a `privilege` field, `renew`, `regenerate`, `destroy`, and changes of a session
    /// that was loaded before the outage.
    Anonymous,
}

impl Rules {
    pub(crate) fn is_persistent(&self, limits: &Limits) -> bool {
        limits.persistent.unwrap_or(self.persistent)
    }

    /// How long the browser keeps the cookie. `None`: until it closes.
    pub(crate) fn cookie_age(
        &self,
        limits: &Limits,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Option<Duration> {
        self.is_persistent(limits).then(|| expires_at.saturating_since(now))
    }

    pub(crate) fn grace_from(&self, old_id: OldIdReads, now: Timestamp) -> Grace {
        Grace::new(now.saturating_add(self.grace), old_id)
    }
}
