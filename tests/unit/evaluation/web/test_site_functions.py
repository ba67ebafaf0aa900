"""Calls of the benchmark's functions; what they find on pages is tested in a browser."""

from __future__ import annotations

import pytest

from vigorl.evaluation.web.page import PageError
from vigorl.evaluation.web.site_functions import Call, read_call


@pytest.mark.parametrize(
    ("text", "call"),
    [
        ("func:shopping_get_latest_order_url()", Call("shopping_get_latest_order_url", ())),
        (
            "func:get_query_text(__page__, \"#a > 'b'\")",
            Call("get_query_text", ("#a > 'b'",)),
        ),
        (
            "func:shopping_get_order_product_quantity(__page__,'B1 |OR| B2')",
            Call("shopping_get_order_product_quantity", ("B1 |OR| B2",)),
        ),
    ],
)
def test_a_call_is_read(text: str, call: Call):
    assert read_call(text) == call


@pytest.mark.parametrize(
    "text",
    [
        "func:", "func:rm('/')", "func:get_query_text", "func:get_query_text(page)",
        "func:get_query_text(5)", "func:get_query_text(selector='a')",
        "func:open('/etc/passwd').read()",
        "func:(lambda: 1)()", "func:get_query_text(__import__('os').name)",
    ],
)  # fmt: skip
def test_nothing_else_is_run(text: str):
    with pytest.raises(
        ValueError, match=r"cannot be read|no call such as|no function|must be texts"
    ):
        read_call(text)


def test_a_post_has_the_address_before_its_comments():
    call = read_call("func:reddit_get_post_url('__last_url__')")
    for url, post in [
        ("http://f:9/f/aww/17/bear/-/comment/3", "http://f:9/f/aww/17/"),
        ("http://f:9/f/aww", "http://f:9/f/aww"),
        ("http://f:9/user/17/a/b", "http://f:9/user/17/a/b"),
    ]:
        assert call.on(None, last_url=url, shop="") == post


def test_a_shop_that_does_not_answer_is_named():
    call = read_call("func:shopping_get_latest_order_url()")
    with pytest.raises(
        PageError, match=r"shopping_get_latest_order_url: http://127\.0\.0\.1:9 does"
    ):
        call.on(None, last_url="", shop="http://127.0.0.1:9")
