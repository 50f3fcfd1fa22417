//! The objects in GitHub's answers, with every member that its description requires.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Map, Value, json};

use super::commit::{Commit, Signature};
use super::contents::encode;
use super::world::World;

/// `2026-01-31T12:00:00Z`.
pub(super) fn time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// An id in the form of GraphQL's.
pub(super) fn node_id(of: &str) -> String {
    STANDARD.encode(of)
}

/// The creation time of every object.
pub(super) const BEGINNING: &str = "2024-01-01T00:00:00Z";

/// The URLs of a repository's parts, by the name of the member.
const PARTS: [(&str, &str); 37] = [
    ("archive_url", "{archive_format}{/ref}"),
    ("assignees_url", "assignees{/user}"),
    ("blobs_url", "git/blobs{/sha}"),
    ("branches_url", "branches{/branch}"),
    ("collaborators_url", "collaborators{/collaborator}"),
    ("comments_url", "comments{/number}"),
    ("commits_url", "commits{/sha}"),
    ("compare_url", "compare/{base}...{head}"),
    ("contents_url", "contents/{+path}"),
    ("contributors_url", "contributors"),
    ("deployments_url", "deployments"),
    ("downloads_url", "downloads"),
    ("events_url", "events"),
    ("forks_url", "forks"),
    ("git_commits_url", "git/commits{/sha}"),
    ("git_refs_url", "git/refs{/sha}"),
    ("git_tags_url", "git/tags{/sha}"),
    ("hooks_url", "hooks"),
    ("issue_comment_url", "issues/comments{/number}"),
    ("issue_events_url", "issues/events{/number}"),
    ("issues_url", "issues{/number}"),
    ("keys_url", "keys{/key_id}"),
    ("labels_url", "labels{/name}"),
    ("languages_url", "languages"),
    ("merges_url", "merges"),
    ("milestones_url", "milestones{/number}"),
    (
        "notifications_url",
        "notifications{?since,all,participating}",
    ),
    ("pulls_url", "pulls{/number}"),
    ("releases_url", "releases{/id}"),
    ("stargazers_url", "stargazers"),
    ("statuses_url", "statuses/{sha}"),
    ("subscribers_url", "subscribers"),
    ("subscription_url", "subscription"),
    ("tags_url", "tags"),
    ("teams_url", "teams"),
    ("trees_url", "git/trees{/sha}"),
    ("url", ""),
];

/// The counts of a repository without stars.
const COUNTS: [&str; 9] = [
    "forks",
    "forks_count",
    "network_count",
    "open_issues",
    "open_issues_count",
    "stargazers_count",
    "subscribers_count",
    "watchers",
    "watchers_count",
];

impl World {
    /// A user, as referenced in other objects.
    pub(super) fn simple_user(&self, id: u64) -> Value {
        let login = self.people.users.get(&id);
        let login = login.map_or_else(|| "ghost".to_owned(), |user| user.login.clone());
        let api = format!("{}/users/{login}", self.base);
        json!({
            "login": login,
            "id": id,
            "node_id": node_id(&format!("04:User{id}")),
            "avatar_url": format!("{}/avatars/{id}", self.base),
            "gravatar_id": "",
            "url": api,
            "html_url": format!("{}/{login}", self.base),
            "followers_url": format!("{api}/followers"),
            "following_url": format!("{api}/following{{/other_user}}"),
            "gists_url": format!("{api}/gists{{/gist_id}}"),
            "starred_url": format!("{api}/starred{{/owner}}{{/repo}}"),
            "subscriptions_url": format!("{api}/subscriptions"),
            "organizations_url": format!("{api}/orgs"),
            "repos_url": format!("{api}/repos"),
            "events_url": format!("{api}/events{{/privacy}}"),
            "received_events_url": format!("{api}/received_events"),
            "type": "User",
            "site_admin": false,
        })
    }

    /// A user's own resource, including the private part if the token grants access to it.
    pub(super) fn whole_user(&self, id: u64, private: bool) -> Value {
        let mut user = self.simple_user(id);
        let members = json!({
            "user_view_type": "public",
            "name": null, "company": null, "blog": "", "location": null, "email": null,
            "hireable": null, "bio": null, "twitter_username": null,
            "public_repos": 1, "public_gists": 0, "followers": 0, "following": 0,
            "created_at": BEGINNING, "updated_at": BEGINNING,
        });
        extend(&mut user, members);
        if private {
            let members = json!({
                "user_view_type": "private",
                "private_gists": 0, "total_private_repos": 1, "owned_private_repos": 1,
                "disk_usage": 1, "collaborators": 0, "two_factor_authentication": true,
            });
            extend(&mut user, members);
        }
        user
    }

    /// The repository in the form of the API.
    pub(super) fn repository(&self) -> Value {
        let full_name = self.full_name();
        let mut members = Map::new();
        for (name, below) in PARTS {
            let address = self.api(below);
            members.insert(name.to_owned(), json!(address.trim_end_matches('/')));
        }
        for name in COUNTS {
            members.insert(name.to_owned(), json!(0));
        }
        let mut repository = Value::Object(members);
        let web = self.html("");
        let web = web.trim_end_matches('/');
        let rest = json!({
            "id": 4_000_000 + self.owner,
            "node_id": node_id(&format!("010:Repository{}", self.owner)),
            "name": self.name,
            "full_name": full_name,
            "owner": self.simple_user(self.owner),
            "private": self.private,
            "visibility": if self.private { "private" } else { "public" },
            "html_url": web,
            "clone_url": format!("{web}.git"),
            "svn_url": web,
            "git_url": format!("git://github.test/{full_name}.git"),
            "ssh_url": format!("git@github.test:{full_name}.git"),
            "description": null, "homepage": null, "language": null, "license": null,
            "mirror_url": null, "topics": [],
            "fork": false, "archived": false, "disabled": false, "is_template": false,
            "allow_forking": true, "web_commit_signoff_required": false,
            "has_issues": true, "has_projects": true, "has_wiki": true, "has_pages": false,
            "has_downloads": true, "has_discussions": false,
            "size": 1,
            "default_branch": self.default_branch,
            "created_at": BEGINNING, "updated_at": BEGINNING, "pushed_at": time(self.now()),
        });
        extend(&mut repository, rest);
        repository
    }

    /// A commit of the git database.
    pub(super) fn git_commit(&self, commit: &Commit) -> Value {
        let sha = &commit.sha;
        let parents = commit.parents.iter().map(|parent| {
            json!({
                "sha": parent,
                "url": self.api(&format!("git/commits/{parent}")),
                "html_url": self.html(&format!("commit/{parent}")),
            })
        });
        json!({
            "sha": sha,
            "node_id": node_id(sha),
            "url": self.api(&format!("git/commits/{sha}")),
            "html_url": self.html(&format!("commit/{sha}")),
            "author": signature(&commit.author),
            "committer": signature(&commit.committer),
            "message": commit.message,
            "tree": {
                "sha": commit.tree,
                "url": self.api(&format!("git/trees/{}", commit.tree)),
            },
            "parents": parents.collect::<Vec<_>>(),
            "verification": {
                "verified": false, "reason": "unsigned",
                "signature": null, "payload": null, "verified_at": null,
            },
        })
    }

    /// A commit of the repository, with the accounts of its addresses: here none.
    pub(super) fn commit(&self, commit: &Commit) -> Value {
        let sha = &commit.sha;
        let mut inner = self.git_commit(commit);
        let url = self.api(&format!("commits/{sha}"));
        let parents = inner["parents"].take();
        json!({
            "sha": sha,
            "node_id": node_id(sha),
            "url": url,
            "html_url": self.html(&format!("commit/{sha}")),
            "comments_url": format!("{url}/comments"),
            "commit": {
                "url": inner["url"],
                "author": inner["author"],
                "committer": inner["committer"],
                "message": inner["message"],
                "tree": inner["tree"],
                "comment_count": 0,
                "verification": inner["verification"],
            },
            "author": null,
            "committer": null,
            "parents": parents,
        })
    }

    /// A ref and what it points to.
    pub(super) fn reference(&self, reference: &str, sha: &str) -> Value {
        let below = encode(reference.strip_prefix("refs/").unwrap_or(reference));
        json!({
            "ref": reference,
            "node_id": node_id(reference),
            "url": self.api(&format!("git/refs/{below}")),
            "object": {
                "type": "commit",
                "sha": sha,
                "url": self.api(&format!("git/commits/{sha}")),
            },
        })
    }
}

fn signature(signature: &Signature) -> Value {
    json!({
        "name": signature.name,
        "email": signature.email,
        "date": time(signature.at),
    })
}

/// Adds members to an object.
pub(super) fn extend(object: &mut Value, members: Value) {
    if let (Value::Object(object), Value::Object(members)) = (object, members) {
        object.extend(members);
    }
}
