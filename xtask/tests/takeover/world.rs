//! Kafka, the databases, and whichever worker runs on them.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use xtask::http;
use xtask_servers::port::free_port;
use xtask_servers::{
    ConnectJvm, ConnectJvmOptions, Kafka, KafkaOptions, MariaDb, MariaDbOptions, Postgres,
    PostgresOptions, Process, connect_plugins, wait_until,
};

pub(crate) const PATIENCE: Duration = Duration::from_secs(120);
/// Rows, or lines, that are written at a time.
const ROWS: u64 = 100;
const TOPICS: &str = "org.apache.kafka.tools.GetOffsetShell";
const GROUPS: &str = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand";

pub(crate) struct World {
    dir: PathBuf,
    kafka: Kafka,
    databases: Option<(Postgres, MariaDb)>,
    pub(crate) properties: PathBuf,
    port: u16,
    written: u64,
}

/// What REST tells of a cluster, without what may differ between two workers.
#[derive(Debug, PartialEq)]
pub(crate) struct Seen {
    pub(crate) connectors: Value,
    pub(crate) offsets: BTreeMap<String, Value>,
}

impl World {
    pub(crate) fn start(dir: &Path) -> Result<Self> {
        let port = free_port()?;
        let plugins = dir.join("plugins");
        let kafka = Kafka::start(&dir.join("kafka"), KafkaOptions::default())?;
        let databases = if connect_plugins(&plugins)? {
            let postgres = Postgres::start(&dir.join("postgres"), PostgresOptions::default())?;
            let mariadb = MariaDb::start(&dir.join("mariadb"), MariaDbOptions::default())?;
            for table in ["orders", "people", "rests"] {
                postgres.query(&format!(
                    "CREATE TABLE {table} (id bigint PRIMARY KEY, v varchar(100) NOT NULL, \
                     updated_at timestamp NOT NULL DEFAULT clock_timestamp())"
                ))?;
            }
            Some((postgres, mariadb))
        } else {
            eprintln!(
                "the JVM's JDBC connector is not here: only the file connectors are taken over"
            );
            None
        };
        let (properties, secrets) = (dir.join("worker.properties"), dir.join("secrets"));
        fs::write(&secrets, "password=password\n")?;
        fs::write(
            &properties,
            format!(
                "bootstrap.servers={}\ngroup.id=moving\nconfig.storage.topic=moving-configs\n\
                 offset.storage.topic=moving-offsets\nstatus.storage.topic=moving-status\n\
                 config.storage.replication.factor=1\noffset.storage.replication.factor=1\n\
                 status.storage.replication.factor=1\noffset.storage.partitions=3\nstatus.storage.partitions=2\n\
                 key.converter=org.apache.kafka.connect.json.JsonConverter\n\
                 value.converter=org.apache.kafka.connect.json.JsonConverter\n\
                 config.providers=file\n\
                 config.providers.file.class=org.apache.kafka.common.config.provider.FileConfigProvider\n\
                 offset.flush.interval.ms=1000\nlisteners=http://127.0.0.1:{port}\n\
                 rest.advertised.host.name=127.0.0.1\nconsumer.metadata.max.age.ms=1000\nplugin.path={}\n",
                kafka.address(),
                dir.join("plugins").display()
            ),
        )?;
        let dir = dir.to_owned();
        Ok(Self { dir, kafka, databases, properties, port, written: 0 })
    }

    pub(crate) fn jvm(&self) -> Result<ConnectJvm> {
        let options = ConnectJvmOptions {
            port: self.port,
            properties: self.properties.clone(),
            heap_mb: 512,
        };
        ConnectJvm::start(&self.dir.join("jvm"), options)
    }

    pub(crate) fn ours(&self, connect: &Path) -> Result<Process> {
        let mut command = Command::new(connect);
        command.arg("worker").arg(&self.properties).env("NO_COLOR", "1");
        let mut process = Process::spawn("connect", &command, &self.dir.join("connect"))?;
        let url = self.url("/health");
        process.wait_ready(PATIENCE, || http::get(&url).is_ok_and(|reply| reply.status == 200))?;
        Ok(process)
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    pub(crate) fn get(&self, path: &str) -> Result<Value> {
        let reply = http::get(&self.url(path))?;
        ensure!(reply.status == 200, "{path}: {} {}", reply.status, reply.body);
        reply.json()
    }

    pub(crate) fn put(&self, path: &str, body: &str) -> Result<()> {
        let json = [("Content-Type", "application/json")];
        let reply = http::send("PUT", &self.url(path), &json, body)?;
        ensure!(reply.status < 300, "{path}: {} {}", reply.status, reply.body);
        Ok(())
    }

    pub(crate) fn file(&self, name: &str) -> String {
        self.dir.join(name).display().to_string()
    }

    /// The connectors, each with the state that it is given once it has run.
    pub(crate) fn connectors(&self) -> Vec<(&'static str, &'static str, Value)> {
        let from_file = |name: &str, topic: &str| {
            json!({"connector.class": "org.apache.kafka.connect.file.FileStreamSourceConnector",
                "file": self.file(name), "topic": topic, "transforms": "hoist,origin,route",
                "transforms.hoist.type": "org.apache.kafka.connect.transforms.HoistField$Value",
                "transforms.hoist.field": "line",
                "transforms.origin.type": "org.apache.kafka.connect.transforms.InsertField$Value",
                "transforms.origin.static.field": "origin", "transforms.origin.static.value": "file",
                "transforms.route.type": "org.apache.kafka.connect.transforms.RegexRouter",
                "transforms.route.regex": "(.*)", "transforms.route.replacement": "moved-$1"})
        };
        let to_file = |name: &str, topic: &str| {
            json!({"connector.class": "FileStreamSink", "file": self.file(name), "topics": topic,
                "transforms": "line", "transforms.line.field": "line",
                "transforms.line.type": "org.apache.kafka.connect.transforms.ExtractField$Value"})
        };
        let mut watched = from_file("in.txt", "lines");
        // A key that nobody reads, as configurations collect them.
        watched["file.of.the.moon"] = json!("blue");
        let mut all = vec![
            ("file-source", "RUNNING", watched),
            ("file-paused", "PAUSED", from_file("in.txt", "paused-lines")),
            ("file-stopped", "STOPPED", from_file("in.txt", "stopped-lines")),
            ("file-sink", "RUNNING", to_file("out.txt", "moved-lines")),
            ("file-sink-paused", "PAUSED", to_file("paused.txt", "moved-lines")),
            ("file-sink-stopped", "STOPPED", to_file("stopped.txt", "moved-lines")),
            ("file-failed", "FAILED", to_file("no/such/folder/out.txt", "moved-lines")),
        ];
        if let Some((postgres, mariadb)) = &self.databases {
            let source = |table: &str, mode: &str| {
                json!({"connector.class": "io.confluent.connect.jdbc.JdbcSourceConnector",
                    "connection.url": format!("jdbc:postgresql://127.0.0.1:{}/mydb", postgres.port()),
                    "connection.user": "user", "connection.password": format!("${{file:{}:password}}", self.file("secrets")),
                    "table.whitelist": table, "mode": mode, "incrementing.column.name": "id",
                    "timestamp.column.name": "updated_at", "topic.prefix": "pg-", "poll.interval.ms": "200",
                    "poll.linger.ms": "100", "batch.max.rows": "17", "transforms": "key,id,origin,route",
                    "transforms.key.type": "org.apache.kafka.connect.transforms.ValueToKey", "transforms.key.fields": "id",
                    "transforms.id.type": "org.apache.kafka.connect.transforms.ExtractField$Key", "transforms.id.field": "id",
                    "transforms.origin.type": "org.apache.kafka.connect.transforms.InsertField$Value",
                    "transforms.origin.static.field": "origin", "transforms.origin.static.value": "pg",
                    "transforms.route.type": "org.apache.kafka.connect.transforms.RegexRouter",
                    "transforms.route.regex": "pg-(.*)", "transforms.route.replacement": "$1-v1"})
            };
            let sink = |topics: &str, table: &str| {
                json!({"connector.class": "io.confluent.connect.jdbc.JdbcSinkConnector", "tasks.max": "2",
                    "connection.url": format!("jdbc:mysql://127.0.0.1:{}/mysql-db-sync", mariadb.port()),
                    "connection.user": "user", "connection.password": "123", "topics": topics,
                    "table.name.format": table, "auto.create": "true", "insert.mode": "insert", "pk.mode": "none"})
            };
            let mut incrementing = source("orders", "incrementing");
            incrementing.as_object_mut().expect("an object").remove("timestamp.column.name");
            all.extend([
                ("jdbc-incrementing", "RUNNING", incrementing),
                ("jdbc-timestamp", "RUNNING", source("people", "timestamp+incrementing")),
                ("jdbc-paused", "PAUSED", source("rests", "timestamp+incrementing")),
                ("jdbc-sink", "RUNNING", sink("orders-v1,people-v1", "copy_${topic}")),
                ("jdbc-sink-stopped", "STOPPED", sink("orders-v1", "stopped_orders")),
            ]);
        }
        all
    }

    pub(crate) fn create(&self) -> Result<()> {
        for (name, _, config) in self.connectors() {
            let config = config.to_string();
            self.put(&format!("/connectors/{name}/config"), &config)?;
        }
        Ok(())
    }

    /// Pauses and stops those that are to be so.
    pub(crate) fn set_states(&self) -> Result<()> {
        for (name, state, _) in self.connectors() {
            match state {
                "PAUSED" => self.put(&format!("/connectors/{name}/pause"), "")?,
                "STOPPED" => self.put(&format!("/connectors/{name}/stop"), "")?,
                _ => {}
            }
        }
        Ok(())
    }

    pub(crate) fn resume(&self) -> Result<()> {
        for (name, state, _) in self.connectors() {
            if state == "PAUSED" || state == "STOPPED" {
                self.put(&format!("/connectors/{name}/resume"), "")?;
            }
        }
        Ok(())
    }

    /// Waits until every connector and task is in the state that it should have.
    pub(crate) fn states(&self, wanted: impl Fn(&'static str) -> &'static str) -> Result<()> {
        let mut last = String::new();
        let reached = wait_until("every connector in its state", PATIENCE, || {
            let all = self.get("/connectors?expand=status").ok()?;
            let wrong = self.connectors().into_iter().find_map(|(name, state, _)| {
                let (state, status) = (wanted(state), &all[name]["status"]);
                let tasks = status["tasks"].as_array()?;
                // The instance of a connector whose task failed runs on.
                let own = if state == "FAILED" { "RUNNING" } else { state };
                let good = status["connector"]["state"] == own
                    && tasks.is_empty() == (state == "STOPPED")
                    && tasks.iter().all(|task| task["state"] == state);
                (!good).then(|| status.to_string())
            });
            last = wrong.unwrap_or_default();
            last.is_empty().then_some(())
        });
        reached.with_context(|| last.clone())
    }

    /// Writes rows and lines.
    pub(crate) fn write(&mut self) -> Result<()> {
        let from = self.written;
        self.written += ROWS;
        let lines: String = (from..self.written).map(|n| format!("line {n}\n")).collect();
        let file = OpenOptions::new().create(true).append(true).open(self.dir.join("in.txt"));
        file?.write_all(lines.as_bytes())?;
        if let Some((postgres, _)) = &self.databases {
            for table in ["orders", "people", "rests"] {
                postgres.query(&format!(
                    "INSERT INTO {table} (id, v) SELECT n, 'v' || n FROM generate_series({from} + 1, {}) n",
                    self.written
                ))?;
            }
        }
        Ok(())
    }

    /// Waits until what runs has all that was written, once; with `all`, also what had been paused or stopped.
    pub(crate) fn arrived(&self, all: bool) -> Result<()> {
        let mut files = vec!["out.txt"];
        let mut tables = vec!["copy_orders-v1", "copy_people-v1"];
        if all {
            files.extend(["paused.txt", "stopped.txt"]);
            tables.push("stopped_orders");
        }
        for file in files {
            let lines = || fs::read_to_string(self.dir.join(file)).unwrap_or_default();
            let come = wait_until(file, PATIENCE, || {
                (lines().lines().count() as u64 >= self.written).then_some(())
            });
            come.with_context(|| format!("{} lines of {}", lines().lines().count(), self.written))?;
            let wanted: Vec<_> = (0..self.written).map(|n| format!("line {n}")).collect();
            ensure!(lines().lines().eq(wanted), "{file} has other lines: {}", lines());
        }
        let Some((_, mariadb)) = &self.databases else { return Ok(()) };
        for table in tables {
            let sql =
                format!("SELECT count(*), count(DISTINCT id), min(id), max(id) FROM `{table}`");
            let wanted = format!("{0}\t{0}\t1\t{0}", self.written);
            let come = wait_until(table, PATIENCE, || {
                mariadb.query(&sql).is_ok_and(|found| found == wanted).then_some(())
            });
            come.with_context(|| format!("{:?}, not {wanted}", mariadb.query(&sql)))?;
        }
        Ok(())
    }

    /// What the cluster tells of its connectors.
    pub(crate) fn seen(&self) -> Result<Seen> {
        let mut connectors = self.get("/connectors?expand=info&expand=status")?;
        let mut offsets = BTreeMap::new();
        for (name, connector) in connectors.as_object_mut().context("no connectors")? {
            let mut found = self.get(&format!("/connectors/{name}/offsets"))?;
            if let Some(found) = found["offsets"].as_array_mut() {
                found.sort_by_key(ToString::to_string);
            }
            offsets.insert(name.clone(), found);
            let status = &mut connector["status"];
            // Of the plugin, which is another program here.
            status["connector"].as_object_mut().and_then(|own| own.remove("version"));
            let tasks = status["tasks"].as_array_mut().into_iter().flatten();
            for task in tasks {
                task.as_object_mut().and_then(|task| task.remove("version"));
                // A stack trace there, a chain of causes here.
                let trace = task.as_object_mut().and_then(|task| task.remove("trace"));
                ensure!((task["state"] == "FAILED") == trace.is_some(), "{task} {trace:?}");
            }
        }
        Ok(Seen { connectors, offsets })
    }

    /// Offsets of consumer groups and ends of topics, as Kafka's own tools have them.
    pub(crate) fn kafka(&self) -> Result<(Vec<String>, Vec<String>)> {
        let address = self.kafka.address();
        let groups = self
            .kafka
            .tool(GROUPS, &["--bootstrap-server", &address, "--all-groups", "--describe"])?;
        // Group, topic, partition, current offset; what follows tells of members, of which none is left.
        let mut groups: Vec<_> = groups
            .lines()
            .filter(|line| line.starts_with("connect-"))
            .map(|line| line.split_whitespace().take(4).collect::<Vec<_>>().join(" "))
            .collect();
        groups.sort();
        let topics = self.kafka.tool(TOPICS, &["--bootstrap-server", &address])?;
        let is_data = |line: &&str| line.contains("-v1:") || line.contains("-lines:");
        let topics = topics.lines().filter(is_data).map(str::to_owned).collect();
        Ok((groups, topics))
    }

    /// Ends of all topics, and all groups.
    pub(crate) fn everything(&self) -> Result<String> {
        let address = self.kafka.address();
        let topics = self.kafka.tool(TOPICS, &["--bootstrap-server", &address])?;
        let groups = self.kafka.tool(GROUPS, &["--bootstrap-server", &address, "--list"])?;
        // The tools log to the same place, and that tells the time.
        let is_answer = |line: &&str| !line.starts_with(['[', '\t']) && !line.is_empty();
        Ok(topics.lines().chain(groups.lines()).filter(is_answer).collect::<Vec<_>>().join("\n"))
    }
}
