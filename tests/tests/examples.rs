//! The examples, started as a newcomer starts them and used over HTTP.

use std::{fs, net::SocketAddr};

use actix_typed_session_tests::{
    Browser,
    examples::{build, start},
    exchange,
};
use tempfile::TempDir;

#[actix_web::test]
async fn the_counter_counts_per_browser_and_survives_a_restart() {
    let program = build("counter");
    let folder = TempDir::new().expect("a temporary folder");
    let counter = start(&program, folder.path());
    let sessions = folder.path().join("sessions");
    assert!(counter.told[1].contains(&*sessions.to_string_lossy()), "{:?}", counter.told);
    let mut ann = Browser::new(counter.address);
    let mut bob = Browser::new(counter.address);
    assert_eq!(ann.get("/").await.body, "You have been here 1 times.\n");
    assert_eq!(ann.get("/").await.body, "You have been here 2 times.\n");
    assert_eq!(bob.get("/").await.body, "You have been here 1 times.\n");
    assert!(fs::read_dir(&sessions).is_ok_and(|mut entries| entries.next().is_some()));
    drop(counter);
    let counter = start(&program, folder.path());
    let mut restarted = Browser::new(counter.address);
    restarted.cookies = ann.cookies.clone();
    assert_eq!(restarted.get("/").await.body, "You have been here 3 times.\n");
}

async fn post(browser: &mut Browser, address: SocketAddr, path: &str, form: &str) -> u16 {
    let cookies: Vec<String> =
        browser.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\nCookie: {}\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{form}",
        cookies.join("; "),
        form.len(),
    );
    let response = exchange(address, request.as_bytes()).await.remove(0);
    browser.keep_cookies(&response);
    response.status
}

#[actix_web::test]
async fn the_login_renews_the_id_keeps_the_cart_and_logs_out() {
    let program = build("login");
    let folder = TempDir::new().expect("a temporary folder");
    let login = start(&program, folder.path());
    let mut browser = Browser::new(login.address);
    assert!(browser.get("/").await.body.contains("Log in"));
    assert!(browser.cookies.is_empty(), "nothing was written yet");
    for _ in 0..2 {
        assert_eq!(post(&mut browser, login.address, "/cart", "item=apple").await, 303);
    }
    let before = browser.clone();
    let wrong = "user=ann&password=sesame";
    assert_eq!(post(&mut browser, login.address, "/login", wrong).await, 403);
    assert_eq!(browser.cookies, before.cookies);
    let right = "user=ann&password=open+sesame";
    assert_eq!(post(&mut browser, login.address, "/login", right).await, 303);
    assert_ne!(browser.cookies, before.cookies, "the id is renewed");
    let page = browser.get("/").await.body;
    assert!(page.contains("Hello, ann.") && page.contains("2 × apple"), "{page}");
    let page = before.clone().get("/").await.body;
    assert!(page.contains("Log in") && !page.contains("apple"), "the old id reads nothing: {page}");
    let thief = browser.clone();
    assert_eq!(post(&mut browser, login.address, "/logout", "").await, 303);
    assert!(browser.cookies.is_empty());
    assert!(thief.clone().get("/").await.body.contains("Log in"));
}
