use actix_typed_session::{Session, TypedSession};

#[derive(Session)]
struct Visitor {
    views: u64,
    cart: Vec<u32>,
}

async fn handler(mut session: TypedSession<Visitor>) {
    session.views += 1;
    session.cart.push(1);
}

fn main() {}
