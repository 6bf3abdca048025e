//! The text of every statement for the names of the database and the table.
//!
//! MySQL and MariaDB assign the columns of an `UPDATE` one after the other, so a column comes after
//! those that are computed from it.

use super::schema;

/// How many sessions one statement of the clean-up looks at.
pub(super) const SWEPT_AT_ONCE: usize = 500;

#[derive(Debug)]
pub(super) struct Statements {
    table: String,
    found: String,
    pub(super) schema: String,
    pub(super) check_version: String,
    pub(super) create: String,
    pub(super) free: String,
    pub(super) replace: String,
    pub(super) touch: String,
    pub(super) chain: String,
    pub(super) destroy: String,
    pub(super) rotate: String,
    pub(super) unlist: String,
    pub(super) find: String,
    pub(super) all: String,
    pub(super) due: String,
    pub(super) sweep: String,
    pub(super) postpone: String,
    pub(super) renew_entries: String,
    pub(super) sweep_entries: String,
}

/// The columns of a row, in the order of the values of `row::bind`.
const COLUMNS: &str = "session_key, created_at, expires_at, purge_hour, version, max_age, \
     persistent, absolute_lifetime, public_id, place, indexed, fields";

/// The hour at the end of which a session is surely expired.
fn purge_hour(expires_at: &str) -> String {
    format!("LEAST({expires_at} DIV 3600000 + 1, 2147483647)")
}

/// The hour of a session after [`EXPIRY`], whose values it has. A later end leaves it, so that the
/// update changes no index: the clean-up looks at the session in that hour, and files it under its
/// new one.
fn kept_hour() -> String {
    format!("LEAST(purge_hour, {})", purge_hour(EXPIRY))
}

/// The expiry after a patch. Two values: what it becomes, and the least that it becomes.
const EXPIRY: &str = "COALESCE(?, GREATEST(expires_at, COALESCE(?, 0)))";

/// Values: the key and the time.
const LIVE: &str = "session_key = ? AND expires_at > ?";

/// Values: the key, the time, the version and the creation of the record that is known.
const KNOWN: &str =
    "session_key = ? AND expires_at > ? AND NOT is_retired AND version = ? AND created_at = ?";

impl Statements {
    pub(super) fn new(database: Option<&str>, table: &str) -> Self {
        let qualified = |name: &str| match database {
            Some(database) => format!("`{database}`.`{name}`"),
            None => format!("`{name}`"),
        };
        let (t, f) = (qualified(table), qualified(&format!("{table}_found")));
        let v = qualified(&format!("{table}_version"));
        let (purge, hour) = (kept_hour(), purge_hour("expires_at"));
        let keys = vec!["?"; SWEPT_AT_ONCE].join(", ");
        let values = vec!["?"; COLUMNS.split(", ").count()].join(", ");
        let sets: Vec<_> =
            COLUMNS.split(", ").skip(4).map(|column| format!("{column} = ?")).collect();
        Self {
            schema: schema::text(&t, &f, &v),
            check_version: format!("SELECT COALESCE(MAX(version), 0) FROM {v}"),
            create: format!(
                "INSERT INTO {t} ({COLUMNS}, is_retired, successor, successor_digest) \
                 VALUES ({values}, ?, ?, ?)"
            ),
            free: format!("DELETE FROM {t} WHERE session_key = ? AND expires_at <= ?"),
            replace: format!(
                "UPDATE {t} SET created_at = ?, purge_hour = {purge}, expires_at = {EXPIRY}, {} \
                 WHERE {KNOWN}",
                sets.join(", ")
            ),
            touch: format!("UPDATE {t} SET expires_at = {EXPIRY} WHERE {LIVE} AND NOT is_retired"),
            chain: format!(
                "WITH RECURSIVE chain (session_key, successor, depth) AS (\
                 SELECT session_key, successor, 0 FROM {t} WHERE {LIVE} UNION ALL \
                 SELECT s.session_key, s.successor, depth + 1 FROM chain c JOIN {t} s \
                 ON s.session_key = c.successor WHERE s.expires_at > ? AND depth < 100) \
                 SELECT session_key, successor FROM chain ORDER BY depth DESC"
            ),
            destroy: format!(
                "DELETE s, f FROM {t} s LEFT JOIN {f} f ON f.place = s.place \
                 WHERE {LIVE} AND successor <=> ?"
            ),
            rotate: rotate(&t),
            unlist: format!("DELETE FROM {f} WHERE place = ? AND version < ?"),
            find: format!(
                "SELECT {}, f.place FROM {f} f JOIN {t} s ON s.place = f.place \
                 WHERE f.entry = ? AND f.place > ? AND s.expires_at > ? \
                 ORDER BY f.place LIMIT ?",
                selected("fields")
            ),
            all: select(
                &t,
                "fields",
                "session_key > ? AND expires_at > ? ORDER BY session_key LIMIT ?",
            ),
            due: format!(
                "SELECT session_key, expires_at <= ? FROM {t} \
                 WHERE purge_hour <= ? AND (expires_at <= ? OR {hour} > ?) LIMIT {SWEPT_AT_ONCE}"
            ),
            sweep: format!("DELETE FROM {t} WHERE expires_at <= ? AND session_key IN ({keys})"),
            postpone: format!("UPDATE {t} SET purge_hour = {hour} WHERE session_key IN ({keys})"),
            renew_entries: format!(
                "UPDATE {f} f JOIN (SELECT d.entry, d.place, \
                 MAX({}) AS hour FROM {f} d LEFT JOIN {t} s ON s.place = d.place WHERE d.purge_hour <= ? \
                 GROUP BY d.entry, d.place LIMIT {SWEPT_AT_ONCE}) due \
                 ON due.entry = f.entry AND due.place = f.place \
                 SET f.purge_hour = IF(due.hour > ?, due.hour, 0)",
                purge_hour("s.expires_at")
            ),
            sweep_entries: format!("DELETE FROM {f} WHERE purge_hour = 0 LIMIT {SWEPT_AT_ONCE}"),
            table: t,
            found: f,
        }
    }

    /// Loads the live ones of these sessions, with all fields or with this number of fields.
    /// Values: the name and the path of each field, the time, the keys.
    pub(super) fn load(&self, fields: Option<usize>, sessions: usize) -> String {
        let part = |count| {
            format!("JSON_OBJECT({})", vec!["?, JSON_EXTRACT(fields, ?)"; count].join(", "))
        };
        let fields = fields.map_or("fields".to_owned(), part);
        let keys = vec!["?"; sessions].join(", ");
        select(&self.table, &fields, &format!("expires_at > ? AND session_key IN ({keys})"))
    }

    /// Lists a session under its entries. Values: the entry, the place, the version and the purge
    /// hour of each.
    pub(super) fn list(&self, entries: usize) -> String {
        format!(
            "INSERT INTO {} (entry, place, version, purge_hour) VALUES {} \
             ON DUPLICATE KEY UPDATE version = GREATEST(version, VALUES(version)), \
             purge_hour = GREATEST(purge_hour, VALUES(purge_hour))",
            self.found,
            vec!["(?, ?, ?, ?)"; entries].join(", ")
        )
    }

    /// A patch that only sets, removes and adds whole numbers, to fields by which nothing is found.
    /// No row: the session is gone, has another version, or needs `replace`.
    ///
    /// Values: by how much the version grows, the expiry twice, the fields to set, the name, path,
    /// absent value and addition of each number, the path of each field to remove, the key, the
    /// time, the expected version twice, a pattern for the names of all changed fields twice, and
    /// the path of each number.
    pub(super) fn update(&self, adds: usize, removes: usize) -> String {
        let stored = "JSON_UNQUOTE(JSON_EXTRACT(fields, ?))";
        let sum = format!(
            ", JSON_OBJECT(?, CAST(LEAST(GREATEST(CAST(COALESCE({stored}, ?) AS DECIMAL(65)) \
             + CAST(? AS DECIMAL(65)), -9223372036854775808), 18446744073709551615) AS CHAR))"
        );
        // Numbers that the statement adds exactly. The others are added by the store.
        let whole = format!(" AND COALESCE({stored}, '0') REGEXP '^(0|-?[1-9][0-9]{{0,17}})$'");
        let merged = format!("JSON_MERGE_PATCH(fields, ?{})", sum.repeat(adds));
        // Not as `null` in the patch: MariaDB 10.11 then keeps the old values of some other fields.
        let fields = match removes {
            0 => merged,
            _ => format!("JSON_REMOVE({merged}{})", ", ?".repeat(removes)),
        };
        format!(
            "UPDATE {} SET version = LAST_INSERT_ID(version + ?), purge_hour = {}, \
             expires_at = {EXPIRY}, fields = {fields} \
             WHERE {LIVE} AND NOT is_retired AND (? IS NULL OR version = ?) \
             AND (indexed IS NULL OR ? IS NULL OR NOT indexed REGEXP ?){}",
            self.table,
            kept_hour(),
            whole.repeat(adds)
        )
    }
}

fn select(t: &str, fields: &str, condition: &str) -> String {
    format!("SELECT {} FROM {t} s WHERE {condition}", selected(fields))
}

fn selected(fields: &str) -> String {
    format!(
        "s.session_key, s.created_at, s.expires_at, s.version, s.max_age, s.persistent, \
         s.absolute_lifetime, s.is_retired, s.successor, s.successor_digest, s.public_id, \
         s.indexed, CAST({fields} AS CHAR) AS fields"
    )
}

/// Stores the new record and retires the old one in one statement: both are rows of an `INSERT`,
/// and the old one is there already. It reports 3 rows if it did that, and none if the old record
/// is not the known one.
///
/// It fails with the error "out of range", and changes nothing, if the new key is taken.
///
/// Values: the new key and its creation, the expiry twice and the end of the old id after each, the
/// other columns of the new record, the successor and its digest, whether the old id keeps the
/// data, and the known record.
fn rotate(t: &str) -> String {
    let (new_expiry, old_expiry) =
        (EXPIRY.replace("expires_at", "o.expires_at"), "LEAST(o.expires_at, ?)");
    let updates = [
        "expires_at",
        "purge_hour",
        "is_retired",
        "successor",
        "successor_digest",
        "public_id",
        "place",
        "indexed",
        "fields",
    ];
    let updates = updates.map(|column| format!("{column} = VALUES({column})")).join(", ");
    format!(
        "INSERT INTO {t} ({COLUMNS}, is_retired, successor, successor_digest) SELECT \
         IF(is_new, CAST(? AS BINARY(32)), o.session_key), \
         IF(is_new, ?, o.created_at), \
         IF(is_new, {new_expiry}, {old_expiry}), \
         IF(is_new, {}, {}), \
         IF(is_new, ?, o.version), \
         IF(is_new, ?, o.max_age), \
         IF(is_new, ?, o.persistent), \
         IF(is_new, ?, o.absolute_lifetime), \
         IF(is_new, CAST(? AS BINARY(14)), IF(keeps, o.public_id, NULL)), \
         IF(is_new, CAST(? AS BINARY(12)), NULL), \
         IF(is_new, ?, IF(keeps, o.indexed, NULL)), \
         IF(is_new, ?, IF(keeps, o.fields, '{{}}')), \
         NOT is_new, \
         IF(is_new, NULL, CAST(? AS BINARY(32))), \
         IF(is_new, NULL, CAST(? AS BINARY(16))) \
         FROM {t} o JOIN (SELECT TRUE AS is_new UNION ALL SELECT FALSE) parts \
         JOIN (SELECT ? AS keeps) grace WHERE {KNOWN} FOR UPDATE \
         ON DUPLICATE KEY UPDATE \
         version = IF(VALUES(is_retired), {t}.version, ~0 + {t}.purge_hour), {updates}",
        purge_hour(&new_expiry),
        purge_hour(old_expiry),
    )
}
