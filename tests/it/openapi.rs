//! The API's document.

use crate::support::contract::DOCUMENT;

#[test]
fn dump() {
    std::fs::write(
        "/tmp/h-api-py/openapi.json",
        serde_json::to_string_pretty(&*DOCUMENT).unwrap(),
    )
    .unwrap();
}
