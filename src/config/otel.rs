//! Export of traces and metrics by OpenTelemetry (`src/config/README.md`, "OpenTelemetry").

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use percent_encoding::percent_decode_str;
use url::Url;

use super::lookup::{ConfigError, Lookup, comma_separated, valid};
use super::public_url::{is_bare, is_private};

const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
const HEADERS: &str = "OTEL_EXPORTER_OTLP_HEADERS";
const PROTOCOL: &str = "OTEL_EXPORTER_OTLP_PROTOCOL";
const TIMEOUT: &str = "OTEL_EXPORTER_OTLP_TIMEOUT";
const SERVICE_NAME: &str = "OTEL_SERVICE_NAME";
const RESOURCE: &str = "OTEL_RESOURCE_ATTRIBUTES";
const SAMPLER: &str = "OTEL_TRACES_SAMPLER";
const SAMPLER_ARG: &str = "OTEL_TRACES_SAMPLER_ARG";
const SPAN_DELAY: &str = "OTEL_BSP_SCHEDULE_DELAY";
const METRIC_INTERVAL: &str = "OTEL_METRIC_EXPORT_INTERVAL";
const DISABLED: &str = "OTEL_SDK_DISABLED";

/// Where traces and metrics are sent, and which.
#[derive(Debug, Clone, PartialEq)]
pub struct OtelConfig {
    /// `OTEL_EXPORTER_OTLP_ENDPOINT`, without a trailing slash: `/v1/traces` and `/v1/metrics` follow.
    pub endpoint: String,
    /// `OTEL_EXPORTER_OTLP_HEADERS`: each value is marked as sensitive, so that `Debug` doesn't print it.
    pub headers: HeaderMap,
    /// `OTEL_EXPORTER_OTLP_TIMEOUT`, default 10 s: of one request.
    pub timeout: Duration,
    /// `OTEL_RESOURCE_ATTRIBUTES`, with `OTEL_SERVICE_NAME` as `service.name`, default `codex-miroir`.
    pub resource: Vec<(String, String)>,
    /// `OTEL_TRACES_SAMPLER`, default `parentbased_always_on`.
    pub sampling: TraceSampling,
    /// `OTEL_BSP_SCHEDULE_DELAY`, default 5 s: the longest wait of a span that has ended.
    pub span_delay: Duration,
    /// `OTEL_METRIC_EXPORT_INTERVAL`, default 60 s.
    pub metric_interval: Duration,
}

/// Which traces are recorded.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TraceSampling {
    /// The share of those that begin here, 0 to 1.
    pub ratio: f64,
    /// Whether the caller decides for a request with `traceparent`, by its flag `sampled`.
    pub by_caller: bool,
}

/// The export, if an endpoint is named and it isn't disabled.
pub(super) fn otel(settings: &Lookup<'_>) -> Result<Option<OtelConfig>, ConfigError> {
    let disabled = settings.read(DISABLED, "true or false", |text| {
        text.to_ascii_lowercase().parse().ok()
    })?;
    let Some(endpoint) = settings.trimmed(ENDPOINT) else {
        return Ok(None);
    };
    if disabled == Some(true) {
        return Ok(None);
    }
    let headers = headers(settings)?;
    let endpoint = parse_endpoint(&endpoint, !headers.is_empty())?;
    // Functions hosts know `grpc`, too, and hand their settings on.
    settings.read(PROTOCOL, "http/protobuf, or left out", |text| {
        (text == "http/protobuf").then_some(())
    })?;
    Ok(Some(OtelConfig {
        endpoint,
        headers,
        timeout: milliseconds(settings, TIMEOUT, 10_000)?,
        resource: resource(settings)?,
        sampling: sampling(settings)?,
        span_delay: milliseconds(settings, SPAN_DELAY, 5_000)?,
        metric_interval: milliseconds(settings, METRIC_INTERVAL, 60_000)?,
    }))
}

/// The value isn't shown, since a URL may hold a password.
fn parse_endpoint(text: &str, with_headers: bool) -> Result<String, ConfigError> {
    let unusable = |allowed: &str| ConfigError::new(ENDPOINT, "can't be used", allowed);
    let web = |url: &Url| matches!(url.scheme(), "http" | "https") && url.has_host();
    let url = Url::parse(text).ok().filter(web).filter(is_bare);
    let url = url.ok_or_else(|| unusable("a web address, as in https://otlp.example"))?;
    if with_headers && !is_private(&url) {
        let allowed = format!("an https address, or one of this machine, where {HEADERS} is set");
        return Err(unusable(&allowed));
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

fn headers(settings: &Lookup<'_>) -> Result<HeaderMap, ConfigError> {
    let text = settings.text(HEADERS).unwrap_or_default();
    let headers = pairs(&text).and_then(|pairs| {
        let header = |(name, value): (String, String)| {
            let mut value = HeaderValue::from_str(&value).ok()?;
            value.set_sensitive(true);
            Some((HeaderName::try_from(name).ok()?, value))
        };
        pairs.into_iter().map(header).collect()
    });
    let allowed = "NAME=VALUE separated by commas, with other characters than those of a header percent-encoded";
    headers.ok_or_else(|| ConfigError::new(HEADERS, "can't be used", allowed))
}

fn resource(settings: &Lookup<'_>) -> Result<Vec<(String, String)>, ConfigError> {
    const NAME: &str = "service.name";
    let text = settings.text(RESOURCE).unwrap_or_default();
    let allowed = "NAME=VALUE separated by commas, the values percent-encoded";
    let mut resource = valid(RESOURCE, &text, allowed, pairs)?;
    if let Some(name) = settings.trimmed(SERVICE_NAME) {
        resource.retain(|(key, _)| key != NAME);
        resource.push((NAME.to_owned(), name));
    } else if !resource.iter().any(|(key, _)| key == NAME) {
        resource.push((NAME.to_owned(), env!("CARGO_PKG_NAME").to_owned()));
    }
    Ok(resource)
}

/// `name=value` between commas, the values percent-encoded (W3C Baggage).
fn pairs(text: &str) -> Option<Vec<(String, String)>> {
    let pair = |part: String| {
        let (name, value) = part.split_once('=')?;
        let value = percent_decode_str(value.trim()).decode_utf8().ok()?;
        let name = Some(name.trim()).filter(|name| !name.is_empty())?;
        Some((name.to_owned(), value.into_owned()))
    };
    comma_separated(text).into_iter().map(pair).collect()
}

fn sampling(settings: &Lookup<'_>) -> Result<TraceSampling, ConfigError> {
    let allowed = "always_on, always_off or traceidratio, each also after parentbased_";
    let sampler = settings.read(SAMPLER, allowed, |text| {
        let own = text.strip_prefix("parentbased_");
        let ratio = match own.unwrap_or(text) {
            "always_on" => Some(1.0),
            "always_off" => Some(0.0),
            "traceidratio" => None,
            _ => return None,
        };
        Some((ratio, own.is_some()))
    })?;
    let (ratio, by_caller) = sampler.unwrap_or((Some(1.0), true));
    let ratio = match ratio {
        Some(ratio) => ratio,
        None => {
            let share = settings.read(SAMPLER_ARG, "a number from 0 to 1", |text| {
                text.parse().ok().filter(|it| (0.0..=1.0).contains(it))
            })?;
            share.unwrap_or(1.0)
        }
    };
    Ok(TraceSampling { ratio, by_caller })
}

fn milliseconds(settings: &Lookup<'_>, name: &str, default: u64) -> Result<Duration, ConfigError> {
    /// An hour: a larger value is a typing error.
    const MAX: u64 = 3_600_000;
    let allowed = "a whole number of milliseconds, 1 to 3600000";
    let set = settings.read(name, allowed, |text| {
        text.parse().ok().filter(|it| (1..=MAX).contains(it))
    })?;
    Ok(Duration::from_millis(set.unwrap_or(default)))
}
