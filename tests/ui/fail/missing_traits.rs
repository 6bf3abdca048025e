use actix_typed_session::{Session, TypedSession};
use serde::{Deserialize, Serialize};

struct Nothing;

#[derive(Deserialize, Default)]
struct NoSerialize;

#[derive(Serialize, Default)]
struct NoDeserialize;

#[derive(Serialize, Deserialize)]
struct NoDefault;

#[derive(Session)]
struct Visitor {
    nothing: Nothing,
    no_serialize: NoSerialize,
    no_deserialize: Vec<NoDeserialize>,
    no_default: NoDefault,
    #[session(skip)]
    skipped: NoDefault,
    #[session(skip)]
    fine: NoSerialize,
}

async fn handler(mut session: TypedSession<Visitor>) {
    session.set_no_serialize(NoSerialize);
}

fn main() {}
