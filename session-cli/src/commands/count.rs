//! `count`: how many live sessions there are.

use std::process::ExitCode;

use serde::Serialize;

use crate::{any_store::AnyStore, failure::Failure, find::Selection, output::Output};

#[derive(Serialize)]
struct Counted {
    sessions: u64,
}

pub(super) async fn run(
    store: &AnyStore,
    selection: &Selection,
    output: &mut Output,
) -> Result<ExitCode, Failure> {
    let mut sessions = 0;
    selection
        .visit(store, |page| {
            sessions += page.len() as u64;
            Ok(true)
        })
        .await?;
    if output.json {
        output.object(&Counted { sessions })?;
    } else {
        output.line(&sessions.to_string())?;
    }
    Ok(ExitCode::SUCCESS)
}
