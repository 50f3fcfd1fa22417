//! The comparison of two commits.

use serde_json::{Value, json};

use super::commit;
use super::contents::encode;
use super::exchange::{Answer, Call, Page, Reply, not_found, refuse};
use super::tree;
use super::world::World;

impl World {
    /// `GET /repos/{owner}/{repo}/compare/{base}...{head}`.
    pub(super) fn compare(&mut self, call: &Call, ends: &str) -> Answer {
        let (base, head) = ends.split_once("...").ok_or_else(not_found)?;
        let (base, head) = (self.resolve(base), self.resolve(head));
        let (base, head) = base.zip(head).ok_or_else(not_found)?;
        let output = self.git.try_run(&["merge-base", &base, &head]);
        let merge_base = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        if merge_base.is_empty() {
            return Err(refuse(
                404,
                &format!("No common ancestor between {base} and {head}."),
            ));
        }
        let ahead = commit::between(&mut self.git, &head, std::slice::from_ref(&base));
        let behind = commit::between(&mut self.git, &base, std::slice::from_ref(&head));
        let status = match (ahead.len(), behind.len()) {
            (0, 0) => "identical",
            (_, 0) => "ahead",
            (0, _) => "behind",
            _ => "diverged",
        };
        let mut shown = |sha: &str| {
            let commit = commit::read(&mut self.git, sha).unwrap();
            self.commit(&commit)
        };
        let (base_commit, merge_base_commit) = (shown(&base), shown(&merge_base));
        let page = Page::of(call);
        let commits: Vec<Value> = page.cut(&ahead).iter().map(|sha| shown(sha)).collect();
        let below = format!("compare/{ends}");
        let (url, html) = (self.api(&below), self.html(&below));
        // Without the changed files, which only the first page has: the service requests the second.
        let answer = json!({
            "url": url,
            "html_url": html,
            "permalink_url": html,
            "diff_url": format!("{html}.diff"),
            "patch_url": format!("{html}.patch"),
            "base_commit": base_commit,
            "merge_base_commit": merge_base_commit,
            "status": status,
            "ahead_by": ahead.len(),
            "behind_by": behind.len(),
            "total_commits": ahead.len(),
            "commits": commits,
        });
        let reply = Reply::json(200, answer);
        Ok(page.linked(reply, call, &url, ahead.len()))
    }

    /// The files that differ between two commits.
    pub(super) fn compare_files(&mut self, base: &str, head: &str) -> Vec<Value> {
        let [old, new] = [base, head].map(|sha| commit::tree_of(&mut self.git, sha));
        let found = tree::differences(&mut self.git, old.as_deref(), new.as_deref());
        let files = found.into_iter().map(|difference| {
            let status = match (&difference.old, &difference.new) {
                (None, _) => "added",
                (_, None) => "removed",
                _ => "modified",
            };
            let path = encode(&difference.path);
            let sha = difference.new.as_ref().or(difference.old.as_ref());
            json!({
                "sha": sha.map(|entry| &entry.sha),
                "filename": difference.path,
                "status": status,
                "additions": 1, "deletions": 1, "changes": 2,
                "blob_url": self.html(&format!("blob/{head}/{path}")),
                "raw_url": self.html(&format!("raw/{head}/{path}")),
                "contents_url": self.api(&format!("contents/{path}?ref={head}")),
            })
        });
        files.collect()
    }
}
