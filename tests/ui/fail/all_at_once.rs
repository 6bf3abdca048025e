use actix_typed_session::{Session, TypedSession};

struct Item;

#[derive(Session)]
#[session(stict, cookie = "a b")]
struct Visitor {
    id: u64,
    #[session(rename = "id", privelege)]
    user: Option<i64>,
    #[session(merge = "add")]
    name: String,
    cart: Vec<Item>,
    item: Item,
    borrowed: &'static str,
    #[session(skip, lenient, default = 1)]
    scratch: String,
}

async fn handler(mut session: TypedSession<Visitor>) {
    let _: Option<i64> = session.take_user();
    session.set_name(session.name.clone());
    session.cart_mut().clear();
}

fn main() {}
