//! What a terminal sends, and the line that it writes: keys and pastes have one reading however
//! they are cut, and nothing that was pasted is a command.

use sealwax::screen::limits::MAX_PASTE;
use sealwax::screen::{Edit, Editor, Key, Keys, Press, Typed, width};

/// The longest line, in bytes: few, so that it is full soon.
const MOST: usize = 64;

/// The first byte is the width of the window, the second how the rest is cut, which is what the
/// terminal sends.
pub fn keys(input: &[u8]) {
    let [columns, cut, bytes @ ..] = input else { return };
    let typed = read(bytes, [bytes.len().max(1); 2]);
    let pieces = [1 + usize::from(cut >> 4), 1 + usize::from(cut & 15)];
    for pieces in [pieces, [1, 1]] {
        assert_eq!(read(bytes, pieces), typed, "in pieces of {pieces:?}");
    }
    assert!(typed.len() <= bytes.len() + 1, "a key has at least a byte");
    edit(&typed, usize::from(*columns));
}

/// What was typed, by a parser that gets these pieces in turn.
fn read(bytes: &[u8], pieces: [usize; 2]) -> Vec<Typed> {
    let (mut keys, mut typed, mut rest) = (Keys::default(), Vec::new(), bytes);
    for piece in pieces.into_iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (now, later) = rest.split_at(piece.min(rest.len()));
        keys.take(now, &mut |it| typed.push(it));
        rest = later;
    }
    keys.flush(&mut |it| typed.push(it));
    assert_eq!(keys.wait(), None, "nothing is waited for any more");
    typed
}

/// Edits a line with what was typed.
fn edit(typed: &[Typed], columns: usize) {
    let mut editor = Editor::new(MOST);
    let mut has_typed_sign = false;
    for it in typed {
        let edit = match it {
            Typed::Press(press) => {
                has_typed_sign |= matches!(press.key, Key::Char('/' | '@'));
                editor.press(*press)
            }
            Typed::Paste { text, is_cut } => {
                // Three bytes stand for one that is no UTF-8.
                assert!(text.len() <= 3 * MAX_PASTE, "a paste of {} bytes", text.len());
                assert!(!*is_cut || text.len() + 3 > MAX_PASTE, "cut at {} bytes", text.len());
                editor.paste(text)
            }
        };
        match edit {
            Edit::Entered { text, is_literal } => {
                let is_command = !is_literal && text.starts_with(['/', '@']);
                assert!(!is_command || has_typed_sign, "pasted, and a command: {text:?}");
                if text.len() % 3 == 0 {
                    editor.take_back();
                    assert_eq!((editor.text(), editor.is_literal()), (&*text, is_literal));
                }
            }
            Edit::Complete => {
                editor.complete(|word, _| {
                    let all = ["alice", "alina", "bob"].into_iter();
                    all.filter(|name| name.starts_with(word)).map(str::to_owned).collect()
                });
            }
            Edit::Changed | Edit::End | Edit::Full(_) | Edit::Unknown => {}
        }
        check(&editor, columns);
    }
    // What is remembered for the next start was typed.
    let mut kept = editor.history();
    assert!(has_typed_sign || !kept.any(|line| line.starts_with(['/', '@'])));
    drop(kept);
    editor.press(Press::plain(Key::Enter));
}

/// The line fits, and so does what is shown of it, without anything that steers a terminal.
fn check(editor: &Editor, columns: usize) {
    assert!(editor.text().len() <= MOST, "{} bytes", editor.text().len());
    let view = editor.view(columns);
    let (before, after) = (&view.before, &view.after);
    assert!(width(before) + width(after) <= columns, "{view:?} in {columns} columns");
    assert!(!before.contains(char::is_control) && !after.contains(char::is_control), "{view:?}");
}
