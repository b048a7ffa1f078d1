//! Measures the whole log: append and fetch of messages of 100 bytes, batch by batch, at the same time.
//!
//! `cargo run --release -p connect-core-log --example throughput [DIR]`

use std::{env, path::PathBuf, time::Instant};

use anyhow::Result;
use connect_core::transport::{
    Append, ConsumerOptions, Fetch, Message, Subscription, Transport as _,
};
use connect_core_log::EmbeddedLog;

/// Messages of one run.
const MESSAGES: usize = 2_000_000;
/// Appends on their way at once.
const IN_FLIGHT: usize = 4;

async fn append(log: EmbeddedLog, batch: usize) -> Result<()> {
    let mut producer = log.producer("bench", &Default::default()).await?;
    let payload = bytes::Bytes::from(vec![b'x'; 100]);
    let message = Message { value: Some(payload), ..Message::default() };
    let mut durable = std::collections::VecDeque::new();
    for _ in 0..MESSAGES / batch {
        let messages = vec![("t".into(), vec![message.clone(); batch])];
        durable.push_back(producer.append(Append { messages, offset: None }).await?);
        if durable.len() > IN_FLIGHT
            && let Some(oldest) = durable.pop_front()
        {
            oldest.await?;
        }
    }
    for durable in durable {
        durable.await?;
    }
    Ok(())
}

async fn fetch(log: EmbeddedLog, group: &str, batch: usize) -> Result<()> {
    let mut consumer = log
        .consumer(ConsumerOptions {
            group: group.to_owned(),
            client_id: "bench".to_owned(),
            subscription: Subscription::Topics(vec!["t".to_owned()]),
            max_messages: batch,
            properties: Default::default(),
        })
        .await?;
    let mut count = 0;
    while count < MESSAGES {
        if let Fetch::Messages(fetched) = consumer.fetch().await? {
            count += fetched.iter().map(|f| f.messages.len()).sum::<usize>();
        }
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Result<()> {
    let root = env::args().nth(1).map_or_else(env::temp_dir, PathBuf::from);
    for batch in [1000, 5000] {
        let dir = tempfile::tempdir_in(&root)?;
        let log = EmbeddedLog::open(dir.path())?;
        let start = Instant::now();
        let (appended, fetched) = tokio::join!(
            tokio::spawn(append(log.clone(), batch)),
            tokio::spawn(fetch(log.clone(), "follows", batch))
        );
        appended??;
        fetched??;
        let both = start.elapsed().as_secs_f64();
        let start = Instant::now();
        fetch(log.clone(), "catches-up", batch).await?;
        let again = start.elapsed().as_secs_f64();
        println!(
            "batches of {batch}: {:.0} messages/s appended and fetched, {:.0} fetched alone",
            MESSAGES as f64 / both,
            MESSAGES as f64 / again
        );
    }
    Ok(())
}
