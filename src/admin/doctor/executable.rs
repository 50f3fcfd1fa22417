//! How a program is linked, from its ELF headers (System V ABI, chapters 4 and 5).

use std::io::{self, Read, Seek, SeekFrom};

/// What a program needs in order to be started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Linkage {
    /// Nothing: it runs on every Linux of its architecture.
    Static,
    /// The dynamic linker at this path, and the libraries that this one finds.
    Dynamic(String),
    /// Another system: it is no ELF program.
    Foreign,
    /// The file can't be read.
    Unreadable(String),
}

/// The program header's type that names the dynamic linker.
const PT_INTERP: u64 = 3;

/// No path is longer on Linux, in bytes.
const PATH_MAX: u64 = 4096;

/// How the program in `file` is linked.
pub fn linkage(file: &mut (impl Read + Seek)) -> Linkage {
    match interpreter(file) {
        Ok(Some(Some(path))) => Linkage::Dynamic(path),
        Ok(Some(None)) => Linkage::Static,
        Ok(None) => Linkage::Foreign,
        Err(error) => Linkage::Unreadable(error.to_string()),
    }
}

/// The path of the dynamic linker, if there is one; `None` if the file isn't ELF.
fn interpreter(file: &mut (impl Read + Seek)) -> io::Result<Option<Option<String>>> {
    let mut head = vec![];
    file.by_ref().take(64).read_to_end(&mut head)?;
    if head.len() < 52 || !head.starts_with(b"\x7fELF") {
        return Ok(None);
    }
    head.resize(64, 0);
    let (is_64, is_little) = (head[4] == 2, head[5] == 1);
    let number = |bytes: &[u8]| {
        let add = |sum: u64, byte: &u8| (sum << 8) | u64::from(*byte);
        match is_little {
            true => bytes.iter().rev().fold(0, add),
            false => bytes.iter().fold(0, add),
        }
    };
    // e_phoff, e_phentsize, e_phnum; then of a program header p_offset and p_filesz.
    let (table, size, count) = match is_64 {
        true => (&head[32..40], &head[54..56], &head[56..58]),
        false => (&head[28..32], &head[42..44], &head[44..46]),
    };
    let (table, size, count) = (number(table), number(size), number(count));
    for at in 0..count {
        let mut entry = [0; 56];
        let entry = &mut entry[..if is_64 { 56 } else { 32 }];
        file.seek(SeekFrom::Start(table.saturating_add(at * size)))?;
        file.read_exact(entry)?;
        if number(&entry[..4]) != PT_INTERP {
            continue;
        }
        let (offset, length) = match is_64 {
            true => (&entry[8..16], &entry[32..40]),
            false => (&entry[4..8], &entry[16..20]),
        };
        let (offset, length) = (number(offset), number(length).min(PATH_MAX));
        let mut path = vec![];
        file.seek(SeekFrom::Start(offset))?;
        file.by_ref().take(length).read_to_end(&mut path)?;
        let path = String::from_utf8_lossy(&path);
        return Ok(Some(Some(path.trim_end_matches('\0').to_owned())));
    }
    Ok(Some(None))
}
