//! A person logs in with Chromium, on a site whose sessions are in the database.

use actix_typed_session::SessionMiddleware;
use actix_typed_session_tests::{Client, chromium::Profile};

use crate::{
    database::{Builder as _, Database, on_each_database, pool},
    site::serve,
};

/// What ends the typing of a form.
const ENTER: char = '\u{e007}';

/// The middleware with separate connections to the database.
async fn sessions<D: Database>() -> SessionMiddleware {
    let builder = D::builder(pool(&D::url(None, D::shared().address()), 8)).table("browser");
    let store = builder.sweep_interval(None).build().expect("the settings are valid");
    D::ensure_schema(&store).await.expect("the server is up");
    SessionMiddleware::new(store)
}

async fn a_person_logs_in_and_out_and_the_session_survives_a_restart_of_the_site<D: Database>() {
    let (site, address) = serve(sessions::<D>().await, 0);
    let url = format!("http://{address}/");
    let profile = Profile::default();
    let chromium = profile.open().await;
    chromium.open(&url).await;
    chromium.wait_for("Hello, stranger. View 1.").await;
    let before = chromium.cookie().await;
    chromium.type_into("name", &format!("ann{ENTER}")).await;
    chromium.wait_for("Hello, ann. View 2.").await;
    let cookie = chromium.cookie().await;
    assert!(cookie.value() != before.value(), "the login renews the id");

    site.stop(true).await;
    let (site, _) = serve(sessions::<D>().await, address.port());

    chromium.open(&url).await;
    chromium.wait_for("Hello, ann. View 3.").await;
    chromium.click("Log out").await;
    chromium.wait_for("Hello, stranger. View 1.").await;
    for old in [before, cookie] {
        let mut thief = Client::new(address);
        thief.cookies.insert(old.name().to_owned(), old.value().to_owned());
        let page = thief.get("/").await.body;
        assert!(page.contains("stranger. View 1."), "{page}");
    }
    chromium.close().await;
    site.stop(false).await;
}

on_each_database!(a_person_logs_in_and_out_and_the_session_survives_a_restart_of_the_site,);
