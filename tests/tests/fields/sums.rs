//! Fields whose writes add up: a value that is set is the value that is read, and no addition of
//! another request is lost.

use actix_typed_session::{Session, TypedSession};
use actix_typed_session_tests::{Gate, Site};
use actix_web::web;

#[derive(Session)]
struct Sums {
    #[session(merge = "add")]
    balance: f64,
    #[session(merge = "add")]
    small: f32,
    #[session(merge = "add")]
    stock: u32,
    #[session(merge = "add")]
    wide: u64,
    #[session(merge = "add", default = f64::NAN)]
    unknown: f64,
    name: String,
}

fn site() -> Site {
    Site::in_memory()
        .route("/{steps}", async |session: TypedSession<Sums>, path: Steps, gate: GateData| {
            act(session, &path, &gate).await
        })
        .start()
}

type Steps = web::Path<String>;
type GateData = web::Data<Gate>;

/// Takes steps such as `balance=0.1` or `+stock=2`, and shows the fields that are not 0.
async fn act(mut session: TypedSession<Sums>, steps: &str, gate: &Gate) -> String {
    for step in steps.split(',') {
        let (field, value) = step.split_once('=').unwrap_or((step, ""));
        match field {
            "read" => {}
            "balance" => session.set_balance(value.parse().expect("a number")),
            "+balance" => session.add_balance(value.parse().expect("a number")),
            "small" => session.set_small(value.parse().expect("a number")),
            "+small" => session.add_small(value.parse().expect("a number")),
            "stock" => session.set_stock(value.parse().expect("a number")),
            "take" => session.set_stock(session.stock - 1),
            "wide" => session.set_wide(value.parse().expect("a number")),
            "+wide" => session.add_wide(value.parse().expect("a number")),
            "unknown" => session.set_unknown(value.parse().expect("a number")),
            "edit" => *session.balance_mut() = value.parse().expect("a number"),
            "name" => session.modify(|sums| sums.name = value.to_owned()),
            "gate" => gate.pass().await,
            other => panic!("the test site does not know the step `{other}`"),
        }
    }
    let mut shown = Vec::new();
    let mut show = |name: &str, value: String| {
        if value != "0" && value != "NaN" {
            shown.push(format!("{name}={value}"));
        }
    };
    show("balance", session.balance.to_string());
    show("small", session.small.to_string());
    show("stock", session.stock.to_string());
    show("wide", session.wide.to_string());
    show("unknown", session.unknown.to_string());
    shown.join(" ")
}

#[actix_web::test]
async fn a_sum_beyond_f32_reads_as_its_greatest_value_and_can_be_set_again() {
    let site = site();
    let mut browser = site.client();
    browser.get(&format!("/small={:?}", f32::MAX)).await;
    browser.get(&format!("/+small={:?}", f32::MAX)).await;
    let greatest = format!("small={}", f32::MAX);
    assert_eq!(browser.get("/read").await.body, greatest);
    browser.get("/small=1.5").await;
    assert_eq!(browser.get("/read").await.body, "small=1.5");
}

#[actix_web::test]
async fn a_value_that_no_addition_yields_is_stored() {
    let site = site();
    let mut browser = site.client();
    for (before, after) in [("1e16", "0.1"), ("0.1", "1e300"), ("1e300", "-0.3"), ("-0", "0.7")] {
        browser.get(&format!("/balance={before}")).await;
        browser.get(&format!("/balance={after}")).await;
        let expected: f64 = after.parse().expect("a number");
        assert_eq!(browser.get("/read").await.body, format!("balance={expected}"), "from {before}");
    }
}

#[actix_web::test]
async fn a_negative_zero_over_zero_is_a_change_that_reads_back() {
    let site = site();
    let mut browser = site.client();
    browser.get("/balance=1").await;
    browser.get("/balance=0").await;
    browser.get("/balance=-0.0").await;
    assert_eq!(browser.get("/read").await.body, "balance=-0");
    browser.get("/balance=0").await;
    assert_eq!(browser.get("/read").await.body, "");
}

#[actix_web::test]
async fn a_concurrent_addition_is_kept_beside_a_value_that_no_addition_yields() {
    let site = site();
    let mut browser = site.client();
    browser.get("/balance=1e16").await;
    let held = site.held_at(&browser, "/balance=0.5,gate").await;
    browser.get("/+balance=2").await;
    assert_eq!(site.release(held).await.status, 200);
    // 1e16 + 2, and the difference from 1e16 to 0.5, which rounds to -1e16.
    assert_eq!(browser.get("/read").await.body, "balance=2");
}

#[actix_web::test]
async fn later_additions_of_the_request_count_beside_those_of_others() {
    let site = site();
    let mut browser = site.client();
    browser.get("/balance=1e16").await;
    let held = site.held_at(&browser, "/balance=0.5,+balance=8,gate").await;
    browser.get("/+balance=2").await;
    assert_eq!(site.release(held).await.status, 200);
    assert_eq!(browser.get("/read").await.body, "balance=10");
}

#[actix_web::test]
async fn a_value_that_is_set_over_a_sum_outside_the_type_is_stored() {
    let site = site();
    let mut browser = site.client();
    browser.get("/stock=1").await;
    let held = site.held_at(&browser, "/take,gate").await;
    browser.get("/take").await;
    site.release(held).await;
    // The sum is -1.
    assert_eq!(browser.get("/name=x").await.body, "");
    browser.get("/stock=5").await;
    assert_eq!(browser.get("/read").await.body, "stock=5");
}

#[actix_web::test]
async fn whole_numbers_of_all_64_bits_add_up() {
    let site = site();
    let mut browser = site.client();
    browser.get("/wide=18446744073709551614").await;
    assert_eq!(browser.get("/read").await.body, "wide=18446744073709551614");
    browser.get("/+wide=5").await;
    assert_eq!(browser.get("/read").await.body, "wide=18446744073709551615");
    browser.get("/wide=3").await;
    assert_eq!(browser.get("/read").await.body, "wide=3");
}

#[actix_web::test]
async fn a_refused_sum_is_corrected_by_any_good_value() {
    let site = site();
    let mut browser = site.client();
    browser.get("/balance=1").await;
    assert_eq!(browser.get("/balance=NaN").await.status, 500);
    assert_eq!(browser.get("/balance=NaN,balance=1").await.text(), "200 balance=1");
    assert_eq!(browser.get("/edit=NaN,balance=2").await.text(), "200 balance=2");
    assert_eq!(browser.get("/read").await.body, "balance=2");
    assert_eq!(browser.get("/balance=inf,name=y").await.status, 500, "another write is no excuse");
}

#[actix_web::test]
async fn a_default_that_cannot_be_stored_does_no_harm_until_it_is_written() {
    let site = site();
    let mut browser = site.client();
    assert_eq!(browser.get("/name=x").await.status, 200);
    browser.get("/unknown=1.5").await;
    assert_eq!(browser.get("/read").await.body, "unknown=1.5");
    assert_eq!(browser.get("/unknown=NaN").await.status, 500);
}

#[actix_web::test]
async fn what_is_undone_is_not_a_change_whatever_it_rounds_to() {
    let site = site();
    let mut browser = site.client();
    browser.get("/balance=0.1").await;
    browser.get("/+balance=0.2,balance=0.1").await;
    assert_eq!(site.store_calls(), "create 1, load 1");
}

#[actix_web::test]
async fn a_struct_that_is_behind_adds_its_difference() {
    let site = Site::in_memory()
        .route("/", async |mut one: TypedSession<Sums>, mut other: TypedSession<Sums>| {
            one.set_balance(one.balance + 0.1);
            other.set_name("x".to_owned());
            other.set_balance(other.balance + 0.25);
            one.set_wide(7);
            format!("{} {}", one.balance, other.balance)
        })
        .route("/read", async |session: TypedSession<Sums>| session.balance.to_string())
        .start();
    let mut browser = site.client();
    assert_eq!(browser.get("/").await.body, "0.35 0.35");
    assert_eq!(browser.get("/read").await.body, "0.35");
}
