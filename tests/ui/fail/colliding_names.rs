use actix_typed_session::Session;

#[derive(Session)]
struct Visitor {
    name: String,
    #[session(rename = "name")]
    nick: String,
    #[session(alias = "nick", alias = "title", alias = "name", alias = "old", alias = "old")]
    title: String,
}

#[derive(Session)]
#[session(namespace = "shop")]
struct Early {
    #[session(rename = "type")]
    kind: String,
    r#type: String,
    #[session(alias = "shop.cart")]
    items: String,
    cart: String,
}

#[derive(Session)]
#[session(fields = "Itself")]
struct Itself {
    name: String,
}

fn main() {}
