//! One page of the sessions that two stores find. Pure functions.

use std::collections::BTreeMap;

use crate::{
    id::StoreKey,
    record::{PublicId, Record},
    store::capabilities::IndexPage,
};

/// The page of both stores' pages that begin after the same id. If both have found a session, that
/// of the new store counts.
///
/// Beyond the end of a page that is not the last one, its store may have more sessions. So the page
/// ends there.
pub(super) fn merged(
    old: IndexPage,
    new: IndexPage,
    after: Option<PublicId>,
    limit: usize,
) -> IndexPage {
    let end = [old.next, new.next].into_iter().flatten().min();
    let mut sessions = BTreeMap::new();
    for (key, record) in old.sessions.into_iter().chain(new.sessions) {
        if let Some(id) = record.public_id() {
            sessions.insert(id.shortest(), (id, key, record));
        }
    }
    let is_new = |id: &PublicId| after.is_none_or(|after| !id.is_same_session(after));
    // The stores may have ids of different length for a session.
    let is_before = |end: PublicId, id: &PublicId| *id <= end || id.is_same_session(end);
    let in_page = |id: &PublicId| is_new(id) && end.is_none_or(|end| is_before(end, id));
    let mut sessions: Vec<(PublicId, StoreKey, Record)> =
        sessions.into_values().filter(|(id, ..)| in_page(id)).collect();
    let has_more = sessions.len() > limit;
    sessions.truncate(limit);
    let last = sessions.last().map(|(id, ..)| *id);
    let next = if has_more { last } else { end };
    IndexPage::new(sessions.into_iter().map(|(_, key, record)| (key, record)).collect(), next)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        record::{Index, Patch},
        time::Timestamp,
    };

    fn id(n: u64, days: u32) -> PublicId {
        let mut bytes = PublicId::new(Timestamp::from_unix_ms(n), Duration::ZERO).to_bytes();
        bytes[6..12].copy_from_slice(&[0; 6]);
        bytes[13] = days as u8;
        PublicId::from_bytes(bytes)
    }

    fn found(n: u64, days: u32, from: u8) -> (StoreKey, Record) {
        let mut patch = Patch::default();
        patch.index_field(Index::new(id(n, days), "user".into()));
        let record = Record::new(Timestamp::default(), Timestamp::END_OF_9999);
        (StoreKey::from_bytes([from; 32]), patch.apply_to(&record).expect("a live record"))
    }

    /// What a store with these sessions finds.
    fn page(ids: &[(u64, u32)], from: u8, after: Option<PublicId>, limit: usize) -> IndexPage {
        let rest = ids.iter().filter(|(n, days)| after.is_none_or(|after| id(*n, *days) > after));
        let rest: Vec<_> = rest.map(|(n, days)| found(*n, *days, from)).collect();
        let next =
            (rest.len() > limit).then(|| rest[limit - 1].1.public_id().expect("it is indexed"));
        IndexPage::new(rest.into_iter().take(limit).collect(), next)
    }

    #[test]
    fn pages_of_any_size_have_each_session_once_and_in_order() {
        // The new store has lengthened the public id of 5 and of 7.
        let old = [(1, 1), (2, 1), (5, 1), (6, 1), (7, 1), (9, 1)];
        let new = [(3, 1), (4, 1), (5, 2), (7, 3), (8, 1), (10, 1)];
        for limit in 1..12 {
            let (mut after, mut all) = (None, Vec::new());
            loop {
                let parts = (page(&old, 1, after, limit), page(&new, 2, after, limit));
                let page = merged(parts.0, parts.1, after, limit);
                assert!(page.sessions.len() <= limit);
                all.extend(page.sessions.iter().map(|(key, record)| {
                    let id = record.public_id().expect("it is indexed");
                    (id.began().as_unix_ms(), key.as_bytes()[0])
                }));
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
            let expected =
                [(1, 1), (2, 1), (3, 2), (4, 2), (5, 2), (6, 1), (7, 2), (8, 2), (9, 1), (10, 2)];
            assert_eq!(all, expected, "pages of {limit}");
        }
    }
}
