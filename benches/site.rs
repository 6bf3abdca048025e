//! The site that every contestant serves, here bare and with sessions of this library.
//!
//! | route | does |
//! | --- | --- |
//! | `GET /untouched` | nothing with the session |
//! | `GET /read` | reads a counter |
//! | `GET /read_8` | reads the counter and seven other fields |
//! | `GET /write` | adds one to the counter, as any other field is set |
//! | `GET /add` | adds one to a field with `merge = "add"`; the others have none, so they write |
//! | `POST /fill/{sessions}` | begins this number of small sessions, without returning their ids |
//! | `POST /seed/{fields}` | begins a session: the counter, and other fields of 158 characters |
//!
//! The bare site answers with a number that is always the same.

use std::{hint::black_box, rc::Rc, time::Duration};

use actix_typed_session::{
    Clock as _, Session, SessionId, SystemClock, TypedSession,
    store::{Patch, Record, SessionStore, StoreKey},
};
use actix_web::{HttpResponse, web};
use futures_util::{
    future::{FutureExt as _, LocalBoxFuture},
    stream::{self, StreamExt as _},
};
use serde_json::value::to_raw_value;

use crate::rules::{COUNTER, UNTOUCHED, padding};

/// The session as the routes see it.
#[derive(Session)]
struct Visitor {
    views: u64,
}

/// The counter of the README: additions at the same moment add up.
#[derive(Session)]
struct Hits {
    #[session(merge = "add")]
    hits: u64,
}

/// The eight fields of a session of [`SOME`](crate::rules::SOME) fields.
#[derive(Session)]
struct Profile {
    views: u64,
    field001: String,
    field002: String,
    field003: String,
    field004: String,
    field005: String,
    field006: String,
    field007: String,
}

/// The routes without sessions.
pub fn bare(config: &mut web::ServiceConfig) {
    config
        .route("/untouched", web::get().to(untouched))
        .route("/read", web::get().to(number))
        .route("/write", web::get().to(number))
        .route("/seed/{fields}", web::post().to(untouched));
}

/// The routes without sessions that only the comparison over HTTP has. They are apart, because more
/// routes and structs change what a request in process costs. They go first, because Actix tries
/// the routes in order, and compares one with a parameter by a regular expression.
pub fn bare_more(config: &mut web::ServiceConfig) {
    config.route("/read_8", web::get().to(number)).route("/add", web::get().to(number));
}

/// The routes with sessions that only the comparison over HTTP has, as [`bare_more`].
pub fn typed_more(config: &mut web::ServiceConfig) {
    config.route("/read_8", web::get().to(read_8)).route("/add", web::get().to(add));
}

/// The routes with sessions in this store.
pub fn typed<S: SessionStore + Clone>(store: S) -> impl Fn(&mut web::ServiceConfig) + Clone {
    move |config| {
        let seeder = Seeder::new(store.clone());
        config
            .app_data(web::ThinData(seeder))
            .route("/untouched", web::get().to(untouched))
            .route("/read", web::get().to(read))
            .route("/write", web::get().to(write))
            .route("/fill/{sessions}", web::post().to(fill))
            .route("/seed/{fields}", web::post().to(seed));
    }
}

async fn untouched() -> &'static str {
    UNTOUCHED
}

/// What the bare site has in place of a counter.
async fn number() -> String {
    black_box(1_u64).to_string()
}

async fn read(session: TypedSession<Visitor>) -> String {
    session.views.to_string()
}

async fn read_8(session: TypedSession<Profile>) -> String {
    let texts = [
        &session.field001,
        &session.field002,
        &session.field003,
        &session.field004,
        &session.field005,
        &session.field006,
        &session.field007,
    ];
    let length: usize = texts.iter().map(|text| text.len()).sum();
    (length as u64 + session.views).to_string()
}

async fn add(mut session: TypedSession<Hits>) -> String {
    session.set_hits(session.hits + 1);
    session.hits.to_string()
}

async fn write(mut session: TypedSession<Visitor>) -> String {
    session.set_views(session.views + 1);
    session.views.to_string()
}

async fn seed(fields: web::Path<usize>, seeder: web::ThinData<Seeder>) -> HttpResponse {
    let id = (seeder.0.0)(*fields).await;
    // As the middleware with the default settings writes it.
    let cookie = format!("__Host-session={}; HttpOnly; SameSite=Lax; Secure; Path=/", id.as_str());
    HttpResponse::Ok().insert_header(("set-cookie", cookie)).finish()
}

async fn fill(sessions: web::Path<usize>, seeder: web::ThinData<Seeder>) -> &'static str {
    stream::iter(0..*sessions).for_each_concurrent(64, |_| (seeder.0.0)(1).map(drop)).await;
    "filled"
}

/// Stores sessions with any number of fields, without a struct.
#[derive(Clone)]
struct Seeder(Rc<dyn Fn(usize) -> LocalBoxFuture<'static, SessionId>>);

impl Seeder {
    fn new<S: SessionStore + Clone>(store: S) -> Self {
        Self(Rc::new(move |fields| {
            let store = store.clone();
            async move {
                let id = SessionId::random();
                let record = record(fields);
                store.create(&StoreKey::from(&id), &record).await.expect("the store works");
                id
            }
            .boxed_local()
        }))
    }
}

/// A session with this number of fields.
pub fn record(fields: usize) -> Record {
    let mut patch = Patch::default();
    patch.set(COUNTER.into(), to_raw_value(&0).expect("a number").into());
    for (name, text) in padding(fields) {
        patch.set(name.into(), to_raw_value(&text).expect("a string").into());
    }
    let now = SystemClock.now();
    let new = Record::new(now, now.saturating_add(Duration::from_secs(72_000)));
    patch.apply_to(&new).expect("a live record takes a patch")
}
