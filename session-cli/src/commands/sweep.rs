//! `sweep`: deletes expired sessions.

use std::process::ExitCode;

use serde::Serialize;

use crate::{any_store::AnyStore, failure::Failure, open::failed, output::Output};

#[derive(Serialize)]
struct Swept {
    deleted: u64,
}

pub(super) async fn run(store: &AnyStore, output: &mut Output) -> Result<ExitCode, Failure> {
    let deleted = store.delete_expired().await.map_err(failed)?;
    if output.json {
        output.object(&Swept { deleted: deleted.unwrap_or(0) })?;
    } else {
        output.line(&match deleted {
            Some(1) => "1 expired session deleted".to_owned(),
            Some(deleted) => format!("{deleted} expired sessions deleted"),
            None => "nothing to do: Redis deletes expired sessions by itself".to_owned(),
        })?;
    }
    Ok(ExitCode::SUCCESS)
}
