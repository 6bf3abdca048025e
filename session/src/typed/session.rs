//! The trait of session structs, and the extractor [`TypedSession`].

use std::ops::Deref;
#[cfg(feature = "testing")]
use std::{path::Path, slice};

use actix_web::FromRequest;

use super::{
    reader::{FieldError, FieldReader},
    tracked::Tracked,
};
#[cfg(feature = "testing")]
use crate::schema::{Declared, check_and_print, declared_field};
use crate::{
    error::SessionError,
    fields::{Field, FieldDescription, Schema},
    request::SessionHandle,
};

/// Marks a struct as a session. Derive it: [`#[derive(Session)]`](derive@crate::Session).
///
/// # Examples
/// ```
/// use actix_typed_session::Session;
///
/// #[derive(Session)]
/// struct Visitor {
///     #[session(merge = "add")]
///     views: u64,
///     cart: Vec<String>,
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a session struct",
    label = "this type does not implement `Session`",
    note = "add `#[derive(actix_typed_session::Session)]` to the struct"
)]
pub trait Session: Sized + 'static {
    /// The generated struct with the accessors, such as `VisitorSession` for `Visitor`.
    type Fields: Deref<Target = Self> + FromRequest<Error = SessionError> + Accessors<Self>;

    #[doc(hidden)]
    const SCHEMA: &'static Schema;

    #[doc(hidden)]
    const DESCRIPTION: &'static [FieldDescription];

    #[doc(hidden)]
    fn decode(reader: &mut FieldReader<'_>) -> Result<Self, FieldError>;

    #[doc(hidden)]
    fn fresh() -> Self;

    #[doc(hidden)]
    fn visit<V: Visit<Self>>(visitor: &mut V);

    /// Checks in a test that this release reads what earlier releases have stored.
    ///
    /// The file describes what they have stored: the names and types of the fields, their merge
    /// rules, and examples of their values. Commit it. The check fails with a sentence for each
    /// change of the struct that loses stored values or gives them another meaning, and says what
    /// to write. The guide on [deploys](crate::guide::deploys) has all of them.
    ///
    /// The file is written when you run the tests with the environment variable
    /// `UPDATE_SESSION_SCHEMA`:
    ///
    /// | value | meaning |
    /// | --- | --- |
    /// | none, or `0` | writes nothing; a change that loses nothing passes |
    /// | `1` | writes the file, unless a change loses something |
    /// | `accept` | writes the file, and prints what is lost |
    /// | `locked` | writes nothing, and fails if `1` would change the file: for CI |
    ///
    /// A relative path begins at the folder of the package, where its `Cargo.toml` is. The file is
    /// JSON. To check several structs of one session, use
    /// [`StoredSchema`](crate::testing::StoredSchema), which also finds structs that disagree.
    ///
    /// Examples are made from the types alone, so a change deep inside a type is found as well.
    /// For a few types none can be made; see
    /// [`check_stored_schema_with`](Self::check_stored_schema_with).
    ///
    /// # Panics
    /// The release would lose what is stored, the file does not exist, or it cannot be read or
    /// written.
    ///
    /// # Examples
    /// ```no_run
    /// use actix_typed_session::Session;
    ///
    /// #[derive(Session)]
    /// struct Visitor {
    ///     views: u64,
    /// }
    ///
    /// // In a `#[test]` function:
    /// Visitor::check_stored_schema("visitor.session.json");
    /// ```
    #[cfg(feature = "testing")]
    #[cfg_attr(docsrs, doc(cfg(feature = "testing")))]
    #[track_caller]
    fn check_stored_schema(path: impl AsRef<Path>) {
        check_and_print(path.as_ref(), vec![declared::<Self>(&[])]);
    }

    /// As [`check_stored_schema`](Self::check_stored_schema), with values of your own as examples.
    ///
    /// Give samples of types for which no examples can be made from the type alone: those with
    /// `#[serde(tag = "…")]`, `untagged` or `flatten`, and text in a form of your own. The test
    /// that writes the file says which fields these are. The values of the samples go into the
    /// file, so do not use a real user's.
    ///
    /// # Panics
    /// As [`check_stored_schema`](Self::check_stored_schema).
    ///
    /// # Examples
    /// ```no_run
    /// use actix_typed_session::Session;
    /// use serde::{Deserialize, Serialize};
    ///
    /// #[derive(Serialize, Deserialize)]
    /// #[serde(tag = "kind")]
    /// enum Delivery {
    ///     Pickup,
    ///     Parcel { street: String },
    /// }
    ///
    /// #[derive(Session)]
    /// struct Visitor {
    ///     delivery: Option<Delivery>,
    /// }
    ///
    /// // In a `#[test]` function:
    /// Visitor::check_stored_schema_with(
    ///     "visitor.session.json",
    ///     [Delivery::Pickup, Delivery::Parcel { street: "Mill Lane".to_owned() }]
    ///         .map(|delivery| Visitor { delivery: Some(delivery) }),
    /// );
    /// ```
    #[cfg(feature = "testing")]
    #[cfg_attr(docsrs, doc(cfg(feature = "testing")))]
    #[track_caller]
    fn check_stored_schema_with(path: impl AsRef<Path>, samples: impl IntoIterator<Item = Self>) {
        let samples: Vec<Self> = samples.into_iter().collect();
        check_and_print(path.as_ref(), vec![declared(&samples)]);
    }
}

/// Describes a struct of this release.
#[cfg(feature = "testing")]
pub(crate) fn declared<T: Session>(samples: &[T]) -> Declared {
    struct Describe<'a, T> {
        declared: Declared,
        sources: slice::Iter<'static, FieldDescription>,
        samples: &'a [T],
    }

    impl<T> Visit<T> for Describe<'_, T> {
        fn field<F>(&mut self, field: &'static Field<T, F>) {
            let source = self.sources.next().expect("the derive describes each stored field");
            declared_field(&mut self.declared, field, source, self.samples);
        }
    }

    let declared = Declared::new::<T>(T::SCHEMA);
    let mut describe = Describe { declared, sources: T::DESCRIPTION.iter(), samples };
    T::visit(&mut describe);
    describe.declared
}

/// Extracts the request's session as your struct.
///
/// Read with field access: `session.views`. Write through the accessors that the derive generates,
/// such as `session.set_views(1)` and `session.cart_mut().push(item)`. They record every change. At
/// the end of the request, [`SessionMiddleware`](crate::SessionMiddleware) stores the changed
/// fields and no others.
///
/// A route without this extractor makes no store call. A request that only reads its session loads
/// it, and sometimes extends it with a second call.
///
/// To continue if that fails, extract `Option<TypedSession<T>>` or
/// `Result<TypedSession<T>, SessionError>`. `None` is not a visitor without a session, which is not
/// an error and has [`Status::New`](crate::Status::New). It is an outage, a request that a page of
/// another origin has caused, a route without the middleware, or a `strict` struct that does not
/// decode: see [Errors](#errors). To let only some visitors in, use [`LoggedIn`](crate::LoggedIn).
///
/// `TypedSession<Visitor>` is an alias of `VisitorSession`, the struct that the derive generates.
/// It derefs to `Visitor`, but not mutably. The accessors are methods of `VisitorSession` itself,
/// so the borrow checker accepts `session.set_views(session.views + 1)`.
///
/// # Methods
/// Besides the accessors of its fields, a session struct has these methods. The documentation of
/// [`SessionHandle`] has the details.
///
/// | method | meaning |
/// | --- | --- |
/// | `TypedSession::<T>::of(&request)` | the session that a request [has loaded](#without-an-extractor) |
/// | [`id()`] | returns the client's id; `None` until one exists |
/// | [`status()`] | returns whether the session is new, loaded, destroyed, … |
/// | [`regenerate()`] | destroys the session and begins an empty one with a new id |
/// | [`renew()`] | gives the session a new id and keeps its data |
/// | [`destroy()`] | deletes the session and its cookie, even on an error response |
/// | [`reload().await`] | reads the stored session again, and drops unsaved changes |
/// | [`save().await`] | stores the changes now |
/// | [`touch()`] | extends the session at the end of the request |
/// | [`csrf_token()`], [`verify_csrf(…)`] | protect a form in old browsers; [others](crate::guide::csrf) need no token |
/// | [`max_age()`], [`set_max_age(…)`] | how long the session lives without a request |
/// | [`is_persistent()`], [`set_persistent(…)`] | whether the cookie outlives the browser |
/// | `modify(\|t: &mut T\| …)` | changes several fields, and records those that differ afterwards |
/// | `handle()` | returns the same session as a [`SessionHandle`], which has more methods, such as [`remember_for(…)`] and [`keep_expiry()`] |
///
/// `regenerate` and `destroy` reset the struct's fields to their defaults. `reload` sets them to
/// what is stored.
///
/// [`id()`]: crate::SessionHandle::id
/// [`status()`]: crate::SessionHandle::status
/// [`regenerate()`]: crate::SessionHandle::regenerate
/// [`renew()`]: crate::SessionHandle::renew
/// [`destroy()`]: crate::SessionHandle::destroy
/// [`reload().await`]: crate::SessionHandle::reload
/// [`save().await`]: crate::SessionHandle::save
/// [`touch()`]: crate::SessionHandle::touch
/// [`csrf_token()`]: crate::SessionHandle::csrf_token
/// [`verify_csrf(…)`]: crate::SessionHandle::verify_csrf
/// [`max_age()`]: crate::SessionHandle::max_age
/// [`set_max_age(…)`]: crate::SessionHandle::set_max_age
/// [`is_persistent()`]: crate::SessionHandle::is_persistent
/// [`set_persistent(…)`]: crate::SessionHandle::set_persistent
/// [`remember_for(…)`]: crate::SessionHandle::remember_for
/// [`keep_expiry()`]: crate::SessionHandle::keep_expiry
///
/// # Without an extractor
/// `TypedSession::<Visitor>::of(&request)` returns the session that an extractor of this request
/// has loaded already, for error pages, log lines, responders and rules. It asks no store and does
/// not wait. It returns `None` if no extractor has loaded the struct's fields, and once the
/// response is closed: outside of the session middleware, and in a body that is being sent. What is
/// written through it is stored with the response. [The guide](crate::guide::guards) has examples.
///
/// # Errors
/// Extraction fails with one of these:
///
/// - [`SessionError::NoMiddleware`] if no session middleware wraps the route.
/// - [`SessionError::UnknownCookie`] if no middleware has the cookie of the struct.
/// - [`SessionError::CrossOrigin`] if a page of [another origin](crate::guide::csrf) may have
///   caused the request, and it can change something.
/// - [`SessionError::ConflictingIds`] if the cookie and a header name different sessions.
/// - [`SessionError::Store`] if the store fails.
/// - [`SessionError::CrossOrigin`] if a page of another origin may have caused the request.
/// - [`SessionError::ConflictingIds`] if the request presents the ids of different sessions.
/// - [`SessionError::Decode`] if the struct is `strict` and a stored value does not decode.
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
///         None => "you have not searched yet".to_owned(),
///     }
/// }
///
/// async fn reset(mut session: TypedSession<Visitor>) -> impl Responder {
///     session.modify(|visitor| {
///         visitor.theme = "dark".to_owned();
///         visitor.views = 0;
///     });
///     "reset"
/// }
/// ```
///
/// A write that would not be recorded does not compile:
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

/// Creates a generated struct.
pub trait Accessors<T> {
    /// Wraps a session.
    fn new(tracked: Tracked<T>) -> Self;

    /// Returns what was wrapped.
    fn tracked(&self) -> &Tracked<T>;
}

/// Returns the session of a generated struct.
pub(crate) fn handle_of<T: Session>(session: &T::Fields) -> &SessionHandle {
    session.tracked().handle()
}

/// Visits the stored fields of a session struct.
pub trait Visit<T> {
    /// Visits one stored field.
    fn field<F>(&mut self, field: &'static Field<T, F>);
}
