//! The git database: refs, commits, trees and blobs.

use serde_json::{Value, json};

use super::commit;
use super::contents::{from_base64, is_path, lines_of_60};
use super::exchange::{Answer, Call, Reply, not_found, refuse, text};
use super::git::{is_ref, is_sha};
use super::tree::{self, EXECUTABLE, Edits, Entry, FILE, FOLDER, LINK, SUBMODULE};
use super::world::{Caller, World};

/// GitHub's refusal of a value that isn't a SHA.
fn check_sha(sha: &str) -> Result<(), Box<Reply>> {
    let message = "The sha parameter must be exactly 40 characters and contain only [0-9a-f].";
    is_sha(sha)
        .then_some(())
        .ok_or_else(|| refuse(422, message))
}

impl World {
    fn check_filled(&self) -> Result<(), Box<Reply>> {
        match self.is_empty() {
            true => Err(refuse(409, "Git Repository is empty.")),
            false => Ok(()),
        }
    }

    /// `GET /repos/{owner}/{repo}/git/ref/{ref}`.
    pub(super) fn get_ref(&mut self, below: &str) -> Answer {
        let reference = format!("refs/{below}");
        match self.git.tip(&reference) {
            Some(sha) => Ok(Reply::json(200, self.reference(&reference, &sha))),
            None => {
                self.check_filled()?;
                Err(not_found())
            }
        }
    }

    /// `GET /repos/{owner}/{repo}/git/commits/{commit_sha}`.
    pub(super) fn get_commit(&mut self, sha: &str) -> Answer {
        self.check_filled()?;
        check_sha(sha)?;
        let commit = commit::read(&mut self.git, sha).ok_or_else(not_found)?;
        Ok(Reply::json(200, self.git_commit(&commit)))
    }

    /// `GET /repos/{owner}/{repo}/git/trees/{tree_sha}`.
    pub(super) fn get_tree(&mut self, call: &Call, name: &str) -> Answer {
        self.check_filled()?;
        let tree = match self.resolve(name) {
            Some(commit) => commit::tree_of(&mut self.git, &commit),
            None => self.git.read_as("tree", name).map(|_| name.to_owned()),
        };
        let tree = tree.ok_or_else(not_found)?;
        // Any value counts as true, even 0 and false.
        let recursive = call.query("recursive").is_some();
        Ok(Reply::json(200, self.tree(&tree, recursive)))
    }

    /// Without its `url`, which is optional in GitHub's description.
    fn tree(&mut self, sha: &str, recursive: bool) -> Value {
        let mut entries = match recursive {
            true => tree::walk(&mut self.git, sha),
            false => tree::read(&mut self.git, sha),
        };
        let truncated = entries.len() > self.tree_limit;
        entries.truncate(self.tree_limit);
        let entries = entries.iter().map(|entry| self.tree_entry(entry));
        let entries: Vec<Value> = entries.collect();
        json!({
            "sha": sha,
            "tree": entries,
            "truncated": truncated,
        })
    }

    fn tree_entry(&mut self, entry: &Entry) -> Value {
        let kind = entry.kind();
        let mut shown = json!({
            "path": entry.path(),
            "mode": entry.mode,
            "type": kind,
            "sha": entry.sha,
        });
        if kind == "blob" {
            let size = self.git.look(&entry.sha).map(|(_, _, size)| size);
            shown["size"] = json!(size.unwrap_or(0));
        }
        if kind != "commit" {
            shown["url"] = json!(self.api(&format!("git/{kind}s/{}", entry.sha)));
        }
        shown
    }

    /// `GET /repos/{owner}/{repo}/git/blobs/{file_sha}`.
    pub(super) fn get_blob(&mut self, call: &Call, sha: &str) -> Answer {
        self.check_filled()?;
        check_sha(sha)?;
        let bytes = self.git.read_as("blob", sha).ok_or_else(not_found)?;
        if call.wants_raw() {
            let kind = "application/vnd.github.raw+json; charset=utf-8";
            return Ok(Reply::raw(200, kind, bytes));
        }
        let blob = json!({
            "sha": sha,
            "node_id": super::shapes::node_id(sha),
            "size": bytes.len(),
            "url": self.api(&format!("git/blobs/{sha}")),
            "content": lines_of_60(&bytes),
            "encoding": "base64",
        });
        Ok(Reply::json(200, blob))
    }

    /// `POST /repos/{owner}/{repo}/git/blobs`.
    pub(super) fn create_blob(&mut self, call: &Call) -> Answer {
        self.check_filled()?;
        let body = call.json()?;
        let content = text(&body, "content")?;
        let bytes = match body["encoding"].as_str() {
            Some("base64") => {
                from_base64(&content).ok_or_else(|| refuse(422, "content is not valid Base64"))?
            }
            _ => content.into_bytes(),
        };
        let sha = self.git.write("blob", &bytes);
        let url = self.api(&format!("git/blobs/{sha}"));
        Ok(Reply::json(201, json!({ "sha": sha, "url": url })).with("location", url))
    }

    /// `POST /repos/{owner}/{repo}/git/trees`.
    pub(super) fn create_tree(&mut self, call: &Call) -> Answer {
        self.check_filled()?;
        let body = call.json()?;
        let base = match body["base_tree"].as_str() {
            Some(sha) => Some(self.base_tree(sha)?),
            None => None,
        };
        let entries = body["tree"].as_array();
        let entries = entries.ok_or_else(|| refuse(422, "Invalid tree info"))?;
        if entries.is_empty() && base.is_none() {
            return Err(refuse(422, "Invalid tree info"));
        }
        let mut edits = Edits::new();
        for entry in entries {
            let (path, edit) = self.tree_edit(base.as_deref(), entry)?;
            edits.insert(path.into_bytes(), edit);
        }
        let tree = tree::edited(&mut self.git, base.as_deref(), &edits);
        let answer = self.tree(&tree, false);
        let location = self.api(&format!("git/trees/{tree}"));
        Ok(Reply::json(201, answer).with("location", location))
    }

    /// The tree with this SHA, or the tree of the commit with it.
    fn base_tree(&mut self, sha: &str) -> Result<String, Box<Reply>> {
        if self.git.read_as("tree", sha).is_some() {
            return Ok(sha.to_owned());
        }
        let tree = commit::tree_of(&mut self.git, sha);
        tree.ok_or_else(|| refuse(422, "base_tree is not a valid tree oid"))
    }

    #[expect(clippy::type_complexity, reason = "an entry of `Edits`")]
    fn tree_edit(
        &mut self,
        base: Option<&str>,
        entry: &Value,
    ) -> Result<(String, Option<(String, String)>), Box<Reply>> {
        let path = text(entry, "path")?;
        if !is_path(&path) {
            return Err(refuse(422, "tree.path contains a malformed path component"));
        }
        let mode = entry["mode"].as_str().unwrap_or(FILE);
        if ![FILE, EXECUTABLE, LINK, SUBMODULE, FOLDER].contains(&mode) {
            return Err(refuse(
                422,
                &format!("tree.mode {mode} is not a valid mode"),
            ));
        }
        match (entry.get("sha"), entry["content"].as_str()) {
            (Some(Value::Null), None) => {
                let stands = base.and_then(|base| tree::find(&mut self.git, base, &path));
                // GitHub's answer to the removal of a path that doesn't exist.
                stands.ok_or_else(|| refuse(422, "GitRPC::BadObjectState"))?;
                Ok((path, None))
            }
            (Some(Value::String(sha)), None) => {
                let known = match mode {
                    SUBMODULE => is_sha(sha),
                    FOLDER => self.git.read_as("tree", sha).is_some(),
                    _ => self.git.read_as("blob", sha).is_some(),
                };
                let message = format!("tree.sha {sha} is not a valid blob");
                known.then_some(()).ok_or_else(|| refuse(422, &message))?;
                Ok((path, Some((mode.to_owned(), sha.clone()))))
            }
            (None, Some(content)) => {
                let blob = self.git.write("blob", content.as_bytes());
                Ok((path, Some((mode.to_owned(), blob))))
            }
            _ => Err(refuse(
                422,
                "Must supply either tree.sha or tree.content. Request will be rejected if both \
                 are present.",
            )),
        }
    }

    /// `POST /repos/{owner}/{repo}/git/commits`.
    pub(super) fn create_commit(&mut self, call: &Call, caller: &Caller) -> Answer {
        self.check_filled()?;
        let body = call.json()?;
        let (message, tree) = (text(&body, "message")?, text(&body, "tree")?);
        if self.git.read_as("tree", &tree).is_none() {
            return Err(refuse(422, "Tree SHA does not exist"));
        }
        let parents = body["parents"].as_array().into_iter().flatten();
        let parents: Vec<String> = parents
            .filter_map(|sha| sha.as_str().map(str::to_owned))
            .collect();
        for parent in &parents {
            if self.git.read_as("commit", parent).is_none() {
                let message = "Parent SHA does not exist or is not a commit object";
                return Err(refuse(422, message));
            }
        }
        let own = self.signature(caller);
        let author = self.person(&body["author"]);
        let committer = self.person(&body["committer"]).or_else(|| author.clone());
        let (author, committer) = (author.unwrap_or(own.clone()), committer.unwrap_or(own));
        let sha = commit::write(
            &mut self.git,
            &tree,
            &parents,
            &author,
            &committer,
            &message,
        );
        let commit = commit::read(&mut self.git, &sha).unwrap();
        let location = self.api(&format!("git/commits/{sha}"));
        Ok(Reply::json(201, self.git_commit(&commit)).with("location", location))
    }

    /// `POST /repos/{owner}/{repo}/git/refs`.
    pub(super) fn create_ref(&mut self, call: &Call, caller: &Caller) -> Answer {
        self.check_filled()?;
        let body = call.json()?;
        let (reference, sha) = (text(&body, "ref")?, text(&body, "sha")?);
        if !is_ref(&reference) || reference.split('/').count() < 3 {
            return Err(refuse(
                422,
                &format!("{reference} is not a valid ref name."),
            ));
        }
        if self.git.read_as("commit", &sha).is_none() {
            return Err(refuse(422, "Object does not exist"));
        }
        if self.git.tip(&reference).is_some() {
            return Err(refuse(422, "Reference already exists"));
        }
        let by = self.pusher(caller);
        let moved = self.push(&reference, &sha, by);
        moved.map_err(|_| refuse(422, "Reference update failed"))?;
        let answer = self.reference(&reference, &sha);
        let location = answer["url"].as_str().unwrap().to_owned();
        Ok(Reply::json(201, answer).with("location", location))
    }

    /// `PATCH /repos/{owner}/{repo}/git/refs/{ref}`.
    pub(super) fn update_ref(&mut self, call: &Call, below: &str, caller: &Caller) -> Answer {
        self.check_filled()?;
        let body = call.json()?;
        let sha = text(&body, "sha")?;
        let reference = format!("refs/{below}");
        let old = self.git.tip(&reference);
        let old = old.ok_or_else(|| refuse(422, "Reference does not exist"))?;
        if self.git.read_as("commit", &sha).is_none() {
            return Err(refuse(422, "Object does not exist"));
        }
        if body["force"] != true && !self.git.is_ancestor(&old, &sha) {
            return Err(refuse(422, "Update is not a fast forward"));
        }
        let by = self.pusher(caller);
        let moved = self.push(&reference, &sha, by);
        moved.map_err(|_| refuse(422, "Reference update failed"))?;
        Ok(Reply::json(200, self.reference(&reference, &sha)))
    }
}
