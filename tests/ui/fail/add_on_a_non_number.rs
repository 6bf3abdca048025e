use actix_typed_session::{Session, TypedSession};

#[derive(Session)]
struct Visitor {
    #[session(merge = "add")]
    name: String,
    #[session(merge = "add")]
    huge: i128,
    #[session(merge = "add")]
    maybe: Option<u32>,
}

async fn handler(mut session: TypedSession<Visitor>) {
    session.set_name(String::new());
}

fn main() {}
