//! The accessors are as visible as the fields, and need no import.
#![deny(warnings)]

mod sessions {
    use actix_typed_session::Session;

    #[derive(Session)]
    pub struct Visitor {
        pub views: u64,
        pub(crate) name: String,
        secret: String,
    }

    impl Visitor {
        pub fn knows_secret(&self) -> bool {
            !self.secret.is_empty()
        }
    }

    impl VisitorSession {
        pub fn learn_secret(&mut self, secret: &str) {
            self.set_secret(secret.to_owned());
        }
    }
}

mod handlers {
    use actix_typed_session::{SessionError, TypedSession};

    use crate::sessions::Visitor;

    pub async fn handler(mut session: TypedSession<Visitor>) -> Result<String, SessionError> {
        session.set_views(session.views + 1);
        session.name_mut().push('x');
        session.learn_secret("x");
        session.modify(|visitor| visitor.views += 1);
        session.save().await?;
        helper(&mut session);
        Ok(format!("{} {}", session.name, session.knows_secret()))
    }

    fn helper(session: &mut TypedSession<Visitor>) {
        session.set_views(session.views() + 1);
        session.renew();
    }
}

fn main() {
    let _ = handlers::handler;
}
