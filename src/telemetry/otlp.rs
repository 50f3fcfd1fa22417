//! Export of traces and metrics by OpenTelemetry (`src/admin/README.md`, "OpenTelemetry").

mod client;
mod metrics;

use std::error::Error;
use std::time::Duration;

use opentelemetry::trace::TracerProvider;
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::InstrumentationScope as MetricScope;
use opentelemetry_proto::tonic::metrics::v1::{ResourceMetrics, ScopeMetrics};
use opentelemetry_proto::tonic::resource::v1::Resource as MetricResource;
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracerProvider, SpanData, SpanExporter,
    SpanLimits,
};

use crate::config::{OtelConfig, TraceSampling};
use crate::net::TrustStore;
use crate::{context, spans};
use client::{OtlpClient, Signal};

pub use metrics::{MetricTimes, metrics};

/// Spans that wait to be sent; more are dropped. In memory a span has about 1 KB.
const MAX_QUEUED_SPANS: usize = 2048;

/// Spans of one request to the endpoint.
const BATCH_SPANS: usize = 512;

/// How long a shutdown waits for what isn't sent yet.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);

/// The running export.
pub struct OtelExport {
    provider: SdkTracerProvider,
    client: OtlpClient,
    resource: Resource,
    interval: Duration,
}

impl OtelExport {
    /// Starts the export of spans, which are made from now on. Must be called within a runtime, before the routes are
    /// made.
    ///
    /// # Errors
    /// None in practice: the settings are checked.
    pub fn start(config: &OtelConfig, trust: &TrustStore) -> Result<Self, Box<dyn Error>> {
        let client = OtlpClient::new(config, trust)?;
        let resource = resource(config);
        let exporter = OtlpSpans {
            client: client.clone(),
            resource: (&resource).into(),
        };
        // All limits are given here, so that the variables that the library reads on its own have no effect.
        let batches = BatchConfigBuilder::default()
            .with_max_queue_size(MAX_QUEUED_SPANS)
            .with_max_export_batch_size(BATCH_SPANS)
            .with_scheduled_delay(config.span_delay)
            .build();
        let processor = BatchSpanProcessor::builder(exporter).with_batch_config(batches);
        let provider = SdkTracerProvider::builder()
            .with_span_processor(processor.build())
            .with_sampler(sampler(config.sampling))
            .with_span_limits(SpanLimits::default())
            .with_resource(resource.clone())
            .build();
        let scope = InstrumentationScope::builder(env!("CARGO_PKG_NAME"));
        let scope = scope.with_version(env!("CARGO_PKG_VERSION")).build();
        spans::install(provider.tracer_with_scope(scope));
        Ok(Self {
            provider,
            client,
            resource,
            interval: config.metric_interval,
        })
    }

    /// The time between two exports of the metrics.
    pub fn metric_interval(&self) -> Duration {
        self.interval
    }

    /// Sends the metrics of the text of `/metrics`.
    pub async fn send_metrics(&self, text: &str, times: MetricTimes) {
        let scope = MetricScope {
            name: env!("CARGO_PKG_NAME").to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            ..MetricScope::default()
        };
        let attributes = ResourceAttributesWithSchema::from(&self.resource).attributes;
        let request = ExportMetricsServiceRequest {
            resource_metrics: vec![ResourceMetrics {
                resource: Some(MetricResource {
                    attributes: attributes.0,
                    ..MetricResource::default()
                }),
                scope_metrics: vec![ScopeMetrics {
                    scope: Some(scope),
                    metrics: metrics(text, times),
                    ..ScopeMetrics::default()
                }],
                ..ResourceMetrics::default()
            }],
        };
        self.client.send(Signal::Metrics, &request).await;
    }

    /// Sends the metrics for the last time, and what spans there are, and ends. Waits 2 s at most.
    pub async fn finish(&self, text: &str, times: MetricTimes) {
        let provider = self.provider.clone();
        let flush =
            tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(FLUSH_TIMEOUT));
        let both = async { tokio::join!(self.send_metrics(text, times), flush) };
        // What isn't sent by then is lost; the log has said that the endpoint is away.
        let _ = tokio::time::timeout(FLUSH_TIMEOUT, both).await;
    }
}

fn resource(config: &OtelConfig) -> Resource {
    let own = [
        KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
        KeyValue::new("service.instance.id", context::instance()),
    ];
    let set = config.resource.iter();
    let set = set.map(|(name, value)| KeyValue::new(name.clone(), value.clone()));
    // Of two values of a name the later one stays.
    Resource::builder_empty()
        .with_attributes(own)
        .with_attributes(set)
        .build()
}

fn sampler(sampling: TraceSampling) -> Sampler {
    // A ratio of 0 or 1 is none or all.
    let own = Sampler::TraceIdRatioBased(sampling.ratio);
    match sampling.by_caller {
        true => Sampler::ParentBased(Box::new(own)),
        false => own,
    }
}

/// Sends batches of spans.
#[derive(Debug)]
struct OtlpSpans {
    client: OtlpClient,
    resource: ResourceAttributesWithSchema,
}

impl SpanExporter for OtlpSpans {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let request = ExportTraceServiceRequest {
            resource_spans: group_spans_by_resource_and_scope(batch, &self.resource),
        };
        match self.client.send(Signal::Traces, &request).await {
            true => Ok(()),
            false => Err(OTelSdkError::InternalFailure("not delivered".to_owned())),
        }
    }
}
