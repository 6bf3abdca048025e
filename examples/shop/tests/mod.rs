//! Unit tests of all handlers, with sessions that each test prepares. `site` tests the whole app.

mod account;
mod api;
mod cart;
mod login;
mod oauth;
mod site;

use actix_typed_session::{
    Session, Sessions,
    testing::{StoredSchema, TestSession},
};
use actix_web::{HttpRequest, HttpResponse, Responder, body, http::header, web::Data};

use crate::{
    Shop,
    provider::Provider,
    visitor::{Account, Cart},
};

#[test]
fn a_deploy_loses_no_session() {
    StoredSchema::at("shop/session.json").of::<Account>().of::<Cart>().check();
}

/// A visitor who is logged in as ann.
fn ann() -> Account {
    Account { user: Some(1), name: "ann".to_owned(), ..Account::default() }
}

/// An administrator.
fn root() -> Account {
    Account { user: Some(3), name: "root".to_owned(), is_admin: true, ..Account::default() }
}

/// A session with the settings of the shop.
fn visitor<T: Session>(session: T) -> TestSession<T> {
    TestSession::of(session).middleware(crate::sessions)
}

fn new_visitor() -> TestSession<Account> {
    TestSession::new_visitor().middleware(crate::sessions)
}

/// A shop whose sessions are those of the test.
fn shop<T: Session>(test: &TestSession<T>) -> Data<Shop> {
    let sessions = Sessions::new(test.store().clone()).clock(test.clock().clone());
    Data::new(Shop::new(sessions, Provider::new(([127, 0, 0, 1], 8080).into())))
}

fn request<T: Session>(test: &TestSession<T>) -> HttpRequest {
    test.extract().expect("every request is one")
}

/// The text of a page that a handler returns.
async fn shown<T: Session>(test: &TestSession<T>, page: impl Responder) -> String {
    let response = test.finish(page).await;
    assert_eq!(response.status(), 200);
    text(response).await
}

/// The page to which a handler sends the visitor.
async fn sent_to<T: Session>(test: &TestSession<T>, page: impl Responder) -> String {
    let response = test.finish(page).await;
    assert_eq!(response.status(), 303);
    location(&response).to_owned()
}

fn location(response: &HttpResponse) -> &str {
    let location = response.headers().get(header::LOCATION).expect("a redirection");
    location.to_str().expect("text")
}

async fn text(response: HttpResponse) -> String {
    let body = body::to_bytes(response.into_body()).await.expect("a body in memory");
    String::from_utf8(body.to_vec()).expect("text")
}
