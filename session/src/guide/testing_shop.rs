use std::{future::Future, pin::Pin, time::Duration};

use actix_typed_session::{
    ConfigError, Session, SessionError, SessionHandle, SessionMiddleware, TypedSession,
    store::SessionStore,
};
use actix_web::{
    Error, FromRequest, HttpRequest, HttpResponse, Responder, dev::Payload, error::ErrorForbidden,
    web,
};

#[derive(Session, Default)]
struct Visitor {
    #[session(privilege, index)]
    user_id: Option<i64>,
    #[session(privilege)]
    is_admin: bool,
    cart: Vec<String>,
    #[session(merge = "add")]
    views: u64,
    #[session(ttl = "15m")]
    login_code: Option<u32>,
}

#[derive(Session, Default)]
struct Preferences {
    theme: String,
}

/// Makes the middleware. `main` calls it with the store of the site.
fn sessions(store: impl SessionStore) -> Result<SessionMiddleware, ConfigError> {
    SessionMiddleware::builder(store)
        .cookie_name("__Host-shop")
        .max_age(Duration::from_secs(30 * 60))
        .bearer()
        .build()
}

fn routes(config: &mut web::ServiceConfig) {
    config
        .route("/", web::get().to(index))
        .route("/cart/{item}", web::post().to(add_to_cart))
        .route("/login", web::post().to(log_in))
        .route("/logout", web::post().to(log_out))
        .route("/orders", web::get().to(orders))
        .route("/admin", web::get().to(admin));
}

async fn index(mut session: TypedSession<Visitor>) -> String {
    session.add_views(1);
    format!("{} views", session.views)
}

async fn add_to_cart(
    mut session: TypedSession<Visitor>,
    item: web::Path<String>,
) -> impl Responder {
    session.cart_mut().push(item.into_inner());
    format!("{} items", session.cart.len())
}

async fn log_in(mut session: TypedSession<Visitor>) -> impl Responder {
    // … after the password was checked
    session.set_user_id(Some(7));
    "welcome"
}

async fn log_out(mut session: SessionHandle) -> impl Responder {
    session.destroy();
    "bye"
}

async fn orders(session: TypedSession<Visitor>) -> HttpResponse {
    match session.user_id {
        Some(id) => HttpResponse::Ok().body(format!("the orders of user {id}")),
        None => HttpResponse::Unauthorized().finish(),
    }
}

/// The form has the token of `csrf_token()` in a hidden field.
async fn delete_account(
    mut session: TypedSession<Visitor>,
    token: String,
) -> Result<&'static str, SessionError> {
    session.verify_csrf(&token)?;
    session.destroy();
    Ok("deleted")
}

/// Pays with the cart. The cart is emptied before the bank is asked.
async fn pay(mut session: TypedSession<Visitor>) -> Result<String, SessionError> {
    let items = std::mem::take(&mut *session.cart_mut()).len();
    session.save().await?;
    Ok(format!("{items} items are yours"))
}

/// Asked by the page every few seconds. An open tab must not keep the visitor logged in.
async fn poll(session: TypedSession<Visitor>) -> String {
    session.handle().keep_expiry();
    session.cart.len().to_string()
}

async fn set_theme(
    visitor: TypedSession<Visitor>,
    mut preferences: TypedSession<Preferences>,
    theme: String,
) -> String {
    preferences.set_theme(theme);
    format!("{:?} likes {}", visitor.user_id, preferences.theme)
}

/// Guards the pages of administrators.
struct Admin;

impl FromRequest for Admin {
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Error>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let session = TypedSession::<Visitor>::from_request(request, payload);
        Box::pin(async {
            match session.await?.is_admin {
                true => Ok(Self),
                false => Err(ErrorForbidden("for administrators")),
            }
        })
    }
}

async fn admin(_: Admin) -> &'static str {
    "all orders"
}
