//! The example `sso`: who logs out at the provider is logged out at the site.

use actix_typed_session_tests::{
    chromium::{Chromium, Profile},
    examples::{build, start},
};
use tempfile::TempDir;

async fn log_in(chromium: &Chromium, url: &str, user: &str) {
    chromium.open(url).await;
    chromium.click("Log in").await;
    chromium.click(&format!("I am {user}")).await;
    chromium.wait_for(&format!("Hello, {user}.")).await;
}

#[actix_web::test]
async fn a_logout_at_the_provider_ends_the_session_of_one_browser_or_of_all() {
    let folder = TempDir::new().expect("a temporary folder");
    let example = start(&build("sso"), folder.path());
    let url = format!("http://{}/", example.address);
    let profiles = [Profile::default(), Profile::default(), Profile::default()];
    let (laptop, phone, of_bob) =
        (profiles[0].open().await, profiles[1].open().await, profiles[2].open().await);
    log_in(&laptop, &url, "ann").await;
    log_in(&phone, &url, "ann").await;
    log_in(&of_bob, &url, "bob").await;

    phone.click("Log out at the provider").await;
    phone.wait_for("You are logged out, here and at the site.").await;
    phone.open(&url).await;
    phone.wait_for("Log in").await;
    laptop.open(&url).await;
    laptop.wait_for("Hello, ann.").await;

    log_in(&phone, &url, "ann").await;
    phone.click("Log out on all devices").await;
    phone.wait_for("You are logged out, here and at the site.").await;
    for browser in [&phone, &laptop] {
        browser.open(&url).await;
        browser.wait_for("Log in").await;
    }
    of_bob.open(&url).await;
    of_bob.wait_for("Hello, bob.").await;
    for browser in [laptop, phone, of_bob] {
        browser.close().await;
    }
}
