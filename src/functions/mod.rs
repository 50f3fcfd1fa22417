#![doc = include_str!("README.md")]

pub mod package;

use serde::{Deserialize, Serialize};

/// The body isn't a trigger call of the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a trigger call")]
pub struct BadTrigger;

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

/// The function that a trigger call in the JSON form is for.
///
/// # Errors
/// When the body doesn't say.
pub fn triggered(body: &[u8]) -> Result<String, BadTrigger> {
    let call: TriggerCall = serde_json::from_slice(body).map_err(|_| BadTrigger)?;
    Ok(call.metadata.sys.method_name)
}

/// The answer to a trigger call: the host takes nothing else for an answer, and waits on when there is
/// none.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct TriggerAnswer {
    outputs: Outputs,
    /// Lines for the host's log of the invocation.
    logs: Vec<String>,
    return_value: Option<()>,
}

#[derive(Debug, Serialize)]
struct Outputs {}

impl TriggerAnswer {
    /// With one line for the host's log.
    pub fn saying(line: String) -> Self {
        Self {
            outputs: Outputs {},
            logs: vec![line],
            return_value: None,
        }
    }
}
