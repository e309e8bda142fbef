//! Where slices stand: their order, their distances, what is missing between them. Works on positions and
//! orientations (PS3.3 section C.7.6.2);
//! knows no pixels and writes no sentences.

/// Slices closer than this stand at the same place, in mm.
pub const SAME_PLACE_MM: f64 = 0.01;
/// Distances that differ by less than this are equal, in mm: positions are written with two decimals by some scanners.
pub const SPACING_TOLERANCE_MM: f64 = 0.05;
/// Distances that differ by less than this share of themselves are equal.
const SPACING_TOLERANCE_SHARE: f64 = 0.02;
/// A gap counts as whole missing slices when it is this close to a multiple of the distance, in shares of the distance.
const GAP_TOLERANCE_SHARE: f64 = 0.1;
/// Direction cosines that differ by less than this are equal: half a degree.
const COSINE_TOLERANCE: f64 = 0.009;
/// A plane is axial, coronal or sagittal when its normal is within this angle of an axis, in degrees; gantries tilt by up to 30.
const PLANE_DEGREES: f64 = 31.0;
/// Slices that stand off the line of their neighbours by more than this are displaced, in mm.
const DRIFT_TOLERANCE_MM: f64 = 1.0;

/// What is known of one slice.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Slice {
    /// Which, for the caller: a place in its own list.
    pub index: usize,
    /// (0020,0032): x, y, z in mm.
    pub position: Option<[f64; 3]>,
    /// (0020,0037): row then column direction cosines.
    pub orientation: Option<[f64; 6]>,
}

/// The slices of a series by direction.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Arrangement {
    /// Slices of one direction each, the largest stack first.
    pub stacks: Vec<Stack>,
    /// Slices without position or orientation, in the order given.
    pub loose: Vec<usize>,
}

/// Slices of one direction, in the order of their places along the normal.
#[derive(Debug, Clone, PartialEq)]
pub struct Stack {
    /// How the slices lie.
    pub plane: Plane,
    /// The normal of the slices: row direction times column direction.
    pub normal: [f64; 3],
    /// The slices, in the order of place; of one place, in the order given.
    pub slices: Vec<usize>,
    /// Runs of equal distance along the stack, in order. Empty when all slices stand at one place.
    pub blocks: Vec<Block>,
    /// Gaps where whole slices are missing.
    pub gaps: Vec<Gap>,
    /// Places that stand off the line of their neighbours, counted from 1 in the order of place.
    pub displaced: Vec<usize>,
    /// How many different places there are.
    pub places: usize,
    /// The angle between the normal and the line along which the slices stand, in degrees: the tilt of the gantry,
    /// if the table moved straight.
    pub tilt_degrees: f64,
}

/// Slices at equal distances.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Block {
    /// The first place, from 1.
    pub first: usize,
    /// The last place.
    pub last: usize,
    /// The distance between slices along the normal, in mm.
    pub spacing: f64,
}

/// Missing slices.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Gap {
    /// After which place, from 1.
    pub after: usize,
    /// How many slices are missing.
    pub missing: usize,
    /// How wide it is, in mm.
    pub width: f64,
}

/// How slices lie in the patient.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plane {
    /// Across the long axis of the body.
    Axial,
    /// Front and back apart.
    Coronal,
    /// Left and right apart.
    Sagittal,
    /// None of them.
    Oblique,
}

impl Plane {
    /// The word in a sentence.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Axial => "axial",
            Self::Coronal => "coronal",
            Self::Sagittal => "sagittal",
            Self::Oblique => "oblique",
        }
    }

    /// The plane of a normal of length 1.
    #[must_use]
    pub fn of_normal(normal: [f64; 3]) -> Self {
        let near = PLANE_DEGREES.to_radians().cos();
        match normal.map(f64::abs) {
            [_, _, z] if z >= near => Self::Axial,
            [_, y, _] if y >= near => Self::Coronal,
            [x, _, _] if x >= near => Self::Sagittal,
            _ => Self::Oblique,
        }
    }
}

impl Stack {
    /// Whether every distance is the same.
    #[must_use]
    pub fn is_even(&self) -> bool {
        let whole = |block: &Block| block.first == 1 && block.last == self.places;
        self.gaps.is_empty()
            && self.displaced.is_empty()
            && (self.places == 1 || self.blocks.iter().any(whole))
    }

    /// Whether several slices stand at one place (a perfusion, a bolus timing, phases).
    #[must_use]
    pub fn repeats(&self) -> bool {
        self.places < self.slices.len()
    }

    /// The distance of the longest block, in mm.
    #[must_use]
    pub fn spacing(&self) -> Option<f64> {
        let longest = self.blocks.iter().max_by_key(|block| block.last - block.first);
        longest.map(|block| block.spacing)
    }
}

impl Stack {
    /// The same stack counted from its other end.
    #[must_use]
    pub fn reversed(mut self) -> Self {
        let other = |place: usize| self.places + 1 - place;
        self.slices.reverse();
        self.blocks.reverse();
        for block in &mut self.blocks {
            (block.first, block.last) = (other(block.last), other(block.first));
        }
        self.gaps.reverse();
        for gap in &mut self.gaps {
            gap.after = other(gap.after + 1);
        }
        // A step is off between two places: counted from the other end it is the other one that comes second.
        self.displaced = self.displaced.iter().rev().map(|place| other(place - 1)).collect();
        self
    }
}

/// Puts slices in order.
#[must_use]
pub fn arrange(slices: &[Slice]) -> Arrangement {
    let mut arrangement = Arrangement::default();
    let mut groups: Vec<(Vec3, [f64; 6], Vec<Placed>)> = Vec::new();
    for slice in slices {
        let Some((position, orientation, normal)) = place(slice) else {
            arrangement.loose.push(slice.index);
            continue;
        };
        let alike =
            |other: &[f64; 6]| other.iter().zip(&orientation).all(|(a, b)| (a - b).abs() < COSINE_TOLERANCE);
        let placed = Placed { index: slice.index, position };
        match groups.iter_mut().find(|(_, other, _)| alike(other)) {
            Some((_, _, members)) => members.push(placed),
            None => groups.push((normal, orientation, vec![placed])),
        }
    }
    arrangement.stacks = groups.into_iter().map(|(normal, _, members)| stack(normal, members)).collect();
    arrangement.stacks.sort_by_key(|stack| std::cmp::Reverse(stack.slices.len()));
    arrangement
}

type Vec3 = [f64; 3];

struct Placed {
    index: usize,
    position: Vec3,
}

fn dot(a: Vec3, b: Vec3) -> f64 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

fn minus(a: Vec3, b: Vec3) -> Vec3 {
    [a[0] - b[0], a[1] - b[1], a[2] - b[2]]
}

fn length(a: Vec3) -> f64 {
    dot(a, a).sqrt()
}

fn scaled(a: Vec3, by: f64) -> Vec3 {
    a.map(|part| part * by)
}

/// Position, orientation and normal of a slice; `None` when they are missing or make no plane.
fn place(slice: &Slice) -> Option<(Vec3, [f64; 6], Vec3)> {
    let (position, orientation) = (slice.position?, slice.orientation?);
    let [a, b, c, d, e, f] = orientation;
    let normal = [b * f - c * e, c * d - a * f, a * e - b * d];
    let size = length(normal);
    let finite = position.iter().chain(&orientation).all(|number| number.is_finite());
    (finite && (0.9..1.1).contains(&size)).then(|| (position, orientation, scaled(normal, 1.0 / size)))
}

fn stack(normal: Vec3, mut members: Vec<Placed>) -> Stack {
    members.sort_by(|a, b| dot(a.position, normal).total_cmp(&dot(b.position, normal)));
    let mut places: Vec<Vec3> = Vec::new();
    for member in &members {
        let apart = |last: &Vec3| dot(minus(member.position, *last), normal).abs() > SAME_PLACE_MM;
        if places.last().is_none_or(apart) {
            places.push(member.position);
        }
    }
    let steps: Vec<Vec3> = places.windows(2).map(|pair| minus(pair[1], pair[0])).collect();
    let distances: Vec<f64> = steps.iter().map(|step| dot(*step, normal)).collect();
    let (blocks, gaps) = divide(&distances);
    Stack {
        plane: Plane::of_normal(normal),
        normal,
        slices: members.iter().map(|member| member.index).collect(),
        blocks,
        gaps,
        displaced: displaced(normal, &steps, &distances),
        places: places.len(),
        tilt_degrees: tilt(normal, &places),
    }
}

/// The angle between the normal and the line from the first place to the last.
fn tilt(normal: Vec3, places: &[Vec3]) -> f64 {
    let (Some(first), Some(last)) = (places.first(), places.last()) else { return 0.0 };
    let line = minus(*last, *first);
    let size = length(line);
    if size < SAME_PLACE_MM { 0.0 } else { (dot(line, normal) / size).clamp(-1.0, 1.0).acos().to_degrees() }
}

fn equal(a: f64, b: f64) -> bool {
    (a - b).abs() <= SPACING_TOLERANCE_MM.max(SPACING_TOLERANCE_SHARE * a.abs().min(b.abs()))
}

/// Divides distances between neighbours into runs of equal ones. A lone distance that is a multiple of a
/// neighbouring run's is a gap within it;
/// another lone distance parts two blocks.
fn divide(distances: &[f64]) -> (Vec<Block>, Vec<Gap>) {
    let mut runs: Vec<(usize, usize, f64)> = Vec::new();
    for (at, distance) in distances.iter().enumerate() {
        match runs.last_mut() {
            Some((_, until, spacing)) if equal(*distance, *spacing) => *until = at + 1,
            Some(_) | None => runs.push((at, at + 1, *distance)),
        }
    }
    if runs.len() == 1 {
        let (first, until, spacing) = runs[0];
        return (vec![Block { first: first + 1, last: until + 1, spacing }], Vec::new());
    }
    // The distance that the most neighbours have is what a lone one is measured by, where its own neighbours say nothing.
    let longer = |a: &&(usize, usize, f64), b: &&(usize, usize, f64)| {
        (a.1 - a.0).cmp(&(b.1 - b.0)).then(b.2.total_cmp(&a.2))
    };
    let usual = runs.iter().max_by(longer).map_or(0.0, |run| run.2);
    let mut gaps = Vec::new();
    let mut blocks: Vec<Block> = Vec::new();
    let mut bridged = false;
    for (index, &(first, until, spacing)) in runs.iter().enumerate() {
        let beside =
            [index.checked_sub(1), Some(index + 1)].into_iter().flatten().filter_map(|i| runs.get(i));
        let base = beside.filter(|run| run.1 - run.0 > 1).map(|run| run.2).fold(usual, f64::min);
        if until - first == 1 {
            if let Some(missing) = missing(spacing, base) {
                gaps.push(Gap { after: first + 1, missing, width: spacing });
                bridged = true;
                continue;
            }
            let parts = !equal(spacing, usual);
            if parts {
                bridged = false;
                continue;
            }
        }
        match blocks.last_mut() {
            Some(block) if bridged && equal(block.spacing, spacing) => block.last = until + 1,
            Some(_) | None => blocks.push(Block { first: first + 1, last: until + 1, spacing }),
        }
        bridged = false;
    }
    (blocks, gaps)
}

/// How many slices are missing in a distance, if it is a multiple of the base.
fn missing(distance: f64, base: f64) -> Option<usize> {
    if base <= SAME_PLACE_MM {
        return None;
    }
    let times = (distance / base).round();
    let off = (distance - times * base).abs();
    // At most as many as a body is long, so that a wild position is no number of slices.
    ((2.0..=2_000.0).contains(&times) && off <= GAP_TOLERANCE_SHARE * base).then(|| times as usize - 1)
}

/// Places whose step from the one before leaves the line of the stack: the drift within the plane, per mm along the
/// normal, is not the usual one.
fn displaced(normal: Vec3, steps: &[Vec3], distances: &[f64]) -> Vec<usize> {
    let drift = |step: &Vec3, distance: f64| minus(*step, scaled(normal, distance));
    let shears: Vec<Vec3> = steps
        .iter()
        .zip(distances)
        .map(|(step, distance)| scaled(drift(step, *distance), 1.0 / distance))
        .collect();
    let usual = [0, 1, 2].map(|axis| {
        let mut parts: Vec<f64> = shears.iter().map(|shear| shear[axis]).collect();
        parts.sort_by(f64::total_cmp);
        parts.get(parts.len() / 2).copied().unwrap_or(0.0)
    });
    let off = |(step, distance): (&Vec3, &f64)| {
        length(minus(drift(step, *distance), scaled(usual, *distance))) > DRIFT_TOLERANCE_MM
    };
    let found = steps.iter().zip(distances).enumerate().filter(|(_, pair)| off(*pair));
    found.map(|(index, _)| index + 2).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const AXIAL: [f64; 6] = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0];

    fn axial(places: &[f64]) -> Stack {
        let slice = |(index, z): (usize, &f64)| Slice {
            index,
            position: Some([0.0, 0.0, *z]),
            orientation: Some(AXIAL),
        };
        arrange(&places.iter().enumerate().map(slice).collect::<Vec<_>>()).stacks.remove(0)
    }

    #[test]
    fn slices_are_ordered_along_the_normal() {
        let stack = axial(&[30.0, 10.0, 20.0]);
        assert_eq!(stack.slices, [1, 2, 0]);
        assert!(stack.is_even() && !stack.repeats());
        assert_eq!(stack.blocks, [Block { first: 1, last: 3, spacing: 10.0 }]);
        assert_eq!((stack.plane, stack.spacing()), (Plane::Axial, Some(10.0)));
    }

    #[test]
    fn missing_slices_are_counted() {
        let stack = axial(&[0.0, 5.0, 10.0, 25.0, 30.0, 35.0]);
        assert_eq!(stack.gaps, [Gap { after: 3, missing: 2, width: 15.0 }]);
        assert_eq!(stack.blocks, [Block { first: 1, last: 6, spacing: 5.0 }]);
        assert!(!stack.is_even());
        let stack = axial(&[0.0, 10.0, 15.0, 20.0, 25.0, 35.0]);
        assert_eq!(
            stack.gaps.iter().map(|gap| (gap.after, gap.missing)).collect::<Vec<_>>(),
            [(1, 1), (5, 1)]
        );
        let turned = axial(&[0.0, 10.0, 15.0, 20.0, 25.0]).reversed();
        assert_eq!(turned.gaps, [Gap { after: 4, missing: 1, width: 10.0 }]);
        assert_eq!(turned.slices, [4, 3, 2, 1, 0]);
        let odd = axial(&[0.0, 5.0, 12.3, 21.4]);
        assert!(!odd.is_even() && odd.gaps.is_empty(), "{odd:?}");
        assert_eq!(axial(&[0.0, 5.0, 15.0]).gaps, [Gap { after: 2, missing: 1, width: 10.0 }]);
        // Rounded positions are no gaps.
        assert!(axial(&[0.0, 1.25, 2.5, 3.76, 5.0, 6.25]).is_even());
    }

    #[test]
    fn blocks_of_other_distances_are_told_apart() {
        let mut places: Vec<f64> = (0..14).map(|n| f64::from(n) * 4.0).collect();
        places.extend((0..14).map(|n| 53.08 + f64::from(n) * 7.0));
        let stack = axial(&places);
        assert_eq!(stack.gaps, []);
        let shape: Vec<_> = stack.blocks.iter().map(|block| (block.first, block.last)).collect();
        assert_eq!(shape, [(1, 14), (15, 28)]);
        // Even when the next block's distance is a multiple of the first's.
        let stack = axial(&[0.0, 5.0, 10.0, 15.0, 25.0, 35.0, 45.0]);
        assert_eq!(stack.gaps, []);
        assert_eq!(stack.blocks.len(), 2);
    }

    #[test]
    fn a_tilted_gantry_is_even_and_a_shift_is_not() {
        let tilted = [1.0, 0.0, 0.0, 0.0, 0.970_295_726_276, -0.241_921_895_599_7];
        let slice = |index: usize, y: f64| Slice {
            index,
            position: Some([0.0, y, index as f64 * 5.0]),
            orientation: Some(tilted),
        };
        let slices: Vec<Slice> = (0..6).map(|index| slice(index, 0.0)).collect();
        let stack = arrange(&slices).stacks.remove(0);
        assert!(stack.is_even(), "{stack:?}");
        assert!((stack.tilt_degrees - 14.0).abs() < 0.01, "{}", stack.tilt_degrees);
        assert!((stack.spacing().unwrap() - 4.851).abs() < 0.001);
        assert_eq!(stack.plane, Plane::Axial);

        let straight = |index: usize, x: f64| Slice {
            index,
            position: Some([x, 0.0, index as f64 * 5.0]),
            orientation: Some(AXIAL),
        };
        let slices: Vec<Slice> =
            (0..6).map(|index| straight(index, if index < 3 { 0.0 } else { 8.0 })).collect();
        let stack = arrange(&slices).stacks.remove(0);
        assert_eq!(stack.displaced, [4]);
        assert_eq!(stack.reversed().displaced, [4]);
    }

    #[test]
    fn directions_are_told_apart_and_lost_slices_are_kept() {
        let slice =
            |index, orientation| Slice { index, position: Some([0.0, 0.0, index as f64]), orientation };
        let arrangement = arrange(&[
            slice(0, Some([0.0, 1.0, 0.0, 0.0, 0.0, -1.0])),
            slice(1, Some(AXIAL)),
            slice(2, Some(AXIAL)),
            slice(3, None),
            slice(4, Some([1.0, 0.0, 0.0, 0.0, 0.0, -1.0])),
            slice(5, Some([0.0; 6])),
        ]);
        let planes: Vec<_> =
            arrangement.stacks.iter().map(|stack| (stack.plane, stack.slices.len())).collect();
        assert_eq!(planes, [(Plane::Axial, 2), (Plane::Sagittal, 1), (Plane::Coronal, 1)]);
        assert_eq!(arrangement.loose, [3, 5]);
        assert_eq!(Plane::of_normal([0.6, 0.57, 0.56]), Plane::Oblique);
    }

    #[test]
    fn one_place_many_times_is_no_volume() {
        let stack = axial(&[61.5, 61.5, 61.5, 61.5]);
        assert_eq!((stack.places, stack.blocks.len(), stack.repeats()), (1, 0, true));
        assert_eq!(stack.spacing(), None);
        let phases = axial(&[0.0, 5.0, 10.0, 0.0, 5.0, 10.0]);
        assert!(phases.repeats() && phases.is_even());
        assert_eq!(phases.slices, [0, 3, 1, 4, 2, 5]);
    }
}
