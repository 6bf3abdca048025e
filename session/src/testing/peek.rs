//! Reads and prepares sessions through the middleware, without what a request does besides.

use actix_web::{HttpRequest, HttpResponse, http::header::SET_COOKIE};
use futures_util::future::FutureExt as _;

use super::{
    faulty::unwatched,
    held_request::{HeldRequest, plain_request},
    jar::Jar,
};
use crate::{
    error::{Chain, SessionError},
    fields::{Field, same_json},
    middleware::SessionMiddleware,
    record::Record,
    request::{SessionHandle, Status},
    store::CookieHolds,
    transport::CookieVariant,
    typed::{Session, Visit, modify, read},
};

/// A client's session as its next request would read it. Nothing is extended or stored.
pub(super) struct Peek {
    handle: SessionHandle,
    _request: HeldRequest,
}

impl Peek {
    /// Looks at the session of a client, whose requests take the way of `like`.
    ///
    /// # Panics
    /// The store fails.
    pub(super) async fn new(
        middleware: &SessionMiddleware,
        client: &Jar,
        like: Option<&HttpRequest>,
    ) -> Option<Self> {
        unwatched(async {
            let request = HeldRequest::new(middleware, client, plain_request(middleware, like));
            request.only_read();
            match request.extract::<SessionHandle>().await {
                Ok(handle) => Some(Self { handle, _request: request }),
                Err(SessionError::ConflictingIds) => None,
                Err(error) => panic!("the session cannot be read: {}", Chain(&error)),
            }
        })
        .await
    }

    pub(super) fn handle(&self) -> &SessionHandle {
        &self.handle
    }

    /// What the store has of the session. `None`: the client has no session.
    pub(super) fn record(&self) -> Option<Record> {
        let is_there = match self.handle.status() {
            Status::Loaded => true,
            // Its id was renewed a moment ago. It reads nothing, or what the session was.
            Status::Retired => self.handle.id().is_some(),
            _ => false,
        };
        let state = self.handle.fields().state.borrow();
        state.loaded.record().filter(|_| is_there).cloned()
    }

    /// The session as this struct. `None`: the client has no session.
    ///
    /// # Panics
    /// The struct is `strict` and a stored value does not decode, or it names another cookie.
    pub(super) fn read<T: Session>(&self, middleware: &SessionMiddleware) -> Option<T> {
        check_cookie::<T>(middleware);
        self.record()?;
        match read(self.handle.fields()) {
            Ok(value) => Some(value),
            Err(error) => panic!("the session cannot be read: {}", Chain(&error)),
        }
    }
}

/// Stores a session, or changes the one that the client has.
///
/// # Panics
/// The session cannot be stored.
pub(super) async fn prepare(
    middleware: &SessionMiddleware,
    client: &mut Jar,
    values: impl FnOnce(&SessionMiddleware, &SessionHandle),
) {
    unwatched(async {
        let request = HeldRequest::new(middleware, client, plain_request(middleware, None));
        request.only_read();
        let mut handle = match request.extract::<SessionHandle>().await {
            Ok(handle) => handle,
            Err(error) => panic!("the session cannot be prepared: {}", Chain(&error)),
        };
        values(middleware, &handle);
        // A token needs a session, so one whose fields all have their defaults is stored too.
        let _ = handle.csrf_token();
        if let Err(error) = handle.save().await {
            panic!("the session cannot be prepared: {}", Chain(&error));
        }
        let id = handle.id().cloned();
        drop(handle);
        let response = request.answer(HttpResponse::Ok().finish()).await;
        let config = middleware.config();
        client.keep(config, response.headers());
        if config.unsecured.is_some()
            && config.rules.cookie_holds == CookieHolds::Id
            && response.headers().contains_key(SET_COOKIE)
            && let Some(id) = id
        {
            // The test may send its request with TLS or without. Each kind has its own cookie.
            let secured = config.cookie_on(CookieVariant::Usual);
            client.set_cookie(&secured.name, &secured.write(&id));
        }
    })
    .await;
}

/// Writes a struct to a session.
///
/// # Panics
/// A value cannot be stored, or the struct names another cookie.
pub(super) fn write<T: Session>(middleware: &SessionMiddleware, handle: &SessionHandle, value: T) {
    check_cookie::<T>(middleware);
    let fields = handle.fields();
    let mut current: T = match read(fields) {
        Ok(current) => current,
        Err(error) => panic!("the session cannot be prepared: {}", Chain(&error)),
    };
    modify(&mut current, fields, |current| *current = value);
}

fn check_cookie<T: Session>(middleware: &SessionMiddleware) {
    let cookie = &middleware.config().cookie;
    if let Some(name) = T::SCHEMA.cookie
        && !cookie.is_called(name)
    {
        panic!(
            "`{}` is kept in the session with the cookie `{name}`, and this is the session with \
             the cookie `{}`; make another fixture for it",
            T::SCHEMA.type_name,
            cookie.name,
        );
    }
}

/// The names of the struct's fields whose stored values differ. Nothing is stored after a session
/// has ended, so nothing was written then.
pub(super) fn written<T: Session>(
    before: Option<&Record>,
    after: Option<&Record>,
) -> Vec<&'static str> {
    let Some(after) = after else { return Vec::new() };
    let mut differing = Differing { before, after, names: Vec::new() };
    T::visit(&mut differing);
    differing.names
}

struct Differing<'a> {
    before: Option<&'a Record>,
    after: &'a Record,
    names: Vec<&'static str>,
}

impl<T> Visit<T> for Differing<'_> {
    fn field<F>(&mut self, field: &'static Field<T, F>) {
        let before = self.before.and_then(|record| field.schema.find(record));
        let is_same = match (before, field.schema.find(self.after)) {
            (Some(before), Some(after)) => same_json(before, after),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        };
        if !is_same {
            self.names.push(field.schema.name);
        }
    }
}

/// The result of a future whose store answers at once. `None`: it waits.
pub(super) fn at_once<T>(future: impl Future<Output = T>) -> Option<T> {
    // A test may have used up the turn that the runtime gives it.
    tokio::task::unconstrained(future).now_or_never()
}
