//! The sessions of a user after releases have renamed the indexed field: older sessions are stored
//! under an `alias`.

use std::{collections::BTreeSet, time::Duration};

use actix_typed_session::{
    FakeClock, OverLimit, PublicId, Session, SessionError, Sessions, TypedSession,
    store::{FindByIndex, Index, SessionStore as _},
    testing::FaultyStore,
};
use actix_typed_session_tests::{
    Client, Site,
    json::{json, set},
    with_every_store,
};
use actix_web::web;

/// What each release is: its struct, and the same pages.
macro_rules! release {
    ($release:ident, $by:ident, $set:ident, { $($field:tt)* }) => {
        mod $release {
            use super::*;

            #[derive(Session, Debug)]
            pub(super) struct Visitor {
                $($field)*
                pub device: String,
                #[session(merge = "add")]
                pub credit: u64,
            }

            pub(super) async fn log_in(
                path: web::Path<(i64, String)>,
                mut session: TypedSession<Visitor>,
            ) -> &'static str {
                let (user, device) = path.into_inner();
                session.$set(Some(user));
                session.set_device(device);
                "in"
            }

            pub(super) async fn limited(
                path: web::Path<(i64, usize)>,
                mut session: TypedSession<Visitor>,
                sessions: web::Data<Sessions<Visitor>>,
            ) -> Result<&'static str, SessionError> {
                let (user, limit) = path.into_inner();
                let (by, over) = (Visitor::$by(&Some(user)), OverLimit::DestroyOldest);
                sessions.enforce_limit(&by, limit, over, session.handle()).await?;
                session.$set(Some(user));
                session.set_device("limited".to_owned());
                session.save().await?;
                sessions.enforce_limit(&by, limit, over, session.handle()).await?;
                Ok("in")
            }

            pub(super) async fn others(
                user: web::Path<i64>,
                session: TypedSession<Visitor>,
                sessions: web::Data<Sessions<Visitor>>,
            ) -> Result<String, SessionError> {
                let by = Visitor::$by(&Some(*user));
                Ok(sessions.destroy_others(&by, session.handle()).await?.to_string())
            }

            pub(super) async fn device(session: TypedSession<Visitor>) -> String {
                session.device.clone()
            }

            pub(super) fn routes(config: &mut web::ServiceConfig) {
                let service = web::scope(concat!("/", stringify!($release)))
                    .route("/login/{user}/{device}", web::get().to(log_in))
                    .route("/limited/{user}/{limit}", web::get().to(limited))
                    .route("/others/{user}", web::get().to(others))
                    .route("/device", web::get().to(device));
                config.service(service);
            }
        }
    };
}

/// The release before the first does not find sessions by the user.
mod zero {
    use super::*;

    #[derive(Session, Debug)]
    pub(super) struct Visitor {
        #[session(privilege)]
        pub uid: Option<i64>,
        pub device: String,
    }

    pub(super) async fn log_in(
        path: web::Path<(i64, String)>,
        mut session: TypedSession<Visitor>,
    ) -> &'static str {
        let (user, device) = path.into_inner();
        session.set_uid(Some(user));
        session.set_device(device);
        "in"
    }
}

release!(first, by_uid, set_uid, {
    #[session(privilege, index)]
    pub uid: Option<i64>,
});
release!(second, by_user, set_user, {
    #[session(alias = "uid", privilege, index)]
    pub user: Option<i64>,
});
release!(third, by_account, set_account, {
    #[session(rename = "user_id", alias = "user", alias = "uid", privilege, index)]
    pub account: Option<i64>,
});

struct Releases<S> {
    site: Site<FaultyStore<S>>,
    sessions: Sessions<third::Visitor>,
}

impl<S: FindByIndex> Releases<S> {
    fn start(store: S, clock: Option<FakeClock>) -> Self {
        let site = Site::new(store)
            .data_of(|store| Sessions::<first::Visitor>::new(store.clone()))
            .data_of(|store| Sessions::<second::Visitor>::new(store.clone()))
            .data_of(|store| Sessions::<third::Visitor>::new(store.clone()))
            .route("/zero/login/{user}/{device}", zero::log_in)
            .configure(first::routes)
            .configure(second::routes)
            .configure(third::routes);
        let site = match clock {
            Some(clock) => site.clock(clock),
            None => site,
        };
        let site = site.start();
        Self { sessions: Sessions::new(site.store.clone()), site }
    }

    async fn log_in(&self, release: &str, device: &str) -> Client {
        let mut client = self.site.client();
        client.get(&format!("/{release}/login/7/{device}")).await;
        self.site.pass(Duration::from_millis(20)).await;
        client
    }

    /// The devices of a user in pages of this size.
    async fn pages(&self, limit: usize) -> Vec<Vec<String>> {
        let by = third::Visitor::by_account(&Some(7));
        let (mut pages, mut after) = (Vec::new(), None);
        loop {
            let page = self.sessions.list(&by, after, limit).await.expect("the store answers");
            pages.push(page.sessions.iter().map(|session| session.device.clone()).collect());
            after = page.next;
            if after.is_none() {
                return pages;
            }
        }
    }

    async fn devices(&self) -> Vec<String> {
        self.pages(100).await.concat()
    }

    async fn ids(&self) -> Vec<PublicId> {
        let by = third::Visitor::by_account(&Some(7));
        let page = self.sessions.list(&by, None, 100).await.expect("the store answers");
        page.sessions.iter().map(|session| session.public_id()).collect()
    }
}

/// Releases take turns, so the sessions under each name are mixed with the others.
async fn sessions_of_all_releases_are_one_list<S: FindByIndex>(store: S, clock: Option<FakeClock>) {
    let it = Releases::start(store, clock);
    let mut expected = Vec::new();
    for n in 0..12 {
        let release = ["first", "third", "second", "first", "second"][n % 5];
        let device = format!("{n}-{release}");
        it.log_in(release, &device).await;
        expected.push(device);
    }
    for limit in [1, 2, 3, 5, 12, 13] {
        let pages = it.pages(limit).await;
        assert!(pages.iter().all(|page| page.len() <= limit), "{limit}: {pages:?}");
        assert_eq!(pages.concat(), expected, "{limit}");
    }
}

async fn a_password_change_ends_the_sessions_of_all_releases<S: FindByIndex>(
    store: S,
    clock: Option<FakeClock>,
) {
    let it = Releases::start(store, clock);
    let mut all = Vec::new();
    for release in ["first", "second", "third", "first"] {
        all.push(it.log_in(release, release).await);
    }
    let mut mine = it.log_in("second", "mine").await;
    // This request is the third release's, and its session was stored by the second.
    assert_eq!(mine.get("/third/others/7").await.body, "4");
    assert_eq!(it.devices().await, ["mine"]);
    for mut other in all {
        assert_eq!(other.get("/first/device").await.body, "");
    }
    let by = third::Visitor::by_account(&Some(7));
    assert_eq!(it.sessions.destroy_all(&by).await.expect("the store answers"), 1);
    assert_eq!(mine.get("/second/device").await.body, "");
}

async fn a_limit_counts_the_sessions_of_all_releases<S: FindByIndex>(
    store: S,
    clock: Option<FakeClock>,
) {
    let it = Releases::start(store, clock);
    for release in ["first", "second", "third", "first"] {
        it.log_in(release, release).await;
    }
    it.site.client().get("/third/limited/7/3").await;
    assert_eq!(it.devices().await, ["third", "first", "limited"]);
    // A session that an older release has stored logs in again, so that it is stored again.
    let mut old = it.log_in("first", "old").await;
    assert_eq!(old.get("/third/limited/7/2").await.status, 200);
    assert_eq!(it.devices().await, ["limited", "limited"]);
}

async fn one_session_is_found_changed_and_destroyed_by_its_public_id<S: FindByIndex>(
    store: S,
    clock: Option<FakeClock>,
) {
    let it = Releases::start(store, clock);
    for release in ["first", "second", "third"] {
        it.log_in(release, release).await;
    }
    let by = third::Visitor::by_account(&Some(7));
    let other = third::Visitor::by_account(&Some(8));
    for (n, id) in it.ids().await.into_iter().enumerate() {
        let device = ["first", "second", "third"][n];
        let seen = it.sessions.get(&by, id).await.expect("the store answers");
        assert_eq!(seen.expect("it is there").device, device);
        let changed = it.sessions.update(&by, id, |visitor| visitor.credit += 5).await;
        assert_eq!(changed.expect("the store answers"), Some(()), "{device}");
        let seen = it.sessions.get(&by, id).await.expect("the store answers");
        assert_eq!(seen.expect("it is there").credit, 5, "{device}");
        assert!(it.sessions.get(&other, id).await.expect("the store answers").is_none());
        assert!(!it.sessions.destroy(&other, id).await.expect("the store answers"));
        assert!(it.sessions.destroy(&by, id).await.expect("the store answers"), "{device}");
        assert!(!it.sessions.destroy(&by, id).await.expect("the store answers"), "{device}");
    }
    assert_eq!(it.devices().await, <[&str; 0]>::default());
}

async fn a_session_that_moves_to_the_new_name_is_there_once<S: FindByIndex>(
    store: S,
    clock: Option<FakeClock>,
) {
    let it = Releases::start(store, clock);
    let mut browsers = Vec::new();
    for n in 0..6 {
        browsers.push(it.log_in(["first", "second"][n % 2], &n.to_string()).await);
    }
    let ids = it.ids().await;
    // A write of another value and then of the old one stores the field under the new name.
    for browser in &mut browsers {
        browser.get("/third/login/8/x").await;
        browser.get("/third/login/7/y").await;
        assert_eq!(it.ids().await, ids);
    }
    // The first release has the field under its own name again.
    browsers[0].get("/first/login/8/x").await;
    let mut left: BTreeSet<_> = ids.iter().copied().collect();
    let found: BTreeSet<_> = it.ids().await.into_iter().collect();
    left.retain(|id| found.contains(id));
    assert_eq!(found, left, "the newest name decides, as it does for the struct");
}

async fn a_list_is_complete_while_sessions_move_to_the_new_name<S: FindByIndex>(
    store: S,
    clock: Option<FakeClock>,
) {
    let it = Releases::start(store, clock);
    for n in 0..12 {
        it.log_in(["first", "second"][n % 2], "old").await;
    }
    let ids = it.ids().await;
    // As a tool would that brings all sessions to the new name.
    let moves = async {
        for name in ["uid", "user"] {
            let found = it.site.store.find(name, &json("7"), None, 100).await;
            for (key, record) in found.expect("the store answers").sessions {
                let mut patch = set(&[("user_id", "7")]);
                patch.remove(name.into());
                let id = record.index().expect("it was found").public_id();
                patch.index_field(Index::new(id, "user_id".into()));
                it.site.store.update(&key, &patch).await.expect("the store answers");
                tokio::task::yield_now().await;
            }
        }
    };
    let lists = async {
        for limit in [1, 2, 4, 6, 7].into_iter().cycle().take(25) {
            let found = it.pages(limit).await.concat();
            assert_eq!(found.len(), ids.len(), "{limit}: {found:?}");
        }
    };
    tokio::join!(moves, lists);
    assert_eq!(it.ids().await, ids);
    let left = it.site.store.find("uid", &json("7"), None, 100).await.expect("the store answers");
    assert!(left.sessions.is_empty(), "all have moved");
}

async fn a_session_from_before_the_index_is_found_after_the_next_login<S: FindByIndex>(
    store: S,
    clock: Option<FakeClock>,
) {
    let it = Releases::start(store, clock);
    let mut browsers = Vec::new();
    for _ in 0..3 {
        browsers.push(it.log_in("zero", "zero").await);
    }
    assert_eq!(it.ids().await.len(), 0);
    for (n, release) in ["first", "second", "third"].into_iter().enumerate() {
        // The same user: nothing but the index has to change.
        browsers[n].get(&format!("/{release}/login/7/zero")).await;
        assert_eq!(it.ids().await.len(), n + 1, "{release}");
        let cookies = browsers[n].cookies.clone();
        browsers[n].get(&format!("/{release}/login/7/zero")).await;
        assert_eq!(browsers[n].cookies, cookies, "the second time it is an equal value");
    }
}

with_every_store!(
    sessions_of_all_releases_are_one_list,
    a_password_change_ends_the_sessions_of_all_releases,
    a_limit_counts_the_sessions_of_all_releases,
    one_session_is_found_changed_and_destroyed_by_its_public_id,
    a_session_that_moves_to_the_new_name_is_there_once,
    a_list_is_complete_while_sessions_move_to_the_new_name,
    a_session_from_before_the_index_is_found_after_the_next_login,
);
