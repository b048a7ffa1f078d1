//! The original: Apache Kafka Connect's distributed worker from Maven Central, for tests that compare or take over.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use std::{env, io};

use anyhow::{Context, Result};

use crate::server::{Kind, Place, Server};
use crate::{cache, output_of};

/// A distributed worker of Apache Kafka Connect.
pub type ConnectJvm = Server<ConnectJvmOptions>;

/// The version that is run.
const VERSION: &str = "4.3.1";
/// The JDBC connector, as the cache or `FERROVIA_JDBC_PLUGIN` has it.
const JDBC: &str = "kafka-connect-jdbc-10.9.7";
/// Names the folder of jars of the JDBC connector.
const JDBC_VARIABLE: &str = "FERROVIA_JDBC_PLUGIN";

/// What a worker is run with.
#[derive(Debug, Clone)]
pub struct ConnectJvmOptions {
    /// The port that the properties make it listen on, of 127.0.0.1.
    pub port: u16,
    /// The worker's properties, used as they are.
    pub properties: PathBuf,
    /// Heap in megabytes.
    pub heap_mb: u32,
}

impl Kind for ConnectJvmOptions {
    const NAME: &'static str = "Kafka Connect";

    fn wanted_port(&self) -> Option<u16> {
        Some(self.port)
    }

    fn install() -> Result<()> {
        jars().and(file_connectors()).map(drop)
    }

    fn prepare(&self, place: &Place) -> Result<()> {
        let log = "rootLogger.level=INFO\nrootLogger.appenderRef.o.ref=o\nappender.o.type=Console\nappender.o.name=o\n\
                   appender.o.layout.type=PatternLayout\nappender.o.layout.pattern=[%d] %p %m (%c)%n\n";
        Ok(fs::write(place.dir.join("log4j2.properties"), log)?)
    }

    fn command(&self, place: &Place) -> Result<Command> {
        let mut java = Command::new("java");
        java.arg(format!("-Xmx{}m", self.heap_mb));
        // It lives for a minute: what a start costs matters most.
        java.args(["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Djava.awt.headless=true"]);
        let log = place.dir.join("log4j2.properties");
        java.arg(format!("-Dlog4j2.configurationFile={}", log.display()));
        java.arg("-cp").arg(jars()?.join("*"));
        java.arg("org.apache.kafka.connect.cli.ConnectDistributed").arg(&self.properties);
        Ok(java)
    }

    fn ready(&self, place: &Place) -> bool {
        answers(place.port).unwrap_or(false)
    }
}

/// Makes the folder `dir` for `plugin.path`, with the file connectors, and the JDBC connector where it can be had: no package
/// registry has it, so somebody must have put its jars into `kafka-connect-jdbc-10.9.7` of the cache, or where
/// `FERROVIA_JDBC_PLUGIN` says. Whether it is there.
pub fn connect_plugins(dir: &Path) -> Result<bool> {
    fs::create_dir_all(dir)?;
    let link = |from: &Path, name: &str| {
        let to = dir.join(name);
        std::os::unix::fs::symlink(from, &to).with_context(|| format!("{}", to.display()))
    };
    link(&file_connectors()?, "file")?;
    let jdbc = env::var_os(JDBC_VARIABLE).map_or_else(|| cache::dir().join(JDBC), PathBuf::from);
    if !jdbc.is_dir() {
        return Ok(false);
    }
    link(&jdbc.canonicalize()?, "jdbc")?;
    Ok(true)
}

/// Compiles Java sources, given by file name, into the folder `name` of the `plugin.path` folder `dir`.
pub fn compile_connect_plugin(dir: &Path, name: &str, sources: &[(&str, &str)]) -> Result<()> {
    let (place, code) = (dir.join(name), dir.with_extension(name));
    fs::create_dir_all(&code)?;
    let mut javac = Command::new("javac");
    javac.args(["-nowarn", "-d"]).arg(code.join("classes")).arg("-cp").arg(jars()?.join("*"));
    for (file, text) in sources {
        let file = code.join(file);
        fs::write(&file, text)?;
        javac.arg(file);
    }
    output_of(&mut javac)?;
    fs::create_dir_all(&place)?;
    let mut jar = Command::new("jar");
    jar.arg("cf").arg(place.join(format!("{name}.jar"))).arg("-C").arg(code.join("classes"));
    output_of(jar.arg(".")).map(drop)
}

/// It has read its topics when it lists connectors.
fn answers(port: u16) -> io::Result<bool> {
    let mut connection = TcpStream::connect(("127.0.0.1", port))?;
    connection.set_read_timeout(Some(Duration::from_secs(5)))?;
    connection.write_all(b"GET /connectors HTTP/1.0\r\n\r\n")?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer)?;
    Ok(answer.starts_with("HTTP/1.1 200"))
}

fn jars() -> Result<PathBuf> {
    let connect = ["connect-runtime", "connect-json", "connect-transforms"];
    let logging = ["log4j-slf4j-impl", "log4j-core", "log4j-1.2-api"];
    let connect = connect.map(|name| format!("org.apache.kafka:{name}:{VERSION}"));
    let logging = logging.map(|name| format!("org.apache.logging.log4j:{name}:2.25.3"));
    cache::jars(&format!("connect-{VERSION}"), &[&connect[..], &logging].concat())
}

fn file_connectors() -> Result<PathBuf> {
    let artifact = format!("org.apache.kafka:connect-file:{VERSION}");
    cache::jars(&format!("connect-file-{VERSION}"), &[artifact])
}
