//! Searches of a store with `FindByIndex`, page by page.

use super::{
    checks::{expect, expect_eq, ok},
    records::{json, seen},
};
use crate::{id::StoreKey, record::PublicId, store::FindByIndex};

/// Returns the sessions whose field `name` has this value, in pages of `limit`.
pub(super) async fn find_in_pages<S: FindByIndex>(
    store: &S,
    name: &str,
    text: &str,
    limit: usize,
) -> Vec<(PublicId, StoreKey)> {
    let mut sessions = Vec::new();
    let mut after = None;
    loop {
        let page = ok(store.find(name, &json(text), after, limit)).await;
        expect(
            format_args!("`FindByIndex`: a page has no more than {limit} sessions"),
            page.sessions.len() <= limit,
            page.sessions.len(),
        );
        for (key, record) in page.sessions {
            expect(
                "`FindByIndex` law 2: each session that is found has the value",
                record.is_found_by(name, &json(text)),
                seen(&record),
            );
            let id = record.public_id();
            sessions.push((id.expect("`is_found_by` is true of indexed sessions only"), key));
        }
        expect(
            format_args!("`FindByIndex` law 3: the next page is later than {after:?}"),
            page.next.is_none() || page.next > after,
            page.next,
        );
        after = page.next;
        if after.is_none() {
            return sessions;
        }
    }
}

/// Returns the keys of the sessions whose field `name` has this value.
pub(super) async fn find<S: FindByIndex>(store: &S, name: &str, text: &str) -> Vec<StoreKey> {
    find_in_pages(store, name, text, 3).await.into_iter().map(|(_, key)| key).collect()
}

/// Fails if other sessions are found than the expected. `when` says what has happened before.
pub(super) async fn expect_found<S: FindByIndex>(
    store: &S,
    when: &str,
    (name, text): (&str, &str),
    expected: &[StoreKey],
) {
    let found = find(store, name, text).await;
    let law = "`FindByIndex` laws 1 and 2: the sessions with a value are found, and no others";
    // Keys print without their bytes, so the numbers say more than the lists.
    let counts = format!("{} sessions, {} expected", found.len(), expected.len());
    expect_eq(format_args!("{law}; {when}, `{name}` = {text:.40}: {counts}"), &found[..], expected);
}
