//! What the store has for the client.

use crate::{id::StoreKey, record::Record};

/// What the store had for the client when it was last asked.
#[derive(Clone, Debug)]
pub(crate) enum Loaded {
    /// Nothing. `has_unknown_id` says that the client presented an id all the same.
    Nothing { has_unknown_id: bool },
    /// A session.
    Live { key: StoreKey, record: Record },
    /// A session whose id was renewed a moment ago. This request carries the old id.
    Retired { key: StoreKey, record: Record },
    /// The session ended or was renewed while this request held it.
    Gone { key: StoreKey },
    /// The store was not available, so what it has is not known.
    Unavailable { key: StoreKey },
    /// The request gave its copy away, so that the store can change its own in place. An extractor
    /// that asks for the session after this loads it again.
    GivenAway { key: StoreKey },
}

impl Loaded {
    /// The session that the store has under a key.
    #[inline]
    pub(crate) fn new(key: StoreKey, record: Record) -> Self {
        if record.is_retired() { Self::Retired { key, record } } else { Self::Live { key, record } }
    }

    /// The record that the request holds.
    #[inline]
    pub(crate) fn record(&self) -> Option<&Record> {
        match self {
            Self::Live { record, .. } | Self::Retired { record, .. } => Some(record),
            Self::Nothing { .. }
            | Self::Gone { .. }
            | Self::Unavailable { .. }
            | Self::GivenAway { .. } => None,
        }
    }

    /// The key and the record that the request holds.
    pub(crate) fn held(&self) -> Option<(&StoreKey, &Record)> {
        match self {
            Self::Live { key, record } | Self::Retired { key, record } => Some((key, record)),
            _ => None,
        }
    }

    /// The record of a session that can be changed.
    pub(crate) fn live_record_mut(&mut self) -> Option<&mut Record> {
        match self {
            Self::Live { record, .. } => Some(record),
            _ => None,
        }
    }

    /// The session is not there any more.
    pub(crate) fn set_gone(&mut self) {
        if let Self::Live { key, .. } | Self::Retired { key, .. } | Self::GivenAway { key } = *self
        {
            *self = Self::Gone { key };
        }
    }
}

impl Default for Loaded {
    fn default() -> Self {
        Self::Nothing { has_unknown_id: false }
    }
}
