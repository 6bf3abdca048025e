//! A page that shows the cart as it is now. Its WebSocket reads the session for as long as it is
//! open.

use actix_typed_session::{SessionError, TypedSession};
use actix_web::{Error, HttpRequest, HttpResponse, rt, web::Payload};
use actix_ws::{Message, MessageStream, Session as Socket};
use maud::html;

use crate::{
    catalogue::{euros, total},
    pages,
    visitor::{Account, Cart},
};

pub async fn page(mut account: TypedSession<Account>) -> Result<HttpResponse, SessionError> {
    let body = html! {
        p.big #cart aria-live="polite" { "…" }
        p { "Add something in " a href="/" target="_blank" { "another tab" } "." }
        script src="/live.js" {}
    };
    pages::page(&mut account, "Your cart, live", body).await
}

/// A page of another site cannot open it: the middleware refuses that as it refuses forms.
pub async fn socket(
    cart: TypedSession<Cart>,
    request: HttpRequest,
    body: Payload,
) -> Result<HttpResponse, Error> {
    let (response, socket, messages) = actix_ws::handle(&request, body)?;
    rt::spawn(answer(cart, socket, messages));
    Ok(response)
}

/// The page asks with each message. After a logout, the socket closes without an answer.
async fn answer(mut cart: TypedSession<Cart>, mut socket: Socket, mut messages: MessageStream) {
    while let Some(Ok(message)) = messages.recv().await {
        let sent = match message {
            Message::Text(_) => match news(&mut cart).await {
                Ok(news) => socket.text(news).await,
                Err(_) => break,
            },
            Message::Ping(bytes) => socket.pong(&bytes).await,
            Message::Close(_) => break,
            _ => Ok(()),
        };
        if sent.is_err() {
            return;
        }
    }
    let _ = socket.close(None).await;
}

/// What the cart is now, in one line. Looking does not extend the session.
pub async fn news(cart: &mut TypedSession<Cart>) -> Result<String, SessionError> {
    cart.reload().await?;
    let count: u64 = cart.items.values().map(|count| u64::from(*count)).sum();
    Ok(format!("{count} in the cart, for {}", euros(total(&cart.items))))
}
