#![doc = include_str!("config/README.md")]

mod auth;
mod github;
mod lookup;
mod otel;
mod public_url;
mod redis;
mod settings;
mod storage;
mod unknown_settings;

pub use auth::{Allowlist, Auth, OAuthApp};
pub use github::{Credentials, GitHubConfig, RepositoryConfig};
pub use lookup::{ConfigError, Flags, Secret};
pub use otel::{OtelConfig, TraceSampling};
pub use public_url::PublicUrl;
pub use redis::{RedisConfig, RedisLogin};
pub use settings::Config;
pub use storage::{ManagedIdentityConfig, StorageChoice, is_container_name};
pub use unknown_settings::{UnknownSetting, older_settings, unknown_settings};
