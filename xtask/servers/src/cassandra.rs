//! Apache Cassandra from Maven Central, one node.

use std::fs;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::server::{Kind, Place, Server};
use crate::{cache, cql};

/// A Cassandra node.
pub type Cassandra = Server<CassandraOptions>;

/// The version that is run.
const VERSION: &str = "5.0.9";

/// What Cassandra reaches by reflection in the JDK.
const OPENS: [&str; 17] = [
    "java.base/java.io",
    "java.base/java.lang",
    "java.base/java.lang.module",
    "java.base/java.lang.reflect",
    "java.base/java.nio",
    "java.base/java.util",
    "java.base/java.util.concurrent",
    "java.base/java.util.concurrent.atomic",
    "java.base/jdk.internal.loader",
    "java.base/jdk.internal.math",
    "java.base/jdk.internal.module",
    "java.base/jdk.internal.ref",
    "java.base/jdk.internal.reflect",
    "java.base/jdk.internal.util.jar",
    "java.base/sun.nio.ch",
    "java.rmi/sun.rmi.transport.tcp",
    "jdk.management/com.sun.management.internal",
];
/// What Cassandra uses of the JDK's internals.
const EXPORTS: [&str; 10] = [
    "java.base/java.lang.ref",
    "java.base/jdk.internal.misc",
    "java.base/jdk.internal.ref",
    "java.base/sun.nio.ch",
    "java.management.rmi/com.sun.jmx.remote.internal.rmi",
    "java.rmi/sun.rmi.registry",
    "java.rmi/sun.rmi.server",
    "java.sql/java.sql",
    "jdk.unsupported/sun.misc",
    "jdk.compiler/com.sun.tools.javac.file",
];
const LOGBACK: &str = r#"<configuration>
  <appender name="OUT" class="ch.qos.logback.core.ConsoleAppender">
    <encoder><pattern>%-5level [%thread] %date{ISO8601} %F:%L - %msg%n</pattern></encoder>
  </appender>
  <root level="INFO"><appender-ref ref="OUT"/></root>
</configuration>
"#;

/// What a Cassandra node is created with.
#[derive(Debug, Clone)]
pub struct CassandraOptions {
    /// Port; any free one when `None`.
    pub port: Option<u16>,
    /// Heap in megabytes.
    pub heap_mb: u32,
    /// Listen on all addresses and tell clients this one; on 127.0.0.1 alone when `None`.
    pub public_address: Option<Ipv4Addr>,
}

impl Default for CassandraOptions {
    fn default() -> Self {
        Self { port: None, heap_mb: 256, public_address: None }
    }
}

impl Kind for CassandraOptions {
    const NAME: &'static str = "Cassandra";

    fn wanted_port(&self) -> Option<u16> {
        self.port
    }

    fn install() -> Result<()> {
        jars().map(drop)
    }

    fn prepare(&self, place: &Place) -> Result<()> {
        fs::write(place.dir.join("cassandra.yaml"), self.configuration(place))?;
        fs::write(place.dir.join("logback.xml"), LOGBACK)?;
        Ok(())
    }

    fn command(&self, place: &Place) -> Result<Command> {
        let (jars, dir, heap) = (jars()?, place.dir.display(), self.heap_mb);
        let mut java = Command::new("java");
        java.args([format!("-Xms{heap}m"), format!("-Xmx{heap}m")]);
        java.args(["-Xss256k", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData"]);
        java.args(["-XX:MaxDirectMemorySize=128m", "-Djava.net.preferIPv4Stack=true"]);
        java.args(["-Djdk.attach.allowAttachSelf=true", "-Dcassandra-foreground=yes"]);
        java.arg("-Dio.netty.tryReflectionSetAccessible=true");
        java.arg(format!("-javaagent:{}", jamm(&jars)?.display()));
        java.args(OPENS.map(|package| format!("--add-opens={package}=ALL-UNNAMED")));
        java.args(EXPORTS.map(|package| format!("--add-exports={package}=ALL-UNNAMED")));
        java.arg(format!("-Dcassandra.config=file://{dir}/cassandra.yaml"));
        java.arg(format!("-Dlogback.configurationFile=file://{dir}/logback.xml"));
        java.arg(format!("-Dcassandra.storagedir={dir}/data"));
        java.arg(format!("-Dcassandra.logdir={dir}"));
        // One node has nobody to wait for.
        for wait in ["superuser_setup_delay_ms", "ring_delay_ms", "skip_wait_for_gossip_to_settle"]
        {
            java.arg(format!("-Dcassandra.{wait}=0"));
        }
        java.arg("-cp").arg(format!("{dir}:{}/*", jars.display()));
        java.arg("org.apache.cassandra.service.CassandraDaemon");
        Ok(java)
    }

    fn ready(&self, place: &Place) -> bool {
        cql::ready(place.port)
    }
}

impl CassandraOptions {
    /// `cassandra.yaml`: small, alone, and every write on the disk before it is acknowledged.
    fn configuration(&self, place: &Place) -> String {
        let Place { dir, port, inner_port } = place;
        let data = dir.join("data");
        let data = data.display();
        let rpc = match self.public_address {
            Some(address) => format!("0.0.0.0\nbroadcast_rpc_address: {address}"),
            None => "127.0.0.1".to_owned(),
        };
        format!(
            "cluster_name: test
num_tokens: 1
initial_token: 0
partitioner: org.apache.cassandra.dht.Murmur3Partitioner
authenticator: AllowAllAuthenticator
authorizer: AllowAllAuthorizer
role_manager: CassandraRoleManager
seed_provider:
  - class_name: org.apache.cassandra.locator.SimpleSeedProvider
    parameters:
      - seeds: \"127.0.0.1:{inner_port}\"
endpoint_snitch: SimpleSnitch
listen_address: 127.0.0.1
storage_port: {inner_port}
rpc_address: {rpc}
start_native_transport: true
native_transport_port: {port}
auto_bootstrap: false
data_file_directories: [\"{data}/data\"]
commitlog_directory: \"{data}/commitlog\"
saved_caches_directory: \"{data}/saved_caches\"
hints_directory: \"{data}/hints\"
cdc_raw_directory: \"{data}/cdc_raw\"
commitlog_sync: batch
commitlog_segment_size: 4MiB
disk_failure_policy: stop
commit_failure_policy: stop
concurrent_reads: 4
concurrent_writes: 4
concurrent_compactors: 1
memtable_heap_space: 64MiB
memtable_offheap_space: 32MiB
file_cache_size: 32MiB
key_cache_size: 4MiB
counter_cache_size: 0MiB
row_cache_size: 0MiB
internode_compression: none
"
        )
    }
}

impl Server<CassandraOptions> {
    /// Runs one CQL statement; the rows of the answer are lists of texts (columns of other types as their bytes' text).
    pub fn query(&self, statement: &str) -> Result<Vec<Vec<Option<String>>>> {
        cql::query(self.place.port, statement)
            .with_context(|| format!("Cassandra refused {statement}"))
    }
}

fn jars() -> Result<PathBuf> {
    let artifact = format!("org.apache.cassandra:cassandra-all:{VERSION}");
    cache::jars(&format!("cassandra-{VERSION}"), &[artifact])
}

/// The agent by which Cassandra measures its objects; its version is Cassandra's affair.
fn jamm(jars: &std::path::Path) -> Result<PathBuf> {
    let mut files = fs::read_dir(jars)?.flatten().map(|entry| entry.path());
    let is_jamm = |path: &PathBuf| {
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("jamm-"))
    };
    files.find(is_jamm).context("no jamm-*.jar among Cassandra's jars")
}
