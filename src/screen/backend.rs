//! What `ratatui` draws on, as bytes for a source of the loop.
//!
//! `ratatui` keeps two pictures of the screen and hands over the cells that differ. Here they
//! become the sequences of a terminal (`console_codes(4)`), in a buffer that the caller
//! [takes](ByteBackend::take) and sends. Nothing is ever asked of the terminal: the size is told
//! by the caller, and the cursor is where the last sequence has put it.

use std::convert::Infallible;
use std::fmt::Write as _;

use ratatui::backend::{Backend, ClearType, WindowSize};
use ratatui::buffer::Cell;
use ratatui::layout::{Position, Size as Area};
use ratatui::style::{Color, Modifier};

use super::terminal::Size;

/// The backend. Cells hold what is escaped already ([`escape`](super::escape)).
#[derive(Debug)]
pub struct ByteBackend {
    out: String,
    size: Size,
    cursor: Position,
    /// Colours are left out ([no-color.org](https://no-color.org)).
    is_plain: bool,
}

/// The letters of a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Letters {
    foreground: Color,
    background: Color,
    modifier: Modifier,
}

/// As SGR 0 leaves them.
const USUAL: Letters =
    Letters { foreground: Color::Reset, background: Color::Reset, modifier: Modifier::empty() };

/// Each modifier, and the number of it in SGR.
const MODIFIERS: [(Modifier, u8); 8] = [
    (Modifier::BOLD, 1),
    (Modifier::DIM, 2),
    (Modifier::ITALIC, 3),
    (Modifier::UNDERLINED, 4),
    (Modifier::SLOW_BLINK, 5),
    (Modifier::REVERSED, 7),
    (Modifier::HIDDEN, 8),
    (Modifier::CROSSED_OUT, 9),
];

impl ByteBackend {
    /// A backend for a terminal of this size. `is_plain`: without colours.
    pub fn new(size: Size, is_plain: bool) -> Self {
        Self { out: String::new(), size, cursor: Position::ORIGIN, is_plain }
    }

    /// The terminal has another size. `ratatui` asks for it with the next frame.
    pub fn resize(&mut self, size: Size) {
        self.size = size;
    }

    /// What is to be sent to the terminal.
    pub fn take(&mut self) -> String {
        std::mem::take(&mut self.out)
    }

    fn push(&mut self, sequence: std::fmt::Arguments<'_>) {
        let _ = self.out.write_fmt(sequence); // to a string: never fails
    }

    fn go_to(&mut self, to: Position) {
        if to != self.cursor {
            self.push(format_args!("\x1b[{};{}H", to.y + 1, to.x + 1));
            self.cursor = to;
        }
    }

    fn set_letters(&mut self, letters: Letters) {
        self.out.push_str("\x1b[0");
        for (modifier, number) in MODIFIERS {
            if letters.modifier.contains(modifier) {
                self.push(format_args!(";{number}"));
            }
        }
        if !self.is_plain {
            self.colour(letters.foreground, 30);
            self.colour(letters.background, 40);
        }
        self.out.push('m');
    }

    /// Appends a colour to an SGR sequence: `base` is 30 for letters and 40 for what is behind.
    fn colour(&mut self, colour: Color, base: u8) {
        let bright = base + 60;
        let number = match colour {
            Color::Reset => return,
            Color::Rgb(red, green, blue) => {
                return self.push(format_args!(";{};2;{red};{green};{blue}", base + 8));
            }
            Color::Indexed(index) => return self.push(format_args!(";{};5;{index}", base + 8)),
            Color::Black => base,
            Color::Red => base + 1,
            Color::Green => base + 2,
            Color::Yellow => base + 3,
            Color::Blue => base + 4,
            Color::Magenta => base + 5,
            Color::Cyan => base + 6,
            Color::Gray => base + 7,
            Color::DarkGray => bright,
            Color::LightRed => bright + 1,
            Color::LightGreen => bright + 2,
            Color::LightYellow => bright + 3,
            Color::LightBlue => bright + 4,
            Color::LightMagenta => bright + 5,
            Color::LightCyan => bright + 6,
            Color::White => bright + 7,
        };
        self.push(format_args!(";{number}"));
    }
}

impl Backend for ByteBackend {
    type Error = Infallible;

    fn draw<'a, I>(&mut self, content: I) -> Result<(), Infallible>
    where
        I: Iterator<Item = (u16, u16, &'a Cell)>,
    {
        let mut letters = USUAL;
        for (x, y, cell) in content {
            self.go_to(Position { x, y });
            let wanted =
                Letters { foreground: cell.fg, background: cell.bg, modifier: cell.modifier };
            if wanted != letters {
                self.set_letters(wanted);
                letters = wanted;
            }
            self.out.push_str(cell.symbol());
            let is_simple = cell.symbol().len() == 1 && x + 1 < self.size.columns;
            // Where another cell ends is the terminal's to say: the next one is gone to.
            self.cursor = if is_simple { Position { x: x + 1, y } } else { UNKNOWN };
        }
        if letters != USUAL {
            self.out.push_str("\x1b[0m");
        }
        Ok(())
    }

    fn hide_cursor(&mut self) -> Result<(), Infallible> {
        self.out.push_str("\x1b[?25l");
        Ok(())
    }

    fn show_cursor(&mut self) -> Result<(), Infallible> {
        self.out.push_str("\x1b[?25h");
        Ok(())
    }

    fn get_cursor_position(&mut self) -> Result<Position, Infallible> {
        Ok(if self.cursor == UNKNOWN { Position::ORIGIN } else { self.cursor })
    }

    fn set_cursor_position<P: Into<Position>>(&mut self, position: P) -> Result<(), Infallible> {
        self.cursor = UNKNOWN; // others may have moved it
        self.go_to(position.into());
        Ok(())
    }

    fn clear(&mut self) -> Result<(), Infallible> {
        self.clear_region(ClearType::All)
    }

    fn clear_region(&mut self, part: ClearType) -> Result<(), Infallible> {
        if part == ClearType::All {
            self.cursor = Position::ORIGIN; // said, for clearing moves no cursor
        }
        self.out.push_str(match part {
            ClearType::All => "\x1b[2J\x1b[H",
            ClearType::AfterCursor => "\x1b[J",
            ClearType::BeforeCursor => "\x1b[1J",
            ClearType::CurrentLine => "\x1b[2K",
            ClearType::UntilNewLine => "\x1b[K",
        });
        Ok(())
    }

    fn size(&self) -> Result<Area, Infallible> {
        Ok(Area::new(self.size.columns, self.size.rows))
    }

    fn window_size(&mut self) -> Result<WindowSize, Infallible> {
        Ok(WindowSize { columns_rows: self.size()?, pixels: Area::ZERO })
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

/// No cell: the next one is gone to, wherever it is.
const UNKNOWN: Position = Position { x: u16::MAX, y: u16::MAX };

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::style::{Style, Stylize};
    use ratatui::text::Line;

    use super::*;

    fn screen(is_plain: bool) -> Terminal<ByteBackend> {
        Terminal::new(ByteBackend::new(Size { columns: 10, rows: 3 }, is_plain)).unwrap()
    }

    fn drawn(screen: &mut Terminal<ByteBackend>, line: &Line) -> String {
        screen
            .draw(|frame| {
                frame.render_widget(line, frame.area());
                frame.set_cursor_position((2, 2));
            })
            .unwrap();
        screen.backend_mut().take()
    }

    #[test]
    fn what_differs_is_drawn_with_its_letters_and_the_cursor_goes_to_its_place() {
        let mut screen = screen(false);
        let line = Line::from(vec!["ab".red(), "日".bold(), "c".into()]);
        assert_eq!(
            drawn(&mut screen, &line),
            "\x1b[0;31mab\x1b[0;1m日\x1b[1;5H\x1b[0mc\x1b[?25h\x1b[3;3H"
        );
        let line = Line::from(vec!["ab".red(), "日".bold(), "d".into()]);
        assert_eq!(drawn(&mut screen, &line), "\x1b[1;5Hd\x1b[?25h\x1b[3;3H");
    }

    #[test]
    fn without_colours_the_other_differences_stay() {
        let line = Line::styled("ab", Style::new().red().on_light_blue().reversed());
        let plain = drawn(&mut screen(true), &line);
        assert!(plain.starts_with("\x1b[0;7mab "), "{plain:?}");
        let colours = drawn(&mut screen(false), &line);
        assert!(colours.contains("\x1b[0;7;31;104mab"), "{colours:?}");
    }
}
