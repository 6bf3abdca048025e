//! The table, its indexes and its version.

/// The version of the schema that this release makes and uses.
pub(super) const VERSION: i32 = 1;

/// The text of the schema for qualified names. It can run again and again.
pub(super) fn text(table: &str, version: &str, name: &str) -> String {
    format!(
        "CREATE TABLE IF NOT EXISTS {table} (
  key               bytea   PRIMARY KEY,
  created_at        bigint  NOT NULL,
  expires_at        bigint  NOT NULL,
  purge_hour        integer NOT NULL,
  version           bigint  NOT NULL,
  max_age           bigint,
  persistent        boolean,
  absolute_lifetime bigint,
  is_retired        boolean NOT NULL DEFAULT false,
  successor         bytea,
  successor_digest  bytea,
  public_id         bytea,
  indexed           text[]  NOT NULL DEFAULT '{{}}',
  found_by          text[]  NOT NULL DEFAULT '{{}}',
  fields            jsonb   NOT NULL DEFAULT '{{}}'
) WITH (fillfactor = 85);
CREATE INDEX IF NOT EXISTS \"{name}_purge\" ON {table} (purge_hour);
CREATE INDEX IF NOT EXISTS \"{name}_found\" ON {table} ((found_by[1]), substr(public_id, 1, 12))
  WHERE found_by[1] IS NOT NULL;
CREATE INDEX IF NOT EXISTS \"{name}_found_more\" ON {table} USING gin ((found_by[2:]))
  WHERE cardinality(found_by) > 1;
CREATE TABLE IF NOT EXISTS {version} (version integer PRIMARY KEY);
INSERT INTO {version} VALUES ({VERSION}) ON CONFLICT DO NOTHING;
"
    )
}
