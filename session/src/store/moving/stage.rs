//! What the steps of a move leave in both stores, and what it means. Pure functions.

use serde_json::value::to_raw_value;

use crate::{
    error::StoreError,
    id::StoreKey,
    record::{ExpiryChange, Grace, OldIdReads, Patch, Record},
    time::Timestamp,
};

/// The field that marks records which are not sessions: stages, and sealed sessions under the key
/// of their stage. Its value is the session's key.
const MARK: &str = "actix-typed-session: moving";

/// What distinguishes the successor of a sealed session from that of a renewed one: the second half
/// of its key is that of the session's key, combined with these bytes. Stores spread records by the
/// first half, which is random.
const OF_A_STAGE: [u8; 16] = *b"moving, not new!";

/// How much longer than its session a stage lives, because the session may be extended before it
/// is sealed.
const LONGER: std::time::Duration = std::time::Duration::from_secs(400 * 24 * 3600);

/// What the old store has under a key.
#[derive(Debug)]
pub(super) enum InOld {
    Nothing,
    /// A session that has not begun to move.
    Live(Record),
    /// A session that takes no change any more, and the key of its stage.
    Sealed(Record, StoreKey),
    /// What a renewal has left under the old key.
    Retired(Record),
}

impl InOld {
    /// What a record of the old store is.
    pub(super) fn of(key: &StoreKey, record: Option<Record>) -> Self {
        let Some(record) = record else { return Self::Nothing };
        match record.successor().copied() {
            Some(stage) if is_stage_of(&stage, key) => Self::Sealed(record, stage),
            _ if record.is_retired() => Self::Retired(record),
            _ => Self::Live(record),
        }
    }
}

/// A new key for the stage of a session. No other stage ever has it.
pub(super) fn new_stage_key(key: &StoreKey) -> StoreKey {
    let mut bytes = rand::random::<[u8; 32]>();
    bytes[16..].copy_from_slice(&of_stage(key));
    StoreKey::from_bytes(bytes)
}

fn is_stage_of(stage: &StoreKey, key: &StoreKey) -> bool {
    stage.as_bytes()[16..] == of_stage(key)
}

/// The second half of the keys of a session's stages.
fn of_stage(key: &StoreKey) -> [u8; 16] {
    std::array::from_fn(|place| key.as_bytes()[16 + place] ^ OF_A_STAGE[place])
}

/// The stage of a session: [`publish`] makes a session of it with the same version.
pub(super) fn stage(key: &StoreKey, session: &Record) -> Result<Record, StoreError> {
    let expires_at = session.expires_at().saturating_add(LONGER).min(Timestamp::END_OF_9999);
    let empty = Record::new(session.created_at(), expires_at);
    let stage = mark(key)?.apply_to(&empty).map_err(StoreError::internal)?;
    // The version of a session that was never changed becomes 1.
    Ok(Record { version: session.version().saturating_sub(1), ..stage })
}

/// The patch with which a session is renewed into its stage's key, which seals it.
pub(super) fn mark(key: &StoreKey) -> Result<Patch, StoreError> {
    let mut patch = Patch::default();
    let value = to_raw_value(&key.to_hex()).map_err(StoreError::internal)?;
    patch.set(MARK.into(), value.into());
    Ok(patch)
}

/// A sealed session is there for as long as it would have been.
pub(super) const SEALED: Grace =
    Grace { until: Timestamp::END_OF_9999, old_id: OldIdReads::Snapshot };

/// Nothing is left under the key of a stage that was published.
pub(super) const PUBLISHED: Grace =
    Grace { until: Timestamp::from_unix_ms(0), old_id: OldIdReads::Nothing };

/// Whether a record of the new store is a stage: one that is there, or what is left of a published
/// one in a store that keeps it for some seconds.
pub(super) fn is_stage(record: &Record) -> bool {
    let is_published = record.is_retired() && record.expires_at() == PUBLISHED.until;
    is_published || marked_key(record).is_some()
}

/// The key of the session that a marked record belongs to. `None`: the record is not marked.
pub(super) fn marked_key(record: &Record) -> Option<StoreKey> {
    let value: String = serde_json::from_str(record.field(MARK)?.get()).ok()?;
    StoreKey::from_hex(&value).ok()
}

/// The session that was sealed.
pub(super) fn unsealed(sealed: Record) -> Record {
    Record { retired: None, ..sealed }
}

/// The session of a marked record, which has the version after that of the sealed session.
pub(super) fn unmarked(marked: Record) -> Record {
    let mut patch = Patch::default();
    patch.remove(MARK.into());
    let version = marked.version().saturating_sub(1);
    let without = patch.apply_to(&marked).unwrap_or(marked);
    Record { version, ..without }
}

/// The patch that makes a stage the sealed session.
pub(super) fn publish(sealed: &Record) -> Patch {
    let mut patch = Patch::default();
    patch.reset(sealed.created_at());
    patch.set_expiry(ExpiryChange::Set(sealed.expires_at()));
    patch.set_limits(*sealed.limits());
    for (name, json) in sealed.fields.iter() {
        patch.set(name.clone(), json.clone());
    }
    if let Some(index) = sealed.index() {
        for name in index.names().filter(|name| sealed.field(name).is_none()) {
            patch.remove(name.to_owned().into());
        }
        patch.index_field(index.clone());
    }
    patch
}
