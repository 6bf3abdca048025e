//! How a session is stored: one hash, with a field of the hash for each field of the session that
//! holds its JSON, and further fields that describe the session as a whole.
//!
//! | field | holds |
//! | --- | --- |
//! | `@v` | the version |
//! | `@e` | when it expires, ms since 1970; the expiry of the key is the same |
//! | `@c` | when the session was created, ms since 1970; then its own [`limits_text`] |
//! | `@i` | only if fields are indexed: the public id, 14 bytes, then their names, a line each |
//! | `@r` | only if the id was renewed: the successor's key; or `~` and a digest of that key |
//! | `@@…` | a field of the session whose name begins with `@`, without the first `@` |
//! | … | any other field of the session |

use std::{borrow::Cow, fmt::Write as _, iter, time::Duration};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::value::RawValue;
use sha1::{Digest as _, Sha1};

use crate::{
    error::StoreError,
    id::StoreKey,
    record::{FieldName, PublicId, RecordError, Retired},
    time::{Limits, Timestamp, whole_ms},
};

pub(super) const VERSION: &str = "@v";
pub(super) const EXPIRES: &str = "@e";
pub(super) const CREATED: &str = "@c";
pub(super) const RETIRED: &str = "@r";
pub(super) const INDEX: &str = "@i";

/// The fields that describe the session as a whole.
pub(super) const METADATA: [&str; 5] = [VERSION, EXPIRES, CREATED, RETIRED, INDEX];

/// The Redis key of a session.
pub(super) fn session_key(prefix: &str, key: &StoreKey) -> String {
    let mut name = String::with_capacity(prefix.len() + 43);
    name.push_str(prefix);
    URL_SAFE_NO_PAD.encode_string(key.as_bytes(), &mut name);
    name
}

/// The Redis key of a session without the prefix.
pub(super) fn key_name(key: &StoreKey) -> String {
    session_key("", key)
}

/// The inverse of [`key_name`].
pub(super) fn parse_key_name(name: &[u8]) -> Option<StoreKey> {
    let bytes = URL_SAFE_NO_PAD.decode(name).ok()?;
    Some(StoreKey::from_bytes(bytes.try_into().ok()?))
}

/// The limits that a session has set for itself: ` m` and its `max_age` in ms, ` p` and its
/// `persistent` as 0 or 1, ` d` and its `absolute_lifetime` in ms. What it has not set takes no
/// bytes.
pub(super) fn limits_text(limits: &Limits) -> String {
    let mut text = String::new();
    let numbers = [
        (MAX_AGE, limits.max_age.map(whole_ms)),
        (PERSISTENT, limits.persistent.map(u64::from)),
        (ABSOLUTE_LIFETIME, limits.absolute_lifetime.map(whole_ms)),
    ];
    for (letter, number) in numbers {
        if let Some(number) = number {
            // OK because a string takes any text.
            let _ = write!(text, " {letter}{number}");
        }
    }
    text
}

const MAX_AGE: char = 'm';
const PERSISTENT: char = 'p';
const ABSOLUTE_LIFETIME: char = 'd';

/// `@c` of a session.
pub(super) fn created_text(created_at: Timestamp, limits: &Limits) -> String {
    format!("{}{}", created_at.as_unix_ms(), limits_text(limits))
}

/// The inverse of [`created_text`].
///
/// # Errors
/// It is damaged, or of a later release.
pub(super) fn parse_created_text(text: &str) -> Result<(u64, Limits), StoreError> {
    let mut words = text.split(' ');
    let created = number(words.next().unwrap_or_default().as_bytes())?;
    let mut limits = Limits::default();
    for word in words {
        let mut letters = word.chars();
        let letter = letters.next();
        let value = || number(letters.as_str().as_bytes());
        match letter {
            Some(MAX_AGE) => limits.max_age = Some(Duration::from_millis(value()?)),
            Some(PERSISTENT) => limits.persistent = Some(value()? != 0),
            Some(ABSOLUTE_LIFETIME) => {
                limits.absolute_lifetime = Some(Duration::from_millis(value()?));
            }
            _ => return Err(later_release()),
        }
    }
    Ok((created, limits))
}

/// A number in the metadata.
pub(super) fn number(bytes: &[u8]) -> Result<u64, StoreError> {
    std::str::from_utf8(bytes)
        .ok()
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| StoreError::damaged("the hash has metadata that is not a number"))
}

/// During a rolling deploy, the later release can read it, so it is not damage.
fn later_release() -> StoreError {
    StoreError::unavailable(RecordError::Version(2))
}

/// `@r` of a session whose id was renewed. With a digest, the old id reads nothing.
pub(super) fn retired_text(retired: &Retired) -> String {
    match retired {
        Retired::Readable { successor } => key_name(successor),
        Retired::Hidden { digest: Some(digest) } => format!("~{}", URL_SAFE_NO_PAD.encode(digest)),
        Retired::Hidden { digest: None } => String::new(),
    }
}

/// The inverse of [`retired_text`].
pub(super) fn parse_retired(text: &[u8]) -> Option<Retired> {
    if text.is_empty() {
        return Some(Retired::Hidden { digest: None });
    }
    let Some(digest) = text.strip_prefix(b"~") else {
        return Some(Retired::Readable { successor: parse_key_name(text)? });
    };
    let digest = URL_SAFE_NO_PAD.decode(digest).ok()?;
    Some(Retired::Hidden { digest: Some(digest.try_into().ok()?) })
}

/// The Redis key, without the prefix, of the set of sessions with this value of an indexed field.
pub(super) fn index_key(field: &str, value: &RawValue) -> String {
    let hash = Sha1::digest(format!("{}\n{}", escape(field), value.get()));
    iter::once("@".to_owned()).chain(hash.iter().map(|byte| format!("{byte:02x}"))).collect()
}

/// The Redis key, without the prefix, of the lock of a value.
pub(super) fn lock_key(value: &StoreKey) -> String {
    format!("@lock:{}", key_name(value))
}

/// A session as a member of such a set, without the time at which it was added.
pub(super) fn index_member(id: PublicId, key: &StoreKey) -> Vec<u8> {
    let mut member = id.to_bytes().to_vec();
    member.extend_from_slice(key_name(key).as_bytes());
    member
}

/// The start of the range of such a set that holds the sessions after an id.
pub(super) fn range_after(after: Option<PublicId>) -> Vec<u8> {
    match after {
        None => b"-".to_vec(),
        // 255 sorts after every key name, because those are ASCII.
        Some(id) => [b"(".as_slice(), &id.to_bytes(), &[u8::MAX]].concat(),
    }
}

/// The name of a session's field in the hash.
pub(super) fn escape(field: &str) -> Cow<'_, str> {
    if field.starts_with('@') { format!("@{field}").into() } else { field.into() }
}

/// The inverse of [`escape`].
pub(super) fn unescape(name: &str) -> Result<FieldName, StoreError> {
    match name.strip_prefix('@') {
        None => Ok(name.to_owned().into()),
        Some(field) if field.starts_with('@') => Ok(field.to_owned().into()),
        Some(_) => Err(later_release()),
    }
}
