use actix_typed_session::Session;

#[derive(Session)]
struct Visitor<'a> {
    name: &'a str,
}

#[derive(Session)]
struct Static {
    name: &'static str,
    views: u64,
}

fn main() {}
