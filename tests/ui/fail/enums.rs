use actix_typed_session::{Session, TypedSession};

#[derive(Session)]
enum Visitor {
    Guest,
    User { id: u32 },
}

#[derive(Session)]
#[session(rename_all = "lowercase")]
enum Generic<T> {
    Nothing,
    Something(T),
}

// Using an item that cannot be a session causes no follow-up errors.
async fn handler(
    mut session: TypedSession<Visitor>,
    generic: TypedSession<Generic<u8>>,
) -> Result<(), actix_typed_session::SessionError> {
    session.renew();
    session.save().await?;
    match &*generic {
        Generic::Nothing => {}
        Generic::Something(n) => drop(*n),
    }
    Ok(())
}

fn main() {}
