//! Whom a handler serves. It says so in its parameter: `LoggedIn<Account>`, `Guarded<Sure>`,
//! `Guarded<(Admin, Sure)>`. Other people are sent to a page; programs get a 401 or a 403.

use actix_typed_session::{Login, Refusal, Rule};
use actix_web::HttpRequest;

use crate::{users::UserId, visitor::Account};

impl Login for Account {
    type User = UserId;

    fn user(&self) -> Option<UserId> {
        self.user
    }

    fn login_page(_: &HttpRequest) -> Option<String> {
        Some("/login".to_owned())
    }
}

/// A user who may see what all users do.
pub struct Admin;

impl Rule for Admin {
    type Session = Account;
    type Grant = UserId;

    fn check(account: &Account, request: &HttpRequest) -> Result<UserId, Refusal> {
        let user = account.require_login(request)?;
        if account.is_admin { Ok(user) } else { Err(Refusal::forbidden()) }
    }
}

/// A user who has given the password in the last five minutes, by the `ttl` of the field.
pub struct Sure;

impl Rule for Sure {
    type Session = Account;
    type Grant = UserId;

    fn check(account: &Account, request: &HttpRequest) -> Result<UserId, Refusal> {
        let user = account.require_login(request)?;
        let refusal = || Refusal::forbidden().or_page("/confirm");
        if account.is_sure { Ok(user) } else { Err(refusal()) }
    }
}
