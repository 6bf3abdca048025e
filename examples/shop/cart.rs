//! The goods, the cart, and the order.

use actix_typed_session::{LoggedIn, SessionError, TypedSession};
use actix_web::{
    HttpResponse,
    web::{Data, Form},
};
use maud::{Markup, html};
use serde::Deserialize;

use crate::{
    Shop,
    catalogue::{Order, PRODUCTS, Product, ProductId, euros, product, total},
    pages::{button, hidden, page, see},
    visitor::{Account, Cart},
};

pub async fn index(mut account: TypedSession<Account>) -> Result<HttpResponse, SessionError> {
    let body = html! {
        ul.goods {
            @for product in &PRODUCTS {
                li {
                    (picture(product))
                    strong { (product.name) }
                    span { (euros(product.cents.into())) }
                    @let label = format!("Add {}", product.name);
                    (button("/cart", &label, hidden("product", product.id)))
                }
            }
        }
    };
    page(&mut account, "Things for a quiet room", body).await
}

fn picture(product: &Product) -> Markup {
    html! { svg viewBox="0 0 48 48" aria-hidden="true" { path d=(product.picture); } }
}

pub async fn show(
    mut account: TypedSession<Account>,
    cart: TypedSession<Cart>,
) -> Result<HttpResponse, SessionError> {
    let items = cart.items.iter().filter_map(|(id, count)| Some((product(*id)?, *count)));
    let body = html! {
        @if cart.items.is_empty() {
            p { "It is empty. " a href="/" { "Look around." } }
        } @else {
            ul.rows {
                @for (product, count) in items {
                    li {
                        (picture(product))
                        span { (count) " × " (product.name) }
                        (euros(u64::from(product.cents) * u64::from(count)))
                        (button("/cart/change", "Take one out", html! {
                            (hidden("product", product.id))
                            (hidden("count", count.saturating_sub(1)))
                        }))
                    }
                }
                li.total { span { "Total" } (euros(total(&cart.items))) }
            }
            p { a.button href="/checkout" { "Check out" } " " a href="/live" { "Watch the cart" } }
        }
    };
    page(&mut account, "Your cart", body).await
}

#[derive(Deserialize)]
pub struct Wish {
    pub product: ProductId,
}

pub async fn add(
    mut account: TypedSession<Account>,
    mut cart: TypedSession<Cart>,
    wish: Form<Wish>,
) -> HttpResponse {
    let Some(product) = product(wish.product) else {
        return HttpResponse::NotFound().finish();
    };
    cart.put(product.id);
    account.inform(format!("{} is in your cart.", product.name));
    see("/")
}

#[derive(Deserialize)]
pub struct Change {
    pub product: ProductId,
    pub count: u32,
}

pub async fn change(mut cart: TypedSession<Cart>, change: Form<Change>) -> HttpResponse {
    // Several changes at once. Only fields that differ afterwards are stored.
    cart.modify(|cart| {
        cart.items.entry(change.product).and_modify(|count| *count = change.count);
        cart.items.retain(|_, count| *count > 0);
    });
    see("/cart")
}

pub async fn check_out_form(
    mut account: LoggedIn<Account>,
    cart: TypedSession<Cart>,
) -> Result<HttpResponse, SessionError> {
    let body = html! {
        p.big { "Everything together is " (euros(total(&cart.items))) "." }
        (button("/checkout", "Order now", html! {}))
    };
    page(&mut account, "Your order", body).await
}

pub async fn check_out(
    mut account: LoggedIn<Account>,
    mut cart: TypedSession<Cart>,
    shop: Data<Shop>,
) -> Result<HttpResponse, SessionError> {
    let items = std::mem::take(&mut *cart.items_mut());
    if items.is_empty() {
        return Ok(see("/cart"));
    }
    cart.set_orders(cart.orders + 1);
    // The order is made once this is stored. If two requests are here, one of them fails.
    cart.save().await?;
    let (user, name, cents) = (account.user(), account.name.clone(), total(&items));
    shop.orders.add(Order { user, name, cents });
    account.inform(format!("Thank you. Your order of {} is on its way.", euros(cents)));
    Ok(see("/"))
}
