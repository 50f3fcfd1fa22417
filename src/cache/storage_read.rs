//! A read that goes to storage: the state document, then the confirmed snapshot, the artifact, or a rebuild
//! (src/cache/README.md, "Read").

use std::sync::Arc;

use super::artifact::{Artifact, read_artifact};
use super::bounds::{VersionBounds, join_key};
use super::decide::{Consistency, ReadStep, ReadView, SeenArtifact, SeenState, decide_read};
use super::layers::Layers;
use super::listing::KnownFiles;
use super::rebuild::Rebuild;
use super::request::{Layer, Read, ReadRequest};
use super::single_flight::{LowerBoundSender, Role};
use super::snapshot::{ListedFiles, Snapshot};
use crate::store::{GetIf, Requests};
use crate::user_state::{ReadError, StatePresence, StateResponse};

/// Whether the artifact was requested, and what was found.
enum ArtifactLookup {
    NotRequested,
    /// `None`: there is no usable artifact.
    Requested(Option<Artifact>),
}

/// One read that goes to storage.
pub(super) struct StorageRead {
    layers: Arc<Layers>,
    request: ReadRequest,
    /// The snapshot in memory, current or not.
    base: Option<Arc<Snapshot>>,
    artifact: ArtifactLookup,
    requests: Requests,
    lower_bound: LowerBoundSender,
}

impl StorageRead {
    pub(super) fn new(
        layers: Arc<Layers>,
        request: ReadRequest,
        lower_bound: LowerBoundSender,
    ) -> Self {
        Self {
            base: layers.memory.get(&request.user),
            layers,
            request,
            artifact: ArtifactLookup::NotRequested,
            requests: Requests::default(),
            lower_bound,
        }
    }

    /// Runs the read. Sends the lower bound of its result as soon as the state document has been read.
    pub(super) async fn run(mut self) -> Result<Read, ReadError> {
        tracing::debug!(user = %self.request.user, freshness = ?self.request.consistency, "asking storage");
        let mut seen = self.fetch_state().await?;
        // Sent before recovery, which may take a while: followers only wait for the store's first response.
        let lower_bound = self.view(&seen, false).lower_bound(&self.layers.settings);
        self.lower_bound.send(lower_bound);
        self.recover(&mut seen).await;
        let mut is_reread = false;
        loop {
            match decide_read(&self.view(&seen, is_reread), &self.layers.settings) {
                ReadStep::ConfirmSnapshot => return self.confirm(seen),
                ReadStep::RequestArtifact => {
                    self.requests.reads += 1;
                    let artifact = read_artifact(&**self.layers.store(), &self.request.user).await;
                    self.artifact = ArtifactLookup::Requested(artifact);
                }
                ReadStep::RereadState => {
                    is_reread = true;
                    seen = self.read_state(GetIf::Any).await?;
                }
                ReadStep::ServeArtifact => return self.serve_artifact(seen),
                ReadStep::Rebuild => return self.rebuild_or_join(seen).await,
            }
        }
    }

    /// What the read knows.
    fn view<'a>(&self, seen: &'a StateResponse, is_reread: bool) -> ReadView<'a> {
        ReadView {
            consistency: self.request.consistency,
            snapshot: self.base.as_ref().map(|base| base.age(self.request.now)),
            state: match &seen.found {
                None => SeenState::NotModified,
                Some(StatePresence::Present(stored)) => SeenState::Present(&stored.state),
                Some(StatePresence::Missing | StatePresence::Damaged(_)) => SeenState::Missing,
            },
            artifact: match &self.artifact {
                ArtifactLookup::NotRequested => SeenArtifact::NotRequested,
                ArtifactLookup::Requested(None) => SeenArtifact::Unusable,
                ArtifactLookup::Requested(Some(artifact)) => SeenArtifact::Found {
                    built_from: artifact.built_from,
                    is_current: artifact
                        .is_within_ttl(seen.date, self.layers.settings.artifact_ttl),
                },
            },
            is_reread,
        }
    }

    async fn read_state(&mut self, condition: GetIf) -> Result<StateResponse, ReadError> {
        let (user, now) = (&self.request.user, &self.request.now);
        let documents = &self.layers.states.documents;
        documents
            .read(user, condition, now, &mut self.requests)
            .await
    }

    /// Reads the state document (conditionally, if a snapshot is confirmable), and concurrently the artifact, if
    /// memory has no snapshot within its TTL.
    async fn fetch_state(&mut self) -> Result<StateResponse, ReadError> {
        let settings = &self.layers.settings;
        let age = self.base.as_ref().map(|base| base.age(self.request.now));
        let consistency = self.request.consistency;
        let is_confirmable =
            age.is_some_and(|age| age.is_answer_if_unchanged(consistency, settings));
        let base = self.base.as_ref().filter(|_| is_confirmable);
        let validator = base.and_then(|base| base.bounds.validator().cloned());
        let condition = validator.map_or(GetIf::Any, GetIf::Changed);
        if age.is_some_and(|age| age.is_within_memory_ttl(settings)) {
            return self.read_state(condition).await;
        }
        self.requests.reads += 1;
        let layers = Arc::clone(&self.layers);
        let user = self.request.user.clone();
        let artifact = read_artifact(&**layers.store(), &user);
        let (seen, artifact) = tokio::join!(self.read_state(condition), artifact);
        self.artifact = ArtifactLookup::Requested(artifact);
        seen
    }

    /// Recovers the overdue write intents of the state document, as far as that is possible now.
    async fn recover(&mut self, seen: &mut StateResponse) {
        let Some(StatePresence::Present(present)) = &seen.found else {
            return;
        };
        let (user, now) = (&self.request.user, &self.request.now);
        let recovery = &self.layers.states.recovery;
        let recovered = recovery
            .recover_overdue(user, present, seen.date, now)
            .await;
        if let Some(stored) = recovered.stored {
            self.requests += recovered.requests;
            seen.found = Some(StatePresence::Present(stored));
        }
    }

    /// Answers with the snapshot in memory, which the state document has confirmed.
    fn confirm(self, seen: StateResponse) -> Result<Read, ReadError> {
        let mut entry = self.base.ok_or(ReadError::Broken)?;
        entry.mark_validated(self.request.now.mono);
        if let Some(StatePresence::Present(stored)) = seen.found {
            entry = Arc::new(entry.with_state(stored));
            self.layers.memory.publish(&entry);
        }
        Ok(Read {
            entry,
            layer: Layer::Memory,
            requests: self.requests,
        })
    }

    /// Answers with the artifact, whose listing stays valid for the rest of its TTL.
    fn serve_artifact(self, seen: StateResponse) -> Result<Read, ReadError> {
        let (ArtifactLookup::Requested(Some(artifact)), Some(StatePresence::Present(stored))) =
            (self.artifact, seen.found)
        else {
            return Err(ReadError::Broken);
        };
        let settings = &self.layers.settings;
        let age = artifact.age(seen.date).unwrap_or_default();
        let left = settings.artifact_ttl.saturating_sub(age);
        let found = ListedFiles {
            table: Arc::new(artifact.table),
            listed_at: artifact.listed_at,
            listing_expires: self.request.now.mono + left,
        };
        let bounds = VersionBounds::exact_at(stored);
        let ReadRequest { user, now, .. } = self.request;
        let entry = Arc::new(Snapshot::new(user, bounds, found, now, settings.zone));
        self.layers.memory.publish(&entry);
        Ok(Read {
            entry,
            layer: Layer::Artifact,
            requests: self.requests,
        })
    }

    /// Starts a rebuild from what was found, or joins one in flight whose LIST is late enough.
    async fn rebuild_or_join(self, seen: StateResponse) -> Result<Read, ReadError> {
        let layers = self.layers;
        let ReadRequest {
            user,
            consistency,
            now,
            ..
        } = self.request;
        // `None` (304) can't occur: it is only returned for a confirmable snapshot, which was then confirmed.
        let state = seen.found.unwrap_or(StatePresence::Missing);
        let artifact = match self.artifact {
            ArtifactLookup::Requested(found) => found,
            ArtifactLookup::NotRequested => None,
        };
        let key = join_key(&state, layers.settings.rules);
        let rebuild = Rebuild {
            layers: Arc::clone(&layers),
            user: user.clone(),
            now,
            state,
            date: seen.date,
            known: newest_known(self.base.as_deref(), artifact),
            requests: Requests::default(),
        };
        let may_share_listing = consistency != Consistency::Rebuilt;
        let begin = |listed| rebuild.run(listed);
        let (result, role) = layers.flights.rebuild(&user, key, may_share_listing, begin);
        let mut read = result.await?;
        let rebuilding = std::mem::replace(&mut read.requests, self.requests);
        if role == Role::Leader {
            read.requests += rebuilding;
        }
        Ok(read)
    }
}

/// PURE. The newest known files, from memory or the artifact. A table that is *exact* at the state's version lets the
/// rebuild detect foreign changes.
fn newest_known(snapshot: Option<&Snapshot>, artifact: Option<Artifact>) -> KnownFiles {
    let of_memory = snapshot.map(|snapshot| {
        let VersionBounds { lo, hi, exact, .. } = snapshot.bounds;
        KnownFiles {
            table: Some(Arc::clone(snapshot.table())),
            exact_at: exact.then_some(hi),
            lo,
            floor: hi,
        }
    });
    let of_artifact = artifact.map(|it| KnownFiles {
        table: Some(Arc::new(it.table)),
        exact_at: Some(it.built_from),
        lo: it.built_from,
        floor: it.built_from,
    });
    let known = of_memory.into_iter().chain(of_artifact);
    known.max_by_key(|known| known.floor).unwrap_or_default()
}
