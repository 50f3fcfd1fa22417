//! Records of listed files that can't be read or aren't worth fetching.

use crate::store::ListedBlob;
use crate::task::{FileName, FileRecord, MAX_FILE_BYTES, Parsed, Problem, ProblemCode};

/// The name of a listed file to fetch.
///
/// # Errors
/// The record to use instead, if the name is invalid or the file exceeds [`MAX_FILE_BYTES`].
pub(super) fn fetchable_name(blob: &ListedBlob) -> Result<FileName, Box<FileRecord>> {
    let closed = |code, message| {
        let record = problem(&blob.name, blob.etag.as_str(), code, message);
        Err(Box::new(record))
    };
    match blob.name.parse::<FileName>() {
        Err(error) => closed(ProblemCode::BadFileName, error.to_string()),
        Ok(_) if blob.size > MAX_FILE_BYTES as u64 => {
            let message = "The file is over 1 MiB: make it smaller.";
            closed(ProblemCode::TooLarge, message.to_owned())
        }
        Ok(name) => Ok(name),
    }
}

/// The record of a file without read permission. Its ETag is empty, so each listing fetches it again: restoring the
/// permission changes nothing else about the file.
pub fn unreadable_record(name: &FileName) -> FileRecord {
    let message =
        "The service may not open the file: give it the permission to read it.".to_owned();
    problem(name.as_str(), "", ProblemCode::NotReadable, message)
}

/// The record of something that isn't a file (a folder, a dangling link). Its name is in use: no task can be created
/// there.
pub fn non_file_record(name: &FileName) -> FileRecord {
    let Problem { code, message, .. } = non_file_problem();
    problem(name.as_str(), "", code, message)
}

/// The problem reported for something that isn't a file.
pub fn non_file_problem() -> Problem {
    let message = "This is no file, but a folder, say, or a link that leads nowhere: move it away.";
    Problem {
        line: None,
        code: ProblemCode::NotAFile,
        message: message.to_owned(),
    }
}

fn problem(name: &str, etag: &str, code: ProblemCode, message: String) -> FileRecord {
    FileRecord {
        name: name.to_owned(),
        etag: etag.to_owned(),
        sha: None,
        content: Parsed::Unreadable(Problem {
            line: None,
            code,
            message,
        }),
    }
}
