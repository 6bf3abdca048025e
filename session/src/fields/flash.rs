//! Messages that are shown once: how a field with `flash` is stored and merged.

use std::collections::VecDeque;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::value::RawValue;

use super::snapshot::StoredDeserialize;

/// A type that `#[session(flash)]` accepts: a list of messages.
#[diagnostic::on_unimplemented(
    message = "`flash` needs a list of messages, but `{Self}` is not one",
    label = "not a `Vec` or a `VecDeque`",
    note = "write `Vec<{Self}>`"
)]
pub trait Messages {}

impl<M> Messages for Vec<M> {}
impl<M> Messages for VecDeque<M> {}

/// The messages of a field as they are stored, each with an id: `[["Kq3rTz0a", "Saved."], …]`.
///
/// By the ids, a merge can say which messages another request has shown, although two messages may
/// have the same text.
#[derive(Clone, Debug, Default)]
pub(crate) struct Flash<'a>(Vec<(String, &'a RawValue)>);

impl<'a> Flash<'a> {
    /// Reads what is stored. A value that does not decode has no messages.
    pub(crate) fn parse(stored: Option<&'a RawValue>) -> Self {
        stored.and_then(|json| Self::try_parse(json).ok()).unwrap_or_default()
    }

    fn try_parse(stored: &'a RawValue) -> Result<Self, serde_json::Error> {
        serde_json::from_str(stored.get()).map(Self)
    }

    /// Gives the messages of a list ids: those that they have in `self`, or new ones. `None`: the
    /// JSON is not a list.
    pub(crate) fn with_messages<'b>(self, list: &'b RawValue) -> Option<Flash<'b>> {
        let mut known = self.0.into_iter();
        let messages: Vec<&RawValue> = serde_json::from_str(list.get()).ok()?;
        let with_id = |message: &'b RawValue| {
            // Both are in the order in which they were added.
            let id = known.clone().position(|(_, known)| known.get() == message.get());
            let id = id.and_then(|at| known.nth(at)).map_or_else(new_id, |(id, _)| id);
            (id, message)
        };
        Some(Flash(messages.into_iter().map(with_id).collect()))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// These messages without those of another list.
    pub(crate) fn without(mut self, other: &Flash<'_>) -> Self {
        self.0.retain(|(id, _)| !other.has(id));
        self
    }

    /// These messages, and after them those of another list that are not among them.
    pub(crate) fn and(mut self, other: Self) -> Self {
        let new = other.without(&self);
        self.0.extend(new.0);
        self
    }

    fn has(&self, id: &str) -> bool {
        self.0.iter().any(|(own, _)| own == id)
    }

    /// The messages with their ids, as they are stored.
    pub(crate) fn to_json(&self) -> Box<RawValue> {
        serde_json::value::to_raw_value(&self.0).expect("ids and raw JSON always serialise")
    }

    /// The messages alone.
    fn list(&self) -> Box<RawValue> {
        let messages: Vec<&RawValue> = self.0.iter().map(|(_, message)| *message).collect();
        serde_json::value::to_raw_value(&messages).expect("raw JSON always serialises")
    }
}

/// Reads the messages of a field.
pub(super) fn decode<F: StoredDeserialize>(stored: &RawValue) -> Result<F, serde_json::Error> {
    F::decode_stored(&Flash::try_parse(stored)?.list())
}

/// `theirs` with what `ours` added to `base`, without what it removed from that.
pub(super) fn merge(
    base: Option<&RawValue>,
    theirs: Option<&RawValue>,
    ours: Option<&RawValue>,
) -> Box<RawValue> {
    let [base, theirs, ours] = [base, theirs, ours].map(Flash::parse);
    let is_shown = |id: &String| base.has(id) && !ours.has(id);
    let left = Flash(theirs.0.into_iter().filter(|(id, _)| !is_shown(id)).collect());
    left.and(ours.without(&base)).to_json()
}

/// An id that no other message of a session has: 48 random bits.
fn new_id() -> String {
    URL_SAFE_NO_PAD.encode(rand::random::<[u8; 6]>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> Box<RawValue> {
        RawValue::from_string(text.to_owned()).expect("a JSON literal")
    }

    fn merged(base: &str, theirs: &str, ours: &str) -> String {
        merge(Some(&json(base)), Some(&json(theirs)), Some(&json(ours))).get().to_owned()
    }

    #[test]
    fn messages_of_both_requests_stay() {
        let both = merged(r#"[["a",1]]"#, r#"[["a",1],["b",2]]"#, r#"[["a",1],["c",2]]"#);
        assert_eq!(both, r#"[["a",1],["b",2],["c",2]]"#);
    }

    #[test]
    fn a_message_that_one_of_both_has_shown_is_gone() {
        assert_eq!(merged(r#"[["a",1]]"#, r#"[["a",1],["b",1]]"#, "[]"), r#"[["b",1]]"#);
        assert_eq!(merged(r#"[["a",1]]"#, "[]", r#"[["a",1],["b",1]]"#), r#"[["b",1]]"#);
        assert_eq!(merged(r#"[["a",1]]"#, r#"[["b",1]]"#, r#"[["c",1]]"#), r#"[["b",1],["c",1]]"#);
        assert_eq!(merged(r#"[["a",1]]"#, "[]", "[]"), "[]");
    }

    #[test]
    fn a_field_that_is_absent_or_does_not_decode_has_no_messages() {
        let ours = json(r#"[["a",1]]"#);
        for other in [None, Some(json("[1]")), Some(json("\"text\""))] {
            let merged = merge(other.as_deref(), other.as_deref(), Some(&ours));
            assert_eq!(merged.get(), ours.get());
        }
        assert_eq!(merge(None, Some(&ours), None).get(), ours.get());
    }

    #[test]
    fn messages_keep_their_ids_and_new_ones_get_another() {
        let stored = json(r#"[["a","one"],["b","two"],["c","one"]]"#);
        let list = json(r#"["one","one","new","one"]"#);
        let flash = Flash::parse(Some(&stored)).with_messages(&list).expect("a list");
        let ids: Vec<_> = flash.0.iter().map(|(id, _)| id.as_str()).collect();
        assert_eq!(ids[..2], ["a", "c"]);
        assert!(ids[2].len() == 8 && ids[3].len() == 8 && ids[2] != ids[3]);
        assert_eq!(decode::<Vec<String>>(&flash.to_json()).expect("it decodes").len(), 4);
        assert!(Flash::default().with_messages(&json("{}")).is_none());
    }

    #[test]
    fn what_is_not_stored_by_a_flash_field_does_not_decode() {
        for text in [r#"["one"]"#, r#"{"a":1}"#, "1", r#"[[1,"one"]]"#, r#"[["a"]]"#] {
            assert!(decode::<Vec<String>>(&json(text)).is_err(), "{text}");
        }
    }
}
