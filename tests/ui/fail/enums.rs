use actix_typed_session::Session;

#[derive(Session)]
enum Visitor {
    Guest,
    User { id: u32 },
}

fn main() {}
