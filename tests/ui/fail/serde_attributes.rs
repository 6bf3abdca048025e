use actix_typed_session::{Session, TypedSession};
use serde::{Deserialize, Serialize};

#[derive(Session, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct Visitor {
    #[serde(skip)]
    password: String,
    #[serde(rename = "uid", alias = "user")]
    user_id: Option<i64>,
    #[serde(default = "five")]
    #[session(merge = "add")]
    five: u64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    cart: Vec<u32>,
    #[serde(with = "text")]
    number: u64,
    #[serde(flatten)]
    point: Point,
    #[cfg_attr(all(), serde(skip_serializing))]
    hidden: u64,
    #[cfg_attr(any(), serde(skip))]
    shown: u64,
}

// Without a derive of serde.
#[derive(Session)]
#[serde(transparent)]
struct Alone {
    #[serde(rename(serialize = "a"), deserialize_with = "text::deserialize", borrow, other)]
    value: u64,
    #[serde]
    empty: u64,
}

#[derive(Default, Serialize, Deserialize)]
struct Point {
    x: i32,
}

impl Default for Visitor {
    fn default() -> Self {
        unimplemented!()
    }
}

fn five() -> u64 {
    5
}

mod text {
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(value: &u64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
        u64::deserialize(deserializer)
    }
}

// Using a struct with mistakes causes no follow-up errors.
async fn handler(mut session: TypedSession<Visitor>, mut alone: TypedSession<Alone>) {
    session.set_number(session.number + 1);
    session.add_five(1);
    alone.set_value(1);
}

fn main() {}
