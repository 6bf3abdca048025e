//! A site that takes over the sessions of another program, in its own process:
//! `switching_process OLD_FOLDER FOLDER`. Prints its port.

use std::env;

use actix_typed_session::{
    FileStore, Session, SessionMiddleware, TypedSession,
    import::{ForeignCookie, SynappsSession},
};
use actix_web::{App, HttpRequest, HttpServer, http::header::COOKIE, web};

#[derive(Session)]
struct Visitor {
    name: String,
    #[session(merge = "add")]
    views: u64,
}

async fn view(mut visitor: TypedSession<Visitor>) -> String {
    visitor.set_views(visitor.views + 1);
    visitor.name.clone()
}

async fn views(visitor: TypedSession<Visitor>) -> String {
    visitor.views.to_string()
}

/// The old id is in a cookie.
fn old_id(request: &HttpRequest) -> Option<String> {
    let cookies = request.headers().get(COOKIE)?.to_str().ok()?;
    cookies.split("; ").find_map(|cookie| cookie.strip_prefix("old=")).map(str::to_owned)
}

#[actix_web::main]
async fn main() -> std::io::Result<()> {
    let arguments: Vec<String> = env::args().collect();
    let [_, old_folder, folder] = &arguments[..] else {
        panic!("switching_process OLD_FOLDER FOLDER")
    };
    let old = SynappsSession::new(old_id).folder(old_folder).cookie(ForeignCookie::new("old"));
    let store = FileStore::new(folder).expect("a folder");
    let sessions = SessionMiddleware::builder(store).import(old).build().expect("good settings");
    let server = HttpServer::new(move || {
        App::new()
            .wrap(sessions.clone())
            .route("/view", web::get().to(view))
            .route("/views", web::get().to(views))
    })
    .workers(2)
    .bind(("127.0.0.1", 0))?;
    println!("{}", server.addrs()[0].port());
    server.run().await
}
