use actix_typed_session::{Session, TypedSession};

#[derive(Session)]
struct Visitor {
    #[session(merge = "ad")]
    slip: u64,
    #[session(merge = "most")]
    unknown: u64,
    #[session(merge = "max")]
    later: u64,
    #[session(merge = "Last_Write")]
    case: u64,
    #[session(merge = "")]
    empty: u64,
    #[session(merge = "add", merge = "last_write")]
    doubled: u64,
}

async fn handler(mut session: TypedSession<Visitor>) {
    session.set_slip(session.unknown);
    session.add_doubled(1);
}

fn main() {}
