//! The examples of the guide page on numbers, with the crates that they are for.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU64, Ordering},
};

use actix_typed_session::{MemoryStore, observe::SessionStats, testing::FaultyStore};
use actix_typed_session_tests::{Site, steps};

/// A site with a visitor who has begun a session, read it, and logged in.
async fn visited(stats: &SessionStats) -> Site<FaultyStore<MemoryStore>> {
    let site = Site::in_memory()
        .settings(|it| it.stats(stats))
        .data(stats.clone())
        .route("/metrics", prometheus::page)
        .configure(steps::routes)
        .start();
    let mut ann = site.client();
    for steps in ["name=ann", "read", "user=7"] {
        assert_eq!(ann.act(steps).await.status, 200);
    }
    site
}

mod prometheus {
    include!(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../session/src/guide/observability_prometheus.rs"
    ));

    pub(super) async fn page(stats: web::Data<SessionStats>) -> HttpResponse {
        metrics(stats).await
    }
}

#[actix_web::test]
async fn prometheus_reads_the_numbers() {
    let site = visited(&SessionStats::new()).await;
    let page = site.client().get("/metrics").await;
    let kind = page.header("content-type");
    assert_eq!(kind, Some("text/plain; version=0.0.4; charset=utf-8"));
    for line in [
        "# TYPE sessions_created_total counter",
        "sessions_created_total 1",
        "sessions_loaded_total 2",
        "sessions_renewed_total 1",
        "sessions_store_failures_total{call=\"load\"} 0",
        "# TYPE sessions_store_call_seconds histogram",
        "sessions_store_call_seconds_bucket{call=\"load\",le=\"10\"} 2",
        "sessions_store_call_seconds_bucket{call=\"load\",le=\"+Inf\"} 2",
        "sessions_store_call_seconds_count{call=\"load\"} 2",
    ] {
        assert!(page.body.lines().any(|there| there == line), "{line}: {}", page.body);
    }
    // The form of each line (Prometheus, exposition formats).
    for line in page.body.lines().filter(|line| !line.starts_with("# ")) {
        let (name, value) = line.rsplit_once(' ').expect("a name and a value");
        assert!(value.parse::<f64>().is_ok(), "{line}");
        let (name, labels) = name.split_once('{').unwrap_or((name, "}"));
        assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{line}");
        assert!(labels.ends_with('}'), "{line}");
    }
}

mod metrics_crate {
    include!(concat!(env!("CARGO_MANIFEST_DIR"), "/../session/src/guide/observability_metrics.rs"));

    pub(super) fn run(stats: &SessionStats) {
        publish(stats);
    }
}

/// Keeps the counters that it is handed.
#[derive(Default)]
struct Recorder(Mutex<Vec<(String, Arc<AtomicU64>)>>);

impl metrics::Recorder for Recorder {
    fn describe_counter(
        &self,
        _: metrics::KeyName,
        _: Option<metrics::Unit>,
        _: metrics::SharedString,
    ) {
    }

    fn describe_gauge(
        &self,
        _: metrics::KeyName,
        _: Option<metrics::Unit>,
        _: metrics::SharedString,
    ) {
    }

    fn describe_histogram(
        &self,
        _: metrics::KeyName,
        _: Option<metrics::Unit>,
        _: metrics::SharedString,
    ) {
    }

    fn register_counter(&self, key: &metrics::Key, _: &metrics::Metadata<'_>) -> metrics::Counter {
        let labels: Vec<_> =
            key.labels().map(|label| format!(" {}={}", label.key(), label.value())).collect();
        let counter = Arc::new(AtomicU64::new(0));
        let name = format!("{}{}", key.name(), labels.concat());
        self.0.lock().expect("no panic").push((name, Arc::clone(&counter)));
        metrics::Counter::from_arc(counter)
    }

    fn register_gauge(&self, _: &metrics::Key, _: &metrics::Metadata<'_>) -> metrics::Gauge {
        metrics::Gauge::noop()
    }

    fn register_histogram(
        &self,
        _: &metrics::Key,
        _: &metrics::Metadata<'_>,
    ) -> metrics::Histogram {
        metrics::Histogram::noop()
    }
}

#[actix_web::test]
async fn the_crate_metrics_gets_the_numbers() {
    let stats = SessionStats::new();
    visited(&stats).await;
    let recorder = Recorder::default();
    metrics::with_local_recorder(&recorder, || metrics_crate::run(&stats));
    let counters = recorder.0.lock().expect("no panic");
    for (name, count) in [
        ("sessions_created_total", 1),
        ("sessions_renewed_total", 1),
        ("sessions_store_calls_total call=load", 2),
        ("sessions_store_failures_total call=load", 0),
        ("sessions_store_calls_within_total call=load seconds=10", 2),
    ] {
        let found = counters.iter().find(|(there, _)| there == name);
        let found = found.map(|(_, counter)| counter.load(Ordering::SeqCst));
        assert_eq!(found, Some(count), "{name}");
    }
}

mod otel {
    include!(concat!(env!("CARGO_MANIFEST_DIR"), "/../session/src/guide/observability_otel.rs"));

    pub(super) fn run(meter: &Meter, stats: &SessionStats) {
        observe_with(meter, stats);
    }
}

#[actix_web::test]
async fn opentelemetry_exports_the_numbers() {
    use opentelemetry::metrics::MeterProvider as _;
    use opentelemetry_sdk::metrics::{
        InMemoryMetricExporter, PeriodicReader, SdkMeterProvider,
        data::{AggregatedMetrics, MetricData},
    };

    let stats = SessionStats::new();
    let exporter = InMemoryMetricExporter::default();
    let reader = PeriodicReader::builder(exporter.clone()).build();
    let provider = SdkMeterProvider::builder().with_reader(reader).build();
    otel::run(&provider.meter("site"), &stats);
    visited(&stats).await;
    provider.force_flush().expect("it exports");

    let mut lines = Vec::new();
    for metric in exporter
        .get_finished_metrics()
        .expect("it has exported")
        .iter()
        .flat_map(|all| all.scope_metrics())
        .flat_map(|scope| scope.metrics())
    {
        match metric.data() {
            AggregatedMetrics::U64(MetricData::Sum(sum)) => {
                assert!(sum.is_monotonic());
                lines.extend(sum.data_points().map(|point| {
                    let labels: Vec<_> = point.attributes().map(|it| it.value.as_str()).collect();
                    format!("{} {} {}", metric.name(), labels.concat(), point.value())
                }));
            }
            AggregatedMetrics::F64(MetricData::Sum(sum)) => {
                let sum: f64 = sum.data_points().map(|point| point.value()).sum();
                lines.push(format!("{} {}", metric.name(), sum > 0.0));
            }
            other => panic!("{}: {other:?}", metric.name()),
        }
    }
    for line in [
        "sessions.created  1",
        "sessions.loaded  2",
        "sessions.store.calls load 2",
        "sessions.store.failures load 0",
        "sessions.store.time true",
    ] {
        assert!(lines.iter().any(|there| there == line), "{line}: {lines:#?}");
    }
}
