//! What a row of the attribute table says, and how attributes are read by it.

use proc_macro2::Span;
use syn::{Attribute, Expr, ExprLit, ExprPath, Lit, LitStr, spanned::Spanned as _};

use super::{
    spelling::{closest, list},
    syntax::{self, Item, Value},
};
use crate::errors::Errors;

/// One `#[session(…)]` attribute. `P` holds the attributes of the place where it may stand.
pub(crate) struct SessionAttribute<P> {
    pub(crate) name: &'static str,
    /// What the value is, for the message about a wrong one.
    pub(crate) takes: &'static str,
    /// A good value.
    pub(crate) example: &'static str,
    pub(crate) slot: Slot<P>,
    /// The attributes of the same place that cannot stand beside this one.
    pub(crate) conflicts: &'static [Conflict],
}

/// The form of an attribute's value, and where the value is kept.
pub(crate) enum Slot<P> {
    /// No value.
    Flag(fn(&mut P) -> &mut Option<Span>),
    /// A word in quotes.
    Text(fn(&mut P) -> &mut Option<LitStr>),
    /// A word in quotes; the attribute may be repeated.
    Texts(fn(&mut P) -> &mut Vec<LitStr>),
    /// A time in quotes.
    Time(fn(&mut P) -> &mut Option<LitStr>),
    /// The path of a function.
    Function(fn(&mut P) -> &mut Option<ExprPath>),
    /// An expression, or no value.
    Expression(fn(&mut P) -> &mut Option<OptionalExpr>),
}

/// An expression that may be left out.
pub(crate) enum OptionalExpr {
    /// `default`
    Absent(Span),
    /// `default = …`
    Given(Expr),
}

/// Why two attributes cannot stand side by side. It is reported at the attribute in whose row it
/// stands, once for each attribute.
pub(crate) struct Conflict {
    /// The values of this attribute that conflict. Empty: all.
    pub(crate) values: &'static [&'static str],
    /// The other attribute's name.
    pub(crate) with: &'static str,
    /// The values of the other attribute that conflict. Empty: all.
    pub(crate) with_values: &'static [&'static str],
    /// The end of the sentence "… cannot be combined with …, because …".
    pub(crate) because: &'static str,
    pub(crate) advice: &'static str,
}

impl Conflict {
    /// A conflict with any value of another attribute.
    pub(crate) const fn with(other: &'static str, because: &'static str) -> Self {
        Self { values: &[], with: other, with_values: &[], because, advice: "remove one of them" }
    }
}

/// Where attributes can stand: above the struct, or above a field.
pub(crate) trait Place: Default + 'static {
    /// The place in messages.
    const NAME: &'static str;
    /// All attributes of this place.
    const TABLE: &'static [SessionAttribute<Self>];
    /// The other place.
    type Elsewhere: Place;
}

/// Reads the attributes of one place.
pub(crate) fn read<P: Place>(attributes: &[Attribute], errors: &mut Errors) -> P {
    let mut found = P::default();
    for item in syntax::items(attributes, errors) {
        let name = item.name();
        match P::TABLE.iter().find(|attribute| attribute.name == name) {
            Some(attribute) => attribute.read(&item, &mut found, errors),
            None => errors.push(item.span(), unknown::<P>(&name)),
        }
    }
    found
}

/// Reports the attributes of one place that cannot stand side by side.
pub(crate) fn check_conflicts<P: Place>(found: &mut P, errors: &mut Errors) {
    for attribute in P::TABLE {
        let Some(given) = attribute.given(found) else { continue };
        for conflict in attribute.conflicts {
            let other = P::TABLE.iter().find(|other| other.name == conflict.with);
            let other = other.expect("a conflict is with an attribute of the same place");
            let Some(other) = other.given(found) else { continue };
            let (Some(this), Some(that)) =
                (given.matching(conflict.values), other.matching(conflict.with_values))
            else {
                continue;
            };
            let Conflict { because, advice, .. } = conflict;
            errors.push(
                given.span,
                format_args!(
                    "`{this}` cannot be combined with `{that}`, because {because}; {advice}"
                ),
            );
            break;
        }
    }
}

/// An attribute that stands in the source.
struct Given {
    name: &'static str,
    span: Span,
    text: Option<String>,
}

impl Given {
    /// Returns how the attribute is called in a message, if its value is one of these. Empty: any.
    fn matching(&self, values: &[&str]) -> Option<String> {
        match &self.text {
            _ if values.is_empty() => Some(self.name.to_owned()),
            Some(text) if values.contains(&text.as_str()) => {
                Some(format!("{} = {text:?}", self.name))
            }
            _ => None,
        }
    }
}

impl<P> SessionAttribute<P> {
    fn read(&self, item: &Item, found: &mut P, errors: &mut Errors) {
        match self.slot {
            Slot::Flag(slot) => once(slot(found), self.flag(item, errors), item, errors),
            Slot::Text(slot) | Slot::Time(slot) => {
                once(slot(found), self.text(item, errors), item, errors);
            }
            Slot::Texts(slot) => slot(found).extend(self.text(item, errors)),
            Slot::Function(slot) => once(slot(found), self.function(item, errors), item, errors),
            Slot::Expression(slot) => {
                once(slot(found), Some(self.expression(item, errors)), item, errors);
            }
        }
    }

    fn given(&self, found: &mut P) -> Option<Given> {
        let text = |text: &LitStr| (text.span(), Some(text.value()));
        let (span, text) = match self.slot {
            Slot::Flag(slot) => ((*slot(found))?, None),
            Slot::Text(slot) | Slot::Time(slot) => slot(found).as_ref().map(text)?,
            Slot::Texts(slot) => slot(found).first().map(text)?,
            Slot::Function(slot) => (slot(found).as_ref()?.span(), None),
            Slot::Expression(slot) => match slot(found).as_ref()? {
                OptionalExpr::Absent(span) => (*span, None),
                OptionalExpr::Given(expr) => (expr.span(), None),
            },
        };
        Some(Given { name: self.name, span, text })
    }

    /// Reads a name that stands alone. A value is reported, and the attribute counts all the same.
    fn flag(&self, item: &Item, errors: &mut Errors) -> Option<Span> {
        if !matches!(item.value, Value::Nothing) {
            let Self { name, takes, .. } = self;
            errors.push(
                item.value_span(),
                format_args!("`{name}` takes {takes}; write `{name}`, or remove it"),
            );
        }
        Some(item.span())
    }

    /// Reads the string in `name = "…"`.
    fn text(&self, item: &Item, errors: &mut Errors) -> Option<LitStr> {
        let word = match item.expr() {
            Some(Expr::Lit(ExprLit { lit: Lit::Str(text), .. })) if text.suffix().is_empty() => {
                return Some(text.clone());
            }
            // The quotes are probably all that is missing.
            Some(Expr::Path(path)) if matches!(self.slot, Slot::Text(_) | Slot::Texts(_)) => {
                path.path.get_ident().map(ToString::to_string)
            }
            _ => None,
        };
        let Self { name, takes, example, .. } = self;
        let example = word.as_deref().unwrap_or(example);
        errors.push(
            item.value_span(),
            format_args!("`{name}` takes {takes}, as a string; write `{name} = {example:?}`"),
        );
        None
    }

    /// Reads the path in `name = path`.
    fn function(&self, item: &Item, errors: &mut Errors) -> Option<ExprPath> {
        let quoted = match item.expr() {
            Some(Expr::Path(path)) => return Some(path.clone()),
            // The quotes are probably all that is wrong.
            Some(Expr::Lit(ExprLit { lit: Lit::Str(text), .. })) => Some(text.value()),
            _ => None,
        };
        let Self { name, takes, example, .. } = self;
        let example = quoted.as_deref().unwrap_or(example);
        errors.push(
            item.value_span(),
            format_args!("`{name}` takes {takes}; write `{name} = {example}`"),
        );
        None
    }

    fn expression(&self, item: &Item, errors: &mut Errors) -> OptionalExpr {
        match &item.value {
            Value::Nothing => {}
            Value::Expr(expr) => return OptionalExpr::Given(expr.clone()),
            Value::Other(span) => {
                let Self { name, takes, example, .. } = self;
                errors.push(
                    *span,
                    format_args!("`{name}` takes {takes}; write `{name} = {example}`, or `{name}`"),
                );
            }
        }
        OptionalExpr::Absent(item.span())
    }
}

/// Fills a slot, unless it is full.
fn once<T>(slot: &mut Option<T>, value: Option<T>, item: &Item, errors: &mut Errors) {
    if slot.is_some() {
        errors.push(item.span(), format_args!("`{}` is given twice; remove one", item.name()));
    } else {
        *slot = value;
    }
}

/// Returns the message about a name that is not in a place's table.
fn unknown<P: Place>(name: &str) -> String {
    let (here, there) = (P::NAME, P::Elsewhere::NAME);
    if P::Elsewhere::TABLE.iter().any(|attribute| attribute.name == name) {
        return format!(
            "`{name}` is an attribute of {there}, not of {here}; move it above {there}"
        );
    }
    let names = || P::TABLE.iter().map(|attribute| attribute.name);
    let advice = match closest(name, names()) {
        Some(known) => format!("did you mean `{known}`?"),
        None => format!("valid attributes are {}", list(names())),
    };
    format!("`{name}` is not a valid session attribute of {here}; {advice}")
}
