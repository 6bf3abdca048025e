//! The example `shop` in Chromium: a person's way through it, and what the session promises on that
//! way. Pictures of its pages are in `target/browser`.

use actix_typed_session_tests::{
    Client,
    chromium::{Chromium, Profile},
    examples::{Example, build, start},
};
use fantoccini::cookies::Cookie;
use serde_json::json;
use tempfile::TempDir;

use super::pages::evil_site;

/// What ends the typing of a form.
const ENTER: char = '\u{e007}';

/// The running shop, which keeps nothing in its folder.
struct Shop {
    example: Example,
    _folder: TempDir,
}

impl Shop {
    fn open() -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        Self { example: start(&build("shop"), folder.path()), _folder: folder }
    }

    fn url(&self) -> String {
        self.at("")
    }

    fn at(&self, path: &str) -> String {
        format!("http://{}/{path}", self.example.address)
    }

    async fn log_in(&self, chromium: &Chromium, user: &str) {
        chromium.open(&self.at("login")).await;
        chromium.type_into("name", user).await;
        chromium.type_into("password", &format!("open sesame{ENTER}")).await;
        chromium.wait_for(&format!("Welcome, {user}.")).await;
    }

    async fn add_to_cart(&self, chromium: &Chromium, product: &str) {
        chromium.open(&self.url()).await;
        chromium.click(&format!("Add {product}")).await;
        chromium.wait_for(&format!("{product} is in your cart.")).await;
    }

    /// What the cart's page shows to a thief with this cookie.
    async fn shows_to(&self, cookie: &Cookie<'_>) -> String {
        let mut thief = Client::new(self.example.address);
        thief.cookies.insert(cookie.name().to_owned(), cookie.value().to_owned());
        thief.get("/cart").await.body
    }
}

#[actix_web::test]
async fn a_person_fills_a_cart_logs_in_orders_and_is_remembered() {
    let shop = Shop::open();
    let profile = Profile::default();
    let chromium = profile.open().await;
    chromium.open(&shop.url()).await;
    chromium.wait_for("Things for a quiet room").await;
    assert!(chromium.cookies().await.is_empty(), "who only looks has no session");
    for _ in 0..2 {
        shop.add_to_cart(&chromium, "Mug").await;
    }
    chromium.picture("shop").await;
    chromium.click("Cart").await;
    let page = chromium.wait_for("2 × Mug").await;
    assert!(!page.contains("is in your cart"), "a notice is shown once: {page}");
    chromium.picture("shop-cart").await;

    // The order needs a user.
    chromium.click("Check out").await;
    chromium.wait_for("This page is for users.").await;
    chromium.type_into("name", "ann").await;
    chromium.type_into("password", &format!("sesame{ENTER}")).await;
    chromium.wait_for("Wrong name or password.").await;
    chromium.picture("shop-login").await;
    chromium.type_into("name", "ann").await;
    chromium.tick("remember").await;
    chromium.type_into("password", &format!("open sesame{ENTER}")).await;
    let page = chromium.wait_for("Everything together is € 24.00.").await;
    assert!(page.contains("Welcome, ann."), "{page}");
    chromium.wait_for_address(&shop.at("checkout")).await;
    chromium.open(&shop.at("checkout")).await;
    let page = chromium.wait_for("Everything together").await;
    assert!(!page.contains("Welcome"), "a notice is shown once: {page}");
    chromium.click("Order now").await;
    chromium.wait_for("Thank you. Your order of € 24.00 is on its way.").await;
    chromium.picture("shop-ordered").await;
    let cookie = chromium.cookie().await;
    chromium.close().await;

    let chromium = profile.open().await;
    chromium.open(&shop.at("account")).await;
    chromium.wait_for("Hello, ann.").await;
    assert!(chromium.cookie().await.value() == cookie.value(), "it is the same session");
    chromium.click("Log out").await;
    chromium.wait_for("Log in").await;
    // Without "remember me", the login ends with the browser.
    shop.log_in(&chromium, "ann").await;
    chromium.close().await;
    let chromium = profile.open().await;
    chromium.open(&shop.at("account")).await;
    chromium.wait_for("This page is for users.").await;
    chromium.close().await;
}

#[actix_web::test]
async fn a_login_at_the_provider_keeps_the_cart_and_renews_the_id() {
    let shop = Shop::open();
    let profile = Profile::default();
    let chromium = profile.open().await;
    shop.add_to_cart(&chromium, "Chair").await;
    let before = chromium.cookie().await;
    chromium.click("Cart").await;
    chromium.click("Check out").await;
    chromium.click("Log in at the provider").await;
    chromium.wait_for("Plain Things wants to know who you are.").await;
    assert!(chromium.cookies().await.is_empty(), "it is another site");
    chromium.picture("shop-provider").await;
    chromium.click("I am eve").await;
    let page = chromium.wait_for("Welcome, eve@provider.").await;
    assert!(page.contains("Everything together is € 129.00."), "{page}");
    assert!(chromium.cookie().await.value() != before.value());
    assert!(!shop.shows_to(&before).await.contains("Chair"));

    // The answer is good once, and for this visitor only.
    chromium.back().await;
    chromium.click("I am eve").await;
    chromium.wait_for("You may not do this.").await;
    chromium.close().await;
}

#[actix_web::test]
async fn an_administrator_logs_a_customer_out_who_may_not_see_that_page() {
    let shop = Shop::open();
    let (ann, root) = (Profile::default(), Profile::default());
    let (ann, root) = (ann.open().await, root.open().await);
    for (chromium, user) in [(&ann, "ann"), (&root, "root")] {
        shop.log_in(chromium, user).await;
        chromium.open(&shop.at("admin")).await;
    }
    ann.wait_for("You may not do this.").await;
    ann.picture("shop-refused").await;
    root.wait_for("Orders").await;
    root.picture("shop-admin").await;
    root.click("Log out everywhere").await;
    root.wait_for("Devices logged out: 1.").await;
    ann.open(&shop.at("account")).await;
    ann.wait_for("This page is for users.").await;
    ann.close().await;
    root.close().await;
}

#[actix_web::test]
async fn a_password_is_changed_and_ends_the_other_devices() {
    let shop = Shop::open();
    let (phone, laptop) = (Profile::default(), Profile::default());
    let (phone, laptop) = (phone.open().await, laptop.open().await);
    shop.log_in(&phone, "bob").await;
    shop.log_in(&laptop, "bob").await;
    phone.click("bob").await;
    phone.click("Change your password").await;
    phone.type_into("password", &format!("a better one{ENTER}")).await;
    phone.wait_for("Your password is changed, and your other devices are logged out.").await;
    laptop.open(&shop.at("login")).await;
    laptop.type_into("name", "bob").await;
    laptop.type_into("password", &format!("open sesame{ENTER}")).await;
    laptop.wait_for("Wrong name or password.").await;
    laptop.type_into("name", "bob").await;
    laptop.type_into("password", &format!("a better one{ENTER}")).await;
    laptop.wait_for("Welcome, bob.").await;
    phone.close().await;
    laptop.close().await;
}

#[actix_web::test]
async fn an_open_socket_shows_what_another_tab_does_until_the_logout() {
    let shop = Shop::open();
    let profile = Profile::default();
    let chromium = profile.open().await;
    shop.add_to_cart(&chromium, "Mug").await;
    chromium.open(&shop.at("live")).await;
    chromium.wait_for("1 in the cart, for € 12.00").await;
    let post = |path: &str, body: &str| {
        format!(
            "return (await fetch('/{path}', {{ method: 'POST', body: '{body}', headers: {{ \
            'Content-Type': 'application/json' }} }})).status"
        )
    };
    assert_eq!(chromium.run(&post("api/cart", r#"{"product":5}"#)).await, 204);
    chromium.wait_for("2 in the cart, for € 20.00").await;
    chromium.picture("shop-live").await;
    assert_eq!(chromium.run(&post("api/logout", "")).await, 204);
    chromium.wait_for("The connection has ended.").await;
    chromium.close().await;
}

#[actix_web::test]
async fn every_page_fits_a_dark_phone_and_needs_no_script() {
    let shop = Shop::open();
    let profile = Profile::default();
    let chromium = profile.open_dark_phone().await;
    shop.add_to_cart(&chromium, "Notebook").await;
    let paths =
        ["", "cart", "login", "account", "account/password", "confirm", "admin", "checkout"];
    for user in [None, Some("root")] {
        if let Some(user) = user {
            shop.log_in(&chromium, user).await;
        }
        for path in paths.into_iter().chain(["nowhere", "provider?state=s&nonce=n"]) {
            chromium.open(&shop.at(path)).await;
            let look = "const style = getComputedStyle(document.body); \
                return [innerWidth, document.documentElement.scrollWidth, style.backgroundColor, \
                    document.scripts.length].join(' ')";
            assert_eq!(chromium.run(look).await, "360 360 rgb(25, 24, 20) 0", "/{path} {user:?}");
            let name = path.split('?').next().unwrap_or_default().replace('/', "-");
            chromium.picture(&format!("shop-phone-{}-{name}", user.unwrap_or("visitor"))).await;
        }
    }
    chromium.close().await;
}

#[actix_web::test]
async fn login_brings_a_new_cookie_and_the_cart_and_the_cookie_from_before_is_dead() {
    let shop = Shop::open();
    let profile = Profile::default();
    let chromium = profile.open().await;
    shop.add_to_cart(&chromium, "Mug").await;
    shop.add_to_cart(&chromium, "Plant").await;
    let before = chromium.cookie().await;
    assert!(shop.shows_to(&before).await.contains("1 × Mug"), "the cookie is good until then");

    shop.log_in(&chromium, "ann").await;
    chromium.click("Cart").await;
    let page = chromium.wait_for("Your cart").await;
    assert!(page.contains("1 × Mug") && page.contains("1 × Plant"), "{page}");
    let after = chromium.cookie().await;
    assert!(before.value() != after.value(), "the id is the old one");
    let page = shop.shows_to(&before).await;
    assert!(page.contains("Log in") && !page.contains("ann") && !page.contains("Mug"), "{page}");

    // What is done in one tab is there in the other.
    chromium.new_tab().await;
    shop.add_to_cart(&chromium, "Mug").await;
    chromium.click("Cart").await;
    chromium.wait_for("2 × Mug").await;
    assert!(chromium.cookie().await.value() == after.value(), "the cookie has changed");
    chromium.close().await;
}

#[actix_web::test]
async fn the_back_button_shows_nothing_private_after_logout() {
    let shop = Shop::open();
    let profile = Profile::default();
    let chromium = profile.open().await;
    shop.log_in(&chromium, "ann").await;
    shop.add_to_cart(&chromium, "Kettle").await;
    let stolen = chromium.cookie().await;
    // Chromium caches a page with its scripts when the user goes to another one, unless the page
    // forbids that.
    chromium.click("Cart").await;
    chromium.wait_for("1 × Kettle").await;
    chromium.click("ann").await;
    chromium.wait_for("Your devices").await;
    chromium.click("Log out").await;
    chromium.wait_for("Log in").await;
    let place = async || chromium.run("return navigation.currentEntry.index").await.as_u64();
    let last = place().await.expect("a place in the history");
    for back in 1..=3 {
        chromium.back().await;
        assert_eq!(place().await, last.checked_sub(back));
        let page = chromium.wait_for("Log in").await;
        for private in ["Log out", "Hello", "This device", "1 × Kettle"] {
            assert!(!page.contains(private), "{page}");
        }
    }
    let kept = chromium.cookies().await;
    assert!(kept.iter().all(|cookie| cookie.value() != stolen.value()), "logout takes the cookie");
    assert!(!shop.shows_to(&stolen).await.contains("ann"), "the session has ended");
    chromium.close().await;
}

#[actix_web::test]
async fn what_scripts_have_kept_is_gone_after_logout() {
    let shop = Shop::open();
    let profile = Profile::default();
    let chromium = profile.open().await;
    shop.log_in(&chromium, "ann").await;
    let kept = async || chromium.run("return localStorage.getItem('draft')").await;
    chromium.run("localStorage.setItem('draft', 'dear bob')").await;
    shop.add_to_cart(&chromium, "Kettle").await;
    assert_eq!(kept().await, "dear bob");
    chromium.click("Log out").await;
    chromium.wait_for("Log in").await;
    assert_eq!(kept().await, serde_json::Value::Null);
    chromium.close().await;
}

#[actix_web::test]
async fn another_profile_has_a_session_of_its_own() {
    let shop = Shop::open();
    let (home, work) = (Profile::default(), Profile::default());
    let (home, work) = (home.open().await, work.open().await);
    for (chromium, product) in [(&home, "Desk lamp"), (&work, "Notebook")] {
        shop.add_to_cart(chromium, product).await;
    }
    assert!(home.cookie().await.value() != work.cookie().await.value());
    shop.log_in(&home, "ann").await;
    work.open(&shop.at("cart")).await;
    let page = work.wait_for("Log in").await;
    assert!(page.contains("Notebook") && !page.contains("Desk lamp"), "{page}");
    shop.log_in(&work, "ann").await;
    home.click("Log out").await;
    home.wait_for("Log in").await;
    work.open(&shop.at("cart")).await;
    let page = work.wait_for("Log out").await;
    assert!(page.contains("ann") && page.contains("Notebook"), "{page}");
    home.close().await;
    work.close().await;
}

#[actix_web::test]
async fn a_device_that_another_one_logs_out_is_out_and_the_other_stays_in() {
    let shop = Shop::open();
    let (phone, laptop) = (Profile::default(), Profile::default());
    let (phone, laptop) = (phone.open().await, laptop.open().await);
    for chromium in [&phone, &laptop] {
        shop.log_in(chromium, "ann").await;
    }
    let devices = |text: &str| text.matches("last seen").count();
    phone.click("ann").await;
    let page = phone.wait_for("Your devices").await;
    assert!(devices(&page) == 2 && page.contains("This device"), "{page}");
    phone.picture("shop-devices").await;
    phone.click("Log out everywhere else").await;
    phone.wait_for("All other devices are logged out.").await;
    phone.wait_until("one device", |text| devices(text) == 1).await;

    // The laptop still shows the old page. Its form is one of a visitor.
    laptop.click("Add Plant").await;
    laptop.wait_until("no user", |text| text.contains("Log in")).await;
    phone.open(&shop.at("cart")).await;
    let page = phone.wait_for("It is empty.").await;
    assert!(page.contains("ann"), "{page}");

    // Two devices again. One ends the other by its row.
    shop.log_in(&laptop, "ann").await;
    laptop.click("ann").await;
    laptop.wait_until("two devices", |text| devices(text) == 2).await;
    laptop.click("Log out this device").await;
    laptop.wait_until("one device", |text| devices(text) == 1).await;
    phone.open(&shop.url()).await;
    let page = phone.wait_for("Log in").await;
    assert!(!page.contains("ann"), "{page}");
    phone.close().await;
    laptop.close().await;
}

#[actix_web::test]
async fn forms_of_other_sites_and_ports_neither_change_the_cart_nor_log_anybody_in_or_out() {
    let shop = Shop::open();
    let evil = evil_site();
    let profile = Profile::default();
    let chromium = profile.open().await;
    shop.log_in(&chromium, "ann").await;
    shop.add_to_cart(&chromium, "Mug").await;
    let cookie = chromium.cookie().await;
    // From the shop's own host, the browser sends her cookie.
    for host in ["localhost", "127.0.0.1"] {
        for (path, fields) in [
            ("logout", json!({})),
            ("cart", json!({ "product": 6 })),
            ("login", json!({ "name": "bob", "password": "open sesame" })),
        ] {
            chromium.open(&format!("http://{host}:{evil}/")).await;
            let target = format!("{}{path}", shop.url());
            let form = format!(
                "const form = document.createElement('form'); \
                 form.method = 'POST'; form.action = '{target}'; \
                 for (const [name, value] of Object.entries({fields})) \
                    form.append(Object.assign(document.createElement('input'), {{ name, value }})); \
                 document.body.append(form); form.submit()"
            );
            chromium.run(&form).await;
            chromium.wait_for_address(&target).await;
            let status = "return performance.getEntriesByType('navigation')[0].responseStatus";
            assert_eq!(chromium.run(status).await, 403, "{host} {path}");
            chromium.wait_for("You may not do this.").await;
            chromium.open(&shop.at("cart")).await;
            let page = chromium.wait_for("1 × Mug").await;
            assert!(page.contains("ann") && !page.contains("Kettle"), "{page}");
            assert!(chromium.cookie().await.value() == cookie.value(), "{host} {path}");
        }
    }
    chromium.close().await;
}
