use actix_typed_session::Session;

#[derive(Session)]
struct Visitor {
    name: String,
    #[session(rename = "name")]
    nick: String,
    #[session(alias = "nick", alias = "title", alias = "name")]
    title: String,
}

fn main() {}
