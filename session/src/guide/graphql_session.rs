use std::cell::RefCell;

use actix_typed_session::{Session, TypedSession};
use actix_web::{HttpResponse, web};
use async_graphql::{Context, EmptySubscription, Object, Request, Result, Schema};
use send_wrapper::SendWrapper;

#[derive(Session)]
struct Visitor {
    #[session(privilege)]
    user_id: Option<i64>,
    cart: Vec<String>,
}

/// The session itself. Other threads panic if they use it.
type Shared = SendWrapper<RefCell<TypedSession<Visitor>>>;

async fn graphql(
    schema: web::Data<Shop>,
    request: web::Json<Request>,
    session: TypedSession<Visitor>,
) -> HttpResponse {
    let session: Shared = SendWrapper::new(RefCell::new(session));
    HttpResponse::Ok().json(schema.execute(request.into_inner().data(session)).await)
}

type Shop = Schema<Query, Mutation, EmptySubscription>;

fn schema() -> Shop {
    Schema::new(Query, Mutation, EmptySubscription)
}

struct Query;

#[Object]
impl Query {
    async fn cart(&self, context: &Context<'_>) -> Result<Vec<String>> {
        Ok(context.data::<Shared>()?.borrow().cart.clone())
    }

    async fn user(&self, context: &Context<'_>) -> Result<Option<i64>> {
        Ok(context.data::<Shared>()?.borrow().user_id)
    }
}

struct Mutation;

#[Object]
impl Mutation {
    async fn log_in(&self, context: &Context<'_>) -> Result<i64> {
        context.data::<Shared>()?.borrow_mut().set_user_id(Some(7));
        Ok(7)
    }

    async fn add(&self, context: &Context<'_>, item: String) -> Result<usize> {
        let mut session = context.data::<Shared>()?.borrow_mut();
        session.cart_mut().push(item);
        Ok(session.cart.len())
    }

    async fn check_out(&self, context: &Context<'_>) -> Result<usize> {
        let (items, mut handle) = {
            let mut session = context.data::<Shared>()?.borrow_mut();
            if session.cart.is_empty() {
                return Err("the cart is empty".into());
            }
            let items = std::mem::take(&mut *session.cart_mut());
            (items, session.handle().clone())
        };
        // A future that waits for the session is not `Send` either.
        SendWrapper::new(async move { handle.save().await }).await?;
        Ok(items.len())
    }

    async fn log_out(&self, context: &Context<'_>) -> Result<bool> {
        context.data::<Shared>()?.borrow_mut().destroy();
        Ok(true)
    }
}
