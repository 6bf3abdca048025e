//! A value of an indexed field, by which sessions are found.

use std::{fmt, marker::PhantomData, sync::Arc};

use serde_json::value::RawValue;

use crate::{
    error::{SessionError, ValueError},
    fields::{Field, FieldSchema, Snapshot, same_json},
    record::Record,
};

/// A value of an indexed field of the session struct `T`. [`Sessions`](crate::Sessions) finds
/// sessions by it, also those that an older release has stored under an `alias` of the field.
///
/// For each field with `#[session(index)]`, the derive generates a function that returns an
/// `IndexKey`. Other fields have no such function, so sessions cannot be found by them.
///
/// # Examples
/// ```
/// use actix_typed_session::{IndexKey, Session};
///
/// #[derive(Session)]
/// struct Visitor {
///     #[session(index)]
///     user_id: Option<i64>,
/// }
///
/// let sessions_of_user_7: IndexKey<Visitor> = Visitor::by_user_id(&Some(7));
/// ```
pub struct IndexKey<T> {
    field: &'static FieldSchema,
    /// `None`: the field's default, which no index contains.
    value: Result<Option<Arc<RawValue>>, ValueError>,
    session: PhantomData<fn() -> T>,
}

impl<T> IndexKey<T> {
    /// The names under which the field is stored. Its former names come first: a write moves the
    /// value from them to the last one, so a reader in this order does not miss it.
    pub(super) fn names(&self) -> impl Iterator<Item = &'static str> {
        self.field.aliases.iter().copied().chain([self.field.stored])
    }

    /// Whether the field has this value in a session.
    pub(super) fn is_value_of(&self, record: &Record) -> bool {
        let value = self.value.as_ref().ok().and_then(Option::as_deref);
        let stored = self.field.find(record);
        stored.map(RawValue::get) == value.map(RawValue::get) && stored.is_some()
    }

    pub(crate) fn value(&self) -> Result<Option<&RawValue>, SessionError> {
        match &self.value {
            Ok(value) => Ok(value.as_deref()),
            Err(error) => {
                Err(SessionError::Encode { field: self.field.stored, source: error.clone() })
            }
        }
    }
}

impl<T> Clone for IndexKey<T> {
    fn clone(&self) -> Self {
        Self { field: self.field, value: self.value.clone(), session: PhantomData }
    }
}

impl<T> fmt::Debug for IndexKey<T> {
    /// Prints the field's name. The value is the user's secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("IndexKey").field(&self.field.stored).finish()
    }
}

/// Creates the key of a field and a value, for generated functions.
pub fn by<T, F>(field: &Field<T, F>, value: &F) -> IndexKey<T> {
    let json = |snapshot| match snapshot {
        Snapshot::Value(json) => Ok(json),
        Snapshot::Sum(number) => Ok(number.to_json().into()),
        Snapshot::Failed(error, _) => Err(error),
    };
    let default = json((field.snapshot)(&field.fresh()));
    let value = json((field.snapshot)(value)).map(|value: Arc<RawValue>| {
        let is_default = default.is_ok_and(|default| same_json(&default, &value));
        (!is_default && value.get() != "null").then_some(value)
    });
    IndexKey { field: field.schema, value, session: PhantomData }
}
