//! `destroy`: ends sessions.

use std::{
    io::{self, BufRead as _, IsTerminal as _, Write as _},
    process::ExitCode,
};

use actix_typed_session::store::{Record, SessionStore as _, StoreKey};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde::Serialize;

use super::{
    list::{header, row},
    show::report_missing,
};
use crate::{
    args::StoreSettings,
    facts::{SessionFacts, Values},
    failure::Failure,
    find::Selection,
    open::{Purpose, failed, open},
    output::{Output, sessions},
    store_url::StoreUrl,
};

/// How often to look again, because ids may be renewed meanwhile.
const MAX_ATTEMPTS: usize = 20;
/// How many sessions are destroyed at the same time.
const AT_ONCE: usize = 32;
/// How many sessions are shown before the question.
const SHOWN: usize = 20;

#[derive(Serialize)]
struct Destroyed {
    destroyed: u64,
}

pub(super) async fn run(
    url: &StoreUrl,
    settings: &StoreSettings,
    selection: &Selection,
    yes: bool,
    output: &mut Output,
) -> Result<ExitCode, Failure> {
    if !yes && !io::stdin().is_terminal() {
        return Err(Failure::WrongUse(
            "`destroy` asks before it destroys, and the input is not a terminal; pass --yes".into(),
        ));
    }
    let store = open(url, settings, Purpose::Write).await?;
    let found = selection.all(&store).await?;
    let missing = report_missing(selection, &found);
    if !found.is_empty() && !yes && !is_confirmed(url, settings, &found)? {
        return Err(Failure::Failed("nothing was destroyed".into()));
    }
    let (mut destroyed, mut left) = (0, found);
    for _ in 0..MAX_ATTEMPTS {
        if left.is_empty() {
            break;
        }
        let calls = left.iter().map(|(key, _)| store.destroy(key));
        let mut calls = stream::iter(calls).buffer_unordered(AT_ONCE);
        while let Some(was_there) = calls.try_next().await.map_err(|error| {
            Failure::Failed(format!(
                "{}; {} destroyed before that, so run the same command again",
                failed(error),
                sessions(destroyed)
            ))
        })? {
            destroyed += u64::from(was_there);
        }
        drop(calls);
        // Look again: a session may have been renewed just before the call.
        left = selection.all(&store).await?;
    }
    if output.json {
        output.object(&Destroyed { destroyed })?;
    } else {
        output.line(&format!("{} destroyed", sessions(destroyed)))?;
    }
    if !left.is_empty() {
        return Err(Failure::Failed(format!(
            "{} are left, because logins renew them again and again; run the command again",
            sessions(left.len() as u64)
        )));
    }
    Ok(ExitCode::from(missing))
}

/// Asks on the terminal. The question is not a part of the output.
fn is_confirmed(
    url: &StoreUrl,
    settings: &StoreSettings,
    found: &[(StoreKey, Record)],
) -> Result<bool, Failure> {
    let mut stderr = io::stderr();
    writeln!(stderr, "{}", header())?;
    for (key, record) in found.iter().take(SHOWN) {
        let facts = SessionFacts::of(key, record, settings.max_age, Values::Hidden);
        writeln!(stderr, "{}", row(&facts))?;
    }
    if found.len() > SHOWN {
        writeln!(stderr, "… and {} more", found.len() - SHOWN)?;
    }
    write!(stderr, "Destroy {} in {url}? [y/N] ", sessions(found.len() as u64))?;
    stderr.flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}
