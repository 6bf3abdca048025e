//! What follows from what a request did to its session: which one store call, and which cookie.
//!
//! Nothing here does anything; [`handle`](crate::handle) carries a plan out.

use std::time::Duration;

use crate::{
    config::{OnOutage, Rules},
    id::StoreKey,
    record::{Grace, NewExpiry, OldId, Patch, Record},
    store::CookieHolds,
    time::Timestamp,
};

/// What the request found, and what it did.
#[derive(Clone, Debug)]
pub(crate) struct Situation<'a> {
    pub(crate) stored: Stored<'a>,
    pub(crate) intent: Intent,
    /// The changed fields and limits.
    pub(crate) patch: &'a Patch,
    /// Whether a `privilege` field is among the changed ones.
    pub(crate) elevated: bool,
    /// Whether a field that is merged by code of its type is among the changed ones, so that the change
    /// must meet the version that was read.
    pub(crate) merged: bool,
    pub(crate) touch: TouchMode,
    /// Whether the session was extended while it was loaded.
    pub(crate) touched_by_load: bool,
    /// Whether a key that is not the first any more has signed the client's id.
    pub(crate) outdated: bool,
    /// Whether there must be a session although nothing is written to it: the client got a token that is bound
    /// to its id.
    pub(crate) wanted: bool,
    pub(crate) changes: Changes,
    pub(crate) head: Head,
}

/// What the store has for the client.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Stored<'a> {
    /// Nothing, and the client did not claim otherwise.
    Nothing,
    /// Nothing, but the client presents an id all the same.
    Unknown,
    /// A session.
    Live(StoreKey, &'a Record),
    /// A session whose id was renewed a moment ago; this request carries the old one.
    Retired(StoreKey, &'a Record),
    /// A session that ended while this request held it.
    Gone,
    /// Nobody knows: the store was not available, and the middleware lets such requests pass.
    Unavailable(StoreKey),
}

/// What the handler asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Intent {
    Keep,
    /// A new id.
    Renew,
    /// A new id and a new, empty session.
    Regenerate,
    /// No session.
    Destroy,
}

/// When the session's expiry is moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TouchMode {
    /// When enough time has passed since it was last moved.
    WhenDue,
    /// At every opportunity: the handler called `touch()`.
    Now,
}

/// Whether the request's changes are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Changes {
    Kept,
    /// The request failed.
    Discarded,
}

/// Whether a cookie can still be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Head {
    Open,
    Sent,
}

/// What to do. The cookie follows only once the call has succeeded.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) call: Call,
    pub(crate) cookie: CookieAction,
    /// The request changed something that this plan does not store, through no fault of its own.
    pub(crate) loses_changes: bool,
}

/// The one store call.
#[derive(Clone, Debug)]
pub(crate) enum Call {
    Nothing,
    Create(Record),
    Update(StoreKey, Patch),
    /// A new id for the session. `anew` is the record to create instead when the session is gone
    /// and the new one does not depend on it.
    Rotate {
        key: StoreKey,
        patch: Patch,
        grace: Grace,
        anew: Option<Record>,
    },
    Touch(StoreKey, Timestamp),
    Destroy(StoreKey),
    /// Ends the session; what the request wrote afterwards begins another.
    DestroyThenCreate(StoreKey, Record),
}

/// What the client is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CookieAction {
    /// Nothing.
    Keep,
    /// The id, to be kept for this long; `None` is until the browser is closed.
    Issue(Option<Duration>),
    /// To forget the id.
    Remove,
}

/// What was asked for cannot be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Impossible {
    /// A cookie would have to be sent after the head of the response.
    HeadSent,
    /// What is stored would have to be known, and the store was not available.
    Unavailable,
}

/// Whether the request may be answered as the handler wanted although the store is not available, with
/// its changes lost.
pub(crate) fn tolerates_outage(situation: &Situation<'_>, rules: &Rules) -> bool {
    let kept = situation.intent == Intent::Keep && !situation.elevated;
    rules.on_outage == OnOutage::Anonymous
        && kept
        && match situation.stored {
            Stored::Nothing | Stored::Unknown | Stored::Unavailable(_) => true,
            // A touch that fails costs nothing yet.
            Stored::Live(..) => {
                situation.changes == Changes::Discarded || situation.patch.is_empty()
            }
            Stored::Retired(..) | Stored::Gone => false,
        }
}

/// Decides.
///
/// | stored | intent | changes | call | cookie |
/// | --- | --- | --- | --- | --- |
/// | nothing, unknown | any | fields, or a session is wanted | create | issue |
/// | nothing | any | none, or limits only | – | – |
/// | unknown | any | none, or limits only | – | remove |
/// | live | keep | fields or limits | update | issue if the limits changed, or if it is persistent and the expiry moves |
/// | live | keep | a privilege field | rotate, old id reads nothing | issue |
/// | live | keep | none, touch due or asked for | touch | issue if it is persistent |
/// | live | keep | none, touched by the load, and persistent | touch | issue |
/// | live | keep | none, or fields, with an outdated signature | touch, or update | issue |
/// | live | keep | none | – | – |
/// | live | renew | any | rotate, old id reads the snapshot | issue |
/// | live | renew | a privilege field | rotate, old id reads nothing | issue |
/// | live | regenerate | fields, or a session is wanted | rotate to an empty session, old id reads nothing | issue |
/// | live | regenerate, destroy | none | destroy | remove |
/// | live | destroy | fields, or a session is wanted | destroy, then create | issue |
/// | retired, readable | destroy | any | destroy (and the successor with it) | remove |
/// | retired, hidden | destroy | any | – | remove |
/// | gone | destroy | any | – | remove |
/// | unavailable | destroy | any | destroy | remove |
/// | unavailable | keep | none | – | – |
/// | unavailable | other | any | impossible | |
/// | retired, gone | other | any | – (changes are lost) | – |
///
/// Where the cookie holds the session, every update and every touch issues one.
///
/// A failed request counts as one without changes and without an intent other than `destroy`. Once
/// the head is sent, whatever cannot do without a cookie is an error, and no other cookie goes out.
pub(crate) fn plan(
    situation: &Situation<'_>,
    rules: &Rules,
    now: Timestamp,
) -> Result<Plan, Impossible> {
    let nothing = Patch::default();
    let (patch, intent, elevated) = match (situation.changes, situation.intent) {
        (Changes::Kept, intent) => (situation.patch, intent, situation.elevated),
        (Changes::Discarded, Intent::Destroy) => (&nothing, Intent::Destroy, false),
        (Changes::Discarded, _) => (&nothing, Intent::Keep, false),
    };
    let merged = situation.merged;
    let begins = patch.changes_fields() || situation.wanted && situation.changes == Changes::Kept;
    let plan = match situation.stored {
        Stored::Nothing if !begins => Plan::nothing(CookieAction::Keep),
        Stored::Unknown if !begins => Plan::nothing(CookieAction::Remove),
        Stored::Nothing | Stored::Unknown => {
            let (record, cookie) = begin(patch, rules, now);
            Plan::new(Call::Create(record), cookie)
        }
        Stored::Live(key, record) => match intent {
            Intent::Keep if !elevated => stay(key, record, patch, situation, rules, now),
            Intent::Keep | Intent::Renew => {
                let old_id = if elevated { OldId::ReadsNothing } else { OldId::ReadsSnapshot };
                renew(key, record, patch, merged, old_id, rules, now)
            }
            Intent::Regenerate | Intent::Destroy if !begins => {
                Plan::new(Call::Destroy(key), CookieAction::Remove)
            }
            Intent::Regenerate => regenerate(key, record, patch, rules, now),
            Intent::Destroy => {
                let (record, cookie) = begin(patch, rules, now);
                Plan::new(Call::DestroyThenCreate(key, record), cookie)
            }
        },
        Stored::Retired(key, record)
            if intent == Intent::Destroy && record.successor().is_some() =>
        {
            Plan::new(Call::Destroy(key), CookieAction::Remove)
        }
        Stored::Retired(..) | Stored::Gone if intent == Intent::Destroy => {
            Plan::nothing(CookieAction::Remove)
        }
        Stored::Retired(..) | Stored::Gone => Plan {
            loses_changes: !patch.is_empty() || intent != Intent::Keep,
            ..Plan::nothing(CookieAction::Keep)
        },
        Stored::Unavailable(key) => match intent {
            Intent::Destroy if !begins => Plan::new(Call::Destroy(key), CookieAction::Remove),
            Intent::Destroy => {
                let (record, cookie) = begin(patch, rules, now);
                Plan::new(Call::DestroyThenCreate(key, record), cookie)
            }
            Intent::Keep if patch.is_empty() => Plan::nothing(CookieAction::Keep),
            Intent::Keep | Intent::Renew | Intent::Regenerate => {
                return Err(Impossible::Unavailable);
            }
        },
    };
    match situation.head {
        Head::Open => Ok(plan),
        Head::Sent if plan.call.needs_a_cookie(rules.cookie_holds) => Err(Impossible::HeadSent),
        Head::Sent => Ok(Plan { cookie: CookieAction::Keep, ..plan }),
    }
}

/// The session goes on under its id.
fn stay(
    key: StoreKey,
    record: &Record,
    patch: &Patch,
    situation: &Situation<'_>,
    rules: &Rules,
    now: Timestamp,
) -> Plan {
    let limits = patch.limits().unwrap_or(record.limits());
    let expires_at = rules.lifetimes.expires_at(record.created_at(), limits, now);
    let in_cookie = rules.cookie_holds == CookieHolds::Session;
    let persistent = rules.is_persistent(limits);
    // Only with a call, which tells whether the id is still the client's: a cookie that is sent for an old id
    // would take the place of the new one. What the load has told is from before the handler.
    let outdated = situation.outdated && situation.head == Head::Open;
    let moved = situation.touched_by_load && persistent && situation.head == Head::Open;
    let due = outdated
        || moved
        || match situation.touch {
            TouchMode::Now => expires_at > record.expires_at(),
            // Nobody asked for it, and it needs a cookie.
            TouchMode::WhenDue if in_cookie && situation.head == Head::Sent => false,
            TouchMode::WhenDue => {
                !situation.touched_by_load
                    && rules.lifetimes.worth_touching(limits, record.expires_at(), expires_at)
            }
        };
    let reissue = CookieAction::Issue(rules.cookie_age(limits, expires_at, now));
    let moved_with_it = match in_cookie || outdated || persistent {
        true => reissue,
        false => CookieAction::Keep,
    };
    if patch.is_empty() {
        return if due {
            Plan::new(Call::Touch(key, expires_at), moved_with_it)
        } else {
            Plan::nothing(CookieAction::Keep)
        };
    }
    let mut patch = patch.clone();
    if situation.merged {
        patch.expect_version(record.version());
    }
    let cookie = if patch.limits().is_some_and(|limits| limits != record.limits()) {
        patch.set_expiry(NewExpiry::Set(expires_at));
        reissue
    } else if due {
        patch.set_expiry(NewExpiry::ExtendTo(expires_at));
        moved_with_it
    } else if in_cookie {
        reissue
    } else {
        CookieAction::Keep
    };
    Plan::new(Call::Update(key, patch), cookie)
}

/// The session goes on under a new id.
fn renew(
    key: StoreKey,
    record: &Record,
    patch: &Patch,
    merged: bool,
    old_id: OldId,
    rules: &Rules,
    now: Timestamp,
) -> Plan {
    let limits = patch.limits().unwrap_or(record.limits());
    let expires_at = rules.lifetimes.expires_at(record.created_at(), limits, now);
    let mut patch = patch.clone();
    patch.set_expiry(match patch.limits() {
        Some(_) => NewExpiry::Set(expires_at),
        None => NewExpiry::ExtendTo(expires_at),
    });
    patch.set_basis(record.clone());
    if merged {
        patch.expect_version(record.version());
    }
    Plan::new(
        Call::Rotate { key, patch, grace: rules.grace_from(old_id, now), anew: None },
        CookieAction::Issue(rules.cookie_age(limits, expires_at, now)),
    )
}

/// Another session takes the place of this one.
fn regenerate(
    key: StoreKey,
    record: &Record,
    patch: &Patch,
    rules: &Rules,
    now: Timestamp,
) -> Plan {
    let (anew, cookie) = begin(patch, rules, now);
    let mut patch = patch.clone();
    patch.set_basis(record.clone());
    patch.begin_anew(now);
    patch.set_expiry(NewExpiry::Set(anew.expires_at()));
    let grace = rules.grace_from(OldId::ReadsNothing, now);
    Plan::new(Call::Rotate { key, patch, grace, anew: Some(anew) }, cookie)
}

/// A session begins with what the request wrote.
fn begin(patch: &Patch, rules: &Rules, now: Timestamp) -> (Record, CookieAction) {
    let limits = patch.limits().copied().unwrap_or_default();
    let expires_at = rules.lifetimes.expires_at(now, &limits, now);
    let record = patch
        .apply_to(&Record::new(now, expires_at))
        .expect("a new record is not retired, and a request's own patch expects no version");
    (record, CookieAction::Issue(rules.cookie_age(&limits, expires_at, now)))
}

impl Plan {
    fn new(call: Call, cookie: CookieAction) -> Self {
        Self { call, cookie, loses_changes: false }
    }

    fn nothing(cookie: CookieAction) -> Self {
        Self::new(Call::Nothing, cookie)
    }
}

impl Call {
    /// Whether it is in vain without a cookie that tells the client.
    fn needs_a_cookie(&self, cookie_holds: CookieHolds) -> bool {
        match self {
            Self::Create(_) | Self::Rotate { .. } | Self::DestroyThenCreate(..) => true,
            Self::Update(..) | Self::Touch(..) | Self::Destroy(_) => {
                cookie_holds == CookieHolds::Session
            }
            Self::Nothing => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::value::RawValue;

    use super::*;
    use crate::time::{Lifetimes, Limits};

    const KEY: StoreKey = StoreKey::from_bytes([7; 32]);

    const HOUR: Duration = Duration::from_secs(3600);
    const RULES: Rules = Rules {
        lifetimes: Lifetimes {
            idle: HOUR,
            absolute: Duration::from_secs(240 * 3600),
            touch_interval: None,
        },
        persistent: false,
        grace: Duration::from_secs(10),
        on_outage: OnOutage::FailClosed,
        cookie_holds: CookieHolds::Id,
    };
    const START: Timestamp = Timestamp::from_unix_ms(1_000_000_000);

    fn minutes(n: u64) -> Timestamp {
        START.saturating_add(Duration::from_secs(60 * n))
    }

    fn json(text: &str) -> Arc<RawValue> {
        RawValue::from_string(text.to_owned()).expect("a JSON literal").into()
    }

    /// A session made and last used at the start.
    fn stored() -> Record {
        let mut patch = Patch::default();
        patch.set("old".into(), json("1"));
        patch.apply_to(&Record::new(START, minutes(60))).expect("a live record takes a patch")
    }

    fn retired(old_id: OldId) -> Record {
        stored().retire(Grace { until: minutes(1), old_id }, &StoreKey::from_bytes([1; 32]))
    }

    fn fields() -> Patch {
        let mut patch = Patch::default();
        patch.set("new".into(), json("2"));
        patch
    }

    fn limits() -> Patch {
        let mut patch = Patch::default();
        patch.set_limits(Limits { max_age: Some(HOUR / 2), persistent: None });
        patch
    }

    /// A request that changes nothing, half a minute after the start.
    fn quiet<'a>(stored: Stored<'a>, patch: &'a Patch) -> Situation<'a> {
        Situation {
            stored,
            intent: Intent::Keep,
            patch,
            elevated: false,
            merged: false,
            touch: TouchMode::WhenDue,
            touched_by_load: false,
            outdated: false,
            wanted: false,
            changes: Changes::Kept,
            head: Head::Open,
        }
    }

    /// The plan as the table writes it: call, cookie, and whether changes are lost.
    fn decide_at(situation: &Situation<'_>, rules: &Rules, now: Timestamp) -> String {
        let plan = match plan(situation, rules, now) {
            Ok(plan) => plan,
            Err(Impossible::HeadSent) => return "head sent".into(),
            Err(Impossible::Unavailable) => return "unavailable".into(),
        };
        let call = match &plan.call {
            Call::Nothing => "nothing",
            Call::Create(_) => "create",
            Call::Update(..) => "update",
            Call::Rotate {
                grace: Grace { old_id: OldId::ReadsSnapshot, .. }, anew: None, ..
            } => "rotate, snapshot",
            Call::Rotate { anew: None, .. } => "rotate, hidden",
            Call::Rotate { anew: Some(_), .. } => "rotate, hidden, anew",
            Call::Touch(..) => "touch",
            Call::Destroy(_) => "destroy",
            Call::DestroyThenCreate(..) => "destroy, create",
        };
        let cookie = match plan.cookie {
            CookieAction::Keep => "",
            CookieAction::Issue(None) => "; issue",
            CookieAction::Issue(Some(_)) => "; issue with age",
            CookieAction::Remove => "; remove",
        };
        let lost = if plan.loses_changes { "; lost" } else { "" };
        format!("{call}{cookie}{lost}")
    }

    fn decide(situation: &Situation<'_>) -> String {
        decide_at(situation, &RULES, START.saturating_add(Duration::from_secs(30)))
    }

    const INTENTS: [Intent; 4] = [Intent::Keep, Intent::Renew, Intent::Regenerate, Intent::Destroy];

    /// Decides for each intent with no change, changed limits, changed fields, and a changed
    /// privilege field.
    fn rows(stored: Stored<'_>, change: impl Fn(&mut Situation<'_>)) -> Vec<String> {
        let mut rows = Vec::new();
        for intent in INTENTS {
            for (patch, elevated) in
                [(Patch::default(), false), (limits(), false), (fields(), false), (fields(), true)]
            {
                let mut situation = Situation { intent, elevated, ..quiet(stored, &patch) };
                change(&mut situation);
                rows.push(decide(&situation));
            }
        }
        rows
    }

    #[test]
    fn without_a_session_only_written_fields_begin_one() {
        let row = ["nothing", "nothing", "create; issue", "create; issue"];
        assert_eq!(rows(Stored::Nothing, |_| ()), [row; 4].concat());
    }

    #[test]
    fn an_unknown_id_is_removed_or_replaced() {
        let row = ["nothing; remove", "nothing; remove", "create; issue", "create; issue"];
        assert_eq!(rows(Stored::Unknown, |_| ()), [row; 4].concat());
    }

    #[test]
    fn a_live_session_is_changed_moved_or_ended() {
        let record = stored();
        assert_eq!(
            rows(Stored::Live(KEY, &record), |_| ()),
            [
                // keep
                "nothing",
                "update; issue",
                "update",
                "rotate, hidden; issue",
                // renew
                "rotate, snapshot; issue",
                "rotate, snapshot; issue",
                "rotate, snapshot; issue",
                "rotate, hidden; issue",
                // regenerate
                "destroy; remove",
                "destroy; remove",
                "rotate, hidden, anew; issue",
                "rotate, hidden, anew; issue",
                // destroy
                "destroy; remove",
                "destroy; remove",
                "destroy, create; issue",
                "destroy, create; issue",
            ]
        );
    }

    #[test]
    fn a_failed_request_only_destroys() {
        let record = stored();
        let rows = rows(Stored::Live(KEY, &record), |it| it.changes = Changes::Discarded);
        assert_eq!(rows, [["nothing"; 12].as_slice(), &["destroy; remove"; 4]].concat());
    }

    #[test]
    fn a_failed_request_without_a_session_begins_none() {
        let rows = rows(Stored::Nothing, |it| it.changes = Changes::Discarded);
        assert_eq!(rows, ["nothing"; 16]);
    }

    #[test]
    fn an_old_id_changes_nothing_and_sets_no_cookie() {
        for (old_id, destroyed) in
            [(OldId::ReadsSnapshot, "destroy; remove"), (OldId::ReadsNothing, "nothing; remove")]
        {
            let record = retired(old_id);
            let lost = "nothing; lost";
            let mut expected = vec!["nothing", lost, lost, lost];
            expected.extend([lost; 8]);
            expected.extend([destroyed; 4]);
            assert_eq!(rows(Stored::Retired(KEY, &record), |_| ()), expected);
        }
    }

    #[test]
    fn a_session_that_ended_meanwhile_stays_ended() {
        let lost = "nothing; lost";
        let mut expected = vec!["nothing", lost, lost, lost];
        expected.extend([lost; 8]);
        expected.extend(["nothing; remove"; 4]);
        assert_eq!(rows(Stored::Gone, |_| ()), expected);
    }

    #[test]
    fn a_merged_field_must_meet_the_version_that_was_read() {
        let (record, patch) = (stored(), fields());
        for merged in [true, false] {
            let expected = merged.then_some(record.version());
            let stays = Situation { merged, ..quiet(Stored::Live(KEY, &record), &patch) };
            let version = |situation: &Situation<'_>| match plan(situation, &RULES, START)
                .map(|plan| plan.call)
            {
                Ok(Call::Update(_, patch) | Call::Rotate { patch, .. }) => patch.expected_version(),
                other => panic!("{other:?}"),
            };
            assert_eq!(version(&stays), expected);
            assert_eq!(version(&Situation { intent: Intent::Renew, ..stays.clone() }), expected);
            assert_eq!(version(&Situation { elevated: true, ..stays.clone() }), expected);
            // The new session takes nothing from the old one.
            assert_eq!(version(&Situation { intent: Intent::Regenerate, ..stays }), None);
        }
    }

    #[test]
    fn a_session_that_could_not_be_loaded_is_not_written_but_may_be_ended() {
        let impossible = "unavailable";
        let mut expected = vec!["nothing", impossible, impossible, impossible];
        expected.extend([impossible; 8]);
        expected.extend(["destroy; remove"; 2]);
        expected.extend(["destroy, create; issue"; 2]);
        assert_eq!(rows(Stored::Unavailable(KEY), |_| ()), expected);
        let failed = rows(Stored::Unavailable(KEY), |it| it.changes = Changes::Discarded);
        assert_eq!(failed, [["nothing"; 12].as_slice(), &["destroy; remove"; 4]].concat());
    }

    #[test]
    fn an_outage_is_tolerated_where_nothing_is_lost_that_counts() {
        let rules = Rules { on_outage: OnOutage::Anonymous, ..RULES };
        let (record, none, fields) = (stored(), Patch::default(), fields());
        let live = Stored::Live(KEY, &record);
        for (stored, patch, tolerated) in [
            (Stored::Nothing, &fields, true),
            (Stored::Unknown, &fields, true),
            (Stored::Unavailable(KEY), &fields, true),
            (live, &none, true),
            (live, &fields, false),
        ] {
            let situation = quiet(stored, patch);
            assert_eq!(tolerates_outage(&situation, &rules), tolerated, "{stored:?}");
            assert!(!tolerates_outage(&situation, &RULES));
            let elevated = Situation { elevated: true, ..situation.clone() };
            assert!(!tolerates_outage(&elevated, &rules));
            for intent in [Intent::Renew, Intent::Regenerate, Intent::Destroy] {
                assert!(!tolerates_outage(&Situation { intent, ..situation.clone() }, &rules));
            }
        }
    }

    #[test]
    fn once_the_head_is_sent_no_id_is_made_and_no_cookie_leaves() {
        let record = stored();
        let sent = "head sent";
        let sent_head = |it: &mut Situation<'_>| it.head = Head::Sent;
        assert_eq!(
            rows(Stored::Live(KEY, &record), sent_head),
            [
                ["nothing", "update", "update", sent],
                [sent; 4],
                ["destroy", "destroy", sent, sent],
                ["destroy", "destroy", sent, sent],
            ]
            .concat()
        );
        let row = ["nothing", "nothing", sent, sent];
        assert_eq!(rows(Stored::Nothing, sent_head), [row; 4].concat());
        assert_eq!(rows(Stored::Unknown, sent_head), [row; 4].concat());
    }

    #[test]
    fn a_touch_waits_until_it_is_due() {
        let (record, none) = (stored(), Patch::default());
        let situation = quiet(Stored::Live(KEY, &record), &none);
        let just_before = START.saturating_add(Duration::from_millis(59_999));
        assert_eq!(decide_at(&situation, &RULES, just_before), "nothing");
        assert_eq!(decide_at(&situation, &RULES, minutes(1)), "touch");
        let asked = Situation { touch: TouchMode::Now, ..situation };
        assert_eq!(decide_at(&asked, &RULES, just_before), "touch");
        assert_eq!(decide_at(&asked, &RULES, START), "nothing", "there is nothing to win");
    }

    #[test]
    fn a_failed_request_is_still_a_sign_of_life() {
        let (record, none) = (stored(), Patch::default());
        let failed =
            Situation { changes: Changes::Discarded, ..quiet(Stored::Live(KEY, &record), &none) };
        assert_eq!(decide_at(&failed, &RULES, minutes(1)), "touch");
    }

    #[test]
    fn a_persistent_cookie_is_issued_again_when_the_expiry_moves_and_only_then() {
        let rules = Rules { persistent: true, ..RULES };
        let record = stored();
        for (patch, early, due) in [
            (Patch::default(), "nothing", "touch; issue with age"),
            (fields(), "update", "update; issue with age"),
        ] {
            let situation = quiet(Stored::Live(KEY, &record), &patch);
            assert_eq!(decide_at(&situation, &rules, START), early);
            assert_eq!(decide_at(&situation, &rules, minutes(1)), due);
        }
    }

    #[test]
    fn a_persistent_cookie_is_issued_again_when_the_load_has_moved_the_expiry() {
        let rules = Rules { persistent: true, ..RULES };
        let record = stored();
        for (patch, decision) in
            [(Patch::default(), "touch; issue with age"), (fields(), "update; issue with age")]
        {
            let mut situation = quiet(Stored::Live(KEY, &record), &patch);
            situation.touched_by_load = true;
            assert_eq!(decide_at(&situation, &rules, minutes(2)), decision);
            assert!(!decide_at(&situation, &RULES, minutes(2)).contains("issue"));
            let sent = Situation { head: Head::Sent, ..situation };
            assert!(!decide_at(&sent, &rules, minutes(2)).contains("touch"));
        }
    }

    const IN_COOKIE: Rules = Rules { cookie_holds: CookieHolds::Session, ..RULES };

    #[test]
    fn a_cookie_that_holds_the_session_is_issued_at_every_change_and_only_then() {
        let record = stored();
        for (patch, at_once, due) in [
            (Patch::default(), "nothing", "touch; issue"),
            (fields(), "update; issue", "update; issue"),
            (limits(), "update; issue", "update; issue"),
        ] {
            let situation = quiet(Stored::Live(KEY, &record), &patch);
            assert_eq!(decide_at(&situation, &IN_COOKIE, START), at_once);
            assert_eq!(decide_at(&situation, &IN_COOKIE, minutes(1)), due);
        }
    }

    #[test]
    fn once_the_head_is_sent_a_session_in_the_cookie_cannot_change() {
        let record = stored();
        for (patch, intent, touch, decision) in [
            (Patch::default(), Intent::Keep, TouchMode::WhenDue, "nothing"),
            (Patch::default(), Intent::Keep, TouchMode::Now, "head sent"),
            (fields(), Intent::Keep, TouchMode::WhenDue, "head sent"),
            (limits(), Intent::Keep, TouchMode::WhenDue, "head sent"),
            (Patch::default(), Intent::Renew, TouchMode::WhenDue, "head sent"),
            (Patch::default(), Intent::Destroy, TouchMode::WhenDue, "head sent"),
        ] {
            let live = quiet(Stored::Live(KEY, &record), &patch);
            let situation = Situation { head: Head::Sent, intent, touch, ..live };
            assert_eq!(decide_at(&situation, &IN_COOKIE, minutes(1)), decision, "{intent:?}");
        }
    }

    #[test]
    fn an_outdated_signature_is_replaced_once_a_call_has_proved_the_id() {
        let record = stored();
        let empty = Patch::default();
        for touched_by_load in [false, true] {
            let situation = Situation {
                outdated: true,
                touched_by_load,
                ..quiet(Stored::Live(KEY, &record), &empty)
            };
            assert_eq!(decide(&situation), "touch; issue");
            assert_eq!(
                decide(&Situation { patch: &fields(), ..situation.clone() }),
                "update; issue"
            );
            assert_eq!(
                decide(&Situation { changes: Changes::Discarded, ..situation.clone() }),
                "touch; issue"
            );
            // What cannot be sent is not asked for.
            assert_eq!(decide(&Situation { head: Head::Sent, ..situation }), "nothing");
        }
        let retired = retired(OldId::ReadsSnapshot);
        let situation =
            Situation { outdated: true, ..quiet(Stored::Retired(KEY, &retired), &empty) };
        assert_eq!(decide(&situation), "nothing");
    }

    #[test]
    fn a_session_that_is_wanted_begins_without_a_field() {
        let record = stored();
        let retired = retired(OldId::ReadsSnapshot);
        let empty = Patch::default();
        let wanted =
            |stored, intent| decide(&Situation { wanted: true, intent, ..quiet(stored, &empty) });
        for stored in [Stored::Nothing, Stored::Unknown] {
            for intent in INTENTS {
                assert_eq!(wanted(stored, intent), "create; issue");
            }
        }
        let live = Stored::Live(KEY, &record);
        assert_eq!(
            INTENTS.map(|intent| wanted(live, intent)),
            [
                "nothing",
                "rotate, snapshot; issue",
                "rotate, hidden, anew; issue",
                "destroy, create; issue"
            ]
        );
        assert_eq!(wanted(Stored::Unavailable(KEY), Intent::Keep), "nothing");
        assert_eq!(wanted(Stored::Unavailable(KEY), Intent::Destroy), "destroy, create; issue");
        for stored in [Stored::Retired(KEY, &retired), Stored::Gone] {
            assert_eq!(wanted(stored, Intent::Keep), "nothing");
        }
        let failed = Situation {
            wanted: true,
            changes: Changes::Discarded,
            ..quiet(Stored::Nothing, &empty)
        };
        assert_eq!(decide(&failed), "nothing");
    }

    #[test]
    fn an_update_moves_the_expiry_only_when_it_is_due() {
        let (record, patch) = (stored(), fields());
        let situation = quiet(Stored::Live(KEY, &record), &patch);
        let expiry = |now| match plan(&situation, &RULES, now).map(|plan| plan.call) {
            Ok(Call::Update(_, patch)) => patch.expiry(),
            other => panic!("{other:?}"),
        };
        assert_eq!(expiry(START), None);
        assert_eq!(expiry(minutes(1)), Some(NewExpiry::ExtendTo(minutes(61))));
    }

    #[test]
    fn a_sessions_own_limits_win_and_may_shorten_it() {
        let (record, patch) = (stored(), limits());
        let situation = quiet(Stored::Live(KEY, &record), &patch);
        let Ok(Plan { call: Call::Update(_, patch), .. }) = plan(&situation, &RULES, START) else {
            panic!("limits are an update");
        };
        assert_eq!(patch.expiry(), Some(NewExpiry::Set(minutes(30))));
    }

    #[test]
    fn a_session_that_wants_a_persistent_cookie_gets_one() {
        let mut patch = fields();
        patch.set_limits(Limits { max_age: None, persistent: Some(true) });
        assert_eq!(decide(&quiet(Stored::Nothing, &patch)), "create; issue with age");
        let record = stored();
        assert_eq!(decide(&quiet(Stored::Live(KEY, &record), &patch)), "update; issue with age");
    }

    #[test]
    fn a_regenerated_session_is_as_old_as_the_request() {
        let (record, patch) = (stored(), fields());
        let situation =
            Situation { intent: Intent::Regenerate, ..quiet(Stored::Live(KEY, &record), &patch) };
        let Ok(Plan { call: Call::Rotate { patch, anew: Some(anew), grace, .. }, .. }) =
            plan(&situation, &RULES, minutes(50))
        else {
            panic!("a written, regenerated session is rotated");
        };
        let moved = patch.apply_to(&record).expect("a live record takes a patch");
        for record in [&moved, &anew] {
            assert_eq!(record.created_at(), minutes(50));
            assert_eq!(record.expires_at(), minutes(110));
            assert_eq!(record.fields().map(|(name, _)| name).collect::<Vec<_>>(), ["new"]);
        }
        assert_eq!(grace.until, minutes(50).saturating_add(RULES.grace));
    }

    #[test]
    fn a_renewed_session_keeps_its_age() {
        let (record, none) = (stored(), Patch::default());
        let situation =
            Situation { intent: Intent::Renew, ..quiet(Stored::Live(KEY, &record), &none) };
        let Ok(Plan { call: Call::Rotate { patch, .. }, .. }) =
            plan(&situation, &RULES, minutes(50))
        else {
            panic!("a renewed session is rotated");
        };
        let moved = patch.apply_to(&record).expect("a live record takes a patch");
        assert_eq!(moved.created_at(), START);
        assert_eq!(moved.expires_at(), minutes(110));
    }
}
