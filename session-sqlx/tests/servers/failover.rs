//! A replica of PostgreSQL takes over.

use std::{process::Command, time::Duration};

use actix_typed_session::{
    Clock as _, SystemClock,
    store::{LoadOptions, Record, SessionStore, UpdateOutcome},
};
use actix_typed_session_tests::{
    json::add,
    postgres::{PostgresServer, program},
    proxy::Proxy,
    wait::PATIENCE,
};
use sqlx::{PgPool, Postgres};
use tokio::time::{Instant, sleep};

use crate::database::{Database, key, pool, run};

/// A replica that follows a primary.
fn replica(primary: &PostgresServer) -> PostgresServer {
    let port = primary.address().port().to_string();
    let copy = |folder: &std::path::Path| {
        let mut copy = Command::new(program("pg_basebackup"));
        copy.args(["-h", "127.0.0.1", "-p", &port, "-U", "postgres", "-c", "fast", "-R"]);
        copy.arg("-D").arg(folder.join("data"));
        copy
    };
    PostgresServer::start_from(copy, Postgres::SAFE)
}

/// Waits until a query returns true.
async fn until_true(pool: &PgPool, query: &'static str) {
    let start = Instant::now();
    while !sqlx::query_scalar::<_, bool>(query).fetch_one(pool).await.expect("the server is up") {
        assert!(start.elapsed() < PATIENCE, "{query}");
        sleep(Duration::from_millis(20)).await;
    }
}

async fn increment(store: &impl SessionStore) {
    let updated = store.update(&key(1), &add("n", 1)).await.expect("the server is up");
    assert!(matches!(updated, UpdateOutcome::Applied { .. }), "{updated:?}");
}

#[tokio::test]
async fn after_a_failover_what_was_answered_is_there_and_the_first_calls_work() {
    let mut primary = PostgresServer::start(Postgres::SAFE);
    let proxy = Proxy::to(primary.address());
    let builder = Postgres::builder(pool(&Postgres::url(None, proxy.address()), 4));
    let store = builder.sweep_interval(None).build().expect("the settings are valid");
    store.ensure_schema().await.expect("the server is up");
    let now = SystemClock.now();
    let record = Record::new(now, now.saturating_add(Duration::from_secs(3_600)));
    store.create(&key(1), &record).await.expect("the server is up");
    let replica = replica(&primary);
    let on_primary = pool::<Postgres>(&Postgres::url(None, primary.address()), 1);
    run(&on_primary, "ALTER SYSTEM SET synchronous_standby_names = '*'").await;
    run(&on_primary, "SELECT pg_reload_conf()").await;
    let is_safe = "SELECT EXISTS (SELECT FROM pg_stat_replication WHERE sync_state = 'sync')";
    until_true(&on_primary, is_safe).await;
    for _ in 0..5 {
        increment(&store).await;
    }

    primary.kill();
    let on_replica = pool::<Postgres>(&Postgres::url(None, replica.address()), 1);
    run(&on_replica, "SELECT pg_promote()").await;
    proxy.lead_to(replica.address());

    increment(&store).await;
    let loaded = store.load(&key(1), &LoadOptions::default()).await.expect("the replica is up");
    let loaded = loaded.expect("the session is there");
    assert_eq!(loaded.field("n").map(|json| json.get()), Some("6"));
}
