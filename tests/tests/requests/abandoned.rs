//! A save whose future was dropped, in a store that answers at once. Only a merge can wait there:
//! for another request that merges the same session.

use std::{
    sync::{Condvar, Mutex},
    thread,
    time::Duration,
};

use actix_typed_session::{MemoryStore, Session, SessionMiddleware, TypedSession};
use actix_typed_session_tests::{
    Gate, Site,
    wait::{PATIENCE, within},
};
use actix_web::{rt::time::timeout, web::Data};

#[derive(Session)]
struct Visitor {
    #[session(merge_with = ours)]
    note: String,
    name: String,
}

/// Takes the later value. `slow` takes until the test lets it go on, and has the session meanwhile.
fn ours(_: &String, _: String, ours: String) -> String {
    if ours == "slow" {
        SLOW.enter();
    }
    ours
}

/// Where the slow merge stops. It holds a thread, because merge functions cannot be async.
struct Stop {
    /// Whether it has come, and whether it may go on.
    state: Mutex<(bool, bool)>,
    changed: Condvar,
}

static SLOW: Stop = Stop { state: Mutex::new((false, false)), changed: Condvar::new() };

impl Stop {
    fn enter(&self) {
        let mut state = self.state.lock().expect("no test panics with it");
        state.0 = true;
        self.changed.notify_all();
        drop(self.changed.wait_timeout_while(state, PATIENCE, |(_, may_go_on)| !*may_go_on));
    }

    /// Waits until the merge has come.
    async fn arrival(&'static self) {
        let wait = actix_web::rt::task::spawn_blocking(|| {
            let state = self.state.lock().expect("no test panics with it");
            let wait = self.changed.wait_timeout_while(state, PATIENCE, |(has_come, _)| !*has_come);
            assert!(!wait.expect("no test panics with it").1.timed_out(), "no merge has come");
        });
        wait.await.expect("the merge has come");
    }

    fn go_on(&self) {
        self.state.lock().expect("no test panics with it").1 = true;
        self.changed.notify_all();
    }
}

async fn begin(mut session: TypedSession<Visitor>) -> &'static str {
    session.set_name("begin".to_owned());
    "ok"
}

async fn write(mut session: TypedSession<Visitor>) -> &'static str {
    session.set_note("first".to_owned());
    "ok"
}

async fn write_slowly(mut session: TypedSession<Visitor>, gate: Data<Gate>) -> String {
    gate.pass().await;
    session.set_note("slow".to_owned());
    format!("{:?}", thread::current().id())
}

/// Where the request that abandons its save waits.
#[derive(Clone, Default)]
struct Second(Gate);

async fn abandon_a_save(mut session: TypedSession<Visitor>, gate: Data<Second>) -> String {
    gate.0.pass().await;
    session.set_note("second".to_owned());
    session.set_name("early".to_owned());
    let save = timeout(Duration::from_millis(20), session.save()).await;
    assert!(save.is_err(), "it waits for the other one");
    session.set_name("late".to_owned());
    gate.0.pass().await;
    format!("{:?}", thread::current().id())
}

async fn show(session: TypedSession<Visitor>) -> String {
    format!("{} {}", session.note, session.name)
}

#[actix_web::test]
async fn what_is_written_after_an_abandoned_save_is_stored_after_it() {
    let second = Second::default();
    let site = Site::unwatched(SessionMiddleware::builder(MemoryStore::new()))
        .data(second.clone())
        .route("/begin", begin)
        .route("/write", write)
        .route("/write_slowly", write_slowly)
        .route("/abandon_a_save", abandon_a_save)
        .route("/show", show)
        .start();
    let mut ann = site.client();
    ann.get("/begin").await;
    let slow = site.held_at(&ann, "/write_slowly").await;
    let abandoning = {
        let mut ann = ann.clone();
        actix_web::rt::spawn(async move { ann.get("/abandon_a_save").await.body })
    };
    second.0.arrival().await;
    ann.get("/write").await;
    site.gate.open();
    SLOW.arrival().await;
    second.0.open();
    second.0.arrival().await;
    second.0.open();
    SLOW.go_on();
    let thread = slow.finish().await.0.body;
    assert_ne!(abandoning.await.expect("a response"), thread, "they need a thread each");
    let second = async { while !ann.get("/show").await.body.starts_with("second") {} };
    within("the second name is stored", second).await;
    assert_eq!(ann.get("/show").await.body, "second late");
}
