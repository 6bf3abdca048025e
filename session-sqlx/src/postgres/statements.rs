//! The text of every statement, made once for the names of the schema and the table.

use super::{changes::Changes, schema};
use crate::patch::FEW_ADDITIONS;

#[derive(Debug)]
pub(super) struct Statements {
    pub(super) schema: String,
    pub(super) check_version: String,
    pub(super) create: String,
    /// For one session.
    pub(super) load: Loads,
    /// For several sessions, whose keys are an array.
    pub(super) load_together: Loads,
    /// For no addition, for 1 addition, and so on.
    pub(super) update_few: Vec<String>,
    /// Updates of several sessions: for no addition to each, for 1 addition at most, and so on.
    pub(super) update_together: Vec<String>,
    pub(super) update: String,
    pub(super) replace: String,
    pub(super) touch: String,
    pub(super) destroy: String,
    pub(super) rotate: String,
    pub(super) find: String,
    pub(super) list: String,
    pub(super) sweep: String,
}

/// The columns of a record, in the order of the values of `Row::bind`.
const COLUMNS: &str = "key, created_at, expires_at, purge_hour, version, max_age, persistent, \
     absolute_lifetime, public_id, indexed, found_by, fields";

/// The hour at the end of which a session is surely expired.
fn purge_hour(expires_at: &str) -> String {
    format!("least({expires_at} / 3600000 + 1, 2147483647)::integer")
}

/// The hour of a session whose expiry changes. A later end leaves it, so that the update changes no
/// index: the clean-up looks at the session in that hour, and files it under its new one.
fn kept_hour(stored: &str, expires_at: &str) -> String {
    format!("least({stored}, {})", purge_hour(expires_at))
}

/// The expiry after a patch: `$extend` is the least that it becomes, `$set` is what it becomes.
fn expiry(stored: &str, extend: &str, set: &str) -> String {
    format!("coalesce({set}::bigint, greatest({stored}, {extend}::bigint))")
}

/// What `INSERT … ON CONFLICT` does to an expired row with the key, whose time is `$now`.
fn over_expired(now: &str) -> String {
    let columns = COLUMNS.split(", ").skip(1);
    let sets: Vec<_> = columns.map(|column| format!("{column} = excluded.{column}")).collect();
    format!(
        "ON CONFLICT (key) DO UPDATE SET {}, is_retired = excluded.is_retired, \
         successor = excluded.successor, successor_digest = excluded.successor_digest \
         WHERE s.expires_at <= {now}",
        sets.join(", ")
    )
}

impl Statements {
    /// With `changes`, each change of a session is reported.
    pub(super) fn new(schema: Option<&str>, table: &str, changes: Option<&Changes>) -> Self {
        let qualified = |name: &str| match schema {
            Some(schema) => format!("\"{schema}\".\"{name}\""),
            None => format!("\"{name}\""),
        };
        let (t, v) = (qualified(table), qualified(&format!("{table}_version")));
        let new_purge = purge_hour("$3");
        // What a statement returns beside its result. It is evaluated once, if there is a result.
        let report = |keys: &str| match changes {
            Some(changes) => format!(", (SELECT {})", changes.notify(keys)),
            None => String::new(),
        };
        let one = report("encode($1, 'hex')");
        let several =
            report("(SELECT string_agg(encode(key, 'hex'), '') FROM unnest($2::bytea[]) key)");
        // A chain of renewed sessions may be too long for one report.
        let each = changes.map_or_else(String::new, |changes| {
            let report = changes.notify("encode(key, 'hex')");
            format!(", (SELECT array_agg(key) FROM gone), (SELECT count({report}) FROM gone)")
        });
        Self {
            schema: schema::text(&t, &v, table),
            check_version: format!("SELECT coalesce(max(version), 0) FROM {v}"),
            create: format!(
                "INSERT INTO {t} AS s ({COLUMNS}, is_retired, successor, successor_digest) \
                 VALUES ($1, $2, $3, {new_purge}, $4, $5, $6, $7, $8, $9, $10, \
                 $11::text::jsonb, $13, $14, $15) {} RETURNING true",
                over_expired("$12")
            ),
            load: Loads::new(&t, "key = $1 AND expires_at > $2"),
            load_together: Loads::new(&t, "key = ANY($1) AND expires_at > $2"),
            update_few: (0..=FEW_ADDITIONS).map(|count| update_few(&t, count) + &one).collect(),
            update_together: (0..=FEW_ADDITIONS)
                .map(|count| update_together(&t, count) + &several)
                .collect(),
            update: update(&t) + &one,
            replace: replace(&t) + &one,
            touch: format!(
                "UPDATE {t} SET expires_at = greatest(expires_at, $3) \
                 WHERE key = $1 AND expires_at > $2 AND NOT is_retired RETURNING true{one}"
            ),
            destroy: format!(
                "WITH RECURSIVE chain(key, successor) AS (\
                 SELECT key, successor FROM {t} WHERE key = $1 AND expires_at > $2 UNION \
                 SELECT s.key, s.successor FROM chain c JOIN {t} s ON s.key = c.successor \
                 WHERE s.expires_at > $2), \
                 locked AS (SELECT s.key FROM chain c JOIN {t} s ON s.key = c.key \
                 WHERE s.successor IS NOT DISTINCT FROM c.successor FOR UPDATE OF s), \
                 gone AS (DELETE FROM {t} s USING locked l WHERE s.key = l.key \
                 AND (SELECT count(*) FROM locked) = (SELECT count(*) FROM chain) \
                 RETURNING s.key) \
                 SELECT (SELECT count(*) FROM chain), (SELECT count(*) FROM gone){each}"
            ),
            rotate: rotate(&t) + &report("encode($17, 'hex') || encode($1, 'hex')"),
            find: find(&t),
            list: select(
                &t,
                "fields",
                "($1::bytea IS NULL OR key > $1) AND expires_at > $2 ORDER BY key LIMIT $3",
            ),
            sweep: sweep(&t),
        }
    }
}

/// Loads of live sessions.
#[derive(Debug)]
pub(super) struct Loads {
    pub(super) whole: String,
    /// For 1 field, for 2 fields, and so on.
    pub(super) few: Vec<String>,
    pub(super) part: String,
}

/// The most fields that a load has a separate statement for. It takes the server less time than the
/// one for any number.
const FEW_FIELDS: usize = 8;

impl Loads {
    fn new(t: &str, condition: &str) -> Self {
        Self {
            whole: select(t, "fields", condition),
            few: (1..=FEW_FIELDS).map(|count| select(t, &few(count), condition)).collect(),
            part: select(t, PART, condition),
        }
    }
}

/// The fields with the names `$3`, `$4` and so on. An absent one is `null`.
fn few(count: usize) -> String {
    let pairs: Vec<_> =
        (3..3 + count).map(|name| format!("${name}::text, fields -> ${name}::text")).collect();
    format!("jsonb_build_object({})", pairs.join(", "))
}

/// The fields with the names `$3`.
const PART: &str = "coalesce((SELECT jsonb_object_agg(name, fields -> name) \
     FROM unnest($3::text[]) name WHERE fields ? name), '{}')";

fn select(t: &str, fields: &str, condition: &str) -> String {
    format!(
        "SELECT key, created_at, expires_at, version, max_age, persistent, absolute_lifetime, \
         is_retired, successor, successor_digest, public_id, indexed, \
         ({fields})::text AS fields FROM {t} WHERE {condition}"
    )
}

/// A page of the sessions that are found by `$1`, in the order of the places that `substr` cuts out
/// of their public ids, after the place `$3`.
///
/// Most sessions are found by one value only, which an index has together with the place. So a page
/// reads no more than its own rows, however many the user has.
fn find(t: &str) -> String {
    const PLACE: &str = "substr(public_id, 1, 12)";
    let page = |condition: &str| {
        let condition = format!(
            "{condition} AND {PLACE} > coalesce($3::bytea, '') AND expires_at > $2 \
             AND NOT is_retired ORDER BY {PLACE} LIMIT $4"
        );
        select(t, "fields", &condition)
    };
    let first = page("found_by[1] = $1::text");
    let more = page("cardinality(found_by) > 1 AND found_by[2:] @> ARRAY[$1::text]");
    format!("({first}) UNION ALL ({more}) ORDER BY public_id LIMIT $4")
}

/// JSON numbers whose sums are far from what `double precision` can express.
const ORDINARY: &str = "'^-?[0-9]{1,20}([.][0-9]{1,30})?([eE][-+]?[0-9]{1,2})?$'";
const WHOLE: &str = "'^-?[0-9]+$'";
const SHORT: &str = "'^-?[0-9]{1,18}$'";

/// A patch that only sets and adds whole numbers, to fields by which nothing is found. No row: the
/// session is gone, has another version, or needs `replace`.
///
/// `$8` is by how much the version grows. `$9` is the name of the first addition, `$10` the number
/// that an absent field counts as, and `$11` the number to add; and so on. No sum of 18 digits and
/// 18 digits is too large.
fn update_few(t: &str, additions: usize) -> String {
    let expires_at = expiry("expires_at", "$6", "$7");
    let purge = kept_hour("purge_hour", &expires_at);
    let mut fields = "fields || $3::text::jsonb".to_owned();
    let mut fits = String::new();
    for name in (9..).step_by(3).take(additions) {
        let (from, by) = (name + 1, name + 2);
        let stored = format!("fields ->> ${name}::text");
        fields += &format!(
            " || jsonb_build_object(${name}::text, \
             (coalesce(({stored})::bigint, ${from}::bigint) + ${by}::bigint)::text)"
        );
        fits += &format!(" AND coalesce({stored}, '0') ~ {SHORT}");
    }
    format!(
        "UPDATE {t} SET version = version + $8, expires_at = {expires_at}, purge_hour = {purge}, \
         fields = {fields} WHERE key = $1 AND expires_at > $2 AND NOT is_retired \
         AND ($5::bigint IS NULL OR version = $5) AND NOT indexed && $4::text[]{fits} \
         RETURNING version"
    )
}

/// As [`update_few`], for several sessions with at most `additions` additions each. It passes over
/// rows that others have locked, so that no update waits for those of other sessions.
///
/// Each parameter after `$1` is an array with a value for each session. `$4` says whether `null` in
/// `$3` removes the field.
fn update_together(t: &str, additions: usize) -> String {
    let expires_at = expiry("s.expires_at", "b.extend", "b.set");
    let purge = kept_hour("s.purge_hour", &expires_at);
    let mut fields = "s.fields || b.sets".to_owned();
    let (mut arrays, mut columns, mut fits) = (String::new(), String::new(), String::new());
    for n in 0..additions {
        let (name, from, by) = (8 + 3 * n, 9 + 3 * n, 10 + 3 * n);
        arrays += &format!(", ${name}::text[], ${from}::bigint[], ${by}::bigint[]");
        columns += &format!(", name{n}, from{n}, by{n}");
        let stored = format!("s.fields ->> b.name{n}");
        fields += &format!(
            " || CASE WHEN b.name{n} IS NULL THEN '{{}}' ELSE jsonb_build_object(b.name{n}, \
             (coalesce(({stored})::bigint, b.from{n}) + b.by{n})::text) END"
        );
        fits += &format!(
            " AND NOT coalesce(b.name{n} = ANY(s.indexed), false) \
             AND coalesce({stored}, '0') ~ {SHORT}"
        );
    }
    format!(
        "UPDATE {t} s SET version = s.version + b.count, expires_at = {expires_at}, \
         purge_hour = {purge}, fields = CASE WHEN b.removes THEN jsonb_strip_nulls({fields}) \
         ELSE {fields} END \
         FROM (SELECT b.*, b.json::jsonb AS sets FROM unnest($2::bytea[], $3::text[], \
         $4::boolean[], $5::bigint[], $6::bigint[], $7::bigint[]{arrays}) \
         b(key, json, removes, extend, set, count{columns}) \
         JOIN {t} l ON l.key = b.key FOR NO KEY UPDATE OF l SKIP LOCKED) b \
         WHERE s.key = b.key AND s.expires_at > $1 AND NOT s.is_retired \
         AND NOT b.sets ?| s.indexed{fits} RETURNING s.key, s.version"
    )
}

/// A patch that only sets, removes and adds, to fields by which nothing is found. No row: as
/// [`update_few`].
///
/// `$9` has the names of the fields to remove. `$10` has the number to add and the number that an
/// absent field counts as. What it does to them is what `Number::saturating_add` does.
fn update(t: &str) -> String {
    let expires_at = expiry("expires_at", "$6", "$7");
    let purge = kept_hour("purge_hour", &expires_at);
    let sum = "(a.stored::float8 + a.by::float8)::text";
    format!(
        "UPDATE {t} SET version = version + $8, expires_at = {expires_at}, purge_hour = {purge}, \
         fields = (fields || $3::text::jsonb || coalesce((SELECT jsonb_object_agg(a.name, \
         CASE WHEN a.stored ~ {WHOLE} AND a.by ~ {WHOLE} THEN least(greatest(a.stored::numeric + \
         a.by::numeric, -9223372036854775808), 18446744073709551615)::text \
         WHEN {sum} ~ '[.e]' THEN replace({sum}, 'e+', 'e') ELSE {sum} || '.0' END) \
         FROM (SELECT key AS name, coalesce(fields ->> key, value ->> 1) AS stored, \
         value ->> 0 AS by FROM jsonb_each($10::text::jsonb)) a), '{{}}'::jsonb)) - $9::text[] \
         WHERE key = $1 AND expires_at > $2 AND NOT is_retired \
         AND ($5::bigint IS NULL OR version = $5) AND NOT indexed && $4::text[] \
         AND NOT EXISTS (SELECT FROM jsonb_each($10::text::jsonb) a WHERE CASE \
         WHEN fields ->> a.key !~ {ORDINARY} THEN true \
         WHEN fields ->> a.key ~ {WHOLE} THEN (fields ->> a.key)::numeric \
         NOT BETWEEN -9223372036854775808 AND 18446744073709551615 ELSE false END) \
         RETURNING version"
    )
}

/// A whole record in the place of the one with a version.
fn replace(t: &str) -> String {
    let expires_at = expiry("s.expires_at", "$15", "$16");
    let purge = kept_hour("s.purge_hour", &expires_at);
    format!(
        "UPDATE {t} s SET created_at = $2, expires_at = {expires_at}, purge_hour = {purge}, \
         version = $4, max_age = $5, persistent = $6, absolute_lifetime = $7, public_id = $8, \
         indexed = $9, found_by = $10, fields = $11::text::jsonb \
         WHERE key = $1 AND s.expires_at > $12 AND NOT is_retired AND version = $13 \
         AND created_at = $14 AND $3::bigint IS NOT NULL RETURNING true"
    )
}

fn rotate(t: &str) -> String {
    let expires_at = expiry("old.expires_at", "$15", "$16");
    let (purge, retired) = (purge_hour(&expires_at), "least(s.expires_at, $18::bigint)");
    format!(
        "WITH old AS MATERIALIZED (SELECT key, expires_at FROM {t} WHERE key = $17 \
         AND expires_at > $12 AND NOT is_retired AND version = $13 AND created_at = $14 \
         FOR UPDATE), \
         ins AS (INSERT INTO {t} AS s ({COLUMNS}) SELECT $1, $2, {expires_at}, {purge}, $4, $5, \
         $6, $7, $8, $9, $10, $11::text::jsonb FROM old WHERE $3::bigint IS NOT NULL {} \
         RETURNING 1), \
         upd AS (UPDATE {t} s SET is_retired = true, expires_at = {retired}, purge_hour = {}, \
         successor = CASE WHEN $19 THEN $1 END, \
         successor_digest = CASE WHEN NOT $19 THEN $20::bytea END, found_by = '{{}}', \
         fields = CASE WHEN $19 THEN s.fields ELSE '{{}}' END, \
         indexed = CASE WHEN $19 THEN s.indexed ELSE '{{}}' END, \
         public_id = CASE WHEN $19 THEN s.public_id END \
         FROM ins WHERE s.key = $17 RETURNING 1) \
         SELECT (SELECT count(*) FROM old), (SELECT count(*) FROM ins), \
         (SELECT count(*) FROM upd)",
        over_expired("$12"),
        purge_hour(retired)
    )
}

/// Deletes expired sessions that are due, and files those that were extended under their new hour.
/// It passes over rows that others have locked.
fn sweep(t: &str) -> String {
    let (this_hour, hour) = (purge_hour("$1"), purge_hour("expires_at"));
    format!(
        "WITH due AS (SELECT key, expires_at <= $1 AS is_over FROM {t} \
         WHERE purge_hour <= {this_hour} AND (expires_at <= $1 OR {hour} > {this_hour}) \
         LIMIT 1000 FOR UPDATE SKIP LOCKED), \
         gone AS (DELETE FROM {t} s USING due WHERE s.key = due.key AND is_over RETURNING 1), \
         later AS (UPDATE {t} s SET purge_hour = {} FROM due \
         WHERE s.key = due.key AND NOT is_over RETURNING 1) \
         SELECT (SELECT count(*) FROM gone), (SELECT count(*) FROM later)",
        purge_hour("s.expires_at")
    )
}
