//! The character sets that every Java has (`java.nio.charset.StandardCharsets`).

use bytes::{BufMut, Bytes, BytesMut};

use crate::data::Text;

/// How text is written as bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Charset {
    Utf8,
    Ascii,
    Latin1,
    /// With a byte order mark.
    Utf16,
    Utf16Be,
    Utf16Le,
}

impl Charset {
    /// By one of the names that Java knows.
    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name.to_ascii_uppercase().as_str() {
            "UTF-8" | "UTF8" => Self::Utf8,
            "US-ASCII" | "ASCII" | "ISO646-US" => Self::Ascii,
            "ISO-8859-1" | "ISO8859_1" | "ISO_8859_1" | "ISO8859-1" | "LATIN1" | "L1" => {
                Self::Latin1
            }
            "UTF-16" | "UTF_16" | "UTF16" | "UNICODE" => Self::Utf16,
            "UTF-16BE" | "UTF_16BE" => Self::Utf16Be,
            "UTF-16LE" | "UTF_16LE" => Self::Utf16Le,
            _ => return None,
        })
    }

    /// Appends text; what the character set lacks is a question mark.
    pub(super) fn encode(self, text: &str, out: &mut BytesMut) {
        let narrow = |out: &mut BytesMut, most: u32| {
            out.extend(text.chars().map(|c| if u32::from(c) <= most { c as u8 } else { b'?' }));
        };
        match self {
            Self::Utf8 => out.put_slice(text.as_bytes()),
            Self::Ascii => narrow(out, 0x7f),
            Self::Latin1 => narrow(out, 0xff),
            Self::Utf16 if text.is_empty() => {}
            Self::Utf16 => {
                out.put_u16(0xfeff);
                text.encode_utf16().for_each(|unit| out.put_u16(unit));
            }
            Self::Utf16Be => text.encode_utf16().for_each(|unit| out.put_u16(unit)),
            Self::Utf16Le => text.encode_utf16().for_each(|unit| out.put_u16_le(unit)),
        }
    }

    /// Reads text, of UTF-8 as a slice of the bytes; what is malformed is U+FFFD, as in Java.
    pub(super) fn decode(self, bytes: &Bytes) -> Text {
        match self {
            Self::Utf8 => Text::try_from(bytes.clone())
                .unwrap_or_else(|_| String::from_utf8_lossy(bytes).into_owned().into()),
            Self::Ascii => {
                let char = |b: &u8| if b.is_ascii() { char::from(*b) } else { '\u{fffd}' };
                bytes.iter().map(char).collect::<String>().into()
            }
            Self::Latin1 => bytes.iter().map(|b| char::from(*b)).collect::<String>().into(),
            Self::Utf16 => match bytes[..] {
                [0xff, 0xfe, ..] => utf16(&bytes[2..], u16::from_le_bytes),
                [0xfe, 0xff, ..] => utf16(&bytes[2..], u16::from_be_bytes),
                _ => utf16(bytes, u16::from_be_bytes),
            },
            Self::Utf16Be => utf16(bytes, u16::from_be_bytes),
            Self::Utf16Le => utf16(bytes, u16::from_le_bytes),
        }
    }
}

fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Text {
    let (units, rest) = bytes.as_chunks::<2>();
    let mut text: String = char::decode_utf16(units.iter().map(|pair| unit(*pair)))
        .map(|c| c.unwrap_or('\u{fffd}'))
        .collect();
    if !rest.is_empty() {
        text.push('\u{fffd}');
    }
    text.into()
}
