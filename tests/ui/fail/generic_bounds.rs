use actix_typed_session::{Session, TypedSession};

#[derive(Session)]
struct Cart<I> {
    items: Vec<I>,
}

struct NotStored;

async fn handler(mut session: TypedSession<Cart<NotStored>>) {
    session.items_mut().clear();
}

fn main() {}
