//! A connector instance: finds out what work there is and cuts it into tasks.

use connect_core::{
    config::{Properties, parse},
    error::Result,
    plugin::{Connected, DynSourceConnector, Plugin},
    registry::Registry,
};
use serde_json::Value as Json;

use super::Runner;
use crate::{config::ConnectorConfig, herder::Observed, storage::Subject};

/// Key of a source task's configuration: its partitions, a JSON list.
pub(super) const PARTITIONS: &str = "task.partitions";

/// Runs until stopped.
pub(super) async fn run(runner: &Runner, plugin: &dyn Plugin, config: Properties) -> Result<()> {
    let properties = runner.plugin_properties(&config)?;
    let common: ConnectorConfig = parse(&properties)?;
    let connecting = runner.retrying("connecting", || plugin.connect(&properties)).await?;
    let Some(connected) = connecting else { return Ok(()) };
    runner.running(plugin);
    let tasks_max = common.tasks_max as usize;
    let mut config = config;
    config.insert("task.class".into(), task_class(&runner.context.registry, &common.class));
    match connected {
        Connected::Sink(_) => {
            let configs = vec![config; tasks_max];
            submit(runner, configs);
            runner.stop.cancelled().await;
        }
        Connected::Source(source) => watch_partitions(runner, &*source, &config, tasks_max).await?,
    }
    Ok(())
}

async fn watch_partitions(
    runner: &Runner,
    source: &dyn DynSourceConnector,
    config: &Properties,
    tasks_max: usize,
) -> Result<()> {
    let mut told = None;
    loop {
        let listed = runner.retrying("listing partitions", || source.partitions()).await?;
        let Some(partitions) = listed else { return Ok(()) };
        let notice = source.notice();
        if notice != told {
            if let Some(notice) = &notice {
                tracing::warn!(subject = ?runner.subject, "{notice}");
            }
            runner.notice(notice.clone());
            told = notice;
        }
        let config_of = |partitions: Vec<Json>| {
            let mut config = config.clone();
            config.insert(PARTITIONS.into(), Json::Array(partitions).to_string());
            config
        };
        submit(runner, group(partitions, tasks_max).into_iter().map(config_of).collect());
        let again = async {
            match source.partitions_interval() {
                Some(interval) => tokio::time::sleep(interval).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = runner.stop.cancelled() => return Ok(()),
            () = again => {}
        }
    }
}

/// The name that the JVM's connector gives its task, by which tools tell tasks apart.
pub(super) fn task_class(registry: &Registry, class: &str) -> String {
    let full = registry.full_name(class).unwrap_or(class);
    format!("{}Task", full.strip_suffix("Connector").unwrap_or(full))
}

fn submit(runner: &Runner, configs: Vec<Properties>) {
    let Subject::Connector(connector) = runner.subject.clone() else { return };
    runner.context.observe(Observed::Tasks { connector, run: runner.run, configs });
}

/// Cuts into at most `groups` runs of neighbours, the first ones longer by one
/// (`org.apache.kafka.connect.util.ConnectorUtils.groupPartitions`).
fn group(mut partitions: Vec<Json>, groups: usize) -> Vec<Vec<Json>> {
    let groups = groups.min(partitions.len());
    let mut grouped = Vec::with_capacity(groups);
    for left in (1..=groups).rev() {
        let rest = partitions.split_off(partitions.len().div_ceil(left));
        grouped.push(std::mem::replace(&mut partitions, rest));
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_neighbours_and_even() {
        let sizes = |n: usize, groups| -> Vec<usize> {
            let all: Vec<Json> = (0..n).map(Json::from).collect();
            let grouped = group(all.clone(), groups);
            assert_eq!(grouped.concat(), all);
            grouped.iter().map(Vec::len).collect()
        };
        assert_eq!(sizes(4, 3), [2, 1, 1]);
        assert_eq!(sizes(2, 5), [1, 1]);
        assert_eq!(sizes(0, 2), [0; 0]);
        assert_eq!(sizes(10, 4), [3, 3, 2, 2]);
    }
}
