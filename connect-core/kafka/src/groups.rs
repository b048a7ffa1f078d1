//! Offsets of consumer groups, from outside of them.

use std::sync::Arc;

use connect_core::{
    error::Result,
    sink::{Offsets, TopicPartition},
};
use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{BaseConsumer, CommitMode, Consumer as _},
    error::KafkaResult,
};

use crate::{
    REQUEST_TIMEOUT,
    admin::hear,
    blocking,
    config::Prepared,
    config_error,
    context::{Asking, Trouble},
    oauth::Logins,
    request_error,
};

/// Offsets as librdkafka lists them.
pub(crate) fn list(offsets: &Offsets) -> KafkaResult<TopicPartitionList> {
    let mut list = TopicPartitionList::with_capacity(offsets.len());
    for (tp, offset) in offsets {
        list.add_partition_offset(&tp.topic, tp.partition, Offset::Offset(*offset))?;
    }
    Ok(list)
}

/// The offsets of a list, of those partitions that have one.
pub(crate) fn offsets(list: &TopicPartitionList) -> Offsets {
    let elements = list.elements();
    let offset = elements.iter().filter_map(|element| match element.offset() {
        Offset::Offset(offset) => {
            let (topic, partition) = (element.topic().into(), element.partition());
            Some((TopicPartition { topic, partition }, offset))
        }
        _ => None,
    });
    offset.collect()
}

/// Asks with a consumer of the group, which doesn't join it.
async fn asking<T: Send + 'static>(
    prepared: Prepared,
    logins: &Logins,
    call: impl FnOnce(&BaseConsumer<Asking>) -> Result<T> + Send + 'static,
) -> Result<T> {
    let Prepared { config, login } = prepared;
    let trouble = Trouble::default();
    let client: BaseConsumer<Asking> =
        config.create_with_context(Asking { trouble: trouble.clone() }).map_err(config_error)?;
    let client = Arc::new(client);
    let tokens = logins.supply(login)?;
    tokens.join(&client, &trouble);
    let heard = Arc::downgrade(&client);
    tokio::task::spawn_blocking(move || hear(&heard));
    trouble.unless_denied(blocking(move || call(&client))).await
}

/// Commits, which the brokers allow while the group has no members.
pub(crate) async fn commit(prepared: Prepared, logins: &Logins, offsets: Offsets) -> Result<()> {
    let failed = |e| request_error("cannot alter the offsets of a consumer group", e);
    asking(prepared, logins, move |consumer| {
        consumer.commit(&list(&offsets).map_err(failed)?, CommitMode::Sync).map_err(failed)
    })
    .await
}

/// The offsets that a group has committed.
pub(crate) async fn committed(prepared: Prepared, logins: &Logins) -> Result<Offsets> {
    let failed = |e| request_error("cannot read the offsets of a consumer group", e);
    asking(prepared, logins, move |consumer| {
        let metadata = consumer.fetch_metadata(None, REQUEST_TIMEOUT).map_err(failed)?;
        let mut asked = TopicPartitionList::new();
        for topic in metadata.topics() {
            for partition in topic.partitions() {
                asked.add_partition(topic.name(), partition.id());
            }
        }
        let answered = consumer.committed_offsets(asked, REQUEST_TIMEOUT).map_err(failed)?;
        Ok(offsets(&answered))
    })
    .await
}
