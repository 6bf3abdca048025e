//! A namespace that is introduced, renamed or removed while sessions are stored.

use actix_typed_session::{Session, TypedSession};
use actix_typed_session_tests::Site;
use actix_web::web;

mod releases {
    use super::*;

    #[derive(Session)]
    pub(super) struct Bare {
        pub(super) cart: Vec<u32>,
        #[session(merge = "add")]
        pub(super) views: u64,
        #[session(privilege, index)]
        pub(super) user: Option<u8>,
    }

    #[derive(Session)]
    #[session(namespace = "shop")]
    pub(super) struct Shop {
        #[session(alias = "cart")]
        pub(super) cart: Vec<u32>,
        #[session(alias = "views", merge = "add")]
        pub(super) views: u64,
        #[session(alias = "user", privilege, index)]
        pub(super) user: Option<u8>,
    }

    #[derive(Session)]
    #[session(namespace = "market")]
    pub(super) struct Market {
        #[session(alias = "shop.cart", alias = "cart")]
        pub(super) cart: Vec<u32>,
        #[session(alias = "shop.views", alias = "views", merge = "add")]
        pub(super) views: u64,
        #[session(alias = "shop.user", alias = "user", privilege, index)]
        pub(super) user: Option<u8>,
    }
}

use releases::{Bare, Market, Shop};

macro_rules! release {
    ($write:ident, $read:ident, $session:ty) => {
        async fn $write(mut session: TypedSession<$session>, user: web::Path<u8>) -> String {
            session.cart_mut().push(1);
            session.set_views(session.views + 1);
            session.set_user(Some(*user));
            format!("{} {} {:?}", session.cart.len(), session.views, session.user)
        }

        async fn $read(session: TypedSession<$session>) -> String {
            format!("{} {} {:?}", session.cart.len(), session.views, session.user)
        }
    };
}

release!(write_bare, read_bare, Bare);
release!(write_shop, read_shop, Shop);
release!(write_market, read_market, Market);

#[actix_web::test]
async fn a_namespace_can_be_introduced_and_renamed() {
    let site = Site::in_memory()
        .route("/bare/{user}", write_bare)
        .route("/shop/{user}", write_shop)
        .route("/market/{user}", write_market)
        .route("/bare", read_bare)
        .route("/shop", read_shop)
        .route("/market", read_market)
        .start();
    let mut browser = site.client();
    browser.get("/bare/1").await;
    assert_eq!(browser.get("/shop").await.body, "1 1 Some(1)");
    assert_eq!(browser.get("/market").await.body, "1 1 Some(1)");
    browser.get("/shop/1").await;
    assert_eq!(browser.get("/market").await.body, "2 2 Some(1)");
    assert_eq!(browser.get("/bare").await.body, "0 0 Some(1)", "what was written has moved");
    let before = browser.cookie().to_owned();
    assert_eq!(browser.get("/market/2").await.body, "3 3 Some(2)");
    assert_ne!(browser.cookie(), before, "a privilege under a new name renews the id");
    assert_eq!(browser.get("/shop").await.body, "0 0 None");
    assert_eq!(browser.get("/market").await.body, "3 3 Some(2)");
}
