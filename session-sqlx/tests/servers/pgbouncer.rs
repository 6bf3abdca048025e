//! PgBouncer in the mode `transaction`, in front of PostgreSQL. Debian 12 has a release that is too
//! old for prepared statements in this mode, so the test is not part of every run:
//!
//! ```sh
//! PGBOUNCER=/path/to/pgbouncer cargo test -p actix-typed-session-sqlx --all-features \
//!     --test servers -- --ignored pgbouncer
//! ```

use std::{env, fs, net::SocketAddr, path::Path, process::Command, time::Duration};

use actix_typed_session::{
    Clock as _, PublicId, SystemClock,
    store::{
        FindByIndex as _, Grace, Index, LoadOptions, OldIdReads, Ping as _, Record,
        SessionStore as _, UpdateOutcome,
    },
};
use actix_typed_session_tests::{
    database::{DatabaseServer, Program},
    json::{add, json, set},
};
use sqlx::Postgres;

use crate::database::{Database, key, pool};

/// The connections of PgBouncer to the server: fewer than those of the store to PgBouncer.
const POOL_SIZE: u16 = 3;

struct PgBouncer;

impl Program for PgBouncer {
    const TITLE: &'static str = "PgBouncer";

    fn init(folder: &Path) -> Command {
        let mut nothing = Command::new("true");
        nothing.arg(folder);
        nothing
    }

    fn serve(folder: &Path, port: u16, _: &[&str]) -> Command {
        let server = Postgres::shared().address();
        let settings = format!(
            "[databases]\npostgres = host=127.0.0.1 port={} user=postgres\n\
             [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n\
             auth_type = any\npool_mode = transaction\nmax_prepared_statements = 100\n\
             default_pool_size = {POOL_SIZE}\nignore_startup_parameters = extra_float_digits\n",
            server.port()
        );
        let file = folder.join("pgbouncer.ini");
        fs::write(&file, settings).expect("a writable folder");
        let program = env::var_os("PGBOUNCER").expect("PGBOUNCER is the path of PgBouncer 1.21");
        let mut command = Command::new(program);
        command.arg(file);
        command
    }

    fn answers(port: u16) -> bool {
        std::net::TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], port))).is_ok()
    }
}

#[tokio::test]
#[ignore = "needs PgBouncer 1.21 or later"]
async fn every_call_works_through_pgbouncer_in_transaction_mode() {
    let bouncer = DatabaseServer::<PgBouncer>::start(&[]);
    let pool = pool::<Postgres>(&Postgres::url(None, bouncer.address()), 16);
    let builder = actix_typed_session_sqlx::PostgresStore::builder(pool).table("bounced");
    let store = builder.time_limit(Duration::from_secs(30)).build().expect("valid settings");
    store.ensure_schema().await.expect("the servers are up");
    store.ping().await.expect("the servers are up");
    let now = SystemClock.now();
    let mut user = set(&[("user", "7")]);
    user.index_field(Index::new(PublicId::new(now, Duration::from_secs(3_600)), "user".into()));
    let record = Record::new(now, now.saturating_add(Duration::from_secs(3_600)));
    let record = user.apply_to(&record).expect("a new record takes a patch");
    store.create(&key(1), &record).await.expect("the servers are up");
    let tasks: Vec<_> = (0..200)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move {
                let updated = store.update(&key(1), &add("n", 1)).await.expect("up");
                assert!(matches!(updated, UpdateOutcome::Applied { .. }), "{updated:?}");
                let part = LoadOptions::default().with_fields(&["n"]);
                assert!(store.load(&key(1), &part).await.expect("up").is_some());
                assert!(store.touch(&key(1), SystemClock.now()).await.expect("up"));
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("no panic");
    }
    let grace = Grace::new(record.expires_at(), OldIdReads::Snapshot);
    let renewed = store.rotate(&key(1), &key(2), &set(&[("a", "1")]), grace).await.expect("up");
    assert!(matches!(renewed, UpdateOutcome::Applied { .. }), "{renewed:?}");
    let value = json("7");
    let found = store.find("user", &value, None, 10).await.expect("up").sessions;
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].1.field("n").map(|json| json.get()), Some("200"));
    let action = store.clone();
    let counted = store
        .exclusively(&value, async move { action.find("user", &json("7"), None, 10).await })
        .await
        .expect("the lock is free");
    assert_eq!(counted.expect("up").sessions.len(), 1);
    assert!(store.destroy(&key(1)).await.expect("up"), "the old id leads to the session");
    assert!(store.load(&key(2), &LoadOptions::default()).await.expect("up").is_none());
}

#[tokio::test]
#[ignore = "needs PgBouncer 1.21 or later"]
async fn a_restart_of_pgbouncer_costs_no_more_than_one_outage() {
    let mut bouncer = DatabaseServer::<PgBouncer>::start(&[]);
    let pool = pool::<Postgres>(&Postgres::url(None, bouncer.address()), 4);
    let builder = actix_typed_session_sqlx::PostgresStore::builder(pool).table("restarted");
    let store = builder.time_limit(Duration::from_secs(2)).build().expect("valid settings");
    store.ensure_schema().await.expect("the servers are up");
    bouncer.kill();
    store.ping().await.expect_err("it is down");
    bouncer.restart();
    store.ping().await.expect("the first call works");
}
