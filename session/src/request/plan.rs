//! What follows from what a request did to its session: which one store call, and which cookie.
//!
//! Nothing here acts. [`call`](super::call) makes the store call of a plan.

use super::{
    changes::{Intent, TouchMode},
    loaded::Loaded,
    outcome::CookieAction,
    state::{Head, State},
};
use crate::{
    config::{OnOutage, Rules},
    id::StoreKey,
    record::{ExpiryChange, Grace, OldIdReads, Patch, PublicId, Record},
    store::CookieHolds,
    time::{Limits, Timestamp},
};

/// What to do. The cookie follows only once the call has succeeded.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// The one store call. `None`: there is nothing to do.
    pub(crate) call: Option<Call>,
    pub(crate) cookie: CookieAction,
    /// The request changed something that this plan does not store, because the session ended
    /// meanwhile.
    pub(crate) loses_changes: bool,
}

/// The one store call.
#[derive(Clone, Debug)]
pub(crate) enum Call {
    Create(Record),
    Update(StoreKey, Patch),
    /// A new id for the session.
    Rotate {
        key: StoreKey,
        patch: Patch,
        grace: Grace,
        if_gone: IfGone,
    },
    /// Another session, if the one with this key was renewed and not destroyed.
    CreateIfRenewed(StoreKey, Record),
    Touch(StoreKey, Timestamp),
    Destroy(StoreKey),
    /// Ends the session; what the request wrote afterwards begins another.
    DestroyThenCreate(StoreKey, Record),
}

/// What a renewal does if the session is gone.
#[derive(Clone, Debug)]
pub(crate) enum IfGone {
    /// Begins this session instead, which takes nothing from the old one.
    Create(Record),
    /// Begins this session instead, but only if another request has renewed the old one: a
    /// destroyed session stays destroyed.
    CreateIfRenewed(Record),
    /// The changes are lost.
    LoseChanges,
}

/// What was asked for cannot be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Impossible {
    /// A cookie would have to be sent after the head of the response.
    HeadSent,
    /// What is stored would have to be known, and the store was not available.
    Unavailable,
}

/// Whether the request may be answered as the handler wanted although the store is not available,
/// with its changes lost.
pub(crate) fn tolerates_outage(state: &State, rules: &Rules) -> bool {
    rules.on_outage == OnOutage::Anonymous
        && state.changes.intent == Intent::Keep
        && !state.is_elevated(&rules.privileges)
        && match state.loaded {
            Loaded::Nothing { .. } | Loaded::Unavailable { .. } => true,
            // A touch that fails costs nothing yet.
            Loaded::Live { .. } | Loaded::GivenAway { .. } => state.changes.patch.is_empty(),
            Loaded::Retired { .. } | Loaded::Gone { .. } => false,
        }
}

/// Decides.
///
/// | loaded | intent | changes | call | cookie |
/// | --- | --- | --- | --- | --- |
/// | nothing | any | fields, or a session is needed | create | issue |
/// | nothing | any | none, or limits only | – | remove an unknown id |
/// | live | keep | fields or limits | update | issue if the limits changed, or if it is persistent and the expiry moves |
/// | live | keep | a privilege field | rotate, old id reads nothing | issue |
/// | live | keep | none, touch due or asked for | touch | issue if it is persistent |
/// | live, head sent | keep | none, touch asked for, expiry cannot move | touch | – |
/// | live | keep | none, touched by the load, and persistent | touch | issue |
/// | live | keep | none, or fields, with an old signature | touch, or update | issue |
/// | live | keep | none | – | – |
/// | live | renew | any | rotate, old id reads the snapshot | issue |
/// | live | renew | a privilege field | rotate, old id reads nothing | issue |
/// | live | regenerate | fields, or a session is needed | rotate to an empty session, old id reads nothing | issue |
/// | live | regenerate, destroy | none | destroy | remove |
/// | live | destroy | fields, or a session is needed | destroy, then create | issue |
/// | retired, readable | destroy | none | destroy (and the successor with it) | remove |
/// | retired, hidden | destroy | none | – | remove |
/// | gone, unavailable | destroy | none | destroy (and the successor with it) | remove |
/// | retired, gone, unavailable | destroy | fields, or a session is needed | destroy as above, then create | issue |
/// | unavailable | keep | none | – | – |
/// | unavailable | other | any | impossible | |
/// | retired | keep, renew | a privilege field | create | issue |
/// | retired, gone | regenerate | fields, or a session is needed | create | issue |
/// | gone | keep, renew | a privilege field | create, if it was renewed | issue |
/// | retired, gone | other | any | – (changes are lost) | – |
///
/// The last rows let a client repeat a login whose response it did not get.
///
/// Where the cookie holds the session, every update and every touch issues one.
///
/// Once the head is sent, whatever cannot do without a cookie is an error, and no other cookie goes
/// out.
pub(crate) fn plan(state: &State, rules: &Rules, now: Timestamp) -> Result<Plan, Impossible> {
    let planning = Planning { state, rules, now };
    // Returned as it is, because a plan is large and moving it costs.
    if state.head == Head::Open {
        return planning.plan();
    }
    let plan = planning.plan()?;
    match &plan.call {
        Some(call) if call.needs_cookie(rules.cookie_holds) => Err(Impossible::HeadSent),
        _ => Ok(Plan { cookie: CookieAction::Keep, ..plan }),
    }
}

/// What a decision rests on.
///
/// Most requests keep their session as it is. What is rarer is not inlined, so that those do not
/// pay for it.
#[derive(Clone, Copy)]
struct Planning<'a> {
    state: &'a State,
    rules: &'a Rules,
    now: Timestamp,
}

impl Planning<'_> {
    fn plan(self) -> Result<Plan, Impossible> {
        let intent = self.state.changes.intent;
        match &self.state.loaded {
            Loaded::Nothing { has_unknown_id } => Ok(self.plan_nothing(*has_unknown_id)),
            Loaded::Live { key, record } => Ok(self.plan_live(*key, record)),
            Loaded::Retired { record, .. }
                if intent == Intent::Destroy && record.successor().is_none() =>
            {
                Ok(self.plan_nothing(true))
            }
            Loaded::Retired { key, .. } | Loaded::Gone { key } if intent == Intent::Destroy => {
                Ok(self.destroy(*key))
            }
            Loaded::Retired { .. } if self.begins_another() => Ok(self.create()),
            Loaded::Gone { key } if self.begins_another() => {
                let (record, cookie) = self.new_record();
                let call = match intent {
                    Intent::Regenerate => Call::Create(record),
                    _ => Call::CreateIfRenewed(*key, record),
                };
                Ok(Plan::new(call, cookie))
            }
            Loaded::Retired { .. } | Loaded::Gone { .. } => {
                let loses_changes = !self.state.changes.is_empty();
                Ok(Plan { loses_changes, ..Plan::nothing(CookieAction::Keep) })
            }
            Loaded::Unavailable { key } | Loaded::GivenAway { key } => match intent {
                Intent::Destroy => Ok(self.destroy(*key)),
                Intent::Keep if self.patch().is_empty() => Ok(Plan::nothing(CookieAction::Keep)),
                Intent::Keep | Intent::Renew | Intent::Regenerate => Err(Impossible::Unavailable),
            },
        }
    }

    #[inline]
    fn patch(&self) -> &Patch {
        &self.state.changes.patch
    }

    /// Whether the changes are worth a session.
    #[inline]
    fn begins_session(&self) -> bool {
        self.patch().changes_fields() || self.state.changes.needs_session
    }

    /// Whether a request whose session was renewed by another one begins a new session: it may be a
    /// login that is repeated, because the client did not get the response to the first.
    fn begins_another(&self) -> bool {
        match self.state.changes.intent {
            Intent::Regenerate => self.begins_session(),
            Intent::Keep | Intent::Renew => self.state.is_elevated(&self.rules.privileges),
            Intent::Destroy => false,
        }
    }

    #[inline(never)]
    fn create(self) -> Plan {
        let (record, cookie) = self.new_record();
        Plan::new(Call::Create(record), cookie)
    }

    fn plan_nothing(self, has_unknown_id: bool) -> Plan {
        if self.begins_session() {
            return self.create();
        }
        Plan::nothing(if has_unknown_id { CookieAction::Remove } else { CookieAction::Keep })
    }

    fn plan_live(self, key: StoreKey, record: &Record) -> Plan {
        match self.state.changes.intent {
            Intent::Keep if !self.state.is_elevated(&self.rules.privileges) => {
                self.keep(key, record)
            }
            Intent::Keep | Intent::Renew => self.renew(key, record),
            Intent::Regenerate if self.begins_session() => self.regenerate(key, record),
            Intent::Regenerate | Intent::Destroy => self.destroy(key),
        }
    }

    /// The session ends. What the request wrote afterwards begins another.
    #[inline(never)]
    fn destroy(self, key: StoreKey) -> Plan {
        if self.begins_session() {
            let (record, cookie) = self.new_record();
            return Plan::new(Call::DestroyThenCreate(key, record), cookie);
        }
        Plan::new(Call::Destroy(key), CookieAction::Remove)
    }

    /// The session goes on under its id.
    fn keep(self, key: StoreKey, record: &Record) -> Plan {
        let patch = self.patch();
        let limits = patch.limits().unwrap_or(record.limits());
        let expires_at = self.rules.lifetimes.expires_at(record.created_at(), limits, self.now);
        let is_due = self.is_touch_due(record, limits, expires_at);
        if patch.is_empty() && !is_due {
            return Plan::nothing(CookieAction::Keep);
        }
        let in_cookie = self.rules.cookie_holds == CookieHolds::Session;
        let issue = CookieAction::Issue(self.rules.cookie_age(limits, expires_at, self.now));
        let issue_if_moved =
            match in_cookie || self.replaces_signature() || self.rules.is_persistent(limits) {
                true => issue,
                false => CookieAction::Keep,
            };
        if patch.is_empty() {
            return Plan::new(Call::Touch(key, expires_at), issue_if_moved);
        }
        let mut patch = patch.clone();
        if self.state.is_merged() {
            patch.expect_version(record.version());
        }
        let cookie = if patch.limits().is_some_and(|limits| limits != record.limits()) {
            self.keep_indexed(&mut patch, Some(record), limits);
            patch.set_expiry(ExpiryChange::Set(expires_at));
            issue
        } else if is_due {
            patch.set_expiry(ExpiryChange::ExtendTo(expires_at));
            issue_if_moved
        } else if in_cookie {
            issue
        } else {
            CookieAction::Keep
        };
        Plan::new(Call::Update(key, patch), cookie)
    }

    /// Whether the client's id gets a signature of the newest key. Only with a call, which proves
    /// that the id is still the client's: a cookie that is sent for an old id would take the place
    /// of the new one. What the load has found is from before the handler.
    fn replaces_signature(&self) -> bool {
        self.state.has_old_signature && self.state.head == Head::Open
    }

    /// Whether the expiry is moved to `expires_at`.
    #[inline]
    fn is_touch_due(&self, record: &Record, limits: &Limits, expires_at: Timestamp) -> bool {
        let touched_by_load = self.state.touched_by_load;
        let can_send_cookie = self.state.head == Head::Open;
        // A persistent cookie must follow the expiry that the load has moved.
        if self.replaces_signature()
            || touched_by_load && self.rules.is_persistent(limits) && can_send_cookie
        {
            return !self.keeps_expiry();
        }
        match self.state.changes.touch {
            // A socket also asks whether the session still lives. Near the end of its absolute
            // lifetime, the expiry does not move any more.
            TouchMode::Now => !can_send_cookie || expires_at > record.expires_at(),
            // Nothing asked for it, and it needs a cookie.
            TouchMode::WhenDue
                if self.rules.cookie_holds == CookieHolds::Session && !can_send_cookie =>
            {
                false
            }
            TouchMode::WhenDue => {
                !touched_by_load
                    && self.rules.lifetimes.worth_touching(limits, record.expires_at(), expires_at)
                    && !self.keeps_expiry()
            }
        }
    }

    /// Whether the request does not extend the session.
    fn keeps_expiry(&self) -> bool {
        self.state.keeps_expiry && self.state.changes.touch == TouchMode::WhenDue
    }

    /// The session goes on under a new id.
    #[inline(never)]
    fn renew(self, key: StoreKey, record: &Record) -> Plan {
        let mut patch = self.patch().clone();
        let limits = *patch.limits().unwrap_or(record.limits());
        let expires_at = match patch.limits() {
            None if self.keeps_expiry() => record.expires_at(),
            _ => self.rules.lifetimes.expires_at(record.created_at(), &limits, self.now),
        };
        patch.set_expiry(match patch.limits() {
            Some(_) => ExpiryChange::Set(expires_at),
            None => ExpiryChange::ExtendTo(expires_at),
        });
        patch.set_snapshot(record.clone());
        if self.state.is_merged() {
            patch.expect_version(record.version());
        }
        self.keep_indexed(&mut patch, Some(record), &limits);
        let (old_id, if_gone) = match self.state.is_elevated(&self.rules.privileges) {
            true => (OldIdReads::Nothing, IfGone::CreateIfRenewed(self.new_record().0)),
            false => (OldIdReads::Snapshot, IfGone::LoseChanges),
        };
        Plan::new(
            Call::Rotate { key, patch, grace: self.rules.grace_from(old_id, self.now), if_gone },
            CookieAction::Issue(self.rules.cookie_age(&limits, expires_at, self.now)),
        )
    }

    /// Lets the index keep the session for as long as new limits let it live.
    #[inline(never)]
    fn keep_indexed(&self, patch: &mut Patch, record: Option<&Record>, limits: &Limits) {
        if patch.limits().and_then(|limits| limits.absolute_lifetime).is_none() {
            return;
        }
        let stored = record.and_then(Record::index);
        let Some(index) = stored.or(patch.index()).cloned() else { return };
        let created_at = record.map_or(self.now, Record::created_at);
        let needed = PublicId::beginning(created_at, &self.rules.lifetimes, limits);
        let id = index.public_id().lasting(needed);
        if id != index.public_id() {
            patch.set_public_id(id);
            patch.index_field(index.with_public_id(id));
        }
    }

    /// Another session takes the place of this one.
    #[inline(never)]
    fn regenerate(self, key: StoreKey, record: &Record) -> Plan {
        let (new, cookie) = self.new_record();
        let mut patch = self.patch().clone();
        patch.set_snapshot(record.clone());
        patch.reset(self.now);
        self.keep_indexed(&mut patch, None, new.limits());
        patch.set_expiry(ExpiryChange::Set(new.expires_at()));
        let grace = self.rules.grace_from(OldIdReads::Nothing, self.now);
        Plan::new(Call::Rotate { key, patch, grace, if_gone: IfGone::Create(new) }, cookie)
    }

    /// The record of a session that begins with what the request wrote.
    #[inline(never)]
    fn new_record(&self) -> (Record, CookieAction) {
        // Those in the patch may also have what an old session has set.
        let limits = self.state.new_limits();
        let expires_at = self.rules.lifetimes.expires_at(self.now, &limits, self.now);
        let mut patch = self.patch().clone();
        if patch.limits().is_some() {
            patch.set_limits(limits);
        }
        if self.state.loaded.held().is_some() {
            // The two sessions must not have the same public id.
            patch.set_public_id(PublicId::beginning(self.now, &self.rules.lifetimes, &limits));
        } else {
            self.keep_indexed(&mut patch, None, &limits);
        }
        let record = patch
            .apply_to(&Record::new(self.now, expires_at))
            .expect("a new record is not retired, and a request's own patch expects no version");
        (record, CookieAction::Issue(self.rules.cookie_age(&limits, expires_at, self.now)))
    }
}

impl Plan {
    fn new(call: Call, cookie: CookieAction) -> Self {
        Self { call: Some(call), cookie, loses_changes: false }
    }

    fn nothing(cookie: CookieAction) -> Self {
        Self { call: None, cookie, loses_changes: false }
    }
}

impl Call {
    /// Whether it stores a session under a new id.
    pub(crate) fn needs_id(&self) -> bool {
        matches!(
            self,
            Self::Create(_)
                | Self::Rotate { .. }
                | Self::CreateIfRenewed(..)
                | Self::DestroyThenCreate(..)
        )
    }

    /// Whether observers want to know of it.
    pub(crate) fn is_event(&self) -> bool {
        self.needs_id() || matches!(self, Self::Destroy(_))
    }

    /// Whether it is useless without a cookie for the client.
    pub(crate) fn needs_cookie(&self, cookie_holds: CookieHolds) -> bool {
        match self {
            Self::Create(_)
            | Self::Rotate { .. }
            | Self::CreateIfRenewed(..)
            | Self::DestroyThenCreate(..) => true,
            Self::Update(..) | Self::Touch(..) | Self::Destroy(_) => {
                cookie_holds == CookieHolds::Session
            }
        }
    }
}

#[cfg(test)]
mod tests;
