//! The interface to what a relay's own store has of letters from before the relay joined a cluster.
//!
//! `cluster/moving.rs` brings it into the engine. Nothing is deleted here before the engine has it.

use super::store::QueueFull;
use crate::cluster::moving::{FileBox, FileKeys};

/// A store that may have letters from before.
pub trait MoveStore {
    /// Asks to delete what was moved, and for what is to be moved next. It is answered once.
    fn ask_move(&mut self, ask: MoveAsk) -> Result<(), QueueFull>;

    /// The answer, when it has come. An error is a disk that fails: nothing was deleted then.
    fn next_move_answer(&mut self) -> Option<MoveAnswer>;
}

/// The steps of a move, each through the whole file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MoveStep {
    /// Which boxes have letters here: they are to be closed for others.
    Boxes,
    /// Letter keys, and who wrote to whom.
    Keys,
    /// The letters, box by box, each in the order in which they came.
    Letters,
}

/// How far a step has come: what follows comes next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MovePlace {
    /// The number of a user.
    pub user: u64,
    /// Of the letters in its box, the number of one.
    pub letter: u64,
}

/// What the engine has now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Moved {
    /// Numbers of letters.
    pub letters: Vec<u64>,
    /// Numbers of users, whose keys.
    pub keys: Vec<u64>,
}

/// A question of a move.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MoveAsk {
    /// What is to be deleted first.
    pub moved: Moved,
    /// What comes next of this step.
    pub step: MoveStep,
    /// And behind this.
    pub after: MovePlace,
}

/// The answer to a [`MoveAsk`], or why there is none.
pub type MoveAnswer = Result<MoveBatch, String>;

/// What is to be moved next; if it is empty, the step is over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MoveBatch {
    /// What tells this file from those of other relays.
    pub file: String,
    /// Of the steps about boxes, each with the number of its user.
    pub boxes: Vec<(u64, FileBox)>,
    /// Of the step about keys, in the same way.
    pub keys: Vec<(u64, FileKeys)>,
    /// Where the next batch begins.
    pub next: MovePlace,
}

impl MoveBatch {
    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.boxes.is_empty() && self.keys.is_empty()
    }
}
