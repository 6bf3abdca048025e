//! MariaDB, and what only the store for MySQL has.

use std::{net::SocketAddr, pin::Pin, sync::OnceLock, time::Duration};

use actix_typed_session::{
    PublicId, StoreError, Timestamp,
    store::{
        DeleteExpired as _, FindByIndex as _, Index, Patch, Record, SessionStore as _,
        UpdateOutcome,
    },
    testing::Harness as _,
};
use actix_typed_session_sqlx::{MySqlStore, MySqlStoreBuilder};
use actix_typed_session_tests::{
    json::{json, set},
    mariadb::{MariaDb, MariaDbServer, url},
};
use sqlx::{AssertSqlSafe, Executor as _, MySql, MySqlConnection, MySqlPool, raw_sql};

use crate::database::{Database, Tables, builder, key};

impl Database for MySql {
    type Program = MariaDb;
    type Store = MySqlStore;
    type Builder = MySqlStoreBuilder;

    const FAST: &'static [&'static str] =
        &["--innodb-flush-log-at-trx-commit=0", "--innodb-flush-method=nosync"];
    const SAFE: &'static [&'static str] = &["--innodb-flush-log-at-trx-commit=1"];
    const KILL_ALL: &'static str = "BEGIN NOT ATOMIC FOR other IN \
         (SELECT id FROM information_schema.processlist WHERE user = 'owner' \
         AND id <> CONNECTION_ID()) DO EXECUTE IMMEDIATE CONCAT('KILL ', other.id); END FOR; END";
    const READ_ONLY: [&'static str; 2] =
        ["SET GLOBAL tx_read_only = 1", "SET GLOBAL tx_read_only = 0"];
    const GRANT: &'static str = "CREATE USER 'site'@'%'; \
         GRANT SELECT, INSERT, UPDATE, DELETE ON granted TO 'site'@'%'; \
         GRANT SELECT, INSERT, UPDATE, DELETE ON granted_found TO 'site'@'%'; \
         GRANT SELECT ON granted_version TO 'site'@'%'";
    const EXTRA_CALLS: &'static [(&'static str, u64)] =
        &[("both", 1), ("destroy, with the renewed session", 3)];

    fn lock_row(table: &str, n: u8) -> String {
        let key = format!("UNHEX(REPEAT('{n:02x}', 32))");
        format!("SELECT 1 FROM {table} WHERE session_key = {key} FOR UPDATE")
    }

    fn shared() -> &'static MariaDbServer {
        static SERVER: OnceLock<MariaDbServer> = OnceLock::new();
        SERVER.get_or_init(|| MariaDbServer::start(Self::FAST))
    }

    fn url(user: Option<&str>, address: SocketAddr) -> String {
        url(user.unwrap_or("owner"), address)
    }

    fn set_isolation(level: &str) -> String {
        format!("SET SESSION TRANSACTION ISOLATION LEVEL {level}")
    }

    fn run(
        connection: &mut MySqlConnection,
        sql: String,
    ) -> Pin<Box<dyn Future<Output = Result<(), sqlx::Error>> + Send + '_>> {
        Box::pin(async { connection.execute(raw_sql(AssertSqlSafe(sql))).await.map(|_| ()) })
    }

    fn builder(pool: MySqlPool) -> MySqlStoreBuilder {
        MySqlStore::builder(pool)
    }

    async fn ensure_schema(store: &MySqlStore) -> Result<(), StoreError> {
        store.ensure_schema().await
    }
}

builder!(MySqlStoreBuilder, MySqlStore);

/// The number of entries in the index of a table.
async fn entries(pool: &MySqlPool, table: &str) -> i64 {
    let count = AssertSqlSafe(format!("SELECT COUNT(*) FROM {table}_found"));
    sqlx::query_scalar(count).fetch_one(pool).await.expect("the table is there")
}

fn indexed(began: Timestamp, user: &str) -> Patch {
    let mut patch = set(&[("user", user)]);
    let id = PublicId::new(began, Duration::from_secs(100 * 3_600));
    patch.index_field(Index::new(id, "user".into()));
    patch
}

async fn is_found(store: &MySqlStore, user: &str) -> bool {
    let found = store.find("user", &json(user), None, 10).await.expect("the server is up");
    !found.sessions.is_empty()
}

#[tokio::test]
async fn entries_without_a_session_disappear_and_those_of_extended_sessions_stay() {
    let hour = Duration::from_secs(3_600);
    let tables = Tables::<MySql>::new("read committed");
    let (store, pool) = (tables.store("entries"), tables.pool());
    store.ensure_schema().await.expect("the server is up");
    let now = tables.now();
    for n in 1..=3 {
        let record =
            indexed(now, &n.to_string()).apply_to(&Record::new(now, now.saturating_add(hour)));
        store.create(&key(n), &record.expect("a new record")).await.expect("the server is up");
    }
    assert!(store.touch(&key(1), now.saturating_add(10 * hour)).await.expect("up"));
    assert!(store.destroy(&key(2)).await.expect("up"));
    assert_eq!(entries(&pool, "entries").await, 2, "a destroyed session takes its entry along");

    tables.clock.advance(3 * hour);
    assert_eq!(store.delete_expired().await.expect("up"), 1);

    assert_eq!(entries(&pool, "entries").await, 1);
    assert!(is_found(&store, "1").await && !is_found(&store, "3").await);
    tables.clock.advance(9 * hour);
    assert_eq!(store.delete_expired().await.expect("up"), 1);
    assert_eq!(entries(&pool, "entries").await, 0);
}

#[tokio::test]
async fn a_changed_value_leaves_no_entry_behind() {
    let tables = Tables::<MySql>::new("read committed");
    let (store, pool) = (tables.store("changed"), tables.pool());
    store.ensure_schema().await.expect("the server is up");
    let now = tables.now();
    let record = Record::new(now, now.saturating_add(Duration::from_secs(60)));
    store.create(&key(1), &record).await.expect("the server is up");
    for user in ["1", "2", "1"] {
        let updated = store.update(&key(1), &indexed(now, user)).await.expect("up");
        assert!(matches!(updated, UpdateOutcome::Applied { .. }), "{updated:?}");
        assert!(is_found(&store, user).await);
        assert_eq!(entries(&pool, "changed").await, 1);
    }
}
