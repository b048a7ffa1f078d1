//! What a connection needs to know: where, who, and the settings that are the driver's in the JVM.

use std::{error::Error as StdError, io, time::Duration};

use connect_core::{
    config::{Properties, Resolve, Secret},
    error::{Error, Result},
};

use crate::url::JdbcUrl;

/// Keys below `connection.` that are not the driver's.
const OWN: &[&str] = &["url", "user", "password", "attempts", "backoff.ms"];

/// Where and how to connect.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The URL.
    pub url: JdbcUrl,
    /// Where host names lead.
    pub resolve: Resolve,
    user: Option<String>,
    password: Option<Secret>,
    /// `connection.*`, without the prefix.
    driver: Properties,
    attempts: Option<u32>,
    backoff: Duration,
}

impl Settings {
    /// Collects what the keys of a configuration say.
    pub fn new(
        url: JdbcUrl,
        (user, password): (Option<String>, Option<Secret>),
        resolve: Resolve,
        (attempts, backoff): (Option<u32>, Duration),
        properties: &Properties,
    ) -> Self {
        let driver = properties.iter().filter_map(|(key, value)| {
            let key = key.strip_prefix("connection.").filter(|key| !OWN.contains(key))?;
            Some((key.to_owned(), value.clone()))
        });
        Self { url, resolve, user, password, driver: driver.collect(), attempts, backoff }
    }

    /// The user, of `connection.user` or the URL.
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref().or(self.url.user.as_deref())
    }
    /// The password, of `connection.password` or the URL.
    pub fn password(&self) -> Option<&str> {
        self.password.as_ref().or(self.url.password.as_ref()).map(Secret::expose)
    }
    /// A setting of the driver, from `connection.NAME` or the URL's parameters; the URL counts first, as in JDBC.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        let driver = || self.driver.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        self.url.parameter(name).or_else(|| driver().map(|(_, value)| value.as_str()))
    }
    /// A setting that is true or false.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](connect_core::error::ErrorKind::Config) for anything else.
    pub fn flag(&self, name: &str) -> Result<Option<bool>> {
        match self.parameter(name) {
            None => Ok(None),
            Some(text) if text.eq_ignore_ascii_case("true") || text.is_empty() => Ok(Some(true)),
            Some(text) if text.eq_ignore_ascii_case("false") => Ok(Some(false)),
            Some(text) => Err(invalid(name, text, "true or false expected")),
        }
    }
    /// A setting that is a whole number.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](connect_core::error::ErrorKind::Config) for anything else.
    pub fn number(&self, name: &str) -> Result<Option<u64>> {
        let parse = |text: &str| {
            text.trim().parse().map_err(|_| invalid(name, text, "a whole number expected"))
        };
        self.parameter(name).map(parse).transpose()
    }
    /// The names of all settings of the driver.
    pub fn parameters(&self) -> impl Iterator<Item = &str> {
        let url = self.url.parameters.iter().map(|(key, _)| key.as_str());
        url.chain(self.driver.keys().map(String::as_str))
    }

    /// Connects as often as `connection.attempts` says. Where that is not given, once: whether and when to try again is
    /// the runtime's.
    ///
    /// # Errors
    /// The last attempt's, not retriable where all attempts are used up.
    pub async fn attempt<T, F>(&self, connect: impl Fn() -> F) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        let mut tried = 0;
        loop {
            let error = match connect().await {
                Ok(connected) => return Ok(connected),
                Err(error) => error,
            };
            tried += 1;
            let Some(attempts) = self.attempts.filter(|_| error.is_retriable()) else {
                return Err(error);
            };
            if tried >= attempts {
                return Err(error.retriable(false).context("connection.attempts", attempts));
            }
            tracing::warn!(%error, tried, attempts, "cannot connect; trying again");
            tokio::time::sleep(self.backoff).await;
        }
    }
}

/// The error of this type in a chain of causes, if there is one: a refusal of TLS, say, which another attempt does not
/// mend.
pub fn cause<'a, E: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a E> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        // An io::Error's source is that of the error inside, not the error inside.
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        if let Some(found) = inner.and_then(|inner| inner.downcast_ref()) {
            return Some(found);
        }
        next = error.source();
    }
    None
}

/// A setting of the driver with a value that it does not take.
pub fn invalid(name: &str, value: &str, expected: &str) -> Error {
    Error::config(format!(
        "Invalid value {value} for the connection's parameter {name}: {expected}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(url: &str, attempts: Option<u32>) -> Settings {
        let properties = [("connection.ApplicationName", "b"), ("connection.attempts", "3")];
        let properties = properties.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        let url = JdbcUrl::parse(url).unwrap();
        let backoff = (attempts, Duration::from_millis(1));
        Settings::new(url, (None, None), Resolve::default(), backoff, &properties)
    }

    #[test]
    fn the_driver_has_its_parameters_from_two_places() {
        let of = |url| settings(url, None).parameter("applicationname").map(str::to_owned);
        assert_eq!(of("jdbc:postgresql://h/d?ApplicationName=a"), Some("a".to_owned()));
        assert_eq!(of("jdbc:postgresql://h/d"), Some("b".to_owned()));
        assert_eq!(settings("jdbc:postgresql://h/d", None).parameter("attempts"), None);
        let ssl = settings("jdbc:postgresql://h/d?ssl=maybe&socketTimeout=x", None);
        assert!(ssl.flag("ssl").unwrap_err().to_string().contains("maybe"));
        assert!(ssl.number("socketTimeout").unwrap_err().to_string().contains("socketTimeout"));
    }

    #[tokio::test(start_paused = true)]
    async fn attempts_are_counted_where_they_are_configured() {
        for (attempts, expected) in [(Some(3), 3), (None, 1)] {
            let settings = settings("jdbc:postgresql://h/d", attempts);
            let tried = std::cell::Cell::new(0);
            let failed: Result<()> = settings
                .attempt(|| {
                    tried.set(tried.get() + 1);
                    async { Err(Error::connection("down")) }
                })
                .await;
            assert_eq!(
                (tried.get(), failed.unwrap_err().is_retriable()),
                (expected, attempts.is_none())
            );
        }
    }
}
