//! A disk that has no space left, as a limit of the size of files.

use std::{env, process::Command};

use actix_typed_session::{
    Clock as _, StoreError, SystemClock,
    store::{CreateOutcome, LoadOptions, SessionStore as _},
};
use actix_typed_session_sqlx::SqliteStore;
use actix_typed_session_tests::json::record;
use tempfile::TempDir;

use crate::{FILE, key};

/// The most that a file may have, in KiB.
const LIMIT: u32 = 400;

/// About how much a session takes.
const LARGE: usize = 8 * 1024;

async fn create(store: &SqliteStore, n: u8) -> Result<CreateOutcome, StoreError> {
    let text = format!("\"{}\"", "x".repeat(LARGE));
    store.create(&key(n), &record(SystemClock.now(), &[("text", &text)])).await
}

async fn is_there(store: &SqliteStore, n: u8) -> bool {
    store.load(&key(n), &LoadOptions::default()).await.expect("it can be read").is_some()
}

#[tokio::test]
async fn on_a_full_disk_writes_are_unavailable_and_what_was_answered_is_there() {
    let folder = TempDir::new().expect("a temporary folder");
    let file = folder.path().join("sessions.db");
    // The limit must not kill the process.
    let script = format!("trap '' XFSZ; ulimit -f {LIMIT}; exec \"$0\" \"$@\"");
    let mut process = Command::new("bash");
    process.arg("-c").arg(script).arg(env::current_exe().expect("this program"));
    process.args(["--ignored", "--exact", "--nocapture", "full_disk::fill_the_disk"]);
    let output = process.env(FILE, &file).output().expect("bash starts");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    let stored = text.lines().find_map(|line| line.strip_prefix("stored "));
    let stored: u8 = stored.expect("it says how many").parse().expect("a number");
    assert!(stored >= 10, "{stored}");

    // Now the disk has space again.
    let store = SqliteStore::new(&file).expect("a file that can be used");
    for n in 1..=stored {
        assert!(is_there(&store, n).await, "{n} of {stored}");
    }
    assert_eq!(create(&store, stored + 2).await.expect("there is space"), CreateOutcome::Stored);
}

#[tokio::test]
#[ignore = "another test starts it as a process"]
async fn fill_the_disk() {
    let Some(file) = env::var_os(FILE) else { return };
    let store = SqliteStore::new(file).expect("there is space for an empty file");
    let mut n = 1;
    let error = loop {
        match create(&store, n).await {
            Ok(_) => n += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
    assert!(!is_there(&store, n).await, "what failed is not there");
    for n in 1..n {
        assert!(is_there(&store, n).await, "{n}");
    }
    println!("\nstored {}", n - 1);
}
