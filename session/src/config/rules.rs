//! The settings that decide what becomes of a session.

use std::time::Duration;

use super::privileges::Privileges;
use crate::{
    record::{Grace, OldId},
    store::CookieHolds,
    time::{Lifetimes, Limits, Timestamp},
};

/// The middleware's settings that decide.
#[derive(Debug)]
pub(crate) struct Rules {
    pub(crate) lifetimes: Lifetimes,
    /// Whether cookies outlive the browser unless the session says otherwise.
    pub(crate) persistent: bool,
    /// How long an old id is answered after a renewal.
    pub(crate) grace: Duration,
    pub(crate) on_outage: OnOutage,
    pub(crate) cookie_holds: CookieHolds,
    /// The fields whose change renews the id.
    pub(crate) privileges: Privileges,
}

/// What a middleware does with requests while its store is [not
/// available](crate::StoreError::Unavailable).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnOutage {
    /// A request that needs the store and cannot have it is answered with 503.
    #[default]
    FailClosed,
    /// A request whose session cannot be loaded is handled like one of a visitor without a session, whose
    /// changes are not kept. It sets and removes no cookie, so that the session is there again when the
    /// store is.
    ///
    /// What must not be lost still fails with 503: [`save`](crate::SessionHandle::save), a change of a
    /// `privilege` field, `renew`, `regenerate`, `destroy`, and changes of a session that was loaded.
    Anonymous,
}

impl Rules {
    pub(crate) fn is_persistent(&self, limits: &Limits) -> bool {
        limits.persistent.unwrap_or(self.persistent)
    }

    /// How long a cookie is kept; `None` is until the browser is closed.
    pub(crate) fn cookie_age(
        &self,
        limits: &Limits,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Option<Duration> {
        self.is_persistent(limits).then(|| expires_at.saturating_since(now))
    }

    pub(crate) fn grace_from(&self, old_id: OldId, now: Timestamp) -> Grace {
        Grace { until: now.saturating_add(self.grace), old_id }
    }
}
