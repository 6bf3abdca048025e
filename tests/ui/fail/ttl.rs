use actix_typed_session::{Session, TypedSession};
use std::collections::BTreeSet;

fn keep(_: &u64, theirs: u64, _: u64) -> u64 {
    theirs
}

const TTL: &str = "15m";

#[derive(Session)]
struct Visitor {
    #[session(ttl = "")]
    empty: bool,
    #[session(ttl = "0s")]
    zero: bool,
    #[session(ttl = "15")]
    no_unit: bool,
    #[session(ttl = "15 minutes")]
    words: bool,
    #[session(ttl = "15min")]
    long_unit: bool,
    #[session(ttl = "15M")]
    upper_case: bool,
    #[session(ttl = "1.5h")]
    fraction: bool,
    #[session(ttl = "-1s")]
    negative: bool,
    #[session(ttl = "99999999999999999999d")]
    endless: bool,
    #[session(ttl = 900)]
    number: bool,
    #[session(ttl = TTL)]
    constant: bool,
    #[session(ttl)]
    alone: bool,
    #[session(ttl = "1s", ttl = "2s")]
    doubled: bool,
    #[session(tll = "1s")]
    slip: bool,
    #[session(skip, ttl = "1s")]
    skipped: bool,
}

#[derive(Session)]
struct Merged {
    #[session(ttl = "1s", merge = "add")]
    add: u64,
    #[session(merge = "max", ttl = "1s")]
    max: u64,
    #[session(ttl = "1s")]
    #[session(merge = "min")]
    min: u64,
    #[session(ttl = "1s", merge = "union")]
    union: BTreeSet<u64>,
    #[session(ttl = "1s", merge_with = keep)]
    with: u64,
}

#[derive(Session)]
#[session(ttl = "15m")]
struct AboveTheStruct {
    code: Option<String>,
}

async fn handler(mut session: TypedSession<Visitor>, mut merged: TypedSession<Merged>) {
    session.set_zero(session.empty);
    merged.add_add(1);
    merged.union_mut().insert(1);
}

fn main() {}
