use actix_typed_session::Session;

#[derive(Session)]
union Visitor {
    a: u32,
    b: f32,
}

fn main() {}
