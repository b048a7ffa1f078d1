//! The servers that the workers depend on.

use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use xtask_servers::port::free_port;
use xtask_servers::{
    Kafka, KafkaOptions, Kind, MariaDb, MariaDbOptions, Postgres, PostgresOptions, Server,
};

use super::net::Net;

/// One of the servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Which {
    Kafka,
    Postgres,
    MariaDb,
}

/// What is done to servers, each in a thread, one thing at a time.
type Outage = JoinHandle<Result<()>>;

/// The servers.
pub(super) struct Servers {
    pub(super) postgres: Arc<Mutex<Postgres>>,
    pub(super) mariadb: Arc<Mutex<MariaDb>>,
    pub(super) kafka: Option<Arc<Mutex<Kafka>>>,
    /// Where workers find Kafka.
    pub(super) bootstrap: Option<String>,
    /// `host:port` where workers find the databases, PostgreSQL first.
    pub(super) addresses: [String; 2],
    /// For our own clients.
    pub(super) postgres_url: String,
    outages: Vec<(Which, Outage)>,
}

impl Servers {
    /// Starts them, so that `net`, if there is one, reaches them.
    pub(super) fn start(dir: &Path, net: Option<&Net>, with_kafka: bool) -> Result<Self> {
        let host = net.map_or_else(|| "127.0.0.1".to_owned(), Net::host);
        let listen = match net {
            Some(_) => format!("127.0.0.1,{host}"),
            None => host.clone(),
        };
        let mut settings = vec![format!("listen_addresses={listen}"), "timezone=UTC".to_owned()];
        if let Some(net) = net {
            let rules = dir.join("pg_hba.conf");
            let rule = |range: &str| format!("host all all {range} scram-sha-256\n");
            fs::write(&rules, rule("127.0.0.1/32") + &rule(&net.range()))?;
            settings.push(format!("hba_file={}", rules.display()));
        }
        let postgres = PostgresOptions { settings, ..PostgresOptions::default() };
        let postgres = Postgres::start(&dir.join("postgres"), postgres)?;
        let args = vec![format!("--bind-address={listen}")];
        let mariadb = MariaDbOptions { args, ..MariaDbOptions::default() };
        let mariadb = MariaDb::start(&dir.join("mariadb"), mariadb)?;
        let (mut kafka, mut bootstrap) = (None, None);
        if with_kafka {
            let (options, address) = kafka_options(net, &host)?;
            kafka = Some(Arc::new(Mutex::new(Kafka::start(&dir.join("kafka"), options)?)));
            bootstrap = Some(address);
        }
        Ok(Self {
            addresses: [postgres.port(), mariadb.port()].map(|port| format!("{host}:{port}")),
            postgres_url: postgres.url(),
            postgres: Arc::new(Mutex::new(postgres)),
            mariadb: Arc::new(Mutex::new(mariadb)),
            kafka,
            bootstrap,
            outages: Vec::new(),
        })
    }

    /// Those that run and are left alone at the moment.
    pub(super) fn up(&self) -> Vec<Which> {
        let mut all = vec![Which::Postgres, Which::MariaDb];
        all.extend(self.kafka.as_ref().map(|_| Which::Kafka));
        all.retain(|which| !self.outages.iter().any(|(busy, _)| busy == which));
        all
    }

    /// kill -9, and a start after `rest`.
    pub(super) fn kill(&mut self, which: Which, rest: Duration) -> Result<()> {
        let outage = match which {
            Which::Postgres => outage(&self.postgres, rest),
            Which::MariaDb => outage(&self.mariadb, rest),
            Which::Kafka => outage(self.kafka.as_ref().context("there is no Kafka")?, rest),
        };
        self.outages.push((which, outage));
        Ok(())
    }

    /// Looks which servers are back, or waits for all of them with `heal`.
    pub(super) fn tend(&mut self, heal: bool) -> Result<()> {
        let (over, lasting) =
            self.outages.drain(..).partition(|(_, outage)| heal || outage.is_finished());
        self.outages = lasting;
        for (which, outage) in over {
            outage.join().map_err(|_| anyhow!("restarting {which:?} panicked"))??;
        }
        Ok(())
    }
}

fn outage<K: Kind>(server: &Arc<Mutex<Server<K>>>, rest: Duration) -> Outage
where
    Server<K>: Send,
{
    let server = Arc::clone(server);
    thread::spawn(move || {
        let mut server = server.lock().unwrap_or_else(PoisonError::into_inner);
        server.kill9()?;
        thread::sleep(rest);
        server.restart()
    })
}

/// With namespaces Kafka has one more listener: it tells clients where to go, and that must be where they can.
fn kafka_options(net: Option<&Net>, host: &str) -> Result<(KafkaOptions, String)> {
    let (port, controller) = (free_port()?, free_port()?);
    let mut options = KafkaOptions { port: Some(port), ..KafkaOptions::default() };
    if net.is_none() {
        return Ok((options, format!("{host}:{port}")));
    }
    let ours = free_port()?;
    options.properties = vec![
        format!("controller.quorum.voters=1@127.0.0.1:{controller}"),
        format!(
            "listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller},WORKERS://{host}:{ours}"
        ),
        format!("advertised.listeners=PLAINTEXT://127.0.0.1:{port},WORKERS://{host}:{ours}"),
        "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,WORKERS:PLAINTEXT"
            .into(),
    ];
    Ok((options, format!("{host}:{ours}")))
}
