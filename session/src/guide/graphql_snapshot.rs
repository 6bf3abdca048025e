use std::sync::{Arc, Mutex, PoisonError};

use actix_typed_session::{Session, TypedSession};
use actix_web::{HttpResponse, web};
use async_graphql::{Context, EmptySubscription, Object, Request, Result, Schema};

#[derive(Session, Clone)]
struct Visitor {
    #[session(privilege)]
    user_id: Option<i64>,
    #[session(merge = "union")]
    cart: std::collections::BTreeSet<String>,
}

/// The copy that the resolvers read and change.
type Shared = Arc<Mutex<Visitor>>;

async fn graphql(
    schema: web::Data<Shop>,
    request: web::Json<Request>,
    mut session: TypedSession<Visitor>,
) -> HttpResponse {
    let visitor: Shared = Arc::new(Mutex::new(session.clone()));
    let request = request.into_inner().data(Arc::clone(&visitor));
    let response = schema.execute(request).await;
    let changed = visitor.lock().unwrap_or_else(PoisonError::into_inner).clone();
    if session.user_id.is_some() && changed.user_id.is_none() {
        session.destroy();
    } else {
        session.modify(|visitor| *visitor = changed); // records only what changed
    }
    HttpResponse::Ok().json(response)
}

type Shop = Schema<Query, Mutation, EmptySubscription>;

fn schema() -> Shop {
    Schema::new(Query, Mutation, EmptySubscription)
}

struct Query;

#[Object]
impl Query {
    async fn cart(&self, context: &Context<'_>) -> Result<Vec<String>> {
        Ok(visitor(context, |visitor| visitor.cart.iter().cloned().collect()))
    }

    async fn user(&self, context: &Context<'_>) -> Result<i64> {
        visitor(context, |visitor| visitor.user_id).ok_or_else(|| "log in first".into())
    }
}

struct Mutation;

#[Object]
impl Mutation {
    async fn log_in(&self, context: &Context<'_>) -> i64 {
        visitor(context, |visitor| *visitor.user_id.insert(7))
    }

    async fn add(&self, context: &Context<'_>, item: String) -> usize {
        visitor(context, |visitor| {
            visitor.cart.insert(item);
            visitor.cart.len()
        })
    }

    async fn log_out(&self, context: &Context<'_>) -> bool {
        visitor(context, |visitor| visitor.user_id.take().is_some())
    }
}

fn visitor<R>(context: &Context<'_>, change: impl FnOnce(&mut Visitor) -> R) -> R {
    let visitor = context.data_unchecked::<Shared>();
    change(&mut visitor.lock().unwrap_or_else(PoisonError::into_inner))
}
