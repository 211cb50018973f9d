//! Learning from pairs: single steps against what they should be, attacks on fitted models, and the recommenders.

#[path = "pairwise/attack.rs"]
mod attack;
#[path = "pairwise/by_hand.rs"]
mod by_hand;
#[path = "pairwise/fair.rs"]
mod fair;
#[path = "pairwise/learning.rs"]
mod learning;
#[path = "pairwise/ranks.rs"]
mod ranks;
#[path = "pairwise/steps.rs"]
mod steps;
#[path = "pairwise/world.rs"]
mod world;
