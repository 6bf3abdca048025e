//! The whole site: its routes, its errors, and what the middleware does around the handlers.

use actix_typed_session::testing::{Fault, Operation, TestSessions};
use actix_web::test::{self, TestRequest};
use serde_json::json;

use super::*;
use crate::devices::MAX_DEVICES;

/// The sessions, the shop and the site.
macro_rules! site {
    () => {{
        let sessions = TestSessions::new(crate::sessions);
        let of_users = Sessions::new(sessions.store().clone()).clock(sessions.clock().clone());
        let provider = Provider::new(([127, 0, 0, 1], 8080).into());
        let shop = Data::new(Shop::new(of_users, provider));
        let app = test::init_service(crate::app(shop.clone(), sessions.middleware())).await;
        (sessions, shop, app)
    }};
}

fn get(path: &str) -> TestRequest {
    TestRequest::get().uri(path).insert_header((header::ACCEPT, "text/html"))
}

fn login(path: &str) -> TestRequest {
    let ann = json!({ "name": "ann", "password": "open sesame", "remember": true });
    let request = TestRequest::post().uri(path);
    if path.starts_with("/api/") { request.set_json(ann) } else { request.set_form(ann) }
}

#[actix_web::test]
async fn every_page_is_there_and_none_stores_a_session_for_who_only_looks() {
    let (sessions, _, app) = site!();
    for (path, status) in [
        ("/", 200),
        ("/cart", 200),
        ("/login", 200),
        ("/live", 200),
        ("/shop.css", 200),
        ("/live.js", 200),
        ("/api/cart", 200),
        ("/provider?state=s&nonce=n", 200),
        ("/account", 303),
        ("/account/password", 303),
        ("/confirm", 303),
        ("/checkout", 303),
        ("/admin", 303),
        ("/oauth/callback", 400),
        ("/oauth/callback?state=x", 403),
        ("/nowhere", 404),
    ] {
        let visitor = sessions.client();
        let response = visitor.call(&app, get(path)).await;
        assert_eq!(response.status(), status, "{path}");
        assert!(response.headers().contains_key(header::CONTENT_SECURITY_POLICY), "{path}");
        assert!(sessions.session_of::<Account>(&visitor).await.is_none(), "{path}");
    }
    assert_eq!(sessions.store().calls(Operation::Create), 0);
}

#[actix_web::test]
async fn files_of_the_site_ask_no_store() {
    let (sessions, _, app) = site!();
    let ann = sessions.client_with(ann()).await;
    assert_eq!(ann.call(&app, get("/shop.css")).await.status(), 200);
    assert_eq!(sessions.store().all_calls(), 0);
}

#[actix_web::test]
async fn a_user_has_five_devices_and_one_more_login_ends_the_oldest() {
    let (sessions, _, app) = site!();
    let mut browsers = Vec::new();
    for _ in 0..=MAX_DEVICES {
        let browser = sessions.client();
        assert_eq!(browser.call(&app, login("/login")).await.status(), 303);
        browsers.push(browser);
        sessions.clock().advance(std::time::Duration::from_secs(1));
    }
    assert_eq!(browsers[0].call(&app, get("/account")).await.status(), 303, "it is out");
    for browser in &browsers[1..] {
        assert_eq!(browser.call(&app, get("/account")).await.status(), 200);
    }
}

#[actix_web::test]
async fn forms_and_sockets_of_other_sites_are_refused() {
    let (sessions, _, app) = site!();
    let ann = sessions.client_with(ann()).await;
    let upgrade = get("/live/socket")
        .insert_header((header::UPGRADE, "websocket"))
        .insert_header((header::CONNECTION, "Upgrade"))
        .insert_header((header::SEC_WEBSOCKET_VERSION, "13"))
        .insert_header((header::SEC_WEBSOCKET_KEY, "dGhlIHNhbXBsZSBub25jZQ=="));
    let wish = TestRequest::post().uri("/cart").set_form([("product", 1)]);
    for request in [upgrade, wish, login("/login"), TestRequest::post().uri("/logout")] {
        let request = request.insert_header(("Sec-Fetch-Site", "cross-site"));
        let response = ann.call(&app, request).await;
        assert_eq!(response.status(), 403);
        let page = test::read_body(response).await;
        assert!(page.starts_with(b"<!DOCTYPE html>"), "{page:?}");
    }
    assert!(sessions.session_of::<Account>(&ann).await.is_some());
}

#[actix_web::test]
async fn errors_have_a_page_for_people_and_json_for_programs() {
    let (sessions, _, app) = site!();
    let ann = sessions.client_with(ann()).await;
    sessions.store().inject(Operation::Load, Fault::ErrorBefore);
    for (path, status, body) in [
        ("/", 503, "Something broke on our side."),
        ("/nowhere", 404, "<h1>404</h1>"),
        ("/api/nowhere", 404, r#"{"error":"There is nothing here."}"#),
        ("/api/cart", 503, r#"{"error":"Something broke"#),
    ] {
        let response = ann.call(&app, get(path)).await;
        assert_eq!(response.status(), status, "{path}");
        let page = test::read_body(response).await;
        let page = String::from_utf8_lossy(&page);
        assert!(page.contains(body), "{path}: {page}");
    }
}

#[actix_web::test]
async fn a_program_has_its_session_by_bearer() {
    let (sessions, _, app) = site!();
    let program = sessions.api_client();
    let orders = || TestRequest::get().uri("/api/orders");
    let response = program.call(&app, orders()).await;
    assert_eq!(response.status(), 401);
    assert_eq!(test::read_body(response).await, r#"{"error":"Please log in first."}"#);
    assert_eq!(program.call(&app, login("/api/login")).await.status(), 204);
    assert_eq!(program.call(&app, orders()).await.status(), 200);
    assert_eq!(program.call(&app, TestRequest::post().uri("/api/logout")).await.status(), 204);
    assert_eq!(program.call(&app, orders()).await.status(), 401);
}
