//! The table of plans, row by row.

use std::{sync::Arc, time::Duration};

use serde_json::value::RawValue;

use super::{super::changes::Changes, *};
use crate::{
    config::Privileges,
    fields::{Field, FieldSchema, Schema},
    time::Lifetimes,
};

const KEY: StoreKey = StoreKey::from_bytes([7; 32]);

const HOUR: Duration = Duration::from_secs(3600);
/// The rules of a middleware that knows one privilege, the field `role`.
fn rules() -> Rules {
    let rules = Rules {
        lifetimes: Lifetimes {
            idle: HOUR,
            absolute: Duration::from_secs(240 * 3600),
            touch_interval: None,
        },
        persistent: false,
        grace: Duration::from_secs(10),
        on_outage: OnOutage::FailClosed,
        cookie_holds: CookieHolds::Id,
        privileges: Privileges::new(),
    };
    rules.privileges.learn(&Schema {
        type_name: "Visitor",
        cookie: None,
        strict: false,
        names: &["role"],
        privileges: &["role"],
        adopt: |_| {},
    });
    rules
}

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

fn retired(old_id: OldIdReads) -> Record {
    stored().retire(Grace { until: minutes(1), old_id }, &StoreKey::from_bytes([1; 32]))
}

fn fields() -> Patch {
    let mut patch = Patch::default();
    patch.set("new".into(), json("2"));
    patch
}

fn limits() -> Patch {
    let mut patch = Patch::default();
    patch.set_limits(Limits { max_age: Some(HOUR / 2), persistent: None, ..Limits::default() });
    patch
}

/// What a request found and did, as the rows of the table have it.
#[derive(Clone)]
struct Situation<'a> {
    loaded: Loaded,
    intent: Intent,
    patch: &'a Patch,
    /// Whether the request changes a `privilege` field besides.
    elevated: bool,
    /// Whether the changed field is merged by code of its type.
    merged: bool,
    touch: TouchMode,
    touched_by_load: bool,
    has_old_signature: bool,
    needs_session: bool,
    failed: bool,
    head: Head,
}

impl Situation<'_> {
    fn state(&self) -> State {
        let mut changes = Changes {
            intent: self.intent,
            patch: self.patch.clone(),
            touch: self.touch,
            needs_session: self.needs_session,
            ..Changes::default()
        };
        if self.elevated {
            changes.patch.set("role".into(), json("1"));
        }
        if self.merged {
            changes.merged.push(&MERGED);
        }
        if self.failed {
            changes.discard();
        }
        State {
            loaded: self.loaded.clone(),
            changes,
            touched_by_load: self.touched_by_load,
            has_old_signature: self.has_old_signature,
            head: self.head,
            chosen_limits: self.patch.limits().copied().map(Box::new),
            ..State::default()
        }
    }
}

/// The field of [`fields`], with a merge rule.
static MERGED: Field<(u8,), u8> = Field::<(u8,), u8>::value(
    &FieldSchema {
        name: "new",
        stored: "new",
        aliases: &[],
        lenient: false,
        ttl: None,
        index: false,
        flash: false,
    },
    |it| &it.0,
    |it| &mut it.0,
    || 0,
)
.max();

const NOTHING: Loaded = Loaded::Nothing { has_unknown_id: false };
const UNKNOWN: Loaded = Loaded::Nothing { has_unknown_id: true };
const GONE: Loaded = Loaded::Gone { key: KEY };
const UNAVAILABLE: Loaded = Loaded::Unavailable { key: KEY };

fn loaded(record: &Record) -> Loaded {
    Loaded::new(KEY, record.clone())
}

/// A request that changes nothing, half a minute after the start.
fn quiet(loaded: Loaded, patch: &Patch) -> Situation<'_> {
    Situation {
        loaded,
        intent: Intent::Keep,
        patch,
        elevated: false,
        merged: false,
        touch: TouchMode::WhenDue,
        touched_by_load: false,
        has_old_signature: false,
        needs_session: false,
        failed: false,
        head: Head::Open,
    }
}

/// The plan as the table writes it: call, cookie, and whether changes are lost.
fn decide_at(situation: &Situation<'_>, rules: &Rules, now: Timestamp) -> String {
    let plan = match plan(&situation.state(), rules, now) {
        Ok(plan) => plan,
        Err(Impossible::HeadSent) => return "head sent".into(),
        Err(Impossible::Unavailable) => return "unavailable".into(),
    };
    let call = match &plan.call {
        None => "nothing",
        Some(Call::Create(_)) => "create",
        Some(Call::Update(..)) => "update",
        Some(Call::Rotate {
            grace: Grace { old_id: OldIdReads::Snapshot, .. },
            if_gone: IfGone::LoseChanges,
            ..
        }) => "rotate, snapshot",
        Some(Call::Rotate { if_gone: IfGone::LoseChanges, .. }) => "rotate, hidden",
        Some(Call::Rotate { if_gone: IfGone::CreateIfRenewed(_), .. }) => {
            "rotate, hidden, or create if renewed"
        }
        Some(Call::Rotate { if_gone: IfGone::Create(_), .. }) => "rotate, hidden, or create",
        Some(Call::CreateIfRenewed(..)) => "create if renewed",
        Some(Call::Touch(..)) => "touch",
        Some(Call::Destroy(_)) => "destroy",
        Some(Call::DestroyThenCreate(..)) => "destroy, create",
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
    decide_at(situation, &rules(), START.saturating_add(Duration::from_secs(30)))
}

const INTENTS: [Intent; 4] = [Intent::Keep, Intent::Renew, Intent::Regenerate, Intent::Destroy];

/// Decides for each intent with no change, changed limits, changed fields, and a changed
/// privilege field.
fn rows(loaded: Loaded, change: impl Fn(&mut Situation<'_>)) -> Vec<String> {
    let mut rows = Vec::new();
    for intent in INTENTS {
        for (patch, elevated) in
            [(Patch::default(), false), (limits(), false), (fields(), false), (fields(), true)]
        {
            let mut situation = Situation { intent, elevated, ..quiet(loaded.clone(), &patch) };
            change(&mut situation);
            rows.push(decide(&situation));
        }
    }
    rows
}

#[test]
fn without_a_session_only_written_fields_begin_one() {
    let row = ["nothing", "nothing", "create; issue", "create; issue"];
    assert_eq!(rows(NOTHING, |_| ()), [row; 4].concat());
}

#[test]
fn an_unknown_id_is_removed_or_replaced() {
    let row = ["nothing; remove", "nothing; remove", "create; issue", "create; issue"];
    assert_eq!(rows(UNKNOWN, |_| ()), [row; 4].concat());
}

#[test]
fn a_live_session_is_changed_moved_or_ended() {
    let record = stored();
    assert_eq!(
        rows(loaded(&record), |_| ()),
        [
            // keep
            "nothing",
            "update; issue",
            "update",
            "rotate, hidden, or create if renewed; issue",
            // renew
            "rotate, snapshot; issue",
            "rotate, snapshot; issue",
            "rotate, snapshot; issue",
            "rotate, hidden, or create if renewed; issue",
            // regenerate
            "destroy; remove",
            "destroy; remove",
            "rotate, hidden, or create; issue",
            "rotate, hidden, or create; issue",
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
    let rows = rows(loaded(&record), |it| it.failed = true);
    assert_eq!(rows, [["nothing"; 12].as_slice(), &["destroy; remove"; 4]].concat());
}

#[test]
fn a_failed_request_without_a_session_begins_none() {
    let rows = rows(NOTHING, |it| it.failed = true);
    assert_eq!(rows, ["nothing"; 16]);
}

/// What becomes of a session that is destroyed: without a change, and with fields written
/// afterwards, which begin another.
const DESTROYED: [&str; 4] =
    ["destroy; remove", "destroy; remove", "destroy, create; issue", "destroy, create; issue"];
const NEVER_THERE: [&str; 4] =
    ["nothing; remove", "nothing; remove", "create; issue", "create; issue"];

#[test]
fn an_old_id_changes_nothing_and_only_a_login_with_it_begins_a_session() {
    for (old_id, destroyed) in
        [(OldIdReads::Snapshot, DESTROYED), (OldIdReads::Nothing, NEVER_THERE)]
    {
        let record = retired(old_id);
        let lost = "nothing; lost";
        let mut expected = vec!["nothing", lost, lost, "create; issue"];
        expected.extend([lost, lost, lost, "create; issue"]);
        expected.extend([lost, lost, "create; issue", "create; issue"]);
        expected.extend(destroyed);
        assert_eq!(rows(loaded(&record), |_| ()), expected);
    }
}

#[test]
fn a_session_that_ended_meanwhile_stays_ended_and_a_login_may_begin_another() {
    let lost = "nothing; lost";
    let mut expected = vec!["nothing", lost, lost, "create if renewed; issue"];
    expected.extend([lost, lost, lost, "create if renewed; issue"]);
    expected.extend([lost, lost, "create; issue", "create; issue"]);
    // The id was perhaps renewed, so the session that it was renewed into ends too.
    expected.extend(DESTROYED);
    assert_eq!(rows(GONE, |_| ()), expected);
}

#[test]
fn a_merged_field_must_meet_the_version_that_was_read() {
    let (record, patch) = (stored(), fields());
    for merged in [true, false] {
        let expected = merged.then_some(record.version());
        let stays = Situation { merged, ..quiet(loaded(&record), &patch) };
        let version = |situation: &Situation<'_>| match plan(&situation.state(), &rules(), START)
            .map(|plan| plan.call)
        {
            Ok(Some(Call::Update(_, patch) | Call::Rotate { patch, .. })) => {
                patch.expected_version()
            }
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
    assert_eq!(rows(UNAVAILABLE, |_| ()), expected);
    let failed = rows(UNAVAILABLE, |it| it.failed = true);
    assert_eq!(failed, [["nothing"; 12].as_slice(), &["destroy; remove"; 4]].concat());
}

#[test]
fn an_outage_is_tolerated_where_nothing_is_lost_that_counts() {
    let anonymous = Rules { on_outage: OnOutage::Anonymous, ..rules() };
    let (record, none, fields) = (stored(), Patch::default(), fields());
    let live = loaded(&record);
    for (stored, patch, tolerated) in [
        (NOTHING, &fields, true),
        (UNKNOWN, &fields, true),
        (UNAVAILABLE, &fields, true),
        (live.clone(), &none, true),
        (live, &fields, false),
    ] {
        let situation = quiet(stored.clone(), patch);
        assert_eq!(tolerates_outage(&situation.state(), &anonymous), tolerated, "{stored:?}");
        assert!(!tolerates_outage(&situation.state(), &rules()));
        let elevated = Situation { elevated: true, ..situation.clone() };
        assert!(!tolerates_outage(&elevated.state(), &anonymous));
        for intent in [Intent::Renew, Intent::Regenerate, Intent::Destroy] {
            assert!(!tolerates_outage(
                &Situation { intent, ..situation.clone() }.state(),
                &anonymous
            ));
        }
    }
}

#[test]
fn once_the_head_is_sent_no_id_is_made_and_no_cookie_leaves() {
    let record = stored();
    let sent = "head sent";
    let sent_head = |it: &mut Situation<'_>| it.head = Head::Sent;
    assert_eq!(
        rows(loaded(&record), sent_head),
        [
            ["nothing", "update", "update", sent],
            [sent; 4],
            ["destroy", "destroy", sent, sent],
            ["destroy", "destroy", sent, sent],
        ]
        .concat()
    );
    let row = ["nothing", "nothing", sent, sent];
    assert_eq!(rows(NOTHING, sent_head), [row; 4].concat());
    assert_eq!(rows(UNKNOWN, sent_head), [row; 4].concat());
}

#[test]
fn a_touch_waits_until_it_is_due() {
    let (record, none) = (stored(), Patch::default());
    let situation = quiet(loaded(&record), &none);
    let just_before = START.saturating_add(Duration::from_millis(59_999));
    assert_eq!(decide_at(&situation, &rules(), just_before), "nothing");
    assert_eq!(decide_at(&situation, &rules(), minutes(1)), "touch");
    let asked = Situation { touch: TouchMode::Now, ..situation };
    assert_eq!(decide_at(&asked, &rules(), just_before), "touch");
    assert_eq!(decide_at(&asked, &rules(), START), "nothing", "there is nothing to win");
    let in_socket = Situation { head: Head::Sent, ..asked };
    assert_eq!(decide_at(&in_socket, &rules(), START), "touch", "it asks whether it still lives");
}

#[test]
fn a_failed_request_is_still_a_sign_of_life() {
    let (record, none) = (stored(), Patch::default());
    let failed = Situation { failed: true, ..quiet(loaded(&record), &none) };
    assert_eq!(decide_at(&failed, &rules(), minutes(1)), "touch");
}

#[test]
fn a_persistent_cookie_is_issued_again_when_the_expiry_moves_and_only_then() {
    let persistent = Rules { persistent: true, ..rules() };
    let record = stored();
    for (patch, early, due) in [
        (Patch::default(), "nothing", "touch; issue with age"),
        (fields(), "update", "update; issue with age"),
    ] {
        let situation = quiet(loaded(&record), &patch);
        assert_eq!(decide_at(&situation, &persistent, START), early);
        assert_eq!(decide_at(&situation, &persistent, minutes(1)), due);
    }
}

#[test]
fn a_persistent_cookie_is_issued_again_when_the_load_has_moved_the_expiry() {
    let persistent = Rules { persistent: true, ..rules() };
    let record = stored();
    for (patch, decision) in
        [(Patch::default(), "touch; issue with age"), (fields(), "update; issue with age")]
    {
        let mut situation = quiet(loaded(&record), &patch);
        situation.touched_by_load = true;
        assert_eq!(decide_at(&situation, &persistent, minutes(2)), decision);
        assert!(!decide_at(&situation, &rules(), minutes(2)).contains("issue"));
        let sent = Situation { head: Head::Sent, ..situation };
        assert!(!decide_at(&sent, &persistent, minutes(2)).contains("touch"));
    }
}

fn in_cookie() -> Rules {
    Rules { cookie_holds: CookieHolds::Session, ..rules() }
}

#[test]
fn a_cookie_that_holds_the_session_is_issued_at_every_change_and_only_then() {
    let record = stored();
    for (patch, at_once, due) in [
        (Patch::default(), "nothing", "touch; issue"),
        (fields(), "update; issue", "update; issue"),
        (limits(), "update; issue", "update; issue"),
    ] {
        let situation = quiet(loaded(&record), &patch);
        assert_eq!(decide_at(&situation, &in_cookie(), START), at_once);
        assert_eq!(decide_at(&situation, &in_cookie(), minutes(1)), due);
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
        let live = quiet(loaded(&record), &patch);
        let situation = Situation { head: Head::Sent, intent, touch, ..live };
        assert_eq!(decide_at(&situation, &in_cookie(), minutes(1)), decision, "{intent:?}");
    }
}

#[test]
fn an_outdated_signature_is_replaced_once_a_call_has_proved_the_id() {
    let record = stored();
    let empty = Patch::default();
    for touched_by_load in [false, true] {
        let situation = Situation {
            has_old_signature: true,
            touched_by_load,
            ..quiet(loaded(&record), &empty)
        };
        assert_eq!(decide(&situation), "touch; issue");
        assert_eq!(decide(&Situation { patch: &fields(), ..situation.clone() }), "update; issue");
        assert_eq!(decide(&Situation { failed: true, ..situation.clone() }), "touch; issue");
        // What cannot be sent is not asked for.
        assert_eq!(decide(&Situation { head: Head::Sent, ..situation }), "nothing");
    }
    let retired = retired(OldIdReads::Snapshot);
    let situation = Situation { has_old_signature: true, ..quiet(loaded(&retired), &empty) };
    assert_eq!(decide(&situation), "nothing");
}

#[test]
fn a_session_that_is_wanted_begins_without_a_field() {
    let record = stored();
    let retired = retired(OldIdReads::Snapshot);
    let empty = Patch::default();
    let wanted = |stored, intent| {
        decide(&Situation { needs_session: true, intent, ..quiet(stored, &empty) })
    };
    for stored in [NOTHING, UNKNOWN] {
        for intent in INTENTS {
            assert_eq!(wanted(stored.clone(), intent), "create; issue");
        }
    }
    let live = loaded(&record);
    assert_eq!(
        INTENTS.map(|intent| wanted(live.clone(), intent)),
        [
            "nothing",
            "rotate, snapshot; issue",
            "rotate, hidden, or create; issue",
            "destroy, create; issue"
        ]
    );
    assert_eq!(wanted(UNAVAILABLE, Intent::Keep), "nothing");
    assert_eq!(wanted(UNAVAILABLE, Intent::Destroy), "destroy, create; issue");
    for stored in [loaded(&retired), GONE] {
        assert_eq!(wanted(stored, Intent::Keep), "nothing");
    }
    let failed = Situation { needs_session: true, failed: true, ..quiet(NOTHING, &empty) };
    assert_eq!(decide(&failed), "nothing");
}

#[test]
fn an_update_moves_the_expiry_only_when_it_is_due() {
    let (record, patch) = (stored(), fields());
    let situation = quiet(loaded(&record), &patch);
    let expiry = |now| match plan(&situation.state(), &rules(), now).map(|plan| plan.call) {
        Ok(Some(Call::Update(_, patch))) => patch.expiry(),
        other => panic!("{other:?}"),
    };
    assert_eq!(expiry(START), None);
    assert_eq!(expiry(minutes(1)), Some(ExpiryChange::ExtendTo(minutes(61))));
}

#[test]
fn a_sessions_own_limits_win_and_may_shorten_it() {
    let (record, patch) = (stored(), limits());
    let situation = quiet(loaded(&record), &patch);
    let Ok(Plan { call: Some(Call::Update(_, patch)), .. }) =
        plan(&situation.state(), &rules(), START)
    else {
        panic!("limits are an update");
    };
    assert_eq!(patch.expiry(), Some(ExpiryChange::Set(minutes(30))));
}

#[test]
fn a_session_that_wants_a_persistent_cookie_gets_one() {
    let mut patch = fields();
    patch.set_limits(Limits { max_age: None, persistent: Some(true), ..Limits::default() });
    assert_eq!(decide(&quiet(NOTHING, &patch)), "create; issue with age");
    let record = stored();
    assert_eq!(decide(&quiet(loaded(&record), &patch)), "update; issue with age");
}

#[test]
fn a_regenerated_session_is_as_old_as_the_request() {
    let (record, patch) = (stored(), fields());
    let situation = Situation { intent: Intent::Regenerate, ..quiet(loaded(&record), &patch) };
    let Ok(Plan {
        call: Some(Call::Rotate { patch, if_gone: IfGone::Create(anew), grace, .. }),
        ..
    }) = plan(&situation.state(), &rules(), minutes(50))
    else {
        panic!("a written, regenerated session is rotated");
    };
    let moved = patch.apply_to(&record).expect("a live record takes a patch");
    for record in [&moved, &anew] {
        assert_eq!(record.created_at(), minutes(50));
        assert_eq!(record.expires_at(), minutes(110));
        assert_eq!(record.fields().map(|(name, _)| name).collect::<Vec<_>>(), ["new"]);
    }
    assert_eq!(grace.until, minutes(50).saturating_add(rules().grace));
}

#[test]
fn a_renewed_session_keeps_its_age() {
    let (record, none) = (stored(), Patch::default());
    let situation = Situation { intent: Intent::Renew, ..quiet(loaded(&record), &none) };
    let Ok(Plan { call: Some(Call::Rotate { patch, .. }), .. }) =
        plan(&situation.state(), &rules(), minutes(50))
    else {
        panic!("a renewed session is rotated");
    };
    let moved = patch.apply_to(&record).expect("a live record takes a patch");
    assert_eq!(moved.created_at(), START);
    assert_eq!(moved.expires_at(), minutes(110));
}
