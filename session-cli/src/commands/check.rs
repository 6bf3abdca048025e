//! `check`: reads every record, and counts those that no longer serve.

use std::process::ExitCode;

use actix_typed_session::{Clock as _, StoreError, SystemClock, store::ListAll as _};
use serde::Serialize;

use crate::{
    any_store::AnyStore,
    exit,
    failure::{Failure, chain},
    find::PAGE,
    open::failed,
    output::{Output, note},
};

/// How many records are in which state.
#[derive(Default, Serialize)]
struct Checked {
    readable: u64,
    retired: u64,
    expired: u64,
    later_format: u64,
    damaged: u64,
}

/// `store` lists expired records too.
pub(super) async fn run(store: &AnyStore, output: &mut Output) -> Result<ExitCode, Failure> {
    let (mut checked, mut after, mut first) = (Checked::default(), None, None);
    let now = SystemClock.now();
    loop {
        let page = store.list(after.as_ref(), PAGE).await.map_err(failed)?;
        for (_, record) in &page.sessions {
            let count = if record.is_expired(now) {
                &mut checked.expired
            } else if record.is_retired() {
                &mut checked.retired
            } else {
                &mut checked.readable
            };
            *count += 1;
        }
        for (_, error) in page.unreadable {
            match error {
                StoreError::Damaged(_) => {
                    checked.damaged += 1;
                    first.get_or_insert(error);
                }
                _ => checked.later_format += 1,
            }
        }
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    if output.json {
        output.object(&checked)?;
    } else {
        for (title, number) in [
            ("readable", checked.readable),
            ("retired", checked.retired),
            ("expired", checked.expired),
            ("later format", checked.later_format),
            ("damaged", checked.damaged),
        ] {
            output.line(&format!("{title:<12}  {number:>9}"))?;
        }
    }
    if checked.later_format > 0 {
        note("records of a later format are read by the release that wrote them");
    }
    match first {
        None => Ok(ExitCode::SUCCESS),
        Some(error) => {
            note(&format!("the first damaged record: {}", chain(&error)));
            Ok(ExitCode::from(exit::FAILED))
        }
    }
}
