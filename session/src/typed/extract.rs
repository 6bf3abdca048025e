//! Extracts sessions from requests.

use actix_web::{FromRequest, HttpRequest, dev::Payload};
use futures_util::future::{Either, FutureExt as _, LocalBoxFuture, Ready, ready};

use super::{
    session::{Accessors as _, Session},
    tracked::Tracked,
};
use crate::{
    error::SessionError,
    fields::Schema,
    request::{NotFound, RequestSession, SessionHandle},
};

/// The future of an extractor of sessions. It has no box if the store answers at once.
pub type Extraction<S> = Either<Ready<Extracted<S>>, LocalBoxFuture<'static, Extracted<S>>>;

type Extracted<S> = Result<S, SessionError>;

/// Extracts a generated struct from a request.
pub fn extract<T: Session>(request: &HttpRequest) -> Extraction<T::Fields> {
    extract_with(request, T::SCHEMA, |handle| Ok(T::Fields::new(Tracked::open(handle)?)))
}

/// Returns the session that an extractor of the request has loaded, as a generated struct.
pub fn loaded<T: Session>(request: &HttpRequest) -> Option<T::Fields> {
    let session = RequestSession::loaded(request, T::SCHEMA)?;
    Tracked::open_again(SessionHandle::new(session)).map(T::Fields::new)
}

impl FromRequest for SessionHandle {
    type Error = SessionError;
    type Future = Extraction<Self>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        const NO_FIELDS: &Schema = &Schema {
            type_name: "SessionHandle",
            cookie: None,
            strict: false,
            names: &[],
            privileges: &[],
            adopt: |_| {},
        };
        extract_with(request, NO_FIELDS, Ok)
    }
}

fn extract_with<S: 'static>(
    request: &HttpRequest,
    schema: &'static Schema,
    open: fn(SessionHandle) -> Extracted<S>,
) -> Extraction<S> {
    let session = match RequestSession::find(request, schema) {
        Ok(session) => session,
        Err(why) => return Either::Left(ready(Err(logged(not_found(schema, why))))),
    };
    if session.active().load_at_once(schema) {
        return Either::Left(ready(open(SessionHandle::new(session))));
    }
    let load = async move {
        session.active().load(schema).await.map_err(logged)?;
        open(SessionHandle::new(session))
    };
    Either::Right(load.boxed_local())
}

fn not_found(schema: &Schema, why: NotFound) -> SessionError {
    let type_name = schema.type_name;
    match (why, schema.cookie) {
        (NotFound::OtherCookies, Some(cookie)) => SessionError::UnknownCookie { type_name, cookie },
        (NotFound::NoMiddleware | NotFound::OtherCookies, _) => SessionError::NoMiddleware,
        (NotFound::CrossOrigin, _) => SessionError::CrossOrigin,
    }
}

/// Logs an error and returns it. Its response does not show the cause to the client.
fn logged(error: SessionError) -> SessionError {
    error.log();
    error
}
