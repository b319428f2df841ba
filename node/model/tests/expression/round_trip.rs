//! Trees printed and parsed again are the same trees.

use std::sync::Arc;

use kv_model::AttributeValue;
use kv_model::expression::{
    Action, AttributeType, Comparator, Condition, Expr, Kind, Operand, Path, Projection, Source,
    Step, Update, UpdateOperand, UpdateValue, parse_condition, parse_projection, parse_update,
};
use proptest::collection::vec;
use proptest::prelude::*;

use super::{l, n, s, ss};

fn path() -> impl Strategy<Value = Path> {
    let name = prop_oneof![
        "[a-c]{1,2}",
        Just("and".to_owned()),
        Just("ü.[0] #:".to_owned())
    ];
    let step = prop_oneof![
        name.clone().prop_map(Step::Field),
        (0..3u32).prop_map(Step::Index),
        Just(Step::Index(i32::MAX as u32)),
    ];
    (name, vec(step, 0..3))
        .prop_map(|(head, steps)| steps.into_iter().fold(Path::attribute(head), Path::then))
}

/// A value of an ordered type, or of the type given.
fn constant(value: AttributeValue) -> Operand {
    Operand::Value(Arc::new(value))
}

fn number() -> impl Strategy<Value = Operand> {
    (-9i64..9).prop_map(|value| constant(AttributeValue::N(value.into())))
}

fn text() -> impl Strategy<Value = Operand> {
    "[a-z]{0,3}".prop_map(|text| constant(AttributeValue::S(text)))
}

fn size() -> impl Strategy<Value = Operand> {
    prop_oneof![path().prop_map(Operand::Path), text()]
        .prop_map(|inner| Operand::Size(Box::new(inner)))
}

fn ordered() -> impl Strategy<Value = Operand> {
    prop_oneof![path().prop_map(Operand::Path), number(), text(), size()]
}

fn any_operand() -> impl Strategy<Value = Operand> {
    prop_oneof![
        3 => ordered(),
        1 => Just(constant(l(&[n("1"), ss(&["a"])]))),
        1 => Just(constant(AttributeValue::Null)),
    ]
}

fn stringlike() -> impl Strategy<Value = Operand> {
    prop_oneof![path().prop_map(Operand::Path), text()]
}

fn different<A: Strategy<Value = Operand>, B: Strategy<Value = Operand>>(
    one: A,
    two: B,
) -> impl Strategy<Value = (Operand, Operand)> {
    (one, two).prop_filter("two operands are not the same path", |(one, two)| {
        !matches!(one, Operand::Path(_)) || one != two
    })
}

fn leaf() -> impl Strategy<Value = Expr> {
    let ordering = prop_oneof![
        Just(Comparator::Less),
        Just(Comparator::LessOrEqual),
        Just(Comparator::Greater),
        Just(Comparator::GreaterOrEqual),
    ];
    let equality = prop_oneof![Just(Comparator::Equal), Just(Comparator::NotEqual)];
    let kind = prop::sample::select(vec![
        "S", "N", "B", "BOOL", "NULL", "M", "L", "SS", "NS", "BS",
    ]);
    prop_oneof![
        (ordering, different(ordered(), ordered())).prop_map(|(comparator, (left, right))| {
            Expr::Compare {
                comparator,
                left,
                right,
            }
        }),
        (equality, different(any_operand(), any_operand())).prop_map(
            |(comparator, (left, right))| {
                Expr::Compare {
                    comparator,
                    left,
                    right,
                }
            }
        ),
        (ordered(), path(), number()).prop_map(|(operand, lower, upper)| {
            Expr::Between {
                operand,
                lower: Operand::Path(lower),
                upper,
            }
        }),
        (any_operand(), vec(any_operand(), 1..4))
            .prop_filter(
                "the first operand is not among the others",
                |(one, others)| { !matches!(one, Operand::Path(_)) || !others.contains(one) }
            )
            .prop_map(|(operand, list)| Expr::In { operand, list }),
        path().prop_map(Expr::AttributeExists),
        path().prop_map(Expr::AttributeNotExists),
        (any_operand(), kind).prop_map(|(operand, name)| Expr::AttributeType {
            operand,
            expected: AttributeType::from_name(name).expect("a type"),
        }),
        different(stringlike(), stringlike())
            .prop_map(|(operand, prefix)| Expr::BeginsWith { operand, prefix }),
        different(any_operand(), any_operand())
            .prop_map(|(container, element)| Expr::Contains { container, element }),
    ]
}

fn expr() -> impl Strategy<Value = Expr> {
    leaf().prop_recursive(4, 40, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 2..4).prop_map(Expr::And),
            vec(inner.clone(), 2..4).prop_map(Expr::Or),
            inner.prop_map(|expr| match expr {
                Expr::Not(inner) => *inner,
                expr => Expr::Not(Box::new(expr)),
            }),
        ]
    })
}

fn update_operand() -> impl Strategy<Value = UpdateOperand> {
    let leaf = prop_oneof![
        path().prop_map(UpdateOperand::Path),
        Just(UpdateOperand::Value(Arc::new(n("1")))),
    ];
    leaf.prop_recursive(3, 6, 2, |inner| {
        (path(), inner)
            .prop_map(|(path, default)| UpdateOperand::IfNotExists(path, Box::new(default)))
    })
}

fn action() -> impl Strategy<Value = Action> {
    let list = Arc::new(l(&[s("a")]));
    let appended = (path(), any::<bool>()).prop_map(move |(path, front)| {
        let constant = Box::new(UpdateOperand::Value(Arc::clone(&list)));
        let path = Box::new(UpdateOperand::Path(path));
        let (one, two) = if front {
            (constant, path)
        } else {
            (path, constant)
        };
        UpdateValue::Operand(UpdateOperand::ListAppend(one, two))
    });
    let value = prop_oneof![
        update_operand().prop_map(UpdateValue::Operand),
        (update_operand(), update_operand()).prop_map(|(one, two)| UpdateValue::Sum(one, two)),
        (update_operand(), update_operand())
            .prop_map(|(one, two)| UpdateValue::Difference(one, two)),
        appended,
    ];
    let set = Arc::new(ss(&["a"]));
    prop_oneof![
        (path(), value).prop_map(|(path, value)| Action::Set { path, value }),
        path().prop_map(|path| Action::Remove { path }),
        path().prop_map(|path| Action::Add {
            path,
            operand: Arc::new(n("7"))
        }),
        path().prop_map(move |path| Action::Delete {
            path,
            operand: Arc::clone(&set)
        }),
    ]
}

/// Runs `parse` on a source and checks that it uses all of its placeholders.
fn reparse<T>(
    source: &Source,
    parse: impl FnOnce(
        &str,
        &mut kv_model::expression::Placeholders,
    ) -> Result<T, kv_model::expression::Error>,
) -> T {
    let mut placeholders = source.placeholders().expect("fresh placeholders are valid");
    let parsed = parse(&source.text, &mut placeholders);
    let parsed = parsed.unwrap_or_else(|error| panic!("{source:?}: {error}"));
    assert_eq!(placeholders.check_all_used(), Ok(()), "{source:?}");
    parsed
}

proptest! {
    #[test]
    fn conditions(expr in expr()) {
        let condition = Condition::new(expr);
        let source = condition.to_source();
        prop_assert_eq!(&condition.to_string(), &source.text);
        let again = reparse(&source, |text, p| parse_condition(Kind::Filter, text, p));
        prop_assert_eq!(again, condition);
    }

    #[test]
    fn updates(mut actions in vec(action(), 1..6)) {
        // Clashing paths are refused, and a section's actions stand together.
        let mut heads = std::collections::BTreeSet::new();
        actions.retain(|action| heads.insert(action.path().head().to_owned()));
        actions.sort_by_key(|action| match action {
            Action::Set { .. } => 0,
            Action::Remove { .. } => 1,
            Action::Add { .. } => 2,
            Action::Delete { .. } => 3,
        });
        let update = Update::new(actions);
        let source = update.to_source();
        prop_assert_eq!(&update.to_string(), &source.text);
        prop_assert_eq!(reparse(&source, parse_update), update);
    }

    #[test]
    fn projections(names in prop::collection::btree_set("[a-z]{1,3}|and", 1..6)) {
        let projection = Projection::of_attributes(names);
        let source = projection.to_source();
        prop_assert_eq!(&projection.to_string(), &source.text);
        prop_assert_eq!(reparse(&source, parse_projection), projection);
    }
}
