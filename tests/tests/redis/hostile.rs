//! Servers that are broken or hostile: memory stays bounded, the error says why, and the next
//! request works.

use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use actix_typed_session::{
    Clock as _, RedisStore, SessionId, StoreError, SystemClock,
    store::{LoadOptions, SessionStore as _, StoreKey},
};
use actix_typed_session_tests::{error_chain, json};

/// A server that replies to `HELLO` as Redis does. Its reply to the next command has a hostile
/// start, and then filler without an end. On later connections it replies as Redis does to
/// `HGETALL` of an absent key.
struct HostileServer {
    url: String,
    /// How many bytes of the hostile reply it could send.
    sent: Arc<AtomicUsize>,
}

impl HostileServer {
    fn start(start_of_reply: &'static str, filler: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("redis://{}", listener.local_addr().expect("it is bound"));
        let sent = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&sent);
        thread::spawn(move || {
            for (number, stream) in listener.incoming().map_while(Result::ok).enumerate() {
                let count = Arc::clone(&count);
                thread::spawn(move || {
                    serve(stream, (number == 0).then_some((start_of_reply, filler)), &count)
                });
            }
        });
        Self { url, sent }
    }
}

fn serve(mut stream: TcpStream, hostile: Option<(&str, &str)>, sent: &AtomicUsize) -> Option<()> {
    let mut command = [0; 4096];
    assert_ne!(stream.read(&mut command).ok()?, 0);
    stream.write_all(b"%1\r\n+proto\r\n:3\r\n").ok()?;
    loop {
        if stream.read(&mut command).ok()? == 0 {
            return None;
        }
        let Some((start, filler)) = hostile else {
            stream.write_all(b"%0\r\n").ok()?;
            continue;
        };
        stream.write_all(start.as_bytes()).ok()?;
        let filler = filler.repeat(64 * 1024 / filler.len());
        while !filler.is_empty() {
            sent.fetch_add(stream.write(filler.as_bytes()).ok()?, Ordering::Relaxed);
        }
    }
}

const MAX_REPLY: usize = 1 << 20;
/// A bound on what the sockets of both sides hold, far above what they do.
const IN_FLIGHT: usize = 16 << 20;

/// Asserts that a request fails at once because of the size of the reply, and that the next one
/// works.
async fn assert_refused(start_of_reply: &'static str, filler: &'static str) {
    let server = HostileServer::start(start_of_reply, filler);
    let store = RedisStore::builder(&server.url).max_reply_bytes(MAX_REPLY);
    let store = store.response_timeout(Duration::from_secs(20)).build().expect("good settings");
    let key = StoreKey::from(&SessionId::random());
    let started_at = Instant::now();

    let created = store.create(&key, &json::record(SystemClock.now(), &[])).await;

    let error = created.expect_err("the reply is hostile");
    assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
    let said = error_chain(&error);
    assert!(said.contains("more than 1048576 bytes, the limit of `max_reply_bytes`"), "{said}");
    assert!(started_at.elapsed() < Duration::from_secs(10), "it did not wait for more");
    let sent = server.sent.load(Ordering::Relaxed);
    assert!(sent < MAX_REPLY + IN_FLIGHT, "{sent} bytes were taken");
    let next = store.load(&key, &LoadOptions::default()).await;
    assert!(matches!(next, Ok(None)), "{next:?}");
}

#[tokio::test]
async fn a_reply_that_declares_400_mb_is_refused() {
    assert_refused("$419430400\r\n", "x").await;
}

#[tokio::test]
async fn a_line_without_an_end_is_refused() {
    assert_refused("+", "x").await;
}

#[tokio::test]
async fn counts_that_overflow_are_refused() {
    let count = "*9223372036854775807\r\n*9223372036854775807\r\n*9223372036854775807\r\n";
    assert_refused(count, ":1\r\n").await;
}

#[tokio::test]
async fn lists_in_lists_without_an_end_are_refused() {
    assert_refused("", "*1\r\n").await;
}

#[tokio::test]
async fn a_limit_that_is_too_small_is_refused() {
    let store = RedisStore::builder("redis://127.0.0.1").max_reply_bytes(1_000).build();
    let error = store.map(drop).expect_err("it is too small");
    assert!(format!("{error:?}").contains("max_reply_bytes"), "{error:?}");
}
