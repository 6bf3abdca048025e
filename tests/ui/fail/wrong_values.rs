use actix_typed_session::Session;

#[derive(Session)]
#[session(namespace = shop, cookie, fields = "Not A Name", strict = true)]
struct Visitor {
    #[session(rename = 1, alias, accessor = "fn", skip = false)]
    a: u64,
    #[session(rename = "", alias = "tab\t")]
    b: u64,
    #[session(merge = add)]
    c: u64,
    #[session(merge = "last_writes")]
    d: u64,
    #[session(default = )]
    e: u64,
    #[session(rename = "f"suffix)]
    f: String,
    #[session(rename = b"bytes", accessor = "a-b", merge("add"))]
    g: u64,
    #[session(privilege(true), lenient: true)]
    h: u64,
    #[session(default(7))]
    i: u64,
    #[session(accessor = "")]
    j: u64,
}

#[derive(Session)]
#[session(namespace = "", fields = "", cookie = "")]
struct Empty {}

#[derive(Session)]
#[session(namespace = "a\u{7f}", fields = "struct", cookie = "my cookie")]
struct Characters {}

fn main() {}
