//! Modules write and read fields of many kinds, in structs of many kinds.

#![deny(warnings)]

use std::{collections::BTreeMap, fmt::Display, marker::PhantomData, str::FromStr};

use actix_typed_session::{IndexKey, Session, TypedSession};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::DeserializeOwned};

/// A type that serde cannot write.
#[derive(Default, Clone, Debug, PartialEq, PartialOrd)]
pub struct Point(u8);

pub mod codecs {
    pub mod point {
        use super::super::*;

        pub fn serialize<S: Serializer>(value: &Point, serializer: S) -> Result<S::Ok, S::Error> {
            value.0.serialize(serializer)
        }

        pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Point, D::Error> {
            u8::deserialize(deserializer).map(Point)
        }

        pub mod option {
            use super::*;

            pub fn serialize<S: Serializer>(
                value: &Option<Point>,
                serializer: S,
            ) -> Result<S::Ok, S::Error> {
                value.as_ref().map(|point| point.0).serialize(serializer)
            }

            pub fn deserialize<'de, D: Deserializer<'de>>(
                deserializer: D,
            ) -> Result<Option<Point>, D::Error> {
                Ok(Option::deserialize(deserializer)?.map(Point))
            }
        }
    }
}

/// A type as a module, as `serde_with` has it.
pub struct As<T>(PhantomData<T>);

pub struct Text;

impl As<Text> {
    pub fn serialize<V: Display, S: Serializer>(
        value: &V,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub fn deserialize<'de, V: FromStr, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<V, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|_| serde::de::Error::custom("it does not parse"))
    }
}

mod pairs {
    use super::*;

    pub(super) fn serialize<K: Serialize, V: Serialize, S: Serializer>(
        value: &BTreeMap<K, V>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(value)
    }

    pub(super) fn deserialize<'de, K, V, D>(deserializer: D) -> Result<BTreeMap<K, V>, D::Error>
    where
        K: Deserialize<'de> + Ord,
        V: Deserialize<'de>,
        D: Deserializer<'de>,
    {
        Ok(Vec::deserialize(deserializer)?.into_iter().collect())
    }
}

#[derive(Session)]
#[session(namespace = "kinds")]
pub struct Kinds {
    #[session(with = "codecs::point")]
    plain: Point,
    #[session(with = "codecs::point::option", privilege, index)]
    option: Option<Point>,
    #[session(with = "crate::codecs::point", default = Point(3), ttl = "15m", merge = "reject")]
    timed: Point,
    #[session(with = "codecs::point", merge = "max", alias = "old", rename = "m", lenient)]
    most: Point,
    #[session(with = "codecs::point", merge_with = Self::ours)]
    own_rule: Point,
    #[session(with = "As::<Text>", default = 7)]
    text: u64,
    #[session(with = "pairs", merge = "union")]
    r#type: BTreeMap<(u8, u8), String>,
    doubly: Option<Option<u8>>,
}

impl Kinds {
    fn ours(_: &Point, _: Point, ours: Point) -> Point {
        ours
    }
}

#[derive(Session)]
pub struct Generic<K, V, S, const N: usize>
where
    K: Serialize + DeserializeOwned + Ord,
    V: Serialize + DeserializeOwned + PartialEq,
{
    #[session(with = "pairs", merge = "union")]
    map: BTreeMap<K, V>,
    doubly: Option<Option<S>>,
    #[session(default = [0; N].to_vec())]
    sizes: Vec<u8>,
}

async fn handler(
    mut session: TypedSession<Kinds>,
    mut generic: TypedSession<Generic<(u8, u8), String, u8, 3>>,
) {
    session.set_plain(Point(1));
    let _ = session.take_option();
    session.most_mut().0 += 1;
    session.set_text(session.text + 1);
    session.type_mut().insert((1, 2), String::new());
    session.set_doubly(Some(None));
    generic.map_mut().insert((1, 2), "x".to_owned());
    generic.set_doubly(Some(Some(1)));
}

fn main() {
    let _ = handler;
    let _: IndexKey<Kinds> = Kinds::by_option(&Some(Point(1)));
}
