use actix_typed_session::Session;

#[derive(Session)]
struct Visitor {
    #[session(skip, rename = "x", alias = "y", merge = "add", privilege, lenient)]
    scratch: u32,
}

fn main() {}
