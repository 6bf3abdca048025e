//! What a request costs as sessions grow, as they become many, and as clients do: tables, and a
//! plot in `session/src/guide/growth.svg`.
//!
//! `cargo run --release -p actix-typed-session-benches --all-features --bin growth`

use std::{error::Error, ops::Range, path::Path};

use actix_typed_session_benches::contestant::{
    BARE, Contestant, Load, Running, build, here, median, stay_off_the_servers_core,
};
use plotters::prelude::*;

const STORES: [&str; 3] = ["memory", "file", "redis"];
const ROUTES: [&str; 2] = ["read", "write"];
const FIELDS: [usize; 4] = [1, 10, 52, 500];
const SESSIONS: [usize; 3] = [1_000, 100_000, 1_000_000];
const CONNECTIONS: [usize; 6] = [1, 4, 16, 64, 256, 1_024];
const ROUNDS: usize = 3;

/// Where the legend of a plot finds room: above its lines or below them.
#[derive(Clone, Copy)]
enum Legend {
    Above,
    Below,
}

/// A line of a plot: its name, and its points.
type Line = (String, Vec<(f64, f64)>);

fn main() -> Result<(), Box<dyn Error>> {
    build();
    stay_off_the_servers_core();
    let fields = fields();
    let sessions = sessions();
    let connections = connections();
    threads();

    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../session/src/guide/growth.svg");
    let area = SVGBackend::new(&path, (900, 720)).into_drawing_area();
    area.fill(&WHITE)?;
    let (upper, lower) = area.split_vertically(360);
    let (left, right) = upper.split_horizontally(450);
    let cost = "microseconds of the server per request";
    plot(&left, "fields of the session", cost, 1.0..500.0, &fields, Legend::Above)?;
    plot(&right, "sessions in the store", cost, 1_000.0..1_000_000.0, &sessions, Legend::Above)?;
    let (left, right) = lower.split_horizontally(450);
    let (reads, writes): (Vec<_>, Vec<_>) =
        connections.into_iter().partition(|(name, _)| !name.ends_with("write"));
    plot(
        &left,
        "connections",
        "thousand requests per second",
        1.0..1_024.0,
        &reads,
        Legend::Below,
    )?;
    plot(
        &right,
        "connections",
        "thousand requests per second",
        1.0..1_024.0,
        &writes,
        Legend::Below,
    )?;
    area.present()?;
    println!("\nThe plot is in {}", path.display());
    Ok(())
}

fn cost(server: &Running, route: &str, fields: usize, sessions: usize) -> f64 {
    let cookies = server.seed(fields, sessions).expect("no size is refused");
    median((0..ROUNDS).map(|_| server.load(route, &cookies, 32, 1).cpu))
}

fn fields() -> Vec<Line> {
    println!("\nMicroseconds of the server per request, by the fields of the session\n");
    println!("| | {} |", FIELDS.map(|fields| fields.to_string()).join(" | "));
    println!("| --- {}|", "| --- ".repeat(FIELDS.len()));
    let mut lines = Vec::new();
    for store in STORES {
        for route in ROUTES {
            let server = Running::start(here(store), 1);
            let points = FIELDS.map(|fields| (fields as f64, cost(&server, route, fields, 32)));
            lines.push(line(store, route, &points));
        }
    }
    lines
}

fn sessions() -> Vec<Line> {
    println!("\nMicroseconds of the server per request, by the sessions in the store\n");
    println!("| | {} |", SESSIONS.map(|sessions| sessions.to_string()).join(" | "));
    println!("| --- {}|", "| --- ".repeat(SESSIONS.len()));
    let (mut lines, mut sizes) = (Vec::new(), Vec::new());
    for store in STORES {
        let server = Running::start(here(store), 1);
        let (mut reads, mut writes) = (Vec::new(), Vec::new());
        let (mut there, mut bytes) = (0, 0.0);
        for sessions in SESSIONS {
            let before = server.held();
            server.fill(sessions - there);
            bytes = (server.held() as f64 - before as f64) / (sessions - there) as f64;
            there = sessions;
            reads.push((sessions as f64, cost(&server, "read", 1, 1_000)));
            writes.push((sessions as f64, cost(&server, "write", 1, 1_000)));
        }
        sizes.push(format!("{store} {bytes:.0}"));
        lines.push(line(store, "read", &reads));
        lines.push(line(store, "write", &writes));
    }
    println!("\nBytes that each of the newest takes: {}", sizes.join(", "));
    lines
}

fn connections() -> Vec<Line> {
    println!("\nThousand requests per second, by the connections\n");
    println!("| | {} |", CONNECTIONS.map(|connections| connections.to_string()).join(" | "));
    println!("| --- {}|", "| --- ".repeat(CONNECTIONS.len()));
    let mut lines = Vec::new();
    for (contestant, route) in [
        (BARE, "untouched"),
        (here("memory"), "read"),
        (here("redis"), "read"),
        (BARE, "write"),
        (here("memory"), "write"),
        (here("redis"), "write"),
    ] {
        let points = CONNECTIONS.map(|connections| {
            (connections as f64, throughput(contestant, route, connections, 1).per_second / 1_000.0)
        });
        lines.push(line(contestant.name, route, &points));
    }
    lines
}

fn throughput(contestant: Contestant, route: &str, connections: usize, threads: usize) -> Load {
    let server = Running::start(contestant, threads);
    let cookies = server.seed(1, connections).expect("no size is refused");
    let mut loads: Vec<Load> =
        (0..ROUNDS).map(|_| server.load(route, &cookies, connections, 1)).collect();
    loads.sort_by(|a, b| a.per_second.total_cmp(&b.per_second));
    loads[ROUNDS / 2]
}

/// With two threads the server shares its second core with the load and with Redis, so this shows
/// whether threads stand in each other's way and not what two cores can do.
fn threads() {
    println!("\nMicroseconds of the server per request with one thread and with two\n");
    println!("| | 1 | 2 |\n| --- | --- | --- |");
    for (contestant, route) in
        [(BARE, "untouched"), (here("memory"), "write"), (here("redis"), "write")]
    {
        let [one, two] = [1, 2].map(|threads| throughput(contestant, route, 32, threads).cpu);
        println!("| {}, {route} | {one:.1} | {two:.1} |", contestant.name);
    }
}

/// Prints the row, and keeps the line.
fn line(name: &str, route: &str, points: &[(f64, f64)]) -> Line {
    let name = format!("{}, {route}", name.trim_start_matches("here, "));
    let cells: Vec<String> = points.iter().map(|(_, y)| format!("{y:.1}")).collect();
    println!("| {name} | {} |", cells.join(" | "));
    (name, points.to_vec())
}

fn plot(
    area: &DrawingArea<SVGBackend<'_>, plotters::coord::Shift>,
    x: &str,
    y: &str,
    range: Range<f64>,
    lines: &[Line],
    legend: Legend,
) -> Result<(), Box<dyn Error>> {
    let (position, room) = match legend {
        Legend::Above => (SeriesLabelPosition::UpperLeft, 15.0),
        Legend::Below => (SeriesLabelPosition::LowerRight, 1.3),
    };
    let top = lines.iter().flat_map(|(_, points)| points).map(|(_, y)| *y).fold(0.0, f64::max);
    let bottom = lines.iter().flat_map(|(_, points)| points).map(|(_, y)| *y).fold(top, f64::min);
    let mut chart = ChartBuilder::on(area)
        .margin(12)
        .margin_right(36)
        .x_label_area_size(36)
        .y_label_area_size(52)
        .build_cartesian_2d(range.log_scale(), (bottom * 0.8..top * room).log_scale())?;
    chart
        .configure_mesh()
        .x_desc(x)
        .y_desc(y)
        .x_label_formatter(&|x| format!("{x:.0}"))
        .y_label_formatter(&|y| format!("{y:.0}"))
        .disable_mesh()
        .draw()?;
    for (index, (name, points)) in lines.iter().enumerate() {
        let color = Palette99::pick(index).to_rgba();
        chart
            .draw_series(
                LineSeries::new(points.iter().copied(), color.stroke_width(2)).point_size(3),
            )?
            .label(name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], color.stroke_width(2)));
    }
    chart
        .configure_series_labels()
        .position(position)
        .background_style(WHITE.mix(0.8))
        .border_style(TRANSPARENT)
        .draw()?;
    Ok(())
}
