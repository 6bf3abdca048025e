//! Merges a field that two concurrent requests have changed.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    fmt,
    hash::{BuildHasher, Hash},
};

use serde_json::value::RawValue;

use crate::{error::ValueError, record::Number};

/// The part of a field's merge rule that needs the field's type.
pub(crate) enum MergeRule<F> {
    /// The store merges: the last write wins.
    Native,
    /// The store merges additions. A sum that was set because no addition yields it is merged here.
    Sum,
    /// Messages that either request has added stay, and those that one has shown go.
    Flash,
    /// The later request fails.
    Reject,
    /// This function merges. `base` is the value that both requests have read.
    Merge(fn(base: &F, theirs: F, ours: F) -> F),
}

impl<F> fmt::Debug for MergeRule<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Native => "Native",
            Self::Sum => "Sum",
            Self::Flash => "Flash",
            Self::Reject => "Reject",
            Self::Merge(_) => "Merge(…)",
        })
    }
}

/// Why two values of a field cannot be merged.
#[derive(Debug)]
pub(crate) enum MergeError {
    /// The field's rule is `reject`.
    Rejected,
    /// The merged value cannot be stored.
    Encode(ValueError),
}

/// A type that `#[session(merge = "max")]` and `merge = "min"` accept: its values have an order.
///
/// If two values have no order, such as a NaN and a number, the later request's value stays.
#[diagnostic::on_unimplemented(
    message = "`merge = \"max\"` and `merge = \"min\"` need values that can be compared, but `{Self}` does not implement `PartialOrd`",
    label = "values of this type cannot be compared",
    note = "add `#[derive(PartialEq, PartialOrd)]` to `{Self}`, or choose another merge rule"
)]
pub trait Ordered: PartialOrd {}

#[diagnostic::do_not_recommend]
impl<F: PartialOrd> Ordered for F {}

/// Adds what `ours` has added to `base` to `theirs`. A value that is absent or no number is
/// `default`.
pub(super) fn merge_sums(
    base: Option<&RawValue>,
    theirs: Option<&RawValue>,
    ours: Option<&RawValue>,
    default: Number,
) -> Number {
    let number =
        |json: Option<&RawValue>| json.and_then(|json| Number::parse(json).ok()).unwrap_or(default);
    number(theirs).saturating_add(number(ours).since(number(base)))
}

pub(crate) fn larger<F: Ordered>(_: &F, theirs: F, ours: F) -> F {
    if theirs > ours { theirs } else { ours }
}

pub(crate) fn smaller<F: Ordered>(_: &F, theirs: F, ours: F) -> F {
    if theirs < ours { theirs } else { ours }
}

/// Merges two concurrent changes of a collection, for `#[session(merge = "union")]`.
///
/// The standard sets and maps implement it. Implement it for a collection type that you have
/// written yourself.
///
/// The merged value has every entry that one of the requests added, and none that one of them
/// removed. The later request decides about an entry of a map if both requests changed it, or if
/// one changed it and the other removed it.
///
/// # Examples
/// ```
/// use actix_typed_session::Union as _;
/// use std::collections::BTreeSet;
///
/// let base = BTreeSet::from(["apple", "pear"]);
/// let theirs = BTreeSet::from(["apple", "pear", "plum"]);
/// let ours = BTreeSet::from(["apple", "cherry"]);
/// let both = BTreeSet::three_way(&base, theirs, ours);
/// assert_eq!(both, BTreeSet::from(["apple", "cherry", "plum"]));
/// ```
#[diagnostic::on_unimplemented(
    message = "`merge = \"union\"` needs a set or a map, but `{Self}` is neither",
    label = "not a `BTreeSet`, `BTreeMap`, `HashSet` or `HashMap`",
    note = "use one of these types, implement `actix_typed_session::Union` for `{Self}`, or write a function and name it with `merge_with = …`"
)]
pub trait Union: Sized {
    /// Returns `theirs` with the changes that `ours` made to `base`.
    ///
    /// `base` is the value that both requests have read, `theirs` is what the earlier request has
    /// stored, and `ours` is the value of the later request.
    fn three_way(base: &Self, theirs: Self, ours: Self) -> Self;
}

impl<K: Ord> Union for BTreeSet<K> {
    fn three_way(base: &Self, mut theirs: Self, ours: Self) -> Self {
        theirs.retain(|key| !base.contains(key) || ours.contains(key));
        theirs.extend(ours.into_iter().filter(|key| !base.contains(key)));
        theirs
    }
}

impl<K: Eq + Hash, S: BuildHasher> Union for HashSet<K, S> {
    fn three_way(base: &Self, mut theirs: Self, ours: Self) -> Self {
        theirs.retain(|key| !base.contains(key) || ours.contains(key));
        theirs.extend(ours.into_iter().filter(|key| !base.contains(key)));
        theirs
    }
}

impl<K: Ord, V: PartialEq> Union for BTreeMap<K, V> {
    fn three_way(base: &Self, mut theirs: Self, ours: Self) -> Self {
        theirs.retain(|key, _| !base.contains_key(key) || ours.contains_key(key));
        theirs.extend(ours.into_iter().filter(|(key, value)| base.get(key) != Some(value)));
        theirs
    }
}

impl<K: Eq + Hash, V: PartialEq, S: BuildHasher> Union for HashMap<K, V, S> {
    fn three_way(base: &Self, mut theirs: Self, ours: Self) -> Self {
        theirs.retain(|key, _| !base.contains_key(key) || ours.contains_key(key));
        theirs.extend(ours.into_iter().filter(|(key, value)| base.get(key) != Some(value)));
        theirs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unordered_collections_merge_as_the_ordered_ones_do() {
        let set = |items: &[u8]| items.iter().copied().collect::<HashSet<_>>();
        let both = HashSet::three_way(&set(&[1, 2, 3]), set(&[2, 3, 4]), set(&[1, 3, 5]));
        assert_eq!(both, set(&[3, 4, 5]));
        let map = |items: &[(u8, u8)]| items.iter().copied().collect::<HashMap<_, _>>();
        let both = HashMap::three_way(
            &map(&[(1, 1), (2, 1), (3, 1)]),
            map(&[(1, 2), (2, 1), (4, 1)]),
            map(&[(1, 1), (2, 3), (3, 1)]),
        );
        assert_eq!(both, map(&[(1, 2), (2, 3), (4, 1)]));
    }
}
