use std::fmt::Write as _;

use actix_typed_session::observe::{Metric, Operation, SessionStats, Totals};
use actix_web::{HttpResponse, web};

async fn metrics(stats: web::Data<SessionStats>) -> HttpResponse {
    HttpResponse::Ok()
        .content_type("text/plain; version=0.0.4; charset=utf-8")
        .body(exposition(&stats.totals()))
}

/// The numbers in the text format of Prometheus.
fn exposition(totals: &Totals) -> String {
    let mut text = String::new();
    for counter in Metric::ALL {
        let (name, help) = (counter.name(), counter.description());
        let count = totals.count(*counter);
        let _ = writeln!(text, "# HELP sessions_{name}_total {help}");
        let _ = writeln!(text, "# TYPE sessions_{name}_total counter");
        let _ = writeln!(text, "sessions_{name}_total {count}");
    }
    let _ = writeln!(text, "# HELP sessions_store_failures_total Calls of the store that failed.");
    let _ = writeln!(text, "# TYPE sessions_store_failures_total counter");
    for operation in Operation::ALL {
        let (call, failures) = (operation.name(), totals.calls(*operation).failures());
        let _ = writeln!(text, "sessions_store_failures_total{{call=\"{call}\"}} {failures}");
    }
    let name = "sessions_store_call_seconds";
    let _ = writeln!(text, "# HELP {name} How long calls of the store took.");
    let _ = writeln!(text, "# TYPE {name} histogram");
    for operation in Operation::ALL {
        let (call, calls) = (operation.name(), totals.calls(*operation));
        for (bound, count) in calls.buckets() {
            let bound = bound.as_secs_f64();
            let _ = writeln!(text, "{name}_bucket{{call=\"{call}\",le=\"{bound}\"}} {count}");
        }
        let (count, sum) = (calls.count(), calls.total_time().as_secs_f64());
        let _ = writeln!(text, "{name}_bucket{{call=\"{call}\",le=\"+Inf\"}} {count}");
        let _ = writeln!(text, "{name}_sum{{call=\"{call}\"}} {sum}");
        let _ = writeln!(text, "{name}_count{{call=\"{call}\"}} {count}");
    }
    text
}
