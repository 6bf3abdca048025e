//! The file store beyond the laws.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use actix_typed_session::{
    Clock as _, Durability, FakeClock, FileStore, SessionId, TypedSession,
    store::{
        CreateOutcome, DeleteExpired as _, LoadOptions, Patch, Record, SessionStore as _, StoreKey,
        UpdateOutcome,
    },
};
use actix_typed_session_tests::{
    Site, json,
    log_watch::Log,
    process::key,
    steps::{Visitor, show},
};
use tempfile::TempDir;
use tokio::task::JoinSet;

const HOUR: Duration = Duration::from_secs(3600);

fn folder() -> TempDir {
    TempDir::new().expect("a temporary folder")
}

fn open(folder: &Path, clock: &FakeClock) -> FileStore {
    let builder = FileStore::builder(folder).clock(clock.clone()).sweep_interval(None);
    builder.durability(Durability::Process).build().expect("a writable folder")
}

async fn create(store: &FileStore, clock: &FakeClock, key: &StoreKey) -> PathBuf {
    let record = Record::new(clock.now(), clock.now().saturating_add(HOUR));
    assert_eq!(store.create(key, &record).await.expect("a working disk"), CreateOutcome::Stored);
    let name = key.to_hex();
    store.path().join(&name[..2]).join(&name[2..])
}

/// The log lines about a folder, of all threads: the store logs from its own.
fn about(log: &Log, folder: &Path) -> Vec<String> {
    let folder = folder.display().to_string();
    let lines = log.lines().into_iter().map(|line| line.text);
    lines.filter(|line| line.contains(&folder)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_patches_of_one_session_each_get_a_version() {
    let (folder, clock) = (folder(), FakeClock::default());
    // Two stores share the folder as two processes would.
    let stores = [open(folder.path(), &clock), open(folder.path(), &clock)];
    create(&stores[0], &clock, &key(1)).await;
    let mut updates = JoinSet::new();
    for n in 0..200 {
        let store = stores[n % 2].clone();
        updates.spawn(async move {
            let mut patch = Patch::default();
            patch.set(format!("field{n}").into(), json::json("1"));
            store.update(&key(1), &patch).await.expect("a working disk")
        });
    }
    let mut versions = Vec::new();
    for outcome in updates.join_all().await {
        let UpdateOutcome::Applied { version } = outcome else { panic!("{outcome:?}") };
        versions.push(version);
    }
    versions.sort_unstable();
    assert_eq!(versions, (1..=200).collect::<Vec<u64>>());
    let stored = stores[1].load(&key(1), &LoadOptions::default()).await.expect("a working disk");
    assert_eq!(stored.map(|record| record.fields().count()), Some(200));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_stores_on_one_folder_lose_no_addition() {
    let (folder, clock) = (folder(), FakeClock::default());
    let stores = [open(folder.path(), &clock), open(folder.path(), &clock)];
    create(&stores[0], &clock, &key(0)).await;
    let mut tasks = JoinSet::new();
    for n in 0..8 {
        let store = stores[n % 2].clone();
        tasks.spawn(async move {
            let patch = json::add("n", 1);
            for _ in 0..50 {
                let updated = store.update(&key(0), &patch).await.expect("a working disk");
                assert!(matches!(updated, UpdateOutcome::Applied { .. }), "{updated:?}");
            }
        });
    }
    tasks.join_all().await;
    let record = stores[1]
        .load(&key(0), &LoadOptions::default())
        .await
        .expect("a working disk")
        .expect("a session");
    assert_eq!(record.field("n").map(|json| json.get()), Some("400"));
    assert_eq!(record.version(), 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_thousand_sessions_stay_in_small_folders() {
    let (folder, clock) = (folder(), FakeClock::default());
    let store = open(folder.path(), &clock);
    let mut tasks = JoinSet::new();
    for _ in 0..8 {
        let (store, clock) = (store.clone(), clock.clone());
        tasks.spawn(async move {
            for _ in 0..2_500 {
                create(&store, &clock, &StoreKey::from(&SessionId::random())).await;
            }
        });
    }
    tasks.join_all().await;
    let entries = |path: &Path| fs::read_dir(path).expect("a readable folder").count();
    assert!(entries(folder.path()) <= 258, "{}", entries(folder.path()));
    let (mut largest, mut sessions) = (0, 0);
    for subfolder in fs::read_dir(folder.path()).expect("a readable folder") {
        let in_it = entries(&subfolder.expect("an entry").path());
        largest = largest.max(in_it);
        // All but the lock.
        sessions += in_it - 1;
    }
    assert_eq!(sessions, 20_000);
    // 78 on average, with a deviation of 9.
    assert!(largest < 170, "{largest}");
}

#[tokio::test]
async fn the_background_sweep_deletes_what_expired_unless_it_is_turned_off() {
    let (swept, unswept, clock) = (folder(), folder(), FakeClock::default());
    let _sweeping = FileStore::builder(swept.path())
        .clock(clock.clone())
        .sweep_interval(Some(Duration::from_millis(1)))
        .build()
        .expect("a writable folder");
    let store = open(swept.path(), &clock);
    let resting = open(unswept.path(), &clock);
    let kept = create(&resting, &clock, &key(0)).await;
    let foreign = swept.path().join("README");
    fs::write(&foreign, "mine").expect("a foreign file");
    for _ in 0..3 {
        let file = create(&store, &clock, &key(1)).await;
        let left_behind = file.with_file_name(".new-left-behind");
        fs::write(&left_behind, "half a ses").expect("a left-over");
        clock.advance(HOUR);
        let live = create(&store, &clock, &key(2)).await;
        for _ in 0..2_000 {
            if !file.exists() && !left_behind.exists() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert!(!file.exists() && !left_behind.exists(), "swept within 10 s");
        assert!(live.exists() && foreign.exists());
        assert!(store.destroy(&key(2)).await.expect("a working disk"));
    }
    assert!(kept.exists(), "nobody sweeps this folder");
}

#[cfg(unix)]
#[tokio::test]
async fn a_touch_keeps_the_file_and_a_write_replaces_it() {
    use std::os::unix::fs::MetadataExt as _;

    let (folder, clock) = (folder(), FakeClock::default());
    let store = open(folder.path(), &clock);
    let file = create(&store, &clock, &key(0)).await;
    let inode = || fs::metadata(&file).expect("the session's file").ino();
    let (before, bytes) = (inode(), fs::read(&file).expect("the session's file"));
    assert!(store.touch(&key(0), clock.now().saturating_add(2 * HOUR)).await.expect("a file"));
    assert_eq!((inode(), fs::read(&file).expect("the session's file")), (before, bytes));
    // Held open, so that the inode number cannot be reused.
    let _held = fs::File::open(&file).expect("the session's file");
    store.update(&key(0), &Patch::default()).await.expect("a working disk");
    assert_ne!(inode(), before);
}

#[tokio::test]
async fn each_durability_stores_touches_renews_and_destroys() {
    use actix_typed_session::store::{Grace, OldIdReads};

    let clock = FakeClock::default();
    for durability in [Durability::Process, Durability::Power, Durability::PowerAtOnce] {
        let folder = folder();
        let builder = FileStore::builder(folder.path().join("a/b")).clock(clock.clone());
        let store = builder.durability(durability).build().expect("a writable folder");
        create(&store, &clock, &key(0)).await;
        let until = clock.now().saturating_add(3 * HOUR);
        assert!(store.touch(&key(0), until).await.expect("a working disk"));
        let grace = Grace::new(until, OldIdReads::Snapshot);
        let rotated = store.rotate(&key(0), &key(1), &Patch::default(), grace).await;
        assert!(matches!(rotated, Ok(UpdateOutcome::Applied { version: 1 })), "{rotated:?}");
        let found = store
            .load(&key(1), &LoadOptions::default())
            .await
            .expect("a working disk")
            .expect("a session");
        assert_eq!(found.expires_at(), until);
        assert!(store.destroy(&key(0)).await.expect("a working disk"));
        assert!(
            store
                .load(&key(1), &LoadOptions::default())
                .await
                .expect("a miss is no error")
                .is_none()
        );
    }
}

async fn view(mut session: TypedSession<Visitor>) -> String {
    session.set_views(session.views + 1);
    show(&session)
}

#[actix_web::test]
async fn a_visitor_whose_file_is_damaged_goes_on_as_a_new_one_and_the_log_says_so_once() {
    let (folder, clock) = (folder(), FakeClock::default());
    let log = Log::of_all_threads();
    let site = Site::new(open(folder.path(), &clock)).clock(clock).route("/", view).start();
    let (mut ann, mut bob) = (site.client(), site.client());
    ann.get("/").await;
    bob.get("/").await;
    let id = SessionId::new(ann.cookie()).expect("an id");
    let name = StoreKey::from(&id).to_hex();
    let file = folder.path().join(&name[..2]).join(&name[2..]);
    let whole = fs::read(&file).expect("the session's file");
    fs::write(&file, &whole[..whole.len() / 2]).expect("a file to damage");
    let stale = ann.clone();
    let response = ann.get("/").await;
    assert_eq!((response.status, response.body.as_str()), (200, "New views=1"));
    assert_ne!(ann.cookies, stale.cookies, "an id whose session is damaged is not adopted");
    assert_eq!(ann.get("/").await.body, "Loaded views=2");
    assert_eq!(stale.clone().get("/").await.body, "New views=1");
    assert_eq!(bob.get("/").await.body, "Loaded views=2", "the others are untouched");
    let log = about(&log, folder.path());
    assert_eq!(log.len(), 1, "{log:?}");
    assert!(log[0].contains("cut off") && log[0].contains("it is kept in"), "{log:?}");
    assert!(!log[0].contains(&name[2..]) && !log[0].contains(id.as_str()), "{log:?}");
}

#[tokio::test]
async fn destroying_what_is_damaged_is_logged_once() {
    let (folder, clock) = (folder(), FakeClock::default());
    let log = Log::of_all_threads();
    let store = open(folder.path(), &clock);
    fs::write(create(&store, &clock, &key(0)).await, "").expect("a file to damage");
    for _ in 0..3 {
        assert!(!store.destroy(&key(0)).await.expect("nothing to destroy"));
    }
    let log = about(&log, folder.path());
    assert_eq!(log.len(), 1, "{log:?}");
    assert!(log[0].contains("it is kept in"), "{log:?}");
}

#[actix_web::test]
async fn a_later_releases_file_is_a_503_and_neither_deleted_nor_changed() {
    let (folder, clock) = (folder(), FakeClock::default());
    let store = open(folder.path(), &clock);
    let site = Site::new(store.clone()).clock(clock.clone()).route("/", view).start();
    let mut ann = site.client();
    ann.get("/").await;
    let key = StoreKey::from(&SessionId::new(ann.cookie()).expect("an id"));
    let name = key.to_hex();
    let file = folder.path().join(&name[..2]).join(&name[2..]);
    let now = fs::read_to_string(&file).expect("the session's file");
    let later = now.replacen("\"v\":1", "\"v\":2,\"new\":true", 1);
    assert_ne!(now, later);
    fs::write(&file, &later).expect("a file to replace");
    let response = ann.get("/").await;
    assert_eq!((response.status, response.set_cookie()), (503, None));
    assert!(store.update(&key, &json::add("views", 1)).await.is_err());
    assert!(store.touch(&key, clock.now().saturating_add(HOUR)).await.is_err());
    assert!(store.destroy(&key).await.is_err());
    clock.advance(1_000 * HOUR);
    store.delete_expired().await.expect("a working disk");
    assert_eq!(fs::read_to_string(&file).expect("the session's file"), later);
    assert!(!folder.path().join("damaged").exists());
}
