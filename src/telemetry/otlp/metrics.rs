//! PURE. The metrics of `/metrics` as OTLP.
//!
//! They are taken from the text of `/metrics`, so that what one of the two has is in the other, too, and nothing is
//! counted twice. The names are those of the metric families there, without `_total`.

use std::time::SystemTime;

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as Number;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint, Sum,
};

/// When the counting began, and the time of the values.
#[derive(Debug, Clone, Copy)]
pub struct MetricTimes {
    /// The start of the process.
    pub began: SystemTime,
    /// Now.
    pub at: SystemTime,
}

impl MetricTimes {
    /// Both in nanoseconds since 1970.
    fn nanos(self) -> (u64, u64) {
        let nanos = |time: SystemTime| {
            let since = time.duration_since(SystemTime::UNIX_EPOCH);
            since.map_or(0, |it| u64::try_from(it.as_nanos()).unwrap_or(u64::MAX))
        };
        (nanos(self.began), nanos(self.at))
    }
}

/// A line with a value.
struct MetricSample<'a> {
    name: &'a str,
    labels: Vec<(&'a str, String)>,
    value: &'a str,
}

/// Converts the metrics of a text in the OpenMetrics format, as this service renders it.
pub fn metrics(text: &str, times: MetricTimes) -> Vec<Metric> {
    let mut metrics: Vec<Metric> = Vec::new();
    for line in text.lines() {
        match line.strip_prefix("# ") {
            Some(comment) => describe(comment, &mut metrics),
            None => {
                if let (Some(sample), Some(metric)) = (parse_sample(line), metrics.last_mut()) {
                    add(metric, &sample, times);
                }
            }
        }
    }
    metrics
}

/// Takes a line `HELP`, `TYPE` or `UNIT` of a family, of which `HELP` is the first.
fn describe(comment: &str, metrics: &mut Vec<Metric>) {
    let mut words = comment.splitn(3, ' ');
    let (Some(keyword), Some(name), Some(rest)) = (words.next(), words.next(), words.next()) else {
        return;
    };
    if metrics.last().is_none_or(|last| last.name != name) {
        metrics.push(Metric {
            name: name.to_owned(),
            ..Metric::default()
        });
    }
    let Some(metric) = metrics.last_mut() else {
        return;
    };
    let cumulative = AggregationTemporality::Cumulative.into();
    match (keyword, rest) {
        ("HELP", help) => metric.description = help.trim_end_matches('.').to_owned(),
        ("UNIT", "seconds") => metric.unit = "s".to_owned(),
        ("UNIT", "bytes") => metric.unit = "By".to_owned(),
        ("TYPE", "counter") => {
            metric.data = Some(Data::Sum(Sum {
                aggregation_temporality: cumulative,
                is_monotonic: true,
                ..Sum::default()
            }));
        }
        ("TYPE", "histogram") => {
            metric.data = Some(Data::Histogram(Histogram {
                aggregation_temporality: cumulative,
                ..Histogram::default()
            }));
        }
        // A constant 1 with labels is a gauge, too.
        ("TYPE", "gauge" | "info") => metric.data = Some(Data::Gauge(Gauge::default())),
        _ => {}
    }
}

/// `name{label="value",…} number`.
fn parse_sample(line: &str) -> Option<MetricSample<'_>> {
    let end = line.find(['{', ' '])?;
    let (name, mut rest) = line.split_at(end);
    let mut labels = Vec::new();
    if let Some(inner) = rest.strip_prefix('{') {
        rest = inner;
        while let Some((label, quoted)) = rest.split_once("=\"") {
            let (value, after) = unquote(quoted)?;
            labels.push((label, value));
            rest = after.strip_prefix(',').unwrap_or(after);
            if let Some(after) = rest.strip_prefix('}') {
                rest = after;
                break;
            }
        }
    }
    let value = rest.split_whitespace().next()?;
    Some(MetricSample {
        name,
        labels,
        value,
    })
}

/// The value up to the closing quote, and what follows.
fn unquote(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => value.push(match chars.next()?.1 {
                'n' => '\n',
                escaped => escaped,
            }),
            c => value.push(c),
        }
    }
    None
}

fn add(metric: &mut Metric, sample: &MetricSample<'_>, times: MetricTimes) {
    let (began, at) = times.nanos();
    let labels = sample.labels.iter().filter(|(name, _)| *name != "le");
    let attributes: Vec<KeyValue> = labels.map(|(name, value)| attribute(name, value)).collect();
    match &mut metric.data {
        Some(Data::Sum(sum)) => sum.data_points.push(NumberDataPoint {
            attributes,
            start_time_unix_nano: began,
            time_unix_nano: at,
            value: number(sample.value),
            ..NumberDataPoint::default()
        }),
        Some(Data::Gauge(gauge)) => gauge.data_points.push(NumberDataPoint {
            attributes,
            time_unix_nano: at,
            value: number(sample.value),
            ..NumberDataPoint::default()
        }),
        Some(Data::Histogram(histogram)) => {
            let points = &mut histogram.data_points;
            // The lines of one series follow each other.
            if points.last().is_none_or(|it| it.attributes != attributes) {
                points.push(HistogramDataPoint {
                    attributes,
                    start_time_unix_nano: began,
                    time_unix_nano: at,
                    ..HistogramDataPoint::default()
                });
            }
            if let Some(point) = points.last_mut() {
                add_to_series(point, sample);
            }
        }
        _ => {}
    }
}

/// In the text a bucket contains those below it; in OTLP it doesn't.
fn add_to_series(point: &mut HistogramDataPoint, sample: &MetricSample<'_>) {
    let bound = sample.labels.iter().find(|(name, _)| *name == "le");
    match bound {
        Some((_, bound)) => {
            let below: u64 = point.bucket_counts.iter().sum();
            let up_to_here: u64 = sample.value.parse().unwrap_or_default();
            point.bucket_counts.push(up_to_here.saturating_sub(below));
            if let Some(bound) = bound.parse().ok().filter(|it: &f64| it.is_finite()) {
                point.explicit_bounds.push(bound);
            }
        }
        None if sample.name.ends_with("_sum") => point.sum = sample.value.parse().ok(),
        None => point.count = sample.value.parse().unwrap_or_default(),
    }
}

fn number(text: &str) -> Option<Number> {
    let whole = text.parse().map(Number::AsInt);
    whole.or_else(|_| text.parse().map(Number::AsDouble)).ok()
}

fn attribute(name: &str, value: &str) -> KeyValue {
    KeyValue {
        key: name.to_owned(),
        value: Some(AnyValue {
            value: Some(Value::StringValue(value.to_owned())),
        }),
        ..KeyValue::default()
    }
}
