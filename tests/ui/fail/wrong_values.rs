use actix_typed_session::Session;

#[derive(Session)]
#[session(namespace = shop, cookie, fields = "Not A Name", strict = true)]
struct Visitor {
    #[session(rename = 1, alias, accessor = "fn", skip = false)]
    a: u64,
    #[session(rename = "", alias = "tab\t")]
    b: u64,
    #[session(merge = "most")]
    c: u64,
    #[session(merge = "last_writes")]
    d: u64,
    #[session(default = )]
    e: u64,
}

fn main() {}
