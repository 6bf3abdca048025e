//! A process that uses a file store, for tests that need a second one or kill it.
//!
//! - `store_process FOLDER hammer ROUND`: changes sessions until it is killed. It prints what it
//!   begins and what is done.
//! - `store_process FOLDER add N`: adds 1 to one session, N times.
//! - `store_process FOLDER try`: reads and changes one session once, and prints what happened.
//!   `try-unchecked` opens the store as `SessionMiddleware::default()` does, in the working
//!   directory.
//! - `store_process FOLDER do STEP…`: opens the store and takes these steps. It prints what each of
//!   them did. `do-shared` shares the store with the group.
//! - `store_process FOLDER live DURABILITY`: one session from its beginning to its end. It prints
//!   the name of each step after it.

use std::{
    env,
    io::{self, Write as _},
    time::Duration,
};

use actix_typed_session::{
    Clock as _, Durability, FileStore, PublicId, StoreError, SystemClock, Timestamp,
    store::{
        DeleteExpired as _, FindByIndex as _, Grace, Index, LoadOptions, Number, OldIdReads, Patch,
        Record, SessionStore as _, UpdateOutcome,
    },
};
use actix_typed_session_tests::{
    error_chain,
    process::{SESSIONS, chain_key, doomed_key, key, value_patch},
};

const NEVER: Timestamp = Timestamp::from_unix_ms(u64::MAX);

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (folder, command) = arguments.split_first().expect("a folder");
    let durability = match command {
        // Sessions must survive a kill without any sync.
        ["hammer", _] | ["live", "process"] => Durability::Process,
        ["live", "power-at-once"] => Durability::PowerAtOnce,
        _ => Durability::Power,
    };
    let store = FileStore::builder(*folder).durability(durability).sweep_interval(None);
    match command {
        ["hammer", round] => {
            let store = store.build().expect("a writable folder");
            hammer(store, round.parse().expect("a number")).await;
        }
        ["add", times] => {
            let store = store.build().expect("a writable folder");
            add(store, times.parse().expect("a number")).await;
        }
        ["live", _] => live(store.build().expect("a writable folder")).await,
        ["do", steps @ ..] => take(store.build(), steps).await,
        ["do-shared", steps @ ..] => take(store.share_with_group(true).build(), steps).await,
        ["try"] => attempt(store.build()).await,
        ["try-unchecked"] => attempt(Ok(FileStore::default())).await,
        other => panic!("unknown command {other:?}"),
    }
}

fn report(line: &str) {
    // One write, so that a kill does not leave half a line that looks whole.
    io::stdout().write_all(format!("{line}\n").as_bytes()).expect("the test reads");
}

async fn hammer(store: FileStore, round: u64) {
    let mut tasks = tokio::task::JoinSet::new();
    for session in 0..SESSIONS {
        let store = store.clone();
        tasks.spawn(async move {
            for n in 1.. {
                let value = round * 1_000_000 + n;
                report(&format!("begin {session} {value}"));
                let patch = value_patch(value);
                match store
                    .load(&key(session), &LoadOptions::default())
                    .await
                    .expect("a whole session")
                {
                    None => {
                        let record = patch.apply_to(&Record::new(SystemClock.now(), NEVER));
                        let record = record.expect("a new record takes a patch");
                        store.create(&key(session), &record).await.expect("a working disk");
                    }
                    Some(_) => {
                        store.update(&key(session), &patch).await.expect("a working disk");
                    }
                }
                report(&format!("done {session} {value}"));
            }
        });
    }
    let renewing = store.clone();
    tasks.spawn(async move {
        let record = value_patch(round).apply_to(&Record::new(SystemClock.now(), NEVER));
        let record = record.expect("a new record takes a patch");
        renewing.create(&chain_key(round, 0), &record).await.expect("a working disk");
        report("chain 0");
        for n in 1.. {
            let grace = Grace::new(NEVER, OldIdReads::Snapshot);
            let (old, new) = (chain_key(round, n - 1), chain_key(round, n));
            renewing.rotate(&old, &new, &Patch::default(), grace).await.expect("a working disk");
            report(&format!("chain {n}"));
        }
    });
    tasks.spawn(async move {
        for n in 0.. {
            let record = Record::new(SystemClock.now(), NEVER);
            store.create(&doomed_key(round, n), &record).await.expect("a working disk");
            store.destroy(&doomed_key(round, n)).await.expect("a working disk");
            report(&format!("destroyed {n}"));
        }
    });
    tasks.join_all().await;
}

async fn add(store: FileStore, times: u64) {
    let record = Record::new(SystemClock.now(), NEVER);
    store.create(&key(0), &record).await.expect("a working disk");
    let mut patch = Patch::default();
    patch.add("n".into(), Number::Int(0), Number::Int(1));
    for _ in 0..times {
        store.update(&key(0), &patch).await.expect("a working disk");
    }
}

async fn live(store: FileStore) {
    report("open");
    let now = SystemClock.now();
    let until = |ms| Timestamp::from_unix_ms(now.as_unix_ms() + ms);
    store.create(&key(0), &Record::new(now, until(60_000))).await.expect("a working disk");
    report("create");
    store.update(&key(0), &value_patch(1)).await.expect("a working disk");
    report("update");
    store.touch(&key(0), until(90_000)).await.expect("a working disk");
    report("touch");
    let grace = Grace::new(until(60_000), OldIdReads::Snapshot);
    store.rotate(&key(0), &key(1), &Patch::default(), grace).await.expect("a working disk");
    report("rotate");
    store.destroy(&key(1)).await.expect("a working disk");
    report("destroy");
    let mut indexed = value_patch(1);
    indexed.index_field(Index::new(PublicId::new(now, Duration::from_secs(90)), "a".into()));
    let record = indexed.apply_to(&Record::new(now, until(60_000)));
    let record = record.expect("a new record takes a patch");
    store.create(&key(2), &record).await.expect("a working disk");
    report("create indexed");
}

async fn attempt(store: Result<FileStore, StoreError>) {
    let store = match store {
        Ok(store) => store,
        Err(error) => return report(&format!("open: {}", error_chain(&error))),
    };
    match store.load(&key(0), &LoadOptions::default()).await {
        Ok(record) => report(&format!("load: {}", record.is_some())),
        Err(error) => report(&format!("load: {}", error_chain(&error))),
    }
    match store.update(&key(0), &value_patch(7)).await {
        Ok(updated) => report(&format!("update: {updated:?}")),
        Err(error) => report(&format!("update: {}", error_chain(&error))),
    }
    match store.load(&key(1), &LoadOptions::default()).await {
        Ok(record) => report(&format!("other: {}", record.is_some())),
        Err(error) => report(&format!("other: {}", error_chain(&error))),
    }
}

/// Takes steps like `create:1`, with the number of a session.
async fn take(store: Result<FileStore, StoreError>, steps: &[&str]) {
    let store = match store {
        Ok(store) => store,
        Err(error) => return report(&format!("open: {}", error_chain(&error))),
    };
    for step in steps {
        let (name, session) = step.split_once(':').expect("a step and a session");
        let session = session.parse().expect("a number");
        match take_one(&store, name, session).await {
            Ok(done) => report(&format!("{step} {done}")),
            Err(error) => report(&format!("{step} {}", error_chain(&error))),
        }
    }
}

async fn take_one(store: &FileStore, step: &str, session: u64) -> Result<String, StoreError> {
    let now = SystemClock.now();
    let until = |ms| Timestamp::from_unix_ms(now.as_unix_ms() + ms);
    let mut indexed = value_patch(1);
    indexed.index_field(Index::new(PublicId::new(now, Duration::from_secs(90)), "a".into()));
    let key = key(session);
    Ok(match step {
        "create" => {
            let record = indexed.apply_to(&Record::new(now, until(60_000)));
            let record = record.expect("a new record takes a patch");
            format!("{:?}", store.create(&key, &record).await?)
        }
        "create-expired" => {
            let record = Record::new(now, until(1));
            format!("{:?}", store.create(&key, &record).await?)
        }
        "load" => store.load(&key, &LoadOptions::default()).await?.is_some().to_string(),
        "update" => match store.update(&key, &value_patch(2)).await? {
            UpdateOutcome::Applied { .. } => "Applied".to_owned(),
            other => format!("{other:?}"),
        },
        "touch" => store.touch(&key, until(90_000)).await?.to_string(),
        "rotate" => {
            let grace = Grace::new(until(60_000), OldIdReads::Snapshot);
            let new = chain_key(session, 1);
            match store.rotate(&key, &new, &Patch::default(), grace).await? {
                UpdateOutcome::Applied { .. } => "Applied".to_owned(),
                other => format!("{other:?}"),
            }
        }
        "destroy" => store.destroy(&key).await?.to_string(),
        "find" => {
            let value = value_patch(session).apply_to(&Record::new(now, NEVER));
            let value = value.expect("a new record takes a patch");
            let value = value.field("a").expect("a value");
            store.find("a", value, None, 100).await?.sessions.len().to_string()
        }
        "sweep" => store.delete_expired().await?.to_string(),
        other => panic!("unknown step {other}"),
    })
}
