//! The suite that every transport runs.

use connect_core_log::EmbeddedLog;
use connect_core_testkit::transport_suite;

#[tokio::test(flavor = "multi_thread")]
async fn keeps_its_promises() {
    let dir = tempfile::tempdir().unwrap();
    transport_suite(&EmbeddedLog::open(dir.path()).unwrap()).await;
}
