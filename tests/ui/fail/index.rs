//! What can be indexed, and what can be asked for.

use actix_typed_session::{MemoryStore, Session, Sessions};

#[derive(Session)]
struct PatchError {
    #[session(index = true)]
    a: u64,
    #[session(index, merge = "add")]
    b: u64,
    #[session(index, skip)]
    c: u64,
    #[session(indexed)]
    d: u64,
}

#[derive(Session)]
struct TooMany {
    #[session(index)]
    a: u64,
    #[session(index)]
    b: u64,
    #[session(index)]
    c: u64,
    #[session(index)]
    d: u64,
    #[session(index)]
    e: u64,
}

#[derive(Session)]
struct Visitor {
    #[session(index)]
    user_id: Option<i64>,
    name: String,
}

#[derive(Session)]
struct Admin {
    #[session(index)]
    user_id: Option<i64>,
}

async fn ask() {
    let sessions = Sessions::<Visitor>::new(MemoryStore::new());
    let _ = sessions.list(&Visitor::by_name(&String::new()), None, 10).await;
    let _ = sessions.list(&Visitor::by_user_id(&7), None, 10).await;
    let _ = sessions.list(&Admin::by_user_id(&Some(7)), None, 10).await;
}

/// A store without the capability.
struct Plain(MemoryStore);

fn main() {
    let _ = ask();
    Sessions::<Visitor>::new(Plain(MemoryStore::new()));
}
