//! On sessions in files.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead as _, BufReader, Read as _},
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, SystemTime},
};

use actix_typed_session::{
    Clock as _, FileStore, SystemClock, Timestamp,
    store::{Grace, OldIdReads, Patch, Record, SessionStore as _},
};
use actix_typed_session_tests::json::set;
use serde_json::json;

use crate::fixture::{create, digest, folder, key, program, public_id, run};

/// All files below a folder, with what they have and when they were changed.
fn contents(folder: &Path) -> BTreeMap<PathBuf, (Vec<u8>, SystemTime)> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(folder).expect("a readable folder") {
        let path = entry.expect("a readable folder").path();
        let changed = fs::metadata(&path).and_then(|metadata| metadata.modified());
        let changed = changed.expect("a readable file");
        if path.is_dir() {
            all.extend(contents(&path));
            all.insert(path, (Vec::new(), changed));
        } else {
            let bytes = fs::read(&path).expect("a readable file");
            all.insert(path, (bytes, changed));
        }
    }
    all
}

fn session_file(sessions: &Path, n: u8) -> PathBuf {
    let hex = key(n).to_hex();
    sessions.join(&hex[..2]).join(&hex[2..])
}

#[tokio::test]
async fn commands_that_read_change_nothing_in_the_folder() {
    let root = folder().await;
    let sessions = root.path().join("sessions");
    fs::write(session_file(&sessions, 1), "half a ses").expect("our file");
    let before = contents(&sessions);
    let id = public_id(0);
    for arguments in ["list", "count", "check", "count --field user_id=42", &format!("show {id}")] {
        for _ in 0..2 {
            run(&sessions, arguments);
        }
    }
    assert_eq!(contents(&sessions), before);
}

#[cfg(unix)]
#[tokio::test]
async fn a_folder_that_may_only_be_read_can_be_listed() {
    use std::os::unix::fs::PermissionsExt as _;

    let root = folder().await;
    let sessions = root.path().join("sessions");
    let subfolder = session_file(&sessions, 0).parent().expect("a subfolder").to_owned();
    fs::remove_file(subfolder.join(".lock")).expect("our file");
    for folder in [&subfolder, &sessions] {
        fs::set_permissions(folder, fs::Permissions::from_mode(0o500)).expect("our folder");
    }
    assert_eq!(run(&sessions, "count").ok(), "4\n");
    assert!(!subfolder.join(".lock").exists());
    for folder in [&sessions, &subfolder] {
        fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).expect("our folder");
    }
}

#[tokio::test]
async fn a_list_has_names_of_fields_and_no_values() {
    let root = folder().await;
    let list = run(root.path().join("sessions"), "list").ok();
    let lines: Vec<_> = list.lines().collect();
    assert_eq!(lines.len(), 5, "{list}");
    assert!(lines[0].starts_with("SESSION "), "{list}");
    let first = lines.iter().find(|line| line.starts_with(&public_id(0).to_string()));
    assert_eq!(
        first.expect("the session is listed").split_whitespace().collect::<Vec<_>>()[1..],
        [
            "2026-11-29",
            "08:00:00",
            "2026-11-29",
            "08:30:00",
            "2096-10-02",
            "07:06:40",
            "225",
            "cart",
            "theme",
            "user_id",
        ],
    );
    assert!(lines.iter().any(|line| line.starts_with(&digest(3))), "it has no public id: {list}");
    for value in ["tea", "dark", "phone", "42"] {
        assert!(!list.replace(&public_id(0).to_string(), "").contains(value) || value == "42");
    }
}

#[tokio::test]
async fn json_has_an_object_per_session_with_stable_names() {
    let root = folder().await;
    let sessions = root.path().join("sessions");
    let all = run(&sessions, "list --json").json();
    assert_eq!(all.len(), 4);
    let id = public_id(1);
    let one = run(&sessions, &format!("--json show --values {id}")).json();
    let expected = json!({
        "id": id, "public_id": id, "began": "2026-11-29T09:00:00.000Z",
        "last_seen": "2026-11-29T09:30:00.000Z", "expires": "2096-10-02T07:06:40.000Z",
        "persistent": null, "version": 1, "bytes": one[0]["bytes"],
        "fields": [
            { "name": "device", "bytes": 7, "indexed": false, "encrypted": false,
              "value": "phone" },
            { "name": "user_id", "bytes": 2, "indexed": true, "encrypted": false, "value": 42 },
        ],
    });
    assert_eq!(one, [expected]);
    let hidden = run(&sessions, &format!("--json show {id}")).json();
    assert_eq!(hidden[0]["fields"][0].get("value"), None);
}

#[tokio::test]
async fn sessions_are_found_by_their_ids_and_by_fields() {
    let root = folder().await;
    let sessions = root.path().join("sessions");
    let count = |arguments: &str| run(&sessions, arguments).ok().trim().to_owned();
    assert_eq!(count("count"), "4");
    assert_eq!(count("count --field user_id=42"), "2");
    assert_eq!(count("count --field user_id=8"), "0");
    // Not indexed.
    assert_eq!(count("count --field device=phone"), "0");
    assert_eq!(count("count --field device=phone --scan"), "1");
    assert_eq!(run(&sessions, "list --json --limit 2").json().len(), 2);
    let both = format!("--json show {} {}", public_id(2), digest(3));
    let names = run(&sessions, &both).json();
    assert_eq!(names.iter().filter(|found| found["fields"][0]["name"] == "views").count(), 1);
    assert_eq!(names.len(), 2);
    let missing = run(&sessions, "show 00000000000000000000000000000000");
    assert!(missing.fails(1).contains("no live session has this id"));
}

#[tokio::test]
async fn destroyed_sessions_are_gone_and_the_others_stay() {
    let root = folder().await;
    let sessions = root.path().join("sessions");
    let refused = run(&sessions, "destroy --field user_id=42").fails(2);
    assert!(refused.contains("pass --yes"), "{refused}");
    assert_eq!(run(&sessions, "count").ok(), "4\n", "nothing was destroyed");
    assert_eq!(run(&sessions, "destroy --yes --field user_id=42").ok(), "2 sessions destroyed\n");
    let by_id = format!("--json destroy --yes {} {}", public_id(2), digest(3));
    assert_eq!(run(&sessions, &by_id).json(), [json!({ "destroyed": 2 })]);
    let again = run(&sessions, &by_id);
    assert_eq!((again.code, again.stdout.as_str()), (1, "{\"destroyed\":0}\n"));
    assert_eq!(run(&sessions, "count").ok(), "0\n");
    assert_eq!(run(&sessions, "destroy -y --field user_id=42").ok(), "0 sessions destroyed\n");
}

#[tokio::test]
async fn a_terminal_is_asked_before_a_session_ends() {
    let root = folder().await;
    let sessions = root.path().join("sessions");
    // `script` of util-linux gives the program a terminal.
    let ask = |answer: &str| {
        let inner = format!(
            "{} -s {} destroy --field user_id=42",
            env!("CARGO_BIN_EXE_typed-sessions"),
            sessions.display()
        );
        let mut script = std::process::Command::new("script");
        script.args(["-qec", &inner, "/dev/null"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = script.spawn().expect("`script` of util-linux is missing");
        std::io::Write::write_all(&mut child.stdin.take().expect("piped"), answer.as_bytes())
            .expect("it reads");
        let output = child.wait_with_output().expect("it ends");
        (String::from_utf8_lossy(&output.stdout).into_owned(), output.status.code())
    };
    let (text, code) = ask("n\n");
    assert!(text.contains("Destroy 2 sessions in ") && text.contains("[y/N]"), "{text}");
    assert!(text.contains("nothing was destroyed"), "{text}");
    assert_eq!(code, Some(1));
    assert_eq!(run(&sessions, "count").ok(), "4\n");
    let (text, code) = ask("y\n");
    assert!(text.contains("2 sessions destroyed"), "{text}");
    assert_eq!((code, run(&sessions, "count").ok().as_str()), (Some(0), "2\n"));
}

#[tokio::test]
async fn a_check_counts_each_state_and_fails_if_a_record_is_damaged() {
    let root = folder().await;
    let sessions = root.path().join("sessions");
    assert!(run(&sessions, "check").ok().contains("readable              4"));
    let store = FileStore::new(&sessions).expect("a writable folder");
    let now = SystemClock.now();
    // One that was renewed, one that has expired, one of a later release, and a damaged one.
    let grace = Grace::new(now.saturating_add(Duration::from_secs(600)), OldIdReads::Nothing);
    store.rotate(&key(0), &key(4), &set(&[("a", "1")]), grace).await.expect("a writable folder");
    let expired = Record::new(Timestamp::from_unix_ms(1), Timestamp::from_unix_ms(2));
    create(&store, key(5), &expired, &Patch::default()).await;
    let later = session_file(&sessions, 1);
    let text = fs::read_to_string(&later).expect("our file");
    fs::write(&later, text.replacen("\"v\":1", "\"v\":99", 1)).expect("our file");
    fs::write(session_file(&sessions, 2), "half a ses").expect("our file");
    let expected = json!({
        "readable": 2, "retired": 1, "expired": 1, "later_format": 1, "damaged": 1,
    });
    for _ in 0..2 {
        let checked = run(&sessions, "check --json");
        assert_eq!(checked.code, 1, "{checked:?}");
        let object: serde_json::Value = serde_json::from_str(&checked.stdout).expect("an object");
        assert_eq!(object, expected);
        assert!(checked.stderr.contains("not a valid session"), "{checked:?}");
        assert!(checked.stderr.contains("release that wrote them"), "{checked:?}");
    }
    assert_eq!(run(&sessions, "sweep").ok(), "1 expired session deleted\n");
    assert_eq!(run(&sessions, "sweep --json").json(), [json!({ "deleted": 0 })]);
    assert_eq!(run(&sessions, "list --json").code, 0);
    assert!(run(&sessions, "list").stderr.contains("2 records cannot be read"));
}

#[tokio::test]
async fn a_reader_that_leaves_early_does_no_harm() {
    let root = folder().await;
    let sessions = root.path().join("sessions");
    let store = FileStore::builder(&sessions)
        .durability(actix_typed_session::Durability::Process)
        .build()
        .expect("a writable folder");
    let now = SystemClock.now();
    let record = Record::new(now, now.saturating_add(Duration::from_secs(3_600)));
    // More than a pipe holds.
    for n in 0..600_u32 {
        let name = "n".repeat(200);
        let key = actix_typed_session::store::StoreKey::from_bytes(
            *[n.to_be_bytes(); 8].concat().first_chunk().expect("32 bytes"),
        );
        create(&store, key, &record, &set(&[(&name, "1")])).await;
    }
    for arguments in ["list", "list --json"] {
        let mut command = program(&sessions);
        command.args(arguments.split(' ')).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program starts");
        let mut first = String::new();
        let mut stdout = BufReader::new(child.stdout.take().expect("piped"));
        stdout.read_line(&mut first).expect("a line");
        drop(stdout);
        let mut stderr = String::new();
        child.stderr.take().expect("piped").read_to_string(&mut stderr).expect("text");
        let status = child.wait().expect("it ends");
        assert_eq!((status.code(), stderr.as_str()), (Some(0), ""), "{arguments}");
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn an_output_that_cannot_be_written_is_an_error() {
    let root = folder().await;
    let full = fs::File::options().write(true).open("/dev/full").expect("a full device");
    let mut command = program(root.path().join("sessions"));
    let output = command.arg("list").stdout(full).output().expect("the program starts");
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("No space left"));
}

#[tokio::test]
async fn a_name_that_would_control_the_terminal_is_escaped() {
    let root = folder().await;
    let sessions = root.path().join("sessions");
    let store = FileStore::new(&sessions).expect("a writable folder");
    store.update(&key(3), &set(&[("\u{1b}[2J", "1")])).await.expect("a writable folder");
    for arguments in ["list", &format!("show --values {}", digest(3))] {
        let text = run(&sessions, arguments).ok();
        assert!(text.contains(r"\u{1b}[2J") && !text.contains('\u{1b}'), "{text}");
    }
}
