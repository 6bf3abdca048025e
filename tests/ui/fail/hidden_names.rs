use actix_typed_session::{Session, TypedSession};

#[derive(Session)]
struct Visitor {
    id: u32,
    status: u8,
    regenerate: bool,
    renew: bool,
    destroy: bool,
    reload: bool,
    touch: u64,
    csrf_token: String,
    verify_csrf: String,
    max_age: u64,
    is_persistent: bool,
    set_max_age: u64,
    set_persistent: u64,
    modify: Option<bool>,
    handle: String,
    #[session(accessor = "save")]
    kept: bool,
}

#[derive(Session)]
struct Setters {
    persistent: bool,
    #[session(accessor = "r#persistent")]
    other: bool,
}

async fn handler(mut session: TypedSession<Visitor>, mut setters: TypedSession<Setters>) {
    session.save().await.unwrap();
    session.touch();
    let _: Option<_> = session.id();
    let _: u32 = session.id;
    setters.set_persistent(*setters.persistent());
}

fn main() {}
