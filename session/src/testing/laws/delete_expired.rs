//! The capability `DeleteExpired`.

use std::sync::Arc;

use super::{
    checks::{create, expect_eq, expect_gone, load, ok},
    records::{new_key, record_for, ticks},
};
use crate::{
    store::{DeleteExpired, SessionStore},
    testing::harness::Harness,
};

pub async fn delete_expired_deletes_expired_sessions_only<H: Harness>(harness: Arc<H>)
where
    H::Store: DeleteExpired,
{
    let store = harness.open().await;
    let deleted = ok(store.delete_expired()).await;
    expect_eq("`DeleteExpired`: an empty store deletes nothing", deleted, 0);
    let (expired, live): (Vec<_>, Vec<_>) =
        ((0..30).map(|_| new_key()).collect(), (0..30).map(|_| new_key()).collect());
    for key in &expired {
        create(&store, key, &record_for(&harness, 1)).await;
    }
    for key in &live {
        create(&store, key, &record_for(&harness, 1)).await;
        let touched = ok(store.touch(key, ticks(&harness, 10))).await;
        expect_eq("law 8: `touch` reports that the session was there", touched, true);
    }
    harness.advance(harness.tick()).await;
    let deleted = ok(store.delete_expired()).await;
    expect_eq("`DeleteExpired`: each expired session is deleted and counted", deleted, 30);
    let deleted = ok(store.delete_expired()).await;
    expect_eq("`DeleteExpired`: a deleted session is not counted again", deleted, 0);
    for key in &live {
        load(&store, key).await;
    }
    for key in &expired {
        expect_gone("`DeleteExpired`: a deleted session is gone", &store, key).await;
    }
    harness.advance(harness.tick() * 10).await;
    let deleted = ok(store.delete_expired()).await;
    expect_eq("`DeleteExpired`: an extended session is deleted after its end", deleted, 30);
}
