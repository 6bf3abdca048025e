//! From `@synapps/session`, whose files a real Node.js writes.

use std::{collections::BTreeSet, fs, path::Path, process::Command};

use actix_typed_session::{
    MemoryStore, Session, SessionMiddleware, TypedSession,
    import::{Importer as _, SynappsSession},
};
use actix_typed_session_tests::{Response, Site, get, node, site::REQUESTS};
use tempfile::TempDir;

#[derive(Session)]
struct Visitor {
    name: Option<String>,
    #[session(privilege, alias = "userId")]
    user_id: Option<i64>,
    cart: Vec<String>,
}

async fn read(visitor: TypedSession<Visitor>) -> String {
    format!("{:?} {:?} {:?}", visitor.name, visitor.user_id, visitor.cart)
}

const ID: &str = "7e57d004-2b97-4e7a-b45f-5387367791cd";
const JSON: &str = r#"{"name":"ann é","userId":7,"cart":["tea"],"more":{"a":[1.5]}}"#;

/// Lets the old program write a session that lives for this long, in ms.
fn write(folder: &Path, max_age: &str, json: Option<&str>) {
    let folder = folder.to_str().expect("text");
    let arguments: Vec<_> = [folder, max_age, ID].into_iter().chain(json).collect();
    node::run("synapps.js", &arguments);
}

/// The id in the header `x-id`.
fn importer(folder: &TempDir) -> SynappsSession {
    let id = |request: &actix_web::HttpRequest| {
        Some(request.headers().get("x-id")?.to_str().ok()?.to_owned())
    };
    SynappsSession::new(id).folder(folder.path())
}

fn site(importer: impl actix_typed_session::import::Importer) -> Site<()> {
    let settings = SessionMiddleware::builder(MemoryStore::new()).import(importer);
    Site::unwatched(settings).route("/read", read).start()
}

async fn ask(site: &Site<()>, id: &str) -> Response {
    get(site.address, "/read", format!("x-id: {id}\r\n").as_bytes()).await
}

#[actix_web::test]
async fn a_session_of_synapps_goes_on() {
    let folder = TempDir::new().expect("a folder");
    write(folder.path(), "60000", Some(JSON));
    let site = site(importer(&folder));
    let response = ask(&site, ID).await;
    assert_eq!(response.text(), r#"200 Some("ann é") Some(7) ["tea"]"#);
    let mut ann = site.client();
    ann.keep_cookies(&response);
    assert_ne!(ann.cookie(), ID);
    assert_eq!(ann.get("/read").await.text(), response.text());
    let files = fs::read_dir(folder.path()).expect("a folder").count();
    assert_eq!(files, 0, "the old session is deleted");
}

#[actix_web::test]
async fn the_old_program_can_keep_its_session() {
    let folder = TempDir::new().expect("a folder");
    write(folder.path(), "60000", Some(JSON));
    let site = site(importer(&folder).keep_old());
    assert!(ask(&site, ID).await.body.contains("Some(7)"));
    let content = fs::read(folder.path().join(format!("SESSION_{ID}"))).expect("it is there");
    assert_eq!(&content[20..], JSON.as_bytes());
}

#[actix_web::test]
async fn a_session_without_content_or_past_its_end_reads_as_new() {
    for (max_age, json) in [("60000", None), ("-1", Some(JSON))] {
        let folder = TempDir::new().expect("a folder");
        write(folder.path(), max_age, json);
        let site = site(importer(&folder));
        assert_eq!(ask(&site, ID).await.text(), "200 None None []", "{max_age}");
    }
}

#[actix_web::test]
async fn an_id_that_leads_elsewhere_or_to_no_regular_file_is_a_new_visitor() {
    let outside = TempDir::new().expect("a folder");
    let folder = TempDir::new_in(outside.path()).expect("a folder");
    write(outside.path(), "60000", Some(JSON));
    let secret = outside.path().join(format!("SESSION_{ID}"));
    #[cfg(unix)]
    std::os::unix::fs::symlink(&secret, folder.path().join("SESSION_link")).expect("a link");
    fs::create_dir(folder.path().join("SESSION_folder")).expect("a folder");
    let site = site(importer(&folder));
    for id in [&format!("x/../../SESSION_{ID}"), "link", "folder", "", "missing"] {
        assert_eq!(ask(&site, id).await.text(), "200 None None []", "{id}");
    }
    assert!(secret.exists());
}

#[actix_web::test]
async fn a_storm_of_first_requests_on_several_processes_ends_in_one_session() {
    let folder = TempDir::new().expect("a folder");
    let old = folder.path().join("old");
    fs::create_dir(&old).expect("a folder");
    write(&old, "60000", Some(r#"{"name":"ann","views":3}"#));
    let site = Site::of_processes((0..3).map(|_| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_switching_process"));
        command.arg(&old).arg(folder.path().join("new"));
        command
    }));
    let mut ann = site.client();
    ann.cookies.insert("old".to_owned(), ID.to_owned());
    let responses = site.storm(&ann, |_| "/view".to_owned()).await;
    let mut cookies = BTreeSet::new();
    for response in &responses {
        assert_eq!(response.text(), "200 ann");
        let mut ann = site.client();
        ann.keep_cookies(response);
        cookies.insert(ann.cookie().to_owned());
    }
    assert_eq!(cookies.len(), 1, "one session");
    ann.keep_cookies(&responses[0]);
    let views = ann.get("/views").await.body;
    assert_eq!(views, (3 + REQUESTS).to_string(), "no write is lost");
    assert_eq!(fs::read_dir(&old).expect("a folder").count(), 0);
}
