//! The pipe between the server and a worker: frames of a kind, a length and that many bytes.

use order_adapter::MapError;

/// Bytes of a frame's head: the kind and the length of the body, little-endian.
pub(super) const HEAD: usize = 5;

/// No program.
pub(super) const NONE: u32 = u32::MAX;

/// What a frame says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    /// To the worker: a program's file name and text, separated by a NUL; programs are counted from 0.
    Define = b'd',
    /// To the worker: run a program; see [`RunHead`].
    Run = b'r',
    /// To the worker: an expression of a manifest, as in [`Self::Define`], counted apart from programs.
    Express = b'x',
    /// To the worker: evaluate an expression; see [`EvaluateHead`].
    Evaluate = b'v',
    /// From the worker: a record of the document, before its result.
    Record = b'i',
    /// From the worker: the result of a record, as JSON.
    Result = b'o',
    /// From the worker: why a record has no result. See [`error_body`].
    Error = b'e',
    /// From the worker: why the document has no (more) records.
    Failure = b'f',
    /// From the worker: the run is over, or the program is compiled.
    End = b'.',
}

impl Kind {
    pub(super) fn of(byte: u8) -> Option<Self> {
        let to = [Self::Define, Self::Run, Self::Express, Self::Evaluate];
        let from = [Self::Record, Self::Result, Self::Error, Self::Failure, Self::End];
        to.into_iter().chain(from).find(|kind| *kind as u8 == byte)
    }
}

/// Appends a frame.
pub(super) fn write(kind: Kind, parts: &[&[u8]], out: &mut Vec<u8>) {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    out.push(kind as u8);
    // Every body is held below 4 GiB by the limits.
    out.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
    for part in parts {
        out.extend_from_slice(part);
    }
}

/// The kind and the length of the body.
pub(super) fn head(bytes: [u8; HEAD]) -> Option<(Kind, usize)> {
    let [kind, length @ ..] = bytes;
    Some((Kind::of(kind)?, u32::from_le_bytes(length) as usize))
}

/// What stands before settings and input in a [`Kind::Run`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RunHead {
    /// The program that finds the records; [`NONE`] when the input is one record.
    pub(super) split: u32,
    /// The program that maps a record; [`NONE`] when only the records are wanted.
    pub(super) program: u32,
    /// Records to leave out.
    pub(super) skip: u32,
    /// Seconds of CPU that one record may take.
    pub(super) seconds: u32,
    /// 1: send each frame at once.
    pub(super) step_by_step: u32,
    /// 1: the input may be XML.
    pub(super) xml: u32,
    /// The length of the settings; the input is the rest.
    pub(super) settings: u32,
}

impl RunHead {
    /// Its length in bytes.
    pub(super) const LENGTH: usize = 28;

    pub(super) fn to_bytes(self) -> Vec<u8> {
        to_bytes([self.split, self.program, self.skip, self.seconds, self.step_by_step, self.xml, self.settings])
    }

    pub(super) fn of(bytes: &[u8]) -> Option<Self> {
        let [split, program, skip, seconds, step_by_step, xml, settings] = words(bytes)?;
        Some(Self { split, program, skip, seconds, step_by_step, xml, settings })
    }
}

/// What stands before variables and input in a [`Kind::Evaluate`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct EvaluateHead {
    /// The expression.
    pub(super) expression: u32,
    /// Seconds of CPU that it may take.
    pub(super) seconds: u32,
    /// 1: the input is that of the request before, and not sent again.
    pub(super) same_input: u32,
    /// The length of the variables, a JSON list; the input is the rest.
    pub(super) variables: u32,
}

impl EvaluateHead {
    /// Its length in bytes.
    pub(super) const LENGTH: usize = 16;

    pub(super) fn to_bytes(self) -> Vec<u8> {
        to_bytes([self.expression, self.seconds, self.same_input, self.variables])
    }

    pub(super) fn of(bytes: &[u8]) -> Option<Self> {
        let [expression, seconds, same_input, variables] = words(bytes)?;
        Some(Self { expression, seconds, same_input, variables })
    }
}

fn to_bytes<const N: usize>(words: [u32; N]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// The words that bytes begin with; none when there are too few.
fn words<const N: usize>(bytes: &[u8]) -> Option<[u32; N]> {
    let words = bytes.chunks_exact(4).map(|word| word.try_into().map(u32::from_le_bytes).unwrap_or_default());
    words.take(N).collect::<Vec<_>>().try_into().ok()
}

/// An error as a body: a letter for its kind, then its text.
pub(super) fn error_body(error: &MapError) -> (u8, &str) {
    match error {
        MapError::Input(text) => (b'i', text),
        MapError::Refused(text) => (b'r', text),
        MapError::Float(path) => (b'f', path),
        MapError::Decimal(value) => (b'd', value),
        MapError::Program(text) | MapError::Stopped(text) => (b'p', text),
        MapError::Results(text) => (if *text == "none" { b'n' } else { b'm' }, ""),
        // A worker does not validate what it gives.
        MapError::Order(rejection) => (b'p', &rejection.rule),
    }
}

/// The error of a body.
pub(super) fn error_of(body: &[u8]) -> MapError {
    let (kind, text) = body
        .split_first()
        .map_or((b'p', String::new()), |(kind, text)| (*kind, String::from_utf8_lossy(text).into_owned()));
    match kind {
        b'i' => MapError::Input(text),
        b'r' => MapError::Refused(text),
        b'f' => MapError::Float(text),
        b'd' => MapError::Decimal(text),
        b'n' => MapError::Results("none"),
        b'm' => MapError::Results("more than one"),
        _ => MapError::Program(text),
    }
}

#[cfg(test)]
mod tests {
    use order_adapter::MapError;

    use super::{HEAD, Kind, RunHead, error_body, error_of, head, write};

    #[test]
    fn what_is_written_is_read() {
        let mut bytes = Vec::new();
        write(Kind::Result, &[b"ab", b"c"], &mut bytes);
        let (start, body) = bytes.split_at(HEAD);
        assert_eq!((head(start.try_into().unwrap()), body), (Some((Kind::Result, 3)), b"abc".as_slice()));
        assert_eq!(head([b'?', 0, 0, 0, 0]), None);

        let run = RunHead { split: u32::MAX, program: 1, skip: 2, seconds: 3, step_by_step: 1, xml: 1, settings: 5 };
        assert_eq!((RunHead::of(&run.to_bytes()), run.to_bytes().len()), (Some(run), RunHead::LENGTH));
        assert_eq!(RunHead::of(&[0; 27]), None);
        for error in [
            MapError::Input("a".into()),
            MapError::Float("/c".into()),
            MapError::Decimal("[]".into()),
            MapError::Results("none"),
        ] {
            let (kind, text) = error_body(&error);
            assert_eq!(error_of(&[&[kind], text.as_bytes()].concat()), error);
        }
    }
}
