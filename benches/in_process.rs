//! Answers requests without a network: `in_process SITE FIELDS ROUTE COUNT`.
//!
//! The site is `bare`, `memory`, `counted` (in memory with statistics), `observed` (and with an
//! observer), or the URL of a Redis. Run under callgrind with two counts, the
//! difference is what the requests in between cost. Prints how often each request allocates.

use std::{alloc::System, env, hint::black_box};

use actix_typed_session::{
    MemoryStore, RedisStore, SessionMiddleware,
    observe::{Event, Observer, SessionStats},
};
use actix_typed_session_benches::site;
use actix_web::{
    App,
    body::MessageBody,
    dev::{Service, ServiceResponse},
    http::header::{COOKIE, SET_COOKIE},
    test::{TestRequest, init_service},
};
use stats_alloc::{Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: StatsAlloc<System> = StatsAlloc::system();

#[actix_web::main]
async fn main() {
    let arguments: Vec<_> = env::args().skip(1).collect();
    let [site, fields, route, count] = arguments.as_slice() else {
        panic!("usage: in_process SITE FIELDS ROUTE COUNT");
    };
    let count = count.parse().expect("a number of requests");
    match site.as_str() {
        "bare" => {
            let app = init_service(App::new().configure(site::bare)).await;
            run(&app, fields, route, count).await;
        }
        "memory" | "counted" | "observed" => {
            let store = MemoryStore::builder().sweep_interval(None).build();
            let mut sessions = SessionMiddleware::builder(store.clone());
            if site != "memory" {
                sessions = sessions.stats(&SessionStats::new());
            }
            if site == "observed" {
                sessions = sessions.observer(Idle);
            }
            let app = App::new()
                .wrap(sessions.build().expect("valid settings"))
                .configure(site::typed(store));
            run(&init_service(app).await, fields, route, count).await;
        }
        // For profiles: what Redis and the network do is not in them.
        url if url.starts_with("redis:") => {
            let store = RedisStore::new(url).expect("a URL");
            let app = App::new()
                .wrap(SessionMiddleware::new(store.clone()))
                .configure(site::typed(store));
            run(&init_service(app).await, fields, route, count).await;
        }
        other => panic!("no site is called {other}"),
    }
}

/// An observer that does nothing with what it gets.
struct Idle;

impl Observer for Idle {
    fn observe(&self, event: &Event<'_>) {
        black_box(event);
    }
}

async fn run<S, B>(app: &S, fields: &str, route: &str, count: u64)
where
    S: Service<actix_http::Request, Response = ServiceResponse<B>, Error = actix_web::Error>,
    B: MessageBody,
{
    let seed = TestRequest::post().uri(&format!("/seed/{fields}")).to_request();
    let seeded = app.call(seed).await.expect("the site is seeded");
    // The bare site gets a cookie of the same length, which costs the same to send.
    let cookie = match seeded.headers().get(SET_COOKIE) {
        None => format!("__Host-session={}", "x".repeat(43)),
        Some(cookie) => {
            let cookie = cookie.to_str().expect("ASCII");
            cookie.split(';').next().expect("a pair").to_owned()
        }
    };
    // A request from a socket has an address.
    let peer = ([127, 0, 0, 1], 40_000).into();
    let request = || {
        let request = TestRequest::get().uri(route).peer_addr(peer);
        request.insert_header((COOKIE, cookie.as_str())).to_request()
    };
    let region = Region::new(&ALLOCATOR);
    for _ in 0..count {
        let response = app.call(request()).await.expect("an answer");
        assert!(response.status().is_success());
    }
    let change = region.change();
    println!("{:.2} allocations per request", change.allocations as f64 / count as f64);
}
