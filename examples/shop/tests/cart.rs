use actix_typed_session::{
    LoggedIn,
    testing::{Fault, Operation},
};
use actix_web::web::Form;

use super::*;
use crate::{
    cart::{Change, Wish, add, change, check_out, check_out_form, index, show},
    live::{news, page as live_page},
};

/// A cart with two mugs and a chair.
fn full() -> Cart {
    Cart { items: [(1, 2), (3, 1)].into(), orders: 0 }
}

#[actix_web::test]
async fn the_shop_shows_its_goods_and_stores_nothing_for_who_only_looks() {
    let test = new_visitor();
    let page = shown(&test, index(test.session()).await).await;
    assert!(page.contains("Desk lamp") && page.contains("€ 59.00"), "{page}");
    assert!(test.stored().is_none());
}

#[actix_web::test]
async fn a_product_goes_into_the_cart_with_a_notice() {
    let test = visitor(full());
    let wish = |product| Form(Wish { product });
    let added = add(test.session_as::<Account>(), test.session(), wish(1)).await;
    assert_eq!(sent_to(&test, added).await, "/");
    assert_eq!(test.stored().expect("a cart").items, [(1, 3), (3, 1)].into());
    let page = shown(&test, show(test.session_as::<Account>(), test.session()).await).await;
    assert!(page.contains("Mug is in your cart.") && page.contains("3 × Mug"), "{page}");
    assert!(page.contains("€ 165.00"), "the total: {page}");
    let response = add(test.session_as::<Account>(), test.session(), wish(99)).await;
    assert_eq!(test.finish(response).await.status(), 404);
    assert!(test.is_unchanged());
}

#[actix_web::test]
async fn what_two_tabs_put_into_the_cart_is_both_there() {
    let test = visitor(full());
    let (account, cart) = (test.session_as::<Account>(), test.session());
    test.meanwhile(|other| {
        other.put(1);
        other.put(6);
    });
    add(account, cart, Form(Wish { product: 1 })).await;
    assert_eq!(test.stored().expect("a cart").items, [(1, 4), (3, 1), (6, 1)].into());
}

#[actix_web::test]
async fn a_product_is_taken_out_of_the_cart() {
    let test = visitor(full());
    for (product, count) in [(1, 1), (3, 0), (5, 7)] {
        let changed = change(test.session(), Form(Change { product, count })).await;
        assert_eq!(sent_to(&test, changed).await, "/cart");
    }
    assert_eq!(test.stored().expect("a cart").items, [(1, 1)].into());
    assert!(
        shown(&test, show(test.session_as::<Account>(), test.session()).await)
            .await
            .contains("1 × Mug")
    );
}

#[actix_web::test]
async fn an_order_empties_the_cart_and_cannot_be_sent_twice() {
    let test = visitor(full()).and(ann());
    let shop = shop(&test);
    let user = || test.extract::<LoggedIn<Account>>().expect("ann");
    let page = shown(&test, check_out_form(user(), test.session()).await).await;
    assert!(page.contains("€ 153.00"), "{page}");

    let (account, cart) = (user(), test.session());
    test.meanwhile(|other| other.set_orders(1));
    let order = check_out(account, cart, shop.clone()).await;
    assert_eq!(test.finish(order).await.status(), 409, "it was sent at the same time");
    assert!(shop.orders.all().is_empty());

    let order = check_out(user(), test.session(), shop.clone()).await;
    assert_eq!(sent_to(&test, order).await, "/");
    let order = check_out(user(), test.session(), shop.clone()).await;
    assert_eq!(sent_to(&test, order).await, "/cart", "it is empty");
    let orders = shop.orders.all();
    assert!(orders.len() == 1 && orders[0].user == 1 && orders[0].cents == 15_300);
}

#[actix_web::test]
async fn an_order_waits_until_the_store_has_it() {
    let test = visitor(full()).and(ann());
    let shop = shop(&test);
    let (account, cart) = (test.extract().expect("ann"), test.session());
    test.store().inject(Operation::Update, Fault::ErrorBefore);
    let order = check_out(account, cart, shop.clone()).await;
    assert_eq!(test.finish(order).await.status(), 503);
    assert!(shop.orders.all().is_empty());
    test.store().heal();
    assert_eq!(test.stored().expect("a cart").items.len(), 2);
}

#[actix_web::test]
async fn the_socket_shows_what_other_tabs_do_until_the_logout() {
    let test = visitor(full());
    let page = shown(&test, live_page(test.session_as::<Account>()).await).await;
    assert!(page.contains("/live.js"), "{page}");
    let mut cart = test.session();
    assert_eq!(news(&mut cart).await.expect("the cart"), "3 in the cart, for € 153.00");
    test.meanwhile(|other| other.put(5));
    assert_eq!(news(&mut cart).await.expect("the cart"), "4 in the cart, for € 161.00");
    test.meanwhile(|other| other.destroy());
    assert!(news(&mut cart).await.is_err());
}

#[actix_web::test]
async fn the_socket_of_a_visitor_without_a_session_shows_an_empty_cart_and_stores_nothing() {
    let test = TestSession::<Cart>::new_visitor();
    let mut cart = test.session();
    assert_eq!(news(&mut cart).await.expect("a cart"), "0 in the cart, for € 0.00");
    drop(cart);
    assert!(test.stored().is_none());
}
