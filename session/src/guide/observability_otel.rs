use actix_typed_session::observe::{Metric, Operation, SessionStats};
use opentelemetry::{KeyValue, metrics::Meter};

/// Lets the meter read the numbers whenever it exports.
fn observe_with(meter: &Meter, stats: &SessionStats) {
    for counter in Metric::ALL {
        let stats = stats.clone();
        meter
            .u64_observable_counter(format!("sessions.{}", counter.name()))
            .with_description(counter.description())
            .with_callback(move |it| it.observe(stats.totals().count(*counter), &[]))
            .build();
    }
    let label = |operation: &Operation| [KeyValue::new("call", operation.name())];
    let (calls, failures, time) = (stats.clone(), stats.clone(), stats.clone());
    meter
        .u64_observable_counter("sessions.store.calls")
        .with_callback(move |it| {
            let totals = calls.totals();
            Operation::ALL.iter().for_each(|operation| {
                it.observe(totals.calls(*operation).count(), &label(operation));
            });
        })
        .build();
    meter
        .u64_observable_counter("sessions.store.failures")
        .with_callback(move |it| {
            let totals = failures.totals();
            Operation::ALL.iter().for_each(|operation| {
                it.observe(totals.calls(*operation).failures(), &label(operation));
            });
        })
        .build();
    meter
        .f64_observable_counter("sessions.store.time")
        .with_unit("s")
        .with_callback(move |it| {
            let totals = time.totals();
            Operation::ALL.iter().for_each(|operation| {
                let time = totals.calls(*operation).total_time().as_secs_f64();
                it.observe(time, &label(operation));
            });
        })
        .build();
}
