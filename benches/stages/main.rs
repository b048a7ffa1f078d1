//! What a record costs in each stage on its way, without servers: time by criterion, allocations by a counting allocator.
//!
//! Each stage works on what the one before it has made, and its cost includes that of freeing its own result.
//! `cargo xtask bench --stages` runs this and writes the table.

mod allocations;
mod codec;
mod log;
mod shapes;
mod sink;
mod source;

use std::{env, error::Error, fs, hint::black_box, path::PathBuf, time::Duration};

use allocations::{Counting, counted};
use criterion::{BatchSize, Criterion, Throughput};
use serde::Serialize;
use shapes::Shape;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

type Result<T, E = Box<dyn Error>> = std::result::Result<T, E>;

/// A line of `allocations.json`: what one stage allocates for a batch.
#[derive(Serialize)]
struct Line {
    stage: &'static str,
    shape: &'static str,
    records: usize,
    allocations: u64,
    bytes: u64,
}

/// Measures stages.
struct Bench {
    criterion: Criterion,
    lines: Vec<Line>,
}

impl Bench {
    /// Measures `run` on what `input` makes.
    fn stage<I, O>(
        &mut self,
        stage: &'static str,
        shape: &Shape,
        mut input: impl FnMut() -> I,
        mut run: impl FnMut(&mut I) -> Result<O>,
    ) -> Result<()> {
        // The first batch fills caches and buffers.
        run(&mut input())?;
        let mut given = input();
        let (result, allocations, bytes) = counted(|| run(&mut given).map(drop));
        result?;
        let (shape, records) = (shape.name, shape.records);
        self.lines.push(Line { stage, shape, records, allocations, bytes });
        let mut group = self.criterion.benchmark_group(stage);
        group.throughput(Throughput::Elements(records as u64));
        group.bench_function(shape, |bencher| {
            bencher.iter_batched_ref(
                &mut input,
                |given| drop(black_box(run(given).expect("it worked before"))),
                BatchSize::LargeInput,
            );
        });
        group.finish();
        Ok(())
    }

    /// Writes the allocations beside criterion's own results.
    fn finish(self) -> Result<()> {
        self.criterion.final_summary();
        let own = || PathBuf::from(env!("CARGO_TARGET_TMPDIR")).with_file_name("criterion");
        let home = env::var_os("CRITERION_HOME").map_or_else(own, PathBuf::from);
        fs::create_dir_all(&home)?;
        fs::write(home.join("allocations.json"), serde_json::to_vec_pretty(&self.lines)?)?;
        Ok(())
    }
}

fn main() -> Result<()> {
    // As criterion tells it: `cargo test` does not say so, and has everything run once.
    let measures = env::args().any(|word| word == "--bench");
    // 45 measurements: a second each tells them apart well enough.
    let criterion = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .configure_from_args();
    let mut bench = Bench { criterion, lines: Vec::new() };
    for shape in shapes::all(measures) {
        let records = source::stages(&mut bench, &shape)?;
        let (schemaless, with_schema) = codec::encode(&mut bench, &shape, &records)?;
        let fetched = log::stages(&mut bench, &shape, &schemaless)?;
        let with_schema = codec::decode(&mut bench, "decode-schema", &shape, true, &with_schema)?;
        let schemaless = codec::decode(&mut bench, "decode", &shape, false, &fetched)?;
        sink::stage(&mut bench, "put", &shape, schemaless)?;
        sink::stage(&mut bench, "put-schema", &shape, with_schema)?;
    }
    // Once is no measurement.
    if measures { bench.finish() } else { Ok(()) }
}
