use actix_typed_session::{Guarded, LoggedIn, testing::Outcome};
use actix_web::{FromRequest, test::TestRequest, web::Form};

use super::*;
use crate::{
    account::{NewPassword, change_password, password_form, show},
    admin,
    devices::{Device, end, end_others},
    guards::{Admin, Sure},
};

/// The response to a browser that may not have the page.
async fn refusal<G: FromRequest<Error: Into<actix_web::Error>>>(
    test: &TestSession<Account>,
) -> HttpResponse {
    let accept = (header::ACCEPT, "text/html");
    test.request(TestRequest::get().uri("/account?a=b").insert_header(accept));
    match test.extract::<G>() {
        Ok(_) => panic!("it is let in"),
        Err(error) => test.finish(Err::<HttpResponse, actix_web::Error>(error.into())).await,
    }
}

#[actix_web::test]
async fn who_is_not_logged_in_is_sent_to_the_login_and_stores_nothing() {
    let test = new_visitor();
    let response = refusal::<LoggedIn<Account>>(&test).await;
    assert_eq!(location(&response), "/login?next=%2Faccount%3Fa%3Db");
    let response = refusal::<Guarded<(Admin, Sure)>>(&test).await;
    assert_eq!(location(&response), "/login?next=%2Faccount%3Fa%3Db");
    assert_eq!(test.outcome(), Outcome::NoSession);
}

#[actix_web::test]
async fn who_is_not_sure_is_sent_to_give_the_password_and_a_customer_is_not_an_admin() {
    let test = visitor(ann());
    let response = refusal::<Guarded<Sure>>(&test).await;
    assert_eq!(location(&response), "/confirm?next=%2Faccount%3Fa%3Db");
    assert_eq!(refusal::<Guarded<Admin>>(&test).await.status(), 403);
    assert!(visitor(root()).extract::<Guarded<Admin>>().is_ok());
}

#[actix_web::test]
async fn a_page_has_the_devices_and_its_text_is_escaped() {
    let device = "<script>alert(1)</script>".to_owned();
    let test = visitor(Account { device, ..ann() });
    let user = test.extract().expect("ann");
    let page = shown(&test, show(user, shop(&test)).await).await;
    assert!(page.contains("This device") && page.contains("last seen"), "{page}");
    assert!(!page.contains("<script>") && !page.contains("Log out this device"), "{page}");
}

#[actix_web::test]
async fn a_user_ends_own_devices_only() {
    let test = visitor(ann());
    let shop = shop(&test);
    let of_ann = Account::by_user(&Some(1));
    let own = shop.sessions.list(&of_ann, None, 9).await.expect("a list").sessions;
    let bob = visitor(Account { user: Some(2), ..Account::default() });
    for (id, status) in [(own[0].public_id().to_string(), 303), ("<script>".to_owned(), 400)] {
        let user = bob.extract().expect("bob");
        let answer = end(user, shop.clone(), Form(Device { id })).await;
        assert_eq!(bob.finish(answer).await.status(), status);
    }
    assert!(test.stored().is_some(), "bob has not ended ann's session");

    let user = test.extract().expect("ann");
    assert_eq!(sent_to(&test, end_others(user, shop.clone()).await).await, "/account");
    let id = own[0].public_id().to_string();
    end(test.extract().expect("ann"), shop, Form(Device { id })).await.expect("it ends");
    assert_eq!(test.outcome(), Outcome::Destroyed);
}

#[actix_web::test]
async fn a_password_is_changed_by_who_is_sure_with_a_token() {
    let test = visitor(Account { is_sure: true, ..ann() });
    let shop = shop(&test);
    let user = || test.extract::<Guarded<Sure>>().expect("ann, who is sure");
    let page = shown(&test, password_form(user()).await).await;
    assert!(page.contains("name=\"csrf\""), "{page}");
    let change = async |csrf: String, password: &str| {
        let form = Form(NewPassword { csrf, password: password.to_owned() });
        test.finish(change_password(user(), shop.clone(), form).await).await.status()
    };
    assert_eq!(change("forged".to_owned(), "a good one").await, 403);
    assert_eq!(change(test.csrf_token(), "short").await, 422);
    assert!(shop.users.check("ann", "open sesame").await.is_some());
    assert_eq!(change(test.csrf_token(), "a good one").await, 303);
    assert!(shop.users.check("ann", "open sesame").await.is_none());
    assert!(shop.users.check("ann", "a good one").await.is_some());
}

#[actix_web::test]
async fn an_administrator_sees_the_orders_and_logs_users_out() {
    let test = visitor(Account { is_sure: true, ..root() });
    let shop = shop(&test);
    shop.orders.add(crate::catalogue::Order { user: 1, name: "ann".to_owned(), cents: 800 });
    let page = admin::show(test.extract().expect("root"), shop.clone()).await;
    let page = shown(&test, page).await;
    assert!(page.contains("€ 8.00") && page.contains("Log out everywhere"), "{page}");
    for (csrf, status) in [("forged".to_owned(), 403), (test.csrf_token(), 303)] {
        let form = Form(admin::Target { csrf, user: 1 });
        let user = test.extract().expect("root, who is sure");
        let answer = admin::log_out(user, shop.clone(), form).await;
        assert_eq!(test.finish(answer).await.status(), status);
    }
    assert_eq!(test.session().notices.len(), 1);
}
