//! How far a connector has come.

use axum::{Json, extract::State};
use connect_core_runtime::herder::PartitionOffset;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::connectors::Answer;
use crate::{
    Shared,
    error::ApiError,
    extract::{JsonBody, Name},
    resource::{Resource, op},
};

pub(super) fn resources() -> [Resource; 1] {
    [Resource::new("/connectors/{name}/offsets")
        .get(get, op("How far it has come").answers::<Offsets>(200).refuses(&[404]))
        .patch(
            alter,
            op("Set how far a stopped connector has come; a null offset forgets a partition")
                .takes::<Offsets>()
                .answers::<Message>(200)
                .refuses(&[400, 404, 415]),
        )
        .delete(
            reset,
            op("Forget how far a stopped connector has come")
                .answers::<Message>(200)
                .refuses(&[400, 404]),
        )]
}

/// A partition with its offset. Of a sink: `kafka_topic` and `kafka_partition`, `kafka_offset`.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Entry {
    #[serde(default)]
    partition: Value,
    #[serde(default)]
    offset: Value,
}

/// Partitions with their offsets.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ConnectorOffsets")]
struct Offsets {
    #[serde(default)]
    offsets: Option<Vec<Entry>>,
}

/// What was done.
#[derive(Serialize, JsonSchema)]
struct Message {
    message: String,
}

fn done(what: &str, by_us_alone: bool) -> Json<Message> {
    let message = match by_us_alone {
        true => format!("The offsets for this connector have been {what} successfully"),
        false => format!(
            "The Connect framework-managed offsets for this connector have been {what} successfully. However, if this \
             connector manages offsets externally, they will need to be manually {what} in the system that the \
             connector uses."
        ),
    };
    Json(Message { message })
}

async fn get(State(herder): State<Shared>, Name(name): Name) -> Answer<Json<Offsets>> {
    let entry = |PartitionOffset { partition, offset }| Entry { partition, offset };
    let offsets = herder.offsets(&name).await?.into_iter().map(entry).collect();
    Ok(Json(Offsets { offsets: Some(offsets) }))
}

async fn alter(
    State(herder): State<Shared>,
    Name(name): Name,
    JsonBody(body): JsonBody<Offsets>,
) -> Answer<Json<Message>> {
    let offsets = body.offsets.unwrap_or_default();
    if offsets.is_empty() {
        let message = "Partitions / offsets need to be provided for an alter offsets request";
        return Err(ApiError::new(400, message));
    }
    let offset = |Entry { partition, offset }| PartitionOffset { partition, offset };
    let offsets = offsets.into_iter().map(offset).collect();
    Ok(done("altered", herder.alter_offsets(&name, Some(offsets)).await?))
}

async fn reset(State(herder): State<Shared>, Name(name): Name) -> Answer<Json<Message>> {
    Ok(done("reset", herder.alter_offsets(&name, None).await?))
}
