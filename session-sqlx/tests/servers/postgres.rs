//! PostgreSQL, and what only its store has.

use std::{
    net::SocketAddr,
    pin::Pin,
    sync::OnceLock,
    time::{Duration, Instant},
};

use actix_typed_session::store::SessionStore as _;
use actix_typed_session_sqlx::{PostgresStore, PostgresStoreBuilder};
use actix_typed_session_tests::{
    json::add,
    postgres::{PostgresProgram, PostgresServer, url},
};
use sqlx::{AssertSqlSafe, Executor as _, PgConnection, PgPool, Postgres, Row as _, raw_sql};
use tokio::time::sleep;

use crate::{
    costs::{Costs, applied, new_record},
    database::{Database, builder, key},
};

impl Database for Postgres {
    type Program = PostgresProgram;
    type Store = PostgresStore;
    type Builder = PostgresStoreBuilder;

    const FAST: &'static [&'static str] = &["fsync=off"];
    const SAFE: &'static [&'static str] = &["fsync=on"];
    const KILL_ALL: &'static str = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
           WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'";
    const READ_ONLY: [&'static str; 2] = [
        "ALTER ROLE postgres SET default_transaction_read_only = on",
        "ALTER ROLE postgres SET default_transaction_read_only = off",
    ];
    const GRANT: &'static str = "CREATE ROLE site LOGIN; \
         GRANT SELECT, INSERT, UPDATE, DELETE ON granted TO site; \
         GRANT SELECT ON granted_version TO site";
    const EXTRA_CALLS: &'static [(&'static str, u64)] = &[];

    fn lock_row(table: &str, n: u8) -> String {
        let key = format!("decode(repeat('{n:02x}', 32), 'hex')");
        format!("SELECT 1 FROM {table} WHERE key = {key} FOR UPDATE")
    }

    fn shared() -> &'static PostgresServer {
        static SERVER: OnceLock<PostgresServer> = OnceLock::new();
        SERVER.get_or_init(|| PostgresServer::start(Self::FAST))
    }

    fn url(user: Option<&str>, address: SocketAddr) -> String {
        url(user.unwrap_or("postgres"), address)
    }

    fn set_isolation(level: &str) -> String {
        format!("SET default_transaction_isolation = '{level}'")
    }

    fn run(
        connection: &mut PgConnection,
        sql: String,
    ) -> Pin<Box<dyn Future<Output = Result<(), sqlx::Error>> + Send + '_>> {
        Box::pin(async { connection.execute(raw_sql(AssertSqlSafe(sql))).await.map(|_| ()) })
    }

    fn builder(pool: PgPool) -> PostgresStoreBuilder {
        PostgresStore::builder(pool)
    }

    async fn ensure_schema(store: &PostgresStore) -> Result<(), actix_typed_session::StoreError> {
        store.ensure_schema().await
    }
}

builder!(PostgresStoreBuilder, PostgresStore);

#[tokio::test]
async fn updates_and_touches_change_no_index() {
    let costs = Costs::<Postgres>::new("hot").await;
    let record = new_record();
    for n in 0..20 {
        costs.store.create(&key(n), &record).await.expect("the server is up");
    }
    for round in 0..25 {
        // As the default interval between two touches.
        let later = record.expires_at().saturating_add(Duration::from_secs(round * 20 * 60));
        for n in 0..20 {
            applied(costs.store.update(&key(n), &add("n", 1)).await);
            assert!(costs.store.touch(&key(n), later).await.expect("the server is up"));
        }
    }
    let start = Instant::now();
    let (updates, hot) = loop {
        let flush = raw_sql("SELECT pg_stat_force_next_flush()");
        flush.execute(&costs.pool).await.expect("PostgreSQL 15 or later");
        let counts = "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables \
             WHERE relname = 'hot'";
        let row = sqlx::query(counts).fetch_optional(&costs.pool).await.expect("a query");
        let count = |column| row.as_ref().map_or(0, |row| row.get::<i64, _>(column));
        if count(0) >= 1_000 {
            break (count(0), count(1));
        }
        assert!(start.elapsed() < Duration::from_secs(30), "the server counts too few updates");
        sleep(Duration::from_millis(50)).await;
    };
    println!("{hot} of {updates} updates changed no index");
    assert!(hot * 100 >= updates * 95, "{hot} of {updates}");
}
