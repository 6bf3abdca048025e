//! A session with a field of each kind, and values that must read back exactly.

use std::{collections::BTreeMap, sync::Arc};

use actix_typed_session::{
    Session, SessionError, SessionMiddlewareBuilder, Sessions, TypedSession,
};
use actix_web::web;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

use crate::{Client, Site, site::SiteBuilder};

macro_rules! values {
    ($($(#[$attribute:meta])* $field:ident: $type:ty, $set:ident, $edit:ident;)*) => {
        /// A field of each kind.
        #[derive(Session, Debug)]
        pub struct Values {
            /// Lets `Sessions` find the session.
            #[session(index)]
            pub user: Option<u8>,
            $(
                /// One of them.
                $(#[$attribute])*
                pub $field: $type,
            )*
        }

        /// Values of these fields.
        #[derive(Clone, Debug, Default)]
        pub struct Row {
            $(
                /// One of them.
                pub $field: $type,
            )*
        }

        impl Row {
            fn set(&self, session: &mut TypedSession<Values>) {
                $(session.$set(self.$field.clone());)*
            }

            fn edit(&self, session: &mut TypedSession<Values>) {
                $(*session.$edit() = self.$field.clone();)*
            }

            fn assign(&self, values: &mut Values) {
                $(values.$field = self.$field.clone();)*
            }

            /// The names of the fields that have another value. The text of a number is exact.
            fn differences(&self, values: &Values) -> String {
                let mut names = Vec::new();
                $(
                    if format!("{:?}", self.$field) != format!("{:?}", values.$field) {
                        names.push(format!(
                            "{}: {:?} reads {:?}",
                            stringify!($field), self.$field, values.$field,
                        ));
                    }
                )*
                names.join("; ")
            }
        }
    };
}

values! {
    number: f64, set_number, number_mut;
    small: f32, set_small, small_mut;
    #[session(merge = "add")] sum: f64, set_sum, sum_mut;
    #[session(merge = "add")] small_sum: f32, set_small_sum, small_sum_mut;
    #[session(merge = "add")] count: i64, set_count, count_mut;
    #[session(merge = "add")] natural: u64, set_natural, natural_mut;
    #[session(ttl = "1h")] timed: f64, set_timed, timed_mut;
    #[session(merge = "max")] most: f64, set_most, most_mut;
    signed: i128, set_signed, signed_mut;
    unsigned: u128, set_unsigned, unsigned_mut;
    text: String, set_text, text_mut;
    letter: char, set_letter, letter_mut;
    nested: Option<Option<f32>>, set_nested, nested_mut;
    list: Vec<Option<f32>>, set_list, list_mut;
    map: BTreeMap<char, f64>, set_map, map_mut;
}

/// Rows of values: some that are known to be hard, then random ones.
pub fn rows(random: usize) -> Vec<Row> {
    let mut rows = vec![
        Row { text: ('\0'..='\u{ff}').collect(), letter: '\0', ..Row::default() },
        Row {
            number: -0.0,
            small: -0.0,
            sum: -0.0,
            small_sum: -0.0,
            timed: -0.0,
            ..Row::default()
        },
        extreme(1.0),
        extreme(-1.0),
        Row { nested: Some(None), sum: 0.1, ..Row::default() },
        Row { nested: Some(Some(0.1)), sum: 1e16, count: i64::MIN, ..Row::default() },
        Row { sum: 0.3, small_sum: 0.3, count: i64::MAX, ..Row::default() },
        Row { text: "\u{2028}\u{d7ff}\u{e000}\u{10ffff}😀\"\\/".to_owned(), ..Row::default() },
        Row::default(),
    ];
    let mut rng = StdRng::seed_from_u64(16);
    rows.extend((0..random).map(|_| random_row(&mut rng)));
    rows
}

/// The greatest values of one sign.
fn extreme(sign: f64) -> Row {
    let is_positive = sign > 0.0;
    Row {
        number: f64::MAX * sign,
        small: f32::MIN_POSITIVE,
        sum: f64::MAX * sign,
        small_sum: if is_positive { f32::MAX } else { f32::MIN },
        count: if is_positive { i64::MAX } else { i64::MIN },
        natural: if is_positive { u64::MAX } else { 0 },
        timed: f64::from_bits(1) * sign,
        most: f64::EPSILON * sign,
        signed: if is_positive { i128::MAX } else { i128::MIN },
        unsigned: u128::MAX,
        letter: char::MAX,
        list: vec![None, Some(f32::MAX), Some(-0.0)],
        ..Row::default()
    }
}

fn random_row(rng: &mut StdRng) -> Row {
    Row {
        number: double(rng),
        small: single(rng),
        sum: double(rng),
        small_sum: single(rng),
        count: rng.random(),
        natural: rng.random(),
        timed: double(rng),
        most: double(rng),
        signed: rng.random(),
        unsigned: rng.random(),
        text: (0..20).map(|_| rng.random::<char>()).collect(),
        letter: rng.random(),
        nested: match rng.random_range(0..3) {
            0 => None,
            1 => Some(None),
            _ => Some(Some(single(rng))),
        },
        list: (0..3).map(|_| rng.random::<bool>().then(|| single(rng))).collect(),
        map: (0..3).map(|_| (rng.random(), double(rng))).collect(),
    }
}

/// Any finite number: half of them of usual size, because the exponents of random bits rarely meet.
fn double(rng: &mut StdRng) -> f64 {
    if rng.random() {
        return rng.random_range(-1000.0..1000.0);
    }
    let number = f64::from_bits(rng.random());
    if number.is_finite() { number } else { double(rng) }
}

fn single(rng: &mut StdRng) -> f32 {
    if rng.random() {
        return rng.random_range(-1000.0..1000.0);
    }
    let number = f32::from_bits(rng.random());
    if number.is_finite() { number } else { single(rng) }
}

type Rows = web::Data<Arc<Vec<Row>>>;

/// A site whose routes write and read the rows. The route that updates a stored session needs a
/// [`Sessions<Values>`] among the data.
pub fn site(middleware: SessionMiddlewareBuilder, random: usize) -> SiteBuilder<()> {
    Site::unwatched(middleware)
        .data(Arc::new(rows(random)))
        .route("/write/{way}/{row}", write)
        .route("/update/{row}", update)
        .route("/read/{row}", read)
}

async fn write(
    mut session: TypedSession<Values>,
    path: web::Path<(String, usize)>,
    rows: Rows,
) -> String {
    let row = &rows[path.1];
    session.set_user(Some(1));
    match path.0.as_str() {
        "set" => row.set(&mut session),
        "edit" => row.edit(&mut session),
        _ => session.modify(|values| row.assign(values)),
    }
    row.differences(&session)
}

async fn update(
    sessions: web::Data<Sessions<Values>>,
    row: web::Path<usize>,
    rows: Rows,
) -> Result<String, SessionError> {
    let by = Values::by_user(&Some(1));
    let found = sessions.list(&by, None, 1).await?.sessions;
    sessions.update(&by, found[0].public_id(), |values| rows[*row].assign(values)).await?;
    Ok(String::new())
}

async fn read(session: TypedSession<Values>, row: web::Path<usize>, rows: Rows) -> String {
    rows[*row].differences(&session)
}

/// Writes each row over the one before, in each of these ways, and reads it.
///
/// # Panics
/// A value does not read back.
pub async fn read_back(mut browser: Client, ways: &[&str], random: usize) {
    for row in 0..rows(random).len() {
        for way in ways {
            let written = browser.get(&format!("/{way}/{row}")).await;
            assert_eq!(written.text(), "200 ", "{way}, row {row}");
            let read = browser.get(&format!("/read/{row}")).await;
            assert_eq!(read.text(), "200 ", "after {way}, row {row}");
            let other = (row * 7 + 3) % rows(0).len();
            browser.get(&format!("/write/set/{other}")).await;
        }
    }
}

/// All ways, on a store that finds sessions.
pub const WAYS: &[&str] = &["write/set", "write/edit", "write/modify", "update"];
