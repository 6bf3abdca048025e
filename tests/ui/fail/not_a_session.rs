use actix_typed_session::TypedSession;

struct Visitor {
    views: u64,
}

async fn handler(session: TypedSession<Visitor>) -> String {
    session.views.to_string()
}

fn main() {}
