use actix_typed_session::ReturnTo;
use actix_web::web::Json;

use super::*;
use crate::{
    api::{add, cart, log_in, log_out, orders},
    cart::Wish,
    catalogue::Order,
    login::Credentials,
};

#[actix_web::test]
async fn a_program_logs_in_and_out() {
    let test = new_visitor();
    let shop = shop(&test);
    for (password, status) in [("sesame", 401), ("open sesame", 204)] {
        let (name, password) = ("ann".to_owned(), password.to_owned());
        let next = ReturnTo::default();
        let login = Json(Credentials { name, password, remember: false, next });
        let response = log_in(test.session(), request(&test), shop.clone(), login).await;
        assert_eq!(test.finish(response).await.status(), status);
        assert_eq!(test.stored().is_some(), status == 204);
    }
    assert_eq!(test.finish(log_out(test.handle()).await).await.status(), 204);
    assert!(test.stored().is_none());
}

#[actix_web::test]
async fn a_program_has_a_cart_too() {
    let test = visitor(Cart::default());
    for (product, status) in [(1, 204), (1, 204), (99, 404)] {
        let response = add(test.session(), Json(Wish { product })).await;
        assert_eq!(test.finish(response).await.status(), status);
    }
    assert_eq!(shown(&test, cart(test.session()).await).await, r#"{"1":2}"#);
}

#[actix_web::test]
async fn a_program_sees_the_orders_of_its_user() {
    let test = visitor(ann());
    let shop = shop(&test);
    for (user, cents) in [(1, 800), (2, 900)] {
        shop.orders.add(Order { user, name: String::new(), cents });
    }
    let user = test.extract().expect("ann");
    let page = orders(user, shop).await;
    assert_eq!(shown(&test, page).await, "[800]");
}
