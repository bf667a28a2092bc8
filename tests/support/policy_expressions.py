"""Conditions of policies for property tests, built from small ones."""

from hypothesis import strategies as st


def conditions(atoms: st.SearchStrategy[str], max_leaves: int) -> st.SearchStrategy[str]:
    """`atoms`, their negations, conjunctions, disjunctions and choices."""
    return st.recursive(
        atoms,
        lambda inner: st.one_of(
            st.builds(lambda a: f"!({a})", inner),
            st.builds(lambda a, op, b: f"({a}) {op} ({b})", inner, st.sampled_from(["&&", "||"]), inner),
            st.builds(lambda a, b, c: f"(({a}) ? ({b}) : ({c}))", inner, inner, inner),
        ),
        max_leaves=max_leaves,
    )
