//! What the servers have in common: their settings are the same.

use std::{env, io::Write as _};

use actix_web::{
    App, Error, HttpServer,
    body::MessageBody,
    dev::{ServiceFactory, ServiceRequest, ServiceResponse},
};

/// The server's arguments; one that is missing is empty.
pub fn arguments<const N: usize>() -> [String; N] {
    let mut arguments = env::args().skip(1);
    std::array::from_fn(|_| arguments.next().unwrap_or_default())
}

/// Prints where the server listens, for the program that started it.
pub fn announce(port: u16) {
    println!("{port}");
    std::io::stdout().flush().expect("stdout is read");
}

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
