//! The laws of stores on files of SQLite, crashes, and several processes.

mod full_disk;

use std::{
    env, fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use actix_typed_session::{
    Clock as _, FakeClock, StoreError, SystemClock, Timestamp,
    store::{
        DeleteExpired as _, FindByIndex as _, LoadOptions, Record, SessionStore as _, StoreKey,
        UpdateOutcome,
    },
    store_conformance,
    testing::{Damage, Harness, Reopen},
};
use actix_typed_session_sqlx::{SqlConfigError, SqliteStore};
use actix_typed_session_tests::{
    error_chain,
    json::{add, json, set},
};
use tempfile::TempDir;

/// Stores in separate files.
struct Files {
    clock: FakeClock,
    folder: TempDir,
    next: AtomicUsize,
    first: OnceLock<PathBuf>,
}

impl Files {
    fn new() -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        Self {
            clock: FakeClock::default(),
            folder,
            next: AtomicUsize::new(0),
            first: OnceLock::new(),
        }
    }

    fn store(&self, path: &Path) -> SqliteStore {
        let builder = SqliteStore::builder(path).clock(self.clock.clone()).sweep_interval(None);
        builder.time_limit(Duration::from_secs(60)).build().expect("a file that can be used")
    }
}

impl Harness for Files {
    type Store = SqliteStore;

    async fn open(&self) -> SqliteStore {
        let number = self.next.fetch_add(1, Ordering::SeqCst);
        let path = self.folder.path().join(format!("{number}.db"));
        // OK because a law that opens several stores reopens the first one only.
        let _ = self.first.set(path.clone());
        self.store(&path)
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    async fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }
}

impl Reopen for Files {
    async fn reopen(&self, store: SqliteStore) -> SqliteStore {
        drop(store);
        self.store(self.first.get().expect("a store was opened"))
    }
}

impl Damage for Files {
    async fn damage(&self, store: &SqliteStore, key: &StoreKey, bytes: &[u8]) {
        let connection = rusqlite::Connection::open(store.path()).expect("the store's file");
        connection.busy_timeout(Duration::from_secs(60)).expect("a number of milliseconds");
        let damage = "UPDATE actix_session SET record = ?2 WHERE key = ?1";
        let rows = connection.execute(damage, (key.as_bytes(), bytes)).expect("the table is there");
        assert_eq!(rows, 1);
    }
}

store_conformance!(Files::new(), DeleteExpired, FindByIndex, ListAll, Reopen, Damage);

fn key(n: u8) -> StoreKey {
    StoreKey::from_bytes([n; 32])
}

async fn create(store: &SqliteStore) {
    let now = SystemClock.now();
    let record = Record::new(now, now.saturating_add(Duration::from_secs(3_600)));
    store.create(&key(1), &record).await.expect("a file that can be used");
}

async fn count(store: &SqliteStore) -> u64 {
    let record =
        store.load(&key(1), &LoadOptions::default()).await.expect("a file that can be used");
    let record = record.expect("the session is there");
    record.field("n").map_or(0, |json| json.get().parse().expect("a number"))
}

async fn increment(store: &SqliteStore) {
    let outcome = store.update(&key(1), &add("n", 1)).await.expect("a file that can be used");
    assert!(matches!(outcome, UpdateOutcome::Applied { .. }), "{outcome:?}");
}

#[tokio::test]
async fn two_hundred_concurrent_increments_add_two_hundred() {
    let folder = TempDir::new().expect("a temporary folder");
    let store = SqliteStore::new(folder.path().join("sessions.db")).expect("a writable folder");
    create(&store).await;
    let tasks = (0..200).map(|_| {
        let store = store.clone();
        tokio::spawn(async move { increment(&store).await })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.expect("no panic");
    }
    assert_eq!(count(&store).await, 200);
}

#[tokio::test]
async fn concurrent_changes_share_commits() {
    let folder = TempDir::new().expect("a temporary folder");
    let store = SqliteStore::new(folder.path().join("sessions.db")).expect("a writable folder");
    create(&store).await;
    let wal = folder.path().join("sessions.db-wal");
    let length = || fs::metadata(&wal).expect("the file is open").len();
    let before = length();
    let tasks = (0..200).map(|_| {
        let store = store.clone();
        tokio::spawn(async move { increment(&store).await })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.expect("no panic");
    }
    // A commit appends each page that it has changed, of 4 096 bytes and a header.
    let pages = (length() - before) / (4_096 + 24);
    println!("200 changes wrote {pages} pages");
    assert!(pages < 100, "{pages} pages");
    assert_eq!(count(&store).await, 200);
}

/// The file that a process of these tests works on.
const FILE: &str = "SESSIONS_TEST_FILE";

/// Starts a test of this program as a process.
fn start(test: &str, file: &Path) -> Child {
    let mut process = Command::new(env::current_exe().expect("this program"));
    process.args(["--ignored", "--exact", "--nocapture", test]).env(FILE, file);
    process.stdout(Stdio::piped()).spawn().expect("this program starts")
}

#[tokio::test]
async fn processes_share_a_file_and_lose_no_update() {
    let folder = TempDir::new().expect("a temporary folder");
    let file = folder.path().join("sessions.db");
    // The first session is created while the other processes make the tables.
    let processes: Vec<_> = (0..3).map(|_| start("a_process_that_increments", &file)).collect();
    let store = SqliteStore::new(&file).expect("a writable folder");
    create(&store).await;
    for mut process in processes {
        let ended = tokio::task::spawn_blocking(move || process.wait()).await.expect("no panic");
        assert!(ended.expect("our own child").success());
    }
    assert_eq!(count(&store).await, 300);
}

#[tokio::test]
#[ignore = "another test starts it as a process"]
async fn a_process_that_increments() {
    // `cargo test -- --ignored` starts it without a file.
    let Some(file) = env::var_os(FILE) else { return };
    let store = SqliteStore::new(file).expect("a writable folder");
    while store.load(&key(1), &LoadOptions::default()).await.expect("a file").is_none() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    for _ in 0..100 {
        increment(&store).await;
    }
}

#[tokio::test]
async fn what_was_answered_is_there_after_the_process_was_killed() {
    let folder = TempDir::new().expect("a temporary folder");
    let file = folder.path().join("sessions.db");
    create(&SqliteStore::new(&file).expect("a writable folder")).await;
    let mut answered = 0;
    for round in 1..=5 {
        let mut process = start("a_process_that_is_killed", &file);
        let output = BufReader::new(process.stdout.take().expect("it is piped"));
        let killed = tokio::task::spawn_blocking(move || {
            let mut numbers = output
                .lines()
                .map_while(Result::ok)
                .filter_map(|line| line.strip_prefix("stored ")?.parse::<u64>().ok());
            let mut last = numbers.nth(30).expect("it writes");
            process.kill().expect("our own child");
            process.wait().expect("our own child");
            // What it has printed until then.
            last = numbers.last().unwrap_or(last);
            last
        });
        answered = killed.await.expect("no panic");
        let store = SqliteStore::new(&file).expect("a file that was not damaged");
        let found = count(&store).await;
        assert!(found >= answered, "round {round}: {answered} were answered, {found} are stored");
    }
    println!("{answered} writes were answered at the end");
}

#[tokio::test]
#[ignore = "another test starts it as a process"]
async fn a_process_that_is_killed() {
    let Some(file) = env::var_os(FILE) else { return };
    let store = SqliteStore::new(file).expect("a writable folder");
    // Several at a time, so that commits have more than one change.
    let writers = (0..8).map(|_| {
        let store = store.clone();
        tokio::spawn(async move {
            // More than it lives for.
            for _ in 0..1_000_000 {
                increment(&store).await;
                // What is stored now is at least that much after the kill.
                println!("stored {}", count(&store).await);
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.expect("no panic");
    }
}

#[tokio::test]
async fn a_file_that_another_process_holds_is_unavailable_for_writes_and_can_be_read() {
    let folder = TempDir::new().expect("a temporary folder");
    let builder = SqliteStore::builder(folder.path().join("sessions.db"));
    let store = builder.time_limit(Duration::from_millis(300)).build().expect("a writable folder");
    create(&store).await;
    let other = rusqlite::Connection::open(store.path()).expect("the store's file");
    other.execute_batch("BEGIN IMMEDIATE").expect("the file is free");
    let error = store.update(&key(1), &add("n", 1)).await.expect_err("the file is held");
    assert!(matches!(error, StoreError::Unavailable(_)), "{error}");
    assert_eq!(count(&store).await, 0);
    other.execute_batch("COMMIT").expect("it began");
    increment(&store).await;
    assert_eq!(count(&store).await, 1, "the change that failed is not made later");
}

#[tokio::test]
async fn one_damaged_session_harms_no_change_that_is_committed_with_its_own() {
    let files = Files::new();
    let store = files.open().await;
    let now = files.now();
    let record = Record::new(now, now.saturating_add(Duration::from_secs(60)));
    for n in 1..=2 {
        store.create(&key(n), &record).await.expect("a writable folder");
    }
    files.damage(&store, &key(2), b"{").await;
    let patch = set(&[("a", "1")]);
    let calls = (0..40).map(|n| {
        let (store, patch) = (store.clone(), patch.clone());
        tokio::spawn(async move { (n, store.update(&key(1 + n % 2), &patch).await) })
    });
    for call in calls.collect::<Vec<_>>() {
        let (n, outcome) = call.await.expect("no panic");
        match n % 2 {
            0 => assert!(matches!(outcome, Ok(UpdateOutcome::Applied { .. })), "{outcome:?}"),
            _ => assert!(matches!(outcome, Err(StoreError::Damaged(_))), "{outcome:?}"),
        }
    }
}

#[tokio::test]
async fn a_site_sweeps_without_being_asked() {
    let folder = TempDir::new().expect("a temporary folder");
    let clock = FakeClock::default();
    let builder = SqliteStore::builder(folder.path().join("sessions.db")).clock(clock.clone());
    let store = builder.sweep_interval(Some(Duration::from_millis(20))).build().expect("a folder");
    let now = clock.now();
    let record = Record::new(now, now.saturating_add(Duration::from_secs(60)));
    store.create(&key(1), &record).await.expect("a writable folder");
    clock.advance(Duration::from_secs(61));
    let other = rusqlite::Connection::open(store.path()).expect("the store's file");
    let rows =
        || other.query_row("SELECT count(*) FROM actix_session", (), |row| row.get::<_, i64>(0));
    let start = std::time::Instant::now();
    while rows().expect("the table is there") > 0 {
        assert!(start.elapsed() < Duration::from_secs(30), "the session is not deleted");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(store.delete_expired().await.expect("a file"), 0);
}

#[tokio::test]
async fn actions_with_one_value_wait_for_each_other_across_processes() {
    let folder = TempDir::new().expect("a temporary folder");
    // Two stores are as good as two processes: they share nothing but the files.
    let stores = [(); 2]
        .map(|()| SqliteStore::new(folder.path().join("sessions.db")).expect("a writable folder"));
    let running = Arc::new(AtomicUsize::new(0));
    let value = json("7");
    let actions = (0..20).map(|n| {
        let (store, running) = (stores[n % 2].clone(), Arc::clone(&running));
        let value = Arc::clone(&value);
        tokio::spawn(async move {
            let action = async move {
                let others = running.fetch_add(1, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(3)).await;
                running.fetch_sub(1, Ordering::SeqCst);
                others
            };
            store.exclusively(&value, action).await
        })
    });
    for action in actions.collect::<Vec<_>>() {
        assert_eq!(action.await.expect("no panic").expect("the lock comes"), 0);
    }
}

#[test]
fn a_store_that_must_exist_makes_neither_the_file_nor_its_tables() {
    let folder = TempDir::new().expect("a temporary folder");
    let path = folder.path().join("sessions.db");
    let open = |table: &str| SqliteStore::builder(&path).table(table).must_exist(true).build();
    open("actix_session").expect_err("the file is missing");
    assert!(!path.exists());
    drop(SqliteStore::new(&path).expect("a new file"));
    let error = open("other").expect_err("the table is missing");
    assert!(error_chain(&error).contains("no table of sessions"), "{}", error_chain(&error));
    open("other").expect_err("it was not made");
    open("actix_session").expect("both are there");
    for text in ["", "not a database, but text that is long enough"] {
        let file = TempDir::new().expect("a temporary folder");
        let path = file.path().join("other.db");
        fs::write(&path, text).expect("our file");
        SqliteStore::builder(&path).must_exist(true).build().expect_err("it has no tables");
        assert_eq!(fs::read_to_string(&path).expect("our file"), text);
    }
}

#[test]
fn files_that_cannot_be_used_are_named_in_the_error() {
    let folder = TempDir::new().expect("a temporary folder");
    let (missing, foreign) = (folder.path().join("no/folder.db"), folder.path().join("text"));
    fs::write(&foreign, "This is a text, and not a database of any kind. ".repeat(100))
        .expect("a writable folder");
    for path in [&missing, &foreign, &PathBuf::from(":memory:")] {
        let error = SqliteStore::new(path).expect_err("it cannot be used");
        assert!(matches!(error, SqlConfigError::File { .. }), "{error:?}");
        assert!(error.to_string().contains(path.to_str().expect("a text")), "{error}");
    }
    let later = folder.path().join("later.db");
    drop(SqliteStore::new(&later).expect("a writable folder"));
    let connection = rusqlite::Connection::open(&later).expect("the store's file");
    connection
        .execute("INSERT INTO actix_session_version VALUES (2)", ())
        .expect("the table is there");
    let error = SqliteStore::new(&later).expect_err("a later version");
    assert!(error_chain(&error).contains("version 2"), "{}", error_chain(&error));
}

#[cfg(unix)]
#[tokio::test]
async fn only_the_owner_can_use_the_files() {
    use std::os::unix::fs::PermissionsExt as _;

    let folder = TempDir::new().expect("a temporary folder");
    let store = SqliteStore::new(folder.path().join("sessions.db")).expect("a writable folder");
    create(&store).await;
    store.exclusively(&json("1"), async {}).await.expect("the lock is free");
    let files = fs::read_dir(folder.path()).expect("our own folder").flatten();
    let modes: Vec<_> = files
        .map(|file| file.metadata().expect("it is there").permissions().mode() & 0o777)
        .collect();
    assert_eq!(modes, [0o600; 4]);
}
