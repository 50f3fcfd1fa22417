//! The state shared by the server's threads and the test, and the path of a request through it.

use std::sync::Mutex;

use sha2::{Digest, Sha256};

use super::deliveries::Deliveries;
use super::exchange::{Answer, Call, Content, Reply, not_found, refuse};
use super::exchanges::Exchanges;
use super::traffic::Traffic;
use super::world::{Caller, World};

/// The whole hub.
pub(super) struct Hub {
    world: Mutex<World>,
    pub(super) traffic: Traffic,
    pub(super) deliveries: Deliveries,
    exchanges: Exchanges,
}

impl Hub {
    pub(super) fn new(world: World, deliveries: Deliveries) -> Self {
        Self {
            world: Mutex::new(world),
            traffic: Traffic::new(),
            deliveries,
            exchanges: Exchanges::new(),
        }
    }

    /// Runs `work` on the world, and sends the resulting pushes in order.
    pub(super) fn work<T>(&self, work: impl FnOnce(&mut World) -> T) -> T {
        let mut world = self.world.lock().unwrap();
        let done = work(&mut world);
        world.seal();
        for push in world.pushes.drain(..) {
            self.exchanges.delivery(&push.payload);
            self.deliveries.queue("push", &push.payload);
        }
        done
    }

    /// A request's answer, with all headers; `replica` is the one whose address received it.
    pub(super) fn answer(&self, call: &Call, replica: Option<usize>) -> Reply {
        let web = call.segments.first().is_some_and(|first| first == "login");
        if web {
            let sign_in = |world: &mut World| world.sign_in(call);
            let answer = self.work(|world| world.addressed_at(replica, sign_in));
            return answer.unwrap_or_else(|refusal| *refusal);
        }
        if call.header("user-agent").is_none_or(str::is_empty) {
            let text = "Request forbidden by administrative rules. Please make sure your request \
                        has a User-Agent header.";
            return Reply::raw(403, "text/html", text);
        }
        let answer = |world: &mut World| world.api_answer(call, replica);
        let reply = self.work(|world| world.addressed_at(replica, answer));
        self.exchanges.note(call, &reply);
        reply
    }
}

impl World {
    /// The API's answer, counted and with the rate limit's headers.
    fn api_answer(&mut self, call: &Call, replica: Option<usize>) -> Reply {
        let now = self.now();
        let caller = self.caller(call);
        let counted = caller.clone().unwrap_or(Caller::Nobody);
        let answer = caller.and_then(|caller| {
            self.limits.check(&caller, now)?;
            self.route(call, &caller, replica)
        });
        let mut reply = answer.unwrap_or_else(|refusal| *refusal);
        let unchanged = call.method == "GET" && reply.status == 200 && tag(call, &mut reply);
        if unchanged {
            reply.status = 304;
            reply.content = Content::None;
        }
        if !unchanged {
            self.limits.charge(&counted, now);
        }
        reply
            .headers
            .extend(self.limits.count(&counted, now).headers());
        let id = format!(
            "{:04X}:{:06X}",
            fastrand::u16(..),
            fastrand::u32(..0x0100_0000)
        );
        reply
            .with("x-github-request-id", id)
            .with("x-github-media-type", "github.v3; format=json")
            .with("x-github-api-version-selected", "2022-11-28")
            .with("vary", "Accept, Authorization, Cookie, X-GitHub-OTP")
    }

    fn route(&mut self, call: &Call, caller: &Caller, replica: Option<usize>) -> Answer {
        let segments: Vec<&str> = call.segments.iter().map(String::as_str).collect();
        match (call.method.as_str(), segments.as_slice()) {
            ("GET", ["user"]) => self.get_user(caller),
            ("POST", ["applications", client, "token"]) => self.check_token(call, client, caller),
            ("POST", ["app", "installations", id, "access_tokens"]) => {
                self.installation_token(id, caller)
            }
            (method, ["repos", owner, name, below @ ..]) => {
                self.credential_for_repositories(caller)?;
                let here = owner.eq_ignore_ascii_case(&self.owner_login())
                    && name.eq_ignore_ascii_case(&self.name);
                if !here {
                    return Err(not_found());
                }
                match method {
                    "GET" => {
                        self.may_read(caller)?;
                        self.as_shown_by(replica, |world| world.route_read(call, below, caller))
                    }
                    _ => {
                        self.may_write(caller)?;
                        self.route_write(call, below, caller)
                    }
                }
            }
            _ => Err(not_built(call)),
        }
    }

    /// An app's own credentials grant no access to repositories.
    fn credential_for_repositories(&self, caller: &Caller) -> Result<(), Box<Reply>> {
        match caller {
            Caller::Basic(..) | Caller::Claim(_) => Err(refuse(401, "Bad credentials")),
            _ => Ok(()),
        }
    }

    fn route_read(&mut self, call: &Call, below: &[&str], caller: &Caller) -> Answer {
        match below {
            [] => self.get_repository(caller),
            ["branches", branch @ ..] => self.get_branch(&branch.join("/")),
            ["rules", "branches", branch @ ..] => self.get_branch_rules(&branch.join("/")),
            ["hooks"] => self.list_hooks(caller),
            ["git", "ref", reference @ ..] => self.get_ref(&reference.join("/")),
            ["git", "commits", sha] => self.get_commit(sha),
            ["git", "trees", name @ ..] => self.get_tree(call, &name.join("/")),
            ["git", "blobs", sha] => self.get_blob(call, sha),
            ["contents", path @ ..] => self.get_contents(call, &path.join("/")),
            ["compare", ends @ ..] => self.compare(call, &ends.join("/")),
            ["activity"] => self.list_activities(call),
            ["pulls"] => self.list_pulls(call),
            ["pulls", number] => self.get_pull(number),
            _ => Err(not_built(call)),
        }
    }

    fn route_write(&mut self, call: &Call, below: &[&str], caller: &Caller) -> Answer {
        match (call.method.as_str(), below) {
            ("PUT", ["contents", path @ ..]) => self.put_contents(call, &path.join("/"), caller),
            ("DELETE", ["contents", path @ ..]) => {
                self.delete_contents(call, &path.join("/"), caller)
            }
            ("POST", ["git", "blobs"]) => self.create_blob(call),
            ("POST", ["git", "trees"]) => self.create_tree(call),
            ("POST", ["git", "commits"]) => self.create_commit(call, caller),
            ("POST", ["git", "refs"]) => self.create_ref(call, caller),
            ("PATCH", ["git", "refs", reference @ ..]) => {
                self.update_ref(call, &reference.join("/"), caller)
            }
            ("POST", ["pulls"]) => self.open_pull(call, caller),
            _ => Err(not_built(call)),
        }
    }
}

/// The answer for a route that GitHub may have and this hub lacks; its status is none of GitHub's, so that it is
/// noticed.
fn not_built(call: &Call) -> Box<Reply> {
    let message = format!("the tests' GitHub has no {} {}", call.method, call.path);
    refuse(501, &message)
}

/// Adds the answer's ETag, and returns whether the client already has this version.
fn tag(call: &Call, reply: &mut Reply) -> bool {
    let (kind, bytes) = reply.bytes();
    let mut hash = Sha256::new_with_prefix(kind.unwrap_or_default());
    hash.update(&bytes);
    let hash: String = hash
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let tag = format!("W/\"{hash}\"");
    let known = call.header("if-none-match").is_some_and(|known| {
        known.split(',').any(|known| {
            let known = known.trim();
            known == "*" || known.trim_start_matches("W/") == tag.trim_start_matches("W/")
        })
    });
    reply.headers.push(("etag", tag));
    reply.headers.push((
        "cache-control",
        "private, max-age=60, s-maxage=60".to_owned(),
    ));
    known
}
