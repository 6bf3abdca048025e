//! A release changes a field's type, so values that an earlier release stored do not decode.

use std::collections::BTreeSet;

use actix_typed_session::{
    CookieStore, EncryptedStore, FakeClock, FileStore, Key, MemoryStore, Session,
    SessionMiddleware, Sessions, TypedSession,
};
use actix_typed_session_tests::{Client, Site};
use actix_web::{
    Responder,
    web::{self, Path, ServiceConfig},
};

/// What the first release stores.
mod first {
    use super::*;

    #[derive(Session)]
    pub(super) struct Visitor {
        pub(super) user_id: Option<i64>,
        pub(super) cart: Vec<String>,
        pub(super) views: String,
        pub(super) tags: Vec<String>,
        pub(super) team: String,
        pub(super) code: String,
        pub(super) name: String,
    }

    #[derive(Session)]
    pub(super) struct Account {
        pub(super) account: Option<i64>,
        pub(super) name: String,
    }
}

/// What the second release makes of it. `user_id` and `name` are as they were.
mod second {
    use super::*;

    #[derive(Session)]
    pub(super) struct Visitor {
        #[session(privilege)]
        pub(super) user_id: Option<i64>,
        pub(super) cart: Vec<u64>,
        #[session(merge = "add")]
        pub(super) views: u64,
        #[session(merge = "union")]
        pub(super) tags: BTreeSet<u8>,
        #[session(index)]
        pub(super) team: Option<u64>,
        #[session(ttl = "15m")]
        pub(super) code: u64,
        pub(super) name: String,
    }

    #[derive(Session)]
    pub(super) struct Account {
        #[session(privilege)]
        pub(super) account: Option<String>,
        pub(super) name: String,
        pub(super) views: u64,
    }
}

async fn begin(mut session: TypedSession<first::Visitor>) -> &'static str {
    session.set_cart(vec!["pear".to_owned()]);
    session.set_views("many".to_owned());
    session.set_tags(vec!["red".to_owned()]);
    session.set_team("blue".to_owned());
    session.set_code("abc".to_owned());
    session.set_name("ann".to_owned());
    "ok"
}

async fn before(session: TypedSession<first::Visitor>) -> String {
    let first::Visitor { user_id, cart, views, tags, team, code, name } = &*session;
    format!("{user_id:?} {cart:?} {views} {tags:?} {team} {code} {name}")
}

async fn read(session: TypedSession<second::Visitor>) -> String {
    let second::Visitor { user_id, cart, views, tags, team, code, name } = &*session;
    format!("{user_id:?} {cart:?} {views} {tags:?} {team:?} {code} {name}")
}

/// Writes one field, in one of the ways that there are.
async fn write(mut session: TypedSession<second::Visitor>, way: Path<String>) -> &'static str {
    match way.as_str() {
        "set" => session.set_cart(vec![1]),
        "set the default" => session.set_cart(Vec::new()),
        "push" => session.cart_mut().push(1),
        "clear" => session.cart_mut().clear(),
        "modify" => session.modify(|visitor| visitor.cart.push(1)),
        "set a sum" => session.set_views(5),
        "set a sum to the default" => session.set_views(0),
        "add" => session.add_views(3),
        "modify a sum" => session.modify(|visitor| visitor.views += 3),
        "write a sum in place" => *session.views_mut() += 3,
        "tag" => drop(session.tags_mut().insert(7)),
        "clear tags" => session.tags_mut().clear(),
        "set an indexed field" => session.set_team(Some(9)),
        "set an indexed field to the default" => session.set_team(None),
        "take" => drop(session.take_team()),
        "set a value that ends" => session.set_code(4),
        "set a value that ends to the default" => session.set_code(0),
        way => panic!("unknown way: {way}"),
    }
    "ok"
}

async fn log_in(mut session: TypedSession<second::Visitor>) -> &'static str {
    session.set_user_id(Some(7));
    "ok"
}

fn routes(config: &mut ServiceConfig) {
    config
        .route("/begin", web::get().to(begin))
        .route("/before", web::get().to(before))
        .route("/read", web::get().to(read))
        .route("/write/{way}", web::get().to(write))
        .route("/log_in", web::get().to(log_in))
        .route("/account/begin", web::get().to(begin_account))
        .route("/account/read", web::get().to(read_account))
        .route("/account/log_in", web::get().to(log_in_to_account))
        .route("/account/set_name/{name}", web::get().to(set_name))
        .route("/account/write/{way}", web::get().to(write_account));
}

async fn visitor_at(middleware: actix_typed_session::SessionMiddlewareBuilder) -> Client {
    let mut ann = Site::unwatched(middleware).configure(routes).start().client();
    assert_eq!(ann.get("/begin").await.text(), "200 ok");
    ann
}

const OLD: &str = r#"None ["pear"] many ["red"] blue abc ann"#;

#[actix_web::test]
async fn a_field_whose_type_changed_reads_as_its_default_and_the_others_stay() {
    let mut ann = visitor_at(SessionMiddleware::builder(MemoryStore::new())).await;
    assert_eq!(ann.get("/read").await.body, "None [] 0 {} None 0 ann");
    assert_eq!(ann.get("/before").await.body, OLD, "reading changes nothing");
}

async fn a_visitor_from_before_the_release_can_log_in_at(
    middleware: actix_typed_session::SessionMiddlewareBuilder,
) {
    let mut ann = visitor_at(middleware).await;
    ann.get("/log_in").await;
    assert_eq!(ann.get("/read").await.body, "Some(7) [] 0 {} None 0 ann");
}

#[actix_web::test]
async fn a_visitor_from_before_the_release_can_log_in() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = FileStore::new(folder.path().join("sessions")).expect("a folder");
    let encrypted = EncryptedStore::new(MemoryStore::new(), [Key::generate()]).expect("a key");
    let cookie = CookieStore::new([Key::generate()]).expect("a key");
    a_visitor_from_before_the_release_can_log_in_at(SessionMiddleware::builder(MemoryStore::new()))
        .await;
    a_visitor_from_before_the_release_can_log_in_at(SessionMiddleware::builder(file)).await;
    a_visitor_from_before_the_release_can_log_in_at(SessionMiddleware::builder(encrypted)).await;
    a_visitor_from_before_the_release_can_log_in_at(SessionMiddleware::builder(cookie)).await;
}

#[actix_web::test]
async fn every_write_replaces_a_value_that_does_not_decode() {
    for (way, shown) in [
        ("set", "None [1] 0 {} None 0 ann"),
        ("push", "None [1] 0 {} None 0 ann"),
        ("modify", "None [1] 0 {} None 0 ann"),
        ("set a sum", "None [] 5 {} None 0 ann"),
        ("add", "None [] 3 {} None 0 ann"),
        ("modify a sum", "None [] 3 {} None 0 ann"),
        ("write a sum in place", "None [] 3 {} None 0 ann"),
        ("tag", "None [] 0 {7} None 0 ann"),
        ("set an indexed field", "None [] 0 {} Some(9) 0 ann"),
        ("set a value that ends", "None [] 0 {} None 4 ann"),
    ] {
        let mut ann = visitor_at(SessionMiddleware::builder(MemoryStore::new())).await;
        ann.get(&format!("/write/{}", way.replace(' ', "%20"))).await;
        assert_eq!(ann.get("/read").await.body, shown, "{way}");
    }
}

#[actix_web::test]
async fn a_write_of_the_default_replaces_a_value_that_does_not_decode() {
    for (way, left) in [
        ("set the default", r#"None [] many ["red"] blue abc ann"#),
        ("clear", r#"None [] many ["red"] blue abc ann"#),
        ("clear tags", r#"None ["pear"] many [] blue abc ann"#),
        ("set an indexed field to the default", r#"None ["pear"] many ["red"]  abc ann"#),
        ("take", r#"None ["pear"] many ["red"]  abc ann"#),
        ("set a value that ends to the default", r#"None ["pear"] many ["red"] blue  ann"#),
        ("set a sum to the default", r#"None ["pear"]  ["red"] blue abc ann"#),
    ] {
        let mut ann = visitor_at(SessionMiddleware::builder(MemoryStore::new())).await;
        ann.get(&format!("/write/{}", way.replace(' ', "%20"))).await;
        assert_eq!(ann.get("/before").await.body, left, "{way}");
    }
}

async fn begin_account(mut session: TypedSession<first::Account>) -> &'static str {
    session.set_account(Some(41));
    session.set_name("ann".to_owned());
    "ok"
}

async fn read_account(session: TypedSession<second::Account>) -> String {
    format!("{:?} {} {}", session.account, session.name, session.views)
}

async fn log_in_to_account(mut session: TypedSession<second::Account>) -> &'static str {
    session.set_account(Some("eve".to_owned()));
    "ok"
}

async fn set_name(mut session: TypedSession<second::Account>, name: Path<String>) -> String {
    session.set_name(name.into_inner());
    session.name.clone()
}

async fn write_account(mut session: TypedSession<second::Account>, way: Path<String>) -> String {
    match way.as_str() {
        "add" => session.set_views(session.views + 1),
        "modify" => session.modify(|account| account.views += 1),
        "clear" => session.name_mut().clear(),
        "log out" => session.set_account(None),
        way => panic!("unknown way: {way}"),
    }
    "ok".to_owned()
}

/// A session of both structs, whose privilege does not decode any more.
async fn account() -> Client {
    let mut ann = visitor_at(SessionMiddleware::builder(MemoryStore::new())).await;
    ann.get("/account/begin").await;
    ann
}

#[actix_web::test]
async fn a_struct_with_a_privilege_that_does_not_decode_reads_as_fresh() {
    let mut ann = account().await;
    assert_eq!(ann.get("/account/read").await.body, "None  0");
    assert_eq!(ann.get("/before").await.body, OLD, "reading changes nothing");
}

#[actix_web::test]
async fn a_login_drops_what_is_stored_of_a_struct_whose_privilege_does_not_decode() {
    let mut ann = account().await;
    ann.get("/account/log_in").await;
    assert_eq!(ann.get("/account/read").await.body, r#"Some("eve")  0"#);
    // `views` and `name` belong to both structs.
    assert_eq!(ann.get("/before").await.body, r#"None ["pear"]  ["red"] blue abc "#);
}

#[actix_web::test]
async fn the_first_write_of_a_struct_that_reads_as_fresh_counts_from_fresh() {
    for (way, shown) in
        [("add", "None  1"), ("modify", "None  1"), ("clear", "None  0"), ("log out", "None  0")]
    {
        let mut ann = account().await;
        ann.get(&format!("/account/write/{}", way.replace(' ', "%20"))).await;
        assert_eq!(ann.get("/account/read").await.body, shown, "{way}");
        ann.get("/account/log_in").await;
        assert!(ann.get("/account/read").await.body.starts_with("Some(\"eve\")"), "{way}");
    }
}

#[actix_web::test]
async fn a_value_that_is_equal_to_a_hidden_one_is_written() {
    let mut ann = account().await;
    assert_eq!(ann.get("/account/set_name/ann").await.body, "ann");
    assert_eq!(ann.get("/account/read").await.body, "None ann 0");
}

#[actix_web::test]
async fn two_extractors_see_what_a_first_write_drops() {
    let site = Site::in_memory()
        .configure(routes)
        .configure(|config| {
            config.route(
                "/both",
                web::get().to(
                    async |mut account: TypedSession<second::Account>,
                           mut visitor: TypedSession<second::Visitor>| {
                        account.set_account(Some("eve".to_owned()));
                        visitor.set_cart(vec![3]);
                        format!("{:?} {:?}", visitor.name, visitor.cart)
                    },
                ),
            );
        })
        .start();
    let mut ann = site.client();
    ann.get("/begin").await;
    ann.get("/account/begin").await;
    assert_eq!(ann.get("/both").await.body, r#""" [3]"#);
    assert_eq!(ann.get("/read").await.body, "None [3] 0 {} None 0 ");
}

#[actix_web::test]
async fn sessions_update_replaces_values_that_do_not_decode() {
    #[derive(Session)]
    struct Old {
        #[session(index)]
        user: Option<i64>,
        cart: Vec<String>,
        views: String,
    }
    #[derive(Session)]
    struct New {
        #[session(index)]
        user: Option<i64>,
        cart: Vec<u64>,
        #[session(merge = "add")]
        views: u64,
    }
    async fn begin(mut session: TypedSession<Old>) -> impl Responder {
        session.set_user(Some(7));
        session.set_cart(vec!["pear".to_owned()]);
        session.set_views("many".to_owned());
        "ok"
    }
    let clock = FakeClock::default();
    let store = MemoryStore::builder().clock(clock.clone()).build();
    let middleware = SessionMiddleware::builder(store.clone()).clock(clock.clone());
    let site = Site::unwatched(middleware).route("/begin", begin).start();
    site.client().post("/begin").await;
    let sessions = Sessions::<New>::new(store).clock(clock);
    let of_user = New::by_user(&Some(7));
    let page = sessions.list(&of_user, None, 10).await.expect("a page");
    let id = page.sessions[0].public_id();
    let change = |visitor: &mut New| {
        visitor.cart.push(1);
        visitor.views += 2;
    };
    assert!(sessions.update(&of_user, id, change).await.expect("a store").is_some());
    let session = sessions.get(&of_user, id).await.expect("a store").expect("a session");
    assert_eq!((&session.cart[..], session.views), (&[1][..], 2));
}
