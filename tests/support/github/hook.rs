//! The hook, controlled by the test.

use serde_json::{Value, json};

use super::GitHub;
use super::deliveries::{Delivery, Outcome};

/// The hook. Deliveries are queued until the test posts them.
impl GitHub {
    /// Sets the secret that signs deliveries queued from now on.
    pub(crate) fn set_hook_secret(&self, secret: Option<&str>) {
        self.hub.deliveries.set_secret(secret);
    }

    /// The queued deliveries, oldest first.
    pub(crate) fn pending(&self) -> Vec<Delivery> {
        self.hub.deliveries.pending()
    }

    /// Removes and returns the queued deliveries, for a test that posts them itself.
    pub(crate) fn take_deliveries(&self) -> Vec<Delivery> {
        self.hub.deliveries.take()
    }

    /// Drops the queued deliveries; returns their number.
    pub(crate) fn drop_deliveries(&self) -> usize {
        self.take_deliveries().len()
    }

    /// Duplicates each queued delivery.
    pub(crate) fn duplicate_deliveries(&self) {
        let twice = self
            .pending()
            .into_iter()
            .flat_map(|one| [one.clone(), one]);
        self.hub.deliveries.replace(twice.collect());
    }

    /// Shuffles the queue with this seed.
    pub(crate) fn shuffle_deliveries(&self, seed: u64) {
        let mut pending = self.pending();
        fastrand::Rng::with_seed(seed).shuffle(&mut pending);
        self.hub.deliveries.replace(pending);
    }

    /// Queues a delivery that no push caused: a ping, or another event.
    pub(crate) fn queue_delivery(&self, event: &str, payload: &Value) -> Delivery {
        self.hub.deliveries.queue(event, payload)
    }

    /// The delivery that GitHub sends when a hook is created.
    pub(crate) fn ping(&self) -> Delivery {
        let repository = self.hub.work(|world| world.repository());
        let hook = json!({ "type": "Repository", "id": 1, "name": "web", "active": true,
            "events": ["push"], "config": { "content_type": "json", "insecure_ssl": "0" } });
        let payload = json!({ "zen": "Keep it logically awesome.", "hook_id": 1, "hook": hook,
            "repository": repository });
        self.queue_delivery("ping", &payload)
    }

    /// Posts one delivery, queued or not.
    pub(crate) async fn deliver(&self, delivery: &Delivery, url: &str) -> Outcome {
        let posted = self.hub.deliveries.post(delivery.clone(), url.to_owned());
        posted.await.unwrap()
    }

    /// Posts the oldest queued delivery.
    pub(crate) async fn deliver_one(&self, url: &str) -> Option<Outcome> {
        let delivery = self.hub.deliveries.take_first()?;
        Some(self.deliver(&delivery, url).await)
    }

    /// Posts all queued deliveries, one after the other.
    pub(crate) async fn deliver_all(&self, url: &str) -> Vec<Outcome> {
        let mut outcomes = Vec::new();
        while let Some(outcome) = self.deliver_one(url).await {
            outcomes.push(outcome);
        }
        outcomes
    }

    /// Posts all queued deliveries concurrently.
    pub(crate) async fn deliver_at_once(&self, url: &str) -> Vec<Outcome> {
        let waiting = self.take_deliveries().into_iter();
        let posted = waiting.map(|one| self.hub.deliveries.post(one, url.to_owned()));
        let posted: Vec<_> = posted.collect();
        let outcomes = futures::future::join_all(posted).await;
        outcomes.into_iter().map(Result::unwrap).collect()
    }
}
