//! A user with three browsers who does everything at random, as fast as the answers come, and whose
//! every answer is checked.

use std::{
    collections::{BTreeMap, VecDeque},
    io,
    net::SocketAddr,
    time::{Duration, Instant},
};

use actix_typed_session_tests::{Response, client::whole_response};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{sleep, timeout},
};

use crate::{
    checker::{Checker, Outages, SETTLE},
    log::{Act, Answer, CookieChange, Exchange, GRACE, MAX_AGE, Ms, NUMBERS_PER_CLIENT, Seen},
};

/// The cookies that are kept to be presented again when they open nothing any more.
const STOCK: usize = 64;
/// The sessions that are left alone until they have expired.
const RESTING: usize = 16;
/// The steps of the log that are kept to tell how a promise was broken.
const LAST: usize = 1_000;
/// A session gets no more tags than this.
const TAGS: u32 = 12;
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Client {
    number: u64,
    address: SocketAddr,
    start: Instant,
    random: StdRng,
    requests: u64,
    browsers: [Browser; 3],
    stock: Vec<String>,
    resting: VecDeque<(Ms, String)>,
    connections: Vec<Connection>,
    log: VecDeque<Vec<Exchange>>,
    pub(crate) checker: Checker,
    pub(crate) totals: Totals,
    /// The broken promise, and the log that leads to it.
    pub(crate) violation: Option<String>,
}

/// What was done, by name.
pub(crate) type Totals = BTreeMap<&'static str, u64>;

/// The name of the longest time that an answer has taken, in milliseconds; the others are sums.
pub(crate) const SLOWEST: &str = "slowest answer, ms";

#[derive(Clone, Debug, Default)]
struct Browser {
    id: Option<String>,
    is_logged_in: bool,
    tags: u32,
    /// Until when the client does not know what its session is, and only reads it.
    in_doubt: Ms,
}

impl Client {
    pub(crate) fn new(
        number: u64,
        seed: u64,
        address: SocketAddr,
        start: Instant,
        outages: Outages,
    ) -> Self {
        Self {
            number,
            address,
            start,
            random: StdRng::seed_from_u64(seed.wrapping_mul(1_000_003).wrapping_add(number)),
            requests: 0,
            browsers: Default::default(),
            stock: Vec::new(),
            resting: VecDeque::new(),
            connections: Vec::new(),
            log: VecDeque::new(),
            checker: Checker::new(number, outages),
            totals: Totals::new(),
            violation: None,
        }
    }

    /// Does one thing after the other until the deadline, or until a promise is broken.
    pub(crate) async fn run(mut self, deadline: Instant) -> Self {
        while Instant::now() < deadline && self.violation.is_none() {
            match self.random.random_range(0..100) {
                0..8 => self.burst().await,
                8..16 => self.replay().await,
                16..18 => self.rest(),
                _ if self.resting.front().is_some_and(|(due, _)| *due < self.now()) => {
                    self.come_back().await;
                }
                _ => self.single().await,
            }
        }
        self
    }

    /// Looks at all it has, dead or alive, and closes its connections.
    pub(crate) async fn finish(mut self) -> Self {
        let dead = self.stock.split_off(0);
        let alive = self.browsers.iter().filter_map(|browser| browser.id.clone());
        for id in alive.chain(dead).collect::<Vec<_>>() {
            if self.violation.is_none() {
                self.add("replays of dead ids", 1);
                self.ask(Some(id), &[Act::Read]).await;
            }
        }
        self.connections.clear();
        self
    }

    /// One request of one browser.
    async fn single(&mut self) {
        let at = self.random.random_range(0..self.browsers.len());
        let browser = self.browsers[at].clone();
        let act = self.choose(at);
        if browser.in_doubt > self.now() && (act != Act::Read || self.random.random_bool(0.8)) {
            return;
        }
        let begins = browser.id.is_none();
        if self.random.random_bool(0.01) {
            let exchange = self.cut(browser.id.clone(), act).await;
            self.doubts(at, &exchange);
            return self.check(vec![exchange]);
        }
        let [exchange] = &self.ask(browser.id, &[act]).await[..] else { return };
        if begins && exchange.succeeded() {
            self.browsers[at].is_logged_in = act == Act::Login;
            self.browsers[at].tags = 0;
        }
        self.learns(at, exchange);
    }

    fn choose(&mut self, at: usize) -> Act {
        let browser = self.browsers[at].clone();
        // One of the three lasts until its absolute end, and collects much to lose.
        let lasts = at == 0;
        let dice = self.random.random_range(0..1000);
        match dice {
            0..250 => Act::Read,
            250..430 => Act::Add,
            430..530 => Act::Text,
            530..580 => Act::Code,
            580..640 => Act::Save,
            640..690 => Act::Fail,
            690..750 if browser.tags < TAGS => {
                self.browsers[at].tags += 1;
                Act::Tag
            }
            750..790 => Act::Renew,
            790..805 if !lasts => Act::ShortAge,
            805..820 => Act::LongAge,
            820..900 if !lasts && !browser.is_logged_in => Act::Login,
            900..920 if !lasts => Act::Logout,
            920..940 if !lasts => Act::Regenerate,
            940..950 if browser.is_logged_in => Act::EndOthers,
            950..955 if browser.is_logged_in => Act::Revoke,
            _ => Act::Read,
        }
    }

    /// Requests of one browser at the same time; at times, one of them ends its session or renews
    /// its id.
    async fn burst(&mut self) {
        let at = self.random.random_range(0..self.browsers.len());
        let browser = self.browsers[at].clone();
        if browser.id.is_none() || browser.in_doubt > self.now() {
            return;
        }
        let size = self.random.random_range(2..=6);
        let mut acts: Vec<Act> = (0..size)
            .map(|_| match self.random.random_range(0..10) {
                0..5 => Act::Add,
                5..7 => Act::Text,
                7 => Act::Save,
                8 if self.browsers[at].tags < TAGS => {
                    self.browsers[at].tags += 1;
                    Act::Tag
                }
                _ => Act::Read,
            })
            .collect();
        let ender = match self.random.random_range(0..20) {
            0..3 => Some(Act::Renew),
            3..5 if at > 0 => Some(Act::Logout),
            5..7 if at > 0 && !browser.is_logged_in => Some(Act::Login),
            7 if at > 0 => Some(Act::Regenerate),
            8 if browser.is_logged_in => Some(Act::Revoke),
            9 if browser.is_logged_in => Some(Act::EndOthers),
            _ => None,
        };
        let place = self.random.random_range(0..=acts.len());
        acts.splice(place..place, ender);
        self.add("parallel bursts", 1);
        let exchanges = self.ask(browser.id, &acts).await;
        exchanges.iter().for_each(|exchange| self.learns(at, exchange));
    }

    /// Presents a cookie that opens nothing any more, or is in its grace.
    async fn replay(&mut self) {
        if self.stock.is_empty() {
            return;
        }
        let id = self.stock[self.random.random_range(0..self.stock.len())].clone();
        let act = match self.random.random_range(0..20) {
            0..12 => Act::Read,
            12..15 => Act::Add,
            15 => Act::Save,
            16 | 17 => Act::Login,
            18 => Act::Renew,
            _ => Act::Regenerate,
        };
        self.add("replays of dead ids", 1);
        let exchanges = self.ask(Some(id), &[act]).await;
        for exchange in exchanges {
            if let Some(Answer { change: CookieChange::Id(id), .. }) = exchange.answer {
                self.lay_to_rest(id);
            }
        }
    }

    /// Leaves a session alone until it has expired.
    fn rest(&mut self) {
        let at = self.random.random_range(0..self.browsers.len());
        if self.browsers[at].in_doubt < self.now()
            && let Some(id) = self.browsers[at].id.take()
        {
            self.browsers[at] = Browser::default();
            self.lay_to_rest(id);
        }
    }

    fn lay_to_rest(&mut self, id: String) {
        if self.resting.len() < RESTING {
            // Now and then too early, so that it goes on.
            let after = MAX_AGE.mul_f64(self.random.random_range(0.9..1.2));
            self.resting.push_back((self.now() + after.as_millis() as Ms, id));
        }
    }

    async fn come_back(&mut self) {
        let Some((_, id)) = self.resting.pop_front() else { return };
        let exchanges = self.ask(Some(id.clone()), &[Act::Read]).await;
        if let Some(Answer { seen: Some(Seen { owner: 0, .. }), .. }) = &exchanges[0].answer {
            self.add("expiries seen", 1);
        }
        self.dies(id);
    }

    /// Keeps or removes the cookie as the response says.
    fn learns(&mut self, at: usize, exchange: &Exchange) {
        let Some(Answer { seen, change, .. }) = &exchange.answer else { return };
        if exchange.succeeded() {
            self.browsers[at].is_logged_in |= exchange.act == Act::Login;
        }
        let is_stranger = seen.as_ref().is_some_and(|seen| seen.owner == 0);
        match change {
            CookieChange::Id(id) if self.browsers[at].id.as_ref() == Some(id) => {}
            CookieChange::Id(id) => {
                if is_stranger || exchange.act == Act::Regenerate {
                    let is_logged_in = exchange.act == Act::Login;
                    let in_doubt = self.browsers[at].in_doubt;
                    let old = self.browsers[at].id.take();
                    self.browsers[at] = Browser { is_logged_in, tags: 0, in_doubt, id: old };
                }
                if let Some(old) = self.browsers[at].id.replace(id.clone()) {
                    self.dies(old);
                }
            }
            // The browser no longer has this cookie.
            CookieChange::Removal if self.browsers[at].id != exchange.presented => {}
            CookieChange::Removal => self.forgets(at),
            CookieChange::Nothing if is_stranger && self.browsers[at].id == exchange.presented => {
                self.forgets(at);
            }
            CookieChange::Nothing => {}
        }
        self.doubts(at, exchange);
    }

    fn forgets(&mut self, at: usize) {
        let old = std::mem::take(&mut self.browsers[at]);
        old.id.into_iter().for_each(|id| self.dies(id));
    }

    /// What an unanswered request may have done, the browser cannot know for a while.
    fn doubts(&mut self, at: usize, exchange: &Exchange) {
        let is_known = exchange.answer.as_ref().is_some_and(|answer| answer.status != 503);
        if is_known || !exchange.act.ends() {
            return;
        }
        let until = self.now() + SETTLE + 2 * GRACE.as_millis() as Ms;
        let whose = match exchange.act {
            Act::Revoke | Act::EndOthers => &mut self.browsers[..],
            _ => &mut self.browsers[at..=at],
        };
        whose.iter_mut().for_each(|browser| browser.in_doubt = until);
    }

    fn dies(&mut self, id: String) {
        if self.stock.len() < STOCK {
            self.stock.push(id);
        } else {
            // Those that died early are replayed late, too.
            let at = self.random.random_range(0..STOCK);
            self.stock[at] = id;
        }
    }

    /// Sends requests at the same time, each on its own connection, and checks the answers.
    async fn ask(&mut self, presented: Option<String>, acts: &[Act]) -> Vec<Exchange> {
        while self.connections.len() < acts.len() {
            match Connection::open(self.address).await {
                Ok(connection) => self.connections.push(connection),
                Err(error) => {
                    self.violation = Some(format!("the server takes no connection: {error}"));
                    return Vec::new();
                }
            }
        }
        let requests: Vec<_> =
            acts.iter().map(|act| self.request(*act, presented.as_deref())).collect();
        let start = self.start;
        let asked = self.connections.iter_mut().zip(requests).map(
            async |(connection, (mut exchange, text))| {
                exchange.sent = ms_since(start);
                let response = timeout(PATIENCE, connection.ask(&text)).await;
                exchange.answered = ms_since(start);
                let failure = match response {
                    Ok(Ok(response)) => {
                        exchange.answer = Some(answer(&response));
                        None
                    }
                    Ok(Err(error)) => Some(error.to_string()),
                    Err(_) => Some("no answer".to_owned()),
                };
                (exchange, failure)
            },
        );
        let asked = futures_util::future::join_all(asked).await;
        let (exchanges, failures): (Vec<_>, Vec<_>) = asked.into_iter().unzip();
        self.check(exchanges.clone());
        if let Some(failure) = failures.into_iter().flatten().next() {
            self.violation.get_or_insert(format!("a request failed: {failure}"));
        }
        exchanges
    }

    /// Sends a request, or a part of it, and resets the connection.
    async fn cut(&mut self, presented: Option<String>, act: Act) -> Exchange {
        self.add("client resets", 1);
        let (mut exchange, text) = self.request(act, presented.as_deref());
        exchange.sent = self.now();
        let sent = match self.random.random_bool(0.2) {
            true => self.random.random_range(0..text.len()),
            false => text.len(),
        };
        let wait = Duration::from_micros(self.random.random_range(0..4_000));
        if let Ok(mut connection) = Connection::open(self.address).await {
            // OK because a request that cannot be sent has no effect, which is one of those
            // expected.
            let _ = connection.stream.write_all(&text.as_bytes()[..sent]).await;
            sleep(wait).await;
            let _ = connection.stream.set_zero_linger();
        }
        exchange.answered = self.now();
        exchange
    }

    fn request(&mut self, act: Act, presented: Option<&str>) -> (Exchange, String) {
        self.requests += 1;
        let number = self.number * NUMBERS_PER_CLIENT + self.requests;
        let route = if act == Act::Revoke { "revoke" } else { "act" };
        let cookie =
            presented.map(|id| format!("Cookie: __Host-session={id}\r\n")).unwrap_or_default();
        let text = format!(
            "GET /{route}?act={act:?}&number={number}&user={} HTTP/1.1\r\nHost: soak\r\n{cookie}\r\n",
            self.number
        );
        let presented = presented.map(str::to_owned);
        (Exchange { number, act, presented, sent: 0, answered: 0, answer: None }, text)
    }

    fn check(&mut self, step: Vec<Exchange>) {
        for exchange in &step {
            let status = exchange.answer.as_ref().map(|answer| answer.status);
            self.add("requests", 1);
            self.add("503s", u64::from(status == Some(503)));
            let done = match exchange.act {
                Act::Login => "logins",
                Act::Logout => "logouts",
                Act::Renew | Act::Regenerate => "renewals",
                Act::Revoke | Act::EndOthers => "revocations",
                Act::Fail => "500s after a write",
                _ => "other requests",
            };
            self.add(done, u64::from(status.is_some_and(|status| status != 503)));
            let slowest = self.totals.entry(SLOWEST).or_default();
            *slowest = (*slowest).max(exchange.answered - exchange.sent);
        }
        let result = self.checker.observe(&step);
        if self.log.len() == LAST {
            self.log.pop_front();
        }
        self.log.push_back(step);
        if let Err(broken) = result {
            self.violation = Some(format!("client {}: {broken}\n{}", self.number, self.story()));
        }
    }

    /// The last steps, and those before them that have to do with the last one's cookie or end
    /// sessions.
    fn story(&self) -> String {
        let mut ids: Vec<&String> = Vec::new();
        let mut story = Vec::new();
        for (age, step) in self.log.iter().rev().enumerate() {
            let concerns = |exchange: &Exchange| {
                let change = exchange.answer.as_ref().map(|answer| &answer.change);
                let change = ids
                    .iter()
                    .any(|id| matches!(change, Some(CookieChange::Id(change)) if change == *id));
                change || exchange.presented.as_ref().is_some_and(|id| ids.contains(&id))
            };
            let ends_others = matches!(step[0].act, Act::Revoke | Act::EndOthers);
            if age == 0 || step.iter().any(concerns) {
                ids.extend(&step[0].presented);
            } else if age > 10 && !ends_others {
                continue;
            }
            story.extend(step.iter().rev().map(|exchange| format!("{exchange:?}\n")));
        }
        story.reverse();
        story.concat()
    }

    fn add(&mut self, what: &'static str, n: u64) {
        *self.totals.entry(what).or_default() += n;
    }

    fn now(&self) -> Ms {
        ms_since(self.start)
    }
}

fn ms_since(start: Instant) -> Ms {
    start.elapsed().as_millis() as Ms
}

fn answer(response: &Response) -> Answer {
    let change = match response.set_cookie() {
        None => CookieChange::Nothing,
        Some(_) if response.removes_cookie() => CookieChange::Removal,
        Some(cookie) => {
            let value = cookie.split_once('=').map_or("", |(_, value)| value);
            CookieChange::Id(value.split(';').next().unwrap_or_default().to_owned())
        }
    };
    Answer { status: response.status, seen: serde_json::from_str(&response.body).ok(), change }
}

/// A connection that is kept.
pub(crate) struct Connection {
    stream: TcpStream,
    received: Vec<u8>,
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, received: Vec::new() })
    }

    pub(crate) async fn ask(&mut self, request: &str) -> io::Result<Response> {
        self.stream.write_all(request.as_bytes()).await?;
        self.received.clear();
        loop {
            if self.stream.read_buf(&mut self.received).await? == 0 {
                return Err(io::Error::other("the server has closed the connection"));
            }
            if let Some((response, _)) = whole_response(&self.received) {
                return Ok(response);
            }
        }
    }
}
