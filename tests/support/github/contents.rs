//! Files by path: reads, and puts with a commit each.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use super::commit::{self, Signature};
use super::exchange::{Answer, Call, Reply, invalid, not_found, refuse, text};
use super::tree::{self, EXECUTABLE, Edits, Entry, FILE, FOLDER, LINK, SUBMODULE};
use super::world::{Caller, World};

/// The answer for a larger file lacks its bytes.
const MOST_IN_JSON: usize = 1024 * 1024;

/// Base64 as GitHub writes it: lines of 60 characters, each with a newline.
pub(super) fn lines_of_60(bytes: &[u8]) -> String {
    let text = STANDARD.encode(bytes);
    let lines = text.as_bytes().chunks(60);
    lines
        .map(|line| format!("{}\n", String::from_utf8_lossy(line)))
        .collect()
}

/// Base64 as clients write it, with or without newlines.
pub(super) fn from_base64(text: &str) -> Option<Vec<u8>> {
    let text: String = text.split_ascii_whitespace().collect();
    STANDARD.decode(text).ok()
}

/// Whether GitHub accepts this path in a commit.
pub(super) fn is_path(path: &str) -> bool {
    let part = |part: &str| {
        !matches!(part, "" | "." | "..")
            && !part.eq_ignore_ascii_case(".git")
            && !part.contains('\0')
    };
    path.split('/').all(part)
}

/// The characters that stay unescaped in a URL segment.
const UNESCAPED: AsciiSet = NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// A path, percent-encoded for a URL.
pub(super) fn encode(path: &str) -> String {
    let parts = path
        .split('/')
        .map(|part| utf8_percent_encode(part, &UNESCAPED));
    let parts: Vec<String> = parts.map(|part| part.to_string()).collect();
    parts.join("/")
}

impl World {
    /// `GET /repos/{owner}/{repo}/contents/{path}`.
    pub(super) fn get_contents(&mut self, call: &Call, path: &str) -> Answer {
        let default = self.default_branch.clone();
        let name = call.query("ref").unwrap_or(&default);
        if self.is_empty() {
            return Err(refuse(404, "This repository is empty."));
        }
        let commit = self.resolve(name);
        let commit =
            commit.ok_or_else(|| refuse(404, &format!("No commit found for the ref {name}")))?;
        let tree = commit::tree_of(&mut self.git, &commit).ok_or_else(not_found)?;
        let path = path.trim_end_matches('/');
        let entry = match path {
            "" => Some(Entry {
                mode: FOLDER.to_owned(),
                name: Vec::new(),
                sha: tree.clone(),
            }),
            _ => tree::find(&mut self.git, &tree, path),
        };
        let mut entry = entry.ok_or_else(not_found)?;
        if entry.mode == LINK {
            // A symbolic link to a file in the repository is answered with that file.
            entry = self.link_target(&tree, path, &entry).unwrap_or(entry);
        }
        self.contents_of(call, &entry, path, name)
    }

    fn contents_of(&mut self, call: &Call, entry: &Entry, path: &str, at: &str) -> Answer {
        if entry.mode == FOLDER {
            let entries = tree::read(&mut self.git, &entry.sha).into_iter();
            let listed = entries.map(|entry| {
                let below = format!("{path}/{}", entry.path());
                self.named(&entry, below.trim_start_matches('/'), at)
            });
            return Ok(Reply::json(200, listed.collect()));
        }
        if call.wants_raw() && entry.mode != SUBMODULE {
            let bytes = self.git.read_as("blob", &entry.sha).ok_or_else(not_found)?;
            let kind = "application/vnd.github.raw+json; charset=utf-8";
            return Ok(Reply::raw(200, kind, bytes));
        }
        let mut answer = self.named(entry, path, at);
        match entry.mode.as_str() {
            SUBMODULE => answer["submodule_git_url"] = json!("https://github.test/other.git"),
            LINK => {
                let target = self.git.read_as("blob", &entry.sha).unwrap_or_default();
                answer["target"] = json!(String::from_utf8_lossy(&target));
            }
            _ => {
                let bytes = self.git.read_as("blob", &entry.sha).unwrap_or_default();
                let fits = bytes.len() <= MOST_IN_JSON;
                answer["encoding"] = json!(if fits { "base64" } else { "none" });
                answer["content"] = json!(if fits {
                    lines_of_60(&bytes)
                } else {
                    String::new()
                });
            }
        }
        Ok(Reply::json(200, answer))
    }

    fn link_target(&mut self, tree: &str, path: &str, link: &Entry) -> Option<Entry> {
        let target = self.git.read_as("blob", &link.sha)?;
        let target = String::from_utf8(target).ok()?;
        let mut parts: Vec<&str> = path.split('/').collect();
        parts.pop();
        for part in target.split('/') {
            match part {
                ".." => drop(parts.pop()?),
                "." => {}
                _ => parts.push(part),
            }
        }
        let found = tree::find(&mut self.git, tree, &parts.join("/"))?;
        [FILE, EXECUTABLE]
            .contains(&found.mode.as_str())
            .then_some(found)
    }

    /// An entry without its contents.
    fn named(&mut self, entry: &Entry, path: &str, at: &str) -> Value {
        let kind = match entry.mode.as_str() {
            FOLDER => "dir",
            LINK => "symlink",
            SUBMODULE => "submodule",
            _ => "file",
        };
        let size = match kind {
            "file" | "symlink" => self.git.look(&entry.sha).map_or(0, |(_, _, size)| size),
            _ => 0,
        };
        let encoded = encode(path);
        let at = encode(at);
        let url = self.api(&format!("contents/{encoded}?ref={at}"));
        let part = if kind == "dir" { "trees" } else { "blobs" };
        let git = self.api(&format!("git/{part}/{}", entry.sha));
        let page = if kind == "dir" { "tree" } else { "blob" };
        let html = self.html(&format!("{page}/{at}/{encoded}"));
        let download = (kind == "file").then(|| self.html(&format!("raw/{at}/{encoded}")));
        json!({
            "type": kind,
            "size": size,
            "name": path.rsplit('/').next(),
            "path": path,
            "sha": entry.sha,
            "url": url,
            "git_url": git,
            "html_url": html,
            "download_url": download,
            "_links": { "self": url, "git": git, "html": html },
        })
    }

    /// `PUT /repos/{owner}/{repo}/contents/{path}`.
    pub(super) fn put_contents(&mut self, call: &Call, path: &str, caller: &Caller) -> Answer {
        let body = call.json()?;
        let message = text(&body, "message")?;
        let content = text(&body, "content")?;
        let content =
            from_base64(&content).ok_or_else(|| refuse(422, "content is not valid Base64"))?;
        if !is_path(path) {
            let error = json!([{ "resource": "Commit", "field": "path", "code": "invalid" }]);
            return Err(invalid("path contains a malformed path component", error));
        }
        let branch = body["branch"].as_str().unwrap_or(&self.default_branch);
        let branch = branch
            .strip_prefix("refs/heads/")
            .unwrap_or(branch)
            .to_owned();
        let before = self.branch(&branch);
        // An empty repository gets its first branch this way; the branch is checked first.
        if before.is_none() && !(branch == self.default_branch && self.is_empty()) {
            return Err(refuse(404, &format!("Branch {branch} not found")));
        }
        let tree = before
            .as_deref()
            .and_then(|sha| commit::tree_of(&mut self.git, sha));
        let standing = tree
            .as_deref()
            .and_then(|tree| tree::find(&mut self.git, tree, path));
        check_sha(&body, path, standing.as_ref())?;
        let mode = standing.as_ref().map_or(FILE, |entry| entry.mode.as_str());
        let blob = self.git.write("blob", &content);
        let edit = Some((mode.to_owned(), blob.clone()));
        let edits = Edits::from([(path.as_bytes().to_vec(), edit)]);
        let tree = tree::edited(&mut self.git, tree.as_deref(), &edits);
        let committer = self.person(&body["committer"]);
        let author = self.person(&body["author"]).or_else(|| committer.clone());
        let own = self.signature(caller);
        let (author, committer) = (author.unwrap_or(own.clone()), committer.unwrap_or(own));
        let parents: Vec<String> = before.into_iter().collect();
        let sha = commit::write(
            &mut self.git,
            &tree,
            &parents,
            &author,
            &committer,
            &message,
        );
        let by = self.pusher(caller);
        let moved = self.push(&format!("refs/heads/{branch}"), &sha, by);
        moved.map_err(|complaint| refuse(409, &complaint))?;
        let entry = tree::find(&mut self.git, &tree, path).unwrap();
        let made = commit::read(&mut self.git, &sha).unwrap();
        let answer = json!({
            "content": self.named(&entry, path, &branch),
            "commit": self.git_commit(&made),
        });
        Ok(Reply::json(
            if standing.is_some() { 200 } else { 201 },
            answer,
        ))
    }

    /// `DELETE /repos/{owner}/{repo}/contents/{path}`.
    pub(super) fn delete_contents(&mut self, call: &Call, path: &str, caller: &Caller) -> Answer {
        let body = call.json()?;
        let message = text(&body, "message")?;
        let given = text(&body, "sha")?;
        let branch = body["branch"].as_str().unwrap_or(&self.default_branch);
        let branch = branch.to_owned();
        let before = self.branch(&branch);
        let before = before.ok_or_else(|| refuse(404, &format!("Branch {branch} not found")))?;
        let tree = commit::tree_of(&mut self.git, &before);
        let standing = tree
            .as_deref()
            .and_then(|tree| tree::find(&mut self.git, tree, path));
        let standing = standing.ok_or_else(|| refuse(404, "Not Found"))?;
        if given != standing.sha {
            return Err(refuse(409, &format!("{path} does not match {given}")));
        }
        let edits = Edits::from([(path.as_bytes().to_vec(), None)]);
        let tree = tree::edited(&mut self.git, tree.as_deref(), &edits);
        let committer = self.person(&body["committer"]);
        let author = self.person(&body["author"]).or_else(|| committer.clone());
        let own = self.signature(caller);
        let (author, committer) = (author.unwrap_or(own.clone()), committer.unwrap_or(own));
        let sha = commit::write(
            &mut self.git,
            &tree,
            &[before],
            &author,
            &committer,
            &message,
        );
        let by = self.pusher(caller);
        let moved = self.push(&format!("refs/heads/{branch}"), &sha, by);
        moved.map_err(|complaint| refuse(409, &complaint))?;
        let made = commit::read(&mut self.git, &sha).unwrap();
        let answer = json!({"content": null, "commit": self.git_commit(&made)});
        Ok(Reply::json(200, answer))
    }

    /// Name, address and date from the request.
    pub(super) fn person(&self, given: &Value) -> Option<Signature> {
        let date = given["date"].as_str();
        let date = date.and_then(|date| DateTime::parse_from_rfc3339(date).ok());
        Some(Signature {
            name: given["name"].as_str()?.to_owned(),
            email: given["email"].as_str()?.to_owned(),
            at: date.map_or_else(|| self.now(), |date| date.with_timezone(&Utc)),
        })
    }
}

/// The request's SHA must be that of the blob at the path. Without a blob there, GitHub ignores the SHA.
fn check_sha(body: &Value, path: &str, standing: Option<&Entry>) -> Result<(), Box<Reply>> {
    let Some(standing) = standing else {
        return Ok(());
    };
    match body["sha"].as_str() {
        None => Err(refuse(422, "Invalid request.\n\n\"sha\" wasn't supplied.")),
        Some(sha) if sha == standing.sha && standing.mode != FOLDER => Ok(()),
        Some(sha) => Err(refuse(409, &format!("{path} does not match {sha}"))),
    }
}
