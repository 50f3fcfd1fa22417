//! Files that are there and aren't looked into.

use crate::store::Listed;
use crate::task::{FileName, FileRecord, MAX_FILE_BYTES, Parsed, Problem, ProblemCode};

/// The name of a listed file that is to be read, or the record of one in which there is no use.
pub fn to_be_read(blob: &Listed) -> Result<FileName, Box<FileRecord>> {
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

/// The record of a file that may not be opened. It is asked for again at every listing: giving a file its
/// permissions back changes nothing else of it.
pub fn denied(name: &FileName) -> FileRecord {
    let message =
        "The service may not open the file: give it the permission to read it.".to_owned();
    problem(name.as_str(), "", ProblemCode::NotReadable, message)
}

/// The record of something that is no file. Its name is taken, so nothing can be created there.
pub fn no_file(name: &FileName) -> FileRecord {
    let Problem { code, message, .. } = not_a_file();
    problem(name.as_str(), "", code, message)
}

/// What is wrong with something that is no file.
pub fn not_a_file() -> Problem {
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
