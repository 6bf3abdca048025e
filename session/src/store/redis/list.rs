//! Lists all sessions: `SCAN` on each master, one after the other.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use futures_util::future::join_all;
use sha1::{Digest as _, Sha1};

use super::{
    client::{Command, Reply, Retry},
    decode,
    keyspace::Keyspace,
    layout,
    outage::store_error,
    store::RedisStore,
};
use crate::{
    error::StoreError,
    id::StoreKey,
    record::Record,
    store::{
        capabilities::Ping,
        listing::{ListAll, ListCursor, ListPage, other_store},
    },
};

impl ListAll for RedisStore {
    async fn list(&self, after: Option<&ListCursor>, limit: usize) -> Result<ListPage, StoreError> {
        let keyspace = self.keyspace();
        let slots = keyspace.topology.slots().await.map_err(store_error)?;
        let slots = URL_SAFE_NO_PAD.encode(Sha1::digest(slots));
        let at = match after {
            None => Position { slots: slots.clone(), ..Position::default() },
            Some(cursor) => Position::parse(cursor).ok_or_else(other_store)?,
        };
        let run = keyspace.run_id(at.master).await?;
        if at.slots != slots || at.run.as_ref().is_some_and(|before| *before != run) {
            return Err(StoreError::unavailable(
                "a Redis server has restarted, or the cluster has changed, since the first page; \
                 list the sessions again from the beginning",
            ));
        }
        let (scan, keys) = keyspace.scan(&at, limit.max(1)).await?;
        let loads = keys.iter().map(async |key| (*key, keyspace.load_uncached(key).await));
        let mut page = ListPage::default();
        for (key, read) in join_all(loads).await {
            page.add(key, read)?;
        }
        page.next = if scan != 0 {
            Some(Position { scan, run: Some(run), ..at }.to_cursor())
        } else if keyspace.has_master(at.master + 1).await? {
            Some(Position { master: at.master + 1, slots, run: None, scan: 0 }.to_cursor())
        } else {
            None
        };
        Ok(page)
    }
}

impl Ping for RedisStore {
    async fn ping(&self) -> Result<(), StoreError> {
        let mut master = 0;
        while self.keyspace().has_master(master).await? {
            master += 1;
        }
        Ok(())
    }
}

/// Where a page ended. The position of a `SCAN` is of use as long as the process of the server runs
/// and the slots stay where they are.
#[derive(Debug, Default)]
struct Position {
    /// A hash of the slots that each master serves.
    slots: String,
    master: usize,
    /// The process of this master. `None`: none of its pages was read.
    run: Option<String>,
    scan: u64,
}

impl Position {
    fn to_cursor(&self) -> ListCursor {
        let Self { slots, master, run, scan } = self;
        let run = run.as_deref().unwrap_or("-");
        ListCursor::new(format!("{slots} {master} {run} {scan}").into_bytes())
    }

    fn parse(cursor: &ListCursor) -> Option<Self> {
        let text = std::str::from_utf8(cursor.as_bytes()).ok()?;
        let mut words = text.split(' ');
        let (slots, master) = (words.next()?.to_owned(), words.next()?.parse().ok()?);
        let (run, scan) = (words.next()?, words.next()?.parse().ok()?);
        Some(Self { slots, master, run: (run != "-").then(|| run.to_owned()), scan })
    }
}

impl Keyspace {
    async fn has_master(&self, number: usize) -> Result<bool, StoreError> {
        Ok(self.ask_master(number, &Command::new("PING")).await?.is_some())
    }

    /// The number of the process of a master.
    async fn run_id(&self, master: usize) -> Result<String, StoreError> {
        let info = self.ask_master(master, &Command::new("INFO").arg("server")).await?;
        let info = info.as_ref().and_then(Reply::as_str);
        let mut lines = info.into_iter().flat_map(str::lines);
        let run = lines.find_map(|line| line.strip_prefix("run_id:"));
        run.map(str::to_owned).ok_or_else(decode::unexpected)
    }

    /// Some keys of sessions, and where to go on; 0: at the end.
    async fn scan(&self, at: &Position, count: usize) -> Result<(u64, Vec<StoreKey>), StoreError> {
        let (pattern, count) = (format!("{}*", literally(&self.prefix)), count.to_string());
        let scan = at.scan.to_string();
        let command = Command::new("SCAN").arg(&scan).arg("MATCH").arg(&pattern);
        let command = command.arg("COUNT").arg(&count);
        let Some(Reply::List(reply)) = self.ask_master(at.master, &command).await? else {
            return Err(decode::unexpected());
        };
        let [next, Reply::List(names)] = &reply[..] else { return Err(decode::unexpected()) };
        let next = next.as_str().and_then(|next| next.parse().ok());
        let keys = names.iter().filter_map(|name| {
            let name = name.as_str()?.strip_prefix(self.prefix.as_str())?;
            layout::parse_key_name(name.as_bytes())
        });
        Ok((next.ok_or_else(decode::unexpected)?, keys.collect()))
    }

    async fn load_uncached(&self, key: &StoreKey) -> Result<Option<Record>, StoreError> {
        let name = self.session_key(key);
        let command = Command::new("HGETALL").arg(&name);
        decode::parse_record(self.call(&name, &command, Retry::Idempotent).await?.reply)
    }

    async fn ask_master(
        &self,
        number: usize,
        command: &Command,
    ) -> Result<Option<Reply>, StoreError> {
        let reply = self.topology.call_master(number, command).await.map_err(store_error)?;
        Ok(reply.map(|reply| reply.reply))
    }
}

/// A pattern that matches only this text.
fn literally(text: &str) -> String {
    let mut pattern = String::new();
    for char in text.chars() {
        if matches!(char, '*' | '?' | '[' | ']' | '\\' | '^' | '-') {
            pattern.push('\\');
        }
        pattern.push(char);
    }
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_survives_its_cursor() {
        let position =
            Position { slots: "ab".into(), master: 3, run: Some("cd".into()), scan: u64::MAX };
        let parsed = Position::parse(&position.to_cursor()).expect("a cursor of ours");
        assert_eq!(format!("{parsed:?}"), format!("{position:?}"));
        assert!(Position::parse(&ListCursor::new(*b"of another store")).is_none());
    }

    #[test]
    fn a_prefix_is_no_pattern() {
        assert_eq!(literally("shop*[1]:"), "shop\\*\\[1\\]:");
    }
}
