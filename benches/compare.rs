//! This library beside its peers, over real HTTP: see the README.

use std::env;

use actix_typed_session_benches::{
    contestant::{
        ALL, BARE, Contestant, EXPRESS, Load, Running, allocations, build, median,
        stay_off_the_servers_core,
    },
    rules::{SOME, WIDE},
};

/// Keep-alive connections.
const CONNECTIONS: usize = 32;
/// How many sessions the requests of a column rotate through.
const MANY: usize = CONNECTIONS;
const ONE: usize = 1;

/// How long each measurement takes; wrk takes whole seconds only.
const SECONDS: u32 = 1;
/// How many servers are measured between two measurements of the bare one.
const FEW: usize = 4;

/// The columns: what they are called, the route, the fields of a session, the sessions.
const ROUTES: [(&str, &str, usize, usize); 11] = [
    ("untouched", "untouched", 1, MANY),
    ("read", "read", 1, MANY),
    ("read 8", "read_8", SOME, MANY),
    ("write", "write", 1, MANY),
    ("add", "add", 1, MANY),
    ("read 1 of 52", "read", WIDE, MANY),
    ("write 1 of 52", "write", WIDE, MANY),
    ("add 1 of 52", "add", WIDE, MANY),
    ("write, one session", "write", 1, ONE),
    ("add, one session", "add", 1, ONE),
    ("add 1 of 52, one session", "add", WIDE, ONE),
];

/// The cell of a session that the contestant does not store, because it does not fit into a cookie.
const REFUSED: &str = "–";

fn main() {
    let has = |flag: &str| env::args().any(|argument| argument == flag);
    let only = env::args().skip_while(|argument| argument != "--only").nth(1);
    let rounds = if has("--quick") { 3 } else { 9 };
    let is_measured = |contestant: &Contestant| match &only {
        _ if contestant.program == BARE.program => true,
        Some(name) => contestant.is_called(name),
        None => has("--all") || contestant.is_sql() == has("--sql"),
    };
    let contestants: Vec<Contestant> = ALL.into_iter().filter(is_measured).collect();
    assert!(contestants.len() > 1, "no contestant is called {}", only.unwrap_or_default());
    build();
    if has("--allocations") {
        return count_allocations(&contestants);
    }
    stay_off_the_servers_core();

    let servers: Vec<Running> =
        contestants.into_iter().map(|contestant| Running::start(contestant, 1)).collect();
    let cookies: Vec<_> = servers
        .iter()
        .map(|server| ROUTES.map(|(_, _, fields, sessions)| server.seed(fields, sessions)))
        .collect();
    let mut ratios = vec![vec![Vec::new(); ROUTES.len()]; servers.len()];
    let mut loads = vec![vec![Vec::<Load>::new(); ROUTES.len()]; servers.len()];
    for _ in 0..rounds {
        for (column, (_, route, ..)) in ROUTES.into_iter().enumerate() {
            let measure = |index: usize| -> Option<Load> {
                let cookies = cookies[index][column].as_ref()?;
                Some(servers[index].load(route, cookies, CONNECTIONS, SECONDS))
            };
            let bare = || measure(0).expect("the bare server refuses nothing");
            // The machine's mood changes, so the bare server is measured before and after each few
            // others.
            let mut before = bare();
            let others: Vec<usize> = (1..servers.len()).collect();
            for few in others.chunks(FEW) {
                let measured: Vec<_> = few.iter().map(|index| (*index, measure(*index))).collect();
                let after = bare();
                ratios[0][column].push(after.per_second / before.per_second);
                loads[0][column].push(after);
                for (index, load) in measured {
                    let Some(load) = load else { continue };
                    let bare = (before.per_second + after.per_second) / 2.0;
                    ratios[index][column].push(load.per_second / bare);
                    loads[index][column].push(load);
                }
                before = after;
            }
        }
    }

    println!(
        "\nThroughput as a ratio to bare Actix in the same moment, medians of {rounds} rounds\n"
    );
    header();
    for (server, ratios) in servers.iter().zip(&ratios) {
        row(server, ratios, |ratios| match ratios[..] {
            [] => REFUSED.to_owned(),
            _ => format!("{:.2}", median(ratios.iter().copied())),
        });
    }
    println!("\nHow far bare Actix was from itself a moment before: 9 of 10 within\n");
    header();
    row(&servers[0], &ratios[0], |ratios| {
        let mut off: Vec<f64> = ratios.iter().map(|ratio| (ratio - 1.0).abs()).collect();
        off.sort_by(f64::total_cmp);
        format!("{:.2}", off[off.len() * 9 / 10])
    });
    let tables: [(&str, Cell); 3] = [
        ("Requests per second", |load| format!("{:.0}", load.per_second)),
        ("Time until the answer, median / 99 %, microseconds", |load| {
            format!("{:.0} / {:.0}", load.p50, load.p99)
        }),
        ("Processor time of the server per request, microseconds", |load| {
            format!("{:.2}", load.cpu)
        }),
    ];
    let all = || servers.iter().zip(&loads);
    report_failures(all());
    for (title, cell) in tables {
        table(title, cell, all());
    }
    if servers.iter().any(|server| server.redis.is_some()) {
        println!("\nRound trips to Redis per request\n");
        header();
        for (server, cookies) in servers.iter().zip(&cookies) {
            let cells = ROUTES.iter().zip(cookies).map(|((_, route, ..), cookies)| {
                let round_trips = server.round_trips(route, cookies.as_ref()?)?;
                Some(format!("{round_trips:.2}"))
            });
            if let Some(cells) = cells.collect::<Option<Vec<_>>>() {
                println!("| {} | {} |", server.contestant.name, cells.join(" | "));
            }
        }
        let bytes: Cell = |load| format!("{:.0} / {:.0}", load.bytes_in, load.bytes_out);
        let on_redis = all().filter(|(server, _)| server.redis.is_some());
        table("Bytes that Redis gets / sends per request", bytes, on_redis);
    }
}

/// A server, and what it did in each column.
type Measured<'a> = (&'a Running, &'a Vec<Vec<Load>>);

fn table<'a>(title: &str, cell: Cell, servers: impl Iterator<Item = Measured<'a>>) {
    println!("\n{title}\n");
    header();
    for (server, loads) in servers {
        row(server, loads, |loads| match loads[..] {
            [] => REFUSED.to_owned(),
            _ => cell(&of_medians(loads)),
        });
    }
}

/// Names the cells with requests that failed.
fn report_failures<'a>(servers: impl Iterator<Item = Measured<'a>>) {
    for (server, loads) in servers {
        for ((route, ..), loads) in ROUTES.iter().zip(loads) {
            let worst = loads.iter().map(|load| load.failed).fold(0.0, f64::max);
            if worst > 0.0 {
                let name = server.contestant.name;
                println!("\n{name}, {route}: {:.2} % failed in a round", worst * 100.0);
            }
        }
    }
}

/// Each contestant runs in Valgrind, so this is a separate table.
fn count_allocations(contestants: &[Contestant]) {
    println!("\nAllocations per request, those of the server included\n");
    header();
    // Valgrind does not run Node.js.
    for contestant in contestants.iter().filter(|it| it.program != EXPRESS) {
        let cells =
            ROUTES.map(|(_, route, fields, _)| match allocations(*contestant, route, fields) {
                None => REFUSED.to_owned(),
                Some(count) => format!("{count:.0}"),
            });
        println!("| {} | {} |", contestant.name, cells.join(" | "));
    }
}

/// What a cell of a table shows of a load.
type Cell = fn(&Load) -> String;

fn header() {
    println!("| | {} |", ROUTES.map(|(name, ..)| name).join(" | "));
    println!("| --- {}|", "| --- ".repeat(ROUTES.len()));
}

fn row<T>(server: &Running, columns: &[T], cell: impl Fn(&T) -> String) {
    let cells: Vec<String> = columns.iter().map(cell).collect();
    println!("| {} | {} |", server.contestant.name, cells.join(" | "));
}

fn of_medians(loads: &[Load]) -> Load {
    let of = |figure: fn(&Load) -> f64| median(loads.iter().map(figure));
    Load {
        per_second: of(|load| load.per_second),
        failed: of(|load| load.failed),
        p50: of(|load| load.p50),
        p99: of(|load| load.p99),
        cpu: of(|load| load.cpu),
        bytes_in: of(|load| load.bytes_in),
        bytes_out: of(|load| load.bytes_out),
    }
}
