//! Several brokers that are one cluster, each of them controller too.

use std::path::Path;
use std::thread;

use anyhow::{Context, Result};

use super::{Kafka, KafkaOptions, KafkaSecurity};
use crate::port::free_port;

/// How many brokers: with fewer, no one may be missing.
const NODES: usize = 3;

/// A cluster of three brokers.
#[derive(Debug)]
pub struct KafkaCluster {
    nodes: Vec<Kafka>,
}

impl KafkaCluster {
    /// Starts the brokers below `dir`, and returns when all of them answer. Internal topics have three copies.
    pub fn start(dir: &Path, options: &KafkaOptions) -> Result<Self> {
        let ports = || (0..NODES).map(|_| free_port()).collect::<Result<Vec<_>>>();
        let (clients, controllers) = (ports()?, ports()?);
        let voters: Vec<String> =
            (1..).zip(&controllers).map(|(id, p)| format!("{id}@127.0.0.1:{p}")).collect();
        let starting = clients.iter().zip(&controllers).zip(1..).map(|((port, controller), id)| {
            let mut options = KafkaOptions { port: Some(*port), ..options.clone() };
            if let Some(security) = &mut options.security {
                for port in [&mut security.sasl, &mut security.tls, &mut security.sasl_tls] {
                    *port = free_port()?;
                }
            }
            let more = options.security.as_ref().map(KafkaSecurity::listeners);
            let more = more.map(|listeners| format!(",{listeners}")).unwrap_or_default();
            let own = [
                format!("node.id={id}"),
                format!("controller.quorum.voters={}", voters.join(",")),
                format!("listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}{more}"),
                "offsets.topic.replication.factor=3".to_owned(),
                "transaction.state.log.replication.factor=3".to_owned(),
                "transaction.state.log.min.isr=2".to_owned(),
                // A broker that ends hands its partitions over; one that begins is looked for soon.
                "broker.session.timeout.ms=6000".to_owned(),
            ];
            options.properties.splice(0..0, own);
            let dir = dir.join(format!("broker-{id}"));
            Ok(thread::spawn(move || Kafka::start(&dir, options)))
        });
        let starting = starting.collect::<Result<Vec<_>>>()?;
        let joined = starting.into_iter().map(|thread| {
            thread.join().map_err(|_| anyhow::anyhow!("a broker's thread panicked"))?
        });
        Ok(Self { nodes: joined.collect::<Result<_>>()? })
    }

    /// The brokers.
    pub fn nodes(&mut self) -> &mut [Kafka] {
        &mut self.nodes
    }

    /// All plain addresses, by comma.
    pub fn address(&self) -> String {
        let all: Vec<String> = self.nodes.iter().map(Kafka::address).collect();
        all.join(",")
    }

    /// All addresses of the listener SASL_PLAINTEXT, by comma.
    pub fn sasl_address(&self) -> Result<String> {
        let port = |node: &Kafka| Some(format!("127.0.0.1:{}", node.security()?.sasl));
        let all: Option<Vec<String>> = self.nodes.iter().map(port).collect();
        Ok(all.context("the cluster has no SASL")?.join(","))
    }
}
