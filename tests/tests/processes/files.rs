//! File stores in several processes, some of which are killed.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Command, Stdio},
};

use actix_typed_session::{
    FileStore,
    store::{DeleteExpired as _, LoadOptions, Record, SessionStore as _},
};
use actix_typed_session_tests::process::{SESSIONS, chain_key, doomed_key, key, value_patch};
use tempfile::TempDir;

fn store_process(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_store_process"));
    command.arg(folder).args(arguments);
    command
}

fn open(folder: &Path) -> FileStore {
    FileStore::builder(folder).sweep_interval(None).build().expect("a writable folder")
}

fn value(record: &Record) -> u64 {
    let a: u64 = record.field("a").expect("a value").get().parse().expect("a number");
    let whole = value_patch(a).apply_to(&Record::new(record.created_at(), record.expires_at()));
    let whole = whole.expect("a new record takes a patch");
    let fields = |record: &Record| -> Vec<(String, String)> {
        record.fields().map(|(name, json)| (name.to_owned(), json.get().to_owned())).collect()
    };
    assert!(fields(record) == fields(&whole), "a mixture of two states, or a part of one: {a}");
    a
}

/// Marsaglia's xorshift.
fn random(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

#[tokio::test]
async fn a_process_killed_at_any_moment_leaves_each_session_old_or_new() {
    let folder = TempDir::new().expect("a temporary folder");
    let mut state = u64::from(std::process::id()) << 20 | 0x9e37;
    println!("random state {state}");
    let mut writes = 0;
    let mut stored: BTreeMap<u64, u64> = BTreeMap::new();
    for round in 1..=60 {
        let mut child = store_process(folder.path(), &["hammer", &round.to_string()])
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let lines_until_the_kill = 10 + random(&mut state) % 300;
        let mut begun = BTreeMap::new();
        let (mut chained, mut destroyed) = (None, None);
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let mut count = 0;
        while let Some(Ok(line)) = lines.next() {
            count += 1;
            if count == lines_until_the_kill {
                child.kill().expect("the process runs");
            }
            let words: Vec<&str> = line.split(' ').collect();
            let number = |word: usize| words[word].parse::<u64>().expect("a number");
            match words[0] {
                "begin" => drop(begun.insert(number(1), number(2))),
                "done" => {
                    writes += 1;
                    stored.insert(number(1), number(2));
                }
                "chain" => chained = Some(number(1)),
                "destroyed" => destroyed = Some(number(1)),
                other => panic!("unknown word {other}"),
            }
        }
        let status = child.wait().expect("the process ends");
        #[cfg(unix)]
        {
            use std::os::unix::process::ExitStatusExt as _;
            // Exiting by itself would mean a torn read or a refused write.
            assert_eq!(status.signal(), Some(9), "round {round}: {status}");
        }
        assert!(!status.success(), "round {round}: it was killed");
        // A restarted process.
        let store = open(folder.path());
        for session in 0..SESSIONS {
            let old = stored.get(&session).copied();
            let new = begun.get(&session).copied();
            let found =
                store.load(&key(session), &LoadOptions::default()).await.expect("a whole session");
            let found = found.as_ref().map(value);
            assert!(
                found == old || found == new,
                "round {round}: session {session} is {found:?} and not {old:?} or {new:?}"
            );
            if let Some(found) = found {
                stored.insert(session, found);
            }
        }
        if let Some(n) = chained {
            let mut live = 0;
            for n in [n, n + 1] {
                let found = store
                    .load(&chain_key(round, n), &LoadOptions::default())
                    .await
                    .expect("a whole session");
                live += u64::from(found.is_some_and(|record| {
                    assert_eq!(value(&record), round);
                    !record.is_retired()
                }));
            }
            assert!(live >= 1, "round {round}: a renewal lost the session");
        }
        if let Some(n) = destroyed {
            let found = store
                .load(&doomed_key(round, n), &LoadOptions::default())
                .await
                .expect("a miss is no error");
            assert!(found.is_none(), "round {round}: destroyed stays destroyed");
        }
        assert!(!folder.path().join("damaged").exists(), "round {round}: nothing was damaged");
    }
    assert!(writes > 1_000, "only {writes} writes");
    open(folder.path()).delete_expired().await.expect("a readable folder");
    for subfolder in fs::read_dir(folder.path()).expect("a readable folder") {
        let subfolder = subfolder.expect("an entry").path();
        for file in fs::read_dir(&subfolder).into_iter().flatten() {
            let name = file.expect("an entry").file_name();
            let name = name.to_string_lossy();
            assert!(!name.starts_with(".new-"), "the sweep takes away what a kill leaves: {name}");
        }
    }
    println!("{writes} writes were done");
}

#[tokio::test]
async fn additions_of_several_processes_add_up() {
    let folder = TempDir::new().expect("a temporary folder");
    let children: Vec<_> = (0..3)
        .map(|_| store_process(folder.path(), &["add", "100"]).spawn().expect("the program starts"))
        .collect();
    for mut child in children {
        assert!(child.wait().expect("the process ends").success());
    }
    let record = open(folder.path())
        .load(&key(0), &LoadOptions::default())
        .await
        .expect("a folder")
        .expect("a session");
    assert_eq!(record.field("n").map(|json| json.get()), Some("300"));
}

/// What a process does to the disk in each step that it prints, as Valgrind sees it.
#[cfg(target_os = "linux")]
fn disk_calls(durability: &str) -> Vec<String> {
    let folder = TempDir::new().expect("a temporary folder");
    let output = Command::new("valgrind")
        .args(["--tool=none", "--trace-syscalls=yes", env!("CARGO_BIN_EXE_store_process")])
        .arg(folder.path().join("sessions"))
        .args(["live", durability])
        .output()
        .expect("valgrind is there: apt-get install valgrind");
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && printed.ends_with("create indexed\n"), "{printed}");
    let mut steps = vec![String::new()];
    for line in String::from_utf8_lossy(&output.stderr).lines() {
        let Some((_, call)) = line.split_once(" sys_").filter(|_| line.starts_with("SYSCALL["))
        else {
            continue;
        };
        match call.split_once(' ') {
            Some((name @ ("fsync" | "rename" | "renameat2" | "fallocate" | "unlink"), _)) => {
                let step = steps.last_mut().expect("there is always one");
                *step += if step.is_empty() { "" } else { " " };
                *step += match name {
                    "renameat2" => "exchange",
                    "fallocate" => "erase",
                    name => name,
                };
            }
            // The line that it prints after a step.
            Some(("write", rest)) if rest.starts_with("( 1,") => steps.push(String::new()),
            _ => {}
        }
    }
    steps.into_iter().skip(1).collect()
}

#[cfg(target_os = "linux")]
#[test]
fn what_is_to_outlast_a_power_cut_is_synced_before_it_is_relied_on() {
    // The session has no file yet, so the new one is renamed.
    const NEW: &str = "exchange rename";
    // The old file is erased, and gets the name of the spare one.
    const FIRST_UPDATE: &str = "exchange erase rename";
    // The spare file of the first update.
    const UPDATE: &str = "exchange erase";
    let [create, update, touch, rotate, destroy, indexed, _] = &*disk_calls("process") else {
        panic!("each step is printed")
    };
    assert_eq!([create, update, touch], [NEW, FIRST_UPDATE, ""]);
    assert_eq!(*rotate, format!("{NEW} {UPDATE}"));
    assert_eq!([destroy, indexed], ["unlink", NEW]);
    let [create, update, touch, rotate, destroy, indexed, _] = &*disk_calls("power") else {
        panic!("each step is printed")
    };
    // The folders first: the store's, which is new, and its parent.
    let new_folder = "fsync fsync";
    assert_eq!(*create, format!("{new_folder} fsync {NEW}"));
    assert_eq!([update.as_str(), touch], [&format!("fsync {FIRST_UPDATE}"), ""]);
    // The new record is synced before the old one is replaced.
    assert_eq!(*rotate, format!("{new_folder} fsync {NEW} fsync fsync {UPDATE}"));
    assert_eq!(destroy, "unlink");
    // The index entry is synced before its record: its new folders, and the one with the entry.
    let entry = "fsync fsync fsync fsync";
    assert_eq!(*indexed, format!("{new_folder} {entry} fsync {NEW}"));
    let [create, update, touch, rotate, destroy, indexed, _] = &*disk_calls("power-at-once") else {
        panic!("each step is printed")
    };
    assert_eq!(*create, format!("{new_folder} fsync {NEW} fsync"));
    assert_eq!([update.as_str(), touch], [&format!("fsync {FIRST_UPDATE} fsync"), "fsync"]);
    assert_eq!(*rotate, format!("{new_folder} fsync {NEW} fsync fsync {UPDATE} fsync"));
    assert_eq!(destroy, "unlink fsync");
    assert_eq!(*indexed, format!("{new_folder} {entry} fsync {NEW} fsync"));
}

async fn create(store: &FileStore, session: u64) {
    let never = actix_typed_session::Timestamp::from_unix_ms(u64::MAX);
    let record = value_patch(1).apply_to(&Record::new(Default::default(), never));
    store.create(&key(session), &record.expect("a patch")).await.expect("a writable folder");
}

#[cfg(unix)]
#[tokio::test]
async fn a_write_that_the_disk_cuts_off_is_an_error_and_leaves_the_session_as_it_was() {
    let folder = TempDir::new().expect("a temporary folder");
    let store = open(folder.path());
    create(&store, 0).await;
    create(&store, 1).await;
    // The kernel refuses to write past the limit, as a full disk does. The patch takes about 3 kB.
    let output = Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 1; exec \"$0\" \"$1\" try"])
        .arg(env!("CARGO_BIN_EXE_store_process"))
        .arg(folder.path())
        .output()
        .expect("the program starts");
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let lines: Vec<&str> = printed.lines().collect();
    assert_eq!(lines[0], "load: true", "{printed}");
    assert!(
        lines[1]
            .starts_with("update: the session store is not available: cannot write to the folder"),
        "{printed}"
    );
    assert_eq!(lines[2], "other: true", "{printed}");
    let record = store
        .load(&key(0), &LoadOptions::default())
        .await
        .expect("a whole session")
        .expect("a session");
    assert_eq!(value(&record), 1);
    let names = fs::read_dir(folder.path().join(&key(0).to_hex()[..2])).expect("a subfolder");
    let left = names.filter(|name| {
        let name = name.as_ref().expect("an entry").file_name();
        name.to_string_lossy().starts_with(".new-")
    });
    assert_eq!(left.count(), 0, "nothing half-written is left");
}

#[cfg(unix)]
#[tokio::test]
async fn a_read_only_folder_and_unreadable_files_are_clear_errors() {
    use std::os::unix::{
        fs::{MetadataExt as _, PermissionsExt as _, chown},
        process::CommandExt as _,
    };

    const NOBODY: u32 = 65_534;
    let root = TempDir::new().expect("a temporary folder");
    let folder = root.path().join("sessions");
    let store = open(&folder);
    create(&store, 0).await;
    create(&store, 1).await;
    let is_root = fs::metadata(root.path()).expect("a folder").uid() == 0;
    // File modes do not stop root, so a program of root runs as another user.
    let program = root.path().join("store_process");
    fs::copy(env!("CARGO_BIN_EXE_store_process"), &program).expect("a copy");
    let allow = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("our own file");
    };
    let run = |how: &str| {
        let mut command = Command::new(&program);
        command.arg(&folder).arg(how).current_dir(root.path());
        if is_root {
            command.uid(NOBODY).gid(NOBODY);
        }
        let output = command.output().expect("the program starts");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    allow(root.path(), 0o755);
    let file = |session| {
        let name = key(session).to_hex();
        folder.join(&name[..2]).join(&name[2..])
    };
    // A folder that is only readable: the store says so when it is opened.
    for path in [&folder, file(0).parent().expect("a subfolder"), file(1).parent().expect("one")] {
        allow(path, 0o555);
    }
    let output = run("try");
    assert!(
        output.starts_with("open: the session store is not available: cannot write to the folder"),
        "{output}"
    );
    // The folder became read-only while the store was in use: reads work, changes fail.
    for session in [0, 1] {
        allow(&file(session), 0o444);
        allow(&file(session).with_file_name(".lock"), 0o444);
    }
    let output = run("try-unchecked");
    let lines: Vec<&str> = output.lines().collect();
    assert_eq!(lines[0], "load: true", "{output}");
    assert!(
        lines[1].starts_with("update: the session store is not available: cannot lock the folder"),
        "{output}"
    );
    assert!(lines[1].contains("denied"), "{output}");
    assert_eq!(lines[2], "other: true", "{output}");
    // A damaged file in it is damage, not an outage.
    let whole = fs::read(file(0)).expect("our own file");
    allow(&file(0), 0o644);
    fs::write(file(0), &whole[..20]).expect("our own file");
    allow(&file(0), 0o444);
    let output = run("try-unchecked");
    let lines: Vec<&str> = output.lines().collect();
    assert!(lines[0].starts_with("load: the stored session is damaged"), "{output}");
    assert!(lines[0].contains("cannot be moved"), "{output}");
    assert_eq!(lines[2], "other: true", "{output}");
    allow(&file(0), 0o644);
    fs::write(file(0), &whole).expect("our own file");
    // A writable folder with one file of another user: only that session is affected.
    for path in [&folder, file(0).parent().expect("a subfolder"), file(1).parent().expect("one")] {
        allow(path, 0o755);
        for path in [path.to_owned(), path.join(".lock")] {
            if is_root && path.exists() {
                chown(path, Some(NOBODY), Some(NOBODY)).expect("root may");
            }
        }
    }
    for session in [0, 1] {
        allow(&file(session).with_file_name(".lock"), 0o600);
    }
    allow(&file(0), 0o000);
    allow(&file(1), 0o644);
    let output = run("try");
    let lines: Vec<&str> = output.lines().collect();
    assert!(lines[0].starts_with("load: the stored session is damaged"), "{output}");
    assert!(lines[0].contains("it is kept in"), "{output}");
    assert_eq!(lines[1], "update: Gone", "{output}");
    assert_eq!(lines[2], "other: true", "{output}");
}
