use actix_typed_session::Session;

#[derive(Session)]
struct Pair(u32, String);

#[derive(Session)]
struct Nothing;

fn main() {}
