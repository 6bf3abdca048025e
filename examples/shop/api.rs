//! The same shop for programs. Their session's id is a bearer token:
//!
//! ```sh
//! curl -i http://127.0.0.1:8080/api/login -H 'Authorization: Bearer' \
//!     -H 'Content-Type: application/json' -d '{"name":"ann","password":"open sesame"}'
//! curl http://127.0.0.1:8080/api/orders -H 'Authorization: Bearer <the Session-Token>'
//! ```

use std::collections::BTreeMap;

use actix_typed_session::{LoggedIn, SessionError, SessionHandle, TypedSession};
use actix_web::{
    HttpRequest, HttpResponse, Responder,
    web::{Data, Json},
};

use crate::{
    Shop,
    cart::Wish,
    catalogue::{ProductId, product},
    login::{Credentials, begin},
    visitor::{Account, Cart},
};

pub async fn log_in(
    mut account: TypedSession<Account>,
    request: HttpRequest,
    shop: Data<Shop>,
    login: Json<Credentials>,
) -> Result<HttpResponse, SessionError> {
    let Some(user) = shop.users.check(&login.name, &login.password).await else {
        return Ok(HttpResponse::Unauthorized().finish());
    };
    begin(&mut account, &shop, &request, user).await?;
    Ok(HttpResponse::NoContent().finish()) // the id is in its header `Session-Token`
}

pub async fn log_out(mut session: SessionHandle) -> HttpResponse {
    session.destroy();
    HttpResponse::NoContent().finish()
}

pub async fn cart(cart: TypedSession<Cart>) -> Json<BTreeMap<ProductId, u32>> {
    Json(cart.items.clone())
}

pub async fn add(mut cart: TypedSession<Cart>, wish: Json<Wish>) -> HttpResponse {
    let Some(product) = product(wish.product) else {
        return HttpResponse::NotFound().finish();
    };
    cart.put(product.id);
    HttpResponse::NoContent().finish()
}

/// The prices of the user's orders, in cents.
pub async fn orders(account: LoggedIn<Account>, shop: Data<Shop>) -> impl Responder {
    let orders = shop.orders.all().into_iter().filter(|order| order.user == account.user());
    Json(orders.map(|order| order.cents).collect::<Vec<_>>())
}
