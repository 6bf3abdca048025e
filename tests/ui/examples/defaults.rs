//! Defaults of all kinds.

use std::collections::BTreeMap;

use actix_typed_session::{Session, TypedSession};
use serde::{Deserialize, Serialize};

const LIMIT: u64 = 3;

#[derive(Serialize, Deserialize)]
struct NoDefault(u8);

#[derive(Session)]
struct Defaults {
    #[session(default)]
    plain: u8,
    #[session(default = LIMIT, merge = "add")]
    constant: u64,
    #[session(default = Self::START)]
    associated: u8,
    #[session(default = Self::start())]
    function: u8,
    #[session(default = vec![Self::START; 2])]
    in_a_macro: Vec<u8>,
    #[session(default = NoDefault(1))]
    constructed: NoDefault,
    #[session(default = Some(1))]
    option: Option<u8>,
    #[session(default = [1, 2])]
    array: [u8; 2],
    #[session(default = BTreeMap::<u8, u8>::from([(1, 2)]))]
    turbofish: BTreeMap<u8, u8>,
    #[session(default = { let x = 1; x + 1 })]
    block: u8,
    #[session(default = if LIMIT > 2 { 1 } else { 2 }, lenient)]
    condition: u8,
    #[session(default = "dark".to_owned())]
    method: String,
    #[session(default = (|a: u8, b: u8| a + b)(1, 2))]
    closure: u8,
    #[session(skip, default = NoDefault(Self::START))]
    skipped: NoDefault,
    #[session(skip, default)]
    skipped_plain: u8,
}

impl Defaults {
    const START: u8 = 7;

    fn start() -> u8 {
        Self::START
    }
}

fn handler(mut session: TypedSession<Defaults>) {
    let _: Option<u8> = session.take_option();
    session.add_constant(LIMIT);
    session.set_skipped(NoDefault(2));
}

fn main() {
    let _ = handler;
}
