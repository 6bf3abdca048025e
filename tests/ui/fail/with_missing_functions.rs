use actix_typed_session::{Session, TypedSession};

/// A type that serde cannot write.
#[derive(Default)]
struct Point;

mod half {
    pub fn serialize<S: serde::Serializer>(_: &super::Point, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_unit()
    }
}

#[derive(Session)]
struct Modules {
    #[session(with = "nowhere")]
    nowhere: Point,
    #[session(with = "half")]
    half: Point,
}

// Using a struct with mistakes causes no follow-up errors.
async fn handler(mut session: TypedSession<Modules>) {
    session.set_half(Point);
}

fn main() {}
