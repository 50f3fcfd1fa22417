//! A bare repository, read and written by git's plumbing commands.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Output, Stdio};

use flate2::Compression;
use flate2::write::ZlibEncoder;
use sha1::{Digest, Sha1};

/// The SHA of a missing ref, for git and in a push payload.
pub(crate) const NO_COMMIT: &str = "0000000000000000000000000000000000000000";

/// An object as it is stored.
pub(super) struct Object {
    pub(super) kind: String,
    pub(super) bytes: Vec<u8>,
}

/// The repository. The world's lock serialises access to it.
pub(super) struct Git {
    folder: PathBuf,
    reader: GitProcess,
    /// By type of object.
    writers: HashMap<&'static str, GitProcess>,
    /// The revision in progress.
    pub(super) revision: usize,
    /// The first revision that contains each object.
    born: HashMap<String, usize>,
    written: bool,
    /// The visible part of the repository, while a replica is read.
    pub(super) view: Option<View>,
}

/// The repository as a replica has it.
pub(super) struct View {
    pub(super) refs: BTreeMap<String, String>,
    /// The number of visible revisions; an object of a later one isn't visible.
    pub(super) revisions: usize,
}

/// A git process that answers each line with an object or a SHA. It ends when its input closes, hence with this
/// process.
struct GitProcess {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Git {
    /// An empty repository in a folder of its own, which the caller removes.
    pub(super) fn init(folder: &Path) -> Self {
        let repository = folder.join("repository.git");
        let made = git(&repository, &["init", "--bare", "--quiet", "--template="]).output();
        let made = made.expect("git is there");
        assert!(made.status.success(), "{made:?}");
        Self {
            reader: GitProcess::start(&mut git(&repository, &["cat-file", "--batch-command"])),
            writers: HashMap::new(),
            revision: 0,
            born: HashMap::new(),
            written: false,
            view: None,
            folder: folder.to_owned(),
        }
    }

    /// The folder, for a real clone.
    pub(super) fn path(&self) -> PathBuf {
        self.folder.join("repository.git")
    }

    /// Runs git and returns its output, successful or not.
    pub(super) fn try_run(&self, arguments: &[&str]) -> Output {
        git(&self.path(), arguments).output().unwrap()
    }

    /// Runs git, which must succeed, and returns its output.
    #[track_caller]
    pub(super) fn run(&self, arguments: &[&str]) -> String {
        let output = self.try_run(arguments);
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "git {arguments:?}: {complaint}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// The object that git resolves this name to: a SHA, a full ref, `{commit}:{path}`.
    pub(super) fn read(&mut self, name: &str) -> Option<Object> {
        let (_, kind, size) = self.ask("contents", name)?;
        let mut bytes = vec![0; size + 1];
        self.reader.output.read_exact(&mut bytes).unwrap();
        bytes.pop();
        Some(Object { kind, bytes })
    }

    /// SHA, type and size, without the bytes.
    pub(super) fn look(&mut self, name: &str) -> Option<(String, String, usize)> {
        self.ask("info", name)
    }

    /// The object with this SHA, if it is of this type.
    pub(super) fn read_as(&mut self, kind: &str, sha: &str) -> Option<Vec<u8>> {
        if !is_sha(sha) || !self.has(sha) {
            return None;
        }
        let object = self.read(sha)?;
        (object.kind == kind).then_some(object.bytes)
    }

    fn ask(&mut self, command: &str, name: &str) -> Option<(String, String, usize)> {
        // A name with a newline would be two commands.
        if name.is_empty() || name.contains(['\n', '\0']) {
            return None;
        }
        let line = self.reader.answer(&format!("{command} {name}"));
        let mut words = line.split(' ');
        let (sha, kind, size) = (words.next()?, words.next()?, words.next()?);
        let size = size.parse().ok()?;
        Some((sha.to_owned(), kind.to_owned(), size))
    }

    /// Stores an object unchecked, however odd. Its SHA is git's.
    pub(super) fn write(&mut self, kind: &'static str, bytes: &[u8]) -> String {
        let repository = self.path();
        let file = self.folder.join("object");
        fs::write(&file, bytes).unwrap();
        let writer = self.writers.entry(kind).or_insert_with(|| {
            let literally = ["--literally", "--no-filters", "-w", "--stdin-paths"];
            let arguments = ["-c", "core.fsync=none", "hash-object", "-t", kind];
            GitProcess::start(git(&repository, &arguments).args(literally))
        });
        let sha = writer.answer(file.to_str().unwrap());
        assert!(is_sha(&sha), "git hash-object: {sha:?}");
        // Some file systems flush a file to disk when it is overwritten; they don't flush a new one.
        fs::remove_file(&file).unwrap();
        self.note(&sha);
        sha
    }

    /// Records that an object exists; returns whether it is new.
    pub(super) fn note(&mut self, sha: &str) -> bool {
        if self.born.contains_key(sha) {
            return false;
        }
        self.born.insert(sha.to_owned(), self.revision);
        self.written = true;
        true
    }

    /// Whether anything was written since the last call.
    pub(super) fn take_written(&mut self) -> bool {
        std::mem::take(&mut self.written)
    }

    /// Whether an object that the repository may have is visible. Objects written past the hub always are.
    fn has(&self, sha: &str) -> bool {
        let Some(view) = &self.view else { return true };
        let born = self.born.get(sha);
        born.is_none_or(|revision| *revision < view.revisions)
    }

    /// Stores these files: many as one pack, which takes a moment where one file at a time takes seconds.
    pub(super) fn write_blobs(&mut self, blobs: &[&[u8]]) -> Vec<String> {
        if blobs.len() < 50 {
            return blobs.iter().map(|blob| self.write("blob", blob)).collect();
        }
        let mut child = git(&self.path(), &["index-pack", "--stdin"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let mut input = child.stdin.take().unwrap();
        input.write_all(&pack(blobs)).unwrap();
        drop(input);
        assert!(child.wait().unwrap().success());
        let shas: Vec<String> = blobs.iter().map(|blob| blob_sha(blob)).collect();
        for sha in &shas {
            self.note(sha);
        }
        shas
    }

    /// The commit of a full ref.
    pub(super) fn tip(&mut self, reference: &str) -> Option<String> {
        if !is_ref(reference) {
            return None;
        }
        if let Some(view) = &self.view {
            return view.refs.get(reference).cloned();
        }
        self.look(reference).map(|(sha, _, _)| sha)
    }

    /// The refs with this prefix and their commits, by name.
    pub(super) fn refs(&self, prefix: &str) -> Vec<(String, String)> {
        let begins = |(name, _): &(String, String)| name.starts_with(prefix);
        if let Some(view) = &self.view {
            return view.refs.clone().into_iter().filter(begins).collect();
        }
        let listed = self.run(&["for-each-ref", "--format=%(refname) %(objectname)"]);
        let lines = listed.lines().filter_map(|line| line.split_once(' '));
        let refs = lines.map(|(name, sha)| (name.to_owned(), sha.to_owned()));
        refs.filter(begins).collect()
    }

    /// Moves a ref from exactly `old` to `new`; either may be [`NO_COMMIT`].
    pub(super) fn move_ref(&self, reference: &str, old: &str, new: &str) -> Result<(), String> {
        let output = match new {
            NO_COMMIT => self.try_run(&["update-ref", "-d", reference, old]),
            _ => self.try_run(&["update-ref", reference, new, old]),
        };
        let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
        output.status.success().then_some(()).ok_or(complaint)
    }

    /// Whether `old` is an ancestor of `new`.
    pub(super) fn is_ancestor(&mut self, old: &str, new: &str) -> bool {
        // The common case of a push, handled without another process.
        let commit = self.read_as("commit", new);
        let parent = format!("\nparent {old}\n");
        if commit.is_some_and(|bytes| String::from_utf8_lossy(&bytes).contains(&parent)) {
            return true;
        }
        let output = self.try_run(&["merge-base", "--is-ancestor", old, new]);
        output.status.success()
    }
}

impl GitProcess {
    fn start(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("git is there");
        Self {
            input: child.stdin.take().unwrap(),
            output: BufReader::new(child.stdout.take().unwrap()),
            child,
        }
    }

    fn answer(&mut self, line: &str) -> String {
        writeln!(self.input, "{line}").unwrap();
        let mut answer = String::new();
        self.output.read_line(&mut answer).unwrap();
        answer.trim_end_matches('\n').to_owned()
    }
}

impl Drop for GitProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The SHA that git computes for a file with these bytes.
pub(crate) fn blob_sha(bytes: &[u8]) -> String {
    let mut hash = Sha1::new_with_prefix(format!("blob {}\0", bytes.len()));
    hash.update(bytes);
    let digest = hash.finalize();
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Files as a git pack.
fn pack(blobs: &[&[u8]]) -> Vec<u8> {
    // Duplicate objects are packed once.
    let blobs: BTreeSet<&[u8]> = blobs.iter().copied().collect();
    let mut pack = b"PACK\0\0\0\x02".to_vec();
    pack.extend((blobs.len() as u32).to_be_bytes());
    for blob in blobs {
        // The type of a blob is 3; the size follows in groups of 4, 7, 7 … bits, the lowest first.
        let mut byte = 0x30 | (blob.len() & 0x0f) as u8;
        let mut size = blob.len() >> 4;
        while size > 0 {
            pack.push(byte | 0x80);
            byte = (size & 0x7f) as u8;
            size >>= 7;
        }
        pack.push(byte);
        let mut deflated = ZlibEncoder::new(&mut pack, Compression::fast());
        deflated.write_all(blob).unwrap();
        deflated.finish().unwrap();
    }
    let sum = Sha1::digest(&pack);
    pack.extend(sum);
    pack
}

/// Git without this machine's configuration.
fn git(repository: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new("git");
    command
        .args(arguments)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", repository)
        .env("LC_ALL", "C")
        .env("GIT_DIR", repository)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .stdin(Stdio::null());
    for role in ["AUTHOR", "COMMITTER"] {
        command.env(format!("GIT_{role}_NAME"), "GitHub");
        command.env(format!("GIT_{role}_EMAIL"), "noreply@github.com");
    }
    command
}

/// Forty hexadecimal digits.
pub(super) fn is_sha(text: &str) -> bool {
    text.len() == 40
        && text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

/// A full ref, and no expression that git would evaluate.
pub(super) fn is_ref(text: &str) -> bool {
    let odd = |c: char| c.is_control() || " ~^:?*[\\".contains(c);
    let part = |part: &str| {
        !part.is_empty()
            && !part.starts_with('.')
            && !part.ends_with('.')
            && !part.ends_with(".lock")
    };
    text.starts_with("refs/")
        && !text.contains(odd)
        && !text.contains("..")
        && !text.contains("@{")
        && text.split('/').all(part)
}
