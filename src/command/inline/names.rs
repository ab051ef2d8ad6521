//! The colours of names: each stands for a part of the user's key.

use crate::wire::Fingerprint;

/// A colour of the palette of 256, or none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Colour(pub(super) Option<u8>);

/// Colours with a contrast of at least 3.5 to white and to black, so that a name can be read on a
/// light and on a dark window. The first 16 colours of the palette are each terminal's own: yellow
/// on white, or blue on black, cannot be read on most.
const COLOURS: [u8; 12] = [28, 30, 33, 63, 64, 94, 97, 130, 133, 160, 163, 167];

impl Colour {
    /// Of the key with this fingerprint.
    pub(super) fn of(fp: Fingerprint) -> Self {
        let sum: usize = fp.0.iter().map(|&byte| usize::from(byte)).sum();
        Self(Some(COLOURS[sum % COLOURS.len()]))
    }

    /// The SGR sequence that makes letters bold, in this colour.
    pub(super) fn bold(self) -> String {
        match self.0 {
            Some(number) => format!("\x1b[1;38;5;{number}m"),
            None => "\x1b[1m".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The relative luminance of a colour of the palette's cube (WCAG 2.2).
    fn luminance(number: u8) -> f64 {
        let level = |step: u8| -> f64 {
            let value = f64::from([0_u8, 95, 135, 175, 215, 255][usize::from(step)]) / 255.0;
            if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
        };
        let cube = number - 16;
        let (red, green, blue) = (level(cube / 36), level(cube / 6 % 6), level(cube % 6));
        0.2126 * red + 0.7152 * green + 0.0722 * blue
    }

    #[test]
    fn each_colour_can_be_read_on_white_and_on_black() {
        for colour in COLOURS {
            let here = luminance(colour) + 0.05;
            let (white, black) = (1.05 / here, here / 0.05);
            assert!(white.min(black) >= 3.5, "{colour}: {white:.1} on white, {black:.1} on black");
        }
    }
}
