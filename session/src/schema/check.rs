//! Checks the structs of this release against the file, and writes the file when asked to.

use std::{
    collections::BTreeMap,
    env,
    io::{self, Write as _},
    path::Path,
    thread,
    time::Duration,
};

use super::{
    compare::{clashes, compare, has_other_default},
    declared::Declared,
    file::{self, SchemaFile},
    next::next,
};

/// The environment variable that says what may be written.
const VARIABLE: &str = "UPDATE_SESSION_SCHEMA";

/// What a check may write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Nothing.
    Check,
    /// Nothing, and the file must describe this release.
    Locked,
    /// What loses nothing.
    Update,
    /// Everything.
    Accept,
}

impl Mode {
    /// Reads the value of the environment variable.
    ///
    /// # Errors
    /// It is not a valid value.
    pub(crate) fn parse(value: &str) -> Result<Self, String> {
        match value {
            "" | "0" => Ok(Self::Check),
            "locked" => Ok(Self::Locked),
            "1" => Ok(Self::Update),
            "accept" => Ok(Self::Accept),
            other => Err(format!(
                "{VARIABLE}={other} is not valid; write `1` to record what loses nothing, `accept` \
                 to record losses too, `locked` to refuse a file that is not up to date, or `0`"
            )),
        }
    }
}

/// Checks as the environment variable says, and prints what was recorded.
///
/// # Panics
/// The check fails.
#[track_caller]
pub(crate) fn check_and_print(path: &Path, now: Vec<Declared>) {
    let mode = Mode::parse(&env::var(VARIABLE).unwrap_or_default());
    match mode.and_then(|mode| check(path, mode, now)) {
        Ok(notes) => notes.iter().for_each(|note| {
            // `eprintln!` would be silent, because the test passes.
            let _ = writeln!(io::stderr(), "{note}");
        }),
        Err(failure) => panic!("{failure}"),
    }
}

/// Checks structs, and returns what there is to say if it passes.
///
/// # Errors
/// The structs would lose what is stored, or the file cannot be read or written.
pub(crate) fn check(
    path: &Path,
    mode: Mode,
    mut now: Vec<Declared>,
) -> Result<Vec<String>, String> {
    let label = path.display();
    let clashes = clashes(&now);
    if !clashes.is_empty() {
        return Err(format!("these structs share a session and disagree:\n{}", list(&clashes)));
    }
    let of_file = |problem| format!("`{label}` {problem}");
    let resolved = file::resolve(path);
    let text = file::read(&resolved).map_err(of_file)?;
    let before = text.as_deref().map(SchemaFile::parse).transpose().map_err(of_file)?;
    let is_new = before.is_none();
    if is_new && matches!(mode, Mode::Check | Mode::Locked) {
        return Err(format!(
            "`{label}` does not exist. It describes what the session structs store. Run \
             `{VARIABLE}=1 cargo test`, and commit the file"
        ));
    }
    let before = before.unwrap_or_else(|| SchemaFile::new(BTreeMap::new()));
    if has_other_default(&before.structs, &now) {
        // A default that is the present second has not changed a moment ago.
        thread::sleep(Duration::from_millis(1_100));
        now.iter_mut().for_each(Declared::drop_changing_defaults);
    }
    let faults = compare(&before.structs, &now);
    let next = SchemaFile::new(next(&before.structs, &now));
    let is_up_to_date = next == before && !is_new;
    match mode {
        Mode::Check | Mode::Locked | Mode::Update if !faults.is_empty() => {
            Err(losses(path, &faults))
        }
        Mode::Locked if !is_up_to_date => Err(format!(
            "`{label}` does not describe this release. Nothing is lost: run `{VARIABLE}=1 cargo \
             test`, and commit the file"
        )),
        Mode::Check | Mode::Locked => Ok(Vec::new()),
        Mode::Update | Mode::Accept if is_up_to_date => Ok(Vec::new()),
        Mode::Update | Mode::Accept => {
            file::write(&resolved, &next.text()).map_err(of_file)?;
            Ok(written(path, &faults, &next, &now))
        }
    }
}

/// The faults of the structs of this release, if an earlier one had those of `before`.
pub(crate) fn faults(before: &[Declared], now: &[Declared]) -> Vec<String> {
    compare(&next(&BTreeMap::new(), before), now)
}

fn losses(path: &Path, faults: &[String]) -> String {
    format!(
        "this release does not keep what earlier releases have stored (`{}`):\n{}Correct the \
         structs. If you mean these changes, run `{VARIABLE}=accept cargo test`, and commit the \
         file.",
        path.display(),
        list(faults),
    )
}

/// What to print after the file was written.
fn written(path: &Path, faults: &[String], next: &SchemaFile, now: &[Declared]) -> Vec<String> {
    let label = path.display();
    let mut notes = vec![format!("`{label}` was written; commit it")];
    if !faults.is_empty() {
        notes.push(format!("`{label}`: you have accepted these changes:\n{}", list(faults)));
    }
    for declared in now {
        for field in next.structs[&declared.name].fields.values() {
            if field.partial {
                notes.push(format!(
                    "`{label}`: the examples do not show all of `{}::{}` ({}), so a change inside \
                     the type may go unnoticed; give samples with `check_stored_schema_with`",
                    declared.name,
                    field.field,
                    field.form(),
                ));
            }
        }
    }
    notes
}

fn list(sentences: &[String]) -> String {
    sentences.iter().map(|sentence| format!("- {sentence}\n")).collect()
}
