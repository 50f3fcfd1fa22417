#![doc = include_str!("README.md")]

pub mod package;

use serde_json::{Value, json};

/// The name of the function that a trigger call in the JSON form invokes; `None` if the body is no such call.
pub fn triggered_function(body: &[u8]) -> Option<String> {
    let call: Value = serde_json::from_slice(body).ok()?;
    let name = call.pointer("/Metadata/sys/MethodName")?.as_str()?;
    Some(name.to_owned())
}

/// The response to a trigger call, with one line for the host's log of the invocation. The host accepts no other form,
/// and without a body the invocation hangs.
pub fn trigger_response(line: &str) -> Value {
    json!({"Outputs": {}, "Logs": [line], "ReturnValue": null})
}
