use std::time::Duration;

use actix_typed_session::{LoggedIn, ReturnTo, testing::Outcome};
use actix_web::web::Form;

use super::*;
use crate::login::{Confirmation, Credentials, confirm, confirm_form, form, log_in, log_out};

const DAY: Duration = Duration::from_secs(24 * 3600);

fn credentials(name: &str, password: &str) -> Credentials {
    let (name, password) = (name.to_owned(), password.to_owned());
    Credentials { name, password, remember: false, next: ReturnTo::default() }
}

fn right() -> Credentials {
    credentials("ann", "open sesame")
}

#[actix_web::test]
async fn a_login_renews_the_id_keeps_the_cart_and_greets_the_user() {
    let test = visitor(Account::default()).and(Cart { items: [(1, 2)].into(), orders: 0 });
    let shop = shop(&test);
    let login = log_in(test.session(), request(&test), shop, Form(right())).await;
    assert_eq!(sent_to(&test, login).await, "/");
    assert_eq!(test.outcome(), Outcome::Renewed);
    assert_eq!(test.stored_as::<Cart>().expect("a cart").items, [(1, 2)].into());
    let account = test.stored().expect("a session");
    assert!(account.user == Some(1) && account.is_sure && !account.is_admin);
    let page = shown(&test, form(test.session(), ReturnTo::default()).await).await;
    assert!(page.contains("Welcome, ann."), "{page}");
    let page = shown(&test, form(test.session(), ReturnTo::default()).await).await;
    assert!(!page.contains("Welcome"), "a notice is shown once: {page}");
}

#[actix_web::test]
async fn a_wrong_password_shows_the_form_again_and_stores_nothing() {
    let test = new_visitor();
    let shop = shop(&test);
    for (name, password) in [("ann", "sesame"), ("nina", "open sesame"), ("nina", ""), ("", "")] {
        let wrong =
            Form(Credentials { next: ReturnTo::new("/checkout"), ..credentials(name, password) });
        let page = log_in(test.session(), request(&test), shop.clone(), wrong).await;
        let response = test.finish(page).await;
        assert_eq!(response.status(), 422);
        let page = text(response).await;
        assert!(page.contains("Wrong name or password.") && page.contains("/checkout"), "{page}");
        assert_eq!(test.outcome(), Outcome::NoSession);
    }
}

#[actix_web::test]
async fn remember_me_outlives_the_browser_and_lasts_90_days() {
    for (remember, days) in [(false, 0), (true, 90)] {
        let test = new_visitor();
        let login = Form(Credentials { remember, ..right() });
        let login = log_in(test.session(), request(&test), shop(&test), login).await;
        assert_eq!(sent_to(&test, login).await, "/");
        assert_eq!(test.is_persistent(), remember);
        assert_eq!(test.max_age().as_secs() / DAY.as_secs(), days);
        test.clock().advance(40 * DAY);
        assert_eq!(test.stored().is_some(), remember);
    }
}

#[actix_web::test]
async fn a_login_leads_back_to_the_page_that_needed_it_and_nowhere_else() {
    for (next, expected) in [("/checkout", "/checkout"), ("//evil.test", "/"), ("http:x", "/")] {
        let test = new_visitor();
        let login = Form(Credentials { next: ReturnTo::new(next), ..right() });
        let login = log_in(test.session(), request(&test), shop(&test), login).await;
        assert_eq!(sent_to(&test, login).await, expected);
    }
}

#[actix_web::test]
async fn a_login_as_another_user_does_not_keep_the_cart() {
    let test = visitor(root()).and(Cart { items: [(1, 2)].into(), orders: 0 });
    let login = log_in(test.session(), request(&test), shop(&test), Form(right())).await;
    assert_eq!(sent_to(&test, login).await, "/");
    assert_eq!(test.outcome(), Outcome::Regenerated);
    let account = test.stored().expect("a session");
    assert!(account.user == Some(1) && !account.is_admin);
    assert!(test.stored_as::<Cart>().is_none_or(|cart| cart.items.is_empty()));
}

#[actix_web::test]
async fn a_logout_destroys_the_session_and_what_scripts_have_stored() {
    let test = visitor(ann());
    let response = test.finish(log_out(test.handle()).await).await;
    assert_eq!(location(&response), "/");
    assert!(response.headers().contains_key("clear-site-data"));
    assert_eq!(test.outcome(), Outcome::Destroyed);
}

#[actix_web::test]
async fn a_password_is_good_for_five_minutes() {
    let test = visitor(ann());
    let user = || test.extract::<LoggedIn<Account>>().expect("ann");
    let page = shown(&test, confirm_form(user(), ReturnTo::default()).await).await;
    assert!(page.contains("once more"), "{page}");
    let shop = shop(&test);
    for (password, is_sure) in [("sesame", false), ("open sesame", true)] {
        let form = Confirmation { password: password.to_owned(), next: ReturnTo::default() };
        let response = test.finish(confirm(user(), shop.clone(), Form(form)).await).await;
        assert_eq!(response.status(), if is_sure { 303 } else { 422 });
        assert_eq!(test.session().is_sure, is_sure);
    }
    test.clock().advance(Duration::from_secs(5 * 60));
    assert!(!test.session().is_sure);
}
