//! A replica takes over.

use std::{process::Command, time::Duration};

use actix_typed_session::{
    Clock as _, SystemClock,
    store::{Record, SessionStore},
};
use actix_typed_session_tests::{
    mariadb::MariaDbServer,
    postgres::{PostgresServer, program},
    proxy::Proxy,
    wait::PATIENCE,
};
use sqlx::{AssertSqlSafe, MySql, MySqlPool, PgPool, Postgres};
use tokio::time::{Instant, sleep};

use crate::{
    database::{Builder as _, Database, key, pool, run},
    outage::{count, increment},
};

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

/// Waits until a query of PostgreSQL returns true.
async fn until_true(pool: &PgPool, query: &'static str) {
    let start = Instant::now();
    while !sqlx::query_scalar::<_, bool>(query).fetch_one(pool).await.expect("the server is up") {
        assert!(start.elapsed() < PATIENCE, "{query}");
        sleep(Duration::from_millis(20)).await;
    }
}

/// The first value that a query of MariaDB returns, as a text.
async fn text(pool: &MySqlPool, query: &str) -> String {
    let query = format!("SELECT CAST(({query}) AS CHAR)");
    sqlx::query_scalar(AssertSqlSafe(query)).fetch_one(pool).await.expect("the server is up")
}

/// A store behind a proxy, with a session.
async fn with_session<D: Database>(proxy: &Proxy) -> D::Store {
    let builder = D::builder(pool(&D::url(None, proxy.address()), 4));
    let store = builder.sweep_interval(None).build().expect("the settings are valid");
    D::ensure_schema(&store).await.expect("the server is up");
    let now = SystemClock.now();
    let record = Record::new(now, now.saturating_add(Duration::from_secs(3_600)));
    store.create(&key(1), &record).await.expect("the server is up");
    store
}

/// What a request does to the replica: it loads the session, and changes it.
async fn assert_goes_on(store: &impl SessionStore, before: u64) {
    assert_eq!(count(store).await.expect("up"), before, "what was answered is there");
    increment(store).await.expect("the replica is up");
    assert_eq!(count(store).await.expect("up"), before + 1);
}

#[tokio::test]
async fn after_a_failover_of_postgres_what_was_answered_is_there_and_the_first_calls_work() {
    let mut primary = PostgresServer::start(Postgres::SAFE);
    let proxy = Proxy::to(primary.address());
    let store = with_session::<Postgres>(&proxy).await;
    let replica = replica(&primary);
    let on_primary = pool::<Postgres>(&Postgres::url(None, primary.address()), 1);
    run(&on_primary, "ALTER SYSTEM SET synchronous_standby_names = '*'").await;
    run(&on_primary, "SELECT pg_reload_conf()").await;
    let is_safe = "SELECT EXISTS (SELECT FROM pg_stat_replication WHERE sync_state = 'sync')";
    until_true(&on_primary, is_safe).await;
    for _ in 0..5 {
        increment(&store).await.expect("the primary is up");
    }

    primary.kill();
    let on_replica = pool::<Postgres>(&Postgres::url(None, replica.address()), 1);
    run(&on_replica, "SELECT pg_promote()").await;
    proxy.lead_to(replica.address());

    assert_goes_on(&store, 5).await;
}

/// Settings of servers of MariaDB that do not answer a commit before the other one has it.
const SEMI_SYNCHRONOUS: [&str; 5] = [
    "--log-bin=binary-log",
    "--sync-binlog=1",
    "--innodb-flush-log-at-trx-commit=1",
    "--rpl-semi-sync-master-timeout=60000",
    "--rpl-semi-sync-slave-enabled=ON",
];

#[tokio::test]
async fn after_a_failover_of_mariadb_what_was_answered_is_there_and_the_first_calls_work() {
    let start = |id| MariaDbServer::start(&[&[id], &SEMI_SYNCHRONOUS[..]].concat());
    let mut primary = start("--server-id=1");
    let proxy = Proxy::to(primary.address());
    let replica = start("--server-id=2");
    let on_primary = pool::<MySql>(&MySql::url(None, primary.address()), 1);
    let on_replica = pool::<MySql>(&MySql::url(None, replica.address()), 1);
    // Only now, because the first statements of a server would wait for a replica.
    run(&on_primary, "SET GLOBAL rpl_semi_sync_master_enabled = ON").await;
    let follow = format!(
        "CHANGE MASTER TO MASTER_HOST = '127.0.0.1', MASTER_PORT = {}, MASTER_USER = 'owner', \
         MASTER_USE_GTID = slave_pos",
        primary.address().port()
    );
    for statement in ["SET GLOBAL read_only = ON", &follow, "START SLAVE"] {
        run(&on_replica, statement).await;
    }
    let status = |name: &str| {
        format!(
            "SELECT VARIABLE_VALUE FROM information_schema.GLOBAL_STATUS \
             WHERE VARIABLE_NAME = 'RPL_SEMI_SYNC_MASTER_{name}'"
        )
    };
    let begin = Instant::now();
    while text(&on_primary, &status("CLIENTS")).await != "1" {
        assert!(begin.elapsed() < PATIENCE, "the replica does not follow");
        sleep(Duration::from_millis(20)).await;
    }
    let store = with_session::<MySql>(&proxy).await;
    for _ in 0..5 {
        increment(&store).await.expect("the primary is up");
    }
    assert_eq!(text(&on_primary, &status("STATUS")).await, "ON", "it has waited each time");
    let last = text(&on_primary, "@@gtid_binlog_pos").await;

    primary.kill();
    assert_eq!(text(&on_replica, &format!("MASTER_GTID_WAIT('{last}', 60)")).await, "0");
    for statement in ["STOP SLAVE", "RESET SLAVE ALL", "SET GLOBAL read_only = OFF"] {
        run(&on_replica, statement).await;
    }
    proxy.lead_to(replica.address());

    assert_goes_on(&store, 5).await;
}
