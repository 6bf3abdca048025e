//! The sets of the index: for each value of an indexed field the sessions that have it.
//!
//! Each is a sorted set in which all members have the score 0, so the members are in the order of
//! their bytes: the session's public id (14 bytes), the name of its key without the prefix (43),
//! and when it was added (seconds since 1970, 4). So they are in the order in which the sessions
//! began. That is less than 64 bytes, so Redis keeps small sets as compact lists.
//!
//! On one server, the scripts that change a session change the sets in the same step. In a cluster,
//! a set is in another slot than most of its sessions. There a session is added to the sets before
//! it is stored, and a search checks each member that it finds.

use futures_util::future::try_join_all;
use serde_json::value::RawValue;

use super::{
    client::{Args, Command, Retry},
    decode::{self, IndexMember, is_one},
    keyspace::Keyspace,
    layout,
    script::{self, Script},
};
use crate::{
    error::{Chain, StoreError},
    id::StoreKey,
    record::{PublicId, Record},
};

/// A session is stored within this time after it was added to a set, or never. In seconds.
const MAX_STORE_DELAY: u64 = 60;

impl Keyspace {
    /// The Redis key of the set of sessions with a value.
    pub(super) fn index_key(&self, field: &str, value: &RawValue) -> String {
        self.prefix.clone() + &layout::index_key(field, value)
    }

    /// Adds a session, which is or will be under this key, to the sets of these values. Returns how
    /// many of them did not have it.
    pub(super) async fn add_to_index<'a>(
        &self,
        key: &StoreKey,
        id: PublicId,
        values: impl Iterator<Item = (&'a str, &'a RawValue)>,
    ) -> Result<usize, StoreError> {
        self.run_on_sets(&script::ADD_TO_INDEX, key, id, values).await
    }

    /// Removes a session, which is not under this key any more, from the sets of these values.
    pub(super) async fn remove_from_index<'a>(
        &self,
        key: &StoreKey,
        id: PublicId,
        values: impl Iterator<Item = (&'a str, &'a RawValue)>,
    ) -> Result<usize, StoreError> {
        self.run_on_sets(&script::REMOVE_FROM_INDEX, key, id, values).await
    }

    /// Runs a script on the set of each value. Returns how many times it answered 1.
    async fn run_on_sets<'a>(
        &self,
        script: &Script,
        key: &StoreKey,
        id: PublicId,
        values: impl Iterator<Item = (&'a str, &'a RawValue)>,
    ) -> Result<usize, StoreError> {
        let mut args = Args::default();
        args.push(layout::index_member(id, key));
        let args = &args;
        let calls = values.map(|(field, value)| async move {
            let set = self.index_key(field, value);
            is_one(&self.run_on(script, &[&set], args, Retry::Idempotent).await?.reply)
        });
        Ok(try_join_all(calls).await?.into_iter().filter(|is_one| *is_one).count())
    }

    /// Up to `limit` members of a set after an id.
    pub(super) async fn members(
        &self,
        set: &str,
        after: Option<PublicId>,
        limit: usize,
    ) -> Result<Vec<IndexMember>, StoreError> {
        let mut args = Args::default();
        args.push(layout::range_after(after));
        args.push_number(limit as u64);
        let members = self.run_on(&script::FIND, &[set], &args, Retry::Idempotent).await?;
        decode::parse_members(members.reply)
    }

    /// Loads the session of a member. Removes a member that leads to no session with the value,
    /// unless its session may be about to be stored: it is young, and its time is not over.
    pub(super) async fn check_member(
        &self,
        set: &str,
        (field, value): (&str, &RawValue),
        member: &IndexMember,
    ) -> Result<CheckedMember, StoreError> {
        let (id, key) = &member.entry;
        let record = match self.load(key, None).await {
            // The session does not work for its visitor either.
            Err(StoreError::Damaged(error)) => {
                tracing::warn!(
                    event = "session_not_listed",
                    "a damaged session is not listed: {}",
                    Chain(&*error)
                );
                None
            }
            record => record?.filter(|record| record.is_found_by(field, value)),
        };
        let checked = match record {
            None => CheckedMember::Stale,
            Some(record) => match record.public_id() {
                // Two requests have indexed it for the first time at once, and the other one won.
                Some(own) if own != *id => {
                    match self.add_to_index(key, own, [(field, value)].into_iter()).await? {
                        0 => CheckedMember::Duplicate,
                        _ => CheckedMember::Readded,
                    }
                }
                _ => return Ok(CheckedMember::Session(record)),
            },
        };
        if member.age > MAX_STORE_DELAY || member.has_ended {
            let command = Command::new("ZREM").arg(set).arg(&member.bytes);
            self.call(set, &command, Retry::Idempotent).await?;
        }
        Ok(checked)
    }
}

/// What a member of a set leads to.
pub(super) enum CheckedMember {
    Session(Record),
    /// A session that is in the set with another public id too.
    Duplicate,
    /// A session that has another public id, with which it was added to the set just now.
    Readded,
    /// No session with the value.
    Stale,
}
