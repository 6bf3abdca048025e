//! Who can make and use the tables.

use std::time::Duration;

use actix_typed_session::{
    StoreError,
    store::{DeleteExpired as _, Record, SessionStore as _},
    testing::Harness as _,
};
use actix_typed_session_sqlx::SqlConfigError;
use actix_typed_session_tests::error_chain;

use crate::database::{Builder as _, Database, Tables, key, on_each_database, pool, run};

async fn ten_starts_at_once_make_one_schema<D: Database>() {
    let tables = Tables::<D>::new("read committed");
    let store = tables.store("ten_starts");
    let starts = (0..10).map(|_| {
        let store = store.clone();
        tokio::spawn(async move { D::ensure_schema(&store).await })
    });
    for start in starts.collect::<Vec<_>>() {
        start.await.expect("no panic").expect("it waits for the others");
    }
}

async fn the_schema_of_a_later_release_is_refused<D: Database>() {
    let tables = Tables::<D>::new("read committed");
    let store = tables.store("later");
    D::ensure_schema(&store).await.expect("the server is up");
    run(&tables.pool(), "INSERT INTO later_version VALUES (2)").await;
    let error = D::ensure_schema(&store).await.expect_err("a later version");
    assert!(
        matches!(&error, StoreError::Internal(cause) if cause.to_string().contains("version 2"))
    );
}

async fn without_the_tables_the_error_says_how_to_make_them<D: Database>() {
    let store = Tables::<D>::new("read committed").store("missing");
    let error = store.load(&key(1), &Default::default()).await.expect_err("no table");
    assert!(error_chain(&error).contains("call `ensure_schema`"), "{}", error_chain(&error));
}

async fn a_name_that_would_need_quotes_is_refused<D: Database>() {
    let nowhere = pool::<D>(&D::url(None, ([127, 0, 0, 1], 1).into()), 1);
    for name in ["", "a b", "a\"; DROP TABLE x; --", "a`; --", "A", "1a"] {
        let error = D::builder(nowhere.clone()).table(name).build().err().expect("a bad name");
        assert!(matches!(error, SqlConfigError::Name(_)), "{name}");
    }
}

async fn a_user_with_the_least_privileges_uses_the_table_of_another_one<D: Database>() {
    let tables = Tables::<D>::new("read committed");
    D::ensure_schema(&tables.store("granted")).await.expect("the server is up");
    run(&tables.pool(), D::GRANT).await;
    let pool = pool::<D>(&D::url(Some("site"), D::shared().address()), 2);
    let build = |table: &str| {
        let builder = D::builder(pool.clone()).clock(tables.clock.clone());
        builder.table(table).sweep_interval(None).build().expect("the settings are valid")
    };
    let store = build("granted");
    D::ensure_schema(&store).await.expect("it is there, so nothing is to be made");
    let now = tables.now();
    let record = Record::new(now, now.saturating_add(Duration::from_secs(60)));
    store.create(&key(1), &record).await.expect("it may");
    assert!(store.destroy(&key(1)).await.expect("it may"));
    assert_eq!(store.delete_expired().await.expect("it may"), 0);
    let error = D::ensure_schema(&build("other")).await.expect_err("it may not");
    assert!(error_chain(&error).contains("privilege"), "{}", error_chain(&error));
    // No connection of the pool is left in the transaction that has failed.
    for _ in 0..4 {
        run(&pool, "SELECT 1").await;
    }
}

on_each_database!(
    ten_starts_at_once_make_one_schema,
    the_schema_of_a_later_release_is_refused,
    without_the_tables_the_error_says_how_to_make_them,
    a_name_that_would_need_quotes_is_refused,
    a_user_with_the_least_privileges_uses_the_table_of_another_one,
);
