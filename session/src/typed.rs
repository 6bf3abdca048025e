//! The session as the user's struct: the trait, the extractor, the guard.

use std::{
    fmt,
    ops::{Deref, DerefMut},
    sync::Arc,
    thread,
    time::Duration,
};

use actix_web::{FromRequest, HttpRequest, dev::Payload};
use futures_util::future::{Either, FutureExt as _, LocalBoxFuture, Ready, ready};
use serde_json::value::RawValue;
use tracing::{error, warn};

use crate::{
    error::{Chain, SessionError, ValueError},
    field::{Field, FieldSchema, Schema, Snapshot, same_json},
    handle::{Found, SessionHandle, Status},
    merge::MergedField,
    number::Number,
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

/// What an extractor of sessions returns: at once if the session is at hand.
pub type Extraction<S> = Either<Ready<Extracted<S>>, LocalBoxFuture<'static, Extracted<S>>>;

type Extracted<S> = Result<S, SessionError>;

/// Extracts a generated struct.
pub fn extract<T: Session>(request: &HttpRequest) -> Extraction<T::Fields> {
    let open = |handle| {
        let value = read(&handle)?;
        Ok(T::Fields::new(Tracked { value, handle }))
    };
    match SessionHandle::find(request, T::SCHEMA.cookie) {
        Found::Handle(handle) if handle.load_now(T::SCHEMA) => Either::Left(ready(open(handle))),
        found => Either::Right(
            async move { loaded(found, T::SCHEMA).await.and_then(open) }.boxed_local(),
        ),
    }
}

impl FromRequest for SessionHandle {
    type Error = SessionError;
    type Future = Extraction<Self>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        const ANY: &Schema = &Schema {
            type_name: "SessionHandle",
            cookie: None,
            strict: false,
            names: &[],
            privileges: &[],
        };
        match Self::find(request, None) {
            Found::Handle(handle) if handle.load_now(ANY) => Either::Left(ready(Ok(handle))),
            found => Either::Right(loaded(found, ANY).boxed_local()),
        }
    }
}

async fn loaded(found: Found, schema: &'static Schema) -> Result<SessionHandle, SessionError> {
    let result = match (found, schema.cookie) {
        (Found::Handle(handle), _) => handle.load(schema).await.map(|()| handle),
        (Found::OtherCookies, Some(cookie)) => {
            Err(SessionError::UnknownCookie { type_name: schema.type_name, cookie })
        }
        (Found::NoMiddleware | Found::OtherCookies, _) => Err(SessionError::NoMiddleware),
    };
    // Actix answers with the error's response, which says nothing, so the cause is told here.
    result.inspect_err(|error| error!("{}", Chain(error)))
}

/// Reads the struct.
pub(crate) fn read<T: Session>(source: &dyn Source) -> Result<T, SessionError> {
    let schema = T::SCHEMA;
    match T::decode(&mut FieldReader { source, schema }) {
        Ok(value) => Ok(value),
        Err(FieldError { field, source }) if schema.strict => {
            let error = SessionError::Decode { type_name: schema.type_name, field, source };
            error!("{}", Chain(&error));
            Err(error)
        }
        Err(FieldError { field, source }) => {
            warn!(
                "the stored value of `{}::{field}` does not decode, so the struct reads as fresh: \
                 {source}",
                schema.type_name,
            );
            Ok(T::fresh())
        }
    }
}

/// Where the fields of a struct are read from.
pub(crate) trait Source: fmt::Debug {
    /// A field's JSON, if it has some.
    fn read(&self, field: &FieldSchema) -> Option<Arc<RawValue>>;
}

impl Source for SessionHandle {
    /// What is stored and what this request has changed so far.
    fn read(&self, field: &FieldSchema) -> Option<Arc<RawValue>> {
        self.read(field)
    }
}

/// Hands the stored fields to generated code.
#[derive(Debug)]
pub struct FieldReader<'a> {
    source: &'a dyn Source,
    schema: &'static Schema,
}

impl FieldReader<'_> {
    /// The field's value: as stored, or its default if nothing is.
    pub fn field<T, F>(&mut self, field: &Field<T, F>) -> Result<F, FieldError> {
        let Some(json) = self.source.read(field.schema) else { return Ok(field.fresh()) };
        match (field.decode)(&json) {
            Ok(value) => Ok(value),
            Err(error) if field.schema.lenient => {
                warn!(
                    "the stored value of `{}::{}` does not decode, so the field reads as fresh: {}",
                    self.schema.type_name,
                    field.schema.name,
                    ValueError::from(error),
                );
                Ok(field.fresh())
            }
            Err(error) => Err(FieldError { field: field.schema.name, source: error.into() }),
        }
    }
}

/// A stored value that does not decode.
#[derive(Debug)]
pub struct FieldError {
    field: &'static str,
    source: ValueError,
}

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

/// A session struct whose writes are recorded.
pub struct Tracked<T> {
    value: T,
    handle: SessionHandle,
}

impl<T> Deref for Tracked<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

#[allow(missing_docs, reason = "most are documented where the generated structs call them")]
impl<T: Session> Tracked<T> {
    /// Gives a field a value, unless that cannot be stored.
    pub fn set<F>(&mut self, field: &'static Field<T, F>, value: F) {
        let current = (field.get_mut)(&mut self.value);
        let after = (field.snapshot)(&value);
        // Only a sum is recorded by what it was before; any other field is compared to what is stored.
        let before = match &after {
            Snapshot::Sum(_) => Some((field.snapshot)(current)),
            Snapshot::Value(_) | Snapshot::Failed(_) => None,
        };
        if !matches!(after, Snapshot::Failed(_)) {
            *current = value;
        }
        record(&self.handle, field, before, after, || (field.snapshot)(&field.fresh()));
    }

    /// Lends a field out for changes in place.
    pub fn edit<F>(&mut self, field: &'static Field<T, F>) -> FieldMut<'_, F> {
        FieldMut {
            value: (field.get_mut)(&mut self.value),
            tracking: Some(Tracking {
                handle: &self.handle,
                field,
                snapshot: field.snapshot,
                default: field.default,
                before: None,
            }),
        }
    }

    /// Adds to a field whose writes add up.
    pub fn add<F>(&mut self, field: &'static Field<T, F>, by: F) {
        let current = (field.get_mut)(&mut self.value);
        match ((field.snapshot)(current), (field.snapshot)(&by)) {
            (Snapshot::Sum(before), Snapshot::Sum(by)) => {
                if let Ok(sum) = (field.decode)(&before.saturating_add(by).to_json()) {
                    *current = sum;
                }
                self.handle.add(field, by, || number(&(field.snapshot)(&field.fresh())));
            }
            (Snapshot::Failed(error), _) | (_, Snapshot::Failed(error)) => {
                self.handle.fail(field.schema, error);
            }
            // The derive calls this for sums only.
            (Snapshot::Value(_) | Snapshot::Sum(_), _) => {}
        }
    }

    /// A field that is not stored.
    pub fn unsaved<F>(&mut self, get_mut: fn(&mut T) -> &mut F) -> &mut F {
        get_mut(&mut self.value)
    }

    /// Lends out a field that is not stored.
    pub fn edit_unsaved<F>(&mut self, get_mut: fn(&mut T) -> &mut F) -> FieldMut<'_, F> {
        FieldMut { value: get_mut(&mut self.value), tracking: None }
    }

    pub fn handle(&self) -> &SessionHandle {
        &self.handle
    }

    pub fn regenerate(&mut self) {
        self.handle.regenerate();
        self.value = T::fresh();
    }

    pub fn renew(&mut self) {
        self.handle.renew();
    }

    pub fn destroy(&mut self) {
        self.handle.destroy();
        self.value = T::fresh();
    }

    pub async fn reload(&mut self) -> Result<(), SessionError> {
        self.handle.reload().await?;
        self.value = read(&self.handle)?;
        Ok(())
    }

    pub async fn save(&mut self) -> Result<(), SessionError> {
        self.handle.save().await
    }

    pub fn touch(&mut self) {
        self.handle.touch();
    }

    pub fn csrf_token(&mut self) -> String {
        self.handle.csrf_token()
    }

    pub fn set_max_age(&mut self, max_age: Duration) {
        self.handle.set_max_age(max_age);
        if self.handle.status() == Status::Destroyed {
            self.value = T::fresh();
        }
    }

    pub fn set_persistent(&mut self, persistent: bool) {
        self.handle.set_persistent(persistent);
    }

    pub fn modify<R>(&mut self, change: impl FnOnce(&mut T) -> R) -> R {
        modify(&mut self.value, &self.handle, change)
    }
}

impl<T: Session> fmt::Debug for Tracked<T> {
    /// The struct's name and the status; the values are the user's secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple(T::SCHEMA.type_name).field(&self.handle.status()).finish()
    }
}

/// Where changes of fields are recorded.
pub(crate) trait Sink {
    /// A field's new value. `default` is what the field reads as when it is not stored.
    fn set(
        &self,
        field: &'static dyn MergedField,
        json: Arc<RawValue>,
        default: impl FnOnce() -> Snapshot,
    );

    /// An addition to a field. `default` is what the field reads as when it is not stored.
    fn add(&self, field: &'static dyn MergedField, by: Number, default: impl FnOnce() -> Number);

    /// A value that cannot be stored.
    fn fail(&self, field: &'static FieldSchema, error: ValueError);
}

impl Sink for SessionHandle {
    fn set(
        &self,
        field: &'static dyn MergedField,
        json: Arc<RawValue>,
        default: impl FnOnce() -> Snapshot,
    ) {
        self.set(field, json, default);
    }

    fn add(&self, field: &'static dyn MergedField, by: Number, default: impl FnOnce() -> Number) {
        self.add(field, by, default);
    }

    fn fail(&self, field: &'static FieldSchema, error: ValueError) {
        self.fail(field, error);
    }
}

/// Records what became of a field's value.
fn record(
    sink: &impl Sink,
    field: &'static dyn MergedField,
    before: Option<Snapshot>,
    after: Snapshot,
    default: impl FnOnce() -> Snapshot,
) {
    match (before, after) {
        (_, Snapshot::Failed(error)) => sink.fail(field.schema(), error),
        (Some(Snapshot::Value(before)), Snapshot::Value(after)) if same_json(&before, &after) => {}
        (_, Snapshot::Value(after)) => sink.set(field, after, default),
        (Some(Snapshot::Sum(before)), Snapshot::Sum(after)) => {
            sink.add(field, after.since(before), || number(&default()));
        }
        // The value before was no number that JSON has, which has already failed the request.
        (_, Snapshot::Sum(_)) => {}
    }
}

fn number(snapshot: &Snapshot) -> Number {
    match snapshot {
        Snapshot::Sum(number) => *number,
        Snapshot::Value(_) | Snapshot::Failed(_) => Number::Int(0),
    }
}

/// A field, lent out to be changed in place. The change is recorded when this is dropped, if there is
/// one.
///
/// Reading through it costs nothing; the first write makes a copy of the value's JSON to compare with.
///
/// # Examples
/// ```
/// # use actix_typed_session::{Session, TypedSession};
/// # #[derive(Session)]
/// # struct Visitor { cart: Vec<String> }
/// # fn handler(mut session: TypedSession<Visitor>) {
/// session.cart_mut().push("apple".to_owned());
///
/// let mut cart = session.cart_mut();
/// cart.sort();
/// cart.dedup();
/// # }
/// ```
#[must_use = "a guard that is dropped at once changes nothing"]
pub struct FieldMut<'a, F: 'static> {
    value: &'a mut F,
    tracking: Option<Tracking<'a, F>>,
}

struct Tracking<'a, F> {
    handle: &'a SessionHandle,
    field: &'static dyn MergedField,
    snapshot: fn(&F) -> Snapshot,
    default: fn() -> F,
    /// The value before the first write.
    before: Option<Snapshot>,
}

impl<F> Deref for FieldMut<'_, F> {
    type Target = F;

    fn deref(&self) -> &F {
        self.value
    }
}

impl<F> DerefMut for FieldMut<'_, F> {
    fn deref_mut(&mut self) -> &mut F {
        if let Some(tracking) = &mut self.tracking {
            tracking.before.get_or_insert_with(|| (tracking.snapshot)(self.value));
        }
        self.value
    }
}

impl<F> Drop for FieldMut<'_, F> {
    fn drop(&mut self) {
        // A handler that panics stores nothing, and a `Serialize` that panics too would abort the
        // process.
        if thread::panicking() {
            return;
        }
        if let Some(Tracking { handle, field, snapshot, default, before: Some(before) }) =
            self.tracking.take()
        {
            let after = snapshot(self.value);
            record(handle, field, Some(before), after, || snapshot(&default()));
        }
    }
}

impl<F: fmt::Debug> fmt::Debug for FieldMut<'_, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.value, f)
    }
}

/// Changes a struct, and records what has really changed.
pub(crate) fn modify<T: Session, R>(
    value: &mut T,
    sink: &impl Sink,
    change: impl FnOnce(&mut T) -> R,
) -> R {
    let mut before = Before { value, snapshots: Vec::new() };
    T::visit(&mut before);
    let before = before.snapshots.into_iter();
    let result = change(value);
    T::visit(&mut After { value, before, sink });
    result
}

/// Takes a snapshot of each field.
struct Before<'a, T> {
    value: &'a T,
    snapshots: Vec<Snapshot>,
}

impl<T> Visit<T> for Before<'_, T> {
    fn field<F>(&mut self, field: &'static Field<T, F>) {
        self.snapshots.push((field.snapshot)((field.get)(self.value)));
    }
}

/// Records each field that is no longer as in its snapshot.
struct After<'a, T, S> {
    value: &'a T,
    before: std::vec::IntoIter<Snapshot>,
    sink: &'a S,
}

impl<T, S: Sink> Visit<T> for After<'_, T, S> {
    fn field<F>(&mut self, field: &'static Field<T, F>) {
        let before = self.before.next();
        let after = (field.snapshot)((field.get)(self.value));
        record(self.sink, field, before, after, || (field.snapshot)(&field.fresh()));
    }
}
