//! `list`: a line for each session.

use std::{process::ExitCode, time::Duration};

use crate::{
    any_store::AnyStore,
    facts::{SessionFacts, Values},
    failure::Failure,
    find::Selection,
    output::{Output, note, printable, time},
};

pub(super) async fn run(
    store: &AnyStore,
    selection: &Selection,
    limit: Option<u64>,
    max_age: Duration,
    output: &mut Output,
) -> Result<ExitCode, Failure> {
    let mut left = limit.unwrap_or(u64::MAX);
    let mut is_first = true;
    let unreadable = selection
        .visit(store, |page| {
            for (key, record) in &page {
                if left == 0 {
                    break;
                }
                left -= 1;
                let facts = SessionFacts::of(key, record, max_age, Values::Hidden);
                if output.json {
                    output.object(&facts)?;
                } else {
                    if std::mem::take(&mut is_first) {
                        output.line(&header())?;
                    }
                    output.line(&row(&facts))?;
                }
            }
            // Who reads a long list sees its beginning at once, and can end it.
            output.flush()?;
            Ok(left > 0)
        })
        .await?;
    if unreadable > 0 {
        note(&format!(
            "{unreadable} records cannot be read and are not listed; see `typed-sessions check`"
        ));
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) fn header() -> String {
    let (id, began, seen) = ("SESSION", "BEGAN (UTC)", "LAST SEEN");
    format!("{id:<32}  {began:<19}  {seen:<19}  {:<19}  {:>7}  FIELDS", "EXPIRES", "BYTES")
}

pub(super) fn row(facts: &SessionFacts<'_>) -> String {
    let names: Vec<_> = facts.fields.iter().map(|field| printable(field.name)).collect();
    let [began, seen, expires] = [facts.began, facts.last_seen, facts.expires].map(time);
    format!("{:<32}  {began}  {seen}  {expires}  {:>7}  {}", facts.id, facts.bytes, names.join(" "))
        .trim_end()
        .to_owned()
}
