//! Measurements in the Prometheus text format.

use std::fmt::Write as _;
use std::sync::OnceLock;
use std::time::Duration;

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tokio_util::sync::CancellationToken;

/// Upper bounds of the latency buckets, in seconds.
const BUCKETS: [f64; 14] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

const UPKEEP: Duration = Duration::from_secs(5);

/// The recorder of this process. None where the embedding program has installed one of its own.
pub(crate) fn recorder() -> Option<&'static PrometheusHandle> {
    static RECORDER: OnceLock<Option<PrometheusHandle>> = OnceLock::new();
    let install = || {
        let handle = PrometheusBuilder::new().set_buckets(&BUCKETS).ok()?.install_recorder().ok()?;
        metrics::describe_histogram!("http_server_request_duration_seconds", "Time to answer a request.");
        metrics::describe_gauge!("http_server_active_requests", "Requests being answered.");
        metrics::describe_counter!("http_server_shed_total", "Requests turned away because too many were under way.");
        metrics::describe_gauge!("http_server_connections", "Open connections.");
        metrics::describe_gauge!("websocket_connections", "Open WebSockets.");
        metrics::describe_counter!("graphql_requests_total", "GraphQL requests by type and outcome.");
        metrics::describe_counter!("ordercenter_webhook_rejected_total", "Webhooks refused, by source and reason.");
        Some(handle)
    };
    RECORDER.get_or_init(install).as_ref()
}

/// Digests what was measured, so that it does not pile up where nobody asks for it.
pub(crate) async fn keep(stopping: CancellationToken) {
    let mut interval = tokio::time::interval(UPKEEP);
    while stopping.run_until_cancelled(interval.tick()).await.is_some() {
        if let Some(recorder) = recorder() {
            recorder.run_upkeep();
        }
    }
}

/// Everything measured up to now.
pub(crate) fn render(handle: &PrometheusHandle) -> String {
    let mut text = handle.render();
    let _ = write_process(&mut text); // Writing to a String does not fail; elsewhere than on Linux there is no /proc.
    text
}

/// What Prometheus clients of every language tell of their process.
fn write_process(text: &mut String) -> Option<()> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The second field is the program's name in parentheses and may hold anything.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok(); // numbered as in proc(5)
    let ticks = field(14)? + field(15)?; // of 10 ms, on every Linux
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let resident = line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1024;
    writeln!(text, "# TYPE process_cpu_seconds_total counter").ok()?;
    writeln!(text, "process_cpu_seconds_total {}.{:02}", ticks / 100, ticks % 100).ok()?;
    writeln!(text, "# TYPE process_resident_memory_bytes gauge\nprocess_resident_memory_bytes {resident}").ok()?;
    let files = std::fs::read_dir("/proc/self/fd").ok()?.count();
    writeln!(text, "# TYPE process_open_fds gauge\nprocess_open_fds {files}").ok()
}
