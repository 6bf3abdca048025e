//! Sessions that are counted, destroyed by what they hold, and exported, from outside.

use std::{cell::Cell, thread, time::Duration};

use actix_typed_session::{
    AllSessions, Clock as _, FakeClock, ListedSession, MemoryStore, PublicId, Session, Sessions,
    StoredSession, TypedSession,
    store::{FindByIndex, ListAll, SessionStore as _},
    testing::{Fault, Operation},
};
use actix_typed_session_tests::{Client, Site, json::set, with_every_store};
use actix_web::web;
use futures_util::FutureExt as _;
use serde_json::json;

const HOUR: Duration = Duration::from_secs(3600);

#[derive(Session, Debug)]
struct Visitor {
    #[session(privilege, index)]
    user_id: Option<i64>,
    device: String,
    #[session(merge = "add")]
    views: u64,
    #[session(rename = "former_theme", default = "light".to_owned())]
    theme: String,
    #[session(ttl = "1h")]
    code: Option<u32>,
    #[session(flash)]
    notes: Vec<String>,
    #[session(skip)]
    cached: u8,
}

/// Another part of the site, which uses the same sessions.
#[derive(Session)]
struct Shop {
    cart: Vec<String>,
}

struct DeviceSite {
    site: Site,
    clock: FakeClock,
    sessions: Sessions<Visitor>,
    all: AllSessions<Visitor>,
}

impl DeviceSite {
    fn start() -> Self {
        let site = Site::in_memory()
            .route("/login/{user}/{device}", log_in)
            .route("/renew", async |mut session: TypedSession<Visitor>| {
                session.renew();
                ""
            })
            .route("/view", async |mut session: TypedSession<Visitor>| {
                session.add_views(1);
                format!("{:?} {} {}", session.status(), session.device, session.views)
            })
            .route("/code", async |mut session: TypedSession<Visitor>| {
                session.set_code(Some(4711));
                session.notes_mut().push("saved".to_owned());
                ""
            })
            .route("/buy/{item}", async |item: web::Path<String>, mut shop: TypedSession<Shop>| {
                shop.cart_mut().push(item.into_inner());
                ""
            })
            .start();
        let clock = site.clock().clone();
        let sessions = Sessions::new(site.store.clone()).clock(clock.clone());
        let all = AllSessions::new(site.store.inner().clone()).clock(clock.clone());
        Self { site, clock, sessions, all }
    }

    async fn logged_in(&self, user: i64, device: &str) -> Client {
        let mut browser = self.site.client();
        assert_eq!(browser.get(&format!("/login/{user}/{device}")).await.status, 200);
        browser
    }

    async fn id_of(&self, user: i64, device: &str) -> PublicId {
        let page = self.sessions.list(&of(user), None, 100).await.expect("the store answers");
        let session = page.sessions.iter().find(|session| session.device == device);
        session.expect("the device is there").public_id()
    }

    async fn count(&self, user: i64) -> u64 {
        self.sessions.count(&of(user)).await.expect("the store answers")
    }

    /// Changes a session at once, as a request that comes in between would.
    fn change(&self, user: i64, id: PublicId, change: impl FnOnce(&mut Visitor)) {
        let by = of(user);
        let update = self.sessions.update(&by, id, change).now_or_never();
        assert!(matches!(update, Some(Ok(Some(())))), "the memory answers at once: {update:?}");
    }
}

fn of(user: i64) -> actix_typed_session::IndexKey<Visitor> {
    Visitor::by_user_id(&Some(user))
}

async fn log_in(path: web::Path<(i64, String)>, mut session: TypedSession<Visitor>) -> String {
    let (user, device) = path.into_inner();
    session.set_user_id(Some(user));
    session.set_device(device);
    String::new()
}

#[actix_web::test]
async fn the_live_sessions_of_a_user_are_counted_whatever_a_page_holds() {
    let it = DeviceSite::start();
    let mut first = it.logged_in(7, "old").await;
    it.clock.advance(HOUR);
    for n in 0..150 {
        it.logged_in(7, &format!("device{n}")).await;
    }
    it.logged_in(8, "other").await;
    it.site.client().get("/view").await;
    first.get("/renew").await;
    assert_eq!((it.count(7).await, it.count(8).await, it.count(9).await), (151, 1, 0));
    assert_eq!(it.sessions.count(&Visitor::by_user_id(&None)).await.ok(), Some(0));
    assert_eq!(it.all.count().await.ok(), Some(153), "with the visitor who is not logged in");
    it.clock.advance(HOUR * 20);
    assert_eq!((it.count(7).await, it.all.count().await.ok()), (0, Some(0)), "all have expired");
}

#[actix_web::test]
async fn the_sessions_of_a_user_that_match_end_and_the_others_go_on() {
    let it = DeviceSite::start();
    let mut old = it.logged_in(7, "phone").await;
    let mut others = it.logged_in(8, "phone").await;
    it.clock.advance(HOUR);
    let leak = it.clock.now();
    let mut new = it.logged_in(7, "laptop").await;
    let is_old = |session: &StoredSession<Visitor>| session.created_at() < leak;
    assert_eq!(it.sessions.destroy_where(&of(7), is_old).await.ok(), Some(1));
    assert_eq!(old.get("/view").await.body, "New  1");
    assert_eq!(new.get("/view").await.body, "Loaded laptop 1");
    assert_eq!(others.get("/view").await.body, "Loaded phone 1");
    assert_eq!(it.sessions.destroy_where(&of(7), is_old).await.ok(), Some(0), "none is left");
}

#[actix_web::test]
async fn the_matching_sessions_of_all_users_end_in_one_call() {
    let it = DeviceSite::start();
    for n in 0..250 {
        it.logged_in(n % 3, if n % 5 == 0 { "tv" } else { "phone" }).await;
    }
    let mut visitor = it.site.client();
    visitor.get("/view").await;
    let mut renewed = it.logged_in(7, "tv").await;
    renewed.get("/renew").await;
    let done = it.all.destroy_where(|session| session.device == "tv").await;
    let done = done.expect("the store answers");
    assert_eq!((done.destroyed, done.unreadable), (51, 0));
    assert_eq!(it.all.count().await.ok(), Some(201));
    assert_eq!(renewed.get("/view").await.body, "New  1");
    let guests = it.all.destroy_where(|it: &ListedSession<Visitor>| it.public_id().is_none()).await;
    assert_eq!(guests.expect("the store answers").destroyed, 2, "they have no public id");
    assert_eq!(visitor.get("/view").await.body, "New  1");
}

#[actix_web::test]
async fn a_session_that_changes_meanwhile_and_matches_no_longer_is_kept() {
    let it = DeviceSite::start();
    let mut phone = it.logged_in(7, "phone").await;
    let id = it.id_of(7, "phone").await;
    let asked = Cell::new(0);
    let change = |device: &str| {
        asked.set(asked.get() + 1);
        if asked.get() == 1 {
            it.change(7, id, |visitor| visitor.device = "tablet".to_owned());
        }
        device == "phone"
    };
    let ended = it.sessions.destroy_where(&of(7), |session| change(&session.device)).await;
    assert_eq!(ended.ok(), Some(0));
    assert_eq!(asked.get(), 2, "it is asked about the changed session too");
    assert_eq!(phone.get("/view").await.body, "Loaded tablet 1");
    // Over all users it is the same.
    it.change(7, id, |visitor| visitor.device = "phone".to_owned());
    asked.set(0);
    let done = it.all.destroy_where(|session| change(&session.device)).await;
    assert_eq!(done.map(|done| done.destroyed).ok(), Some(0));
    assert_eq!(phone.get("/view").await.body, "Loaded tablet 2");
}

#[actix_web::test]
async fn a_session_that_changes_meanwhile_and_still_matches_ends() {
    let it = DeviceSite::start();
    let mut phone = it.logged_in(7, "phone").await;
    let id = it.id_of(7, "phone").await;
    let changes = Cell::new(0);
    let by = of(7);
    let ended = it.sessions.destroy_where(&by, |session| {
        if changes.get() < 3 {
            changes.set(changes.get() + 1);
            it.change(7, id, |visitor| visitor.views += 1);
        }
        session.device == "phone"
    });
    assert_eq!(ended.await.ok(), Some(1));
    assert_eq!(phone.get("/view").await.body, "New  1");
}

#[actix_web::test]
async fn a_session_that_another_user_takes_over_meanwhile_is_kept() {
    let it = DeviceSite::start();
    let mut phone = it.logged_in(7, "phone").await;
    let id = it.id_of(7, "phone").await;
    let first = Cell::new(true);
    let by = of(7);
    let ended = it.sessions.destroy_where(&by, |_| {
        if first.replace(false) {
            it.change(7, id, |visitor| visitor.user_id = Some(8));
        }
        true
    });
    assert_eq!(ended.await.ok(), Some(0));
    assert_eq!(phone.get("/view").await.body, "Loaded phone 1");
}

#[actix_web::test]
async fn a_session_is_over_even_if_the_call_that_destroys_it_fails() {
    let it = DeviceSite::start();
    let mut phone = it.logged_in(7, "phone").await;
    it.site.store.inject(Operation::Destroy, Fault::ErrorBefore);
    assert!(it.sessions.destroy_where(&of(7), |_| true).await.is_err());
    it.site.store.heal();
    assert_eq!(it.count(7).await, 0);
    assert_eq!(phone.get("/view").await.body, "Loaded  1", "nothing of it is left");
}

#[actix_web::test]
async fn an_export_has_what_the_struct_reads_and_names_the_rest() {
    let it = DeviceSite::start();
    let mut phone = it.logged_in(7, "phone").await;
    phone.get("/view").await;
    phone.get("/code").await;
    phone.get("/buy/tea").await;
    let id = it.id_of(7, "phone").await;
    let exported = it.sessions.export(&of(7)).await.expect("the store answers");
    let expected = json!([{
        "public_id": id,
        "created_at": it.clock.now().to_string(),
        "expires_at": it.clock.now().saturating_add(HOUR * 20).to_string(),
        "fields": {
            "user_id": 7, "device": "phone", "views": 1, "theme": "light", "code": 4711,
            "notes": ["saved"],
        },
        "not_exported": ["cart"],
    }]);
    assert_eq!(serde_json::to_value(&exported).expect("it is JSON"), expected);
    it.clock.advance(HOUR);
    let later = it.sessions.export(&of(7)).await.expect("the store answers");
    assert_eq!(later[0].fields["code"].get(), "null", "its value has ended");
    let debug = format!("{exported:?}");
    assert!(!debug.contains("4711") && debug.contains("code"), "values do not print: {debug}");
    assert!(it.sessions.export(&of(8)).await.is_ok_and(|none| none.is_empty()));
    let found = it.all.export_where(|session| session.user_id == Some(7)).await;
    assert_eq!(
        serde_json::to_value(found.expect("the store answers")).expect("it is JSON"),
        serde_json::to_value(later).expect("it is JSON"),
    );
}

#[actix_web::test]
async fn an_export_has_no_id_and_no_key() {
    let it = DeviceSite::start();
    let phone = it.logged_in(7, "phone").await;
    let id: actix_typed_session::SessionId = phone.cookie().parse().expect("an id");
    let key = actix_typed_session::store::StoreKey::from(&id);
    let exported = it.sessions.export(&of(7)).await.expect("the store answers");
    let text = serde_json::to_string(&exported).expect("it is JSON");
    assert!(text.contains("phone"));
    assert!(!text.contains(phone.cookie()) && !text.contains(&key.to_hex()));
}

#[actix_web::test]
async fn a_stored_value_that_does_not_decode_is_not_exported_as_something_else() {
    let it = DeviceSite::start();
    let phone = it.logged_in(7, "phone").await;
    let id: actix_typed_session::SessionId = phone.cookie().parse().expect("an id");
    let wrong = set(&[("device", "[1]"), ("views", "\"many\"")]);
    it.site.store.update(&(&id).into(), &wrong).await.expect("the store answers");
    let exported = it.sessions.export(&of(7)).await.expect("the store answers");
    assert_eq!(exported[0].not_exported, ["device", "views"]);
    assert_eq!(
        exported[0].fields.keys().copied().collect::<Vec<_>>(),
        ["code", "notes", "theme", "user_id"]
    );
    // The erase ends it all the same.
    assert_eq!(it.sessions.destroy_all(&of(7)).await.ok(), Some(1));
}

/// What the sessions of other stores do, with a change from another thread in between.
async fn sessions_that_match_end_and_changed_ones_stay(
    store: impl FindByIndex + ListAll + Clone,
    _: Option<FakeClock>,
) {
    let site = Site::new(store.clone()).route("/login/{user}/{device}", log_in).start();
    let sessions = Sessions::<Visitor>::new(store.clone());
    let all = AllSessions::<Visitor>::new(store);
    let log_in = async |device: &str| {
        let mut browser = site.client();
        assert_eq!(browser.get(&format!("/login/7/{device}")).await.status, 200);
    };
    for device in ["phone", "phone", "tv"] {
        log_in(device).await;
    }
    let by = of(7);
    let page = sessions.list(&by, None, 10).await.expect("the store answers");
    let kept = page.sessions.iter().find(|it| it.device == "phone").expect("a phone").public_id();
    let first = Cell::new(true);
    // By another thread, because a test cannot wait here.
    let change_one = |sessions: &Sessions<Visitor>| {
        let update = async {
            let by = of(7);
            sessions.update(&by, kept, |visitor| visitor.device = "tablet".to_owned()).await
        };
        let changed = thread::scope(|scope| {
            scope.spawn(|| actix_web::rt::System::new().block_on(update)).join().expect("no panic")
        });
        assert!(matches!(changed, Ok(Some(()))), "{changed:?}");
    };
    let ended = sessions.destroy_where(&by, |session| {
        if first.replace(false) {
            change_one(&sessions);
        }
        session.device == "phone"
    });
    assert_eq!(ended.await.ok(), Some(1));
    let exported = sessions.export(&by).await.expect("the store answers");
    let mut devices: Vec<_> =
        exported.iter().map(|session| session.fields["device"].get()).collect();
    devices.sort_unstable();
    assert_eq!(devices, ["\"tablet\"", "\"tv\""]);
    assert_eq!((sessions.count(&by).await.ok(), all.count().await.ok()), (Some(2), Some(2)));
    let done = all.destroy_where(|session| session.device == "tv").await;
    assert_eq!(done.map(|done| (done.destroyed, done.unreadable)).ok(), Some((1, 0)));
    assert_eq!(all.count().await.ok(), Some(1));
}

with_every_store!(sessions_that_match_end_and_changed_ones_stay,);

#[test]
fn calls_about_many_sessions_can_go_to_other_threads() {
    fn is_send<F: Future + Send>(_: F) {}
    let sessions = Sessions::<Visitor>::new(MemoryStore::new());
    let all = AllSessions::<Visitor>::new(MemoryStore::new());
    let by = of(7);
    is_send(sessions.count(&by));
    is_send(sessions.export(&by));
    is_send(sessions.destroy_where(&by, |session| session.views > 1));
    is_send(all.count());
    is_send(all.destroy_where(|session| session.views > 1));
    is_send(all.export_where(|session| session.views > 1));
    assert_eq!(format!("{all:?}"), "AllSessions(\"Visitor\")");
}
