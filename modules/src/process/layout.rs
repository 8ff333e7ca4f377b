//! Where the states and arrows of a drawing go: a layered layout after Sugiyama, Tagawa and Toda (1981).
//!
//! It owns geometry alone, in whole numbers, so that one definition gives one drawing on every machine. States stand in
//! layers by the longest way from creation, with layers for labels between them. An arrow that passes a layer has its
//! own place in it, so that it crosses neither states nor labels. The longest way is one straight line, and arrows back
//! run up at the right.

use std::cmp::Reverse;

/// Places are computed in parts of a pixel, so that rounding does not bend what should be straight.
const FINE: i64 = 256;
/// Between the things of a layer.
const GAP: i64 = 20;
/// Between the ends of arrows at a box.
const PORT: i64 = 18;
/// How much wider a drawing may become for one crossing less.
const CROSSING: i64 = 250;
/// The straight part that ends an arrow, below the curves between layers.
const STRAIGHT: i64 = 10;
/// From the corners of a box to the ends of arrows.
const CORNER: i64 = 14;

/// A width and a height, in pixels.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Size {
    pub(super) w: i64,
    pub(super) h: i64,
}

/// A place, in pixels.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Point {
    pub(super) x: i64,
    pub(super) y: i64,
}

/// An arrow from one box to another, and the size of the label at its right.
#[derive(Debug)]
pub(super) struct Arrow {
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) label: Size,
}

/// What is where.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) size: Size,
    /// The centers of the boxes.
    pub(super) boxes: Vec<Point>,
    /// The path of every arrow as SVG writes it, and the place on it that has the label at its right.
    pub(super) routes: Vec<(String, Point)>,
}

/// What has a place in a layer: a box, or an arrow that passes.
struct Item {
    layer: usize,
    left: i64,
    right: i64,
    h: i64,
    /// In parts of a pixel.
    x: i64,
    spine: bool,
    /// The items above and below that it is linked with, and how much each link would be straight.
    links: [Vec<(usize, i64)>; 2],
}

impl Item {
    fn new(layer: usize, left: i64, right: i64, h: i64, spine: bool) -> Self {
        Self { layer, left, right, h, x: 0, spine, links: [Vec::new(), Vec::new()] }
    }

    fn px(&self) -> i64 {
        (self.x + FINE / 2).div_euclid(FINE)
    }
}

/// Lays boxes out. Arrows begin at the first one, and every other one can be reached from it.
pub(super) fn layout(boxes: &[Size], arrows: &[Arrow]) -> Layout {
    let back = backward(boxes.len(), arrows);
    let forward = || arrows.iter().zip(&back).filter(|(_, back)| !**back).map(|(arrow, _)| arrow);
    let mut ranks = vec![0; boxes.len()];
    for _ in boxes {
        forward().for_each(|arrow| ranks[arrow.to] = ranks[arrow.to].max(ranks[arrow.from] + 1));
    }
    // The spine is a longest way, from its end up.
    let mut spine: Vec<usize> = (0..boxes.len()).max_by_key(|i| (ranks[*i], Reverse(*i))).into_iter().collect();
    let longest = |to: usize| forward().find(|a| a.to == to && ranks[a.from] + 1 == ranks[to]).map(|a| a.from);
    while let Some(above) = spine.last().and_then(|top| longest(*top)) {
        spine.push(above);
    }
    let item = |(i, size): (usize, &Size)| Item::new(ranks[i] * 2, size.w / 2, size.w / 2, size.h, spine.contains(&i));
    let mut items: Vec<Item> = boxes.iter().enumerate().map(item).collect();
    let mut chains = Vec::new();
    for (arrow, back) in arrows.iter().zip(&back) {
        let (top, bottom) = (ranks[arrow.from] * 2, ranks[arrow.to] * 2);
        let layers = if *back { 0..0 } else { top + 1..bottom };
        let straight = bottom == top + 2 && items[arrow.from].spine && items[arrow.to].spine;
        let mut chain = vec![arrow.from];
        for layer in layers {
            let label = if layer == top + 1 { arrow.label } else { Size::default() };
            chain.push(items.len());
            items.push(Item::new(layer, 8, label.w.max(8), label.h, straight));
        }
        chain.push(arrow.to);
        for (n, pair) in chain.windows(2).enumerate().filter(|_| !back) {
            let weight = if n == 0 || n == chain.len() - 2 { 1 } else { 60 };
            items[pair[0]].links[1].push((pair[1], weight));
            items[pair[1]].links[0].push((pair[0], weight));
        }
        chains.push(chain);
    }
    let layers = arrange(&mut items, &chains);
    route(boxes, arrows, &layers, &mut items, &chains)
}

/// Orders the layers and places what is in them: the best that a search from several beginnings finds.
fn arrange(items: &mut [Item], chains: &[Vec<usize>]) -> Vec<Vec<usize>> {
    let mut layers = vec![Vec::new(); items.iter().map(|item| item.layer + 1).max().unwrap_or(0)];
    (0..items.len()).for_each(|i| layers[items[i].layer].push(i));
    // Fewer beginnings where each takes long.
    let attempts = (0..(4000 / items.len().max(1)).clamp(2, 64)).map(|attempt| {
        layers.iter_mut().for_each(|layer| layer.sort_by_key(|i| (i + 1) * (attempt * attempt + 1) * 7919 % 211));
        let layers = order(layers.clone(), items);
        place(&layers, items, chains);
        let places: Vec<i64> = items.iter().map(|item| item.x).collect();
        let edge = |side: fn(&Item) -> i64| items.iter().map(side).max().unwrap_or(0);
        let wide = edge(|item| item.px() + item.right) + edge(|item| item.left - item.px());
        let drift = |item: &Item| item.links[1].iter().map(|(n, _)| (item.x - items[*n].x).abs()).sum::<i64>();
        let drift = items.iter().map(drift).sum::<i64>() / FINE;
        (crossings(&layers, items) * CROSSING + wide + drift / 8, layers, places)
    });
    let (_, layers, places) = attempts.min_by_key(|(cost, ..)| *cost).unwrap_or_default();
    items.iter_mut().zip(places).for_each(|(item, x)| item.x = x);
    layers
}

/// Which arrows lead back: to where a walk in depth from the first box comes from.
fn backward(boxes: usize, arrows: &[Arrow]) -> Vec<bool> {
    fn walk(at: usize, arrows: &[Arrow], seen: &mut [bool], path: &mut Vec<usize>, back: &mut [bool]) {
        seen[at] = true;
        path.push(at);
        for (i, arrow) in arrows.iter().enumerate().filter(|(_, arrow)| arrow.from == at) {
            back[i] = path.contains(&arrow.to);
            if !seen[arrow.to] {
                walk(arrow.to, arrows, seen, path, back);
            }
        }
        path.pop();
    }
    let mut back = vec![false; arrows.len()];
    walk(0, arrows, &mut vec![false; boxes], &mut Vec::new(), &mut back);
    back
}

/// Orders every layer so that few arrows cross: barycenters down and up, then swaps of neighbors.
fn order(mut layers: Vec<Vec<usize>>, items: &[Item]) -> Vec<Vec<usize>> {
    let mut best = (i64::MAX, Vec::new());
    for round in 0..8 {
        for step in 1..layers.len() {
            let (at, side) = if round % 2 == 0 { (step, 0) } else { (layers.len() - 1 - step, 1) };
            let places = places(&layers, items.len());
            layers[at].sort_by_key(|i| {
                let near = &items[*i].links[side];
                let sum: i64 = near.iter().map(|(n, _)| places[*n]).sum();
                if near.is_empty() { places[*i] } else { sum / count(near.len()) }
            });
        }
        for at in 0..layers.len() {
            let near = at.saturating_sub(1)..(at + 2).min(layers.len());
            for i in 1..layers[at].len() {
                let before = crossings(&layers[near.clone()], items);
                layers[at].swap(i - 1, i);
                if crossings(&layers[near.clone()], items) >= before {
                    layers[at].swap(i - 1, i);
                }
            }
        }
        let now = crossings(&layers, items);
        if now < best.0 {
            best = (now, layers.clone());
        }
    }
    best.1
}

/// Where every item stands in its layer, from 0 to 10,000.
fn places(layers: &[Vec<usize>], items: usize) -> Vec<i64> {
    let mut places = vec![0; items];
    for layer in layers {
        let step = 10_000 / count(layer.len()).max(1);
        layer.iter().zip(0..).for_each(|(i, n)| places[*i] = step * n + step / 2);
    }
    places
}

fn crossings(layers: &[Vec<usize>], items: &[Item]) -> i64 {
    let places = places(layers, items.len());
    let crossings = layers.iter().take(layers.len().saturating_sub(1)).map(|layer| {
        let below = |i: usize| items[i].links[1].iter().map(move |(n, _)| (i, *n));
        let links: Vec<_> = layer.iter().flat_map(|i| below(*i)).map(|(a, b)| (places[a], places[b])).collect();
        let crossed = |(a, b): &(i64, i64)| links.iter().filter(|(c, d)| a < c && b > d).count();
        links.iter().map(crossed).sum::<usize>()
    });
    count(crossings.sum())
}

/// Moves everything near to what it is linked with, but for the spine; then arrows bend as seldom as they can.
fn place(layers: &[Vec<usize>], items: &mut [Item], chains: &[Vec<usize>]) {
    for round in 0..200 {
        for step in 0..layers.len() {
            let layer = &layers[if round % 2 == 0 { step } else { layers.len() - 1 - step }];
            let mut offset = 0;
            let mut row = Vec::new();
            for (n, i) in layer.iter().enumerate() {
                if let Some(before) = n.checked_sub(1).map(|n| &items[layer[n]]) {
                    offset += (before.right + GAP + items[*i].left) * FINE;
                }
                let links = || items[*i].links.iter().flatten();
                let weight: i64 = links().map(|(_, weight)| weight).sum();
                let sum: i64 = links().map(|(n, weight)| items[*n].x * weight).sum();
                let wish = if items[*i].spine { (0, 2000) } else { (sum / weight.max(1), weight.max(1)) };
                row.push((wish.0, wish.1, offset));
            }
            let places = pack(&row);
            layer.iter().zip(places).zip(&row).for_each(|((i, x), (_, _, offset))| items[*i].x = x + offset);
        }
    }
    for chain in chains.iter().cycle().take(chains.len() * 4) {
        let mut rest = &chain[1..chain.len() - 1];
        while !rest.is_empty() {
            let mut free = (i64::MIN, i64::MAX);
            let fits = rest.iter().take_while(|i| {
                let (from, to) = room(layers, items, **i);
                free =
                    if from.max(free.0) > to.min(free.1) { return false } else { (from.max(free.0), to.min(free.1)) };
                true
            });
            let (straight, others) = rest.split_at(fits.count().max(1));
            let mean = straight.iter().map(|i| items[*i].x).sum::<i64>() / count(straight.len());
            if free.0 <= free.1 && !items[straight[0]].spine {
                straight.iter().for_each(|i| items[*i].x = mean.clamp(free.0, free.1));
            }
            rest = others;
        }
    }
}

/// Where an item may move between its neighbors.
fn room(layers: &[Vec<usize>], items: &[Item], at: usize) -> (i64, i64) {
    let layer = &layers[items[at].layer];
    let n = layer.iter().position(|i| *i == at).unwrap_or(0);
    let before = n.checked_sub(1).map(|n| &items[layer[n]]);
    let after = layer.get(n + 1).map(|i| &items[*i]);
    (
        before.map_or(i64::MIN, |i| i.x + (i.right + GAP + items[at].left) * FINE),
        after.map_or(i64::MAX, |i| i.x - (items[at].right + GAP + i.left) * FINE),
    )
}

/// Things in a row, each with where it would be, how much it matters, and its offset from the first when all stand as
/// near together as they may. Answers for each how far it moves beyond its offset so that the squares of what is
/// missing are least: pooling of adjacent violators.
fn pack(row: &[(i64, i64, i64)]) -> Vec<i64> {
    let mut pools: Vec<(i64, i64, usize)> = Vec::new();
    for (wish, weight, offset) in row {
        let mut pool = ((wish - offset) * weight, *weight, 1);
        while let Some(last) = pools.pop_if(|last| last.0 / last.1 >= pool.0 / pool.1) {
            pool = (pool.0 + last.0, pool.1 + last.1, pool.2 + last.2);
        }
        pools.push(pool);
    }
    pools.iter().flat_map(|(sum, weight, count)| std::iter::repeat_n(sum / weight, *count)).collect()
}

/// Draws the arrows through what has its place: straight through layers, curved between them.
fn route(boxes: &[Size], arrows: &[Arrow], layers: &[Vec<usize>], items: &mut [Item], chains: &[Vec<usize>]) -> Layout {
    let leftmost = items.iter().map(|item| item.px() - item.left).min().unwrap_or(0);
    items.iter_mut().for_each(|item| item.x -= leftmost * FINE);
    let mut bands = Vec::new();
    let mut y = 0;
    for (n, layer) in layers.iter().enumerate() {
        let height = layer.iter().map(|i| items[*i].h).max().unwrap_or(0) + if n % 2 == 0 { STRAIGHT } else { 0 };
        bands.push((y, y + height));
        let drift =
            layer.iter().flat_map(|i| items[*i].links[1].iter().map(|(n, _)| (items[*i].px() - items[*n].px()).abs()));
        let turns = |(arrow, chain): (&Arrow, &Vec<usize>)| {
            chain.len() == 2 && (items[arrow.from].layer == n || items[arrow.to].layer == n + 1)
        };
        let turn = if arrows.iter().zip(chains).any(turns) { 20 } else { 0 };
        y += height + 18 + turn + (drift.max().unwrap_or(0) / 7).min(30);
    }
    let mut right: Vec<i64> =
        layers.iter().map(|layer| layer.iter().map(|i| items[*i].px() + items[*i].right).max().unwrap_or(0)).collect();
    // The lanes of the arrows back, the shortest first.
    let mut lanes = vec![0; arrows.len()];
    let span = |i: usize| items[arrows[i].to].layer..=items[arrows[i].from].layer;
    let mut back: Vec<usize> = (0..arrows.len()).filter(|i| chains[*i].len() == 2).collect();
    back.sort_by_key(|i| span(*i).count());
    for i in back {
        lanes[i] = right[span(i)].iter().max().map_or(0, |x| x + GAP);
        right[span(i)].fill(lanes[i] + arrows[i].label.w.max(8));
    }
    let towards = |i: usize, next: usize| if chains[i].len() == 2 { lanes[i] } else { items[next].px() };
    let (mut leaves, mut enters) = (vec![0; arrows.len()], vec![0; arrows.len()]);
    for (at, size) in boxes.iter().enumerate() {
        let out: Vec<_> =
            (0..arrows.len()).filter(|i| arrows[*i].from == at).map(|i| (towards(i, chains[i][1]), i)).collect();
        ports(&items[at], size.w, out, &mut leaves);
        let last = |i: usize| chains[i][chains[i].len() - 2];
        let into: Vec<_> =
            (0..arrows.len()).filter(|i| arrows[*i].to == at).map(|i| (towards(i, last(i)), i)).collect();
        ports(&items[at], size.w, into, &mut enters);
    }
    let center = |at: usize| {
        let (top, bottom) = bands[items[at].layer];
        let straight = if items[at].layer.is_multiple_of(2) { STRAIGHT } else { 0 };
        Point { x: items[at].px(), y: (top + straight + bottom) / 2 }
    };
    let routes = arrows.iter().enumerate().map(|(i, arrow)| {
        let (x, end) = (leaves[i], enters[i]);
        let start = center(arrow.from).y + boxes[arrow.from].h / 2;
        let tip = center(arrow.to).y - boxes[arrow.to].h / 2;
        let (bottom, top) = (bands[items[arrow.from].layer].1, bands[items[arrow.to].layer].0);
        let mut path = format!("M{x} {start}V{bottom}");
        if chains[i].len() == 2 {
            let lane = lanes[i];
            path.push_str(&format!(
                "C{x} {0} {lane} {0} {lane} {bottom}V{top}C{lane} {1} {end} {1} {end} {top}V{tip}",
                bottom + 24,
                top - 24
            ));
            return (path, Point { x: lane, y: (top + bottom) / 2 });
        }
        let passed = chains[i][1..chains[i].len() - 1].iter().map(|n| (items[*n].px(), bands[items[*n].layer]));
        let (mut x, mut y) = (x, bottom);
        for (next, (top, bottom)) in passed.chain([(end, (top, tip))]) {
            if next != x {
                path.push_str(&format!("C{x} {0} {next} {0} {next} {top}", (y + top) / 2));
            }
            path.push_str(&format!("V{bottom}"));
            (x, y) = (next, bottom);
        }
        (path, center(chains[i][1]))
    });
    let size =
        Size { w: right.iter().copied().max().unwrap_or(0), h: bands.last().map_or(0, |(_, bottom)| bottom + 24) };
    Layout { size, routes: routes.collect(), boxes: (0..boxes.len()).map(center).collect() }
}

/// Where arrows touch a box: in the order of where they go, and as near to it as the box allows.
fn ports(item: &Item, width: i64, mut arrows: Vec<(i64, usize)>, touch: &mut [i64]) {
    arrows.sort_unstable();
    let room = (width - 2 * CORNER).max(0);
    let gaps = count(arrows.len()) - 1;
    let apart = PORT.min(room / 2 / gaps.max(1));
    let first = item.px() - room / 2;
    let row: Vec<_> = arrows
        .iter()
        .zip(0..)
        .map(|((x, _), n)| ((*x).clamp(first, first + room), if *x == item.px() { 1000 } else { 1 }, n * apart))
        .collect();
    let fits = pack(&row).into_iter().map(|x| x.clamp(first, first + room - gaps.max(0) * apart));
    fits.zip(&row).zip(&arrows).for_each(|((x, (_, _, offset)), (_, i))| touch[*i] = x + offset);
}

fn count(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}
