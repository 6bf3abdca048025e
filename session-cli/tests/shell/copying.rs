//! `copy`, between stores of different kinds, and with interruptions.

use std::{
    fs,
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use actix_typed_session::{
    Clock as _, EncryptedStore, FileStore, Key, RedisStore, SystemClock,
    store::{LoadOptions, Record, SessionStore as _, StoreKey},
};
use actix_typed_session_sqlx::SqliteStore;
use actix_typed_session_tests::{
    json::set,
    servers::{RedisServer, Server},
};
use serde_json::json;
use tempfile::TempDir;

use crate::{
    fixture::{create, folder, ids, key, program, run},
    servers::postgres,
};

#[tokio::test]
async fn sessions_move_from_store_to_store_and_back_unchanged() {
    let root = folder().await;
    let path = |name: &str| root.path().join(name).display().to_string();
    let server = RedisServer::start(Server::Redis);
    let stores = [
        path("sessions"),
        server.url(),
        postgres().url(),
        format!("sqlite://{}", path("sessions.db")),
        path("back"),
    ];
    for pair in stores.windows(2) {
        let copied = run("", &format!("copy --create {} {}", pair[0], pair[1])).ok();
        assert_eq!(copied, "4 sessions copied\n", "{pair:?}");
        assert_eq!(run(&pair[1], "count --field user_id=42").ok(), "2\n", "{pair:?}");
    }
    let again = run("", &format!("copy --json {} {}", stores[3], stores[4])).json();
    assert_eq!(again, [json!({ "copied": 0, "present": 4, "unreadable": 0 })]);
    for n in 0..4 {
        let mut bytes = Vec::new();
        for folder in ["sessions", "back"] {
            let store = FileStore::new(root.path().join(folder)).expect("our folder");
            let record = store.load(&key(n), &LoadOptions::default()).await.expect("it is there");
            bytes.push(record.expect("it is there").to_bytes());
        }
        assert_eq!(bytes[0], bytes[1]);
    }
}

#[tokio::test]
async fn encrypted_sessions_stay_encrypted_and_read_with_their_key() {
    let root = TempDir::new().expect("a temporary folder");
    let secret = Key::generate();
    let files = FileStore::new(root.path().join("sessions")).expect("our folder");
    let store = EncryptedStore::new(files, [secret.clone()]).expect("a key");
    let now = SystemClock.now();
    let record = Record::new(now, now.saturating_add(Duration::from_secs(3_600)));
    create(&store, key(0), &record, &set(&[("card", r#""visa""#), ("home", r#""~/visa""#)])).await;
    let from = root.path().join("sessions").display().to_string();
    let to = format!("sqlite://{}", root.path().join("s.db").display());
    for text in [run(&from, "list").ok(), run(&from, "show --values --field a=1").ok()] {
        assert!(!text.contains("visa"), "{text}");
    }
    let shown = run(&from, "list --json").json();
    let shown = run(&from, &format!("show --values {}", shown[0]["id"].as_str().expect("an id")));
    let shown = shown.ok();
    assert!(shown.contains("bytes, encrypted") && !shown.contains("visa"), "{shown}");
    assert_eq!(run("", &format!("copy --create {from} {to}")).ok(), "1 session copied\n");
    let copied = SqliteStore::new(root.path().join("s.db")).expect("our file");
    let copied = EncryptedStore::new(copied, [secret]).expect("a key");
    let record = copied.load(&key(0), &LoadOptions::default()).await.expect("it decrypts");
    let record = record.expect("it is there");
    assert_eq!(record.field("card").map(|json| json.get()), Some(r#""visa""#));
}

#[tokio::test]
async fn what_cannot_be_read_is_left_out_and_the_command_fails() {
    let root = folder().await;
    let path = |name: &str| root.path().join(name).display().to_string();
    let hex = key(1).to_hex();
    let file = root.path().join("sessions").join(&hex[..2]).join(&hex[2..]);
    fs::write(file, "half a ses").expect("our file");
    let ran = run("", &format!("copy --create {} {}", path("sessions"), path("to")));
    assert_eq!((ran.code, ran.stdout.as_str()), (1, "3 sessions copied\n"));
    assert!(ran.stderr.contains("1 records cannot be read"), "{ran:?}");
}

#[tokio::test]
async fn a_terminal_sees_how_far_a_copy_is() {
    let root = folder().await;
    let inner = format!("{} copy --create sessions to", env!("CARGO_BIN_EXE_typed-sessions"));
    let mut script = Command::new("script");
    script.args(["-qec", &inner, "/dev/null"]).current_dir(root.path()).stdin(Stdio::null());
    let output = script.output().expect("`script` of util-linux is missing");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("4 to copy") && text.contains("4 sessions copied"), "{text}");
    assert_eq!(output.status.code(), Some(0), "{text}");
}

#[tokio::test]
async fn a_copy_that_was_killed_is_completed_by_the_next() {
    const SESSIONS: u32 = 3_000;
    let root = TempDir::new().expect("a temporary folder");
    let server = RedisServer::start(Server::Redis);
    let store = RedisStore::new(&server.url()).expect("a good URL");
    let now = SystemClock.now();
    let record = Record::new(now, now.saturating_add(Duration::from_secs(3_600)));
    for n in 0..SESSIONS {
        let id = actix_typed_session::SessionId::new(format!("{n:040}")).expect("a good id");
        let text = n.to_string();
        create(&store, StoreKey::from(&id), &record, &set(&[("n", &text)])).await;
    }
    let to = root.path().join("to");
    let mut copy = program("");
    copy.args(["copy", "--create", &server.url()]).arg(&to);
    let mut child = copy.stdout(Stdio::null()).spawn().expect("the program starts");
    // Until some are there.
    let count = || {
        let folders = fs::read_dir(&to).into_iter().flatten().flatten();
        folders.filter_map(|folder| fs::read_dir(folder.path()).ok()).flatten().count()
    };
    while count() < 200 {
        assert!(child.try_wait().expect("our child").is_none(), "it was not cut off");
        thread::sleep(Duration::from_millis(2));
    }
    child.kill().expect("our child");
    child.wait().expect("our child");
    let store = FileStore::builder(&to).read_only(true).build();
    drop(store.expect("a folder"));
    let before: u64 = run(&to, "count").ok().trim().parse().expect("a number");
    assert!(before > 0 && before < u64::from(SESSIONS), "{before}");
    let arguments = format!("copy --json {} {}", server.url(), to.display());
    let done = run("", &arguments).json();
    assert_eq!(done[0]["present"], before);
    assert_eq!(done[0]["copied"], u64::from(SESSIONS) - before);
    assert_eq!(run(&to, "check --json").json()[0]["readable"], SESSIONS);
}

#[tokio::test]
async fn clients_keep_their_sessions_after_a_copy() {
    let root = folder().await;
    let path = |name: &str| root.path().join(name).display().to_string();
    run("", &format!("copy --create {} {}", path("sessions"), path("to"))).ok();
    let store = FileStore::new(root.path().join("to")).expect("our folder");
    for id in ids() {
        let record = store.load(&StoreKey::from(&id), &LoadOptions::default()).await;
        assert!(record.is_ok_and(|record| record.is_some()), "the client's id opens it");
    }
}
