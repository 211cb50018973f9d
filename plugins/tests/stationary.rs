//! Users who change with what they consume: laws that behaviour, stationary profiles, derivatives and searches obey.

#[path = "stationary/behaviour.rs"]
mod behaviour;
#[path = "stationary/by_hand.rs"]
mod by_hand;
#[path = "stationary/derivatives.rs"]
mod derivatives;
#[path = "stationary/draws.rs"]
mod draws;
#[path = "stationary/means.rs"]
mod means;
#[path = "stationary/refusals.rs"]
mod refusals;
#[path = "stationary/searches.rs"]
mod searches;
#[path = "stationary/world.rs"]
mod world;
