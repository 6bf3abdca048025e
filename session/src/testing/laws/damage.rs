//! Law 10: damaged bytes are a decode error for that key alone.

use std::sync::Arc;

use super::{
    checks::{create, expect_applied, load, ok},
    records::{FIELDS, new_key, record, set, with},
};
use crate::{
    error::StoreError,
    store::{LoadOptions, SessionStore},
    testing::harness::Damage,
};

pub async fn damaged_bytes_harm_one_session<H: Damage>(harness: Arc<H>) {
    let store = harness.open().await;
    let half = record(&harness).to_bytes();
    let half = &half[..half.len() / 2];
    let damages: [&[u8]; 4] = [b"", b"\0\0\0\0", b"{\"views\":1}", half];
    for bytes in damages {
        let (damaged, intact) = (new_key(), new_key());
        for key in [damaged, intact] {
            create(&store, &key, &with(&record(&harness), &set(FIELDS))).await;
        }
        harness.damage(&store, &damaged, bytes).await;
        match store.load(&damaged, &LoadOptions::default()).await {
            Err(StoreError::Damaged(_)) => {}
            other => panic!(
                "law 10: damaged bytes are a decode error\n  expected: \
                 Err(StoreError::Damaged)\n       got: {other:?}"
            ),
        }
        load(&store, &intact).await;
        expect_applied(&ok(store.update(&intact, &set(&[("a", "1")]))).await);
    }
}
