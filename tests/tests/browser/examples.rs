//! The examples, started as their readers start them, and used over HTTP.

use std::fs;

use actix_typed_session_tests::{
    Client,
    examples::{build, start, start_with},
};
use tempfile::TempDir;
use tokio::task::JoinSet;

#[actix_web::test]
async fn the_counter_counts_per_browser_and_survives_a_restart() {
    let folder = assert_counts(&[], "sessions").await;
    let entries = fs::read_dir(folder.path().join("sessions"));
    assert!(entries.is_ok_and(|mut entries| entries.next().is_some()));
}

#[actix_web::test]
async fn the_counter_counts_in_a_file_of_sqlite() {
    let folder = assert_counts(&["--sqlite"], "sessions.db").await;
    assert!(!folder.path().join("sessions").exists());
}

/// Uses the counter with two browsers. `place`: what it names as the place of the sessions.
async fn assert_counts(arguments: &[&str], place: &str) -> TempDir {
    let program = build("counter");
    let folder = TempDir::new().expect("a temporary folder");
    let counter = start_with(&program, folder.path(), arguments);
    let place = folder.path().join(place);
    assert!(counter.printed[1].contains(&*place.to_string_lossy()), "{:?}", counter.printed);
    let mut ann = Client::new(counter.address);
    let mut bob = Client::new(counter.address);
    assert_eq!(ann.get("/").await.body, "You have been here 1 times.\n");
    assert_eq!(ann.get("/").await.body, "You have been here 2 times.\n");
    assert_eq!(bob.get("/").await.body, "You have been here 1 times.\n");
    drop(counter);
    let counter = start_with(&program, folder.path(), arguments);
    let mut restarted = Client::new(counter.address);
    restarted.cookies = ann.cookies.clone();
    assert_eq!(restarted.get("/").await.body, "You have been here 3 times.\n");
    folder
}

/// The value of a hidden input of a page's first form that has it.
fn hidden(page: &str, name: &str) -> String {
    values(page, name).into_iter().next().unwrap_or_else(|| panic!("no {name} in {page}"))
}

fn values(page: &str, name: &str) -> Vec<String> {
    let start = format!("name=\"{name}\" value=\"");
    let rest = page.split(&start).skip(1);
    rest.filter_map(|rest| rest.split('"').next()).map(str::to_owned).collect()
}

/// The public ids of the devices that a page offers to log out.
fn ids(page: &str) -> Vec<String> {
    values(page, "id")
}

#[actix_web::test]
async fn the_shop_renews_the_id_at_a_login_keeps_the_cart_and_logs_out() {
    let folder = TempDir::new().expect("a temporary folder");
    let shop = start(&build("shop"), folder.path());
    let mut browser = Client::new(shop.address);
    assert!(browser.get("/").await.body.contains("Log in"));
    for _ in 0..2 {
        assert_eq!(browser.post_form("/cart", "product=1").await.status, 303);
    }
    let before = browser.clone();
    assert_eq!(browser.post_form("/login", "name=ann&password=sesame").await.status, 422);
    assert_eq!(browser.cookies, before.cookies);
    assert_eq!(browser.post_form("/login", "name=ann&password=open+sesame").await.status, 303);
    assert_ne!(browser.cookies, before.cookies, "the id is renewed");
    let page = browser.get("/cart").await.body;
    assert!(page.contains("Welcome, ann.") && page.contains("2 × Mug"), "{page}");
    let old_page = before.clone().get("/cart").await.body;
    assert!(old_page.contains("Log in") && !old_page.contains("Mug"), "the old id: {old_page}");
    let mut thief = browser.clone();
    assert_eq!(browser.post_form("/logout", "").await.status, 303);
    assert!(browser.cookies.is_empty());
    assert!(thief.get("/cart").await.body.contains("Log in"));
}

#[actix_web::test]
async fn the_shop_takes_no_important_form_without_its_token() {
    let folder = TempDir::new().expect("a temporary folder");
    let shop = start(&build("shop"), folder.path());
    let (mut root, mut eve) = (Client::new(shop.address), Client::new(shop.address));
    let login = "name=root&password=open+sesame";
    for browser in [&mut root, &mut eve] {
        assert_eq!(browser.post_form("/login", login).await.status, 303);
    }
    let own = hidden(&root.get("/account/password").await.body, "csrf");
    let planted = hidden(&eve.get("/account/password").await.body, "csrf");
    let forms = [("/account/password", "password=a+better+one"), ("/admin/log-out", "user=1")];
    for (path, form) in forms {
        for bad in ["", "x", &own[1..], &planted] {
            let form = format!("csrf={bad}&{form}");
            assert_eq!(root.post_form(path, &form).await.status, 403, "{path} {form}");
        }
        assert_eq!(root.post_form(path, form).await.status, 400, "{path}: no token at all");
        let form = format!("csrf={own}&{form}");
        assert_eq!(root.post_form(path, &form).await.status, 303, "{path}");
    }
    assert_eq!(root.post_form("/logout", "").await.status, 303);
    let login = "name=root&password=a+better+one";
    assert_eq!(root.post_form("/login", login).await.status, 303);
    let form = format!("csrf={own}&user=1");
    assert_eq!(root.post_form("/admin/log-out", &form).await.status, 403, "the old token");
}

#[actix_web::test]
async fn the_shop_lists_the_devices_of_a_user_and_logs_them_out() {
    let folder = TempDir::new().expect("a temporary folder");
    let shop = start(&build("shop"), folder.path());
    let mut browsers = Vec::new();
    for user in ["ann", "ann", "ann", "bob"] {
        let mut browser = Client::new(shop.address);
        let form = format!("name={user}&password=open+sesame");
        assert_eq!(browser.post_form("/login", &form).await.status, 303);
        browsers.push(browser);
    }
    let [phone, laptop, tablet, bob] = &mut browsers[..] else { panic!("four browsers") };
    let page = phone.get("/account").await.body;
    assert!(page.contains("This device") && page.contains("last seen just now"), "{page}");
    let others = ids(&page);
    assert_eq!(others.len(), 2, "the phone itself and bob's device are not offered: {page}");
    // Bob tries what he has seen over ann's shoulder.
    let form = format!("id={}", others[0]);
    assert_eq!(bob.post_form("/devices/end", &form).await.status, 303);
    assert_eq!(ids(&phone.get("/account").await.body), others);
    assert_eq!(phone.post_form("/devices/end", "id=<script>").await.status, 400);
    assert_eq!(phone.post_form("/devices/end", &form).await.status, 303);
    assert_eq!(ids(&phone.get("/account").await.body), others[1..]);
    assert_eq!(phone.post_form("/devices/end-others", "").await.status, 303);
    assert!(ids(&phone.get("/account").await.body).is_empty());
    for gone in [laptop, tablet] {
        assert_eq!(gone.get("/account").await.status, 401);
        assert!(gone.get("/").await.body.contains("Log in"));
    }
    assert!(bob.get("/account").await.body.contains("Hello, bob."));
}

#[actix_web::test]
async fn the_shop_keeps_five_devices_of_a_user_who_logs_in_on_many_at_once() {
    let folder = TempDir::new().expect("a temporary folder");
    let shop = start(&build("shop"), folder.path());
    let mut logins = JoinSet::new();
    for _ in 0..20 {
        let mut browser = Client::new(shop.address);
        logins.spawn_local(async move {
            let form = "name=ann&password=open+sesame";
            (browser.post_form("/login", form).await.status, browser)
        });
    }
    let mut logged_in = 0;
    for (status, mut browser) in logins.join_all().await {
        assert_eq!(status, 303);
        let page = browser.get("/account").await;
        if page.status == 200 {
            logged_in += 1;
            assert_eq!(ids(&page.body).len(), 4, "{}", page.body);
        }
    }
    assert_eq!(logged_in, 5);
}
