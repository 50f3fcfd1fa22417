//! What an executable needs to run, by its ELF header. PURE.

/// The platforms an executable runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExecutableKind {
    /// Any x86-64 Linux, Azure's included: it is linked statically.
    Static,
    /// An x86-64 Linux with the C library it was linked against.
    DynamicallyLinked,
    /// A Linux on another architecture than Azure's x86-64.
    OtherArchitecture,
    /// No Linux: it is no ELF file.
    NotLinux,
}

/// `EM_X86_64`.
const X86_64: u64 = 62;

/// The program header that names the dynamic loader, `PT_INTERP`.
const INTERPRETER: u64 = 3;

impl ExecutableKind {
    /// Classifies an executable's bytes.
    pub fn of(executable: &[u8]) -> Self {
        // Magic, 64-bit, little-endian: Azure's plans run nothing else.
        if !executable.starts_with(b"\x7fELF") {
            return Self::NotLinux;
        }
        if !executable.starts_with(b"\x7fELF\x02\x01") || number(executable, 18, 2) != Some(X86_64)
        {
            return Self::OtherArchitecture;
        }
        match program_headers(executable).any(|kind| kind == INTERPRETER) {
            true => Self::DynamicallyLinked,
            false => Self::Static,
        }
    }
}

/// The types (`p_type`) of the program headers.
fn program_headers(executable: &[u8]) -> impl Iterator<Item = u64> {
    let at = |from, length| number(executable, from, length).unwrap_or(0);
    let (first, size, count) = (at(32, 8), at(54, 2), at(56, 2));
    (0..count).map_while(move |index| {
        let from = first.checked_add(index.checked_mul(size)?)?;
        number(executable, usize::try_from(from).ok()?, 4)
    })
}

/// A little-endian number of `length` bytes; `None` beyond the end.
fn number(bytes: &[u8], from: usize, length: usize) -> Option<u64> {
    let bytes = bytes.get(from..from.checked_add(length)?)?;
    Some(
        bytes
            .iter()
            .rev()
            .fold(0, |sum, byte| sum << 8 | u64::from(*byte)),
    )
}
