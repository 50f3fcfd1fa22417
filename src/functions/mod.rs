#![doc = include_str!("README.md")]

pub mod package;

use serde::{Deserialize, Serialize};

/// The body is no trigger call of the Functions host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a trigger call")]
pub struct InvalidTriggerCall;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct TriggerCall {
    metadata: Metadata,
}

#[derive(Deserialize)]
struct Metadata {
    sys: Sys,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Sys {
    method_name: String,
}

/// The name of the function that a trigger call in the JSON form invokes (`Metadata.sys.MethodName`).
///
/// # Errors
/// [`InvalidTriggerCall`] if the body is no such JSON.
pub fn triggered_function(body: &[u8]) -> Result<String, InvalidTriggerCall> {
    let call: TriggerCall = serde_json::from_slice(body).map_err(|_| InvalidTriggerCall)?;
    Ok(call.metadata.sys.method_name)
}

/// The response to a trigger call. The host accepts no other form, and without a body the invocation hangs.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct TriggerResponse {
    outputs: Outputs,
    /// Lines for the host's log of the invocation.
    logs: Vec<String>,
    return_value: Option<()>,
}

#[derive(Debug, Serialize)]
struct Outputs {}

impl TriggerResponse {
    /// A response with one line for the host's log of the invocation.
    pub fn with_log_line(line: String) -> Self {
        Self {
            outputs: Outputs {},
            logs: vec![line],
            return_value: None,
        }
    }
}
