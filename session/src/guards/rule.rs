//! The trait of rules.

use actix_web::HttpRequest;

use super::refusal::Refusal;
use crate::typed::Session;

/// Decides from the session whether a request may use a handler.
///
/// Use it with [`Guarded`](super::Guarded) as the parameter of a handler, or with
/// [`require`](super::require()) around a scope. Rules do not change the session. For "is the
/// visitor logged in?" there is [`Login`](super::Login). [The guide](crate::guide::guards) has
/// rules for roles and for passwords that were given a moment ago.
///
/// A pair or a triple of rules of one struct is a rule. They are checked in their order.
///
/// To decide by how the session stands, use [`TypedSession::of(request)`](crate::TypedSession) in
/// `check`: it has the session that is checked.
///
/// # Examples
/// ```
/// use actix_typed_session::{Guarded, Login, Refusal, Rule, Session};
/// use actix_web::{HttpRequest, Responder};
///
/// #[derive(Session)]
/// struct Visitor {
///     #[session(privilege)]
///     user_id: Option<i64>,
///     #[session(privilege)]
///     is_admin: bool,
/// }
///
/// impl Login for Visitor {
///     type User = i64;
///
///     fn user(&self) -> Option<i64> {
///         self.user_id
///     }
/// }
///
/// struct Admin;
///
/// impl Rule for Admin {
///     type Session = Visitor;
///     type Grant = i64;
///
///     fn check(visitor: &Visitor, request: &HttpRequest) -> Result<i64, Refusal> {
///         let user = visitor.require_login(request)?;
///         if visitor.is_admin { Ok(user) } else { Err(Refusal::forbidden()) }
///     }
/// }
///
/// async fn delete_shop(session: Guarded<Admin>) -> impl Responder {
///     format!("deleted by {}", session.grant())
/// }
/// ```
pub trait Rule: 'static {
    /// The struct that the rule reads.
    type Session: Session;

    /// What is certain once the rule has let a request pass: the user's id, say. `()` if there is
    /// nothing.
    type Grant: 'static;

    /// Decides about a request.
    ///
    /// # Errors
    /// The request is refused. The [`Refusal`] says how.
    fn check(session: &Self::Session, request: &HttpRequest) -> Result<Self::Grant, Refusal>;
}

impl<A: Rule, B: Rule<Session = A::Session>> Rule for (A, B) {
    type Session = A::Session;
    type Grant = (A::Grant, B::Grant);

    fn check(session: &Self::Session, request: &HttpRequest) -> Result<Self::Grant, Refusal> {
        Ok((A::check(session, request)?, B::check(session, request)?))
    }
}

impl<A, B, C> Rule for (A, B, C)
where
    A: Rule,
    B: Rule<Session = A::Session>,
    C: Rule<Session = A::Session>,
{
    type Session = A::Session;
    type Grant = (A::Grant, B::Grant, C::Grant);

    fn check(session: &Self::Session, request: &HttpRequest) -> Result<Self::Grant, Refusal> {
        let (a, b) = <(A, B)>::check(session, request)?;
        Ok((a, b, C::check(session, request)?))
    }
}
