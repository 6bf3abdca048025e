//! Values that cannot be stored, values that the application writes itself, and values that are
//! equal to the default.

use std::{collections::HashMap, error::Error as _, fmt::Display, str::FromStr};

use actix_typed_session::{Session, Sessions, TypedSession};
use actix_typed_session_tests::{Client, Site};
use actix_web::web;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Default)]
struct NoDefault {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    items: Vec<u8>,
    count: u8,
}

#[derive(Serialize, Deserialize)]
struct OtherDefault {
    #[serde(skip_serializing_if = "is_zero", default = "one")]
    count: u8,
}

fn is_zero(count: &u8) -> bool {
    *count == 0
}

fn one() -> u8 {
    1
}

#[derive(Session)]
struct Awkward {
    #[session(default = NoDefault { items: vec![1], count: 0 })]
    no_default: NoDefault,
    #[session(default = OtherDefault { count: 5 })]
    other_default: OtherDefault,
    /// Its default does not read back.
    untouched: NoDefault,
    pairs: HashMap<(u8, u8), u8>,
    score: Option<f64>,
    name: String,
}

#[actix_web::test]
async fn a_value_that_cannot_be_stored_names_the_field_and_the_way_out() {
    let site = Site::in_memory()
        .route("/{step}", async |mut session: TypedSession<Awkward>, step: web::Path<String>| {
            match step.as_str() {
                "no_default" => session.set_no_default(NoDefault::default()),
                "other_default" => session.set_other_default(OtherDefault { count: 0 }),
                "pairs" => session.set_pairs(HashMap::from([((1, 2), 3)])),
                "score" => session.set_score(Some(f64::NAN)),
                name => session.modify(|it| name.clone_into(&mut it.name)),
            }
            match session.save().await {
                Ok(()) => "saved".to_owned(),
                Err(error) => {
                    // The body of a 500 is empty, so this request drops the changes.
                    session.reload().await.expect("the store works");
                    let cause = error.source().map(ToString::to_string);
                    format!("{error}: {}", cause.unwrap_or_default())
                }
            }
        })
        .start();
    for (field, cause) in [
        ("no_default", "it does not read back: the value does not fit the type"),
        ("other_default", "it reads back as another value"),
        ("pairs", "a map has keys that JSON cannot have"),
        ("score", "a `Some` around NaN"),
    ] {
        if field.ends_with("default") && !cfg!(debug_assertions) {
            // Only a debug build reads every value back.
            continue;
        }
        let body = site.client().get(&format!("/{field}")).await.body;
        assert!(body.contains(&format!("`{field}`")) && body.contains(cause), "{body}");
    }
    assert_eq!(site.client().get("/ann").await.text(), "200 saved", "another field does no harm");
}

/// Writes a number as text, as modules for `serde(with)` do.
mod text {
    use std::{fmt::Display, str::FromStr};

    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub(super) fn serialize<S: Serializer>(
        value: &impl Display,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>, V: FromStr>(
        deserializer: D,
    ) -> Result<V, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|_| D::Error::custom("it is not a number"))
    }
}

/// Keys that JSON cannot have.
mod pairs {
    use std::collections::HashMap;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<K: Serialize, V: Serialize, S: Serializer>(
        value: &HashMap<K, V>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(value)
    }

    pub(super) fn deserialize<'de, D, K, V>(deserializer: D) -> Result<HashMap<K, V>, D::Error>
    where
        D: Deserializer<'de>,
        K: Deserialize<'de> + Eq + std::hash::Hash,
        V: Deserialize<'de>,
    {
        Ok(Vec::deserialize(deserializer)?.into_iter().collect())
    }
}

mod with {
    use super::*;

    #[derive(Session)]
    pub(super) struct Through {
        #[session(with = "super::text", default = 7)]
        pub(super) number: u64,
        #[session(with = "super::text", ttl = "1m")]
        pub(super) timed: i32,
        #[session(with = "super::text", merge = "max", alias = "old")]
        pub(super) most: u64,
        #[session(with = "super::pairs")]
        pub(super) board: HashMap<(u8, u8), char>,
    }

    /// The same fields as they are stored.
    #[derive(Session)]
    pub(super) struct Stored {
        pub(super) number: String,
        pub(super) most: String,
        pub(super) old: String,
        #[session(default = serde_json::Value::Null)]
        pub(super) board: serde_json::Value,
    }
}

async fn play(mut session: TypedSession<with::Through>) -> String {
    session.set_number(session.number + 1);
    *session.timed_mut() -= 3;
    session.modify(|it| it.most += 2);
    session.board_mut().insert((1, 2), 'x');
    "ok".to_owned()
}

async fn look(session: TypedSession<with::Through>) -> String {
    format!("{} {} {} {:?}", session.number, session.timed, session.most, session.board)
}

#[actix_web::test]
async fn a_module_writes_and_reads_the_field() {
    let site = Site::in_memory()
        .route("/play", play)
        .route("/look", look)
        .route("/stored", async |session: TypedSession<with::Stored>| {
            format!("{} {} {:?} {}", session.number, session.most, session.old, session.board)
        })
        .route("/old", async |mut session: TypedSession<with::Stored>| {
            session.set_old("40".to_owned());
            ""
        })
        .start();
    let mut browser = site.client();
    assert_eq!(browser.get("/look").await.body, "7 0 0 {}");
    browser.get("/old").await;
    assert_eq!(browser.get("/look").await.body, "7 0 40 {}");
    browser.get("/play").await;
    assert_eq!(browser.get("/look").await.body, "8 -3 42 {(1, 2): 'x'}");
    assert_eq!(browser.get("/stored").await.body, "8 42 \"\" [[[1,2],\"x\"]]");
    site.clock().advance(std::time::Duration::from_secs(61));
    assert_eq!(browser.get("/look").await.body, "8 0 42 {(1, 2): 'x'}");
}

#[derive(Session)]
struct Account<N: Display + FromStr + Default + 'static> {
    #[session(with = "text", index)]
    number: N,
}

#[actix_web::test]
async fn a_session_is_found_by_a_field_that_a_module_writes() {
    let site = Site::in_memory()
        .route("/", async |mut session: TypedSession<Account<u64>>| {
            session.set_number(u64::MAX);
            ""
        })
        .start();
    site.client().get("/").await;
    let sessions = Sessions::<Account<u64>>::new(site.store.clone());
    let found = sessions.list(&Account::by_number(&u64::MAX), None, 10).await.expect("a store");
    assert_eq!(found.sessions[0].number, u64::MAX);
    let other = sessions.list(&Account::by_number(&7), None, 10).await.expect("a store");
    assert!(other.sessions.is_empty());
}

mod releases {
    use super::*;

    #[derive(Session)]
    pub(super) struct First {
        #[session(default = "light".to_owned())]
        pub(super) theme: String,
        pub(super) choice: Option<String>,
        pub(super) name: String,
    }

    #[derive(Session)]
    pub(super) struct Second {
        #[session(default = "dark".to_owned())]
        pub(super) theme: String,
        pub(super) choice: Option<String>,
    }
}

async fn choose_light(mut session: TypedSession<releases::First>) -> &'static str {
    session.set_name("ann".to_owned());
    session.set_theme("light".to_owned());
    session.set_choice(Some("light".to_owned()));
    "ok"
}

async fn later(session: TypedSession<releases::Second>) -> String {
    format!("{} {}", session.theme, session.choice.as_deref().unwrap_or("dark"))
}

#[actix_web::test]
async fn a_choice_of_the_default_follows_a_later_default_and_an_option_keeps_it() {
    let site = Site::in_memory().route("/choose", choose_light).route("/later", later).start();
    let mut browser: Client = site.client();
    browser.get("/choose").await;
    assert_eq!(browser.get("/later").await.body, "dark light");
}
