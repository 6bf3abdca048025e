//! Sessions that are the same in each run, and the program.

use std::{
    ffi::OsStr,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use actix_typed_session::{
    FileStore, PublicId, SessionId, Timestamp,
    store::{Index, Limits, Patch, Record, SessionStore, StoreKey},
};
use actix_typed_session_tests::json::set;
use tempfile::TempDir;

const HOUR: Duration = Duration::from_secs(3_600);
/// 2026-11-29 08:00 UTC.
const MORNING: Timestamp = Timestamp::from_unix_ms(1_795_939_200_000);
/// The end of the sessions, which no run of the tests sees.
const FAR: Timestamp = Timestamp::from_unix_ms(4_000_000_000_000);

/// The ids of the sessions, as clients have them.
pub(crate) fn ids() -> Vec<SessionId> {
    (0..4).map(id).collect()
}

fn id(n: u8) -> SessionId {
    SessionId::new(format!("the-{n}-session-of-the-tests-of-the-program")).expect("a good id")
}

pub(crate) fn key(n: u8) -> StoreKey {
    StoreKey::from(&id(n))
}

/// The digest of a key, which the program shows for a session without a public id.
pub(crate) fn digest(n: u8) -> String {
    key(n).digest().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The public id of one of the sessions.
pub(crate) fn public_id(n: u8) -> PublicId {
    let began = MORNING.saturating_add(HOUR * u32::from(n)).as_unix_ms().to_be_bytes();
    let mut bytes = [0; 14];
    bytes[..6].copy_from_slice(&began[2..]);
    bytes[6..12].fill(n + 1);
    bytes[12..].fill(u8::MAX);
    PublicId::from_bytes(bytes)
}

/// Three sessions of users, of whom 42 has two, and one of a visitor.
pub(crate) async fn fill(store: &impl SessionStore) {
    let users: [&[(&str, &str)]; 4] = [
        &[("user_id", "42"), ("cart", r#"["tea","milk"]"#), ("theme", r#""dark""#)],
        &[("user_id", "42"), ("device", r#""phone""#)],
        &[("user_id", "7"), ("views", "3")],
        &[("views", "1")],
    ];
    for (n, fields) in (0..).zip(users) {
        let began = MORNING.saturating_add(HOUR * u32::from(n));
        let mut patch = set(fields);
        if n < 3 {
            patch.index_field(Index::new(public_id(n), "user_id".into()));
        }
        // Each was last seen half an hour after it began.
        let max_age = FAR.saturating_since(began).saturating_sub(HOUR / 2);
        let mut limits = Limits::default();
        limits.max_age = Some(max_age);
        patch.set_limits(limits);
        create(store, key(n), &Record::new(began, FAR), &patch).await;
    }
}

pub(crate) async fn create(store: &impl SessionStore, key: StoreKey, new: &Record, patch: &Patch) {
    let record = patch.apply_to(new).expect("a new record takes a patch");
    store.create(&key, &record).await.expect("the store answers");
}

/// A folder that has the folder `sessions` with the [sessions](fill).
pub(crate) async fn folder() -> TempDir {
    let folder = TempDir::new().expect("a temporary folder");
    let store = FileStore::new(folder.path().join("sessions")).expect("a writable folder");
    fill(&store).await;
    folder
}

/// What the program did.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    /// The output of a run that succeeded and had nothing to remark.
    #[track_caller]
    pub(crate) fn ok(self) -> String {
        assert_eq!((self.code, self.stderr.as_str()), (0, ""), "{self:?}");
        self.stdout
    }

    /// The message of a run that failed, and printed nothing else.
    #[track_caller]
    pub(crate) fn fails(self, code: i32) -> String {
        assert_eq!((self.code, self.stdout.as_str()), (code, ""), "{self:?}");
        self.stderr
    }

    /// The objects in the lines of the output.
    #[track_caller]
    pub(crate) fn json(self) -> Vec<serde_json::Value> {
        let lines = self.ok();
        lines.lines().map(|line| serde_json::from_str(line).expect(line)).collect()
    }
}

/// The program, with a store in its environment.
pub(crate) fn program(store: impl AsRef<OsStr>) -> Command {
    let mut program = Command::new(env!("CARGO_BIN_EXE_typed-sessions"));
    program.env("TYPED_SESSIONS_STORE", store).stdin(Stdio::null());
    program
}

/// Runs the program. A space separates arguments.
pub(crate) fn run(store: impl AsRef<OsStr>, arguments: &str) -> Ran {
    run_in(Path::new("."), store, arguments)
}

pub(crate) fn run_in(folder: &Path, store: impl AsRef<OsStr>, arguments: &str) -> Ran {
    let output = program(store)
        .current_dir(folder)
        .args(arguments.split_whitespace())
        .output()
        .expect("the program starts");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    let ran = Ran {
        code: output.status.code().expect("the program ends by itself"),
        stdout: text(output.stdout),
        stderr: text(output.stderr),
    };
    has_no_secret(&format!("{}{}", ran.stdout, ran.stderr));
    ran
}

/// No output of any run has an id or a key.
#[track_caller]
pub(crate) fn has_no_secret(text: &str) {
    for id in ids() {
        assert!(!text.contains(id.as_str()), "an id: {text}");
        let key = StoreKey::from(&id).to_hex();
        assert!(!text.contains(&key) && !text.contains(&key[2..]), "a key: {text}");
    }
}
