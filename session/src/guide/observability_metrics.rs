use actix_typed_session::observe::{Metric, Operation, SessionStats};
use metrics::counter;

/// Hands the numbers to the application's recorder.
fn publish(stats: &SessionStats) {
    let totals = stats.totals();
    for session_counter in Metric::ALL {
        let name = format!("sessions_{}_total", session_counter.name());
        counter!(name).absolute(totals.count(*session_counter));
    }
    for operation in Operation::ALL {
        let (call, calls) = (operation.name(), totals.calls(*operation));
        let microseconds = u64::try_from(calls.total_time().as_micros()).unwrap_or(u64::MAX);
        counter!("sessions_store_calls_total", "call" => call).absolute(calls.count());
        counter!("sessions_store_failures_total", "call" => call).absolute(calls.failures());
        counter!("sessions_store_microseconds_total", "call" => call).absolute(microseconds);
        for (bound, count) in calls.buckets() {
            let bound = bound.as_secs_f64().to_string();
            counter!("sessions_store_calls_within_total", "call" => call, "seconds" => bound)
                .absolute(count);
        }
    }
}
