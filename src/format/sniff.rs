//! What a file looks like, so that an error can say more than "wrong file".

const KNOWN: [(&[u8], &str); 18] = [
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"BM", "a BMP image"),
    (b"RIFF", "a RIFF file, such as a WebP image"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file, such as a Keras .h5"),
    (b"PK\x03\x04", "a zip archive, such as .npz, .keras or a PyTorch file"),
    (b"PK\x05\x06", "an empty zip archive"),
    (b"\x1f\x8b", "a gzip file"),
    (b"\x93NUMPY", "a NumPy .npy file"),
    (b"\x80\x02", "a Python pickle"),
    (b"\x80\x04", "a Python pickle"),
    (b"\x00\x00\x08\x01", "an IDX file of labels"),
    (b"\x00\x00\x08\x03", "an IDX file of images"),
    (b"\x7fELF", "a program"),
    (b"%PDF", "a PDF document"),
    (b"GGUF", "a GGUF file"),
    (b"<", "an HTML or XML page"),
];

/// What a file that begins with `start` looks like; at least 16 bytes of it should be given.
pub fn looks_like(start: &[u8]) -> Option<&'static str> {
    if is_safetensors(start) {
        return Some("a safetensors file");
    }
    let known = KNOWN.iter().find(|(magic, _)| start.starts_with(magic)).map(|(_, what)| *what);
    known.or_else(|| is_text(start).then_some("a text file"))
}

fn is_safetensors(start: &[u8]) -> bool {
    start.len() > 9 && start[8..].starts_with(b"{\"") && start[5..8] == [0; 3]
}

fn is_text(start: &[u8]) -> bool {
    !start.is_empty() && start.iter().all(|b| matches!(b, 32..127 | b'\n' | b'\r' | b'\t'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn common_files_are_told_apart() {
        assert_eq!(looks_like(b"\x89PNG\r\n\x1a\n...."), Some("a PNG image"));
        assert_eq!(looks_like(b"\x02\0\0\0\0\0\0\0{\"a\":"), Some("a safetensors file"));
        assert_eq!(looks_like(b"epochs = 5\n"), Some("a text file"));
        assert_eq!(looks_like(&[3, 1, 4, 200]), None);
        assert_eq!(looks_like(&[]), None);
    }
}
