//! What a request knows of its session and wants of it.

use std::sync::Arc;

use serde_json::value::RawValue;

use super::{
    call::{Effect, RunToEnd, Settled, StoreCall, Transaction, UnderWay},
    handle::{Fate, Ids},
    plan::{Changes, CookieAction, Head, Intent, Situation, Stored, TouchMode},
};
use crate::{
    config::Privileges,
    error::{SessionError, ValueError},
    fields::{FieldSchema, MergedField, Snapshot, same_json},
    id::StoreKey,
    record::{Index, Number, Patch, PublicId, Record},
    time::{Limits, Timestamp},
};

pub(crate) struct State {
    pub(crate) stored: Base,
    pub(crate) intent: Intent,
    /// The changed fields and limits.
    pub(crate) patch: Patch,
    /// The fields with a merge rule of their own that were changed, and perhaps changed back.
    pub(crate) merged: Vec<&'static dyn MergedField>,
    pub(crate) touch: TouchMode,
    /// Whether the session was extended while it was loaded.
    pub(crate) touched_by_load: bool,
    /// Whether a key that is not the first any more has signed the client's id.
    pub(crate) outdated: bool,
    /// Whether there must be a session although nothing is written to it.
    pub(crate) wanted: bool,
    pub(crate) head: Head,
    /// What the client must be told with the head.
    pub(crate) cookie: CookieAction,
    /// The first field whose new value cannot be stored.
    pub(crate) failed: Option<(&'static str, ValueError)>,
    /// Whether `save` has carried out a `destroy`.
    pub(crate) destroyed: bool,
    /// Whether the session has another id than the client came with.
    pub(crate) has_new_id: bool,
    pub(crate) under_way: Option<Box<UnderWay>>,
}

/// What a field's new value is equal to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compared {
    /// What the field reads as without the request's changes.
    Stored,
    /// What it reads as when it is absent, which it is not.
    Default,
    Other,
}

impl Compared {
    /// Compares. `default` is what the field reads as when it is absent.
    pub(crate) fn new(
        field: &FieldSchema,
        json: &RawValue,
        stored: Option<&RawValue>,
        default: impl FnOnce() -> Snapshot,
    ) -> Self {
        let when_default = match stored {
            Some(stored) if same_json(stored, json) => return Self::Stored,
            // Whether it is the default is of interest for indexed fields only.
            Some(_) if !field.index => return Self::Other,
            Some(_) => Self::Default,
            None => Self::Stored,
        };
        match default() {
            Snapshot::Value(default) if same_json(&default, json) => when_default,
            _ => Self::Other,
        }
    }
}

/// What the store had when it was last asked.
pub(crate) enum Base {
    Nothing {
        unknown: bool,
    },
    Live {
        key: StoreKey,
        record: Record,
    },
    Retired {
        key: StoreKey,
        record: Record,
    },
    Gone,
    /// Nobody knows, or not any more.
    Unavailable {
        key: StoreKey,
    },
}

impl Base {
    pub(crate) fn of(key: StoreKey, record: Record) -> Self {
        if record.is_retired() { Self::Retired { key, record } } else { Self::Live { key, record } }
    }
}

impl Default for State {
    fn default() -> Self {
        Self {
            stored: Base::Nothing { unknown: false },
            intent: Intent::Keep,
            patch: Patch::default(),
            merged: Vec::new(),
            touch: TouchMode::WhenDue,
            touched_by_load: false,
            outdated: false,
            wanted: false,
            head: Head::Open,
            cookie: CookieAction::Keep,
            failed: None,
            destroyed: false,
            has_new_id: false,
            under_way: None,
        }
    }
}

impl State {
    /// What the request reads below its own changes.
    pub(crate) fn record(&self) -> Option<&Record> {
        match (&self.stored, self.intent) {
            (_, Intent::Regenerate | Intent::Destroy) => None,
            (Base::Live { record, .. } | Base::Retired { record, .. }, _) => Some(record),
            (Base::Nothing { .. } | Base::Gone | Base::Unavailable { .. }, _) => None,
        }
    }

    pub(crate) fn stored_json(&self, field: &FieldSchema) -> Option<Arc<RawValue>> {
        let fields = &self.record()?.fields;
        fields
            .get(field.stored)
            .or_else(|| field.aliases.iter().find_map(|alias| fields.get(*alias)))
            .cloned()
    }

    pub(crate) fn stored_limits(&self) -> Limits {
        self.record().map(|record| *record.limits()).unwrap_or_default()
    }

    pub(crate) fn limits(&self) -> Limits {
        self.patch.limits().copied().unwrap_or_else(|| self.stored_limits())
    }

    pub(crate) fn has_ended(&self) -> bool {
        match &self.stored {
            Base::Gone => true,
            Base::Nothing { .. } => self.destroyed,
            Base::Live { .. } | Base::Retired { .. } | Base::Unavailable { .. } => {
                self.intent == Intent::Destroy
            }
        }
    }

    pub(crate) fn encode_error(&self) -> Option<SessionError> {
        self.failed.clone().map(|(field, source)| SessionError::Encode { field, source })
    }

    /// A field has a new value in the patch.
    pub(crate) fn changed(&mut self, field: &'static dyn MergedField) {
        let schema = field.schema();
        for alias in schema.aliases {
            if self.record().is_some_and(|record| record.field(alias).is_some()) {
                self.patch.remove((*alias).into());
            }
        }
        // Where two structs have a field of the same name, the one that wrote last decides.
        self.merged.retain(|other| other.schema().stored != schema.stored);
        if field.is_merged() {
            self.merged.push(field);
        }
    }

    /// Records a field's new value, which is JSON.
    pub(crate) fn set(
        &mut self,
        field: &'static dyn MergedField,
        json: Arc<RawValue>,
        is: Compared,
    ) {
        let schema = field.schema();
        match is {
            Compared::Stored => return self.cancel(schema),
            // Absent reads the same, and keeps visitors who are nobody out of the index.
            Compared::Default if schema.index && !field.is_merged() => {
                self.patch.remove(schema.stored.into());
            }
            Compared::Default | Compared::Other => self.patch.set(schema.stored.into(), json),
        }
        self.changed(field);
    }

    /// Records an addition to a field, whose number counts from `from` if it is absent.
    pub(crate) fn add(&mut self, field: &'static dyn MergedField, from: Number, by: Number) {
        let schema = field.schema();
        self.patch.add(schema.stored.into(), from, by);
        if self.patch.names(schema.stored) {
            self.changed(field);
        } else {
            self.cancel(schema);
        }
    }

    /// Lets the session be found by the new value of a changed field, if it is an indexed one. `public_id` makes
    /// that of a session begun at the given time, or now.
    pub(crate) fn index(
        &mut self,
        field: &FieldSchema,
        public_id: impl FnOnce(Option<Timestamp>) -> PublicId,
    ) {
        if !field.index || !self.patch.names(field.stored) {
            return;
        }
        let record = self.record();
        let known = record.and_then(Record::index).or(self.patch.index()).map(Index::public_id);
        let public_id = known.unwrap_or_else(|| public_id(record.map(Record::created_at)));
        self.patch.index_field(Index::new(public_id, field.stored.into()));
    }

    /// A field has its stored value again.
    pub(crate) fn cancel(&mut self, field: &FieldSchema) {
        self.patch.cancel(field.stored);
        for alias in field.aliases {
            self.patch.cancel(alias);
        }
    }

    pub(crate) fn forget_changes(&mut self) {
        self.patch = Patch::default();
    }

    pub(crate) fn situation(&self, changes: Changes, privileges: &Privileges) -> Situation<'_> {
        Situation {
            stored: match &self.stored {
                Base::Nothing { unknown: false } => Stored::Nothing,
                Base::Nothing { unknown: true } => Stored::Unknown,
                Base::Live { key, record } => Stored::Live(*key, record),
                Base::Retired { key, record } => Stored::Retired(*key, record),
                Base::Gone => Stored::Gone,
                Base::Unavailable { key } => Stored::Unavailable(*key),
            },
            intent: self.intent,
            patch: &self.patch,
            elevated: self.is_elevated(privileges),
            merged: self.merged.iter().any(|field| self.patch.names(field.schema().stored)),
            touch: self.touch,
            touched_by_load: self.touched_by_load,
            outdated: self.outdated,
            wanted: self.wanted,
            changes,
            head: self.head,
        }
    }

    /// Whether a `privilege` field is changed.
    fn is_elevated(&self, privileges: &Privileges) -> bool {
        self.patch.changes_fields() && privileges.names().any(|name| self.patch.names(name))
    }

    /// Whether the client gets a new id, if a session is wanted or goes on.
    pub(crate) fn gets_a_new_id(&self, privileges: &Privileges) -> bool {
        match self.stored {
            Base::Nothing { .. } => true,
            Base::Live { .. } => self.intent != Intent::Keep || self.is_elevated(privileges),
            Base::Unavailable { .. } => self.intent == Intent::Destroy,
            Base::Retired { .. } | Base::Gone => false,
        }
    }

    /// What a store call that is to be made is made for.
    pub(crate) fn transaction(&self, cookie: CookieAction) -> Transaction {
        Transaction { cookie, patch: self.patch.clone(), intent: self.intent }
    }

    /// Puts a store call under way.
    pub(crate) fn start(&mut self, cookie: CookieAction, call: StoreCall) {
        let transaction = self.transaction(cookie);
        self.under_way = Some(Box::new(UnderWay { transaction, answer: RunToEnd::Here(call) }));
    }

    /// Takes over what a store call has done.
    pub(crate) fn finish(
        &mut self,
        transaction: Transaction,
        effect: Effect,
        ids: &Ids,
    ) -> Settled {
        let Transaction { cookie, patch, intent } = transaction;
        match effect {
            Effect::Nothing => {}
            Effect::IdTaken => return Settled::IdTaken,
            Effect::Ended => {
                self.stored = Base::Nothing { unknown: false };
                self.destroyed = true;
                ids.push(None);
            }
            Effect::Gone => {
                self.stored = Base::Gone;
                self.forget_changes();
                if self.intent == intent {
                    self.intent = Intent::Keep;
                }
                return Settled::Fate(Fate::Lost);
            }
            Effect::GoneUntouched => {
                self.stored = Base::Gone;
                return Settled::Fate(Fate::Stored);
            }
            Effect::LostChanges => {
                self.forget_changes();
                self.intent = Intent::Keep;
                return Settled::Fate(Fate::Lost);
            }
            Effect::Began { id, key, record } => {
                self.stored = Base::Live { key, record };
                self.destroyed = false;
                self.has_new_id = true;
                ids.push(Some(id));
            }
            Effect::Updated { patch } => {
                if let Base::Live { record, .. } = &mut self.stored {
                    patch_snapshot(record, &patch);
                }
            }
            Effect::Renewed { id, key, patch } => {
                if let Base::Live { key: stored_key, record } = &mut self.stored {
                    patch_snapshot(record, &patch);
                    *stored_key = key;
                }
                self.has_new_id = true;
                ids.push(Some(id));
            }
            Effect::Touched(expires_at) => {
                if let Base::Live { record, .. } = &mut self.stored {
                    *record = record.clone().extended_to(expires_at);
                }
            }
        }
        self.patch.subtract(&patch);
        self.touch = TouchMode::WhenDue;
        self.touched_by_load = false;
        self.outdated = false;
        if self.intent == intent {
            self.intent = Intent::Keep;
        }
        self.tell(cookie);
        Settled::Fate(Fate::Stored)
    }

    /// Remembers what the client must be told with the head.
    pub(crate) fn tell(&mut self, cookie: CookieAction) {
        if cookie != CookieAction::Keep {
            self.cookie = cookie;
        }
    }

    /// Whether nothing is asked for but that changes be stored, and nothing is in the way of it.
    pub(crate) fn is_simple(&self) -> bool {
        self.intent == Intent::Keep && self.failed.is_none() && self.under_way.is_none()
    }
}

/// Brings the request's copy of the record up to what it has stored itself. What other requests have
/// stored meanwhile is not in it; `reload` gets that.
pub(crate) fn patch_snapshot(record: &mut Record, patch: &Patch) {
    if let Ok(patched) = patch.apply_to(record) {
        *record = patched;
    }
}
