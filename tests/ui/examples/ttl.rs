#![deny(warnings, clippy::pedantic)]

use actix_typed_session::{Session, TypedSession};

struct Duration;
struct Some;
struct None;

/// A session whose fields end.
#[derive(Session)]
#[session(namespace = "account", strict)]
pub struct Account<T: serde::Serialize + serde::de::DeserializeOwned + Default = u32> {
    #[session(ttl = "15m", privilege)]
    sure: bool,
    #[session(ttl = "1h 30m", merge = "reject", rename = "c", alias = "old", lenient)]
    code: Option<String>,
    #[session(ttl = "500ms", merge = "last_write", default = 3, accessor = "left")]
    tries: u8,
    #[session(ttl = "1d")]
    generic: T,
}

async fn handler(mut session: TypedSession<Account>) {
    session.set_sure(!session.sure);
    *session.left_mut() -= 1;
    session.modify(|account| account.generic += 1);
    drop(session.take_code());
}

fn main() {
    let _ = (Duration, Some, None, handler);
}
