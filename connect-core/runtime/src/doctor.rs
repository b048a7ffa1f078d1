//! Whether a live cluster can be taken over: what the worker's properties, the connectors and their progress need, and what
//! of it there is here. Nothing is written, no group is joined.

mod read_only;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use async_trait::async_trait;
use connect_core::{
    config::Properties,
    error::Result,
    plugin::{Plugin, PluginType},
    registry::Registry,
    transport::Transport,
};
use serde::Serialize;
use serde_json::Value as Json;

use crate::{
    config::{self, ConnectorConfig},
    herder::{Refusal, State, Status, TargetState},
    providers::Providers,
    storage::{ConfigStore, OffsetStore, StatusChange, StatusStore, Stored, Subject},
    validate::Validator,
    worker::consumer_group,
};

use read_only::ReadOnly;

/// Keys of the worker that name Java classes, which nothing can load here.
const JAVA_CLASSES: &[&str] = &["rest.extension.classes", "metric.reporters"];
/// The last part of keys of clients that do.
const JAVA_CLASSES_OF_CLIENTS: &[&str] = &[".interceptor.classes", ".metric.reporters"];

/// Asks about consumer groups.
#[async_trait]
pub trait Groups: Send + Sync {
    /// How many members a group has, a worker's group included; none of a group that isn't there.
    async fn members(&self, group: &str) -> Result<usize>;
}

/// How much it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// It cannot be taken over as it is.
    Problem,
    /// It can, and somebody should know.
    Note,
}

/// Something that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How much it matters.
    pub severity: Severity,
    /// What it is.
    pub message: String,
}

/// What was found of a connector.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ConnectorReport {
    /// Its name.
    pub name: String,
    /// Its class, as its configuration names it.
    pub class: String,
    /// `source` or `sink`; none of a class that isn't known here.
    #[serde(rename = "type")]
    pub ty: Option<&'static str>,
    /// What is wanted of it.
    pub state: &'static str,
    /// How many tasks it has.
    pub tasks: usize,
    /// In how many partitions its progress is known.
    pub partitions: usize,
    /// What was found.
    pub findings: Vec<Finding>,
}

/// What was found of a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Identity of the Kafka cluster.
    pub kafka_cluster_id: String,
    /// `group.id`.
    pub group: String,
    /// What was found of the worker's properties and the cluster's topics.
    pub worker: Vec<Finding>,
    /// The connectors.
    pub connectors: Vec<ConnectorReport>,
}

impl Report {
    /// Whether all of it can be taken over.
    pub fn is_clean(&self) -> bool {
        let connectors = self.connectors.iter().flat_map(|connector| &connector.findings);
        self.worker.iter().chain(connectors).all(|finding| finding.severity == Severity::Note)
    }
}

/// Findings as they are made.
#[derive(Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn problem(&mut self, message: impl Into<String>) {
        self.0.push(Finding { severity: Severity::Problem, message: message.into() });
    }
    fn note(&mut self, message: impl Into<String>) {
        self.0.push(Finding { severity: Severity::Note, message: message.into() });
    }
}

/// A connector as the config topic has it.
#[derive(Default)]
struct Known {
    config: Properties,
    target: Option<TargetState>,
    tasks: u32,
}

/// Looks at the cluster.
///
/// # Errors
/// If it cannot be looked at: the log cannot be reached, or what it holds cannot be read.
pub async fn examine(
    config: config::Worker,
    transport: Arc<dyn Transport>,
    registry: Registry,
    groups: &dyn Groups,
) -> Result<Report> {
    let registry = Registry::apache().merge(registry);
    let transport: Arc<dyn Transport> = Arc::new(ReadOnly(transport));
    let kafka_cluster_id = transport.cluster_id().await?;
    let group = config.config.group_id.clone();
    let mut worker = Findings::default();
    let providers = properties(&config, &registry, &mut worker);
    match groups.members(&group).await? {
        0 => {}
        members => worker.problem(format!(
            "{members} worker(s) of the group {group} are running: stop them before ours start"
        )),
    }
    let complete = topics(&config, &*transport, &mut worker).await?;
    let mut connectors = Vec::new();
    if complete {
        let known = connectors_of(&config, &transport).await?;
        let statuses = statuses_of(&config, &transport).await?;
        let offsets = OffsetStore::open(&transport, &config.config).await?;
        let examination =
            Examination { transport, registry, config, providers, offsets, groups, statuses };
        for (name, known) in known {
            connectors.push(examination.connector(name, known).await?);
        }
    }
    Ok(Report { kafka_cluster_id, group, worker: worker.0, connectors })
}

/// The worker's own properties.
fn properties(config: &config::Worker, registry: &Registry, found: &mut Findings) -> Providers {
    let worker = &config.config;
    for (key, class) in
        [("key.converter", &worker.key_converter), ("value.converter", &worker.value_converter)]
    {
        if registry.find_converter(class).is_none() {
            found.problem(format!("{key}: there is no converter {class} here"));
        }
    }
    let class = &worker.header_converter;
    if registry.find_header_converter(class).is_none() {
        found.problem(format!("header.converter: there is no converter {class} here"));
    }
    let java = |key: &str| {
        JAVA_CLASSES.contains(&key) || JAVA_CLASSES_OF_CLIENTS.iter().any(|end| key.ends_with(end))
    };
    for (key, value) in &config.properties {
        if java(key) && !value.trim().is_empty() {
            found.note(format!("{key}: {value} is a class of Java's, which is not loaded"));
        }
    }
    for key in config.unknown_keys().into_iter().filter(|key| !java(key)) {
        found.note(format!("{key}: nothing reads this key here"));
    }
    Providers::open(config).unwrap_or_else(|error| {
        found.problem(format!("config.providers: {}", chain(&error.trace())));
        Providers::default()
    })
}

/// Whether the cluster's topics are there.
async fn topics(
    config: &config::Worker,
    transport: &dyn Transport,
    found: &mut Findings,
) -> Result<bool> {
    let worker = &config.config;
    let mut complete = true;
    for (key, topic) in [
        ("config.storage.topic", &worker.config_topic),
        ("offset.storage.topic", &worker.offset_topic),
        ("status.storage.topic", &worker.status_topic),
    ] {
        match transport.topic(topic).await? {
            None => found.problem(format!("{key}: there is no topic {topic}")),
            Some(topic_) if topic_.compacted == Some(false) => {
                found.problem(format!("{key}: the topic {topic} is not compacted"));
            }
            Some(_) => continue,
        }
        complete = false;
    }
    Ok(complete)
}

/// Connectors, target states and numbers of tasks.
async fn connectors_of(
    config: &config::Worker,
    transport: &Arc<dyn Transport>,
) -> Result<BTreeMap<String, Known>> {
    let (mut all, mut targets) = (BTreeMap::<String, Known>::new(), BTreeMap::new());
    let mut configs = ConfigStore::open(transport, &config.config).await?;
    for stored in configs.read().await? {
        match stored {
            Stored::Connector { name, config } => all.entry(name).or_default().config = config,
            Stored::Removed { name } => drop(all.remove(&name)),
            // It comes before its connector, when that is created in another state than started.
            Stored::Target { name, target } => drop(targets.insert(name, target)),
            Stored::Commit { name, tasks } => {
                if let Some(known) = all.get_mut(&name) {
                    known.tasks = tasks;
                }
            }
            Stored::Task { .. } | Stored::Fenced { .. } | Stored::Logger { .. } => {}
        }
    }
    for (name, known) in &mut all {
        known.target = targets.get(name).copied();
    }
    Ok(all)
}

type Statuses = BTreeMap<Subject, Status>;

/// How connectors and tasks are where they run now.
async fn statuses_of(config: &config::Worker, transport: &Arc<dyn Transport>) -> Result<Statuses> {
    let mut statuses = Statuses::new();
    for change in StatusStore::open(transport, &config.config).await?.read().await? {
        match change {
            StatusChange::Status(subject, Some(status)) => drop(statuses.insert(subject, status)),
            StatusChange::Status(subject, None) => drop(statuses.remove(&subject)),
            StatusChange::Topic { .. } => {}
        }
    }
    Ok(statuses)
}

struct Examination<'g> {
    transport: Arc<dyn Transport>,
    registry: Registry,
    config: config::Worker,
    providers: Providers,
    offsets: OffsetStore,
    groups: &'g dyn Groups,
    statuses: Statuses,
}

impl Examination<'_> {
    async fn connector(&self, name: String, known: Known) -> Result<ConnectorReport> {
        let mut found = Findings::default();
        let class = known.config.get("connector.class").cloned().unwrap_or_default();
        let plugin = self.registry.find(&class, &known.config);
        let mut partitions = 0;
        match &plugin {
            None => found.problem(format!("there is no connector {class} here")),
            Some(plugin) => {
                self.validate(&known.config, &mut found).await;
                partitions = match plugin.ty() {
                    PluginType::Source => {
                        self.source(&name, &known.config, &**plugin, &mut found).await?
                    }
                    PluginType::Sink => self.sink(&name, &known.config, &mut found).await?,
                };
            }
        }
        self.failures(&name, known.tasks, &mut found);
        Ok(ConnectorReport {
            name,
            class,
            ty: plugin.map(|plugin| plugin.ty().name()),
            state: known.target.unwrap_or(TargetState::Started).name(),
            tasks: known.tasks as usize,
            partitions,
            findings: found.0,
        })
    }

    /// As if the configuration were submitted here.
    async fn validate(&self, config: &Properties, found: &mut Findings) {
        let Self { registry, config: worker, providers, .. } = self;
        let validator = Validator { registry, worker, providers };
        let submitted = config.iter().map(|(k, v)| (k.clone(), Some(v.clone()))).collect();
        let infos = match validator.validate(&submitted).await {
            Ok(infos) => infos,
            Err(Refusal::Failed(error)) => return found.problem(chain(&error.trace())),
            Err(refusal) => return found.problem(refusal.to_string()),
        };
        for error in infos.errors() {
            found.problem(error);
        }
        let defined: BTreeSet<_> = infos.configs.iter().map(|info| &*info.value.name).collect();
        let common = connect_core::config::config_def::<ConnectorConfig>();
        let elsewhere = |key: &str| {
            common.iter().any(|known| known.name == key)
                || OTHERS.iter().any(|prefix| key.starts_with(prefix))
        };
        for key in config.keys().filter(|key| !defined.contains(&***key) && !elsewhere(key)) {
            found.note(format!("{key}: nothing reads this key here"));
        }
    }

    /// Whether a source's offsets can be read.
    async fn source(
        &self,
        name: &str,
        config: &Properties,
        plugin: &dyn Plugin,
        found: &mut Findings,
    ) -> Result<usize> {
        let own = config.get("offsets.storage.topic").map(|topic| topic.trim());
        let offsets = match own {
            Some(topic) if self.transport.topic(topic).await?.is_none() => {
                found.note(format!("its own offsets topic {topic} is not there yet"));
                None
            }
            own => own,
        };
        let offsets = match self.offsets.of_connector(&self.transport, name, offsets).await {
            Ok(offsets) => offsets.of(name),
            Err(error) => {
                found.problem(format!("its offsets cannot be read: {}", chain(&error.trace())));
                return Ok(0);
            }
        };
        let count = offsets.len();
        // What cannot be resolved was found by the validation.
        let Ok(resolved) = self.providers.resolve_all(config) else { return Ok(count) };
        let properties = self.config.plugin_properties(&resolved);
        let changes: Vec<(Json, Option<Json>)> =
            offsets.into_iter().map(|(partition, offset)| (partition, Some(offset))).collect();
        // A source's part in a change of offsets is to look whether they are its own.
        if let Err(error) = plugin.alter_offsets(&properties, &changes).await {
            found.problem(format!("its offsets cannot be read here: {}", chain(&error.trace())));
        }
        if count == 0 {
            found.note("it has stored no offsets: it will read from the beginning");
        }
        Ok(count)
    }

    /// Whether a sink's group is there, and free.
    async fn sink(&self, name: &str, config: &Properties, found: &mut Findings) -> Result<usize> {
        let group = consumer_group(&self.config, name, config);
        match self.groups.members(&group).await? {
            0 => {}
            members => found.problem(format!(
                "its consumer group {group} has {members} member(s): something still reads for it"
            )),
        }
        let committed = self.transport.committed(&group).await?.len();
        if committed == 0 {
            found.note(format!(
                "its consumer group {group} has committed no offsets: it will read from the beginning"
            ));
        }
        Ok(committed)
    }

    /// What has failed where it runs now.
    fn failures(&self, name: &str, tasks: u32, found: &mut Findings) {
        let mut subjects = vec![(Subject::Connector(name.to_owned()), "it".to_owned())];
        subjects.extend(
            (0..tasks).map(|task| (Subject::Task(name.to_owned(), task), format!("task {task}"))),
        );
        for (subject, who) in subjects {
            let status = self.statuses.get(&subject);
            if let Some(status) = status.filter(|status| status.state == State::Failed) {
                let why = status.trace.lines().next().unwrap_or_default();
                found.note(format!("{who} has failed, and will be started again here: {why}"));
            }
        }
    }
}

/// Keys of a connector's configuration that others read than those that list theirs.
const OTHERS: &[&str] = &[
    "key.converter",
    "value.converter",
    "header.converter",
    "producer.override.",
    "consumer.override.",
    "admin.override.",
    "topic.creation.",
    "offsets.storage.",
    // Passed to the driver, which names those that it doesn't know.
    "connection.",
];

/// A chain of causes in one line.
fn chain(trace: &str) -> String {
    trace.trim_end().replace('\n', "; ")
}
