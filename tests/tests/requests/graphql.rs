//! Sessions in the resolvers of a GraphQL server, which are `Send`, unlike sessions.

use actix_typed_session::testing::Operation;
use actix_typed_session_tests::{Client, Site};

/// Sends a query and returns the answer's JSON.
async fn ask(client: &mut Client, query: &str) -> String {
    let json = serde_json::json!({ "query": query }).to_string();
    let response = client.post_json("/graphql", &json).await;
    assert_eq!(response.status, 200, "{response:?}");
    response.body
}

mod snapshot {
    use super::*;

    include!(concat!(env!("CARGO_MANIFEST_DIR"), "/../session/src/guide/graphql_snapshot.rs"));

    fn site() -> Site {
        Site::in_memory().data(schema()).route("/graphql", graphql).start()
    }

    #[actix_web::test]
    async fn resolvers_read_and_change_a_copy_which_is_then_stored() {
        let site = site();
        let mut ann = site.client();
        let added = ask(&mut ann, r#"mutation { a: add(item: "pear") b: add(item: "fig") }"#).await;
        assert_eq!(added, r#"{"data":{"a":1,"b":2}}"#);
        assert_eq!(ask(&mut ann, "{ cart }").await, r#"{"data":{"cart":["fig","pear"]}}"#);
        assert_eq!(site.store_calls(), "create 1, load 1");
    }

    #[actix_web::test]
    async fn a_query_that_changes_nothing_stores_nothing() {
        let site = site();
        let mut ann = site.client();
        assert!(ask(&mut ann, "{ user }").await.contains("log in first"));
        assert_eq!(site.store_calls(), "");
        assert!(ann.cookies.is_empty());
    }

    #[actix_web::test]
    async fn a_login_renews_the_id_and_a_logout_destroys_the_session() {
        let site = site();
        let mut ann = site.client();
        ask(&mut ann, r#"mutation { add(item: "pear") }"#).await;
        let planted = ann.clone();
        ask(&mut ann, "mutation { logIn }").await;
        assert_ne!(ann.cookie(), planted.cookie());
        assert_eq!(ask(&mut ann, "{ user cart }").await, r#"{"data":{"user":7,"cart":["pear"]}}"#);
        assert_eq!(ask(&mut ann, "mutation { logOut }").await, r#"{"data":{"logOut":true}}"#);
        assert!(ann.cookies.is_empty());
        assert_eq!(site.store.calls(Operation::Destroy), 1);
    }

    #[actix_web::test]
    async fn requests_at_the_same_time_merge() {
        let site = site();
        let mut ann = site.client();
        ask(&mut ann, r#"mutation { add(item: "pear") }"#).await;
        let mut other_tab = ann.clone();
        let (one, other) = futures_util::future::join(
            ask(&mut ann, r#"mutation { add(item: "fig") }"#),
            ask(&mut other_tab, r#"mutation { add(item: "kiwi") }"#),
        )
        .await;
        assert!(one.contains("data") && other.contains("data"));
        let cart = ask(&mut ann.clone(), "{ cart }").await;
        assert_eq!(cart, r#"{"data":{"cart":["fig","kiwi","pear"]}}"#);
    }

    #[actix_web::test]
    async fn the_copy_goes_to_other_threads() {
        let visitor: Shared = Arc::new(Mutex::new(Visitor { user_id: None, cart: [].into() }));
        let request = Request::new(r#"mutation { add(item: "pear") }"#).data(Arc::clone(&visitor));
        let response = std::thread::spawn(move || {
            futures_util::FutureExt::now_or_never(schema().execute(request))
        });
        assert!(response.join().expect("no panic").expect("an answer").is_ok());
        assert_eq!(visitor.lock().expect("no panic").cart.len(), 1);
    }

    #[actix_web::test]
    async fn a_mutation_of_another_origin_is_refused() {
        let site = site();
        let json = r#"{"query":"mutation { logIn }"}"#;
        let request = format!(
            "POST /graphql HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\
             Origin: https://evil.example\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{json}",
            json.len()
        );
        let responses = actix_typed_session_tests::exchange(site.address, request.as_bytes()).await;
        assert_eq!(responses[0].text(), "403 ");
    }
}

mod session {
    use super::*;
    use actix_typed_session::testing::Fault;

    include!(concat!(env!("CARGO_MANIFEST_DIR"), "/../session/src/guide/graphql_session.rs"));

    fn site() -> Site {
        Site::in_memory().data(schema()).route("/graphql", graphql).start()
    }

    #[actix_web::test]
    async fn resolvers_use_the_session_itself() {
        let site = site();
        let mut ann = site.client();
        ask(&mut ann, r#"mutation { a: add(item: "pear") b: add(item: "fig") }"#).await;
        let before = ann.clone();
        ask(&mut ann, "mutation { logIn }").await;
        assert_ne!(ann.cookie(), before.cookie());
        assert_eq!(ask(&mut ann, "{ cart }").await, r#"{"data":{"cart":["pear","fig"]}}"#);
        ask(&mut ann, "mutation { logOut }").await;
        assert!(ann.cookies.is_empty());
    }

    #[actix_web::test]
    async fn a_resolver_that_saves_reports_a_store_that_fails_and_loses_nothing() {
        let site = site();
        let mut ann = site.client();
        ask(&mut ann, r#"mutation { add(item: "pear") }"#).await;
        site.store.inject(Operation::Update, Fault::ErrorBefore);
        let json = r#"{"query":"mutation { checkOut }"}"#;
        let failed = ann.post_json("/graphql", json).await;
        assert_eq!(failed.text(), "503 ", "the change is still to be stored with the response");
        site.store.heal();
        assert_eq!(ask(&mut ann, "{ cart }").await, r#"{"data":{"cart":["pear"]}}"#);
        assert_eq!(ask(&mut ann, "mutation { checkOut }").await, r#"{"data":{"checkOut":1}}"#);
        assert_eq!(ask(&mut ann, "{ cart }").await, r#"{"data":{"cart":[]}}"#);
    }

    #[actix_web::test]
    async fn a_resolver_that_fails_is_a_success_so_what_it_wrote_is_stored() {
        let site = site();
        let mut ann = site.client();
        let answer = ask(&mut ann, "mutation { logIn checkOut }").await;
        assert!(answer.contains("the cart is empty"), "{answer}");
        assert_eq!(ask(&mut ann, "{ user }").await, r#"{"data":{"user":7}}"#);
    }

    #[actix_web::test]
    async fn another_thread_panics() {
        let wrapped = SendWrapper::new(RefCell::new(1));
        let outcome = std::thread::spawn(move || *wrapped.borrow());
        assert!(outcome.join().is_err());
    }
}
