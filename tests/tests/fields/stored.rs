//! How fields read values that are old, new, foreign or broken.

use std::collections::{BTreeMap, HashMap};

use actix_typed_session::{Session, TypedSession};
use actix_typed_session_tests::{Client, Site};
use actix_web::{
    HttpRequest, HttpResponse, Responder,
    web::{self, ServiceConfig},
};

/// Serves routes with one store. Several structs, like several releases of a program, see the same
/// sessions.
async fn browse(routes: fn(&mut ServiceConfig)) -> Client {
    Site::in_memory().configure(routes).start().client()
}

#[derive(Session)]
struct Old {
    views: u64,
    name: String,
    extra: Vec<u32>,
}

async fn old(mut session: TypedSession<Old>) -> impl Responder {
    session.set_views(41);
    session.set_name("ann".to_owned());
    session.set_extra(vec![1, 2]);
    "ok"
}

async fn read_old(session: TypedSession<Old>) -> impl Responder {
    format!("{} {} {:?}", session.views, session.name, session.extra)
}

#[actix_web::test]
async fn fields_that_this_build_does_not_know_survive_every_write() {
    #[derive(Session)]
    struct New {
        views: u64,
    }
    let mut browser = browse(|config| {
        config.route("/old", web::get().to(old)).route("/read", web::get().to(read_old)).route(
            "/new",
            web::get().to(async |mut session: TypedSession<New>| {
                session.set_views(session.views + 1);
                session.renew();
                "ok"
            }),
        );
    })
    .await;
    browser.get("/old").await;
    browser.get("/new").await;
    assert_eq!(browser.get("/read").await.body, "42 ann [1, 2]");
}

#[derive(Session)]
struct Changed {
    views: String,
    name: String,
}

#[actix_web::test]
async fn a_value_that_does_not_decode_reads_as_its_default_and_stays_until_it_is_written() {
    let mut browser = browse(|config| {
        config
            .route("/old", web::get().to(old))
            .route("/read", web::get().to(read_old))
            .route(
                "/changed",
                web::get().to(async |session: TypedSession<Changed>| {
                    format!("{:?} {:?}", session.views, session.name)
                }),
            )
            .route(
                "/rename",
                web::get().to(async |mut session: TypedSession<Changed>| {
                    session.set_name("bob".to_owned());
                    "ok"
                }),
            )
            .route(
                "/overwrite",
                web::get().to(async |mut session: TypedSession<Changed>| {
                    session.set_views(String::new());
                    "ok"
                }),
            );
    })
    .await;
    browser.get("/old").await;
    assert_eq!(browser.get("/changed").await.text(), "200 \"\" \"ann\"");
    assert_eq!(browser.get("/read").await.body, "41 ann [1, 2]", "reading touches nothing");
    browser.get("/rename").await;
    assert_eq!(browser.get("/read").await.body, "41 bob [1, 2]", "the broken field is still there");
    browser.get("/overwrite").await;
    assert_eq!(browser.get("/changed").await.body, "\"\" \"bob\"");
    assert_eq!(browser.get("/read").await.body, "0 bob [1, 2]", "now the old type does not fit");
}

#[actix_web::test]
async fn a_lenient_field_resets_itself_alone_and_a_strict_struct_refuses() {
    #[derive(Session)]
    struct Lenient {
        #[session(lenient, default = "unknown".to_owned())]
        views: String,
        name: String,
    }
    #[derive(Session)]
    #[session(strict)]
    struct Strict {
        views: String,
    }
    let mut browser = browse(|config| {
        config
            .route("/old", web::get().to(old))
            .route(
                "/lenient",
                web::get().to(async |session: TypedSession<Lenient>| {
                    format!("{} {}", session.views, session.name)
                }),
            )
            .route(
                "/strict",
                web::get().to(async |session: TypedSession<Strict>| session.views.clone()),
            )
            .route("/read", web::get().to(read_old));
    })
    .await;
    browser.get("/old").await;
    assert_eq!(browser.get("/lenient").await.text(), "200 unknown ann");
    let refused = browser.get("/strict").await;
    assert_eq!(refused.text(), "500 ", "and the client learns nothing");
    assert_eq!(browser.get("/read").await.body, "41 ann [1, 2]");
}

#[actix_web::test]
async fn a_renamed_field_reads_its_aliases_and_moves_with_the_first_write() {
    #[derive(Session)]
    struct Renamed {
        #[session(rename = "n", alias = "nick", alias = "name")]
        full_name: String,
        #[session(alias = "views", merge = "add")]
        visits: i64,
    }
    let mut browser = browse(|config| {
        config
            .route("/old", web::get().to(old))
            .route("/read", web::get().to(read_old))
            .route(
                "/renamed",
                web::get().to(async |session: TypedSession<Renamed>| {
                    format!("{} {}", session.full_name, session.visits)
                }),
            )
            .route(
                "/undo",
                web::get().to(async |mut session: TypedSession<Renamed>| {
                    session.set_full_name("bob".to_owned());
                    session.set_full_name("ann".to_owned());
                    session.add_visits(5);
                    session.add_visits(-5);
                    "ok"
                }),
            )
            .route(
                "/write",
                web::get().to(async |mut session: TypedSession<Renamed>| {
                    session.set_full_name("bob".to_owned());
                    session.set_visits(session.visits + 1);
                    "ok"
                }),
            );
    })
    .await;
    browser.get("/old").await;
    assert_eq!(browser.get("/renamed").await.body, "ann 41");
    browser.get("/undo").await;
    assert_eq!(browser.get("/read").await.body, "41 ann [1, 2]", "what is undone moves nothing");
    browser.get("/write").await;
    assert_eq!(browser.get("/renamed").await.body, "bob 42");
    assert_eq!(browser.get("/read").await.body, "0  [1, 2]", "the old names are gone");
}

#[actix_web::test]
async fn defaults_count_and_are_not_stored() {
    #[derive(Session)]
    struct Defaults {
        #[session(merge = "add", default = 10)]
        stock: u32,
        #[session(default = Some(3))]
        choice: Option<u8>,
        #[session(default)]
        plain: bool,
        #[session(skip, default = 7)]
        unsaved: u8,
    }
    let mut browser = browse(|config| {
        config.route(
            "/{step}",
            web::get().to(async |mut session: TypedSession<Defaults>, step: web::Path<String>| {
                match step.as_str() {
                    "same" => {
                        session.set_stock(10);
                        session.set_choice(Some(3));
                        session.set_plain(false);
                        session.set_unsaved(9);
                        *session.unsaved_mut() += 1;
                    }
                    "sell" => session.set_stock(session.stock - 1),
                    "take" => drop(session.take_choice()),
                    _ => {}
                }
                format!(
                    "{} {:?} {} {}",
                    session.stock, session.choice, session.plain, session.unsaved
                )
            }),
        );
    })
    .await;
    assert_eq!(browser.get("/read").await.body, "10 Some(3) false 7");
    let same = browser.get("/same").await;
    assert_eq!(same.body, "10 Some(3) false 10");
    assert_eq!(same.set_cookie(), None, "a default that is written is no change");
    browser.get("/sell").await;
    browser.get("/sell").await;
    browser.get("/take").await;
    assert_eq!(browser.get("/read").await.body, "8 None false 7");
}

#[actix_web::test]
async fn namespaces_keep_fields_of_one_name_apart() {
    #[derive(Session)]
    #[session(namespace = "shop")]
    struct Shop {
        name: String,
    }
    let mut browser = browse(|config| {
        config.route("/old", web::get().to(old)).route(
            "/shop",
            web::get().to(async |mut shop: TypedSession<Shop>, old: TypedSession<Old>| {
                shop.set_name(format!("{}x", shop.name));
                format!("{} {}", shop.name, old.name)
            }),
        );
    })
    .await;
    browser.get("/old").await;
    assert_eq!(browser.get("/shop").await.body, "x ann");
    assert_eq!(browser.get("/shop").await.body, "xx ann");
}

#[actix_web::test]
async fn a_map_in_another_order_is_not_a_change() {
    #[derive(Session)]
    struct Maps {
        map: HashMap<u32, u32>,
    }
    let site = Site::in_memory()
        .route("/", async |mut session: TypedSession<Maps>| {
            session.set_map((0..50).map(|n| (n, n)).collect());
            session.map_mut().entry(1).and_modify(|n| *n += 0);
            "ok"
        })
        .start();
    let mut browser = site.client();
    for _ in 0..5 {
        // Each map iterates in another order.
        browser.get("/").await;
    }
    assert_eq!(site.store_calls(), "create 1, load 4");
}

#[actix_web::test]
async fn an_addition_outside_the_type_saturates() {
    #[derive(Session)]
    struct Small {
        #[session(merge = "add")]
        small: u8,
        #[session(merge = "add")]
        real: f64,
    }
    let mut browser = browse(|config| {
        config.route(
            "/",
            web::get().to(async |mut session: TypedSession<Small>, request: HttpRequest| {
                match request.query_string() {
                    "up" => session.add_small(200),
                    "down" => session.set_small(0),
                    "half" => session.add_real(0.5),
                    "nan" => session.add_real(f64::NAN),
                    _ => {}
                }
                HttpResponse::Ok().body(format!("{} {}", session.small, session.real))
            }),
        );
    })
    .await;
    browser.get("/?up").await;
    assert_eq!(browser.get("/?up").await.body, "255 0");
    assert_eq!(browser.get("/").await.body, "255 0");
    browser.get("/?half").await;
    assert_eq!(browser.get("/?half").await.body, "255 1");
    assert_eq!(browser.get("/?nan").await.status, 500);
    assert_eq!(browser.get("/").await.body, "255 1");
}

#[derive(Session)]
struct Cart<I, const N: usize = 3>
where
    I: Clone,
{
    items: Vec<I>,
    #[session(default = [0; N].to_vec())]
    sizes: Vec<u8>,
}

#[actix_web::test]
async fn a_generic_struct_is_a_session() {
    let mut browser = browse(|config| {
        config.route(
            "/",
            web::get().to(async |mut session: TypedSession<Cart<String, 2>>| {
                session.items_mut().push("x".to_owned());
                format!("{:?} {:?}", session.items, session.sizes)
            }),
        );
    })
    .await;
    browser.get("/").await;
    assert_eq!(browser.get("/").await.body, "[\"x\", \"x\"] [0, 0]");
}

#[derive(Session)]
struct Keywords {
    r#type: String,
    #[session(accessor = "identity")]
    id: u32,
    #[cfg(all(unix, windows))]
    never: NoSuchType,
    #[cfg(any(unix, windows))]
    always: BTreeMap<String, u8>,
}

#[actix_web::test]
async fn raw_identifiers_accessor_names_and_cfg_work() {
    let mut browser = browse(|config| {
        config.route(
            "/",
            web::get().to(async |mut session: TypedSession<Keywords>| {
                session.set_type(format!("{}t", session.r#type()));
                session.set_identity(session.id + 1);
                session.always_mut().insert("a".to_owned(), 1);
                format!(
                    "{} {} {} {:?}",
                    session.r#type,
                    session.id,
                    session.identity(),
                    session.always()
                )
            }),
        );
    })
    .await;
    browser.get("/").await;
    assert_eq!(browser.get("/").await.body, "tt 2 2 {\"a\": 1}");
}

macro_rules! wide {
    ($($field:ident)*) => {
        #[derive(Session)]
        struct Wide {
            $($field: u32,)*
        }
    };
}

wide! {
    a00 a01 a02 a03 a04 a05 a06 a07 a08 a09 a10 a11 a12 a13 a14 a15 a16 a17 a18 a19
    b00 b01 b02 b03 b04 b05 b06 b07 b08 b09 b10 b11 b12 b13 b14 b15 b16 b17 b18 b19
    c00 c01 c02 c03 c04 c05 c06 c07 c08 c09 c10 c11 c12 c13 c14 c15 c16 c17 c18 c19
    d00 d01 d02 d03 d04 d05 d06 d07 d08 d09 d10 d11 d12 d13 d14 d15 d16 d17 d18 d19
    e00 e01 e02 e03 e04 e05 e06 e07 e08 e09 e10 e11 e12 e13 e14 e15 e16 e17 e18 e19
    f00 f01 f02 f03 f04 f05 f06 f07 f08 f09 f10 f11 f12 f13 f14 f15 f16 f17 f18 f19
    g00 g01 g02 g03 g04 g05 g06 g07 g08 g09 g10 g11 g12 g13 g14 g15 g16 g17 g18 g19
    h00 h01 h02 h03 h04 h05 h06 h07 h08 h09 h10 h11 h12 h13 h14 h15 h16 h17 h18 h19
    i00 i01 i02 i03 i04 i05 i06 i07 i08 i09 i10 i11 i12 i13 i14 i15 i16 i17 i18 i19
    j00 j01 j02 j03 j04 j05 j06 j07 j08 j09 j10 j11 j12 j13 j14 j15 j16 j17 j18 j19
}

#[actix_web::test]
async fn a_struct_of_200_fields_is_a_session() {
    let mut browser = browse(|config| {
        config.route(
            "/",
            web::get().to(async |mut session: TypedSession<Wide>| {
                session.modify(|wide| {
                    wide.a00 += 1;
                    wide.j19 += 2;
                });
                session.set_e10(session.a00 + session.j19);
                format!("{} {} {}", session.a00, session.e10, session.j19)
            }),
        );
    })
    .await;
    browser.get("/").await;
    assert_eq!(browser.get("/").await.body, "2 6 4");
}

/// Generated code must not confuse these with the standard library's.
mod shadows {
    #![deny(warnings, missing_docs)]
    #![allow(dead_code, reason = "the names are there to be in the way")]

    use actix_typed_session::Session;

    struct Result;
    struct Option;
    struct String;
    struct Vec;
    struct Box;
    struct Some;
    struct None;
    struct Ok;
    struct Err;
    trait Default {}
    trait Deref {}
    trait From {}
    trait Fn {}
    trait FnOnce {}

    /// A session among them.
    #[derive(Session)]
    pub(crate) struct Shadowed {
        /// A field with docs.
        #[session(privilege)]
        pub(crate) user: ::std::option::Option<u32>,
        pub(super) name: ::std::string::String,
        #[session(merge = "add")]
        views: i32,
        #[session(skip)]
        scratch: ::std::vec::Vec<u8>,
    }

    impl Shadowed {
        pub(crate) fn views(&self) -> i32 {
            self.views + self.scratch.len() as i32
        }
    }
}

#[actix_web::test]
async fn names_of_the_standard_library_may_be_shadowed() {
    let mut browser = browse(|config| {
        config.route(
            "/",
            web::get().to(async |mut session: TypedSession<shadows::Shadowed>| {
                session.set_name(format!("{}x", session.name));
                session.set_user(Some(1));
                let taken = session.take_user();
                format!("{} {:?} {:?}", session.name, session.user(), taken)
            }),
        );
    })
    .await;
    browser.get("/").await;
    assert_eq!(browser.get("/").await.body, "xx None Some(1)");
}
