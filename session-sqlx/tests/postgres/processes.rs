//! Two processes on one table.

use std::{env, process::Command};

use actix_typed_session::{
    Clock as _, SystemClock,
    store::{Record, SessionStore as _, UpdateOutcome},
};
use actix_typed_session_sqlx::PostgresStore;
use actix_typed_session_tests::json::add;
use sqlx::PgPool;

use crate::{key, server};

/// Where a process finds the database.
const URL: &str = "SESSIONS_TEST_URL";

fn store(url: &str) -> PostgresStore {
    let pool = PgPool::connect_lazy(url).expect("a valid URL");
    PostgresStore::builder(pool).table("two_processes").build().expect("the settings are valid")
}

#[tokio::test]
async fn two_processes_lose_no_update() {
    let store = store(&server().url());
    store.ensure_schema().await.expect("the server is up");
    let now = SystemClock.now();
    let record = Record::new(now, now.saturating_add(std::time::Duration::from_secs(3_600)));
    store.create(&key(1), &record).await.expect("the server is up");
    let processes = [(); 2].map(|()| {
        let mut process = Command::new(env::current_exe().expect("this program"));
        process.args(["--ignored", "--exact", "processes::hundred_increments"]);
        process.env(URL, server().url()).spawn().expect("this program starts")
    });
    for mut process in processes {
        let ended = tokio::task::spawn_blocking(move || process.wait()).await.expect("no panic");
        assert!(ended.expect("our own child").success());
    }
    let record = store.load(&key(1), &Default::default()).await.expect("up").expect("there");
    assert_eq!(record.field("n").map(|json| json.get()), Some("200"));
}

#[tokio::test]
#[ignore = "another test starts it as a process"]
async fn hundred_increments() {
    // `cargo test -- --ignored` starts it without a database.
    let Ok(url) = env::var(URL) else { return };
    let store = store(&url);
    for _ in 0..100 {
        let outcome = store.update(&key(1), &add("n", 1)).await.expect("the server is up");
        assert!(matches!(outcome, UpdateOutcome::Applied { .. }));
    }
}
