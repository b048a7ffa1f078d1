//! Kafka as it is in the field: a worker that has to log in, and may not create topics.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rcgen::{CertificateParams, KeyPair};
use serde_json::{Value, json};
use xtask::build::{self, Profile};
use xtask::http::{self, Reply};
use xtask_servers::port::free_port;
use xtask_servers::{Kafka, KafkaOptions, KafkaSecurity, Process, wait_until};

const PATIENCE: Duration = Duration::from_secs(120);
const PASSWORD: &str = "s3cret-of-connect";

/// A worker that logs in as someone.
struct Worker {
    process: Process,
    url: String,
}

impl Worker {
    /// Spawns the program with what a properties file says.
    fn spawn(
        program: &Path,
        dir: &Path,
        kafka: &Kafka,
        user: &str,
        password: &str,
    ) -> Result<Self> {
        let port = free_port()?;
        let sasl = kafka.security().context("no SASL")?.sasl;
        let properties = format!(
            "bootstrap.servers=127.0.0.1:{sasl}\ngroup.id=connect-field\nlisteners=http://127.0.0.1:{port}\n\
             config.storage.replication.factor=1\noffset.storage.replication.factor=1\nstatus.storage.replication.factor=1\n\
             offset.storage.partitions=1\nstatus.storage.partitions=1\n\
             key.converter=org.apache.kafka.connect.storage.StringConverter\n\
             value.converter=org.apache.kafka.connect.storage.StringConverter\n\
             security.protocol=SASL_PLAINTEXT\nsasl.mechanism=SCRAM-SHA-512\n\
             sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required username=\"{user}\" \
             password=\"{password}\";\n\
             producer.compression.type=zstd\nconsumer.isolation.level=read_committed\nadmin.request.timeout.ms=20000\n\
             connector.client.config.override.policy=Principal\n"
        );
        let file = dir.join("worker.properties");
        fs::write(&file, properties)?;
        let mut command = Command::new(program);
        command.arg("worker").arg(&file);
        let process = Process::spawn("connect", &command, &dir.join("connect"))?;
        Ok(Self { process, url: format!("http://127.0.0.1:{port}") })
    }

    fn wait_ready(&mut self) -> Result<()> {
        let url = format!("{}/health", self.url);
        self.process.wait_ready(PATIENCE, || http::get(&url).is_ok_and(|reply| reply.status == 200))
    }

    fn create(&self, name: &str, config: &Value) -> Result<Reply> {
        let body = json!({"name": name, "config": config}).to_string();
        http::post(&format!("{}/connectors", self.url), &body)
    }

    /// Waits until the connector's task is in a state, and returns its trace.
    fn wait_until_task(&self, name: &str, state: &str) -> Result<String> {
        let url = format!("{}/connectors/{name}/status", self.url);
        wait_until(&format!("the task of {name} to be {state}"), PATIENCE, || {
            let task = http::get(&url).ok()?.json().ok()?["tasks"][0].clone();
            (task["state"] == state).then(|| task["trace"].as_str().unwrap_or_default().to_owned())
        })
    }
}

fn source(file: &Path, topic: &str) -> Value {
    json!({"connector.class": "FileStreamSource", "tasks.max": "1", "file": file, "topic": topic})
}

struct Field {
    dir: PathBuf,
    program: PathBuf,
    kafka: Kafka,
}

impl Field {
    fn start(dir: &Path) -> Result<Self> {
        let programs = build::programs(&["api"], Profile::Debug)?;
        let key = KeyPair::generate()?;
        let certificate =
            CertificateParams::new(vec!["localhost".to_owned()])?.self_signed(&key)?;
        let pem = certificate.pem();
        let users = [("admin", PASSWORD), ("connect", PASSWORD)];
        let security = KafkaSecurity::new(&pem, (&pem, &key.serialize_pem()), &users)?;
        let options = KafkaOptions { heap_mb: 256, security: Some(security), ..Default::default() };
        let kafka = Kafka::start(&dir.join("kafka"), options)?;
        let field =
            Self { dir: dir.to_owned(), program: programs.path("connect")?.to_owned(), kafka };
        // To use everything that is called so, and to create nothing.
        let prefixed = ["--resource-pattern-type", "prefixed", "--operation", "Read"];
        field.allow(&[&["--topic", "connect-", "--operation", "Write"], &prefixed[..]].concat())?;
        field.allow(&[&["--group", "connect-"], &prefixed[..]].concat())?;
        Ok(field)
    }

    fn allow(&self, what: &[&str]) -> Result<()> {
        let address = self.kafka.address();
        let who = ["--bootstrap-server", &address, "--add", "--allow-principal", "User:connect"];
        self.kafka.tool("org.apache.kafka.tools.AclCommand", &[&who[..], what].concat()).map(drop)
    }

    fn worker(&self, user: &str) -> Result<Worker> {
        let mut worker = Worker::spawn(&self.program, &self.dir, &self.kafka, user, PASSWORD)?;
        worker.wait_ready()?;
        Ok(worker)
    }

    fn log(&self) -> String {
        fs::read_to_string(self.dir.join("connect")).unwrap_or_default()
    }

    fn run(&self) -> Result<()> {
        self.a_wrong_password_ends_the_worker()?;
        let (from, to) = (self.dir.join("from"), self.dir.join("to"));
        fs::write(&from, "one\n")?;
        // Someone who may creates the topics.
        let mut admin = self.worker("admin")?;
        let created = admin.create("source", &source(&from, "connect-there"))?;
        ensure!(created.status == 201, "{created:?}");
        let sink =
            json!({"connector.class": "FileStreamSink", "topics": "connect-there", "file": to});
        ensure!(admin.create("sink", &sink)?.status == 201);
        self.wait_until_written(&to, "one\n")?;
        admin.process.terminate(PATIENCE)?;

        let worker = self.worker("connect")?;
        fs::write(&from, "one\ntwo\n")?;
        self.wait_until_written(&to, "one\ntwo\n")?;

        let refused = worker.create("missing", &source(&from, "connect-missing"))?;
        ensure!(refused.status == 201, "{refused:?}");
        let trace = worker.wait_until_task("missing", "FAILED")?;
        ensure!(trace.contains("connect-missing") && trace.contains("CREATE"), "{trace}");
        let mut creating = source(&from, "connect-missing");
        creating["topic.creation.default.partitions"] = "1".into();
        creating["topic.creation.default.replication.factor"] = "1".into();
        ensure!(worker.create("creating", &creating)?.status == 201);
        let trace = worker.wait_until_task("creating", "FAILED")?;
        ensure!(trace.contains("cannot create topic (topic=connect-missing"), "{trace}");

        // Who is allowed to says by whom topics are created.
        let jaas = format!(
            "org.apache.kafka.common.security.scram.ScramLoginModule required username=\"admin\" password=\"{PASSWORD}\";"
        );
        creating["topic"] = "connect-made".into();
        creating["admin.override.sasl.jaas.config"] = jaas.into();
        ensure!(worker.create("administered", &creating)?.status == 201);
        worker.wait_until_task("administered", "RUNNING")?;
        let mut reading = sink.clone();
        reading["topics"] = "connect-made".into();
        reading["file"] = json!(self.dir.join("made"));
        ensure!(worker.create("made", &reading)?.status == 201);
        self.wait_until_written(&self.dir.join("made"), "one\ntwo\n")?;

        let mut overriding = source(&from, "connect-there");
        overriding["producer.override.acks"] = "1".into();
        let refused = worker.create("overriding", &overriding)?;
        let said = "The 'Principal' policy does not allow 'acks' to be overridden in the connector configuration.";
        ensure!(refused.status == 400 && refused.body.contains(said), "{refused:?}");
        ensure!(!self.log().contains(PASSWORD), "the log shows the password");
        Ok(())
    }

    fn a_wrong_password_ends_the_worker(&self) -> Result<()> {
        let wrong = "wr0ng-s3cret";
        let mut worker = Worker::spawn(&self.program, &self.dir, &self.kafka, "connect", wrong)?;
        let ended =
            wait_until("the worker to give up", PATIENCE, || worker.process.exited().transpose())??;
        let log = self.log();
        ensure!(!ended.success() && log.contains("uthentication"), "{ended}: {log}");
        ensure!(!log.contains(wrong), "the password is shown: {log}");
        Ok(())
    }

    fn wait_until_written(&self, file: &Path, text: &str) -> Result<()> {
        wait_until(&format!("{text:?} in {}", file.display()), PATIENCE, || {
            fs::read_to_string(file).is_ok_and(|found| found == text).then_some(())
        })
    }
}

#[test]
fn a_worker_that_logs_in_and_may_not_create_topics() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut field = None;
    let result = Field::start(dir.path()).and_then(|started| field.insert(started).run());
    if let Err(error) = result {
        let log = field.map(|field| field.log()).unwrap_or_default();
        panic!("{error:#}\n{log}");
    }
}
