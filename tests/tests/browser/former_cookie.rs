//! Changes of the cookie's settings, in Chromium: it has one cookie afterwards, and the session.
//! Browsers send the cookies of a host to all of its ports, so the site after a change is another
//! server.

use actix_typed_session::{FormerCookie, SessionMiddlewareBuilder};
use actix_typed_session_tests::{Site, chromium::Profile};

type Settings = fn(SessionMiddlewareBuilder) -> SessionMiddlewareBuilder;

#[actix_web::test]
async fn after_each_change_the_browser_has_one_cookie_and_the_session() {
    let plain: Settings = |builder| builder.cookie_name("sid").cookie_secure(false);
    let below: Settings =
        |builder| builder.cookie_name("sid").cookie_secure(false).cookie_path("/do");
    let wide: Settings =
        |builder| builder.cookie_name("sid").cookie_secure(false).cookie_domain("shop.test");
    let renamed: Settings =
        |builder| builder.cookie_name("shop").cookie_secure(false).also_accept_cookie("sid");
    let from_below: Settings = |builder| {
        let former = FormerCookie::new("sid").path("/do");
        builder.cookie_name("sid").cookie_secure(false).also_accept_cookie(former)
    };
    let from_wide: Settings = |builder| {
        let former = FormerCookie::new("sid").domain("shop.test");
        builder.cookie_name("sid").cookie_secure(false).also_accept_cookie(former)
    };
    let profile = Profile::default();
    let chromium = profile.open().await;
    for (host, before, after, name, domain) in [
        ("a.shop.test", plain, renamed, "shop", "a.shop.test"),
        ("b.shop.test", below, from_below, "sid", "b.shop.test"),
        ("c.shop.test", wide, from_wide, "sid", "c.shop.test"),
    ] {
        let before = Site::with(before);
        let after = before.beside(after);
        let url = |site: &Site, steps| format!("http://{host}:{}/do/{steps}", site.address.port());
        chromium.open(&url(&before, "name=ann")).await;
        let old = chromium.cookie().await;
        for steps in ["read", "view", "read"] {
            chromium.open(&url(&after, steps)).await;
            chromium.wait_for("Loaded").await;
        }
        chromium.wait_for("Loaded views=1 name=ann").await;
        let new = chromium.cookie().await;
        assert_eq!((new.name(), new.path(), new.domain()), (name, Some("/"), Some(domain)));
        assert_eq!(new.value().trim_matches('"'), old.value(), "the same id");
        // Without the setting, and after a logout.
        let later = before.beside(|builder| builder.cookie_name(name).cookie_secure(false));
        chromium.open(&url(&later, "read")).await;
        chromium.wait_for("Loaded views=1 name=ann").await;
        chromium.open(&url(&after, "destroy")).await;
        assert!(chromium.cookies().await.is_empty(), "{host}");
    }
    chromium.close().await;
}
