//! `copy`: all sessions to another store.

use std::{io::IsTerminal as _, process::ExitCode, time::Duration};

use actix_typed_session::store::{Copied, ListAll as _, copy_sessions_with};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use crate::{
    any_store::AnyStore,
    exit,
    failure::Failure,
    find::PAGE,
    open::failed,
    output::{Output, note, sessions},
};

#[derive(Serialize)]
struct Report {
    copied: u64,
    present: u64,
    unreadable: u64,
}

pub(super) async fn run(
    from: &AnyStore,
    to: &AnyStore,
    output: &mut Output,
) -> Result<ExitCode, Failure> {
    let bar = progress_bar(from).await?;
    let show = |done: &Copied| bar.set_position(done.copied + done.present + done.unreadable);
    let result = copy_sessions_with(from, to, show).await;
    bar.finish_and_clear();
    let done = result.map_err(|error| match failed(error) {
        Failure::Failed(text) => Failure::Failed(format!(
            "{text}; what was copied stays, so run the same command again to go on"
        )),
        failure => failure,
    })?;
    let Copied { copied, present, unreadable, .. } = done;
    if output.json {
        output.object(&Report { copied, present, unreadable })?;
    } else {
        let present = match present {
            0 => String::new(),
            present => format!(", {present} were there already"),
        };
        output.line(&format!("{} copied{present}", sessions(copied)))?;
    }
    if unreadable == 0 {
        return Ok(ExitCode::SUCCESS);
    }
    note(&format!(
        "{unreadable} records cannot be read and were left out; see `typed-sessions check`"
    ));
    Ok(ExitCode::from(exit::FAILED))
}

/// A bar on the terminal, if there is one. It takes one more read of the store to know its end.
async fn progress_bar(from: &AnyStore) -> Result<ProgressBar, Failure> {
    if !std::io::stderr().is_terminal() {
        return Ok(ProgressBar::hidden());
    }
    let counting = ProgressBar::new_spinner().with_message("counting");
    counting.enable_steady_tick(Duration::from_millis(120));
    let (mut records, mut after) = (0, None);
    loop {
        let page = from.list(after.as_ref(), PAGE).await.map_err(failed)?;
        records += (page.sessions.len() + page.unreadable.len()) as u64;
        counting.set_message(format!("{records} to copy"));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    counting.finish_and_clear();
    let template = "{bar:30} {pos} of {len}, {per_sec}, {eta} left";
    let style = ProgressStyle::with_template(template).expect("a valid template");
    Ok(ProgressBar::new(records).with_style(style))
}
