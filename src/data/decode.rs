//! PNG and JPEG files, decoded to bytes; the content decides which it is.
//!
//! A decoder is asked for the size first, and an image that is too large is
//! refused before memory is taken for it.
//!
//! Sources: W3C, "Portable Network Graphics (PNG) Specification"; ITU-T T.81
//! (JPEG); CIPA DC-008 (EXIF), tag 0x0112 for the orientation.

use std::io::Cursor;

use zune_core::bytestream::ZCursor;
use zune_core::colorspace::ColorSpace;
use zune_core::options::DecoderOptions;
use zune_jpeg::JpegDecoder;

use super::image::Image;
use crate::error::{Error, ErrorKind, Result};

const MAX_PIXELS: usize = 100_000_000;
const PNG: [u8; 8] = *b"\x89PNG\r\n\x1a\n";
const JPEG: [u8; 3] = [0xFF, 0xD8, 0xFF];

pub(crate) fn decode(bytes: &[u8]) -> Result<Image> {
    if bytes.is_empty() {
        return Err(wrong("the file is empty"));
    }
    if bytes.starts_with(&PNG) {
        png(bytes)
    } else if bytes.starts_with(&JPEG) {
        jpeg(bytes)
    } else {
        Err(wrong("this is neither a PNG nor a JPEG image").with_help("convert it to PNG or JPEG first"))
    }
}

fn wrong(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Format, message)
}

fn check_size(h: usize, w: usize) -> Result<()> {
    if h.checked_mul(w).is_none_or(|n| n > MAX_PIXELS) {
        return Err(wrong(format!("an image of {h}x{w} pixels is larger than the 100 megapixels that striate reads"))
            .with_help("make it smaller first"));
    }
    Ok(())
}

fn png(bytes: &[u8]) -> Result<Image> {
    let fail = |e: png::DecodingError| match e {
        png::DecodingError::IoError(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => cut_off("PNG"),
        e => wrong(format!("damaged PNG image: {e}")),
    };
    let mut decoder = png::Decoder::new_with_limits(Cursor::new(bytes), png::Limits { bytes: MAX_PIXELS * 8 });
    decoder.set_transformations(png::Transformations::EXPAND);
    let header = decoder.read_header_info().map_err(fail)?;
    let [h, w] = [header.height as usize, header.width as usize];
    check_size(h, w)?;
    let mut reader = decoder.read_info().map_err(fail)?;
    let size = reader.output_buffer_size().ok_or_else(|| wrong("a PNG image too large for this machine"))?;
    let mut data = vec![0; size];
    let info = reader.next_frame(&mut data).map_err(fail)?;
    if info.bit_depth == png::BitDepth::Sixteen {
        data = data.chunks_exact(2).map(|v| byte_of(u16::from_be_bytes([v[0], v[1]]))).collect();
    }
    let (c, opaque) = match info.color_type {
        png::ColorType::GrayscaleAlpha => (1, over_white::<1>(&data)),
        png::ColorType::Rgba => (3, over_white::<3>(&data)),
        png::ColorType::Grayscale => (1, data),
        png::ColorType::Rgb | png::ColorType::Indexed => (3, data),
    };
    Image::new([h, w, c], opaque)
}

fn cut_off(kind: &str) -> Error {
    wrong(format!("the {kind} image is cut off")).with_help("it may be an interrupted download; get it again")
}

// 65535 = 255 * 257: the nearest of the 256 levels.
fn byte_of(v: u16) -> u8 {
    ((u32::from(v) + 128) / 257) as u8
}

// C colour channels and alpha a: a * colour + (1 - a) * white.
fn over_white<const C: usize>(data: &[u8]) -> Vec<u8> {
    let blend = |v: u8, a: u8| ((u32::from(v) * u32::from(a) + 255 * (255 - u32::from(a)) + 127) / 255) as u8;
    data.chunks_exact(C + 1).flat_map(|pixel| (0..C).map(move |i| blend(pixel[i], pixel[C]))).collect()
}

fn jpeg(bytes: &[u8]) -> Result<Image> {
    let fail = |e| wrong(format!("damaged JPEG image: {e:?}"));
    if !has_end(bytes) {
        return Err(cut_off("JPEG"));
    }
    let options = DecoderOptions::default().set_max_width(65_535).set_max_height(65_535);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    decoder.decode_headers().map_err(fail)?;
    let (w, h) = decoder.dimensions().ok_or_else(|| wrong("a JPEG image without a size"))?;
    check_size(h, w)?;
    let c = if decoder.input_colorspace() == Some(ColorSpace::Luma) { 1 } else { 3 };
    let space = if c == 1 { ColorSpace::Luma } else { ColorSpace::RGB };
    decoder.set_options(options.jpeg_set_out_colorspace(space));
    let pixels = decoder.decode().map_err(fail)?;
    let turn = decoder.exif().map_or(1, |exif| orientation(exif).unwrap_or(1));
    Ok(oriented(Image::new([h, w, c], pixels)?, turn))
}

// Decoders fill what is missing with grey. So walk the segments to the end-of-image marker (T.81, annex B).
fn has_end(bytes: &[u8]) -> bool {
    const END: u8 = 0xD9;
    const SCAN: u8 = 0xDA;
    let mut at = 2;
    while let Some([0xFF, marker]) = bytes.get(at..at + 2) {
        match *marker {
            END => return true,
            0xFF => at += 1,
            0x01 | 0xD0..=0xD8 => at += 2,
            marker => {
                let Some([high, low]) = bytes.get(at + 2..at + 4) else { return false };
                at += 2 + usize::from(u16::from_be_bytes([*high, *low]));
                if marker == SCAN {
                    at = scan_end(bytes, at);
                }
            }
        }
    }
    false
}

// In coded data FF 00 stands for a byte FF, and FF D0 to FF D7 are restart marks.
fn scan_end(bytes: &[u8], from: usize) -> usize {
    let rest = bytes.get(from..).unwrap_or_default();
    let marker = rest.windows(2).position(|v| v[0] == 0xFF && !matches!(v[1], 0 | 0xD0..=0xD7 | 0xFF));
    marker.map_or(bytes.len(), |i| from + i)
}

// The orientation, 1 to 8, in the first directory of an EXIF block (a TIFF header: order, 42, offset).
fn orientation(exif: &[u8]) -> Option<u16> {
    let little = exif.starts_with(b"II");
    let short = |at: usize| {
        let v: [u8; 2] = exif.get(at..at.checked_add(2)?)?.try_into().ok()?;
        Some(if little { u16::from_le_bytes(v) } else { u16::from_be_bytes(v) })
    };
    let (a, b) = (usize::from(short(4)?), usize::from(short(6)?));
    let directory = if little { a | b << 16 } else { a << 16 | b };
    let entries = usize::from(short(directory)?);
    let entry = (0..entries).map(|i| directory + 2 + 12 * i).find(|at| short(*at) == Some(0x0112))?;
    short(entry + 8).filter(|v| (1..=8).contains(v))
}

// Orientations 5 to 8 exchange rows and columns; then 2, 3, 6, 7 mirror left-right and 3, 4, 7, 8 top-bottom.
fn oriented(image: Image, orientation: u16) -> Image {
    if orientation == 1 {
        return image;
    }
    let [h, w, c] = image.dims();
    let exchange = orientation >= 5;
    let [oh, ow] = if exchange { [w, h] } else { [h, w] };
    let mut pixels = Vec::with_capacity(h * w * c);
    for (y, x) in (0..oh).flat_map(|y| (0..ow).map(move |x| (y, x))) {
        let x = if matches!(orientation, 2 | 3 | 6 | 7) { ow - 1 - x } else { x };
        let y = if matches!(orientation, 3 | 4 | 7 | 8) { oh - 1 - y } else { y };
        let at = if exchange { x * w + y } else { y * w + x };
        pixels.extend_from_slice(&image.pixels()[at * c..(at + 1) * c]);
    }
    Image::new([oh, ow, c], pixels).unwrap_or(image)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn encode_png(dims: [usize; 3], depth: png::BitDepth, data: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut encoder = png::Encoder::new(&mut out, dims[1] as u32, dims[0] as u32);
        encoder.set_color(match dims[2] {
            1 => png::ColorType::Grayscale,
            2 => png::ColorType::GrayscaleAlpha,
            3 => png::ColorType::Rgb,
            _ => png::ColorType::Rgba,
        });
        encoder.set_depth(depth);
        encoder.write_header().unwrap().write_image_data(data).unwrap();
        out
    }

    pub(crate) fn encode_jpeg(image: &Image, progressive: bool, exif: Option<&[u8]>) -> Vec<u8> {
        let [h, w, c] = image.dims();
        let mut out = Vec::new();
        let mut encoder = jpeg_encoder::Encoder::new(&mut out, 95);
        encoder.set_progressive(progressive);
        exif.iter().for_each(|exif| encoder.add_exif_metadata(exif).unwrap());
        let space = if c == 1 { jpeg_encoder::ColorType::Luma } else { jpeg_encoder::ColorType::Rgb };
        encoder.encode(image.pixels(), w as u16, h as u16, space).unwrap();
        out
    }

    fn gradient(h: usize, w: usize, c: usize) -> Image {
        let value = |y: usize, x: usize, i: usize| (y * 200 / h + x * 40 / w + i * 5) as u8;
        let pixels = (0..h * w * c).map(|at| value(at / c / w, at / c % w, at % c)).collect();
        Image::new([h, w, c], pixels).unwrap()
    }

    #[test]
    fn png_of_every_kind() {
        use png::BitDepth::{Eight, One, Sixteen};
        let read = |dims, depth, data: &[u8]| {
            let image = Image::decode(&encode_png(dims, depth, data)).unwrap();
            (image.dims(), image.into_pixels())
        };
        assert_eq!(read([1, 2, 1], Eight, &[3, 200]), ([1, 2, 1], vec![3, 200]));
        assert_eq!(read([1, 1, 3], Eight, &[1, 2, 3]), ([1, 1, 3], vec![1, 2, 3]));
        assert_eq!(read([1, 3, 1], One, &[0b1010_0000]), ([1, 3, 1], vec![255, 0, 255]));
        assert_eq!(read([1, 3, 1], Sixteen, &[0xFF, 0xFF, 0x80, 0x80, 0, 127]), ([1, 3, 1], vec![255, 128, 0]));
        assert_eq!(read([1, 2, 2], Eight, &[10, 0, 10, 255]), ([1, 2, 1], vec![255, 10]));
        assert_eq!(read([1, 1, 4], Eight, &[0, 100, 255, 51]), ([1, 1, 3], vec![204, 224, 255]));
        assert_eq!(read([1, 1, 4], Sixteen, &[0, 0, 0, 0, 0, 0, 255, 255]), ([1, 1, 3], vec![0, 0, 0]));
    }

    #[test]
    fn jpeg_grey_rgb_and_progressive() {
        for (c, progressive) in [(1, false), (3, false), (3, true)] {
            let image = gradient(33, 47, c);
            let read = Image::decode(&encode_jpeg(&image, progressive, None)).unwrap();
            assert_eq!(read.dims(), image.dims());
            let off = image.pixels().iter().zip(read.pixels()).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
            assert!(off < 12, "{off}");
        }
    }

    fn exif(order: &[u8; 2], orientation: u8) -> Vec<u8> {
        let short = |v: u8| if order == b"II" { [v, 0] } else { [0, v] };
        let long = |v: u8| if order == b"II" { [v, 0, 0, 0] } else { [0, 0, 0, v] };
        let tag = if order == b"II" { [0x12, 1] } else { [1, 0x12] };
        [&order[..], &short(42), &long(8), &short(1), &tag, &short(3), &long(1), &short(orientation), &[0; 6]].concat()
    }

    #[test]
    fn the_camera_orientation_is_applied() {
        assert_eq!(orientation(&exif(b"MM", 3)), Some(3));
        assert_eq!(orientation(&exif(b"II", 6)), Some(6));
        assert_eq!(orientation(&exif(b"II", 9)), None);
        assert_eq!(orientation(b"II*\0\xFF\xFF\xFF\xFF"), None);
        let image = Image::new([2, 3, 1], vec![1, 2, 3, 4, 5, 6]).unwrap();
        // Rows of the picture as one should see it, from the table of the EXIF standard.
        let seen: [&[u8]; 8] = [
            &[1, 2, 3, 4, 5, 6],
            &[3, 2, 1, 6, 5, 4],
            &[6, 5, 4, 3, 2, 1],
            &[4, 5, 6, 1, 2, 3],
            &[1, 4, 2, 5, 3, 6],
            &[4, 1, 5, 2, 6, 3],
            &[6, 3, 5, 2, 4, 1],
            &[3, 6, 2, 5, 1, 4],
        ];
        for (i, expect) in seen.iter().enumerate() {
            let turned = oriented(image.clone(), i as u16 + 1);
            assert_eq!(turned.pixels(), *expect, "orientation {}", i + 1);
            assert_eq!(turned.dims(), if i < 4 { [2, 3, 1] } else { [3, 2, 1] });
        }
        let photo = encode_jpeg(&gradient(16, 40, 3), false, Some(&exif(b"II", 6)));
        assert_eq!(Image::decode(&photo).unwrap().dims(), [40, 16, 3]);
    }

    #[test]
    fn every_truncation_is_an_error() {
        let image = gradient(24, 24, 3);
        let png = encode_png([24, 24, 3], png::BitDepth::Eight, image.pixels());
        let jpeg = encode_jpeg(&image, false, Some(&exif(b"MM", 1)));
        let progressive = encode_jpeg(&image, true, None);
        // The last 12 bytes of a PNG are its empty end chunk: all pixels are there without it.
        for (file, whole) in [(&png, png.len() - 12), (&jpeg, jpeg.len()), (&progressive, progressive.len())] {
            for cut in 0..whole {
                assert!(Image::decode(&file[..cut]).is_err(), "{cut} of {whole}");
            }
            assert!(Image::decode(file).is_ok());
        }
        assert!(Image::decode(&jpeg[..jpeg.len() / 2]).unwrap_err().message().contains("cut off"));
        assert!(Image::decode(&png[..png.len() / 2]).unwrap_err().message().contains("cut off"));
    }

    #[test]
    fn what_is_no_image_is_named() {
        let message = |bytes: &[u8]| Image::decode(bytes).unwrap_err().to_string();
        assert!(message(b"").contains("empty"));
        assert!(message(b"GIF89a....").contains("neither a PNG nor a JPEG"));
        assert!(message(b"hello").contains("neither a PNG nor a JPEG"));
        let mut damaged = encode_png([4, 4, 1], png::BitDepth::Eight, &[5; 16]);
        damaged[45] ^= 0x55;
        assert!(message(&damaged).contains("damaged PNG"), "{}", message(&damaged));
    }

    #[test]
    fn a_huge_image_is_refused_before_memory_is_taken() {
        let mut file = encode_png([4, 4, 1], png::BitDepth::Eight, &[5; 16]);
        file[16..20].copy_from_slice(&200_000_u32.to_be_bytes());
        file[20..24].copy_from_slice(&200_000_u32.to_be_bytes());
        let crc = crc32(&file[12..29]);
        file[29..33].copy_from_slice(&crc.to_be_bytes());
        assert!(Image::decode(&file).unwrap_err().message().contains("200000x200000"));
    }

    fn crc32(bytes: &[u8]) -> u32 {
        let mut crc = flate2::Crc::new();
        crc.update(bytes);
        crc.sum()
    }

    proptest::proptest! {
        #[test]
        fn damaged_files_never_panic(at in 0_usize..2000, flip in 1_u8..=255, which in 0_usize..3) {
            let image = gradient(16, 16, 3);
            let mut file = match which {
                0 => encode_png([16, 16, 3], png::BitDepth::Eight, image.pixels()),
                1 => encode_jpeg(&image, false, Some(&exif(b"II", 8))),
                _ => encode_jpeg(&image, true, None),
            };
            let at = at % file.len();
            file[at] ^= flip;
            let _ = Image::decode(&file);
        }
    }
}
