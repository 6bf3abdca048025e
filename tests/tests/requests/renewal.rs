//! What an old id can do: attacks with a planted or stolen id, on every store.

use std::time::Duration;

use actix_typed_session::{SessionId, store::StoreKey};
use actix_typed_session_tests::{Client, Response, Site, concurrency::field, on_every_store};

/// How long an old id is good for where a test waits for its end.
const GRACE: Duration = Duration::from_secs(2);

/// Everything that a holder of an old id could try.
const ATTEMPTS: [&str; 12] = [
    "read",
    "name=mallory",
    "count",
    "tag=mallory",
    "user=9",
    "user=9,save",
    "renew",
    "regenerate,name=mallory",
    "touch",
    "age=90000000",
    "persist",
    "step,reload",
];

/// A browser whose cookie was planted: another browser has the same id.
fn with_the_same_cookie(browser: &Client) -> Client {
    browser.clone()
}

/// Whether the attempt begins a new session, as a login with an old id does.
fn begins_another(attempt: &str) -> bool {
    attempt.contains("user=") || attempt.contains("regenerate")
}

/// The response has neither data of the victim nor an id of the victim's session.
fn assert_learns_nothing(response: &Response, attempt: &str) {
    let issued = response.set_cookie().filter(|_| !response.removes_cookie());
    assert_eq!(issued.is_some(), response.status == 200 && begins_another(attempt), "{attempt}");
    if response.status == 200 {
        assert_ne!(field(&response.body, "user"), "7", "{attempt}");
        assert_ne!(field(&response.body, "name"), "victim", "{attempt}");
    }
}

/// The victim's session is as the victim left it.
async fn assert_unharmed(victim: &mut Client) {
    let response = victim.act("read").await;
    assert_eq!(response.set_cookie(), None, "the session is live under its id");
    for (name, value) in [("user", "7"), ("name", "victim"), ("count", "0"), ("step", "0")] {
        assert_eq!(field(&response.body, name), value, "{name}");
    }
    assert!(!field(&response.body, "tags").contains("mallory"));
}

async fn an_id_that_was_planted_before_the_login_gains_nothing_by_it(site: Site<()>) {
    for login in ["name=victim,user=7", "regenerate,name=victim,user=7", "name=victim,user=7,save"]
    {
        let attacker = site.visitor("best=1").await;
        let mut victim = with_the_same_cookie(&attacker);
        let response = victim.act(login).await;
        assert_eq!(response.status, 200);
        assert_ne!(victim.cookies, attacker.cookies, "the login makes a new id");
        for attempt in ATTEMPTS {
            let response = with_the_same_cookie(&attacker).act(attempt).await;
            assert_learns_nothing(&response, attempt);
            if response.status == 200 {
                assert_eq!(field(&response.body, "best"), "0", "not even what it was before");
            }
        }
        with_the_same_cookie(&attacker).act("destroy").await;
        assert_unharmed(&mut victim).await;
        site.pass(GRACE).await;
        let late = with_the_same_cookie(&attacker).act("read").await;
        assert!(late.removes_cookie(), "after the grace period the id is unknown");
        assert_unharmed(&mut victim).await;
    }
}

async fn an_id_that_no_server_has_made_is_not_adopted(site: Site<()>) {
    let made_up = SessionId::random();
    let mut victim = site.visitor("best=1").await;
    for cookie in victim.cookies.values_mut() {
        *cookie = made_up.as_str().to_owned();
    }
    let attacker = with_the_same_cookie(&victim);
    victim.act("name=victim,user=7").await;
    assert_ne!(victim.cookie(), made_up.as_str());
    for attempt in ATTEMPTS {
        let mut attacker = with_the_same_cookie(&attacker);
        let response = attacker.act(attempt).await;
        if response.status == 200 {
            assert_ne!(field(&response.body, "user"), "7", "{attempt}");
        }
        assert_ne!(attacker.cookies, victim.cookies, "{attempt}");
    }
    assert_unharmed(&mut victim).await;
}

async fn at_no_moment_of_the_login_does_the_planted_id_see_it(site: Site<()>) {
    for _ in 0..10 {
        let attacker = site.visitor("best=1").await;
        let mut victim = with_the_same_cookie(&attacker);
        let path = |n: usize| format!("/do/{}", ATTEMPTS[n % ATTEMPTS.len()]);
        // An attempt that changes the session before the login would be legitimate.
        let harmless = |n: usize| match path(n) {
            path if ["read", "touch"].iter().any(|harmless| path.ends_with(harmless)) => path,
            _ => "/do/sleep=1,read".to_owned(),
        };
        let (responses, login) =
            tokio::join!(site.storm(&attacker, harmless), victim.act("sleep=5,name=victim,user=7"));
        assert_eq!(login.status, 200);
        for response in &responses {
            assert_learns_nothing(response, "while the victim logs in");
        }
        assert_unharmed(&mut victim).await;
    }
}

async fn the_holder_of_an_old_id_reads_the_snapshot_and_changes_nothing(site: Site<()>) {
    let mut browser = site.visitor("name=before,tag=a").await;
    let old = browser.clone();
    browser.act("renew").await;
    browser.act("name=after,tag=b").await;
    for attempt in ATTEMPTS.into_iter().chain(["sleep=1", "status=500", "status=404,name=x"]) {
        let mut holder = old.clone();
        let response = holder.act(attempt).await;
        assert_eq!(response.set_cookie().is_some(), begins_another(attempt), "{attempt}");
        if attempt == "read" {
            assert_eq!(field(&response.body, "name"), "before", "the snapshot");
        }
    }
    let now = browser.act("read").await;
    assert_eq!(field(&now.body, "name"), "after");
    assert_eq!(field(&now.body, "tags"), "a+b");
    assert_eq!(field(&now.body, "user"), "0");
    site.pass(GRACE).await;
    assert!(old.clone().act("read").await.removes_cookie(), "nothing has extended it");
    assert_eq!(field(&browser.act("read").await.body, "name"), "after");
}

async fn a_login_with_an_old_id_begins_a_session_without_anything_of_the_renewed_one(
    site: Site<()>,
) {
    for renewal in ["renew", "user=7", "regenerate,user=7"] {
        for login in ["user=9", "user=9,save", "regenerate,user=9", "renew,user=9"] {
            let mut first = site.visitor("name=ann,tag=a,best=1").await;
            let mut second = first.clone();
            first.act(renewal).await;
            first.act("name=eve").await;
            let response = second.act(login).await;
            assert!(response.set_cookie().is_some(), "{login} after {renewal}");
            assert_ne!(second.cookies, first.cookies);
            let line = second.act("read").await.body;
            for (name, value) in [("user", "9"), ("name", ""), ("tags", ""), ("best", "0")] {
                assert_eq!(field(&line, name), value, "{name} of {login} after {renewal}");
            }
            let line = first.act("read").await.body;
            assert_ne!(field(&line, "user"), "9", "the renewed session is as it was");
            assert_eq!(field(&line, "name"), "eve");
        }
    }
}

async fn of_two_logins_at_once_both_are_logged_in(site: Site<()>) {
    for _ in 0..10 {
        let mut browser = site.visitor("name=ann").await;
        let mut other = browser.clone();
        let (one, two) = tokio::join!(browser.act("sleep=5,user=7"), other.act("sleep=5,user=7"));
        assert!(one.set_cookie().is_some() && two.set_cookie().is_some());
        assert_ne!(browser.cookies, other.cookies);
        assert_eq!(field(&browser.act("read").await.body, "user"), "7");
        assert_eq!(field(&other.act("read").await.body, "user"), "7");
    }
}

async fn a_login_in_a_session_that_was_destroyed_meanwhile_is_lost(site: Site<()>) {
    let mut browser = site.visitor("name=ann").await;
    let login = site.held(&browser, "gate,user=7").await;
    assert!(browser.act("destroy").await.removes_cookie());
    assert_eq!(site.release(login).await.set_cookie(), None, "destroyed stays destroyed");
}

async fn an_id_that_was_renewed_twice_leads_nowhere(site: Site<()>) {
    let mut browser = site.visitor("name=x").await;
    let first = browser.clone();
    browser.act("renew").await;
    let second = browser.clone();
    site.pass(GRACE / 2).await;
    browser.act("renew").await;
    assert_eq!(field(&first.clone().act("read").await.body, "name"), "x");
    site.pass(GRACE * 3 / 4).await;
    assert!(first.clone().act("read").await.removes_cookie(), "its grace is over");
    site.pass(GRACE).await;
    assert!(second.clone().act("read").await.removes_cookie());
    assert_eq!(field(&browser.act("read").await.body, "name"), "x");
}

async fn a_logout_with_an_old_id_is_a_logout(site: Site<()>) {
    let mut browser = site.visitor("name=x").await;
    let old = browser.clone();
    browser.act("renew").await;
    browser.act("renew").await;
    assert!(old.clone().act("destroy").await.removes_cookie());
    assert!(browser.act("read").await.removes_cookie(), "its successors are gone too");
    assert!(old.clone().act("read").await.removes_cookie());
}

async fn an_old_id_reads_the_snapshot_no_longer_than_the_session_lives(site: Site<()>) {
    for end in ["destroy", "regenerate", "regenerate,name=y", "destroy,name=y", "user=7"] {
        for renewals in ["renew", "renew renew"] {
            let mut browser = site.visitor("name=x").await;
            let old = browser.clone();
            for renew in renewals.split(' ') {
                browser.act(renew).await;
            }
            assert_eq!(field(&old.clone().act("read").await.body, "name"), "x");
            browser.act(end).await;
            for attempt in ATTEMPTS {
                let response = old.clone().act(attempt).await;
                assert_learns_nothing(&response, attempt);
                if attempt == "read" {
                    assert_eq!(field(&response.body, "name"), "", "after {renewals} {end}");
                }
            }
        }
    }
}

async fn an_old_id_is_followed_through_sixteen_renewals_and_no_more(site: Site<()>) {
    let mut browser = site.visitor("name=x").await;
    let old = browser.clone();
    for renewal in 1..=17 {
        browser.act("renew").await;
        let response = old.clone().act("read").await;
        let expected = if renewal <= 16 { "x" } else { "" };
        assert_eq!(field(&response.body, "name"), expected, "after {renewal} renewals");
    }
    assert_eq!(field(&browser.act("read").await.body, "name"), "x");
}

async fn two_renewals_at_once_leave_one_session(site: Site<()>) {
    for _ in 0..10 {
        let browser = site.visitor("name=x").await;
        let (one, other) =
            tokio::join!(async { browser.clone().act("sleep=5,renew").await }, async {
                browser.clone().act("sleep=5,renew").await
            },);
        let responses = [one, other];
        let winners = responses.iter().filter(|response| response.set_cookie().is_some());
        assert_eq!(winners.count(), 1, "the other one's cookie would lead nowhere");
        for response in &responses {
            assert_eq!(response.status, 200);
            let mut browser = browser.clone();
            browser.keep_cookies(response);
            assert_eq!(field(&browser.act("read").await.body, "name"), "x");
        }
    }
}

async fn what_the_store_calls_a_session_opens_none(site: Site<()>) {
    let mut victim = site.visitor("name=victim").await;
    let id = SessionId::new(victim.cookie()).expect("the cookie is the id");
    let key = StoreKey::from(&id);
    let base64 = {
        use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
        URL_SAFE_NO_PAD.encode(key.as_bytes())
    };
    for stolen in [key.to_hex(), key.to_hex().to_uppercase(), base64] {
        let mut thief = victim.clone();
        for cookie in thief.cookies.values_mut() {
            cookie.clone_from(&stolen);
        }
        let response = thief.act("read").await;
        assert!(response.removes_cookie(), "a key is no id");
        assert_ne!(field(&response.body, "name"), "victim");
    }
    assert_eq!(field(&victim.act("read").await.body, "name"), "victim");
}

/// On Redis, tests wait for the end of this grace.
mod with_a_short_grace {
    use super::*;

    on_every_store!(settings = |builder| builder.renewal_grace(GRACE);
        an_id_that_was_planted_before_the_login_gains_nothing_by_it,
        the_holder_of_an_old_id_reads_the_snapshot_and_changes_nothing,
        an_id_that_was_renewed_twice_leads_nowhere,
    );
}

on_every_store!(
    a_login_with_an_old_id_begins_a_session_without_anything_of_the_renewed_one,
    of_two_logins_at_once_both_are_logged_in,
    a_login_in_a_session_that_was_destroyed_meanwhile_is_lost,
    an_id_that_no_server_has_made_is_not_adopted,
    at_no_moment_of_the_login_does_the_planted_id_see_it,
    a_logout_with_an_old_id_is_a_logout,
    an_old_id_reads_the_snapshot_no_longer_than_the_session_lives,
    an_old_id_is_followed_through_sixteen_renewals_and_no_more,
    two_renewals_at_once_leave_one_session,
    what_the_store_calls_a_session_opens_none,
);
