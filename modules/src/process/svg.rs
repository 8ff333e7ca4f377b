//! A process drawn as a picture: an SVG that stands by itself, in light and dark, in the reader's own font.
//!
//! It owns what a reader sees and in which words; where that goes is the layout's. It draws exactly what the engine
//! runs, and says it again in words for those who do not see it.

use std::fmt::Write;

use order_contract::OrderStatus;
use order_contract::process::{ProcessState, ProcessTransition, Trigger};

use super::layout::{Arrow, Layout, Point, Size, layout};
use super::{Process, diagram};

const MARGIN: i64 = 32;
const HEAD: i64 = 78;
/// The lines of text in a box and beside an arrow.
const LINE: i64 = 16;
/// The circle where orders begin.
const START: Size = Size { w: 18, h: 18 };

const STYLE: &str = "text{font:12px system-ui,-apple-system,'Segoe UI',Roboto,'Helvetica Neue',Arial,sans-serif;\
fill:#1f2937}.h{font-size:20px;font-weight:650}.n{font-size:13px;font-weight:650;letter-spacing:.2px}\
.n,.s{text-anchor:middle}.s,.c{font-size:11px}.c,.m{fill:#5b6472}.m{font-size:13px;font-weight:400}.page{fill:#fff}\
.a{fill:none;stroke:#64748b;stroke-width:1.5}.timer{stroke-dasharray:7 4}.system{stroke-dasharray:1.5 4.5;\
stroke-linecap:round;stroke-width:2}.t{fill:#64748b}.start{fill:#1f2937}.b{stroke-width:1.5}.e{fill:none}\
.rule{stroke:#d8dee6}";
const DARK: &str = "text{fill:#e6edf3}.c,.m{fill:#9aa6b4}.page{fill:#0d1117}.a{stroke:#8b98a9}.t{fill:#8b98a9}\
.start{fill:#e6edf3}.rule{stroke:#2d3642}";

/// A status: its name for people, and how its states are filled and framed in light and dark.
fn look(status: OrderStatus) -> (&'static str, [&'static str; 4]) {
    match status {
        OrderStatus::Draft => ("Draft", ["#f1f5f9", "#94a3b8", "#1e293b", "#64748b"]),
        OrderStatus::PendingPayment => ("To pay", ["#fef3c7", "#d97706", "#36280d", "#e0a03a"]),
        OrderStatus::PendingAcceptance => ("To accept", ["#ede9fe", "#7c3aed", "#282046", "#a78bfa"]),
        OrderStatus::Processing => ("In work", ["#dbeafe", "#2563eb", "#142846", "#5b9bf5"]),
        OrderStatus::AwaitingConfirmation => ("To confirm", ["#cffafe", "#0e8ba6", "#0b313a", "#35bdd6"]),
        OrderStatus::Completed => ("Completed", ["#dcfce7", "#16a34a", "#10301d", "#46c272"]),
        OrderStatus::Canceled => ("Canceled", ["#ffe4e6", "#e11d48", "#401520", "#f0667f"]),
        OrderStatus::Expired => ("Expired", ["#eceae8", "#78716c", "#292625", "#a8a29e"]),
        OrderStatus::Unknown => ("Unknown", ["#ffffff", "#64748b", "#0d1117", "#8b98a9"]),
    }
}

/// The arrows between two states, drawn as one.
struct Bundle<'a> {
    from: Option<&'a str>,
    to: &'a str,
    transitions: Vec<&'a ProcessTransition>,
}

impl Bundle<'_> {
    /// The lines of its label, and whether each is the name of an action.
    fn label(&self) -> Vec<(String, bool)> {
        let lines = self
            .transitions
            .iter()
            .flat_map(|t| [Some((t.action.to_string(), true)), diagram::cause(t).map(|cause| (cause, false))]);
        lines.flatten().collect()
    }

    /// Whoever may set one of them off: a person before time, time before the module.
    fn class(&self) -> &'static str {
        let any = |trigger| self.transitions.iter().any(|t| t.trigger == trigger);
        if any(Trigger::Manual) {
            "manual"
        } else if any(Trigger::Timer) {
            "timer"
        } else {
            "system"
        }
    }
}

impl Process {
    /// The process as a picture in SVG. What leaves an order in its state stands in the state's lower part.
    #[must_use]
    pub fn svg(&self) -> String {
        let definition = &self.definition;
        let mut bundles: Vec<Bundle<'_>> = Vec::new();
        for (from, to, transition) in diagram::ways(definition) {
            match bundles.iter_mut().find(|b| (b.from, b.to) == (from, to)) {
                Some(bundle) => bundle.transitions.push(transition),
                None => bundles.push(Bundle { from, to, transitions: vec![transition] }),
            }
        }
        let stays: Vec<_> = definition.states.iter().map(|s| wrap(&diagram::stays(definition, &s.name))).collect();
        let boxes = definition.states.iter().zip(&stays).map(|(state, stays)| size(state, stays));
        let boxes: Vec<_> = std::iter::once(START).chain(boxes).collect();
        let index = |name| definition.states.iter().position(|s| Some(s.name.as_str()) == name).map_or(0, |i| i + 1);
        let arrows = bundles.iter().map(|bundle| {
            let lines = bundle.label();
            let w = lines.iter().map(|(line, _)| width(line, 12)).max().unwrap_or(0) + 10;
            let label = Size { w, h: LINE * count(lines.len()) };
            Arrow { from: index(bundle.from), to: index(Some(bundle.to)), label }
        });
        let Layout { size, boxes: places, routes } = layout(&boxes, &arrows.collect::<Vec<_>>());

        let mut body = String::new();
        for (bundle, (path, _)) in bundles.iter().zip(&routes) {
            put(
                &mut body,
                format_args!("<path class=\"a {}\" d=\"{path}\" marker-end=\"url(#tip)\"/>", bundle.class()),
            );
        }
        for (bundle, (_, at)) in bundles.iter().zip(&routes) {
            put(&mut body, format_args!("{}", label(bundle, *at)));
        }
        if let Some(Point { x, y }) = places.first() {
            put(&mut body, format_args!("<circle class=\"start\" cx=\"{x}\" cy=\"{y}\" r=\"{}\"/>", START.w / 2));
        }
        for (i, state) in definition.states.iter().enumerate() {
            put(&mut body, format_args!("{}", state_box(state, &stays[i], places[i + 1], boxes[i + 1])));
        }
        let used: Vec<_> =
            OrderStatus::ALL.iter().copied().filter(|s| definition.states.iter().any(|d| d.status == *s)).collect();
        let inner = size.w.max(620);
        let (legend, legend_height) = legend(&used, inner);
        let (w, h) = (inner + 2 * MARGIN, HEAD + size.h + legend_height + MARGIN);
        let (shift, foot) = (MARGIN + (inner - size.w) / 2, HEAD + size.h);
        let (name, version) = (escape(&definition.name), definition.version);
        let colors = |at: usize| -> String {
            used.iter()
                .map(|s| (s, look(*s).1))
                .map(|(s, c)| format!(".{s}{{fill:{};stroke:{}}}", c[at], c[at + 1]))
                .collect()
        };
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{w}\" height=\"{h}\" viewBox=\"0 0 {w} {h}\" role=\"img\" \
             aria-labelledby=\"title desc\">\n<title id=\"title\">The {name} process, version {version}</title>\n\
             <desc id=\"desc\">{}</desc>\n<style>{STYLE}{}@media(prefers-color-scheme:dark){{{DARK}{}}}</style>\n\
             <defs><marker id=\"tip\" viewBox=\"0 0 10 10\" refX=\"9\" refY=\"5\" markerWidth=\"8\" markerHeight=\"8\" \
             markerUnits=\"userSpaceOnUse\" orient=\"auto\"><path class=\"t\" d=\"M0 0L10 5L0 10L2.5 5z\"/></marker></defs>\n\
             <rect class=\"page\" width=\"{w}\" height=\"{h}\" rx=\"12\"/>\n\
             <text class=\"h\" x=\"{MARGIN}\" y=\"44\">{name}<tspan class=\"m\" dx=\"12\">version {version}</tspan></text>\n\
             <g transform=\"translate({shift} {HEAD})\">\n{body}</g>\n\
             <g transform=\"translate({MARGIN} {foot})\">\n{legend}</g>\n</svg>\n",
            escape(&words(&bundles)),
            colors(0),
            colors(2),
        )
    }
}

/// How large a state is.
fn size(state: &ProcessState, stays: &[String]) -> Size {
    let stay = stays.iter().map(|line| width(line, 11)).max().unwrap_or(0);
    let below = if stays.is_empty() { 0 } else { LINE * count(stays.len()) + 10 };
    Size { w: (width(&state.name, 14).max(stay) + 36) / 2 * 2, h: (40 + below) / 2 * 2 }
}

fn state_box(state: &ProcessState, stays: &[String], at: Point, size: Size) -> String {
    let (left, top) = (at.x - size.w / 2, at.y - size.h / 2);
    let status = state.status;
    let mut text = format!(
        "<g><title>{}</title><rect class=\"b {status}\" x=\"{left}\" y=\"{top}\" width=\"{}\" height=\"{}\" rx=\"9\"/>",
        escape(&state.description),
        size.w,
        size.h
    );
    if state.terminal {
        let (x, y, w, h) = (left + 4, top + 4, size.w - 8, size.h - 8);
        let inner = format!("<rect class=\"{status} e\" x=\"{x}\" y=\"{y}\" width=\"{w}\" height=\"{h}\" rx=\"6\"/>");
        text.push_str(&inner);
    }
    text.push_str(&format!("<text class=\"n\" x=\"{}\" y=\"{}\">{}</text>", at.x, top + 25, escape(&state.name)));
    if !stays.is_empty() {
        let (y, from, to) = (top + 37, left + 12, left + size.w - 12);
        text.push_str(&format!("<path class=\"{status} e\" stroke-opacity=\".45\" d=\"M{from} {y}H{to}\"/>"));
    }
    for (n, line) in stays.iter().enumerate() {
        let y = top + 53 + LINE * count(n);
        text.push_str(&format!("<text class=\"s\" x=\"{}\" y=\"{y}\">{}</text>", at.x, escape(line)));
    }
    text + "</g>"
}

fn label(bundle: &Bundle<'_>, at: Point) -> String {
    let said: Vec<_> = bundle.transitions.iter().map(|t| format!("{}: {}", t.action, t.description)).collect();
    let mut text = format!("<g><title>{}</title>", escape(&said.join("\n")));
    let lines = bundle.label();
    let top = at.y - LINE * count(lines.len()) / 2;
    for (n, (line, action)) in lines.iter().enumerate() {
        let (class, x, y) = (if *action { "l" } else { "c" }, at.x + 8, top + LINE * count(n) + 12);
        text.push_str(&format!("<text class=\"{class}\" x=\"{x}\" y=\"{y}\">{}</text>", escape(line)));
    }
    text + "</g>"
}

/// What the colors and lines mean, in rows of a width; and how high that is.
fn legend(used: &[OrderStatus], room: i64) -> (String, i64) {
    let swatch = |class: &str| format!("<rect class=\"b {class}\" y=\"1\" width=\"24\" height=\"14\" rx=\"4\"/>");
    let line = |class: &str| format!("<path class=\"a {class}\" d=\"M0 8H32\" marker-end=\"url(#tip)\"/>");
    let mut entries: Vec<(String, i64, &str)> = Vec::new();
    entries.extend(used.iter().map(|status| (swatch(status.as_str()), 24, look(*status).0)));
    let double = "<rect class=\"a\" y=\"0\" width=\"24\" height=\"16\" rx=\"4\"/><rect class=\"a\" x=\"3\" y=\"3\" width=\"18\" height=\"10\" rx=\"2\"/>";
    let lower =
        "<rect class=\"a\" y=\"0\" width=\"24\" height=\"16\" rx=\"4\"/><path class=\"a\" d=\"M4 6H20M8 11H16\"/>";
    entries.extend([
        ("<circle class=\"start\" cx=\"8\" cy=\"8\" r=\"6\"/>".into(), 16, "orders begin"),
        (double.into(), 24, "orders may end"),
        (lower.into(), 24, "in a box: actions that leave the order there"),
        (line("manual"), 32, "someone asks"),
        (line("timer"), 32, "time passes"),
        (line("system"), 32, "by itself"),
    ]);
    let (mut x, mut y) = (0, 24);
    let mut text = format!("<path class=\"rule\" d=\"M0 0H{room}\"/>\n");
    for (n, (sign, sign_width, said)) in entries.iter().enumerate() {
        let wide = sign_width + 8 + width(said, 11);
        if x > 0 && (x + wide > room || n == used.len() || n == used.len() + 3) {
            (x, y) = (0, y + 26);
        }
        let said = format_args!("<text class=\"c\" x=\"{}\" y=\"12\">{said}</text>", sign_width + 8);
        put(&mut text, format_args!("<g transform=\"translate({x} {y})\">{sign}{said}</g>"));
        x += wide + 22;
    }
    (text, y + 16)
}

/// The drawing in words.
fn words(bundles: &[Bundle<'_>]) -> String {
    let ways = bundles.iter().map(|bundle| {
        let actions: Vec<_> = bundle
            .transitions
            .iter()
            .map(|t| diagram::cause(t).map_or(t.action.to_string(), |cause| format!("{} ({cause})", t.action)))
            .collect();
        format!("{} to {}: {}.", bundle.from.unwrap_or("Start"), bundle.to, actions.join(", "))
    });
    ways.collect::<Vec<_>>().join(" ")
}

/// Names in lines of a readable length.
fn wrap(names: &[&str]) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for name in names {
        match lines.last_mut() {
            Some(line) if line.len() + name.len() <= 22 => line.push_str(&format!(" · {name}")),
            _ => lines.push((*name).into()),
        }
    }
    lines
}

/// How wide a text may become in the font of whoever reads it, in pixels.
fn width(text: &str, font: i64) -> i64 {
    let wide = text.chars().filter(|c| c.is_uppercase() || !c.is_ascii()).count();
    (count(wide) * 70 + count(text.chars().count() - wide) * 56) * font / 100
}

fn count(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

fn put(text: &mut String, line: std::fmt::Arguments<'_>) {
    // Writing to a string does not fail.
    let _ = writeln!(text, "{line}");
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
