use actix_typed_session::{Session, TypedSession};

fn keep(_: &Vec<u8>, theirs: Vec<u8>, _: Vec<u8>) -> Vec<u8> {
    theirs
}

#[derive(Session)]
struct Visitor {
    #[session(flash = "once")]
    value: Vec<String>,
    #[session(flash, skip)]
    skipped: Vec<String>,
    #[session(flash, default = vec![1])]
    default: Vec<u8>,
    #[session(flash, merge = "union")]
    merge: Vec<u8>,
    #[session(flash, merge_with = keep)]
    merge_with: Vec<u8>,
    #[session(flash, privilege)]
    privilege: Vec<u8>,
    #[session(index, flash)]
    index: Vec<u8>,
    #[session(ttl = "1m", flash)]
    ttl: Vec<u8>,
    #[session(flash, with = "module")]
    with: Vec<u8>,
    #[session(flsh)]
    slip: Vec<u8>,
}

#[derive(Session)]
#[session(flash)]
struct AboveTheStruct {
    notices: Vec<String>,
}

#[derive(Session)]
struct NotAList {
    #[session(flash)]
    text: String,
    #[session(flash)]
    option: Option<String>,
}

#[derive(Session)]
struct Taken {
    #[session(flash)]
    notices: Vec<String>,
    take_notices: bool,
}

async fn handler(mut session: TypedSession<Visitor>) {
    let taken: Vec<String> = session.take_value().await.unwrap();
    drop(taken);
}

fn main() {}
