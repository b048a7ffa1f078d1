//! How far connectors have come, as REST reads and changes it: source offsets in the offsets topic, sink offsets in
//! the consumer group.

use std::{collections::BTreeMap, time::Duration};

use connect_core::{
    config::Properties,
    error::{Error, ErrorKind},
    plugin::PluginType,
    sink::TopicPartition,
    source::OffsetChange,
};
use serde_json::{Value as Json, json};
use tokio::sync::oneshot;

use super::{PartitionOffset, Refusal};
use crate::{
    storage::{ConnectorOffsets, OffsetChanges},
    worker::{Context, consumer_group},
};

/// How long tasks that were told to stop may still take, beyond their graceful time-out.
const ENDING: Duration = Duration::from_secs(10);

fn bad(message: impl Into<String>) -> Refusal {
    Refusal::BadRequest(message.into())
}

/// How far a connector has come.
pub(super) async fn read(
    context: &Context,
    name: &str,
    config: &Properties,
) -> Result<Vec<PartitionOffset>, Refusal> {
    let plugin = context.plugin(config).map_err(Refusal::Failed)?;
    let offsets: Vec<(Json, Json)> = match plugin.ty() {
        PluginType::Source => of_source(context, name, config).await?.of(name),
        PluginType::Sink => {
            let group = consumer_group(&context.config, name, config);
            let committed = context.transport.committed(&group).await.map_err(Refusal::Failed)?;
            let entry = |(tp, offset): (TopicPartition, i64)| {
                let partition = json!({"kafka_topic": &*tp.topic, "kafka_partition": tp.partition});
                (partition, json!({"kafka_offset": offset}))
            };
            committed.into_iter().map(entry).collect()
        }
    };
    let shown = |(partition, offset)| PartitionOffset { partition, offset: shown(offset) };
    Ok(offsets.into_iter().map(shown).collect())
}

/// An offset without what connectors keep in it for themselves: who sets one sets a place, and nothing that was known of another.
fn shown(mut offset: Json) -> Json {
    /// What the names of such parts begin with.
    const OWN: &str = "ferrovia.";
    if let Some(parts) = offset.as_object_mut() {
        parts.retain(|name, _| !name.starts_with(OWN));
    }
    offset
}

/// The stored offsets of a source.
async fn of_source(
    context: &Context,
    name: &str,
    config: &Properties,
) -> Result<ConnectorOffsets, Refusal> {
    let topic = config.get("offsets.storage.topic").map(|topic| topic.trim());
    let offsets = context.offsets.of_connector(&context.transport, name, topic).await;
    offsets.map_err(Refusal::Failed)
}

/// Changes, or, with none, forgets offsets, after the connector's tasks have ended; `fenced` is how many there were.
pub(super) async fn alter(
    context: &Context,
    ended: oneshot::Receiver<()>,
    fenced: u32,
    name: &str,
    config: &Properties,
    offsets: Option<OffsetChanges>,
) -> Result<bool, Refusal> {
    let graceful = context.config.config.shutdown_timeout.get() + ENDING;
    if !matches!(tokio::time::timeout(graceful, ended).await, Ok(Ok(()))) {
        return Err(Refusal::Failed(Error::connection(format!(
            "Failed to alter offsets for connector {name} because its tasks haven't stopped completely yet. This \
             operation can be safely retried."
        ))));
    }
    let plugin = context.plugin(config).map_err(Refusal::Failed)?;
    let config = context.providers.resolve_all(config).map_err(refused)?;
    let properties = context.config.plugin_properties(&config);
    match plugin.ty() {
        PluginType::Source => {
            if context.config.exactly_once() {
                let ids: Vec<_> =
                    (0..fenced).map(|task| context.config.transactional_id(name, task)).collect();
                context.transport.fence(&ids).await.map_err(Refusal::Failed)?;
            }
            let stored = of_source(context, name, &config).await?;
            let forgotten = || stored.of(name).into_iter().map(|(p, _)| (p, None));
            let offsets = offsets.unwrap_or_else(|| forgotten().collect());
            for (partition, offset) in &offsets {
                primitive(partition)?;
                offset.as_ref().map_or(Ok(()), primitive)?;
            }
            let ours = plugin.alter_offsets(&properties, &offsets).await.map_err(refused)?;
            stored.write(name, &offsets).await.map_err(Refusal::Failed)?;
            Ok(ours)
        }
        PluginType::Sink => {
            let parsed = offsets.as_deref().map(sink_offsets).transpose()?;
            let given = offsets.as_deref().unwrap_or_default();
            let ours = plugin.alter_offsets(&properties, given).await.map_err(refused)?;
            let group = consumer_group(&context.config, name, &config);
            let changes = match parsed {
                Some(parsed) => parsed,
                None => {
                    let all = context.transport.committed(&group).await.map_err(Refusal::Failed)?;
                    all.into_keys().map(|tp| (tp, None)).collect()
                }
            };
            alter_group(context, name, &group, changes).await?;
            Ok(ours)
        }
    }
}

/// An error of the request is the client's, any other ours.
fn refused(error: Error) -> Refusal {
    match error.kind() {
        ErrorKind::Config | ErrorKind::Data => bad(error.to_string()),
        _ => Refusal::Failed(error),
    }
}

/// `org.apache.kafka.connect.storage.OffsetUtils.validateFormat`.
fn primitive(value: &Json) -> Result<(), Refusal> {
    let fields = match value {
        Json::Null => return Ok(()),
        Json::Object(fields) => fields,
        _ => return Err(bad("Offsets and partitions must be JSON objects or null")),
    };
    for (field, value) in fields {
        let kind = match value {
            Json::Array(_) => "ARRAY",
            Json::Object(_) => "MAP",
            _ => continue,
        };
        return Err(bad(format!(
            "Offsets may only contain primitive types as values, but field {field} contains {kind}"
        )));
    }
    Ok(())
}

/// `org.apache.kafka.connect.util.SinkUtils.parseSinkConnectorOffsets`.
fn sink_offsets(
    offsets: &[OffsetChange],
) -> Result<BTreeMap<TopicPartition, Option<i64>>, Refusal> {
    let text = |value: &Json| match value {
        Json::String(text) => text.clone(),
        other => other.to_string(),
    };
    let mut parsed = BTreeMap::new();
    for (partition, offset) in offsets {
        let Some(fields) = partition.as_object() else {
            return Err(bad("The partition for a sink connector offset cannot be null or missing"));
        };
        let (Some(topic), Some(number)) =
            (fields.get("kafka_topic"), fields.get("kafka_partition"))
        else {
            return Err(bad(
                "The partition for a sink connector offset must contain the keys 'kafka_topic' and 'kafka_partition'",
            ));
        };
        let Some(topic) = topic.as_str() else {
            return Err(bad("Kafka topic names must be valid strings and may not be null"));
        };
        if number.is_null() {
            return Err(bad("Kafka partitions must be valid numbers and may not be null"));
        }
        let number = text(number);
        let partition = number.parse::<i32>().ok().filter(|n| *n >= 0).ok_or_else(|| {
            bad(format!(
                "Failed to parse the following Kafka partition value in the provided offsets: '{number}'. Partition \
                 values for sink connectors need to be integers."
            ))
        })?;
        let offset = match offset {
            None => None,
            Some(offset) => {
                let missing = "The offset for a sink connector should either be null or contain the key 'kafka_offset'";
                let number = text(offset.get("kafka_offset").ok_or_else(|| bad(missing))?);
                let offset = number.parse::<i64>().map_err(|_| {
                    bad(format!(
                        "Failed to parse the following Kafka offset value in the provided offsets: '{number}'. \
                         Offset values for sink connectors need to be integers."
                    ))
                })?;
                if offset < 0 {
                    return Err(bad(format!(
                        "Kafka offset {offset} is negative; it must be at least 0"
                    )));
                }
                Some(offset)
            }
        };
        parsed.insert(TopicPartition { topic: topic.into(), partition }, offset);
    }
    Ok(parsed)
}

async fn alter_group(
    context: &Context,
    name: &str,
    group: &str,
    offsets: BTreeMap<TopicPartition, Option<i64>>,
) -> Result<(), Refusal> {
    for (tp, _) in offsets.iter().filter(|(_, offset)| offset.is_some()) {
        let topic = context.transport.topic(&tp.topic).await.map_err(Refusal::Failed)?;
        if topic.is_none_or(|topic| tp.partition >= topic.partitions) {
            return Err(bad(format!(
                "Failed to alter consumer group offsets for connector {name}: there is no partition {} of topic {}",
                tp.partition, tp.topic
            )));
        }
    }
    context.transport.alter_committed(group, &offsets).await.map_err(Refusal::Failed)
}
