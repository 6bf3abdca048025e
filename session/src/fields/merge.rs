//! What becomes of a field that two requests have changed at once.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    fmt,
    hash::{BuildHasher, Hash},
    sync::Arc,
};

use serde_json::value::RawValue;

use super::schema::FieldSchema;
use crate::error::ValueError;

/// A field's merge rule, as far as it concerns code that knows the field's type.
pub(crate) enum MergeRule<F> {
    /// The store does it: the last write wins, or differences add up.
    Native,
    /// The second request fails.
    Reject,
    /// The value of both requests' values and of the one that both have read.
    Merge(fn(base: &F, theirs: F, ours: F) -> F),
}

impl<F> fmt::Debug for MergeRule<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Native => "Native",
            Self::Reject => "Reject",
            Self::Merge(_) => "Merge(…)",
        })
    }
}

/// A field that is merged by code that knows its type.
pub(crate) trait MergedField: fmt::Debug + Send + Sync {
    fn schema(&self) -> &'static FieldSchema;

    /// Whether the store cannot do it.
    fn is_merged(&self) -> bool;

    /// The JSON to store when both requests have changed the field; `None` is what this request wrote.
    fn merge(
        &self,
        base: Option<&RawValue>,
        theirs: Option<&RawValue>,
        ours: Option<&RawValue>,
    ) -> Result<Option<Arc<RawValue>>, MergeError>;
}

/// Why a field of two requests cannot be merged.
#[derive(Debug)]
pub(crate) enum MergeError {
    /// The field's rule is `reject`.
    Rejected,
    /// The merged value has no JSON.
    Encode(ValueError),
}

/// The types that `#[session(merge = "max")]` and `"min"` work on: those that can be compared.
///
/// Of two values that have no order, such as a NaN and a number, the later request's stays.
#[diagnostic::on_unimplemented(
    message = "`merge = \"max\"` and `merge = \"min\"` need values that can be compared, and `{Self}` does not implement `PartialOrd`",
    label = "values of this type have no order",
    note = "add `#[derive(PartialEq, PartialOrd)]` to `{Self}`, or choose another merge rule"
)]
pub trait Ordered: PartialOrd {}

#[diagnostic::do_not_recommend]
impl<F: PartialOrd> Ordered for F {}

pub(crate) fn larger<F: Ordered>(_: &F, theirs: F, ours: F) -> F {
    if theirs > ours { theirs } else { ours }
}

pub(crate) fn smaller<F: Ordered>(_: &F, theirs: F, ours: F) -> F {
    if theirs < ours { theirs } else { ours }
}

/// The types that `#[session(merge = "union")]` works on: sets and maps, and your own.
///
/// What one of two concurrent requests has added is there afterwards, and what one has removed is not. An
/// entry that one has removed and the other has put in again, or an entry of a map that both have
/// changed, is as the later request wants it.
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
    message = "`merge = \"union\"` needs a set or a map, and `{Self}` is neither",
    label = "not a `BTreeSet`, `BTreeMap`, `HashSet` or `HashMap`",
    note = "make the field one of these, implement `actix_typed_session::Union` for `{Self}`, or write `merge_with = …` with a function of your own"
)]
pub trait Union: Sized {
    /// What `ours` has changed since `base`, laid over `theirs`.
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
