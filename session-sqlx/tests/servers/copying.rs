//! All sessions move to another store.

use std::{collections::BTreeMap, time::Duration};

use actix_typed_session::{
    Clock as _, EncryptedStore, FileStore, Key, MemoryStore, PublicId, RedisStore,
    SessionMiddleware, SystemClock,
    store::{Grace, Index, ListAll, OldIdReads, SessionStore, StoreKey, copy_sessions},
};
use actix_typed_session_sqlx::SqliteStore;
use actix_typed_session_tests::{
    Client,
    json::{record, set},
    servers::{RedisServer, Server},
};
use sqlx::{MySql, Postgres};
use tempfile::TempDir;

use crate::{
    database::{Builder as _, Database, key, new_table, on_each_database, pool},
    site::serve,
};

async fn empty_table<D: Database>() -> D::Store {
    let builder = D::builder(pool(&D::url(None, D::shared().address()), 8));
    let store = builder.table(&new_table()).build().expect("the settings are valid");
    D::ensure_schema(&store).await.expect("the server is up");
    store
}

/// All records as bytes.
async fn contents(store: &impl ListAll) -> BTreeMap<StoreKey, Vec<u8>> {
    let (mut found, mut next) = (BTreeMap::new(), None);
    loop {
        let page = store.list(next.as_ref(), 100).await.expect("the store answers");
        found.extend(page.sessions.iter().map(|(key, record)| (*key, record.to_bytes())));
        next = page.next;
        if next.is_none() {
            return found;
        }
    }
}

/// Sessions of every kind: renewed ones, with either grace, and such that are found by a field, if
/// `indexed`.
async fn sessions_of_every_kind(indexed: bool) -> MemoryStore {
    let (store, now) = (MemoryStore::new(), SystemClock.now());
    for n in 1..=200 {
        let mut user =
            set(&[("user", "7"), ("text", r#""\u0000 Grüße""#), ("n", "9007199254740993")]);
        if indexed && n % 2 == 0 {
            let id = PublicId::new(now, Duration::from_secs(3_600));
            user.index_field(Index::new(id, "user".into()));
        }
        let session = user.apply_to(&record(now, &[])).expect("a new record takes a patch");
        store.create(&key(n), &session).await.expect("a memory store does not fail");
    }
    for (n, old_id) in [(201, OldIdReads::Snapshot), (202, OldIdReads::Nothing)] {
        let grace = Grace::new(now.saturating_add(Duration::from_secs(600)), old_id);
        let renewed = store.rotate(&key(n - 200), &key(n), &set(&[("a", "1")]), grace).await;
        renewed.expect("a memory store does not fail");
    }
    store
}

async fn assert_copies(from: &impl ListAll, to: &impl ListAll) {
    let all = contents(from).await;
    let done = copy_sessions(from, to).await.expect("both stores answer");
    assert_eq!((done.copied, done.present, done.unreadable), (all.len() as u64, 0, 0));
    let text = |bytes: &Vec<u8>| String::from_utf8_lossy(bytes).into_owned();
    for (key, bytes) in contents(to).await {
        assert_eq!(text(&bytes), text(&all[&key]), "a record is the same, byte for byte");
    }
    let again = copy_sessions(from, to).await.expect("both stores answer");
    assert_eq!((again.copied, again.present), (0, all.len() as u64));
}

#[tokio::test]
async fn every_store_takes_and_gives_every_session_byte_for_byte() {
    let folder = TempDir::new().expect("a temporary folder");
    let redis = RedisServer::start(Server::Redis);
    let first = sessions_of_every_kind(true).await;
    let files = FileStore::new(folder.path().join("sessions")).expect("a writable folder");
    assert_copies(&first, &files).await;
    let sqlite = SqliteStore::new(folder.path().join("sessions.db")).expect("a writable folder");
    assert_copies(&files, &sqlite).await;
    let postgres = empty_table::<Postgres>().await;
    assert_copies(&sqlite, &postgres).await;
    let mysql = empty_table::<MySql>().await;
    assert_copies(&postgres, &mysql).await;
    let redis = RedisStore::new(&redis.url()).expect("a good URL");
    assert_copies(&mysql, &redis).await;
    let last = MemoryStore::new();
    assert_copies(&redis, &last).await;
    assert!(contents(&last).await == contents(&first).await);
    // It finds no sessions by a field, so it has no index.
    let encrypted = EncryptedStore::new(MemoryStore::new(), [Key::generate()]).expect("a key");
    assert_copies(&sessions_of_every_kind(false).await, &encrypted).await;
    assert_copies(&encrypted, &MemoryStore::new()).await;
}

async fn a_visitor_who_logged_in_with_files_stays_logged_in_in_the_database<D: Database>() {
    let folder = TempDir::new().expect("a temporary folder");
    let files = FileStore::new(folder.path().join("sessions")).expect("a writable folder");
    let (site, address) = serve(SessionMiddleware::new(files.clone()), 0);
    let mut visitor = Client::new(address);
    visitor.post_form("/login", "name=ann").await;
    assert!(visitor.get("/").await.body.contains("Hello, ann. View 1."));
    site.stop(true).await;

    let store = empty_table::<D>().await;
    copy_sessions(&files, &store).await.expect("both stores answer");

    let (site, _) = serve(SessionMiddleware::new(store), address.port());
    assert!(visitor.get("/").await.body.contains("Hello, ann. View 2."));
    site.stop(false).await;
}

on_each_database!(a_visitor_who_logged_in_with_files_stays_logged_in_in_the_database);
