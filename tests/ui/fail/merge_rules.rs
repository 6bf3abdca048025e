use actix_typed_session::{Session, TypedSession};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

#[derive(Session)]
struct Visitor {
    #[session(merge = "ad")]
    slip: u64,
    #[session(merge = "most")]
    unknown: u64,
    #[session(merge = "maximum")]
    other_word: u64,
    #[session(merge = "Last_Write")]
    case: u64,
    #[session(merge = "")]
    empty: u64,
    #[session(merge = "add", merge = "last_write")]
    doubled: u64,
    #[session(merge = "union", merge_with = keep)]
    both: BTreeSet<u64>,
    #[session(merge_with = "keep")]
    quoted: u64,
    #[session(merge_with)]
    alone: u64,
    #[session(merge_with = keep(1))]
    called: u64,
    #[session(skip, merge_with = keep)]
    skipped: u64,
}

#[derive(Default, Clone, Serialize, Deserialize)]
struct Point {
    x: i32,
}

#[derive(Session)]
struct Unfit {
    #[session(merge = "max")]
    no_order: Point,
    #[session(merge = "min")]
    no_order_either: Vec<Point>,
    #[session(merge = "union")]
    no_set: Vec<u8>,
    #[session(merge = "union")]
    no_set_either: Option<BTreeSet<u8>>,
}

#[derive(Session)]
struct WrongFunctions {
    #[session(merge_with = keep)]
    other_type: String,
    #[session(merge_with = two)]
    two: u64,
    #[session(merge_with = nowhere::merge)]
    unknown: u64,
}

fn keep(_: &u64, theirs: u64, _: u64) -> u64 {
    theirs
}

fn two(theirs: u64, ours: u64) -> u64 {
    theirs + ours
}

async fn handler(mut session: TypedSession<Visitor>, mut unfit: TypedSession<Unfit>) {
    session.set_slip(session.unknown);
    session.add_doubled(1);
    session.both_mut().insert(1);
    unfit.set_no_order(unfit.no_order.clone());
}

fn main() {}
