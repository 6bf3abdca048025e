#![deny(warnings, clippy::pedantic)]
#![allow(clippy::trivially_copy_pass_by_ref, reason = "merge functions take references")]

use actix_typed_session::{Session, TypedSession, Union};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

#[derive(Default, Clone, PartialEq, PartialOrd, Serialize, Deserialize)]
pub struct Score(f32);

#[derive(Default, Clone, Serialize, Deserialize)]
pub struct Tags(Vec<String>);

impl Union for Tags {
    fn three_way(base: &Self, mut theirs: Self, ours: Self) -> Self {
        theirs.0.extend(ours.0.into_iter().filter(|tag| !base.0.contains(tag)));
        theirs
    }
}

mod rules {
    pub fn longest(_: &String, theirs: String, ours: String) -> String {
        if theirs.len() > ours.len() { theirs } else { ours }
    }

    pub fn any<T>(_: &T, _: T, ours: T) -> T {
        ours
    }
}

#[derive(Session)]
struct Visitor {
    #[session(merge = "max")]
    best: Score,
    #[session(merge = "min", default = 100)]
    cheapest: u32,
    #[session(merge = "max")]
    last_seen: Option<u64>,
    #[session(merge = "union")]
    seen: BTreeSet<u32>,
    #[session(merge = "union", privilege)]
    roles: HashSet<String>,
    #[session(merge = "union")]
    cart: BTreeMap<String, u32>,
    #[session(merge = "union", lenient)]
    settings: HashMap<String, String>,
    #[session(merge = "union")]
    tags: Tags,
    #[session(merge = "reject")]
    step: u8,
    #[session(merge_with = rules::longest, rename = "n")]
    name: String,
    #[session(merge_with = rules::any::<u8>)]
    any: u8,
    #[session(merge_with = Visitor::both)]
    own: u8,
    #[session(merge_with = Self::both)]
    itself: u8,
}

impl Visitor {
    fn both(_: &u8, theirs: u8, ours: u8) -> u8 {
        theirs | ours
    }
}

#[derive(Session)]
struct Generic<T, K>
where
    T: PartialOrd + Default + Serialize + DeserializeOwned,
    K: Ord + Default + Serialize + DeserializeOwned,
{
    #[session(merge = "max")]
    best: T,
    #[session(merge = "union")]
    seen: BTreeSet<K>,
    #[session(merge_with = rules::any)]
    any: Vec<T>,
    #[session(merge = "reject")]
    step: Option<K>,
}

async fn handler(
    mut session: TypedSession<Visitor>,
    mut generic: TypedSession<Generic<u8, String>>,
) {
    session.set_best(Score(1.0));
    session.seen_mut().insert(session_id());
    session.roles_mut().insert("admin".to_owned());
    session.cart_mut().insert("apple".to_owned(), 1);
    session.settings_mut().clear();
    session.tags_mut().0.clear();
    session.set_step(1);
    session.set_name(String::new());
    session.set_cheapest(*session.cheapest());
    session.set_any(session.own);
    session.set_itself(0);
    generic.set_best(3);
    generic.seen_mut().insert(String::new());
    generic.any_mut().clear();
    drop(generic.take_step());
    let _ = session.last_seen;
}

fn session_id() -> u32 {
    7
}

fn main() {
    let _ = handler;
}
