//! The storage that processes share: a folder, or a container with one of two kinds of credentials.

use std::process::Command;

use codex_miroir::store::azure::AzureStore;
use codex_miroir::store::{BlobKey, BlobStore, GetIf, GetOutcome};
use codex_miroir::user::UserId;
use codex_miroir::user_state::State;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::azurite::azurite;
use super::identity::IdentityEndpoint;
use super::process::{Service, codex_miroir};
use super::tcp_proxy::TcpProxy;
use super::tls::{AuthorityFile, authority, secure_azurite};

pub(crate) enum Place {
    Folder(TempDir),
    /// Azurite, by the account's key.
    Container(Container),
    /// Azurite over https, by tokens of a managed identity, as on Azure.
    Identity(Container, IdentityEndpoint, AuthorityFile),
}

pub(crate) struct Container {
    name: String,
    /// Access that bypasses the service.
    store: AzureStore,
}

impl Place {
    /// One place of each kind.
    pub(crate) fn all() -> [Self; 3] {
        let folder = tempfile::tempdir().unwrap();
        [Self::container(), Self::identity(), Self::Folder(folder)]
    }

    pub(crate) fn container() -> Self {
        let name = azurite().container();
        let store = azurite().store(&name);
        Self::Container(Container { name, store })
    }

    pub(crate) fn identity() -> Self {
        let name = secure_azurite().container();
        let store = IdentityEndpoint::start().store(&name);
        let container = Container { name, store };
        Self::Identity(container, IdentityEndpoint::start(), authority().file())
    }

    /// The binary with the settings for this place.
    pub(crate) fn command(&self) -> Command {
        match self {
            Self::Identity(..) => self.command_at(secure_azurite().port()),
            _ => self.command_at(azurite().port()),
        }
    }

    /// A counting proxy to the emulator; it speaks plain HTTP on both sides.
    pub(crate) fn proxy(&self, runtime: &Runtime) -> TcpProxy {
        let upstream = match self {
            Self::Identity(..) => authority().http_before(secure_azurite().port()),
            _ => azurite().port(),
        };
        runtime.block_on(TcpProxy::start(upstream))
    }

    /// The binary, connected to the emulator through this proxy.
    pub(crate) fn command_by(&self, proxy: &TcpProxy) -> Command {
        match self {
            Self::Identity(..) => self.command_at(authority().https_before(proxy.port())),
            _ => self.command_at(proxy.port()),
        }
    }

    fn command_at(&self, port: u16) -> Command {
        let mut command = codex_miroir();
        match self {
            Self::Folder(folder) => command.env("CODEX_DATA_DIR", folder.path()),
            Self::Container(container) => command
                .env("AZURE_BLOB_CONN", azurite().with_key(port))
                .env("AZURE_BLOB_CONTAINER", &container.name),
            Self::Identity(container, endpoint, authority) => command
                .env(
                    "AZURE_BLOB_CONN__blobServiceUri",
                    secure_azurite().endpoint(port),
                )
                .env("AZURE_BLOB_CONTAINER", &container.name)
                .envs(endpoint.settings())
                .env("SSL_CERT_FILE", &authority.path),
        };
        command
    }

    pub(crate) fn service(&self) -> Service {
        Service::start(&mut self.command())
    }

    /// The endpoint that issues the processes' tokens.
    pub(crate) fn endpoint(&self) -> Option<&IdentityEndpoint> {
        match self {
            Self::Identity(_, endpoint, _) => Some(endpoint),
            _ => None,
        }
    }

    /// Reads a blob past the service.
    pub(crate) fn blob(&self, runtime: &Runtime, key: &BlobKey) -> Option<Vec<u8>> {
        let store = match self {
            Self::Folder(folder) => return std::fs::read(folder.path().join(key.path())).ok(),
            Self::Container(container) | Self::Identity(container, ..) => &container.store,
        };
        match runtime.block_on(store.get(key, GetIf::Any)).unwrap().value {
            GetOutcome::Blob(blob) => Some(blob.bytes.to_vec()),
            _ => None,
        }
    }

    /// The state of the user `local`.
    pub(crate) fn state(&self, runtime: &Runtime) -> State {
        let local = UserId::parse("local").unwrap();
        let bytes = self.blob(runtime, &BlobKey::state(&local)).unwrap();
        State::parse(&bytes).unwrap().unwrap()
    }
}
