//! What an executable needs to run, from its first bytes (ELF). PURE.

/// Where an executable runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Build {
    /// On every Linux of Azure's: x86-64, and nothing else is needed.
    Static,
    /// Where there is the C library it was linked with.
    NeedsLibraries,
    /// On a Linux of another processor than Azure's.
    OtherProcessor,
    /// Not on Linux.
    NotLinux,
}

/// `EM_X86_64`.
const X86_64: u64 = 62;

/// The program header that names the dynamic loader, `PT_INTERP`.
const INTERPRETER: u64 = 3;

impl Build {
    /// What these bytes are.
    pub fn of(executable: &[u8]) -> Self {
        // Magic, 64 bits, little end first: Azure's plans run nothing else.
        if !executable.starts_with(b"\x7fELF") {
            return Self::NotLinux;
        }
        if !executable.starts_with(b"\x7fELF\x02\x01") || number(executable, 18, 2) != Some(X86_64)
        {
            return Self::OtherProcessor;
        }
        match program_headers(executable).any(|kind| kind == INTERPRETER) {
            true => Self::NeedsLibraries,
            false => Self::Static,
        }
    }
}

/// The kinds of the program headers.
fn program_headers(executable: &[u8]) -> impl Iterator<Item = u64> {
    let at = |from, length| number(executable, from, length).unwrap_or(0);
    let (first, size, count) = (at(32, 8), at(54, 2), at(56, 2));
    (0..count).map_while(move |index| {
        let from = first.checked_add(index.checked_mul(size)?)?;
        number(executable, usize::try_from(from).ok()?, 4)
    })
}

/// A number of so many bytes, little end first.
fn number(bytes: &[u8], from: usize, length: usize) -> Option<u64> {
    let bytes = bytes.get(from..from.checked_add(length)?)?;
    Some(
        bytes
            .iter()
            .rev()
            .fold(0, |sum, byte| sum << 8 | u64::from(*byte)),
    )
}
