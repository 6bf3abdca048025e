//! What is wrong with a command, and what is said about it.

use std::fs;

use tempfile::TempDir;

use crate::fixture::{folder, program, run};

#[test]
fn a_command_that_cannot_be_meant_ends_with_2_and_says_why() {
    for (store, arguments, says) in [
        ("sessions", "", "Usage"),
        ("sessions", "lst", "similar subcommand"),
        ("", "list", "the store is empty"),
        ("http://example.com", "list", "`http` is not a kind of store"),
        ("sessions", "destroy --yes", "required"),
        ("sessions", "show", "required"),
        ("sessions", "show nonsense", "first column of `typed-sessions list`"),
        ("sessions", "list --field user_id", "such as `user_id=42`"),
        ("sessions", "list --scan", "--field"),
        ("sessions", "list --timeout 5", "`20h`"),
        ("sessions", "copy a a", "name two"),
        ("redis://127.0.0.1:1?x=y", "list", "URL"),
        ("sqlite:x.db", "list --table Nope!", "not exist"),
    ] {
        let ran = run(store, arguments);
        let expected = if says == "not exist" { 1 } else { 2 };
        assert_eq!(ran.code, expected, "{arguments}: {ran:?}");
        assert!(ran.stderr.contains(says), "{arguments}: {ran:?}");
    }
    let mut bare = program("");
    bare.env_remove("TYPED_SESSIONS_STORE").arg("list");
    let output = bare.output().expect("the program starts");
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("pass --store-url"));
}

#[test]
fn what_is_missing_is_said_and_not_created() {
    let root = TempDir::new().expect("a temporary folder");
    let path = |name: &str| root.path().join(name).display().to_string();
    for (store, says) in [
        (path("sessions"), "the folder"),
        (format!("sqlite://{}", path("sessions.db")), "the file"),
    ] {
        for arguments in ["list", "check", "sweep", "destroy --yes --field a=1"] {
            let error = run(&store, arguments).fails(1);
            assert!(error.contains(says) && error.contains("does not exist"), "{error}");
        }
        let copy = run("", &format!("copy {} {store}", path("from"))).fails(1);
        assert!(copy.contains("does not exist"), "{copy}");
    }
    fs::create_dir(root.path().join("from")).expect("our folder");
    let copy = run("", &format!("copy {} {}", path("from"), path("sessions"))).fails(1);
    assert!(copy.contains("pass --create"), "{copy}");
    let left: Vec<_> = fs::read_dir(root.path()).expect("our folder").collect();
    assert_eq!(left.len(), 1, "only `from`: {left:?}");
    // A file is not a folder, and another database has no sessions.
    fs::write(root.path().join("file"), "").expect("our folder");
    assert!(run(path("file"), "list").fails(1).contains("`sqlite:`"));
    let empty = run(format!("sqlite://{}", path("file")), "list").fails(1);
    assert!(empty.contains("no table of sessions"), "{empty}");
    assert_eq!(fs::read(root.path().join("file")).expect("our file"), b"", "it is as it was");
}

#[tokio::test]
async fn a_store_can_come_from_a_file_or_a_variable() {
    let root = folder().await;
    let sessions = root.path().join("sessions").display().to_string();
    let file = root.path().join("url");
    fs::write(&file, format!("{sessions}\n")).expect("our folder");
    assert_eq!(run(format!("@{}", file.display()), "count").ok(), "4\n");
    let mut program = program("env:WHERE");
    let output = program.env("WHERE", &sessions).arg("count").output().expect("it starts");
    assert_eq!(output.stdout, b"4\n");
    assert_eq!(run("", &format!("-s {sessions} count")).ok(), "4\n", "the argument decides");
}

#[test]
fn no_message_has_a_password() {
    for store in [
        "redis://ann:hunter22@127.0.0.1:1",
        "redis+sentinel://ann:hunter22@127.0.0.1:1/main",
        "redis+cluster://ann:hunter22@127.0.0.1:1",
        "redis+unix:///no/such/socket?user=ann&pass=hunter22",
        "postgres://ann:hunter22@127.0.0.1:1/app",
        "postgres://ann:hunter22@127.0.0.1:99999/app",
        "postgres://ann:hunter22@127.0.0.1:1/app?password=hunter22",
        "mysql://ann:hunter22@127.0.0.1:1/app",
        "mysql://ann:hunter22@127.0.0.1:1/app?ssl-mode=hunter22",
        "postgres://ann:hun/ter22@127.0.0.1:1/app",
        "http://ann:hunter22@127.0.0.1",
    ] {
        let ran = run(store, "list --timeout 2s");
        assert!(ran.code > 0 && ran.stdout.is_empty(), "{ran:?}");
        assert!(!ran.stderr.contains("unter22") && !ran.stderr.contains("ter22"), "{ran:?}");
        assert!(!ran.stderr.contains("panicked"), "{ran:?}");
    }
    // Written in the place of a command, which clap quotes.
    let swapped = run("sessions", "postgres://ann:hun/ter22@127.0.0.1/app?password=hunter22 list");
    let error = swapped.fails(2);
    assert!(error.contains("***@127.0.0.1") && !error.contains("ter22"), "{error}");
    let help = run("redis://ann:hunter22@127.0.0.1", "--help").ok();
    assert!(!help.contains("hunter22") && help.contains("Exit codes"), "{help}");
}

#[test]
fn an_id_or_a_key_in_the_place_of_a_public_id_is_not_repeated() {
    for id in crate::fixture::ids() {
        let key = actix_typed_session::store::StoreKey::from(&id).to_hex();
        for secret in [id.as_str(), &key] {
            // `run` finds the secret in any output.
            run("sessions", &format!("show {secret}")).fails(2);
        }
    }
}

#[test]
fn a_server_that_does_not_run_is_an_error_that_says_what_to_check() {
    for store in
        ["redis://127.0.0.1:1", "postgres://ann@127.0.0.1:1/app", "mysql://ann@127.0.0.1:1/a"]
    {
        let error = run(store, "count").fails(1);
        assert!(error.contains("refused") && error.contains("check the host"), "{error}");
        assert!(error.contains("cannot use ") && error.contains("127.0.0.1:1"), "{error}");
    }
}
