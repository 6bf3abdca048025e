//! What the store can do because both stores can.

use serde_json::value::RawValue;

use super::{
    index_pages::merged,
    stage::{self, InOld},
    store::MovingStore,
};
use crate::{
    error::StoreError,
    id::StoreKey,
    record::{PublicId, Record},
    store::{
        capabilities::{DeleteExpired, FindByIndex, IndexPage, Ping},
        listing::{ListAll, ListCursor, ListPage, other_store},
        session_store::SessionStore,
    },
};

impl<Old: DeleteExpired, New: DeleteExpired> DeleteExpired for MovingStore<Old, New> {
    async fn delete_expired(&self) -> Result<u64, StoreError> {
        let deleted = self.old().delete_expired().await?;
        Ok(deleted + self.new_store().delete_expired().await?)
    }
}

impl<Old: Ping, New: Ping> Ping for MovingStore<Old, New> {
    async fn ping(&self) -> Result<(), StoreError> {
        self.old().ping().await?;
        self.new_store().ping().await
    }
}

impl<Old: FindByIndex, New: FindByIndex> FindByIndex for MovingStore<Old, New> {
    async fn find(
        &self,
        name: &str,
        value: &RawValue,
        after: Option<PublicId>,
        limit: usize,
    ) -> Result<IndexPage, StoreError> {
        let (limit, mut after) = (limit.max(1), after);
        loop {
            // The old store first, so that a session that moves meanwhile is in one of the pages.
            let old = Box::pin(self.old().find(name, value, after, limit)).await?;
            let old = self.unmarked(old).await?;
            let new = Box::pin(self.new_store().find(name, value, after, limit)).await?;
            let page = merged(old, new, after, limit);
            if page.sessions.is_empty() && page.next.is_some() {
                after = page.next;
                continue;
            }
            return Ok(page);
        }
    }

    /// With the lock of the old store: both phases have that one, so all processes wait for it.
    async fn exclusively<T, A>(&self, value: &RawValue, action: A) -> Result<T, StoreError>
    where
        T: Send + 'static,
        A: Future<Output = T> + Send + 'static,
    {
        Box::pin(self.old().exclusively(value, action)).await
    }
}

impl<Old: SessionStore, New: SessionStore> MovingStore<Old, New> {
    /// The sessions that the old store has found. It finds a sealed one under its stage's key.
    async fn unmarked(&self, found: IndexPage) -> Result<IndexPage, StoreError> {
        let mut page = IndexPage::new(Vec::with_capacity(found.sessions.len()), found.next);
        for (found, record) in found.sessions {
            match stage::marked_key(&record) {
                None => page.sessions.push((found, record)),
                Some(key) if self.steps.is_pending(&key, &found).await? => {
                    page.sessions.push((key, stage::unmarked(record)));
                }
                Some(_) => {}
            }
        }
        Ok(page)
    }

    /// What `load` returns for a record that the old store has listed. `None`: it is not a session,
    /// or the new store has it.
    async fn listed(
        &self,
        key: StoreKey,
        record: Record,
    ) -> Result<Option<(StoreKey, Record)>, StoreError> {
        if stage::marked_key(&record).is_some() {
            return Ok(None);
        }
        match InOld::of(&key, Some(record)) {
            InOld::Live(record) | InOld::Retired(record) => Ok(Some((key, record))),
            InOld::Sealed(record, stage) if self.steps.is_pending(&key, &stage).await? => {
                Ok(Some((key, stage::unsealed(record))))
            }
            InOld::Sealed(..) | InOld::Nothing => Ok(None),
        }
    }
}

/// The first byte of a cursor: which store has made the rest.
const IN_OLD: u8 = 0;
const IN_NEW: u8 = 1;

impl<Old: ListAll, New: ListAll> ListAll for MovingStore<Old, New> {
    /// The old store first, so that a session that moves meanwhile is listed.
    async fn list(&self, after: Option<&ListCursor>, limit: usize) -> Result<ListPage, StoreError> {
        match after.map(ListCursor::as_bytes) {
            None => self.list_old(None, limit).await,
            Some([IN_OLD, rest @ ..]) => self.list_old(Some(rest), limit).await,
            Some([IN_NEW]) => self.list_new(None, limit).await,
            Some([IN_NEW, rest @ ..]) => self.list_new(Some(rest), limit).await,
            Some(_) => Err(other_store()),
        }
    }
}

impl<Old: ListAll, New: ListAll> MovingStore<Old, New> {
    async fn list_old(&self, after: Option<&[u8]>, limit: usize) -> Result<ListPage, StoreError> {
        let found = Box::pin(self.old().list(after.map(ListCursor::new).as_ref(), limit)).await?;
        let next =
            found.next.map_or_else(|| cursor(IN_NEW, &[]), |next| cursor(IN_OLD, next.as_bytes()));
        let mut page = ListPage::new(Some(next));
        page.unreadable = found.unreadable;
        for (key, record) in found.sessions {
            page.sessions.extend(self.listed(key, record).await?);
        }
        Ok(page)
    }

    async fn list_new(&self, after: Option<&[u8]>, limit: usize) -> Result<ListPage, StoreError> {
        let found =
            Box::pin(self.new_store().list(after.map(ListCursor::new).as_ref(), limit)).await?;
        let mut page = ListPage::new(found.next.map(|next| cursor(IN_NEW, next.as_bytes())));
        page.unreadable = found.unreadable;
        let is_session = |(_, record): &(_, Record)| !stage::is_stage(record);
        page.sessions = found.sessions.into_iter().filter(is_session).collect();
        Ok(page)
    }
}

fn cursor(store: u8, rest: &[u8]) -> ListCursor {
    ListCursor::new([&[store], rest].concat())
}
