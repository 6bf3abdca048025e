//! Decides what the examples hold.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
};

use serde::de;

use crate::record::Number;

/// The most examples of a type.
const MOST_EXAMPLES: usize = 64;

/// The most runs for one example. Each run but the last was refused by the type.
const MOST_RUNS: usize = 2_000;

/// The most parts of an example.
const MOST_PARTS: usize = 10_000;

/// The deepest nesting of an example.
const MOST_LEVELS: usize = 64;

/// Examples of a type.
#[derive(Debug)]
pub(crate) struct Examples<F> {
    pub(crate) values: Vec<F>,
    /// Whether they show every part and every variant of the type.
    pub(crate) is_complete: bool,
}

/// Makes examples of a type: one as small as can be, and full ones until every variant of every
/// enum was there.
pub(crate) fn examples<F>(make: fn(&mut Probe) -> Result<F, ProbeError>) -> Examples<F> {
    let mut probe = Probe { is_full: false, ..Probe::default() };
    let mut values: Vec<F> = probe.example(make).into_iter().collect();
    probe.is_full = true;
    let (mut is_complete, mut runs_without_news) = (true, 0);
    while runs_without_news <= probe.most_variants() && values.len() < MOST_EXAMPLES {
        let is_first = runs_without_news == 0;
        let Some(value) = probe.example(make) else {
            is_complete = false;
            break;
        };
        let has_news = probe.remember_variants();
        if has_news || is_first {
            values.push(value);
        }
        runs_without_news = if has_news { 1 } else { runs_without_news + 1 };
    }
    is_complete &= !probe.has_guessed && probe.has_every_variant();
    Examples { values, is_complete }
}

/// Data for a `Deserialize`. It offers what the type asks for, and something else if the type
/// refuses that.
#[derive(Debug, Default)]
pub struct Probe {
    /// Whether an example has items, `Some`, and the greatest numbers.
    pub(super) is_full: bool,
    /// What to offer at each part with alternatives, in their order.
    choices: Vec<Choice>,
    /// How many of the choices this run has followed.
    position: usize,
    /// The structs and enums that are being made.
    open: Vec<&'static str>,
    /// How many of them are inside one of the same name.
    pub(super) repeated: usize,
    levels: usize,
    /// Whether the type has not said what it wants.
    pub(super) has_guessed: bool,
    /// Each enum's variants, and whether an example has had them.
    enums: BTreeMap<&'static str, Variants>,
    /// The variants in the example that is being made.
    taken: Vec<(&'static str, &'static str)>,
    /// The struct and the field that was offered last.
    pub(super) last_field: Option<(&'static str, &'static str)>,
    /// The names of fields that are other names of fields.
    pub(super) other_names: BTreeSet<(&'static str, &'static str)>,
}

#[derive(Debug)]
struct Choice {
    taken: usize,
    of: usize,
}

#[derive(Debug)]
struct Variants {
    all: &'static [&'static str],
    seen: BTreeSet<&'static str>,
    examples: usize,
}

impl Probe {
    /// Makes an example, if the type accepts one.
    fn example<F>(&mut self, make: fn(&mut Self) -> Result<F, ProbeError>) -> Option<F> {
        self.choices.clear();
        for _ in 0..MOST_RUNS {
            (self.position, self.repeated, self.levels) = (0, 0, 0);
            self.open.clear();
            self.taken.clear();
            // A type may also refuse with a panic.
            match catch_unwind(AssertUnwindSafe(|| make(self))) {
                Ok(Ok(value)) => return Some(value),
                Ok(Err(ProbeError::SecondName)) => {
                    let is_news = self.last_field.is_some_and(|it| self.other_names.insert(it));
                    self.choices.clear();
                    if !is_news {
                        return None;
                    }
                }
                Ok(Err(ProbeError::Refused)) | Err(_) => {
                    self.choices.truncate(self.position);
                    self.choose_next()?;
                }
            }
        }
        None
    }

    /// Changes the last choice that has another alternative.
    fn choose_next(&mut self) -> Option<()> {
        loop {
            let last = self.choices.last_mut()?;
            last.taken += 1;
            if last.taken < last.of {
                return Some(());
            }
            self.choices.pop();
        }
    }

    /// Returns which of the alternatives to offer. `of` is their number.
    pub(super) fn choose(&mut self, of: usize) -> Result<usize, ProbeError> {
        if self.position >= MOST_PARTS {
            return Err(ProbeError::Refused);
        }
        if self.position == self.choices.len() {
            self.choices.push(Choice { taken: 0, of });
        }
        self.position += 1;
        Ok(self.choices[self.position - 1].taken)
    }

    /// Returns one of these values: the first one that is accepted in a full example, the last one
    /// otherwise.
    pub(super) fn one_of<V: Copy>(&mut self, values: &[V]) -> Result<V, ProbeError> {
        let taken = self.choose(values.len())?;
        Ok(values[if self.is_full { taken } else { values.len() - 1 - taken }])
    }

    /// Returns which variant of an enum to make: one that no example has had.
    pub(super) fn variant(
        &mut self,
        name: &'static str,
        all: &'static [&'static str],
    ) -> Result<&'static str, ProbeError> {
        let known =
            self.enums.entry(name).or_insert(Variants { all, seen: BTreeSet::new(), examples: 0 });
        let unseen = all.iter().position(|variant| !known.seen.contains(variant));
        let first = unseen.unwrap_or(known.examples);
        let taken = self.choose(all.len())?;
        let variant = *all.get((first + taken) % all.len().max(1)).ok_or(ProbeError::Refused)?;
        self.taken.push((name, variant));
        Ok(variant)
    }

    /// Remembers the variants of the example. Returns whether there is a new one.
    fn remember_variants(&mut self) -> bool {
        let mut has_news = false;
        for (name, variant) in self.taken.drain(..) {
            let known = self.enums.get_mut(name).expect("it was asked for");
            has_news |= known.seen.insert(variant);
            known.examples += 1;
        }
        has_news
    }

    fn most_variants(&self) -> usize {
        self.enums.values().map(|known| known.all.len()).max().unwrap_or(0)
    }

    fn has_every_variant(&self) -> bool {
        self.enums.values().all(|known| known.all.iter().all(|it| known.seen.contains(it)))
    }

    /// Whether an option or a collection has something in it.
    pub(super) fn is_filled(&self) -> bool {
        self.is_full && self.repeated == 0
    }

    /// Begins a struct or an enum. The names inside it may be the same.
    pub(super) fn enter(&mut self, name: &'static str) -> Result<(), ProbeError> {
        self.repeated += usize::from(self.open.contains(&name));
        self.open.push(name);
        if self.repeated > 1 { Err(ProbeError::Refused) } else { self.descend() }
    }

    pub(super) fn leave(&mut self) {
        let name = self.open.pop().expect("it was entered");
        self.repeated -= usize::from(self.open.contains(&name));
        self.ascend();
    }

    pub(super) fn descend(&mut self) -> Result<(), ProbeError> {
        self.levels += 1;
        if self.levels > MOST_LEVELS { Err(ProbeError::Refused) } else { Ok(()) }
    }

    pub(super) fn ascend(&mut self) {
        self.levels -= 1;
    }

    /// Returns the number that reads as the greatest or the least value of a number type.
    pub(in super::super) fn number(&self) -> Number {
        Number::Int(if self.is_full { i128::MAX } else { i128::MIN })
    }
}

/// Why a type has not accepted what a probe offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProbeError {
    /// Any reason but the other ones.
    Refused,
    /// The field that was offered last is another name of a field that was offered before.
    SecondName,
}

impl fmt::Display for ProbeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Refused => "the type refused an example",
            Self::SecondName => "the field was there under another name",
        })
    }
}

impl std::error::Error for ProbeError {}

impl de::Error for ProbeError {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self::Refused
    }

    fn duplicate_field(_: &'static str) -> Self {
        Self::SecondName
    }
}

#[cfg(test)]
mod tests {
    use std::{
        collections::HashSet,
        net::IpAddr,
        num::NonZeroU8,
        time::{Duration, SystemTime},
    };

    use serde::{Deserialize, Deserializer, Serialize, de::DeserializeOwned};

    use super::*;

    /// The JSON of a type's examples, and whether they are complete.
    fn made<F: Serialize + DeserializeOwned>() -> (Vec<String>, bool) {
        let Examples { values, is_complete } = examples::<F>(|probe| F::deserialize(probe));
        let json = values.iter().map(|value| serde_json::to_string(value).expect("JSON"));
        (json.collect(), is_complete)
    }

    #[test]
    fn an_example_is_small_or_has_the_greatest_numbers() {
        assert_eq!(made::<u8>(), (vec!["0".into(), "255".into()], true));
        assert_eq!(made::<i16>(), (vec!["0".into(), "-32768".into()], true));
        assert_eq!(made::<Option<bool>>(), (vec!["null".into(), "true".into()], true));
        assert_eq!(made::<Vec<char>>(), (vec!["[]".into(), r#"["c","c"]"#.into()], true));
        assert_eq!(made::<(u8, String)>().0[1], r#"[255,"text"]"#);
        assert_eq!(made::<BTreeMap<u8, ()>>().0[1], r#"{"255":null}"#);
        assert_eq!(made::<HashSet<u8>>().0[1], "[255]");
        assert_eq!(made::<NonZeroU8>().0, ["1", "255"]);
    }

    #[test]
    fn a_type_that_refuses_some_values_is_made_of_others() {
        #[derive(Serialize, Deserialize)]
        #[serde(try_from = "u8")]
        struct Percent(u8);

        impl TryFrom<u8> for Percent {
            type Error = &'static str;

            fn try_from(number: u8) -> Result<Self, Self::Error> {
                (number <= 100).then_some(Self(number)).ok_or("more than all of it")
            }
        }

        assert_eq!(made::<Percent>(), (vec!["0".into(), "1".into()], true));
        assert!(made::<Duration>().1 && made::<SystemTime>().1);
        assert_eq!(made::<Option<IpAddr>>().0[1], r#""192.0.2.1""#);
    }

    #[derive(Serialize, Deserialize)]
    enum Inner {
        P,
        Q,
        R,
    }

    #[derive(Serialize, Deserialize)]
    enum Outer {
        X(Inner),
        Y { y: Option<Inner> },
        Z(u8, u8),
    }

    #[test]
    fn every_variant_is_there_also_those_inside_others() {
        let (values, is_complete) = made::<Vec<Outer>>();
        let all = values.join(" ");
        assert!(is_complete, "{all}");
        for variant in ["X", "Y", "Z", "P", "Q", "R"] {
            assert!(all.contains(&format!("\"{variant}\"")), "{variant} in {all}");
        }
    }

    #[test]
    fn a_type_that_has_itself_inside_ends() {
        #[derive(Serialize, Deserialize)]
        struct Tree {
            name: String,
            children: Vec<Tree>,
            parent: Option<Box<Tree>>,
        }
        #[derive(Serialize, Deserialize)]
        enum Sum {
            Add(Box<Sum>, Box<Sum>),
            Number(u8),
        }
        #[derive(Serialize, Deserialize)]
        struct Endless(Box<Endless>);

        let (values, is_complete) = made::<Tree>();
        assert!(is_complete && values[1].contains(r#""children":[{"name":"text","children":[]"#));
        let (values, is_complete) = made::<Sum>();
        assert!(is_complete, "{values:?}");
        assert!(values.iter().any(|it| it == r#"{"Add":[{"Number":255},{"Number":255}]}"#));
        assert_eq!(made::<Endless>(), (vec![], false));
    }

    #[test]
    fn other_names_and_defaults_of_a_member_do_no_harm() {
        #[derive(Serialize, Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Item {
            #[serde(alias = "number", alias = "amount")]
            count: u8,
            #[serde(default)]
            note: String,
        }

        assert_eq!(made::<Item>().0[1], r#"{"count":255,"note":"text"}"#);
        assert!(made::<Item>().1);
    }

    #[test]
    fn a_type_that_does_not_say_what_it_wants_is_not_shown_whole() {
        #[derive(Serialize, Deserialize)]
        #[serde(tag = "kind")]
        enum Tagged {
            A { a: u8 },
        }
        #[derive(Serialize, Deserialize)]
        struct Flat {
            a: u8,
            #[serde(flatten)]
            rest: BTreeMap<String, u8>,
        }
        #[derive(Serialize)]
        struct Panics;

        impl<'de> Deserialize<'de> for Panics {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                let number = u8::deserialize(from)?;
                assert_eq!(number, 77, "an example");
                Ok(Self)
            }
        }

        assert!(!made::<Tagged>().1 && !made::<Flat>().1 && !made::<serde_json::Value>().1);
        assert_eq!(made::<Panics>(), (vec![], false));
        assert_eq!(made::<Option<Tagged>>(), (vec!["null".into()], false));
    }
}
