//! The search for the sessions that have a value.

use futures_util::future::try_join_all;
use serde_json::value::RawValue;

use super::{
    decode::IndexMember, index_sets::CheckedMember, keyspace::Keyspace, store::RedisStore,
};
use crate::{
    error::StoreError,
    record::PublicId,
    store::{
        capabilities::{FindByIndex, IndexPage},
        index_pages::{EntryBatch, IndexEntry, PageBuilder},
    },
};

impl FindByIndex for RedisStore {
    async fn find(
        &self,
        name: &str,
        value: &RawValue,
        after: Option<PublicId>,
        limit: usize,
    ) -> Result<IndexPage, StoreError> {
        let keyspace = self.keyspace();
        let set = &keyspace.index_key(name, value);
        let search = IndexSearch { keyspace, set, field: name, value };
        let mut page = PageBuilder::new(after, limit);
        while let Some((from, wanted)) = page.wanted() {
            let members = keyspace.members(set, from, wanted).await?;
            let listed = entries(&members);
            match search.batch(members, &listed, from).await? {
                Some(batch) => page.add(batch, &listed, wanted),
                None => page = PageBuilder::new(after, limit),
            }
        }
        Ok(page.found)
    }

    async fn exclusively<T, A>(&self, value: &RawValue, action: A) -> Result<T, StoreError>
    where
        T: Send + 'static,
        A: Future<Output = T> + Send + 'static,
    {
        let (store, value) = (self.clone(), value.to_owned());
        // It runs to its end even if the caller goes away, so that the lock is released.
        let task = async move { store.keyspace().run_locked(&value, action).await };
        tokio::spawn(task).await.map_err(StoreError::internal)?
    }
}

/// The search in the set of a value.
struct IndexSearch<'a> {
    keyspace: &'a Keyspace,
    set: &'a str,
    field: &'a str,
    value: &'a RawValue,
}

impl IndexSearch<'_> {
    /// The batch of sessions of these members. `None`: a session has moved within the set, so
    /// the page must begin again.
    async fn batch(
        &self,
        mut members: Vec<IndexMember>,
        listed: &[IndexEntry],
        from: Option<PublicId>,
    ) -> Result<Option<EntryBatch>, StoreError> {
        let mut batch = EntryBatch::new(listed);
        let mut has_moved = false;
        while let Some(next) = batch.next() {
            let checks = members.iter().filter(|member| next.contains(&member.entry));
            let checks = checks.map(async |member| {
                let field = (self.field, self.value);
                let checked = self.keyspace.check_member(self.set, field, member).await?;
                Ok::<_, StoreError>((member.entry, checked))
            });
            for (entry, checked) in try_join_all(checks).await? {
                match checked {
                    CheckedMember::Session(record) => batch.add(entry, Some(record)),
                    CheckedMember::Stale => batch.add(entry, None),
                    CheckedMember::Duplicate => {}
                    CheckedMember::Readded => has_moved = true,
                }
            }
            if batch.has_missing() {
                members = self.keyspace.members(self.set, from, batch.retry_limit()).await?;
                batch.retry(&entries(&members));
            }
        }
        Ok((!has_moved).then_some(batch))
    }
}

fn entries(members: &[IndexMember]) -> Vec<IndexEntry> {
    members.iter().map(|member| member.entry).collect()
}
