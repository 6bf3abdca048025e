//! Fields whose messages are shown once.

use std::collections::VecDeque;

use actix_typed_session::{Session, SessionError, TypedSession};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

#[derive(Serialize, Deserialize)]
enum Notice {
    Saved,
    Failed { why: String },
}

#[derive(Session)]
#[session(namespace = "shop")]
struct Visitor<M: Serialize + DeserializeOwned + 'static> {
    #[session(flash, rename = "n", alias = "old", accessor = "messages", lenient)]
    notices: Vec<Notice>,
    #[session(flash)]
    queue: VecDeque<u8>,
    #[session(flash)]
    generic: Vec<M>,
    r#type: Option<u8>,
}

async fn handler(mut session: TypedSession<Visitor<String>>) -> Result<usize, SessionError> {
    session.messages_mut().push(Notice::Saved);
    session.modify(|it| it.notices.push(Notice::Failed { why: "full".to_owned() }));
    session.set_queue(VecDeque::from([1]));
    let _: Option<u8> = session.take_type();
    let shown = session.take_messages().await?.len() + session.take_queue().await?.len();
    Ok(shown + session.take_generic().await?.len() + session.notices.len())
}

fn main() {
    let _ = handler;
}
