//! `cargo xtask fuzz`: the property tests on real servers, for as long as one likes.

use anyhow::{Context, Result, bail};
use xtask::build::cargo;

/// Tests that look for what breaks a property: the property, package, test target and filter.
const TESTS: &[[&str; 4]] = &[
    ["sink", "api", "sink_oracle", ""],
    ["source", "connectors-postgres", "it", "fuzz::"],
    ["source", "connectors-mysql", "it", "fuzz::"],
];

/// Which properties, for how many minutes each, from which seed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    property: Option<String>,
    minutes: Option<u64>,
    seed: Option<u64>,
}

impl Options {
    pub(crate) fn parse(words: &[&str]) -> Result<Self> {
        let mut options = Self::default();
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let mut number = || {
                let value = words.next().with_context(|| format!("{word} needs a number"))?;
                value.parse().with_context(|| format!("{word} {value}: a number expected"))
            };
            match *word {
                "--minutes" => options.minutes = Some(number()?),
                "--seed" => options.seed = Some(number()?),
                name if TESTS.iter().any(|[known, ..]| *known == name) => {
                    options.property = Some(name.to_owned());
                }
                _ => bail!("`{word}`: sink, source, --minutes N or --seed S expected"),
            }
        }
        Ok(options)
    }
}

/// Runs the property tests one after the other; the databases of one are looked at in parallel.
pub(crate) fn run(options: &Options) -> Result<()> {
    let minutes = options.minutes.unwrap_or(10);
    for [name, package, target, filter] in TESTS {
        if options.property.as_ref().is_some_and(|wanted| wanted != name) {
            continue;
        }
        println!("== {name}: {package}, {minutes} minutes");
        let mut test = cargo();
        test.args(["test", "-p", package, "--test", target, filter, "--", "--nocapture"]);
        test.env("FUZZ_MINUTES", minutes.to_string());
        if let Some(seed) = options.seed {
            test.env("FUZZ_SEED", seed.to_string());
        }
        let status = test.status().context("cannot run cargo")?;
        if !status.success() {
            bail!("{name}: {package} ended with {status}; what failed is above, with its seed");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read() {
        let options = Options::parse(&["sink", "--minutes", "60", "--seed", "7"]).unwrap();
        let expected = Options { property: Some("sink".into()), minutes: Some(60), seed: Some(7) };
        assert_eq!(options, expected);
        assert!(Options::parse(&["--minutes"]).is_err() && Options::parse(&["else"]).is_err());
    }
}
