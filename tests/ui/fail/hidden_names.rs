use actix_typed_session::{Session, TypedSession};

#[derive(Session)]
struct Visitor {
    id: u32,
    max_age: u64,
    persistent: bool,
    #[session(accessor = "save")]
    kept: bool,
    views: u64,
    set_views: u64,
}

async fn handler(mut session: TypedSession<Visitor>) {
    session.set_views(session.views + 1);
    session.save().await.unwrap();
}

fn main() {}
