//! Pull requests: opened, found, updated, merged.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::activity::Kind;
use super::commit::{self, Commit, Signature};
use super::exchange::{Answer, Call, Page, Reply, invalid, not_found, text};
use super::git::NO_COMMIT;
use super::shapes::{node_id, time};
use super::tree;
use super::world::{Caller, World};

/// How a pull request is merged into its base.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Merge {
    /// By a commit with two parents.
    Commit,
    /// As one new commit whose parents don't include the branch's.
    Squash,
    /// As new commits, one for each of the branch's, on top of the base.
    Rebase,
}

/// A pull request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pull {
    pub(super) number: u64,
    pub(super) title: String,
    pub(super) body: Option<String>,
    pub(super) head: String,
    pub(super) base: String,
    /// The head's commit, and after closing the last one.
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

fn invalid_field(field: &str) -> Box<Reply> {
    let error = json!([{ "resource": "PullRequest", "field": field, "code": "invalid" }]);
    invalid("Validation Failed", error)
}

fn custom(message: &str) -> Box<Reply> {
    let error = json!([{ "resource": "PullRequest", "code": "custom", "message": message }]);
    invalid("Validation Failed", error)
}

fn stays_closed(why: &str) -> Box<Reply> {
    let message = format!("state cannot be changed. {why}");
    let error = json!([{ "resource": "PullRequest", "code": "custom", "field": "state",
        "message": message.trim_end() }]);
    invalid("Validation Failed", error)
}

impl World {
    /// `GET /repos/{owner}/{repo}/pulls`.
    pub(super) fn list_pulls(&mut self, call: &Call) -> Answer {
        let state = call.query("state").unwrap_or("open");
        let owner = self.owner_login();
        // The filter has no effect without an owner before the branch.
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
        let page = Page::of(call);
        let shown = page.cut(&found).iter();
        let shown: Vec<Value> = shown.map(|pull| self.pull_summary(pull)).collect();
        let reply = Reply::json(200, json!(shown));
        Ok(page.linked(reply, call, &self.api("pulls"), found.len()))
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
            Some(_) => return Err(invalid_field("head")),
            None => head,
        };
        let head_sha = self.branch(&head).ok_or_else(|| invalid_field("head"))?;
        let base_sha = self.branch(&base).ok_or_else(|| invalid_field("base"))?;
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

    /// Reopens a closed pull request at its branch's current head.
    fn reopen(&mut self, pull: &mut Pull) -> Result<(), Box<Reply>> {
        if pull.closed.is_none() {
            return Ok(());
        }
        if pull.merged.is_some() {
            return Err(stays_closed(""));
        }
        let mut sides = Vec::new();
        for branch in [&pull.head, &pull.base] {
            let deleted = format!("The {branch} branch has been deleted.");
            let side = self.branch(branch);
            sides.push(side.ok_or_else(|| stays_closed(&deleted))?);
        }
        let [head, base] = <[String; 2]>::try_from(sides).unwrap();
        if !self.git.is_ancestor(&pull.head_sha, &head) {
            let rewritten = format!("The {} branch was force-pushed or recreated.", pull.head);
            return Err(stays_closed(&rewritten));
        }
        if commit::between(&mut self.git, &head, std::slice::from_ref(&base)).is_empty() {
            let nothing = format!("There are no new commits on the {} branch.", pull.head);
            return Err(stays_closed(&nothing));
        }
        let mut others = self.pulls.iter();
        let other = others.any(|other| {
            other.closed.is_none() && other.head == pull.head && other.base == pull.base
        });
        if other {
            let owner = self.owner_login();
            let exists = format!("A pull request already exists for {owner}:{}.", pull.head);
            return Err(stays_closed(&exists));
        }
        (pull.closed, pull.head_sha, pull.base_sha) = (None, head, base);
        Ok(())
    }

    /// The same by the button on its page; returns whether there is such a button.
    pub(super) fn reopen_pull(&mut self, number: u64) -> bool {
        let mut pull = self.find_pull(&number.to_string()).unwrap();
        let done = self.reopen(&mut pull).is_ok();
        if done {
            pull.updated = self.now();
            self.pulls[number as usize - 1] = pull;
        }
        done
    }

    /// Closes it without merging.
    pub(super) fn close_pull(&mut self, number: u64) {
        let now = self.now();
        let mut pulls = self.pulls.iter_mut();
        let pull = pulls.find(|pull| pull.number == number);
        let pull = pull.expect("there is such a pull request");
        if pull.closed.is_none() {
            (pull.closed, pull.updated) = (Some(now), now);
        }
    }

    fn find_pull(&self, number: &str) -> Result<Pull, Box<Reply>> {
        let number: u64 = number.parse().map_err(|_| not_found())?;
        let mut pulls = self.pulls.iter();
        let found = pulls.find(|pull| pull.number == number);
        found.cloned().ok_or_else(not_found)
    }

    /// After a push: open pull requests move to their branches' heads, those whose branch was removed are closed, and
    /// those whose commits reached the base are merged.
    pub(super) fn pulls_follow(&mut self) {
        let now = self.now();
        for at in 0..self.pulls.len() {
            let pull = self.pulls[at].clone();
            if pull.closed.is_some() {
                continue;
            }
            let (head, base) = (self.branch(&pull.head), self.branch(&pull.base));
            let (Some(head), Some(base)) = (head, base) else {
                self.close_pull(pull.number);
                continue;
            };
            let merged = base != pull.base_sha && self.git.is_ancestor(&head, &base);
            let pull = &mut self.pulls[at];
            if merged || pull.head_sha != head {
                pull.updated = now;
            }
            if merged {
                pull.closed = Some(now);
                pull.merged = Some((now, base.clone()));
            }
            pull.head_sha = head;
            pull.base_sha = base;
        }
    }

    /// Merges as the button on the page does, and returns the new commit; `None` on a conflict.
    pub(super) fn merge_pull(&mut self, number: u64, how: Merge, by: u64) -> Option<String> {
        let pull = self.find_pull(&number.to_string()).ok()?;
        assert!(pull.closed.is_none(), "pull request {number} is closed");
        let person = self.signature(&Caller::User {
            id: by,
            scopes: None,
        });
        let web = Signature {
            name: "GitHub".to_owned(),
            email: "noreply@github.com".to_owned(),
            at: self.now(),
        };
        let one = |world: &mut Self, parents: &[&String], message: &str| {
            let tree = world.merged_tree(&[&pull.base_sha, &pull.head_sha])?;
            let parents: Vec<String> = parents.iter().map(|sha| (*sha).clone()).collect();
            let git = &mut world.git;
            Some(commit::write(git, &tree, &parents, &person, &web, message))
        };
        let sha = match how {
            Merge::Commit => {
                let message = format!("Merge pull request #{number} from {}", pull.head);
                one(self, &[&pull.base_sha, &pull.head_sha], &message)?
            }
            Merge::Squash => {
                let message = format!("{} (#{number})", pull.title);
                one(self, &[&pull.base_sha], &message)?
            }
            Merge::Rebase => self.rebased(&pull, &person)?,
        };
        let now = self.now();
        let merged = &mut self.pulls[number as usize - 1];
        (merged.closed, merged.updated) = (Some(now), now);
        merged.merged = Some((now, sha.clone()));
        let base = format!("refs/heads/{}", pull.base);
        let pushed = self.push_as(&base, &sha, by, Some(Kind::PullMerge));
        pushed.unwrap();
        Some(sha)
    }

    /// Rebases the branch's commits onto the base, with the merging user as committer; returns the last one. Merge
    /// commits and commits that the base already has are left out, as by `git rebase`.
    fn rebased(&mut self, pull: &Pull, by: &Signature) -> Option<String> {
        let without = std::slice::from_ref(&pull.base_sha);
        let mut tip = pull.base_sha.clone();
        for sha in commit::between(&mut self.git, &pull.head_sha, without) {
            let commit = commit::read(&mut self.git, &sha).unwrap();
            let [parent] = commit.parents.as_slice() else {
                continue;
            };
            let tree = self.merged_tree(&[&format!("--merge-base={parent}"), &tip, &sha])?;
            if commit::tree_of(&mut self.git, &tip).as_ref() == Some(&tree) {
                continue;
            }
            let Commit {
                author, message, ..
            } = &commit;
            tip = commit::write(&mut self.git, &tree, &[tip], author, by, message);
        }
        Some(tip)
    }

    /// The tree that results from merging; `None` on a conflict.
    fn merged_tree(&mut self, what: &[&str]) -> Option<String> {
        let arguments = [&["merge-tree", "--write-tree"], what].concat();
        let output = self.git.try_run(&arguments);
        let tree = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        output.status.success().then(|| {
            tree::adopt(&mut self.git, &tree);
            tree
        })
    }

    /// The test merge, by which GitHub determines whether a pull request can be merged: it is in no branch.
    fn test_merge(&mut self, pull: &Pull) -> Option<String> {
        let sides = [pull.base_sha.clone(), pull.head_sha.clone()];
        if let Some(known) = self.test_merges.get(&sides) {
            return known.clone();
        }
        let tree = self.merged_tree(&[&pull.base_sha, &pull.head_sha]);
        let made = tree.map(|tree| {
            let by = self.signature(&Caller::Nobody);
            let message = format!("Merge {} into {}", pull.head_sha, pull.base_sha);
            commit::write(&mut self.git, &tree, &sides, &by, &by, &message)
        });
        self.test_merges.insert(sides, made.clone());
        made
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

    /// A pull request as an entry of a list.
    fn pull_summary(&self, pull: &Pull) -> Value {
        let number = pull.number;
        let url = self.api(&format!("pulls/{number}"));
        let issue = self.api(&format!("issues/{number}"));
        let html = self.html(&format!("pull/{number}"));
        let statuses = self.api(&format!("statuses/{}", pull.head_sha));
        let comment = self.api("pulls/comments{/number}");
        // Until the merge it is the commit of the test merge, if there was one.
        let sides = [pull.base_sha.clone(), pull.head_sha.clone()];
        let tested = self.test_merges.get(&sides).and_then(Option::as_ref);
        let merge_commit = pull.merged.as_ref().map(|(_, sha)| sha).or(tested);
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
            "merge_commit_sha": merge_commit,
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

    /// A pull request as its own resource.
    fn whole_pull(&mut self, pull: &Pull) -> Value {
        let without = std::slice::from_ref(&pull.base_sha);
        let commits = commit::between(&mut self.git, &pull.head_sha, without);
        let mergeable = pull
            .closed
            .is_none()
            .then(|| self.test_merge(pull).is_some());
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

    /// Removes a branch, and closes the pull requests from it.
    pub(super) fn drop_branch(&mut self, branch: &str, by: u64) {
        let reference = format!("refs/heads/{branch}");
        self.push(&reference, NO_COMMIT, by).unwrap();
    }

    /// Renames a branch: it stays the base of its open pull requests, and those from it are closed.
    /// https://docs.github.com/repositories/configuring-branches-and-merges-in-your-repository/managing-branches-in-your-repository/renaming-a-branch
    /// GitHub doesn't document the activities of a rename; here they are a creation and a deletion.
    pub(super) fn rename_branch(&mut self, branch: &str, new: &str, by: u64) {
        let sha = self.branch(branch).expect("there is such a branch");
        assert!(self.branch(new).is_none(), "there is a branch {new}");
        self.push(&format!("refs/heads/{new}"), &sha, by).unwrap();
        for pull in &mut self.pulls {
            if pull.closed.is_none() && pull.base == branch {
                new.clone_into(&mut pull.base);
            }
        }
        if self.default_branch == branch {
            new.clone_into(&mut self.default_branch);
        }
        self.drop_branch(branch, by);
    }
}
