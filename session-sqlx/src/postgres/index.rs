//! What a store can do beyond its six calls.

use actix_typed_session::{
    PublicId, StoreError,
    store::{DeleteExpired, FindByIndex, IndexPage},
};
use serde_json::value::RawValue;

use super::{
    row::{self, found_by},
    store::PostgresStore,
};

impl DeleteExpired for PostgresStore {
    async fn delete_expired(&self) -> Result<u64, StoreError> {
        self.sweep().await
    }
}

impl FindByIndex for PostgresStore {
    async fn find(
        &self,
        name: &str,
        value: &RawValue,
        after: Option<PublicId>,
        limit: usize,
    ) -> Result<IndexPage, StoreError> {
        let (entry, now) = (found_by(name, value), self.now_ms());
        let after = after.map(|id| id.to_bytes()[..12].to_vec());
        let limit = limit.max(1);
        // One more shows whether there is another page.
        let rows = i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1);
        let find = self.all(&self.0.statements.find, |query| {
            query.bind(entry.clone()).bind(now).bind(after.clone()).bind(rows)
        });
        let rows = self.within(find).await?;
        let (mut sessions, mut last) = (Vec::new(), None);
        for row in rows.iter().take(limit) {
            let record = match row::read(row) {
                Ok(record) => record,
                Err(StoreError::Damaged(_)) => continue,
                Err(error) => return Err(error),
            };
            last = record.index().map(|index| index.public_id());
            if record.is_found_by(name, value) {
                sessions.push((row::read_key(row)?, record));
            }
        }
        Ok(IndexPage::new(sessions, last.filter(|_| rows.len() > limit)))
    }
}
