//! Which sessions a logout token ends, and which tokens end none.

use actix_typed_session::{
    SessionMiddleware,
    testing::{Fault, Operation, StoredSchema, TestClient, TestSessions},
};
use actix_web::{
    http::header::CACHE_CONTROL,
    test::{self, TestRequest},
};
use serde_json::{Value, json};

use super::*;
use crate::{
    provider::CLIENT,
    site::{SignIn, Visitor},
    tokens::LOGOUT_EVENT,
};

#[test]
fn a_deploy_loses_no_session() {
    StoredSchema::at("sso/session.json").of::<Visitor>().check();
}

/// The sessions, the provider and the site.
macro_rules! site {
    () => {{
        let sessions = TestSessions::new(SessionMiddleware::new);
        let provider = Data::new(Provider::new(([127, 0, 0, 1], 8080).into()));
        let sso = Data::new(crate::sso(&provider, sessions.store().clone()));
        let app = App::new().app_data(sso).app_data(provider.clone()).configure(routes);
        let app = test::init_service(app.wrap(sessions.middleware())).await;
        (sessions, provider, app)
    }};
}

/// A visitor who has logged in.
fn user(sub: &str, sid: &str) -> Visitor {
    Visitor { sub: Some(sub.to_owned()), sid: Some(sid.to_owned()), sign_in: None::<SignIn> }
}

fn logout(token: &str) -> TestRequest {
    TestRequest::post().uri("/back-channel-logout").set_form([("logout_token", token)])
}

async fn is_logged_in(sessions: &TestSessions, visitor: &TestClient) -> bool {
    sessions.session_of::<Visitor>(visitor).await.is_some()
}

#[actix_web::test]
async fn a_token_with_a_session_ends_that_one_and_a_token_with_a_user_ends_all() {
    let (sessions, provider, app) = site!();
    let (laptop, phone, bob) = (
        sessions.client_with(user("ann", "s1")).await,
        sessions.client_with(user("ann", "s2")).await,
        sessions.client_with(user("bob", "s3")).await,
    );
    let server = sessions.client();
    let token = provider.sign(&provider.logout_token(Some("ann"), Some("s1")));
    let response = server.call(&app, logout(&token)).await;
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers().get(CACHE_CONTROL).expect("it is set"), "no-store");
    assert!(!is_logged_in(&sessions, &laptop).await);
    assert!(is_logged_in(&sessions, &phone).await);

    let token = provider.sign(&provider.logout_token(Some("ann"), None));
    assert_eq!(server.call(&app, logout(&token)).await.status(), 200);
    assert!(!is_logged_in(&sessions, &phone).await);
    assert!(is_logged_in(&sessions, &bob).await);
}

#[actix_web::test]
async fn a_token_that_is_forged_old_repeated_or_of_another_kind_ends_no_session() {
    let (sessions, provider, app) = site!();
    let (ann, server) = (sessions.client_with(user("ann", "s1")).await, sessions.client());
    let good = || serde_json::to_value(provider.logout_token(None, Some("s1"))).expect("JSON");
    let with = |name: &str, value: Value| {
        let mut claims = good();
        claims[name] = value;
        provider.sign(&claims)
    };
    let stranger = Provider::new(([127, 0, 0, 1], 8080).into());
    let now = jsonwebtoken::get_current_timestamp();
    let signed = provider.sign(&good());
    let (head, _) = signed.rsplit_once('.').expect("three parts");
    let (_, payload) = head.split_once('.').expect("three parts");
    let refused = [
        ("signed by another provider", stranger.sign(&good())),
        ("of another issuer", with("iss", json!("https://evil.example"))),
        ("for another site", with("aud", json!("another-site"))),
        ("expired", with("exp", json!(now - 3_600))),
        ("made long ago", with("iat", json!(now - 3_600))),
        ("from the future", with("iat", json!(now + 3_600))),
        ("an ID token", with("nonce", json!("n"))),
        ("of another event", with("events", json!({ "https://example.com": {} }))),
        ("without an event", with("events", json!({}))),
        ("of nothing", with("sid", Value::Null)),
        ("without a signature", format!("{head}.")),
        // {"alg":"none","kid":"2026"}
        ("of the algorithm none", format!("eyJhbGciOiJub25lIiwia2lkIjoiMjAyNiJ9.{payload}.")),
        ("not a token", "x".to_owned()),
    ];
    for (what, token) in refused {
        let response = server.call(&app, logout(&token)).await;
        assert_eq!(response.status(), 400, "a token that is {what}");
        assert!(is_logged_in(&sessions, &ann).await, "a token that is {what}");
    }
    // Good once, and a copy does not end the next session of the same name.
    assert_eq!(server.call(&app, logout(&signed)).await.status(), 200);
    assert!(!is_logged_in(&sessions, &ann).await);
    let again = sessions.client_with(user("ann", "s1")).await;
    assert_eq!(server.call(&app, logout(&signed)).await.status(), 400);
    assert!(is_logged_in(&sessions, &again).await);
}

#[actix_web::test]
async fn a_logout_token_is_not_good_for_a_login() {
    let (_, provider, _) = site!();
    let verifier = Verifier::new(&provider.issuer, CLIENT, provider.keys());
    let token = provider.sign(&provider.logout_token(Some("ann"), Some("s1")));
    assert!(verifier.id_token(&token, "").is_err());
    assert!(provider.logout_token(None, None).events.contains_key(LOGOUT_EVENT));
}

#[actix_web::test]
async fn the_provider_may_send_a_token_again_if_the_store_was_down() {
    let (sessions, provider, app) = site!();
    let (ann, server) = (sessions.client_with(user("ann", "s1")).await, sessions.client());
    let token = provider.sign(&provider.logout_token(None, Some("s1")));
    sessions.store().inject(Operation::Find, Fault::ErrorBefore);
    assert_eq!(server.call(&app, logout(&token)).await.status(), 503);
    sessions.store().heal();
    assert!(is_logged_in(&sessions, &ann).await);
    assert_eq!(server.call(&app, logout(&token)).await.status(), 200);
    assert!(!is_logged_in(&sessions, &ann).await);
}
