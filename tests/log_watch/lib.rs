//! Watches all that a test's process logs: every level, every crate, from before its first test.
//!
//! A line that shows a session id, a key or a token ends the process. So does a line of the library
//! that shows a [`value`] of a session. A program that links this crate is watched.

use std::{
    collections::BTreeSet,
    fmt::{Debug, Write as _},
    io::{self, Write as _},
    process,
    sync::{Mutex, MutexGuard, PoisonError},
    thread::{self, ThreadId},
};

use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};
use tracing_subscriber::{
    Layer,
    layer::{Context, SubscriberExt as _},
    registry::LookupSpan,
    util::SubscriberInitExt as _,
};

pub use tracing::Level;

/// What the library's lines begin with.
const LIBRARY: &str = "actix_typed_session::";

/// Values that must not be in a line of the library.
static VALUES: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// The library's lines so far.
static LINES: Mutex<Vec<Line>> = Mutex::new(Vec::new());

#[ctor::ctor(unsafe)]
fn begin() {
    tracing_subscriber::registry().with(Watch).init();
}

/// From now on a line of the library with this value ends the process.
pub fn value(value: &str) {
    lock(&VALUES).insert(value.to_owned());
}

/// A line that the library has logged.
#[derive(Clone, Debug)]
pub struct Line {
    /// The source file, as the compiler names it.
    pub file: String,
    /// The line in the source file.
    pub line: u32,
    /// How bad it is.
    pub level: Level,
    /// The names of its fields, `message` included.
    pub fields: Vec<&'static str>,
    /// The field `event`, which names what has happened.
    pub event: Option<String>,
    /// What was logged.
    pub text: String,
    thread: ThreadId,
}

/// What the library logs from now on.
#[derive(Debug)]
pub struct Log {
    thread: Option<ThreadId>,
    from: usize,
}

impl Log {
    /// Of this thread, which runs the test.
    pub fn of_this_thread() -> Self {
        Self { thread: Some(thread::current().id()), ..Self::of_all_threads() }
    }

    /// Of all threads, those of other tests included.
    pub fn of_all_threads() -> Self {
        Self { thread: None, from: lock(&LINES).len() }
    }

    /// The lines.
    pub fn lines(&self) -> Vec<Line> {
        let is_meant = |line: &&Line| self.thread.is_none_or(|thread| thread == line.thread);
        lock(&LINES)[self.from..].iter().filter(is_meant).cloned().collect()
    }

    /// The lines as one text.
    pub fn text(&self) -> String {
        self.lines().iter().map(|line| format!("{}\n", line.text)).collect()
    }
}

struct Watch;

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Watch {
    fn on_new_span(&self, attributes: &Attributes<'_>, _: &Id, _: Context<'_, S>) {
        look(attributes.metadata(), |text| attributes.record(text));
    }

    fn on_record(&self, span: &Id, values: &Record<'_>, context: Context<'_, S>) {
        if let Some(metadata) = context.metadata(span) {
            look(metadata, |text| values.record(text));
        }
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        look(event.metadata(), |text| event.record(text));
    }
}

fn look(metadata: &Metadata<'_>, record: impl FnOnce(&mut Text)) {
    let mut text = Text { target: metadata.target().to_owned(), line: String::new(), event: None };
    record(&mut text);
    let Text { target, line: text, event } = text;
    let is_the_librarys = target.starts_with(LIBRARY);
    let secret = token(&text).map(str::to_owned).or_else(|| {
        let values = lock(&VALUES);
        values.iter().find(|value| is_the_librarys && text.contains(value.as_str())).cloned()
    });
    if let Some(secret) = secret {
        // `eprintln!` would be captured by the test harness.
        let _ = writeln!(io::stderr(), "the log shows a secret, `{secret}`:\n{target}: {text}");
        process::exit(1);
    }
    if is_the_librarys {
        let file = metadata.file().unwrap_or_default().to_owned();
        let line = metadata.line().unwrap_or_default();
        lock(&LINES).push(Line {
            file,
            line,
            level: *metadata.level(),
            fields: metadata.fields().iter().map(|field| field.name()).collect(),
            event,
            text,
            thread: thread::current().id(),
        });
    }
}

/// The fields of an event as text.
struct Text {
    target: String,
    line: String,
    event: Option<String>,
}

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        // OK because writing to a `String` does not fail.
        let _ = write!(self.line, "{}={value:?} ", field.name());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        // The target of a line that was logged through the crate `log`.
        if field.name() == "log.target" {
            value.clone_into(&mut self.target);
        }
        if field.name() == "event" {
            self.event = Some(value.to_owned());
        }
        self.record_debug(field, &value);
    }
}

/// The first part of a line that has the form of a session id, a public id, a key or a token: many
/// random digits in base64url or hexadecimal, or a UUID. Redis names scripts by shorter hashes.
fn token(text: &str) -> Option<&str> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    text.split(|c| !is_part(c)).find(|word| {
        let has = |is: fn(&char) -> bool| word.chars().filter(is).count();
        let is_hex = |part: &str| part.bytes().all(|b| b.is_ascii_hexdigit());
        let end = &word[word.len().saturating_sub(36)..];
        let is_uuid =
            end.split('-').map(str::len).eq([8, 4, 4, 4, 12]) && end.split('-').all(is_hex);
        // Of a thousand ids of 256 bits, 999 have two digits or more. Names in source code do not
        // also have letters of both cases.
        let is_base64 = word.len() >= 40
            && has(char::is_ascii_digit) >= 2
            && has(char::is_ascii_lowercase) >= 2
            && has(char::is_ascii_uppercase) >= 2;
        let is_digits = |part: &str| matches!(part.len(), 28 | 32 | 64..) && is_hex(part);
        is_uuid || is_base64 || word.split(['-', '_']).any(is_digits)
    })
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_keys_and_tokens_are_known_by_their_form() {
        for secret in [
            "8B7ZKQ0d3cF6h1nXWmT2yUoLr9aGvS5jEiPqCwRkNtM",
            "session-8B7ZKQ0d3cF6h1nXWmT2yUoLr9aGvS5jEiPqCwRkNtM_5",
            "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
            "019a3c5b2f00a9e4c1d2b3f4a5e6",
            "session-019a3c5b2f00a9e4c1d2b3f4a5e6",
            "67e55044-10b1-426f-9247-bb680e5fe0c8",
            "session-67e55044-10b1-426f-9247-bb680e5fe0c8",
        ] {
            let line = format!("the session ({secret}) is gone");
            assert_eq!(token(&line), Some(secret));
        }
        for harmless in [
            "a_session_that_was_ended_elsewhere_is_refused_from_the_next_request_on",
            "actix_typed_session::store::redis::cache::tests",
            "6fe757a564d7cc08c20e1c8a7d6957303d79da71",
            "2026-11-25T04:28:09.123456Z",
            "ReallyQuiteLongTypeNameOfAVisitorsSessionInTheShop",
        ] {
            assert_eq!(token(harmless), None);
        }
    }

    #[test]
    fn a_line_of_any_crate_that_tells_an_id_ends_the_process() {
        const SHOW: &str = "LOG_WATCH_SHOW";
        if std::env::var_os(SHOW).is_some() {
            tracing::trace!(target: "another_crate", who = "8B7ZKQ0d3cF6h1nXWmT2yUoLr9aGvS5jEiPqCwRkNtM");
            process::exit(0);
        }
        let output = process::Command::new(std::env::current_exe().expect("a program"))
            .args(["--exact", "tests::a_line_of_any_crate_that_tells_an_id_ends_the_process"])
            .env(SHOW, "")
            .output()
            .expect("the program runs");
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(
            error.contains("the log shows a secret") && error.contains("another_crate"),
            "{error}"
        );
        assert_eq!(output.status.code(), Some(1));
    }
}
