//! How the servers on Actix run: their settings are the same.

use actix_web::{
    App, Error, HttpServer,
    body::MessageBody,
    dev::{ServiceFactory, ServiceRequest, ServiceResponse},
};

use crate::rules::announce;

/// Runs an Actix server with this number of worker threads.
pub async fn run<F, T, B>(threads: &str, app: F)
where
    F: Fn() -> App<T> + Send + Clone + 'static,
    T: ServiceFactory<
            ServiceRequest,
            Config = (),
            Response = ServiceResponse<B>,
            Error = Error,
            InitError = (),
        > + 'static,
    B: MessageBody + 'static,
{
    let threads = threads.parse().expect("a number of threads");
    let server =
        HttpServer::new(app).workers(threads).bind("127.0.0.1:0").expect("a free port is there");
    announce(server.addrs()[0].port());
    server.run().await.expect("the server runs");
}
