use actix_typed_session::{Session, TypedSession};

#[derive(Session)]
#[session(namspace = "shop", lenient, rename_all = "camelCase", crate = "x")]
struct Visitor {
    #[session(privelege)]
    user: Option<u32>,
    #[session(skip_serializing_if(Option::is_none), strict, flatten)]
    views: u64,
    #[session(serde::rename = "x", with = a::<b, c>(), ttl = "15m", merge_width = f, lenient)]
    later: u64,
    #[session(Default)]
    case: u64,
    #[session]
    name: String,
    #[session = "x"]
    nick: String,
    #[session[skip]]
    square: String,
}

// Using a struct with mistakes causes no follow-up errors.
async fn handler(mut session: TypedSession<Visitor>) {
    session.set_views(session.views + 1);
    let _ = session.take_user();
}

fn main() {}
