use actix_typed_session::Session;

#[derive(Session)]
struct Visitor {
    #[session(default = "three")]
    views: u64,
}

fn main() {}
