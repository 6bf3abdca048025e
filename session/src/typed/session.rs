//! The trait of session structs, and the extractor's name.

use std::ops::Deref;

use actix_web::FromRequest;

use super::{
    reader::{FieldError, FieldReader},
    tracked::Tracked,
};
use crate::{
    error::SessionError,
    fields::{Field, Schema},
};

/// A struct that is a session. Derive it: [`#[derive(Session)]`](derive@crate::Session).
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a session",
    label = "not a session struct",
    note = "write `#[derive(actix_typed_session::Session)]` above the struct"
)]
pub trait Session: Sized + 'static {
    /// The generated struct with the accessors: `Visitor`'s is `VisitorSession`.
    type Fields: Deref<Target = Self> + FromRequest<Error = SessionError> + Accessors<Self>;

    #[doc(hidden)]
    const SCHEMA: &'static Schema;

    #[doc(hidden)]
    fn decode(reader: &mut FieldReader<'_>) -> Result<Self, FieldError>;

    #[doc(hidden)]
    fn fresh() -> Self;

    #[doc(hidden)]
    fn visit<V: Visit<Self>>(visitor: &mut V);
}

/// The request's session, as your struct.
///
/// Reading is field access: `session.views`. Writing goes through the accessors that the derive
/// generates, which record what changed: `session.set_views(1)`, `session.cart_mut().push(item)`. At
/// the end of the request, [`SessionMiddleware`](crate::SessionMiddleware) stores the changed fields
/// and no others.
///
/// A route that has no such extractor costs no store access, and a session that was only read costs
/// none but the look-up.
///
/// `Option<TypedSession<T>>` and `Result<TypedSession<T>, SessionError>` are extractors too, for
/// handlers that go on without a session.
///
/// `TypedSession<Visitor>` is another name for the struct that the derive generates, `VisitorSession`,
/// which derefs to `Visitor`. That the accessors are its own methods, with no `DerefMut` in between,
/// is what lets the borrow checker accept `session.set_views(session.views + 1)`.
///
/// # Methods
/// Besides the accessors of its fields, each such struct has these methods, which
/// [`SessionHandle`] has too and documents in full:
///
/// | method | meaning |
/// | --- | --- |
/// | [`id()`](SessionHandle::id) | the client's id; `None` until one exists |
/// | [`status()`](SessionHandle::status) | new, loaded, destroyed, … |
/// | [`regenerate()`](SessionHandle::regenerate) | new id and new, empty session; the old one is destroyed |
/// | [`renew()`](SessionHandle::renew) | new id, same data |
/// | [`destroy()`](SessionHandle::destroy) | deletes the session and its cookie, even on an error response |
/// | [`reload().await`](SessionHandle::reload) | reads the stored state again, drops unsaved changes |
/// | [`save().await`](SessionHandle::save) | stores the changes now |
/// | [`touch()`](SessionHandle::touch) | extends the session at the end of the request |
/// | [`csrf_token()`](SessionHandle::csrf_token), [`verify_csrf(…)`](SessionHandle::verify_csrf) | proves that a form was made for this session |
/// | [`max_age()`](SessionHandle::max_age), [`set_max_age(…)`](SessionHandle::set_max_age) | how long it lives without a request |
/// | [`is_persistent()`](SessionHandle::is_persistent), [`set_persistent(…)`](SessionHandle::set_persistent) | whether its cookie outlives the browser |
/// | `modify(\|t: &mut T\| …)` | changes several fields at once; what really changed is found by comparison |
/// | `handle()` | the same session as a [`SessionHandle`] |
///
/// `regenerate`, `destroy` and `reload` also bring the struct's fields up to date: back to their
/// defaults, or to what is stored.
///
/// # Examples
/// ```
/// use actix_typed_session::{Session, TypedSession};
/// use actix_web::Responder;
///
/// #[derive(Session)]
/// struct Visitor {
///     views: u64,
///     theme: String,
///     last_search: Option<String>,
/// }
///
/// async fn index(mut session: TypedSession<Visitor>) -> impl Responder {
///     session.set_views(session.views + 1);
///     format!("{} views", session.views)
/// }
///
/// async fn forget(mut session: TypedSession<Visitor>) -> impl Responder {
///     match session.take_last_search() {
///         Some(search) => format!("{search:?} is forgotten"),
///         None => "you searched for nothing".to_owned(),
///     }
/// }
///
/// async fn make_up(mut session: TypedSession<Visitor>) -> impl Responder {
///     session.modify(|visitor| {
///         visitor.theme = "dark".to_owned();
///         visitor.views = 0;
///     });
///     "as new"
/// }
/// ```
///
/// A write that is not recorded does not compile:
///
/// ```compile_fail,E0594
/// # use actix_typed_session::{Session, TypedSession};
/// # #[derive(Session)]
/// # struct Visitor { views: u64 }
/// async fn index(mut session: TypedSession<Visitor>) -> &'static str {
///     session.views += 1;
///     "hello"
/// }
/// ```
pub type TypedSession<T> = <T as Session>::Fields;

/// What generated structs have in common.
pub trait Accessors<T> {
    /// Wraps a session.
    fn new(tracked: Tracked<T>) -> Self;
}

/// Goes over the stored fields of a session struct.
pub trait Visit<T> {
    /// One stored field.
    fn field<F>(&mut self, field: &'static Field<T, F>);
}
