//! The examples, started as their readers start them, and used over HTTP.

use std::fs;

use actix_typed_session_tests::{
    Client,
    examples::{build, start},
};
use tempfile::TempDir;
use tokio::task::JoinSet;

#[actix_web::test]
async fn the_counter_counts_per_browser_and_survives_a_restart() {
    let program = build("counter");
    let folder = TempDir::new().expect("a temporary folder");
    let counter = start(&program, folder.path());
    let sessions = folder.path().join("sessions");
    assert!(counter.printed[1].contains(&*sessions.to_string_lossy()), "{:?}", counter.printed);
    let mut ann = Client::new(counter.address);
    let mut bob = Client::new(counter.address);
    assert_eq!(ann.get("/").await.body, "You have been here 1 times.\n");
    assert_eq!(ann.get("/").await.body, "You have been here 2 times.\n");
    assert_eq!(bob.get("/").await.body, "You have been here 1 times.\n");
    assert!(fs::read_dir(&sessions).is_ok_and(|mut entries| entries.next().is_some()));
    drop(counter);
    let counter = start(&program, folder.path());
    let mut restarted = Client::new(counter.address);
    restarted.cookies = ann.cookies.clone();
    assert_eq!(restarted.get("/").await.body, "You have been here 3 times.\n");
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
    let mut browser = Client::new(login.address);
    let page = browser.get("/").await.body;
    assert!(page.contains("Log in"));
    let cart = format!("csrf={}&item=apple", token(&page));
    for _ in 0..2 {
        assert_eq!(browser.post_form("/cart", &cart).await.status, 303);
    }
    let before = browser.clone();
    let wrong = format!("csrf={}&user=ann&password=sesame", token(&page));
    assert_eq!(browser.post_form("/login", &wrong).await.status, 403);
    assert_eq!(browser.cookies, before.cookies);
    let right = format!("csrf={}&user=ann&password=open+sesame", token(&page));
    assert_eq!(browser.post_form("/login", &right).await.status, 303);
    assert_ne!(browser.cookies, before.cookies, "the id is renewed");
    let logout = format!("csrf={}", token(&page));
    let page = browser.get("/").await.body;
    assert!(page.contains("Hello, ann.") && page.contains("2 × apple"), "{page}");
    assert_eq!(browser.post_form("/logout", &logout).await.status, 403, "the old token");
    let old_page = before.clone().get("/").await.body;
    assert!(old_page.contains("Log in") && !old_page.contains("apple"), "the old id: {old_page}");
    let mut thief = browser.clone();
    let logout = format!("csrf={}", token(&page));
    assert_eq!(browser.post_form("/logout", &logout).await.status, 303);
    assert!(browser.cookies.is_empty());
    assert!(thief.get("/").await.body.contains("Log in"));
}

#[actix_web::test]
async fn the_shop_takes_no_forms_that_another_site_sends() {
    let program = build("login");
    let folder = TempDir::new().expect("a temporary folder");
    let login = start(&program, folder.path());
    let (mut ann, mut eve) = (Client::new(login.address), Client::new(login.address));
    let page = ann.get("/").await.body;
    let planted = token(&eve.get("/").await.body);
    let own = token(&page);
    for bad in ["", "x", &own[1..], &planted] {
        for (path, form) in
            [("/cart", "item=bomb"), ("/login", "user=eve&password=open+sesame"), ("/logout", "")]
        {
            let form = format!("csrf={bad}&{form}");
            assert_eq!(ann.post_form(path, &form).await.status, 403, "{path} {form}");
        }
    }
    assert_eq!(ann.post_form("/cart", "item=bomb").await.status, 400, "no token at all");
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
        let mut browser = Client::new(login.address);
        let csrf = token(&browser.get("/").await.body);
        let form = format!("csrf={csrf}&user={user}&password=open+sesame");
        assert_eq!(browser.post_form("/login", &form).await.status, 303);
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
    assert_eq!(bob.post_form("/devices/end", &form).await.status, 303);
    assert_eq!(phone.post_form("/devices/end", &form).await.status, 403, "bob's token");
    assert_eq!(ids(&phone.get("/devices").await.body), others);
    let csrf = format!("csrf={}", token(&page));
    let form = format!("{csrf}&id=<script>");
    assert_eq!(phone.post_form("/devices/end", &form).await.status, 400);
    let form = format!("{csrf}&id={}", others[0]);
    assert_eq!(phone.post_form("/devices/end", &form).await.status, 303);
    assert_eq!(ids(&phone.get("/devices").await.body), others[1..]);
    assert_eq!(phone.post_form("/devices/others", &csrf).await.status, 303);
    assert!(ids(&phone.get("/devices").await.body).is_empty());
    for gone in [laptop, tablet] {
        assert_eq!(gone.get("/devices").await.status, 303);
        assert!(gone.get("/").await.body.contains("Log in"));
    }
    assert!(bob.get("/").await.body.contains("Hello, bob."));
}

#[actix_web::test]
async fn the_login_keeps_five_devices_of_a_user_who_logs_in_on_many_at_once() {
    let program = build("login");
    let folder = TempDir::new().expect("a temporary folder");
    let login = start(&program, folder.path());
    let mut logins = JoinSet::new();
    for _ in 0..20 {
        let mut browser = Client::new(login.address);
        let csrf = token(&browser.get("/").await.body);
        logins.spawn_local(async move {
            let form = format!("csrf={csrf}&user=ann&password=open+sesame");
            (browser.post_form("/login", &form).await.status, browser)
        });
    }
    let mut logged_in = 0;
    for (status, mut browser) in logins.join_all().await {
        assert_eq!(status, 303);
        let page = browser.get("/devices").await;
        if page.status == 200 {
            logged_in += 1;
            assert_eq!(ids(&page.body).len(), 4, "{}", page.body);
        }
    }
    assert_eq!(logged_in, 5);
}
