use actix_typed_session::Session;

#[derive(Session)]
#[session(strict, strict)]
#[session(namespace = "a", namespace = "b")]
struct Visitor {
    #[session(rename = "a", rename = "b", privilege)]
    #[session(privilege, default, default = 3)]
    views: u64,
}

fn main() {}
