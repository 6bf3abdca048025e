//! Law 5: additions are atomic.

use std::sync::Arc;

use super::{
    checks::{create, expect_applied, expect_eq, load, ok},
    concurrent::at_once,
    records::{add, field, new_key, record, seen, set, with},
};
use crate::{
    record::{Number, Patch, Record},
    store::SessionStore,
    testing::harness::Harness,
};

pub async fn concurrent_additions_add_up<H: Harness>(harness: Arc<H>) {
    let store = Arc::new(harness.open().await);
    let key = new_key();
    create(&*store, &key, &record(&harness)).await;
    let adders = (0..8).map(|_| {
        let store = Arc::clone(&store);
        async move {
            for _ in 0..50 {
                expect_applied(&ok(store.update(&key, &add("n", 1))).await);
            }
        }
    });
    at_once(adders.collect()).await;
    expect_eq(
        "law 5: 400 concurrent additions of 1 add 400",
        field(&load(&*store, &key).await, "n").as_deref(),
        Some("400"),
    );
}

pub async fn additions_start_from_the_given_number<H: Harness>(harness: Arc<H>) {
    let store = harness.open().await;
    let key = new_key();
    let fields =
        set(&[("text", "\"x\""), ("float", "1.5"), ("max", "18446744073709551615"), ("n", "5")]);
    let before = with(&record(&harness), &fields);
    create(&store, &key, &before).await;
    let mut patch = Patch::default();
    patch.add("absent".into(), Number::Int(10), Number::Int(-3));
    patch.add("text".into(), Number::Int(100), Number::Int(1));
    patch.add("float".into(), Number::Float(0.0), Number::Float(0.25));
    patch.add("max".into(), Number::Int(0), Number::Int(1));
    patch.add("n".into(), Number::Int(10), Number::Int(-7));
    expect_applied(&ok(store.update(&key, &patch)).await);
    expect_eq(
        "law 5: an absent value and one that is not a number count as `from`; no sum overflows",
        seen(&load(&store, &key).await),
        seen(&with(&before, &patch)),
    );
}

/// The stored values to which the kit adds.
const STORED: &[&str] = &[
    "0",
    "-0",
    "7",
    "-7",
    "1.5",
    "-1.5e3",
    "1e3",
    "0.1",
    "1e308",
    "1e-7",
    "9007199254740993",
    "9223372036854775807",
    "-9223372036854775808",
    "9223372036854775808",
    "10000000000000000000",
    "18446744073709551614",
    "18446744073709551615",
    "18446744073709551616",
    "-9223372036854775809",
    "123456789012345678901234567890",
    "1e400",
    "-1e400",
    "null",
    "true",
    "\"12\"",
    "[1]",
    "{}",
];

/// The numbers that the kit adds to each of them.
const ADDED: &[Number] = &[
    Number::Int(1),
    Number::Int(-1),
    Number::Int(i64::MAX as i128),
    Number::Int(i64::MIN as i128),
    Number::Int(u64::MAX as i128),
    Number::Int(-(u64::MAX as i128)),
    Number::Int(i64::MIN as i128 - u64::MAX as i128),
    Number::Int(u64::MAX as i128 - i64::MIN as i128),
    Number::Int(999_999_999),
    Number::Int(-1_000_000_001),
    Number::Int(i128::MAX),
    Number::Int(i128::MIN),
    Number::Float(-0.0),
    Number::Float(0.1),
    Number::Float(-2.0),
    Number::Float(f64::MAX),
    Number::Float(1e-9),
];

pub async fn additions_work_on_every_number<H: Harness>(harness: Arc<H>) {
    let store = harness.open().await;
    let key = new_key();
    create(&store, &key, &record(&harness)).await;
    for text in STORED {
        for by in ADDED {
            let mut patch = Patch::default();
            patch.add("n".into(), Number::Int(10), *by);
            let start = set(&[("n", text)]);
            expect_applied(&ok(store.update(&key, &start)).await);
            let expected = with(&with(&record(&harness), &start), &patch);
            expect_applied(&ok(store.update(&key, &patch)).await);
            let number = |record: &Record| record.field("n").and_then(|n| Number::parse(n).ok());
            expect_eq(
                format_args!("law 5: {text} plus {by:?} is what `Patch::apply_to` computes"),
                number(&load(&store, &key).await),
                number(&expected),
            );
        }
    }
}
