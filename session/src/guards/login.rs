//! The rule that somebody is logged in.

use std::{fmt, marker::PhantomData};

use actix_web::HttpRequest;

use super::{guarded::Guarded, refusal::Refusal, rule::Rule};
use crate::typed::Session;

/// Says when a visitor is logged in, and as whom. [`LoggedIn`] asks it.
///
/// Mark the field that decides as `privilege`: then the id is renewed at each login, and a stored
/// value that does not decode reads as "not logged in".
///
/// # Examples
/// ```
/// use actix_typed_session::{LoggedIn, Login, Session};
/// use actix_web::{HttpRequest, Responder};
///
/// #[derive(Session)]
/// struct Visitor {
///     #[session(privilege)]
///     user_id: Option<i64>,
///     cart: Vec<String>,
/// }
///
/// impl Login for Visitor {
///     type User = i64;
///
///     fn user(&self) -> Option<i64> {
///         self.user_id
///     }
///
///     fn login_page(_: &HttpRequest) -> Option<String> {
///         Some("/login".to_owned())
///     }
/// }
///
/// async fn check_out(mut session: LoggedIn<Visitor>) -> impl Responder {
///     let user: i64 = session.user();
///     session.cart_mut().clear();
///     format!("user {user} has paid")
/// }
/// ```
pub trait Login: Session {
    /// What is known of a user who is logged in, such as the id.
    type User: Clone + 'static;

    /// Returns the user. `None`: nobody is logged in.
    fn user(&self) -> Option<Self::User>;

    /// Returns the page on which visitors log in. Defaults to `None`: they get a 401.
    ///
    /// A person's browser is sent there, and the path that it asked for comes with it as the
    /// parameter `next`; see [`Refusal::or_page`]. Scripts and API clients get a 401 all the same.
    fn login_page(request: &HttpRequest) -> Option<String> {
        let _ = request;
        None
    }

    /// Returns the user, for [rules](Rule) that need one.
    ///
    /// # Errors
    /// Nobody is logged in: a 401, or the way to the [`login_page`](Self::login_page).
    fn require_login(&self, request: &HttpRequest) -> Result<Self::User, Refusal> {
        self.user().ok_or_else(|| {
            let refusal = Refusal::unauthorized();
            match Self::login_page(request) {
                Some(page) => refusal.or_page(page),
                None => refusal,
            }
        })
    }
}

/// The rule that somebody is logged in. To combine it with others:
/// `Guarded<(LoginRule<Visitor>, RecentPassword)>`.
pub struct LoginRule<V>(PhantomData<V>);

impl<V: Login> Rule for LoginRule<V> {
    type Session = V;
    type Grant = V::User;

    fn check(session: &V, request: &HttpRequest) -> Result<V::User, Refusal> {
        session.require_login(request)
    }
}

impl<V> fmt::Debug for LoginRule<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LoginRule")
    }
}

/// Extracts the session of a visitor who is logged in. Others do not reach the handler.
///
/// [`Login`] says who is logged in, and has an example. [`Guarded`] has the details: what the
/// client gets, and how to read and write through it.
pub type LoggedIn<V> = Guarded<LoginRule<V>>;

impl<V: Login> LoggedIn<V> {
    /// Returns the user who was logged in when the request came. What the handler changes in the
    /// session does not change it.
    pub fn user(&self) -> V::User {
        self.grant().clone()
    }
}
