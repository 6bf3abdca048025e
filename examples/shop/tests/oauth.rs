use std::time::Duration;

use actix_typed_session::{ReturnTo, testing::Outcome};
use actix_web::web::Query;

use super::*;
use crate::{
    oauth::{Answer, callback, start},
    provider::{Authorize, agree, ask},
};

/// A visitor who has begun a login, the shop, and what the provider was asked.
async fn begun() -> (TestSession<Account>, Data<Shop>, Authorize) {
    let test = new_visitor();
    let shop = shop(&test);
    let next = ReturnTo::new("/checkout");
    let url = sent_to(&test, start(test.session(), shop.clone(), next).await).await;
    let (page, query) = url.split_once('?').expect("a query");
    assert_eq!(page, "http://localhost:8080/provider");
    let asked = Query::<Authorize>::from_query(query).expect("state and nonce").into_inner();
    (test, shop, asked)
}

fn answer(state: &str, code: &str) -> Query<Answer> {
    Query(Answer { state: state.to_owned(), code: Some(code.to_owned()) })
}

#[actix_web::test]
async fn a_login_at_the_provider_is_one_here_and_good_once() {
    let (test, shop, asked) = begun().await;
    let code = shop.provider.issue("eve", &asked.nonce);
    for expected in [303, 403] {
        let answer = answer(&asked.state, &code);
        let login = callback(test.session(), request(&test), shop.clone(), answer).await;
        let response = test.finish(login).await;
        assert_eq!(response.status(), expected);
        if expected == 303 {
            assert_eq!(location(&response), "/checkout");
            assert_eq!(test.outcome(), Outcome::Renewed);
        }
    }
    assert_eq!(test.session().name, "eve@provider");
}

#[actix_web::test]
async fn a_login_that_did_not_begin_here_is_refused() {
    let (test, shop, asked) = begun().await;
    let code = shop.provider.issue("eve", &asked.nonce);
    let answer = || answer(&asked.state, &code);
    let stranger = new_visitor();
    let login = callback(stranger.session(), request(&stranger), shop.clone(), answer()).await;
    assert_eq!(stranger.finish(login).await.status(), 403);
    assert_eq!(stranger.outcome(), Outcome::NoSession);
    test.clock().advance(Duration::from_secs(10 * 60));
    let login = callback(test.session(), request(&test), shop.clone(), answer()).await;
    assert_eq!(test.finish(login).await.status(), 403, "too late");
}

#[actix_web::test]
async fn a_code_for_another_login_a_wrong_code_and_a_refusal_log_nobody_in() {
    let (_, others_shop, others) = begun().await;
    let code = others_shop.provider.issue("eve", &others.nonce);
    for code in [Some(code), Some("x".to_owned()), None] {
        let (test, shop, asked) = begun().await;
        let code = code.map(|_| shop.provider.issue("eve", &others.nonce));
        let answer = Query(Answer { state: asked.state, code });
        let login = callback(test.session(), request(&test), shop, answer).await;
        assert_eq!(sent_to(&test, login).await, "/login");
        let account = test.session();
        assert!(account.user.is_none() && account.sign_in.is_none());
    }
}

#[actix_web::test]
async fn the_provider_asks_and_sends_back_what_it_was_sent() {
    let (test, shop, asked) = begun().await;
    let query = || Authorize { state: "<s>".to_owned(), nonce: asked.nonce.clone() };
    let page = text(ask(Query(query())).await).await;
    assert!(page.contains("I am eve") && page.contains("&lt;s&gt;"), "{page}");
    test.session();
    let back = agree(shop.clone(), actix_web::web::Form(asked)).await;
    assert!(location(&back).starts_with("http://127.0.0.1:8080/oauth/callback?state="));
}
