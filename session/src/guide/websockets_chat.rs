use std::time::Duration;

use actix_typed_session::{Session, SessionError, TypedSession};
use actix_web::{Error, HttpRequest, HttpResponse, rt, web};
use actix_ws::{CloseCode, CloseReason, Message, MessageStream};

#[derive(Session)]
struct Visitor {
    #[session(privilege)]
    user_id: Option<i64>,
    #[session(merge = "add")]
    sent: u64,
}

/// How soon a socket notices that its session has ended.
const CHECK_EVERY: Duration = Duration::from_secs(60);

async fn chat(
    request: HttpRequest,
    body: web::Payload,
    session: TypedSession<Visitor>,
) -> Result<HttpResponse, Error> {
    let Some(user) = session.user_id else { return Ok(HttpResponse::Unauthorized().finish()) };
    let (response, socket, messages) = actix_ws::handle(&request, body)?;
    rt::spawn(async move {
        let mut chat = Chat { session, socket, user, is_used: false };
        let reason = chat.run(messages, CHECK_EVERY).await.err();
        let _ = chat.socket.close(reason).await;
    });
    Ok(response)
}

struct Chat {
    session: TypedSession<Visitor>,
    socket: actix_ws::Session,
    user: i64,
    /// The user did something since the last check.
    is_used: bool,
}

impl Chat {
    /// Returns when the client has left, or why the server closes the socket.
    async fn run(
        &mut self,
        mut messages: MessageStream,
        every: Duration,
    ) -> Result<(), CloseReason> {
        let mut checks = rt::time::interval(every);
        loop {
            tokio::select! {
                message = messages.recv() => match message {
                    Some(Ok(Message::Text(text))) => self.answer(&text).await.map_err(reason)?,
                    Some(Ok(Message::Ping(bytes))) => drop(self.socket.pong(&bytes).await),
                    Some(Ok(Message::Pong(_))) => {}
                    _ => return Ok(()),
                },
                _ = checks.tick() => self.check().await.map_err(reason)?,
            }
        }
    }

    /// Asks the store whether the session still lives. Only a user who does something extends it:
    /// a tab that is left open does not.
    async fn check(&mut self) -> Result<(), SessionError> {
        if std::mem::take(&mut self.is_used) {
            self.session.touch();
            self.session.save().await?;
        }
        self.session.reload().await?;
        // Another tab may have logged in as another user.
        if self.session.user_id == Some(self.user) { Ok(()) } else { Err(SessionError::Gone) }
    }

    async fn answer(&mut self, text: &str) -> Result<(), SessionError> {
        self.is_used = true;
        let answer = if text == "/sent" {
            self.session.reload().await?; // asks the store: another tab may have sent some, too
            format!("{} sent", self.session.sent)
        } else {
            self.session.add_sent(1);
            self.session.save().await?; // an error if the session has ended: nothing is answered
            format!("{}: {text}", self.user)
        };
        let _ = self.socket.text(answer).await;
        Ok(())
    }
}

/// What the page gets as `event.code`.
fn reason(error: SessionError) -> CloseReason {
    match error {
        SessionError::Gone => CloseCode::Policy.into(), // 1008: log in again
        _ => CloseCode::Again.into(),                   // 1013: try again later
    }
}
