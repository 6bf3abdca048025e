use actix_typed_session::{Session, TypedSession};

#[derive(Session)]
union Visitor {
    a: u32,
    b: f32,
}

async fn handler(mut session: TypedSession<Visitor>) {
    session.destroy();
}

fn main() {}
