//! What the replies of the commands and scripts mean.

use std::{borrow::Cow, iter, sync::Arc};

use bytes::Bytes;
use serde_json::value::RawValue;

use crate::{
    error::{StoreError, ValueError},
    record::{FieldMap, FieldName, Index, PublicId, Record, Retired},
    store::{index_pages::IndexEntry, session_store::UpdateOutcome},
    time::{Limits, Timestamp},
};

use super::{
    client::Reply,
    layout::{
        self, CREATED, EXPIRES, INDEX, METADATA, RETIRED, VERSION, escape, number, parse_key_name,
        unescape,
    },
};

/// The record of a hash; `None` if the hash is empty, which means that the key is absent.
pub(super) fn parse_record(hash: Reply) -> Result<Option<Record>, StoreError> {
    let mut pairs = pairs(hash)?.peekable();
    if pairs.peek().is_none() {
        return Ok(None);
    }
    let mut decoder = RecordDecoder::default();
    for pair in pairs {
        let (name, value) = pair?;
        decoder.add(text(&name)?, &value)?;
    }
    decoder.finish().map(Some)
}

/// The part of a record with the wanted fields, from the values of
/// `encode::field_names`. `None` if the session is absent.
pub(super) fn parse_part(values: Reply, wanted: &[&str]) -> Result<Option<Record>, StoreError> {
    let Reply::List(values) = values else { return Err(unexpected()) };
    if values.len() != METADATA.len() + wanted.len() {
        return Err(unexpected());
    }
    if values.iter().all(|value| *value == Reply::Null) {
        return Ok(None);
    }
    let mut decoder = RecordDecoder::default();
    let wanted = wanted.iter().map(|name| escape(name));
    for (name, value) in METADATA.into_iter().map(Cow::Borrowed).chain(wanted).zip(values) {
        match value {
            Reply::Null => {}
            Reply::Text(value) => decoder.add(&name, &value)?,
            _ => return Err(unexpected()),
        }
    }
    decoder.finish().map(|record| Some(record.into_partial()))
}

/// When a session was stored, by the server's clock. `None`: its key is taken.
pub(super) fn parse_created(reply: &Reply) -> Result<Option<Timestamp>, StoreError> {
    match reply {
        Reply::Int(0) => Ok(None),
        Reply::Int(-1) => Err(ended_by_server_clock()),
        Reply::Int(at) => {
            u64::try_from(*at).map(|at| Some(Timestamp::from_unix_ms(at))).map_err(|_| unexpected())
        }
        _ => Err(unexpected()),
    }
}

fn ended_by_server_clock() -> StoreError {
    StoreError::unavailable(
        "the session has ended by the clock of Redis, so the clock of this process is behind; set \
         both clocks, for example by NTP",
    )
}

/// What a script that changes a session did.
pub(super) fn parse_updated(reply: Reply) -> Result<UpdateOutcome, StoreError> {
    match reply {
        Reply::Null => Ok(UpdateOutcome::Gone),
        Reply::Int(-1) => Ok(UpdateOutcome::Taken),
        Reply::Int(-3) => Err(ended_by_server_clock()),
        Reply::Int(version) => Ok(UpdateOutcome::Applied {
            version: u64::try_from(version).map_err(|_| unexpected())?,
        }),
        hash => match parse_record(hash)? {
            Some(record) => Ok(UpdateOutcome::Conflict(record)),
            None => Ok(UpdateOutcome::Gone),
        },
    }
}

/// Whether the number is 1.
pub(super) fn is_one(reply: &Reply) -> Result<bool, StoreError> {
    match reply {
        Reply::Int(number) => Ok(*number == 1),
        _ => Err(unexpected()),
    }
}

type FieldValue = (FieldName, Arc<RawValue>);

/// The public id and the indexed fields of a session that was destroyed.
pub(super) fn parse_destroyed(items: &[Reply]) -> Result<(PublicId, Vec<FieldValue>), StoreError> {
    let [Reply::Int(1), Reply::Text(id), fields @ ..] = items else { return Err(unexpected()) };
    let id = <[u8; 14]>::try_from(&**id).map_err(|_| unexpected())?;
    let field = |pair: &[Reply]| match pair {
        [Reply::Text(name), Reply::Text(value)] => Ok((unescape(text(name)?)?, raw_json(value)?)),
        _ => Err(unexpected()),
    };
    let fields = fields.chunks(2).map(field).collect::<Result<_, _>>()?;
    Ok((PublicId::from_bytes(id), fields))
}

/// A member of the set of sessions with a value.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct IndexMember {
    pub(super) entry: IndexEntry,
    /// The seconds since it was added.
    pub(super) age: u64,
    /// Whether the session has certainly ended.
    pub(super) has_ended: bool,
    pub(super) bytes: Bytes,
}

/// The server's time, and members of a set.
pub(super) fn parse_members(reply: Reply) -> Result<Vec<IndexMember>, StoreError> {
    let Reply::List(reply) = reply else { return Err(unexpected()) };
    let [Reply::Int(now), Reply::List(members)] = &reply[..] else { return Err(unexpected()) };
    let member = |member: &Reply| {
        let Reply::Text(bytes) = member else { return None };
        let (id, rest) = bytes.split_first_chunk()?;
        let (key, added_at) = rest.split_last_chunk()?;
        let added_at = i64::from(u32::from_be_bytes(*added_at));
        let id = PublicId::from_bytes(*id);
        Some(IndexMember {
            entry: (id, parse_key_name(key)?),
            age: u64::try_from(now - added_at).unwrap_or(0),
            has_ended: i64::try_from(id.until().as_unix_ms() / 1_000).is_ok_and(|end| end <= *now),
            bytes: bytes.clone(),
        })
    };
    let members = members.iter().map(|found| {
        member(found)
            .ok_or_else(|| StoreError::damaged("the index has a member that is not a session"))
    });
    members.collect()
}

/// The error for a reply that the command cannot have.
pub(super) fn unexpected() -> StoreError {
    StoreError::internal("Redis sent another kind of reply than the command has")
}

/// The fields of a hash that were decoded so far.
#[derive(Default)]
struct RecordDecoder {
    version: Option<u64>,
    expires: Option<u64>,
    created: Option<(u64, Limits)>,
    retired: Option<Arc<Retired>>,
    index: Option<Arc<Index>>,
    fields: Vec<FieldValue>,
}

impl RecordDecoder {
    fn add(&mut self, name: &str, value: &[u8]) -> Result<(), StoreError> {
        match name {
            VERSION => self.version = Some(number(value)?),
            EXPIRES => self.expires = Some(number(value)?),
            CREATED => self.created = Some(layout::parse_created_text(text(value)?)?),
            RETIRED => self.retired = Some(Arc::new(parse_retired(value)?)),
            INDEX => self.index = Some(Arc::new(parse_index(value)?)),
            name => self.fields.push((unescape(name)?, raw_json(value)?)),
        }
        Ok(())
    }

    fn finish(self) -> Result<Record, StoreError> {
        let (Some(version), Some(expires), Some((created, limits))) =
            (self.version, self.expires, self.created)
        else {
            return Err(StoreError::damaged("the hash lacks `@v`, `@e` or `@c`"));
        };
        Ok(Record {
            created_at: Timestamp::from_unix_ms(created),
            expires_at: Timestamp::from_unix_ms(expires),
            version,
            limits: limits.into(),
            retired: self.retired,
            index: self.index,
            fields: FieldMap::new(self.fields.into_iter().collect()),
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

fn parse_retired(text: &[u8]) -> Result<Retired, StoreError> {
    layout::parse_retired(text)
        .ok_or_else(|| StoreError::damaged("the successor is not a valid key"))
}

fn parse_index(bytes: &[u8]) -> Result<Index, StoreError> {
    let (public_id, names) = bytes
        .split_first_chunk()
        .ok_or_else(|| StoreError::damaged("the public id is too short"))?;
    let names = text(names)?.split('\n').map(unescape).collect::<Result<_, _>>()?;
    Ok(Index::stored(PublicId::from_bytes(*public_id), names))
}

fn raw_json(value: &[u8]) -> Result<Arc<RawValue>, StoreError> {
    RawValue::from_string(text(value)?.to_owned())
        .map(Into::into)
        .map_err(|error| StoreError::damaged(ValueError::from(error)))
}

fn text(bytes: &[u8]) -> Result<&str, StoreError> {
    std::str::from_utf8(bytes)
        .map_err(|_| StoreError::damaged("the hash has bytes that are not UTF-8"))
}
