//! The topics that a connector has used.

use std::collections::{BTreeMap, BTreeSet};

use axum::{Json, extract::State, http::StatusCode};
use schemars::JsonSchema;
use serde::Serialize;

use super::connectors::Answer;
use crate::{
    Shared,
    extract::Name,
    resource::{Resource, op},
};

pub(super) fn resources() -> [Resource; 2] {
    [
        Resource::new("/connectors/{name}/topics").get(
            topics,
            op("Topics that it has used since it was made, or since they were reset")
                .answers::<BTreeMap<String, ActiveTopics>>(200)
                .refuses(&[403]),
        ),
        Resource::new("/connectors/{name}/topics/reset")
            .put(reset, op("Forget the topics that it has used").done(202).refuses(&[403])),
    ]
}

/// Topics of a connector.
#[derive(Serialize, JsonSchema)]
struct ActiveTopics {
    topics: BTreeSet<String>,
}

/// A connector that is not known has used none, as the JVM says.
async fn topics(
    State(herder): State<Shared>,
    Name(name): Name,
) -> Answer<Json<BTreeMap<String, ActiveTopics>>> {
    let topics = herder.topics(&name)?;
    Ok(Json(BTreeMap::from([(name, ActiveTopics { topics })])))
}

async fn reset(State(herder): State<Shared>, Name(name): Name) -> Answer<StatusCode> {
    herder.reset_topics(&name).await?;
    Ok(StatusCode::ACCEPTED)
}
