//! Pages of the rows that a database has found.

use actix_typed_session::{
    PublicId, StoreError,
    store::{IndexPage, ListCursor, ListPage, Record, StoreKey},
};
use serde_json::value::RawValue;

/// A row with a session.
pub(crate) trait SessionRow {
    fn key(&self) -> Result<StoreKey, StoreError>;

    fn record(&self) -> Result<Record, StoreError>;

    /// After which id the next page begins, if this row is the last of its page.
    fn page_end(&self) -> Result<Option<PublicId>, StoreError>;
}

/// The page of the sessions with a value. There is a further row if there is another page.
pub(crate) fn index_page(
    rows: &[impl SessionRow],
    limit: usize,
    (name, value): (&str, &RawValue),
) -> Result<IndexPage, StoreError> {
    let (mut sessions, mut last) = (Vec::new(), None);
    for row in rows.iter().take(limit) {
        // Also of a damaged record, so that the next page begins after it.
        last = row.page_end()?.or(last);
        match row.record() {
            Ok(record) if record.is_found_by(name, value) => sessions.push((row.key()?, record)),
            Ok(_) | Err(StoreError::Damaged(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(IndexPage::new(sessions, last.filter(|_| rows.len() > limit)))
}

/// A page of all sessions. It is the last one if it has fewer rows than the limit.
pub(crate) fn list_page(rows: &[impl SessionRow], limit: usize) -> Result<ListPage, StoreError> {
    let mut page = ListPage::default();
    for row in rows {
        page.add(row.key()?, row.record().map(Some))?;
    }
    let last = rows.last().filter(|_| rows.len() == limit).map(SessionRow::key).transpose()?;
    page.next = last.map(ListCursor::from);
    Ok(page)
}
