//! A handler that does what its path says: `/do/view,name=ann,save`.

use std::time::Duration;

use actix_typed_session::{Session, SessionError, TypedSession};
use actix_web::{HttpResponse, http::StatusCode, web};

use crate::Gate;

/// The session of the test site.
#[derive(Session, Debug)]
pub struct Visitor {
    /// Adds up.
    #[session(merge = "add")]
    pub views: u64,
    /// Text.
    pub name: String,
    /// Renews the id.
    #[session(privilege)]
    pub user: Option<i64>,
    /// A list.
    pub cart: Vec<String>,
    /// Cannot be stored when it has a NaN.
    pub score: f64,
}

/// A route that takes steps, and one without a session.
pub fn routes(config: &mut web::ServiceConfig) {
    config
        .route("/plain", web::get().to(async || "no session here"))
        .route("/do/{steps}", web::route().to(act));
}

/// Takes the steps in the path one after the other, and shows the session as it is then.
async fn act(
    steps: web::Path<String>,
    session: TypedSession<Visitor>,
    gate: web::Data<Gate>,
) -> Result<HttpResponse, SessionError> {
    let mut session = session;
    let mut status = StatusCode::OK;
    let mut token = None;
    for step in steps.split(',') {
        let (verb, value) = step.split_once('=').unwrap_or((step, ""));
        match verb {
            "read" => {}
            "view" => session.set_views(session.views + 1),
            "unview" => session.set_views(session.views.saturating_sub(1)),
            "views" => session.set_views(value.parse().expect("a number")),
            "name" => session.set_name(value.to_owned()),
            "user" => session.set_user(value.parse().ok()),
            "leave" => drop(session.take_user()),
            "cart" => session.cart_mut().push(value.to_owned()),
            "look" => assert!(session.cart_mut().iter().all(|item| item.len() < 100)),
            "uncart" => drop(session.cart_mut().pop()),
            "nan" => session.set_score(f64::NAN),
            "modify" => session.modify(|visitor| {
                visitor.name = value.to_owned();
                visitor.cart.push(value.to_owned());
                visitor.views += 1;
            }),
            "regenerate" => session.regenerate(),
            "renew" => session.renew(),
            "destroy" => session.destroy(),
            "touch" => session.touch(),
            "save" => session.save().await?,
            "reload" => session.reload().await?,
            "age" => {
                session.set_max_age(Duration::from_millis(value.parse().expect("milliseconds")));
            }
            "persist" => session.set_persistent(value != "no"),
            "csrf" => token = Some(session.csrf_token()),
            "verify" => session.verify_csrf(value)?,
            "gate" => gate.pass().await,
            "status" => status = value.parse().expect("a status"),
            other => panic!("the test site does not know the step `{other}`"),
        }
    }
    Ok(HttpResponse::build(status).body(token.unwrap_or_else(|| show(&session))))
}

/// The session in one line.
pub fn show(session: &TypedSession<Visitor>) -> String {
    let mut line = format!("{:?}", session.status());
    if session.views != 0 {
        line += &format!(" views={}", session.views);
    }
    if !session.name.is_empty() {
        line += &format!(" name={}", session.name);
    }
    if let Some(user) = session.user {
        line += &format!(" user={user}");
    }
    if !session.cart.is_empty() {
        line += &format!(" cart={}", session.cart.join("+"));
    }
    line
}
