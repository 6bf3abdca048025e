use actix_typed_session::{Session, TypedSession};

#[derive(Session)]
struct Pair(u32, #[session(skip)] String);

#[derive(Session)]
struct Nothing;

#[derive(Session)]
struct Fine {}

async fn handler(pair: TypedSession<Pair>, _: TypedSession<Nothing>, _: FineSession) {
    let _ = pair.id();
}

fn main() {}
