//! The examples, started as a newcomer starts them and used over HTTP.

use std::{fs, net::SocketAddr};

use actix_typed_session_log_watch as _;
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

/// The token in the forms of a page.
fn token(page: &str) -> String {
    let (_, rest) = page.split_once("name=csrf value=").expect("a token");
    rest.split('>').next().expect("its end").to_owned()
}

#[actix_web::test]
async fn the_login_renews_the_id_keeps_the_cart_and_logs_out() {
    let program = build("login");
    let folder = TempDir::new().expect("a temporary folder");
    let login = start(&program, folder.path());
    let mut browser = Browser::new(login.address);
    let page = browser.get("/").await.body;
    assert!(page.contains("Log in"));
    let cart = format!("csrf={}&item=apple", token(&page));
    for _ in 0..2 {
        assert_eq!(post(&mut browser, login.address, "/cart", &cart).await, 303);
    }
    let before = browser.clone();
    let wrong = format!("csrf={}&user=ann&password=sesame", token(&page));
    assert_eq!(post(&mut browser, login.address, "/login", &wrong).await, 403);
    assert_eq!(browser.cookies, before.cookies);
    let right = format!("csrf={}&user=ann&password=open+sesame", token(&page));
    assert_eq!(post(&mut browser, login.address, "/login", &right).await, 303);
    assert_ne!(browser.cookies, before.cookies, "the id is renewed");
    let logout = format!("csrf={}", token(&page));
    let page = browser.get("/").await.body;
    assert!(page.contains("Hello, ann.") && page.contains("2 × apple"), "{page}");
    assert_eq!(post(&mut browser, login.address, "/logout", &logout).await, 403, "the old token");
    let old_page = before.clone().get("/").await.body;
    assert!(old_page.contains("Log in") && !old_page.contains("apple"), "the old id: {old_page}");
    let mut thief = browser.clone();
    let logout = format!("csrf={}", token(&page));
    assert_eq!(post(&mut browser, login.address, "/logout", &logout).await, 303);
    assert!(browser.cookies.is_empty());
    assert!(thief.get("/").await.body.contains("Log in"));
}

#[actix_web::test]
async fn the_shop_takes_no_forms_that_another_site_sends() {
    let program = build("login");
    let folder = TempDir::new().expect("a temporary folder");
    let login = start(&program, folder.path());
    let (mut ann, mut eve) = (Browser::new(login.address), Browser::new(login.address));
    let page = ann.get("/").await.body;
    let planted = token(&eve.get("/").await.body);
    let own = token(&page);
    for bad in ["", "x", &own[1..], &planted] {
        for (path, form) in
            [("/cart", "item=bomb"), ("/login", "user=eve&password=open+sesame"), ("/logout", "")]
        {
            let form = format!("csrf={bad}&{form}");
            assert_eq!(post(&mut ann, login.address, path, &form).await, 403, "{path} {form}");
        }
    }
    assert_eq!(post(&mut ann, login.address, "/cart", "item=bomb").await, 400, "no token at all");
    let page = ann.get("/").await.body;
    assert!(page.contains("Log in") && !page.contains("bomb"), "{page}");
}

/// The public ids of the devices that a page offers to log out.
fn ids(page: &str) -> Vec<String> {
    let rest = page.split("name=id value=").skip(1);
    rest.filter_map(|rest| rest.split('>').next()).map(str::to_owned).collect()
}

#[actix_web::test]
async fn the_login_lists_the_devices_of_a_user_and_logs_them_out() {
    let program = build("login");
    let folder = TempDir::new().expect("a temporary folder");
    let login = start(&program, folder.path());
    let mut browsers = Vec::new();
    for user in ["ann", "ann", "ann", "bob"] {
        let mut browser = Browser::new(login.address);
        let csrf = token(&browser.get("/").await.body);
        let form = format!("csrf={csrf}&user={user}&password=open+sesame");
        assert_eq!(post(&mut browser, login.address, "/login", &form).await, 303);
        browsers.push(browser);
    }
    let [phone, laptop, tablet, bob] = &mut browsers[..] else { panic!("four browsers") };
    let page = phone.get("/devices").await.body;
    assert!(page.contains("This device") && page.contains("last seen just now"), "{page}");
    let others = ids(&page);
    assert_eq!(others.len(), 2, "the phone itself and bob's device are not offered: {page}");
    // Bob tries what he has seen over ann's shoulder.
    let bobs = token(&bob.get("/").await.body);
    let form = format!("csrf={bobs}&id={}", others[0]);
    assert_eq!(post(bob, login.address, "/devices/end", &form).await, 303);
    assert_eq!(post(phone, login.address, "/devices/end", &form).await, 403, "bob's token");
    assert_eq!(ids(&phone.get("/devices").await.body), others);
    let csrf = format!("csrf={}", token(&page));
    let form = format!("{csrf}&id=<script>");
    assert_eq!(post(phone, login.address, "/devices/end", &form).await, 400);
    let form = format!("{csrf}&id={}", others[0]);
    assert_eq!(post(phone, login.address, "/devices/end", &form).await, 303);
    assert_eq!(ids(&phone.get("/devices").await.body), others[1..]);
    assert_eq!(post(phone, login.address, "/devices/others", &csrf).await, 303);
    assert!(ids(&phone.get("/devices").await.body).is_empty());
    for gone in [laptop, tablet] {
        assert_eq!(gone.get("/devices").await.status, 303);
        assert!(gone.get("/").await.body.contains("Log in"));
    }
    assert!(bob.get("/").await.body.contains("Hello, bob."));
}
