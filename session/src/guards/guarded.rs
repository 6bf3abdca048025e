//! The extractor that asks a rule.

use std::{
    fmt,
    ops::{Deref, DerefMut},
};

use actix_web::{FromRequest, HttpRequest, dev::Payload};
use futures_util::future::{Either, FutureExt as _, LocalBoxFuture, Ready, ready};

use super::{
    refusal::{GuardError, logged},
    rule::Rule,
};
use crate::{
    error::{SessionError, StoreError},
    request::Status,
    typed::{Session, TypedSession, extract, handle_of},
};

/// Extracts the session if a [`Rule`] lets the request pass. Otherwise the handler is not called.
///
/// It is a [`TypedSession`] of the rule's struct: read with `session.cart`, write with
/// `session.cart_mut()`. [`grant`](Self::grant) returns what the rule has found out. A handler that
/// does not take it pays nothing for it; one that does pays for the extraction of the session.
///
/// # What the client gets
/// | the request | answer |
/// | --- | --- |
/// | passes the rule | the handler's |
/// | is refused | the status of the [`Refusal`], without a body |
/// | is refused with a page, and is a person's who opens a page in a browser | 303 to that page |
/// | cannot be decided because the store is unavailable | 503, also with [`OnOutage::Anonymous`] |
/// | is one that [`TypedSession`] refuses | as there: a 403 for a page of another origin, say |
///
/// Refusing stores nothing and sets no cookie. A client cannot see whether it had a session.
///
/// [`OnOutage::Anonymous`]: crate::OnOutage::Anonymous
///
/// # Writes that read
/// In `session.set_views(session.views + 1)`, Rust borrows the guard for the write before it reads.
/// Read into a variable first, or take the session out:
///
/// ```
/// # use actix_typed_session::{LoggedIn, Login, Session};
/// # #[derive(Session)]
/// # struct Visitor { user_id: Option<i64>, views: u64 }
/// # impl Login for Visitor {
/// #     type User = i64;
/// #     fn user(&self) -> Option<i64> { self.user_id }
/// # }
/// async fn index(session: LoggedIn<Visitor>) -> String {
///     let (mut session, user) = session.into_parts();
///     session.set_views(session.views + 1);
///     format!("user {user}, {} views", session.views)
/// }
/// ```
///
/// # With `Option` and `Result`
/// `Option<Guarded<…>>` is `None` whenever the handler would not be called, also during an outage.
/// Use it where a page only shows more to some visitors. `Result<Guarded<…>, GuardError>` says why.
///
/// # Errors
/// [`GuardError::Refused`] if the rule refuses the request, [`GuardError::Session`] if the session
/// cannot be extracted.
pub struct Guarded<R: Rule> {
    session: TypedSession<R::Session>,
    grant: R::Grant,
}

impl<R: Rule> Guarded<R> {
    /// Returns what the rule has found out about the request.
    pub fn grant(&self) -> &R::Grant {
        &self.grant
    }

    /// Returns the session, and what the rule has found out.
    pub fn into_parts(self) -> (TypedSession<R::Session>, R::Grant) {
        (self.session, self.grant)
    }

    /// Asks the rule about a session that was extracted.
    fn check(session: TypedSession<R::Session>, request: &HttpRequest) -> Result<Self, GuardError> {
        let handle = handle_of::<R::Session>(&session);
        if handle.status() == Status::Unavailable {
            let cause = "it could not be asked for the session, so the request is refused";
            return Err(logged(SessionError::from(StoreError::unavailable(cause)).into()));
        }
        match R::check(&session, request) {
            Ok(grant) => Ok(Self { session, grant }),
            Err(refusal) => Err(logged(refusal.answer_to(request, handle).into())),
        }
    }
}

type Checked<G> = Result<G, GuardError>;

impl<R: Rule> FromRequest for Guarded<R> {
    type Error = GuardError;
    type Future = Either<Ready<Checked<Self>>, LocalBoxFuture<'static, Checked<Self>>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        match extract::<R::Session>(request) {
            Either::Left(session) => {
                let session = session.into_inner().map_err(GuardError::from);
                Either::Left(ready(session.and_then(|session| Self::check(session, request))))
            }
            Either::Right(session) => {
                let request = request.clone();
                Either::Right(async move { Self::check(session.await?, &request) }.boxed_local())
            }
        }
    }
}

impl<R: Rule> Deref for Guarded<R> {
    type Target = TypedSession<R::Session>;

    fn deref(&self) -> &Self::Target {
        &self.session
    }
}

impl<R: Rule> DerefMut for Guarded<R> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.session
    }
}

impl<R: Rule> fmt::Debug for Guarded<R> {
    /// Prints the struct's name and the status. The values are the user's secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let handle = handle_of::<R::Session>(&self.session);
        let name = <R::Session as Session>::SCHEMA.type_name;
        f.debug_tuple("Guarded").field(&name).field(&handle.status()).finish()
    }
}
