//! `show`: sessions in detail.

use std::{process::ExitCode, time::Duration};

use actix_typed_session::store::{Record, StoreKey};

use crate::{
    any_store::AnyStore,
    exit,
    facts::{FieldFacts, SessionFacts, Values},
    failure::Failure,
    find::Selection,
    output::{Output, note, printable, time},
};

pub(super) async fn run(
    store: &AnyStore,
    selection: &Selection,
    values: bool,
    max_age: Duration,
    output: &mut Output,
) -> Result<ExitCode, Failure> {
    let values = if values { Values::Shown } else { Values::Hidden };
    let found = selection.all(store).await?;
    for (number, (key, record)) in found.iter().enumerate() {
        let facts = SessionFacts::of(key, record, max_age, values);
        if output.json {
            output.object(&facts)?;
        } else {
            if number > 0 {
                output.line("")?;
            }
            text(&facts, output)?;
        }
    }
    Ok(ExitCode::from(report_missing(selection, &found)))
}

/// Reports names of which no session was found. Returns the exit code.
pub(super) fn report_missing(selection: &Selection, found: &[(StoreKey, Record)]) -> u8 {
    let missing = match selection {
        Selection::Names(names) => names
            .iter()
            .filter(|name| !found.iter().any(|(key, record)| name.is(key, record)))
            .count(),
        _ => 0,
    };
    match missing {
        0 => return 0,
        1 => note("no live session has this id; it may have ended, or was renewed"),
        more => note(&format!("no live session has {more} of these ids")),
    }
    exit::FAILED
}

fn text(facts: &SessionFacts<'_>, output: &mut Output) -> Result<(), Failure> {
    output.line(&format!("session    {}", facts.id))?;
    output.line(&format!("began      {} UTC", time(facts.began)))?;
    output.line(&format!("last seen  {} UTC, about", time(facts.last_seen)))?;
    output.line(&format!("expires    {} UTC", time(facts.expires)))?;
    let cookie = match facts.persistent {
        None => "as the site is set",
        Some(true) => "outlives the browser",
        Some(false) => "ends with the browser",
    };
    output.line(&format!("cookie     {cookie}"))?;
    output.line(&format!("version    {}", facts.version))?;
    output.line(&format!("size       {} bytes", facts.bytes))?;
    let names: Vec<_> = facts.fields.iter().map(|field| printable(field.name)).collect();
    let widest = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
    for (number, (field, name)) in facts.fields.iter().zip(names).enumerate() {
        let title = if number == 0 { "fields" } else { "" };
        output.line(&format!("{title:<9}  {name:<widest$}  {}", about(field)))?;
    }
    Ok(())
}

/// The value of a field, or what may be said of it.
fn about(field: &FieldFacts<'_>) -> String {
    let mut text = match field.value {
        Some(json) => printable(json.get()),
        None => format!("{} bytes", field.bytes),
    };
    for (is_so, note) in [(field.indexed, "indexed"), (field.encrypted, "encrypted")] {
        if is_so {
            text += &format!(", {note}");
        }
    }
    text
}
