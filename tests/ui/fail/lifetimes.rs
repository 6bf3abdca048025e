use actix_typed_session::{Session, TypedSession};

#[derive(Session)]
struct Visitor<'a, 'b: 'a, T> {
    name: &'a str,
    list: Vec<&'b str>,
    generic: Option<T>,
    #[session(merge = "add")]
    views: u64,
}

#[derive(Session)]
struct Static {
    name: &'static str,
    nested: Option<Vec<&'static str>>,
    #[session(skip)]
    skipped: &'static str,
    views: u64,
}

async fn handler(
    mut visitor: TypedSession<Visitor<'static, 'static, u8>>,
    mut session: TypedSession<Static>,
) {
    visitor.set_name("ann");
    visitor.add_views(1);
    let _: Option<u8> = visitor.take_generic();
    session.set_name("ann");
    session.set_skipped(session.name);
}

fn main() {}
