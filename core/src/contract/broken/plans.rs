//! Policies that state what they do as distributions over sets, and their flaws.

use super::failed;
use super::policies::Draws;
use crate::contract::{Stop, policy_with};
use crate::*;

choice! {
    /// Which rule is broken.
    enum Flaw {
        /// No rule.
        None = "none",
        /// A user too few.
        Few = "few",
        /// A probability of two.
        Heavy = "heavy",
        /// May show what the user has seen.
        Seen = "seen",
        /// Sets of one item less.
        Short = "short",
        /// One item more where there may be fewer.
        Long = "long",
        /// Sets of one item less or more, as many on average.
        Uneven = "uneven",
        /// Items that enter independently, as often as they are shown, where every set has one size.
        Vague = "vague",
        /// Other sets than those that are acted by.
        Other = "other",
        /// States the same in another way for the first user of a batch.
        Place = "place",
        /// States the same in another way on one thread.
        Threads = "threads",
        /// Knows no rule for sizes but one, and says so in its own way.
        Strict = "strict",
    }
}

plugin! {
    /// Uniform slates of unseen items that are stated as such: sound, but for one flaw.
    struct Stated: Policy = "stated" {
        /// Which rule is broken.
        flaw: Flaw = Flaw::None;
    }
}

impl Policy for Stated {
    fn prepare<'a>(&self, world: World<'a>, run: &Run) -> Result<Box<dyn Acting + 'a>> {
        run.check()?;
        Ok(Box::new(States { flaw: self.flaw, draws: Draws::sound(world) }))
    }
}

struct States<'a> {
    flaw: Flaw,
    draws: Draws<'a>,
}

/// All sets of `size` of the `items`.
fn sets(items: &[u32], size: usize) -> Vec<Vec<u32>> {
    let ways = 0..1u32 << items.len();
    let of = |way: u32| (0..items.len()).filter(|at| way >> at & 1 == 1).map(|at| items[at]).collect();
    ways.filter(|way| way.count_ones() as usize == size).map(of).collect()
}

/// All sets of those sizes, each size as likely as another.
fn listed(items: &[u32], sizes: &[usize]) -> Lottery {
    let lists: Vec<_> = sizes.iter().map(|&size| sets(items, size)).collect();
    let weights = lists.iter().flat_map(|list| vec![1.0 / (list.len() * sizes.len()) as f64; list.len()]).collect();
    Lottery::Sets { sets: lists.concat(), weights }
}

impl States<'_> {
    fn lottery(&self, place: usize, user: u32, Cardinality { size, rule }: Cardinality, run: &Run) -> Lottery {
        let items = self.draws.left(user);
        match self.flaw {
            Flaw::Heavy => Lottery::Sets { sets: vec![items[..size].to_vec()], weights: vec![2.0] },
            Flaw::Seen => Lottery::Uniform { items: (0..self.draws.items()).collect(), size },
            Flaw::Short => Lottery::Uniform { items, size: size - 1 },
            Flaw::Long if rule == SizeRule::AtMost && items.len() > size => Lottery::Uniform { items, size: size + 1 },
            Flaw::Uneven if items.len() > size => listed(&items, &[size - 1, size + 1]),
            Flaw::Vague => Lottery::Independent { chances: vec![size as f64 / items.len() as f64; items.len()], items },
            Flaw::Other => Lottery::certain(items[..size].to_vec()),
            Flaw::Place if place == 0 => listed(&items, &[size]),
            Flaw::Threads if run.threads() == 1 => listed(&items, &[size]),
            _ => Lottery::Uniform { items, size },
        }
    }
}

impl Acting for States<'_> {
    fn act(&self, users: &[u32], size: usize, run: &Run) -> Result<Slates> {
        self.draws.act(users, size, run)
    }

    fn propensities(&self, users: &[u32], slates: &Slates, run: &Run) -> Result<Propensities> {
        self.draws.propensities(users, slates, run)
    }

    fn plans(&self, users: &[u32], cardinality: Cardinality, run: &Run) -> Result<Vec<Plan>> {
        self.draws.check(users, cardinality.size)?;
        match cardinality.rule {
            SizeRule::Independent if self.flaw == Flaw::Strict => return Err(Error::Unusable("no such sets".into())),
            SizeRule::Independent => {
                return Err(Error::Unsupported { plugin: "stated".into(), operation: "independent items" });
            }
            SizeRule::Exactly | SizeRule::AtMost => {}
        }
        let plan = |(place, &user)| Plan { lottery: self.lottery(place, user, cardinality, run), certificate: None };
        let mut plans: Vec<Plan> = users.iter().enumerate().map(plan).collect();
        if self.flaw == Flaw::Few {
            plans.pop();
        }
        Ok(plans)
    }
}

#[test]
fn each_flaw_of_a_plan_fails_its_check() {
    let descriptor = Descriptor::<dyn Policy>::of::<Stated>();
    let sound = policy_with(&descriptor, &serde_json::json!({}));
    assert!(failed(&sound).is_empty() && sound.iter().any(|o| o.check == "plans" && o.result.is_ok()));
    for (flaw, reason) in [
        ("few", "99 plans for 100 users"),
        ("heavy", "probability in a lottery: expected 0 to 1, got 2"),
        ("seen", "may be shown item 7, which is seen"),
        ("short", "is shown 2 items under"),
        ("long", "is shown 4 items under"),
        ("uneven", "Some([0, 1]) under"),
        ("vague", "items that enter independently under"),
        ("other", "is shown item 0 with probability"),
        ("place", "other plans in another batch"),
        ("threads", "other plans when prepared anew on one thread"),
        ("strict", "no such sets"),
    ] {
        let outcomes = policy_with(&descriptor, &serde_json::json!({ "flaw": flaw }));
        assert_eq!(failed(&outcomes), ["plans"], "{flaw}");
        let plans = outcomes.iter().find(|o| o.check == "plans").unwrap();
        let Err(Stop::Failed(said)) = &plans.result else { panic!("{flaw}") };
        assert!(said.contains(reason), "{flaw}: {said}");
    }
}
