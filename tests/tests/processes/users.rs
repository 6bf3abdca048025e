//! File stores in processes of several users. A test of root starts them as other users; a test of
//! an ordinary user starts all of them as itself.

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink},
    path::{Path, PathBuf},
    process::Command,
};

use actix_typed_session::FileStore;
use actix_typed_session_tests::process::key;
use tempfile::TempDir;

/// The users, and the group that they share.
const ANN: u32 = 20_001;
const BOB: u32 = 20_002;
const GROUP: u32 = 20_003;

/// A folder that every user can reach, with the program.
struct Machine {
    root: TempDir,
    is_root: bool,
}

impl Machine {
    fn new() -> Self {
        let root = TempDir::new().expect("a temporary folder");
        fs::copy(env!("CARGO_BIN_EXE_store_process"), root.path().join("program")).expect("a copy");
        allow(root.path(), 0o755);
        let is_root = fs::metadata(root.path()).expect("a folder").uid() == 0;
        Self { root, is_root }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// An empty folder of this user and the group, with this mode.
    fn folder(&self, name: &str, user: u32, mode: u32) -> PathBuf {
        let folder = self.path(name);
        fs::create_dir(&folder).expect("a new folder");
        if self.is_root {
            chown(&folder, Some(user), Some(GROUP)).expect("root may");
        }
        allow(&folder, mode);
        folder
    }

    /// Runs the program as a user whose only group is this, with the strictest umask.
    fn run_in(&self, user: u32, group: u32, arguments: &[&str]) -> String {
        let mut command = match self.is_root {
            true => {
                let mut command = Command::new("setpriv");
                command.args([&format!("--reuid={user}"), &format!("--regid={group}")]);
                command.args(["--clear-groups", "sh"]);
                command
            }
            false => Command::new("sh"),
        };
        command.args(["-c", "umask 077; exec ./program \"$@\"", "sh"]).args(arguments);
        let output = command.current_dir(self.root.path()).output();
        let output = output.expect("setpriv is there: apt-get install util-linux");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{errors}");
        String::from_utf8_lossy(&output.stdout).trim_end().replace('\n', ", ")
    }

    fn run(&self, user: u32, arguments: &[&str]) -> String {
        self.run_in(user, GROUP, arguments)
    }
}

fn allow(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("our own file");
}

fn modes(folder: &Path) -> Vec<(PathBuf, u32)> {
    let mut modes = vec![(folder.to_owned(), mode(folder))];
    for entry in fs::read_dir(folder).expect("a readable folder") {
        let path = entry.expect("an entry").path();
        match path.is_dir() {
            true => modes.extend(self::modes(&path)),
            false => modes.push((path.clone(), mode(&path))),
        }
    }
    modes
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).expect("an existing path").mode() & 0o7777
}

fn subfolder(folder: &Path, session: u64) -> PathBuf {
    folder.join(&key(session).to_hex()[..2])
}

fn file(folder: &Path, session: u64) -> PathBuf {
    subfolder(folder, session).join(&key(session).to_hex()[2..])
}

#[test]
fn users_of_one_group_share_a_folder() {
    let machine = Machine::new();
    machine.folder("sessions", ANN, 0o770);
    let run =
        |user, steps: &[&str]| machine.run(user, &[&["sessions", "do-shared"], steps].concat());
    assert_eq!(
        run(ANN, &["create:1", "create:2", "create:3", "create:4", "sweep:0"]),
        "create:1 Stored, create:2 Stored, create:3 Stored, create:4 Stored, sweep:0 0"
    );
    // Each of these is about a file or folder that Ann created.
    assert_eq!(
        run(BOB, &["load:1", "touch:1", "update:1", "find:1", "rotate:2", "destroy:3", "sweep:0"]),
        "load:1 true, touch:1 true, update:1 Applied, find:1 3, rotate:2 Applied, destroy:3 true, \
         sweep:0 0"
    );
    // And these are about Bob's.
    assert_eq!(
        run(ANN, &["touch:1", "update:1", "update:4", "destroy:2", "destroy:1", "find:1"]),
        "touch:1 true, update:1 Applied, update:4 Applied, destroy:2 true, destroy:1 true, find:1 0"
    );
    assert_eq!(run(BOB, &["create:1", "find:1"]), "create:1 Stored, find:1 1");
}

#[test]
fn what_is_shared_has_the_groups_modes_whatever_the_umask_is() {
    let machine = Machine::new();
    // The store creates the folder and the one above it.
    machine.folder("app", ANN, 0o770);
    let steps = ["create:1", "create:2", "sweep:0", "load:2"];
    machine.run(ANN, &[&["app/a/sessions", "do-shared"], &steps[..3]].concat());
    let folder = machine.path("app/a/sessions");
    fs::write(file(&folder, 2), "").expect("a file to damage");
    let damaged = machine.run(ANN, &["app/a/sessions", "do-shared", "load:2"]);
    assert!(damaged.contains("it is kept in"), "{damaged}");
    for (path, mode) in modes(&machine.path("app/a")) {
        let expected = if path.is_dir() { 0o2770 } else { 0o660 };
        assert_eq!(mode, expected, "{path:?}");
    }
}

#[test]
fn damage_is_set_aside_by_every_user_of_a_shared_folder() {
    let machine = Machine::new();
    let folder = machine.folder("sessions", ANN, 0o770);
    let run = |user, step: &str| machine.run(user, &["sessions", "do-shared", step]);
    for (session, owner, finder) in [(1, ANN, BOB), (2, BOB, ANN)] {
        run(owner, &format!("create:{session}"));
        fs::write(file(&folder, session), "").expect("a file to damage");
        let found = run(finder, &format!("load:{session}"));
        assert!(found.contains("it is kept in"), "{found}");
        assert_eq!(run(owner, &format!("load:{session}")), format!("load:{session} false"));
    }
}

#[test]
fn a_user_sweeps_the_expired_sessions_of_another() {
    let machine = Machine::new();
    machine.folder("sessions", ANN, 0o770);
    machine.run(ANN, &["sessions", "do-shared", "create-expired:1"]);
    assert_eq!(machine.run(BOB, &["sessions", "do-shared", "sweep:0"]), "sweep:0 1");
}

#[test]
fn the_owners_next_start_shares_what_was_created_before_the_setting() {
    let machine = Machine::new();
    machine.folder("sessions", ANN, 0o700);
    machine.run(ANN, &["sessions", "do", "create:1", "create:2", "sweep:0"]);
    let shared = machine.run(BOB, &["sessions", "do-shared", "load:1"]);
    assert!(!machine.is_root || shared.starts_with("open: "), "{shared}");
    assert_eq!(machine.run(ANN, &["sessions", "do-shared", "load:1"]), "load:1 true");
    let steps = ["load:1", "touch:1", "update:1", "find:1", "rotate:2", "destroy:1"];
    assert_eq!(
        machine.run(BOB, &[&["sessions", "do-shared"], &steps[..]].concat()),
        "load:1 true, touch:1 true, update:1 Applied, find:1 1, rotate:2 Applied, destroy:1 true"
    );
}

#[test]
fn a_container_with_a_random_user_and_a_fixed_group_opens_the_folder_again() {
    let machine = Machine::new();
    machine.folder("sessions", 0, 0o775);
    for (user, session) in [(1_000_650_000, 1), (1_000_660_000, 2), (1_000_670_000, 3)] {
        let steps = [format!("create:{session}"), "touch:1".to_owned(), "update:1".to_owned()];
        let steps: Vec<&str> = steps.iter().map(String::as_str).collect();
        let done = machine.run(user, &[&["sessions", "do-shared"], &steps[..]].concat());
        assert_eq!(done, format!("create:{session} Stored, touch:1 true, update:1 Applied"));
    }
}

#[test]
fn folders_and_locks_of_another_user_are_found_at_the_start() {
    let machine = Machine::new();
    if !machine.is_root {
        return;
    }
    let folder = machine.folder("sessions", ANN, 0o700);
    machine.run(ANN, &["sessions", "do", "create:1", "create:2", "sweep:0"]);
    let session = subfolder(&folder, 1);
    let index = folder.join("index");
    let first = |folder: &Path| {
        let mut entries = fs::read_dir(folder).expect("a readable folder");
        entries.next().expect("an entry").expect("an entry").path()
    };
    let of_two_digits = first(&index);
    let of_a_value = first(&of_two_digits);
    let [in_session, in_store] = [session.join(".lock"), folder.join(".sweep")];
    for path in [&session, &in_session, &in_store, &index, &of_two_digits, &of_a_value, &folder] {
        let mode = mode(path);
        chown(path, Some(BOB), None).expect("root may");
        let opened = machine.run(ANN, &["sessions", "do", "load:1"]);
        assert!(
            opened.starts_with("open: the session store is not available: cannot "),
            "{opened}"
        );
        let shown = if *path == of_a_value { &of_two_digits } else { path };
        assert!(opened.contains(&format!("`{}`", shown.display())), "{path:?}: {opened}");
        let who = format!(
            "has the owner {BOB}, the group {GROUP} and the mode {mode:o}, and this process has \
             the user id {ANN} and the group id {GROUP}"
        );
        assert!(opened.contains(&who), "{path:?}: {opened}");
        assert!(opened.contains("chown") && opened.contains("share_with_group"), "{opened}");
        chown(path, Some(ANN), None).expect("root may");
    }
    assert_eq!(machine.run(ANN, &["sessions", "do", "load:1"]), "load:1 true");
}

#[test]
fn a_shared_folder_is_refused_by_a_process_without_the_setting() {
    let machine = Machine::new();
    if !machine.is_root {
        return;
    }
    machine.folder("sessions", ANN, 0o770);
    machine.run(ANN, &["sessions", "do-shared", "create:1"]);
    let opened = machine.run(BOB, &["sessions", "do", "load:1"]);
    assert!(opened.starts_with("open: ") && opened.contains("share_with_group(true)"), "{opened}");
    // Its owner's private store does no harm to itself.
    assert_eq!(machine.run(ANN, &["sessions", "do", "load:1"]), "load:1 true");
}

#[test]
fn a_process_outside_the_group_is_refused_at_the_start() {
    let machine = Machine::new();
    if !machine.is_root {
        return;
    }
    machine.folder("sessions", ANN, 0o777);
    machine.run(ANN, &["sessions", "do-shared", "create:1"]);
    let opened = machine.run_in(BOB, BOB, &["sessions", "do-shared", "load:1"]);
    assert!(opened.starts_with("open: "), "{opened}");
    assert!(opened.contains(&format!("the group id {BOB}")), "{opened}");
}

#[test]
fn what_is_not_a_folder_is_an_error_and_a_link_to_a_folder_is_followed() {
    let root = TempDir::new().expect("a temporary folder");
    let path = |name: &str| root.path().join(name);
    fs::write(path("file"), "mine").expect("a writable folder");
    symlink(path("nowhere"), path("dangling")).expect("a writable folder");
    fs::create_dir(path("folder")).expect("a writable folder");
    symlink(path("folder"), path("link")).expect("a writable folder");
    for share in [false, true] {
        let open = |name| {
            let builder = FileStore::builder(path(name)).sweep_interval(None);
            builder.share_with_group(share).build()
        };
        for name in ["file", "dangling"] {
            let error = open(name).expect_err("not a folder");
            let cause = std::error::Error::source(&error).expect("a cause").to_string();
            assert!(cause.contains(&format!("`{}`", path(name).display())), "{cause}");
        }
        open("link").expect("a folder");
    }
    symlink(path("link"), path("folder/ab")).expect("a writable folder");
    FileStore::new(path("folder")).expect_err("a subfolder that is a link");
}

#[test]
fn an_error_at_the_start_names_the_absolute_path() {
    let machine = Machine::new();
    let folder = machine.folder("locked", ANN, 0o500);
    let opened = machine.run(BOB, &["locked/sessions", "do", "load:1"]);
    let path = folder.join("sessions");
    assert!(opened.contains(&format!("cannot create the folder `{}`", path.display())), "{opened}");
    assert!(opened.contains(&format!("because `{}` has the owner", folder.display())), "{opened}");
    allow(&folder, 0o700);
}

#[test]
fn opening_a_store_takes_no_longer_if_it_has_many_sessions() {
    let folder = TempDir::new().expect("a temporary folder");
    let sessions = folder.path().join("ab");
    fs::create_dir(&sessions).expect("a writable folder");
    // The check opens no file: a pipe would hold it up, and a link would be an error.
    for n in 0..100 {
        symlink("/dev/full", sessions.join(format!("{n:062}"))).expect("a writable folder");
    }
    FileStore::new(folder.path()).expect("a writable folder");
    assert_eq!(fs::read_dir(&sessions).expect("a folder").count(), 100);
}
