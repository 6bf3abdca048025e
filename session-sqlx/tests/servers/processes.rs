//! Two processes on one table.

use std::{env, process::Command};

use actix_typed_session::{
    Clock as _, SystemClock,
    store::{Record, SessionStore, UpdateOutcome},
};
use actix_typed_session_tests::json::add;
use sqlx::{MySql, Postgres};

use crate::database::{Builder as _, Database, key, on_each_database, pool};

/// Where a process finds the database.
const URL: &str = "SESSIONS_TEST_URL";

fn store<D: Database>(url: &str) -> D::Store {
    let builder = D::builder(pool::<D>(url, 10)).table("two_processes");
    builder.build().expect("the settings are valid")
}

async fn two_processes_lose_no_update<D: Database>() {
    let url = D::url(None, D::shared().address());
    let store = store::<D>(&url);
    D::ensure_schema(&store).await.expect("the server is up");
    let now = SystemClock.now();
    let record = Record::new(now, now.saturating_add(std::time::Duration::from_secs(3_600)));
    store.create(&key(1), &record).await.expect("the server is up");
    let processes = [(); 2].map(|()| {
        let mut process = Command::new(env::current_exe().expect("this program"));
        process.args(["--ignored", "--exact", "processes::hundred_increments"]);
        process.env(URL, &url).spawn().expect("this program starts")
    });
    for mut process in processes {
        let ended = tokio::task::spawn_blocking(move || process.wait()).await.expect("no panic");
        assert!(ended.expect("our own child").success());
    }
    let record = store.load(&key(1), &Default::default()).await.expect("up").expect("there");
    assert_eq!(record.field("n").map(|json| json.get()), Some("200"));
}

on_each_database!(two_processes_lose_no_update);

#[tokio::test]
#[ignore = "another test starts it as a process"]
async fn hundred_increments() {
    // `cargo test -- --ignored` starts it without a database.
    let Ok(url) = env::var(URL) else { return };
    if url.starts_with("mysql:") {
        add_hundred(&store::<MySql>(&url)).await;
    } else {
        add_hundred(&store::<Postgres>(&url)).await;
    }
}

async fn add_hundred(store: &impl SessionStore) {
    for _ in 0..100 {
        let outcome = store.update(&key(1), &add("n", 1)).await.expect("the server is up");
        assert!(matches!(outcome, UpdateOutcome::Applied { .. }));
    }
}
