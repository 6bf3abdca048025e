use actix_typed_session::{Session, TypedSession};

#[derive(Session)]
struct Visitor {
    views: u64,
    set_views: u64,
    views_mut: u64,
    user: Option<u64>,
    take_user: u64,
    #[session(merge = "add")]
    points: u64,
    add_points: u64,
    take_points: u64,
    #[session(accessor = "views")]
    hits: u64,
    #[session(skip, accessor = "user_mut")]
    scratch: Option<u64>,
    of: u64,
}

async fn handler(mut session: TypedSession<Visitor>) {
    session.set_views(session.views + session.set_views);
    let _: Option<u64> = session.take_user();
    session.add_points(1);
}

fn main() {}
