//! What a client asked for and what came back. The checker has nothing else.

use std::{collections::BTreeSet, time::Duration};

use serde::{Deserialize, Serialize};

/// Milliseconds since the run began.
pub(crate) type Ms = u64;

/// Names a request. Divided by this, it is the number of the client that has sent it.
pub(crate) const NUMBERS_PER_CLIENT: u64 = 1_000_000_000;

/// What the server is set to, so that all of it happens many times in a short run.
pub(crate) const MAX_AGE: Duration = Duration::from_secs(10);
pub(crate) const SHORT_AGE: Duration = Duration::from_secs(2);
pub(crate) const ABSOLUTE: Duration = Duration::from_secs(40);
pub(crate) const GRACE: Duration = Duration::from_secs(1);
/// As the attribute of [`Seen::code`]'s field says.
pub(crate) const CODE_TTL: Duration = Duration::from_secs(2);

/// What a request asks for. A number that it writes is its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Act {
    Read,
    /// Adds one to the count.
    Add,
    /// The same, stored before the handler returns.
    Save,
    /// Writes the text.
    Text,
    /// Puts a number into the set.
    Tag,
    /// Writes the value with an end.
    Code,
    /// Writes the text, and fails.
    Fail,
    /// From now on, the session ends after [`SHORT_AGE`].
    ShortAge,
    /// From now on, the session ends after [`MAX_AGE`].
    LongAge,
    Login,
    Logout,
    Renew,
    Regenerate,
    /// Ends the other sessions of the user.
    EndOthers,
    /// Ends all sessions of the user, without a session.
    Revoke,
}

impl Act {
    /// Whether it writes a field, so that a session begins where there is none.
    pub(crate) fn writes(self) -> bool {
        matches!(
            self,
            Self::Add
                | Self::Save
                | Self::Text
                | Self::Tag
                | Self::Code
                | Self::Login
                | Self::Regenerate
        )
    }

    /// Whether it ends sessions or gives one another id.
    pub(crate) fn ends(self) -> bool {
        matches!(
            self,
            Self::Login
                | Self::Logout
                | Self::Renew
                | Self::Regenerate
                | Self::EndOthers
                | Self::Revoke
        )
    }
}

/// The session as a request found it, before it changed anything. All is zero for a stranger.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Seen {
    /// The request that has begun the session.
    pub(crate) owner: u64,
    pub(crate) user: u64,
    pub(crate) count: u64,
    pub(crate) text: u64,
    pub(crate) tags: BTreeSet<u64>,
    pub(crate) code: u64,
}

/// What a response says about the cookie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CookieChange {
    Nothing,
    Id(String),
    Removal,
}

/// One request.
#[derive(Clone, Debug)]
pub(crate) struct Exchange {
    pub(crate) number: u64,
    pub(crate) act: Act,
    /// The cookie that it carried.
    pub(crate) presented: Option<String>,
    pub(crate) sent: Ms,
    /// When it was answered, or given up.
    pub(crate) answered: Ms,
    /// The response; `None` if the client has cut the connection.
    pub(crate) answer: Option<Answer>,
}

impl Exchange {
    pub(crate) fn succeeded(&self) -> bool {
        self.answer.as_ref().is_some_and(|answer| answer.status == 200)
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) seen: Option<Seen>,
    pub(crate) change: CookieChange,
}
