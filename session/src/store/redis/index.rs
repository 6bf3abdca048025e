//! The index: for each value of an indexed field a sorted set of the sessions that have it.
//!
//! All members have the score 0, so they are in the order of their bytes: the session's public id (14 bytes),
//! the name of its key without the prefix (43), and when it was put there (seconds since 1970, 4). Those are fewer
//! than 64 bytes, so that Redis keeps small sets as compact lists.
//!
//! On one server the scripts that change a session change the sets with it, in one step. In a cluster a set
//! is in another slot than most of its sessions, so a session is entered before it is stored, and what is
//! found is looked at before it is believed.

use futures_util::future::try_join_all;
use serde_json::value::RawValue;

use super::{
    RedisStore,
    client::{Args, Command, Retry},
    is_one,
    layout::{self, Member},
    script::{self, Script},
    updated,
};
use crate::{
    error::{Chain, StoreError},
    id::StoreKey,
    record::{Change, Index, Patch, PublicId, Record},
    store::{
        capabilities::{FindByIndex, Found},
        index_pages::{IndexEntry, Pages, Part},
        session_store::{SessionStore as _, Updated},
    },
};

/// Whoever has entered a session stores it within this time, in seconds, or never.
const SETTLED: u64 = 60;

impl FindByIndex for RedisStore {
    async fn find(
        &self,
        name: &str,
        value: &RawValue,
        after: Option<PublicId>,
        limit: usize,
    ) -> Result<Found, StoreError> {
        let set = &self.set(name, value);
        let mut page = Pages::new(after, limit);
        while let Some((from, wanted)) = page.wanted() {
            let mut members = self.members(set, from, wanted).await?;
            let listed = entries(&members);
            let mut part = Part::new(&listed);
            let mut has_moved = false;
            while let Some(next) = part.next() {
                let looks = members.iter().filter(|member| next.contains(&member.entry));
                let looks = looks.map(async |member| {
                    let seen = self.look(set, name, value, member).await?;
                    Ok::<_, StoreError>((member.entry, seen))
                });
                for (entry, seen) in try_join_all(looks).await? {
                    match seen {
                        Seen::Session(record) => part.saw(entry, Some(record)),
                        Seen::Nothing => part.saw(entry, None),
                        Seen::Elsewhere => {}
                        Seen::NowElsewhere => has_moved = true,
                    }
                }
                if part.lacks_some() {
                    members = self.members(set, from, part.entries_again()).await?;
                    part.look_again(&entries(&members));
                }
            }
            if has_moved {
                page = Pages::new(after, limit);
            } else {
                page.add(part, &listed, wanted);
            }
        }
        Ok(page.found)
    }
}

fn entries(members: &[Member]) -> Vec<IndexEntry> {
    members.iter().map(|member| member.entry).collect()
}

/// What a member of a set leads to.
enum Seen {
    Session(Record),
    /// A session that has another public id, and is in the set with that one too.
    Elsewhere,
    /// The same, and it was not in the set with that one until now.
    NowElsewhere,
    Nothing,
}

impl RedisStore {
    fn set(&self, name: &str, value: &RawValue) -> String {
        self.0.prefix.clone() + &layout::value_name(name, value)
    }

    /// Enters a session, from now on under this key, in the sets of these values. Returns in how many of them it is
    /// new.
    pub(super) async fn enter<'a>(
        &self,
        key: &StoreKey,
        id: PublicId,
        values: impl Iterator<Item = (&'a str, &'a RawValue)>,
    ) -> Result<usize, StoreError> {
        self.each_set(&script::ENTER, key, id, values).await
    }

    /// Takes a session that is not under this key any more out of the sets of these values.
    pub(super) async fn leave<'a>(
        &self,
        key: &StoreKey,
        id: PublicId,
        values: impl Iterator<Item = (&'a str, &'a RawValue)>,
    ) -> Result<usize, StoreError> {
        self.each_set(&script::LEAVE, key, id, values).await
    }

    async fn each_set<'a>(
        &self,
        script: &Script,
        key: &StoreKey,
        id: PublicId,
        values: impl Iterator<Item = (&'a str, &'a RawValue)>,
    ) -> Result<usize, StoreError> {
        let mut arguments = Args::default();
        arguments.push(layout::place(id, key));
        let arguments = &arguments;
        let calls = values.map(|(name, value)| async move {
            let set = self.set(name, value);
            is_one(&self.run_on(script, &[&set], arguments, Retry::Idempotent).await?.reply)
        });
        Ok(try_join_all(calls).await?.into_iter().filter(|is_one| *is_one).count())
    }

    /// How a session is found, if it is.
    async fn index_of(&self, key: &StoreKey) -> Result<Option<Index>, StoreError> {
        let record = self.load_fields(key, &[]).await?;
        Ok(record.and_then(|record| record.index().cloned()))
    }

    /// [`update`](crate::SessionStore::update) with a patch that changes indexed fields, in a cluster.
    ///
    /// The session is entered where its public id says, which the first patch has given to it, and that may be this
    /// one.
    pub(super) async fn update_across_slots(
        &self,
        key: &StoreKey,
        patch: &Patch,
    ) -> Result<Updated, StoreError> {
        let known = match patch.begins_anew() {
            None => self.index_of(key).await?,
            Some(_) => None,
        };
        let index = match (&known, patch.index()) {
            (Some(known), Some(index)) => known.and(index),
            (Some(index), None) | (None, Some(index)) => index.clone(),
            // It has ended since a script has seen that it is found by a field.
            (None, None) => return Ok(Updated::Gone),
        };
        let _changing = self.changing(key);
        self.enter(key, index.public_id(), new_values(patch, &index)).await?;
        let arguments = layout::patch_arguments(patch);
        let updated =
            updated(self.run(&script::UPDATE_ALONE, key, &arguments, Retry::Never).await?)?;
        if known.is_none()
            && let Some(first) = self.index_of(key).await?
            && first.public_id() != index.public_id()
        {
            self.enter(key, first.public_id(), new_values(patch, &index)).await?;
        }
        Ok(updated)
    }

    async fn members(
        &self,
        set: &str,
        after: Option<PublicId>,
        limit: usize,
    ) -> Result<Vec<Member>, StoreError> {
        let mut arguments = Args::default();
        arguments.push(layout::range_after(after));
        arguments.push_number(limit as u64);
        let answer = self.run_on(&script::FIND, &[set], &arguments, Retry::Idempotent).await?;
        layout::parse_members(answer.reply)
    }

    /// The session of a member, if it has the value; else the member goes, unless it is so young that
    /// somebody may be about to store the session.
    async fn look(
        &self,
        set: &str,
        name: &str,
        value: &RawValue,
        member: &Member,
    ) -> Result<Seen, StoreError> {
        let (id, key) = &member.entry;
        let record = match self.load(key).await {
            // The session is gone for its visitor too.
            Err(StoreError::Damaged(error)) => {
                tracing::warn!("a session is not listed: {}", Chain(&*error));
                None
            }
            record => record?.filter(|record| record.is_found_by(name, value)),
        };
        let seen = match record {
            None => Seen::Nothing,
            Some(record) => match record.index().map(Index::public_id) {
                // Two requests have indexed it for the first time at once, and the other one was the first.
                Some(own) if own != *id => {
                    match self.enter(key, own, [(name, value)].into_iter()).await? {
                        0 => Seen::Elsewhere,
                        _ => Seen::NowElsewhere,
                    }
                }
                _ => return Ok(Seen::Session(record)),
            },
        };
        if member.age > SETTLED {
            let command = Command::new("ZREM").arg(set).arg(&member.bytes);
            self.call(set, &command, Retry::Idempotent).await?;
        }
        Ok(seen)
    }
}

/// The new values of indexed fields.
fn new_values<'a>(
    patch: &'a Patch,
    index: &'a Index,
) -> impl Iterator<Item = (&'a str, &'a RawValue)> {
    patch.changes().filter_map(|(name, change)| match change {
        Change::Set(json) if json.get() != "null" && index.names().any(|it| it == name) => {
            Some((name, &**json))
        }
        _ => None,
    })
}
