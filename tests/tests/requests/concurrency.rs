//! Concurrent requests of one session over HTTP: on every store, nothing is lost or revived.

use std::{process::Command, time::Duration};

use actix_typed_session_tests::{
    Response, Site, concurrency::field, on, on_every_store, site::REQUESTS, stores,
};

/// How often a race is run on each store.
const REPEATS: usize = 20;

/// The session of each cookie that was set is there.
async fn assert_cookies_lead_somewhere(site: &Site<()>, responses: &[Response]) {
    for response in responses.iter().filter(|response| response.set_cookie().is_some()) {
        let mut browser = site.client();
        browser.keep_cookies(response);
        if browser.cookies.is_empty() {
            continue;
        }
        let found = browser.act("read").await;
        assert!(!found.removes_cookie(), "a cookie that points to nothing: {response:?}");
    }
}

async fn every_increment_survives(site: Site<()>) {
    for repeat in 0..REPEATS {
        let mut browser = site.visitor("name=x").await;
        let responses = site.storm(&browser, |_| "/do/count".to_owned()).await;
        assert!(responses.iter().all(|response| response.status == 200));
        let count = field(&browser.act("read").await.body, "count");
        assert_eq!(count, REQUESTS.to_string(), "repeat {repeat}");
    }
}

async fn every_field_survives(site: Site<()>) {
    for repeat in 0..REPEATS {
        let mut browser = site.visitor("name=x").await;
        let responses = site.storm(&browser, |n| format!("/wide/{n}")).await;
        assert!(responses.iter().all(|response| response.status == 200));
        let fields = browser.get("/wide").await.body;
        assert_eq!(fields, ["1"; REQUESTS].join(" "), "repeat {repeat}");
    }
}

async fn every_member_of_a_union_survives(site: Site<()>) {
    let mut browser = site.visitor("tag=a,tag=b").await;
    let responses = site
        .storm(&browser, |n| match n {
            0 => "/do/untag=a,sleep=5".to_owned(),
            n => format!("/do/sleep=5,tag=t{n}"),
        })
        .await;
    let failed = responses.iter().filter(|response| response.status != 200).count();
    assert_eq!(failed, 0, "none had to give up");
    let tags = field(&browser.act("read").await.body, "tags");
    let tags: Vec<&str> = tags.split('+').collect();
    assert_eq!(tags.len(), REQUESTS, "all that were added, and `b`: {tags:?}");
    assert!(!tags.contains(&"a"), "what one has removed is not there");
}

async fn the_largest_value_of_all_stays(site: Site<()>) {
    let mut browser = site.visitor("best=1").await;
    let responses =
        site.storm(&browser, |n| format!("/do/sleep=5,beat={}", n * 7 % REQUESTS)).await;
    assert!(responses.iter().all(|response| response.status == 200));
    let body = browser.act("read").await.body;
    assert_eq!(field(&body, "best"), (REQUESTS - 1).to_string());
    assert_eq!(field(&body, "least"), "0");
}

async fn two_requests_get_what_the_rule_says(site: Site<()>) {
    for (begin, ours, theirs, name, expected) in [
        ("name=x", "name=ours", "name=theirs", "name", "ours"),
        ("best=1", "best=5", "best=7", "best", "7"),
        ("best=1", "best=7", "best=5", "best", "7"),
        ("least=9", "least=5", "least=7", "least", "5"),
        ("least=9", "least=7", "least=5", "least", "5"),
        ("note=a", "note=bbb", "note=cc", "note", "bbb"),
        ("note=a", "note=cc", "note=bbb", "note", "bbb"),
        ("tag=a,tag=b", "untag=a,tag=c", "untag=b,tag=d", "tags", "c+d"),
        ("tag=a", "tag=b,save,tag=c", "untag=a,tag=d", "tags", "b+c+d"),
        // A field that only one of them changed needs no rule.
        ("best=9", "best=3", "name=x", "best", "3"),
        ("step,name=x", "step", "name=y", "step", "2"),
        // A renewal is merged too.
        ("tag=a", "tag=b,renew", "tag=c", "tags", "a+b+c"),
        ("tag=a", "tag=b,user=7", "tag=c", "tags", "a+b+c"),
    ] {
        let mut browser = site.visitor(begin).await;
        let held = site.held(&browser, &format!("gate,{ours}")).await;
        assert_eq!(browser.act(theirs).await.status, 200);
        let response = site.release(held).await;
        assert_eq!(response.status, 200, "{ours} against {theirs}");
        browser.keep_cookies(&response);
        let found = field(&browser.act("read").await.body, name);
        assert_eq!(found, expected, "{ours} against {theirs}");
    }
}

async fn a_merged_field_that_is_saved_twice_is_merged_twice(site: Site<()>) {
    let mut browser = site.visitor("tag=a").await;
    let held = site.held(&browser, "tag=b,gate,save,gate,tag=c,save").await;
    browser.act("tag=d").await;
    site.gate.open();
    site.gate.arrival().await;
    browser.act("untag=a,tag=e").await;
    assert_eq!(site.release(held).await.status, 200);
    assert_eq!(field(&browser.act("read").await.body, "tags"), "b+c+d+e");
}

async fn a_rejected_request_gets_409_and_stores_nothing(site: Site<()>) {
    let mut browser = site.visitor("name=x").await;
    let held = site.held(&browser, "gate,step,name=ours,count").await;
    browser.act("step,name=theirs").await;
    let refused = site.release(held).await;
    assert_eq!((refused.status, refused.body.as_str()), (409, ""));
    assert_eq!(refused.set_cookie(), None);
    let body = browser.act("read").await.body;
    assert_eq!(field(&body, "step"), "1");
    assert_eq!(field(&body, "name"), "theirs");
    assert_eq!(field(&body, "count"), "0");
    // After reading again, a request may write.
    let held = site.held(&browser, "gate,reload,step").await;
    browser.act("step").await;
    assert_eq!(site.release(held).await.status, 200);
    assert_eq!(field(&browser.act("read").await.body, "step"), "3");
}

/// The session is destroyed before a slow request reads it, while it holds it, and after it wrote
/// it.
async fn a_destroyed_session_stays_destroyed(site: Site<()>) {
    for repeat in 0..REPEATS {
        let mut slow_steps = ["gate,name=late", "gate,count,best=3", "gate,tag=late", "gate,step"]
            .into_iter()
            .cycle()
            .skip(repeat);
        let steps = slow_steps.next().expect("it never ends");

        // Between its read and its write.
        let mut browser = site.visitor("name=x,tag=a").await;
        let old = browser.clone();
        let held = site.held(&browser, steps).await;
        assert!(browser.act("destroy").await.removes_cookie());
        let late = site.release(held).await;
        assert_eq!(late.status, 200, "the response stays");
        assert_eq!(late.set_cookie(), None, "and sets no cookie");
        assert!(old.clone().act("read").await.removes_cookie(), "the session is gone");

        // Before its read: the visitor begins a new session, with nothing of the old one.
        let mut late = old.clone();
        let response = late.act(steps.trim_start_matches("gate,")).await;
        assert_ne!(late.cookies, old.cookies);
        assert_ne!(field(&response.body, "name"), "x");
        assert!(old.clone().act("read").await.removes_cookie(), "the session is gone");

        // After its write.
        let mut browser = site.visitor("name=x").await;
        let old = browser.clone();
        let held = site.held(&browser, steps).await;
        assert_eq!(site.release(held).await.status, 200);
        browser.act("destroy").await;
        assert!(old.clone().act("read").await.removes_cookie(), "the session is gone");
    }
}

async fn a_storm_does_not_revive_a_destroyed_session(site: Site<()>) {
    for repeat in 0..REPEATS / 4 {
        let browser = site.visitor("name=x").await;
        let old = browser.clone();
        let responses = site
            .storm(&browser, |n| match n {
                100 => "/do/destroy".to_owned(),
                n if n % 3 == 0 => "/do/count".to_owned(),
                n if n % 3 == 1 => format!("/do/tag=t{n}"),
                n => format!("/do/touch,name=n{n}"),
            })
            .await;
        assert!(old.clone().act("read").await.removes_cookie(), "repeat {repeat}");
        let statuses: Vec<_> = responses.iter().map(|response| response.status).collect();
        assert!(statuses.iter().all(|status| *status == 200), "{statuses:?}");
        // Later requests began new sessions.
        assert_cookies_lead_somewhere(&site, &responses).await;
        for response in &responses {
            let mut browser = site.client();
            browser.keep_cookies(response);
            assert_ne!(browser.cookies, old.cookies, "nobody is sent back to the old id");
        }
    }
}

async fn a_slow_write_against_a_renewal_is_lost_and_sets_no_cookie(site: Site<()>) {
    for renewal in ["renew", "user=7", "regenerate,name=new"] {
        let mut browser = site.visitor("name=x,tag=a").await;
        let held = site.held(&browser, "gate,name=late,tag=late").await;
        let renewed = browser.act(renewal).await;
        assert!(renewed.set_cookie().is_some());
        let late = site.release(held).await;
        assert_eq!((late.status, late.set_cookie()), (200, None), "{renewal}");
        let body = browser.act("read").await.body;
        assert_ne!(field(&body, "name"), "late", "{renewal}");
        assert!(!field(&body, "tags").contains("late"), "{renewal}");
    }
}

async fn a_session_that_expired_meanwhile_stays_expired(site: Site<()>) {
    let browser = site.visitor("name=x,age=400").await;
    let held = site.held(&browser, "gate,name=late,touch").await;
    site.pass(Duration::from_millis(500)).await;
    let late = site.release(held).await;
    assert_eq!((late.status, late.set_cookie()), (200, None));
    assert!(browser.clone().act("read").await.removes_cookie());
}

async fn two_first_requests_begin_two_sessions(site: Site<()>) {
    let browser = site.client();
    let first = site.held(&browser, "gate,name=first").await;
    let second = site.held(&browser, "gate,name=second").await;
    site.gate.open();
    let responses = [site.release(first).await, second.finish().await.0];
    let mut cookies = Vec::new();
    for (response, name) in responses.iter().zip(["first", "second"]) {
        let mut browser = site.client();
        browser.keep_cookies(response);
        assert_eq!(field(&browser.act("read").await.body, "name"), name);
        cookies.push(browser.cookie().to_owned());
    }
    assert_ne!(cookies[0], cookies[1]);
}

on_every_store!(
    every_increment_survives,
    every_field_survives,
    every_member_of_a_union_survives,
    the_largest_value_of_all_stays,
    two_requests_get_what_the_rule_says,
    a_merged_field_that_is_saved_twice_is_merged_twice,
    a_rejected_request_gets_409_and_stores_nothing,
    a_destroyed_session_stays_destroyed,
    a_storm_does_not_revive_a_destroyed_session,
    a_slow_write_against_a_renewal_is_lost_and_sets_no_cookie,
    a_session_that_expired_meanwhile_stays_expired,
    two_first_requests_begin_two_sessions,
);

/// The claims without a gate, over three server processes on one Redis.
mod redis_processes {
    use super::*;

    on!(processes();
        every_increment_survives,
        every_field_survives,
        every_member_of_a_union_survives,
        the_largest_value_of_all_stays,
        a_storm_does_not_revive_a_destroyed_session,
    );
}

fn processes() -> Site<()> {
    let prefix = stores::prefix();
    let arguments = [stores::redis_url(), prefix];
    Site::of_processes((0..3).map(|_| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_site_process"));
        command.args(&arguments);
        command
    }))
}
