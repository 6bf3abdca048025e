//! Raw identifiers, other names for accessors, and fields called as something in the library is.

use actix_typed_session::{Session, SessionId, TypedSession};

#[derive(Session)]
struct Raw {
    r#type: u8,
    r#match: Option<String>,
    #[session(merge = "add", rename = "loop")]
    r#loop: u64,
    #[session(accessor = "r#fn")]
    function: u8,
    #[session(skip, accessor = "asynchronous")]
    r#async: bool,
}

#[derive(Session)]
#[session(fields = "r#struct")]
#[allow(non_camel_case_types)]
struct r#enum {
    a: u8,
}

/// Every field of which an accessor would be hidden.
#[derive(Session)]
struct Reserved {
    #[session(accessor = "user")]
    id: u64,
    #[session(accessor = "order_status")]
    status: String,
    #[session(accessor = "limit")]
    max_age: u32,
    #[session(accessor = "is_kept")]
    persistent: bool,
    #[session(accessor = "saved", rename = "kept")]
    save: Option<u8>,
}

/// Names of private fields and methods inside of the library, and of locals in generated code.
#[derive(Session)]
struct Inner {
    value: u8,
    tracked: u8,
    set: u8,
    edit: u8,
    add: u8,
    take: Option<u8>,
    unsaved: u8,
    deref: u8,
    fmt: u8,
    clone: u8,
    new: u8,
    from_request: u8,
    session: u8,
    visitor: u8,
    reader: u8,
    n: u8,
    decode: u8,
    fresh: u8,
    visit: u8,
    _underscored: u8,
    __twice: u8,
    größe: u8,
}

/// The same method names in the user's own `impl`.
#[derive(Session)]
struct Own {
    count: u64,
}

impl Own {
    fn fresh() -> u8 {
        1
    }

    fn set(&self) -> u8 {
        2
    }

    fn double(&self) -> u64 {
        self.count * 2
    }
}

/// Names in the store that look alike, and are not.
#[derive(Session)]
#[session(namespace = "shop.eu")]
struct Stored {
    #[session(rename = "b", alias = "old a", alias = "oldest:a")]
    a: u8,
    #[session(rename = "a")]
    b: u8,
    #[session(rename = "shop.eu.a")]
    c: u8,
    #[session(rename = "Größe")]
    d: u8,
}

fn handler(mut raw: TypedSession<Raw>, reserved: TypedSession<Reserved>) {
    raw.set_type(*raw.r#type() + raw.r#type);
    let _: Option<String> = raw.take_match();
    raw.add_loop(1);
    raw.set_fn(*raw.r#fn());
    *raw.asynchronous_mut() = true;
    let _: Option<&SessionId> = reserved.id();
    let _: u64 = reserved.id + *reserved.user();
}

fn more(mut inner: TypedSession<Inner>, own: TypedSession<Own>) {
    inner.set_value(inner.value + *inner.tracked() + inner.set);
    inner.set_session(1);
    *inner.edit_mut() += 1;
    let _: u8 = inner.größe;
    let _: u64 = own.double() + u64::from(own.set());
    let _: u8 = Own::fresh();
}

fn main() {
    let _ = handler;
    let _ = more;
    let _ = r#struct::a;
    let _ = StoredSession::a;
}
