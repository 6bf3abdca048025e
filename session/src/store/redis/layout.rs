//! How a session is kept: one hash, with a field for each field of the session that holds its JSON, and
//! fields for what must be known about the session as a whole.
//!
//! | field | holds |
//! | --- | --- |
//! | `@c` | when the session began, ms since 1970 |
//! | `@e` | when it ends, ms since 1970; the key's own expiry is the same |
//! | `@v` | the version |
//! | `@m` | its own `max_age`, ms; absent if it has none |
//! | `@p` | its own `persistent`, 0 or 1; absent if it has none |
//! | `@i` | only if fields are indexed: the public id, 14 bytes, and the names of the fields, a line each |
//! | `@r` | only if its id was renewed: the successor's key, or nothing if that is a secret |
//! | `@@…` | a field of the session whose name begins with `@`, without the first one |
//! | … | a field of the session |

use std::{borrow::Cow, iter, sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use serde_json::value::RawValue;
use sha1::{Digest as _, Sha1};

use crate::{
    error::{StoreError, ValueError},
    id::StoreKey,
    record::{
        Change, FieldName, Fields, Grace, Index, NewExpiry, OldId, Patch, PublicId, Record,
        RecordError, Retired,
    },
    store::{index_pages::IndexEntry, session_store::Renewal},
    time::{Limits, Timestamp, whole_ms},
};

use super::client::{Args, Reply};

const CREATED: &str = "@c";
const VERSION: &str = "@v";
const MAX_AGE: &str = "@m";
const PERSISTENT: &str = "@p";
const RETIRED: &str = "@r";
const EXPIRES: &str = "@e";
const INDEX: &str = "@i";

/// The key of a session, after the prefix.
pub(super) fn key_name(key: &StoreKey) -> String {
    prefixed_key_name("", key)
}

/// The key of a session.
pub(super) fn prefixed_key_name(prefix: &str, key: &StoreKey) -> String {
    let mut name = String::with_capacity(prefix.len() + 43);
    name.push_str(prefix);
    URL_SAFE_NO_PAD.encode_string(key.as_bytes(), &mut name);
    name
}

/// The key that [`key_name`] wrote.
pub(super) fn parse_key_name(name: &[u8]) -> Option<StoreKey> {
    let bytes = URL_SAFE_NO_PAD.decode(name).ok()?;
    Some(StoreKey::from_bytes(bytes.try_into().ok()?))
}

/// The arguments that store a record: when it expires, then the hash.
pub(super) fn record_arguments(record: &Record) -> Args {
    let mut words = Args::default();
    words.push_number(record.expires_at().as_unix_ms());
    let mut number = |name: &str, number: u64| {
        words.push(name);
        words.push_number(number);
    };
    number(CREATED, record.created_at().as_unix_ms());
    number(VERSION, record.version());
    let limits = record.limits();
    if let Some(max_age) = limits.max_age {
        number(MAX_AGE, whole_ms(max_age));
    }
    if let Some(persistent) = limits.persistent {
        number(PERSISTENT, persistent.into());
    }
    if record.is_retired() {
        words.push(RETIRED);
        words.push(record.successor().map(key_name).unwrap_or_default());
    }
    if let Some(index) = record.index() {
        words.push(INDEX);
        words.push(index_bytes(index));
    }
    for (name, json) in record.fields() {
        words.push(&*escaped(name));
        words.push(json.get());
    }
    words
}

fn index_bytes(index: &Index) -> Vec<u8> {
    let mut bytes = index.public_id().to_bytes().to_vec();
    let names: Vec<_> = index.names().map(escaped).collect();
    // OK because the name of an indexed field has no line break.
    bytes.extend_from_slice(names.join("\n").as_bytes());
    bytes
}

fn parse_index(bytes: &[u8]) -> Result<Index, StoreError> {
    let (public_id, names) =
        bytes.split_first_chunk().ok_or_else(|| StoreError::damaged("the public id is cut off"))?;
    let names = text(names)?.split('\n').map(unescaped).collect::<Result<_, _>>()?;
    Ok(Index::stored(PublicId::from_bytes(*public_id), names))
}

/// The key of the set of sessions with a value, after the prefix.
pub(super) fn value_name(name: &str, value: &RawValue) -> String {
    let hash = Sha1::digest(format!("{}\n{}", escaped(name), value.get()));
    iter::once("@".to_owned()).chain(hash.iter().map(|byte| format!("{byte:02x}"))).collect()
}

/// The place of a session in such a set.
pub(super) fn place(id: PublicId, key: &StoreKey) -> Vec<u8> {
    let mut place = id.to_bytes().to_vec();
    place.extend_from_slice(key_name(key).as_bytes());
    place
}

type NamedValue = (FieldName, Arc<RawValue>);

/// The public id and the indexed fields of a session that has ended.
pub(super) fn parse_ended(ended: &[Reply]) -> Result<(PublicId, Vec<NamedValue>), StoreError> {
    let [Reply::Int(1), Reply::Text(id), fields @ ..] = ended else { return Err(unexpected()) };
    let id = <[u8; 14]>::try_from(&**id).map_err(|_| unexpected())?;
    let field = |pair: &[Reply]| match pair {
        [Reply::Text(name), Reply::Text(value)] => Ok((unescaped(text(name)?)?, raw_json(value)?)),
        _ => Err(unexpected()),
    };
    let fields = fields.chunks(2).map(field).collect::<Result<_, _>>()?;
    Ok((PublicId::from_bytes(id), fields))
}

/// Where in such a set the sessions after an id begin.
pub(super) fn range_after(after: Option<PublicId>) -> Vec<u8> {
    match after {
        None => b"-".to_vec(),
        // Past every key, because those are letters.
        Some(id) => [b"(".as_slice(), &id.to_bytes(), &[u8::MAX]].concat(),
    }
}

/// What a set holds of a session.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Member {
    pub(super) entry: IndexEntry,
    /// How long it has been there, in seconds.
    pub(super) age: u64,
    pub(super) bytes: Bytes,
}

/// The members that the server has found.
pub(super) fn parse_members(answer: Reply) -> Result<Vec<Member>, StoreError> {
    let Reply::List(answer) = answer else { return Err(unexpected()) };
    let [Reply::Int(now), Reply::List(members)] = &answer[..] else { return Err(unexpected()) };
    let member = |member: &Reply| {
        let Reply::Text(bytes) = member else { return None };
        let (id, rest) = bytes.split_first_chunk()?;
        let (key, since) = rest.split_last_chunk()?;
        let since = i64::from(u32::from_be_bytes(*since));
        Some(Member {
            entry: (PublicId::from_bytes(*id), parse_key_name(key)?),
            age: u64::try_from(now - since).unwrap_or(0),
            bytes: bytes.clone(),
        })
    };
    let members = members.iter().map(|found| {
        member(found)
            .ok_or_else(|| StoreError::damaged("the index has something else than sessions"))
    });
    members.collect()
}

/// The names and values of a patch that only sets fields, and not very many. Most are such patches.
pub(super) fn set_arguments(patch: &Patch) -> Option<Args> {
    /// A script can pass so many on.
    const MOST: usize = 1_000;

    let is_plain = patch.expected_version().is_none()
        && patch.begins_anew().is_none()
        && patch.limits().is_none()
        && patch.expiry().is_none()
        && patch.index().is_none();
    if !is_plain || patch.changes().next().is_none() {
        return None;
    }
    let mut words = Args::default();
    for (at, (name, change)) in patch.changes().enumerate() {
        let Change::Set(json) = change else { return None };
        if at == MOST {
            return None;
        }
        words.push(&*escaped(name));
        words.push(json.get());
    }
    Some(words)
}

/// The head of a patch, then the changes.
pub(super) fn patch_arguments(patch: &Patch) -> Args {
    let mut words = Args::default();
    words.push(patch_head(patch));
    push_changes(&mut words, patch);
    words
}

/// The head of a patch, when the grace is over, the mark of the retired record, then the changes.
pub(super) fn rotate_arguments(patch: &Patch, grace: Grace, successor: &StoreKey) -> Args {
    let mut words = Args::default();
    words.push(patch_head(patch));
    push_grace(&mut words, grace, successor);
    push_changes(&mut words, patch);
    words
}

/// As the first three of [`rotate_arguments`], for a patch that expects this version and no more.
pub(super) fn retire_arguments(version: u64, grace: Grace, successor: &StoreKey) -> Args {
    let mut words = Args::default();
    words.push(format!("v{version}"));
    push_grace(&mut words, grace, successor);
    words
}

/// What a script must know of a patch besides the changes: tokens of a letter and a value.
///
/// Everything that is not there costs nothing, because each update sends it.
fn patch_head(patch: &Patch) -> String {
    let mut tokens = Vec::new();
    if let Some(version) = patch.expected_version() {
        tokens.push(format!("v{version}"));
    }
    if let Some(created_at) = patch.begins_anew() {
        tokens.push(format!("a{}", created_at.as_unix_ms()));
    }
    if let Some(limits) = patch.limits() {
        tokens.push("l".to_owned());
        tokens.extend(limits.max_age.map(|max_age| format!("m{}", whole_ms(max_age))));
        tokens.extend(limits.persistent.map(|persistent| format!("p{}", u8::from(persistent))));
    }
    match patch.expiry() {
        None => {}
        Some(NewExpiry::ExtendTo(at)) => tokens.push(format!("x{}", at.as_unix_ms())),
        Some(NewExpiry::Set(at)) => tokens.push(format!("s{}", at.as_unix_ms())),
    }
    tokens.join(" ")
}

/// The changes of a patch: `=name value`, `-name`, and `+name by first`, where `first` is what an absent
/// field becomes; and `*`, followed by the bytes of an index.
fn push_changes(words: &mut Args, patch: &Patch) {
    if let Some(index) = patch.index() {
        words.push([b"*".as_slice(), &index_bytes(index)].concat());
    }
    for (name, change) in patch.changes() {
        let name = escaped(name);
        match change {
            Change::Set(json) => {
                words.push(format!("={name}"));
                words.push(json.get());
            }
            Change::Remove => words.push(format!("-{name}")),
            Change::Add { from, by } => {
                words.push(format!("+{name}"));
                words.push(by.to_json().get());
                words.push(from.saturating_add(*by).to_json().get());
            }
        }
    }
}

/// What a script must know to extend a session: the time, and the middleware's limits.
pub(super) fn renewal_arguments(renewal: &Renewal) -> Args {
    let Renewal { lifetimes, now } = renewal;
    let mut words = Args::default();
    words.push_number(now.as_unix_ms());
    let limits = [Some(lifetimes.idle), Some(lifetimes.absolute), lifetimes.touch_interval];
    limits.into_iter().flatten().for_each(|limit| words.push_number(whole_ms(limit)));
    words
}

/// What a script must know to retire a record: when the grace is over, and its mark.
fn push_grace(words: &mut Args, grace: Grace, successor: &StoreKey) {
    words.push_number(grace.until.as_unix_ms());
    words.push(match grace.old_id {
        OldId::ReadsSnapshot => key_name(successor),
        OldId::ReadsNothing => String::new(),
    });
}

/// The record of a hash; `None` if it is empty, that is, not there.
pub(super) fn parse_record(hash: Reply) -> Result<Option<Record>, StoreError> {
    let mut pairs = pairs(hash)?.peekable();
    if pairs.peek().is_none() {
        return Ok(None);
    }
    let mut parts = Parts::default();
    for pair in pairs {
        let (name, value) = pair?;
        parts.add(text(&name)?, &value)?;
    }
    parts.record().map(Some)
}

/// What is known of a session whatever fields are wanted.
const HEAD: [&str; 7] = [CREATED, EXPIRES, VERSION, MAX_AGE, PERSISTENT, RETIRED, INDEX];

/// The fields of a hash that tell as much of a session as is wanted.
pub(super) fn field_names(wanted: &[&str]) -> Args {
    let mut words = Args::default();
    HEAD.iter().for_each(|name| words.push(name));
    wanted.iter().for_each(|name| words.push(&*escaped(name)));
    words
}

/// The part of a record that [`field_names`] has asked for; `None` if the session is not there.
pub(super) fn parse_part(values: Reply, wanted: &[&str]) -> Result<Option<Record>, StoreError> {
    let Reply::List(values) = values else { return Err(unexpected()) };
    if values.len() != HEAD.len() + wanted.len() {
        return Err(unexpected());
    }
    if values.iter().all(|value| *value == Reply::Null) {
        return Ok(None);
    }
    let mut parts = Parts::default();
    let escaped = wanted.iter().map(|name| escaped(name));
    for (name, value) in HEAD.into_iter().map(Cow::Borrowed).chain(escaped).zip(values) {
        match value {
            Reply::Null => {}
            Reply::Text(value) => parts.add(&name, &value)?,
            _ => return Err(unexpected()),
        }
    }
    parts.record().map(|record| Some(record.into_part()))
}

/// A record that is being read.
#[derive(Default)]
struct Parts {
    created: Option<u64>,
    expires: Option<u64>,
    version: Option<u64>,
    limits: Limits,
    retired: Option<Arc<Retired>>,
    index: Option<Arc<Index>>,
    fields: Vec<NamedValue>,
}

impl Parts {
    fn add(&mut self, name: &str, value: &[u8]) -> Result<(), StoreError> {
        match name {
            CREATED => self.created = Some(number(value)?),
            EXPIRES => self.expires = Some(number(value)?),
            VERSION => self.version = Some(number(value)?),
            MAX_AGE => self.limits.max_age = Some(Duration::from_millis(number(value)?)),
            PERSISTENT => self.limits.persistent = Some(number(value)? != 0),
            RETIRED => self.retired = Some(Arc::new(Retired { successor: successor(value)? })),
            INDEX => self.index = Some(Arc::new(parse_index(value)?)),
            name => self.fields.push((unescaped(name)?, raw_json(value)?)),
        }
        Ok(())
    }

    fn record(self) -> Result<Record, StoreError> {
        let (Some(created), Some(expires), Some(version)) =
            (self.created, self.expires, self.version)
        else {
            return Err(StoreError::damaged("the hash lacks `@c`, `@e` or `@v`"));
        };
        Ok(Record {
            created_at: Timestamp::from_unix_ms(created),
            expires_at: Timestamp::from_unix_ms(expires),
            version,
            limits: self.limits,
            retired: self.retired,
            index: self.index,
            fields: Fields::new(self.fields.into_iter().collect()),
            is_whole: true,
        })
    }
}

/// The names and values of a hash.
fn pairs(
    hash: Reply,
) -> Result<impl Iterator<Item = Result<(Bytes, Bytes), StoreError>>, StoreError> {
    let mut list = match hash {
        Reply::Null => Vec::new(),
        Reply::List(list) => list,
        _ => return Err(unexpected()),
    }
    .into_iter();
    Ok(iter::from_fn(move || match (list.next()?, list.next()) {
        (Reply::Text(name), Some(Reply::Text(value))) => Some(Ok((name, value))),
        _ => Some(Err(unexpected())),
    }))
}

/// An answer that is of no use.
pub(super) fn unexpected() -> StoreError {
    StoreError::internal("Redis gave an answer of another kind than was asked for")
}

fn number(text: &[u8]) -> Result<u64, StoreError> {
    std::str::from_utf8(text)
        .ok()
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| StoreError::damaged("the hash has metadata that is no number"))
}

fn successor(name: &[u8]) -> Result<Option<StoreKey>, StoreError> {
    match (name, parse_key_name(name)) {
        (b"", _) => Ok(None),
        (_, Some(key)) => Ok(Some(key)),
        (_, None) => Err(StoreError::damaged("the successor is no key")),
    }
}

fn raw_json(value: &[u8]) -> Result<Arc<RawValue>, StoreError> {
    RawValue::from_string(text(value)?.to_owned())
        .map(Into::into)
        .map_err(|error| StoreError::damaged(ValueError::from(error)))
}

fn text(bytes: &[u8]) -> Result<&str, StoreError> {
    std::str::from_utf8(bytes)
        .map_err(|_| StoreError::damaged("the hash has bytes that are no text"))
}

fn escaped(name: &str) -> Cow<'_, str> {
    if name.starts_with('@') { format!("@{name}").into() } else { name.into() }
}

fn unescaped(name: &str) -> Result<FieldName, StoreError> {
    match name.strip_prefix('@') {
        None => Ok(name.to_owned().into()),
        Some(name) if name.starts_with('@') => Ok(name.to_owned().into()),
        // A rolling deploy: the later release can read it, so it is not damage.
        Some(_) => Err(StoreError::unavailable(RecordError::Version(2))),
    }
}
