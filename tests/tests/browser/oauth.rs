//! The example `oauth`: a login at another site, whose answer is a form from there.

use actix_typed_session_tests::{
    Client,
    chromium::{Chromium, Profile},
    examples::{Example, build, start},
};
use tempfile::TempDir;

/// The example, which keeps nothing in its folder.
fn example() -> (Example, TempDir) {
    let folder = TempDir::new().expect("a temporary folder");
    (start(&build("oauth"), folder.path()), folder)
}

async fn names(chromium: &Chromium) -> Vec<String> {
    let mut names: Vec<_> =
        chromium.cookies().await.iter().map(|cookie| cookie.name().to_owned()).collect();
    names.sort();
    names
}

#[actix_web::test]
async fn a_login_whose_answer_is_a_form_of_another_site_keeps_the_visitors_session() {
    let (example, _folder) = example();
    let url = format!("http://{}/", example.address);
    let profile = Profile::default();
    let chromium = profile.open().await;
    chromium.open(&url).await;
    chromium.wait_for("This is visit 1.").await;
    chromium.open(&url).await;
    chromium.wait_for("This is visit 2.").await;
    let before = chromium.cookie().await;

    chromium.click("Log in").await;
    // The provider is another site, so it sees no cookie.
    chromium.wait_for("I am ann").await;
    assert!(names(&chromium).await.is_empty());
    chromium.click("I am ann").await;
    chromium.wait_for("Hello, ann. This is visit 3.").await;
    assert_eq!(names(&chromium).await, ["__Host-session"], "the login's session is destroyed");
    assert!(chromium.cookie().await.value() != before.value(), "a login renews the id");
    let mut thief = Client::new(example.address);
    thief.cookies.insert(before.name().to_owned(), before.value().to_owned());
    assert!(!thief.get("/").await.body.contains("ann"));
    chromium.close().await;
}

#[actix_web::test]
async fn an_answer_to_a_login_that_did_not_begin_here_is_refused() {
    let (example, _folder) = example();
    let url = format!("http://{}/", example.address);
    // Eve begins a login, and wants the visitor to end it.
    let mut eve = Client::new(example.address);
    let response = eve.get("/oauth/start").await;
    let location = response.header("location").expect("a redirection");
    let (_, path) = location.split_once("/provider").expect("the provider's page");
    let page = eve.get(&format!("/provider{path}")).await.body;
    let value = |name: &str| {
        let (_, rest) = page.split_once(&format!("name={name} value=")).expect("a field");
        rest.trim_start_matches('\'').split(['\'', '>']).next().expect("its end").to_owned()
    };
    let (state, code) = (value("state"), value("code"));

    let profile = Profile::default();
    let chromium = profile.open().await;
    chromium.open(&url).await;
    chromium.wait_for("This is visit 1.").await;
    let before = chromium.cookie().await;
    chromium.open(&format!("http://localhost:{}/provider?state=x", example.address.port())).await;
    let form = format!(
        "const form = document.createElement('form'); \
         form.method = 'POST'; form.action = '{url}oauth/callback'; \
         for (const [name, value] of Object.entries({{ state: '{state}', code: '{code}' }})) \
            form.append(Object.assign(document.createElement('input'), {{ name, value }})); \
         document.body.append(form); form.submit()"
    );
    chromium.run(&form).await;
    chromium.wait_for("this login did not begin here").await;
    chromium.open(&url).await;
    chromium.wait_for("Log in This is visit 2.").await;
    assert!(chromium.cookie().await.value() == before.value(), "the session is untouched");
    chromium.close().await;

    // Nor can she do without a session.
    let mut stranger = Client::new(example.address);
    let answer = format!("state={state}&code={code}");
    assert_eq!(stranger.post_form("/oauth/callback", &answer).await.status, 403);
    // Her own login is good once.
    assert_eq!(eve.post_form("/oauth/callback", &answer).await.status, 303);
    assert_eq!(eve.post_form("/oauth/callback", &answer).await.status, 403);
}
