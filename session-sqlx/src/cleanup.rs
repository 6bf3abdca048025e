//! What a clean-up does, in every database.
//!
//! A row has the hour at the end of which its session is surely expired, as of the last time that
//! it was filed. An extension leaves the hour as it is, so that it changes no index. In that hour
//! the clean-up looks at the row: it deletes an expired session, and files an extended one under
//! its new hour. That is one change of the index for each idle time, however often a session is
//! extended.

/// What a part of a clean-up has done.
pub(crate) struct Swept {
    /// How many sessions it has deleted.
    pub(crate) sessions: u64,
    /// Whether nothing is left to do.
    pub(crate) is_done: bool,
}
