//! Structs with parameters, bounds and defaults of them.

use std::{collections::BTreeMap, fmt::Debug, marker::PhantomData};

use actix_typed_session::{Session, TypedSession};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

#[derive(Session)]
pub struct Plain<T> {
    pub value: T,
    pub list: Vec<T>,
    pub maybe: Option<T>,
    #[session(skip)]
    pub scratch: T,
}

#[derive(Session)]
#[session(namespace = "bounded", fields = "BoundedAccessors")]
struct Bounded<K: Ord + Debug, V = u8, const N: usize = 4>
where
    V: Clone,
    Vec<V>: Debug,
{
    map: BTreeMap<K, Vec<V>>,
    #[session(default = [0; 4])]
    array: [u8; 4],
    marker: PhantomData<(K, V, &'static str)>,
    #[session(merge = "add")]
    views: u64,
    matrix: Matrix<N>,
}

#[derive(Clone, Default, Serialize, Deserialize)]
struct Matrix<const N: usize>(Vec<u8>);

/// The names that generated code could have chosen for itself.
#[derive(Session)]
struct Names<T, F, V, S, R> {
    a: T,
    b: F,
    c: V,
    d: S,
    e: R,
}

#[derive(Session)]
struct Add<T: Default> {
    #[session(default = T::default(), privilege)]
    value: T,
    #[session(merge = "add")]
    counter: T,
}

trait Kind {
    type Item;
}

#[derive(Session)]
struct Associated<K: Kind> {
    item: K::Item,
    qualified: Option<<K as Kind>::Item>,
}

/// Not stored, so nothing is asked of it but a default.
#[derive(Default)]
struct Opaque;

#[derive(Session)]
struct Skipping<T: Default> {
    #[session(skip)]
    opaque: Opaque,
    #[session(skip)]
    value: T,
}

#[derive(Default, Serialize, Deserialize, Session)]
struct Tree<T> {
    value: T,
    children: Vec<Self>,
    parent: Option<Box<Tree<T>>>,
}

fn generic_handler<T>(mut session: TypedSession<Plain<T>>)
where
    T: Serialize + DeserializeOwned + Default + Clone + 'static,
{
    let value = session.value.clone();
    session.set_value(value);
    session.list_mut().push(T::default());
    let _: Option<T> = session.take_maybe();
    session.set_scratch(session.value.clone());
}

fn handler(
    mut bounded: TypedSession<Bounded<String>>,
    mut names: TypedSession<Names<u8, u16, u32, String, bool>>,
    mut add: TypedSession<Add<i32>>,
    _: PlainSession<Vec<u8>>,
    _: BoundedAccessors<u8, u8, 3>,
    mut skipping: TypedSession<Skipping<Opaque>>,
    tree: TypedSession<Tree<u8>>,
) {
    bounded.add_views(1);
    bounded.map_mut().clear();
    names.set_c(names.a.into());
    add.add_counter(2);
    skipping.set_value(Opaque);
    let _: &Vec<Tree<u8>> = tree.children();
}

fn main() {
    let _ = generic_handler::<String>;
    let _ = handler;
}
