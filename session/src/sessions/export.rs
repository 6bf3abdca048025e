//! What the sessions of a user know about them, as JSON.

use std::{collections::BTreeMap, fmt};

use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use super::{
    index_key::IndexKey,
    reader::SessionReader,
    sessions::{PAGE_SIZE, Sessions},
};
use crate::{
    error::SessionError,
    fields::{Field, Snapshot},
    id::StoreKey,
    record::{PublicId, Record},
    request::Fields,
    time::Timestamp,
    typed::{Session, Visit, read},
};

impl<T: Session> Sessions<T> {
    /// Returns the fields of all sessions with this value, such as to give a user all data about
    /// them (GDPR, article 15). [`destroy_all`](Self::destroy_all) erases them (article 17).
    ///
    /// The fields are those of the struct `T`, as it reads them. If other structs use the same
    /// sessions, export these too: [`not_exported`](ExportedSession::not_exported) names the fields
    /// that are left.
    ///
    /// # Examples
    /// ```
    /// use actix_typed_session::{Session, SessionError, Sessions, TypedSession};
    /// use actix_web::{Responder, web};
    ///
    /// #[derive(Session)]
    /// struct Visitor {
    ///     #[session(privilege, index)]
    ///     user_id: Option<i64>,
    ///     cart: Vec<String>,
    /// }
    ///
    /// async fn my_data(
    ///     session: TypedSession<Visitor>,
    ///     sessions: web::Data<Sessions<Visitor>>,
    /// ) -> Result<impl Responder, SessionError> {
    ///     let mine = Visitor::by_user_id(&session.user_id);
    ///     Ok(web::Json(sessions.export(&mine).await?))
    /// }
    /// ```
    ///
    /// # Errors
    /// - [`SessionError::Store`] if the store fails.
    /// - [`SessionError::Encode`] if a value cannot be written as JSON.
    /// - [`SessionError::Decode`] if the struct is `strict` and a stored value does not decode.
    pub async fn export(&self, by: &IndexKey<T>) -> Result<Vec<ExportedSession>, SessionError> {
        let (mut exported, mut after) = (Vec::new(), None);
        loop {
            let found = self.find(by, after, PAGE_SIZE).await?;
            for (key, record) in found.sessions {
                exported.push(export(&self.reader, key, record)?);
            }
            after = found.next;
            if after.is_none() {
                return Ok(exported);
            }
        }
    }
}

/// The data of one session, for the user whom it is about. It has no id or key, so who reads it
/// cannot open the session.
///
/// With serde it is an object with the members of this struct. Times are text, such as
/// `"2026-01-01T00:00:00.000Z"`.
#[derive(Clone, Serialize)]
#[non_exhaustive]
pub struct ExportedSession {
    /// The session's public id. `None`: it has no indexed field, so it never got one.
    pub public_id: Option<PublicId>,
    /// When the session began.
    #[serde(serialize_with = "as_text")]
    pub created_at: Timestamp,
    /// When the session expires if no request extends it.
    #[serde(serialize_with = "as_text")]
    pub expires_at: Timestamp,
    /// The struct's fields by their names in the struct, with their JSON. A field that is not
    /// stored has its default.
    pub fields: BTreeMap<&'static str, Box<RawValue>>,
    /// The stored names of fields that are not in `fields`: those of other structs, and those whose
    /// value does not decode.
    pub not_exported: Vec<String>,
}

impl fmt::Debug for ExportedSession {
    /// Omits the values, which are the user's secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExportedSession")
            .field("public_id", &self.public_id)
            .field("created_at", &self.created_at)
            .field("expires_at", &self.expires_at)
            .field("fields", &self.fields.keys())
            .field("not_exported", &self.not_exported)
            .finish()
    }
}

fn as_text<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(time)
}

/// Reads a session as the struct `T`, and writes its fields as JSON.
pub(super) fn export<T: Session>(
    reader: &SessionReader<T>,
    key: StoreKey,
    record: Record,
) -> Result<ExportedSession, SessionError> {
    let state = SessionReader::<T>::state(key, record);
    let fields = reader.fields(&state);
    let value = read(fields)?;
    let mut visitor =
        ReadFields { value: &value, fields, json: BTreeMap::new(), error: None, names: Vec::new() };
    T::visit(&mut visitor);
    let ReadFields { json, error, names, .. } = visitor;
    if let Some(error) = error {
        return Err(error);
    }
    let state = state.borrow();
    let (_, record) = state.loaded.held().expect("the state was made of a record");
    let others = record.fields().map(|(name, _)| name).filter(|name| !names.contains(name));
    Ok(ExportedSession {
        public_id: record.public_id(),
        created_at: record.created_at(),
        expires_at: record.expires_at(),
        fields: json,
        not_exported: others.map(str::to_owned).collect(),
    })
}

/// Collects the JSON of the fields that show what is stored.
struct ReadFields<'a, T> {
    value: &'a T,
    fields: Fields<'a>,
    json: BTreeMap<&'static str, Box<RawValue>>,
    error: Option<SessionError>,
    /// The stored names of these fields.
    names: Vec<&'static str>,
}

impl<T> Visit<T> for ReadFields<'_, T> {
    fn field<F>(&mut self, field: &'static Field<T, F>) {
        let schema = field.schema;
        if self.fields.hides(schema) {
            return;
        }
        let json = match (field.snapshot)((field.get)(self.value)) {
            Snapshot::Value(json) => (*json).to_owned(),
            Snapshot::Sum(number) => number.to_json(),
            Snapshot::Failed(source, _) => {
                self.error = Some(SessionError::Encode { field: schema.stored, source });
                return;
            }
        };
        self.json.insert(schema.name, json);
        self.names.push(schema.stored);
        self.names.extend(schema.aliases);
    }
}
