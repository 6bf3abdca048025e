use actix_typed_session::{Session, TypedSession};

#[derive(Session)]
struct Visitor {
    #[session(skip, rename = "x", alias = "y", merge = "add", privilege, lenient)]
    scratch: u32,
    #[session(rename = "z")]
    #[session(skip)]
    other: u32,
}

async fn handler(mut session: TypedSession<Visitor>) {
    session.set_scratch(session.other);
}

fn main() {}
