//! A site where visitors log in.

use std::net::SocketAddr;

use actix_typed_session::{Session, SessionHandle, SessionMiddleware, TypedSession};
use actix_web::{
    App, HttpResponse, HttpServer, Responder,
    dev::ServerHandle,
    http::header::{ContentType, LOCATION},
    web::{self, Form},
};
use serde::Deserialize;

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

/// Starts a site. Port 0: any free one.
pub(crate) fn serve(sessions: SessionMiddleware, port: u16) -> (ServerHandle, SocketAddr) {
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
