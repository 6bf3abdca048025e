//! A person logs in with Chromium, on a site whose sessions are in the database.

use std::net::SocketAddr;

use actix_typed_session::{Session, SessionHandle, SessionMiddleware, TypedSession};
use actix_typed_session_tests::{Client, chromium::Profile};
use actix_web::{
    App, HttpResponse, HttpServer, Responder,
    dev::ServerHandle,
    http::header::{ContentType, LOCATION},
    web::{self, Form},
};
use serde::Deserialize;

use crate::database::{Builder as _, Database, on_each_database, pool};

/// What ends the typing of a form.
const ENTER: char = '\u{e007}';

#[derive(Session)]
struct Visitor {
    #[session(privilege)]
    user: Option<String>,
    #[session(merge = "add")]
    views: u64,
}

#[derive(Deserialize)]
struct Login {
    name: String,
}

async fn index(mut session: TypedSession<Visitor>) -> impl Responder {
    session.set_views(session.views + 1);
    let who = session.user.clone().unwrap_or_else(|| "stranger".into());
    HttpResponse::Ok().content_type(ContentType::html()).body(format!(
        "<p>Hello, {who}. View {}.</p>\
         <form method=post action=/login><input name=name></form>\
         <form method=post action=/logout><button>Log out</button></form>",
        session.views
    ))
}

async fn login(mut session: TypedSession<Visitor>, form: Form<Login>) -> impl Responder {
    session.set_user(Some(form.into_inner().name));
    HttpResponse::SeeOther().insert_header((LOCATION, "/")).finish()
}

async fn logout(mut session: SessionHandle) -> impl Responder {
    session.destroy();
    HttpResponse::SeeOther().insert_header((LOCATION, "/")).finish()
}

/// Starts a server with separate connections to the database. Port 0: any free one.
async fn serve<D: Database>(port: u16) -> (ServerHandle, SocketAddr) {
    let builder = D::builder(pool(&D::url(None, D::shared().address()), 8)).table("browser");
    let store = builder.sweep_interval(None).build().expect("the settings are valid");
    D::ensure_schema(&store).await.expect("the server is up");
    let sessions = SessionMiddleware::new(store);
    let app = move || {
        App::new()
            .wrap(sessions.clone())
            .route("/", web::get().to(index))
            .route("/login", web::post().to(login))
            .route("/logout", web::post().to(logout))
    };
    let server = HttpServer::new(app).workers(2).disable_signals();
    let server = server.bind(("127.0.0.1", port)).expect("a free port");
    let address = server.addrs()[0];
    let server = server.shutdown_timeout(1).run();
    let handle = server.handle();
    tokio::spawn(server);
    (handle, address)
}

async fn a_person_logs_in_and_out_and_the_session_survives_a_restart_of_the_site<D: Database>() {
    let (site, address) = serve::<D>(0).await;
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
    let (site, _) = serve::<D>(address.port()).await;

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
