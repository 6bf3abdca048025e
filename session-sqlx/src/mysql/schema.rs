//! The tables, their indexes and their version.

/// The version of the schema that this release makes and uses.
pub(super) const VERSION: i32 = 1;

/// The text of the schema for qualified names. It can run again and again.
pub(super) fn text(table: &str, found: &str, version: &str) -> String {
    let options = "ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin";
    format!(
        "CREATE TABLE IF NOT EXISTS {table} (
  session_key       BINARY(32)      NOT NULL PRIMARY KEY,
  created_at        BIGINT          NOT NULL,
  expires_at        BIGINT          NOT NULL,
  purge_hour        INT             NOT NULL,
  version           BIGINT UNSIGNED NOT NULL,
  max_age           BIGINT,
  persistent        BOOLEAN,
  absolute_lifetime BIGINT,
  is_retired        BOOLEAN         NOT NULL DEFAULT FALSE,
  successor         BINARY(32),
  successor_digest  BINARY(16),
  public_id         BINARY(14),
  place             BINARY(12),
  indexed           TEXT,
  fields            JSON            NOT NULL,
  KEY by_purge_hour (purge_hour),
  KEY by_place (place)
) {options};
CREATE TABLE IF NOT EXISTS {found} (
  entry      BINARY(16)      NOT NULL,
  place      BINARY(12)      NOT NULL,
  version    BIGINT UNSIGNED NOT NULL,
  purge_hour INT             NOT NULL,
  PRIMARY KEY (entry, place),
  KEY by_place (place),
  KEY by_purge_hour (purge_hour)
) {options};
CREATE TABLE IF NOT EXISTS {version} (version INT NOT NULL PRIMARY KEY) {options};
INSERT IGNORE INTO {version} VALUES ({VERSION});
"
    )
}
