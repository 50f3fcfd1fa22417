//! Pull requests: opened, found, followed, merged.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::commit::{self, Signature};
use super::exchange::{Answer, Call, Reply, invalid, not_found, text};
use super::git::NO_COMMIT;
use super::shapes::{node_id, time};
use super::world::{Caller, World};

/// How a pull request comes into its base.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Merge {
    /// With a commit of two parents.
    Commit,
    /// As one new commit that doesn't name the branch's.
    Squash,
}

/// A pull request.
#[derive(Debug, Clone)]
pub(super) struct Pull {
    pub(super) number: u64,
    pub(super) title: String,
    pub(super) body: Option<String>,
    pub(super) head: String,
    pub(super) base: String,
    /// Where the head is, and after the end where it was.
    pub(super) head_sha: String,
    pub(super) base_sha: String,
    pub(super) author: u64,
    pub(super) created: DateTime<Utc>,
    pub(super) updated: DateTime<Utc>,
    pub(super) closed: Option<DateTime<Utc>>,
    pub(super) merged: Option<(DateTime<Utc>, String)>,
}

impl Pull {
    fn state(&self) -> &'static str {
        match self.closed {
            Some(_) => "closed",
            None => "open",
        }
    }
}

fn href(address: String) -> Value {
    json!({ "href": address })
}

fn wrong(field: &str) -> Box<Reply> {
    let error = json!([{ "resource": "PullRequest", "field": field, "code": "invalid" }]);
    invalid("Validation Failed", error)
}

fn custom(message: &str) -> Box<Reply> {
    let error = json!([{ "resource": "PullRequest", "code": "custom", "message": message }]);
    invalid("Validation Failed", error)
}

impl World {
    /// `GET /repos/{owner}/{repo}/pulls`.
    pub(super) fn list_pulls(&mut self, call: &Call) -> Answer {
        let state = call.query("state").unwrap_or("open");
        let owner = self.owner_login();
        // Without an owner's name before it, the filter does nothing.
        let head = call.query("head").filter(|head| head.contains(':'));
        let fits = |pull: &&Pull| {
            (state == "all" || state == pull.state())
                && head.is_none_or(|head| {
                    head.split_once(':').is_some_and(|(of, branch)| {
                        of.eq_ignore_ascii_case(&owner) && branch == pull.head
                    })
                })
                && call.query("base").is_none_or(|base| base == pull.base)
        };
        let mut found: Vec<Pull> = self.pulls.iter().filter(fits).cloned().collect();
        found.sort_by_key(|pull| std::cmp::Reverse(pull.number));
        let number = |name, or: usize| {
            let value = call.query(name).and_then(|value| value.parse().ok());
            value.filter(|value| *value > 0).unwrap_or(or)
        };
        let (size, page) = (number("per_page", 30).min(100), number("page", 1));
        let more = found.len() > size * page;
        let shown = found.iter().skip(size * (page - 1)).take(size);
        let shown: Vec<Value> = shown.map(|pull| self.pull_summary(pull)).collect();
        let reply = Reply::json(200, json!(shown));
        if !more {
            return Ok(reply);
        }
        let next = self.api(&format!(
            "pulls?state={state}&per_page={size}&page={}",
            page + 1
        ));
        Ok(reply.with("link", format!("<{next}>; rel=\"next\"")))
    }

    /// `POST /repos/{owner}/{repo}/pulls`.
    pub(super) fn open_pull(&mut self, call: &Call, caller: &Caller) -> Answer {
        let body = call.json()?;
        let (title, head, base) = (
            text(&body, "title")?,
            text(&body, "head")?,
            text(&body, "base")?,
        );
        let owner = self.owner_login();
        let head = match head.split_once(':') {
            Some((of, branch)) if of.eq_ignore_ascii_case(&owner) => branch.to_owned(),
            Some(_) => return Err(wrong("head")),
            None => head,
        };
        let head_sha = self.branch(&head).ok_or_else(|| wrong("head"))?;
        let base_sha = self.branch(&base).ok_or_else(|| wrong("base"))?;
        let open = self
            .pulls
            .iter()
            .any(|pull| pull.closed.is_none() && pull.head == head && pull.base == base);
        if open {
            return Err(custom(&format!(
                "A pull request already exists for {owner}:{head}."
            )));
        }
        if commit::between(&mut self.git, &head_sha, std::slice::from_ref(&base_sha)).is_empty() {
            return Err(custom(&format!("No commits between {base} and {head}")));
        }
        let pull = Pull {
            number: self.pulls.len() as u64 + 1,
            title,
            body: body["body"].as_str().map(str::to_owned),
            head,
            base,
            head_sha,
            base_sha,
            author: self.pusher(caller),
            created: self.now(),
            updated: self.now(),
            closed: None,
            merged: None,
        };
        self.pulls.push(pull.clone());
        let whole = self.whole_pull(&pull);
        let location = whole["url"].as_str().unwrap().to_owned();
        Ok(Reply::json(201, whole).with("location", location))
    }

    /// `GET /repos/{owner}/{repo}/pulls/{pull_number}`.
    pub(super) fn get_pull(&mut self, number: &str) -> Answer {
        let pull = self.find_pull(number)?;
        Ok(Reply::json(200, self.whole_pull(&pull)))
    }

    /// `PATCH /repos/{owner}/{repo}/pulls/{pull_number}`: its texts, and whether it is open.
    pub(super) fn change_pull(&mut self, call: &Call, number: &str) -> Answer {
        let body = call.json()?;
        let mut pull = self.find_pull(number)?;
        if let Some(title) = body["title"].as_str() {
            pull.title = title.to_owned();
        }
        if let Some(text) = body["body"].as_str() {
            pull.body = Some(text.to_owned());
        }
        match body["state"].as_str() {
            Some("closed") => pull.closed = pull.closed.or(Some(self.now())),
            Some("open") if pull.merged.is_none() => pull.closed = None,
            _ => {}
        }
        pull.updated = self.now();
        let at = pull.number as usize - 1;
        self.pulls[at] = pull.clone();
        self.pulls_follow();
        Ok(Reply::json(200, self.whole_pull(&pull)))
    }

    fn find_pull(&self, number: &str) -> Result<Pull, Box<Reply>> {
        let number: u64 = number.parse().map_err(|_| not_found())?;
        let mut pulls = self.pulls.iter();
        let found = pulls.find(|pull| pull.number == number);
        found.cloned().ok_or_else(not_found)
    }

    /// After a push: open pull requests are where their branches are, those whose branch went are
    /// closed, and those whose commits came into the base are merged.
    pub(super) fn pulls_follow(&mut self) {
        let now = self.now();
        for at in 0..self.pulls.len() {
            let pull = self.pulls[at].clone();
            if pull.closed.is_some() {
                continue;
            }
            let (head, base) = (self.branch(&pull.head), self.branch(&pull.base));
            let (Some(head), Some(base)) = (head, base) else {
                self.pulls[at].closed = Some(now);
                continue;
            };
            let merged = base != pull.base_sha && self.git.is_ancestor(&head, &base);
            let pull = &mut self.pulls[at];
            if merged {
                pull.closed = Some(now);
                pull.merged = Some((now, base.clone()));
            }
            pull.head_sha = head;
            pull.base_sha = base;
        }
    }

    /// Merges as the button on the page does, and gives the new commit; none on a conflict.
    pub(super) fn merge_pull(&mut self, number: u64, how: Merge, by: u64) -> Option<String> {
        let pull = self.find_pull(&number.to_string()).ok()?;
        assert!(pull.closed.is_none(), "pull request {number} is closed");
        let tree = self.merged_tree(&pull)?;
        let person = self.signature(&Caller::User {
            id: by,
            scopes: None,
        });
        let web = Signature {
            name: "GitHub".to_owned(),
            email: "noreply@github.com".to_owned(),
            at: self.now(),
        };
        let (parents, message) = match how {
            Merge::Commit => (
                vec![pull.base_sha.clone(), pull.head_sha.clone()],
                format!("Merge pull request #{number} from {}", pull.head),
            ),
            Merge::Squash => (
                vec![pull.base_sha.clone()],
                format!("{} (#{number})", pull.title),
            ),
        };
        let sha = commit::write(&mut self.git, &tree, &parents, &person, &web, &message);
        let now = self.now();
        let merged = &mut self.pulls[number as usize - 1];
        merged.closed = Some(now);
        merged.merged = Some((now, sha.clone()));
        let base = format!("refs/heads/{}", pull.base);
        self.push(&base, &sha, by).unwrap();
        Some(sha)
    }

    /// The tree that merging comes to, if it comes to one.
    fn merged_tree(&mut self, pull: &Pull) -> Option<String> {
        let arguments = ["merge-tree", "--write-tree", &pull.base_sha, &pull.head_sha];
        let output = self.git.try_run(&arguments);
        let tree = String::from_utf8_lossy(&output.stdout);
        output.status.success().then(|| tree.trim().to_owned())
    }

    fn pull_side(&self, branch: &str, sha: &str) -> Value {
        json!({
            "label": format!("{}:{branch}", self.owner_login()),
            "ref": branch,
            "sha": sha,
            "user": self.simple_user(self.owner),
            "repo": self.repository(),
        })
    }

    /// A pull request as a list names it.
    fn pull_summary(&self, pull: &Pull) -> Value {
        let number = pull.number;
        let url = self.api(&format!("pulls/{number}"));
        let issue = self.api(&format!("issues/{number}"));
        let html = self.html(&format!("pull/{number}"));
        let statuses = self.api(&format!("statuses/{}", pull.head_sha));
        let comment = self.api("pulls/comments{/number}");
        let mut summary = json!({
            "url": url, "id": 9_000_000 + number, "node_id": node_id(&format!("Pull{number}")),
            "html_url": html,
            "diff_url": format!("{html}.diff"), "patch_url": format!("{html}.patch"),
            "issue_url": issue,
            "commits_url": format!("{url}/commits"),
            "review_comments_url": format!("{url}/comments"),
            "review_comment_url": comment,
            "comments_url": format!("{issue}/comments"),
            "statuses_url": statuses,
            "number": number, "state": pull.state(), "locked": false,
            "title": pull.title, "body": pull.body,
            "user": self.simple_user(pull.author),
            "labels": [], "assignees": [], "requested_reviewers": [], "requested_teams": [],
            "milestone": null, "assignee": null, "draft": false,
            "active_lock_reason": null, "auto_merge": null,
            "created_at": time(pull.created), "updated_at": time(pull.updated),
            "closed_at": pull.closed.map(time),
            "merged_at": pull.merged.as_ref().map(|(at, _)| time(*at)),
            "merge_commit_sha": pull.merged.as_ref().map(|(_, sha)| sha),
            "head": self.pull_side(&pull.head, &pull.head_sha),
            "base": self.pull_side(&pull.base, &pull.base_sha),
            "author_association": "OWNER",
        });
        summary["_links"] = json!({
            "self": href(url.clone()),
            "html": href(html),
            "issue": href(issue.clone()),
            "comments": href(format!("{issue}/comments")),
            "review_comments": href(format!("{url}/comments")),
            "review_comment": href(comment),
            "commits": href(format!("{url}/commits")),
            "statuses": href(statuses),
        });
        summary
    }

    /// A pull request on its own.
    fn whole_pull(&mut self, pull: &Pull) -> Value {
        let without = std::slice::from_ref(&pull.base_sha);
        let commits = commit::between(&mut self.git, &pull.head_sha, without);
        let mergeable = pull
            .closed
            .is_none()
            .then(|| self.merged_tree(pull).is_some());
        let changed = self.compare_files(&pull.base_sha, &pull.head_sha).len();
        let mut whole = self.pull_summary(pull);
        let members = json!({
            "merged": pull.merged.is_some(),
            "mergeable": mergeable,
            "rebaseable": mergeable,
            "mergeable_state": match mergeable {
                Some(true) => "clean",
                Some(false) => "dirty",
                None => "unknown",
            },
            "merged_by": pull.merged.as_ref().map(|_| self.simple_user(self.owner)),
            "comments": 0, "review_comments": 0, "maintainer_can_modify": false,
            "commits": commits.len(), "additions": changed, "deletions": 0,
            "changed_files": changed,
        });
        super::shapes::extend(&mut whole, members);
        whole
    }

    /// A branch goes, and with it the pull requests from it.
    pub(super) fn drop_branch(&mut self, branch: &str, by: u64) {
        let reference = format!("refs/heads/{branch}");
        self.push(&reference, NO_COMMIT, by).unwrap();
    }
}
