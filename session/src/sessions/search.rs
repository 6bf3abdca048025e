//! Finds sessions by a value under all the names under which it may be stored.

use std::{collections::BTreeMap, sync::Arc};

use super::{index_key::IndexKey, sessions::Sessions};
use crate::{
    error::SessionError,
    id::StoreKey,
    record::{PublicId, Record},
    store::IndexPage,
    typed::Session,
};

impl<T: Session> Sessions<T> {
    /// Finds up to `limit` sessions after a public id.
    pub(super) async fn find(
        &self,
        by: &IndexKey<T>,
        after: Option<PublicId>,
        limit: usize,
    ) -> Result<IndexPage, SessionError> {
        let Some(value) = by.value()? else { return Ok(IndexPage::default()) };
        let mut pages = Vec::new();
        for name in by.names() {
            pages.push(Arc::clone(&self.store).find(name, value.to_owned(), after, limit).await?);
        }
        Ok(merge(pages, limit.max(1), |record| by.is_value_of(record)))
    }

    /// Finds the session with a public id.
    pub(super) async fn seek(
        &self,
        by: &IndexKey<T>,
        id: PublicId,
    ) -> Result<Option<(StoreKey, Record)>, SessionError> {
        let mut found = self.find(by, id.shortest().predecessor(), 1).await?;
        Ok(found.sessions.pop().filter(|(_, record)| {
            record.public_id().is_some_and(|found| found.is_same_session(id))
        }))
    }
}

/// Merges the pages of several names, which begin after the same public id. `has_value` says
/// whether a struct reads the value: if a session has it under two names, the first one decides.
fn merge(
    mut pages: Vec<IndexPage>,
    limit: usize,
    has_value: impl Fn(&Record) -> bool,
) -> IndexPage {
    if pages.len() == 1 {
        return pages.remove(0);
    }
    // A page says nothing about sessions after its end. Those of other pages wait for the next one.
    let end = pages.iter().filter_map(|page| page.next).min();
    let mut sessions = BTreeMap::new();
    for (key, record) in pages.into_iter().flat_map(|page| page.sessions) {
        if let Some(id) = record.public_id()
            && end.is_none_or(|end| id <= end)
            && has_value(&record)
        {
            // If it moved to another name meanwhile, the page that was read last is right.
            sessions.insert(id, (key, record));
        }
    }
    let last = sessions.keys().nth(limit - 1).copied();
    let next = last.filter(|_| sessions.len() > limit).or(end);
    IndexPage::new(sessions.into_values().take(limit).collect(), next)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        record::{Index, Patch},
        time::Timestamp,
    };

    /// A page of the sessions that began at these times.
    fn page(began: &[u8], next: Option<u8>) -> IndexPage {
        let sessions = began.iter().map(|n| {
            let mut patch = Patch::default();
            patch.index_field(Index::new(id(*n), "user".into()));
            let new = Record::new(id(*n).began(), Timestamp::END_OF_9999);
            let record = patch.apply_to(&new).expect("a live record takes a patch");
            (StoreKey::from_bytes([*n; 32]), record)
        });
        IndexPage::new(sessions.collect(), next.map(id))
    }

    fn id(n: u8) -> PublicId {
        let mut bytes = [0; 14];
        bytes[5] = n;
        let id = PublicId::from_bytes(bytes);
        assert!(PublicId::new(id.began(), Duration::ZERO).began() == id.began());
        id
    }

    fn merged(pages: Vec<IndexPage>, limit: usize) -> (Vec<u8>, Option<PublicId>) {
        let page = merge(pages, limit, |_| true);
        (page.sessions.iter().map(|(key, _)| key.as_bytes()[0]).collect(), page.next)
    }

    #[test]
    fn sessions_of_two_names_are_in_one_order_and_each_is_there_once() {
        let pages = vec![page(&[1, 4, 5], None), page(&[2, 4, 6], None)];
        assert_eq!(merged(pages, 10), (vec![1, 2, 4, 5, 6], None));
    }

    #[test]
    fn a_page_ends_where_the_shortest_ends() {
        // The second name may have sessions before 8 that its page did not reach.
        let pages = vec![page(&[1, 8], None), page(&[2, 3], Some(3))];
        assert_eq!(merged(pages, 2), (vec![1, 2], Some(id(2))));
        let pages = vec![page(&[8], None), page(&[2, 3], Some(3))];
        assert_eq!(merged(pages, 2), (vec![2, 3], Some(id(3))));
        // A page may have no session and yet not be the last one.
        let pages = vec![page(&[8], None), page(&[], Some(4))];
        assert_eq!(merged(pages, 2), (vec![], Some(id(4))));
    }

    #[test]
    fn a_full_last_page_has_no_next_one() {
        let pages = vec![page(&[1], None), page(&[2], None)];
        assert_eq!(merged(pages, 2), (vec![1, 2], None));
    }
}
