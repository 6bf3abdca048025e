use actix_typed_session::{Session, TypedSession};

/// A type that serde cannot write.
#[derive(Default)]
struct Point;

mod other {
    pub fn serialize<S: serde::Serializer>(_: &u8, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_unit()
    }

    pub fn deserialize<'de, D: serde::Deserializer<'de>>(_: D) -> Result<u8, D::Error> {
        unimplemented!()
    }
}

#[derive(Session)]
struct Visitor {
    #[session(with = "")]
    empty: u64,
    #[session(with = "a b")]
    words: u64,
    #[session(with = half)]
    unquoted: u64,
    #[session(with)]
    alone: u64,
    #[session(with = "other", merge = "add")]
    sum: u8,
    #[session(with = "other", skip)]
    skipped: u8,
    #[session(with = "other", with = "half")]
    doubled: u8,
}

#[derive(Session)]
struct OtherType {
    #[session(with = "other")]
    other: Point,
}

// Using a struct with mistakes causes no follow-up errors.
async fn handler(mut session: TypedSession<Visitor>, mut modules: TypedSession<OtherType>) {
    session.add_sum(session.doubled);
    modules.set_other(Point);
}

fn main() {}
