//! Fields whose type a module of the application writes and reads: `#[session(with = "module")]`.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::DeserializeOwned};
use serde_json::value::RawValue;

#[cfg(feature = "testing")]
use super::example::{Probe, ProbeError};
use super::snapshot::{Codec, Snapshot, StoredSerialize as _};

/// Names the functions that write and read one field of the implementing session struct. `FIELD` is
/// the field's position. The derive implements it.
pub trait StoredWith<const FIELD: usize> {
    /// The field's type.
    type Value;

    /// Calls the module's `serialize`.
    ///
    /// # Errors
    /// The module's function failed.
    fn serialize<S: Serializer>(value: &Self::Value, serializer: S) -> Result<S::Ok, S::Error>;

    /// Calls the module's `deserialize`.
    ///
    /// # Errors
    /// The module's function failed.
    fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self::Value, D::Error>;
}

/// Requires that the type in an `Option<Option<…>>` can be written and read.
pub trait StoredInner: Serialize + DeserializeOwned {}

#[diagnostic::do_not_recommend]
impl<V: Serialize + DeserializeOwned> StoredInner for V {}

/// A value that serialises through the module.
struct Through<'a, T: StoredWith<FIELD>, const FIELD: usize>(&'a T::Value);

impl<T: StoredWith<FIELD>, const FIELD: usize> Serialize for Through<'_, T, FIELD> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        T::serialize(self.0, serializer)
    }
}

pub(super) fn snapshot<T: StoredWith<FIELD>, const FIELD: usize>(value: &T::Value) -> Snapshot {
    Snapshot::checked(
        value,
        Codec {
            encode: |value: &_| Through::<T, FIELD>(value).encode_stored(),
            count_nulls: |value: &_| Through::<T, FIELD>(value).count_nulls(),
            decode: decode::<T, FIELD>,
        },
    )
}

pub(super) fn decode<T: StoredWith<FIELD>, const FIELD: usize>(
    json: &RawValue,
) -> Result<T::Value, serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_str(json.get());
    let value = T::deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(value)
}

#[cfg(feature = "testing")]
pub(super) fn example<T: StoredWith<FIELD>, const FIELD: usize>(
    probe: &mut Probe,
) -> Result<T::Value, ProbeError> {
    T::deserialize(probe)
}

/// How the derive stores a field of type `Option<Option<V>>`: `Some` is a list of one item, because
/// the JSON of `Some(None)` would be the one of `None`.
pub mod nested_option {
    use super::*;

    /// Writes the outer `Some` as a list.
    ///
    /// # Errors
    /// The value's `Serialize` failed.
    pub fn serialize<V: Serialize, S: Serializer>(
        value: &Option<V>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => serializer.serialize_some(&[value]),
            None => serializer.serialize_none(),
        }
    }

    /// Reads what [`serialize`] has written.
    ///
    /// # Errors
    /// It is something else.
    pub fn deserialize<'de, V: Deserialize<'de>, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<V>, D::Error> {
        let list = Option::<(V,)>::deserialize(deserializer)?;
        Ok(list.map(|(value,)| value))
    }
}
