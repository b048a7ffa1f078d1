//! Apache Kafka from Maven Central: one node that is broker and controller.

mod cluster;
mod security;

use std::fs;
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use crate::server::{Kind, Place, Server};
use crate::{cache, output_of};

pub use cluster::KafkaCluster;
pub use security::KafkaSecurity;

/// A Kafka broker.
pub type Kafka = Server<KafkaOptions>;

/// The version that is run.
const VERSION: &str = "4.3.1";
/// Any fixed identity will do for a cluster that nobody else joins.
const CLUSTER_ID: &str = "4XKkkyTpSEmUIkytWA_pUA";

/// What a Kafka broker is created with.
#[derive(Debug, Clone)]
pub struct KafkaOptions {
    /// Port; any free one when `None`.
    pub port: Option<u16>,
    /// Heap in megabytes.
    pub heap_mb: u32,
    /// Broker properties, as `name=value`; they win over ours.
    pub properties: Vec<String>,
    /// Listeners with SASL and TLS, and ACLs.
    pub security: Option<KafkaSecurity>,
}

impl Default for KafkaOptions {
    fn default() -> Self {
        Self { port: None, heap_mb: 512, properties: Vec::new(), security: None }
    }
}

impl Kind for KafkaOptions {
    const NAME: &'static str = "Kafka";

    fn wanted_port(&self) -> Option<u16> {
        self.port
    }

    fn install() -> Result<()> {
        jars().map(drop)
    }

    fn prepare(&self, place: &Place) -> Result<()> {
        let Place { dir, port, inner_port, .. } = place;
        let (data, properties) = (dir.join("data"), dir.join("server.properties"));
        fs::write(
            dir.join("log4j2.properties"),
            "rootLogger.level=INFO\nrootLogger.appenderRef.o.ref=o\nappender.o.type=Console\nappender.o.name=o\n\
             appender.o.layout.type=PatternLayout\nappender.o.layout.pattern=[%d] %p %m (%c)%n\n",
        )?;
        let security = self.security.as_ref();
        let more = security.map(|s| format!(",{}", s.listeners())).unwrap_or_default();
        fs::write(
            &properties,
            format!(
                "process.roles=broker,controller\nnode.id=1\ncontroller.quorum.voters=1@127.0.0.1:{inner_port}\n\
                 listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{inner_port}{more}\n\
                 advertised.listeners=PLAINTEXT://127.0.0.1:{port}{more}\ncontroller.listener.names=CONTROLLER\n\
                 log.dirs={}\noffsets.topic.replication.factor=1\noffsets.topic.num.partitions=4\n\
                 transaction.state.log.replication.factor=1\ntransaction.state.log.min.isr=1\n\
                 transaction.state.log.num.partitions=4\ngroup.initial.rebalance.delay.ms=0\n\
                 auto.create.topics.enable=true\n{}{}\n",
                data.display(),
                security.map(|s| s.properties(dir)).transpose()?.unwrap_or_default(),
                self.properties.join("\n")
            ),
        )?;
        if !data.join("meta.properties").exists() {
            let mut format = java(place, 128)?;
            format.args(["kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c"]);
            format.arg(&properties);
            output_of(
                format.args(security.map(KafkaSecurity::format_arguments).unwrap_or_default()),
            )?;
        }
        // Readiness is read from the log: it must be this start's.
        fs::write(place.log(), "")?;
        Ok(())
    }

    fn command(&self, place: &Place) -> Result<Command> {
        let mut kafka = java(place, self.heap_mb)?;
        kafka.arg("kafka.Kafka").arg(place.dir.join("server.properties"));
        Ok(kafka)
    }

    fn ready(&self, place: &Place) -> bool {
        let log = fs::read(place.log()).unwrap_or_default();
        String::from_utf8_lossy(&log).contains("Kafka Server started")
            && TcpStream::connect(("127.0.0.1", place.port)).is_ok()
    }
}

impl Server<KafkaOptions> {
    /// The listeners with SASL and TLS, if there are some.
    pub fn security(&self) -> Option<&KafkaSecurity> {
        self.kind.security.as_ref()
    }

    /// Runs one of Kafka's own tools by its class, such as `org.apache.kafka.tools.TopicCommand`; give it [`Server::address`] as
    /// bootstrap server. Returns what it prints.
    pub fn tool(&self, class: &str, args: &[&str]) -> Result<String> {
        output_of(java(&self.place, 128)?.arg(class).args(args))
    }
}

/// `java` with Kafka's jars, up to the main class.
fn java(place: &Place, heap_mb: u32) -> Result<Command> {
    let mut java = Command::new("java");
    java.arg(format!("-Xmx{heap_mb}m")).args(["-XX:+UseG1GC", "-Djava.awt.headless=true"]);
    java.arg(format!(
        "-Dlog4j2.configurationFile={}",
        place.dir.join("log4j2.properties").display()
    ));
    java.arg("-cp").arg(jars()?.join("*"));
    Ok(java)
}

fn jars() -> Result<PathBuf> {
    let kafka = ["kafka_2.13", "kafka-tools", "kafka-storage"];
    let logging = ["log4j-slf4j-impl", "log4j-core", "log4j-1.2-api"];
    let kafka = kafka.map(|name| format!("org.apache.kafka:{name}:{VERSION}"));
    let logging = logging.map(|name| format!("org.apache.logging.log4j:{name}:2.25.3"));
    cache::jars(&format!("kafka-{VERSION}"), &[&kafka[..], &logging].concat())
}
