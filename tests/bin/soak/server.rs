//! The site under load, in its own process: `soak serve STORE PLACE`.

use std::{collections::BTreeSet, time::Duration};

use actix_typed_session::{
    FileStore, MemoryStore, RedisStore, Session, SessionError, SessionMiddleware, Sessions,
    TypedSession,
    store::{FindByIndex, SessionStore},
};
use actix_web::{App, HttpResponse, HttpServer, web};
use serde::Deserialize;

use crate::log::{ABSOLUTE, Act, GRACE, MAX_AGE, SHORT_AGE, Seen};

/// How often expired sessions are freed.
pub(crate) const SWEEP: Duration = Duration::from_secs(5);

#[derive(Session)]
struct Visitor {
    owner: u64,
    #[session(privilege, index)]
    user: u64,
    #[session(merge = "add")]
    count: u64,
    text: u64,
    #[session(merge = "union")]
    tags: BTreeSet<u64>,
    #[session(ttl = "2s")]
    code: u64,
}

/// Serves until the process is killed. Prints the port.
pub(crate) fn serve(store: &str, place: &str) {
    match store {
        "memory" => {
            // No session may evict another.
            let store = MemoryStore::builder().capacity(1_000_000).sweep_interval(Some(SWEEP));
            let store = store.build();
            let held = store.clone();
            run(store, move || held.len());
        }
        "file" => {
            let store = FileStore::builder(place).sweep_interval(Some(SWEEP)).build();
            run(store.expect("a writable folder"), || 0);
        }
        "redis" => {
            let store = RedisStore::builder(place).connect_timeout(Duration::from_millis(500));
            let store = store.response_timeout(Duration::from_millis(500)).build();
            run(store.expect("a good URL"), || 0);
        }
        other => panic!("no store is called {other}"),
    }
}

fn run<S>(store: S, held: impl Fn() -> usize + Clone + Send + 'static)
where
    S: SessionStore + FindByIndex + Clone,
{
    let sessions = SessionMiddleware::builder(store.clone())
        .max_age(MAX_AGE)
        .absolute_lifetime(ABSOLUTE)
        .renewal_grace(GRACE)
        .build()
        .expect("good settings");
    let of_users = web::Data::new(Sessions::<Visitor>::new(store).max_age(MAX_AGE));
    let app = move || {
        let held = held.clone();
        App::new()
            .app_data(of_users.clone())
            .wrap(sessions.clone())
            .route("/held", web::get().to(move || std::future::ready(held().to_string())))
            .route("/revoke", web::get().to(revoke))
            .route("/act", web::get().to(act))
    };
    let server = async {
        let server = HttpServer::new(app)
            .workers(2)
            // Memory follows the number of threads, which follows the load, so it is one that is
            // soon reached.
            .worker_max_blocking_threads(16)
            // The server does not close the connection of a client that waits too long.
            .keep_alive(Duration::from_secs(300))
            .bind(("127.0.0.1", 0))?;
        println!("{}", server.addrs()[0].port());
        server.run().await
    };
    actix_web::rt::System::new().block_on(server).expect("a free port");
}

#[derive(Deserialize)]
struct Order {
    act: Act,
    number: u64,
    user: u64,
}

async fn act(
    order: web::Query<Order>,
    mut session: TypedSession<Visitor>,
    of_users: web::Data<Sessions<Visitor>>,
) -> Result<HttpResponse, SessionError> {
    let seen = Seen {
        owner: session.owner,
        user: session.user,
        count: session.count,
        text: session.text,
        tags: session.tags.clone(),
        code: session.code,
    };
    let number = order.number;
    if order.act == Act::Regenerate {
        session.regenerate();
    }
    if order.act.writes() && session.owner == 0 {
        session.set_owner(number);
    }
    match order.act {
        Act::Read | Act::Regenerate | Act::Revoke => {}
        Act::Add | Act::Save => session.set_count(session.count + 1),
        Act::Text | Act::Fail => session.set_text(number),
        Act::Tag => drop(session.tags_mut().insert(number)),
        Act::Code => session.set_code(number),
        Act::ShortAge => session.set_max_age(SHORT_AGE),
        Act::LongAge => session.set_max_age(MAX_AGE),
        Act::Login => session.set_user(order.user),
        Act::Logout => session.destroy(),
        Act::Renew => session.renew(),
        Act::EndOthers => {
            let mine = Visitor::by_user(&session.user);
            of_users.destroy_others(&mine, session.handle()).await?;
        }
    }
    match order.act {
        Act::Save => session.save().await?,
        Act::Fail => return Ok(HttpResponse::InternalServerError().json(seen)),
        _ => {}
    }
    Ok(HttpResponse::Ok().json(seen))
}

async fn revoke(
    order: web::Query<Order>,
    of_users: web::Data<Sessions<Visitor>>,
) -> Result<HttpResponse, SessionError> {
    of_users.destroy_all(&Visitor::by_user(&order.user)).await?;
    Ok(HttpResponse::Ok().finish())
}
