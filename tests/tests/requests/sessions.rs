//! The sessions of a user, listed and ended from elsewhere, over real sockets.

use std::{ops::Deref, time::Duration};

use actix_typed_session::{
    Clock as _, MemoryStore, OverLimit, PublicId, Session, SessionError, Sessions, TypedSession,
    store::FindByIndex as _,
    testing::{Fault, Operation},
};
use actix_typed_session_tests::{Client, Gate, Site, json::json, wait::until};
use actix_web::{HttpResponse, web};

const HOUR: Duration = Duration::from_secs(3600);

#[derive(Session, Debug)]
struct Visitor {
    #[session(privilege, index)]
    user_id: Option<i64>,
    #[session(index)]
    team: String,
    device: String,
    #[session(merge = "add")]
    views: u64,
    #[session(merge = "reject")]
    plan: String,
    #[session(default = 3)]
    lives: u8,
}

type Devices = web::Data<Sessions<Visitor>>;

/// A site, and the sessions of its visitors seen from outside.
struct UserSite {
    site: Site,
    sessions: Sessions<Visitor>,
}

impl Deref for UserSite {
    type Target = Site;

    fn deref(&self) -> &Site {
        &self.site
    }
}

impl UserSite {
    fn start() -> Self {
        let site = Site::in_memory()
            .data_of(|store| Sessions::<Visitor>::new(store.clone()))
            .route("/login/{user}/{device}", log_in)
            .route("/capped/{user}/{device}/{policy}", log_in_capped)
            .route("/logout", log_out)
            .route("/team/{team}", join)
            .route("/view", view)
            .route("/slow/{plan}", slow)
            .route("/devices", devices)
            .route("/end/{id}", end)
            .route("/others", others)
            .route("/slow_others", slow_others)
            .start();
        let sessions = Sessions::new(site.store.clone());
        Self { site, sessions }
    }

    /// A browser in which a user has logged in.
    async fn logged_in(&self, user: i64, device: &str) -> Client {
        let mut browser = self.client();
        let response = browser.get(&format!("/login/{user}/{device}")).await;
        assert_eq!(response.status, 200);
        browser
    }

    async fn devices_of(&self, user: i64) -> Vec<String> {
        let by = Visitor::by_user_id(&Some(user));
        let page = self.sessions.list(&by, None, 100).await.expect("the store answers");
        page.sessions.iter().map(|session| session.device.clone()).collect()
    }

    async fn id_of(&self, user: i64, device: &str) -> PublicId {
        let by = Visitor::by_user_id(&Some(user));
        let page = self.sessions.list(&by, None, 100).await.expect("the store answers");
        let session = page.sessions.iter().find(|session| session.device == device);
        session.expect("the device is there").public_id()
    }
}

async fn log_in(path: web::Path<(i64, String)>, mut session: TypedSession<Visitor>) -> String {
    let (user, device) = path.into_inner();
    session.set_user_id(Some(user));
    session.set_device(device);
    show(&session)
}

async fn log_in_capped(
    path: web::Path<(i64, String, String)>,
    mut session: TypedSession<Visitor>,
    sessions: Devices,
) -> Result<String, SessionError> {
    let (user, device, policy) = path.into_inner();
    let over = match &*policy {
        "oldest" => OverLimit::DestroyOldest,
        _ => OverLimit::Refuse,
    };
    let by = Visitor::by_user_id(&Some(user));
    sessions.enforce_limit(&by, 2, over, session.handle()).await?;
    session.set_user_id(Some(user));
    session.set_device(device);
    Ok(show(&session))
}

async fn log_out(mut session: TypedSession<Visitor>) -> String {
    session.take_user_id();
    show(&session)
}

async fn join(team: web::Path<String>, mut session: TypedSession<Visitor>) -> String {
    session.set_team(team.into_inner());
    show(&session)
}

async fn view(mut session: TypedSession<Visitor>) -> String {
    session.add_views(1);
    show(&session)
}

async fn slow(
    plan: web::Path<String>,
    mut session: TypedSession<Visitor>,
    gate: web::Data<Gate>,
) -> String {
    session.add_views(1);
    session.set_plan(plan.into_inner());
    gate.pass().await;
    show(&session)
}

async fn devices(
    session: TypedSession<Visitor>,
    sessions: Devices,
) -> Result<String, SessionError> {
    let by = Visitor::by_user_id(&session.user_id);
    let mut lines = String::new();
    let mut after = None;
    loop {
        let page = sessions.list(&by, after, 2).await?;
        for device in &page.sessions {
            let mark = if device.is_current(session.handle()) { "*" } else { " " };
            lines += &format!("{mark}{} ", device.device);
        }
        after = page.next;
        if after.is_none() {
            return Ok(lines);
        }
    }
}

async fn end(
    id: web::Path<String>,
    session: TypedSession<Visitor>,
    sessions: Devices,
) -> Result<HttpResponse, SessionError> {
    let Ok(id) = id.parse() else { return Ok(HttpResponse::BadRequest().finish()) };
    let ended = sessions.destroy(&Visitor::by_user_id(&session.user_id), id).await?;
    Ok(HttpResponse::Ok().body(ended.to_string()))
}

async fn others(session: TypedSession<Visitor>, sessions: Devices) -> Result<String, SessionError> {
    let by = Visitor::by_user_id(&session.user_id);
    Ok(sessions.destroy_others(&by, session.handle()).await?.to_string())
}

async fn slow_others(
    session: TypedSession<Visitor>,
    sessions: Devices,
    gate: web::Data<Gate>,
) -> Result<String, SessionError> {
    gate.pass().await;
    others(session, sessions).await
}

fn show(session: &TypedSession<Visitor>) -> String {
    format!("{:?} user={:?} views={}", session.status(), session.user_id, session.views)
}

#[actix_web::test]
async fn the_devices_of_a_user_are_listed_and_nobody_elses() {
    let site = UserSite::start();
    let mut phone = site.logged_in(7, "phone").await;
    for device in ["laptop", "tv"] {
        site.clock().advance(Duration::from_secs(1));
        site.logged_in(7, device).await;
    }
    site.logged_in(8, "intruder").await;
    site.client().get("/view").await;
    assert_eq!(phone.get("/devices").await.body, "*phone  laptop  tv ", "in the order of login");
    assert_eq!(site.client().get("/devices").await.body, "", "nobody has no devices");
}

#[actix_web::test]
async fn a_session_that_was_ended_elsewhere_is_refused_from_the_next_request_on() {
    let site = UserSite::start();
    let mut phone = site.logged_in(7, "phone").await;
    let mut laptop = site.logged_in(7, "laptop").await;
    let mut other = site.logged_in(8, "other").await;
    let id = site.id_of(7, "laptop").await;
    assert_eq!(phone.get(&format!("/end/{id}")).await.body, "true");
    let response = laptop.get("/view").await;
    assert_eq!(response.body, "New user=None views=1", "the laptop is a new visitor");
    assert_eq!(phone.get(&format!("/end/{id}")).await.body, "false", "it has ended already");
    assert_eq!(phone.get("/view").await.body, "Loaded user=Some(7) views=1");
    assert_eq!(other.get("/view").await.body, "Loaded user=Some(8) views=1");
}

#[actix_web::test]
async fn somebody_elses_session_cannot_be_ended_by_its_public_id() {
    let site = UserSite::start();
    let mut victim = site.logged_in(7, "phone").await;
    let mut attacker = site.logged_in(8, "laptop").await;
    let id = site.id_of(7, "phone").await;
    assert_eq!(attacker.get(&format!("/end/{id}")).await.body, "false");
    let mut nobody = site.client();
    assert_eq!(nobody.get(&format!("/end/{id}")).await.body, "false");
    for bad in ["x", "%00", victim.cookie()] {
        assert_eq!(attacker.get(&format!("/end/{bad}")).await.status, 400, "{bad}");
    }
    assert_eq!(victim.get("/view").await.body, "Loaded user=Some(7) views=1");
}

#[actix_web::test]
async fn a_public_id_opens_nothing() {
    let site = UserSite::start();
    site.logged_in(7, "phone").await;
    let mut thief = site.logged_in(8, "thief").await;
    let id = site.id_of(7, "phone").await.to_string();
    for cookie in thief.cookies.values_mut() {
        cookie.clone_from(&id);
    }
    assert_eq!(thief.get("/view").await.body, "New user=None views=1");
}

#[actix_web::test]
async fn log_out_everywhere_else_takes_effect_at_the_others_next_request() {
    let site = UserSite::start();
    let mut phone = site.logged_in(7, "phone").await;
    let mut rest = Vec::new();
    for n in 0..150 {
        rest.push(site.logged_in(7, &format!("device{n}")).await);
    }
    assert_eq!(phone.get("/others").await.body, "150");
    assert_eq!(phone.get("/devices").await.body, "*phone ");
    for mut browser in rest {
        assert_eq!(browser.get("/view").await.body, "New user=None views=1");
    }
    assert_eq!(phone.get("/view").await.body, "Loaded user=Some(7) views=1");
}

#[actix_web::test]
async fn the_own_session_is_spared_also_if_another_request_has_renewed_it() {
    let site = UserSite::start();
    let mut phone = site.logged_in(7, "phone").await;
    site.logged_in(7, "laptop").await;
    let slow = site.held_at(&phone, "/slow_others").await;
    let cookie = phone.cookie().to_owned();
    phone.get("/logout").await;
    phone.get("/login/7/phone").await;
    assert_ne!(phone.cookie(), cookie, "it has another id now");
    assert_eq!(site.release(slow).await.body, "1");
    assert_eq!(site.devices_of(7).await, ["phone"]);
    assert_eq!(phone.get("/view").await.body, "Loaded user=Some(7) views=1");
}

#[actix_web::test]
async fn a_request_under_way_loses_its_changes_and_sets_no_cookie() {
    let site = UserSite::start();
    let mut phone = site.logged_in(7, "phone").await;
    let mut laptop = site.logged_in(7, "laptop").await;
    let slow = site.held_at(&laptop, "/slow/gold").await;
    assert_eq!(phone.get("/others").await.body, "1");
    let response = site.release(slow).await;
    assert_eq!(response.text(), "200 Loaded user=Some(7) views=1", "the response is kept");
    assert_eq!(response.set_cookie(), None);
    assert_eq!(laptop.get("/view").await.body, "New user=None views=1", "the changes are lost");
    assert_eq!(site.devices_of(7).await, ["phone"]);
}

#[actix_web::test]
async fn a_renewal_at_the_same_moment_does_not_escape() {
    let site = UserSite::start();
    let mut phone = site.logged_in(7, "phone").await;
    for one in [true, false] {
        site.store.inject(Operation::Destroy, Fault::Delay(Duration::from_millis(300)));
        let calls = site.store.calls(Operation::Destroy);
        let id = site.id_of(7, "phone").await;
        let sessions = site.sessions.clone();
        let ending = actix_web::rt::spawn(async move {
            let by = Visitor::by_user_id(&Some(7));
            match one {
                true => sessions.destroy(&by, id).await.map(u64::from),
                false => sessions.destroy_all(&by).await,
            }
        });
        // It has found the session and is about to end it.
        until("a session is destroyed", || site.store.calls(Operation::Destroy) > calls).await;
        phone.get("/logout").await;
        phone.get("/login/7/phone").await;
        let ended = ending.await.expect("no panic").expect("the store answers");
        assert!(ended > 0);
        assert_eq!(site.devices_of(7).await, <[&str; 0]>::default());
        site.store.heal();
        assert_eq!(phone.get("/login/7/phone").await.status, 200);
    }
}

#[actix_web::test]
async fn a_login_too_many_ends_the_oldest_or_is_refused() {
    let site = UserSite::start();
    let mut browsers = Vec::new();
    for device in ["one", "two", "three"] {
        let mut browser = site.client();
        // The session begins before the login, so that its age differs from the login's.
        browser.get("/view").await;
        site.clock().advance(Duration::from_secs(1));
        assert_eq!(browser.get(&format!("/capped/7/{device}/oldest")).await.status, 200);
        browsers.push(browser);
    }
    assert_eq!(site.devices_of(7).await, ["two", "three"]);
    assert_eq!(browsers[0].get("/view").await.body, "New user=None views=1");
    let mut fourth = site.client();
    let refused = fourth.get("/capped/7/four/refuse").await;
    assert_eq!(refused.text(), "403 ");
    assert_eq!(refused.set_cookie(), None);
    assert_eq!(site.devices_of(7).await, ["two", "three"]);
    // A second login in the same session does not count twice.
    assert_eq!(browsers[1].get("/capped/7/two/refuse").await.status, 200);
    assert_eq!(browsers[1].get("/capped/7/two/oldest").await.status, 200);
    assert_eq!(site.devices_of(7).await, ["two", "three"]);
    assert_eq!(site.client().get("/capped/8/any/refuse").await.status, 200);
}

#[actix_web::test]
async fn a_visitor_who_logs_out_or_changes_teams_is_found_by_the_new_value_only() {
    let site = UserSite::start();
    let mut phone = site.logged_in(7, "phone").await;
    phone.get("/team/red").await;
    let team = async |team: &str| {
        let by = Visitor::by_team(&team.to_owned());
        site.sessions.list(&by, None, 10).await.expect("the store answers").sessions.len()
    };
    assert_eq!((team("red").await, team("blue").await), (1, 0));
    phone.get("/team/blue").await;
    assert_eq!((team("red").await, team("blue").await), (0, 1));
    phone.get("/logout").await;
    assert_eq!(site.devices_of(7).await, <[&str; 0]>::default());
    assert_eq!(team("blue").await, 1, "the session goes on");
    assert_eq!(team("").await, 0, "a default value is in no index");
    let by = Visitor::by_team(&"blue".to_owned());
    let page = site.sessions.list(&by, None, 1).await.expect("the store answers");
    let left = site.sessions.update(&by, page.sessions[0].public_id(), |it| it.team.clear()).await;
    assert!(matches!(left, Ok(Some(()))), "{left:?}");
    let empty = json("\"\"");
    let stored = site.store.find("team", &empty, None, 1).await.expect("the store answers");
    assert!(stored.sessions.is_empty(), "and takes no place in one either");
    phone.get("/login/7/phone").await;
    assert_eq!(site.devices_of(7).await, ["phone"]);
}

#[actix_web::test]
async fn a_session_keeps_its_public_id_through_renewals() {
    let site = UserSite::start();
    let mut phone = site.logged_in(7, "phone").await;
    phone.get("/team/red").await;
    let before = site.id_of(7, "phone").await;
    let cookie = phone.cookie().to_owned();
    phone.get("/logout").await;
    phone.get("/login/7/phone").await;
    assert_ne!(phone.cookie(), cookie, "a login renews the id");
    assert_eq!(site.id_of(7, "phone").await, before);
}

#[actix_web::test]
async fn the_list_says_when_a_session_began_was_seen_and_ends() {
    let site = UserSite::start();
    let start = site.clock().now();
    let mut phone = site.logged_in(7, "phone").await;
    site.clock().advance(HOUR);
    let mut laptop = site.logged_in(7, "laptop").await;
    site.clock().advance(HOUR);
    laptop.get("/devices").await;
    let page = site.sessions.list(&Visitor::by_user_id(&Some(7)), None, 10).await;
    let page = page.expect("the store answers");
    let hours =
        |time: actix_typed_session::Timestamp| time.saturating_since(start).as_secs() / 3600;
    let rows: Vec<_> = page
        .sessions
        .iter()
        .map(|it| {
            (
                it.device.as_str(),
                hours(it.created_at()),
                hours(it.last_seen()),
                hours(it.expires_at()),
            )
        })
        .collect();
    assert_eq!(rows, [("phone", 0, 0, 20), ("laptop", 1, 2, 22)]);
    phone.get("/devices").await;
    let page = site.sessions.list(&Visitor::by_user_id(&Some(7)), None, 10).await;
    assert_eq!(hours(page.expect("the store answers").sessions[0].last_seen()), 2);
}

#[actix_web::test]
async fn a_job_changes_one_session_and_what_requests_change_meanwhile_stays() {
    let site = UserSite::start();
    let mut phone = site.logged_in(7, "phone").await;
    let by = Visitor::by_user_id(&Some(7));
    let id = site.id_of(7, "phone").await;
    let changed = site.sessions.update(&by, id, |visitor| {
        visitor.views += 10;
        visitor.team = "red".to_owned();
        visitor.device.clone()
    });
    assert_eq!(changed.await.expect("the store answers").as_deref(), Some("phone"));
    assert_eq!(phone.get("/view").await.body, "Loaded user=Some(7) views=11");
    let by_team = Visitor::by_team(&"red".to_owned());
    assert!(site.sessions.get(&by_team, id).await.expect("the store answers").is_some());
    // A request that begins before the change and ends after it.
    let slow = site.held_at(&phone, "/slow/gold").await;
    let changed = site.sessions.update(&by, id, |visitor| visitor.views += 100).await;
    assert!(matches!(changed, Ok(Some(()))), "{changed:?}");
    assert_eq!(site.release(slow).await.status, 200);
    let seen = site.sessions.get(&by, id).await.expect("the store answers").expect("it is there");
    assert_eq!((seen.views, seen.plan.as_str(), seen.lives), (112, "gold", 3));
    let calls = site.store.calls(Operation::Update);
    let none = site.sessions.update(&by, id, |visitor| visitor.lives = 3).await;
    assert!(matches!(none, Ok(Some(()))), "{none:?}");
    assert_eq!(site.store.calls(Operation::Update), calls, "what is equal is no change");
}

#[actix_web::test]
async fn a_job_and_a_request_that_change_a_reject_field_conflict() {
    let site = UserSite::start();
    let phone = site.logged_in(7, "phone").await;
    let by = Visitor::by_user_id(&Some(7));
    let id = site.id_of(7, "phone").await;
    let slow = site.held_at(&phone, "/slow/gold").await;
    let changed = site.sessions.update(&by, id, |visitor| visitor.plan = "silver".to_owned()).await;
    assert!(matches!(changed, Ok(Some(()))), "{changed:?}");
    assert_eq!(site.release(slow).await.status, 409, "the second one fails");
    let seen = site.sessions.get(&by, id).await.expect("the store answers").expect("it is there");
    assert_eq!((seen.views, seen.plan.as_str()), (0, "silver"));
}

#[actix_web::test]
async fn a_job_finds_a_session_that_has_ended_gone() {
    let site = UserSite::start();
    site.logged_in(7, "phone").await;
    let by = Visitor::by_user_id(&Some(7));
    let id = site.id_of(7, "phone").await;
    assert_eq!(site.sessions.destroy_all(&by).await.expect("the store answers"), 1);
    let changed = site.sessions.update(&by, id, |_| panic!("there is nothing to change")).await;
    assert!(matches!(changed, Ok(None::<()>)), "{changed:?}");
    assert!(site.sessions.get(&by, id).await.expect("the store answers").is_none());
    assert_eq!(site.sessions.destroy_all(&by).await.expect("the store answers"), 0);
    // An expired one.
    site.logged_in(7, "phone").await;
    site.clock().advance(HOUR * 20);
    assert_eq!(site.devices_of(7).await, <[&str; 0]>::default());
}

#[actix_web::test]
async fn a_store_that_fails_is_an_error_and_ends_nothing_silently() {
    let site = UserSite::start();
    let mut phone = site.logged_in(7, "phone").await;
    site.logged_in(7, "laptop").await;
    site.store.inject(Operation::Find, Fault::ErrorBefore);
    for path in ["/devices", "/others", "/end/0123456789abcdef0123456789ab", "/capped/7/x/oldest"] {
        assert_eq!(phone.get(path).await.status, 503, "{path}");
    }
    site.store.heal();
    site.store.inject(Operation::Destroy, Fault::ErrorBefore);
    assert_eq!(phone.get("/others").await.status, 503);
    site.store.heal();
    assert_eq!(site.devices_of(7).await.len(), 2);
}

#[test]
fn sessions_and_what_they_return_can_go_to_other_threads() {
    fn is_send<T: Send + Sync>(_: &T) {}
    fn is_send_future<F: Future + Send>(_: F) {}
    let sessions = Sessions::<Visitor>::new(MemoryStore::new());
    is_send(&sessions);
    let by = Visitor::by_user_id(&Some(7));
    let id = "0123456789abcdef0123456789ab".parse().expect("an id");
    is_send_future(sessions.list(&by, None, 1));
    is_send_future(sessions.destroy(&by, id));
    is_send_future(sessions.destroy_all(&by));
    is_send_future(sessions.update(&by, id, |visitor| visitor.views = 1));
}

#[test]
fn nothing_that_is_printed_tells_a_value() {
    let by = Visitor::by_team(&"hunter2".to_owned());
    let sessions = Sessions::<Visitor>::new(MemoryStore::new());
    for text in [format!("{by:?}"), format!("{sessions:?}")] {
        assert!(!text.contains("hunter2"), "{text}");
    }
}
