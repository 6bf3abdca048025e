//! How the servers on axum run: their settings are the same.

#[path = "../rules.rs"]
pub mod rules;

use axum::Router;
use tokio::{net::TcpListener, runtime::Builder};

/// Runs a server on axum with this number of threads.
pub fn run(threads: &str, router: impl Future<Output = Router>) {
    let threads: usize = threads.parse().expect("a number of threads");
    let mut runtime = match threads {
        1 => Builder::new_current_thread(),
        _ => Builder::new_multi_thread(),
    };
    let runtime = runtime.worker_threads(threads).enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let router = router.await;
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        rules::announce(listener.local_addr().expect("an address").port());
        axum::serve(listener, router).await.expect("the server runs");
    });
}
