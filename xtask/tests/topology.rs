//! docker-compose.yml without containers: every service for real, on what the file gives it.
//!
//! Programs, servers and their environment are those of the file; host names are mapped to 127.0.0.1 by `--resolve`; in KrakenD's
//! place stands `xtask::gateway`, driven by the same krakend.json.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use xtask::build::{self, Profile, Programs};
use xtask::compose::Compose;
use xtask::gateway::Gateway;
use xtask::images::{kafka_properties, postgres_options, sql_options};
use xtask::{http, root};
use xtask_servers::port::{free_port, must_be_free};
use xtask_servers::{
    Cassandra, CassandraOptions, Kafka, KafkaOptions, Kind, MariaDb, MySql, MySqlOptions, Postgres,
    Process, wait_until,
};

const PATIENCE: Duration = Duration::from_secs(120);
const VALOR: &str = "Teste de integração";

#[test]
fn the_file_is_the_users_system() {
    let compose = Compose::read(&root().join("docker-compose.yml")).unwrap();
    for (name, host, port) in [
        ("cassandra", "cassandra-db", 9042),
        ("postgres", "postgres-db", 5432),
        ("mysql", "mysql-db", 3306),
        ("kafka", "kafka", 9092),
        ("kafka-connect", "kafka-connect", 8083),
        ("carga-service", "carga-service", 8000),
        ("sync-service", "sync-service", 3000),
        ("krakend", "krakend", 8080),
    ] {
        let service = compose.service(name).unwrap();
        assert_eq!((service.host.as_str(), &service.ports[..]), (host, &[(port, port)][..]));
        assert!(service.has_healthcheck, "{name} needs a health check");
    }
    for (name, service) in &compose.services {
        assert_eq!(service.networks, ["kafka-net"], "{name}");
        let version = service.image.as_deref().and_then(|image| image.rsplit_once(':'));
        assert!(version.is_some_and(|(_, v)| v.contains('.')), "{name} is not pinned: {version:?}");
        let missing = service.after.iter().find(|after| !compose.services.contains_key(*after));
        assert_eq!(missing, None, "{name} waits for what isn't there");
        for file in service.mounts.values() {
            assert!(file.exists(), "{name} mounts {}, which isn't there", file.display());
        }
    }
}

#[test]
fn a_record_goes_through_the_composed_system() {
    let dir = tempfile::tempdir().unwrap();
    let result = Topology::start(dir.path()).and_then(|mut topology| topology.check());
    if let Err(error) = result {
        for program in ["connect", "carga", "sync"] {
            let log = fs::read_to_string(dir.path().join(program)).unwrap_or_default();
            eprintln!("--- {program}\n{log}");
        }
        panic!("{error:#}");
    }
}

/// Everything that the compose file starts.
struct Topology {
    compose: Compose,
    programs: Programs,
    dir: std::path::PathBuf,
    postgres: Postgres,
    cassandra: Cassandra,
    _kafka: Kafka,
    mysql: Option<MySql>,
    mariadb: MariaDb,
    /// `host:port` of the file → `address:port` here.
    addresses: BTreeMap<String, String>,
    running: Vec<Process>,
    gateway: String,
}

impl Topology {
    fn start(dir: &Path) -> Result<Self> {
        let compose = Compose::read(&root().join("docker-compose.yml"))?;
        let programs = build::programs(&["api", "carga", "sync"], Profile::Debug)?;
        // All but where it lives.
        let place = ["LISTENER", "LOG_DIRS", "NODE_ID", "QUORUM"];
        let properties = kafka_properties(&compose.service("kafka")?.environment, &place);
        let broker = KafkaOptions { properties, ..Default::default() };
        let (for_kafka, for_cassandra) = (dir.join("kafka"), dir.join("cassandra"));
        let kafka = thread::spawn(move || Kafka::start(&for_kafka, broker));
        let cassandra =
            thread::spawn(move || Cassandra::start(&for_cassandra, CassandraOptions::default()));
        let postgres = Postgres::start(
            &dir.join("postgres"),
            postgres_options(&compose.service("postgres")?.environment)?,
        )?;
        let accounts = &compose.service("mysql")?.environment;
        let mysql = match MySqlOptions::install() {
            Ok(()) => Some(MySql::start(&dir.join("mysql"), sql_options(accounts)?)?),
            Err(error) => {
                eprintln!("MySQL itself cannot be had here, MariaDB stands for it: {error:#}");
                None
            }
        };
        let mariadb = MariaDb::start(&dir.join("mariadb"), sql_options(accounts)?)?;
        let kafka = joined(kafka)?;
        let cassandra = joined(cassandra)?;

        let target = mysql.as_ref().map_or(mariadb.address(), MySql::address);
        let mut addresses = BTreeMap::new();
        for (name, address) in [
            ("kafka", kafka.address()),
            ("cassandra", cassandra.address()),
            ("postgres", postgres.address()),
            ("mysql", target),
        ] {
            addresses.insert(compose.service(name)?.address()?, address);
        }
        let mut topology = Self {
            compose,
            programs,
            dir: dir.to_owned(),
            postgres,
            cassandra,
            _kafka: kafka,
            mysql,
            mariadb,
            addresses,
            running: Vec::new(),
            gateway: String::new(),
        };
        topology.init_scripts()?;
        for service in ["kafka-connect", "carga-service", "sync-service"] {
            let process = topology.run(service)?;
            topology.running.push(process);
        }
        topology.start_gateway()?;
        Ok(topology)
    }

    /// What the images' entrypoints and the one-shot service do with the mounted scripts.
    fn init_scripts(&self) -> Result<()> {
        let sql = self
            .compose
            .service("postgres")?
            .mounted("/docker-entrypoint-initdb.d/postgres.sql")?;
        self.postgres.query(&fs::read_to_string(sql)?)?;
        let cql = self.compose.service("cassandra-init")?.mounted("/schema/cassandra.cql")?;
        let cql = fs::read_to_string(cql)?;
        let code: Vec<_> = cql.lines().filter(|line| !line.starts_with("--")).collect();
        for statement in code.join("\n").split(';').filter(|s| !s.trim().is_empty()) {
            self.cassandra.query(statement)?;
        }
        Ok(())
    }

    /// Starts one of our programs with the service's command and environment, and waits until it is healthy.
    fn run(&mut self, name: &str) -> Result<Process> {
        let service = self.compose.service(name)?;
        ensure!(service.is_built, "{name} is built from this project");
        let (program, words) = service.command.split_first().context("no command")?;
        let mut command = Command::new(self.programs.path(program)?);
        command.args(words).env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        let (_, wanted) = *service.ports.first().context("no port")?;
        // The file's own port, unless something else on this machine has it.
        let port = if must_be_free(wanted, name).is_ok() { wanted } else { free_port()? };
        for (key, value) in &service.environment {
            let listens =
                key.ends_with("_LISTEN") || key.ends_with("_PORT") && !key.starts_with("PG");
            let value = if listens {
                value.replace(&wanted.to_string(), &port.to_string())
            } else {
                value.clone()
            };
            command.env(key, value);
        }
        for (host, address) in &self.addresses {
            command.args(["--resolve", &format!("{host}:{address}")]);
        }
        let here = format!("127.0.0.1:{port}");
        let address = service.address()?;
        let mut process = Process::spawn(program, &command, &self.dir.join(program))?;
        process.wait_ready(PATIENCE, || {
            http::get(&format!("http://{here}/health")).is_ok_and(|reply| reply.status == 200)
        })?;
        self.addresses.insert(address, here);
        Ok(process)
    }

    fn start_gateway(&mut self) -> Result<()> {
        let file = self.compose.service("krakend")?.mounted("/etc/krakend/krakend.json")?;
        let gateway = Gateway::read(file, self.addresses.clone())?;
        let port = free_port()?;
        self.gateway = format!("http://127.0.0.1:{port}");
        gateway.start(port)
    }

    fn check(&mut self) -> Result<()> {
        for file in ["connector_config.json", "mysql-sink.json"] {
            let text = fs::read_to_string(root().join("examples").join(file))?;
            let created = http::post(&format!("{}/connectors", self.gateway), &text)?;
            ensure!(created.status == 201, "{file}: {created:?}");
            let again = http::post(&format!("{}/connectors", self.gateway), &text)?;
            ensure!(again.status == 409 && again.json()?["error_code"] == 409, "{again:?}");
            self.wait_for_tasks(created.json()?["name"].as_str().context("no name")?)?;
        }
        let bad = r#"{"name":"bad","config":{"connector.class":"io.confluent.connect.jdbc.JdbcSinkConnector"}}"#;
        let refused = http::post(&format!("{}/connectors", self.gateway), bad)?;
        ensure!(refused.status == 400 && refused.json()?["error_code"] == 400, "{refused:?}");

        self.send("1237")?;
        let row = self.cassandra.query("SELECT id, valor FROM my_keyspace.tabela")?;
        ensure!(row == [[Some("1237".to_owned()), Some(VALOR.to_owned())]], "Cassandra: {row:?}");
        self.arrives("1237")?;
        let synced = fs::read_to_string(self.dir.join("sync"))?;
        let said = format!("Dados sincronizados: {{ id: '1237', valor: '{VALOR}' }}");
        ensure!(synced.contains(&said), "sync did not log {said}");
        if self.mysql.take().is_some() {
            self.move_to_mariadb()?;
        }
        Ok(())
    }

    /// The worker again, with MariaDB where MySQL was: the connectors are there and go on where they were.
    fn move_to_mariadb(&mut self) -> Result<()> {
        let mysql = self.compose.service("mysql")?.address()?;
        self.addresses.insert(mysql, self.mariadb.address());
        let mut worker = self.running.remove(0);
        worker.terminate(Duration::from_secs(60))?;
        let worker = self.run("kafka-connect")?;
        self.running.insert(0, worker);
        self.send("1238")?;
        self.arrives("1238")
    }

    fn wait_for_tasks(&self, connector: &str) -> Result<()> {
        let url = format!("{}/connectors/{connector}/status", self.gateway);
        wait_until(&format!("{connector} to run"), PATIENCE, || {
            let reply = http::get(&url);
            match reply {
                Ok(reply) if reply.body.contains("FAILED") => {
                    Some(Err(anyhow::anyhow!(reply.body)))
                }
                Ok(reply) => {
                    let tasks = reply.json().ok()?["tasks"].clone();
                    (tasks[0]["state"] == "RUNNING").then_some(Ok(()))
                }
                Err(_) => None,
            }
        })?
    }

    fn send(&self, id: &str) -> Result<()> {
        let body = format!(r#"{{"id":"{id}","valor":"{VALOR}"}}"#);
        let reply = http::post(&format!("{}/carga", self.gateway), &body)?;
        let status = reply.json()?["status"].clone();
        ensure!(
            reply.status == 200 && status == "Dados inseridos e mensagem enviada ao Kafka",
            "{reply:?}"
        );
        Ok(())
    }

    /// Waits until the target holds this row and no other.
    fn arrives(&self, id: &str) -> Result<()> {
        let select = "SELECT id, valor FROM `postgres-tabela`";
        let rows = || match &self.mysql {
            Some(mysql) => mysql.query(select),
            None => self.mariadb.query(select),
        };
        let wanted = format!("{id}\t{VALOR}");
        let arrived = wait_until(&format!("row {id} in the target"), PATIENCE, || {
            rows().ok().filter(|rows| !rows.is_empty())
        })?;
        if arrived != wanted {
            bail!("the target should hold {wanted:?} and holds {arrived:?}");
        }
        Ok(())
    }
}

fn joined<T>(thread: thread::JoinHandle<Result<T>>) -> Result<T> {
    thread.join().map_err(|_| anyhow::anyhow!("a server's thread panicked"))?
}
