//! Limits on the number of sessions of a user, while users log in at the same moment, and the order
//! in which sessions are listed and end.

use std::time::Duration;

use actix_typed_session::{
    Clock as _, FakeClock, IndexKey, MemoryStore, OverLimit, PublicId, Session, SessionError,
    Sessions, Timestamp, TypedSession,
    store::FindByIndex,
    testing::{Fault, FaultyStore, Operation},
};
use actix_typed_session_tests::{Client, Site, stores, wait::until, with_every_store};
use actix_web::web;
use tokio::task::JoinSet;

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);
const SECOND: Duration = Duration::from_secs(1);
/// How many users' browsers log in at the same moment.
const AT_ONCE: usize = 16;

#[derive(Session, Debug)]
struct Visitor {
    #[session(privilege, index)]
    user_id: Option<i64>,
    cart: Vec<String>,
}

type Users = web::Data<Sessions<Visitor>>;

fn of_user(user: i64) -> IndexKey<Visitor> {
    Visitor::by_user_id(&Some(user))
}

fn policy(name: &str) -> OverLimit {
    if name == "refuse" { OverLimit::Refuse } else { OverLimit::DestroyOldest }
}

/// The recipe of the guide.
async fn log_in(
    path: web::Path<(i64, usize, String)>,
    mut session: TypedSession<Visitor>,
    sessions: Users,
) -> Result<String, SessionError> {
    let (user, limit, over) = path.into_inner();
    let (by, over) = (of_user(user), policy(&over));
    sessions.enforce_limit(&by, limit, over, session.handle()).await?;
    session.set_user_id(Some(user));
    session.save().await?;
    sessions.enforce_limit(&by, limit, over, session.handle()).await?;
    Ok("in".to_owned())
}

/// The second half of the recipe.
async fn log_in_and_count(
    path: web::Path<(i64, usize, String)>,
    mut session: TypedSession<Visitor>,
    sessions: Users,
) -> Result<String, SessionError> {
    let (user, limit, over) = path.into_inner();
    session.set_user_id(Some(user));
    session.save().await?;
    sessions.enforce_limit(&of_user(user), limit, policy(&over), session.handle()).await?;
    Ok("in".to_owned())
}

async fn log_out(mut session: TypedSession<Visitor>) -> &'static str {
    session.take_user_id();
    "out"
}

async fn renew(mut session: TypedSession<Visitor>) -> &'static str {
    session.renew();
    session.cart_mut().push("book".to_owned());
    "renewed"
}

async fn put(mut session: TypedSession<Visitor>) -> &'static str {
    session.cart_mut().push("book".to_owned());
    "put"
}

async fn show(session: TypedSession<Visitor>) -> String {
    format!("{:?} {}", session.user_id, session.cart.len())
}

struct LimitSite<S> {
    site: Site<FaultyStore<S>>,
    sessions: Sessions<Visitor>,
}

impl<S: FindByIndex> LimitSite<S> {
    fn start(store: S, clock: Option<FakeClock>) -> Self {
        let site = Site::new(store)
            .workers(4)
            .data_of(|store| Sessions::<Visitor>::new(store.clone()))
            .route("/login/{user}/{limit}/{policy}", log_in)
            .route("/count/{user}/{limit}/{policy}", log_in_and_count)
            .route("/logout", log_out)
            .route("/renew", renew)
            .route("/put", put)
            .route("/show", show);
        let site = match clock {
            Some(clock) => site.clock(clock),
            None => site,
        };
        let site = site.start();
        Self { sessions: Sessions::new(site.store.clone()), site }
    }

    async fn listed(&self, user: i64) -> Vec<PublicId> {
        let mut ids = Vec::new();
        let mut after = None;
        loop {
            let page = self.sessions.list(&of_user(user), after, 3).await;
            let page = page.expect("the store answers");
            ids.extend(page.sessions.iter().map(|session| session.public_id()));
            after = page.next;
            if after.is_none() {
                return ids;
            }
        }
    }
}

/// Sends the same request from many browsers at the same moment.
async fn at_once(browsers: Vec<Client>, path: &str) -> Vec<(u16, Client)> {
    let mut requests = JoinSet::new();
    for mut browser in browsers {
        let path = path.to_owned();
        requests.spawn_local(async move { (browser.get(&path).await.status, browser) });
    }
    requests.join_all().await
}

/// Users log in from many browsers at the same moment.
async fn exactly_as_many_remain_as_are_allowed<S: FindByIndex>(store: S, clock: Option<FakeClock>) {
    let it = LimitSite::start(store, clock);
    let mut user = 0;
    for limit in [1, 2, 5] {
        for way in ["login", "count"] {
            for over in ["oldest", "refuse"] {
                user += 1;
                let mut browsers = vec![it.site.client(); AT_ONCE];
                // Some of them have had a session before.
                for browser in &mut browsers[..4] {
                    browser.get("/put").await;
                }
                let path = format!("/{way}/{user}/{limit}/{over}");
                let answers = at_once(browsers, &path).await;
                let case =
                    format!("{path}: {:?}", answers.iter().map(|it| it.0).collect::<Vec<_>>());
                assert_eq!(it.listed(user).await.len(), limit, "{case}");
                let mut logged_in = 0;
                for (status, mut browser) in answers {
                    let is_in = browser.get("/show").await.body.starts_with("Some");
                    logged_in += usize::from(is_in);
                    match over {
                        "refuse" => assert_eq!(status, if is_in { 200 } else { 403 }, "{case}"),
                        _ => assert_eq!(status, 200, "{case}"),
                    }
                }
                assert_eq!(logged_in, limit, "{case}");
            }
        }
    }
}

/// No login is refused, and no session ends, while there is room for all.
async fn all_get_in_where_there_is_room<S: FindByIndex>(store: S, clock: Option<FakeClock>) {
    let it = LimitSite::start(store, clock);
    for (user, over) in [(1, "oldest"), (2, "refuse")] {
        let path = format!("/login/{user}/{AT_ONCE}/{over}");
        let answers = at_once(vec![it.site.client(); AT_ONCE], &path).await;
        assert!(answers.iter().all(|(status, _)| *status == 200), "{over}");
        assert_eq!(it.listed(user).await.len(), AT_ONCE, "{over}");
        // A second login in the same session is not another session.
        let browsers = answers.into_iter().map(|(_, browser)| browser).collect();
        let answers = at_once(browsers, &path).await;
        assert!(answers.iter().all(|(status, _)| *status == 200), "{over}");
        assert_eq!(it.listed(user).await.len(), AT_ONCE, "{over}");
    }
}

/// Requests that renew the id, log out and log in again change nothing about the count.
async fn sessions_that_are_renewed_at_the_same_moment_count_once<S: FindByIndex>(
    store: S,
    clock: Option<FakeClock>,
) {
    let it = LimitSite::start(store, clock);
    let mut old = Vec::new();
    for _ in 0..3 {
        let mut browser = it.site.client();
        assert_eq!(browser.get("/login/7/3/oldest").await.status, 200);
        old.push(browser);
    }
    for _ in 0..5 {
        // The logins begin later, so the renewed sessions go first.
        it.site.pass(Duration::from_millis(20)).await;
        let renewals = old.clone();
        let logins = vec![it.site.client(); 6];
        let (renewed, logged_in) =
            tokio::join!(at_once(renewals, "/renew"), at_once(logins, "/login/7/3/oldest"));
        assert!(renewed.iter().all(|(status, _)| *status == 200));
        assert!(logged_in.iter().all(|(status, _)| *status == 200));
        assert_eq!(it.listed(7).await.len(), 3);
        old.clear();
        for (_, mut browser) in logged_in {
            if browser.get("/show").await.body.starts_with("Some") {
                old.push(browser);
            }
        }
        assert_eq!(old.len(), 3);
    }
}

with_every_store!(
    exactly_as_many_remain_as_are_allowed,
    all_get_in_where_there_is_room,
    sessions_that_are_renewed_at_the_same_moment_count_once,
);

fn in_memory() -> LimitSite<MemoryStore> {
    let (store, clock) = stores::memory();
    LimitSite::start(store, Some(clock))
}

#[actix_web::test]
async fn each_login_after_another_ends_the_one_before_it() {
    let it = in_memory();
    let mut last: Option<Client> = None;
    for _ in 0..20 {
        // All of them in the same millisecond.
        let mut browser = it.site.client();
        assert_eq!(browser.get("/login/7/1/oldest").await.status, 200);
        assert_eq!(browser.get("/show").await.body, "Some(7) 0");
        if let Some(mut before) = last.replace(browser) {
            assert_eq!(before.get("/show").await.body, "None 0");
        }
    }
}

#[actix_web::test]
async fn a_login_in_a_session_that_began_long_ago_stays() {
    for way in ["login", "count"] {
        let it = in_memory();
        let mut old = it.site.client();
        old.get("/put").await;
        it.site.clock().advance(HOUR);
        let mut young = it.site.client();
        assert_eq!(young.get(&format!("/{way}/7/1/oldest")).await.status, 200);
        assert_eq!(old.get(&format!("/{way}/7/1/oldest")).await.status, 200);
        assert_eq!(old.get("/show").await.body, "Some(7) 1", "{way}");
        assert_eq!(young.get("/show").await.body, "None 0", "{way}");
    }
}

#[actix_web::test]
async fn a_clock_that_goes_back_or_differs_ends_no_login_of_its_own() {
    let it = in_memory();
    let mut last = it.site.client();
    for hours in [5, 3, 9, 1, 4] {
        // Another server, on which it is another time.
        let clock = FakeClock::new(it.site.clock().now().saturating_add(HOUR * hours));
        let other = it.site.beside(|settings| settings.clock(clock));
        let mut browser = other.client();
        assert_eq!(browser.get("/login/7/1/oldest").await.status, 200);
        assert_eq!(browser.get("/show").await.body, "Some(7) 0");
        assert_eq!(last.get("/show").await.body, "None 0");
        last = browser;
    }
}

#[actix_web::test]
async fn a_refused_login_keeps_the_session_that_it_came_with() {
    let it = in_memory();
    it.site.client().get("/login/7/1/refuse").await;
    let mut second = it.site.client();
    second.get("/put").await;
    let refused = second.get("/login/7/1/refuse").await;
    assert_eq!((refused.status, refused.set_cookie()), (403, None));
    assert_eq!(second.get("/show").await.body, "None 1", "the cart is there");
}

#[actix_web::test]
async fn a_login_that_is_refused_after_it_was_stored_is_undone() {
    let it = in_memory();
    it.site.client().get("/login/7/1/refuse").await;
    let mut second = it.site.client();
    second.get("/put").await;
    let refused = second.get("/count/7/1/refuse").await;
    assert_eq!(refused.status, 403);
    assert!(second.cookies.is_empty(), "the cookie is removed");
    assert_eq!(it.listed(7).await.len(), 1);
}

#[actix_web::test]
async fn logouts_and_expired_sessions_make_room() {
    let it = in_memory();
    let mut first = it.site.client();
    assert_eq!(first.get("/login/7/2/refuse").await.status, 200);
    assert_eq!(it.site.client().get("/login/7/2/refuse").await.status, 200);
    assert_eq!(it.site.client().get("/login/7/2/refuse").await.status, 403);
    first.get("/logout").await;
    assert_eq!(it.site.client().get("/login/7/2/refuse").await.status, 200);
    it.site.clock().advance(HOUR * 20);
    assert_eq!(it.site.client().get("/login/7/2/refuse").await.status, 200);
    assert_eq!(it.listed(7).await.len(), 1);
}

#[actix_web::test]
async fn a_limit_of_zero_lets_the_login_in() {
    let it = in_memory();
    for over in ["oldest", "refuse"] {
        let mut browser = it.site.client();
        let status = browser.get(&format!("/login/7/0/{over}")).await.status;
        assert_eq!(status, if over == "oldest" { 200 } else { 403 });
        assert_eq!(it.listed(7).await.len(), 1);
    }
}

#[actix_web::test]
async fn a_limit_that_is_lowered_ends_the_oldest() {
    let it = in_memory();
    for _ in 0..5 {
        it.site.client().get("/login/7/5/oldest").await;
        it.site.clock().advance(SECOND);
    }
    let before = it.listed(7).await;
    it.site.client().get("/login/7/2/oldest").await;
    let after = it.listed(7).await;
    assert_eq!((after.len(), after[0]), (2, before[4]), "the newest and the login");
}

#[actix_web::test]
async fn a_session_that_was_destroyed_during_its_login_destroys_no_other() {
    let it = in_memory();
    let held = it.site.client();
    it.site.store.inject(Operation::Find, Fault::Delay(Duration::from_millis(100)));
    let slow = at_once(vec![held], "/count/7/1/oldest");
    let fast = async {
        until("a search begins", || it.site.store.calls(Operation::Find) > 0).await;
        it.sessions.destroy_all(&of_user(7)).await
    };
    let (slow, destroyed) = tokio::join!(slow, fast);
    assert_eq!((slow[0].0, destroyed.expect("the store answers")), (200, 1));
    assert_eq!(it.listed(7).await.len(), 0);
}

#[actix_web::test]
async fn a_store_that_fails_ends_no_login_silently() {
    let it = in_memory();
    let mut first = it.site.client();
    first.get("/login/7/1/oldest").await;
    it.site.store.inject(Operation::Destroy, Fault::ErrorBefore);
    assert_eq!(it.site.client().get("/login/7/1/oldest").await.status, 503);
    it.site.store.heal();
    assert_eq!(first.get("/show").await.body, "Some(7) 0");
}

/// Whatever the lifetimes are when a session begins, it has its place by its beginning.
#[actix_web::test]
async fn sessions_are_listed_in_the_order_in_which_they_began_whatever_the_settings_were() {
    let lifetimes = [DAY * 30, Duration::MAX, HOUR * 2, DAY * 365, HOUR * 25];
    for seed in 1..=6 {
        let it = in_memory();
        let mut random = seed;
        for _ in 0..20 {
            random = (random * 1_103_515_245 + 12_345) % 2_147_483_648_u64;
            let absolute = lifetimes[(random >> 16) as usize % lifetimes.len()];
            let site =
                it.site.beside(|settings| settings.absolute_lifetime(absolute).max_age(HOUR));
            site.client().get("/login/7/100/oldest").await;
            it.site.clock().advance(SECOND);
        }
        let began: Vec<Timestamp> = it.listed(7).await.iter().map(PublicId::began).collect();
        assert!(began.len() == 20 && began.is_sorted_by(|a, b| a < b), "{seed}: {began:?}");
        let page = it.sessions.list(&of_user(7), None, 100).await.expect("the store answers");
        let created: Vec<_> = page.sessions.iter().map(|session| session.created_at()).collect();
        assert_eq!(created, began);
        // The oldest go first.
        it.site.client().get("/login/7/5/oldest").await;
        let left: Vec<_> = it.listed(7).await.iter().map(PublicId::began).collect();
        assert_eq!(left[..4], began[16..], "{seed}");
    }
}
