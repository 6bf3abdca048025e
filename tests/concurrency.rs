//! Routes whose requests get in each other's way: they read, wait, and write.

use std::{collections::BTreeSet, time::Duration};

use actix_typed_session::{
    Session, SessionError, SessionMiddleware, TypedSession, store::SessionStore,
};
use actix_web::{HttpResponse, http::StatusCode, web};
use tokio::time::sleep;

use crate::{Client, Gate, Site, site::SiteBuilder};

/// A field for each merge rule.
#[derive(Session, Debug)]
pub struct Shared {
    /// Adds up.
    #[session(merge = "add")]
    pub count: u64,
    /// The largest stays.
    #[session(merge = "max")]
    pub best: i64,
    /// The smallest stays.
    #[session(merge = "min", default = 1_000)]
    pub least: i64,
    /// All stay.
    #[session(merge = "union")]
    pub tags: BTreeSet<String>,
    /// The first stays.
    #[session(merge = "reject")]
    pub step: u32,
    /// The longest stays.
    #[session(merge_with = longer)]
    pub note: String,
    /// The last stays.
    pub name: String,
    /// Renews the id.
    #[session(privilege)]
    pub user: Option<i64>,
}

fn longer(_: &String, theirs: String, ours: String) -> String {
    if theirs.len() > ours.len() { theirs } else { ours }
}

macro_rules! wide {
    ($($field:ident)*) => {
        /// Two hundred fields.
        #[derive(Session, Debug)]
        #[session(namespace = "wide")]
        pub struct Wide {
            $(
                /// One of them.
                pub $field: u32,
            )*
        }

        impl Wide {
            /// The n-th field.
            pub fn field(&mut self, n: usize) -> &mut u32 {
                let fields: [fn(&mut Self) -> &mut u32; 200] = [$(|wide| &mut wide.$field),*];
                fields[n](self)
            }

            /// All fields in order.
            pub fn all(&self) -> [u32; 200] {
                [$(self.$field),*]
            }
        }
    };
}

wide! {
    f0 f1 f2 f3 f4 f5 f6 f7 f8 f9 f10 f11 f12 f13 f14 f15 f16 f17 f18 f19
    f20 f21 f22 f23 f24 f25 f26 f27 f28 f29 f30 f31 f32 f33 f34 f35 f36 f37 f38 f39
    f40 f41 f42 f43 f44 f45 f46 f47 f48 f49 f50 f51 f52 f53 f54 f55 f56 f57 f58 f59
    f60 f61 f62 f63 f64 f65 f66 f67 f68 f69 f70 f71 f72 f73 f74 f75 f76 f77 f78 f79
    f80 f81 f82 f83 f84 f85 f86 f87 f88 f89 f90 f91 f92 f93 f94 f95 f96 f97 f98 f99
    f100 f101 f102 f103 f104 f105 f106 f107 f108 f109 f110 f111 f112 f113 f114 f115 f116 f117 f118 f119
    f120 f121 f122 f123 f124 f125 f126 f127 f128 f129 f130 f131 f132 f133 f134 f135 f136 f137 f138 f139
    f140 f141 f142 f143 f144 f145 f146 f147 f148 f149 f150 f151 f152 f153 f154 f155 f156 f157 f158 f159
    f160 f161 f162 f163 f164 f165 f166 f167 f168 f169 f170 f171 f172 f173 f174 f175 f176 f177 f178 f179
    f180 f181 f182 f183 f184 f185 f186 f187 f188 f189 f190 f191 f192 f193 f194 f195 f196 f197 f198 f199
}

/// The routes of the site.
pub fn routes(config: &mut web::ServiceConfig) {
    config
        .route("/plain", web::get().to(async || "no session here"))
        .route("/do/{steps}", web::get().to(act))
        .route("/wide/{field}", web::get().to(write_field))
        .route("/wide", web::get().to(show_fields));
}

/// Takes the steps in the path one after the other, and shows the session as it is then.
async fn act(
    steps: web::Path<String>,
    mut session: TypedSession<Shared>,
    gate: web::Data<Gate>,
) -> Result<HttpResponse, SessionError> {
    let mut status = StatusCode::OK;
    for step in steps.split(',') {
        let (verb, value) = step.split_once('=').unwrap_or((step, ""));
        let number = || value.parse::<i64>().expect("a number");
        match verb {
            "read" => {}
            "count" => {
                let count = session.count;
                sleep(Duration::from_millis(5)).await;
                session.set_count(count + 1);
            }
            "best" => session.set_best(number()),
            "least" => session.set_least(number()),
            "beat" => session.modify(|shared| {
                shared.best = shared.best.max(number());
                shared.least = shared.least.min(number());
            }),
            "tag" => drop(session.tags_mut().insert(value.to_owned())),
            "untag" => drop(session.tags_mut().remove(value)),
            "step" => session.set_step(session.step + 1),
            "note" => session.set_note(value.to_owned()),
            "name" => session.set_name(value.to_owned()),
            "user" => session.set_user(value.parse().ok()),
            "age" => session.set_max_age(Duration::from_millis(number().unsigned_abs())),
            "persist" => session.set_persistent(true),
            "renew" => session.renew(),
            "regenerate" => session.regenerate(),
            "destroy" => session.destroy(),
            "touch" => session.touch(),
            "save" => session.save().await?,
            "reload" => session.reload().await?,
            "gate" => gate.pass().await,
            "sleep" => sleep(Duration::from_millis(number().unsigned_abs())).await,
            "status" => status = value.parse().expect("a status"),
            other => panic!("the site does not know the step `{other}`"),
        }
    }
    Ok(HttpResponse::build(status).body(show(&session)))
}

/// The session in one line.
fn show(session: &Shared) -> String {
    let tags: Vec<_> = session.tags.iter().map(String::as_str).collect();
    format!(
        "count={} best={} least={} tags={} step={} note={} name={} user={}",
        session.count,
        session.best,
        session.least,
        tags.join("+"),
        session.step,
        session.note,
        session.name,
        session.user.unwrap_or_default(),
    )
}

async fn write_field(field: web::Path<usize>, mut session: TypedSession<Wide>) -> &'static str {
    sleep(Duration::from_millis(5)).await;
    session.modify(|wide| *wide.field(*field) += 1);
    "written"
}

async fn show_fields(session: TypedSession<Wide>) -> String {
    session.all().map(|n| n.to_string()).join(" ")
}

/// A field of the session as a response shows it.
pub fn field(body: &str, name: &str) -> String {
    let field = body.split(' ').find_map(|field| field.strip_prefix(name)?.strip_prefix('='));
    field.unwrap_or_else(|| panic!("`{name}` is not in {body:?}")).to_owned()
}

/// Logs out of the site. All workers see that at once, so a stolen cookie is worth nothing.
pub async fn assert_logout_holds(mut browser: Client) {
    let stolen = browser.clone();
    assert_eq!(browser.act("destroy").await.status, 200);
    for _ in 0..10 {
        let mut stolen = stolen.clone();
        assert!(stolen.act("read").await.removes_cookie(), "the session is over");
    }
}

/// The site on a store.
pub fn site(store: impl SessionStore) -> SiteBuilder<()> {
    Site::unwatched(SessionMiddleware::builder(store)).configure(routes)
}
