//! The parts of a request, each by itself: `cargo bench -p actix-typed-session-benches --bench
//! micro`.

use std::{cell::RefCell, hint::black_box, rc::Rc};

use actix_typed_session::{
    CookieStore, EncryptedStore, Key, MemoryStore, Session, SessionId, SessionMiddleware,
    TypedSession,
    store::{LoadOptions, Patch, Record, SessionStore, StoreKey},
};
use actix_typed_session_benches::{
    rules::{COUNTER, WIDE},
    site,
};
use actix_web::{
    App, FromRequest as _, HttpRequest,
    dev::Service as _,
    http::header::{COOKIE, SET_COOKIE},
    rt,
    test::{TestRequest, init_service},
    web,
};
use criterion::{BatchSize, Criterion};
use futures_util::FutureExt as _;
use serde_json::value::to_raw_value;

#[derive(Session)]
struct One {
    views: u64,
}

/// A session of 300 bytes.
#[derive(Session)]
struct Note {
    views: u64,
    text: String,
}

macro_rules! many {
    ($($field:ident)*) => {
        #[derive(Session)]
        struct Many {
            $( $field: String, )*
        }
    };
}

many! {
    field001 field002 field003 field004 field005 field006 field007 field008 field009 field010
    field011 field012 field013 field014 field015 field016 field017 field018 field019 field020
    field021 field022 field023 field024 field025 field026 field027 field028 field029 field030
    field031 field032 field033 field034 field035 field036 field037 field038 field039 field040
    field041 field042 field043 field044 field045 field046 field047 field048 field049 field050
}

fn main() {
    let criterion = Rc::new(RefCell::new(Criterion::default().configure_from_args()));
    rt::System::new().block_on(requests(&criterion));
    rt::System::new().block_on(sealed_requests(&mut criterion.borrow_mut()));
    rt::System::new().block_on(signatures(&criterion));
    records(&mut criterion.borrow_mut());
    encrypted(&mut criterion.borrow_mut());
    criterion.borrow_mut().final_summary();
}

fn extracted<T: Session>(request: &HttpRequest) -> TypedSession<T> {
    let session = TypedSession::<T>::extract(request).now_or_never();
    session.expect("a store in memory answers at once").expect("the session is there")
}

/// What happens in a handler. It runs the measurements, because only a handler has a session.
async fn measure(
    request: HttpRequest,
    criterion: web::ThinData<Rc<RefCell<Criterion>>>,
) -> &'static str {
    let mut criterion = criterion.0.borrow_mut();
    criterion.bench_function("decode 1 field of 52", |bencher| {
        bencher.iter(|| black_box(extracted::<One>(&request).views));
    });
    criterion.bench_function("decode 50 fields of 52", |bencher| {
        bencher.iter(|| black_box(extracted::<Many>(&request).field050.len()));
    });
    let mut session = extracted::<One>(&request);
    criterion.bench_function("set a field", |bencher| {
        bencher.iter(|| session.set_views(black_box(session.views + 1)));
    });
    session.set_views(0);
    "measured"
}

async fn requests(criterion: &Rc<RefCell<Criterion>>) {
    let store = MemoryStore::new();
    let app = App::new()
        .app_data(web::ThinData(Rc::clone(criterion)))
        .route("/measure", web::get().to(measure))
        .wrap(SessionMiddleware::new(store.clone()))
        .configure(site::typed(store));
    let app = init_service(app).await;
    let seed = TestRequest::post().uri(&format!("/seed/{WIDE}")).to_request();
    let seeded = app.call(seed).await.expect("the site is seeded");
    let cookie = seeded.headers().get(SET_COOKIE).expect("it sets a cookie");
    let cookie = cookie.to_str().expect("ASCII").split(';').next().expect("a pair").to_owned();
    let request = |path: &str, cookie: &str| {
        TestRequest::get().uri(path).insert_header((COOKIE, cookie)).to_request()
    };
    let response = app.call(request("/measure", &cookie)).await.expect("an answer");
    assert!(response.status().is_success());
    let others: String = (0..20).map(|n| format!("other{n}={}; ", "x".repeat(40))).collect();
    for (name, path, cookie) in [
        ("a request, untouched", "/untouched", cookie.clone()),
        ("a request that reads", "/read", cookie.clone()),
        ("a request that reads, its cookie after 20 others", "/read", others + &cookie),
        ("a request that writes", "/write", cookie.clone()),
    ] {
        criterion.borrow_mut().bench_function(name, |bencher| {
            bencher.iter_batched(
                || request(path, &cookie),
                |request| answer(app.call(request)).is_ok(),
                BatchSize::SmallInput,
            );
        });
    }
}

/// Requests whose session is in their cookie: each one opens it, and each change seals it.
async fn sealed_requests(criterion: &mut Criterion) {
    async fn begin(mut session: TypedSession<Note>) -> &'static str {
        session.set_text("x".repeat(280));
        "begun"
    }
    async fn read(session: TypedSession<Note>) -> String {
        session.text.len().to_string()
    }
    async fn write(mut session: TypedSession<Note>) -> String {
        session.set_views(session.views + 1);
        session.views.to_string()
    }
    let store = CookieStore::new([Key::generate()]).expect("there is a key");
    let app = App::new()
        .wrap(SessionMiddleware::new(store))
        .route("/begin", web::get().to(begin))
        .route("/read", web::get().to(read))
        .route("/write", web::get().to(write));
    let app = init_service(app).await;
    let begun = app.call(TestRequest::get().uri("/begin").to_request()).await.expect("an answer");
    let cookie = begun.headers().get(SET_COOKIE).expect("it sets a cookie");
    let cookie = cookie.to_str().expect("ASCII").split(';').next().expect("a pair").to_owned();
    for (name, path) in [
        ("a request that opens 300 bytes of its cookie", "/read"),
        ("a request that opens and seals 300 bytes of its cookie", "/write"),
    ] {
        criterion.bench_function(name, |bencher| {
            bencher.iter_batched(
                || TestRequest::get().uri(path).insert_header((COOKIE, &*cookie)).to_request(),
                |request| answer(app.call(request)).is_ok(),
                BatchSize::SmallInput,
            );
        });
    }
}

/// What encryption adds to a store in memory.
fn encrypted(criterion: &mut Criterion) {
    let plain = MemoryStore::new();
    let encrypted = EncryptedStore::new(MemoryStore::new(), [Key::generate()]);
    let encrypted = encrypted.expect("there is a key");
    // The counter, and two fields of 158 characters.
    calls(criterion, "plain", &plain, &site::record(3));
    calls(criterion, "encrypted", &encrypted, &site::record(3));
}

fn calls(criterion: &mut Criterion, name: &str, store: &impl SessionStore, record: &Record) {
    let key = StoreKey::from(&SessionId::random());
    let mut patch = Patch::default();
    patch.set(COUNTER.into(), to_raw_value(&7).expect("a number").into());
    let created = store.create(&key, record).now_or_never().expect("memory answers at once");
    created.expect("it is stored");
    criterion.bench_function(&format!("load 3 fields of 340 bytes, {name}"), |bencher| {
        bencher.iter(|| store.load(&key, &LoadOptions::default()).now_or_never());
    });
    criterion.bench_function(&format!("update a number, {name}"), |bencher| {
        bencher.iter(|| store.update(&key, &patch).now_or_never());
    });
}

/// What signing costs: compare with the same without a key, and with a forged cookie, which ends
/// before the store.
async fn signatures(criterion: &Rc<RefCell<Criterion>>) {
    async fn read(session: TypedSession<One>) -> String {
        session.views.to_string()
    }
    async fn begin(mut session: TypedSession<One>) -> String {
        session.set_views(1);
        session.csrf_token()
    }
    async fn verify(session: TypedSession<One>, token: web::Path<String>) -> String {
        session.verify_csrf(&token).is_ok().to_string()
    }
    for keys in [0, 1, 3] {
        let builder = SessionMiddleware::builder(MemoryStore::new());
        let builder = match keys {
            0 => builder,
            _ => builder.signing_keys((0..keys).map(|_| Key::generate())),
        };
        let app = App::new()
            .wrap(builder.build().expect("valid settings"))
            .route("/read", web::get().to(read))
            .route("/begin", web::get().to(begin))
            .route("/verify/{token}", web::get().to(verify));
        let app = init_service(app).await;
        let begun = app.call(TestRequest::get().uri("/begin").to_request()).await;
        let begun = begun.expect("an answer");
        let cookie = begun.headers().get(SET_COOKIE).expect("it sets a cookie");
        let cookie = cookie.to_str().expect("ASCII").split(';').next().expect("a pair").to_owned();
        let token = actix_web::test::read_body(begun).await;
        let verify = format!("/verify/{}", str::from_utf8(&token).expect("ASCII"));
        // Its last character but one has no bits to spare, so it is as well-formed as the true one.
        let mut forged = cookie.clone().into_bytes();
        let place = forged.len() - 2;
        forged[place] = if forged[place] == b'A' { b'B' } else { b'A' };
        let forged = String::from_utf8(forged).expect("ASCII");
        for (name, path, cookie) in [
            ("begins a session", "/begin", "a=b"),
            ("reads", "/read", cookie.as_str()),
            ("reads, its id forged", "/read", forged.as_str()),
            ("verifies a token", verify.as_str(), cookie.as_str()),
        ] {
            criterion.borrow_mut().bench_function(&format!("{keys} keys: {name}"), |bencher| {
                bencher.iter_batched(
                    || TestRequest::get().uri(path).insert_header((COOKIE, cookie)).to_request(),
                    |request| answer(app.call(request)).is_ok(),
                    BatchSize::SmallInput,
                );
            });
        }
    }
}

/// What a site in memory answers, which it does at once.
fn answer<F: Future>(call: F) -> F::Output {
    // No other task waits for this one to yield.
    tokio::task::unconstrained(call).now_or_never().expect("a store in memory answers at once")
}

fn records(criterion: &mut Criterion) {
    let mut patch = Patch::default();
    patch.set(COUNTER.into(), to_raw_value(&7).expect("a number").into());
    for fields in [1, WIDE] {
        let record = site::record(fields);
        criterion.bench_function(&format!("commit to {fields} fields, in place"), |bencher| {
            let mut record = record.clone();
            // It is not shared.
            patch.apply_in_place(&mut record).expect("it is live");
            bencher.iter(|| patch.apply_in_place(&mut record));
        });
        criterion.bench_function(&format!("commit to {fields} fields, shared"), |bencher| {
            bencher.iter(|| patch.apply_to(&record));
        });
        let bytes = record.to_bytes();
        criterion.bench_function(&format!("write a record of {fields} fields"), |bencher| {
            bencher.iter(|| record.to_bytes());
        });
        criterion.bench_function(&format!("read a record of {fields} fields"), |bencher| {
            bencher.iter(|| Record::from_bytes(&bytes));
        });
    }
    let id = SessionId::random();
    criterion.bench_function("make an id", |bencher| bencher.iter(SessionId::random));
    criterion.bench_function("hash an id", |bencher| bencher.iter(|| StoreKey::from(&id)));
}
