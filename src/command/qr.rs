//! A safety number as a QR code for a terminal: to be read by a camera instead of aloud.

use qrcode::QrCode;
use qrcode::render::unicode::Dense1x2;

/// White on black whatever colours the terminal has: readers expect dark modules on a light ground.
/// Otherwise a light terminal would show them inverted, which some readers do not accept.
const COLOURS: &str = "\x1b[40;97m";
const NO_COLOURS: &str = "\x1b[0m";

/// The digits of `number` as lines of half blocks, two rows of modules each, with the quiet zone
/// that readers need around it (ISO/IEC 18004). None where there are too many for a QR code.
pub(super) fn lines(number: &str, is_coloured: bool) -> Option<String> {
    let digits: String = number.chars().filter(char::is_ascii_digit).collect();
    let code = QrCode::new(digits).ok()?;
    let mut canvas = code.render::<Dense1x2>();
    // The block characters are the white modules.
    let image = canvas.dark_color(Dense1x2::Light).light_color(Dense1x2::Dark).build();
    let (begin, end) = if is_coloured { (COLOURS, NO_COLOURS) } else { ("", "") };
    let framed = image.lines().map(|line| format!("    {begin}{line}{end}"));
    Some(framed.collect::<Vec<_>>().join("\n"))
}

#[cfg(test)]
mod tests {
    use qrcode::{EcLevel, Version};

    use super::*;

    #[test]
    fn sixty_digits_are_a_small_code_with_a_quiet_zone_of_four_modules() {
        let number = ["12345"; 12].join(" ");
        let shown = lines(&number, true).unwrap();
        let plain = lines(&number, false).unwrap();
        assert_eq!(shown.replace(COLOURS, "").replace(NO_COLOURS, ""), plain);
        let rows: Vec<String> = shown
            .lines()
            .map(|line| line.replace(COLOURS, "").replace(NO_COLOURS, "").trim_start().to_owned())
            .collect();
        // Version 2 has 25 modules a side; with 4 around it 33, on 17 lines.
        assert_eq!(rows.len(), 17);
        assert!(rows.iter().all(|row| row.chars().count() == 33), "{shown}");
        assert!(rows[..2].iter().all(|row| row.chars().all(|module| module == '█')), "{shown}");
        let code = QrCode::new(number.replace(' ', "")).unwrap();
        assert_eq!(
            (code.version(), code.error_correction_level()),
            (Version::Normal(2), EcLevel::M)
        );
    }

    #[test]
    fn a_half_block_is_white_where_the_module_is_light() {
        let number = "0".repeat(60);
        let code = QrCode::new(&number).unwrap();
        let colours = code.to_colors();
        let shown = lines(&number, true).unwrap();
        for (row, line) in shown.lines().skip(2).take(12).enumerate() {
            let modules = line.split_once(COLOURS).unwrap().1.chars().skip(4).take(25);
            for (column, block) in modules.enumerate() {
                let light = |row: usize| colours[row * 25 + column] == qrcode::Color::Light;
                let expected = match (light(2 * row), light(2 * row + 1)) {
                    (true, true) => '█',
                    (true, false) => '▀',
                    (false, true) => '▄',
                    (false, false) => ' ',
                };
                assert_eq!(block, expected, "row {row}, column {column}:\n{shown}");
            }
        }
    }
}
