use actix_typed_session::{Session, TypedSession};

#[derive(Session)]
#[session("shop", strict)]
struct Visitor {
    #[session(rename "a", lenient)]
    a: u64,
    #[session(rename: "b", privelege)]
    b: u64,
    #[session(rename = "c" lenient)]
    c: u64,
    #[session(, skip)]
    d: u64,
    #[session(= 3, merge = "ad")]
    e: u64,
    #[session(default = if, alias = 3)]
    f: u64,
    #[session(strict skip privilege rename = "x" "y")]
    many: u64,
    #[session(rename == "g")]
    g: u64,
}

async fn handler(mut session: TypedSession<Visitor>) {
    session.set_a(session.b + session.g);
}

fn main() {}
