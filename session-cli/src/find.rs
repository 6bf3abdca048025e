//! Finds sessions: all of them, by their ids, or by a value of a field.

use std::{collections::HashSet, str::FromStr};

use actix_typed_session::{
    PublicId,
    store::{FindByIndex as _, ListAll as _, Record, StoreKey},
};
use serde_json::value::RawValue;

use crate::{any_store::AnyStore, facts::hex, failure::Failure, open::failed};

/// How many records one call reads.
pub(crate) const PAGE: usize = 200;

/// The id of a session in this program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SessionName {
    Public(PublicId),
    /// The digest of the key, as hexadecimal digits.
    Digest(String),
}

impl FromStr for SessionName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_hex = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        match text.len() {
            28 if is_hex => text.parse().map(Self::Public).map_err(|error| format!("{error}")),
            32 if is_hex => Ok(Self::Digest(text.to_owned())),
            // A session id or a key does not belong into a shell's history.
            43 | 64 => Err("this looks like a session's id or key, which this program does not \
                            take; write the id in the first column of `typed-sessions list`"
                .to_owned()),
            _ => Err("write the id in the first column of `typed-sessions list`".to_owned()),
        }
    }
}

impl SessionName {
    pub(crate) fn is(&self, key: &StoreKey, record: &Record) -> bool {
        match self {
            // What follows is for how long the index keeps the session, which may grow.
            Self::Public(id) => record.public_id().is_some_and(|found| found.is_same_session(*id)),
            Self::Digest(digest) => hex(&key.digest()) == *digest,
        }
    }
}

/// A value of a field.
#[derive(Clone, Debug)]
pub(crate) struct FieldValue {
    name: String,
    /// The JSON texts that the argument may mean: `42` is a number, or the text `"42"`.
    values: Vec<Box<RawValue>>,
}

impl FromStr for FieldValue {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some((name, value)) = text.split_once('=').filter(|(name, _)| !name.is_empty()) else {
            return Err("write the field's name and its value, such as `user_id=42`".to_owned());
        };
        let as_text = RawValue::from_string(serde_json::Value::from(value).to_string());
        let as_json = RawValue::from_string(value.to_owned());
        let values = [as_json, as_text];
        Ok(Self { name: name.to_owned(), values: values.into_iter().flatten().collect() })
    }
}

impl FieldValue {
    fn is_value_of(&self, record: &Record) -> bool {
        let stored = record.field(&self.name);
        stored.is_some_and(|json| self.values.iter().any(|value| value.get() == json.get()))
    }
}

/// Which sessions a command is about.
#[derive(Clone, Debug)]
pub(crate) enum Selection {
    All,
    Names(Vec<SessionName>),
    Field { field: FieldValue, scan: bool },
}

impl Selection {
    /// The names are read here, and not by clap, whose errors have the text: someone may have
    /// written a session's id.
    pub(crate) fn of(
        names: &[String],
        field: Option<&FieldValue>,
        scan: bool,
    ) -> Result<Self, Failure> {
        if let Some(field) = field {
            return Ok(Self::Field { field: field.clone(), scan });
        }
        if names.is_empty() {
            return Ok(Self::All);
        }
        let names = names.iter().map(|name| name.parse().map_err(Failure::WrongUse));
        names.collect::<Result<_, _>>().map(Self::Names)
    }

    fn includes(&self, key: &StoreKey, record: &Record) -> bool {
        match self {
            Self::All => true,
            Self::Names(names) => names.iter().any(|name| name.is(key, record)),
            Self::Field { field, .. } => field.is_value_of(record),
        }
    }

    /// Whether these are all sessions that can be found.
    fn is_complete(&self, found: &[(StoreKey, Record)]) -> bool {
        match self {
            Self::Names(names) => {
                names.iter().all(|name| found.iter().any(|(key, record)| name.is(key, record)))
            }
            Self::All | Self::Field { .. } => false,
        }
    }

    /// Calls `visit` with each page of the live sessions that are selected, until it returns false.
    /// Returns how many records could not be read.
    pub(crate) async fn visit(
        &self,
        store: &AnyStore,
        mut visit: impl FnMut(Vec<(StoreKey, Record)>) -> Result<bool, Failure>,
    ) -> Result<u64, Failure> {
        if let Self::Field { field, scan: false } = self {
            return find(store, field, visit).await.map(|()| 0);
        }
        let (mut after, mut unreadable) = (None, 0);
        // A server may list a session twice.
        let mut seen = HashSet::new();
        loop {
            let page = store.list(after.as_ref(), PAGE).await.map_err(failed)?;
            unreadable += page.unreadable.len() as u64;
            let selected = page.sessions.into_iter().filter(|(key, record)| {
                !record.is_retired() && self.includes(key, record) && seen.insert(key.digest())
            });
            if !visit(selected.collect())? {
                return Ok(unreadable);
            }
            after = page.next;
            if after.is_none() {
                return Ok(unreadable);
            }
        }
    }

    /// All selected sessions. Stops reading once each name has one.
    pub(crate) async fn all(&self, store: &AnyStore) -> Result<Vec<(StoreKey, Record)>, Failure> {
        let mut all = Vec::new();
        self.visit(store, |page| {
            all.extend(page);
            Ok(!self.is_complete(&all))
        })
        .await?;
        Ok(all)
    }
}

/// Finds sessions through the index.
async fn find(
    store: &AnyStore,
    field: &FieldValue,
    mut visit: impl FnMut(Vec<(StoreKey, Record)>) -> Result<bool, Failure>,
) -> Result<(), Failure> {
    for value in &field.values {
        let mut after = None;
        loop {
            let page = store.find(&field.name, value, after, PAGE).await.map_err(failed)?;
            if !visit(page.sessions)? {
                return Ok(());
            }
            after = page.next;
            if after.is_none() {
                break;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_json_or_text() {
        let texts = |text: &str| {
            let field: FieldValue = text.parse().expect(text);
            field.values.iter().map(|value| value.get().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(texts("user_id=42"), ["42", "\"42\""]);
        assert_eq!(texts("name=ann=bob"), ["\"ann=bob\""]);
        assert_eq!(texts("name=\"42\""), ["\"42\"", "\"\\\"42\\\"\""]);
        assert_eq!(texts("name="), ["\"\""]);
        assert!("user_id".parse::<FieldValue>().is_err());
        assert!("=7".parse::<FieldValue>().is_err());
    }

    #[test]
    fn only_ids_of_the_list_name_a_session() {
        let digest = "0123456789abcdef0123456789abcdef".parse::<SessionName>();
        assert!(matches!(digest, Ok(SessionName::Digest(_))));
        let public = "01a0b1c2d3e40123456789abcdef".parse::<SessionName>();
        assert!(matches!(public, Ok(SessionName::Public(_))));
        let key = "0".repeat(64);
        let error = key.parse::<SessionName>().expect_err("a key");
        assert!(error.contains("does not take") && !error.contains(&key), "{error}");
        for bad in ["", "x", "01A0B1C2D3E40123456789ABCDEF", &"f".repeat(28)] {
            assert!(bad.parse::<SessionName>().is_err(), "{bad}");
        }
    }
}
